"""Use graphkit's layers in a heterogeneous model: papers, authors and venues in PyG's `HeteroConv`.

The graph is drawn at random: every paper has a topic, which its authors and the papers it cites mostly share, and which
its own features hardly tell. Guessing it takes a look at the neighbours.

    python examples/heterogeneous.py
    python examples/heterogeneous.py --papers 100 --epochs 5
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv
from torch_geometric.transforms import ToUndirected

from graphkit.nn import GATConv, SAGEConv

TOPICS = 4


def library(papers: int) -> HeteroData:
    """Return papers that cite papers, authors who write them and venues that publish them."""
    topic = {"paper": torch.randint(TOPICS, (papers,)), "author": torch.randint(TOPICS, (papers // 2,))}
    data = HeteroData()
    data["paper"].x = F.one_hot(topic["paper"], 16) + 1.5 * torch.randn(papers, 16)
    data["author"].x, data["venue"].x = torch.ones(papers // 2, 1), torch.eye(10)
    data["paper"].y, data["paper"].train_mask = topic["paper"], torch.rand(papers) < 0.3
    data["venue", "publishes", "paper"].edge_index = torch.stack((torch.randint(10, (papers,)), torch.arange(papers)))
    for source, verb in (("author", "writes"), ("paper", "cites")):
        ends = torch.stack([torch.randint(len(topic[end]), (8 * papers,)) for end in (source, "paper")])
        alike = topic[source][ends[0]] == topic["paper"][ends[1]]
        data[source, verb, "paper"].edge_index = ends[:, alike | (torch.rand(8 * papers) < 0.1)]
    return ToUndirected(merge=False)(data)


class Topics(torch.nn.Module):
    """Two rounds of messages along every kind of edge, then a linear map at the papers."""

    def __init__(self, kinds: list[tuple[str, str, str]], width: int = 16) -> None:
        super().__init__()
        self.first = HeteroConv({kind: SAGEConv((-1, -1), width) for kind in kinds})
        self.second = HeteroConv({kind: GATConv((-1, -1), width, add_self_loops=False) for kind in kinds})
        self.head = torch.nn.Linear(width, TOPICS)

    def forward(self, x: dict[str, Tensor], edge_index: dict[tuple[str, str, str], Tensor]) -> Tensor:
        """Return the logits of the papers."""
        x = {kind: F.dropout(h.relu(), 0.5, self.training) for kind, h in self.first(x, edge_index).items()}
        return self.head(self.second(x, edge_index)["paper"].relu())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--papers", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data = library(options.papers)
    train, y = data["paper"].train_mask, data["paper"].y
    model = Topics(data.edge_types)
    with torch.no_grad():
        model(data.x_dict, data.edge_index_dict)  # the lazy layers learn their widths
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(options.epochs):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data.x_dict, data.edge_index_dict)[train], y[train])
        loss.backward()
        optimizer.step()
    model.eval()
    right = model(data.x_dict, data.edge_index_dict).argmax(dim=1) == y
    print(f"{len(data.edge_types)} kinds of edges, {data.num_edges:,} edges, loss {loss:.3f}")
    print(f"accuracy on the other papers {right[~train].float().mean():.1%}, by chance {1 / TOPICS:.0%}")


if __name__ == "__main__":
    main()
