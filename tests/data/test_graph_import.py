"""An import gives what PyG would make of the same edges, whatever file they come in and however often it is stopped."""

from __future__ import annotations

import errno
import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.utils import coalesce, to_undirected

from graphkit.data import DataError, import_graph, open_stored
from graphkit.data.disk import external_sort, graph_import
from graphkit.data.disk.arrays import ArrayWriter

NODES = 60
EDGES = np.random.default_rng(0).integers(NODES, size=(300, 2))
EDGES[:NODES, 0] = np.arange(NODES)
X = np.random.default_rng(1).normal(size=(NODES, 3)).astype(np.float32)
Y = np.arange(NODES) % 4


def csv(path: Path, rows: np.ndarray, separator: str = ",", names: str = "") -> Path:
    text = names + "".join(separator.join(map(str, row)) + "\n" for row in np.asarray(rows).tolist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def written(home: Path, form: str) -> Path:
    """Write the edges in one of the forms."""
    path = home / f"edges.{form}"
    if form == "npy":
        np.save(path, EDGES)
    elif form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        table = pyarrow.table({"source": EDGES[:, 0], "target": EDGES[:, 1]})
        parquet.write_table(table, path, row_group_size=70)
    elif form == "pyg.npy":
        np.save(path, EDGES.T)
    else:
        separator, names = {"csv": (",", ""), "csv.gz": (",", "source,target\n"), "tsv": ("\t", "a\tb\n")}.get(
            form, (" ", "# a comment\n")
        )
        csv(path, EDGES, separator, names)
    return path


def same_edges(kept, expected: torch.Tensor) -> bool:
    order = np.lexsort((expected[0], expected[1]))
    return torch.equal(kept.edge_index.as_tensor().long(), expected[:, order])


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "txt", "txt.gz", "npy", "pyg.npy", "parquet"])
@pytest.mark.parametrize("piece", [37, 10_000])
def test_every_form_in_any_pieces_gives_the_same_graph(tmp_path, form, piece):
    import_graph(written(tmp_path, form), tmp_path / "graph", piece=piece)
    kept = open_stored(tmp_path / "graph", verify=True)
    assert kept.num_nodes == NODES
    assert same_edges(kept, torch.from_numpy(EDGES.T.copy()))
    files = {"edge_index.npy", "pointers.npy", "x.npy", "manifest.json"}
    assert {path.name for path in (tmp_path / "graph").iterdir()} == files
    assert kept.feature_columns == ["out-degree", "in-degree"]


