"""Scores of pairs, against dense matrices, networkx and their own definitions, on graphs of every kind."""

from __future__ import annotations

import networkx
import pytest
import torch

from graphkit.operators.pair_scores import PairScores, row_products, similarity_ranks


def drawn(seed, nodes=14, edges=30, *, directed=False):
    """A random graph with self-loops and edges that stand twice, and all pairs of its nodes."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(nodes, (2, edges), generator=generator)
    index = torch.cat([index, index[:, :3]], 1)
    index = index if directed else torch.cat([index, index.flip(0)], 1)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    dense[index[0], index[1]] = 1
    dense.fill_diagonal_(0)
    pairs = torch.cartesian_prod(torch.arange(nodes), torch.arange(nodes)).T
    return index, dense, pairs[:, torch.randperm(pairs.size(1), generator=generator)]


def close(found, dense, pairs):
    torch.testing.assert_close(found.double(), dense[pairs[0], pairs[1]], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_sums_over_dense_matrices(seed, directed):
    index, a, pairs = drawn(seed, directed=directed)
    scores = PairScores(index, len(a))
    assert scores.undirected is not directed
    degree = a.sum(0) + (a.sum(1) if directed else 0)
    assert torch.equal(scores.degree.double(), degree)
    close(scores.common_neighbors(pairs), a @ a, pairs)
    close(scores.adamic_adar(pairs), a @ torch.diag(1 / degree.clamp(min=2).log()) @ a, pairs)
    close(scores.resource_allocation(pairs), a @ torch.diag(1 / degree.clamp(min=1)) @ a, pairs)
    weights = torch.rand(len(a), 2, dtype=torch.float64)
    two, three = scores.paths(pairs, weights)
    for kind in (0, 1):
        w = torch.diag(weights[:, kind])
        close(two[:, kind], a @ w @ a, pairs)
        close(three[:, kind], a @ w @ a @ w @ a, pairs)
    close(scores.katz(pairs, beta=0.1, steps=3), 0.1 * a + 0.01 * a @ a + 0.001 * a @ a @ a, pairs)
    p = a / a.sum(1, keepdim=True).clamp(min=1)
    walks = sum(0.2 * 0.8**k * torch.linalg.matrix_power(p, k) for k in range(5))
    close(scores.pagerank(pairs, teleport=0.2, steps=4), walks + walks.T, pairs)


@pytest.mark.parametrize("seed", range(3))
def test_an_undirected_graph_is_scored_as_by_networkx(seed):
    index, a, pairs = drawn(seed)
    graph = networkx.from_numpy_array(a.numpy())
    pairs = pairs[:, pairs[0] != pairs[1]]
    asked = list(zip(*pairs.tolist(), strict=True))
    scores = PairScores(index, len(a))
    for ours, theirs in (
        (scores.adamic_adar, networkx.adamic_adar_index),
        (scores.resource_allocation, networkx.resource_allocation_index),
    ):
        expected = torch.tensor([score for _, _, score in theirs(graph, asked)])
        torch.testing.assert_close(ours(pairs), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("directed", [False, True])
def test_common_nodes_are_listed_with_their_pair(directed):
    index, a, pairs = drawn(0, directed=directed)
    of_pair, nodes = PairScores(index, len(a)).common_nodes(pairs)
    found = {(int(p), int(w)) for p, w in zip(of_pair, nodes, strict=True)}
    expected = {(p, w) for p, (u, v) in enumerate(pairs.T.tolist()) for w in range(len(a)) if a[u, w] and a[w, v]}
    assert found == expected
    assert len(found) == len(nodes)


@pytest.mark.parametrize("directed", [False, True])
def test_the_neighbour_most_alike_is_found(directed):
    index, a, pairs = drawn(1, directed=directed)
    rows = torch.nn.functional.normalize(torch.randn(len(a), 5), dim=-1)
    one, other = PairScores(index, len(a)).neighbor_similarity(pairs, rows)
    alike = rows @ rows.T
    for place, (u, v) in enumerate(pairs.T.tolist()):
        into, out = a[:, v].nonzero()[:, 0], a[u].nonzero()[:, 0]
        assert one[place].item() == pytest.approx(alike[u, into].max().item() if len(into) else 0, abs=1e-5)
        assert other[place].item() == pytest.approx(alike[v, out].max().item() if len(out) else 0, abs=1e-5)


def test_ranks_are_shares_of_nodes_that_are_more_alike():
    rows = torch.nn.functional.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    pairs, some = torch.tensor([[0, 3, 3, 8], [1, 2, 7, 0]]), torch.tensor([1, 2, 5, 7])
    alike = rows @ rows.T
    first, second = similarity_ranks(rows, pairs, some)
    for place, (u, v) in enumerate(pairs.T.tolist()):
        assert first[place].item() == pytest.approx((alike[u, some] > alike[u, v] + 1e-6).float().mean().item())
        assert second[place].item() == pytest.approx((alike[v, some] > alike[u, v] + 1e-6).float().mean().item())
    torch.testing.assert_close(row_products(rows, pairs), alike[pairs[0], pairs[1]])


def test_blocks_change_nothing(monkeypatch):
    index, a, pairs = drawn(2)
    rows = torch.nn.functional.normalize(torch.randn(len(a), 4), dim=-1)

    def scored():
        scores, nodes = PairScores(index, len(a)), torch.arange(len(a))
        return [
            scores.pagerank(pairs),
            scores.katz(pairs),
            row_products(rows, pairs),
            *similarity_ranks(rows, pairs, nodes),
        ]

    whole = scored()
    monkeypatch.setattr("graphkit.operators.pair_scores.ENTRIES", 30)
    for before, after in zip(whole, scored(), strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("nodes", [0, 3])
def test_a_graph_without_edges_and_no_pairs_have_scores_too(nodes):
    scores, none = PairScores(torch.empty(2, 0, dtype=torch.long), nodes), torch.empty(2, 0, dtype=torch.long)
    assert [len(f(none)) for f in (scores.common_neighbors, scores.katz, scores.pagerank)] == [0, 0, 0]
    if nodes:
        assert scores.pagerank(torch.tensor([[0], [1]])).tolist() == [0.0]


def test_pairs_are_checked():
    scores = PairScores(torch.tensor([[0], [1]]), 2)
    with pytest.raises(ValueError, match="`pairs` must have shape"):
        scores.common_neighbors(torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="`pairs` must hold node ids from 0 to 1"):
        scores.katz(torch.tensor([[0], [2]]))
