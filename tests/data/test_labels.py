"""Labels at every door that takes them: other numbers for the same classes, and numbers that are left out."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

import graphkit.metric
from graphkit.data import ClassBatches, GraphSet, NestedFolds, Split, import_graph, load, open_stored, partition, store
from graphkit.data.splits import PROTOCOLS, FileMasks, Public, Scaffold, SplitProtocol
from graphkit.data.validation import class_count
from graphkit.meta import ClassSplit, FewShotProtocol, Nodes, Rows, TaskSet
from graphkit.training import nested_cross_validation, recipe, train
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.fewshot import study_of_classes, study_of_graphs

GAPS = [(0, 100, 200), (0, 10**12, 2 * 10**12), (1, 2, 3), (0, 1, 3)]
"""Three classes each, numbered as no model's outputs are."""


def spread(y: Tensor, names: tuple[int, ...]) -> Tensor:
    """Return labels 0, 1, 2 by other names; -1 stays."""
    return torch.where(y >= 0, torch.tensor(names)[y.clamp(min=0)], y)


def graph(y: Tensor) -> Data:
    """A ring of nodes with these labels, a third of each class in each mask."""
    nodes = len(y)
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    part = torch.arange(nodes) // 3 % 3
    masks = {f"{name}_mask": part == number for number, name in enumerate(("train", "val", "test"))}
    x = torch.rand(nodes, 4, generator=torch.Generator().manual_seed(0))
    return Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], dim=1), y=y, **masks)


def several(y: Tensor) -> GraphSet:
    """Rings of four nodes with these labels."""
    many = len(y)
    ring = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]).repeat(1, many)
    x = torch.rand(4 * many, 3, generator=torch.Generator().manual_seed(0))
    four, part = torch.full((many,), 4), torch.arange(many) // 3 % 3
    made = GraphSet(Data(x=x, edge_index=ring, y=y), nodes=four, edges=four)
    return made.with_split(Split(*(part == number for number in range(3))))


LABELS = torch.arange(90) % 3
DRAWN = [each for each in PROTOCOLS.values() if each not in (Public, FileMasks, Scaffold)]
SMALL = {"random-per-class": (3, 3), "random-planetoid": (3, 9, 9)}


@pytest.mark.parametrize("names", GAPS)
@pytest.mark.parametrize("protocol", DRAWN, ids=[each.name for each in DRAWN])
def test_a_split_goes_by_the_classes_that_are_there_whatever_their_numbers(protocol: type[SplitProtocol], names):
    rule, y = protocol(*SMALL.get(protocol.name, ())), LABELS.clone()
    y[::7] = -1
    ours, theirs = (rule(graph(labels), torch.Generator().manual_seed(1)) for labels in (spread(y, names), y))
    assert ours.fingerprint == theirs.fingerprint


@pytest.mark.parametrize("names", GAPS)
def test_nested_folds_and_batches_go_by_the_classes_that_are_there(names):
    folds = [
        NestedFolds(3, 2).splits(Data(y=y), torch.Generator().manual_seed(0)) for y in (LABELS, spread(LABELS, names))
    ]
    assert NestedFolds().fingerprint(folds[0]) == NestedFolds().fingerprint(folds[1])
    batches = [
        list(ClassBatches(y, ways=2, shots=3, batches=4, generator=torch.Generator().manual_seed(0)))
        for y in (LABELS, spread(LABELS, names))
    ]
    assert batches[0] == batches[1]


@pytest.mark.parametrize("names", GAPS)
def test_tasks_are_drawn_by_classes_of_any_numbers(names):
    protocol, y = FewShotProtocol(n_way=2, k_shot=2, n_query=3, n_tasks=5), spread(LABELS, names)
    data = graph(y)
    for items in (Rows(data.x, y), Nodes(data.x, data.edge_index, y)):
        tasks = TaskSet.draw(items, sorted(names), protocol)
        assert torch.equal(tasks.chosen, TaskSet.draw(Rows(data.x, LABELS), range(3), protocol).chosen)
        assert set(tasks.classes.flatten().tolist()) <= set(names)


@pytest.mark.parametrize("names", GAPS)
def test_few_shot_studies_take_classes_of_any_numbers(names):
    protocol = FewShotProtocol(n_way=2, k_shot=1, n_query=2, n_tasks=2)
    y = torch.arange(90) % 6
    six = torch.cat([torch.tensor(names), max(names) + 1 + torch.arange(3)])
    split = ClassSplit(*(tuple(six.view(3, 2)[part].tolist()) for part in range(3)))
    study_of_classes(graph(six[y]), [split], protocol)
    study_of_graphs(several(six[y]), [split], protocol)


Z = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))


