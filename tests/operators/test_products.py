"""The products below the operator, narrow and wide, with heads and with a second term, against ``einsum``."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from graphkit.operators import SparseOperator, products
from graphkit.operators.dropout import dropout
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import columns_to_entries, row_sums, rows_to_entries, sddmm, spmm
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO, graphs, pattern_of

close = torch.testing.assert_close
WIDE = products.NARROW + 3


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(pattern, values):
    """The matrix of each head, ``[rows, columns, heads]``."""
    out = torch.zeros(*pattern.shape, *values.shape[1:], dtype=torch.float64)
    return out.index_put((pattern.rows(), pattern.indices.long()), values, accumulate=True)


@given(graph=graphs(), heads=st.integers(1, 3), width=st.integers(1, WIDE))
def test_with_heads_it_is_einsum(graph, heads, width):
    pattern, values = pattern_of(graph), numbers(graph.num_edges, heads)
    x, left = numbers(graph.num_nodes, heads, width, seed=1), numbers(graph.num_nodes, heads, width, seed=2)
    close(spmm(pattern, values, x), torch.einsum("ijh,jhf->ihf", dense(pattern, values), x), **EXACT)
    inner = torch.einsum("ihf,jhf->ijh", left, x)
    close(sddmm(pattern, left, x), inner[pattern.rows(), pattern.indices.long()], **EXACT)


@given(
    graph=graphs(),
    width=st.sampled_from([1, 2, WIDE]),
    scale=st.floats(-3, 3),
    addend=st.sampled_from(["none", "own", "row", "x"]),
    beta=st.floats(-3, 3),
)
def test_a_scaled_product_plus_a_scaled_term_is_that(graph, width, scale, addend, beta):
    pattern, values, x = pattern_of(graph), graph.weights(), numbers(graph.num_nodes, width, seed=1)
    values = values[pattern.perm]
    term = {"none": None, "own": numbers(graph.num_nodes, width, seed=2), "row": numbers(1, width, seed=3), "x": x}[
        addend
    ]
    found = spmm(pattern, values, x, alpha=scale, addend=term, beta=beta)
    expected = scale * dense(pattern, values) @ x + (0 if term is None else beta * term)
    close(found, expected, **EXACT)


@pytest.mark.parametrize("width", [2, WIDE])
@pytest.mark.parametrize("addend", ["own", "row", "x", "none"])
def test_every_input_is_twice_differentiable(width, addend):
    graph = BY_NAME["self-loops"]
    pattern = pattern_of(graph)
    values, x = graph.weights().requires_grad_(), numbers(4, width).requires_grad_()
    term = numbers(1 if addend == "row" else 4, width, seed=1).requires_grad_()

    def function(values, x, term):
        given = {"none": None, "x": x}.get(addend, term)
        return spmm(pattern, values, x, alpha=2.0, addend=given, beta=-0.5)

    inputs = (values, x, term) if addend in ("own", "row") else (values, x)
    called = function if len(inputs) == 3 else lambda values, x: function(values, x, None)
    assert torch.autograd.gradcheck(called, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(called, inputs, fast_mode=True)


@pytest.mark.parametrize("width", [2, WIDE])
@pytest.mark.parametrize("stacked", ["x", "values", "both"])
def test_stacked_tasks_are_a_loop(width, stacked):
    graph = BY_NAME["self-loops"]
    pattern = pattern_of(graph)
    values, x = numbers(3, graph.num_edges), numbers(3, 4, width, seed=1)
    dims = {"x": (None, 0), "values": (0, None), "both": (0, 0)}[stacked]
    given = [part if dim == 0 else part[0] for part, dim in zip((values, x), dims, strict=True)]

    def energy(values, x):
        return spmm(pattern, values, x, alpha=2.0, addend=x, beta=0.5).pow(3).sum()

    for function in (energy, grad(energy), grad(energy, argnums=1), grad(lambda v, x: grad(energy)(v, x).pow(2).sum())):
        found = vmap(function, dims)(*given)
        own = [[part[k] if dim == 0 else part for part, dim in zip(given, dims, strict=True)] for k in range(3)]
        close(found, torch.stack([function(*task) for task in own]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_values_go_along_rows_and_columns_and_add_up(graph):
    pattern, x = pattern_of(graph), numbers(graph.num_nodes, 2)
    close(rows_to_entries(pattern, x), x[pattern.rows()], **EXACT)
    close(columns_to_entries(pattern, x), x[pattern.indices.long()], **EXACT)
    values = numbers(graph.num_edges, 2)
    close(row_sums(pattern, values), torch.zeros_like(x).index_add(0, pattern.rows(), values), **EXACT)


@pytest.mark.parametrize("width", [2, WIDE])
def test_indices_of_64_bits_give_the_same(width):
    """They are taken where a graph has more than 2^31 entries; no test can hold one, so the types are changed here."""
    graph = BY_NAME["directed"]
    narrow = pattern_of(graph)
    wide = Pattern(*(part.long() for part in (narrow.indptr, narrow.indices, narrow.perm)), narrow.shape)
    x, values = numbers(6, width).requires_grad_(), graph.weights().requires_grad_()
    results = []
    for pattern in (narrow, wide):
        out = spmm(pattern, values, x)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, values))))
    close(*results, rtol=0, atol=1e-12)
    assert narrow.indices.dtype == torch.int32
    assert wide.transpose[0].indices.dtype == torch.int64


@pytest.mark.parametrize("width", [1, WIDE])
def test_two_threads_give_the_sums_of_one(width):
    index = torch.randint(2000, (2, 60_000), generator=torch.Generator().manual_seed(0))
    operator, x = SparseOperator.from_edge_index(index, num_nodes=2000), numbers(2000, width)
    alone = operator @ x
    torch.set_num_threads(2)
    try:
        close(operator @ x, alone, rtol=0, atol=1e-12)
    finally:
        torch.set_num_threads(1)


# ---- patterns


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_a_patterns_transpose_turns_back(graph):
    pattern = pattern_of(graph)
    other, position = pattern.transpose
    assert (other is pattern) is pattern.symmetric is graph.symmetric
    assert torch.equal(other.rows(), pattern.indices.long()[position.long()])
    back, returned = other.transpose
    assert back is pattern
    assert torch.equal(position.long()[returned.long()], torch.arange(pattern.entries))


# ---- dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_drops_the_share_it_is_told_to(dtype):
    """40,000 coin flips: the standard deviation of the share is at most 0.0025."""
    for p in (0.1, 0.5, 0.9):
        out = dropout(torch.ones(200, 200, dtype=dtype), p)
        assert abs(float((out == 0).double().mean()) - p) < 0.0125
        close(out[out != 0].max(), torch.tensor(1 / (1 - p), dtype=dtype))


def test_neighbouring_places_are_dropped_independently():
    mask = (dropout(torch.ones(400, 400), 0.5) == 0).double() - 0.5
    for shift in (1, 2, 3, 64, 400):
        flat = mask.flatten()
        assert abs(float((flat[shift:] * flat[:-shift]).mean())) < 0.25 * 5 / 400, "five standard deviations"


def test_dropouts_gradient_has_the_mask_of_its_result():
    x = torch.full((50, 50), 3.0, dtype=torch.float64, requires_grad=True)
    out = dropout(x, 0.3)
    (slope,) = torch.autograd.grad(out.sum(), x)
    close(slope * 3, out.detach(), **EXACT)


def test_dropout_follows_torchs_generator_and_two_calls_differ():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = dropout(torch.ones(100), 0.5), dropout(torch.ones(100), 0.5)
        torch.manual_seed(0)
        assert torch.equal(dropout(torch.ones(100), 0.5), first)
    assert not torch.equal(first, second)


def test_dropouts_ends_are_nothing_and_everything():
    x = torch.ones(10)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.5, training=False) is x
    assert not dropout(x, 1.0).any()
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"`p` must lie in \[0, 1\]"):
            dropout(x, p)


def test_dropout_inside_a_transform_is_torchs():
    x = torch.ones(1000, dtype=torch.float64)
    slope = vmap(grad(lambda v: dropout(v, 0.5).sum()), randomness="different")(torch.stack([x, x]))
    assert set(slope.unique().tolist()) == {0.0, 2.0}


def test_dropout_hides_no_nan():
    assert dropout(torch.full((100,), torch.nan)).isnan().all()


@pytest.mark.parametrize("width", [1, products.NARROW - 1, WIDE])
def test_memory_to_be_written_is_not_read(width):
    """Fresh memory may hold anything, NaN too."""
    pattern = pattern_of(BY_NAME["grid"])
    values, x = numbers(pattern.entries), numbers(pattern.shape[1], width, seed=1)
    out = torch.full((pattern.shape[0], width), torch.nan, dtype=torch.float64)
    assert products._spmm(pattern, values, x, 2.0, None, 1.0, out=out) is out
    close(out, 2 * dense(pattern, values) @ x, **EXACT)
