"""How much faster is a training script of small graphs when the import of its layers is changed, and nothing else?

Scripts in the style of PyG's examples: two layers on Cora with dense row-normalised features and dropout, an epoch
being a step of Adam and one look at all nodes; and GIN on the molecules of MUTAG and the proteins of PROTEINS in
shuffled batches of PyG's `DataLoader`, an epoch being a step for each batch and one look at the rest. Both sides are
one and the same code; only the module that the layers come from differs. They start from the same weights: "difference"
is the largest one of their outputs then, relative to the largest value. The ratios are of CPU seconds, turn by turn.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_add_pool
from torch_geometric.transforms import NormalizeFeatures

import graphkit.nn
from graphkit.data import load
from graphkit.training.classification.graph_task import graph_facts
from graphkit.training.engine.records import dataset_facts

LIBRARIES = {"graphkit": graphkit.nn, "PyG": torch_geometric.nn}
BATCH = 128


class OfNodes(nn.Module):
    """Two layers, as in PyG's examples of Cora."""

    def __init__(self, first: nn.Module, last: nn.Module, dropout: float, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.dropout, self.between = first, last, dropout, between

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the logits of all nodes."""
        x = F.dropout(x, self.dropout, self.training)
        x = self.between(self.first(x, edge_index))
        return self.last(F.dropout(x, self.dropout, self.training), edge_index)


class OfGraphs(nn.Module):
    """Five layers of GIN and the sum over each graph, as in PyG's examples of molecules."""

    def __init__(self, library: Any, features: int, classes: int, width: int = 32) -> None:
        super().__init__()
        widths = [features, *[width] * 5]
        self.convs = nn.ModuleList(library.GINConv(_perceptron(i, o)) for i, o in itertools.pairwise(widths))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, classes))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, graphs: int) -> Tensor:
        """Return the logits of each graph."""
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return self.head(global_add_pool(x, batch, graphs))


def _perceptron(features: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))


NODES: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "gcn": lambda lib, i, o: OfNodes(lib.GCNConv(i, 16), lib.GCNConv(16, o), 0.5, F.relu),
    "gat": lambda lib, i, o: OfNodes(
        lib.GATConv(i, 8, heads=8, dropout=0.6), lib.GATConv(64, o, concat=False, dropout=0.6), 0.6, F.elu
    ),
    "gatv2": lambda lib, i, o: OfNodes(
        lib.GATv2Conv(i, 8, heads=8, dropout=0.6), lib.GATv2Conv(64, o, concat=False, dropout=0.6), 0.6, F.elu
    ),
    "sage": lambda lib, i, o: OfNodes(lib.SAGEConv(i, 64), lib.SAGEConv(64, o), 0.5, F.relu),
    "gin": lambda lib, i, o: OfNodes(lib.GINConv(_perceptron(i, 64)), lib.GINConv(nn.Linear(64, o)), 0.5, F.relu),
    "cheb": lambda lib, i, o: OfNodes(lib.ChebConv(i, 16, K=3), lib.ChebConv(16, o, K=3), 0.5, F.relu),
}
"""Scripts of nodes: from the library, the features and the classes to the model."""

GRAPHS = {"gin-mutag": "mutag", "gin-proteins": "proteins"}
"""Scripts of whole graphs, and their data sets."""


def nodes_script(name: str, library: Any, data: Data) -> tuple[Callable[[], Any], Callable[[], Tensor]]:
    """Return a function that trains a fresh model for one more epoch, and one that returns its logits."""
    torch.manual_seed(0)
    model = NODES[name](library, data.num_features, int(data.y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

    @torch.no_grad()
    def logits() -> Tensor:
        return model.eval()(data.x, data.edge_index)

    def epoch() -> list[float]:
        model.train()
        optimizer.zero_grad()
        out = model(data.x, data.edge_index)
        F.cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        right = logits().argmax(-1) == data.y
        return [float(right[mask].float().mean()) for mask in (data.train_mask, data.val_mask, data.test_mask)]

    return epoch, logits


def graphs_script(library: Any, graphs: Sequence[Data], classes: int) -> tuple[Callable[[], Any], Callable[[], Tensor]]:
    """Return the same for a set of graphs, of which every tenth is looked at and the others are trained on."""
    torch.manual_seed(0)
    model = OfGraphs(library, graphs[0].num_features, classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    seen = [graph for number, graph in enumerate(graphs) if number % 10]
    loader, rest = DataLoader(seen, BATCH, shuffle=True), DataLoader(graphs[::10], BATCH)

    @torch.no_grad()
    def logits() -> Tensor:
        model.eval()
        return torch.cat([model(each.x, each.edge_index, each.batch, each.num_graphs) for each in rest])

    def epoch() -> Tensor:
        model.train()
        for each in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(each.x, each.edge_index, each.batch, each.num_graphs), each.y).backward()
            optimizer.step()
        return logits()

    return epoch, logits


def compare(
    name: str, script: Callable[[Any], tuple[Callable[[], Any], Callable[[], Tensor]]], rounds: int, at_least: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of one script, and what the import alone is worth to it."""
    sides = {side: script(library) for side, library in LIBRARIES.items()}
    found, truth = (sides[side][1]() for side in LIBRARIES)
    difference = f"{float((found - truth).abs().max() / truth.abs().max()):.0e}"
    times = measure.interleaved({side: epoch for side, (epoch, _) in sides.items()}, rounds=rounds, at_least=at_least)
    rows = [measure.row(name, side, times[side], times["graphkit"], None, difference=difference) for side in sides]
    return rows, measure.apart(name, times["PyG"], times["graphkit"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and write the record."""
    parser = measure.parser(__doc__)
    parser.add_argument("--script", choices=[*NODES, *GRAPHS], action="append", help="may be given again")
    parser.add_argument("--dataset", default="cora", help="of the scripts of nodes (default: cora)")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    rounds, chosen = options.rounds or (2 if options.quick else 20), options.script or [*NODES, *GRAPHS]
    at_least = 0.0 if options.quick else 0.1
    rows, apart, facts = [], [], {}
    for name in chosen:
        if name in NODES:
            data = load(options.dataset)
            facts[options.dataset] = dataclasses.asdict(dataset_facts(data))
            script = functools.partial(nodes_script, name, data=NormalizeFeatures()(data))
        else:
            graphs = load(GRAPHS[name])
            facts[GRAPHS[name]] = dataclasses.asdict(graph_facts(graphs))
            held = [graphs[place] for place in range(60 if options.quick else len(graphs))]
            script = functools.partial(graphs_script, graphs=held, classes=graphs.num_classes)
        timed, one = compare(name, script, rounds, at_least)
        rows, apart = [*rows, *timed], [*apart, one]
    note = f"{threads}, {rounds} rounds in turn; one epoch; ratio: this side's seconds over graphkit's"
    measure.show(rows, note, difference="difference")
    middle = [statistics.median(turn) for turn in zip(*(one["cpu_ratios"] for one in apart), strict=True)]
    ratios = [one["cpu_ratio"] for one in apart]
    median = {"what": "median of all scripts", "cpu_ratio": statistics.median(ratios), "cpu_ratios": middle}
    measure.show_apart([*apart, median])
    first = next(iter(facts.values()))
    measure.write(options.json, dataset=first, rows=rows, config={"scripts": chosen}, seeds=[0], apart=[*apart, median])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
