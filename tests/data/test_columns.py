"""Columns of a table become the numbers that pandas and scikit-learn would make of them, in any pieces."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE

from graphkit.data import DataError
from graphkit.data.disk.columns import Column, ColumnSummary, fit_target
from graphkit.data.disk.external_sort import merge_runs, write_run
from graphkit.data.disk.node_names import NodeNames
from graphkit.data.disk.structure_features import structure_features
from graphkit.data.disk.tables import open_table


def summary(values: list[object], name: str = "x", pieces: int = 1) -> ColumnSummary:
    found = ColumnSummary(name)
    for part in np.array_split(np.arange(len(values)), pieces):
        found.add(pandas.Series([values[place] for place in part], dtype="string"))
    return found


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.none(), min_size=2, max_size=40), st.integers(1, 5))
def test_a_column_of_numbers_is_standardised_as_by_scikit_learn_in_any_pieces(numbers, pieces):
    there = np.array([number for number in numbers if number is not None])
    if len(set(there)) < 2:
        return
    text = ["" if number is None else repr(number) for number in numbers]
    column = summary(text, pieces=pieces).column("number")
    filled = np.array([there.mean() if number is None else number for number in numbers])[:, None]
    expected = StandardScaler().fit(there[:, None]).transform(filled)
    scale = max(abs(there).max() / max(there.std(), 1e-12), 1.0)  # what float64 leaves of a small deviation
    assert np.allclose(column.encode(pandas.Series(text)), expected, atol=1e-6 * scale)


@given(st.lists(st.sampled_from(["a", "b,", "Ü", "10", "9", "", "NA"]), min_size=1, max_size=30), st.integers(1, 4))
def test_a_column_of_words_is_one_hot_as_by_scikit_learn(words, pieces):
    there = [word for word in words if word not in ("", "NA")]
    column = summary(words, pieces=pieces).column("category")
    assert set(column.categories) == set(there)
    if there:
        encoder = OneHotEncoder(categories=[list(column.categories)], handle_unknown="ignore", sparse_output=False)
        expected = encoder.fit(np.array(there)[:, None]).transform(np.array(words)[:, None])
        assert column.encode(pandas.Series(words)).tolist() == expected.tolist()
    assert Column.from_dict(column.as_dict()) == column


def test_a_word_of_another_table_is_refused_or_missing():
    column = Column("job", "category", ("baker", "smith"))
    with pytest.raises(DataError, match="column 'job': 'king' is none of its 2 categories"):
        column.encode(pandas.Series(["baker", "king"]))
    assert column.encode(pandas.Series(["baker", "king"]), unknown="missing").tolist() == [[1, 0], [0, 0]]


NUMBERS = list(range(200))
KINDS = {
    "an id that is counted through": ("row", [str(number + 5) for number in NUMBERS], "ignore"),
    "an id by its name": ("user_id", [str(number * 7) for number in range(12)], "ignore"),
    "an id by its values": ("bus stop", [str(number * 37 % 4001) for number in NUMBERS], "ignore"),
    "ages of a few": ("age", ["31", "29", "45", "77", "18", "64", "22", "91", "54", "33", "11"], "number"),
    "a school": ("schoolId", [str(number % 9 * 100) for number in NUMBERS], "category"),
    "a type": ("type", [str(number % 4) for number in NUMBERS], "category"),
    "a switch": ("flag", ["0", "1", "1", "", "0"], "raw"),
    "real numbers": ("height", [str(number / 7) for number in NUMBERS], "number"),
    "words": ("town", ["Ulm", "Kiel"] * 9, "category"),
    "names": ("name", [f"person {number}" for number in NUMBERS], "ignore"),
    "one value": ("planet", ["earth"] * 9, "ignore"),
    "nothing": ("empty", ["", "NA"] * 9, "ignore"),
}


@pytest.mark.parametrize("case", KINDS)
def test_what_a_column_is_taken_for(case):
    name, values, kind = KINDS[case]
    assert {summary(values, name, pieces).kind()[0] for pieces in (1, 3)} == {kind}


@pytest.mark.parametrize(
    ("values", "kind", "names", "y"),
    [
        ([0, 10**12, 10**12, 5], "classes", ["0", "5", "1000000000000"], [0, 2, 2, 1]),
        (["b", "a", "", "b"], "classes", ["a", "b"], [1, 0, -1, 1]),
        ([-1, 1, 1, -1], "classes", ["-1", "1"], [0, 1, 1, 0]),
        ([-1, 0, 1, 1], "classes", ["0", "1"], [-1, 0, 1, 1]),
        ([1.0, None, 0.0, 1.0], "classes", ["0", "1"], [1, -1, 0, 1]),
        (["10", "9", "10"], "classes", ["9", "10"], [1, 0, 1]),
        ([True, False, True], "classes", ["0", "1"], [1, 0, 1]),
        ([0.5, None, 2.0, 1.0], "numbers", [], [[0.5], [np.nan], [2.0], [1.0]]),
    ],
)
def test_a_target_is_numbered_anew_with_its_names_kept(values, kind, names, y):
    target, found = fit_target(pandas.DataFrame({"y": values}))
    assert (target.kind, list(target.class_names)) == (kind, names)
    assert np.array_equal(found, np.array(y), equal_nan=kind == "numbers")
    assert found.dtype == (np.int64 if kind == "classes" else np.float32)


def test_several_targets_are_tasks_or_numbers():
    table = pandas.DataFrame({"a": ["1", "", "0"], "b": ["0", "1", "1"]})
    target, y = fit_target(table)
    assert (target.kind, target.columns) == ("binary", ("a", "b"))
    assert np.array_equal(y, [[1, 0], [np.nan, 1], [0, 1]], equal_nan=True)
    assert fit_target(table * 1, "numbers")[0].kind == "numbers"
    with pytest.raises(DataError, match="several targets must be numbers"):
        fit_target(table, "classes")
    with pytest.raises(DataError, match="the target 'c' has no value"):
        fit_target(pandas.DataFrame({"c": ["", "NA"]}))


@given(st.lists(st.text(max_size=5), max_size=20))
def test_names_of_nodes_are_a_list_of_texts(names):
    kept = NodeNames.of(names)
    assert list(kept) == names
    assert len(kept) == len(names)
    assert [kept[place - len(names)] for place in range(len(names))] == names
    assert all(names[kept.index(name)] == name for name in names)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(("runs", "at_once"), [(1, 1000), (4, 29)])
def test_what_edges_carry_is_sorted_with_them(tmp_path, both_ways, runs, at_once):
    edges = np.random.default_rng(0).integers(12, size=(2, 200))
    values = np.arange(400, dtype=np.float32).reshape(200, 2)
    paths = [tmp_path / f"{number}.npy" for number in range(runs)]
    for path, part, own in zip(paths, np.array_split(edges, runs, axis=1), np.array_split(values, runs), strict=True):
        write_run(path, *part, both_ways=both_ways, values=own)
    merge_runs(paths, tmp_path, 12, unique=both_ways, at_once=at_once, values=True)
    merged, carried = np.load(tmp_path / "edge_index.npy"), np.load(tmp_path / "edge_values.npy")
    if not both_ways:
        order = np.lexsort((edges[0], edges[1]))
        assert np.array_equal(merged, edges[:, order])
        assert np.array_equal(carried, values[order])
        return
    first: dict[tuple[int, int], list[float]] = {}
    for one, two, value in zip(*edges.tolist(), values.tolist(), strict=True):
        first.setdefault((one, two), value)
        first.setdefault((two, one), value)
    assert {tuple(pair): value for pair, value in zip(merged.T.tolist(), carried.tolist(), strict=True)} == first
    assert merged.shape[1] == len(first)


def test_features_of_the_structure_are_those_of_pyg_and_of_dense_algebra():
    ends = np.random.default_rng(0).integers(30, size=(2, 80))
    dense = np.zeros((30, 30))
    dense[ends[0], ends[1]] = dense[ends[1], ends[0]] = 1
    np.fill_diagonal(dense, 0)
    dense[:, 29] = dense[29] = 0  # an isolated node
    x, names = structure_features(csr_array(dense), ["degree", "one-hot", "random-walk", "laplacian"])
    assert x.shape == (30, len(names)) == (30, 1 + 30 + 16 + 16)
    assert x[:, 0] == pytest.approx(np.log1p(dense.sum(1)))
    assert np.array_equal(x[:, 1:31], np.eye(30))
    edge_index = torch.from_numpy(np.stack(dense.nonzero()))
    walks = AddRandomWalkPE(16)(Data(edge_index=edge_index, num_nodes=30)).random_walk_pe
    assert np.allclose(x[:29, 31:47], walks[:29], atol=1e-5)
    vectors = x[:, 47:].astype(float)
    scale = np.sqrt(np.maximum(dense.sum(1), 1))
    laplacian = np.diag((dense.sum(1) > 0).astype(float)) - dense / scale[:, None] / scale
    values = (vectors * (laplacian @ vectors)).sum(0)
    assert np.allclose(laplacian @ vectors, values * vectors, atol=1e-4)
    assert np.allclose(vectors.T @ vectors, np.eye(16), atol=1e-4)
    assert np.allclose(values, np.linalg.eigvalsh(laplacian)[1:17], atol=1e-4)


HEADINGS = {
    "numbers without names": ("a.csv", "1,2\n3,4\n", ("0", "1"), 2),
    "names over numbers": ("a.csv", "from,to\n3,4\n", ("from", "to"), 1),
    "text without names": ("a.txt", "ann bob\nbob cid\ncid ann\n", ("0", "1"), 3),
    "names over text": ("a.csv", "mother,child\nann,bob\nbob,cid\n", ("mother", "child"), 2),
    "a name that comes again": ("a.csv", "ann,bob\nbob,cid\n", ("0", "1"), 2),
    "numbers of columns as pandas writes them": ("a.csv", "0,1,2\n5,6,7\n", ("0", "1", "2"), 1),
    "an index as pandas writes it": ("a.csv", ",x\n0,5\n1,6\n", ("column 0", "x"), 2),
    "comments": ("a.edges", "% sym\n# more\n1 2\n2 3\n", ("0", "1"), 2),
    "bars": ("a.txt", "id|text\n1|a, b\n2|c\n", ("id", "text"), 2),
    "commas in quotes": ("a.csv", 'id,name\n1,"a, b"\n2,c\n', ("id", "name"), 2),
    "a blank in a name": ("a.tsv", "id\tfull name\n1\tann lee\n", ("id", "full name"), 1),
}


@pytest.mark.parametrize("case", HEADINGS)
def test_delimiter_and_names_are_told_by_the_first_rows(tmp_path, case):
    name, text, columns, rows = HEADINGS[case]
    (tmp_path / name).write_text(text)
    table = open_table(tmp_path / name)
    assert table.columns == columns
    assert len(table.read()) == rows
    assert len(open_table(tmp_path / name, header=not table.header).read()) == rows + (1 if table.header else -1)
