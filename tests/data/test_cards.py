"""Every card against the real files, and what its faults claim against the real graphs."""

from __future__ import annotations

import copy
import itertools
import pickle
import tomllib

import numpy as np
import pytest
import torch
from torch_geometric.utils import is_undirected

from graphkit.data import (
    Card,
    DataError,
    GraphSet,
    TemporalGraph,
    TimeSplit,
    card,
    families,
    fetch,
    import_graph,
    load,
    names,
    split_from_name,
    verify,
)
from graphkit.data.catalog import cards, files
from graphkit.data.catalog.sources import READERS, Source, source_of
from graphkit.data.catalog.verified_read import dataset_sha256

UNSEEN = {
    "pubmed",
    "citation-full-cora",
    "citation-full-cora-ml",
    "citation-full-pubmed",
    *(f"ogbg-mol{name}" for name in ("bbbp", "clintox", "lipo", "muv", "pcba", "sider", "tox21", "toxcast")),
    "ogbn-arxiv",
    "ogbn-products",
    "ogbl-collab",
    "ogbl-ddi",
    "ogbl-ppa",
    "ogbl-citation2",
    "ogbl-vessel",
    "ogbl-wikikg2",
    "ogbl-biokg",
    "synthetic-collab",
    "synthetic-arxiv",
    "synthetic-products",
}
"""Sets whose files nobody here has had, or that are drawn where they are asked for."""

LARGE = {"coauthor-physics", "facebook100-cornell5"}
FAMILIES = [name for name in names() if card(name).members]
SINGLE = [name for name in names() if name not in FAMILIES]
SEEN = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in SINGLE if name not in UNSEEN]


def test_every_card_has_a_source_and_every_source_a_card():
    assert all(isinstance(source_of(card(name)), Source) for name in SINGLE)
    assert not any(card(family).reader for family in FAMILIES)
    assert all(member in SINGLE for family in FAMILIES for member in card(family).members)
    assert {card(name).reader["form"] for name in SINGLE} == set(READERS), "a reader that no card names"


@pytest.mark.parametrize("name", names())
def test_a_card_is_complete_and_its_text_names_what_matters(name):
    known = card(name)
    for field in ("title", "licence", "source", "citation", "splits", "default_split"):
        assert getattr(known, field), field
    assert (known.kind == "family") == bool(known.members)
    if known.default_split.startswith("time:"):
        assert TimeSplit.from_name(known.default_split, 100).test > 0
    else:
        split_from_name(known.default_split)
    for paragraph in (known.title, *known.faults, known.citation):
        assert " ".join(paragraph.split()) in " ".join(known.text().split())
    assert max(map(len, known.text(width=80).splitlines())) <= 100
    assert (known.content is None) == (name in UNSEEN)
    assert (known.checked_by == "nothing to fetch") == (not known.files)
    # Only plain arrays may be told by anything else than the checksum of each file.
    if not known.members:
        assert source_of(known).pickle_free or (known.checked_by == "files" and all(known.files.values()))


class TestFamilies:
    """Which graphs a study that leaves one out leaves out with it."""

    NODES = tuple(name for name in SINGLE if card(name).kind == "node")

    @pytest.mark.parametrize("name", names())
    def test_each_graph_with_labelled_nodes_has_one_and_nothing_else_has(self, name):
        known = card(name)
        assert bool(known.family) == (known.kind == "node")
        assert not known.family or known.family in known.text()

    def test_data_sets_that_are_loaded_together_are_of_the_family_that_has_their_name(self):
        for family in FAMILIES:
            members = [card(member) for member in card(family).members]
            assert {member.family for member in members if member.kind == "node"} <= {family}

    def test_all_of_one_file_or_of_one_vocabulary_or_of_one_name_are_of_one_family(self):
        for one, other in itertools.combinations([card(name) for name in self.NODES], 2):
            alike = set(one.files) & set(other.files)
            alike = alike or (one.features == other.features and one.features >= 1000)
            alike = alike or f"{other.name}-".startswith(f"{one.name}-")
            alike = alike or (
                one.reader.get("folder") == other.reader.get("folder") is not None and one.name in other.name
            )
            assert not alike or one.family == other.family, (one.name, other.name)

    def test_they_are_all_the_graphs_each_once(self):
        found = families()
        assert sorted(name for members in found.values() for name in members) == list(self.NODES)
        assert all(card(name).family == family for family, members in found.items() for name in members)
        together = [{"cora", "citation-full-cora", "citation-full-cora-ml"}, {"texas", "cornell", "wisconsin"}]
        together += [{"chameleon", "chameleon-unfiltered", "squirrel"}, {"amazon-photo", "ogbn-products"}]
        together += [{"acm", "citation-domains-acm", "citation-full-dblp"}]
        assert all(any(some <= set(members) for members in found.values()) for some in together)

    def test_a_stored_graph_is_one_by_itself(self, tmp_path):
        (tmp_path / "edges.csv").write_text("a,b\n0,1\n1,2\n2,0\n")
        import_graph([tmp_path / "edges.csv"], to=tmp_path / "triangle")
        assert card(tmp_path / "triangle").family == "triangle"


