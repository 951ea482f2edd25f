"""Recipes that are solved for: no step is taken, nothing is drawn, and what belongs to steps is refused in words."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from graphkit.nn.view_models import RidgeMixture, ViewRegression
from graphkit.training import load_run, recipe, train
from graphkit.training.embedding.embedding_recipes import ENCODERS
from graphkit.training.zoo.recipes import RECIPES
from tests.training.studies import communities

STEPWISE = {
    "lr": 0.1,
    "l2": 0.1,
    "l2_on": "all",
    "hidden": 8,
    "dropout": 0.1,
    "schedule": "cosine",
    "fan_out": "10,10",
    "batch": 5,
    "views": 2,
    "row_normalise": True,
    "sparse_below": 0.5,
}
SOLVED = [name for name, made in RECIPES.items() if made.model.solved]


@pytest.mark.parametrize("field", STEPWISE)
@pytest.mark.parametrize("name", SOLVED)
def test_what_belongs_to_steps_is_refused(name, field):
    with pytest.raises(ValueError, match=f"^`{field}` decides nothing in the recipe '{name}'"):
        recipe(name, {field: STEPWISE[field]})


def test_drawn_neighbours_are_refused_by_the_command(call):
    status, _, said = call("train", "karate", "--model", "view-ridge", "--sampled")
    assert status == 2
    assert said.startswith("Error: `fan_out` decides nothing in the recipe 'view-ridge': its model is solved for")


@pytest.mark.parametrize("name", SOLVED)
def test_seeds_decide_nothing_and_no_encoder_is_made_of_it(name):
    found = train(communities(), recipe(name, {"epochs": 3}), seeds=[0, 7], device="cpu").seeds
    first, second = (dataclasses.replace(each, seed=0, seconds=0.0) for each in found)
    assert first == second
    assert name not in ENCODERS


def test_an_epoch_is_a_solution_and_there_is_one_more_than_views():
    chosen = recipe("view-ridge", {"epochs": 99, "hops": 1, "width": 3})
    result = train(communities(), chosen, device="cpu").seeds[0]
    data, views = communities(), RidgeMixture(2, 2, hops=1).views
    assert len(result.history) == len(views) + 1
    module = RidgeMixture(data.num_features, int(data.y.max()) + 1, hops=1, width=3)
    index = data.train_mask.nonzero().squeeze(1)
    targets = torch.eye(int(data.y.max()) + 1)[data.y[index]]

    def loss(outputs, rows, columns):
        return torch.nn.functional.cross_entropy(outputs, data.y[index][rows])

    solver = ViewRegression(module, data.x, data.edge_index, index=index, targets=targets, loss=loss)
    right = data.val_mask
    for epoch in result.history:
        solver.solve(epoch.number)
        found = module(data.x, data.edge_index).argmax(1) == data.y
        assert epoch.figure == float(found[right].double().mean())


@pytest.mark.parametrize("kind", ["binary", "numbers"])
@pytest.mark.parametrize("gaps", [False, True])
def test_other_targets_are_fitted_too(kind, gaps):
    data = communities()
    y = data.y.double()
    data.y = torch.stack((y % 2, 1 - y % 2), 1) if kind == "binary" else torch.stack((3 * y + 5, -y), 1)
    if gaps:
        data.y[::7, 1] = torch.nan
    figure = train(data, recipe("view-ridge"), device="cpu").record.metric.mean
    assert figure > 0.9 if kind == "binary" else figure < 1.0


def test_directed_graphs_are_taken_as_they_are(tmp_path):
    data = communities()
    data.edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    outcome = train(data, recipe("view-ridge"), device="cpu", run_dir=tmp_path)
    assert outcome.warnings == ()
    assert load_run(tmp_path).evaluate(data, device="cpu").figures == outcome.record.metric.values
