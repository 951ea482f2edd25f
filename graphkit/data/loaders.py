"""Loaders: mini-batches of one large graph, drawn anew in every pass and the same with any number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader

from graphkit._kernels import sampling
from graphkit.data.sampling import NeighborSampler


class NeighborLoader(NodeLoader):
    """PyG's ``NodeLoader`` over a ``NeighborSampler`` of this room, with new neighbours in every pass.

    Args:
        data: as for ``NeighborSampler``.
        num_neighbors: as for ``NeighborSampler``.
        input_nodes: the nodes to start from, ids or a mask; all by default.
        seed: of the draws, and of the order where ``shuffle`` is asked for.
        sampler: further arguments of ``NeighborSampler``.
        loader: further arguments of PyG's ``NodeLoader`` and PyTorch's ``DataLoader``.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.

    Example:
        >>> from graphkit.data import load
        >>> data = load("karate")
        >>> batches = NeighborLoader(data, [3, 3], input_nodes=data.train_mask, loader={"batch_size": 2})
        >>> [batch.batch_size for batch in batches]
        [2, 2]
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int],
        *,
        input_nodes: Any = None,
        seed: int = 0,
        sampler: dict[str, Any] | None = None,
        loader: dict[str, Any] | None = None,
    ) -> None:
        node_sampler = NeighborSampler(data, num_neighbors, seed=seed, **(sampler or {}))
        order, options = _ordered(loader, node_sampler)
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
        seed: of the draws, negative ones among them, and of the order.
        sampler: further arguments of ``NeighborSampler``.
        loader: further arguments of PyG's ``LinkLoader`` and PyTorch's ``DataLoader``.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int],
        *,
        edge_label_index: Any = None,
        edge_label: Tensor | None = None,
        neg_sampling: Any = None,
        seed: int = 0,
        sampler: dict[str, Any] | None = None,
        loader: dict[str, Any] | None = None,
    ) -> None:
        link_sampler = NeighborSampler(data, num_neighbors, seed=seed, **(sampler or {}))
        links = {"edge_label_index": edge_label_index, "edge_label": edge_label, "neg_sampling": neg_sampling}
        order, options = _ordered(loader, link_sampler)
        super().__init__(data, link_sampler, **links, **options)
        order.length = len(self.dataset)

    def __iter__(self) -> Iterator[Data]:
        self.link_sampler.epoch += 1
        return super().__iter__()


class _Order(Sampler[int]):
    """The order of one pass: a function of seed and epoch, where PyTorch's depends on the kind of workers too."""

    def __init__(self, drawn_by: NeighborSampler) -> None:
        self.drawn_by, self.length = drawn_by, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        key = int(sampling.keyed(np.uint64(self.drawn_by.seed), self.drawn_by.epoch))
        yield from torch.randperm(self.length, generator=torch.Generator().manual_seed(key >> 1)).tolist()


def _ordered(loader: dict[str, Any] | None, drawn_by: NeighborSampler) -> tuple[_Order, dict[str, Any]]:
    """Return an order, and the arguments of a loader, with this order where they ask for a shuffled one."""
    order, options = _Order(drawn_by), dict(loader or {})
    if options.pop("shuffle", False):
        options["sampler"] = order
    return order, options
