"""Thresholded wavelets: the dense matrix without its small entries, and the error that was reported."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphkit.operators import ThresholdedWavelets, heat, laplacian, meyer, thresholded_wavelets
from graphkit.operators.wavelets import thresholding
from graphkit.operators.wavelets.filter_bank import one_band
from tests.contracts import LargestTensor
from tests.graphs import BY_NAME, graphs, large

EXACT = {"rtol": 0.0, "atol": 1e-10}


def operator_of(graph):
    return laplacian(graph.edge_index, graph.weights(), graph.num_nodes, normalization="sym", dtype=torch.float64)


def dense(operator, bank):
    eigenvalues, vectors = torch.linalg.eigh(operator.to_dense())
    return (vectors * bank(eigenvalues)[0]) @ vectors.T


@given(graph=graphs(symmetric=True), scale=st.floats(-2, 4), threshold=st.sampled_from([0.0, 1e-3, 0.1, 10.0]))
def test_what_is_left_and_what_was_left_out_make_the_whole(graph, scale, threshold):
    operator = operator_of(graph)
    found = thresholded_wavelets(operator, heat(scale), threshold=threshold, tolerance=1e-14)
    assert isinstance(found, ThresholdedWavelets)
    assert found.operator.symmetric
    whole, left = dense(operator, heat(scale)), found.operator.to_dense()
    near = (whole.abs() - threshold).abs() < 1e-10  # where rounding decides
    expected = torch.where(whole.abs() >= threshold, whole, 0)
    torch.testing.assert_close(torch.where(near, 0, left), torch.where(near, 0, expected), **EXACT)
    error = left - whole
    assert found.dropped == pytest.approx(float(error.norm()), abs=1e-10)
    assert found.bound == pytest.approx(float(error.abs().sum(1).max()), abs=1e-10)
    assert float(torch.linalg.matrix_norm(error, 2)) <= found.bound + 1e-10
    assert found.density == found.operator.entries / graph.num_nodes**2


def test_blocks_do_not_change_the_matrix(monkeypatch):
    operator = operator_of(large(60, 6))
    whole = thresholded_wavelets(operator, heat(-1.0), threshold=1e-3)
    monkeypatch.setattr(thresholding, "BLOCK", 60 * 7)
    blocks = thresholded_wavelets(operator, heat(-1.0), threshold=1e-3)
    torch.testing.assert_close(blocks.operator.to_dense(), whole.operator.to_dense(), **EXACT)
    assert blocks.dropped == pytest.approx(whole.dropped)
    assert blocks.bound == pytest.approx(whole.bound)


def test_large_negative_entries_of_the_inverse_stay():
    """Where the public codes compare signed values: the inverse's entry between neighbours is below -3 here."""
    operator = laplacian(torch.tensor([[0, 1], [1, 0]]), normalization="sym", dtype=torch.float64)
    found = thresholded_wavelets(operator, heat(-1.0), threshold=1e-4).operator.to_dense()
    truth = torch.linalg.matrix_exp(operator.to_dense())
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)
    assert found[0, 1] < -3


def test_on_a_large_graph_the_whole_matrix_is_never_there(monkeypatch):
    monkeypatch.setattr(thresholding, "BLOCK", 2**14)
    graph = large(1000, 4)
    with LargestTensor() as largest:
        found = thresholded_wavelets(operator_of(graph), heat(0.3), threshold=1e-2)
    assert largest.numbers < 1000 * 1000 / 20
    assert found.density < 0.01


def test_it_moves_and_changes_type():
    found = thresholded_wavelets(operator_of(BY_NAME["grid"]), heat(1.0), threshold=0.1).to(torch.float32)
    assert found.operator.dtype == torch.float32
    assert found.threshold == 0.1


def test_one_band_of_several_is_taken():
    operator, bank = operator_of(BY_NAME["grid"]), meyer(3)
    found = thresholded_wavelets(operator, one_band(bank, 1), threshold=0.0, order=900)
    torch.testing.assert_close(found.operator.to_dense(), dense(operator, one_band(bank, 1)), rtol=0, atol=1e-6)


def test_wrong_arguments_are_refused():
    operator = operator_of(BY_NAME["grid"])
    with pytest.raises(ValueError, match="`kernel` must have one band, got 3; threshold the bands one by one"):
        thresholded_wavelets(operator, meyer(3), order=4)
    with pytest.raises(ValueError, match=r"`threshold` must be 0 or more, got -0.1"):
        thresholded_wavelets(operator, heat(1.0), threshold=-0.1)
    with pytest.raises(ValueError, match="`laplacian` must be symmetric"):
        thresholded_wavelets(operator_of(BY_NAME["directed"]), heat(1.0))
