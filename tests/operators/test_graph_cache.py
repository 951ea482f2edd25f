"""The memory of prepared graphs: served again while nothing has changed, never stale, gone with its tensor."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import pytest
import torch
from torch.func import grad, vmap
from torch_geometric import EdgeIndex

from graphkit.nn import ChebConv, GATConv, GCNConv, SAGEConv
from graphkit.operators import SparseOperator, gcn_adjacency, graph_cache, laplacian, mean_adjacency, sum_adjacency
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.edges import edges_of, pattern_of, pattern_with_loops
from graphkit.operators.feature_matrix import features_of
from graphkit.operators.graph_cache import FORMS_PER_TENSOR, cached
from tests.contracts import EXACT, matrix_forms
from tests.graphs import BY_NAME, ZOO

BUILDERS = {
    "gcn": lambda index, weight=None: gcn_adjacency(index, weight, num_nodes=5, dtype=torch.float64),
    "laplacian": lambda index, weight=None: laplacian(index, weight, 5, normalization="sym", dtype=torch.float64),
}


@pytest.fixture
def index():
    return BY_NAME["path"].edge_index.clone()


@pytest.fixture(params=BUILDERS)
def build(request):
    return BUILDERS[request.param]


def one(first, second):
    """Tell whether two operators share what is remembered; each is its caller's own."""
    assert first is not second
    return first._store is second._store


# ---- served again


def test_the_same_tensor_has_the_same_numbers(build, index):
    assert one(build(index), build(index))


def test_the_same_weights_have_the_same_numbers(build, index):
    weight = BY_NAME["path"].weights()
    assert one(build(index, weight), build(index, weight))
    assert not one(build(index, weight), build(index))


def test_equal_tensors_are_not_confused(build, index):
    assert not one(build(index), build(index.clone()))


def test_forms_do_not_displace_each_other(index):
    first = gcn_adjacency(index, num_nodes=5), mean_adjacency(index, num_nodes=5), sum_adjacency(index, num_nodes=5)
    again = gcn_adjacency(index, num_nodes=5), mean_adjacency(index, num_nodes=5), sum_adjacency(index, num_nodes=5)
    assert all(map(one, first, again))


def test_only_the_newest_forms_are_kept(index):
    oldest = mean_adjacency(index, num_nodes=5)
    for extra in range(FORMS_PER_TENSOR + 1):
        mean_adjacency(index, num_nodes=6 + extra)
    assert len(graph_cache._cache[index]) <= FORMS_PER_TENSOR
    assert not one(mean_adjacency(index, num_nodes=5), oldest)


def test_an_edge_index_of_pygs_class_is_remembered_too(build):
    index = EdgeIndex(BY_NAME["path"].edge_index, sparse_size=(5, 5))
    torch.testing.assert_close(build(index).to_dense(), build(BY_NAME["path"].edge_index).to_dense(), **EXACT)


def test_matrices_are_remembered(build):
    for form in matrix_forms(BY_NAME["path"]):
        assert one(build(form), build(form))


def test_sparse_features_are_remembered():
    x = BY_NAME["grid"].features().relu().to_sparse_csr()
    assert features_of(x) is features_of(x)
    dense = BY_NAME["grid"].features()
    assert features_of(dense) is dense


# ---- never stale


def edit_in_place(index):
    index[0, 0] = 2


def edit_through_data(index):
    index.data[0, 0] = 2


def edit_through_numpy(index):
    index.numpy()[0, 0] = 2


def edit_through_a_view(index):
    index[0][:1] = 2


def edit_with_an_operation(index):
    index.copy_(index.flip(1))
    index[0, 0] = 2


@pytest.mark.parametrize(
    "edit", [edit_in_place, edit_through_data, edit_through_numpy, edit_through_a_view, edit_with_an_operation]
)
def test_a_change_of_the_edges_is_seen(build, index, edit):
    before = build(index)
    edit(index)
    after = build(index)
    assert not one(after, before)
    torch.testing.assert_close(after.to_dense(), build(index.clone()).to_dense(), **EXACT)
    assert not torch.equal(after.to_dense(), before.to_dense())


@pytest.mark.parametrize(
    "edit",
    [
        lambda weight: weight.mul_(torch.arange(1.0, 9.0)),
        lambda weight: weight.data.mul_(torch.arange(1.0, 9.0)),
        lambda weight: weight.numpy().__setitem__(0, 9.0),
        lambda weight: weight.numpy().__setitem__(slice(None), weight.numpy()[::-1].copy() + 1),
    ],
    ids=["in place", "through data", "through NumPy", "through NumPy, all"],
)
def test_a_change_of_the_weights_is_seen(build, index, edit):
    weight = BY_NAME["path"].weights()
    build(index, weight)
    edit(weight)
    fresh = build(index.clone(), weight.clone())
    torch.testing.assert_close(build(index, weight).to_dense(), fresh.to_dense(), **EXACT)


