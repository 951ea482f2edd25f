"""Mini-batches of the links of one large graph: neighbours are drawn to train, and all are seen to measure."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.sampling.loaders import LinkNeighborLoader
from graphkit.data.splits.non_edges import pair_keys
from graphkit.nn.link_models import LinkBatch
from graphkit.operators.pair_scores import PairScores
from graphkit.training.classification.sampled_task import WHOLE_GRAPH_NORMS, Parts
from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.engine.distributed import ALONE, World, rng_seed
from graphkit.training.links.link_task import LinkTask

if TYPE_CHECKING:
    from graphkit.training.zoo.recipes import Recipe


@dataclass(frozen=True)
class SampledLinkTask(LinkTask):
    """Links of one graph, in mini-batches with neighbours drawn around them and around as many pairs that are none.

    A part of a batch does not see its own links; a layer that divides by degrees (GCN) takes those of what was drawn.
    What is measured is exact, as in :class:`.LinkTask`.

    Args:
        loader: draws the parts of batches; it is asked for a new order and new neighbours in each epoch.
        parts: says which links are in each part.
        around: finds common neighbours in the whole graph, for models that look at them.
    """

    loader: LinkNeighborLoader = dataclasses.field(kw_only=True)
    parts: Parts = dataclasses.field(kw_only=True)
    around: CommonNodes | None = None

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the links to learn from in a drawn order, each part of a batch with pairs that are none.

        The epoch's draws come from PyTorch's generator, whose state a checkpoint holds: any number of workers gives
        the same batches, and so does a run that was resumed.
        """
        self.parts.epoch = self.loader.link_sampler.epoch = int(torch.randint(2**62, ()))
        device, dtype = self.pairs.device, self.train.y.dtype
        for place, part in zip(self.parts.places(), self.loader, strict=True):
            weight = part.get("edge_weight")
            batch = LinkBatch(
                part.x.to(device),
                part.edge_index.to(device),
                None if weight is None else weight.to(device),
                part.edge_label_index.to(device),
                common=None if self.around is None else self.around.within(part),
            )
            y = part.edge_label.to(device, dtype)[:, None]
            key = self.parts.epoch + place.number
            yield LabelledItems(
                torch.arange(len(y), device=device),
                y,
                functools.partial(_of_part, batch=batch, key=key),
                share=place.share,
                first=place.first,
                last=place.last,
            )


class CommonNodes:
    """Common neighbours of pairs in a graph without the links of a batch.

    Args:
        edge_index: of the graph, ``[2, edges]``.
        nodes: how many.
        directed: whether a link has an order.
    """

    def __init__(self, edge_index: Tensor, nodes: int, *, directed: bool) -> None:
        self.scores, self.directed = PairScores(edge_index, nodes), directed

    def __call__(self, links: Tensor, pairs: Tensor) -> Tensor:
        """Return them, ``[found]``."""
        return self.find(links, pairs)[1]

    def find(self, links: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return of which pair each is, and which node, ``[found]`` twice."""
        of_pair, nodes = self.scores.common_nodes(pairs)
        away = self._keys(links)
        first, second = pairs[:, of_pair]
        hidden = torch.isin(self._keys(torch.stack([first, nodes])), away)
        hidden |= torch.isin(self._keys(torch.stack([nodes, second])), away)
        return of_pair[~hidden], nodes[~hidden]

    def within(self, part: Data) -> tuple[Tensor, Tensor]:
        """Return of which pair of a part each is, and where it stands among the nodes of the part."""
        pairs = part.n_id[part.edge_label_index]
        of_pair, nodes = self.find(pairs[:, part.edge_label == 1], pairs)
        order = part.n_id.argsort()
        return of_pair, order[torch.searchsorted(part.n_id[order], nodes)]

    def _keys(self, pairs: Tensor) -> Tensor:
        return pair_keys(pairs, self.scores.num_nodes, directed=self.directed)


def _of_part(model: Callable[..., Tensor], *, batch: LinkBatch, key: int) -> Tensor:
    """Return the scores of the pairs of a part; ``key`` decides dropout, wherever the part is taken."""
    with rng_seed(key, batch.edge_index.device):
        return model(batch)


def sampled_links(task: LinkTask, recipe: Recipe, *, workers: int = 0, world: World = ALONE) -> SampledLinkTask:
    """Return the task with mini-batches as the recipe's ``fan_out`` and ``batch`` ask for them.

    Args:
        task: links of one graph.
        recipe: with a ``fan_out``.
        workers: processes that draw ahead; the result does not depend on their number.
        world: the processes that train the model together.

    Raises:
        ValueError: where the model needs the whole graph, or the hops are not as many as its layers.
    """
    model: Any = task.model
    if not model.sampled:
        raise ValueError(f"`fan_out`: the model {recipe.name!r} needs its graph whole; take sage-link.")
    if len(recipe.fan_outs) != model.layers:
        raise ValueError(
            f"`fan_out` must name one number for each of the {model.layers} layers, got {len(recipe.fan_outs)}."
        )
    if model.norm in WHOLE_GRAPH_NORMS:
        raise ValueError("`fan_out` goes with the norms 'none', 'batch' and 'layer'.")
    assert task.x is not None
    x = task.x if isinstance(task.x, Tensor) else task.x.to_dense()
    seen = Data(x=x.cpu(), edge_index=task.seen.edge_index.cpu(), num_nodes=task.split.num_nodes)
    if task.seen.get("edge_weight") is not None and model.edge_weights == "used":
        seen.edge_weight = task.seen.edge_weight.cpu()
    links = task.split.train
    many = links.size(1)
    parts = Parts(many, recipe.batch or many, recipe.microbatches, world)
    around = None
    if model.common and model.decoder == "hadamard":
        around = CommonNodes(task.seen.edge_index, task.split.num_nodes, directed=task.split.directed)
    loader = LinkNeighborLoader(
        seen,
        recipe.fan_outs,
        edge_label_index=links,
        non_edges=task.sampler,
        hide="edge" if task.split.directed else "both",
        sampler={"further": around},
        loader={"batch_sampler": parts, "num_workers": workers},
    )
    fields = {each.name: getattr(task, each.name) for each in dataclasses.fields(LinkTask)}
    return SampledLinkTask(**{**fields, "x": x}, loader=loader, parts=parts, around=around)
