"""What the two attention layers share: graphs with loops, edge features for them, the form of returned weights."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor
from torch_geometric.utils import add_self_loops, is_torch_sparse_tensor, remove_self_loops, scatter

from graphkit._checks import one_value_per_edge
from graphkit.operators import SparseOperator
from graphkit.operators.dropout import dropout
from graphkit.operators.pattern import Pattern
from graphkit.operators.prepared import edges_of, looped_pattern_of, pattern_of


def neighbourhoods(
    edge_index: Any,
    edge_attr: OptTensor,
    sizes: tuple[int, int],
    *,
    flow: str,
    loops: bool,
    fill_value: Any,
    featured: bool,
) -> tuple[Pattern, OptTensor]:
    """Return the pattern that attention runs over and the edge features of its entries, ``[entries, edge_dim]``.

    Args:
        edge_index: any form of a graph.
        edge_attr: features of the edges, ``[edges]`` or ``[edges, edge_dim]``; a matrix's own values when left out.
        sizes: numbers of source and target nodes.
        flow: direction of the messages along an ``edge_index``.
        loops: replace all self-loops by one at every node.
        fill_value: features of the loops: a number, a tensor ``[edge_dim]``, or the name of the reduction over the
            edges that point to the node.
        featured: whether edge features are used at all.
    """
    edges = edges_of(edge_index, flow=flow, num_nodes=sizes)
    count = edges.index.shape[1]
    attr = None if not featured else edges.weight if edge_attr is None else edge_attr
    one_value_per_edge("edge_attr", attr, count)
    pattern = looped_pattern_of(edges.index, sizes, loops="new") if loops else pattern_of(edges.index, sizes)
    if attr is None:
        return pattern, None
    attr = attr.unsqueeze(-1) if attr.dim() == 1 else attr
    if loops:
        index = edges.index if flow == "source_to_target" else edges.index.flip(0)
        attr = torch.cat((attr, _loop_features(index, attr, min(sizes), fill_value)))
    return pattern, attr.index_select(0, pattern.order)


def _loop_features(index: Tensor, attr: Tensor, nodes: int, fill_value: Any) -> Tensor:
    if not isinstance(fill_value, str):
        return torch.as_tensor(fill_value, dtype=attr.dtype, device=attr.device).expand(nodes, attr.shape[1])
    proper = (index[0] != index[1]) & (index[1] < nodes)
    return scatter(attr[proper], index[1][proper], 0, nodes, reduce=fill_value)


def kept(pattern: Pattern, heads: int, like: Tensor, p: float, training: bool) -> OptTensor:
    """Return dropout's factor for each entry and head, 0 or 1 / (1 - p), or ``None`` where nothing is dropped."""
    if not training or p == 0:
        return None
    return dropout(like.new_ones(pattern.entries, heads), p)


def returned_weights(pattern: Pattern, alpha: Tensor, edge_index: Any, flow: str) -> tuple[Any, Tensor]:
    """Return the graph that attention ran over and its weights, ``[entries, heads]``, as PyG orders them.

    Beside an ``edge_index`` that is the edges without loops, in their order, then the loops; a sparse matrix comes back
    as a CSR matrix whose values are the weights.
    """
    if isinstance(edge_index, SparseOperator) or is_torch_sparse_tensor(edge_index):
        size = (*pattern.shape, alpha.shape[1])
        return torch.sparse_csr_tensor(pattern.pointers, pattern.columns, alpha, size, check_invariants=False), alpha
    order = pattern.order.argsort()
    ends = pattern.columns.long(), pattern.rows()
    index = torch.stack(ends if flow == "source_to_target" else ends[::-1])
    return index.index_select(1, order), alpha.index_select(0, order)


def with_loops(edge_index: Any, edge_attr: OptTensor, nodes: int, fill_value: Any) -> tuple[Any, OptTensor]:
    """Return the edges with each self-loop replaced by one at every node, in operations that can be traced."""
    edge_index, edge_attr = remove_self_loops(edge_index, edge_attr)
    return add_self_loops(edge_index, edge_attr, fill_value=fill_value, num_nodes=nodes)
