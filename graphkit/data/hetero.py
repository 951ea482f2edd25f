"""Heterogeneous graphs, with types of nodes and of edges, as plain tensors by name, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphkit._torch_internals import fields_of_graph

BETWEEN = "___"
"""Stands between the types of an edge, as in OGB's folders and PyG's keys."""


def flatten(data: HeteroData) -> dict[str, Tensor]:
    """Return all tensors of a graph with types, and the numbers of its nodes, each under one name.

    Example:
        >>> data = HeteroData()
        >>> data["drug"].num_nodes = 3
        >>> data["drug", "acts", "drug"].edge_index = torch.tensor([[0], [2]])
        >>> sorted(flatten(data))
        ['edge:drug___acts___drug:edge_index', 'node:drug:num_nodes']
        >>> unflatten(flatten(data))["drug"].num_nodes
        3
    """
    stores = {f"node:{name}": data[name] for name in data.node_types}
    stores |= {f"edge:{BETWEEN.join(kind)}": data[kind] for kind in data.edge_types}
    found = {f"{at}:{field}": value for at, store in stores.items() for field, value in store.items()}
    found |= {f"graph::{field}": value for field, value in fields_of_graph(data).items()}
    return {
        name: torch.as_tensor(value).contiguous()
        for name, value in found.items()
        if isinstance(value, Tensor) or name.endswith(":num_nodes")
    }


def is_flattened(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of a graph with types."""
    return any(name.startswith("node:") for name in tensors)


def unflatten(tensors: Mapping[str, Tensor]) -> HeteroData:
    """Return the graph that :func:`flatten` took apart."""
    data = HeteroData()
    for name in sorted(tensors):
        kind, types, field = name.split(":")
        value = int(tensors[name]) if field == "num_nodes" else tensors[name]
        if kind == "graph":
            setattr(data, field, value)
        else:
            setattr(data[types] if kind == "node" else data[tuple(types.split(BETWEEN))], field, value)
    return data
