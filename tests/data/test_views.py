"""Views of a graph: each beside its slow dense form, on the zoo's awkward graphs, whatever the order of its nodes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit.data import graph_views, load, store
from graphkit.data.views import VIEWS
from graphkit.operators import SparseOperator


def drawn(nodes=12, features=7, edges=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(nodes, features, generator=generator) * (torch.rand(nodes, features, generator=generator) < 0.6)
    return Data(x=x, edge_index=torch.randint(nodes, (2, edges), generator=generator), num_nodes=nodes)


def inner(rows):
    """Return inner products of rows: what a view says, in whatever directions it says it."""
    return rows @ rows.T


def dense_views(data):
    """Return what the views are by matrices that nobody would make of a large graph."""
    n = data.num_nodes
    a = torch.zeros(n, n, dtype=torch.float64)
    a[data.edge_index[0], data.edge_index[1]] = 1
    a = ((a + a.T) > 0).double().fill_diagonal_(0)
    degree = a.sum(1)
    loops = (a + torch.eye(n, dtype=torch.float64)) / ((degree + 1)[:, None] * (degree + 1)).sqrt()
    mean = a / degree.clamp(min=1)[:, None]
    x = data.x.double()
    x = F.normalize(x * (1 + ((1 + n) / (1 + (x != 0).sum(0))).log()).sqrt(), dim=-1)
    powers = [x]
    for _ in range(16):
        powers.append(loops @ powers[-1])
    who = a / (degree[:, None] * degree).sqrt().clamp(min=1e-12)
    plain = {
        "raw": x,
        "neighbours-1": mean @ x,
        "neighbours-2": mean @ mean @ x,
        "high-pass": x - loops @ x,
        "pagerank": sum(0.1 * 0.9**k * powers[k] for k in range(17)),
        "adjacency-1": who,
        "adjacency-2": loops @ who,
        "adjacency-4": loops @ loops @ loops @ who,
        **{f"averaged-{k}": powers[k] for k in (1, 2, 4, 8, 16)},
    }
    shares = dense_canonical(x[degree > 0], (mean @ x)[degree > 0])
    plain |= {"canonical": x @ shares, **{f"canonical-{k}": powers[k] @ shares for k in (2, 4, 8)}}
    found = {}
    for name in VIEWS:
        rows = plain.get(name.removesuffix("-centred"))
        if rows is not None:
            centred = name.endswith("centred") or name.startswith("canonical")
            found[name] = F.normalize(rows - rows.mean(0) if centred else rows, dim=-1)
    return found


def dense_canonical(x, near):
    """Return the same map by regressions there and back: of neighbours on a node, and of a node on its neighbours."""
    x, near = x - x.mean(0), near - near.mean(0)
    own, other, between = x.T @ x / len(x), near.T @ near / len(x), x.T @ near / len(x)
    own += 0.1 * torch.linalg.matrix_norm(own, 2) * torch.eye(len(own))
    other += 0.1 * torch.linalg.matrix_norm(other, 2) * torch.eye(len(other))
    values, vectors = torch.linalg.eigh(own)
    return torch.linalg.inv(own) @ between @ torch.linalg.inv(other) @ between.T @ vectors @ (values**-0.5).diag()


@pytest.mark.parametrize("seed", range(3))
def test_every_view_says_what_its_dense_form_says(seed):
    data = drawn(seed=seed)
    views = graph_views(data, width=16)
    for name, rows in dense_views(data).items():
        torch.testing.assert_close(inner(views[name].double()), inner(rows), atol=2e-5, rtol=0, msg=name)


def test_few_leading_directions_keep_the_inner_products_of_a_matrix_that_has_no_more():
    data = drawn(nodes=40, features=6)
    wide = data.clone()
    wide.x = data.x @ torch.rand(6, 60, generator=torch.Generator().manual_seed(1))  # 60 features, 6 directions
    narrow, exact = graph_views(wide, width=16), graph_views(wide, width=64)
    torch.testing.assert_close(inner(narrow["raw"]), inner(exact["raw"]), atol=1e-4, rtol=0)


def test_the_order_of_nodes_and_of_features_changes_nothing():
    data = drawn()
    nodes, columns = torch.randperm(12), torch.randperm(7)
    place = torch.empty_like(nodes).index_put((nodes,), torch.arange(12))
    other = Data(x=data.x[nodes][:, columns], edge_index=place[data.edge_index], num_nodes=12)
    mine, theirs = graph_views(data, width=16), graph_views(other, width=16)
    for name in VIEWS:
        torch.testing.assert_close(inner(theirs[name]), inner(mine[name][nodes]), atol=2e-5, rtol=0, msg=name)


def test_sparse_features_and_dense_ones_are_seen_alike():
    data, held = drawn(), drawn()
    for sparse in (data.x.to_sparse_coo(), data.x.to_sparse_csr(), SparseOperator.from_dense(data.x)):
        held.x = sparse
        torch.testing.assert_close(graph_views(held).rows, graph_views(data).rows)


def test_every_form_of_a_graph_is_seen_alike(tmp_path):
    data, plain = drawn(), graph_views(drawn()).rows
    data.edge_index = EdgeIndex(data.edge_index, sparse_size=(12, 12))
    torch.testing.assert_close(graph_views(data).rows, plain)
    store(Data(**drawn().to_dict(), y=torch.arange(12) % 2), tmp_path / "own")
    torch.testing.assert_close(graph_views(load(tmp_path / "own")).rows, plain)


AWKWARD = {
    "no features": {"x": None},
    "constant features": {"x": torch.ones(12, 3)},
    "features of zeros": {"x": torch.zeros(12, 3)},
    "no edges": {"edge_index": torch.empty(2, 0, dtype=torch.long)},
    "only loops": {"edge_index": torch.arange(12).repeat(2, 1)},
    "edges twice": {"edge_index": torch.tensor([[0, 0, 1], [1, 1, 0]])},
    "negative features": {"x": -torch.rand(12, 3)},
    "whole numbers": {"x": torch.arange(36).reshape(12, 3)},
}


@pytest.mark.parametrize("name", AWKWARD)
def test_rows_have_length_one_or_none_on_awkward_graphs(name):
    data = drawn()
    for field, value in AWKWARD[name].items():
        data[field] = value
    views = graph_views(data)
    lengths = views.rows.norm(dim=-1)
    assert views.rows.isfinite().all()
    assert ((lengths - 1).abs() < 1e-4).logical_or(lengths == 0).all()
    assert 0 <= views.edge_similarity() <= 1
    if data.x is None:
        assert not views["raw"].any()
        assert views["degrees"].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.full((12, 2), torch.nan)}, "finite"),
        ({"x": torch.rand(12)}, "matrix"),
        ({"x": [1.0]}, "matrix"),
    ],
)
def test_features_that_are_none_are_refused(change, said):
    data = drawn()
    for field, value in change.items():
        data[field] = value
    with pytest.raises(ValueError, match=said):
        graph_views(data)


def test_features_that_no_two_nodes_share_say_nothing_by_themselves():
    data = drawn()
    data.x = torch.eye(12)
    views = graph_views(data)
    assert not views["raw"].any()
    assert views["averaged-1-centred"].any()
    assert views.edge_similarity() == 1.0


def test_a_view_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="raw-centred"):
        graph_views(drawn())["raw-centered"]


def test_neighbours_of_one_class_are_alike_and_others_are_not():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.eye(2)[y] + torch.rand(200, 2, generator=generator)
    ends = torch.randint(200, (2, 3000), generator=generator)
    same = y[ends[0]] == y[ends[1]]
    alike = Data(x=x, edge_index=ends[:, same], num_nodes=200)
    by_chance = Data(x=x, edge_index=ends, num_nodes=200)
    unlike = Data(x=x, edge_index=ends[:, ~same], num_nodes=200)
    similar = [graph_views(data).edge_similarity() for data in (alike, by_chance, unlike)]
    assert similar[0] > 0.2 > 0.05 > similar[1] >= 0 == similar[2]
