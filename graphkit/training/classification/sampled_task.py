"""Mini-batches of the nodes of one large graph: neighbours are drawn to train, and all are seen to measure."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from graphkit.data.sampling.loaders import NeighborLoader
from graphkit.nn.inference import layerwise
from graphkit.training.classification.classification_trainer import MicrobatchSlot, microbatch_slots, take_turns
from graphkit.training.classification.partitioned_task import PartTask
from graphkit.training.classification.targets import SupervisedObjective
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, NodeTask
from graphkit.training.engine.distributed import ALONE, JobError, World, rng_seed
from graphkit.training.zoo.architecture import AbstractEdgeStack

if TYPE_CHECKING:
    from torch_geometric.data import Data, FeatureStore, GraphStore

    from graphkit.training.zoo.recipes import Recipe
WHOLE_GRAPH_NORMS = ("graph", "pair")


@dataclass(frozen=True)
class SampledTask(AbstractTask):
    """Nodes of one graph, in mini-batches with neighbours drawn around them.

    What is learnt of a batch is the loss of its own nodes, given those drawn around them. A layer that divides by
    degrees (GCN) takes those of the drawn part, so that its messages are a mean over what was drawn. What is measured
    is exact: all neighbours, layer by layer, with degrees of the whole graph.

    Args:
        whole: the task on the whole graph, or on a part that this process holds of it.
        loader: draws the parts of batches; it is asked for a new order and new neighbours in each epoch.
        parts: says which nodes are in each part.
    """

    whole: NodeTask | PartTask
    loader: NeighborLoader
    parts: Parts

    @property
    def graph(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What the model takes after ``x``."""
        return self.whole.graph

    @property
    def train(self) -> LabelledItems:  # type: ignore[override]
        """The nodes the loss is taken over."""
        return self.whole.train

    @property
    def validation(self) -> LabelledItems:  # type: ignore[override]
        """The nodes the selection looks at."""
        return self.whole.validation

    @property
    def objective(self) -> SupervisedObjective:  # type: ignore[override]
        """What is minimised and what is measured."""
        return self.whole.objective

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.whole.channels

    def logits(self, model: Any, index: Tensor) -> Tensor:
        """Return the exact logits of some nodes."""
        if isinstance(self.whole, PartTask):
            return self.whole.logits(model, index)
        return layerwise(model, self.whole.x, *self.graph, nodes=index)  # type: ignore[arg-type]  # dense

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training nodes in a drawn order, each batch with what its logits are taken from.

        The epoch's draws come from PyTorch's generator, whose state a checkpoint holds: any number of workers gives
        the same batches, and so does a run that was resumed.
        """
        self.parts.epoch = self.loader.node_sampler.epoch = int(torch.randint(2**62, ()))
        device = self.train.y.device
        for place, part in zip(self.parts.places(), self.loader, strict=True):
            graph = [part.edge_index.to(device)]
            if part.get("edge_weight") is not None:
                graph.append(part.edge_weight.to(device))
            seeds, key = part.batch_size, self.parts.epoch + place.number
            yield LabelledItems(
                part.n_id[:seeds].to(device),
                part.y[:seeds].to(device),
                functools.partial(_of_seeds, x=part.x.to(device), graph=graph, seeds=seeds, key=key),
                share=place.share,
                first=place.first,
                last=place.last,
            )


def _of_seeds(model: Callable[..., Tensor], *, x: Tensor, graph: list[Tensor], seeds: int, key: int) -> Tensor:
    """Return the logits of the nodes a part was drawn around; ``key`` decides dropout, wherever the part is taken."""
    with rng_seed(key, x.device):
        return model(x, *graph)[:seeds]


class Parts(Sampler[list[int]]):
    """The parts of an epoch's batches that one process takes: a function of the epoch, not of how many processes are.

    Batches are as even as can be, and none is larger than asked for; so are the parts of a batch, unless it is said
    whose its nodes are. A process that has none in a batch takes one node, of no share.

    Args:
        nodes: training nodes.
        size: largest batch.
        microbatches: parts of a batch.
        world: this process among those that take them in turns.
        owner: the process whose each training node is, ``[nodes]``, in place of even parts.
    """

    def __init__(self, nodes: int, size: int, microbatches: int, world: World, *, owner: Tensor | None = None) -> None:
        self.nodes, self.steps, self.owner = nodes, math.ceil(nodes / size), owner
        self.microbatches = microbatches if owner is None else world.count
        self.world, self.epoch = world, 0
        if owner is None and nodes // self.steps < microbatches:
            raise JobError(
                f"`microbatches` ({microbatches}) must be at most the items of a batch ({nodes // self.steps})."
            )

    def __len__(self) -> int:
        return self.steps * self.microbatches // self.world.count

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            for _, part in self._own_parts(step):
                yield part.tolist() or step[:1].tolist()

    def places(self) -> Iterator[MicrobatchSlot]:
        """Yield where each of the parts stands."""
        for number, step in enumerate(self._steps()):
            yield from (
                place for place, _ in microbatch_slots(self._own_parts(step), len(step), number * self.microbatches)
            )

    def _steps(self) -> tuple[Tensor, ...]:
        order = torch.randperm(self.nodes, generator=torch.Generator().manual_seed(self.epoch))
        return order.tensor_split(self.steps)

    def _own_parts(self, step: Tensor) -> list[tuple[int, Tensor]]:
        """Return the parts of a batch that are this process's, each with its number."""
        if self.owner is not None:
            return [(self.world.rank, step[self.owner[step] == self.world.rank])]
        return take_turns(step.tensor_split(self.microbatches), self.world)


