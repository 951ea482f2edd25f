"""Readers of plain tables: what the options of a card do, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkit.data import DataError, fetch
from graphkit.data.catalog.sources import READERS, Source

DENSE = np.array([[0, 2, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
"""A directed graph with a self-loop, an edge of another value than 1, and a node without edges."""


def csr_parts(path: Path, **changes) -> None:
    parts = {}
    for name, matrix in (("adj", DENSE), ("attr", np.array([[0, 3.0], [1, 0], [0, 0], [0, 2]]))):
        matrix = scipy.sparse.csr_array(matrix)
        parts |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
        parts[f"{name}_shape"] = np.array(matrix.shape)
    parts = {**parts, "labels": np.array([7, 3, -1, 7]), **changes}
    np.savez(path, **{name: value for name, value in parts.items() if value is not None})


def source(form: str, *files: str, **options) -> Source:
    return READERS[form](files=files, **options)


NO_FEATURES = {f"attr_{part}": None for part in ("data", "indices", "indptr", "shape")}


def test_csr_parts_are_read_in_their_directions_with_classes_from_0(tmp_path):
    csr_parts(tmp_path / "graph.npz")
    data = source("csr-parts", "graph.npz").read(tmp_path)
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 1, 2, 0]]
    assert data.x.tolist() == [[0, 3], [1, 0], [0, 0], [0, 2]]
    assert data.x.dtype == torch.float32
    assert data.y.tolist() == [1, 0, -1, 1]


def test_stored_zeros_and_repeated_entries_are_no_further_edges(tmp_path):
    entries = {"adj_data": np.array([1, 1, 0, 1]), "adj_indices": np.array([2, 2, 1, 0])}
    csr_parts(tmp_path / "graph.npz", **entries, adj_indptr=np.array([0, 2, 3, 4, 4]))
    assert source("csr-parts", "graph.npz").read(tmp_path).edge_index.tolist() == [[0, 2], [2, 0]]


def test_without_features_degrees_take_their_place_and_structure_adds_to_both(tmp_path):
    csr_parts(tmp_path / "bare.npz", **NO_FEATURES)
    csr_parts(tmp_path / "full.npz")
    bare = source("csr-parts", "bare.npz").read(tmp_path)
    out, into = DENSE.astype(bool).sum(1), DENSE.astype(bool).sum(0)
    assert np.allclose(bare.x.numpy(), np.log1p(np.stack([out, into], axis=1)))
    assert source("csr-parts", "bare.npz", structure=["one-hot"]).read(tmp_path).x.tolist() == np.eye(4).tolist()
    both = source("csr-parts", "full.npz", structure=["degree"]).read(tmp_path)
    assert torch.equal(both.x[:, 2:], bare.x)
    assert both.x[:, :2].tolist() == [[0, 3], [1, 0], [0, 0], [0, 2]]


def tables(
    folder: Path, edges: str = "b,a,w\n0,2,5\n2,2,1\n1,0,3\n", target: str = "id,y\n2,9\n0,4\n1,9\n3,-1\n"
) -> None:
    (folder / "edges.csv").write_text(edges)
    (folder / "target.csv").write_text(target)


def test_tables_are_read_by_ids_with_each_edge_in_both_directions(tmp_path):
    tables(tmp_path)
    data = source("edge-table", "edges.csv", "target.csv").read(tmp_path)
    assert data.edge_index.tolist() == [[0, 0, 1, 2, 2], [1, 2, 0, 0, 2]]
    assert data.y.tolist() == [0, 1, 1, -1]
    assert torch.allclose(data.x[:, 0], torch.tensor([2.0, 1, 2, 0]).log1p())


def test_a_table_of_directed_edges_stays_directed(tmp_path):
    tables(tmp_path)
    data = source("edge-table", "edges.csv", "target.csv", directed=True, structure=["degree"]).read(tmp_path)
    assert data.edge_index.tolist() == [[0, 1, 2], [2, 0, 2]]
    assert data.num_features == 2


@pytest.mark.parametrize("target", ["id,y\n0,1\n1,1\n3,0\n", "id,y\n0,1\n0,1\n1,0\n", "id,y\n0,a\n1,b\n2,a\n"])
def test_ids_that_leave_numbers_out_and_words_are_refused(tmp_path, target):
    tables(tmp_path, target=target)
    with pytest.raises(ValueError, match=r"ids of the nodes|could not convert"):
        source("edge-table", "edges.csv", "target.csv").read(tmp_path)


def test_files_that_no_address_has_are_told_in_a_line(data_home, monkeypatch):
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    with pytest.raises(DataError, match=r"not downloaded \(no address has its files in this form.*Put attributed/acm"):
        fetch("acm")
