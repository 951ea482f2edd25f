"""The zoo: small graphs on which every law must hold, each with one trait that breaks careless code."""

from __future__ import annotations

from dataclasses import dataclass, replace

import networkx as nx
import torch
from hypothesis import strategies as st
from torch import Tensor

from graphkit.operators.pattern import Pattern


@dataclass(frozen=True)
class Graph:
    """A graph as PyG passes it: ``edge_index`` ``[2, edges]`` and the number of its nodes."""

    name: str
    edge_index: Tensor
    num_nodes: int

    @property
    def num_edges(self) -> int:
        return self.edge_index.shape[1]

    @property
    def symmetric(self) -> bool:
        """Whether every edge has its reverse, as often as itself."""
        return torch.equal(self.dense(), self.dense().T)

    @property
    def simple(self) -> bool:
        """Whether no edge stands twice."""
        return bool((self.dense() <= 1).all())

    def dense(self, edge_weight: Tensor | None = None) -> Tensor:
        """Return the float64 matrix whose entry (i, j) sums the weights of the edges j -> i."""
        weight = torch.ones(self.num_edges) if edge_weight is None else edge_weight
        matrix = torch.zeros(self.num_nodes, self.num_nodes, dtype=torch.float64)
        source, target = self.edge_index
        return matrix.index_put((target, source), weight.double(), accumulate=True)

    def weights(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return positive weights ``[edges]``, the same in both directions and for duplicates."""
        source, target = self.edge_index
        return (0.5 + (3 * (source + target) + source * target).remainder(7) / 7).to(dtype)

    def features(self, width: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return features ``[nodes, width]``, the same at each call."""
        return _numbers(0, self.num_nodes, width).to(dtype)

    def edge_features(self, width: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return edge features ``[edges, width]``, the same at each call."""
        return _numbers(1, self.num_edges, width).to(dtype)

    def relabelled(self, order: Tensor) -> Graph:
        """Return the graph whose node ``k`` is this one's node ``order[k]``."""
        return replace(self, edge_index=order.argsort()[self.edge_index])


def _numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def undirected(name: str, pairs: list[tuple[int, int]], num_nodes: int) -> Graph:
    """Return the graph with both directions of every pair, a loop once."""
    edges = [edge for a, b in pairs for edge in ({(a, b), (b, a)} if a == b else ((a, b), (b, a)))]
    return Graph(name, torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous(), num_nodes)


def _from_networkx(name: str, graph: nx.Graph) -> Graph:
    graph = nx.convert_node_labels_to_integers(graph)
    return undirected(name, list(graph.edges), graph.number_of_nodes())


ZOO = (
    _from_networkx("path", nx.path_graph(5)),
    _from_networkx("ring", nx.cycle_graph(6)),
    _from_networkx("star", nx.star_graph(5)),
    _from_networkx("complete", nx.complete_graph(5)),
    _from_networkx("grid", nx.grid_2d_graph(3, 3)),
    undirected("two components", [(0, 1), (1, 2), (0, 2), (3, 4)], 5),
    undirected("isolated nodes", [(1, 2), (2, 4)], 6),
    undirected("duplicate edges", [(0, 1), (0, 1), (0, 1), (1, 2)], 3),
    undirected("self-loops", [(0, 0), (0, 1), (1, 2), (2, 2)], 4),
    undirected("no edges", [], 3),
    undirected("single node", [], 1),
    undirected("single node with a loop", [(0, 0)], 1),
    undirected("empty", [], 0),
    Graph("directed", torch.tensor([[0, 1, 2, 3, 3, 4], [1, 2, 0, 0, 3, 1]]), 6),
)
"""Every graph of the zoo; all but the last are undirected."""

BY_NAME = {graph.name: graph for graph in ZOO}


@st.composite
def graphs(draw: st.DrawFn, symmetric: bool = False, largest: int = 8) -> Graph:
    """Draw a graph with up to ``largest`` nodes, loops and duplicates among its edges."""
    nodes = draw(st.integers(1, largest))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=2 * nodes))
    if symmetric:
        return undirected("drawn", pairs, nodes)
    return Graph("drawn", torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T.contiguous(), nodes)


def pattern_of(graph: Graph) -> Pattern:
    """Return the pattern of the graph's matrix, entry (i, j) for each edge j -> i."""
    source, target = graph.edge_index.numpy()
    return Pattern.from_coo(target, source, (graph.num_nodes, graph.num_nodes))


def large(nodes: int = 400, degree: int = 50) -> Graph:
    """Return a random undirected graph with about ``degree`` edges at each node."""
    generator = torch.Generator().manual_seed(2)
    ends = torch.randint(nodes, (2, nodes * degree // 2), generator=generator)
    return Graph("large", torch.cat((ends, ends.flip(0)), 1), nodes)
