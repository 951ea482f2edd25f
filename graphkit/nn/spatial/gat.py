"""Graph attention: GAT with the additive score, GATv2 with the dynamic one."""

from typing import Any

import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor
from torch.overrides import has_torch_function_variadic
from torch_geometric.typing import OptTensor, Size
from torch_geometric.utils import is_torch_sparse_tensor, scatter

from graphkit._checks import features_per_item, one_value_per_edge
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import bipartite_size, check_features, check_two_axes, densify, source_and_target
from graphkit.nn.maps import add_bias, apply_linear, initialize_lazy
from graphkit.operators import SparseOperator
from graphkit.operators.attention import attend, attention_weights, entry_softmax, gatv2_scores
from graphkit.operators.dropout import dropout
from graphkit.operators.edges import edges_of, pattern_of, pattern_with_loops
from graphkit.operators.feature_matrix import linear
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import spmm


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
        """Return the pattern that attention runs over and its entries' edge features, by default a matrix's values."""
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

    def _dropout_factors(self, pattern: Pattern, like: Tensor) -> OptTensor:
        """Return dropout's factor for each entry and head, 0 or 1 / (1 - p), or ``None`` where nothing is dropped."""
        if not self.training or self.dropout == 0:
            return None
        return dropout(like.new_ones(pattern.entries, self.heads), self.dropout)

    def _pyg_inputs(self, x: Any, edge_index: Any, edge_attr: OptTensor, sizes: tuple[int, int]) -> tuple[Any, ...]:
        """Return features, edges and features of edges as PyG's layer takes them."""
        ends = tuple(map(densify, x)) if isinstance(x, tuple | list) else densify(x)
        index, values = self.edges(edge_index, num_nodes=sizes)
        if isinstance(index, Tensor) and index.layout == torch.strided:
            edge_attr = self._edge_features(edge_attr, values, index.size(1))
        return ends, index, edge_attr

    def _pyg_result(self, result: Any, edge_index: Any, sizes: tuple[int, int], weights: bool | None) -> Any:
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

        That is the edges without loops, in their order, then the loops; for a matrix a CSR matrix of the weights.
        """
        if _is_matrix(edge_index):
            size = (*pattern.shape, self.heads)
            matrix = torch.sparse_csr_tensor(pattern.indptr, pattern.indices, alpha, size, check_invariants=False)
            return matrix, alpha
        order = pattern._perm.argsort()
        ends = pattern._indices.long(), pattern.rows()
        index = torch.stack(ends if self.flow == "source_to_target" else ends[::-1])
        return index.index_select(1, order), alpha.index_select(0, order)

    def _combine_heads(self, out: Tensor, residual: OptTensor) -> Tensor:
        """Return the heads' results, ``[nodes, heads, features]``, as one, with the residual and the bias."""
        if self.concat and residual is None and self.bias is not None:
            # Before it is seen as one: the gradient of what is written to a view is cleared and copied.
            return add_bias(out, self.bias.view(out.shape[1:]), fresh=True).flatten(1)
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        return add_bias(out if residual is None else out + residual, self.bias, fresh=True)


def _is_matrix(edge_index: Any) -> bool:
    return isinstance(edge_index, SparseOperator) or is_torch_sparse_tensor(edge_index)


def _loop_features(index: Tensor, attr: Tensor, nodes: int, fill_value: Any) -> Tensor:
    if not isinstance(fill_value, str):
        return torch.as_tensor(fill_value, dtype=attr.dtype, device=attr.device).expand(nodes, attr.shape[1])
    index = index.long()  # with torch.int32 the gradient of torch 2.13's `scatter` is wrong
    proper = (index[0] != index[1]) & (index[1] < nodes)
    return scatter(attr[proper], index[1][proper], 0, nodes, reduce=fill_value)


