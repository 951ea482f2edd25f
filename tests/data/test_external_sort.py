"""Edges sorted on the disk are those sorted in memory, however they are cut."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.data.disk.external_sort import merge_runs, write_run

NODES = 40


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize(("runs", "at_once"), [(1, 1000), (5, 37), (5, 1), (13, 100)])
def test_any_cut_gives_what_numpy_sorts(tmp_path, unique, runs, at_once):
    edges = np.random.default_rng(0).integers(NODES - 2, size=(2, 500))
    paths = [tmp_path / f"{number}.npy" for number in range(runs)]
    for path, part in zip(paths, np.array_split(edges, runs, axis=1), strict=True):
        write_run(path, *part, both_ways=True)
    merge_runs(paths, tmp_path, NODES, unique=unique, at_once=at_once)
    both = np.concatenate([edges, edges[::-1]], axis=1)
    both = both[:, np.lexsort((both[0], both[1]))]
    if unique:
        both = np.unique(both[::-1], axis=1)[::-1]
    assert np.array_equal(np.load(tmp_path / "edge_index.npy"), both)
    assert np.array_equal(np.load(tmp_path / "pointers.npy"), np.searchsorted(both[1], np.arange(NODES + 1)))


def test_no_edges_are_a_graph_too(tmp_path):
    merge_runs([], tmp_path, 3, unique=True)
    assert np.load(tmp_path / "edge_index.npy").shape == (2, 0)
    assert np.load(tmp_path / "pointers.npy").tolist() == [0, 0, 0, 0]
