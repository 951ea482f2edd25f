"""Users and items in a loop of your own: a lawful split, batches that hide what they ask for, and suggestions.

Who bought what is a graph none of whose nodes is on both sides. It is made up here: users have tastes, and buy mostly
what fits them. The model is PyG's; graphkit gives the split, the batches, and the pairs that are no purchases.

    python examples/links_in_your_loop.py
    python examples/links_in_your_loop.py --users 3000 --epochs 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from graphkit.data import LinkNeighborLoader, RandomLinks, pair_score, to_undirected

TASTES, FEATURES = 6, 16


def purchases(users: int, items: int, seed: int) -> tuple[Data, Tensor]:
    """Return who bought what, users first, with noisy features, and the taste of each node."""
    drawn = torch.Generator().manual_seed(seed)
    taste = torch.randint(TASTES, (users + items,), generator=drawn)
    fits = taste[:users, None] == taste[users:]
    bought = torch.rand(users, items, generator=drawn) < torch.where(fits, 0.06, 0.004)
    who, what = bought.nonzero().T
    x = torch.randn(users + items, FEATURES, generator=drawn) + F.one_hot(taste, FEATURES)
    return Data(x=x, edge_index=torch.stack([who, what + users]), num_nodes=users + items), taste


class Model(nn.Module):
    """Two layers of PyG's, and an inner product."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.convs = nn.ModuleList([SAGEConv(FEATURES, width), SAGEConv(width, width)])

    def encode(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return rows of nodes."""
        return self.convs[1](self.convs[0](x, edge_index).relu(), edge_index)

    def forward(self, x: Tensor, edge_index: Tensor, pairs: Tensor) -> Tensor:
        """Return a score of each pair."""
        z = self.encode(x, edge_index)
        return (z[pairs[0]] * z[pairs[1]]).sum(-1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print how held-out purchases are ranked, and what is suggested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    users = options.users
    data, taste = purchases(users, users // 2, options.seed)
    # Purchases that are held out leave the graph; pairs beside them are of a user and an item, and were not bought.
    split = RandomLinks(0.8, 0.1, 0.1)(data, torch.Generator().manual_seed(options.seed))
    split.require_laws(data)
    seen = to_undirected(split.message_data(data))  # messages run both ways
    # No batch shows its own purchases: with PyG's loader a model would look them up.
    others = split.sampler(split.message_data(data))
    lawful = {"edge_label_index": split.train, "non_edges": others, "hide": "both"}
    loader = LinkNeighborLoader(seen, [10, 10], batch_size=256, shuffle=True, seed=options.seed, **lawful)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(options.epochs):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            scores = model(batch.x, batch.edge_index, batch.edge_label_index)
            F.binary_cross_entropy_with_logits(scores, batch.edge_label).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        z = model.encode(seen.x, seen.edge_index)
        pairs = split.test.pairs()
        bought = torch.arange(pairs.size(1)) < split.test.positive.size(1)
        print(f"ROC-AUC of {int(bought.sum()):,} purchases that were held out")
        for name, scores in (
            ("the model", (z[pairs[0]] * z[pairs[1]]).sum(-1)),
            ("cosine of averaged features", pair_score(seen, pairs, "averaged-cosine")),
        ):
            print(f"  {name:30s}{roc_auc_score(bought, scores):.3f}")
        likely = z[:users] @ z[users:].T
        likely[data.edge_index[0], data.edge_index[1] - users] = -torch.inf
        first = likely.argmax(1) + users
    agree = (taste[first] == taste[:users]).float().mean()
    print(f"agreement of the first suggestion with the user's taste: {agree:.2f} (by chance {1 / TASTES:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
