"""How fast is a polynomial filter of order 10, forward and backward, beside a loop of PyG's propagate?

The graph is that of `layers.py`: 170,000 nodes and 2,300,000 edges (both directions counted), degrees by a power law.
Both sides compute sum_k c_k P_k(A) x of the same Jacobi polynomials with 128 features and the same coefficients, and
the gradients of x and of the coefficients. The peer is what the public codes do: messages edge by edge, all terms
kept. "difference" is the largest one in results and gradients, relative to the largest value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
from layers import power_law
from torch import Tensor
from torch_geometric.nn import SimpleConv
from torch_geometric.utils import degree

from graphkit.nn import PolynomialConv

A, B = 1.0, 1.0
SIDES = {"graphkit": "graphkit", "propagate": "PyG, propagate loop"}


class Loop(torch.nn.Module):
    """The terms one by one, each by PyG's message passing (``propagate``)."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.conv = SimpleConv(aggr="sum")
        self.weight = torch.nn.Parameter(torch.linspace(1, 0.1, order + 1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the filtered signal."""
        root = degree(edge_index[1], len(x)).clamp(min=1).rsqrt()
        norm = root[edge_index[0]] * root[edge_index[1]]
        terms = [x, (A + B + 2) / 2 * self.conv(x, edge_index, norm) + (A - B) / 2 * x]
        for k in range(2, len(self.weight)):
            c = 2 * k + A + B
            below = 2 * k * (k + A + B) * (c - 2)
            image = self.conv(terms[-1], edge_index, norm)
            term = (c - 1) * c * (c - 2) / below * image + (c - 1) * (A * A - B * B) / below * terms[-1]
            terms.append(term - 2 * (k + A - 1) * (k + B - 1) * c / below * terms[-2])
        return torch.einsum("k,knf->nf", self.weight, torch.stack(terms[: len(self.weight)]))


def pass_of(side: str, nodes: int, edges: int, features: int, order: int) -> Callable[[], tuple[Tensor, ...]]:
    """Return one side's pass, which returns the result and the gradients of ``x`` and the coefficients."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, features, generator=generator).requires_grad_()
    upstream, graph, module = torch.randn(nodes, features, generator=generator), power_law(nodes, edges), Loop(order)
    call: Any = module
    weight = module.weight
    if side == "graphkit":
        call = PolynomialConv(features, features, order, "jacobi", a=A, b=B, linear=False, bias=False)
        weight = call.filter.weight
        weight.data.copy_(module.weight.data)

    def run() -> tuple[Tensor, ...]:
        x.grad = weight.grad = None
        out = call(x, graph)
        out.backward(upstream)
        return out.detach(), x.grad, weight.grad

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both sides in turn."""
    parser = measure.parser(__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=[170_000, 2_300_000, 128], help="nodes edges features")
    parser.add_argument("--order", type=int, default=10)
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    size = options.size if not options.quick else [300, 4_000, 16]
    if options.memory_of:
        pass_of(options.memory_of, 64, 512, size[2], options.order)()
        print(measure.memory_added(pass_of(options.memory_of, *size, options.order)))
        return 0
    rounds = options.rounds or 2
    runs = {side: pass_of(side, *size, options.order) for side in SIDES}
    truth = runs["propagate"]()
    different = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(runs["graphkit"](), truth, strict=True))
    times, rows = measure.interleaved(runs, rounds=rounds), []
    for side, label in SIDES.items():
        given = ["--memory-of", side, "--size", *map(str, size), "--order", str(options.order)]
        used = None if options.no_memory else measure.memory_in_subprocess(__file__, *given)
        what = f"order {options.order}, {size[1]:,} edges"
        difference = f"{different if side == 'graphkit' else 0:.0e}"
        rows.append(measure.row(what, label, times[side], times["graphkit"], used, difference=difference))
    measure.show(rows, f"{size[2]} features, {threads}, {rounds} rounds in turn", difference="difference")
    facts = {"name": "power-law", "nodes": size[0], "edges": size[1], "classes": 0}
    measure.write(options.json, dataset=facts, rows=rows, config={"size": size, "order": options.order}, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
