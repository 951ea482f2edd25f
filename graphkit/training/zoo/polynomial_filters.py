"""Architectures of polynomial filters: ChebNet and filters with learnt coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    AbstractEdgeStack,
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

Exponent = Annotated[Real, Field(gt=-1, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Polynomial(AbstractArchitecture):
    """A perceptron with one hidden layer, or a linear map, and a polynomial filter of its result.

    The filter has learning rates and decays of its own; ``factor_lr`` and ``factor_l2`` are those of damped Jacobi
    terms. ``alpha`` 0 is none, and ``degree`` 0 what a Cayley filter's order and zoom need.

    Source: Chien et al. (2021), arXiv:2006.07988; He et al. (2022), arXiv:2202.03580; Wang & Zhang (2022),
    arXiv:2205.11172.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    basis: Literal[
        "monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "optbasis", "cayley"
    ] = "monomial"
    order: Count = 10
    perceptron: Switch = True
    per_channel: Switch = False
    a: Exponent = 1.0
    b: Exponent = 1.0
    alpha: NonNegative = 0.0
    zoom: LearningRate = 1.0
    degree: Count = 0
    propagation_dropout: Rate = 0.5
    filter_lr: LearningRate = 0.01
    filter_l2: NonNegative = 0.0
    factor_lr: LearningRate = 0.01
    factor_l2: NonNegative = 0.0

    @property
    def single(self) -> bool:
        """Whether its first map is all there is beside the filter, which has a decay of its own."""
        return not self.perceptron

    def unused_fields(self) -> dict[str, str]:
        """Return what other bases have, and the width of a perceptron that is not there."""
        damped = self.basis == "jacobi" and self.alpha > 0
        asked = {
            "`perceptron` is false": ("hidden",) * (not self.perceptron),
            "only basis 'jacobi' has exponents": ("a", "b") * (self.basis != "jacobi"),
            "only bases 'monomial' and 'jacobi' have it": ("alpha",) * (self.basis not in ("monomial", "jacobi")),
            "only basis 'cayley' has it": ("zoom", "degree") * (self.basis != "cayley"),
            "only damped Jacobi terms have factors": ("factor_lr", "factor_l2") * (not damped),
            "basis 'optbasis' has a filter for each channel": ("per_channel",) * (self.basis == "optbasis"),
        }
        return {name: why for why, names in asked.items() for name in names}

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the perceptron and its filter."""
        from graphkit.nn import FilteredPerceptron, PolynomialConv

        found = PolynomialConv(
            out_channels,
            out_channels,
            self.order,
            self.basis,
            per_channel=self.per_channel,
            a=self.a,
            b=self.b,
            alpha=(None if "alpha" in self.unused_fields() else self.alpha) or None,
            zoom=self.zoom,
            degree=self.degree or None,
            linear=False,
            bias=False,
        )
        return FilteredPerceptron(
            in_channels,
            self.hidden if self.perceptron else 0,
            out_channels,
            found,
            dropout=self.dropout,
            propagation_dropout=self.propagation_dropout,
        )

    def groups(self, module: Any) -> list[dict[str, Any]]:
        """Return a group of the coefficients, and one of the factors where there are any."""
        learnt = module.filter.filter
        factors = [] if learnt.factor is None else [learnt.factor]
        rest = [p for p in learnt.parameters() if p is not learnt.factor]
        found = [
            {"params": rest, "lr": self.filter_lr, "weight_decay": self.filter_l2},
            {"params": factors, "lr": self.factor_lr, "weight_decay": self.factor_l2},
        ]
        return [group for group in found if group["params"]]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cheb(AbstractEdgeStack):
    """Chebyshev polynomials of the Laplacian; ``order`` counts the terms, as PyG's ``K`` does.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    order: Positive = 3

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import ChebConv

        def conv(i: int, o: int) -> nn.Module:
            return ChebConv(i, o, K=self.order)

        return conv, conv
