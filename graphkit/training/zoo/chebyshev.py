"""Architectures of spectral convolutions that are polynomials of the Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.abstract import STRICT, AbstractEdgeStack, EdgeWeights, Positive

if TYPE_CHECKING:
    from torch import nn

    from graphkit.nn.node_models import Conv


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