def test_two_edges_that_change_places_are_seen_by_edge_values(index):
    """The matrix is the same, but the order of its entries is not."""
    weight = torch.arange(1.0, 9.0, dtype=torch.float64)
    BUILDERS["gcn"](index, weight)
    index.numpy()[:, [0, 7]] = index.numpy()[:, [7, 0]]
    found = gcn_adjacency(index, weight, num_nodes=5, normalize=False, add_self_loops=False, dtype=torch.float64)
    dense = torch.zeros(5, 5, dtype=torch.float64).index_put((index[1], index[0]), weight, accumulate=True)
    torch.testing.assert_close(found.to_dense(), dense, **EXACT)


def test_a_change_of_a_matrix_is_seen():
    for form in matrix_forms(BY_NAME["path"])[:3]:
        before = sum(gcn_adjacency(form, num_nodes=5).entry_values())
        values = form._values() if form.layout == torch.sparse_coo else form.values()
        values.numpy()[0] = 9.0
        assert sum(gcn_adjacency(form, num_nodes=5).entry_values()) != before


def test_a_change_of_sparse_features_is_seen():
    x = BY_NAME["grid"].features().relu().to_sparse_csr()
    before = features_of(x)
    x.values().numpy()[0] = 9.0
    assert features_of(x) is not before
    torch.testing.assert_close(features_of(x).to_dense(), x.to_dense(), **EXACT)


@pytest.mark.parametrize("edit", [torch.Tensor.mul_, lambda values, factor: values.data.mul_(factor)])
def test_a_change_of_an_operator_is_seen_whether_it_owns_the_memory_or_stands_beside(index, edit):
    operator = SparseOperator.from_edge_index(index, BY_NAME["path"].weights(), num_nodes=5)
    places = (operator,), (index, operator)

    def sums():
        return [cached(lambda: float(operator.sums().sum()), "sums", *place) for place in places]

    before = sums()
    assert before[0] == before[1] == float(BY_NAME["path"].weights().sum())
    edit(operator.values, 3)
    assert sums() == [3 * each for each in before]


def test_another_weight_tensor_at_the_same_address_is_not_served_the_old(index):
    """Weights are known by their object and numbers, not by an id that is used again."""
    for factor in range(1, 20):
        weight = BY_NAME["path"].weights() * factor
        found = gcn_adjacency(index, weight, num_nodes=5, normalize=False, add_self_loops=False, dtype=torch.float64)
        torch.testing.assert_close(found.to_dense(), BY_NAME["path"].dense(weight), **EXACT)
        del weight


@pytest.mark.parametrize("layer", [GCNConv(4, 3), GATConv(4, 3), SAGEConv(4, 3)], ids=str)
def test_a_layer_sees_a_changed_graph(layer, index):
    layer, x = layer.double(), BY_NAME["path"].features()
    layer(x, index)
    index.numpy()[0, 0] = 3
    torch.testing.assert_close(layer(x, index), layer(x, index.clone()), **EXACT)


# ---- gone with its tensor


def test_nothing_outlives_the_tensor_it_was_made_from(build):
    index = BY_NAME["path"].edge_index.clone()
    weight = BY_NAME["path"].weights()
    kept = build(index)._store, build(index, weight)._store
    found = [weakref.ref(each) for each in (*kept, kept[0].pattern)]
    del kept
    del index
    gc.collect()
    assert [ref() for ref in found] == [None, None, None]


def test_two_hundred_mini_batches_leave_nothing_behind():
    layers = [GCNConv(4, 3), GATConv(4, 3), SAGEConv(4, 3, aggr="max")]
    gc.collect()
    before, alive = len(graph_cache._cache), []
    for step in range(200):
        index = torch.randint(50, (2, 200), generator=torch.Generator().manual_seed(step))
        x = torch.ones(50, 4, requires_grad=True)
        sum(layer(x, index, *([torch.ones(200)] if k == 0 else [])).sum() for k, layer in enumerate(layers)).backward()
        alive.append(weakref.ref(sum_adjacency(index, num_nodes=50).pattern))
    del index, x
    gc.collect()
    assert len(graph_cache._cache) <= before
    assert not any(ref() is not None for ref in alive)


# ---- beside gradients and transforms


def test_weights_that_need_gradients_are_not_remembered(build, index):
    weight = BY_NAME["path"].weights().requires_grad_()
    first, second = build(index, weight), build(index, weight)
    assert first is not second
    assert first.pattern is second.pattern
    assert first.values.requires_grad
    first.values.sum().backward()
    second.values.sum().backward()
    assert weight.grad is not None


def test_what_is_remembered_under_grad_mode_carries_no_graph(build, index):
    assert not build(index).values.requires_grad


@pytest.mark.parametrize("transform", [grad, vmap, lambda f: grad(grad(f))], ids=["grad", "vmap", "grad of grad"])
def test_nothing_prepared_inside_a_transform_is_a_wrapper(build, transform, index):
    """A wrapper dies with its transform; served later, it would be garbage."""
    x = torch.tensor([2.0, 3.0] if transform is vmap else 2.0, dtype=torch.float64)
    ones = torch.ones(5, 1, dtype=torch.float64)
    for weight in (None, BY_NAME["path"].weights()):

        def inside(value, weight=weight):
            operator = build(index, weight)
            return (operator @ (value**3 * ones)).sum() + (operator.T.values * value).sum()

        transform(inside)(x)
        kept = build(index, weight)
        assert is_cacheable(kept.values)
        assert is_cacheable(kept.T.values)
        torch.testing.assert_close(kept.to_dense(), build(index.clone(), weight).to_dense(), **EXACT)


