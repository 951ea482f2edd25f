"""Products of an operator promote types as PyTorch does, whatever the types of values, features and terms."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from graphkit.operators import SparseOperator, laplacian, mean_adjacency, sum_adjacency

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)
TYPES = (*WHOLE, *FLOATS, *COMPLEX)
PAIRS = list(itertools.product(TYPES, TYPES))
ENDS = torch.tensor([[0, 1, 2, 2, 3, 0], [1, 0, 1, 3, 2, 0]])
WIDTHS = (3, 40)
"""Narrow features go through PyTorch's product, wide ones through ours."""


def drawn(kind: torch.dtype, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    most = 1 if kind.itemsize == 1 else 3  # sums of 40 products fit every type
    return torch.randint(1, most + 1, shape, generator=generator).to(kind)


def expected_type(values: torch.dtype, x: torch.dtype) -> torch.dtype:
    """PyTorch's; half-precision features stay beside float32 values, which only carry their sums."""
    halves = (torch.float16, torch.bfloat16)
    return x if x in halves and values == torch.float32 else torch.promote_types(values, x)


def exact(*factors: torch.Tensor) -> list[torch.Tensor]:
    return [factor.to(torch.complex128) for factor in factors]


def same(found: torch.Tensor, truth: torch.Tensor, kind: torch.dtype) -> None:
    assert found.dtype == kind
    torch.testing.assert_close(found.to(torch.complex128), truth, rtol=1e-2 if kind.itemsize == 2 else 1e-6, atol=0.0)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("values", "x"), PAIRS, ids=str)
def test_every_product_has_the_type_and_the_numbers_of_the_dense_one(values, x, width):
    weights, features = drawn(values, 6), drawn(x, 4, width)
    operator = SparseOperator.from_edge_index(ENDS, weights, num_nodes=4)
    matrix, kind = operator.to_dense(), expected_type(values, x)
    dense, signal = exact(matrix, features)
    same(operator @ features, dense @ signal, kind)
    same(operator @ features[:, 0], dense @ signal[:, 0], kind)
    same(operator @ features.expand(2, 4, width), dense @ signal.expand(2, 4, width), kind)
    same(operator.T @ features, dense.T @ signal, kind)
    same(operator.multiply_add(features, features), dense @ signal + signal, kind)
    same(torch.matmul(operator, features), dense @ signal, kind)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_inner_products_at_the_entries_too(left, right, width):
    operator = SparseOperator.from_edge_index(ENDS, num_nodes=4)
    one, other = drawn(left, 4, width), drawn(right, 4, width)
    first, second = exact(one, other)
    truth = (first @ second.T)[operator.pattern.rows(), operator.pattern.indices.long()]
    same(operator.sddmm(one, other), truth, torch.promote_types(left, right))


@pytest.mark.parametrize(("term", "x"), PAIRS, ids=str)
def test_a_term_is_promoted_with_the_product(term, x):
    operator, plus, features = SparseOperator.from_edge_index(ENDS, num_nodes=4), drawn(term, 1, 3), drawn(x, 4, 3)
    dense, signal, added = exact(operator.to_dense(), features, plus)
    same(operator.multiply_add(features, plus), dense @ signal + added, expected_type(term, x))


@pytest.mark.parametrize("x", TYPES, ids=str)
def test_implicit_ones_take_the_type_of_what_is_multiplied(x):
    features = drawn(x, 4, 3)
    operator = sum_adjacency(ENDS, num_nodes=4)
    same(operator @ features, exact(operator.to_dense())[0] @ exact(features)[0], x)


def test_a_mask_is_counted_as_a_sum_of_it_is():
    mask = torch.tensor([True, False, True, True])
    assert (sum_adjacency(ENDS, num_nodes=4) @ mask).tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("factors", [{"alpha": 0.5}, {"beta": 0.5}])
def test_a_fraction_is_no_integer(factors):
    operator, x = SparseOperator.from_edge_index(ENDS, num_nodes=4), drawn(torch.int64, 4, 3)
    dense, signal = exact(operator.to_dense(), x)
    truth = factors.get("alpha", 1.0) * dense @ signal + factors.get("beta", 1.0) * signal
    same(operator.multiply_add(x, x, **factors), truth, torch.float32)


def test_the_share_of_each_class_among_the_neighbours_is_no_integer():
    """The mean of one-hot labels was 0 everywhere."""
    y = torch.tensor([0, 1, 1, 2])
    found = mean_adjacency(ENDS, num_nodes=4) @ F.one_hot(y, 40)
    assert found.dtype == torch.float32
    assert found[:, :3].tolist() == [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert found[:, 3:].count_nonzero() == 0


def test_gradients_come_back_in_the_types_that_were_given():
    weights, x = torch.rand(6, dtype=torch.float64, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    operator = SparseOperator.from_edge_index(ENDS, weights, num_nodes=4)
    dense = torch.zeros(4, 4, dtype=torch.float64).index_put((ENDS[1], ENDS[0]), weights, True)
    for inputs, out, truth in (((weights, x), operator @ x, dense @ x.double()),):
        found = torch.autograd.grad(out.square().sum(), inputs)
        expected = torch.autograd.grad(truth.square().sum(), inputs)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other)


def test_a_laplacian_of_single_precision_smooths_integers():
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    found = laplacian(path, normalization="rw") @ torch.tensor([1, 0, 2])
    assert found.tolist() == [1.0, -1.5, 2.0]
