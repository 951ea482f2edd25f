"""Metric learning on sampled neighbourhoods: batches of a few classes, for graphs too large to be embedded at once.

A batch is some items of some classes, so that it has pairs to learn from; a loader adds the neighbours they are
embedded from; the loss looks at the items alone. Any loader that takes PyTorch's `batch_sampler` will do.

    python examples/metric_on_neighbourhoods.py
    python examples/metric_on_neighbourhoods.py --dataset cora --steps 200
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch_geometric.nn import GraphSAGE

from graphkit.data import ClassBatches, NeighborLoader, load
from graphkit.metric import TripletLoss, evaluate_retrieval


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[5, 5], help="drawn around an item, by hops")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data, loss = load(options.dataset), TripletLoss(0.3)
    encoder = GraphSAGE(data.num_features, 32, num_layers=len(options.neighbours), out_channels=10)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    nodes = data.train_mask.nonzero().squeeze(1)
    drawn = ClassBatches(data.y[nodes], ways=5, shots=4, batches=options.steps)
    loader = NeighborLoader(data, options.neighbours, input_nodes=nodes, loader={"batch_sampler": drawn})

    def embedded(batch) -> torch.Tensor:
        return F.normalize(encoder(batch.x, batch.edge_index), dim=1)

    def retrieval() -> float:
        encoder.eval()
        with torch.no_grad():
            found = evaluate_retrieval(embedded(data), data.y, queries=data.test_mask, metrics=["ranking"])
        return found.map_at_r

    before = retrieval()
    encoder.train()
    for batch in loader:
        optimizer.zero_grad()
        items = batch.batch_size  # they come first, their neighbours after them
        loss(embedded(batch)[:items], batch.y[:items]).backward()
        optimizer.step()
    print(f"{options.steps} batches of at most {5 * 4} items, {batch.num_nodes} nodes in the last one")
    print(f"agreement of neighbours (MAP@R of test items): {before:.1%} untrained, {retrieval():.1%} trained")


if __name__ == "__main__":
    main()
