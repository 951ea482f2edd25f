"""Bring your own data as a NetworkX graph: Les Misérables, from characters and scenes to a trained model.

Nodes are characters, weighted edges say in how many chapters two of them meet. There are no features and no labels: we
label each character with the community that Clauset, Newman and Moore's algorithm puts it in, show the model four
characters of each community, and ask it for the others from their place in the graph alone.

    python examples/networkx_graph.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import networkx as nx
import torch
from torch_geometric.data import Data

from graphkit.data.splits import RandomPerClass
from graphkit.training import recipe, train


def graph_to_data(graph: nx.Graph, label: dict, weight: str) -> Data:
    """Return a graph as PyG's ``Data``: one-hot features, both directions of every edge, one label per node."""
    number = {node: i for i, node in enumerate(graph)}
    edges = [(number[u], number[v], value) for u, v, value in graph.edges(data=weight)]
    ends = torch.tensor([edge[:2] for edge in edges]).T
    weights = torch.tensor([float(edge[2]) for edge in edges])
    return Data(
        x=torch.eye(len(graph)),
        edge_index=torch.cat((ends, ends.flip(0)), dim=1),
        edge_weight=torch.cat((weights, weights)),
        y=torch.tensor([label[node] for node in graph]),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)

    graph = nx.les_miserables_graph()
    communities = [c for c in nx.community.greedy_modularity_communities(graph, weight="weight") if len(c) >= 8]
    graph = graph.subgraph([node for node in graph if any(node in community for community in communities)])
    label = {node: number for number, community in enumerate(communities) for node in community}
    data = graph_to_data(graph, label, "weight")
    print(f"{data.num_nodes} characters, {data.num_edges // 2} acquaintances, {len(communities)} communities")

    split = RandomPerClass(per_class=4, val=2)
    data = split(data, torch.Generator().manual_seed(0)).apply(data)
    outcome = train(data, recipe("gcn", {"epochs": options.epochs}), seeds=range(options.seeds))
    sizes = f"{int(data.train_mask.sum())} known, {int(data.test_mask.sum())} asked for"
    print(f"test accuracy {outcome.record.metric}; {sizes}")


if __name__ == "__main__":
    main()
