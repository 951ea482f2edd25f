"""Augmentations: what they drop, how much, and that a view is the same graph to every kind of encoder."""

from __future__ import annotations

import pytest
import torch

from graphkit.contrastive import Augmentation, Diffusion, View, drop_edges, mask_features, subgraph_nodes
from graphkit.nn import GCNConv
from graphkit.operators import pagerank_graph, sparse_features


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(nodes: int) -> torch.Tensor:
    forward = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    return torch.cat([forward, forward.flip(0)], 1)


def test_edges_stay_with_the_stated_probability():
    kept = drop_edges(ring(20_000), 0.3, generator=generator())
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.01)  # five deviations of 40,000 draws


def test_both_directions_of_an_undirected_edge_share_their_lot():
    edges = ring(500)
    kept = drop_edges(edges, 0.5, generator=generator(), undirected=True)
    assert torch.equal(kept[:500], kept[500:])
    assert 0 < int(kept.sum()) < 1000
    directed = drop_edges(edges, 0.5, generator=generator())
    assert not torch.equal(directed[:500], directed[500:])


def test_a_masked_column_is_zero_for_all_nodes_and_the_others_are_untouched():
    x = torch.rand(6, 2_000) + 1
    masked = mask_features(x, 0.25, generator=generator())
    gone = (masked == 0).all(0)
    assert torch.equal(masked[:, ~gone], x[:, ~gone])
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_sparse_features_stay_sparse_and_lose_the_same_columns():
    x = torch.rand(6, 40) * (torch.rand(6, 40, generator=generator()) < 0.3)
    dense = mask_features(x, 0.5, generator=generator(3))
    sparse = mask_features(sparse_features(x), 0.5, generator=generator(3))
    assert torch.equal(sparse.to_dense(), dense)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_random_walks_reach_exactly_the_share_asked_for(share):
    reached = subgraph_nodes(ring(200), share, num_nodes=200, generator=generator())
    assert int(reached.sum()) == round(200 * share)


def test_walks_reach_isolated_nodes_too_and_end_without_edges():
    none = torch.zeros(2, 0, dtype=torch.long)
    assert int(subgraph_nodes(none, 1.0, num_nodes=5, generator=generator()).sum()) == 5


def test_what_random_walks_reach_hangs_together_more_than_chance_would():
    reached = subgraph_nodes(ring(1_000), 0.3, num_nodes=1_000, generator=generator())
    together = reached[ring(1_000)].all(0).float().mean()
    assert together > 0.2  # of independent nodes 0.09 of the edges would survive


def test_a_dropped_edge_and_an_edge_of_weight_zero_are_the_same_to_a_layer():
    x, conv = torch.rand(30, 5, dtype=torch.float64), GCNConv(5, 3).double()
    augment, view = Augmentation(edge_drop=0.4, feature_mask=0.3, node_drop=0.2), View(x, ring(30))
    weighted = augment(view, generator(7), weighted=True)
    cut = augment(view, generator(7), weighted=False)
    assert cut.edge_weight is None
    assert cut.edge_index.shape[1] < weighted.edge_index.shape[1]
    torch.testing.assert_close(
        conv(weighted.x, weighted.edge_index, weighted.edge_weight), conv(cut.x, cut.edge_index), rtol=0, atol=1e-12
    )


def test_nothing_asked_for_changes_nothing():
    view = View(torch.rand(4, 2), ring(4))
    assert Augmentation()(view, generator(), weighted=True) == view


def test_a_view_is_a_function_of_the_generator_alone():
    view, augment = View(torch.rand(30, 5), ring(30)), Augmentation(edge_drop=0.4, feature_mask=0.3)
    first, second = (augment(view, generator(5), weighted=True) for _ in range(2))
    assert torch.equal(first.edge_weight, second.edge_weight)
    assert torch.equal(first.x, second.x)


@pytest.mark.parametrize("field", ["edge_drop", "feature_mask", "node_drop"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_what_is_no_probability_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"`{field}` must lie in \[0.0, 1.0\)"):
        Augmentation(**{field: value})


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_an_impossible_share_of_nodes_is_refused(share):
    with pytest.raises(ValueError, match="`share` must lie in"):
        subgraph_nodes(ring(4), share, num_nodes=4, generator=generator())


def test_a_diffused_view_is_drawn_from_the_graph_of_restarting_walks():
    view = View(torch.rand(30, 5, dtype=torch.float64), ring(30))
    edges, weight = pagerank_graph(view.edge_index, num_nodes=30, teleport=0.2, neighbours=4)
    whole = Diffusion(teleport=0.2, neighbours=4)(view, generator(), weighted=True)
    assert torch.equal(whole.edge_index, edges)
    assert torch.equal(whole.edge_weight, weight.double())
    thinned = Diffusion(teleport=0.2, neighbours=4, then=Augmentation(edge_drop=0.5))(view, generator(), weighted=True)
    assert 0 < int((thinned.edge_weight == 0).sum()) < len(weight)
    assert Diffusion()(view, generator(), weighted=False).edge_weight is None


@pytest.mark.parametrize("wrong", [{"teleport": 1.5}, {"teleport": 0.0}, {"teleport": -0.1}, {"neighbours": 0}])
def test_a_diffusion_that_cannot_be_is_refused_when_it_is_made(wrong):
    """Not in the first epoch."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must"):
        Diffusion(**wrong)
