"""Graph attention with the dynamic score."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import glorot, zeros
from torch_geometric.typing import OptTensor
from torch_geometric.utils import softmax

from graphkit.nn.abstract import both_ends, end_sizes, fitting, mapped, two_axes
from graphkit.nn.spatial.attention import AbstractAttentionConv
from graphkit.operators.pair_scores import pair_scores
from graphkit.operators.products import multiply
from graphkit.operators.softmax import entry_softmax


class GATv2Conv(AbstractAttentionConv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_l x_j` whose ranking of neighbours depends on the node.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( a^\top \mathrm{LeakyReLU}(\Theta_l x_j + \Theta_r x_i
        + \Theta_e e_{ij}) \bigr)

    The drop-in counterpart of PyG's layer: same arguments, parameters and numbers. On the CPU the scores are taken
    without an ``edges x features`` array, unless edge features bring one. ``x`` may be sparse.

    Args:
        in_channels: features of a node, or of source and target nodes; -1 to learn it from the first input.
        out_channels: features of the result, per head.
        heads: attention heads.
        concat: put the heads side by side; else average them.
        negative_slope: of the leaky ReLU.
        dropout: probability of dropping a neighbour from one head's sum, in [0, 1).
        add_self_loops: replace all self-loops by one at every node.
        edge_dim: features of an edge.
        fill_value: edge features of the added loops: a number, a tensor, or a reduction over the incoming edges.
        bias: whether the maps and the layer have biases.
        share_weights: use :math:`\Theta_r = \Theta_l`.
        residual: add a linear map of the target's own features.
        kwargs: of ``MessagePassing``.

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
        share_weights: bool = False,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
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
        self.share_weights = share_weights

        source, target = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        width, total = heads * out_channels, out_channels * (heads if concat else 1)
        self.lin_l = Linear(source, width, bias=bias, weight_initializer="glorot")
        self.lin_r = self.lin_l if share_weights else Linear(target, width, bias=bias, weight_initializer="glorot")
        self.att = Parameter(torch.empty(1, heads, out_channels))
        self.lin_edge = None
        if edge_dim is not None:
            self.lin_edge = Linear(edge_dim, width, bias=False, weight_initializer="glorot")
        self.res = Linear(target, total, bias=False, weight_initializer="glorot") if residual else None
        self.register_parameter("bias", Parameter(torch.empty(total)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        super().reset_parameters()
        for lin in (self.lin_l, self.lin_r, self.lin_edge, self.res):
            if lin is not None:
                lin.reset_parameters()
        glorot(self.att)
        zeros(self.bias)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: OptTensor = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the convolved features, and with ``return_attention_weights`` the attention."""
        source, target = both_ends(x)
        for end, lin in ((source, self.lin_l), (target, self.lin_r)):
            if end is not None:
                fitting(end, lin)
            two_axes(end, type(self).__name__)
        if target is None:
            raise ValueError("`x` must hold the target's features too: the dynamic score reads both ends.")
        if edge_attr is not None and self.lin_edge is None:
            raise ValueError("`edge_attr` was given to a layer without `edge_dim`; name its width there.")
        sizes = end_sizes((source, target), None, edge_index)
        residual = None if self.res is None else self.res(target)
        left = mapped(self.lin_l, source, getattr(self.lin_l, "bias", None))
        shared = self.share_weights and target is source
        right = left if shared else mapped(self.lin_r, target, getattr(self.lin_r, "bias", None))
        kind = torch.promote_types(left.dtype, self.att.dtype)  # autocast's half precision ends here
        left, right = (
            side.to(kind).view(size, self.heads, self.out_channels)
            for side, size in zip((left, right), sizes, strict=True)
        )
        fused = self._fused(edge_index, x)
        gathered = self._attended if fused else self._propagated
        out, weights = gathered(left, right, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._joined(out, residual, fresh=fused)
        return (out, weights) if return_attention_weights else out

    def _attended(
        self,
        left: Tensor,
        right: Tensor,
        edge_index: Any,
        edge_attr: OptTensor,
        sizes: tuple[int, int],
        weights: bool,
    ) -> tuple[Tensor, Any]:
        pattern, attr = self._neighbourhoods(edge_index, edge_attr, sizes)
        term = None if attr is None else self._edge_term(attr.to(left.dtype)).to(left.dtype)
        att = self.att.squeeze(0).to(left.dtype)
        scores = pair_scores(pattern, right, left, att, entry_term=term, slope=self.negative_slope)
        alpha = entry_softmax(pattern, scores)
        keep = self._kept(pattern, alpha)
        alpha = alpha if keep is None else alpha * keep
        return multiply(pattern, alpha, left), self._weights(pattern, alpha, edge_index) if weights else None

    def _edge_term(self, attr: Tensor) -> Tensor:
        return self.lin_edge(attr).view(-1, self.heads, self.out_channels)

    def _propagated(
        self,
        left: Tensor,
        right: Tensor,
        edge_index: Any,
        edge_attr: OptTensor,
        sizes: tuple[int, int],
        weights: bool,
    ) -> tuple[Tensor, Any]:
        index, attr = self._plain_neighbourhoods(edge_index, edge_attr, sizes)
        alpha = self.edge_updater(index, x=(left, right), edge_attr=attr, size=sizes)
        out = self.propagate(index, x=(left, right), alpha=alpha, size=sizes)
        return out, self._plain_weights(index, alpha, edge_index, sizes) if weights else None

    def edge_update(
        self,
        x_j: Tensor,
        x_i: Tensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],
    ) -> Tensor:
        """Return the attention of each edge and head, after dropout."""
        x = x_i + x_j
        if edge_attr is not None and self.lin_edge is not None:
            x = x + self._edge_term(edge_attr.unsqueeze(-1) if edge_attr.dim() == 1 else edge_attr)
        alpha = (F.leaky_relu(x, self.negative_slope) * self.att).sum(dim=-1)
        return F.dropout(softmax(alpha, index, ptr, dim_size), p=self.dropout, training=self.training)