def sampled_task(
    task: AbstractTask, data: Data, recipe: Recipe, *, workers: int = 0, world: World = ALONE
) -> SampledTask:
    """Return the task with mini-batches as the recipe's ``fan_out`` and ``batch`` ask for them.

    Args:
        task: nodes of one graph.
        data: that graph.
        recipe: with a ``fan_out``.
        workers: processes that draw ahead; the result does not depend on their number.
        world: the processes that train the model together.

    Raises:
        ValueError: where items are no nodes, the model needs the whole graph, the hops are not as many as the layers,
            or several views are asked for.
    """
    if not isinstance(task, NodeTask):
        raise ValueError(f"`fan_out`: the model {recipe.name!r} needs its graph whole; take gcn, sage, gat or gin.")
    _require(recipe)
    if recipe.home:
        raise ValueError("`home` is of a graph in parts: give them with `--partitions`.")
    x = task.x if isinstance(task.x, Tensor) else task.x.to_dense()
    whole = NodeTask(x, task.graph, task.train, task.validation, task.objective)
    labels = torch.zeros(x.size(0), *task.train.y.shape[1:], dtype=task.train.y.dtype)
    labels[task.train.index.cpu()] = task.train.y.cpu()
    seen = data.__class__(x=x.cpu(), edge_index=data.edge_index.cpu(), y=labels)
    if len(task.graph) > 1 and task.graph[1] is not None:
        seen.edge_weight = task.graph[1].cpu()
    return SampledTask(whole, *_loader_of(seen, task.train, recipe, workers, world))


def sampled_part_task(
    task: PartTask, stores: tuple[FeatureStore, GraphStore], recipe: Recipe, *, world: World
) -> SampledTask:
    """Return the task with the mini-batches that :func:`sampled_task` makes of the whole graph.

    Args:
        task: nodes of a graph in parts.
        stores: features and edges of all parts.
        recipe: with a ``fan_out``.
        world: the processes that train the model together, and draw in step.

    Raises:
        ValueError: as :func:`sampled_task`.
    """
    _require(recipe)
    owner = torch.from_numpy(task.part.owner[task.train.index.cpu().numpy()]) if recipe.home else None
    return SampledTask(task, *_loader_of(stores, task.train, recipe, 0, world, owner))


def _require(recipe: Recipe) -> None:
    """Refuse a recipe whose model cannot learn from a part of the graph."""
    model, many = recipe.model, len(recipe.fan_outs)
    if not isinstance(model, AbstractEdgeStack) or not model.sampled:
        raise ValueError(f"`fan_out`: the model {recipe.name!r} needs its graph whole; take gcn, sage, gat or gin.")
    if many != model.layers:
        raise ValueError(f"`fan_out` must name one number for each of the {model.layers} layers, got {many}.")
    if recipe.views != 1 or model.norm in WHOLE_GRAPH_NORMS:
        raise ValueError("`fan_out` goes with one view and with the norms 'none', 'batch' and 'layer'.")


def _loader_of(
    data: Any, train: LabelledItems, recipe: Recipe, workers: int, world: World, owner: Tensor | None = None
) -> tuple[NeighborLoader, Parts]:
    """Return what draws the batches of one process, and which nodes are in each."""
    many = len(train.y)
    parts = Parts(many, recipe.batch or many, recipe.microbatches, world, owner=owner)
    options = {"batch_sampler": parts, "num_workers": workers}
    return NeighborLoader(data, recipe.fan_outs, input_nodes=train.index.cpu(), loader=options), parts
