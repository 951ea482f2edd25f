"""Random graphs: a seed says all of one, each is as its docstring says, and together they are of every kind."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
import torch

from graphkit.data import RandomGraphs, content_sha256, graph_views, random_graph, validate
from graphkit.data.random_graphs import CAUSES, EDGES, FEATURES

SEEDS = 200


@pytest.fixture(scope="module")
def graphs():
    return list(RandomGraphs(range(SEEDS)))


def adjusted_homophily(data):
    """Return the share of edges inside of classes, less what chance gives, as a share of what it leaves."""
    source, target = data.y[data.edge_index]
    share = source.bincount().double() / max(1, len(source))
    chance = float(share.square().sum())
    return (float((source == target).double().mean()) - chance) / (1 - chance)


def centroid_accuracy(data, seed=0):
    """Return the accuracy of the nearest centroid of half of the nodes on the others; chance; a deviation of that.

    Chance is what predictions as frequent as these would have that know nothing.
    """
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(seed))
    half = data.num_nodes // 2
    train, test = order[:half], order[half:]
    classes = int(data.y.max()) + 1
    member = torch.nn.functional.one_hot(data.y[train], classes).float()
    x = (data.x - data.x[train].mean(0)) / data.x[train].std(0).clamp(min=1e-3)
    centroid = (member.T @ x[train]) / member.sum(0).clamp(min=1)[:, None]
    found = torch.cdist(x[test], centroid).argmin(1)
    shares = [labels.bincount(minlength=classes).double() / len(test) for labels in (found, data.y[test])]
    chance = float(shares[0] @ shares[1])
    return float((found == data.y[test]).double().mean()), chance, math.sqrt(chance * (1 - chance) / len(test))


def test_a_seed_gives_the_same_graph_to_the_bit_whatever_the_global_generators_do():
    for seed in range(12):
        torch.manual_seed(1), np.random.seed(1)  # noqa: NPY002
        first = random_graph(seed)
        torch.manual_seed(2), np.random.seed(2)  # noqa: NPY002
        before = torch.get_rng_state()
        assert content_sha256(random_graph(seed)) == content_sha256(first)
        assert random_graph(seed).design == first.design
        assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_another_graph(graphs):
    assert len({content_sha256(data) for data in graphs}) == SEEDS


def test_edges_and_labels_of_a_seed_are_the_same_whatever_features_are_asked_for():
    for seed in range(8):
        one, other = random_graph(seed, features=["words"]), random_graph(seed, features=["nothing"])
        assert torch.equal(one.edge_index, other.edge_index)
        assert torch.equal(one.y, other.y)
        assert "x" in one
        assert "x" not in other


def test_every_graph_is_sound(graphs):
    for data in graphs:
        validate(data)
        assert data.is_undirected()
        assert not data.has_self_loops()
        assert data.is_coalesced()
        sizes = data.y.bincount()
        assert len(sizes) == data.design.classes
        assert int(sizes.min()) >= 20
        assert 200 <= data.num_nodes == data.design.nodes <= 1500
        assert ("x" in data) == (data.design.features != "nothing")
        assert "x" not in data or data.x.dtype == torch.float32


def test_every_kind_occurs(graphs):
    designs = [data.design for data in graphs]
    assert {design.edges for design in designs} == set(EDGES)
    assert {design.features for design in designs} == set(FEATURES)
    assert {design.cause for design in designs} == {*CAUSES, "nothing"}
    assert {design.classes for design in designs} == set(range(2, 11))
    assert any(design.label_noise > 0.1 for design in designs)
    assert any((torch.bincount(data.edge_index[0], minlength=data.num_nodes) == 0).any() for data in graphs)


def test_homophily_spans_what_real_graphs_have(graphs):
    found = [adjusted_homophily(data) for data in graphs if data.edge_index.numel()]
    assert min(found) < -0.2
    assert max(found) > 0.6
    assert sum(abs(each) < 0.05 for each in found) > SEEDS // 20
    degrees = [data.edge_index.size(1) / data.num_nodes for data in graphs]
    assert min(degrees) < 3
    assert max(degrees) > 25


def test_homophily_of_blocks_is_what_their_design_says():
    data = [random_graph(seed, nodes=(3000, 3000), edges=["blocks"], features=["nothing"]) for seed in range(40)]
    data = [each for each in data if each.design.homophily > 0 and not each.design.label_noise]
    # Edges that are drawn twice count once, which is more often so where a class is small or a node is a hub.
    far = [adjusted_homophily(each) - each.design.homophily for each in data]
    assert len(far) > 10
    assert abs(float(np.median(far))) < 0.05
    assert max(map(abs, far)) < 0.25


def test_features_that_depend_on_nothing_say_nothing_of_classes():
    found = [centroid_accuracy(data) for data in _of_informativeness(0, 0)]
    far = np.array([(accuracy - chance) / deviation for accuracy, chance, deviation in found])
    assert len(far) > 10
    assert np.abs(far).max() < 5
    assert abs(far.mean()) < 4 / math.sqrt(len(far))


@pytest.mark.parametrize("features", ["words", "gaussian", "attributes"])
def test_features_that_depend_on_classes_tell_them_apart(features):
    graphs = [data for data in _of_informativeness(0.75, 1, [features]) if data.design.cause == "class"]
    gains = [(accuracy - chance) / (1 - chance) for accuracy, chance, _ in map(centroid_accuracy, graphs)]
    assert len(gains) > 5
    assert float(np.mean(gains)) > 0.4
    assert float(np.median(gains)) > 0.4


def _of_informativeness(low, high, features=("words", "gaussian", "attributes")):
    graphs = RandomGraphs(range(1000, 1000 + SEEDS), nodes=(200, 600), features=features)
    return [data for data in graphs if low <= data.design.informativeness <= high]


def test_features_of_neighbours_say_more_of_them_than_of_oneself():
    """Where edges go to other classes, what neighbours have in common is not one's own class."""
    graphs = RandomGraphs(range(400), nodes=(300, 800), edges=["blocks"], features=["words", "gaussian"])
    seen = 0
    for data in graphs:
        design = data.design
        wanted = design.cause == "neighbours" and design.informativeness > 0.6 and abs(design.homophily) < 0.1
        if wanted and design.degree > 5 and not design.label_noise:
            accuracy, chance, _ = centroid_accuracy(data)
            seen += 1
            assert (accuracy - chance) / (1 - chance) < 0.35
    assert seen


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("features", FEATURES)
def test_kinds_are_drawn_from_those_asked_for_and_views_take_them(edges, features):
    for data in RandomGraphs(range(2), nodes=(40, 60), edges=[edges], features=[features]):
        assert (data.design.edges, data.design.features) == (edges, features)
        assert bool(graph_views(data, width=8).rows.isfinite().all())


