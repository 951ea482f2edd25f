"""Architectures of wavelet convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from graphkit.training.zoo.abstract import (
    STRICT,
    AbstractEdgeStack,
    AbstractStack,
    EdgeWeights,
    NonNegative,
    Positive,
    Real,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.node_models import Conv

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

    scale: Scale = 1.0
    threshold: NonNegative = 1e-4

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
