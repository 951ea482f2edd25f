"""Clusters: every node once, all edges inside a batch, few edges between parts."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import ClusterLoader, metis_clusters

needs_metis = pytest.mark.skipif(importlib.util.find_spec("pymetis") is None, reason="pymetis is not installed")


@pytest.fixture
def cliques() -> Data:
    """Eight cliques of six nodes on a ring."""
    block = torch.ones(6, 6).triu(1)
    joined = torch.block_diag(*[block] * 8)
    joined[torch.arange(0, 48, 6), (torch.arange(0, 48, 6) + 7) % 48] = 1
    edge_index = (joined + joined.T).nonzero().T.contiguous()
    weight = torch.arange(edge_index.size(1)).float()
    return Data(x=torch.arange(48.0)[:, None], edge_index=edge_index, edge_weight=weight, y=torch.arange(48) % 3)


@needs_metis
def test_metis_finds_the_cliques(cliques):
    part = metis_clusters(cliques.edge_index, 8, num_nodes=48)
    found = {frozenset((part == number).nonzero().flatten().tolist()) for number in range(8)}
    assert found == {frozenset(range(6 * k, 6 * k + 6)) for k in range(8)}


@needs_metis
def test_direction_repetition_and_loops_do_not_count(cliques):
    edge_index = cliques.edge_index
    one_way = edge_index[:, edge_index[0] < edge_index[1]]
    loops = torch.arange(48).repeat(2, 1)
    changed = torch.cat([one_way, one_way, loops], 1)
    assert torch.equal(metis_clusters(changed, 8, num_nodes=48), metis_clusters(edge_index, 8, num_nodes=48))


@needs_metis
def test_a_graph_without_edges_is_cut_evenly():
    none = torch.empty(2, 0, dtype=torch.long)
    assert metis_clusters(none, 3, num_nodes=9).bincount().tolist() == [3, 3, 3]
    assert metis_clusters(none, 1, num_nodes=3).tolist() == [0, 0, 0]
    assert metis_clusters(none, 3, num_nodes=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_node_is_in_one_batch_with_the_edges_inside_it(cliques, shuffle):
    part = torch.arange(48) // 6
    loader = ClusterLoader(cliques, part, batch_size=3, shuffle=shuffle, seed=1)
    batches = list(loader)
    assert sorted(torch.cat([batch.n_id for batch in batches]).tolist()) == list(range(48))
    for batch in batches:
        inside = torch.isin(cliques.edge_index, batch.n_id).all(0)
        assert torch.equal(batch.e_id, inside.nonzero().flatten())
        assert torch.equal(batch.n_id[batch.edge_index], cliques.edge_index[:, batch.e_id])
        assert torch.equal(batch.x[:, 0].long(), batch.n_id)
        assert torch.equal(batch.y, cliques.y[batch.n_id])
        assert torch.equal(batch.edge_weight.long(), batch.e_id)


@pytest.mark.parametrize("persistent", [None, False, True])
def test_a_seed_decides_which_clusters_meet_with_any_workers(cliques, persistent):
    def passes(seed, **options):
        loader = ClusterLoader(cliques, torch.arange(48) // 6, batch_size=3, shuffle=True, seed=seed, **options)
        return [batch.n_id.tolist() for _ in range(2) for batch in loader]

    options = {} if persistent is None else {"num_workers": 2, "loader": {"persistent_workers": persistent}}
    torch.manual_seed(1 + bool(persistent))
    alone = passes(5)
    assert passes(5, **options) == alone
    assert alone[: len(alone) // 2] != alone[len(alone) // 2 :]
    assert passes(6) != alone


def test_more_parts_than_nodes_and_wrong_sizes_are_refused(cliques):
    with pytest.raises(ValueError, match=r"`parts` must be at most the number of nodes \(48\), got 49"):
        metis_clusters(cliques.edge_index, 49, num_nodes=48)
    with pytest.raises(ValueError, match="`parts`"):
        metis_clusters(cliques.edge_index, 0, num_nodes=48)
    with pytest.raises(ValueError, match="`part` must have one value per node"):
        ClusterLoader(cliques, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="`batch_size`"):
        ClusterLoader(cliques, torch.zeros(48, dtype=torch.long), batch_size=0)
    with pytest.raises(ValueError, match="`seed`"):
        ClusterLoader(cliques, torch.zeros(48, dtype=torch.long), seed=-1)


def test_without_pymetis_its_error_says_how_to_get_it(cliques, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pymetis" else find(name))
    with pytest.raises(ValueError, match=r"need pymetis: pip install 'graphkit\[metis\]'"):
        metis_clusters(cliques.edge_index, 8, num_nodes=48)
