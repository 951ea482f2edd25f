"""Graph convolution with the symmetrically normalised adjacency, with and without edge features."""

from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor, nn
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_sparse

from graphkit._torch_internals import cached_edges, inside_transform, keep_edges
from graphkit.nn.fused import Fused, refuse_script
from graphkit.nn.inputs import check_features, edge_list, is_tracing
from graphkit.nn.maps import apply_linear, is_half, matrix_dtype, result_dtype
from graphkit.operators import SparseOperator, gcn_adjacency, sum_adjacency
from graphkit.operators.feature_matrix import features_of
from graphkit.operators.messages import EdgeTable, edge_table_sum


class GCNConv(Fused, torch_geometric.nn.GCNConv):
    r"""Graph convolution :math:`X' = \hat D^{-1/2} \hat A \hat D^{-1/2} X \Theta + b` with :math:`\hat A = A + I`.

    PyG's layer, with a way through it that multiplies by the normalised adjacency, which is remembered with the
    ``edge_index`` it came from. ``x`` may be sparse. PyG 2.8.1 ignores ``improved`` when no ``edge_weight`` is given;
    this layer does not.

    Args:
        in_channels, out_channels: features of a node, -1 to learn it from the first input, and of the result.
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

    # propagate_type: (x: Tensor, edge_weight: OptTensor)

    def forward(self, x: Any, edge_index: Any, edge_weight: OptTensor = None) -> Tensor:
        """Return the convolved features."""
        if isinstance(x, tuple | list):
            raise ValueError(
                f"`x` must be one set of features: '{type(self).__name__}' received a tuple of node features as input "
                "while this layer does not support bipartite message passing. Please try other layers such as "
                "'SAGEConv' or 'GraphConv' instead"
            )
        check_features(x, self.lin)
        if not self.fusible(edge_index, x):
            return super().forward(x, *self._weighted_edges(x, edge_index, edge_weight))
        x = features_of(x)
        adjacency = self._adjacency(x, edge_index, edge_weight)
        half = is_half(x)
        if isinstance(x, Tensor) and 0 < self.in_channels < self.out_channels and not half:
            return apply_linear(self.lin, adjacency @ x, self.bias)  # the product is taken on the narrow side
        given, x = x, apply_linear(self.lin, x)
        if half:  # autocast has made half of what PyG's weights and bias make whole again
            weighted = self.normalize or is_sparse(edge_index)
            weight = given if edge_weight is None and weighted else edge_weight
            x = x.to(result_dtype(x, weight, self.bias))
        if x.dim() == 2:
            return adjacency.multiply_add(x, None if self.bias is None else self.bias.unsqueeze(0))
        return adjacency @ x if self.bias is None else adjacency @ x + self.bias

    def _adjacency(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> SparseOperator:
        normalize = self.normalize
        if self.cached and normalize:
            (edge_index, edge_weight), normalize = self._cached_edges(x, edge_index, edge_weight), False
        return gcn_adjacency(
            edge_index,
            edge_weight,
            num_nodes=x.size(-2),
            improved=self.improved,
            add_self_loops=self.add_self_loops and normalize,
            normalize=normalize,
            flow=self.flow,
            dtype=matrix_dtype(x),
        )

    def _cached_edges(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> tuple[Any, OptTensor]:
        """Return the normalised edges and weights that ``cached`` keeps, as PyG keeps them."""
        if (kept := cached_edges(self)) is None:
            index, weight = self._weighted_edges(x, edge_index, edge_weight)
            options = self.improved, self.add_self_loops, self.flow, x.dtype
            kept = gcn_norm(index, weight, x.size(-2), *options)
            keep_edges(self, kept)
        return kept

    def _weighted_edges(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> tuple[Any, OptTensor]:
        """Return the edges and weights that the plain way is given, whose degrees have roots."""
        if self.normalize and (kept := cached_edges(self)) is not None:
            return kept  # any other graph is ignored
        nodes = x.size(self.node_dim)
        edge_index, edge_weight = self.edges(edge_index, edge_weight, num_nodes=nodes)
        if edge_weight is not None:
            edge_weight = edge_weight.flatten() if is_half(x) else edge_weight.flatten().to(x.dtype)
            looked_at = self.normalize and not (is_tracing() or inside_transform())
            if looked_at and bool((edge_weight < 0).any()):  # refused as on the fused way
                gcn_adjacency(
                    edge_index,
                    edge_weight,
                    num_nodes=nodes,
                    add_self_loops=self.add_self_loops,
                    improved=self.improved,
                    flow=self.flow,
                )
        elif self.improved and isinstance(edge_index, Tensor) and not is_sparse(edge_index):
            # Without weights PyG gives every loop the weight 1.
            edge_weight = torch.ones(edge_index.size(1), dtype=x.dtype, device=edge_index.device)
        return edge_index, edge_weight


class BondedGCNConv(nn.Module):
    r"""Graph convolution of rectified sums of nodes :math:`z = W x + b` and edges; :math:`d_i` are degrees plus one.

    .. math::
        x'_i = \sum_j \frac{\mathrm{ReLU}(z_j + e_{ij})}{\sqrt{d_i d_j}} + \frac{\mathrm{ReLU}(z_i + r)}{d_i}

    :math:`r` is the learnt edge of a node to itself.

    Args:
        in_channels: features of a node.
        out_channels: width of the result, and of the edges' features.

    Source: the GCN baseline of Hu et al. (2020), arXiv:2005.00687, for molecules.

    Example:
        >>> edges = EdgeTable(torch.ones(1, 2), torch.zeros(2, dtype=torch.long))
        >>> BondedGCNConv(3, 2)(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]]), edges).shape
        torch.Size([4, 2])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.root_emb = nn.Embedding(1, out_channels)

    def forward(self, x: Tensor, edge_index: Any, edge_attr: EdgeTable | Tensor) -> Tensor:
        """Return the convolved features, ``[nodes, out_channels]``.

        Args:
            x: ``[nodes, in_channels]``.
            edge_index: the graph, in any of PyG's forms.
            edge_attr: features of the edges, ``[edges, out_channels]`` or a table of them.
        """
        check_features(x, self.linear)
        z = self.linear(x)
        if is_tracing():
            return self._plain(z, edge_index, edge_attr if isinstance(edge_attr, Tensor) else edge_attr.to_dense())
        if isinstance(edge_attr, Tensor):
            edge_attr = EdgeTable(edge_attr, torch.arange(len(edge_attr), device=edge_attr.device))
        pattern = sum_adjacency(edge_index, num_nodes=z.size(0)).pattern
        outgoing = pattern._transpose[0]._indptr.diff()
        scale = (outgoing + 1).to(z.dtype).rsqrt()
        gathered = edge_table_sum(pattern, z, edge_attr, scale) * scale.unsqueeze(1)
        return gathered + (z + self.root_emb.weight).relu() * scale.square().unsqueeze(1)

    def _plain(self, z: Tensor, edge_index: Any, edge_attr: Tensor) -> Tensor:
        """Return the same with an array of messages, in operations that can be traced."""
        source, target = edge_list(edge_index, flow="source_to_target", num_nodes=z.size(0))[0]
        outgoing = torch.zeros_like(z[:, 0]).index_add(0, source, torch.ones_like(edge_attr[:, 0]))
        scale = (outgoing + 1).rsqrt().unsqueeze(1)
        messages = (z.index_select(0, source) + edge_attr).relu() * scale.index_select(0, source)
        gathered = torch.zeros_like(z).index_add(0, target, messages) * scale
        return gathered + (z + self.root_emb.weight).relu() * scale.square()
