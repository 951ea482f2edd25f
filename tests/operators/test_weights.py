"""Edge weights without which a graph has no frequencies are refused wherever a graph becomes an operator."""

from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import AddFourierBasis
from graphkit.nn import ChebConv, GraphWaveletConv, PolynomialConv
from graphkit.operators import SparseOperator, fourier_basis, laplacian, lazy_random_walk, rescaled_laplacian

RING = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
X = torch.ones(4, 2)
TAKEN = {
    "laplacian": lambda w, kind: laplacian(RING, w, normalization=kind),
    "operator": lambda w, kind: laplacian(
        SparseOperator.from_edge_index(RING, w, num_nodes=4), num_nodes=4, normalization=kind
    ),
    "basis": lambda w, kind: fourier_basis(laplacian(RING, w, normalization=kind)),
    "transform": lambda w, kind: AddFourierBasis(normalization=kind)(Data(edge_index=RING, edge_weight=w, num_nodes=4)),
    "wavelets": lambda w, kind: GraphWaveletConv(2, 1, normalization=kind or "sym")(X, RING, w),
    "polynomial": lambda w, kind: PolynomialConv(2, 1, 3, normalization=kind)(X, RING, w),
    "walk": lambda w, kind: lazy_random_walk(RING, w, num_nodes=4),
}


@pytest.mark.parametrize("kind", [None, "sym", "rw"])
@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_negative_and_missing_weights_are_refused(taken, value, kind, data_home):
    """One edge of a ring at -1: two degrees vanish, and normalised nothing negative is left to be seen."""
    weight = torch.ones(8)
    weight[[0, 4]] = value
    with pytest.raises(ValueError, match=r"`edge_weight` must be (0 or above|finite)"):
        TAKEN[taken](weight, kind)


@pytest.mark.parametrize("kind", [None, "sym", "rw"])
def test_chebyshev_layers_take_negative_weights_as_pygs_do_but_none_that_are_missing(kind):
    weight = torch.ones(8)
    weight[[0, 4]] = -0.5
    assert ChebConv(2, 1, 3, normalization=kind)(X, RING, weight, lambda_max=2.0).isfinite().all()
    weight[[0, 4]] = math.nan
    for call in (ChebConv(2, 1, 3, normalization=kind), lambda x, e, w: rescaled_laplacian(e, w, num_nodes=4)):
        with pytest.raises(ValueError, match="`edge_weight` must be finite"):
            call(X, RING, weight)