def test_a_card_has_no_field_its_class_does_not_know():
    fields = set(Card.__dataclass_fields__)
    for path in cards.folder().glob("*/card.toml"):
        assert set(tomllib.loads(path.read_text())) <= fields


def test_an_unknown_name_gets_the_nearest_suggested():
    for action in (card, load, fetch, verify):
        with pytest.raises(ValueError, match=r"`name` 'corra' is not known\. Did you mean 'cora'"):
            action("corra")
    with pytest.raises(DataError, match=r"'\.\./graphkit' holds no manifest"):
        card("../graphkit")


@pytest.mark.parametrize("name", [name for name in SINGLE if name not in UNSEEN])
def test_the_checksums_and_sizes_of_the_files_are_right(mirror, name):
    known = card(name)
    assert files.missing_files(known, mirror) == []
    assert files.mismatched_files(known, mirror) == {}
    assert {path: (mirror / path).stat().st_size for path in known.files} == known.sizes


@pytest.mark.parametrize("name", SEEN)
def test_the_counts_and_the_content_are_right_and_every_default_split_is_usable(mirror, name):
    found, data = verify(name), load(name)
    known = data.card
    assert found.content == known.content == dataset_sha256(data)
    assert found.others == {}
    assert name in found.text()
    if known.kind == "graph":
        assert_counts_of_a_set(data)
        return
    if known.kind == "series":
        assert_counts_of_a_series(data)
        return
    x = data.signals if known.kind == "signal" else data.x
    items = (known.signals, known.nodes) if known.kind == "signal" else (known.nodes,)
    assert x.shape == (*items, known.features)
    assert x.dtype == torch.float32
    assert data.edge_index.shape == (2, known.edges)
    assert data.edge_index.dtype == data.y.dtype == torch.int64
    assert data.y.shape == items[:1]
    assert data.y[data.y >= 0].unique().tolist() == list(range(known.classes))
    assert not (data.y < 0)[data.train_mask | data.val_mask | data.test_mask].any()
    assert data.is_undirected() == (not known.directed)
    data.validate()
    masks = torch.stack([data.train_mask, data.val_mask, data.test_mask])
    assert masks.dtype == torch.bool
    assert (masks.sum(0) <= 1).all()
    assert (masks.sum(1) > 0).all()


def assert_counts_of_a_series(graph: TemporalGraph) -> None:
    known = graph.card
    assert isinstance(graph, TemporalGraph)
    assert graph.signals.shape == (known.signals, known.nodes, known.features)
    assert graph.signals.dtype == torch.float32
    assert bool(graph.signals.isfinite().all())
    assert graph.edge_index.shape == (2, known.edges)
    assert graph.get("edge_step") is not None or is_undirected(graph.edge_index) == (not known.directed)
    split = TimeSplit.from_name(known.default_split, graph.steps)
    assert split.steps == graph.steps
    assert graph.graph_at(graph.steps - 1)[0].size(1) > 0


def assert_counts_of_a_set(graphs: GraphSet) -> None:
    known, data = graphs.card, graphs._data
    assert len(graphs) == known.graphs
    assert data.x.is_floating_point() != known.name.startswith("ogbg-")
    assert data.x.shape == (known.nodes, known.features)
    assert data.edge_index.shape == (2, known.edges)
    assert data.edge_index.dtype == torch.int64
    assert known.classes == 0 or data.y.unique().tolist() == list(range(known.classes))
    both = graphs.batch(range(len(graphs)))
    both.validate()
    assert is_undirected(both.edge_index) == (not known.directed)
    assert known.name == "firstmm-db" or both.is_undirected(), "both directions have the same attributes"
    parts = [graphs.part(part) for part in ("train", "val", "test")]
    assert min(map(len, parts)) > 0
    assert sum(map(len, parts)) == len(graphs)


