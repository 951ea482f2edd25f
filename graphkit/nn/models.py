"""Encoders: any convolution, stacked."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge, Linear
from torch_geometric.nn.resolver import activation_resolver, normalization_resolver

from graphkit._checks import at_least, member, within
from graphkit.nn.fused import unscriptable
from graphkit.nn.inputs import fitting
from graphkit.operators import SparseOperator
from graphkit.operators.dropout import dropout
from graphkit.operators.feature_matrix import features_of

Conv = Callable[[int, int], nn.Module]
"""Makes a layer from its numbers of input and output channels."""

_GRAPHS = ("edge_index", "basis")
_EXTRAS = ("edge_weight", "edge_attr", "batch")


class Encoder(nn.Module):
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

    __prepare_scriptable__ = unscriptable

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
        at_input = dropout if input_dropout is None else input_dropout
        self.input_dropout = within("input_dropout", at_input, 0.0, 1.0)
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
                raise ValueError(f"`{name}` was given, but {self.convs[0]._get_name()} does not use it; leave it out.")
        fitting(x, width=self.in_channels)
        x = features_of(x)
        states = []
        for number, (conv, takes) in enumerate(zip(self.convs, self._conv_takes, strict=True)):
            x = _dropped(x, self.dropout if number else self.input_dropout, self.training)
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

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in [*self.convs, *self.norms, *self.skips, self.jump, self.head]:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def __repr__(self) -> str:
        widths = f"{self.in_channels}, {self.hidden_channels}, {self.out_channels}"
        return f"{type(self).__name__}({widths}, layers={self.layers}, conv={type(self.convs[0]).__name__})"


def _dropped(x: Any, p: float, training: bool) -> Any:
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
    return frozenset(inspect.signature(layer.forward).parameters) & {*_GRAPHS, *_EXTRAS}
