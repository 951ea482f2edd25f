"""What layers of graph attention share beside their score: the graph with its loops, dropout, the form of results."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_torch_sparse_tensor, scatter

from graphkit._checks import features_per_item, one_value_per_edge
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import plain_features
from graphkit.nn.maps import biased
from graphkit.operators import SparseOperator
from graphkit.operators.dropout import dropout
from graphkit.operators.edges import edges_of, pattern_of, pattern_with_loops
from graphkit.operators.pattern import Pattern


class FusedAttention(Fused):
    """A layer that weighs a node's neighbours by scores of its own; its arguments are those of PyG's layers."""

    nodes_axis = 0
    heads: int
    concat: bool
    dropout: float
    add_self_loops: bool
    fill_value: Any
    lin_edge: Any

    def _neighbourhoods(
        self, edge_index: Any, edge_attr: OptTensor, sizes: tuple[int, int]
    ) -> tuple[Pattern, OptTensor]:
        """Return the pattern that attention runs over and the edge features of its entries, ``[entries, edge_dim]``.

        Where ``edge_attr`` is left out a matrix brings its own values.
        """
        edges = edges_of(edge_index, flow=self.flow, num_nodes=sizes)
        attr = self._edge_features(edge_attr, edges.weight, edges.index.shape[1])
        loops = self.add_self_loops
        pattern = pattern_with_loops(edges.index, sizes, loops="new") if loops else pattern_of(edges.index, sizes)
        if attr is None or self.lin_edge is None:
            return pattern, None
        if loops:
            index = edges.index if self.flow == "source_to_target" else edges.index.flip(0)
            attr = torch.cat((attr, _loop_features(index, attr, min(sizes), self.fill_value)))
        return pattern, attr.index_select(0, pattern._perm)

    def _edge_features(self, edge_attr: OptTensor, values: OptTensor, edges: int) -> OptTensor:
        """Return the features of edges, ``[edges, features]``, or a matrix's ``values`` in their place."""
        attr = values if edge_attr is None and self.lin_edge is not None else edge_attr
        one_value_per_edge("edge_attr", attr, edges)
        if attr is None:
            return None
        attr = attr.unsqueeze(-1) if attr.dim() == 1 else attr
        if self.lin_edge is not None:
            features_per_item("edge_attr", attr, getattr(self.lin_edge, "in_channels", -1))
        return attr

    def _kept(self, pattern: Pattern, like: Tensor) -> OptTensor:
        """Return dropout's factor for each entry and head, 0 or 1 / (1 - p), or ``None`` where nothing is dropped."""
        if not self.training or self.dropout == 0:
            return None
        return dropout(like.new_ones(pattern.entries, self.heads), self.dropout)

    def _plain_inputs(self, x: Any, edge_index: Any, edge_attr: OptTensor, sizes: tuple[int, int]) -> tuple[Any, ...]:
        """Return features, edges and features of edges as PyG's layer takes them."""
        ends = tuple(map(plain_features, x)) if isinstance(x, tuple | list) else plain_features(x)
        index, values = self.edges(edge_index, num_nodes=sizes)
        if isinstance(index, Tensor) and index.layout == torch.strided:
            edge_attr = self._edge_features(edge_attr, values, index.size(1))
        return ends, index, edge_attr

    def _plain_result(self, result: Any, edge_index: Any, sizes: tuple[int, int], weights: bool | None) -> Any:
        """Return the result of PyG's layer, with attention as ``_weights`` returns it where a matrix was given."""
        if not weights or not _is_matrix(edge_index):
            return result
        out, (index, alpha) = result
        if index is edge_index:
            return result
        pattern = Pattern.from_coo(index[1], index[0], sizes[::-1])
        return out, self._weights(pattern, alpha.index_select(0, pattern._perm), edge_index)

    def _weights(self, pattern: Pattern, alpha: Tensor, edge_index: Any) -> tuple[Any, Tensor]:
        """Return the graph that attention ran over and its weights, ``[entries, heads]``, as PyG orders them.

        Beside an ``edge_index`` that is the edges without loops, in their order, then the loops; a sparse matrix comes
        back as a CSR matrix whose values are the weights.
        """
        if _is_matrix(edge_index):
            size = (*pattern.shape, self.heads)
            matrix = torch.sparse_csr_tensor(pattern.indptr, pattern.indices, alpha, size, check_invariants=False)
            return matrix, alpha
        order = pattern._perm.argsort()
        ends = pattern._indices.long(), pattern.rows()
        index = torch.stack(ends if self.flow == "source_to_target" else ends[::-1])
        return index.index_select(1, order), alpha.index_select(0, order)

    def _joined(self, out: Tensor, residual: OptTensor) -> Tensor:
        """Return the heads' results, ``[nodes, heads, features]``, as one, with the residual and the bias."""
        if self.concat and residual is None and self.bias is not None:
            # Before it is seen as one: the gradient of what is written to a view is cleared and copied.
            return biased(out, self.bias.view(out.shape[1:]), fresh=True).flatten(1)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        return biased(out if residual is None else out + residual, self.bias, fresh=True)


def _is_matrix(edge_index: Any) -> bool:
    return isinstance(edge_index, SparseOperator) or is_torch_sparse_tensor(edge_index)


def _loop_features(index: Tensor, attr: Tensor, nodes: int, fill_value: Any) -> Tensor:
    if not isinstance(fill_value, str):
        return torch.as_tensor(fill_value, dtype=attr.dtype, device=attr.device).expand(nodes, attr.shape[1])
    index = index.long()  # with torch.int32 the gradient of torch 2.13's `scatter` is wrong
    proper = (index[0] != index[1]) & (index[1] < nodes)
    return scatter(attr[proper], index[1][proper], 0, nodes, reduce=fill_value)
