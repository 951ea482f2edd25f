"""A family is its members, loaded, fetched and verified together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkit.data import DataError, GraphFamily, card, fetch, load, verify


@pytest.fixture
def family(mirror) -> GraphFamily:
    return load("citation-domains")


def test_a_family_is_a_mapping_from_short_names_to_graphs(family):
    assert list(family) == ["acm", "citation", "dblp"]
    assert len(family) == family.card.graphs == 3
    assert [data.card.name for data in family.values()] == family.card.members
    assert "cora" not in family
    assert repr(family) == "GraphFamily('citation-domains': acm, citation, dblp)"


def test_a_family_is_pickled():
    family = GraphFamily(card("karate"), {"one": load("karate"), "two": load("karate", seed=1)})
    again = pickle.loads(pickle.dumps(family))
    assert again.card == family.card
    assert torch.equal(again["two"].train_mask, family["two"].train_mask)


def test_a_member_is_what_it_is_alone(family):
    alone = load("citation-domains-dblp")
    for field in ("x", "edge_index", "y", "y_multi", "train_mask"):
        assert torch.equal(family["dblp"][field], alone[field])


def test_what_the_split_and_the_seed_are_goes_for_every_member(mirror):
    family = load("citation-domains", split="stratified", seed=3)
    assert {data.protocol["split"] for data in family.values()} == {"stratified"}
    assert {data.protocol["parameters"]["seed"] for data in family.values()} == {3}


def test_the_card_of_a_family_sums_its_members(mirror):
    known = card("citation-domains")
    members = [card(name) for name in known.members]
    assert known.nodes == sum(member.nodes for member in members)
    assert known.edges == sum(member.edges for member in members)
    assert {member.features for member in members} == {known.features}
    assert len(known.files) == 3


def test_a_family_is_verified_and_fetched_member_by_member(mirror):
    found = verify("citation-domains")
    assert found.content == card("citation-domains").content
    assert found.files == 3
    assert fetch("citation-domains") == mirror


def test_the_graphs_are_what_the_files_hold(mirror):
    from scipy.io import loadmat

    for name, file in (("acm", "acmv9"), ("citation", "citationv1"), ("dblp", "dblpv7")):
        data, raw = load(f"citation-domains-{name}"), loadmat(mirror / f"citation_domains/{file}.mat")
        edges = tuple(data.edge_index.numpy())
        found = scipy.sparse.coo_array((np.ones(data.num_edges), edges), raw["network"].shape)
        assert (found.tocsc() - raw["network"]).count_nonzero() == 0
        assert (data.x.numpy() == raw["attrb"]).all()
        assert (data.y_multi.numpy() == raw["group"]).all()


def test_a_truncated_file_of_one_member_is_refused_by_the_family(mirror, tmp_path, data_home, monkeypatch):
    import shutil

    shutil.copytree(mirror / "citation_domains", tmp_path / "mirror/citation_domains", copy_function=shutil.copyfile)
    (tmp_path / "mirror/citation_domains").chmod(0o755)
    wrong = tmp_path / "mirror/citation_domains/dblpv7.mat"
    wrong.write_bytes(wrong.read_bytes()[:-100])
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DataError, match=r"citation-domains-dblp.*dblpv7\.mat is not the file.*558,672 bytes"):
        load("citation-domains")
    assert not list((data_home / "cache").glob("*dblp*"))


@pytest.mark.parametrize(("name", "nodes"), [("PTBR", 1912), ("FR", 6549)])
def test_a_twitch_network_is_what_its_files_hold(mirror, name, nodes):
    import csv
    import json

    data, folder = load(f"twitch-musae-{name.lower()}"), mirror / f"twitch_musae/{name}"
    features = json.loads((folder / f"musae_{name}_features.json").read_text())
    assert data.num_nodes == len(features) == nodes
    for node in range(0, nodes, 97):
        assert data.x[node].nonzero().flatten().tolist() == sorted(set(features[str(node)]))
    with (folder / f"musae_{name}_target.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) - nodes == (2 if name == "FR" else 0), "two streamers of FR stand twice"
    assert all(data.y[int(row["new_id"])] == (row["mature"] == "True") for row in rows)
    with (folder / f"musae_{name}_edges.csv").open() as file:
        ends = {(int(row["from"]), int(row["to"])) for row in csv.DictReader(file)}
    assert set(map(tuple, data.edge_index.t().tolist())) == ends | {(b, a) for a, b in ends}
    assert data.num_edges == 2 * len(ends)


def test_the_seven_networks_of_twitch_share_their_features(mirror):
    members = [card(name) for name in card("twitch-musae").members]
    assert len(members) == 7
    assert {(member.features, member.classes) for member in members} == {(3170, 2)}
