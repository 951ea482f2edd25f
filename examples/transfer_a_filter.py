"""Learn a spectral filter on one graph and use it, unchanged, on another of other size.

Both graphs are drawn with groups of nodes: friends are mostly of one's own group, or, with --opposites, mostly of the
other ones. A node's features say little of its group, its neighbours' say more. A filter that is a function of the
eigenvalue learns on the small graph which frequencies to listen to: the low ones among friends, the high ones among
opposites. Its weights are then loaded into a layer for the large graph, whose labels nobody has seen.

    python examples/transfer_a_filter.py
    python examples/transfer_a_filter.py --opposites --picture response.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import stochastic_blockmodel_graph

from graphkit.nn import SpectralConv
from graphkit.operators import FourierBasis, fourier_basis, laplacian
from graphkit.viz import responses, save

GROUPS, FEATURES = 3, 8


def drawn(size: int, opposites: bool, seed: int) -> tuple[Tensor, FourierBasis, Tensor]:
    """Return features, the whole Fourier basis and the groups of a graph with ``size`` nodes in each group."""
    torch.manual_seed(seed)
    own, other = (1.0, 9.0) if opposites else (12.0, 2.0)  # expected neighbours of the own group, and of each other
    chances = torch.full((GROUPS, GROUPS), other / size).fill_diagonal_(own / size)
    edges = stochastic_blockmodel_graph(torch.full((GROUPS,), size), chances)
    y = torch.arange(GROUPS).repeat_interleave(size)
    x = 0.6 * F.one_hot(y, FEATURES) + torch.randn(GROUPS * size, FEATURES)
    return x, fourier_basis(laplacian(edges, num_nodes=len(y), normalization="sym")), y


def trained(logits: Callable[[], Tensor], parameters: Iterable[nn.Parameter], y: Tensor, epochs: int) -> None:
    """Take so many steps of Adam on the cross-entropy of some nodes' logits."""
    optimizer = torch.optim.Adam(parameters, lr=0.02, weight_decay=1e-3)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(logits(), y).backward()
        optimizer.step()


def off_the_curve(conv: SpectralConv, basis: FourierBasis) -> float:
    """Return how far what the layer makes of eigenvectors is from its response, relative to the largest value."""
    vectors, theta = basis.entries.view(basis.nodes, -1), conv.weight[0]
    curves = conv.response(basis.eigenvalues)
    worst = 0.0
    for place in range(0, basis.pairs, max(basis.pairs // 10, 1)):
        vector = vectors[:, place : place + 1]
        made, told = conv(vector.expand(-1, FEATURES), basis) - conv.bias, vector * (curves[place] * theta.sum(0))
        worst = max(worst, float((made - told).abs().max() / told.abs().max()))
    return worst


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs=2, default=[150, 400], help="nodes in a group, of either graph")
    parser.add_argument("--opposites", action="store_true", help="neighbours are mostly of other groups")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--picture", type=Path, help="draw the response over the spectra")
    options = parser.parse_args(arguments)

    graphs = [drawn(size, options.opposites, seed) for seed, size in enumerate(options.sizes)]
    x, basis, y = graphs[0]
    order = torch.randperm(len(y))
    shown, hidden = order[: len(y) // 3], order[len(y) // 3 :]
    conv, plain = SpectralConv(FEATURES, GROUPS, "bernstein", terms=6, mixing="depthwise"), nn.Linear(FEATURES, GROUPS)
    trained(lambda: conv(x, basis)[shown], conv.parameters(), y[shown], options.epochs)
    trained(lambda: plain(x)[shown], plain.parameters(), y[shown], options.epochs)

    # The other graph has more nodes and other eigenvalues; the layer has the same parameters.
    there = SpectralConv(FEATURES, GROUPS, "bernstein", terms=6, mixing="depthwise")
    there.load_state_dict(conv.state_dict())
    with torch.no_grad():
        for name, nodes, layer, (x, basis, y) in zip(
            ("learnt here", "used there"), (hidden, slice(None)), (conv, there), graphs, strict=True
        ):
            filtered, alone = (
                100 * float((logits.argmax(1) == y)[nodes].float().mean()) for logits in (layer(x, basis), plain(x))
            )
            print(
                f"{name}: {len(y):,} nodes, accuracy {filtered:.1f} %, without the filter {alone:.1f} %; "
                f"off its response by {off_the_curve(layer, basis):.0e}"
            )
        points = torch.linspace(0, 2, 9)
        here, found = conv.response(points).mean(1), there.response(points).mean(1)
        print("eigenvalue     ", *(f"{value:6.2f}" for value in points))
        print("response here  ", *(f"{value:6.2f}" for value in here))
        print("response there ", *(f"{value:6.2f}" for value in found))

        if options.picture is not None:
            points = torch.linspace(0, 2, 201)
            picture = responses(
                {f"group {group}": curve.numpy() for group, curve in enumerate(there.response(points).T)},
                points.numpy(),
                title="A filter that was learnt on one graph and is used on another",
                note=f"learnt on {len(graphs[0][2]):,} nodes, used on {len(y):,}; ticks: the spectrum of the latter",
                eigenvalues=basis.eigenvalues.numpy(),
            )
            save(picture, options.picture)


if __name__ == "__main__":
    main()
