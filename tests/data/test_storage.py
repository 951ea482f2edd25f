"""A stored graph is the one that was stored, drawn from and trained on alike; a part is never taken for it."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit.data import DataError, NeighborLoader, StoredGraph, load, open_stored, store, validate, verify
from graphkit.data.disk import arrays, checked_files
from graphkit.data.disk.arrays import ArrayWriter
from graphkit.data.disk.storage import read_manifest
from graphkit.training import train
from graphkit.training.zoo.recipes import recipe


@pytest.fixture
def digits(tmp_path) -> tuple[Data, Data]:
    data = load("digits")
    store(data, tmp_path / "digits")
    return data, open_stored(tmp_path / "digits")


def test_what_is_stored_is_what_was_given(digits):
    data, kept = digits
    validate(kept)
    order = np.lexsort((data.edge_index[0], data.edge_index[1]))
    assert torch.equal(kept.edge_index.as_tensor().long(), data.edge_index[:, order])
    for field in ("x", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(kept[field], data[field])
        assert kept[field].dtype == data[field].dtype
    about = kept.store
    assert isinstance(about, StoredGraph)
    assert (about.name, about.nodes, about.edges, about.features, about.classes, about.undirected) == (
        "digits", 1797, data.num_edges, 64, 10, True,
    )  # fmt: skip
    about.verify()


def test_features_and_edges_stay_on_the_disk(digits, tmp_path):
    _, kept = digits
    for name, tensor in (("x", kept.x), ("edge_index", kept.edge_index._data)):
        with (tmp_path / f"digits/{name}.npy").open("r+b") as file:
            file.seek(arrays.HEADER)
            file.write(bytes(tensor.element_size()))
        assert tensor.flatten()[0] == 0, "what is in the file is what the tensor says"
    assert isinstance(kept.edge_index, EdgeIndex)


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"disjoint": True}, {"subgraph_type": "induced"}])
def test_batches_drawn_from_the_disk_are_those_drawn_from_memory(digits, options):
    loaders = [
        NeighborLoader(data, [5, 3], input_nodes=data.train_mask, sampler=options, loader={"batch_size": 32})
        for data in digits
    ]
    for ours, theirs in zip(*loaders, strict=True):
        assert all(torch.equal(ours[field], theirs[field]) for field in ("x", "y", "n_id", "edge_index"))


@pytest.mark.parametrize("model", ["sage", "gcn", "gat"])
@pytest.mark.parametrize("sampled", [False, True])
def test_training_from_the_disk_gives_the_figures_of_training_from_memory(digits, model, sampled):
    fields = {"fan_out": "5,5", "batch": 512} if sampled else {"sparse_below": 0.0}
    chosen = recipe(model, {"epochs": 2, "row_normalise": False, **fields})
    ours, theirs = (train(data, chosen).record for data in digits)
    assert ours.metric.values == pytest.approx(theirs.metric.values, abs=1e-6)
    assert theirs.dataset.sha256 == digits[1].store.fingerprint


def test_a_graph_without_features_labels_or_edges_is_kept_too(tmp_path):
    store(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=3), tmp_path / "bare", name="bare")
    kept = open_stored(tmp_path / "bare", verify=True)
    assert (kept.num_nodes, kept.num_edges, kept.store.features, kept.store.classes) == (3, 0, 0, 0)
    directed = Data(edge_index=torch.tensor([[0, 1, 0], [1, 2, 2]]), num_nodes=3)
    assert not store(directed, tmp_path / "directed").undirected


def test_no_pickle_is_opened(digits, tmp_path):
    with (tmp_path / "digits/x.npy").open("wb") as file:
        np.save(file, np.array([{}] * 3), allow_pickle=True)
    path = tmp_path / "digits/manifest.json"
    about = json.loads(path.read_text())
    about["files"]["x.npy"]["bytes"] = (tmp_path / "digits/x.npy").stat().st_size
    path.write_text(json.dumps(about))
    with pytest.raises(DataError, match="cannot be read"):
        open_stored(tmp_path / "digits")


class TestWhatIsRefused:
    def test_a_folder_that_is_there(self, digits, tmp_path):
        with pytest.raises(ValueError, match="exists already"):
            store(digits[0], tmp_path / "digits")

    def test_features_that_are_not_finite(self, tmp_path):
        edges = torch.tensor([[0], [1]])
        with pytest.raises(ValueError, match="must be finite"):
            store(Data(edge_index=edges, x=torch.tensor([[1.0], [torch.nan]])), tmp_path / "a")
        assert not list(tmp_path.iterdir())

    def test_a_folder_without_a_manifest(self, tmp_path):
        with pytest.raises(DataError, match="holds no manifest"):
            open_stored(tmp_path)

    @pytest.mark.parametrize("damage", ["cut", "gone", "manifest", "format"])
    def test_a_store_with_a_file_cut_short_missing_or_unreadable(self, digits, tmp_path, damage):
        path, manifest = tmp_path / "digits/x.npy", tmp_path / "digits/manifest.json"
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        elif damage == "gone":
            path.unlink()
        elif damage == "manifest":
            manifest.write_text(manifest.read_text()[:-9])
        else:
            manifest.write_text(checked_files.sealed_json({**checked_files.read_sealed_json(manifest), "format": 2}))
        told = {"cut": "bytes instead of", "gone": "is missing", "manifest": "cannot be read", "format": "of format 2"}
        with pytest.raises(DataError, match=told[damage]):
            read_manifest(tmp_path / "digits")

    @pytest.mark.parametrize("wrong", [2**31 - 1, -1, 1797])
    def test_an_edge_whose_node_is_not_there(self, digits, tmp_path, wrong):
        """One changed number: files are as long as they were, and a batch read foreign memory."""
        path = tmp_path / "digits/edge_index.npy"
        edges = np.load(path)
        edges[0, 7] = wrong
        np.save(path, edges)
        kept = open_stored(tmp_path / "digits", verify=False)
        for options in ({}, {"replace": True}, {"disjoint": True}, {"subgraph_type": "bidirectional"}):
            with pytest.raises(ValueError, match=f"from node {wrong}, but nodes go from 0 to 1796; a stored graph is"):
                list(NeighborLoader(kept, [-1, -1], sampler=options, loader={"batch_size": 600}))
        with pytest.raises(DataError, match="is not what was written"):
            open_stored(tmp_path / "digits")

    def test_pointers_that_lead_elsewhere(self, digits, tmp_path):
        path = tmp_path / "digits/pointers.npy"
        pointers = np.load(path)
        pointers[9] = 2**31 - 1
        np.save(path, pointers)
        with pytest.raises(ValueError, match="`indptr` must rise from 0"):
            NeighborLoader(open_stored(tmp_path / "digits", verify=False), [2])

    @pytest.mark.parametrize("name", ["edge_index", "pointers", "x", "y", "train_mask"])
    def test_arrays_of_another_shape(self, digits, tmp_path, name):
        path = tmp_path / f"digits/{name}.npy"
        array = np.load(path)
        turned = array.T if array.ndim == 2 else array.reshape(1, -1)
        np.save(path, np.ascontiguousarray(turned))
        with pytest.raises(DataError, match=r"cannot be read: .*"):
            open_stored(tmp_path / "digits", verify=False)

    @pytest.mark.parametrize("name", ["x", "y", "train_mask", "edge_index", "pointers"])
    def test_a_changed_bit_unless_checksums_are_left_out(self, digits, tmp_path, name):
        path = tmp_path / f"digits/{name}.npy"
        whole = bytearray(path.read_bytes())
        whole[-1 if name in ("x", "train_mask") else -8] ^= 1
        path.write_bytes(whole)
        open_stored(tmp_path / "digits", verify=False)
        for asked in (open_stored, load, verify):
            with pytest.raises(DataError, match=rf"{name}\.npy is not what was written \(its sha256 differs\)"):
                asked(tmp_path / "digits")

    def test_labels_and_masks_that_do_not_fit_the_nodes(self, tmp_path):
        data = load("karate")
        for field, wrong, said in (
            ("y", data.y[:33], "`y` must have one label per node"),
            ("y", data.y[:, None], "`y` must have shape"),
            ("y", data.y / 0, "`y` must be finite"),
            ("train_mask", data.train_mask[:5], "`train_mask` must be boolean of length 34"),
            ("test_mask", data.test_mask[:, None], "`test_mask` must have shape"),
            ("val_mask", data.train_mask, "must be disjoint"),
            ("original_id", torch.arange(3), "`original_id` must have shape"),
        ):
            changed = data.clone()
            changed[field] = wrong
            with pytest.raises((ValueError, TypeError), match=said):
                store(changed, tmp_path / "a")
        assert not list(tmp_path.iterdir())


class TestArrayWriter:
    def test_numpy_reads_it(self, tmp_path):
        with ArrayWriter(tmp_path / "a.npy", np.int32, (2,)) as file:
            file.append(np.array([[1, 2]]))
            file.append(np.array([[3, 4], [5, 6]]))
        assert np.load(tmp_path / "a.npy").tolist() == [[1, 2], [3, 4], [5, 6]]

    def test_a_disk_that_is_full_leaves_nothing(self, tmp_path, monkeypatch):
        with pytest.raises(OSError, match="No space"), ArrayWriter(tmp_path / "a.npy", np.int32) as file:
            raise OSError(errno.ENOSPC, "No space left on device")
        assert not list(tmp_path.iterdir())
        with pytest.raises(ValueError, match="rows of shape"), ArrayWriter(tmp_path / "a.npy", np.int32) as file:
            file.append(np.ones((2, 2)))
        assert not list(tmp_path.iterdir())

    def test_a_store_on_a_full_disk_is_not_there(self, tmp_path, monkeypatch):
        def full(self, rows):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(ArrayWriter, "append", full)
        with pytest.raises(DataError, match="cannot be written: No space left"):
            store(load("karate"), tmp_path / "karate")
        assert not list(tmp_path.iterdir())
