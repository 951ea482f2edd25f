"""OGB's sets of links: read as OGB reads them, with its splits and its evaluator; nothing in a file is run."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from graphkit.cli import main
from graphkit.data import DataError, edge_split, load, load_links, load_splits, ogb_link_metric, ogb_metric, verify
from graphkit.data.catalog import cards
from graphkit.data.catalog.sources.ogb import load_arrays
from graphkit.training import recipe, train
from graphkit.training.links.link_task import prepare_links

NODES, EDGES = 50, 120
SETS = {
    "collab": ("time", {"features": 128}, ["edge_weight", "edge_year"], ["edge", "weight", "year"], ["edge_neg"]),
    "ddi": ("target", {"features": 0}, [], ["edge"], ["edge_neg"]),
    "ppa": ("throughput", {"features": 58}, [], ["edge"], ["edge_neg"]),
    "citation2": ("time", {"features": 128}, ["node_year"], ["source_node", "target_node"], ["target_node_neg"]),
    "wikikg2": ("time", {"features": 0}, ["edge_reltype"], ["head", "relation", "tail"], ["head_neg", "tail_neg"]),
    "vessel": ("spatial", {"features": 3}, [], ["edge", "edge_neg"], []),
}
ONE_WAY = ("citation2", "wikikg2", "vessel")


@pytest.fixture(params=SETS)
def links(request, tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """Return the name and the folder of a made-up set in exactly the raw format of a real one."""
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    name = request.param
    split, counts, further, of_all, of_measured = SETS[name]
    random = np.random.default_rng(0)
    root = data_home / f"ogb/ogbl_{name}"
    files = {"edge": random.integers(NODES, size=(EDGES, 2)), "num-edge-list": [[EDGES]], "num-node-list": [[NODES]]}
    files["edge"][:, 0] %= NODES - 3  # the last nodes are known by their number only
    files["edge"][:, 1] %= NODES - 3
    if counts["features"]:
        files["node-feat"] = random.normal(size=(NODES, counts["features"])).round(4)
    for field in further:
        files[field] = random.integers(1, 9, size=(NODES if field.startswith("node") else EDGES, 1))
    (root / "raw").mkdir(parents=True)
    if name == "vessel":
        arrays = {
            "node_feat": files["node-feat"],
            "edge_feat": random.random((EDGES, 1)),
            "edge_index": files["edge"].T,
        }
        np.savez_compressed(root / "raw/data.npz", num_nodes_list=[NODES], num_edges_list=[EDGES], **arrays)
        files = {}
    for path, rows in files.items():
        with gzip.open(root / f"raw/{path}.csv.gz", "wt") as file:
            file.writelines(",".join(map(str, row)) + "\n" for row in np.asarray(rows).tolist())
    (root / f"split/{split}").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        fields = of_all + (of_measured if part != "train" else [])
        shape = {
            "edge": (8, 2),
            "edge_neg": (120, 2),
            **{f"{of}_neg": (8, 10) for of in ("target_node", "head", "tail")},
        }
        arrays = {field: random.integers(NODES, size=shape.get(field, (8,))) for field in fields}
        torch.save(arrays, root / f"split/{split}/{part}.pt")
    folder = tmp_path / "cards"
    shutil.copytree(cards.folder(), folder)
    card = folder / f"ogbl-{name}/card.toml"
    made = {"nodes": NODES, "edges": EDGES if name in ONE_WAY else 2 * EDGES, **counts}
    lines = [line for line in card.read_text().splitlines() if line.partition(" =")[0] not in made]
    card.write_text("\n".join([f"{key} = {value}" for key, value in made.items()] + lines) + "\n")
    monkeypatch.setattr(cards, "folder", lambda: folder)
    return name, root


def test_a_set_is_what_ogb_reads(links, capsys):
    from ogb.io.read_graph_raw import read_binary_graph_raw, read_csv_graph_raw

    name, root = links
    split, counts, further, *_ = SETS[name]
    data = load(f"ogbl-{name}")
    options = {
        f"additional_{of}_files": [field for field in further if field.startswith(of)] for of in ("node", "edge")
    }
    if name == "vessel":
        (theirs,) = read_binary_graph_raw(str(root / "raw"))
        assert torch.equal(data.edge_attr, torch.from_numpy(theirs["edge_feat"]))
    else:
        (theirs,) = read_csv_graph_raw(str(root / "raw"), add_inverse_edge=name not in ONE_WAY, **options)
    assert torch.equal(data.edge_index, torch.from_numpy(theirs["edge_index"]))
    assert data.num_nodes == theirs["num_nodes"] == NODES
    if counts["features"]:
        assert torch.equal(data.x, torch.from_numpy(theirs["node_feat"]).float())
    for field in further:
        assert torch.equal(data[field], torch.from_numpy(theirs[field])[:, 0])
    found = edge_split(data)
    for part in ("train", "valid", "test"):
        given = torch.load(root / f"split/{split}/{part}.pt", weights_only=False)
        assert found[part].keys() == given.keys()
        assert all(torch.equal(found[part][field], torch.from_numpy(given[field])) for field in given)
    again = load(f"ogbl-{name}")
    assert again.num_nodes == NODES
    assert again.to_dict().keys() == data.to_dict().keys()
    assert verify(f"ogbl-{name}").others


TRAINED = ("collab", "ddi", "ppa", "citation2", "vessel")


@pytest.mark.parametrize("links", TRAINED, indirect=True)
def test_models_are_trained_on_them_and_measured_as_by_ogb(links, capsys, tmp_path):
    name, where = links[0], ("--run-dir", str(tmp_path / "run"))
    data, (split,) = load_links(f"ogbl-{name}")
    assert bool(split.message.all())
    official = edge_split(data)
    for part, theirs in (("train", "train"), ("val", "valid"), ("test", "test")):
        pairs = split.train if part == "train" else getattr(split, part).positive
        fields = official[theirs]
        ends = fields["edge"].T if "edge" in fields else torch.stack([fields["source_node"], fields["target_node"]])
        assert torch.equal(pairs, ends)
    for model in ("averaged-cosine" if data.x is not None else "resource-allocation", "pair-logistic"):
        made = recipe(model, items="links")
        found = train(split.apply(data), made, seeds=[0], device="cpu").record.metric
        task, test = prepare_links(split.apply(data), made, torch.device("cpu"), torch.float32)
        if model != "pair-logistic":
            scores = task.views[test.index][:, 0]
            links_, others = scores[test.y[:, 0] == 1], scores[test.y[:, 0] == 0]
            others = others.view(len(links_), -1) if split.test.negative.dim() == 3 else others
            figure, value = ogb_link_metric(f"ogbl-{name}", links_, others)
            assert found.name.replace("roc_auc", "rocauc") == figure
            assert found.mean == pytest.approx(value)
    assert (
        main(["train", f"ogbl-{name}", "--model", "resource-allocation", "--seeds", "1", "--beside", "none", *where])
        == 0
    )
    assert "whose links are predicted" in capsys.readouterr().out


def test_they_have_no_split_of_nodes_and_facts_no_recipe(links, capsys):
    name, _ = links
    with pytest.raises(ValueError, match="has one split, of its edges"):
        load(f"ogbl-{name}", split="stratified")
    with pytest.raises(ValueError, match="has one split, of its edges"):
        load_splits(f"ogbl-{name}", seeds=[0])
    assert name in TRAINED or main(["train", f"ogbl-{name}"]) == 2
    assert main(["data", "partition", f"ogbl-{name}", "--parts", "2", "--to", "new"]) == 2
    assert main(["data", "card", f"ogbl-{name}"]) == 0
    assert "which links there will be" in capsys.readouterr().out


@pytest.mark.parametrize("links", ["vessel"], indirect=True)
@pytest.mark.parametrize("damage", ["cut", "of other numbers", "code"])
def test_an_archive_of_arrays_that_is_broken_or_a_program_is_told(links, damage, tmp_path):
    _, root = links
    path = root / "raw/data.npz"
    held = dict(np.load(path))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "code":
        np.savez(path, **(held | {"node_feat": np.array([object()])}))
    else:
        np.savez(path, **(held | {"edge_index": held["edge_index"][:, 1:]}))
    with pytest.raises(DataError, match=r"data\.npz is not the file its card describes"):
        load("ogbl-vessel")


@pytest.mark.parametrize("damage", ["missing", "cut", "code"])
def test_a_split_that_is_missing_broken_or_a_program_is_told(links, damage, tmp_path):
    name, root = links
    path = root / f"split/{SETS[name][0]}/valid.pt"

    class Program:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-run",)

    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        torch.save({"edge": Program()}, path)
    with pytest.raises(DataError, match=path.name if damage == "missing" else f"ogbl-{name}"):
        load(f"ogbl-{name}")
    assert not (tmp_path / "was-run").exists()


def test_the_safe_reader_is_told_of_arrays_for_one_file_only(tmp_path):
    torch.save({"edge": np.arange(3)}, tmp_path / "a.pt")
    assert load_arrays(tmp_path / "a.pt")["edge"].tolist() == [0, 1, 2]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save([1], tmp_path / "b.pt")
    with pytest.raises(ValueError, match="no dictionary"):
        load_arrays(tmp_path / "b.pt")


def test_a_graph_without_a_split_of_edges_is_told():
    with pytest.raises(ValueError, match="no split of its edges"):
        edge_split(load("karate"))


@pytest.mark.parametrize(("name", "count"), [("collab", 50), ("ddi", 20), ("ppa", 100)])
def test_hits_are_links_above_the_best_others(name, count, generator):
    positive, negative = torch.rand(40, generator=generator), torch.rand(500, generator=generator) ** 2
    expected = float((positive > negative.sort(descending=True).values[count - 1]).double().mean())
    assert ogb_link_metric(f"ogbl-{name}", positive, negative) == (f"hits@{count}", pytest.approx(expected))
    assert cards.card(f"ogbl-{name}").metric == f"hits@{count}"


def test_the_reciprocal_rank_is_among_each_links_own_others(generator):
    positive, negative = torch.rand(30, generator=generator), torch.rand(30, 200, generator=generator)
    rank = 1 + (negative > positive[:, None]).sum(1)
    figure = ogb_link_metric("ogbl-citation2", positive, negative)
    assert figure == ("mrr", pytest.approx(float((1 / rank).mean()), rel=1e-6))


def test_vessels_are_ranked_as_scikit_learn_does(generator):
    positive, negative = torch.rand(30, generator=generator) + 0.2, torch.rand(40, generator=generator)
    expected = roc_auc_score([1] * 30 + [0] * 40, torch.cat([positive, negative]))
    assert ogb_link_metric("ogbl-vessel", positive, negative) == ("rocauc", pytest.approx(expected))


@pytest.mark.parametrize("name", ["ogbl-wikikg2", "ogbl-biokg"])
def test_facts_are_ranked_among_other_heads_and_other_tails(name, generator):
    positive, heads, tails = (torch.rand(*of, generator=generator) for of in ((8,), (8, 10), (8, 10)))
    ranks = [1 + (others > positive[:, None]).sum(1) for others in (heads, tails)]
    figure = ogb_link_metric(name, positive.repeat(2), torch.cat([heads, tails]))
    assert figure == ("mrr", pytest.approx(float((1 / torch.cat(ranks)).mean()), rel=1e-6))
    assert cards.card(name).metric == "mrr"


def test_scores_that_cannot_be_measured_are_refused():
    with pytest.raises(ValueError, match="is no set of links"):
        ogb_link_metric("ogbn-arxiv", torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="is a set of links"):
        ogb_metric("ogbl-ddi", torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="must be finite"):
        ogb_link_metric("ogbl-ddi", torch.tensor([torch.nan]), torch.ones(2))
    with pytest.raises(ValueError, match=r"`positive` must have shape \[links\]"):
        ogb_link_metric("ogbl-ddi", torch.ones(2, 2), torch.ones(30))
