"""Graph isomorphism network, with and without edge features."""

from typing import Any

import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor
from torch_geometric.typing import Size

from graphkit._checks import features_per_item, one_value_per_edge, same_device
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import bipartite_size, check_features, densify, first_linear, source_and_target
from graphkit.nn.maps import apply_network
from graphkit.operators import SparseOperator, sum_adjacency
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.feature_matrix import linear
from graphkit.operators.messages import EdgeTable, edge_table_sum, relu_message_sum


class SparseSum:
    r"""The sum :math:`A X + c X'` of sparse feature matrices, kept unevaluated until a linear map is applied.

    ``F.linear`` maps :math:`X` and :math:`X'` first and adds up what is then dense and narrow; any other function of
    PyTorch is given the dense sum.

    Args:
        adjacency: :math:`A`, ``[targets, sources]``.
        x: :math:`X`, ``[sources, features]``.
        factor: :math:`c`, one number.
        own: :math:`X'`, ``[targets, features]``; nothing is added when ``None``.
    """

    def __init__(self, adjacency: SparseOperator, x: SparseOperator, factor: Tensor, own: Any) -> None:
        self.adjacency = adjacency
        self.x = x
        self.factor = factor
        self.own = own

    def size(self, dim: int) -> int:
        """Return the length of one axis, as tensors do."""
        return (self.adjacency.size(0), self.x.size(1))[dim]

    def to_dense(self) -> Tensor:
        """Return the sum, ``[targets, features]``."""
        out = self.adjacency @ self.x.to_dense()
        if self.own is None:
            return out
        own = self.own.to_dense() if isinstance(self.own, SparseOperator) else self.own
        return out + self.factor * own

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the linear map of the sum, ``[targets, out]``."""
        mapped = linear(self.x, weight)
        out = self.adjacency @ mapped
        if self.own is not None:
            out = out + self.factor * (mapped if self.own is self.x else linear(self.own, weight))
        return out if bias is None else out + bias

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.linear:
            waiting, *rest = args
            return waiting.linear(*rest, **(kwargs or {}))
        dense = (arg.to_dense() if isinstance(arg, SparseSum) else arg for arg in args)
        with torch.DisableTorchFunctionSubclass():
            return function(*dense, **(kwargs or {}))


class GINConv(Fused, torch_geometric.nn.GINConv):
    r"""Graph isomorphism :math:`x'_i = h\bigl((1 + \epsilon) x_i + \sum_{j \in N(i)} x_j\bigr)`.

    PyG's layer, with a faster way. A sparse ``x`` stays sparse up to the first linear map of :math:`h`. Edge weights,
    and the values of a sparse matrix, are not used.

    Args:
        nn: the network :math:`h`, from ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
        eps: initial :math:`\epsilon`.
        train_eps: whether :math:`\epsilon` is a parameter.
        kwargs: of ``MessagePassing``.

    Shape:
        ``x`` ``[nodes, in_channels]`` or a pair ``(x_source, x_target)`` whose second may be ``None``. Returns what
        ``nn`` makes of ``[target nodes, in_channels]``.

    Source: Xu et al. (2019), arXiv:1810.00826, equation 4.1.

    Example:
        >>> conv = GINConv(torch.nn.Linear(3, 2), train_eps=True)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    # propagate_type: (x: OptPairTensor)

    def forward(self, x: Any, edge_index: Any, size: Size = None) -> Tensor:
        """Return the convolved features."""
        source: Any
        target: Any
        source, target = source_and_target(x, self.flow)
        _check_ends(source, target, self.nn, self.eps)
        sizes = bipartite_size((source, target), size, edge_index, self.node_dim)
        if not (self.fusible(edge_index, source, target) and source.dtype.is_floating_point):
            ends = densify(source), densify(target)
            return super().forward(ends, self.edges(edge_index, num_nodes=sizes)[0], sizes)
        adjacency = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow)
        if isinstance(source, SparseOperator):
            out = self.nn(SparseSum(adjacency, source, 1 + self.eps, target))
            return out.to_dense() if isinstance(out, SparseSum) else out
        target = target.to_dense() if isinstance(target, SparseOperator) else target
        source = source if target is None else source.to(torch.promote_types(source.dtype, self.eps.dtype))
        alike = target is not None and source.dim() == 2 and target.shape[1:] == source.shape[1:]
        if alike and is_cacheable(self.eps):
            return apply_network(self.nn, adjacency.multiply_add(source, target, beta=1 + float(self.eps)))
        out = adjacency @ source
        return self.nn(out if target is None else torch.addcmul(out, target, 1 + self.eps))


