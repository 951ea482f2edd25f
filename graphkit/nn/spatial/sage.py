"""GraphSAGE: separate weights for a node and for the aggregate of its neighbours."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.aggr import MultiAggregation
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.typing import Size

from graphkit.nn.abstract import (
    AbstractGraphConv,
    both_ends,
    end_sizes,
    fitting,
    mapped,
    matrix_type,
    plain_features,
    plain_graph,
)
from graphkit.operators import SparseOperator, mean_adjacency, sum_adjacency
from graphkit.operators.extremum import neighbour_maximum

FUSED = ("mean", "add", "sum", "max")


class SAGEConv(AbstractGraphConv):
    r"""GraphSAGE :math:`x'_i = W_1 x_i + W_2 \cdot \mathrm{aggr}_{j \in N(i)} x_j`.

    The drop-in counterpart of PyG's layer: same arguments, parameters (``lin_l``, ``lin_r``, ``lin``) and numbers.
    Mean, sum and maximum are fused; where the mean or the sum would be taken over more features than the layer
    returns, :math:`W_2` comes first. Ties of the maximum share its gradient. Any other aggregation of PyG works as
    there. Edge weights, and the values of a sparse matrix, are not used.

    Args:
        in_channels: features of a node, or of source and target nodes; -1 to learn it from the first input.
        out_channels: features of the result.
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

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: Any = "mean",
        normalize: bool = False,
        root_weight: bool = True,
        project: bool = False,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.normalize = normalize
        self.root_weight = root_weight
        self.project = project
        source, target = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        if aggr == "lstm":
            kwargs["aggr_kwargs"] = {"in_channels": source, "out_channels": source, **kwargs.get("aggr_kwargs", {})}
        super().__init__(aggr, **kwargs)
        if project:
            if source <= 0:
                raise ValueError(f"'{type(self).__name__}' does not support lazy initialization with `project=True`")
            self.lin = Linear(source, source, bias=True)
        aggregated = source
        if isinstance(self.aggr_module, MultiAggregation):
            aggregated = self.aggr_module.get_out_channels(source)
        self.lin_l = Linear(aggregated, out_channels, bias=bias)
        if root_weight:
            self.lin_r = Linear(target, out_channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        super().reset_parameters()
        if self.project:
            self.lin.reset_parameters()
        self.lin_l.reset_parameters()
        if self.root_weight:
            self.lin_r.reset_parameters()

    def forward(self, x: Any, edge_index: Any, size: Size = None) -> Tensor:
        """Return the convolved features."""
        plain = not self._fused(edge_index, x, FUSED)
        source, target = both_ends(x)
        joint = isinstance(self.aggr_module, MultiAggregation)  # whose result is wider than what it aggregates
        fitting(source, None if joint else self.lin if self.project else self.lin_l)
        if target is not None:
            fitting(target, self.lin_r if self.root_weight else None)
        if plain:
            source, target = plain_features(source), plain_features(target)
        if self.project:
            source = self.lin(source).relu()
        root = target if self.root_weight else None
        sizes = end_sizes((source, target), size, edge_index, self.node_dim)
        if plain:
            out = self.lin_l(self._propagated((source, target), edge_index, sizes))
            out = out if root is None else out + self.lin_r(root)
        else:
            out = self._combined(source, root, edge_index, sizes)
        return F.normalize(out, p=2.0, dim=-1) if self.normalize else out

    def _combined(self, source: Any, root: Any, edge_index: Any, sizes: tuple[int, int]) -> Tensor:
        if self.aggr == "max":
            return self._rooted(self.lin_l(self._maximum(source, edge_index, sizes)), root)
        if self.aggr == "mean":
            adjacency = mean_adjacency(edge_index, num_nodes=sizes, flow=self.flow, dtype=matrix_type(source))
        else:
            adjacency = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow)
        bias = self.lin_l.bias
        if isinstance(source, Tensor) and source.size(-1) < self.out_channels:
            return self._rooted(mapped(self.lin_l, adjacency @ source, bias), root)
        out = mapped(self.lin_l, source)
        plus = mapped(self.lin_r, root, bias) if root is not None else None if bias is None else bias.unsqueeze(0)
        if out.dim() == 2:
            return adjacency.multiply_add(out, plus)  # the node's own term costs the product no pass of its own
        return adjacency @ out if plus is None else adjacency @ out + plus

    def _maximum(self, source: Any, edge_index: Any, sizes: tuple[int, int]) -> Tensor:
        source = source.to_dense() if isinstance(source, SparseOperator) else source
        if source.dim() == 2:
            pattern = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow).pattern
            return neighbour_maximum(pattern, source)
        return self._propagated((source, None), edge_index, sizes)

    def _propagated(self, x: tuple[Tensor, Any], edge_index: Any, sizes: tuple[int, int]) -> Tensor:
        edge_index, _ = plain_graph(edge_index, flow=self.flow, num_nodes=sizes)
        return self.propagate(edge_index, x=x, size=sizes)

    def _rooted(self, out: Tensor, root: Any) -> Tensor:
        return out if root is None else mapped(self.lin_r, root, plus=out)

    def message(self, x_j: Tensor) -> Tensor:
        """Return each edge's source features."""
        return x_j

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, aggr={self.aggr})"
