"""Graph clustering with METIS: parts of many edges inside and few between."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import coalesce, remove_self_loops

from graphkit import _checks


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
