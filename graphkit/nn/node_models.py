"""Models of nodes: any convolution, stacked; a filter after a perceptron; random propagation."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge, Linear
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.resolver import activation_resolver, normalization_resolver

from graphkit._checks import at_least, member, within
from graphkit._torch_internals import module_name
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features, edge_list, is_tracing
from graphkit.nn.maps import matrix_dtype
from graphkit.operators import SparseOperator, gcn_adjacency
from graphkit.operators.dropout import dropout
from graphkit.operators.feature_matrix import features_of, linear

Conv = Callable[[int, int], nn.Module]
"""Makes a layer from its numbers of input and output channels."""

_GRAPHS = ("edge_index", "basis")
_EXTRAS = ("edge_weight", "edge_attr", "batch")


class Encoder(AbstractModel):
    r"""Layers of one kind, with dropout before each and norm, activation and residual between them.

    .. math::
        h_0 = x, \qquad h_{l+1} = \sigma\bigl(\mathrm{norm}(\mathrm{conv}_l(\mathrm{dropout}(h_l), A) + S_l h_l)\bigr)

    The last layer is a bare convolution to ``out_channels``, without norm and activation. With jumping knowledge
    every layer has ``hidden_channels`` and a linear head reads their combination, as PyG's ``BasicGNN`` does.

    Args:
        in_channels: features of a node; -1 where the convolution is lazy.
        hidden_channels: width between the layers, at least 1.
        out_channels: width of the result, at least 1.
        layers: number of convolutions, at least 1.
        conv: makes a layer from two widths: ``GCNConv`` itself, or ``lambda i, o: GATConv(i, o // 8, heads=8)``. A
            layer whose ``forward`` knows no ``edge_index`` (``nn.Linear``) is given ``x`` alone.
        last: makes the last layer where it differs from the others (GAT: one head, averaged). Default: ``conv``.
        dropout: probability in [0, 1) of zeroing an input value of a layer. On a sparse ``x`` it acts on the
            stored values: the dropout of a zero is a zero.
        input_dropout: the same for the features themselves, where it differs.
        norm: ``None``, a name such as "batch" or "layer", or a function from width to module. "layer" normalises
            each node by itself; PyG's default for that name takes statistics over the whole graph.
        residual: add the layer's input (:math:`S_l` the identity where the widths agree, else linear) to its result.
        jumping_knowledge: ``None``, "cat", "max" or "lstm": how all layers together make the representation.
        activation: a name PyG resolves ("relu", "elu", ...) or a module.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> Encoder(5, 16, 3, conv=SAGEConv, layers=3, norm="batch", residual=True)
        Encoder(5, 16, 3, layers=3, conv=SAGEConv)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        conv: Conv,
        last: Conv | None = None,
        layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float | None = None,
        norm: str | Callable[[int], nn.Module] | None = None,
        residual: bool = False,
        jumping_knowledge: str | None = None,
        activation: str | nn.Module = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.hidden_channels, self.out_channels = in_channels, hidden_channels, out_channels
        self.layers = at_least("layers", layers, 1)
        at_least("hidden_channels", hidden_channels, 1)
        at_least("out_channels", out_channels, 1)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.input_dropout = self.dropout if input_dropout is None else within("input_dropout", input_dropout, 0.0, 1.0)
        if jumping_knowledge is not None:
            member("jumping_knowledge", jumping_knowledge, ["cat", "max", "lstm"])

        bare = 0 if jumping_knowledge else 1  # layers without norm, activation and residual: the last one, or none
        widths = [in_channels] + [hidden_channels] * (layers - bare) + [out_channels] * bare
        makers = [conv] * (layers - 1) + [last or conv]
        pairs = list(itertools.pairwise(widths))
        self.convs = nn.ModuleList(make(i, o) for make, (i, o) in zip(makers, pairs, strict=True))
        self.norms = nn.ModuleList(_norm(norm, hidden_channels) for _ in range(layers - bare))
        self.skips = nn.ModuleList(_skip(i, o) for i, o in (pairs[: layers - bare] if residual else []))
        self.activation = activation_resolver(activation)
        self.jump: nn.Module | None = None
        self.head: nn.Module | None = None
        if jumping_knowledge:
            self.jump = JumpingKnowledge(jumping_knowledge, hidden_channels, layers)
            self.head = Linear(hidden_channels * (layers if jumping_knowledge == "cat" else 1), out_channels)
        self._conv_takes = [_arguments(layer) for layer in self.convs]
        self._norm_takes = [_arguments(layer) for layer in self.norms]

    @property
    def first(self) -> nn.Module:
        """The first convolution: what weight decay is often confined to."""
        return self.convs[0]

    @property
    def last(self) -> nn.Module:
        """The module that makes the outputs: the head, or the last convolution."""
        return self.convs[-1] if self.head is None else self.head

    @property
    def takes(self) -> frozenset[str]:
        """Which of ``edge_index``, ``basis``, ``edge_weight``, ``edge_attr`` and ``batch`` some layer can use."""
        return frozenset().union(*self._conv_takes)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Return one row of ``out_channels`` per node.

        Args:
            x: features ``[nodes, in_channels]``, a tensor or a ``SparseOperator``.
            edge_index: the graph, in any form the convolution takes; for layers whose ``forward`` takes a ``basis``
                in its place (``SpectralConv``), the Fourier basis.
            edge_weight: one weight per edge, ``[edges]``.
            edge_attr: features of the edges, ``[edges, features]``.
            batch: graph of each node, ``[nodes]``, for the norms and layers that ask for it.

        Raises:
            ValueError: if ``edge_weight`` or ``edge_attr`` is given and no layer can use it.
        """
        given = {"edge_weight": edge_weight, "edge_attr": edge_attr, "batch": batch}
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name != "batch" and name not in self.takes:
                raise ValueError(f"`{name}` was given, but {module_name(self.convs[0])} does not use it; leave it out.")
        check_features(x, width=self.in_channels)
        x = features_of(x)
        states = []
        for number, (conv, takes) in enumerate(zip(self.convs, self._conv_takes, strict=True)):
            x = drop_features(x, self.dropout if number else self.input_dropout, self.training)
            extras = {name: value for name, value in given.items() if name in takes}
            h = conv(x, edge_index, **extras) if takes.intersection(_GRAPHS) else conv(x)
            if number < len(self.norms):
                if len(self.skips):
                    h = h + self.skips[number](x)
                norm_extras = {"batch": batch} if batch is not None and "batch" in self._norm_takes[number] else {}
                h = self.activation(self.norms[number](h, **norm_extras))
            x = h
            states.append(x)
        if self.jump is not None and self.head is not None:
            x = self.head(dropout(self.jump(states), self.dropout, self.training))
        return x

    def __repr__(self) -> str:
        widths = f"{self.in_channels}, {self.hidden_channels}, {self.out_channels}"
        return f"{type(self).__name__}({widths}, layers={self.layers}, conv={type(self.convs[0]).__name__})"


def drop_features(x: Any, p: float, training: bool) -> Any:
    """Return ``x`` after dropout; of a sparse matrix only the stored values can be dropped."""
    return x.dropout(p, training) if isinstance(x, SparseOperator) else dropout(x, p, training)


def _norm(norm: str | Callable[[int], nn.Module] | None, channels: int) -> nn.Module:
    """Return the norm of one layer."""
    if norm is None:
        return nn.Identity()
    if callable(norm):
        return norm(channels)
    if norm == "layer":
        return normalization_resolver("layer", channels, mode="node")
    if norm == "batch":
        return normalization_resolver("batch", channels, allow_single_element=True)  # one node is a legal graph
    return normalization_resolver(norm, channels)


def _skip(in_channels: int, out_channels: int) -> nn.Module:
    """Return the residual path from one width to another."""
    return nn.Identity() if in_channels == out_channels else Linear(in_channels, out_channels, bias=False)


def _arguments(layer: nn.Module) -> frozenset[str]:
    """Return those arguments of a layer's ``forward`` that the encoder can fill."""
    if isinstance(layer, SeparatedConv):
        return _arguments(layer.conv)
    return frozenset(inspect.signature(layer.forward).parameters) & {*_GRAPHS, *_EXTRAS}


class SeparatedConv(AbstractModel):
    r"""Residual layer: any layer, and a linear map of the node itself, :math:`\mathrm{conv}(x, A) + W x + b`.

    A node is not averaged away among its neighbours, however many layers there are.

    Args:
        conv: the layer ``(x, edge_index)``, or one that takes ``edge_weight`` or ``edge_attr`` too.
        in_channels: features of a node.
        out_channels: width of the layer's result.

    Source: the residual of Luo, Shi & Wu (2024), "Classic GNNs are Strong Baselines", arXiv:2406.08993, as
    ``medium_graph/model.py`` of its authors has it.

    Example:
        >>> import torch
        >>> from graphkit.nn import GCNConv
        >>> SeparatedConv(GCNConv(3, 2), 3, 2)(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    def __init__(self, conv: nn.Module, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.own = nn.Linear(in_channels, out_channels)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: Tensor | None = None, edge_attr: Tensor | None = None
    ) -> Tensor:
        """Return the layer's result with the node's own, ``[nodes, out_channels]``."""
        check_features(x, self.own)
        x = features_of(x)
        given = {"edge_weight": edge_weight, "edge_attr": edge_attr}
        return self.conv(x, edge_index, **{k: v for k, v in given.items() if v is not None}) + self.own(x)


class FilteredPerceptron(AbstractModel):
    r"""Decoupled model: a perceptron of the features, or a linear map, and one filter of its result.

    :math:`Z = \sum_k c_k P_k(L) \, \mathrm{drop}(f(X))` with :math:`f(X) = W_2\,\sigma(W_1 X + b_1) + b_2`, or with
    ``hidden_channels=0`` :math:`f(X) = W X + b`.

    Args:
        in_channels: features of a node.
        hidden_channels: width of the perceptron; 0 for a linear map.
        out_channels: width of the result.
        filter: the filter, without a linear map of its own: a ``PolynomialConv`` or a ``SpecformerFilter``.
        dropout: probability of zeroing an input value, and a hidden value.
        propagation_dropout: probability of zeroing a value before the filter.

    Source: Chien et al. (2021), arXiv:2006.07988, for the perceptron; Wang & Zhang (2022), arXiv:2205.11172, for the
    linear model with a filter for each channel; Bo et al. (2023), arXiv:2303.01028, for a filter of the eigenvalues.

    Example:
        >>> import torch
        >>> from graphkit.nn import PolynomialConv
        >>> filter = PolynomialConv(2, 2, 10, "chebii", linear=False, bias=False)
        >>> FilteredPerceptron(3, 8, 2, filter).eval()(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        filter: nn.Module,
        *,
        dropout: float = 0.5,
        propagation_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.propagation_dropout = within("propagation_dropout", propagation_dropout, 0.0, 1.0)
        hidden = at_least("hidden_channels", hidden_channels, 0)
        self.first = Linear(in_channels, hidden or out_channels)
        self.last = Linear(hidden, out_channels) if hidden else None
        self.filter = filter

    def forward(self, x: Any, *graph: Any) -> Tensor:
        """Return one row of ``out_channels`` per node.

        ``x [nodes, in_channels]`` is a tensor or a ``SparseOperator``; ``graph`` is what the filter takes after the
        signal: ``edge_index`` and ``edge_weight``, or a Fourier basis.
        """
        check_features(x, self.first)
        h = self.first(drop_features(features_of(x), self.dropout, self.training))
        if self.last is not None:
            h = self.last(dropout(h.relu(), self.dropout, self.training))
        return self.filter(dropout(h, self.propagation_dropout, self.training), *graph)


class RandomPropagation(AbstractModel):
    r"""GRAND's encoder: a perceptron on features averaged over 0 to ``order`` hops, with nodes dropped in training.

    .. math::
        H = \frac{1}{K + 1} \sum_{k=0}^{K} \hat A^k \, \mathrm{diag}(b) X W_1, \qquad Z = W_2\,\sigma(H + b_1) + b_2

    where :math:`b_i` is 0 with probability ``node_dropout`` and :math:`1 / (1 - p)` otherwise, in training, and 1
    after. Two passes see two random halves of every neighbourhood: a consistency loss may ask them to agree.

    Args:
        in_channels: features of a node.
        hidden_channels, out_channels: width in between and of the result.
        order: number of hops, at least 0.
        node_dropout: probability of dropping a node, in [0, 1).
        dropout: probability of zeroing an input value, and a hidden value.

    Source: Feng et al. (2020), arXiv:2005.11079, equations 2 to 4. The first linear map is taken before the averages,
    where features are sparse, which is the same sum; hence its input dropout acts before the averages too.

    Example:
        >>> encoder = RandomPropagation(3, 8, 2, order=2).eval()
        >>> encoder(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        order: int = 4,
        node_dropout: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.order = at_least("order", order, 0)
        self.node_dropout = within("node_dropout", node_dropout, 0.0, 1.0)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.first = Linear(in_channels, hidden_channels)
        self.last = Linear(hidden_channels, out_channels)

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return one row of ``out_channels`` per node.

        ``x [nodes, in_channels]`` is a tensor or a ``SparseOperator``, the graph in any form ``GCNConv`` takes.
        """
        h = linear(drop_features(features_of(x), self.dropout, self.training), self.first.weight)
        if self.training and self.node_dropout > 0:
            kept = torch.rand(len(h), 1, device=h.device, dtype=h.dtype) >= self.node_dropout
            h = h * kept / (1 - self.node_dropout)
        average = averages(h, edge_index, edge_weight)
        total = h
        for _ in range(self.order):
            h = average(h)
            total = total + h
        hidden = (total / (self.order + 1) + self.first.bias).relu()
        return self.last(dropout(hidden, self.dropout, self.training))


def averages(h: Tensor, edge_index: Any, edge_weight: Tensor | None) -> Callable[[Tensor], Tensor]:
    r"""Return the product with :math:`\hat A` of GCN as a function, by messages where operations are traced.

    Args:
        h: what will be multiplied, or has its type and number of nodes.
        edge_index, edge_weight: in any form that ``GCNConv`` takes.
    """
    if not is_tracing():
        return gcn_adjacency(edge_index, edge_weight, num_nodes=h.size(0), dtype=matrix_dtype(h)).__matmul__
    index, weight = edge_list(edge_index, edge_weight, flow="source_to_target", num_nodes=h.size(0))
    index, weight = gcn_norm(index, weight, h.size(0), dtype=h.dtype)

    def average(h: Tensor) -> Tensor:
        return torch.zeros_like(h).index_add(0, index[1], weight.unsqueeze(1) * h.index_select(0, index[0]))

    return average
