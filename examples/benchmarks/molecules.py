"""How long is an epoch of GIN on molecules, and does the same model of PyG's parts reach the same figures?

The molecules are those of `--dataset`, ogbg-molhiv where none is named. The peer is what OGB's own examples are made
of: PyG's `DataLoader` over the set, OGB's `AtomEncoder` and `BondEncoder`, PyG's `GINEConv`, batch norm and
`global_mean_pool`, with the sizes of the recipe; loss and optimiser are the same. A step is: put the batch together,
forward, backward, Adam. `--figures` trains both sides on a small set with a few seeds, selects by validation and prints
the official figure on the test molecules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from lightning_fabric import Fabric
from ogb.graphproppred.mol_encoder import AtomEncoder, BondEncoder
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from graphkit.data import GraphSet, load
from graphkit.training import ClassificationTrainer, metric, recipe, train
from graphkit.training.classification.graph_task import graph_facts, prepare_graphs


class Peer(nn.Module):
    """The recipe ``gin``, of PyG's and OGB's parts."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.atoms = dropout, AtomEncoder(width)
        self.bonds = nn.ModuleList(BondEncoder(width) for _ in range(layers))
        self.convs = nn.ModuleList(pyg.GINEConv(_perceptron(width), train_eps=True) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))
        self.head = nn.Linear(width, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Return one number per molecule."""
        h = self.atoms(batch.x)
        for bonds, conv, norm in zip(self.bonds, self.convs, self.norms, strict=True):
            new = norm(conv(h, batch.edge_index, bonds(batch.edge_attr)))
            new = new if conv is self.convs[-1] else new.relu()
            h = h + F.dropout(new, self.dropout, self.training)
        return self.head(pyg.global_mean_pool(h, batch.batch, batch.num_graphs))


def _perceptron(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width))


def peer_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, loss: Callable[..., Tensor]):
    """Take one step for each batch of a loader."""
    model.train()
    for batch in loader:
        optimizer.zero_grad()
        loss(model(batch), batch.y.reshape(-1, 1)).backward()
        optimizer.step()


def epochs(graphs: GraphSet, chosen: Any) -> dict[str, Callable[[], Any]]:
    """Return functions that train a fresh model of each side for one more epoch, without evaluation."""
    task, _ = prepare_graphs(graphs, chosen, torch.device("cpu"), torch.float32)
    module = chosen.module(task.channels, task.outputs, task.graph)
    trainer = ClassificationTrainer(module, task, chosen, Fabric(accelerator="cpu", devices=1))

    model = Peer(chosen.model.hidden, chosen.model.layers, chosen.model.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.lr)
    loader = DataLoader(graphs.part("train"), batch_size=chosen.batch, shuffle=True)
    return {
        "graphkit": lambda: trainer.take_steps(1),
        "PyG and OGB": lambda: peer_epoch(model, optimizer, loader, task.objective.loss),
    }


def fewer(graphs: GraphSet, molecules: int | None) -> GraphSet:
    """Return the set with so many drawn training molecules, or as it is."""
    if molecules is None:
        return graphs
    split, generator = graphs.split, torch.Generator().manual_seed(0)
    index = split.train.nonzero().flatten()
    train = torch.zeros_like(split.train)
    train[index[torch.randperm(len(index), generator=generator)[:molecules]]] = True
    return graphs.with_split(dataclasses.replace(split, train=train))


def peer_figure(graphs: GraphSet, chosen: Any, seed: int) -> float:
    """Return the official test figure of the peer at its epoch of best validation."""
    torch.manual_seed(seed)
    task, test = prepare_graphs(graphs, chosen, torch.device("cpu"), torch.float32)
    model = Peer(chosen.model.hidden, chosen.model.layers, chosen.model.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.lr)
    loader = DataLoader(graphs.part("train"), batch_size=chosen.batch, shuffle=True, drop_last=True)

    @torch.no_grad()
    def outputs(part: str) -> Tensor:
        return torch.cat([model.eval()(batch) for batch in DataLoader(graphs.part(part), batch_size=512)])

    def run() -> Iterator[tuple[float, float]]:
        for _ in range(chosen.epochs):
            peer_epoch(model, optimizer, loader, task.objective.loss)
            value = float(task.objective.figure(outputs("val"), task.validation.y))
            yield task.objective.sign * value, float(task.objective.figure(outputs("test"), test.y))

    return max(run(), key=lambda figures: figures[0])[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the record."""
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="ogbg-molhiv")
    parser.add_argument("--molecules", type=int, help="time an epoch of so many of them only")
    parser.add_argument("--figures", type=int, default=0, metavar="SEEDS", help="train both sides with so many seeds")
    parser.add_argument("--epochs", type=int, default=40, help="of --figures")
    options = parser.parse_args(arguments)
    threads, chosen = measure.set_threads(options.threads), recipe("gin", {"epochs": options.epochs}, items="graphs")
    graphs = load("ogbg-molfreesolv" if options.quick else options.dataset)
    rounds = options.rounds or (2 if options.quick else 3)
    times = measure.interleaved(epochs(fewer(graphs, options.molecules), chosen), rounds=rounds)
    figures = {}
    if options.figures:
        seeds = range(options.figures)
        own = train(graphs, chosen, seeds=seeds, device="cpu").record.metric
        other = metric(own.name, [peer_figure(graphs, chosen, seed) for seed in seeds], unit=own.unit)
        figures = {"graphkit": own, "PyG and OGB": other}
    rows = [
        measure.row(
            "epoch",
            side,
            times[side],
            times["graphkit"],
            None,
            figure=str(figures.get(side, "")),
            values=list(figures[side].values) if side in figures else [],
        )
        for side in times
    ]
    some = f"{options.molecules:,} molecules of " if options.molecules else ""
    note = f"{some}{graphs.card.name}, {threads}, {rounds} rounds in turn; ratio: this side's seconds over graphkit's"
    measure.show(rows, note, figure="test figure")
    facts = dataclasses.asdict(graph_facts(graphs))
    seeds = list(range(options.figures))
    measure.write(
        options.json, dataset=facts, rows=rows, config=chosen.as_dict(), seeds=seeds, protocol=graphs.protocol
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
