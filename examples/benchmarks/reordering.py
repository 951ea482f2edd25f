"""Where does it pay to renumber the nodes of a graph, so that neighbours stand close?

One product of the normalised adjacency matrix with dense features, for the numbering as given, a random one, reverse
Cuthill-McKee and METIS clusters of 1,000 nodes. "found in" is the time to find the order, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import _measure as measure
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data import load, locality_order, reorder_nodes
from graphkit.operators import gcn_adjacency


def orders(data: Data) -> dict[str, Callable[[], Tensor]]:
    """Return what finds each order."""
    nodes = data.num_nodes
    return {
        "as given": lambda: torch.arange(nodes),
        "random": lambda: torch.randperm(nodes, generator=torch.Generator().manual_seed(0)),
        "Cuthill-McKee": lambda: locality_order(data.edge_index, num_nodes=nodes),
        "METIS": lambda: locality_order(data.edge_index, num_nodes=nodes, by="metis"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a product for each order."""
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="coauthor-physics", help="a graph of nodes")
    parser.add_argument("--features", type=int, default=512, help="columns of the features")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    name, features = ("karate", 4) if options.quick else (options.dataset, options.features)
    rounds, graph = options.rounds or 5, load(name)
    data = Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)
    x = torch.randn(data.num_nodes, features, generator=torch.Generator().manual_seed(0))
    bodies, found = {}, {}
    for order, find in orders(data).items():
        times, numbers = measure.once(find)
        found[order] = f"{times.cpu[0]:.2f} s"
        operator = gcn_adjacency(reorder_nodes(data, numbers).edge_index, num_nodes=data.num_nodes)
        bodies[order] = partial(torch.matmul, operator, x)
    times = measure.interleaved(bodies, rounds=rounds)
    what, given = f"product, {data.num_edges:,} edges", times["as given"]
    rows = [measure.row(what, order, each, given, None, found=found[order]) for order, each in times.items()]
    measure.show(rows, f"{name}, {features} features, {threads}, {rounds} rounds in turn", found="found in")
    facts = {"name": name, "nodes": data.num_nodes, "edges": data.num_edges, "classes": 0}
    measure.write(options.json, dataset=facts, rows=rows, config={"features": features}, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