def measured(name: str, y: Tensor) -> str | None:
    """Return what a name of the room of metrics says of embeddings and labels; nothing where it takes no such two."""
    made = getattr(graphkit.metric, name)
    try:
        found = (made() if inspect.isclass(made) else made)(Z, y)
    except (TypeError, ValueError, AttributeError):
        return None
    return str(found.tolist() if isinstance(found, Tensor) else found)


OTHERS = {"class_prototypes": "names the classes", "DistanceWeightedMiner": "draws at random"}


@pytest.mark.parametrize("name", sorted(set(graphkit.metric.__all__) - set(OTHERS)))
def test_losses_miners_and_figures_take_classes_of_any_numbers(name):
    assert {measured(name, spread(LABELS, names)) for names in GAPS[:2]} == {measured(name, LABELS)}


def signals(y: Tensor) -> Data:
    """Signals on a path of three nodes."""
    masks = {name: mask for name, mask in graph(y) if name.endswith("mask")}
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    return Data(signals=torch.rand(len(y), 3, 1), edge_index=path, num_nodes=3, y=y, **masks)


NODES = recipe("gcn", {"epochs": 1})
SETS = recipe("gin", {"epochs": 1}, items="graphs")
ONE = {"epochs": 1}
DOORS = {
    "class_count": lambda y, home: class_count(graph(y)),
    "train nodes": lambda y, home: train(graph(y), NODES),
    "train sampled": lambda y, home: train(graph(y), NODES.with_({"fan_out": "2,2", "batch": 30})),
    "train graphs": lambda y, home: train(several(y), SETS),
    "train signals": lambda y, home: train(signals(y), recipe("cheb", ONE, items="signals")),
    "nested": lambda y, home: nested_cross_validation(several(y), SETS, folds=2),
    "embed nodes": lambda y, home: embed(graph(y), embedding_recipe("prototype", ONE)),
    "embed graphs": lambda y, home: embed(several(y), embedding_recipe("prototype", ONE)),
    "embed a union": lambda y, home: embed({"a": graph(y), "b": graph(y)}, embedding_recipe("prototype", ONE)),
    "store": lambda y, home: store(graph(y), home / "stored"),
    "partition": lambda y, home: partition(graph(y), home / "parts", parts=2, by="random"),
}
"""What makes a model's outputs of the numbers of classes, or keeps them for what does."""


@pytest.mark.parametrize("names", GAPS)
def test_an_import_numbers_them_anew_and_keeps_their_names(names, tmp_path):
    y = torch.tensor(names).repeat(4)
    np.save(tmp_path / "y.npy", y.numpy())
    np.save(tmp_path / "edges.npy", graph(y).edge_index.numpy())
    import_graph(tmp_path / "edges.npy", tmp_path / "imported", labels=tmp_path / "y.npy")
    data = open_stored(tmp_path / "imported")
    assert [int(data.class_names[label]) for label in data.y] == y.tolist()


@pytest.mark.parametrize("names", GAPS)
@pytest.mark.parametrize("door", DOORS)
def test_numbers_that_are_left_out_are_refused_at_every_door_with_the_way_out(door, names, tmp_path):
    y = spread(LABELS, names)
    with pytest.raises(ValueError, match=r"number its classes from 0 without a gap, but the largest of 3 different"):
        DOORS[door](y, tmp_path)
    left = {path.name for path in tmp_path.iterdir()} - {"y.npy", "edges.npy"}
    assert not left, "nothing stays of what was refused"


@pytest.mark.parametrize("door", [door for door in DOORS if door != "nested"])  # which takes half a minute
def test_labels_without_a_gap_pass_the_same_doors(door, tmp_path):
    DOORS[door](torch.unique(spread(LABELS, GAPS[0]), return_inverse=True)[1], tmp_path)


def test_a_class_may_be_missing_where_a_card_or_a_manifest_counts_them(tmp_path):
    data = load("karate")
    data.y[data.y == 1] = 2
    for name in ("train_mask", "val_mask", "test_mask"):
        data[name] = graph(data.y)[name]
    assert class_count(data) == 4
    assert train(data, NODES).record.dataset.classes == 4
    store(data, tmp_path / "karate")
    assert class_count(open_stored(tmp_path / "karate")) == 4


def test_items_without_a_label_are_no_class(tmp_path):
    y = LABELS.clone()
    y[graph(y).test_mask.nonzero()[0]] = -1
    assert class_count(graph(y)) == 3
    with pytest.raises(ValueError, match="`y` must be 0 or above on the items of `test_mask`, found -1"):
        train(graph(y), NODES)
    with pytest.raises(ValueError, match="`y` must be 0 or above on the items of `test`, found -1"):
        train(several(y), SETS)
    none = torch.full_like(y, -1)
    for protocol in DRAWN:
        with pytest.raises(ValueError, match="label"):
            protocol(*SMALL.get(protocol.name, ()))(graph(none))
