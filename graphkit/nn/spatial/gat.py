"""Graph attention with the original, additive score."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch.overrides import has_torch_function_variadic
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter
from torch_geometric.nn.inits import glorot, zeros
from torch_geometric.typing import OptTensor, Size
from torch_geometric.utils import softmax

from graphkit.nn.abstract import bare, both_ends, end_sizes, fitting, mapped, two_axes
from graphkit.nn.spatial.attention import AbstractAttentionConv
from graphkit.operators.attention import attend, attention_weights
from graphkit.operators.dense import linear
from graphkit.operators.products import multiply


class GATConv(AbstractAttentionConv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_s x_j`.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( \mathrm{LeakyReLU}( a_s^\top \Theta_s x_j + a_t^\top \Theta_t x_i
        + a_e^\top \Theta_e e_{ij}) \bigr)

    The drop-in counterpart of PyG's layer: same arguments, parameters and numbers. On the CPU the softmax and the sum
    are one pass over the edges, and neither direction keeps an ``edges x features`` array. ``x`` may be sparse.

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

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value
        self.residual = residual

        width, total = heads * out_channels, out_channels * (heads if concat else 1)
        self.lin = self.lin_src = self.lin_dst = None
        if isinstance(in_channels, int):
            self.lin = Linear(in_channels, width, bias=False, weight_initializer="glorot")
        else:
            self.lin_src = Linear(in_channels[0], width, False, weight_initializer="glorot")
            self.lin_dst = Linear(in_channels[1], width, False, weight_initializer="glorot")
        self.att_src = Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = Parameter(torch.empty(1, heads, out_channels))
        self.lin_edge = None
        if edge_dim is None:
            self.register_parameter("att_edge", None)
        else:
            self.lin_edge = Linear(edge_dim, width, bias=False, weight_initializer="glorot")
            self.att_edge = Parameter(torch.empty(1, heads, out_channels))
        self.res = None
        if residual:
            own = in_channels if isinstance(in_channels, int) else in_channels[1]
            self.res = Linear(own, total, bias=False, weight_initializer="glorot")
        self.register_parameter("bias", Parameter(torch.empty(total)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        super().reset_parameters()
        for lin in (self.lin, self.lin_src, self.lin_dst, self.lin_edge, self.res):
            if lin is not None:
                lin.reset_parameters()
        glorot(self.att_src)
        glorot(self.att_dst)
        glorot(self.att_edge)
        zeros(self.bias)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: OptTensor = None,
        size: Size = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the convolved features, and with ``return_attention_weights`` the attention."""
        source, target = both_ends(x)
        for end, lin in ((source, self.lin_src), (target, self.lin_dst)):
            if end is not None:
                fitting(end, lin if self.lin is None else self.lin)
            two_axes(end, type(self).__name__)
        sizes = end_sizes((source, target), size, edge_index)
        residual = None if self.res is None or target is None else self.res(target)
        source, target = self._mapped(source, target)
        fused = self._fused(edge_index, x)
        gathered = self._attended if fused else self._propagated
        out, weights = gathered(source, target, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._joined(out, residual, fresh=fused)
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
        return multiply(pattern, alpha, x), self._weights(pattern, alpha, edge_index)

    def _edge_scores(self, attr: Tensor) -> Tensor:
        """Return :math:`a_e^T Theta_e e`, ``[entries, heads]``: the two maps are one of ``heads`` outputs."""
        if not bare(self.lin_edge):
            return (self.lin_edge(attr).view(-1, self.heads, self.out_channels) * self.att_edge).sum(-1)
        if is_uninitialized_parameter(self.lin_edge.weight):
            self.lin_edge.initialize_parameters(self.lin_edge, (attr,))
        weight = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
        return F.linear(attr, (weight * self.att_edge.view(self.heads, self.out_channels, 1)).sum(1))

    def _propagated(
        self,
        source: Tensor,
        target: OptTensor,
        edge_index: Any,
        edge_attr: OptTensor,
        sizes: tuple[int, int],
        weights: bool,
    ) -> tuple[Tensor, Any]:
        alpha = self._scores(source, target)
        index, attr = self._plain_neighbourhoods(edge_index, edge_attr, sizes)
        alpha = self.edge_updater(index, alpha=alpha, edge_attr=attr, size=sizes)
        ends = [end if end is None else end.view(-1, self.heads, self.out_channels) for end in (source, target)]
        out = self.propagate(index, x=tuple(ends), alpha=alpha, size=sizes)
        return out, self._plain_weights(index, alpha, edge_index, sizes) if weights else None

    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: OptTensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],
    ) -> Tensor:
        """Return the attention of each edge and head, after dropout."""
        alpha = alpha_j if alpha_i is None else alpha_j + alpha_i
        if edge_attr is not None and self.lin_edge is not None:
            alpha = alpha + self._edge_scores(edge_attr.unsqueeze(-1) if edge_attr.dim() == 1 else edge_attr)
        alpha = softmax(F.leaky_relu(alpha, self.negative_slope), index, ptr, dim_size)
        return F.dropout(alpha, p=self.dropout, training=self.training)
