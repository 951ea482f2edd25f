"""Metric learning on several graphs: nodes of all lie in one space, also those of a graph that gave no label.

`disjoint_union` makes one graph of the family, whose parts share no edge, so that an encoder sees them all at once and
the loss compares nodes of different graphs; here any PyG model will do. With `held_out` one graph is only tested on.

    python examples/metric_on_several_graphs.py
    python examples/metric_on_several_graphs.py --held-out community-1
    python examples/metric_on_several_graphs.py --family citation-domains --held-out dblp
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch_geometric.nn import GraphSAGE

from graphkit.data import ClassBatches, disjoint_union, load
from graphkit.metric import TripletLoss, evaluate_retrieval


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="structural-roles")
    parser.add_argument("--held-out", default="cycle-1", metavar="GRAPH")
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data = disjoint_union(load(options.family, split="random-per-class:20,10"), held_out=options.held_out)
    encoder, loss = GraphSAGE(data.num_features, 32, num_layers=3, out_channels=16), TripletLoss(0.3)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    nodes = data.train_mask.nonzero().squeeze(1)

    def retrieval(items: torch.Tensor) -> float:
        encoder.eval()
        with torch.no_grad():
            z = encoder(data.x, data.edge_index)
        return evaluate_retrieval(z, data.y, queries=data.test_mask, gallery=items, metrics=["ranking"]).map_at_r

    answering = {"its own graph": data.held_out, "the other graphs": ~data.held_out}
    before = {name: retrieval(items) for name, items in answering.items()}
    encoder.train()
    for batch in ClassBatches(data.y[nodes], ways=5, shots=12, batches=options.steps):
        optimizer.zero_grad()
        items = nodes[batch]
        loss(F.normalize(encoder(data.x, data.edge_index)[items], dim=1), data.y[items]).backward()
        optimizer.step()
    for name, items in answering.items():
        print(
            f"agreement of neighbours (MAP@R) when {options.held_out} asks {name}: "
            f"{before[name]:.1%} untrained, {retrieval(items):.1%} trained"
        )


if __name__ == "__main__":
    main()
