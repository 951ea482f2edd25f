"""Random graphs: a seed says all of one, each is as its docstring says, and together they are of every kind."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import RandomGraphs, content_sha256, graph_views, random_graph, validate
from graphkit.data.random_graphs.design import CAUSES, EDGES, FEATURES, SECOND_CAUSES, GraphDesign
from graphkit.data.random_graphs.edges import draw_edges
from graphkit.data.random_graphs.features import draw_features
from graphkit.data.random_graphs.groups import draw_groups

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
    assert {design.second_cause for design in designs} == set(SECOND_CAUSES)
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


PLAIN = GraphDesign(
    nodes=900,
    classes=3,
    edges="blocks",
    degree=8.0,
    homophily=0.0,
    features="words",
    cause="neighbours",
    second_cause="nothing",
    informativeness=1.0,
    copies=0.0,
    label_noise=0.0,
)


def of_design(design, seed):
    """Return the graph of a design that is not drawn."""
    structure, joins, rows = (np.random.default_rng([seed, purpose]) for purpose in range(3))
    groups = draw_groups(structure, design)
    edge_index = draw_edges(joins, design, groups)
    x = torch.from_numpy(draw_features(rows, design, groups, edge_index))
    return Data(x=x, edge_index=torch.from_numpy(edge_index), y=torch.from_numpy(groups.y)), groups


@pytest.mark.parametrize("features", ["words", "gaussian"])
def test_features_of_neighbours_tell_their_classes_and_not_ones_own(features):
    own, theirs = [], []
    for seed in range(12):
        data, _ = of_design(dataclasses.replace(PLAIN, features=features), seed)
        near = torch.zeros(900, 3).index_add(0, data.edge_index[0], torch.eye(3)[data.y[data.edge_index[1]]])
        clear = near.max(1).values > 0.75 * near.sum(1)  # most of the neighbours are of one class
        seen = Data(x=data.x[clear], y=near[clear].argmax(1), num_nodes=int(clear.sum()))
        for found, graph in ((own, data), (theirs, seen)):
            accuracy, chance, _ = centroid_accuracy(graph)
            found.append((accuracy - chance) / (1 - chance))
    assert abs(float(np.mean(own))) < 0.05
    assert float(np.median(theirs)) > 0.4


def test_copies_make_neighbours_alike_whatever_their_classes():
    plain = dataclasses.replace(PLAIN, cause="class", informativeness=0.05, degree=4.0)
    alike = {
        share: [
            graph_views(of_design(dataclasses.replace(plain, copies=share), seed)[0], width=64) for seed in range(4)
        ]
        for share in (0.0, 0.7)
    }
    means = {share: np.mean([views.edge_similarity() for views in found]) for share, found in alike.items()}
    assert means[0.0] < 0.05
    assert means[0.7] > 0.3


@pytest.mark.parametrize("edges", ["hierarchy", "hubs", "cliques", "geometric"])
def test_homophily_of_other_edges_has_the_sign_of_their_design(edges):
    """On average over graphs: where there are two classes, edges within or between them are the whole of it."""
    sides = {}
    for strength in (-0.9, 0.0, 0.9):
        design = dataclasses.replace(PLAIN, classes=2, edges=edges, homophily=strength, features="degrees")
        sides[strength] = np.mean([adjusted_homophily(of_design(design, seed)[0]) for seed in range(10)])
    assert sides[0.9] > 0.4
    assert sides[-0.9] < sides[0.9] - 0.4
    if edges in ("hubs", "cliques"):
        assert sides[-0.9] < -0.1 < sides[0.0] < 0.15


def test_blocks_hold_the_nodes_of_a_class_and_a_community():
    for seed in range(20):
        groups = of_design(dataclasses.replace(PLAIN, edges="hierarchy"), seed)[1]
        assert (groups.block_class[groups.block] == groups.y).all()
        assert (groups.block_community[groups.block] == groups.community).all()
        assert (np.diff(groups.block_class) >= 0).all()
        classes_of_one = len(np.unique(groups.community)) == len(groups.block_class)
        assert classes_of_one or not groups.nested


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
    assert RandomGraphs(range(2), features=["gaussian", "words"]) == RandomGraphs(
        range(2), features=["words", "gaussian"]
    )
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
