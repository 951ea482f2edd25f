"""Loaders: mini-batches of one large graph, drawn anew in every pass and the same with any number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NumNeighbors
from torch_geometric.utils import subgraph

from graphkit import _checks
from graphkit._kernels import neighbor_sampling
from graphkit.data.sampling.link_sampler import LinkSampler
from graphkit.data.sampling.neighbor_sampler import NeighborSampler
from graphkit.data.splits.non_edges import NonEdgeSampler


class EpochState(Protocol):
    """What is passed through again and again: ``seed`` of its draws, and ``epoch``, which pass it is."""

    seed: int
    epoch: int


class EpochSampler(Sampler[int]):
    """All numbers below ``length``, in an order that is a function of a seed and the pass, whatever the workers are.

    ``passing`` tells seed and pass: an object and no function, so that a loader can be sent to a worker.

    Example:
        >>> from types import SimpleNamespace
        >>> order = EpochSampler(SimpleNamespace(seed=0, epoch=1), length=4)
        >>> sorted(order), list(order) == list(order)
        ([0, 1, 2, 3], True)
    """

    def __init__(self, passing: EpochState, *, length: int = 0) -> None:
        self.passing, self.length = passing, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        key = int(neighbor_sampling.hop_key(np.uint64(self.passing.seed), self.passing.epoch))
        yield from torch.randperm(self.length, generator=torch.Generator().manual_seed(key >> 1)).tolist()


class NeighborLoader(NodeLoader):
    """PyG's ``NodeLoader`` over a ``NeighborSampler`` of this room, with new neighbours in every pass.

    Args:
        data: as for ``NeighborSampler``.
        num_neighbors: as for ``NeighborSampler``.
        input_nodes: the nodes to start from, ids or a mask; all by default.
        batch_size: nodes of a batch.
        shuffle: whether they come in another order in each pass.
        num_workers: processes that draw ahead.
        seed: of the draws, and of the order.
        sampler: further arguments of ``NeighborSampler``.
        loader: further arguments of PyG's ``NodeLoader`` and PyTorch's ``DataLoader``; they win.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.

    Example:
        >>> from graphkit.data import load
        >>> data = load("karate")
        >>> batches = NeighborLoader(data, [3, 3], input_nodes=data.train_mask, batch_size=2)
        >>> [batch.batch_size for batch in batches]
        [2, 2]
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        input_nodes: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        sampler: dict[str, Any] | None = None,
        loader: dict[str, Any] | None = None,
    ) -> None:
        node_sampler = NeighborSampler(data, num_neighbors, seed=seed, **(sampler or {}))
        plain = {"batch_size": batch_size, "shuffle": shuffle, "num_workers": num_workers}
        order, options = _with_epoch_sampler(plain, loader, node_sampler)
        super().__init__(data, node_sampler, input_nodes=input_nodes, **options)
        order.length = len(self.dataset)

    def __iter__(self) -> Iterator[Data]:
        self.node_sampler.epoch += 1
        return super().__iter__()