class GATConv(FusedAttention, torch_geometric.nn.GATConv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_s x_j`.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( \mathrm{LeakyReLU}( a_s^\top \Theta_s x_j + a_t^\top \Theta_t x_i
        + a_e^\top \Theta_e e_{ij}) \bigr)

    PyG's layer, with a faster way: on the CPU the softmax and the sum are one pass over the edges, and neither
    direction keeps an ``edges x features`` array. ``x`` may be sparse.

    Args:
        in_channels, out_channels: features of a node, or of source and target nodes, -1 to learn it from the first
            input; and of the result, per head.
        heads: attention heads.
        concat: put the heads side by side; else average them.
        negative_slope: of the leaky ReLU.
        dropout: probability of dropping a neighbour from one head's sum, in [0, 1).
        add_self_loops: replace all self-loops by one at every node.
        edge_dim: features of an edge.
        fill_value: edge features of the added loops: a number, a tensor, or a reduction over the incoming edges
            (``"mean"``, ``"add"``, ``"min"``, ``"max"``, ``"mul"``).
        bias: whether the layer has a bias.
        residual: add a linear map of the target's own features.
        kwargs: of ``MessagePassing``.

    Shape:
        ``x`` ``[nodes, in_channels]`` or ``(x_source, x_target)`` whose second may be ``None``; ``edge_attr``
        ``[edges]`` or ``[edges, edge_dim]``. Returns ``[target nodes, heads * out_channels]``, or ``out_channels``
        without ``concat``; with ``return_attention_weights`` also ``(edge_index, alpha)``, alpha
        ``[edges with loops, heads]`` after dropout.

    Source: Veličković et al. (2018), arXiv:1710.10903, equations 1 to 6.

    Example:
        >>> conv = GATConv(3, 2, heads=4)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 8])
    """

    # edge_updater_type: (alpha: OptPairTensor, edge_attr: OptTensor)
    # propagate_type: (x: OptPairTensor, alpha: Tensor)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: OptTensor = None,
        size: Size = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the convolved features, and with ``return_attention_weights`` the attention."""
        source, target = source_and_target(x, self.flow)
        for end, lin in ((source, self.lin_src), (target, self.lin_dst)):
            if end is not None:
                check_features(end, lin if self.lin is None else self.lin)
            check_two_axes(end, type(self).__name__)
        sizes = bipartite_size((source, target), size, edge_index)
        if not self.fusible(edge_index, source, target):
            inputs = self._pyg_inputs(x, edge_index, edge_attr, sizes)
            result = super().forward(*inputs, sizes, return_attention_weights)
            return self._pyg_result(result, edge_index, sizes, return_attention_weights)
        residual = None if self.res is None or target is None else self.res(target)
        source, target = self._project(source, target)
        out, weights = self._attend(source, target, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._combine_heads(out, residual)
        return (out, weights) if return_attention_weights else out

    def _project(self, source: Any, target: Any) -> tuple[Tensor, OptTensor]:
        """Return the mapped features of both ends, ``[nodes, heads * out_channels]``; one tensor where they are one.

        Autocast's half precision ends here, as the attention vectors end it in PyG.
        """
        by_source = apply_linear(self.lin if self.lin is not None else self.lin_src, source)
        by_source = by_source.to(torch.promote_types(by_source.dtype, self.att_src.dtype))
        if self.lin is not None and target is source:
            return by_source, by_source
        if target is None:
            return by_source, None
        return by_source, apply_linear(self.lin if self.lin is not None else self.lin_dst, target).to(by_source.dtype)

    def _scores(self, source: Tensor, target: OptTensor) -> tuple[Tensor, OptTensor]:
        """Return :math:`a_s^T x` of the sources and :math:`a_t^T x` of the targets, ``[nodes, heads]``.

        One product with the attention vectors laid out as a block-diagonal matrix, not ``heads`` sums over a copy.
        """
        own = has_torch_function_variadic(self.att_src, self.att_dst)  # each node may have attention vectors of its own
        if own or torch.is_autocast_enabled(source.device.type):  # under which a product would be in half precision
            return self._head_scores(source, self.att_src), None if target is None else self._head_scores(
                target, self.att_dst
            )
        by_source, by_target = (
            torch.block_diag(*att.squeeze(0).unsqueeze(-1).to(source.dtype)) for att in (self.att_src, self.att_dst)
        )
        if target is source:
            scores = linear(source, torch.cat((by_source, by_target), 1).t())
            return scores[:, : self.heads], scores[:, self.heads :]
        return source @ by_source, None if target is None else target @ by_target

    def _head_scores(self, x: Tensor, att: Tensor) -> Tensor:
        return (x.view(-1, self.heads, self.out_channels) * att).sum(-1)

    def _attend(
        self,
        source: Tensor,
        target: OptTensor,
        edge_index: Any,
        edge_attr: OptTensor,
        sizes: tuple[int, int],
        weights: bool,
    ) -> tuple[Tensor, Any]:
        pattern, attr = self._neighbourhoods(edge_index, edge_attr, sizes)
        by_source, by_target = self._scores(source, target)
        by_edge = None if attr is None else self._edge_scores(attr.to(source.dtype)).to(source.dtype)
        x = source.view(sizes[0], self.heads, self.out_channels)
        keep = self._dropout_factors(pattern, x)
        if not weights:
            by_target = by_source.new_zeros(sizes[1], self.heads) if by_target is None else by_target
            slope = self.negative_slope
            return attend(pattern, by_target, by_source, x, score_entry=by_edge, slope=slope, keep=keep), None
        alpha = attention_weights(pattern, by_target, by_source, by_edge, self.negative_slope)
        alpha = alpha if keep is None else alpha * keep
        return spmm(pattern, alpha, x), self._weights(pattern, alpha, edge_index)

    def _edge_scores(self, attr: Tensor) -> Tensor:
        """Return :math:`a_e^T Theta_e e`, ``[entries, heads]``: the two maps are one of ``heads`` outputs."""
        initialize_lazy(self.lin_edge, attr)
        weight = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
        return F.linear(attr, (weight * self.att_edge.view(self.heads, self.out_channels, 1)).sum(1))


class GATv2Conv(FusedAttention, torch_geometric.nn.GATv2Conv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_l x_j` whose ranking of neighbours depends on the node.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( a^\top \mathrm{LeakyReLU}(\Theta_l x_j + \Theta_r x_i
        + \Theta_e e_{ij}) \bigr)

    PyG's layer, with a faster way: on the CPU the scores are taken without an ``edges x features`` array, unless edge
    features bring one. ``x`` may be sparse.

    Args:
        in_channels, out_channels, heads, concat, negative_slope, dropout, add_self_loops, edge_dim, fill_value: as for
            ``GATConv``, like ``residual`` and ``kwargs``.
        bias: whether the maps and the layer have biases.
        share_weights: use :math:`\Theta_r = \Theta_l`.

    Shape:
        ``x`` ``[nodes, in_channels]`` or ``(x_source, x_target)``; ``edge_attr`` ``[edges]`` or ``[edges, edge_dim]``.
        Returns as ``GATConv``.

    Raises:
        ValueError: in ``forward``, if the target's features are missing.

    Source: Brody, Alon & Yahav (2022), arXiv:2105.14491, equation 7.

    Example:
        >>> conv = GATv2Conv(3, 2, heads=4, concat=False)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    # edge_updater_type: (x: PairTensor, edge_attr: OptTensor)
    # propagate_type: (x: PairTensor, alpha: Tensor)

    def forward(
        self, x: Any, edge_index: Any, edge_attr: OptTensor = None, return_attention_weights: bool | None = None
    ) -> Any:
        """Return the convolved features, and with ``return_attention_weights`` the attention."""
        source, target = source_and_target(x, self.flow)
        for end, lin in ((source, self.lin_l), (target, self.lin_r)):
            if end is not None:
                check_features(end, lin)
            check_two_axes(end, type(self).__name__)
        if target is None:
            raise ValueError("`x` must hold the target's features too: the dynamic score reads both ends.")
        if edge_attr is not None and self.lin_edge is None:
            raise ValueError("`edge_attr` was given to a layer without `edge_dim`; name its width there.")
        sizes = bipartite_size((source, target), None, edge_index)
        if not self.fusible(edge_index, source, target):
            inputs = self._pyg_inputs(x, edge_index, edge_attr, sizes)
            result = super().forward(*inputs, return_attention_weights)
            return self._pyg_result(result, edge_index, sizes, return_attention_weights)
        residual = None if self.res is None else self.res(target)
        left = apply_linear(self.lin_l, source, getattr(self.lin_l, "bias", None))
        shared = self.share_weights and target is source
        right = left if shared else apply_linear(self.lin_r, target, getattr(self.lin_r, "bias", None))
        kind = torch.promote_types(left.dtype, self.att.dtype)  # autocast's half precision ends here
        left, right = (
            side.to(kind).view(size, self.heads, self.out_channels)
            for side, size in zip((left, right), sizes, strict=True)
        )
        out, weights = self._attend(left, right, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._combine_heads(out, residual)
        return (out, weights) if return_attention_weights else out

    def _attend(
        self, left: Tensor, right: Tensor, edge_index: Any, edge_attr: OptTensor, sizes: tuple[int, int], weights: bool
    ) -> tuple[Tensor, Any]:
        pattern, attr = self._neighbourhoods(edge_index, edge_attr, sizes)
        term = None if attr is None else self.lin_edge(attr.to(left.dtype)).to(left.dtype)
        term = None if term is None else term.view(-1, self.heads, self.out_channels)
        att = self.att.squeeze(0).to(left.dtype)
        scores = gatv2_scores(pattern, right, left, att, entry_term=term, slope=self.negative_slope)
        alpha = entry_softmax(pattern, scores)
        keep = self._dropout_factors(pattern, alpha)
        alpha = alpha if keep is None else alpha * keep
        return spmm(pattern, alpha, left), self._weights(pattern, alpha, edge_index) if weights else None
