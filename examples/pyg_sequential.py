"""Put graphkit's layers into a plain PyG `Sequential`, and move trained weights from PyG's layers into them.

Only the import changes: arguments, parameter names and numbers are PyG's. The script trains a network of PyG's layers
for a few epochs, loads its weights into the same network made of graphkit's, and compares what the two predict.

    python examples/pyg_sequential.py
    python examples/pyg_sequential.py --dataset karate --epochs 5
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import ModuleType

import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg

import graphkit.nn as gk
from graphkit.data import load


def network(layers: ModuleType, features: int, classes: int) -> pyg.Sequential:
    """Return attention, convolution and a head; ``layers`` is PyG's module of layers or graphkit's."""
    return pyg.Sequential(
        "x, edge_index",
        [
            (layers.GATConv(features, 8, heads=8), "x, edge_index -> h"),
            torch.nn.ELU(),
            (layers.GCNConv(64, 32), "h, edge_index -> h"),
            torch.nn.ELU(),
            (layers.SAGEConv(32, classes), "h, edge_index -> h"),
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args(arguments)

    data = load(options.dataset)
    torch.manual_seed(0)
    theirs = network(pyg, data.num_features, data.card.classes)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for _ in range(options.epochs):
        optimizer.zero_grad()
        logits = theirs(data.x, data.edge_index)
        loss = F.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        loss.backward()
        optimizer.step()

    ours = network(gk, data.num_features, data.card.classes)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        expected, found = theirs(data.x, data.edge_index), ours(data.x, data.edge_index)
    right = (found.argmax(dim=1) == data.y)[data.test_mask].float().mean()
    print(f"{data.card.name}: loss {loss:.3f} after {options.epochs} epochs, test accuracy {right:.1%}")
    print(f"largest difference between the two networks: {(found - expected).abs().max() / expected.abs().max():.0e}")


if __name__ == "__main__":
    main()
