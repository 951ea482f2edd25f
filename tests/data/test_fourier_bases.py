"""Kept Fourier bases: found by content, whole or told of, safe with two writers."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.data import AddFourierBasis, cached_fourier_basis, fourier_bases
from graphkit.operators import FourierBasis, fourier_basis, laplacian
from tests.contracts import EXACT
from tests.graphs import BY_NAME

GRID = BY_NAME["grid"]
close = torch.testing.assert_close


@pytest.fixture
def solved(monkeypatch) -> list[object]:
    """Count the calls of the solver."""
    calls: list[object] = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return fourier_basis(*arguments, **options)

    monkeypatch.setattr(fourier_bases, "fourier_basis", counted)
    return calls


def asked(folder: Path, **options) -> FourierBasis:
    options = {"num_nodes": GRID.num_nodes, "cache_dir": folder, "k": 4, **options}
    return cached_fourier_basis(options.pop("edge_index", GRID.edge_index), **options)


def same(one: FourierBasis, two: FourierBasis) -> None:
    for name, value in one.__getstate__().items():
        other = getattr(two, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_the_second_call_reads_what_the_first_wrote(normalization, tmp_path, solved):
    first = asked(tmp_path, normalization=normalization)
    second = asked(tmp_path, normalization=normalization)
    assert len(solved) == 1
    same(first, second)
    operator = laplacian(GRID.edge_index, num_nodes=9, normalization=normalization)
    close(second.eigenvalues, fourier_basis(operator, 4).eigenvalues, **EXACT)
    assert len(list(tmp_path.iterdir())) == 1


def test_whatever_changes_the_basis_changes_the_key(tmp_path, solved):
    asked(tmp_path)
    others = [
        {"k": 5},
        {"k": (0.0, 1.0)},
        {"k": None},
        {"normalization": "rw"},
        {"solver": "dense"},
        {"dtype": torch.float64},
        {"num_nodes": 10},
        {"edge_weight": GRID.weights()},
        {"edge_weight": GRID.weights() * 2},
        {"edge_index": GRID.edge_index[:, 2:], "edge_weight": None},
    ]
    for number, other in enumerate(others):
        if "edge_index" in other:
            other["edge_index"] = BY_NAME["ring"].edge_index
        asked(tmp_path, **other)
        assert len(solved) == 2 + number


def test_another_version_of_the_solvers_is_another_basis(tmp_path, solved, monkeypatch):
    asked(tmp_path)
    monkeypatch.setattr(fourier_bases, "SOLVERS_VERSION", fourier_bases.SOLVERS_VERSION + 1)
    asked(tmp_path)
    assert len(solved) == 2


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty", "another's"])
def test_a_damaged_file_is_told_of_and_made_anew(damage, tmp_path, solved):
    whole = asked(tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "cut short":
        content = content[: len(content) // 2]
    elif damage == "one bit":
        content[-7] ^= 1
    elif damage == "empty":
        content = bytearray()
    else:
        asked(tmp_path, k=6)
        other = next(file for file in tmp_path.iterdir() if file != path)
        content = bytearray(other.read_bytes())
        other.unlink()
        solved.pop()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged; it is made anew"):
        again = asked(tmp_path)
    assert len(solved) == 2
    same(whole, again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(whole, asked(tmp_path))
    assert len(solved) == 2


def test_writers_at_once_leave_one_whole_file(tmp_path):
    with ThreadPoolExecutor(6) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(pool.map(lambda _: asked(tmp_path), range(18)))
    for basis in found:
        same(basis, found[0])
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path, solved):
    tmp_path.chmod(0o500)
    asked(tmp_path / "deeper")
    asked(tmp_path / "deeper")
    assert len(solved) == 2


def test_a_file_in_place_of_the_folder_costs_only_time(tmp_path, solved):
    (tmp_path / "file").write_text("")
    asked(tmp_path / "file")
    assert len(solved) == 1


def test_the_data_folder_is_the_default(data_home):
    asked(None)
    assert len(list((data_home / "cache" / "bases").iterdir())) == 1


def test_the_transform_adds_a_basis_to_each_graph(tmp_path, solved):
    transform = AddFourierBasis(k=6, cache_dir=tmp_path)
    graphs = [BY_NAME[name] for name in ("path", "star", "grid")]
    items = [transform(Data(x=g.features(), edge_index=g.edge_index, num_nodes=g.num_nodes)) for g in graphs]
    assert [item.basis.nodes for item in items] == [5, 6, 9]
    assert [item.basis.pairs for item in items][:2] == [5, 6]  # of smaller graphs all
    assert FourierBasis.batch(Batch.from_data_list(items).basis).nodes == 20
    transform(Data(edge_index=GRID.edge_index, num_nodes=9))
    assert len(solved) == 3
    assert str(transform) == "AddFourierBasis(k=6)"


def test_no_pairs_are_refused_by_the_transform_too(tmp_path):
    with pytest.raises(ValueError, match="`k` must be an integer of at least 1, got 0"):
        AddFourierBasis(k=0, cache_dir=tmp_path)(Data(edge_index=GRID.edge_index, num_nodes=9))


def test_a_number_of_pairs_may_be_numpys(tmp_path, solved):
    for k in (4, np.int64(4)):
        assert AddFourierBasis(k=k, cache_dir=tmp_path)(Data(edge_index=GRID.edge_index, num_nodes=9)).basis.pairs >= 4
    assert len(solved) == 1


def test_data_without_edges_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`data` must have an `edge_index`"):
        AddFourierBasis(k=2, cache_dir=tmp_path)(Data(num_nodes=3))