def test_a_graph_prepared_in_inference_mode_serves_training_later(build):
    index = BY_NAME["path"].edge_index.clone()
    x = BY_NAME["path"].features().requires_grad_()
    with torch.inference_mode():
        build(index)
    (build(index) @ x).sum().backward()
    torch.testing.assert_close(x.grad, build(index.clone()).T @ torch.ones(5, 4, dtype=torch.float64), **EXACT)


def test_inference_tensors_are_prepared_and_their_changes_seen(build):
    with torch.inference_mode():
        index = BY_NAME["path"].edge_index.clone()
        before = build(index)
        assert one(build(index), before)
        index[0, 0] = 2
        assert not one(build(index), before)


# ---- what is prepared


def test_every_form_has_the_same_edges():
    for graph in ZOO:
        weight = graph.weights()
        for form in (graph.edge_index, *matrix_forms(graph, weight)):
            edges = edges_of(form, weight if form is graph.edge_index else None)
            dense = graph.dense() * 0
            dense.index_put_((edges.index[1], edges.index[0]), edges.weight, accumulate=True)
            torch.testing.assert_close(dense, graph.dense(weight), **EXACT)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_pattern_points_back_to_its_edges(graph):
    pattern = pattern_of(graph.edge_index, graph.num_nodes)
    assert torch.equal(graph.edge_index[1][pattern.perm], pattern.rows())
    assert torch.equal(graph.edge_index[0][pattern.perm], pattern.indices.long())


@pytest.mark.parametrize("loops", ["none", "new", "own"])
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_a_looped_pattern_has_one_loop_at_every_node_or_none(graph, loops):
    pattern = pattern_with_loops(graph.edge_index, graph.num_nodes, loops=loops)
    on_diagonal = pattern.rows() == pattern.indices
    assert int(on_diagonal.sum()) == (0 if loops == "none" else graph.num_nodes)
    values = torch.cat((graph.weights(), torch.full((graph.num_nodes,), 10.0, dtype=torch.float64)))
    dense = graph.dense() * 0
    dense.index_put_((pattern.rows(), pattern.indices.long()), values[pattern.perm], accumulate=True)
    off = graph.dense(graph.weights()).fill_diagonal_(0)
    torch.testing.assert_close(dense.clone().fill_diagonal_(0), off, **EXACT)
    own = graph.dense(graph.weights()).diagonal()
    expected = {"none": own * 0, "new": own * 0 + 10, "own": torch.where(own > 0, own, 10)}[loops]
    torch.testing.assert_close(dense.diagonal(), expected, **EXACT)


@pytest.mark.parametrize(
    ("graph", "options", "error", "message"),
    [
        ([[0], [1]], {}, TypeError, "`edge_index` must be a tensor .* got list"),
        (torch.eye(2).to_sparse(), {"edge_weight": torch.ones(2)}, ValueError, "cannot stand beside a sparse matrix"),
        (torch.eye(2).to_sparse(), {"flow": "target_to_source"}, ValueError, "pass its transpose"),
        (torch.zeros(2, 3, dtype=torch.long), {"edge_weight": torch.ones(2)}, ValueError, r"one value per edge \(3\)"),
    ],
    ids=["list", "weights beside a matrix", "flow of a matrix", "length"],
)
def test_what_cannot_be_prepared_is_refused(graph, options, error, message):
    with pytest.raises(error, match=message):
        edges_of(graph, **options)


def test_several_threads_may_displace_forms_at_once():
    owner, failures = torch.zeros(2, 3, dtype=torch.long), []

    def displace(thread):
        try:
            for number in range(5000):
                cached(lambda: None, (thread, number), owner)
        except (RuntimeError, KeyError) as failure:
            failures.append(failure)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=displace, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures


@pytest.mark.parametrize("nodes", [2, 4])
def test_a_matrix_of_another_size_than_the_features_is_refused(nodes: int) -> None:
    matrix = SparseOperator.from_edge_index(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    for layer in (GCNConv(5, 4), SAGEConv(5, 4), GATConv(5, 4), ChebConv(5, 4, K=2)):
        with pytest.raises(ValueError, match="matrix of 3 x 3"):
            layer(torch.ones(nodes, 5), matrix)


def test_the_form_longest_unused_is_forgotten_first() -> None:
    edge_index = torch.tensor([[0, 1], [1, 0]])
    first = pattern_of(edge_index, 2)
    for nodes in range(3, FORMS_PER_TENSOR + 2):
        pattern_of(edge_index, nodes)
        assert pattern_of(edge_index, 2) is first
    pattern_of(edge_index, FORMS_PER_TENSOR + 2)
    assert pattern_of(edge_index, 2) is first
