"""OGB's raw files: read as OGB reads them, kept in our own cache, never asked about."""

from __future__ import annotations

import builtins
import gzip
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphkit.data import DataError, fetch, load, ogb_metric, verify
from graphkit.data.catalog import cards
from tests import raw_arxiv
from tests.raw_arxiv import CLASSES, NODES

SETS = {"molbace": (1210, 151, 152), "molesol": (902, 113, 113), "molfreesolv": (513, 64, 65)}
UNSEEN = {"bbbp": 1, "clintox": 2, "lipo": 1, "muv": 17, "pcba": 128, "sider": 27, "tox21": 12, "toxcast": 617}
"""Tasks of the sets whose files nobody here has had."""

SPLIT = ("train", "valid", "test")


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_what_ogb_reads(mirror, name, capsys):
    from ogb.io.read_graph_raw import read_csv_graph_raw

    folder = mirror / f"ogb/ogbg_{name}"
    theirs = read_csv_graph_raw(str(folder / "raw"), add_inverse_edge=True)
    labels = np.loadtxt(folder / "raw/graph-label.csv.gz", ndmin=2)
    ours = load(f"ogbg-{name}")
    assert len(ours) == len(theirs)
    for one, two, label in zip(ours, theirs, labels, strict=True):
        assert torch.equal(one.x, torch.from_numpy(two["node_feat"]))
        assert torch.equal(one.edge_index, torch.from_numpy(two["edge_index"]))
        assert torch.equal(one.edge_attr, torch.from_numpy(two["edge_feat"]))
        assert one.y.shape == (1, 1)
        assert one.y.item() == np.float32(label)
    assert one.y.dtype == (torch.int64 if name == "molbace" else torch.float32)


@pytest.mark.parametrize("name", [*SETS, "molhiv"])
def test_the_split_is_ogbs_scaffold_split(mirror, name):
    graphs = load(f"ogbg-{name}")
    assert graphs.protocol["split"] == "public"
    for part, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        file = mirror / f"ogb/ogbg_{name}/split/scaffold/{theirs}.csv.gz"
        index = np.loadtxt(file, dtype=int)
        assert graphs.split.masks[f"{part}_mask"].nonzero().flatten().tolist() == sorted(index)


def test_molhiv_is_batched_as_pyg_batches_it(mirror):
    graphs = load("ogbg-molhiv").part("test")
    batch = next(iter(DataLoader(graphs, batch_size=64)))
    ours = graphs.batch(range(64))
    for field in ("x", "edge_index", "edge_attr", "y", "batch", "ptr"):
        assert torch.equal(ours[field], batch[field])


def put(root: Path, home: Path, name: str = "arxiv") -> Path:
    return Path(shutil.copytree(root, home / f"ogb/ogbn_{name}"))


def test_arxivs_own_format_is_read_as_ogb_reads_it(arxiv, data_home, capsys):
    from ogb.io.read_graph_raw import read_csv_graph_raw

    put(arxiv, data_home)
    data = load("ogbn-arxiv")
    (theirs,) = read_csv_graph_raw(str(arxiv / "raw"), additional_node_files=["node_year"])
    assert torch.equal(data.x, torch.from_numpy(theirs["node_feat"]))
    assert torch.equal(data.edge_index, torch.from_numpy(theirs["edge_index"]))
    assert torch.equal(data.node_year, torch.from_numpy(theirs["node_year"])[:, 0])
    assert data.y.tolist() == [node % CLASSES for node in range(NODES)]
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [60, 30, 30]
    assert data.protocol["split"] == "public"
    assert len(verify("ogbn-arxiv").others) == 9
    again = load("ogbn-arxiv")
    assert all(torch.equal(again[field], data[field]) for field in ("x", "edge_index", "y", "node_year", "train_mask"))


def test_each_edge_of_products_stands_for_both_directions(arxiv, data_home, capsys):
    from ogb.io.read_graph_raw import read_csv_graph_raw

    folder = put(arxiv, data_home, "products")
    shutil.move(folder / "split/time", folder / "split/sales_ranking")
    (theirs,) = read_csv_graph_raw(str(arxiv / "raw"), add_inverse_edge=True)
    assert torch.equal(load("ogbn-products").edge_index, torch.from_numpy(theirs["edge_index"]))