class LinkNeighborLoader(LinkLoader):
    """PyG's ``LinkLoader`` over a ``LinkSampler`` of this room, with new neighbours in every pass.

    Args:
        data: as for ``NeighborSampler``; all arguments that are not listed are as for ``NeighborLoader``.
        edge_label_index: the edges to start from, ``[2, links]``; all by default.
        edge_label: their labels ``[links]``.
        neg_sampling: PyG's ``NegativeSampling`` or its short forms; negative links are drawn with ``seed`` too, and
            edges may be among them.
        non_edges: draws pairs that are no edges in place of that, such as ``LinkSplit.sampler`` gives.
        hide: what a batch does not show: "none", its own links ("edge"), or their reverses too ("both").
        batch_size: links of a batch.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.

    Example:
        >>> from graphkit.data import RandomLinks, load
        >>> data = load("karate")
        >>> split = RandomLinks()(data, torch.Generator().manual_seed(0))
        >>> seen = split.message_data(data)
        >>> others = split.sampler(seen)
        >>> lawful = {"edge_label_index": split.train, "non_edges": others, "hide": "both"}
        >>> batch = next(iter(LinkNeighborLoader(seen, [5, 5], batch_size=8, **lawful)))
        >>> batch.edge_label_index.shape, int(batch.edge_label.sum())
        (torch.Size([2, 16]), 8)
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        edge_label_index: Any = None,
        edge_label: Tensor | None = None,
        neg_sampling: Any = None,
        non_edges: NonEdgeSampler | None = None,
        hide: Literal["none", "edge", "both"] = "none",
        batch_size: int = 1,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        sampler: dict[str, Any] | None = None,
        loader: dict[str, Any] | None = None,
    ) -> None:
        link_sampler = LinkSampler(data, num_neighbors, seed=seed, non_edges=non_edges, hide=hide, **(sampler or {}))
        links = {"edge_label_index": edge_label_index, "edge_label": edge_label, "neg_sampling": neg_sampling}
        plain = {"batch_size": batch_size, "shuffle": shuffle, "num_workers": num_workers}
        order, options = _with_epoch_sampler(plain, loader, link_sampler)
        super().__init__(data, link_sampler, **links, **options)
        order.length = len(self.dataset)

    def __iter__(self) -> Iterator[Data]:
        self.link_sampler.epoch += 1
        return super().__iter__()


def _with_epoch_sampler(
    options: dict[str, Any], loader: dict[str, Any] | None, drawn_by: NeighborSampler
) -> tuple[EpochSampler, dict[str, Any]]:
    """Return an order, and the arguments of a loader, with this order where they ask for a shuffled one."""
    order, options = EpochSampler(drawn_by), {**options, **(loader or {})}
    if options.pop("shuffle"):
        options["sampler"] = order
    return order, options


class ClusterLoader(DataLoader):
    """Batches of some clusters each, with all edges between their nodes: every node is in one batch of a pass.

    A batch has the fields of nodes and edges of its own, and ``n_id`` and ``e_id``, their places in ``data``. Which
    clusters meet is drawn anew in each pass: a function of ``seed`` and the pass.

    Args:
        data: a graph with ``edge_index``.
        part: the cluster of each node, ``[nodes]``, as :func:`metis_clusters` gives it.
        batch_size: clusters of a batch.
        shuffle: whether clusters are drawn in another order in each pass.
        num_workers: processes that cut batches out ahead; batches are the same with any number.
        seed: of these orders.
        loader: further arguments of PyTorch's ``DataLoader``.

    Raises:
        ValueError: where ``part`` has not one value per node, or ``batch_size`` is below 1.

    Source: Chiang et al. (2019), arXiv:1905.07953, section 3.2.

    Example:
        >>> from graphkit.data import load
        >>> data = load("karate")
        >>> batches = ClusterLoader(data, torch.arange(34) % 4, batch_size=2)
        >>> [batch.num_nodes for batch in batches]
        [18, 16]
    """

    def __init__(
        self,
        data: Data,
        part: Tensor,
        *,
        batch_size: int = 1,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        loader: dict[str, Any] | None = None,
    ) -> None:
        _checks.at_least("batch_size", batch_size, 1)
        _checks.at_least("seed", seed, 0)
        if part.dim() != 1 or len(part) != data.num_nodes:
            raise ValueError(f"`part` must have one value per node ({data.num_nodes}), got {list(part.shape)}.")
        _, number = part.cpu().unique(return_inverse=True)
        order = number.argsort(stable=True)
        self.data, self.members = data, order.split(number.bincount().tolist())
        self.seed, self.epoch = seed, 0
        numbers = range(len(self.members))
        super().__init__(
            numbers,  # type: ignore[arg-type]  # whatever has a length and places
            batch_size=batch_size,
            sampler=EpochSampler(self, length=len(numbers)) if shuffle else None,
            num_workers=num_workers,
            collate_fn=self._collate,
            **(loader or {}),
        )

    def __iter__(self) -> Any:
        self.epoch += 1
        return super().__iter__()

    def _collate(self, several: list[int]) -> Any:
        """Return the graph of some clusters."""
        data = self.data
        nodes = torch.cat([self.members[each] for each in several]).to(data.edge_index.device)
        keep = torch.zeros(data.num_nodes, dtype=torch.bool, device=nodes.device)
        keep[nodes] = True
        nodes = keep.nonzero().flatten()
        edge_index, _, inside = subgraph(
            nodes, data.edge_index, relabel_nodes=True, num_nodes=data.num_nodes, return_edge_mask=True
        )
        batch = Data(edge_index=edge_index, num_nodes=len(nodes), n_id=nodes, e_id=inside.nonzero().flatten())
        for name, value in data:
            if name == "edge_index" or not isinstance(value, Tensor):
                continue
            if data.is_node_attr(name):
                batch[name] = value[nodes]
            elif data.is_edge_attr(name):
                batch[name] = value[inside]
        return batch
