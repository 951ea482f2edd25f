"""A graph in parts as a task: each process trains on batches of the whole graph and measures its own nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.catalog.cards import card
from graphkit.data.distributed.partitioned_stores import Part, PartitionedFeatures, PartitionedGraph
from graphkit.data.distributed.partitions import Partitions
from graphkit.data.distributed.row_exchange import RowExchange
from graphkit.nn.inference import layerwise
from graphkit.training.classification.targets import SupervisedObjective
from graphkit.training.classification.tasks import (
    AbstractTask,
    LabelledItems,
    objective_of,
    scale_rows,
)
from graphkit.training.engine.records import EDGES, DatasetFacts, Protocol, split_name

if TYPE_CHECKING:
    from graphkit.training.engine.distributed import World
    from graphkit.training.zoo.recipes import Recipe


@dataclass(frozen=True)
class PartTask(AbstractTask):
    """Nodes of one graph, of which this process holds a part.

    Args:
        part: this process's part.
        x: features of its nodes ``[own, features]``.
        edge_index: edges into its nodes, those numbered from 0 and the nodes around after them.
        around: puts after a table of its nodes the rows of those around.
        train: the nodes the loss is taken over, of all parts.
        validation: the nodes the selection looks at, of all parts.
        objective: what is minimised and what is measured.
    """

    part: Part
    x: Tensor
    edge_index: Tensor
    around: Callable[[Tensor], Tensor]
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective

    @property
    def graph(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What the model takes after ``x``."""
        return (self.edge_index,)

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.x.size(1)

    def logits(self, model: Any, index: Tensor) -> Tensor:
        """Return the exact logits of some nodes, the same in all processes, each of which takes its own nodes."""
        own = layerwise(model, self.x, self.edge_index, halo=self.around)
        return self.part.row_fetch(index)(own)

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Refuse: a part is trained on in batches that are drawn."""
        raise ValueError("a graph in parts is trained on in batches: ask for it with `--sampled`.")


def prepare_part(
    partitions: Partitions,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype,
    world: World,
    metric: str | None = None,
) -> tuple[PartTask, LabelledItems, tuple[PartitionedFeatures, PartitionedGraph]]:
    """Return the task of this process, the test nodes apart from it, and the stores that batches are drawn from.

    Of labels the stores hold those of training nodes only.

    Args:
        partitions: as many parts as processes.
        recipe: with a ``fan_out``.
        device: where everything goes.
        dtype: of features.
        world: the processes that train the model together.
        metric: the figure to select and report by.

    Raises:
        ValueError: for a recipe without batches, or another number of processes than parts.
        DataError: for a part that is missing or damaged.
    """
    recipe = recipe.resolve(partitions.feature_sum)
    if not recipe.fan_out:
        raise ValueError("`partitions`: a graph in parts is trained on in batches: ask for it with `--sampled`.")
    part = Part(partitions, RowExchange(world.rank, world.count))
    graph = PartitionedGraph(part)
    x, y = (torch.from_numpy(part.array(name)) for name in ("x", "y"))
    x = scale_rows(x.to(dtype), recipe.row_normalise)
    train, validation, test = (_rows(part, name, y.long(), device) for name in ("train", "val", "test"))
    own, near = graph.local_edges()
    fetch = part.row_fetch(near)
    known = card(partitions.about["card"]) if partitions.about["card"] else None
    labels = [rows.y for rows in (train, validation, test)]
    task = PartTask(
        part,
        x.to(device),
        own.to(device),
        lambda table: torch.cat([table, fetch(table)]),
        train,
        validation,
        objective_of(known, labels, kind="classes", classes=partitions.classes, metric=metric),
    )
    seen = torch.from_numpy(part.own)
    seen_labels = torch.where(torch.isin(seen, train.index.cpu()), y.long(), 0)
    kept = near if partitions.keep_halo else None
    return task, test, (PartitionedFeatures(part, tensors={"x": x, "y": seen_labels}, halo=kept), graph)


def part_records(partitions: Partitions, selection: str, metric: str) -> tuple[DatasetFacts, Protocol]:
    """Return what the record of a run says of the data and the protocol: what it says of the whole graph."""
    about = partitions.about
    facts = DatasetFacts(
        name=about["name"],
        sha256=about["sha256"],
        nodes=partitions.nodes,
        edges=partitions.edges,
        features=partitions.features,
        classes=partitions.classes,
    )
    train, validation, test = (len(partitions.array(name, mapped=True)) for name in ("train", "val", "test"))
    return facts, Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name([about["split"]]) if about["split"] else "given masks",
        split_sha256=about["split_sha256"],
        train=train,
        validation=validation,
        test=test,
        selection=selection,
        metric=metric,
        edges=EDGES[about.get("undirected", False)],
    )


def _rows(part: Part, name: str, y: Tensor, device: torch.device) -> LabelledItems:
    """Return the nodes of one mask and their labels, which those that hold them tell all."""
    index = torch.from_numpy(part.partitions.array(name))
    if not len(index):
        raise ValueError(f"`{name}` is empty; choose another split.")
    labels = part.row_fetch(index)(y)
    return LabelledItems(index.to(device), labels.to(device))
