"""The learnt coefficients of a filter in a basis, and the filter as a function of the eigenvalue."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graphkit._checks import at_least, member, positive
from graphkit.operators import chebyshev_sum
from graphkit.operators.autograd import outside_transforms
from graphkit.operators.polynomials.cayley import cayley_degree, cayley_series
from graphkit.operators.polynomials.polynomial_bases import chebyshev_table, check_jacobi

FILTERS = ("monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "optbasis", "cayley")
VALUES = ("bernstein", "chebii")
"""Bases whose coefficients are, or control, values of the response: what is not negative there stays so."""
DESCENDING = ("monomial", "jacobi", "legendre", "even", "optbasis")
"""Bases whose variable falls with frequency, 1 - 2 lambda / lambda_max: that of the adjacency, as their authors'."""

ACCURACY = (1e-6, 1e-11)
"""How far each term of a Cayley filter is from its polynomial at most, in single precision and in float64."""


class Coefficients(nn.Module):
    r"""Coefficients of a filter, turned into Chebyshev's of :math:`2\lambda/\lambda_{max} - 1` whatever their basis.

    All filters start as the identity or, with ``start="pagerank"``, as :math:`\sum_k \alpha (1-\alpha)^k \hat A^k`.

    Args:
        order: of the last term.
        basis: one of ``FILTERS``.
        channels: filters, one for each channel; 0 for one filter of all channels.
        a: exponent of ``"jacobi"``.
        b: exponent of ``"jacobi"``.
        alpha: of ``"jacobi"``, the bound of its factors :math:`\alpha\tanh\eta_l`, of which term k has k; or of the
            start of ``"monomial"``.
        nonnegative: rectify the coefficients of ``"bernstein"`` and ``"chebii"``.
        zoom: where :math:`h` of ``"cayley"`` starts; it is learnt.
        degree: of the polynomial that a Cayley filter is evaluated by; ``None`` for what its order and its zoom, as it
            is now, need for :data:`ACCURACY`.

    Source: Wang & Zhang (2022), arXiv:2205.11172, for the factors; Chien et al. (2021), arXiv:2006.07988, for the
    start by PageRank.

    Example:
        >>> Coefficients(2, "chebyshev").chebyshev().tolist()
        [1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        order: int,
        basis: str,
        channels: int = 0,
        *,
        a: float = 1.0,
        b: float = 1.0,
        alpha: float | None = None,
        nonnegative: bool = True,
        zoom: float = 1.0,
        degree: int | None = None,
    ) -> None:
        super().__init__()
        self.order, self.basis, self.channels = at_least("order", order, 0), member("basis", basis, FILTERS), channels
        self.a, self.b = check_jacobi(a, b)
        self.alpha = None if alpha is None else positive("alpha", alpha)
        if alpha is not None and basis not in ("jacobi", "monomial"):
            raise ValueError(f"`alpha` belongs to basis='jacobi' and 'monomial' and says nothing of {basis!r}.")
        self.nonnegative = nonnegative and basis in VALUES
        self.start, self._given = positive("zoom", zoom), degree is not None
        self.degree = at_least("degree", degree, 1) if degree is not None else cayley_degree(order, zoom, ACCURACY[0])
        terms = 2 * order + 1 if basis == "cayley" else order + 1
        self.weight = Parameter(torch.empty(terms, channels) if channels else torch.empty(terms))
        damped = basis == "jacobi" and alpha is not None
        self.factor = Parameter(torch.empty(order)) if damped else None
        self.zoom = Parameter(torch.empty(())) if basis == "cayley" else None
        sign = -1.0 if basis in DESCENDING else 1.0
        known = basis if basis not in ("cayley", "optbasis") else "monomial"
        self._table = chebyshev_table(known, order, a=self.a, b=self.b, sign=sign)  # a buffer would be rounded
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the identity, as PageRank, or for damped Jacobi terms with ones, as the authors do."""
        with torch.no_grad():
            if self.basis in VALUES or self.factor is not None:
                self.weight.fill_(1.0)
            else:
                self.weight.zero_()
                self.weight[0] = 1.0
            if self.basis == "monomial" and self.alpha is not None:
                powers = [self.alpha * (1 - self.alpha) ** k for k in range(self.order)]
                start = self.weight.new_tensor([*powers, (1 - self.alpha) ** self.order])
                self.weight.copy_(start.view(-1, *[1] * (self.weight.dim() - 1)).expand_as(self.weight))
            if self.factor is not None and self.alpha is not None:
                self.factor.fill_(min(1 / self.alpha, 1.0))
            if self.zoom is not None:
                self.zoom.fill_(self.start)

    def chebyshev(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return Chebyshev's coefficients, ``[degree + 1]`` or ``[degree + 1, channels]``."""
        weight = self.weight if dtype is None else self.weight.to(dtype)
        if self.basis == "chebyshev":
            return weight
        if self.zoom is not None:
            return cayley_series(weight, self.zoom.to(weight.dtype), degree=self._needed(weight.dtype))
        weight = weight.relu() if self.nonnegative else weight
        if self.factor is not None and self.alpha is not None:
            damping = torch.cat((weight.new_ones(1), (self.alpha * torch.tanh(self.factor)).to(weight.dtype)))
            damping = torch.cumprod(damping, 0)
            weight = weight * (damping.unsqueeze(-1) if self.channels else damping)
        return torch.tensordot(self._table.to(weight), weight, dims=1)

    def _needed(self, dtype: torch.dtype) -> int:
        """Return the degree of a Cayley filter's polynomial; where no number can be looked at, the one known last.

        Of several tasks under ``vmap`` it is what the largest zoom needs.
        """
        zoom: Any = self.zoom
        if zoom is not None and not (self._given or torch.compiler.is_compiling()):
            while torch._C._functorch.is_functorch_wrapped_tensor(zoom):
                zoom = torch._C._functorch.get_unwrapped(zoom)
            with outside_transforms():
                largest = float(zoom.detach().abs().max())
            self.degree = cayley_degree(self.order, largest, ACCURACY[dtype == torch.float64])
        return self.degree

    def forward(self, points: Tensor) -> Tensor:
        """Return the response at points of [-1, 1], ``[points]`` or ``[points, channels]``."""
        factors = self.chebyshev(points.dtype)
        points = points.unsqueeze(-1) if self.channels else points
        return chebyshev_sum(lambda v: points * v, [factor + torch.zeros_like(points) for factor in factors])

    def extra_repr(self) -> str:
        """Return what ``str`` shows."""
        return f"order={self.order}, basis={self.basis}"
