"""Training on sets of graphs: mini-batches, and what the set asks to be measured."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit import _checks
from graphkit._torch_internals import joined_graphs
from graphkit.data import GraphSet, Split
from graphkit.data.fingerprint import tensors_sha256
from graphkit.data.graphset import graphs_sha256
from graphkit.nn.graph_models import GraphBatch
from graphkit.training.classification.classification_trainer import microbatch_slots, take_turns
from graphkit.training.classification.targets import SupervisedObjective, require_labels, target_labels
from graphkit.training.classification.tasks import (
    AbstractTask,
    LabelledItems,
    kind_of,
    objective_of,
    require_plain_edges,
)
from graphkit.training.engine.distributed import ALONE, JobError, World, rng_seed
from graphkit.training.engine.records import DatasetFacts, Protocol, class_total, split_name, splits_sha256

if TYPE_CHECKING:
    from graphkit.training.zoo.recipes import Recipe

AT_ONCE = 1024
"""Graphs in a batch where nothing is learnt."""

LEAST = 2
"""Graphs of a share: a single one has no spread that a batch norm could divide by."""


@dataclass(frozen=True)
class GraphTask(AbstractTask):
    """Graphs of a set, in mini-batches.

    A batch is taken in ``microbatches``, each with a dropout of its own, by the processes in turns. Batch norms see
    one at a time, and so do not depend on the number of processes (:class:`RunningStatistics`). What is measured, each
    process measures a portion of.

    Args:
        graphs: all graphs.
        graph: what the architecture is told: whether nodes and edges are OGB's atoms and bonds, and how many features
            of other edges it is given.
        train: the graphs the loss is taken over.
        validation: the graphs the selection looks at.
        objective: what is minimised and what is measured.
        dtype: of features.
        microbatches: parts of a batch.
        world: the processes that train the model together.
    """

    graphs: GraphSet
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective
    dtype: torch.dtype = torch.float32
    microbatches: int = 1
    world: World = ALONE

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.graphs.num_features

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the model's outputs for the graphs ``index``, all together while training, else in portions."""
        if torch.is_grad_enabled():
            return model(self._batch(index))
        portions = index.split(AT_ONCE)
        if self.world.count == 1:
            return self.map_graphs(model, index)
        # The same portions as in one process: sums of other ones would differ in the last bit.
        result = torch.zeros(len(index), self.outputs, dtype=self.dtype, device=index.device)
        rows = torch.arange(len(index), device=index.device).split(AT_ONCE)
        for number in range(self.world.rank, len(portions), self.world.count):
            result[rows[number]] = model(self._batch(portions[number])).to(self.dtype)
        return self.world.total(result)

    def map_graphs(self, function: Callable[[GraphBatch], Tensor], index: Tensor) -> Tensor:
        """Return the rows that a function of graphs side by side has for the graphs ``index``, in portions."""
        return torch.cat([function(self._batch(portion)) for portion in index.split(AT_ONCE)])

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training graphs in a drawn order; a last batch of a single graph is left out: it has no spread.

        Batches are the same for any number of microbatches and processes. A last one that is too small for as many
        microbatches of two graphs has fewer; a process that has none then takes two graphs, of no share.
        """
        rows = self.train
        order = torch.randperm(len(rows.y)).to(rows.index.device)
        steps = [step for step in order.split(size or len(order)) if len(step) > 1 or len(order) == 1]
        if self.microbatches == 1:
            yield from (LabelledItems(rows.index[step], rows.y[step]) for step in steps)
            return
        epoch = int(torch.randint(2**62, ()))
        for number, step in enumerate(steps):
            parts = step.tensor_split(max(min(self.microbatches, len(step) // LEAST), 1))
            for place, part in microbatch_slots(take_turns(parts, self.world), len(step), number * self.microbatches):
                taken = part if len(part) else step[:LEAST]
                index = rows.index[taken]
                logits = functools.partial(self._of_share, index=index, key=epoch + place.number)
                yield LabelledItems(index, rows.y[taken], logits, place.share, place.first, place.last)

    def _of_share(self, model: Callable[..., Tensor], *, index: Tensor, key: int) -> Tensor:
        """Return the logits of the graphs of a share; ``key`` decides dropout, whoever takes it."""
        with rng_seed(key, index.device):
            return model(self._batch(index))

    def _batch(self, index: Tensor) -> GraphBatch:
        batch = self.graphs.batch(index)
        device, (molecules, edge_channels) = index.device, self.graph
        x = batch.x.to(device) if molecules else batch.x.to(device, self.dtype)
        bonds = batch.edge_attr.to(device) if molecules else None
        if edge_channels:
            bonds = batch.edge_attr.to(device, self.dtype).reshape(-1, edge_channels)
        return GraphBatch(x, batch.edge_index.to(device), bonds, batch.batch.to(device), len(index))


def prepare_graphs(
    graphs: GraphSet,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype,
    split: Split | None = None,
    *,
    world: World = ALONE,
    metric: str | None = None,
) -> tuple[GraphTask, LabelledItems]:
    """Return the task and, apart from it, the graphs to test on, which may be none where ``split`` has none.

    Args:
        graphs: a set with labels and a split.
        recipe: for graphs.
        device: where batches and labels go.
        dtype: of features.
        split: in place of the set's own.
        world: the processes that train the model together.
        metric: the figure to select and report by; by default the card's, or that of the kind of labels.

    Raises:
        ValueError: for a recipe that is not for graphs, or not for these, takes them one by one or has more
            microbatches than a batch has pairs of graphs, a set without a split that leaves something to train on and
            to select by, labels of no kind (:func:`.targets.target_kind`), and a figure that does not fit them.
    """
    if recipe.model.items != "graphs":
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are graphs; "
            "take one of `recipe(name, items='graphs')`."
        )
    if recipe.fan_out:
        raise ValueError("`fan_out` is of the nodes of one graph; graphs of a set are whole in every batch.")
    card = graphs.card
    if recipe.model.molecules and not (card and card.molecules):
        raise ValueError(
            f"the recipe {recipe.name!r}, as it is set, looks at OGB's atoms and bonds, and these graphs are no "
            "molecules; `graphkit data import --smiles` makes some."
        )
    split = split or graphs.split
    if split is None:
        raise ValueError("`data` has no split; `GraphSet.with_split` gives it one.")
    kind = kind_of(graphs)
    y = target_labels(graphs.items.y, kind)
    train, validation, test = (_rows(y, mask, device) for mask in (split.train, split.val, split.test))
    for name, rows in (("train", train), ("val", validation), ("test", test)):
        if not len(rows.y) and name != "test":
            raise ValueError(f"`{name}` of the split is empty; choose another split.")
        if len(rows.y):
            require_labels(rows.y, name)
    classes = _checks.class_count("y", y, card.classes if card else 0) if kind == "classes" else 0
    objective = objective_of(card, [train.y, validation.y, test.y], kind=kind, classes=classes, metric=metric)
    if recipe.batch == 1 and len(train.y) > 1:
        raise ValueError(
            "`batch` must be 0 or at least 2 for graphs: a single one has no spread to normalise by, got 1."
        )
    batch = min(recipe.batch or len(train.y), len(train.y))
    if recipe.microbatches > (most := max(batch // LEAST, 1)):
        raise JobError(
            f"`microbatches` ({recipe.microbatches}) must be at most {most}: each takes {LEAST} graphs of a batch "
            f"({batch})."
        )
    there, microbatches = graphs.to(device), recipe.microbatches
    told = (card.molecules if card else False, _edge_channels(graphs, recipe))
    return GraphTask(there, told, train, validation, objective, dtype, microbatches, world), test


def _edge_channels(graphs: GraphSet, recipe: Recipe) -> int:
    """Return how many features of edges the model is given: those of own graphs, where it can use them.

    Bonds of molecules are looked up instead; and those of a published set are left out, as its figures are without.
    """
    require_plain_edges(graphs, "edge_attr")
    attr = joined_graphs(graphs).get("edge_attr")
    known = graphs.card is not None and (graphs.card.published or graphs.card.molecules)
    if attr is None or known or not recipe.model.edge_features:
        return 0
    return 1 if attr.dim() == 1 else attr.size(1)


def _rows(y: Tensor, mask: Tensor, device: torch.device) -> LabelledItems:
    index = mask.nonzero().squeeze(-1)
    return LabelledItems(index.to(device), y[index].to(device))


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
        classes=card.classes if card else class_total(y),
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
