"""Can a spectral filter that was learnt on one graph be used on another, and how well, beside a spatial GCN?

The three citation networks of one vocabulary and five classes: a model is trained on one (the source), its epoch is
chosen by the source's validation nodes, and its weights are loaded unchanged into a model for another (the target),
which is tested on all its labelled nodes. No label of the target is seen before. Beside the accuracies it is shown
that each filter does on the target what its response curve says: "response" is the largest difference, on the target's
eigenvectors, between what the last layer makes of them and the curve that was learnt on the source.

Where a response starts decides what 100 labels teach it. "identity" (splines) and "chebii" start as the identity: they
fit the labels by each node's own features and listen to no neighbour. "bspline" and "bernstein" start as the heat
kernel and "gpr" as PageRank, and are as free to leave it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _measure as measure
import torch
import torch.nn.functional as F
from rich.table import Table
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch_geometric.utils import to_scipy_sparse_matrix

from graphkit.data import cached_fourier_basis, card, load
from graphkit.nn import Encoder, GCNConv, PolynomialConv, SpectralConv
from graphkit.operators import sparse_features
from graphkit.training.engine.records import metric
from graphkit.viz import responses, save

FAMILY = "citation-domains"
SMALL = "structural-roles"
HEAT = 4.0
CONVS: dict[str, Callable[[int, int], nn.Module]] = {
    "mlp": lambda i, o: nn.Linear(i, o),
    "gcn": lambda i, o: GCNConv(i, o),
    "identity": lambda i, o: SpectralConv(i, o, "bspline", mixing="depthwise"),
    "bspline": lambda i, o: SpectralConv(i, o, "bspline", mixing="depthwise", heat=HEAT),
    "bernstein": lambda i, o: SpectralConv(i, o, "bernstein", mixing="depthwise", heat=HEAT),
    "chebii": lambda i, o: PolynomialConv(i, o, 10, "chebii", per_channel=True),
    "gpr": lambda i, o: PolynomialConv(i, o, 10, "monomial", alpha=0.1, per_channel=True),
}


class Domain(NamedTuple):
    """One graph, its features sparse, its basis at hand."""

    x: Any
    edge_index: Tensor
    y: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor
    basis: Any

    def logits(self, model: nn.Module) -> Tensor:
        """Return the model's logits for all nodes."""
        return model(self.x, self.basis if isinstance(model.convs[0], SpectralConv) else self.edge_index)

    def accuracy(self, model: nn.Module, nodes: Tensor) -> float:
        """Return the share of ``nodes`` that the model tells rightly."""
        model.eval()
        with torch.no_grad():
            return float((self.logits(model).argmax(1) == self.y)[nodes].float().mean())


def domains(family: str, seed: int, pairs: int) -> dict[str, Domain]:
    """Return the graphs of a family, each with a split of its own drawn from ``seed``."""
    found = {}
    for name, data in load(family, seed=seed).items():
        x = sparse_features(F.normalize(data.x, p=1, dim=1))
        adjacency = to_scipy_sparse_matrix(data.edge_index, num_nodes=data.num_nodes)
        zeros = connected_components(adjacency, directed=False)[0]  # as many pairs, and all alike
        basis = cached_fourier_basis(data.edge_index, num_nodes=data.num_nodes, k=min(zeros + pairs, data.num_nodes))
        masks = data.train_mask, data.val_mask, data.test_mask
        found[name] = Domain(x, data.edge_index, data.y, *masks, basis)
    return found


def trained(conv: str, source: Domain, classes: int, *, seed: int, epochs: int) -> nn.Module:
    """Return a model trained on the source, with the weights of its best epoch on the source's validation nodes."""
    torch.manual_seed(seed)
    model = Encoder(source.x.size(1), 32, classes, conv=CONVS[conv], dropout=0.5)
    first = {id(p) for p in model.first.parameters()}
    decayed = [p for p in model.parameters() if id(p) in first and p.dim() > 1]
    others = [p for p in model.parameters() if not (id(p) in first and p.dim() > 1)]
    optimizer = torch.optim.Adam([{"params": decayed, "weight_decay": 5e-4}, {"params": others}], lr=0.01)
    best, chosen = -1.0, model.state_dict()
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(source.logits(model)[source.train], source.y[source.train]).backward()
        optimizer.step()
        figure = source.accuracy(model, source.validation)
        if figure > best:
            best, chosen = figure, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(chosen)
    return model


def off_its_curve(model: nn.Module, domain: Domain, count: int = 8) -> float:
    """Return by how much the last layer's work on eigenvectors of ``domain`` differs from its response there."""
    conv = model.convs[-1]
    values, vectors = domain.basis.eigenvalues, domain.basis.entries.view(domain.basis.nodes, -1)
    chosen = torch.linspace(0, len(values) - 1, count).long()
    weight = conv.weight[0].t() if isinstance(conv, SpectralConv) else conv.lin.weight
    curves, worst = conv.response(values[chosen]).detach(), 0.0
    with torch.no_grad():
        for curve, vector in zip(curves, vectors[:, chosen].t(), strict=True):
            graph = domain.basis if isinstance(conv, SpectralConv) else domain.edge_index
            made = conv(vector.unsqueeze(1).expand(-1, weight.size(1)).contiguous(), graph) - conv.bias
            told = vector.unsqueeze(1) * (curve * weight.sum(1))
            worst = max(worst, float((made - told).norm() / told.norm().clamp(min=1e-6)))
    return worst


