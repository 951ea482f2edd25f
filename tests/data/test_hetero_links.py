"""OGB's links between nodes of several types: read as OGB reads them, kept in the cache, split and measured."""

from __future__ import annotations

import gzip
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from graphkit.cli import main
from graphkit.data import DataError, edge_split, load, ogb_link_metric, verify
from graphkit.data.catalog import cards
from tests import raw_arxiv

COUNTS = {"disease": 7, "drug": 9, "function": 4, "protein": 11, "sideeffect": 5}
EDGES = 12


def kinds() -> list[tuple[str, ...]]:
    """Return the types of edges that the card of the real set names."""
    named = {Path(path).parent.name for path in cards.card("ogbl-biokg").files if "/relations/" in path}
    return sorted(tuple(name.split("___")) for name in named)


@pytest.fixture
def biokg(tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a made-up set in exactly the raw format of the real one."""
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    random, root = np.random.default_rng(0), data_home / "ogb/ogbl_biokg"
    files = {}
    for number, (head, relation, tail) in enumerate(kinds()):
        at = f"raw/relations/{head}___{relation}___{tail}"
        ends = [random.integers(COUNTS[of], size=EDGES) for of in (head, tail)]
        files |= {f"{at}/edge": np.stack(ends, axis=1), f"{at}/num-edge-list": [[EDGES]]}
        files[f"{at}/edge_reltype"] = np.full((EDGES, 1), number)
    raw_arxiv.tables(root, files)
    with gzip.open(root / "raw/num-node-dict.csv.gz", "wt") as file:
        file.write(",".join(COUNTS) + "\n" + ",".join(map(str, COUNTS.values())) + "\n")
    with gzip.open(root / "raw/triplet-type-list.csv.gz", "wt") as file:
        file.writelines(",".join(kind) + "\n" for kind in reversed(kinds()))
    (root / "split/random").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        drawn = [kinds()[number] for number in random.integers(len(kinds()), size=8)]
        said = {"head_type": [kind[0] for kind in drawn], "tail_type": [kind[2] for kind in drawn]}
        said |= {field: random.integers(4, size=8) for field in ("head", "relation", "tail")}
        if part != "train":
            said |= {field: random.integers(4, size=(8, 10)) for field in ("head_neg", "tail_neg")}
        torch.save(said, root / f"split/random/{part}.pt")
    folder = Path(shutil.copytree(cards.folder(), tmp_path / "cards"))
    card, real = folder / "ogbl-biokg/card.toml", cards.card("ogbl-biokg")
    text = card.read_text().replace(f"edges = {real.edges}", f"edges = {EDGES * len(kinds())}")
    card.write_text(text.replace(f"nodes = {real.nodes}", f"nodes = {sum(COUNTS.values())}"))
    monkeypatch.setattr(cards, "folder", lambda: folder)
    return root


def test_it_is_what_ogb_reads_before_and_after_the_cache(biokg, capsys):
    from ogb.io.read_graph_raw import read_csv_heterograph_raw

    (theirs,) = read_csv_heterograph_raw(str(biokg / "raw"), additional_edge_files=["edge_reltype"])
    for data in (load("ogbl-biokg"), load("ogbl-biokg")):
        assert isinstance(data, HeteroData)
        assert {name: data[name].num_nodes for name in data.node_types} == theirs["num_nodes_dict"]
        assert data.edge_types == list(theirs["edge_index_dict"])
        for kind, edges in theirs["edge_index_dict"].items():
            assert torch.equal(data[kind].edge_index, torch.from_numpy(edges))
            assert torch.equal(data[kind].edge_reltype, torch.from_numpy(theirs["edge_reltype"][kind])[:, 0])
        found = edge_split(data)
        for part in ("train", "valid", "test"):
            given = torch.load(biokg / f"split/random/{part}.pt", weights_only=False)
            assert found[part].keys() == given.keys()
            for field, values in given.items():
                same = found[part][field] == values if field.endswith("_type") else None
                assert same or torch.equal(found[part][field], torch.from_numpy(values))
    assert verify("ogbl-biokg").others
    assert len(list(biokg.parents[1].glob("cache/ogbl-biokg-*"))) == 1


def test_facts_of_its_split_are_measured(biokg, generator):
    test = edge_split(load("ogbl-biokg"))["test"]
    scores = torch.rand(8, generator=generator), torch.rand(test["head_neg"].shape, generator=generator)
    assert ogb_link_metric("ogbl-biokg", *scores)[0] == "mrr"


@pytest.mark.parametrize("command", [("train",), ("embed",), ("spectrum",), ("fewshot",), ("data", "partition")])
def test_what_is_not_done_with_it_is_said_in_a_line(biokg, capsys, command):
    more = ("--parts", "2", "--to", "new") if command[0] == "data" else ()
    assert main([*command, "ogbl-biokg", *more]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("Error: 'ogbl-biokg'")
    assert " links" in said


@pytest.mark.parametrize("damage", ["missing", "edges", "other nodes", "other words", "code"])
def test_a_file_that_is_missing_or_wrong_is_told(biokg, tmp_path, damage):
    at = biokg / "raw/relations/drug___drug-protein___protein"
    words = biokg / "split/random/valid.pt"

    class Program:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was-run",)

    if damage == "missing":
        (at / "edge.csv.gz").unlink()
    elif damage == "edges":
        raw_arxiv.tables(at, {"edge": np.zeros((EDGES - 1, 2), dtype=int)})
    elif damage == "other nodes":
        raw_arxiv.tables(at, {"edge": np.full((EDGES, 2), 10)})  # there are nine drugs
    elif damage == "other words":
        torch.save({"head_type": ["drug", "planet"]}, words)
    else:
        torch.save({"head": Program()}, words)
    told = {
        "missing": "edge.csv.gz",
        "edges": "another number of edges 'drug-protein' than they say",
        "other nodes": "the edges 'drug-protein' have other nodes than there are",
        "other words": "valid.pt holds in 'head_type' what is no array",
        "code": "valid.pt holds what is no array",
    }
    with pytest.raises(DataError, match=told[damage]):
        load("ogbl-biokg")
    assert not (tmp_path / "was-run").exists()


def test_the_card_names_every_file_of_every_type():
    files = tomllib.loads((cards.folder() / "ogbl-biokg/card.toml").read_text())["files"]
    assert len(kinds()) == 51
    assert len(files) == 3 * 51 + 2 + 3
