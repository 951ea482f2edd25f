"""The sparse operator against dense matrices and SciPy, from every form a matrix comes in."""

from __future__ import annotations

import copy
import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from graphkit.operators import SparseOperator, sparse_features
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import sddmm
from tests.contracts import EXACT, matrix_forms
from tests.graphs import BY_NAME, ZOO, graphs

close = torch.testing.assert_close


def operator_of(graph, weight=None):
    return SparseOperator.from_edge_index(graph.edge_index, weight, num_nodes=graph.num_nodes)


# ---- truth


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_it_is_the_dense_matrix_of_the_edges(graph):
    weight = graph.weights()
    operator = operator_of(graph, weight)
    dense = graph.dense(weight)
    close(operator.to_dense(), dense, **EXACT)
    close(operator @ graph.features(), dense @ graph.features(), **EXACT)
    close(operator.T @ graph.features(), dense.T @ graph.features(), **EXACT)
    close(operator.sums(), dense.sum(1), **EXACT)
    close(operator.with_values(None) @ graph.features(), graph.dense() @ graph.features(), **EXACT)


@given(graph=graphs(), width=st.integers(1, 40))
def test_the_product_is_scipys(graph, width):
    weight, x = graph.weights(), graph.features(width)
    source, target = graph.edge_index.numpy()
    shape = (graph.num_nodes, graph.num_nodes)
    matrix = scipy.sparse.coo_array((weight.numpy(), (target, source)), shape=shape).tocsr()
    close((operator_of(graph, weight) @ x).numpy(), matrix @ x.numpy(), **EXACT)


@given(graph=graphs())
def test_the_transpose_is_the_adjoint(graph):
    """<A x, y> = <x, A' y> for the product and for its gradient, which is the same transpose."""
    operator = operator_of(graph, graph.weights())
    x, y = graph.features(3), graph.features(3).flip(0)
    close(((operator @ x) * y).sum(), (x * (operator.T @ y)).sum(), **EXACT)
    x.requires_grad_()
    close(torch.autograd.grad(((operator @ x) * y).sum(), x)[0], operator.T @ y, **EXACT)


def test_every_form_of_a_matrix_is_the_same_operator():
    for graph in ZOO:
        weight = graph.weights()
        for form in matrix_forms(graph, weight)[:-1]:
            close(SparseOperator.from_torch(form).to_dense(), graph.dense(weight), **EXACT)
        close(SparseOperator.from_torch(graph.dense(weight)).to_dense(), graph.dense(weight), **EXACT)


@pytest.mark.parametrize("form", ["coo", "csr", "csc", "lil", "dia"])
def test_scipys_matrices_come_and_go(form):
    matrix = scipy.sparse.random_array((5, 7), density=0.4, rng=np.random.default_rng(0)).asformat(form)
    operator = SparseOperator.from_scipy(matrix)
    assert operator.shape == (5, 7)
    np.testing.assert_array_equal(operator.to_dense().numpy(), matrix.toarray())
    np.testing.assert_array_equal(operator.to_scipy().toarray(), matrix.toarray())


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_networkx_graphs_are_their_adjacency(kind):
    """NetworkX puts sources in rows, hence the transpose."""
    graph = kind([("a", "b", {"w": 2.0}), ("b", "c", {"w": 3.0}), ("c", "c", {"w": 5.0}), ("a", "b", {"w": 7.0})])
    graph.add_node("lonely")
    for weight in (None, "w"):
        operator = SparseOperator.from_networkx(graph, weight)
        close(operator.to_dense().T.double().numpy(), nx.to_numpy_array(graph, weight=weight), rtol=0, atol=0)


def test_an_empty_networkx_graph_is_an_empty_operator():
    assert SparseOperator.from_networkx(nx.Graph()).shape == (0, 0)


