"""GraphSAGE: separate weights for a node and for the aggregate of its neighbours."""

from typing import Any

import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor
from torch_geometric.nn.aggr import MultiAggregation
from torch_geometric.typing import Size

from graphkit.nn.fused import Fused
from graphkit.nn.inputs import bipartite_size, check_features, densify, source_and_target
from graphkit.nn.maps import apply_linear, matrix_dtype
from graphkit.operators import SparseOperator, mean_adjacency, sum_adjacency
from graphkit.operators.messages import neighbor_max


class SAGEConv(Fused, torch_geometric.nn.SAGEConv):
    r"""GraphSAGE :math:`x'_i = W_1 x_i + W_2 \cdot \mathrm{aggr}_{j \in N(i)} x_j`.

    PyG's layer, with a faster way for mean, sum and maximum; where the mean or the sum would be taken over more
    features than the layer returns, :math:`W_2` comes first. Ties of the maximum share its gradient. Any other
    aggregation of PyG works as there. Edge weights, and the values of a sparse matrix, are not used.

    Args:
        in_channels, out_channels: features of a node, or of source and target nodes, -1 to learn it from the first
            input; and of the result.
        aggr: ``"mean"``, ``"sum"``, ``"max"`` or any of PyG's aggregations.
        normalize: scale each result to unit length.
        root_weight: whether the term of the node itself is there.
        project: put source features through a linear map and a ReLU first.
        bias: whether the layer has a bias.
        kwargs: of ``MessagePassing``.

    Shape:
        ``x`` ``[nodes, in_channels]`` or a pair ``(x_source, x_target)`` whose second may be ``None``; ``size`` gives
        the numbers of source and target nodes. Returns ``[target nodes, out_channels]``. A sparse ``x`` stays sparse,
        but for the maximum.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216, algorithm 1.

    Example:
        >>> import torch
        >>> conv = SAGEConv((3, 4), 2, aggr="max")
        >>> conv((torch.ones(5, 3), torch.ones(2, 4)), torch.tensor([[0, 4], [1, 1]])).shape
        torch.Size([2, 2])
    """

    aggregations = ("mean", "add", "sum", "max")

    # propagate_type: (x: OptPairTensor)

    def forward(self, x: Any, edge_index: Any, size: Size = None) -> Tensor:
        """Return the convolved features."""
        source, target = source_and_target(x, self.flow)
        joint = isinstance(self.aggr_module, MultiAggregation)  # whose result is wider than what it aggregates
        project = self.project and hasattr(self, "lin")
        check_features(source, None if joint else self.lin if project else self.lin_l)
        if target is not None:
            check_features(target, self.lin_r if self.root_weight else None)
        sizes = bipartite_size((source, target), size, edge_index, self.node_dim)
        if not self.fusible(edge_index, source, target) or (self.aggr == "max" and source.dim() != 2):
            ends = densify(source), densify(target)
            return super().forward(ends, self.edges(edge_index, num_nodes=sizes)[0], sizes)
        if project:
            source = self.lin(source).relu()
        out = self._combine(source, target if self.root_weight else None, edge_index, sizes)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out

    def _combine(self, source: Any, root: Any, edge_index: Any, sizes: tuple[int, int]) -> Tensor:
        if self.aggr == "max":
            source = source.to_dense() if isinstance(source, SparseOperator) else source
            pattern = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow).pattern
            return self._add_root(self.lin_l(neighbor_max(pattern, source)), root)
        if self.aggr == "mean":
            adjacency = mean_adjacency(edge_index, num_nodes=sizes, flow=self.flow, dtype=matrix_dtype(source))
        else:
            adjacency = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow)
        bias = self.lin_l.bias
        if isinstance(source, Tensor) and source.size(-1) < self.out_channels:
            return self._add_root(apply_linear(self.lin_l, adjacency @ source, bias), root)
        out = apply_linear(self.lin_l, source)
        plus = apply_linear(self.lin_r, root, bias) if root is not None else None if bias is None else bias.unsqueeze(0)
        if out.dim() == 2:
            return adjacency.multiply_add(out, plus)  # the node's own term costs the product no pass of its own
        return adjacency @ out if plus is None else adjacency @ out + plus

    def _add_root(self, out: Tensor, root: Any) -> Tensor:
        return out if root is None else apply_linear(self.lin_r, root, plus=out)