@pytest.mark.parametrize("names", ["", '"source","target"\n'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_numbers_in_quotes_are_numbers_and_no_names(tmp_path, names, mark):
    rows = "".join(f'"{source}","{target}"\n' for source, target in EDGES.tolist())
    (tmp_path / "edges.csv").write_text(mark + names + rows, encoding="utf-8")
    (tmp_path / "y.csv").write_text(mark + "".join(f"{label}\n" for label in Y.tolist()), encoding="utf-8")
    import_graph(tmp_path / "edges.csv", tmp_path / "graph", labels=tmp_path / "y.csv")
    kept = open_stored(tmp_path / "graph")
    assert same_edges(kept, torch.from_numpy(EDGES.T.copy()))
    assert kept.y.tolist() == Y.tolist()


@pytest.mark.parametrize("form", ["csv", "npy", "parquet"])
def test_ids_stored_as_real_numbers_are_ids_where_they_are_whole(tmp_path, form):
    path = tmp_path / f"edges.{form}"
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.table({"source": EDGES[:, 0], "target": EDGES[:, 1].astype(float)}), path)
    elif form == "npy":
        np.save(path, EDGES.astype(np.float32))
    else:
        path.write_text("".join(f"{source:e},{target}\n" for source, target in EDGES.tolist()))
    import_graph(path, tmp_path / "graph")
    assert same_edges(open_stored(tmp_path / "graph"), torch.from_numpy(EDGES.T.copy()))


def test_ids_that_single_precision_may_have_merged_are_refused(tmp_path):
    np.save(tmp_path / "edges.npy", np.array([[0, 2**24]], dtype=np.float32))
    with pytest.raises(DataError, match="row 1 must hold integers below 16,777,216, beyond which float32 skips some"):
        import_graph(tmp_path / "edges.npy", tmp_path / "graph", nodes=2**24 + 1)


def test_undirected_is_what_pyg_makes_of_it(tmp_path):
    halves = [csv(tmp_path / f"{number}.csv", half) for number, half in enumerate(np.array_split(EDGES, 2))]
    made = import_graph(halves, tmp_path / "graph", undirected=True, piece=100)
    expected = coalesce(to_undirected(torch.from_numpy(EDGES.T.copy())))
    assert same_edges(open_stored(tmp_path / "graph"), expected)
    assert (made.edges, made.undirected) == (expected.size(1), True)


def test_features_labels_and_a_split_come_with_it(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "split.npz", train=np.arange(20), val=np.arange(20, 40), test=np.arange(40, 60))
    given = {
        "features": tmp_path / "x.npy",
        "labels": csv(tmp_path / "y.csv", Y[:, None]),
        "split": tmp_path / "split.npz",
    }
    import_graph(written(tmp_path, "csv"), tmp_path / "graph", name="mine", **given)
    kept = open_stored(tmp_path / "graph")
    assert torch.equal(kept.x, torch.from_numpy(X))
    assert kept.y.tolist() == Y.tolist()
    assert [int(kept[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [20, 20, 20]
    assert (kept.store.name, kept.store.features, kept.store.classes) == ("mine", 3, 4)


def test_a_split_may_be_a_folder_as_ogb_has_it(tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    for part, begin in (("train", 0), ("valid", 20), ("test", 40)):
        csv(folder / f"{part}.csv.gz", np.arange(begin, begin + 20)[:, None])
    import_graph(written(tmp_path, "npy"), tmp_path / "graph", split=folder)
    assert open_stored(tmp_path / "graph").val_mask.nonzero().flatten().tolist() == list(range(20, 40))


def test_relabelled_nodes_keep_what_they_were_called(tmp_path):
    called = np.sort(np.random.default_rng(2).integers(-(2**62), 2**62, size=NODES))
    np.save(tmp_path / "edges.npy", called[EDGES])
    import_graph(tmp_path / "edges.npy", tmp_path / "graph", relabel=True, piece=50)
    kept = open_stored(tmp_path / "graph")
    assert kept.original_id.tolist() == called.tolist()
    assert same_edges(kept, torch.from_numpy(EDGES.T.copy()))


def test_nodes_without_edges_are_there_where_their_number_is_said(tmp_path):
    path = csv(tmp_path / "edges.csv", [[0, 4], [4, 2]])
    import_graph(path, tmp_path / "graph", nodes=9)
    assert open_stored(tmp_path / "graph").num_nodes == 9


class TestResumption:
    @pytest.fixture
    def options(self, tmp_path):
        np.save(tmp_path / "x.npy", X)
        return {"features": tmp_path / "x.npy", "undirected": True, "piece": 40}

    @pytest.mark.parametrize("files", range(0, 20, 3))
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
    def test_an_import_that_stopped_anywhere_goes_on_to_the_same_bytes(
        self, tmp_path, options, files, error, monkeypatch
    ):
        path = written(tmp_path, "csv.gz")
        whole = import_graph(path, tmp_path / "whole", **options)
        left, append = [files], ArrayWriter.append

        def stopped(self, rows):
            left[0] -= 1
            if left[0] < 0:
                raise error
            append(self, rows)

        with monkeypatch.context() as patch:
            patch.setattr(ArrayWriter, "append", stopped)
            told = "cannot be written: No space left on device.* goes on from there"
            with pytest.raises(DataError, match=told) if isinstance(error, OSError) else pytest.raises(error):
                import_graph(path, tmp_path / "again", **options)
        assert not (tmp_path / "again").exists()
        with pytest.raises(DataError, match="holds no manifest"):
            open_stored(tmp_path / ".again.partial")
        again = import_graph(path, tmp_path / "again", **options)
        assert again.fingerprint == whole.fingerprint
        assert not (tmp_path / ".again.partial").exists()

    def test_what_was_read_is_not_read_again(self, tmp_path, options, monkeypatch):
        path = written(tmp_path, "csv")
        merge = external_sort.merge_runs
        monkeypatch.setattr(external_sort, "merge_runs", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_graph(path, tmp_path / "graph", **options)
        monkeypatch.setattr(external_sort, "merge_runs", merge)
        monkeypatch.setattr(graph_import.tables, "read_chunks", lambda *_, **__: pytest.fail("it was read again"))
        assert import_graph(path, tmp_path / "graph", **options).nodes == NODES

    def test_a_killed_process_leaves_nothing_that_is_taken_for_a_graph(self, tmp_path, options):
        path = written(tmp_path, "csv")
        script = (
            "import os, sys; from graphkit.data import import_graph; from graphkit.data.disk import external_sort; "
            "external_sort.merge_runs = lambda *_, **__: os._exit(9); "
            "import_graph(sys.argv[1], sys.argv[2], features=sys.argv[3], undirected=True, piece=40)"
        )
        arguments = [str(path), str(tmp_path / "graph"), str(tmp_path / "x.npy")]
        assert subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode == 9
        assert not (tmp_path / "graph").exists()
        found = import_graph(path, tmp_path / "graph", **options)
        assert found.fingerprint == import_graph(path, tmp_path / "other", **options).fingerprint

    @pytest.mark.parametrize("left", ["job.json", "manifest.json"])
    def test_one_killed_before_it_began_or_at_its_end_begins_anew(self, tmp_path, options, left):
        path = written(tmp_path, "csv")
        partial = tmp_path / ".graph.partial"
        (partial / "edges-0000").mkdir(parents=True)
        np.save(partial / "x.npy", X + 1)
        if left == "manifest.json":
            for name in ("job.json", left):
                (partial / name).write_text("{")
        made = import_graph(path, tmp_path / "graph", **options)
        assert made.fingerprint == import_graph(path, tmp_path / "other", **options).fingerprint
        assert torch.equal(open_stored(made.folder).x, torch.from_numpy(X))

    def test_another_job_in_the_same_place_is_told(self, tmp_path, options, monkeypatch):
        path = written(tmp_path, "csv")
        with monkeypatch.context() as patch:
            patch.setattr(external_sort, "merge_runs", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                import_graph(path, tmp_path / "graph", **options)
        with pytest.raises(DataError, match="an unfinished import of other files, or with other options"):
            import_graph(path, tmp_path / "graph", undirected=False)
        assert (tmp_path / ".graph.partial").is_dir()

    def test_two_at_once_are_told(self, tmp_path, options, monkeypatch):
        path = written(tmp_path, "csv")
        again = []

        def meanwhile(*_, **__):
            with pytest.raises(DataError, match="another process is importing") as told:
                import_graph(path, tmp_path / "graph", **options)
            again.append(told)
            raise KeyboardInterrupt

        monkeypatch.setattr(external_sort, "merge_runs", meanwhile)
        with pytest.raises(KeyboardInterrupt):
            import_graph(path, tmp_path / "graph", **options)
        assert len(again) == 1


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0,1\n1,x\n", "row 2 must hold numbers, got 'x'"),
            ("0,1\n1,2.5\n", r"row 2 must hold integers, got 2\.5"),
            ("0,1\n1\n", "row 2 must hold integers, got nothing"),
            ("0,1\n1,99999999999999999999\n", "row 2|64 bits"),
            ("0,1\n1,1e16\n", r"row 2 must hold integers below 9,007,199,254,740,992, .* \(store them as int64\)"),
            ("0,1\n1,inf\n", "row 2 must hold integers below .*, got inf"),
            ("0\n1\n", "must have two columns"),
            ("0,1\n1,2,3,4\n", r"is no table: Expected 2 fields in line 2, saw 4\.$"),
            ("", "the lists hold no edge"),
            ("source,target\n", "the lists hold no edge"),
        ],
    )
    def test_an_edge_list_that_is_none(self, tmp_path, text, message):
        path = tmp_path / "edges.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            import_graph(path, tmp_path / "graph")
        assert [each.name for each in tmp_path.iterdir()] == ["edges.csv"], "nothing stays of a mistake"

    @pytest.mark.parametrize("form", ["csv.gz", "npy", "parquet"])
    def test_a_file_that_is_cut_short_missing_or_of_another_form(self, tmp_path, form):
        path = written(tmp_path, form)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=r"edges\..* (is cut short|is no whole)"):
            import_graph(path, tmp_path / "graph")
        with pytest.raises(DataError, match="is missing"):
            import_graph(tmp_path / "other.csv", tmp_path / "graph")
        shutil.copy(path, tmp_path / "edges.bin")
        with pytest.raises(DataError, match=r"a table ends in \.csv"):
            import_graph(tmp_path / "edges.bin", tmp_path / "graph")
        assert not (tmp_path / "graph").exists()

    def test_a_pickle(self, tmp_path):
        np.save(tmp_path / "edges.npy", np.array([[{}, {}]]), allow_pickle=True)
        with pytest.raises(DataError, match="no whole array"):
            import_graph(tmp_path / "edges.npy", tmp_path / "graph")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"features": X[:-1]}, r"name node 59, but there are 59 nodes \(0 to 58\), one for each row of `features`"),
            ({"labels": Y[:-1]}, r"name node 59, but there are 59 nodes \(0 to 58\), one for each row of `labels`"),
            ({"features": X, "labels": Y[:-1]}, "the numbers of nodes differ: features 60, labels 59"),
            ({"features": X, "nodes": 61}, "the numbers of nodes differ: features 60, `nodes` 61"),
            ({"features": np.where(np.arange(60)[:, None] == 7, np.nan, X)}, "row 8 must hold finite numbers"),
            (
                {"features": np.where(np.arange(60)[:, None] == 3, 1e300, X.astype(float))},
                "row 4 must hold finite numbers of float32",
            ),
            ({"labels": Y - 2}, "row 1 must hold a class from 0, or -1 for none, got -2"),
            ({"labels": np.full(60, np.nan)}, "the target '0' has no value"),
            ({"features": np.empty((0, 3))}, "has no row"),
            ({"nodes": 60, "edges": EDGES - 1}, "must hold node ids from 0 upwards, got -1; `relabel`"),
            ({"nodes": 60, "edges": EDGES + 2**31}, "must hold node ids to 2,147,483,647, got"),
            ({"nodes": 5}, r"the edges name node 59, but there are 5 nodes \(0 to 4\), as many as `nodes` says"),
            ({"nodes": 61, "relabel": True}, "60 different ids .*, but there are 61 nodes, as many as `nodes` says"),
        ],
    )
    def test_numbers_that_do_not_fit(self, tmp_path, given, message):
        given = dict(given)
        for of in ("features", "labels"):
            if of in given:
                np.save(tmp_path / f"{of}.npy", given[of])
                given = {**given, of: tmp_path / f"{of}.npy"}
        np.save(tmp_path / "edges.npy", given.pop("edges", EDGES))
        with pytest.raises(DataError, match=message):
            import_graph(tmp_path / "edges.npy", tmp_path / "graph", **given)
        assert not list(tmp_path.glob(".graph*"))

    @pytest.mark.parametrize(
        ("split", "message"),
        [
            ({"train": [0], "val": [1]}, "has no 'test'"),
            ({"train": [0], "val": [1], "test": [60]}, "from 0 to 59, got 60"),
            ({"train": [0], "val": [0], "test": [1]}, "node 0 is in two parts"),
            (None, "a split is a .npz file, or a folder"),
        ],
    )
    def test_a_split_that_is_none(self, tmp_path, split, message):
        path = tmp_path / ("split.npz" if split else "split.csv")
        np.savez(path, **split) if split else path.write_text("0\n")
        with pytest.raises(DataError, match=message):
            import_graph(written(tmp_path, "npy"), tmp_path / "graph", split=path)

    def test_no_list_and_a_target_that_is_there(self, tmp_path):
        with pytest.raises(ValueError, match="at least one file"):
            import_graph([], tmp_path / "graph")
        with pytest.raises(ValueError, match="exists already"):
            import_graph(written(tmp_path, "npy"), tmp_path)

    def test_parquet_without_pyarrow_names_the_extra(self, tmp_path, monkeypatch):
        path = written(tmp_path, "parquet")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(DataError, match=r"graphkit\[parquet\]"):
            import_graph(path, tmp_path / "graph")
