"""Which polynomial basis recovers which filter on a 100 x 100 grid, and how exactly?

The grid's ends are joined (a torus), so that its spectrum is known. The signals are random ones filtered by a known
response; each basis has order 10 (Cayley: 5 powers, even: 5 terms) and its coefficients are those of least squares
over the eigenvalues, each weighted by the signal's energy there. An error is the norm of what is left over the norm of
the filtered signal. Bases of one degree span the same space and must agree, which checks them; how far gradient
descent (Adam, so many steps from zero) gets is what a basis decides, and stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import _measure as measure
import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from graphkit.nn.spectral.coefficients import Coefficients

SIGNALS: dict[str, Callable[[Tensor], Tensor]] = {
    "low": lambda t: torch.exp(-10 * t**2),
    "high": lambda t: 1 - torch.exp(-10 * t**2),
    "band": lambda t: torch.exp(-10 * (t - 1) ** 2),
    "reject": lambda t: 1 - torch.exp(-10 * (t - 1) ** 2),
    "comb": lambda t: torch.sin(torch.pi * t).abs(),
}
BASES = ("monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "cayley")


def spectrum(side: int) -> Tensor:
    """Return the eigenvalues of a torus' normalised Laplacian, the grid with its ends joined, sorted."""
    one = torch.cos(2 * torch.pi * torch.arange(side, dtype=torch.float64) / side)
    return (1 - (one[:, None] + one[None, :]) / 2).flatten().sort().values


def design(basis: str, order: int, points: Tensor) -> Tensor:
    """Return the response to each coefficient alone, ``[points, terms]``."""
    filter = Coefficients(order, basis, nonnegative=False, degree=60).double()
    columns = []
    for place in range(len(filter.weight)):
        with torch.no_grad():
            filter.weight.zero_()
            filter.weight[place] = 1.0
            columns.append(filter(points - 1))
    return torch.stack(columns, 1)


def errors(basis: str, order: int, points: Tensor, energy: Tensor, target: Tensor, steps: int) -> tuple[float, float]:
    """Return the relative errors of least squares and of so many steps of Adam."""
    table, root = design(basis, order, points), energy.sqrt()
    solved = torch.linalg.lstsq(root[:, None] * table, (root * target)[:, None], driver="gelsd").solution[:, 0]
    weight = torch.zeros(table.shape[1], dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (energy * (table @ weight - target).square()).mean().backward()
        optimizer.step()
    whole = (energy * target.square()).sum()
    left = [((energy * (table @ w - target).square()).sum() / whole).sqrt() for w in (solved, weight.detach())]
    return float(left[0]), float(left[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = measure.parser(__doc__)
    parser.add_argument("--order", type=int, default=10)
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args(arguments)
    side, steps = (10, 20) if options.quick else (options.side, options.steps)
    points = spectrum(side)
    energy = torch.from_numpy(np.random.default_rng(0).standard_normal(len(points))).square()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("basis", *(f"{name}: exact, {steps} steps" for name in SIGNALS)):
        table.add_column(heading, justify="right" if heading != "basis" else "left")
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for basis in BASES:
        order = options.order // 2 if basis in ("cayley", "even") else options.order
        found[basis] = {name: errors(basis, order, points, energy, f(points), steps) for name, f in SIGNALS.items()}
        table.add_row(basis, *(f"{100 * a:.2f} %  {100 * b:.2f} %" for a, b in found[basis].values()))
    measure.printed(table)
    measure.keep(options.json, grid=[side, side], order=options.order, steps=steps, errors=found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
