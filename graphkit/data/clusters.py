"""Clusters: a large graph cut into parts of many edges inside and few between, and batches of several of them."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, remove_self_loops, subgraph

from graphkit import _checks
from graphkit.data.order import PassOrder


def metis_clusters(edge_index: Tensor, parts: int, *, num_nodes: int, seed: int = 0) -> Tensor:
    """Return the part of each node, ``[nodes]``, from 0 to ``parts - 1``, as METIS cuts the graph.

    Direction, repetition and loops of edges do not count. A part may be empty where METIS finds it so.

    Args:
        edge_index: ``[2, edges]``.
        parts: from 1 to the number of nodes.
        num_nodes: number of nodes.
        seed: of METIS's own generator.

    Raises:
        ValueError: for more parts than nodes, or where pymetis is not installed.

    Source: Karypis & Kumar (1998), through pymetis.

    Example:
        >>> metis_clusters(torch.tensor([[0, 1], [1, 0]]), 1, num_nodes=2).tolist()
        [0, 0]
    """
    _checks.at_least("parts", parts, 1)
    if parts > num_nodes:
        raise ValueError(f"`parts` must be at most the number of nodes ({num_nodes}), got {parts}.")
    _checks.edge_index_in_range(edge_index, num_nodes)
    if importlib.util.find_spec("pymetis") is None:
        raise ValueError("clusters need pymetis: pip install 'graphkit[metis]'; `NeighborLoader` needs nothing.")
    if parts == 1 or parts == num_nodes:
        return torch.zeros(num_nodes, dtype=torch.long) if parts == 1 else torch.arange(num_nodes)
    import pymetis

    both, _ = remove_self_loops(torch.cat([edge_index.cpu(), edge_index.cpu().flip(0)], 1))
    if not both.size(1):
        # Without edges there is nothing to cut: METIS crashes on some such graphs.
        return torch.arange(num_nodes) * parts // num_nodes
    row, column = coalesce(both, num_nodes=num_nodes)
    kind = pymetis.zero_copy_dtype()
    pointers = np.searchsorted(row.numpy(), np.arange(num_nodes + 1))
    graph = pymetis.CSRAdjacency(np.ascontiguousarray(pointers, kind), np.ascontiguousarray(column.numpy(), kind))
    found = pymetis.part_graph(parts, graph, options=pymetis.Options(seed=seed))
    return torch.as_tensor(np.asarray(found.vertex_part)).long()


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
            sampler=PassOrder(self, length=len(numbers)) if shuffle else None,
            num_workers=num_workers,
            collate_fn=self._joined,
            **(loader or {}),
        )

    def __iter__(self) -> Any:
        self.epoch += 1
        return super().__iter__()

    def _joined(self, several: list[int]) -> Any:
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