def test_the_card_stays_with_its_data():
    data = load("karate")
    copies = [data.clone(), copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data)), data.to("cpu")]
    copies += [data.subgraph(torch.arange(10)), data.contiguous(), data.cpu()]
    for one in copies:
        assert one.card == card("karate")
        assert hash(one.card) == hash(card("karate"))
        assert one.protocol == data.protocol


def test_two_cards_do_not_share_what_can_be_written_to():
    card("cora").files.clear()
    assert card("cora").files


class TestWhatTheCardsClaim:
    """The faults and the sizes of the splits, counted anew."""

    def test_public_splits_have_twenty_labels_a_class(self, mirror):
        for name, classes in (("cora", 7), ("citeseer", 6)):
            data = load(name)
            assert data.y[data.train_mask].bincount().tolist() == [20] * classes
            assert [int(data[f"{part}_mask"].sum()) for part in ("val", "test")] == [500, 1000]

    def test_cora_has_78_components(self, mirror):
        from torch_geometric.utils import to_scipy_sparse_matrix

        adjacency = to_scipy_sparse_matrix(load("cora").edge_index, num_nodes=2708)
        from scipy.sparse.csgraph import connected_components

        count, component = connected_components(adjacency)
        assert count == 78
        ten = load("cora", split="files:5")
        inside = ten.train_mask | ten.val_mask | ten.test_mask
        assert int(inside.sum()) == 2485
        largest = torch.from_numpy(component).long()
        assert (largest[inside] == largest.bincount().argmax()).all()

    def test_citeseer_has_isolated_nodes_and_nodes_without_features(self, mirror):
        data = load("citeseer")
        assert int((data.edge_index[0].bincount(minlength=3327) == 0).sum()) == 48
        absent = data.x.sum(1) == 0
        assert int(absent.sum()) == 15
        assert (data.y[absent] == 0).all()
        assert not (absent & (data.train_mask | data.val_mask | data.test_mask)).any()
        listed = (mirror / "planetoid/CiteSeer/raw/ind.citeseer.test.index").read_text().split()
        assert set(absent.nonzero().flatten().tolist()) == set(range(2312, 3327)) - set(map(int, listed))

    def test_two_of_citeseers_ten_splits_are_smaller(self, mirror):
        for index in range(10):
            record = load("citeseer", split=f"files:{index}").protocol
            sizes = record["train"], record["val"], record["test"]
            assert sizes == ((1017, 679, 424) if index in (4, 5) else (1596, 1065, 666))

    @pytest.mark.parametrize(
        ("name", "without"),
        [
            ("cora", [217, 180]),
            ("citeseer", [264]),
            ("amazon-photo", [369, 331]),
            ("coauthor-cs", [708, 462, 429, 371, 118, 420]),
            ("amazon-computers", [436, 542, 308, 487, 818, 291]),
        ],
    )
    def test_the_dense_split_leaves_classes_without_a_test_node(self, mirror, name, without):
        data = load(name, split="dense")
        classes = data.y.bincount()
        tested = data.y[data.test_mask].bincount(minlength=len(classes))
        assert classes[tested == 0].tolist() == without

    def test_texas_and_cornell_share_features_and_labels(self, mirror):
        texas, cornell = load("texas"), load("cornell")
        assert torch.equal(texas.x, cornell.x)
        assert torch.equal(texas.y, cornell.y)
        assert not torch.equal(texas.train_mask, cornell.train_mask)
        assert texas.y.bincount().min() == 1
        with pytest.raises(ValueError, match="class 1 has 1 node"):
            load("texas", split="stratified")

    @pytest.mark.parametrize(("name", "leaked", "tested"), [("chameleon", 305, 456), ("squirrel", 650, 1041)])
    def test_the_unfiltered_wikipedia_graphs_have_twins_across_train_and_test(self, mirror, name, leaked, tested):
        data = load(f"{name}-unfiltered")
        neighbours: list[set[int]] = [set() for _ in range(data.num_nodes)]
        for source, target in data.edge_index.t().tolist():
            neighbours[source].add(target)
        twins = [(frozenset(seen), label) for seen, label in zip(neighbours, data.y.tolist(), strict=True)]
        trained = {twins[node] for node in data.train_mask.nonzero().flatten().tolist()}
        test = data.test_mask.nonzero().flatten().tolist()
        assert len(test) == tested
        assert sum(twins[node] in trained for node in test) == leaked

    @pytest.mark.parametrize(
        ("name", "loops"),
        [
            ("texas", 16),
            ("cornell", 3),
            ("wisconsin", 16),
            ("actor", 93),
            ("chameleon-unfiltered", 50),
            ("squirrel-unfiltered", 140),
            ("cora", 0),
            ("chameleon", 0),
            ("minesweeper", 0),
        ],
    )
    def test_self_loops_are_counted(self, mirror, name, loops):
        row, column = load(name).edge_index
        assert int((row == column).sum()) == loops

    @pytest.mark.parametrize(("name", "isolated"), [("amazon-photo", 115), ("amazon-computers", 281)])
    def test_isolated_goods_are_counted(self, mirror, name, isolated):
        data = load(name)
        assert int((data.edge_index[0].bincount(minlength=data.num_nodes) == 0).sum()) == isolated

    @pytest.mark.parametrize(("name", "empty"), [("citation-full-citeseer", 89), ("citation-full-dblp", 64)])
    def test_nodes_without_features_are_counted(self, mirror, name, empty):
        assert int((load(name).x.sum(1) == 0).sum()) == empty

    def test_a_fifth_of_minesweeper_is_mines(self, mirror):
        assert load("minesweeper").y.bincount().tolist() == [8000, 2000]

    @pytest.mark.parametrize(
        ("name", "twofold", "loops", "components"),
        [("acm", 581, 46, 478), ("citation", 166, 15, 509), ("dblp", 15, 13, 455)],
    )
    def test_papers_of_two_classes_have_no_single_one(self, mirror, name, twofold, loops, components):
        from scipy.sparse.csgraph import connected_components
        from torch_geometric.utils import to_scipy_sparse_matrix

        data = load(f"citation-domains-{name}")
        assert data.y_multi.sum(1).bincount().tolist() == [0, data.num_nodes - twofold, twofold]
        assert torch.equal(data.y < 0, data.y_multi.sum(1) == 2)
        single = data.y >= 0
        assert torch.equal(torch.nn.functional.one_hot(data.y[single], 5).bool(), data.y_multi[single])
        assert int((data.edge_index[0] == data.edge_index[1]).sum()) == loops
        assert connected_components(to_scipy_sparse_matrix(data.edge_index, num_nodes=data.num_nodes))[0] == components

    def test_no_paper_is_in_two_of_the_citation_domains(self, mirror):
        family = load("citation-domains")
        papers = [tuple(words.nonzero().flatten().tolist()) for data in family.values() for words in data.x]
        assert len(set(papers)) == len(papers) == family.card.nodes

    @pytest.mark.parametrize(
        ("name", "gender", "dormitory", "year", "components"),
        [("amherst41", 203, 945, 214, 1), ("johnshopkins55", 418, 2141, 636, 11)],
    )
    def test_what_students_do_not_tell_is_counted(self, mirror, name, gender, dormitory, year, components):
        from scipy.sparse.csgraph import connected_components
        from torch_geometric.utils import to_scipy_sparse_matrix

        data = load(f"facebook100-{name}")
        assert int((data.y < 0).sum()) == gender
        assert (data.attributes < 0).sum(0)[[1, 4, 5]].tolist() == [gender, dormitory, year]
        assert connected_components(to_scipy_sparse_matrix(data.edge_index, num_nodes=data.num_nodes))[0] == components

    @pytest.mark.parametrize(
        ("name", "share", "isolated", "components", "largest"),
        [
            ("acm", 82.1, 561, 717, None),
            ("blogcatalog", 40.1, 0, 1, 5196),
            ("polblogs", 91.2, 266, 268, 1222),
            ("lastfm-asia", 87.4, 0, 1, 7624),
            ("facebook-pages", 88.5, 0, 1, 22_470),
        ],
    )
    def test_edges_within_a_class_and_parts_are_counted(self, mirror, name, share, isolated, components, largest):
        from scipy.sparse.csgraph import connected_components
        from torch_geometric.utils import to_scipy_sparse_matrix

        data = load(name)
        row, column = data.edge_index
        once = row <= column if data.is_undirected() else torch.ones_like(row, dtype=torch.bool)
        within = (data.y[row] == data.y[column])[once]
        assert round(100 * float(within.double().mean()), 1) == share
        assert f"{share} %" in " ".join(data.card.faults)
        assert data.num_nodes - len(torch.cat([row, column]).unique()) == isolated
        count, part = connected_components(to_scipy_sparse_matrix(data.edge_index, num_nodes=data.num_nodes))
        assert count == components
        assert largest in (None, torch.from_numpy(part).bincount().max())

    @pytest.mark.parametrize(
        ("name", "classes", "loops"),
        [
            ("acm", [1061, 965, 999], 0),
            ("blogcatalog", [885, 777, 921, 858, 892, 863], 0),
            ("polblogs", [758, 732], 3),
            ("facebook-pages", [6495, 3327, 5768, 6880], 179),
        ],
    )
    def test_classes_and_self_loops_of_graphs_from_plain_tables_are_counted(self, mirror, name, classes, loops):
        data = load(name)
        assert data.y.bincount().tolist() == classes
        assert int((data.edge_index[0] == data.edge_index[1]).sum()) == loops
        assert len(data.card.class_names) in (0, len(classes))

    def test_the_rarest_country_of_lastfm_has_16_listeners(self, mirror):
        assert load("lastfm-asia").y.bincount().min() == 16

    def test_the_keywords_of_blogcatalog_are_counts(self, mirror):
        data = load("blogcatalog")
        assert data.x.max() == 703
        assert data.num_nodes - len(data.x.unique(dim=0)) == 4

    @pytest.mark.parametrize("name", ["acm", "blogcatalog", "polblogs"])
    def test_graphs_in_csr_parts_are_what_the_file_holds(self, mirror, name):
        data = load(name)
        with np.load(mirror / next(iter(data.card.files))) as file:
            start, target = file["adj_indptr"], file["adj_indices"]
            expected = [(s, int(t)) for s in range(data.num_nodes) for t in target[start[s] : start[s + 1]]]
            assert data.edge_index.t().tolist() == list(map(list, expected))
            assert (data.y.numpy() == file["labels"] - file["labels"].min()).all()
            assert int((file["adj_data"] == 2).sum()) == 65 * (name == "polblogs")
            if "attr_data" in file:
                rows = np.repeat(np.arange(data.num_nodes), np.diff(file["attr_indptr"]))
                assert (data.x.numpy()[rows, file["attr_indices"]] == file["attr_data"]).all()
                assert int(data.x.count_nonzero()) == len(file["attr_data"])
            else:
                assert torch.equal(data.x, torch.eye(data.num_nodes))

    @pytest.mark.parametrize("name", ["lastfm-asia", "facebook-pages"])
    def test_graphs_in_tables_are_what_the_files_hold(self, mirror, name):
        data = load(name)
        edges, target = (mirror / path for path in data.card.files)
        pairs = {tuple(map(int, line.split(","))) for line in edges.read_text().split()[1:]}
        assert set(map(tuple, data.edge_index.t().tolist())) == pairs | {(b, a) for a, b in pairs}
        assert dict(enumerate(data.y.tolist())) == dict(
            tuple(map(int, line.split(","))) for line in target.read_text().split()[1:]
        )
        degree = torch.bincount(data.edge_index[0], minlength=data.num_nodes)
        if name == "lastfm-asia":
            assert torch.equal(data.x, torch.eye(data.num_nodes))
        else:
            assert torch.allclose(data.x[:, 0], degree.float().log1p())

    def test_amazon_clothing_is_the_part_with_the_novel_classes(self, mirror):
        from scipy.io import loadmat

        data = load("gpn-amazon-clothing")
        file = loadmat(mirror / "gpn_amazon_clothing/Amazon_clothing_test.mat")
        ids = sorted(set(file["Label"].ravel().astype(int).tolist()))
        assert f"the classes {', '.join(map(str, ids))} of the file" in " ".join(data.card.faults)
        assert [ids[label] for label in data.y.tolist()] == file["Label"].ravel().astype(int).tolist()
        assert data.goods.tolist() == file["Index"].ravel().tolist()
        words = file["Attributes"].tocoo()
        assert (data.x[words.row, words.col].numpy() == words.data).all()
        assert int(data.x.count_nonzero()) == words.nnz
        place = {good: at for at, good in enumerate(data.goods.tolist())}
        lines = (mirror / "gpn_amazon_clothing/Amazon_clothing_network").read_text().splitlines()
        pairs = [tuple(map(int, line.split())) for line in lines]
        assert len(pairs) == 183_360
        inside = {(place[a], place[b]) for a, b in pairs if a in place and b in place}
        assert set(map(tuple, data.edge_index.t().tolist())) == inside
        assert len(inside) == data.num_edges
        assert max(max(pair) for pair in pairs) + 1 == 24_919


@pytest.mark.parametrize("name", SINGLE)
def test_what_used_to_follow_from_a_name_is_a_field_of_the_card(name):
    known = card(name)
    assert (known.evaluator == "ogb") == name.startswith(("ogbg-", "ogbl-", "ogbn-"))
    assert known.molecules == name.startswith("ogbg-mol")
    assert not known.picture or known.picture[0] * known.picture[1] == known.features
    assert bool(known.picture) == (name == "digits")
