"""Graph convolution with the symmetrically normalised adjacency."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import zeros
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_sparse

from graphkit.nn.abstract import (
    AbstractGraphConv,
    fitting,
    in_half,
    mapped,
    matrix_type,
    plain_graph,
    result_type,
    traced,
)
from graphkit.operators import SparseOperator, gcn_adjacency
from graphkit.operators.features import features_of
from graphkit.operators.functions import inside_transform


class GCNConv(AbstractGraphConv):
    r"""Graph convolution :math:`X' = \hat D^{-1/2} \hat A \hat D^{-1/2} X \Theta + b` with :math:`\hat A = A + I`.

    The drop-in counterpart of PyG's layer: same arguments, parameters (``lin.weight``, ``bias``) and numbers. The
    normalised adjacency is remembered with the ``edge_index`` it came from. ``x`` may be sparse. PyG 2.8.1 ignores
    ``improved`` when no ``edge_weight`` is given; this layer does not.

    Args:
        in_channels: features of a node; -1 to learn it from the first input.
        out_channels: features of the result.
        improved: use :math:`\hat A = A + 2I`.
        cached: keep the first normalised adjacency for good and ignore any other graph, as PyG does. Not needed for
            speed here.
        add_self_loops: whether :math:`I` is added; default as ``normalize``.
        normalize: whether the degrees divide.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``: ``aggr``, ``flow``, ``node_dim``.

    Raises:
        ValueError: if self-loops are asked for without normalisation; in a call for a pair of features, and for weights
            that give a node a negative degree, whose root is NaN in PyG.

    Shape:
        ``x`` ``[nodes, in_channels]`` or, for several signals on one graph, ``[..., nodes, in_channels]``; a graph in
        any of PyG's forms; ``edge_weight`` ``[edges]``. Returns ``[..., nodes, out_channels]``.

    Source: Kipf & Welling (2017), arXiv:1609.02907, equation 2.

    Example:
        >>> conv = GCNConv(3, 2)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        add_self_loops = normalize if add_self_loops is None else add_self_loops
        if add_self_loops and not normalize:
            raise ValueError(
                f"'{type(self).__name__}' does not support adding self-loops to the graph when no on-the-fly "
                "normalization is applied"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.improved = improved
        self.cached = cached
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self._cached_edge_index: Any = None
        self._cached_adj_t: Any = None
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew and forget a cached adjacency."""
        super().reset_parameters()
        self.lin.reset_parameters()
        zeros(self.bias)
        self._cached_edge_index = None
        self._cached_adj_t = None

    def forward(self, x: Any, edge_index: Any, edge_weight: OptTensor = None) -> Tensor:
        """Return the convolved features."""
        if isinstance(x, tuple | list):
            raise ValueError(
                f"`x` must be one set of features: '{type(self).__name__}' received a tuple of node features as input "
                "while this layer does not support bipartite message passing. Please try other layers such as "
                "'SAGEConv' or 'GraphConv' instead"
            )
        fitting(x, self.lin)
        if not self._fused(edge_index):
            out = self._propagated(x, edge_index, edge_weight)
            return out if self.bias is None else out + self.bias
        x = features_of(x)
        adjacency = self._adjacency(x, edge_index, edge_weight)
        half = in_half(x)
        if isinstance(x, Tensor) and 0 < self.in_channels < self.out_channels and not half:
            return mapped(self.lin, adjacency @ x, self.bias)  # the product is taken on the narrow side
        given, x = x, mapped(self.lin, x)
        if half:  # autocast has made half of what PyG's weights and bias make whole again
            weighted = self.normalize or is_sparse(edge_index)
            weight = given if edge_weight is None and weighted else edge_weight
            x = x.to(result_type(x, weight, self.bias))
        if x.dim() == 2:
            return adjacency.multiply_add(x, None if self.bias is None else self.bias.unsqueeze(0))
        return adjacency @ x if self.bias is None else adjacency @ x + self.bias

    def _adjacency(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> SparseOperator:
        normalize = self.normalize
        if self.cached and normalize:
            (edge_index, edge_weight), normalize = self._edges(x, edge_index, edge_weight), False
        return gcn_adjacency(
            edge_index,
            edge_weight,
            num_nodes=x.size(-2),
            improved=self.improved,
            add_self_loops=self.add_self_loops and normalize,
            normalize=normalize,
            flow=self.flow,
            dtype=matrix_type(x),
        )

    def _propagated(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        edge_index, edge_weight = self._edges(x, edge_index, edge_weight)
        return self.propagate(edge_index, x=self.lin(x), edge_weight=edge_weight)

    def _edges(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> tuple[Any, OptTensor]:
        """Return the edges and weights that messages run over, by operations that can be traced."""
        if self._cached_edge_index is not None:
            return self._cached_edge_index
        nodes = x.size(self.node_dim)
        edge_index, edge_weight = plain_graph(edge_index, edge_weight, flow=self.flow, num_nodes=nodes)
        if edge_weight is not None:
            edge_weight = edge_weight.flatten() if in_half(x) else edge_weight.flatten().to(x.dtype)
        if not self.normalize:
            return edge_index, edge_weight
        if edge_weight is None and isinstance(edge_index, Tensor):
            # Without weights PyG gives every loop the weight 1.
            edge_weight = torch.ones(edge_index.size(1), dtype=x.dtype, device=edge_index.device)
        pair = gcn_norm(edge_index, edge_weight, nodes, self.improved, self.add_self_loops, self.flow, x.dtype)
        if not (traced() or inside_transform()) and bool(pair[1].isnan().any()):
            self._refuse(edge_index, edge_weight, nodes)
        if self.cached:
            self._cached_edge_index = pair
        return pair

    def _refuse(self, edge_index: Any, edge_weight: OptTensor, nodes: int) -> None:
        """Refuse the weights that the fused path refuses."""
        options: dict[str, Any] = {"improved": self.improved, "add_self_loops": self.add_self_loops, "flow": self.flow}
        gcn_adjacency(edge_index, edge_weight, num_nodes=nodes, **options)

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """Return each edge's weighted source features."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j
