"""Portfolios: validation items choose, test items never do; what was tried is what training each would have said."""

from __future__ import annotations

import statistics

import pytest
import torch

from graphkit.data.splits import RandomPerClass
from graphkit.training import Interrupted, Portfolio, portfolio, recipe, train
from tests.interruptions import StopAfter
from tests.training.studies import communities

FIELDS = {"epochs": 4}


@pytest.fixture(scope="module")
def data():
    return communities()


@pytest.fixture(scope="module")
def whole(data):
    return train(data, portfolio(FIELDS), seeds=[3, 1], device="cpu")


def test_what_was_tried_is_what_each_recipe_comes_to_alone(data, whole):
    for tried, chosen in zip(whole.record.tried, portfolio(FIELDS).recipes, strict=True):
        alone = train(data, chosen, seeds=[3, 1], device="cpu")
        assert tried["model"] == chosen.name
        assert tried["validation"] == alone.record.validation.mean
        losses = [result.history[result.selected - 1].validation_loss for result in alone.seeds]
        assert tried["validation_loss"] == statistics.fmean(losses)


def test_the_best_on_validation_is_trained_as_if_it_had_been_named(data, whole):
    best = min(whole.record.tried, key=lambda tried: (-tried["validation"], tried["validation_loss"]))
    [chosen] = [each for each in portfolio(FIELDS).recipes if each.name == best["model"]]
    alone = train(data, chosen, seeds=[3, 1], device="cpu").record
    assert (alone.metric, alone.config, alone.protocol) == (
        whole.record.metric,
        whole.record.config,
        whole.record.protocol,
    )
    assert "tried" not in alone.as_dict()


def test_what_a_model_that_nobody_named_says_of_the_graph_stands_with_what_was_tried(data):
    directed = data.clone()
    directed.edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    made = Portfolio((recipe("mlp", {"epochs": 30}), recipe("cheb", {"epochs": 1, "lr": 1e-6})))
    record = train(directed, made, seeds=[0, 1], device="cpu").record
    assert record.config["model"] == "mlp", "else it is named now, and speaks"
    said = [tried.get("warnings", []) for tried in record.tried]
    assert [len(each) for each in said] == [0, 1]
    assert said[1][0].startswith("`edge_index` is directed")
    with pytest.warns(UserWarning, match="`edge_index` is directed"):
        train(directed, recipe("cheb", FIELDS), device="cpu")


def test_the_labels_of_test_items_decide_nothing(data, whole):
    other = data.clone()
    other.y = torch.where(data.test_mask, 1 - data.y, data.y)
    found = train(other, portfolio(FIELDS), seeds=[3, 1], device="cpu").record
    same = [{**tried, "seconds": 0} for tried in whole.record.tried]
    assert [{**tried, "seconds": 0} for tried in found.tried] == same
    assert found.config == whole.record.config


def test_three_seeds_at_most_choose(data, tmp_path):
    made = Portfolio((recipe("mlp", {"epochs": 2}), recipe("gcn", {"epochs": 2})))
    train(data, made, seeds=range(5), device="cpu", run_dir=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 5
    told = []

    class Listener:
        def on_epoch(self, unit, epoch, best):
            pass

        def on_unit(self, unit, result):
            told.append(unit.label)

    train(data, made, seeds=range(5), device="cpu", reporter=Listener())
    tried = [f"{name}, seed {seed}" for name in ("mlp", "gcn") for seed in range(3)]
    assert told == [*tried, *(f"seed {seed}" for seed in range(5))]


@pytest.mark.parametrize("epochs", [1, 13, 33, 38])
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(data, whole, tmp_path, epochs):
    """Of 4 recipes with 2 seeds and 4 epochs, and 2 more seeds: stopped while trying, and after it."""
    given = {"seeds": [3, 1], "device": "cpu", "run_dir": tmp_path}
    with pytest.raises(Interrupted):
        train(data, portfolio(FIELDS), reporter=StopAfter(epochs), **given)
    found = train(data, portfolio(FIELDS), resume=True, **given).record
    assert found.metric == whole.record.metric
    assert [tried["validation"] for tried in found.tried] == [tried["validation"] for tried in whole.record.tried]


def test_there_must_be_something_to_resume(data, tmp_path):
    with pytest.raises(ValueError, match="there is no checkpoint in"):
        train(data, portfolio(FIELDS), device="cpu", run_dir=tmp_path, resume=True)


def test_a_field_goes_to_the_recipes_in_which_it_decides_something():
    made = {each.name: each.options() for each in portfolio({"layers": 3, "hidden": 7}).recipes}
    assert [made[name]["layers"] for name in ("mlp", "gcn", "deep-gcn")] == [3, 3, 3]
    assert made["jacobi"]["hidden"] == recipe("jacobi").model.hidden
    with pytest.raises(ValueError, match=r"^`heads` decides nothing in any recipe that is tried\."):
        portfolio({"heads": 3})
    with pytest.raises(ValueError, match=r"Did you mean 'hidden'\?$"):
        portfolio({"hiden": 3})
    with pytest.raises(ValueError, match=r"^`epochs` must be at least 1"):
        portfolio({"epochs": 0})


def test_models_that_cannot_take_the_graph_are_not_tried(data):
    weighted = data.clone()
    weighted.edge_weight = torch.ones(data.num_edges)
    refusing = Portfolio((recipe("sage"), recipe("gcn"), recipe("mlp")))
    assert [each.name for each in refusing.fitting(weighted).recipes] == ["gcn", "mlp"]
    sampled = portfolio({"fan_out": "3,3"}).fitting(data)
    assert all(each.model.sampled for each in sampled.recipes)
    with pytest.raises(ValueError, match="name a model"):
        Portfolio((recipe("sage"), recipe("gcn"))).fitting(weighted)


@pytest.mark.parametrize("items", ["nodes", "signals", "graphs"])
def test_there_are_several_recipes_for_all_kinds_of_items(items):
    made = portfolio(items=items)
    assert made.items == items
    assert len(made.recipes) >= 4


@pytest.mark.parametrize("recipes", [(), (recipe("gcn"),), (recipe("gcn"), recipe("gcn"))])
def test_one_recipe_is_no_choice(recipes):
    with pytest.raises(ValueError, match=r"^`recipes` must be two or more"):
        Portfolio(recipes)
    with pytest.raises(ValueError, match="must all be of nodes"):
        Portfolio((recipe("gcn"), recipe("gin", items="graphs")))


def test_several_splits_are_refused(data):
    split = RandomPerClass(per_class=5, val=10)(data, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="one split of a whole graph; name one recipe"):
        train(data, portfolio(FIELDS), seeds=[0], splits=[split], device="cpu")
