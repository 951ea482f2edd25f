"""Wavelets on a grid: what they look like, what they keep of a signal, and how they find what is odd in it.

Heat and Mexican-hat wavelets at one node are drawn at several scales, beside the kernels of a bank and its frame
bounds. Then a smooth signal with three spoilt nodes is taken apart into bands and put together again: the finest band
stands out where the signal was spoilt.

    python examples/wavelets_on_a_graph.py --pictures .
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import networkx as nx
import torch

from graphkit.operators import (
    SparseOperator,
    fourier_basis,
    heat,
    laplacian,
    mexican_hat,
    wavelet_analysis,
    wavelet_synthesis,
)
from graphkit.viz import filter_bank, save, wavelets_on_graph


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=21, help="nodes on a side of the grid")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures (default: none are drawn)")
    options = parser.parse_args(arguments)

    side, nodes = options.side, options.side**2
    graph = nx.grid_2d_graph(side, side)
    edges, (row, column) = SparseOperator.from_networkx(graph), torch.tensor(list(graph)).T
    operator = laplacian(edges, normalization="sym", dtype=torch.float64)

    bank, centre = mexican_hat(5), nodes // 2
    impulse = torch.zeros(nodes, 1, dtype=torch.float64)
    impulse[centre] = 1
    exact = wavelet_analysis(fourier_basis(operator), impulse, bank).squeeze(2)
    fast = wavelet_analysis(operator, impulse, bank, tolerance=1e-8).squeeze(2)
    print(f"agreement of polynomials with the Fourier basis: {float((fast - exact).abs().max()):.0e}")

    signal = (torch.sin(3 * row / side) + torch.cos(4 * column / side)).double().unsqueeze(1)
    spoilt = torch.tensor([nodes // 4, nodes // 2, 2 * nodes // 3 + 2])
    signal[spoilt] += 0.5
    bands = wavelet_analysis(operator, signal, bank, tolerance=1e-8)
    back = wavelet_synthesis(operator, bands, bank, tolerance=1e-8)
    print(f"agreement of the signal with what its bands make: {float((back - signal).abs().max()):.0e}")
    inner = (row % (side - 1) > 0) & (column % (side - 1) > 0)  # the border is odd by itself
    found = (bands[-1, :, 0].abs() * inner).topk(len(spoilt)).indices.sort().values
    print(f"spoilt nodes {spoilt.tolist()}; the finest band is largest at {found.tolist()}")

    if options.pictures is not None:
        places = torch.stack([column, -row], 1).numpy()
        heats = [1.0, 4.0, 16.0]
        warm = wavelet_analysis(operator, impulse, heat(heats)).squeeze(2)
        picture = wavelets_on_graph(
            places,
            edges.edge_index().numpy(),
            torch.cat((warm, exact[[3, 2, 1]])).numpy(),
            [*(f"heat, s = {s:g}" for s in heats), *(f"Mexican hat, s = {s:.2g}" for s in bank.scales[2::-1])],
            centre=centre,
            title="Wavelets of one node, at growing scales",
            note=f"grid of {side} x {side}, normalised Laplacian; the ring marks the node",
        )
        save(picture, options.pictures / "wavelets.png")
        points = torch.linspace(0, 2, 400, dtype=torch.float64)
        names = ["low-pass", *(f"s = {s:.2g}" for s in bank.scales)]
        title, spectrum = "Kernels of a Mexican-hat bank", fourier_basis(operator).eigenvalues.numpy()
        kernels = filter_bank(points.numpy(), bank(points).numpy(), names, title=title, spectrum=spectrum)
        save(kernels, options.pictures / "kernels.png")


if __name__ == "__main__":
    main()
