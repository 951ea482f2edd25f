"""What a run may see: signals in portions, a split for each seed, and nothing of the items tested on."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphkit.data import Split
from graphkit.meta import ClassSplit
from graphkit.meta import FewShotProtocol as FewShot
from graphkit.training import NodeTask, SignalTask, recipe, train
from graphkit.training.classification.tasks import prepare
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.fewshot import study_of_classes
from graphkit.training.zoo import AbstractArchitecture
from graphkit.training.zoo.recipes import RECIPES, Recipe

CPU = torch.device("cpu")


@pytest.fixture
def signals() -> Data:
    """Sixty signals on a path of five nodes: of class 1 are those that rise along it."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    slope = (2.0 * y - 1.0)[:, None] * torch.linspace(-1, 1, 5)
    drawn = slope + 0.3 * torch.randn(60, 5, generator=generator)
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    part = torch.arange(60) // 2 % 3
    masks = {name: part == number for number, name in enumerate(("train_mask", "val_mask", "test_mask"))}
    return Data(edge_index=torch.cat([path, path.flip(0)], 1), num_nodes=5, signals=drawn[..., None], y=y, **masks)


class Flat(AbstractArchitecture):
    """A linear map of a signal's values: the least that a model of signals can be."""

    edge_weights = "ignored"
    items = "signals"

    def options(self):
        return {}

    def graph(self, edge_index, edge_weight, num_nodes):
        return (num_nodes,)

    def module(self, in_channels, out_channels, graph):
        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first = nn.Linear(graph[0] * in_channels, out_channels)
                self.shapes = []

            def forward(self, x, num_nodes):
                self.shapes.append(tuple(x.shape))
                return self.first(x.flatten(1))

        return Model()

    def groups(self, module):
        return [{"params": [module.first.bias], "lr": 0.5, "weight_decay": 0.25}]


def flat(**fields) -> Recipe:
    return Recipe(model=Flat(), name="flat", epochs=30, **fields)


def test_signals_have_one_view(signals):
    with pytest.raises(ValueError, match="`views` must be 1"):
        train(signals, flat(views=2), seeds=[0], device="cpu")


def test_signals_are_items_and_are_learnt(signals):
    outcome = train(signals, flat(lr=0.05), seeds=[0, 1], device="cpu")
    assert outcome.record.metric.mean > 0.9
    assert outcome.record.dataset.signals == 60
    assert outcome.record.protocol.setting == "inductive"
    assert (outcome.record.protocol.train, outcome.record.protocol.test) == (20, 20)


def test_a_step_sees_a_portion_of_the_training_signals_and_an_epoch_all_of_them(signals):
    task, _ = prepare(signals, flat(), CPU, torch.float32)
    assert isinstance(task, SignalTask)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        portions = list(task.batches(8))
    assert [len(rows.y) for rows in portions] == [8, 8, 4]
    seen = torch.cat([rows.index for rows in portions])
    assert seen.sort().values.tolist() == task.train.index.tolist()
    assert seen.tolist() != task.train.index.tolist()
    for rows in portions:
        assert torch.equal(rows.y, signals.y[rows.index])


def test_nodes_are_always_all_together(data):
    with pytest.raises(ValueError, match="`batch` decides nothing in the recipe 'gcn': without `fan_out`"):
        recipe("gcn", {"batch": 8})
    task, _ = prepare(data, recipe("gcn"), CPU, torch.float32)
    assert isinstance(task, NodeTask)
    assert [len(rows.y) for rows in task.batches(8)] == [30]


def test_parameters_with_rates_of_their_own_are_in_no_other_group(signals):
    chosen = flat(l2_on="all", l2=0.125)
    module = chosen.module(1, 2, (5,))
    decayed, own = chosen.parameter_groups(module)
    assert [p is module.first.weight for p in decayed["params"]] == [True]
    assert decayed["weight_decay"] == 0.125
    assert (own["lr"], own["weight_decay"]) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": torch.zeros(60, 4, 1)}, r"`signals` must be \[60, 5, features\]"),
        ({"signals": torch.full((60, 5, 1), torch.nan)}, "`signals` must be finite"),
        ({"y": torch.zeros(59, dtype=torch.long)}, "one signal per label"),
    ],
)
def test_unsound_signals_are_refused(signals, change, message):
    signals.update(change)
    with pytest.raises(ValueError, match=message):
        prepare(signals, flat(), CPU, torch.float32)


def _splits(count: int) -> list[Split]:
    """Return splits of 90 nodes that differ: the parts change places."""
    part = torch.arange(90) // 3 % 3
    return [Split(*((part + turn) % 3 == want for want in range(3)), "turned", {"turn": turn}) for turn in range(count)]


def test_each_seed_has_its_own_split_and_the_record_names_them_all(data):
    chosen = recipe("gcn", {"epochs": 10})
    together = train(data, chosen, seeds=[3, 4], splits=_splits(2), device="cpu")
    alone = [
        train(split.apply(data), chosen, seeds=[seed], device="cpu")
        for seed, split in zip([3, 4], _splits(2), strict=True)
    ]
    assert together.record.metric.values == tuple(each.record.metric.values[0] for each in alone)
    assert together.record.protocol.split == "turned(turn=0|1)"
    assert together.record.protocol.fingerprint not in {each.record.protocol.fingerprint for each in alone}


def test_as_many_splits_as_seeds_are_needed(data):
    with pytest.raises(ValueError, match=r"one split per seed \(3\), got 2"):
        train(data, recipe("gcn"), seeds=[0, 1, 2], splits=_splits(2), device="cpu")


WEIGHTED = [name for name, made in RECIPES.items() if made.model.edge_weights == "used"]


@pytest.mark.parametrize("model", WEIGHTED)
def test_weights_below_zero_are_named_before_anything_is_learnt(data, model):
    data.edge_weight = torch.ones(data.num_edges)
    data.edge_weight[3] = -0.5
    with pytest.raises(ValueError, match=r"`edge_weight` must be 0 or above, got -0\.5"):
        train(data, recipe(model, {"epochs": 1}), device="cpu")


def test_weights_below_zero_are_refused_by_embeddings_and_few_shot_tasks_too(data):
    data.edge_weight = -torch.ones(data.num_edges)
    with pytest.raises(ValueError, match="`edge_weight` must be 0 or above, got -1"):
        embed(data, embedding_recipe("prototype", {"epochs": 1}), device="cpu")
    with pytest.raises(ValueError, match="`edge_weight` must be 0 or above, got -1"):
        study_of_classes(data, [ClassSplit((0,), (1,), (2,))], FewShot(n_way=2, k_shot=1, n_query=1))