def test_it_is_downloaded_without_a_question_and_unpacked(arxiv, data_home, tmp_path, monkeypatch):
    import torch_geometric.data

    asked = []

    def download(url: str, folder: str) -> str:
        asked.append(url)
        path = Path(folder) / url.rpartition("/")[2]
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(arxiv.rglob("*.gz")):
                archive.write(file, Path("arxiv") / file.relative_to(arxiv))
        return str(path)

    monkeypatch.setattr(torch_geometric.data, "download_url", download)
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a script was asked"))
    assert fetch("ogbn-arxiv") == data_home
    assert asked == ["http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"]
    assert load("ogbn-arxiv").num_nodes == NODES
    assert {path.name for path in data_home.iterdir()} == {"ogb", "cache", "seals"}
    assert not list(data_home.rglob("*.zip"))


@pytest.mark.parametrize(
    "name", ["raw/edge", "raw/node-feat", "raw/node-label", *(f"split/time/{part}" for part in SPLIT)]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "no table", "too few lines"])
def test_a_missing_or_broken_file_of_ogb_is_told(arxiv, data_home, name, damage):
    path = put(arxiv, data_home) / f"{name}.csv.gz"
    whole = path.read_bytes()
    rows = gzip.decompress(whole).splitlines(keepends=True)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "no table":
        path.write_bytes(gzip.compress(b"a,b\nc\n"))
    else:
        path.write_bytes(gzip.compress(b"".join(rows[: len(rows) // 2])))
    with pytest.raises(DataError, match=path.name if damage == "missing" else "ogbn-arxiv"):
        load("ogbn-arxiv")
    assert not list(data_home.glob("cache/*"))


@pytest.fixture(params=UNSEEN)
def molecules(request, tmp_path, data_home, monkeypatch) -> tuple[str, Path]:
    """Return name and raw files of a made-up set of molecules in exactly the format of a real one."""
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    name, tasks, random = request.param, UNSEEN[request.param], np.random.default_rng(0)
    nodes = random.integers(2, 6, size=60)
    y = random.integers(2, size=(60, tasks)).astype(object) if name != "lipo" else random.normal(size=(60, 1)).round(3)
    if name in ("muv", "pcba", "tox21", "toxcast"):
        y[random.random(y.shape) < 0.2] = ""
    files = {
        "raw/num-node-list": nodes[:, None],
        "raw/num-edge-list": nodes[:, None] - 1,
        "raw/edge": np.concatenate([np.stack([np.arange(many - 1), np.arange(1, many)], axis=1) for many in nodes]),
        "raw/node-feat": random.integers(2, size=(nodes.sum(), 9)),
        "raw/edge-feat": random.integers(2, size=((nodes - 1).sum(), 3)),
        "raw/graph-label": y,
    }
    files |= {f"split/scaffold/{part}": np.arange(60)[number::3][:, None] for number, part in enumerate(SPLIT)}
    root = data_home / f"ogb/ogbg_mol{name}"
    raw_arxiv.tables(root, files)
    folder = Path(shutil.copytree(cards.folder(), tmp_path / "cards"))
    card = folder / f"ogbg-mol{name}/card.toml"
    card.write_text(card.read_text().replace("graphs = 437929", "graphs = 60"))
    monkeypatch.setattr(cards, "folder", lambda: folder)
    return name, root


def test_sets_of_molecules_of_any_tasks_are_what_ogb_reads_and_are_trained_on(molecules, capsys):
    from ogb.io.read_graph_raw import read_csv_graph_raw

    from graphkit.training import recipe, train

    name, root = molecules
    theirs = read_csv_graph_raw(str(root / "raw"), add_inverse_edge=True)
    ours = load(f"ogbg-mol{name}")
    assert all(
        torch.equal(one.edge_index, torch.from_numpy(two["edge_index"])) for one, two in zip(ours, theirs, strict=True)
    )
    labels = np.genfromtxt(root / "raw/graph-label.csv.gz", delimiter=",").reshape(60, -1)
    torch.testing.assert_close(ours._data.y.double(), torch.from_numpy(labels), rtol=1e-6, atol=0, equal_nan=True)
    record = train(ours, recipe("gin", {"epochs": 1, "hidden": 4}, items="graphs"), device="cpu").record
    metric = {"lipo": "rmse", "muv": "ap", "pcba": "ap"}.get(name, "roc_auc")
    assert (record.metric.name, cards.card(f"ogbg-mol{name}").metric) == (metric, metric)
    assert ogb_metric(f"ogbg-mol{name}", ours._data.y, torch.rand(ours._data.y.shape))[0] == metric.replace("_", "")


def test_labels_of_another_number_of_tasks_are_told(molecules):
    name, root = molecules
    rows = gzip.decompress((root / "raw/graph-label.csv.gz").read_bytes()).splitlines()
    wrong = b"".join(row + b",1\n" for row in rows)
    (root / "raw/graph-label.csv.gz").write_bytes(gzip.compress(wrong))
    with pytest.raises(DataError, match=f"its labels are of {UNSEEN[name] + 1} tasks, not of {UNSEEN[name]}"):
        load(f"ogbg-mol{name}")


@pytest.mark.parametrize("index", [range(90, 119), [*range(90, 120), 5], [*range(90, 119), 120], [*range(90, 119), -1]])
def test_a_split_names_each_node_once(arxiv, data_home, index):
    folder = put(arxiv, data_home) / "split/time"
    for part, nodes in zip(SPLIT, (range(60), range(60, 90), index), strict=True):
        (folder / f"{part}.csv.gz").write_bytes(gzip.compress("".join(f"{node}\n" for node in nodes).encode()))
    with pytest.raises(DataError, match=f"its split, of 60 / 30 / {len(index)}, does not name each of 120 once"):
        load("ogbn-arxiv")


def test_loading_opens_no_pickle(mirror, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    before = torch.load
    assert verify("ogbg-molbace").files == 9
    assert torch.load is before


class TestOfficialFigure:
    def test_it_is_sklearns_roc_auc(self, generator):
        from sklearn.metrics import roc_auc_score

        y, score = (torch.rand(50, generator=generator) > 0.7).long(), torch.rand(50, generator=generator)
        metric, value = ogb_metric("ogbg-molhiv", y[:, None], score[:, None])
        assert (metric, value) == ("rocauc", pytest.approx(roc_auc_score(y, score)))

    def test_it_is_the_root_of_the_mean_square(self, generator):
        y, value = torch.rand(2, 50, generator=generator)
        metric, found = ogb_metric("ogbg-molesol", y, value)
        assert (metric, found) == ("rmse", pytest.approx(float((y - value).square().mean().sqrt()), rel=1e-6))

    def test_it_is_the_share_of_right_classes(self):
        assert ogb_metric("ogbn-arxiv", torch.tensor([3, 2, 1]), torch.tensor([3, 2, 2])) == (
            "acc",
            pytest.approx(2 / 3),
        )

    def test_the_card_names_it(self):
        named = {"rocauc": "roc_auc", "rmse": "rmse", "acc": "accuracy"}
        for name, y in (("ogbg-molbace", [0, 1]), ("ogbg-molfreesolv", [0, 1]), ("ogbn-products", [0, 1])):
            metric, _ = ogb_metric(name, torch.tensor(y), torch.tensor(y))
            assert cards.card(name).metric == named[metric]

    def test_asking_for_it_does_not_ask_the_network(self):
        script = (
            "import sys, torch; from graphkit.data import ogb_metric; "
            "ogb_metric('ogbg-molhiv', torch.tensor([0, 1]), torch.tensor([0.0, 1.0])); "
            "print(sys.modules['ogb.version'].check_outdated, 'outdated' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["None", "False"]

    def test_what_has_none_is_refused(self):
        with pytest.raises(ValueError, match="'cora' has no evaluator of OGB"):
            ogb_metric("cora", torch.ones(2), torch.ones(2))
        with pytest.raises(ValueError, match="must have one shape"):
            ogb_metric("ogbg-molhiv", torch.ones(2), torch.ones(3))
        with pytest.raises(ValueError, match="must be finite"):
            ogb_metric("ogbg-molhiv", torch.ones(2), torch.full((2,), torch.nan))
        with pytest.raises(ValueError, match="OGB's evaluator refuses: No positively labeled data"):
            ogb_metric("ogbg-molhiv", torch.zeros(2), torch.ones(2))