def test_a_bipartite_graph_has_targets_as_rows():
    operator = SparseOperator.from_edge_index(torch.tensor([[0, 3], [1, 0]]), num_nodes=(4, 2))
    assert operator.shape == (2, 4)
    assert operator.to_dense().tolist() == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert operator.size() == operator.shape
    assert (operator.size(0), operator.dim(), operator.entries) == (2, 2, 2)


def test_the_flow_transposes():
    graph = BY_NAME["directed"]
    turned = SparseOperator.from_edge_index(graph.edge_index, num_nodes=6, flow="target_to_source")
    assert torch.equal(turned.to_dense().double(), graph.dense().T)


def test_int32_edges_are_taken():
    graph = BY_NAME["grid"]
    operator = SparseOperator.from_edge_index(graph.edge_index.int(), num_nodes=9)
    assert torch.equal(operator.to_dense().double(), graph.dense())


def test_the_edges_come_back_sorted_by_target():
    graph = BY_NAME["duplicate edges"]
    found = operator_of(graph).edge_index()
    assert found.dtype == torch.int64
    assert found[1].tolist() == sorted(graph.edge_index[1].tolist())
    assert sorted(found.T.tolist()) == sorted(graph.edge_index.T.tolist())


# ---- what it is


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_symmetric_operators_are_their_own_transpose(graph):
    for weight in (None, graph.weights()):
        operator = operator_of(graph, weight)
        assert operator.symmetric is graph.symmetric
        assert (operator.T is operator) is graph.symmetric
        close(operator.T.T.to_dense(), operator.to_dense(), **EXACT)


def test_weights_that_differ_by_direction_make_it_unsymmetric():
    operator = SparseOperator.from_edge_index(torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0]))
    assert not operator.symmetric
    assert operator.T.to_dense().tolist() == [[0, 1], [2, 0]]
    assert operator.T._store is operator.T._store  # made once


def test_a_symmetric_operator_is_so_inside_a_transform_too():
    operator = operator_of(BY_NAME["path"], BY_NAME["path"].weights())
    assert grad(lambda x: x * float(operator.symmetric))(torch.tensor(2.0)) == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_copies_and_pickles_multiply_the_same(weighted):
    graph = BY_NAME["directed"]
    operator = operator_of(graph, graph.weights() if weighted else None)
    for twin in (copy.deepcopy(operator), copy.copy(operator), pickle.loads(pickle.dumps(operator))):
        assert torch.equal(twin @ graph.features(), operator @ graph.features())
        assert torch.equal(twin.T @ graph.features(), operator.T @ graph.features())


def test_types_and_devices_change_as_those_of_tensors():
    operator = operator_of(BY_NAME["path"], BY_NAME["path"].weights())
    assert operator.to(torch.float32).dtype == torch.float32
    assert operator.to("cpu") is operator
    assert operator.to(torch.float32).pattern is operator.pattern
    assert operator_of(BY_NAME["path"]).dtype == torch.get_default_dtype()
    assert operator.device == torch.device("cpu")
    assert repr(operator) == "SparseOperator(5 x 5, 8 entries, float64)"
    assert repr(operator.with_values(None)) == "SparseOperator(5 x 5, 8 entries, ones)"


# ---- what it does


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3), (6, 0), (2, 6, 3), (2, 5, 6, 3)], ids=str)
def test_signals_of_any_shape_are_multiplied(shape):
    graph = BY_NAME["directed"]
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    close(operator_of(graph, graph.weights()) @ x, graph.dense(graph.weights()) @ x, **EXACT)


