"""Graph isomorphism network, with and without edge features."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset
from torch_geometric.typing import OptTensor, Size

from graphkit._checks import features_per_item, one_value_per_edge, same_device
from graphkit.nn.abstract import (
    AbstractGraphConv,
    applied,
    both_ends,
    end_sizes,
    first_map,
    fitting,
    plain_features,
    plain_graph,
)
from graphkit.nn.features import SparseSum
from graphkit.operators import SparseOperator, sum_adjacency
from graphkit.operators.pattern import rememberable
from graphkit.operators.rectified import rectified_sum
from graphkit.operators.tabled import EdgeTable, tabled_sum


class AbstractIsomorphismConv(AbstractGraphConv):
    """What both layers ask of features."""

    nn: Any
    eps: Tensor

    def _refuse(self, source: Any, target: Any) -> None:
        """Refuse features that do not fit the network, or each other."""
        first = first_map(self.nn)
        fitting(source, first)
        same_device("x", source, self.eps)
        if target is not None and target is not source:
            fitting(target, first)
            features_per_item("x", target, source.size(-1))
            same_device("x", target, self.eps)


class GINConv(AbstractIsomorphismConv):
    r"""Graph isomorphism :math:`x'_i = h\bigl((1 + \epsilon) x_i + \sum_{j \in N(i)} x_j\bigr)`.

    The drop-in counterpart of PyG's layer: same arguments, parameters (``nn.*``, ``eps``) and numbers. A sparse ``x``
    stays sparse up to the first linear map of :math:`h`. Edge weights, and the values of a sparse matrix, are not used.

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

    def __init__(self, nn: Any, eps: float = 0.0, train_eps: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.nn = nn
        self.initial_eps = eps
        if train_eps:
            self.eps = torch.nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the network's weights anew and put epsilon back."""
        super().reset_parameters()
        reset(self.nn)
        self.eps.data.fill_(self.initial_eps)

    def forward(self, x: Any, edge_index: Any, size: Size = None) -> Tensor:
        """Return the convolved features."""
        source: Any
        target: Any
        fused = self._fused(edge_index, x)
        source, target = both_ends(x)
        self._refuse(source, target)
        if not fused:
            source, target = plain_features(source), plain_features(target)
            sizes = end_sizes((source, target), size, edge_index, self.node_dim)
            edge_index, _ = plain_graph(edge_index, flow=self.flow, num_nodes=sizes)
            out = self.propagate(edge_index, x=(source, target), size=sizes)
        else:
            sizes = end_sizes((source, target), size, edge_index)
            adjacency = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow)
            if isinstance(source, SparseOperator):
                out = self.nn(SparseSum(adjacency, source, 1 + self.eps, target))
                return out.to_dense() if isinstance(out, SparseSum) else out
            target = target.to_dense() if isinstance(target, SparseOperator) else target
            source = source if target is None else source.to(torch.promote_types(source.dtype, self.eps.dtype))
            alike = target is not None and source.dim() == 2 and target.shape[1:] == source.shape[1:]
            if alike and rememberable(self.eps):
                return applied(self.nn, adjacency.multiply_add(source, target, plus_scale=1 + float(self.eps)))
            out = adjacency @ source
        return self.nn(out if target is None else torch.addcmul(out, target, 1 + self.eps))

    def message(self, x_j: Tensor) -> Tensor:
        """Return each edge's source features."""
        return x_j

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nn={self.nn})"


class GINEConv(AbstractIsomorphismConv):
    r"""Graph isomorphism :math:`h((1 + \epsilon) x_i + \sum_j \mathrm{ReLU}(x_j + e_{ji}))` with edge features.

    The drop-in counterpart of PyG's layer: same arguments, parameters (``nn.*``, ``eps``, ``lin``) and numbers.

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

    def __init__(
        self, nn: torch.nn.Module, eps: float = 0.0, train_eps: bool = False, edge_dim: int | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.nn = nn
        self.initial_eps = eps
        if train_eps:
            self.eps = torch.nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.lin = None if edge_dim is None else Linear(edge_dim, _input_width(nn))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew and put epsilon back."""
        super().reset_parameters()
        reset(self.nn)
        self.eps.data.fill_(self.initial_eps)
        if self.lin is not None:
            self.lin.reset_parameters()

    def forward(self, x: Any, edge_index: Any, edge_attr: Any = None, size: Size = None) -> Tensor:
        """Return the convolved features."""
        plain = not self._fused(edge_index, x)
        if edge_attr is None:
            raise ValueError("`edge_attr` must be given: this layer adds the features of edges to those of nodes.")
        source, target = both_ends(x)
        self._refuse(source, target)
        source, target = plain_features(source), plain_features(target)
        sizes = end_sizes((source, target), size, edge_index, self.node_dim)
        if isinstance(edge_attr, EdgeTable):
            if not plain and source.dim() == 2:
                return self._tabled((source, target), edge_index, edge_attr, sizes)
            edge_attr = edge_attr.to_dense()
        if plain or source.dim() != 2 or edge_attr.dim() != 2:
            edge_index, _ = plain_graph(edge_index, flow=self.flow, num_nodes=sizes)
            one_value_per_edge("edge_attr", edge_attr, edge_index.size(1))
            out = self.propagate(edge_index, x=(source, target), edge_attr=edge_attr, size=sizes)
        else:
            pattern = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow).pattern
            one_value_per_edge("edge_attr", edge_attr, pattern.entries)
            out = rectified_sum(pattern, source, self._edge_term(source, edge_attr))
        return self.nn(out if target is None else torch.addcmul(out, target, 1 + self.eps))

    def _tabled(
        self, x: tuple[Tensor, OptTensor], edge_index: Any, edge_attr: EdgeTable, sizes: tuple[int, int]
    ) -> Tensor:
        source, target = x
        pattern = sum_adjacency(edge_index, num_nodes=sizes, flow=self.flow).pattern
        one_value_per_edge("edge_attr", edge_attr.row, pattern.entries)
        out = tabled_sum(pattern, source, EdgeTable(self._edge_term(source, edge_attr.table), edge_attr.row))
        return self.nn(out if target is None else torch.addcmul(out, target, 1 + self.eps))

    def _edge_term(self, x: Tensor, edge_attr: Tensor) -> Tensor:
        term = edge_attr if self.lin is None else self.lin(edge_attr)
        if x.size(-1) != term.size(-1):
            raise ValueError(
                "Node and edge feature dimensionalities do not match. Consider setting the 'edge_dim' attribute of "
                "'GINEConv'"
            )
        return term

    def message(self, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        """Return each edge's rectified sum of source and edge features."""
        return F.relu(x_j + self._edge_term(x_j, edge_attr))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nn={self.nn})"


def _input_width(nn: torch.nn.Module) -> int:
    first = nn[0] if isinstance(nn, torch.nn.Sequential) else nn
    for name in ("in_features", "in_channels"):
        if hasattr(first, name):
            return getattr(first, name)
    raise ValueError("Could not infer input channels from `nn`.")
