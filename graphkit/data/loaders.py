"""Loaders: mini-batches of one large graph, drawn anew in every pass and the same with any number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NumNeighbors

from graphkit.data.order import PassOrder
from graphkit.data.sampling import NeighborSampler


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
        asked = {"batch_size": batch_size, "shuffle": shuffle, "num_workers": num_workers}
        order, options = _ordered(asked, loader, node_sampler)
        super().__init__(data, node_sampler, input_nodes=input_nodes, **options)
        order.length = len(self.dataset)

    def __iter__(self) -> Iterator[Data]:
        self.node_sampler.epoch += 1
        return super().__iter__()


class LinkNeighborLoader(LinkLoader):
    """PyG's ``LinkLoader`` over a ``NeighborSampler`` of this room, with new neighbours in every pass.

    Args:
        data: as for ``NeighborSampler``.
        num_neighbors: as for ``NeighborSampler``.
        edge_label_index: the edges to start from, ``[2, links]``; all by default.
        edge_label: their labels ``[links]``.
        neg_sampling: PyG's ``NegativeSampling`` or its short forms.
        batch_size: links of a batch.
        shuffle: whether they come in another order in each pass.
        num_workers: processes that draw ahead.
        seed: of the draws, negative ones among them, and of the order.
        sampler: further arguments of ``NeighborSampler``.
        loader: further arguments of PyG's ``LinkLoader`` and PyTorch's ``DataLoader``; they win.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        edge_label_index: Any = None,
        edge_label: Tensor | None = None,
        neg_sampling: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        num_workers: int = 0,
        seed: int = 0,
        sampler: dict[str, Any] | None = None,
        loader: dict[str, Any] | None = None,
    ) -> None:
        link_sampler = NeighborSampler(data, num_neighbors, seed=seed, **(sampler or {}))
        links = {"edge_label_index": edge_label_index, "edge_label": edge_label, "neg_sampling": neg_sampling}
        asked = {"batch_size": batch_size, "shuffle": shuffle, "num_workers": num_workers}
        order, options = _ordered(asked, loader, link_sampler)
        super().__init__(data, link_sampler, **links, **options)
        order.length = len(self.dataset)

    def __iter__(self) -> Iterator[Data]:
        self.link_sampler.epoch += 1
        return super().__iter__()


def _ordered(
    options: dict[str, Any], loader: dict[str, Any] | None, drawn_by: NeighborSampler
) -> tuple[PassOrder, dict[str, Any]]:
    """Return an order, and the arguments of a loader, with this order where they ask for a shuffled one."""
    order, options = PassOrder(drawn_by), {**options, **(loader or {})}
    if options.pop("shuffle"):
        options["sampler"] = order
    return order, options
