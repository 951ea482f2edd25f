"""How long is an epoch of links, and how long are a million pairs scored, beside PyG's and SciPy's parts?

An epoch is that of the recipe `sage-link`: links of a step leave the graph, as many other pairs are drawn, an encoder
of two layers, a perceptron on products, backward, Adam. The peer is made of PyG's `SAGEConv` and `negative_sampling`,
as its examples are, with the sizes of the recipe. Pairs are scored by resource allocation; the peer multiplies rows of
a SciPy matrix, many pairs at a time, as published evaluations of such rules do. Both sides give the same scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from lightning_fabric import Fabric
from scipy.sparse import csr_array, diags_array
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import negative_sampling

from graphkit.data import load_links
from graphkit.operators.pair_scores import PairScores
from graphkit.training import ClassificationTrainer, recipe
from graphkit.training.engine.records import dataset_facts
from graphkit.training.links.link_task import HELD, prepare_links

AT_ONCE = 10_000
"""Pairs that the peer multiplies at a time: more take more memory, and no less time."""


class Peer(nn.Module):
    """The recipe ``sage-link``, of PyG's parts."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.convs = nn.ModuleList([pyg.SAGEConv(channels, width), pyg.SAGEConv(width, width)])
        self.maps = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, 1)])

    def forward(self, x: Tensor, edge_index: Tensor, pairs: Tensor) -> Tensor:
        """Return a score of each pair."""
        for conv in self.convs:
            x = conv(F.dropout(x, self.dropout, self.training), edge_index)
            x = x.relu() if conv is self.convs[0] else x
        h = x[pairs[0]] * x[pairs[1]]
        for linear in self.maps:
            h = linear(F.dropout(h.relu() if linear is self.maps[1] else h, self.dropout, self.training))
        return h


def peer_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, seen: Data, links: Tensor) -> None:
    """Take the steps of an epoch, the links of each taken out of the edges."""
    model.train()
    nodes = int(seen.num_nodes)
    keys = seen.edge_index.amin(0) * nodes + seen.edge_index.amax(0)
    for chosen in torch.randperm(links.size(1)).split(round(HELD * links.size(1))):
        own = links[:, chosen]
        edges = seen.edge_index[:, ~torch.isin(keys, own.amin(0) * nodes + own.amax(0))]
        pairs = torch.cat([own, negative_sampling(edges, nodes, own.size(1))], 1)
        y = (torch.arange(pairs.size(1)) < own.size(1)).float()[:, None]
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(seen.x, edges, pairs), y).backward()
        optimizer.step()


def epochs(data: Data, chosen: Any) -> dict[str, Callable[[], Any]]:
    """Return functions that train a fresh model of each side for one more epoch, without evaluation."""
    task, _ = prepare_links(data, chosen, torch.device("cpu"), torch.float32)
    module = chosen.module(task.channels, task.outputs, task.graph)
    trainer = ClassificationTrainer(module, task, chosen, Fabric(accelerator="cpu", devices=1))
    seen = data.link_split.message_data(data)
    seen.x = seen.x.to_dense()
    model = Peer(seen.x.size(1), chosen.model.hidden, chosen.model.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.lr)
    return {
        "graphkit": lambda: trainer.take_steps(1),
        "PyG": lambda: peer_epoch(model, optimizer, seen, data.link_split.train),
    }


def scorers(edge_index: Tensor, nodes: int, pairs: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return functions that score pairs by resource allocation, the graph's preparation included."""

    def rows() -> Tensor:
        matrix = csr_array((np.ones(edge_index.size(1)), edge_index.numpy()), shape=(nodes, nodes))
        weighted = matrix @ diags_array(1 / np.maximum(matrix.sum(1), 1))
        parts = [matrix[u].multiply(weighted[v]).sum(1) for u, v in (each.numpy() for each in pairs.split(AT_ONCE, 1))]
        return torch.from_numpy(np.concatenate(parts)).float()

    return {"graphkit": lambda: PairScores(edge_index, nodes).resource_allocation(pairs), "SciPy": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the record."""
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="amazon-computers")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="that are scored")
    options = parser.parse_args(arguments)
    threads, chosen = measure.set_threads(options.threads), recipe("sage-link", items="links")
    graph, (split,) = load_links("karate" if options.quick else options.dataset)
    data = split.apply(graph)
    rounds = options.rounds or (1 if options.quick else 3)
    times = measure.interleaved(epochs(data, chosen), rounds=rounds)
    seen, nodes = split.message_data(data), split.num_nodes
    many = 1000 if options.quick else options.pairs
    pairs = torch.randint(nodes, (2, many), generator=torch.Generator().manual_seed(0))
    bodies = scorers(seen.edge_index, nodes, pairs)
    apart = float((bodies["graphkit"]() - bodies["SciPy"]()).abs().max())
    scored = measure.interleaved(bodies, rounds=rounds)
    rows = [
        measure.row("epoch of sage-link", side, times[side], times["graphkit"], None, difference="") for side in times
    ]
    rows += [
        measure.row(f"{many:,} pairs", side, scored[side], scored["graphkit"], None, difference=f"{apart:.1e}")
        for side in scored
    ]
    note = f"{graph.card.name}, {threads}, {rounds} rounds in turn; ratio: this side's seconds over graphkit's"
    measure.show(rows, note, difference="difference")
    facts = dataclasses.asdict(dataset_facts(data))
    measure.write(options.json, dataset=facts, rows=rows, config=chosen.as_dict(), seeds=[0], protocol=split.record())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
