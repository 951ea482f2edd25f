"""Graph attention with the dynamic score."""

from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor
from torch_geometric.typing import OptTensor

from graphkit.nn.inputs import both_ends, end_sizes, fitting, one_kind_against_the_flow, two_axes
from graphkit.nn.maps import mapped
from graphkit.nn.spatial.attention import FusedAttention
from graphkit.operators.attention import entry_softmax, gatv2_scores
from graphkit.operators.products import spmm


class GATv2Conv(FusedAttention, torch_geometric.nn.GATv2Conv):
    r"""Graph attention :math:`x'_i = \sum_j \alpha_{ij} \Theta_l x_j` whose ranking of neighbours depends on the node.

    .. math::
        \alpha_{ij} = \mathrm{softmax}_j \bigl( a^\top \mathrm{LeakyReLU}(\Theta_l x_j + \Theta_r x_i
        + \Theta_e e_{ij}) \bigr)

    PyG's layer, with a faster way: on the CPU the scores are taken without an ``edges x features`` array, unless edge
    features bring one. ``x`` may be sparse.

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

    # edge_updater_type: (x: PairTensor, edge_attr: OptTensor)
    # propagate_type: (x: PairTensor, alpha: Tensor)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: OptTensor = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the convolved features, and with ``return_attention_weights`` the attention."""
        one_kind_against_the_flow(x, self.flow)
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
        if not self.fusible(edge_index, source, target):
            inputs = self._plain_inputs(x, edge_index, edge_attr, sizes)
            result = super().forward(*inputs, return_attention_weights)
            return self._plain_result(result, edge_index, sizes, return_attention_weights)
        residual = None if self.res is None else self.res(target)
        left = mapped(self.lin_l, source, getattr(self.lin_l, "bias", None))
        shared = self.share_weights and target is source
        right = left if shared else mapped(self.lin_r, target, getattr(self.lin_r, "bias", None))
        kind = torch.promote_types(left.dtype, self.att.dtype)  # autocast's half precision ends here
        left, right = (
            side.to(kind).view(size, self.heads, self.out_channels)
            for side, size in zip((left, right), sizes, strict=True)
        )
        out, weights = self._attended(left, right, edge_index, edge_attr, sizes, bool(return_attention_weights))
        out = self._joined(out, residual)
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
        term = None if attr is None else self.lin_edge(attr.to(left.dtype)).to(left.dtype)
        term = None if term is None else term.view(-1, self.heads, self.out_channels)
        att = self.att.squeeze(0).to(left.dtype)
        scores = gatv2_scores(pattern, right, left, att, entry_term=term, slope=self.negative_slope)
        alpha = entry_softmax(pattern, scores)
        keep = self._kept(pattern, alpha)
        alpha = alpha if keep is None else alpha * keep
        return spmm(pattern, alpha, left), self._weights(pattern, alpha, edge_index) if weights else None