def test_signals_that_are_not_contiguous_are_multiplied():
    graph = BY_NAME["directed"]
    x = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).T[::2]
    close(operator_of(graph, graph.weights()) @ x, graph.dense(graph.weights()) @ x, **EXACT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    """4,000 ones in bfloat16 would stop at 256."""
    star = torch.stack((torch.arange(1, 4001), torch.zeros(4000, dtype=torch.long)))
    found = SparseOperator.from_edge_index(star, num_nodes=4001) @ torch.ones(4001, 1, dtype=dtype)
    assert found.dtype == dtype
    assert found[0].item() == pytest.approx(4000, rel=2**-8)


def test_it_stands_where_a_feature_matrix_stands():
    graph = BY_NAME["directed"]
    x = graph.features(5).relu()
    operator, weight = sparse_features(x), torch.randn(3, 5, dtype=torch.float64)
    bias = torch.randn(3, dtype=torch.float64)
    close(F.linear(operator, weight, bias), F.linear(x, weight, bias), **EXACT)
    close(torch.nn.Linear(5, 2).double()(operator).shape, torch.Size((6, 2)))
    for product in (torch.matmul, torch.mm):
        close(product(operator, weight.T), x @ weight.T, **EXACT)
    left = torch.randn(4, 6, dtype=torch.float64)
    close(left @ operator, left @ x, **EXACT)
    assert torch.nn.Dropout(0.5).eval()(operator) is operator
    with pytest.raises(TypeError):
        torch.relu(operator)


def test_features_in_any_form_become_the_same_operator():
    x = BY_NAME["grid"].features().relu()
    for form in (x, x.to_sparse_coo(), x.to_sparse_csr(), x.to_sparse_csc()):
        close(sparse_features(form).to_dense(), x, **EXACT)
    operator = sparse_features(x)
    assert sparse_features(operator) is operator
    assert operator.entries == int((x != 0).sum())


def test_dropout_zeroes_values_and_scales_the_others():
    """A dropped zero is a zero: the distribution is that of dropout on the dense matrix."""
    operator = sparse_features(torch.ones(100, 100, dtype=torch.float64))
    dropped = F.dropout(operator, 0.25).values
    assert set(dropped.unique().tolist()) == {0.0, 1 / 0.75}
    # 10,000 coin flips: the standard deviation of the share is 0.0043
    assert abs(float((dropped == 0).double().mean()) - 0.25) < 0.025
    assert operator.dropout(0.0) is operator
    assert operator.dropout(0.5, training=False) is operator


def test_dropout_follows_torchs_seed():
    operator = sparse_features(torch.ones(20, 20))
    with torch.random.fork_rng():
        draws = [torch.manual_seed(seed) and operator.dropout(0.5).values for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_gradients_flow_through_dropout_to_the_values():
    values = torch.ones(40, dtype=torch.float64, requires_grad=True)
    operator = sparse_features(torch.ones(8, 5, dtype=torch.float64)).with_values(values)
    dropped = operator.dropout(0.5)
    (slope,) = torch.autograd.grad(dropped.values.sum(), values)
    close(slope, dropped.values.detach(), **EXACT)


# ---- derivatives


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_it_is_twice_differentiable_in_features_and_values(graph):
    index, x, weight = graph.edge_index, graph.features(2).requires_grad_(), graph.weights().requires_grad_()

    def product(x, weight):
        return SparseOperator.from_edge_index(index, weight, num_nodes=graph.num_nodes) @ x

    assert torch.autograd.gradcheck(product, (x, weight))
    assert torch.autograd.gradgradcheck(product, (x, weight))


def test_the_sampled_product_is_the_dense_one_at_the_entries():
    graph = BY_NAME["self-loops"]
    operator = operator_of(graph)
    left, right = graph.features(3).requires_grad_(), graph.features(3).flip(0).requires_grad_()
    source, target = operator.edge_index()
    close(operator.sddmm(left, right), (left @ right.T)[target, source], **EXACT)
    assert torch.autograd.gradcheck(operator.sddmm, (left, right))
    assert torch.autograd.gradgradcheck(operator.sddmm, (left, right))


def test_transforms_see_the_values():
    graph = BY_NAME["self-loops"]
    x, weights = graph.features(2), torch.stack([graph.weights() * (k + 1) for k in range(3)])

    def energy(weight, x):
        return (SparseOperator.from_edge_index(graph.edge_index, weight, num_nodes=4) @ x).square().sum()

    expected = torch.stack([torch.func.grad(energy)(weight, x) for weight in weights])
    close(vmap(grad(energy), (0, None))(weights, x), expected, **EXACT)
    second = torch.func.jacrev(grad(energy))(weights[0], x)
    looped = torch.autograd.functional.hessian(lambda weight: energy(weight, x), weights[0])
    close(second, looped, **EXACT)


@given(graph=graphs())
def test_forward_mode_sees_features_values_and_entries(graph):
    """``jvp`` of products and sampled products is what a dense matrix gives, and of a gradient too."""
    operator, dense = operator_of(graph, graph.weights()), operator_of(graph, graph.weights()).to_dense()
    rows, columns = operator.pattern.rows(), operator.pattern.indices.long()
    x, dx = graph.features(), graph.features().flip(0)
    values, dvalues = operator.values, operator.values.flip(0)

    def of_dense(values):
        return torch.zeros_like(dense).index_put((rows, columns), values, accumulate=True)

    def product(x, values):
        return operator.with_values(values) @ x

    def shifted(x, values):
        return operator.with_values(values).multiply_add(x, x, beta=2.0)

    def sampled(x, values):
        return sddmm(operator.pattern, x, values.sum() * x)

    def by_hand(x, values):
        return of_dense(values) @ x

    for made, hand in (
        (product, by_hand),
        (shifted, lambda x, values: by_hand(x, values) + 2 * x),
        (sampled, lambda x, values: (x @ (values.sum() * x).T)[rows, columns]),
        (grad(lambda x, v: product(x, v).pow(3).sum()), grad(lambda x, v: by_hand(x, v).pow(3).sum())),
    ):
        found, expected = (torch.func.jvp(each, (x, values), (dx, dvalues)) for each in (made, hand))
        for ours, theirs in zip(found, expected, strict=True):
            close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's compiler looks at it
@pytest.mark.parametrize("width", [2, 40])
def test_the_product_may_stand_in_what_is_compiled(width):
    operator = operator_of(BY_NAME["grid"])
    x = torch.randn(operator.shape[1], width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: (operator @ x.sin()).cos(), backend="eager")
    expected, found = (operator @ x.sin()).cos(), compiled(x)
    close(found, expected)
    close(*(torch.autograd.grad(each.square().sum(), x)[0] for each in (found, expected)))


@pytest.mark.parametrize("gradient", [False, True])
def test_duplicates_of_a_torch_matrix_are_one_entry(gradient):
    twice = torch.sparse_coo_tensor([[1, 1, 2], [0, 0, 1]], [0.5, 0.5, 2.0], (3, 3), check_invariants=True)
    twice.requires_grad_(gradient)
    operator = SparseOperator.from_torch(twice)
    assert operator.pattern.entries == 2
    close(operator.to_dense().detach(), twice.detach().to_dense())


def test_a_jacobian_of_features_is_the_matrix():
    graph = BY_NAME["directed"]
    operator = operator_of(graph, graph.weights())
    x = graph.features(1).squeeze(1)
    close(torch.func.jacrev(operator.__matmul__)(x), graph.dense(graph.weights()), **EXACT)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_gradients_flow_to_the_values_of_a_matrix_that_requires_them(layout):
    dense = BY_NAME["grid"].dense(BY_NAME["grid"].weights())
    matrix = (dense.to_sparse_coo() if layout == torch.sparse_coo else dense.to_sparse_csr()).requires_grad_()
    x = BY_NAME["grid"].features()
    (SparseOperator.from_torch(matrix) @ x).square().sum().backward()
    dense.requires_grad_()
    (dense @ x).square().sum().backward()
    close(matrix.grad.to_dense(), dense.grad * (dense != 0), **EXACT)


# ---- refusals


@pytest.mark.parametrize(
    ("index", "options", "error", "message"),
    [
        ([[0, 1], [1, -2]], {}, ValueError, "`edge_index` must hold node ids from 0 upwards, got -2"),
        ([[0, 9], [1, 0]], {"num_nodes": 3}, ValueError, r"has source node 9, but there are only 3 .*\(0 to 2\)"),
        ([[0, 1], [1, 4]], {"num_nodes": (3, 4)}, ValueError, "has target node 4, but there are only 4 target nodes"),
        ([[0.0], [1.0]], {}, TypeError, r"`edge_index` must hold integers .* got torch.float32"),
        ([[True], [False]], {}, TypeError, "`edge_index` must hold integers"),
        ([[0, 1, 2]], {}, ValueError, r"`edge_index` must have shape \[2, edges\], got \[1, 3\]"),
        ([0, 1], {}, ValueError, r"`edge_index` must have shape \[2, edges\], got \[2\]"),
    ],
)
def test_what_is_not_a_graph_is_refused_in_one_line(index, options, error, message):
    with pytest.raises(error, match=message) as caught:
        SparseOperator.from_edge_index(torch.tensor(index), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [torch.ones(3), torch.ones(2, 2), torch.tensor(1.0)], ids=lambda w: str(w.shape))
def test_weights_of_another_length_are_refused(weight):
    with pytest.raises(ValueError, match="`edge_weight` must have"):
        SparseOperator.from_edge_index(torch.tensor([[0, 1], [1, 0]]), weight)


def test_a_signal_of_another_length_is_refused():
    """The kernel would read beyond its end."""
    operator = operator_of(BY_NAME["path"])
    for x in (torch.ones(4, 2), torch.ones(6, 2), torch.ones(4), torch.ones(2, 4, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="`x` must have 5 rows, one per column of the operator, got"):
            operator @ x
    with pytest.raises(ValueError, match="`values`"):
        operator.with_values(torch.ones(3))


# ---- nothing of a wrong shape reaches the kernels, which do not look

WIDE = torch.ones(4, 64)


def of_four_nodes():
    return SparseOperator.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4)


MISFITS = {
    "too few values": (lambda a: SparseOperator(a.pattern, torch.ones(2)), "`values`"),
    "values with another axis": (lambda a: SparseOperator(a.pattern, torch.ones(3, 2)), "`values`"),
    "other values, too many": (lambda a: a.with_values(torch.ones(4)), "`values`"),
    "x with another axis": (lambda a: a.multiply_add(torch.ones(2, 4, 64)), "`x`"),
    "addend of another width": (lambda a: a.multiply_add(WIDE, torch.ones(4, 32)), "`addend`"),
    "addend with too few rows": (lambda a: a.multiply_add(WIDE, torch.ones(3, 64)), "`addend`"),
    "addend without rows": (lambda a: a.multiply_add(WIDE, torch.ones(64)), "`addend`"),
    "ends with too few rows": (lambda a: a.sddmm(torch.ones(3, 2), torch.ones(4, 2)), "`left` and `right`"),
    "ends of two widths": (lambda a: a.sddmm(torch.ones(4, 2), torch.ones(4, 3)), "`left` and `right`"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_shapes_that_do_not_fit_are_refused(misfit):
    call, message = MISFITS[misfit]
    with pytest.raises(ValueError, match=message):
        call(of_four_nodes())


@pytest.mark.parametrize("place", [-1, 9])
def test_entries_outside_a_matrix_are_refused(place):
    indices = torch.tensor([[0, 1], [1, place]])
    coo = torch.sparse_coo_tensor(indices, torch.ones(2), (2, 2), check_invariants=False)
    csr = torch.sparse_csr_tensor([0, 1, 2], indices[1], torch.ones(2), (2, 2), check_invariants=False)
    for matrix in (coo, csr):
        with pytest.raises(ValueError, match=f"entry in column {place}"):
            SparseOperator.from_torch(matrix)


def test_a_matrix_of_vectors_is_refused():
    hybrid = torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 1]]), torch.ones(2, 3), (2, 2, 3), check_invariants=True)
    with pytest.raises(ValueError, match="`matrix` must be a matrix"):
        SparseOperator.from_torch(hybrid)
    rows = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2, 3), (2, 3), check_invariants=True)
    with pytest.raises(ValueError, match="`matrix` must have rows and columns of single entries"):
        SparseOperator.from_torch(rows)


