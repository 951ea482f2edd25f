"""Features mapped first, filtered after: the model of the polynomial papers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import Linear

from graphkit._checks import at_least, within
from graphkit.nn.fused import unscriptable
from graphkit.nn.inputs import fitting
from graphkit.operators import SparseOperator
from graphkit.operators.dropout import dropout
from graphkit.operators.feature_matrix import features_of


class FilteredPerceptron(nn.Module):
    r"""A perceptron of the features, or a linear map, and one filter of its result.

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

    __prepare_scriptable__ = unscriptable

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

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.first.reset_parameters()
        if self.last is not None:
            self.last.reset_parameters()
        self.filter.reset_parameters()  # type: ignore[operator]

    def forward(self, x: Any, *graph: Any) -> Tensor:
        """Return one row of ``out_channels`` per node.

        Args:
            x: features ``[nodes, in_channels]``, a tensor or a ``SparseOperator``.
            graph: what the filter takes after the signal: ``edge_index`` and ``edge_weight``, or a Fourier basis.
        """
        fitting(x, self.first)
        x = features_of(x)
        sparse = isinstance(x, SparseOperator)
        h = self.first(x.dropout(self.dropout, self.training) if sparse else dropout(x, self.dropout, self.training))
        if self.last is not None:
            h = self.last(dropout(h.relu(), self.dropout, self.training))
        return self.filter(dropout(h, self.propagation_dropout, self.training), *graph)
