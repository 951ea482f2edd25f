"""What does an epoch cost on a graph of ogbn-arxiv's size, whole beside PyG's layers and sampled?

The graph is synthetic: power-law degrees, random features. Whole: forward, backward and step of a three-layer GCN,
ours beside PyG's, both given the plain ``edge_index``. Sampled: one epoch of GraphSAGE through our loader, for some
fan-outs and batch sizes; samples per second are training nodes. PyG's own loader needs compiled parts to compare with.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import _measure as measure
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphkit.data import NeighborLoader
from graphkit.nn import Encoder, GCNConv, SAGEConv

CLASSES, HIDDEN = 40, 256


def synthetic(nodes: int, edges: int, features: int) -> Data:
    """Return a graph with power-law degrees, of about so many edges, both directions counted."""
    generator = torch.Generator().manual_seed(0)
    near = torch.randint(nodes, (edges // 2,), generator=generator)
    far = (nodes * torch.rand(edges // 2, generator=generator) ** 3).long()
    x = torch.randn(nodes, features, generator=generator)
    edge_index = to_undirected(torch.stack([near, far]), num_nodes=nodes)
    return Data(x=x, edge_index=edge_index, y=torch.randint(CLASSES, (nodes,), generator=generator))


def step(model: nn.Module, data: Data) -> measure.Body:
    """Return one epoch on the whole graph."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def body() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.x, data.edge_index), data.y).backward()
        optimizer.step()

    return body


def sampled_epoch(data: Data, fan_out: Sequence[int], batch: int, batches: int) -> float:
    """Return the training nodes a second of so many batches."""
    model = Encoder(data.num_features, HIDDEN, CLASSES, conv=SAGEConv, layers=len(fan_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader, seen = NeighborLoader(data, fan_out, loader={"batch_size": batch, "shuffle": True}), 0
    start = time.perf_counter()
    for number, part in enumerate(loader):
        if number == 1:
            start, seen = time.perf_counter(), 0  # the first batch makes kernels ready
        optimizer.zero_grad()
        found = model(part.x, part.edge_index)[: part.batch_size]
        nn.functional.cross_entropy(found, part.y[: part.batch_size]).backward()
        optimizer.step()
        seen += part.batch_size
        if number == batches:
            break
    return seen / (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = measure.parser(__doc__).parse_args(arguments)
    threads = measure.set_threads(options.threads)
    data = synthetic(*((600, 5_000, 16) if options.quick else (169_343, 2_315_598, 128)))
    models = {
        name: Encoder(data.num_features, HIDDEN, CLASSES, conv=conv, layers=3)
        for name, conv in (("graphkit", GCNConv), ("PyG, edge_index", pyg.GCNConv))
    }
    bodies = {name: step(model, data) for name, model in models.items()}
    times = measure.interleaved(bodies, rounds=options.rounds or (2 if options.quick else 3))
    ours = times["graphkit"]
    rows = [measure.row("GCN epoch, whole", name, each, ours, None) for name, each in times.items()]
    measure.show(rows, f"{data.num_nodes:,} nodes, {data.num_edges:,} edges, synthetic; {threads}")
    sampling = []
    for fan_out in ([5, 5], [10, 5], [15, 10, 5]):
        for batch in (64,) if options.quick else (512, 1024):
            speed = sampled_epoch(data, fan_out, batch, 3 if options.quick else 10)
            sampling.append({"fan_out": fan_out, "batch": batch, "nodes_per_second": speed})
            print(f"sampled, fan-out {fan_out}, batch {batch}: {speed:,.0f} nodes a second, "
                  f"{data.num_nodes / speed:,.1f} s an epoch of all nodes")  # fmt: skip
    facts = {"name": "synthetic power law", "nodes": data.num_nodes, "edges": data.num_edges, "classes": CLASSES}
    fields = {"config": {"hidden": HIDDEN, "layers": 3}, "seeds": [0], "sampled": sampling}
    measure.write(options.json, dataset=facts, rows=rows, **fields)


if __name__ == "__main__":
    main()
