"""How fast are losses over all triplets, quadruplets and pairs, and how much memory do they take?

Random unit vectors in 64 dimensions with labels of 10 classes, forward and backward. The peer of triplets is
pytorch-metric-learning's `TripletMarginLoss` on the same distances without its own normalisation, averaged as ours over
all triplets (`MeanReducer`); it has no quadruplet loss. That of InfoNCE, on two views of each node, is the usual one in
plain PyTorch, which writes the likeness within and between the views down. "difference" is the largest one in the
gradients, relative to the largest value. Memory is what forward and backward add to the inputs, each side in a process
of its own. A peer that would need more than `--most` GB, or is not installed, is not run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.metric import InfoNCELoss, QuadrupletLoss, TripletLoss

FEATURES, CLASSES, TEMPERATURE, MARGIN = 64, 10, 0.5, 0.2
PEERS = {"triplet": "pytorch-metric-learning", "quadruplet": "", "infonce": "plain PyTorch"}
CASES = {"triplet-1024": 1_024, "triplet-8192": 8_192, "quadruplet-2048": 2_048, "infonce-10000": 10_000}
"""What is measured, and on how many items; for InfoNCE on how many nodes, each in two views."""


def embedded(case: str, items: int) -> tuple[Tensor, Tensor]:
    """Return embeddings and labels, two views of each node for InfoNCE."""
    generator = torch.Generator().manual_seed(0)
    if case.startswith("infonce"):
        views = torch.randn(items, FEATURES, generator=generator).repeat(2, 1)
        views = views + 0.5 * torch.randn(views.shape, generator=generator)
        return F.normalize(views), torch.arange(items).repeat(2)
    return F.normalize(torch.randn(items, FEATURES, generator=generator)), torch.arange(items) % CLASSES


def loss_of(case: str, side: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return one side's loss."""
    kind = case.partition("-")[0]
    if side == "graphkit":
        losses: dict[str, Callable[[], Any]] = {
            "triplet": lambda: TripletLoss(MARGIN),
            "quadruplet": lambda: QuadrupletLoss(MARGIN, MARGIN / 2),
            "infonce": lambda: InfoNCELoss(TEMPERATURE),
        }
        return losses[kind]()
    if kind == "infonce":
        return written_down
    from pytorch_metric_learning import distances, reducers
    from pytorch_metric_learning import losses as theirs

    euclidean = distances.LpDistance(normalize_embeddings=False)
    return theirs.TripletMarginLoss(MARGIN, distance=euclidean, reducer=reducers.MeanReducer())


def written_down(z: Tensor, y: Tensor) -> Tensor:
    """Return InfoNCE of two views with all four matrices in memory, as Zhu et al. (2020) define it for GRACE."""
    views = F.normalize(z).chunk(2)
    losses = []
    for own, other in (views, views[::-1]):
        within, between = ((own @ each.T / TEMPERATURE).exp() for each in (own, other))
        mass = within.sum(1) - within.diagonal() + between.sum(1)
        losses.append(mass.log() - between.diagonal().log())
    return torch.cat(losses).mean()


def not_run(cases: Sequence[str], items: int | None, most: float, quick: bool) -> str:
    """Return in words which peers have no row, and why; nothing where all have."""
    said = []
    for case in cases:
        peer, number = PEERS[case.partition("-")[0]], items or (64 if quick else CASES[case])
        needs = peer_needs(case, number)
        if peer and needs == math.inf:
            said.append(f"{peer} is not installed (pip install 'graphkit[bench]') and has no row")
        elif peer and needs > most:
            said.append(f"{peer} would need more than {most:g} GB for {number:,} items and has no row there")
    return "".join(f"; {each}" for each in dict.fromkeys(said))


def peer_needs(case: str, items: int) -> float:
    """Return about how many GB the peer would take; it writes triplets down, or pairs."""
    kind = case.partition("-")[0]
    if kind == "quadruplet" or (kind == "triplet" and not measure.usable("pytorch_metric_learning", "losses")):
        return math.inf
    if kind == "infonce":
        return 10 * 4 * items**2 / 1e9
    return 80 * items * (items / CLASSES) * items * (1 - 1 / CLASSES) / 1e9


def pass_of(case: str, side: str, items: int) -> Callable[[], Tensor]:
    """Return one side's forward and backward pass, which returns the gradient."""
    z, y = embedded(case, items)
    z, loss = z.requires_grad_(), loss_of(case, side)

    def run() -> Tensor:
        z.grad = None
        loss(z, y).backward()
        return z.grad

    return run


def compare(case: str, items: int, rounds: int, most: float, *, memory: bool) -> list[dict[str, Any]]:
    """Return the rows of one case."""
    sides = ["graphkit", *(["peer"] if peer_needs(case, items) <= most else [])]
    runs = {side: pass_of(case, side, items) for side in sides}
    times = measure.interleaved(runs, rounds=rounds)
    truth, rows = runs[sides[-1]](), []
    for side, run in runs.items():
        difference = f"{float((run() - truth).abs().max() / truth.abs().max()):.0e}" if len(sides) > 1 else ""
        arguments = ["--case", case, "--items", str(items), "--memory-of", side]
        used = measure.memory_in_subprocess(__file__, *arguments) if memory else None
        what = f"{case.partition('-')[0]}, {items:,} items"
        name = side if side == "graphkit" else PEERS[case.partition("-")[0]]
        rows.append(measure.row(what, name, times[side], times["graphkit"], used, difference=difference))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="may be given again (default: all)")
    parser.add_argument("--items", type=int, help="in place of each case's own number")
    parser.add_argument("--most", type=float, default=10.0, help="GB the peer may need (default: 10)")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    cases = options.case or list(CASES)
    if options.memory_of:
        pass_of(cases[0], options.memory_of, 64)()  # kernels are compiled, threads are started
        print(measure.memory_added(pass_of(cases[0], options.memory_of, options.items)))
        return 0
    rounds, rows = options.rounds or (1 if options.quick else 3), []
    for case in cases:
        items = options.items or (64 if options.quick else CASES[case])
        rows += compare(case, items, rounds, options.most, memory=not options.no_memory)
    note = f"{FEATURES} features, {threads}, {rounds} rounds in turn; ratio: this side's seconds over graphkit's"
    note += not_run(cases, options.items, options.most, options.quick)
    measure.show(rows, note, difference="difference")
    z, y = embedded("triplet", CASES["triplet-8192"])
    sha256 = hashlib.sha256(z.numpy().tobytes() + y.numpy().tobytes()).hexdigest()
    facts = {"name": "random unit vectors", "sha256": sha256, "nodes": len(z), "edges": 0, "classes": CLASSES}
    measure.write(options.json, dataset=facts, rows=rows, config={"cases": cases, "features": FEATURES}, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
