"""Which polynomial basis recovers which filter on a 100 x 100 grid, and how exactly?

A random signal is filtered by a known response of the grid's combinatorial Laplacian, whose Fourier basis is the cosine
transform; eigenvalues, from 0 to 8, are given to the response as 0 to 2. Each basis is a `PolynomialConv` of order 10
(Cayley: 5 powers, its zoom left at 1; even: 5 terms), whose coefficients are fitted twice: "exact" by least squares
over what the layer makes of the signal with each coefficient alone, and by so many steps of Adam from where the layer
starts, the identity. An error is the norm of what the layer's result then lacks over the norm of the filtered signal.
Bases of one degree span the same space and must agree, which checks them; how far gradient descent gets is what a basis
decides. The adaptive basis is orthonormal for the signal itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import _measure as measure
import networkx as nx
import numpy as np
import torch
from rich.table import Table
from scipy.fft import dctn, idctn
from torch import Tensor

from graphkit.nn import PolynomialConv
from graphkit.nn.spectral.polynomial import FILTERS

SIGNALS: dict[str, Callable[[Tensor], Tensor]] = {
    "low": lambda t: torch.exp(-10 * t**2),
    "high": lambda t: 1 - torch.exp(-10 * t**2),
    "band": lambda t: torch.exp(-10 * (t - 1) ** 2),
    "reject": lambda t: 1 - torch.exp(-10 * (t - 1) ** 2),
    "comb": lambda t: torch.sin(torch.pi * t).abs(),
}
LARGEST = 8.0
"""A grid's eigenvalues lie below 8."""


def grid(side: int) -> Tensor:
    """Return the edges of a grid of ``side`` x ``side`` nodes, row by row, each in both directions."""
    edges = torch.tensor([(a * side + b, c * side + d) for (a, b), (c, d) in nx.grid_2d_graph(side, side).edges])
    return torch.cat((edges, edges.flip(1))).t().contiguous()


def filtered(x: np.ndarray, response: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a signal on the grid, ``[side, side]``, filtered in its exact Fourier basis, ``[nodes]``."""
    one = 2 - 2 * np.cos(np.pi * np.arange(len(x)) / len(x))
    factors = response(torch.from_numpy(one[:, None] + one[None, :]) * (2 / LARGEST)).numpy()
    return torch.from_numpy(idctn(factors * dctn(x, norm="ortho"), norm="ortho").ravel())


def layer(basis: str, order: int, channels: int) -> PolynomialConv:
    """Return the filter alone, of so many channels; values are not rectified, so that it is linear in its numbers."""
    order = order // 2 if basis in ("cayley", "even") else order
    options = {"normalization": None, "per_channel": True, "linear": False, "bias": False, "nonnegative": False}
    made = PolynomialConv(channels, channels, order, basis, **options).double()
    if made.filter.zoom is not None:
        made.filter.zoom.requires_grad_(False)
    return made


def errors(basis: str, order: int, x: Tensor, edges: Tensor, targets: Tensor, steps: int) -> list[tuple[float, float]]:
    """Return for each target, ``[nodes, targets]``, the errors of least squares and of so many steps of Adam."""
    one, all_ = layer(basis, order, 1), layer(basis, order, targets.size(1))
    start, spread = all_.filter.weight.detach().clone(), x.expand(-1, targets.size(1)).contiguous()
    columns = []
    with torch.no_grad():
        for place in range(len(one.filter.weight)):
            one.filter.weight.zero_()[place] = 1.0
            columns.append(one(x, edges, lambda_max=LARGEST))
        solved = torch.linalg.lstsq(torch.cat(columns, 1), targets, driver="gelsd").solution
        all_.filter.weight.copy_(solved)
        left = [(all_(spread, edges, lambda_max=LARGEST) - targets).norm(dim=0)]
        all_.filter.weight.copy_(start)
    optimizer = torch.optim.Adam([all_.filter.weight], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (all_(spread, edges, lambda_max=LARGEST) - targets).square().mean(0).sum().backward()
        optimizer.step()
    with torch.no_grad():
        left.append((all_(spread, edges, lambda_max=LARGEST) - targets).norm(dim=0))
    exact, reached = ((part / targets.norm(dim=0)).tolist() for part in left)
    return list(zip(exact, reached, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--order", type=int, default=10)
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args(arguments)
    threads, start = measure.set_threads(options.threads), time.perf_counter()
    side, steps = (10, 20) if options.quick else (options.side, options.steps)
    x, edges = np.random.default_rng(0).standard_normal((side, side)), grid(side)
    targets = torch.stack([filtered(x, response) for response in SIGNALS.values()], 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("basis", *(f"{name}: exact, {steps} steps" for name in SIGNALS)):
        table.add_column(heading, justify="right" if heading != "basis" else "left")
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for basis in FILTERS:
        signal = torch.from_numpy(x.reshape(-1, 1))
        found[basis] = dict(zip(SIGNALS, errors(basis, options.order, signal, edges, targets, steps), strict=True))
        table.add_row(basis, *(f"{100 * a:.2f} %  {100 * b:.2f} %" for a, b in found[basis].values()))
    measure.printed(table)
    print(f"{side} x {side} grid, {time.perf_counter() - start:.0f} s; {threads}")
    measure.keep(options.json, grid=[side, side], order=options.order, steps=steps, errors=found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