class GINEConv(Fused, torch_geometric.nn.GINEConv):
    r"""Graph isomorphism :math:`h((1 + \epsilon) x_i + \sum_j \mathrm{ReLU}(x_j + e_{ji}))` with edge features.

    PyG's layer, with a faster way.

    Args:
        nn: the network :math:`h`, from ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
        eps: initial :math:`\epsilon`.
        train_eps: whether :math:`\epsilon` is a parameter.
        edge_dim: features of an edge, mapped linearly to those of a node; as many as a node has when left out.
        kwargs: of ``MessagePassing``.

    Raises:
        ValueError: if ``edge_dim`` is given and the input width of ``nn`` cannot be told, or, in ``forward``, if nodes
            and edges differ in width without it.

    Shape:
        ``x`` as for ``GINConv``; ``edge_attr`` ``[edges, edge_dim]``, or an ``EdgeTable`` of them where few differ.

    Source: Hu et al. (2020), arXiv:1905.12265, appendix A.

    Example:
        >>> conv = GINEConv(torch.nn.Linear(3, 2), edge_dim=5)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 5)).shape
        torch.Size([4, 2])
    """

    # propagate_type: (x: OptPairTensor, edge_attr: OptTensor)

    def forward(self, x: Any, edge_index: Any, edge_attr: Any = None, size: Size = None) -> Tensor:
        """Return the convolved features."""
        if edge_attr is None:
            raise ValueError("`edge_attr` must be given: this layer adds the features of edges to those of nodes.")
        source, target = source_and_target(x, self.flow)
        _check_ends(source, target, self.nn, self.eps)
        source, target = densify(source), densify(target)
        sizes = bipartite_size((source, target), size, edge_index, self.node_dim)
        fusible = self.fusible(edge_index, source, target) and source.dim() == 2 and source.dtype.is_floating_point
        if fusible and (isinstance(edge_attr, EdgeTable) or edge_attr.dim() == 2):
            pattern = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow).pattern
            out = self._relu_message_sum(pattern, source, edge_attr)
            return self.nn(out if target is None else torch.addcmul(out, target, 1 + self.eps))
        edge_attr = edge_attr.to_dense() if isinstance(edge_attr, EdgeTable) else edge_attr
        edge_index, _ = self.edges(edge_index, num_nodes=sizes)
        if isinstance(edge_index, Tensor):
            one_value_per_edge("edge_attr", edge_attr, edge_index.size(1))
        return super().forward((source, target), edge_index, edge_attr, sizes)

    def _relu_message_sum(self, pattern: Any, x: Tensor, edge_attr: Any) -> Tensor:
        r"""Return :math:`\sum_j \mathrm{ReLU}(x_j + e_{ji})`."""
        if isinstance(edge_attr, EdgeTable):
            one_value_per_edge("edge_attr", edge_attr.row, pattern.entries)
            return edge_table_sum(pattern, x, EdgeTable(self._edge_term(x, edge_attr.table), edge_attr.row))
        one_value_per_edge("edge_attr", edge_attr, pattern.entries)
        return relu_message_sum(pattern, x, self._edge_term(x, edge_attr))

    def _edge_term(self, x: Tensor, edge_attr: Tensor) -> Tensor:
        term = edge_attr if self.lin is None else self.lin(edge_attr)
        if x.size(-1) != term.size(-1):
            raise ValueError(
                "Node and edge feature dimensionalities do not match. Consider setting the 'edge_dim' attribute of "
                "'GINEConv'"
            )
        return term


def _check_ends(source: Any, target: Any, network: Any, eps: Tensor) -> None:
    """Refuse features that do not fit the network, or each other; a target's make them of the type of epsilon."""
    first = first_linear(network)
    check_features(source, first, any_type=target is not None)
    same_device("x", source, eps)
    if target is not None and target is not source:
        check_features(target, first, any_type=True)
        features_per_item("x", target, source.size(-1))
        same_device("x", target, eps)
