"""From a graph to predictions: what decides nothing, and graphs that lack what others have."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphkit.data import graph_views, random_graph
from graphkit.meta import Episode, FewShotProtocol, Rows, Task, TaskSet, ViewRidge

KINDS = [("blocks", "words"), ("geometric", "gaussian"), ("hubs", "attributes"), ("hierarchy", "nothing")]


def drawn(edges: str, features: str) -> Data:
    return random_graph(5, nodes=(150, 250), edges=[edges], features=[features])


def predictions(data: Data, episode: Episode) -> torch.Tensor:
    views = graph_views(data)
    rows = views.rows.flatten(1)
    learner = ViewRidge(
        nn.Identity(),
        rows,
        views=len(views.names),
        prior=views.prior(),
        weight=3 * views.edge_similarity(),
        nearest=20,
    )
    found: torch.Tensor = learner.logits([Task(Rows(rows, data.y), episode)])[0].softmax(-1)
    return found


def episode_of(data: Data, shots: int = 3) -> Episode:
    classes = data.y.unique().tolist()
    protocol = FewShotProtocol(n_way=len(classes), k_shot=shots, n_query=5, n_tasks=1)
    return TaskSet.draw(Rows(torch.zeros(data.num_nodes, 0), data.y), classes, protocol)[0].episode


@pytest.mark.parametrize(("edges", "features"), KINDS)
def test_labels_that_are_no_support_decide_nothing(edges, features):
    data = drawn(edges, features)
    episode = episode_of(data)
    found = predictions(data, episode)
    support = episode.support.flatten()
    data.y = torch.zeros_like(data.y).index_copy(0, support, data.y[support])
    assert torch.equal(predictions(data, episode), found)


@pytest.mark.parametrize(("edges", "features"), KINDS)
def test_the_order_of_classes_and_of_nodes_decides_nothing(edges, features):
    data = drawn(edges, features)
    episode = episode_of(data)
    found = predictions(data, episode)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(episode.ways, generator=generator)
    other = Episode(episode.support[order], episode.query, episode.classes[order])
    assert torch.allclose(predictions(data, other), found[:, order], atol=1e-4)
    nodes = torch.randperm(data.num_nodes, generator=generator)
    place = nodes.argsort()
    moved = Data(edge_index=place[data.edge_index], y=data.y[nodes], num_nodes=data.num_nodes)
    if data.x is not None:
        moved.x = data.x[nodes]
    there = Episode(place[episode.support], place[episode.query], episode.classes)
    assert torch.allclose(predictions(moved, there), found, atol=1e-3)


@pytest.mark.parametrize(("edges", "features"), KINDS[:-1])
def test_the_order_of_features_decides_nothing(edges, features):
    data = drawn(edges, features)
    episode = episode_of(data)
    found = predictions(data, episode)
    data.x = data.x[:, torch.randperm(data.num_features, generator=torch.Generator().manual_seed(0))]
    assert torch.allclose(predictions(data, episode), found, atol=1e-3)


LACKING = {
    "no features": {"x": None},
    "constant features": {"x": torch.ones(160, 4)},
    "features of zeros": {"x": torch.zeros(160, 4)},
    "no edges": {"edge_index": torch.empty(2, 0, dtype=torch.long)},
    "half of the nodes without edges": {"edge_index": torch.randint(80, (2, 300))},
    "neither features nor edges": {"x": None, "edge_index": torch.empty(2, 0, dtype=torch.long)},
}


@pytest.mark.parametrize("name", LACKING)
def test_graphs_that_lack_something_have_a_result(name):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(160) % 4
    data = Data(
        x=torch.rand(160, 6, generator=generator),
        edge_index=torch.randint(160, (2, 400), generator=generator),
        y=y,
        num_nodes=160,
    )
    for field, value in LACKING[name].items():
        data[field] = value
    found = predictions(data, episode_of(data))
    assert found.isfinite().all()
    assert torch.allclose(found.sum(1), torch.ones(20))


def test_forty_classes_are_told_apart_from_one_labelled_node_each():
    y = torch.arange(40).repeat_interleave(12)
    generator = torch.Generator().manual_seed(0)
    near = torch.stack([y, y]).flatten()
    ends = torch.stack((torch.arange(960) % 480, near * 12 + torch.randint(12, (960,), generator=generator)))
    centres = torch.randn(40, 20, generator=generator)
    data = Data(x=centres[y] + torch.randn(480, 20, generator=generator), edge_index=ends, y=y, num_nodes=480)
    episode = episode_of(data, shots=1)
    found = predictions(data, episode)
    assert float((found.argmax(1) == episode.query_y).double().mean()) > 0.9