def test_the_smallest_graph_and_a_large_one():
    small = random_graph(0, nodes=(40, 40))
    assert small.y.bincount().tolist() == [20, 20]
    large = random_graph(3, nodes=(20_000, 20_000), features=["degrees"])
    validate(large)
    assert large.num_nodes == 20_000


def test_a_sequence_has_the_graphs_of_its_seeds():
    graphs = RandomGraphs(range(10, 20), nodes=(50, 90))
    assert len(graphs) == 10
    assert len(list(graphs)) == 10
    assert content_sha256(graphs[3]) == content_sha256(random_graph(13, nodes=(50, 90)))
    assert content_sha256(graphs[-1]) == content_sha256(graphs[9])
    assert graphs[2:5] == RandomGraphs(range(12, 15), nodes=(50, 90))
    assert content_sha256(pickle.loads(pickle.dumps(graphs))[0]) == content_sha256(graphs[0])
    assert hash(RandomGraphs([4, 2], features=["words"])) == hash(RandomGraphs((4, 2), features=("words",)))
    with pytest.raises(IndexError):
        graphs[10]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nodes": (39, 100)}, "`nodes` must be an integer of at least 40, got 39."),
        ({"nodes": (100, 99)}, "`nodes` must be an integer of at least 100, got 99."),
        ({"nodes": (100,)}, "`nodes` must be a pair such as (200, 1500), got 1 values."),
        ({"edges": ["block"]}, "`edges` 'block' is not known. Did you mean 'blocks'?"),
        ({"features": []}, "`features` must name at least one of words, gaussian, attributes, degrees, nothing."),
        ({"seeds": [3, -1]}, "`seeds` must be an integer of at least 0, got -1."),
        ({"seeds": range(3, -3, -1)}, "`seeds` must be an integer of at least 0, got -2."),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RandomGraphs(**{"seeds": range(2)} | given)
