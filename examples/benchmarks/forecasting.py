"""How long is a step of a graph-convolutional GRU beside a loop of PyG's parts, and what memory does it take?

A step is forward, backward and Adam, of a batch of windows on a graph of sensors. The peer has three convolutions of
the input and three of the state at each moment, PyG's `ChebConv`, as published code has them. Both sides have the same
weights, and the same results. `--sensors 100000` is a network of that many, of which graphkit's side alone takes a
step, with its peak of memory.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.utils import to_undirected

from graphkit.nn import ChebConv, GraphGRU

MANY = 20_000
"""Sensors of which the peer is asked, too."""


def sensors(many: int, near: int = 7) -> tuple[Tensor, Tensor]:
    """Return a road network: sensors along a road, each joined with the next ones, by weights that fall."""
    hops = torch.arange(1, near + 1)
    source = torch.arange(many).repeat_interleave(near)
    target = (source.view(many, near) + hops).flatten() % many
    weight = torch.exp(-hops.float().repeat(many) / 3)
    return to_undirected(torch.stack([source, target]), weight, num_nodes=many)


class Peer(nn.Module):
    """The same unit, of six convolutions of PyG."""

    def __init__(self, channels: int, hidden: int, order: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.of_input = nn.ModuleList(pyg.ChebConv(channels, hidden, order) for _ in range(3))
        self.of_state = nn.ModuleList(pyg.ChebConv(hidden, hidden, order) for _ in range(3))

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Return the states ``[moments, time, nodes, hidden]``."""
        h = x.new_zeros(x.size(0), x.size(2), self.hidden)
        states = []
        for step in x.unbind(1):
            z, r, c = (conv(step, edge_index, edge_weight) for conv in self.of_input)
            z = torch.sigmoid(z + self.of_state[0](h, edge_index, edge_weight))
            r = torch.sigmoid(r + self.of_state[1](h, edge_index, edge_weight))
            c = torch.tanh(c + self.of_state[2](r * h, edge_index, edge_weight))
            h = z * h + (1 - z) * c
            states.append(h)
        return torch.stack(states, 1)

    def take(self, unit: Any) -> None:
        """Take the weights of ours."""
        h = self.hidden
        with torch.no_grad():
            for term in range(len(unit.input.lins)):
                for place, conv in enumerate(self.of_input):
                    conv.lins[term].weight.copy_(unit.input.lins[term].weight[place * h : (place + 1) * h])
                for place, conv in enumerate(self.of_state):
                    source = unit.gates if place < 2 else unit.candidate
                    rows = slice(place * h, (place + 1) * h) if place < 2 else slice(None)
                    conv.lins[term].weight.copy_(source.lins[term].weight[rows])


def steps(many: int, hidden: int, batch: int, length: int, order: int) -> tuple[dict[str, Callable[[], Any]], float]:
    """Return functions that take a step on each side, and how far their results are apart."""
    torch.manual_seed(0)
    edge_index, weight = sensors(many)
    x = torch.randn(batch, length, many, 1)
    unit = GraphGRU(1, hidden, lambda i, o: ChebConv(i, o, K=order))

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(x, edge_index, weight)[:, -1].square().mean().backward()
        optimizer.step()

    ours = torch.optim.Adam(unit.parameters(), lr=1e-4)
    bodies: dict[str, Callable[[], Any]] = {"graphkit": lambda: step(unit, ours)}
    if many > MANY:
        return bodies, float("nan")
    peer = Peer(1, hidden, order)
    peer.take(unit)
    with torch.no_grad():
        apart = float((unit(x, edge_index, weight) - peer(x, edge_index, weight)).abs().max())
    theirs = torch.optim.Adam(peer.parameters(), lr=1e-4)
    bodies["PyG's parts"] = lambda: step(peer, theirs)
    return bodies, apart


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write the record."""
    parser = measure.parser(__doc__)
    parser.add_argument("--sensors", type=int, default=207)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--batch", type=int, help=f"windows of a step (default: 32, of more than {MANY:,} sensors 1)")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    many = 20 if options.quick else options.sensors
    batch = options.batch or (1 if many > MANY else 32)
    config = {"sensors": many, "hidden": options.hidden, "batch": batch, "length": 12, "order": 2}
    bodies, apart = steps(many, options.hidden, batch, 12, 2)
    rounds = options.rounds or (1 if options.quick else 3)
    times = measure.interleaved(bodies, rounds=rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    rows = [
        measure.row(f"GRU, {many:,} sensors", side, times[side], times["graphkit"], None, difference=f"{apart:.1e}")
        for side in times
    ]
    note = f"{threads}, {rounds} rounds in turn; peak {peak:.1f} GB; ratio: this side's seconds over graphkit's"
    measure.show(rows, note, difference="difference")
    measure.write(options.json, dataset={"name": "a road of sensors"}, rows=rows, config=config, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
