"""What stands in for our kernels on an accelerator is right on the CPU too, where it can be tested anywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.operators import products, torch_backend
from graphkit.operators.messages import neighbor_max
from graphkit.operators.pattern import Pattern, _coo_to_csr
from tests.contracts import EXACT
from tests.graphs import ZOO


@pytest.fixture(params=ZOO, ids=lambda graph: graph.name)
def pattern(request):
    source, target = request.param.edge_index
    return Pattern.from_coo(target, source, (request.param.num_nodes,) * 2)


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


def same(found, expected):
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize(("heads", "plus"), [((), False), ((), True), ((3,), False)])
def test_products(pattern, heads, plus):
    values, x = drawn(pattern.entries, *heads), drawn(pattern.shape[1], *heads, 5)
    term = drawn(pattern.shape[0], 5) if plus else None
    scale = 1.0 if heads else 2.0
    found = torch_backend.spmm(pattern, values, x, scale, term, 0.5)
    same(found, products.spmm(pattern, values, x, alpha=scale, addend=term, beta=0.5))
    if not heads:
        ones = torch_backend.spmm(pattern, None, x, 1.0, None, 1.0)
        same(ones, products.spmm(pattern, None, x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("heads", [(), (3,)])
def test_samples(pattern, heads, dtype):
    """Half precision, which cuSPARSE does not read at entries, is gathered in blocks."""
    left, right = (drawn(pattern.shape[0], *heads, 4).to(dtype) for _ in range(2))
    tolerance = EXACT if dtype == torch.float64 else {"rtol": 0.0, "atol": 1e-5 if dtype == torch.float32 else 0.1}
    found = torch_backend.sddmm(pattern, left, right)
    torch.testing.assert_close(found, products.sddmm(pattern, left, right), **tolerance)


def test_autocast_does_not_make_factors_half(pattern):
    values, x = drawn(pattern.entries).float(), drawn(pattern.shape[1], 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch_backend.spmm(pattern, values, x, 1.0, None, 1.0)
    torch.testing.assert_close(found, products.spmm(pattern, values, x))


def test_half_precision_is_summed_in_float32():
    """A bfloat16 sum of ones ends at 256."""
    hub = Pattern.from_coo(torch.zeros(1000).long(), torch.arange(1000), (1, 1000))
    ones = torch.ones(1000, dtype=torch.bfloat16)
    assert torch_backend.row_sums(hub, ones).item() == 1000
    x = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    assert torch.autograd.grad(torch_backend.gather_rows(x, hub.rows()).sum(), x)[0].item() == 1000


@pytest.mark.parametrize("heads", [(), (3,)])
def test_sums_and_what_is_taken(pattern, heads):
    values, x = drawn(pattern.entries, *heads), drawn(pattern.shape[0], *heads)
    same(torch_backend.row_sums(pattern, values), products.row_sums(pattern, values))
    same(torch_backend.gather_rows(x, pattern.rows()), products.rows_to_entries(pattern, x))
    same(torch_backend.gather_rows(x, pattern.indices), products.columns_to_entries(pattern, x))


def test_sorting_gives_what_counting_gives(pattern):
    order = torch.randperm(pattern.entries, generator=torch.Generator().manual_seed(0))
    rows, columns = pattern.rows()[order], pattern.indices.long()[order]
    found, expected = _coo_to_csr(rows, columns, pattern.shape), Pattern.from_coo(rows, columns, pattern.shape)
    for ours, theirs in zip(found, (expected.indptr, expected.indices, expected.perm), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", [Tensor.clone, Tensor.relu, Tensor.round])
def test_the_largest_neighbour(pattern, kind, monkeypatch):
    """Ties share the gradient, those at 0 too."""
    x = kind(drawn(pattern.shape[1], 4)).requires_grad_()
    fused = neighbor_max(pattern, x)
    monkeypatch.setattr("graphkit.operators.messages.has_kernel", lambda _: False)
    composed = neighbor_max(pattern, x)
    same(composed, fused)
    upstream = drawn(*fused.shape)
    same(*(torch.autograd.grad(out, x, upstream)[0] for out in (composed, fused)))
