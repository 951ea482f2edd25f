"""Architectures on the Laplacian's eigenbasis and on graph wavelets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    AbstractEdgeStack,
    AbstractStack,
    Count,
    EdgeWeights,
    LearningRate,
    NonNegative,
    Positive,
    Rate,
    Real,
    Switch,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.node_models import Conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Spectral(AbstractStack):
    """Convolutions in the eigenbasis of the symmetric Laplacian; ``pairs`` of it, or all where that is 0.

    A free response has parameters of its graph's, one for each pair; the others are functions of the eigenvalue.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203; Bo et al. (2023), arXiv:2303.01028, for "set".
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    made_outside: ClassVar[str] = "a Fourier basis of the graph"

    response: Literal["free", "bspline", "bernstein", "chebyshev", "mlp", "set"] = "bspline"
    mixing: Literal["full", "depthwise"] = "depthwise"
    terms: Positive = 8
    pairs: Count = 256
    rest: Switch = True
    heat: NonNegative = 0.0
    response_lr: LearningRate = 0.01

    @property
    def tied(self) -> bool:
        """Whether it has a parameter for each pair of its graph's."""
        return self.response == "free"

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the Fourier basis, kept on the disk for the next run."""
        return _basis(edge_index, edge_weight, num_nodes, self.pairs)

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the maker of such convolutions, twice."""
        from graphkit.nn import SpectralConv

        (basis,) = graph

        def conv(i: int, o: int) -> nn.Module:
            tied = basis if self.response == "free" else None
            return SpectralConv(
                i,
                o,
                self.response,
                terms=self.terms,
                mixing=self.mixing,
                residual=self.rest,
                heat=self.heat,
                basis=tied,
            )

        return conv, conv

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return a group of the responses where they have a rate of their own."""
        own = [p for name, p in module.named_parameters() if name.rpartition(".")[2] in ("factors", "rest")]
        return [{"params": own, "lr": self.response_lr, "weight_decay": 0.0}] if own else []


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Specformer(AbstractArchitecture):
    """A perceptron, and after it filters by an encoder that sees the whole spectrum.

    Graphs of up to ``whole`` nodes have their whole basis, larger ones the ``pairs`` lowest of it; what these do not
    span passes. ``propagation_dropout`` acts before each filter and in the encoder.

    Source: Bo, Shi, Wang & Liao (2023), arXiv:2303.01028.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    made_outside: ClassVar[str] = "a Fourier basis of the graph"

    filters: Positive = 2
    terms: Positive = 4
    width: Positive = 32
    pairs: Positive = 512
    whole: Count = 4000
    propagation_dropout: Rate = 0.2

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the Fourier basis, kept on the disk for the next run."""
        return _basis(edge_index, edge_weight, num_nodes, 0 if num_nodes <= self.whole else self.pairs)

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the perceptron and its filter.

        Raises:
            ValueError: for a ``width`` that its four heads cannot share.
        """
        from graphkit.nn import FilteredPerceptron, SpecformerFilter

        if self.width % 4:
            raise ValueError(f"`width` must be a multiple of 4, one part for each head, got {self.width}.")

        found = SpecformerFilter(
            out_channels, layers=self.filters, terms=self.terms, hidden=self.width, dropout=self.propagation_dropout
        )
        return FilteredPerceptron(in_channels, self.hidden, out_channels, found, dropout=self.dropout)


def _basis(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, pairs: int) -> tuple[Any, ...]:
    """Return the basis of so many pairs, or of all where that is 0, as what a model takes of a graph."""
    from graphkit.data import cached_fourier_basis

    return (cached_fourier_basis(edge_index, edge_weight, num_nodes=num_nodes, k=min(pairs, num_nodes) or None),)


Scale = Annotated[Real, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Wavelet(AbstractEdgeStack):
    """Heat wavelets at the scales ``scale``, ``2 scale``, ``4 scale``, ..., as functions of the eigenvalue.

    Source: Xu et al. (2019), arXiv:1904.07785, for the wavelets; that scales are mixed is ours.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    form: Literal["bands", "mixed"] = "bands"
    bands: Positive = 2
    scale: Scale = 1.0

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import GraphWaveletConv

        scales = [self.scale * 2.0**band for band in range(self.bands)]

        def conv(i: int, o: int) -> nn.Module:
            return GraphWaveletConv(i, o, scale=scales, form=self.form)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GWNN(AbstractStack):
    """The published wavelet network, with a number at every node of its graph and a true inverse.

    ``threshold`` 0 keeps all entries: the wavelets are then polynomials and no matrix is made.

    Source: Xu et al. (2019), arXiv:1904.07785.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    made_outside: ClassVar[str] = "the wavelets of the graph that it was made for"

    scale: Scale = 1.0
    threshold: NonNegative = 1e-4

    @property
    def tied(self) -> bool:
        """Return true: it has a number at every node."""
        return True

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the graph as an operator, which knows its number of nodes."""
        from graphkit.operators import SparseOperator

        return (SparseOperator.from_edge_index(edge_index, edge_weight, num_nodes=num_nodes),)

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the maker of layers that belong to ``graph``, twice."""
        from graphkit.nn import GraphWaveletConv

        def conv(i: int, o: int) -> nn.Module:
            return GraphWaveletConv(
                i,
                o,
                scale=self.scale,
                form="gwnn",
                num_nodes=graph[0].shape[0],
                threshold=self.threshold or None,
            )

        return conv, conv