def curve(model: nn.Module, at: Tensor) -> Tensor:
    """Return the first layer's responses, each over its value of largest size, [points, channels].

    A channel's sign is no matter: that of its weights goes with it.
    """
    found = model.convs[0].response(at).detach()
    largest = found.gather(0, found.abs().argmax(0, keepdim=True))
    return found / torch.where(largest == 0, 1.0, largest)


def measured(options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, dict[str, Tensor]]]:
    """Return a row for each pair and model, and the curves that were learnt with the first seed."""
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Tensor]] = {}
    at = torch.linspace(0, 2, 201)
    for seed in range(options.seeds):
        graphs = domains(options.family, seed, options.pairs)
        classes = 1 + max(int(graph.y.max()) for graph in graphs.values())
        for name, conv in itertools.product(graphs, options.models):
            model = trained(conv, graphs[name], classes, seed=seed, epochs=options.epochs)
            source = graphs[name].accuracy(model, graphs[name].test)
            if seed == 0 and hasattr(model.convs[0], "response"):
                curves.setdefault(conv, {})[name] = curve(model, at)
            for other in graphs:
                if other == name:
                    continue
                torch.manual_seed(seed + 1)
                fresh = Encoder(graphs[other].x.size(1), 32, classes, conv=CONVS[conv])
                fresh.load_state_dict(model.state_dict())
                kept = found.setdefault((name, other, conv), {"values": [], "source": [], "off": []})
                kept["values"].append(graphs[other].accuracy(fresh, graphs[other].y >= 0))
                kept["source"].append(source)
                kept["off"].append(off_its_curve(fresh, graphs[other]) if conv in curves else 0.0)
    rows = [{"from": a, "to": b, "model": conv, **kept} for (a, b, conv), kept in found.items()]
    return rows, curves


def show(rows: Sequence[dict[str, Any]], models: Sequence[str], note: str) -> None:
    """Print accuracies on the unseen graphs, in per cent, and below them those on the sources' own test nodes."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption=note, caption_justify="left")
    for heading in ("trained on", "tested on", *models, "response"):
        table.add_column(heading, no_wrap=True, justify="left" if "on" in heading.split() else "right")
    pairs = dict.fromkeys((row["from"], row["to"]) for row in rows)
    lines: dict[tuple[str, str], dict[str, list[float]]] = {}
    for a, b in pairs:
        here = [row for row in rows if (row["from"], row["to"]) == (a, b)]
        lines[a, "itself"] = {row["model"]: row["source"] for row in here}
        lines[a, b] = {row["model"]: row["values"] for row in here}
    for (a, b), figures in lines.items():
        texts = [_text(figures[model]) for model in models]
        off = [max(row["off"]) for row in rows if (row["from"], row["to"]) == (a, b)]
        table.add_row(a, b, *texts, f"{max(off):.0e}" if off else "")
    unseen = [[value for row in rows if row["model"] == model for value in row["values"]] for model in models]
    table.add_row("all", "unseen", *(f"{100 * sum(values) / len(values):.1f}" for values in unseen), "")
    measure.printed(table)


def _text(values: Sequence[float]) -> str:
    found = metric("accuracy", values)
    return f"{100 * found.mean:.1f}" + ("" if found.std is None else f" ± {100 * found.std:.1f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train on each graph and test on the others."""
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw the responses that were learnt")
    parser.add_argument("--family", help="graphs of one feature space and the same classes")
    parser.add_argument("--models", nargs="+", choices=list(CONVS), default=list(CONVS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=256, help="of the basis, above the zeros")
    options = parser.parse_args(arguments)
    threads, start = measure.set_threads(options.threads), time.perf_counter()
    if options.quick:
        options.seeds, options.epochs, options.pairs, options.models = 1, 2, 32, ["gcn", "bspline", "chebii"]
    options.family = options.family or (SMALL if options.quick else FAMILY)
    rows, curves = measured(options)
    rule = "epoch by the source's validation nodes"
    show(rows, options.models, f"accuracy in per cent, mean ± deviation of {options.seeds} seeds, {rule}; {threads}")
    if options.picture is not None and curves:
        *_, kind = curves  # polynomials, if any: they have met the whole spectrum
        picture = responses(
            {f"learnt on {name}": values.numpy() for name, values in curves[kind].items()},
            torch.linspace(0, 2, 201).numpy(),
            title=f"Filters learnt on {len(curves[kind])} graphs, as functions of the eigenvalue",
            note=f"{kind}, first layer, each channel over its largest value; mean and middle half of 32 channels",
        )
        save(picture, options.picture)
    about, last = card(options.family), metric(f"accuracy on unseen graphs, {rows[-1]['model']}", rows[-1]["values"])
    facts = {"nodes": about.nodes, "edges": about.edges, "classes": about.classes}
    measure.keep(
        options.json,
        dataset={"name": options.family, "sha256": about.content, **facts},
        protocol={"pairs": "all ordered pairs", "tested": "all labelled nodes of the unseen graph"},
        metric=dataclasses.asdict(last),
        selection=rule,
        config={"models": options.models, "epochs": options.epochs, "pairs": options.pairs, "hidden": 32},
        seeds=list(range(options.seeds)),
        seconds=time.perf_counter() - start,
        rows=rows,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
