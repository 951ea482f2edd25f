"""Loading against PyG's own classes, and the embedded sets against a slow construction."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from graphkit.data import Split, load, load_splits
from graphkit.data.catalog.sources.generated import NEIGHBOURS
from graphkit.data.splits import FileMasks


@pytest.fixture
def pyg(mirror, tmp_path):
    """Return a function that lets PyG's own class load a copied root from start to end."""
    import torch_geometric.datasets

    def pyg(dataset: str, folder: str, *arguments: str):
        shutil.copytree(mirror / folder, tmp_path / folder, copy_function=shutil.copyfile)
        for path in (tmp_path / folder, *(tmp_path / folder).rglob("*")):
            path.chmod(0o755)
        return getattr(torch_geometric.datasets, dataset)(str(tmp_path / folder), *arguments)[0]

    return pyg


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cora", ("Planetoid", "planetoid", "Cora")),
        ("citeseer", ("Planetoid", "planetoid", "CiteSeer")),
        ("texas", ("WebKB", "webkb", "texas")),
        ("actor", ("Actor", "actor")),
        ("minesweeper", ("HeterophilousGraphDataset", "heterophilous", "Minesweeper")),
        ("citation-full-dblp", ("CitationFull", "citation_full", "DBLP")),
        ("facebook100-amherst41", ("LINKXDataset", "linkx", "amherst41")),
    ],
)
def test_a_data_set_is_what_pyg_loads(pyg, name, source):
    ours, theirs = load(name), pyg(*source)
    for field in ("x", "edge_index", "y"):
        assert torch.equal(ours[field], theirs[field])
        assert ours[field].dtype == theirs[field].dtype or name.startswith("facebook100")  # PyG's `x` are integers
    for mask in ("train_mask", "val_mask", "test_mask"):
        if mask in theirs:
            first = theirs[mask] if theirs[mask].dim() == 1 else theirs[mask][:, 0]
            assert torch.equal(ours[mask], first)


def test_the_ten_splits_of_cora_are_those_pyg_loads(pyg):
    theirs = pyg("Planetoid", "planetoid", "Cora", "geom-gcn")
    for index in range(10):
        ours = load("cora", split=FileMasks(index))
        for mask in ("train_mask", "val_mask", "test_mask"):
            assert torch.equal(ours[mask], theirs[mask][:, index])


@pytest.mark.parametrize("name", ["chameleon", "squirrel"])
def test_the_filtered_graphs_are_what_the_file_holds(mirror, name):
    data = load(name, split="files:7")
    with np.load(mirror / "heterophilous_filtered" / f"{name}_filtered.npz") as file:
        dense = np.zeros((data.num_nodes, data.num_nodes))
        for a, b in file["edges"]:
            dense[a, b] = dense[b, a] = 1
        found = np.zeros_like(dense)
        np.add.at(found, tuple(data.edge_index.numpy()), 1)
        assert (found == dense).all()
        assert (data.x.numpy() == file["node_features"]).all()
        assert (data.y.numpy() == file["node_labels"]).all()
        assert (data.val_mask.numpy() == file["val_masks"][7]).all()


def test_digits_joins_each_digit_to_its_nearest():
    from sklearn.datasets import load_digits

    data, digits = load("digits"), load_digits()
    pixels = digits.data.astype(int)
    assert torch.equal(data.x, torch.from_numpy(pixels / 16).float())
    assert data.y.tolist() == digits.target.tolist()
    joined = set(map(tuple, data.edge_index.t().tolist()))
    assert data.num_edges == len(joined), "no edge stands twice"
    arcs = set()
    for a in range(len(pixels)):
        distance = ((pixels - pixels[a]) ** 2).sum(1).tolist()
        order = sorted((far, b) for b, far in enumerate(distance) if b != a)
        arcs |= {(a, b) for _, b in order[:NEIGHBOURS]}
    assert joined == arcs | {(b, a) for a, b in arcs}


def test_karate_keeps_the_four_labels_pyg_has():
    from torch_geometric.datasets import KarateClub

    data, theirs = load("karate", split="public"), KarateClub()[0]
    assert torch.equal(data.edge_index, theirs.edge_index)
    assert torch.equal(data.train_mask, theirs.train_mask)
    assert not data.val_mask.any()
    assert torch.equal(data.test_mask, ~theirs.train_mask)


def test_one_seed_is_one_split_and_another_is_another():
    one, same, other = (load("digits", seed=seed) for seed in (0, 0, 1))
    assert one.protocol == same.protocol
    assert one.protocol["fingerprint"] != other.protocol["fingerprint"]
    assert other.protocol["parameters"]["seed"] == 1


def test_a_finished_split_is_taken_as_it_is():
    train, val = torch.arange(34) < 4, torch.arange(34) >= 30
    data = load("karate", split=Split(train, val, ~(train | val)))
    assert torch.equal(data.train_mask, train)
    assert data.protocol["split"] == "own"


def test_impossible_splits_say_so():
    with pytest.raises(ValueError, match="no files of masks; its card lists public"):
        load("karate", split="files")
    with pytest.raises(ValueError, match="no public split; its card lists"):
        load("digits", split="public")
    with pytest.raises(ValueError, match="Did you mean 'dense'"):
        load("digits", split="dens")
    with pytest.raises(ValueError, match="does not fit the 34 labels"):
        load("karate", split=Split(*torch.zeros(3, 5, dtype=torch.bool)))


def test_loading_changes_nothing_global():
    state = torch.get_rng_state()
    load("digits", seed=3)
    load("digits", split="dense")
    assert torch.equal(state, torch.get_rng_state())


def test_a_split_for_each_seed_is_the_one_that_seed_draws_alone():
    data, splits = load_splits("karate", split="stratified", seeds=[4, 1])
    alone = [load("karate", split="stratified", seed=seed).protocol["fingerprint"] for seed in (4, 1)]
    assert [split.fingerprint for split in splits] == alone
    assert data.protocol["fingerprint"] == alone[0]


def test_the_folds_of_all_seeds_test_every_node_once():
    _, splits = load_splits("karate", split="folds:5", seeds=range(5))
    assert torch.stack([split.test for split in splits]).sum(0).eq(1).all()
    assert splits[3].fingerprint == load("karate", split="folds:5,3").protocol["fingerprint"]
    with pytest.raises(ValueError, match="`fold` must lie in 0 to 4, got 5"):
        load_splits("karate", split="folds:5", seeds=range(6))


def test_a_fixed_split_is_not_drawn_for_each_seed():
    with pytest.raises(ValueError, match="'public' is one and fixed"):
        load_splits("digits", split="public", seeds=[0])


@pytest.mark.parametrize("split", [3, 0.5, ["dense"], FileMasks])
def test_what_is_no_split_is_refused_by_name(split):
    with pytest.raises(TypeError, match="`split` must be a protocol, its text form such as"):
        load("karate", split=split)


@pytest.mark.parametrize("name", [3, None, ["cora"]])
def test_what_is_no_name_is_refused_by_name(name):
    with pytest.raises(TypeError, match="`name` must be the name of a data set, such as 'cora', got"):
        load(name)