@pytest.mark.parametrize("width", [1, 40])
def test_values_changed_in_place_change_the_transpose_and_the_gradient(width):
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    values = torch.ones(4)
    operator = SparseOperator.from_edge_index(edge_index, num_nodes=3).with_values(values)
    x = torch.ones(3, width, requires_grad=True)
    operator.multiply_add(x)
    assert operator.symmetric
    values.copy_(torch.tensor([2.0, 3.0, 5.0, 7.0]))
    assert not operator.symmetric
    close(operator.T.to_dense(), operator.to_dense().T)
    (found,) = torch.autograd.grad(operator.multiply_add(x).sum(), x)
    close(found, operator.to_dense().sum(0).unsqueeze(1).expand(3, width))


def test_weights_in_a_column_are_weights():
    edge_index, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[2.0], [3.0]])
    close(SparseOperator.from_edge_index(edge_index, weight).to_dense(), torch.tensor([[0.0, 3.0], [2.0, 0.0]]))


@pytest.mark.parametrize("values_type", [torch.complex128, torch.float64])
@pytest.mark.parametrize("width", [2, 40])
def test_complex_numbers_have_conjugated_gradients(values_type, width):
    """As a magnetic Laplacian needs it."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 0]])
    values = torch.randn(4, dtype=values_type, generator=generator, requires_grad=True)
    x = torch.randn(3, width, dtype=torch.complex128, generator=generator, requires_grad=True)
    operator = SparseOperator.from_edge_index(edge_index, values, num_nodes=3)
    dense = torch.zeros(3, 3, dtype=values_type).index_put((edge_index[1], edge_index[0]), values)
    found, expected = (
        torch.autograd.grad(product.abs().square().sum(), (values, x))
        for product in (operator @ x, dense.to(x.dtype) @ x)
    )
    for one, other in zip(found, expected, strict=True):
        close(one, other, **EXACT)
    if width == 2:
        product = SparseOperator.from_edge_index(edge_index, num_nodes=3).with_values
        assert torch.autograd.gradgradcheck(lambda values, x: product(values) @ x, (values, x))


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_a_pattern_of_arrays_is_that_of_tensors(graph):
    source, target = graph.edge_index
    shape = (graph.num_nodes, graph.num_nodes)
    ours, theirs = Pattern.from_coo(target, source, shape), Pattern.from_coo(target.numpy(), source.numpy(), shape)
    for name in ("indptr", "indices", "perm"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    again = Pattern(ours.indptr, ours.indices, ours.perm, shape)
    assert torch.equal(again.rows(), ours.rows())


def test_old_keywords_of_a_product_still_work():
    operator, x = operator_of(BY_NAME["self-loops"]), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with pytest.warns(DeprecationWarning, match="addend"):
        found = operator.multiply_add(x, plus=x)
    assert torch.equal(found, operator.multiply_add(x, addend=x))
    with pytest.warns(DeprecationWarning, match=r"alpha|beta"):
        found = operator.multiply_add(x, x, scale=2.0, plus_scale=-1.0)
    assert torch.equal(found, operator.multiply_add(x, x, alpha=2.0, beta=-1.0))


def test_old_names_of_a_pattern_still_work():
    pattern = operator_of(BY_NAME["self-loops"]).pattern
    with pytest.warns(DeprecationWarning, match="indptr"):
        assert torch.equal(pattern.pointers, pattern.indptr)
    with pytest.warns(DeprecationWarning, match="perm"):
        again = Pattern(pattern.indptr, pattern.indices, order=pattern.perm, shape=pattern.shape)
    assert torch.equal(again.perm, pattern.perm)
