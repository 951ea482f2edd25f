"""Training on sets of graphs: mini-batches, and what the set asks to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data import GraphSet, Split
from graphkit.data.content import graphs_sha256, tensors_sha256
from graphkit.nn.graphs import GraphBatch
from graphkit.training.objectives import (
    AbstractObjective,
    Accuracy,
    OfficialDistance,
    OfficialPrecision,
    OfficialRanking,
)
from graphkit.training.protocol import DatasetFacts, Protocol, split_name, splits_sha256
from graphkit.training.tasks import AbstractTask, Rows

if TYPE_CHECKING:
    from graphkit.training.recipes import Recipe

AT_ONCE = 1024
"""Graphs in a batch where nothing is learnt."""


@dataclass(frozen=True)
class GraphTask(AbstractTask):
    """Graphs of a set, in mini-batches.

    Args:
        graphs: all graphs.
        graph: what the architecture is told: whether nodes and edges are OGB's atoms and bonds.
        train: the graphs the loss is taken over.
        validation: the graphs the selection looks at.
        classes: number of outputs.
        objective: what is minimised and what is measured.
        dtype: of features.
    """

    graphs: GraphSet
    graph: tuple[Any, ...]
    train: Rows
    validation: Rows
    classes: int
    objective: AbstractObjective
    dtype: torch.dtype = torch.float32

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.graphs.num_features

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the model's outputs for the graphs ``index``, all together while training, else in portions."""
        if torch.is_grad_enabled():
            return model(self._batch(index))
        return torch.cat([model(self._batch(part)) for part in index.split(AT_ONCE)])

    def batches(self, size: int) -> Iterator[Rows]:
        """Yield the training graphs in a drawn order; a last batch of a single graph is left out: it has no spread."""
        rows = self.train
        order = torch.randperm(len(rows.y)).to(rows.index.device)
        for part in order.split(size or len(order)):
            if len(part) > 1 or len(order) == 1:
                yield Rows(rows.index[part], rows.y[part])

    def _batch(self, index: Tensor) -> GraphBatch:
        batch = self.graphs.batch(index.cpu())
        device, molecules = index.device, self.graph[0]
        x = batch.x.to(device) if molecules else batch.x.to(device, self.dtype)
        bonds = batch.edge_attr.to(device) if molecules else None
        return GraphBatch(x, batch.edge_index.to(device), bonds, batch.batch.to(device), len(index))


def prepare_graphs(
    graphs: GraphSet, recipe: Recipe, device: torch.device, dtype: torch.dtype, split: Split | None = None
) -> tuple[GraphTask, Rows]:
    """Return the task and, apart from it, the graphs to test on, which may be none where ``split`` has none.

    Args:
        graphs: a set with labels and a split.
        recipe: for graphs.
        device: where batches and labels go.
        dtype: of features.
        split: in place of the set's own.

    Raises:
        ValueError: for a recipe that is not for graphs, or a set without labels or without a split that leaves
            something to train on and to select by.
    """
    if recipe.model.items != "graphs":
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are graphs; "
            "take one of `recipe(name, items='graphs')`."
        )
    if recipe.fan_out:
        raise ValueError("`fan_out` is of the nodes of one graph; graphs of a set are whole in every batch.")
    split = split or graphs.split
    if split is None:
        raise ValueError("`data` has no split; `GraphSet.divided` gives it one.")
    y = graphs.items.y
    objective, classes = _objective(graphs, y)
    y = y.reshape(-1).long() if isinstance(objective, Accuracy) else y.reshape(len(y), -1)
    train, validation, test = (_rows(y, mask, device) for mask in (split.train, split.val, split.test))
    for name, rows in (("train", train), ("val", validation)):
        if not len(rows.y):
            raise ValueError(f"`{name}` of the split is empty; choose another split.")
    known = graphs.card.name if graphs.card else ""
    return GraphTask(graphs, (known.startswith("ogbg-mol"),), train, validation, classes, objective, dtype), test


def _objective(graphs: GraphSet, y: Tensor) -> tuple[AbstractObjective, int]:
    """Return what the set's card asks for, and how many outputs a model for it has."""
    card = graphs.card
    if card is None or card.metric == "accuracy":
        return Accuracy(), int(y.max()) + 1
    tasks = y.size(1) if y.dim() == 2 else 1
    kinds: dict[str, Callable[[str], AbstractObjective]] = {
        "rocauc": OfficialRanking,
        "ap": OfficialPrecision,
        "rmse": OfficialDistance,
    }
    return kinds[card.metric](card.name), tasks


def _rows(y: Tensor, mask: Tensor, device: torch.device) -> Rows:
    index = mask.nonzero().squeeze(-1)
    return Rows(index.to(device), y[index].to(device))


def graph_facts(graphs: GraphSet) -> DatasetFacts:
    """Return the name on the card of a set, and the checksum and sizes of what it holds now."""
    card = graphs.card
    y = graphs.items.y
    return DatasetFacts(
        name=card.name if card else "unnamed",
        sha256=graphs_sha256(graphs),
        nodes=int(graphs.nodes.sum()),
        edges=int(graphs.edges.sum()),
        features=graphs.num_features,
        classes=card.classes if card else int(y.max()) + 1,
        graphs=len(graphs),
    )


def graph_protocol(splits: Sequence[Split], facts: DatasetFacts, selection: str, metric: str) -> Protocol:
    """Return the protocol of these splits, one or several, of a set of graphs."""
    digests = [tensors_sha256(split.masks) for split in splits]
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name([split.record() for split in splits]),
        split_sha256=splits_sha256(digests),
        train=int(splits[0].train.sum()),
        validation=int(splits[0].val.sum()),
        test=int(splits[0].test.sum()),
        setting="inductive",
        selection=selection,
        metric=metric,
        items="graphs",
    )
