"""Graph attention with the original, additive score."""

from typing import Any

import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor
from torch.overrides import has_torch_function_variadic
from torch_geometric.typing import OptTensor, Size

from graphkit.nn.inputs import both_ends, end_sizes, fitting, one_kind_against_the_flow, two_axes
from graphkit.nn.maps import mapped, materialized
from graphkit.nn.spatial.attention import FusedAttention
from graphkit.operators.attention import attend, attention_weights
from graphkit.operators.feature_matrix import linear
from graphkit.operators.products import spmm


class GATConv(FusedAttention, torch_geometric.nn.GATConv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_s x_j`.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( \mathrm{LeakyReLU}( a_s^\top \Theta_s x_j + a_t^\top \Theta_t x_i
        + a_e^\top \Theta_e e_{ij}) \bigr)

    PyG's layer, with a faster way: on the CPU the softmax and the sum are one pass over the edges, and neither
    direction keeps an ``edges x features`` array. ``x`` may be sparse.

    Args:
        in_channels: features of a node, or of source and target nodes; -1 to learn it from the first input.
        out_channels: features of the result, per head.
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
        one_kind_against_the_flow(x, self.flow)
        source, target = both_ends(x)
        for end, lin in ((source, self.lin_src), (target, self.lin_dst)):
            if end is not None:
                fitting(end, lin if self.lin is None else self.lin)
            two_axes(end, type(self).__name__)
        sizes = end_sizes((source, target), size, edge_index)
        if not self.fusible(edge_index, source, target):
            inputs = self._plain_inputs(x, edge_index, edge_attr, sizes)
            result = super().forward(*inputs, sizes, return_attention_weights)
            return self._plain_result(result, edge_index, sizes, return_attention_weights)
        residual = None if self.res is None or target is None else self.res(target)
        source, target = self._mapped(source, target)
        out, weights = self._attended(source, target, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._joined(out, residual)
        return (out, weights) if return_attention_weights else out

    def _mapped(self, source: Any, target: Any) -> tuple[Tensor, OptTensor]:
        """Return the mapped features of both ends, ``[nodes, heads * out_channels]``; one tensor where they are one.

        Autocast's half precision ends here, as the attention vectors end it in PyG.
        """
        by_source = mapped(self.lin if self.lin is not None else self.lin_src, source)
        by_source = by_source.to(torch.promote_types(by_source.dtype, self.att_src.dtype))
        if self.lin is not None and target is source:
            return by_source, by_source
        if target is None:
            return by_source, None
        return by_source, mapped(self.lin if self.lin is not None else self.lin_dst, target).to(by_source.dtype)

    def _scores(self, source: Tensor, target: OptTensor) -> tuple[Tensor, OptTensor]:
        """Return :math:`a_s^T x` of the sources and :math:`a_t^T x` of the targets, ``[nodes, heads]``.

        One product with the attention vectors laid out as a block-diagonal matrix, not ``heads`` sums over a copy.
        """
        own = has_torch_function_variadic(self.att_src, self.att_dst)  # each node may have attention vectors of its own
        if own or torch.is_autocast_enabled(source.device.type):  # under which a product would be in half precision
            return self._sums(source, self.att_src), None if target is None else self._sums(target, self.att_dst)
        by_source, by_target = (
            torch.block_diag(*att.squeeze(0).unsqueeze(-1).to(source.dtype)) for att in (self.att_src, self.att_dst)
        )
        if target is source:
            scores = linear(source, torch.cat((by_source, by_target), 1).t())
            return scores[:, : self.heads], scores[:, self.heads :]
        return source @ by_source, None if target is None else target @ by_target

    def _sums(self, x: Tensor, att: Tensor) -> Tensor:
        return (x.view(-1, self.heads, self.out_channels) * att).sum(-1)

    def _attended(
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
        keep = self._kept(pattern, x)
        if not weights:
            by_target = by_source.new_zeros(sizes[1], self.heads) if by_target is None else by_target
            slope = self.negative_slope
            return attend(pattern, by_target, by_source, x, score_entry=by_edge, slope=slope, keep=keep), None
        alpha = attention_weights(pattern, by_target, by_source, by_edge, self.negative_slope)
        alpha = alpha if keep is None else alpha * keep
        return spmm(pattern, alpha, x), self._weights(pattern, alpha, edge_index)

    def _edge_scores(self, attr: Tensor) -> Tensor:
        """Return :math:`a_e^T Theta_e e`, ``[entries, heads]``: the two maps are one of ``heads`` outputs."""
        materialized(self.lin_edge, attr)
        weight = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
        return F.linear(attr, (weight * self.att_edge.view(self.heads, self.out_channels, 1)).sum(1))
