"""Clustering: a matching is one, weights are sums, and what is said of odd graphs holds."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import given
from torch_geometric.data import Batch, Data

from graphkit.operators import BalancedTree, Hierarchy, Level, coarse_graph, coarsen, laplacian
from tests.graphs import BY_NAME, Graph, graphs, large
from tests.operators.coarsening.graphs import GRAPHS, UNDIRECTED, dense, distinct, matrix, membership

MATCHINGS = ("graclus", "heavy-edge")
needs_metis = pytest.mark.skipif(importlib.util.find_spec("pymetis") is None, reason="pymetis is not installed")
METHODS = [*MATCHINGS, pytest.param("metis", marks=needs_metis)]
EXACT = {"rtol": 0.0, "atol": 1e-10}


def looped(weights: torch.Tensor, score: str) -> list[set[int]]:
    """Return the pairs that greedy matching takes, written out; scores must differ."""
    degree = weights.sum(1)
    free, pairs = set(range(len(weights))), []
    for i in sorted(free, key=lambda node: (degree[node], node)):
        near = [j for j in free - {i} if weights[i, j] > 0] if i in free else []
        if near:
            share = {j: 1 / degree[i] + 1 / degree[j] if score == "graclus" else 1.0 for j in near}
            best = max(near, key=lambda j: float(weights[i, j] * share[j]))
            pairs.append({i, best})
            free -= {i, best}
    return pairs


@pytest.mark.parametrize("method", MATCHINGS)
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_it_takes_the_pairs_that_a_loop_takes(graph, method):
    weight = distinct(graph)
    (cluster,) = coarsen(graph.edge_index, weight, graph.num_nodes, levels=1, method=method).clusters
    found = [set((cluster == c).nonzero().flatten().tolist()) for c in cluster.unique()]
    expected = looped(matrix(graph, weight), method)
    assert sorted(map(sorted, filter(lambda pair: len(pair) == 2, found))) == sorted(map(sorted, expected))


@given(graphs(symmetric=True, largest=10))
def test_a_matching_has_pairs_of_neighbours_and_leaves_no_two_neighbours_alone(graph):
    for method in MATCHINGS:
        hierarchy = coarsen(graph.edge_index, num_nodes=graph.num_nodes, levels=1, method=method)
        weights, (cluster,) = matrix(graph, torch.ones(graph.num_edges)), hierarchy.clusters
        counts = cluster.bincount()
        assert counts.max() <= 2
        together = (cluster[:, None] == cluster) & ~torch.eye(graph.num_nodes, dtype=torch.bool)
        assert (weights[together] > 0).all()
        alone = counts[cluster] == 1
        assert not (weights[alone][:, alone] > 0).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_coarse_weights_are_sums_and_the_same_in_both_directions(graph, method):
    weight = distinct(graph)
    hierarchy = coarsen(graph.edge_index, weight, graph.num_nodes, levels=3, method=method)
    assert isinstance(hierarchy, Hierarchy)
    assert hierarchy.num_levels == 3
    original = matrix(graph, weight)
    for number, level in enumerate(hierarchy.levels):
        assert isinstance(level, Level)
        p = membership(hierarchy.assignment(number), level.num_nodes)
        expected = p.T @ original @ p
        found = dense(level)
        torch.testing.assert_close(found, expected.clone().fill_diagonal_(0), **EXACT)
        assert torch.equal(found, found.T)
        assert torch.equal(level.sizes, p.sum(0).long())
        assert not (level.edge_index[0] == level.edge_index[1]).any()
        assert level.edge_index.unique(dim=1).shape == level.edge_index.shape
        assert laplacian(level.edge_index, level.edge_weight, level.num_nodes).symmetric


@pytest.mark.parametrize("graph", UNDIRECTED, ids=lambda graph: graph.name)
def test_the_graph_of_given_clusters_is_the_same_sum(graph):
    cluster = torch.arange(graph.num_nodes) % 3
    weight = distinct(graph)
    index, coarse = coarse_graph(graph.edge_index, cluster, weight, num_clusters=3)
    p = membership(cluster, 3)
    expected = (p.T @ matrix(graph, weight) @ p).fill_diagonal_(0)
    torch.testing.assert_close(Graph("", index, 3).dense(coarse), expected, **EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_graph_is_clustered_the_same_and_ties_follow_the_generator(method):
    grid = BY_NAME["grid"]

    def clusters(seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found = coarsen(grid.edge_index, levels=2, method=method, generator=generator).clusters
        return [cluster.tolist() for cluster in found]

    assert clusters() == clusters()
    assert clusters(0) == clusters(0)
    assert len({str(clusters(seed)) for seed in range(6)}) > 1


@pytest.mark.parametrize("method", MATCHINGS)
def test_without_ties_renaming_the_nodes_renames_the_clusters(method):
    graph = large(40, 6)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    weight = distinct(graph)
    one = coarsen(graph.edge_index, weight, 40, levels=2, method=method)
    other = coarsen(graph.relabelled(order).edge_index, weight, 40, levels=2, method=method)
    for level in (1, 2):
        ours, renamed = one.assignment(level)[order], other.assignment(level)
        assert torch.equal(ours[:, None] == ours, renamed[:, None] == renamed)


@pytest.mark.parametrize("method", MATCHINGS)
def test_a_batch_is_clustered_as_its_graphs_are(method):
    zoo = [graph for graph in UNDIRECTED if graph.num_nodes]
    batch = Batch.from_data_list([Data(edge_index=g.edge_index, num_nodes=g.num_nodes) for g in zoo])
    together = coarsen(batch.edge_index, num_nodes=batch.num_nodes, levels=2, method=method)
    apart = [coarsen(g.edge_index, num_nodes=g.num_nodes, levels=2, method=method) for g in zoo]
    for level in range(2):
        shift, expected = 0, []
        for each in apart:
            expected.append(each.clusters[level] + shift)
            shift += each.levels[level + 1].num_nodes
        assert torch.equal(together.clusters[level], torch.cat(expected))


@pytest.mark.parametrize("method", MATCHINGS)
def test_a_cluster_never_joins_two_components_and_an_isolated_node_stays_alone(method):
    graph = BY_NAME["isolated nodes"]  # 1 - 2 - 4, and 0, 3, 5 alone
    hierarchy = coarsen(graph.edge_index, num_nodes=6, levels=4, method=method)
    assert [level.num_nodes for level in hierarchy.levels] == [6, 5, 4, 4, 4]
    top = hierarchy.assignment(4)
    assert top[1] == top[2] == top[4]
    assert len(top.unique()) == 4


@pytest.mark.parametrize("method", MATCHINGS)
@pytest.mark.parametrize("name", ["no edges", "single node", "single node with a loop", "empty"])
def test_a_graph_without_edges_is_its_own_coarse_graph(name, method):
    graph = BY_NAME[name]
    hierarchy = coarsen(graph.edge_index, num_nodes=graph.num_nodes, levels=2, method=method)
    assert [level.num_nodes for level in hierarchy.levels] == [graph.num_nodes] * 3
    assert [level.num_edges for level in hierarchy.levels] == [0] * 3
    assert isinstance(hierarchy.tree, BalancedTree)


def test_no_level_at_all_is_the_graph_itself():
    graph = BY_NAME["duplicate edges"]
    hierarchy = coarsen(graph.edge_index, levels=0)
    assert hierarchy.clusters == ()
    assert dense(hierarchy.levels[0])[0, 1] == 3
    assert hierarchy.assignment(0).tolist() == [0, 1, 2]


def test_an_edge_of_weight_zero_is_none():
    path = BY_NAME["path"]
    weight = torch.tensor([0.0, 0, 1, 1, 1, 1, 1, 1])
    hierarchy = coarsen(path.edge_index, weight, levels=1)
    assert hierarchy.levels[0].num_edges == 6
    assert (hierarchy.clusters[0] == hierarchy.clusters[0][0]).sum() == 1


@needs_metis
def test_parts_of_metis_are_about_as_large_as_asked_for_and_balanced():
    graph = large(400, 8)
    (cluster,) = coarsen(graph.edge_index, num_nodes=400, levels=1, method="metis", cluster_size=20).clusters
    counts = cluster.bincount()
    assert len(counts) == 20
    assert 10 < counts.min() <= counts.max() < 30  # METIS tolerates a few per cent; rounding of small parts adds


@needs_metis
def test_metis_cuts_a_graph_of_two_halves_between_them():
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randint(20, (2, 120), generator=generator) + shift for shift in (0, 20)]
    index = torch.cat([*blocks, torch.tensor([[0], [20]])], dim=1)
    (cluster,) = coarsen(
        torch.cat([index, index.flip(0)], 1), num_nodes=40, levels=1, method="metis", cluster_size=20
    ).clusters
    assert cluster.tolist() == [0] * 20 + [1] * 20


@needs_metis
@pytest.mark.parametrize("name", ["no edges", "single node", "empty", "isolated nodes"])
def test_metis_takes_graphs_with_hardly_an_edge(name):
    graph = BY_NAME[name]
    hierarchy = coarsen(graph.edge_index, num_nodes=graph.num_nodes, levels=2, method="metis")
    assert hierarchy.levels[1].num_nodes <= graph.num_nodes


def test_without_pymetis_its_error_says_how_to_get_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pymetis" else find(name))
    with pytest.raises(ValueError, match=r"needs pymetis: pip install 'graphkit\[metis\]'"):
        coarsen(BY_NAME["path"].edge_index, levels=1, method="metis")


def test_every_form_of_a_graph_is_taken():
    graph = BY_NAME["grid"]
    weight = distinct(graph)
    expected = coarsen(graph.edge_index, weight, levels=2)
    size = (graph.num_nodes, graph.num_nodes)
    sparse = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size, check_invariants=True).coalesce()
    for form in (sparse, sparse.to_sparse_csr()):
        found = coarsen(form, levels=2)
        assert [c.tolist() for c in found.clusters] == [c.tolist() for c in expected.clusters]


def test_it_moves_and_tells_graphs_apart():
    graph = BY_NAME["grid"]
    hierarchy = coarsen(graph.edge_index, levels=1)
    moved = hierarchy.to(torch.float64)
    assert moved.levels[1].edge_weight.dtype == torch.float64
    assert moved.levels[1].edge_index.dtype == torch.int64
    level, other = hierarchy.levels[0], coarsen(graph.edge_index, distinct(graph).float(), levels=1).levels[0]
    assert level.fingerprint == coarsen(graph.edge_index, levels=2).levels[0].fingerprint == moved.levels[0].fingerprint
    assert level.fingerprint != other.fingerprint
    assert repr(hierarchy) == "Hierarchy(9 > 5 nodes)"


def test_a_level_has_the_basis_of_its_laplacian():
    level = coarsen(BY_NAME["grid"].edge_index, levels=1).levels[1]
    basis = level.basis
    weights = dense(level)
    root = weights.sum(1).rsqrt()
    truth = torch.linalg.eigvalsh(torch.eye(len(root)) - root[:, None] * weights * root)
    torch.testing.assert_close(basis.eigenvalues.double(), truth, rtol=0, atol=1e-5)  # float32
    assert basis.complete


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": -1}, "`levels` must be an integer of at least 0"),
        ({"levels": 1, "method": "gracls"}, "`method` 'gracls' is not known. Did you mean 'graclus'"),
        ({"levels": 1, "cluster_size": 3}, r"`cluster_size` is 2 in a matching \('graclus'\), got 3"),
        ({"levels": 1, "edge_weight": -torch.ones(8)}, "`edge_weight` must be 0 or above to cluster by, got -1"),
        ({"levels": 1, "edge_weight": torch.full((8,), torch.nan)}, "`edge_weight` must be finite"),
        ({"levels": 1, "edge_weight": torch.ones(7)}, r"`edge_weight` must have one value per edge \(8\)"),
        ({"levels": 1, "edge_weight": torch.arange(8.0)}, "`edge_index` must be undirected"),
        ({"levels": 1, "num_nodes": 3}, "there are only 3"),
    ],
)
def test_what_cannot_be_clustered_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        coarsen(BY_NAME["path"].edge_index, **arguments)


def test_a_directed_graph_is_refused():
    with pytest.raises(ValueError, match="must be undirected, every edge in both directions"):
        coarsen(BY_NAME["directed"].edge_index, levels=1)


@pytest.mark.parametrize(
    ("cluster", "clusters", "error", "message"),
    [
        (torch.tensor([0, 1, -1]), None, ValueError, "numbers from 0 upwards, got -1"),
        (torch.tensor([0, 1, 2]), 2, ValueError, "numbers from 0 to 1, got 2"),
        (torch.tensor([0.0, 1, 2]), None, TypeError, "must hold integers"),
        (torch.tensor([[0, 1, 2]]), None, ValueError, r"must have shape \[nodes\]"),
    ],
)
def test_numbers_of_clusters_are_checked(cluster, clusters, error, message):
    with pytest.raises(error, match=message):
        coarse_graph(torch.tensor([[0, 1], [1, 0]]), cluster, num_clusters=clusters)
