"""``graphkit spectrum``: where a graph's eigenvalues lie and how often, on the screen and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphkit.cli.options import FILE, DatasetArgument, require_places
from graphkit.cli.output import debuggable, fields, preload, say, table

if TYPE_CHECKING:
    from torch import Tensor

COMPLETE = 3_000
"""Nodes up to which all pairs are found where ``--k`` is left out: some seconds."""
LOWEST = 256
MARKED = 6


@click.command()
@click.argument("name", metavar="DATASET")
@click.option(
    "--k", type=click.IntRange(min=1), help=f"Lowest pairs.  [default: all up to {COMPLETE:,} nodes, else 256]"
)
@click.option(
    "--normalization",
    type=click.Choice(["sym", "rw", "none"]),
    default="sym",
    show_default=True,
    help="Laplacian: symmetric, random-walk or combinatorial.",
)
@click.option("--undirected", is_flag=True, help="As for train: every edge in both directions, once.")
@click.option("--picture", type=FILE, metavar="PATH", help="Draw the histogram here (png, pdf or svg).")
@click.option("--wavelets", type=FILE, metavar="PATH", help="Draw a bank of wavelets over this spectrum here.")
@debuggable
def spectrum(
    name: str, k: int | None, normalization: str, undirected: bool, picture: Path | None, wavelets: Path | None
) -> int:
    """Print the Laplacian's spectrum of DATASET, a name or a folder, with its multiplicities, and draw it."""
    asked = DatasetArgument(name, links=True)
    if asked.items == "graphs":
        raise ValueError(f"{name!r} is a set of graphs; a spectrum is of one graph.")
    if wavelets is not None and normalization == "none":
        raise ValueError("`--wavelets` needs a spectrum within [0, 2]: `--normalization sym` or `rw`.")
    preload("graphkit.viz", "graphkit.operators", "graphkit.data.catalog.loading")
    from graphkit.data import cached_fourier_basis, load, to_undirected
    from graphkit.viz import multiplicities, save
    from graphkit.viz import spectrum as histogram

    require_places(picture=picture, wavelets=wavelets)
    data, name = load(asked.source), asked.name
    if hasattr(data, "edge_types"):
        raise ValueError(f"{name!r} has links of {len(data.edge_types)} types; a spectrum is of a graph of one.")
    if undirected:
        data = to_undirected(data)
    elif asked.card.directed and not data.is_undirected():
        raise ValueError(f"{name!r} is directed, and a spectrum is of an undirected graph; see `--undirected`.")
    nodes = data.num_nodes
    if k is not None and k > nodes:
        raise click.UsageError(f"`--k` must be at most the number of nodes ({nodes:,}), got {k:,}.")
    pairs = k or (None if nodes <= COMPLETE else LOWEST)
    basis = cached_fourier_basis(
        data.edge_index,
        data.get("edge_weight"),
        num_nodes=nodes,
        k=pairs,
        normalization=None if normalization == "none" else normalization,
    )
    values = basis.eigenvalues.double().cpu()
    distinct, times = multiplicities(values.numpy(), precision=1e-6 * max(float(values[-1]), 1.0))
    fields(
        [
            ("graph", f"{name}, {nodes:,} nodes, {data.num_edges:,} edges"),
            ("pairs", f"{basis.pairs:,}" + (", all" if basis.complete else f", the lowest of {nodes:,}")),
            ("eigenvalues", f"{abs(values[0].item()):.6g} to {values[-1].item():.6g}, {len(distinct):,} distinct"),
            ("largest residual", f"{float(basis.residuals.max()):.1e}"),
        ]
    )
    often = sorted(range(len(distinct)), key=lambda place: (-times[place], distinct[place]))[:MARKED]
    table([" eigenvalue", " times"], [(f"{abs(distinct[place]):.6g}", f"{times[place]:,}") for place in often])
    kind = {"sym": "symmetric", "rw": "random-walk", "none": "combinatorial"}[normalization]
    note = f"{kind} Laplacian, {basis.pairs:,} pairs, {nodes:,} nodes"
    if picture is not None:
        save(histogram(values.numpy(), title=f"Spectrum of {name}", note=note, nodes=nodes), picture)
        say(f"Picture: {picture}")
    if wavelets is not None:
        _bank(values, wavelets, f"Mexican-hat wavelets over the spectrum of {name}", note)
        say(f"Picture: {wavelets}")
    return 0


def _bank(values: Tensor, path: Path, title: str, note: str) -> None:
    """Draw the kernels of a Mexican-hat bank, with the eigenvalues below them."""
    import torch

    from graphkit.operators import mexican_hat
    from graphkit.viz import filter_bank, save

    bank, points = mexican_hat(5), torch.linspace(0, 2, 400, dtype=torch.float64)
    labels = ["low-pass", *(f"s = {scale:.2g}" for scale in bank.scales)]
    save(
        filter_bank(points.numpy(), bank(points).numpy(), labels, title=title, note=note, spectrum=values.numpy()), path
    )
