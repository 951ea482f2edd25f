"""The numbering of nodes: neighbours with near numbers share cache lines, and pages of a graph on the disk."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.clusters import metis_clusters
from graphkit.data.soundness import validate

CLUSTER = 1_000
"""Nodes of a cluster: 128 features of each in float32 fill half a megabyte, a part of most second-level caches."""


def locality_order(
    edge_index: Tensor, *, num_nodes: int, by: Literal["rcm", "metis"] = "rcm", parts: int | None = None
) -> Tensor:
    """Return the nodes in an order in which neighbours stand close, ``[nodes]``.

    "rcm" is reverse Cuthill-McKee, breadth first from a node of low degree: a tenth of a second for two million edges.
    "metis" puts the nodes of a cluster side by side: slower to find, and better where a graph has communities.

    Args:
        edge_index: ``[2, edges]``; direction does not count.
        num_nodes: number of nodes.
        by: how.
        parts: clusters of METIS, from 1 to the number of nodes; one for every 1,000 nodes if None.

    Raises:
        ValueError: for another ``by``, edges out of range, ``parts`` without METIS or out of its range, or where
            pymetis is asked for and not installed.

    Source: Cuthill & McKee (1969) and George (1971), through SciPy; Karypis & Kumar (1998), through pymetis.

    Example:
        >>> path = torch.tensor([[0, 3, 1], [3, 1, 2]])  # 0 - 3 - 1 - 2
        >>> locality_order(path, num_nodes=4).tolist()
        [2, 1, 3, 0]
    """
    _checks.member("by", by, ("rcm", "metis"))
    _checks.edge_index_in_range(_checks.tensor("edge_index", edge_index), _checks.count("num_nodes", num_nodes))
    if by == "metis":
        parts = max(1, num_nodes // CLUSTER) if parts is None else parts
        return metis_clusters(edge_index, parts, num_nodes=num_nodes).argsort(stable=True)
    if parts is not None:
        raise ValueError("`parts` is of METIS's clusters: ask for them with `by='metis'`.")
    row, column = torch.cat([edge_index.cpu(), edge_index.cpu().flip(0)], 1).numpy()
    both = csr_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(num_nodes, num_nodes))
    return torch.from_numpy(reverse_cuthill_mckee(both, symmetric_mode=True).astype(np.int64))


def reorder_nodes(data: Data, order: Tensor | None = None) -> Data:
    """Return a copy of a graph whose nodes are numbered in another order; everything that is of nodes goes with them.

    Edges stay in their order, and what is of them. ``n_id [nodes]`` holds the numbers from before: a result ``z`` in
    their order is ``torch.empty_like(z).index_copy(0, data.n_id, z)``.

    It pays where the features of a graph do not fit into the processor's cache and its edges join what belongs
    together: half the time of a sparse product, or nothing (``graphkit bench reordering``). Before a graph is kept on
    the disk with :func:`store`, it makes neighbours lie on the same pages; ``data.original_id = data.n_id`` keeps the
    numbers from before there.

    Args:
        data: a graph of one kind of nodes, dense where it is of nodes.
        order: the nodes in their new order, ``[nodes]``; :func:`locality_order` if None.

    Raises:
        ValueError: for an ``order`` that is none, or what cannot be ordered, such as signals on a graph.

    Example:
        >>> from graphkit.data import load
        >>> data = load("karate")
        >>> reordered = reorder_nodes(data)
        >>> bool((data.y[reordered.n_id] == reordered.y).all())
        True
    """
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    if data.get("signals") is not None:
        raise ValueError("`data` has signals on its nodes; take one graph of nodes with features.")
    validate(data)
    nodes = data.num_nodes
    order = locality_order(data.edge_index, num_nodes=nodes) if order is None else order
    if _checks.tensor("order", order).shape != (nodes,) or not torch.equal(
        order.sort().values.cpu(), torch.arange(nodes)
    ):
        raise ValueError(f"`order` must hold each of the {nodes:,} nodes once.")
    place = torch.empty_like(order).index_copy(0, order, torch.arange(nodes, device=order.device))
    result = data.__copy__()
    for name in data.node_attrs():
        value = data[name]
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise ValueError(f"`{name}` must be a dense tensor to be put in another order; got {type(value).__name__}.")
        result[name] = value[order.to(value.device)]
    result.edge_index = place.to(data.edge_index.device)[data.edge_index.as_subclass(Tensor)]
    result.n_id = order
    return result
