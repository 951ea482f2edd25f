"""A loss, a miner and an encoder of your own: any PyG model learns a space in which a class lies together.

Losses are functions of embeddings and labels, so the encoder may be anything; here it is PyG's own GCN. A miner, a
distance, or a loss of pytorch-metric-learning can be put in place of ours. The report shows a training that stalls:
a share of active triplets near 0, or pairs that have collapsed.

    python examples/metric_losses.py --loss triplet
    python examples/metric_losses.py --loss contrastive --epochs 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCN

from graphkit.data import load
from graphkit.metric import (
    ContrastiveLoss,
    MultiSimilarityLoss,
    MultiSimilarityMiner,
    QuadrupletLoss,
    SupervisedContrastiveLoss,
    TripletLoss,
    evaluate_retrieval,
)

LOSSES = {
    "contrastive": ContrastiveLoss(1.0, positive_margin=0.2),
    "triplet": TripletLoss(0.3),
    "quadruplet": QuadrupletLoss(1.0, 0.5, adaptive=True, reduction="active"),
    "supcon": SupervisedContrastiveLoss(0.2),
    "multisimilarity": MultiSimilarityLoss(2.0, 10.0, miner=MultiSimilarityMiner(0.1)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--loss", choices=LOSSES, default="triplet")
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data, loss = load(options.dataset), LOSSES[options.loss]
    encoder = GCN(data.num_features, 32, num_layers=2, out_channels=10, dropout=0.3)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)

    def embedded() -> torch.Tensor:
        return F.normalize(encoder(data.x, data.edge_index), dim=1)

    def retrieval() -> float:
        encoder.eval()
        with torch.no_grad():
            found = evaluate_retrieval(embedded(), data.y, queries=data.test_mask, metrics=["ranking"])
        return found.map_at_r

    before = retrieval()
    for epoch in range(1, options.epochs + 1):
        encoder.train()
        optimizer.zero_grad()
        z, y = embedded()[data.train_mask], data.y[data.train_mask]
        loss(z, y).backward()
        optimizer.step()
        if epoch in (1, options.epochs):
            seen = loss.report(z.detach(), y)
            print(
                f"epoch {epoch}: {seen.active:.0%} of the tuples active, a class {seen.positives:.2f} wide and "
                f"{seen.negatives:.2f} from others, {seen.effective_rank:.1f} directions, {seen.collapsed:.0%} collapse"
            )
    print(f"agreement of neighbours (MAP@R of test items): {before:.1%} untrained, {retrieval():.1%} trained")


if __name__ == "__main__":
    main()
