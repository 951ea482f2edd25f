"""A set of graphs is the same whatever files it comes in, and what PyG makes of them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.io import read_tu_data

from graphkit.data import DataError, GraphSet, import_graph_set, load, store
from graphkit.data.disk import arrays
from graphkit.data.graphset import graphs_sha256
from graphkit.data.splits import RandomSplit
from graphkit.training import recipe, train
from graphkit.training.embedding import embed, embedding_recipe

NAMES = ["ring", "Zoë's star", "path, the third", "ring 2", "star 2", "path 2"]


def networks() -> dict[str, nx.Graph]:
    """Return graphs by name, with an age and a kind of each node and a length of each edge."""
    shapes = [
        nx.cycle_graph(5),
        nx.star_graph(4),
        nx.path_graph(6),
        nx.cycle_graph(7),
        nx.star_graph(3),
        nx.path_graph(3),
    ]
    for number, graph in enumerate(shapes):
        for node in graph:
            graph.nodes[node].update(age=3 * node + number, kind="ab"[node % 2])
        for place, (one, two) in enumerate(graph.edges):
            graph.edges[one, two]["length"] = 0.5 * place
        graph.graph["shape"] = NAMES[number].split()[-2 if number < 3 and number else 0].strip(",")
    return dict(zip(NAMES, shapes, strict=True))


def tables(home: Path, *, keyed: bool) -> dict[str, Path]:
    """Write three tables; ids of nodes are unique in all graphs, or in each where edges name the graph."""
    lines: dict[str, list[str]] = {
        "graphs": ["title;shape"],
        "nodes": ["node;graph;age;kind"],
        "edges": ["source;target;length"],
    }
    lines["edges"][0] += ";graph" if keyed else ""
    for number, (name, graph) in enumerate(networks().items()):

        def called(node: int, number: int = number) -> str:
            return str(node) if keyed else f"{number}-{node}"

        lines["graphs"].append(f"{name};{'abc'[number % 3]}")
        lines["nodes"] += [f"{called(n)};{name};{about['age']};{about['kind']}" for n, about in graph.nodes(data=True)]
        ends = [(called(one), called(two), str(length)) for one, two, length in graph.edges.data("length")]
        lines["edges"] += [";".join([*end, *([name] if keyed else [])]) for end in ends]
    paths = {of: home / f"{of}.csv" for of in lines}
    for of, path in paths.items():
        path.write_text("\n".join(lines[of]) + "\n", encoding="utf-8")
    return paths


def files(home: Path) -> list[Path]:
    paths = [home / f"{name}.json" for name in NAMES]
    for path, graph in zip(paths, networks().values(), strict=True):
        path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")), encoding="utf-8")
    return paths


@pytest.mark.parametrize("form", ["tables", "keyed tables", "files"])
def test_tables_and_files_give_the_same_graphs(tmp_path, form):
    if form == "files":
        made = import_graph_set(files(tmp_path), tmp_path / "set")
    else:
        paths = tables(tmp_path, keyed=form == "keyed tables")
        options = {"graphs": paths["graphs"], "nodes": paths["nodes"], "undirected": True}
        made = import_graph_set(paths["edges"], tmp_path / "set", target="shape", **options)
        assert (made.classes, made.target["class_names"]) == (3, ["a", "b", "c"])
    kept = load(str(tmp_path / "set")) if form != "files" else load(tmp_path / "set")
    assert (made.kind, made.graphs, made.undirected) == ("graph", 6, True)
    assert list(kept.graph_names) == NAMES
    assert kept.feature_columns == ["age", "kind=a", "kind=b"]
    ages = np.array([about["age"] for graph in networks().values() for _, about in graph.nodes(data=True)])
    for graph, each in zip(networks().values(), kept, strict=True):
        age = [about["age"] for _, about in graph.nodes(data=True)]
        assert each.x[:, 0].tolist() == pytest.approx((np.array(age) - ages.mean()) / ages.std(), abs=1e-6)
        assert each.x[:, 1].tolist() == [float(about["kind"] == "a") for _, about in graph.nodes(data=True)]
        found = {(int(a), int(b)): float(c) for (a, b), c in zip(each.edge_index.T, each.edge_attr[:, 0], strict=True)}
        assert found.keys() == {*graph.edges, *((two, one) for one, two in graph.edges)}
        assert all(found[one, two] == found[two, one] for one, two in graph.edges)


def test_a_folder_in_tus_format_is_what_pyg_reads(mirror, tmp_path):
    folder = mirror / "tu/MUTAG/raw"
    made = import_graph_set(folder, tmp_path / "set")
    kept = load(tmp_path / "set")
    theirs, slices, _ = read_tu_data(str(folder), "MUTAG")
    assert (len(kept), made.nodes, made.edges) == (188, 3371, 7442)
    assert torch.equal(kept.y, theirs.y)
    assert kept.class_names == ["-1", "1"]
    assert torch.equal(kept.x, theirs.x)
    assert torch.equal(kept.nodes, slices["x"].diff())
    order = [
        np.lexsort(each.numpy())
        for each in (kept[7].edge_index, theirs.edge_index[:, slices["edge_index"][7] : slices["edge_index"][8]])
    ]
    ours, other = (
        kept[7].edge_index[:, order[0]],
        theirs.edge_index[:, slices["edge_index"][7] : slices["edge_index"][8]],
    )
    assert torch.equal(ours, other[:, order[1]])


def test_a_table_of_smiles_is_what_ogb_makes_of_it(tmp_path):
    pytest.importorskip("rdkit")
    from ogb.utils import smiles2graph

    smiles = ["CCO", "no molecule", "c1ccccc1", "", "C[N+](C)(C)C", "O"]
    rows = [f"{text},{number / 2 if number else ''},{number % 2}" for number, text in enumerate(smiles)]
    (tmp_path / "molecules.csv").write_text("\n".join(["structure,solubility,toxic", *rows]) + "\n")
    made = import_graph_set(tmp_path / "molecules.csv", tmp_path / "set", smiles="structure", target=["solubility"])
    kept = load(tmp_path / "set")
    assert (made.graphs, made.molecules, made.target["kind"]) == (4, True, "numbers")
    assert made.how["notes"] == ["2 rows hold no molecule and are left out (row 2, 4)"]
    assert list(kept.graph_names) == [smiles[place] for place in (0, 2, 4, 5)]
    assert kept.target_names == ["solubility"]
    assert kept.items.y.isnan().tolist() == [True, False, False, False]
    for text, each in zip(kept.graph_names, kept, strict=True):
        theirs = smiles2graph(text)
        assert each.x.tolist() == theirs["node_feat"].tolist()
        assert each.edge_index.tolist() == theirs["edge_index"].tolist()
        assert each.edge_attr.tolist() == theirs["edge_feat"].tolist()


@pytest.mark.parametrize("form", ["tables", "smiles", "two tasks", "files"])
def test_the_command_that_an_import_prints_trains(call, tmp_path, form):
    if form in ("smiles", "two tasks"):
        pytest.importorskip("rdkit")
        rows = [
            f"{'C' * (1 + number)}O,{number / 3},{number % 2 if number % 3 else ''},{number // 2 % 2}"
            for number in range(12)
        ]
        Path("table.csv").write_text("\n".join(["smiles,y,one,two", *rows]) + "\n")
        columns = ["y"] if form == "smiles" else ["one", "two"]
        arguments = ["table.csv", "--smiles", "smiles", *(part for name in columns for part in ("--target", name))]
    elif form == "tables":
        paths = tables(tmp_path, keyed=True)
        arguments = [
            str(paths["edges"]),
            "--graphs",
            str(paths["graphs"]),
            "--nodes",
            str(paths["nodes"]),
            "--target",
            "shape",
        ]
    else:
        arguments = [*map(str, files(tmp_path)), "--target", "shape"]
    code, _, told = call("data", "import", *arguments, "--to", "my set")
    assert code == 0, told
    code, _, told = call("train", "my set", "--model", "gin", "--seeds", "1", "--epochs", "1")
    assert code == 0, told
    assert call("data", "card", "my set")[0] == 0
    assert call("data", "verify", "my set")[0] == 0
    code, said, _ = call("data", "import", *arguments, "--dry-run")
    assert (code, "target" in said) == (0, True)


class Rings(InMemoryDataset):
    """A data set of PyG."""

    def __init__(self, graphs: list[Data]) -> None:
        super().__init__()
        self.data, self.slices = self.collate(graphs)


def rings() -> list[Data]:
    made = []
    for size in range(3, 23):
        ends = torch.arange(size)
        edges = torch.stack([torch.cat([ends, ends.roll(1)]), torch.cat([ends.roll(1), ends])])
        made.append(Data(x=torch.ones(size, 2), edge_index=edges, y=size % 2, text="left out"))
    return made


def test_a_list_and_a_data_set_of_pyg_are_the_same_set(tmp_path):
    one, two = GraphSet.of(rings()), GraphSet.of(Rings(rings()))
    assert graphs_sha256(one) == graphs_sha256(two)
    assert all(torch.equal(each.edge_index, other.edge_index) for each, other in zip(one, rings(), strict=True))
    split = RandomSplit()(one.items, torch.Generator().manual_seed(0))
    expected = train(one.with_split(split), recipe("gin", {"epochs": 2}, items="graphs")).record.metric
    assert train(Rings(rings()), recipe("gin", {"epochs": 2}, items="graphs"), splits=[split]).record.metric == expected
    embedded = embed(Rings(rings()), embedding_recipe("prototype", {"epochs": 1}, level="graph"), splits=[split])
    assert embedded.embeddings[0].shape[0] == 20
    kept = load(store(one.with_split(split), tmp_path / "rings").folder)
    assert graphs_sha256(kept) == graphs_sha256(one)
    assert torch.equal(kept.split.test, split.test)


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        ([], "at least one graph"),
        ([Data(x=torch.ones(1, 1))], "has no `edge_index`"),
        ([rings()[0], Data(edge_index=rings()[1].edge_index, y=0, num_nodes=4)], "graph 1 has no `x`"),
        ([rings()[0], rings()[0].clone().update({"x": torch.ones(3, 5)})], "as many columns in all graphs"),
        (
            [Data(edge_index=rings()[0].edge_index, y=torch.arange(3), num_nodes=3)],
            "`y` must be one row for each graph",
        ),
    ],
)
def test_graphs_that_are_no_set(graphs, message):
    with pytest.raises(ValueError, match=message):
        GraphSet.of(graphs)
    with pytest.raises(TypeError, match="must be a list of torch_geometric"):
        GraphSet.of(3)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"graphs": "title;shape\n"}, "no column holds the ids of the graphs"),
            ({"graphs": "title;shape\nring;a\nring;b\n"}, "no column holds the ids of the graphs"),
            ({"nodes": "node;kind\n0-0;a\n"}, "the table of nodes has no column of graphs"),
            ({"nodes": "node;graph\n0-0;ring\n"}, "no column of the table of nodes holds the ids of the edges"),
            ({"edges": "source\n0-0\n"}, "must have two columns"),
            ({"edges": "source;target\n0-0;1-0\n"}, "row 1 is an edge from one graph to another"),
            (
                {"edges": "source;target\n0-0;0-1\n0-0;0-99\n"},
                "row 2 of the edges: no node of its graph is called '0-99'",
            ),
        ],
    )
    def test_tables_that_do_not_fit(self, tmp_path, change, message):
        paths = tables(tmp_path, keyed=False)
        for of, text in change.items():
            paths[of].write_text(text)
        with pytest.raises(DataError, match=message):
            import_graph_set(paths["edges"], tmp_path / "set", graphs=paths["graphs"], nodes=paths["nodes"])
        assert not (tmp_path / "set").exists()

    def test_columns_and_folders_that_are_not_there(self, tmp_path):
        paths = tables(tmp_path, keyed=False)
        options = {"graphs": paths["graphs"], "nodes": paths["nodes"]}
        with pytest.raises(DataError, match=r"has no column 'weight' \(`target`\); it has graph, shape"):
            import_graph_set(paths["edges"], tmp_path / "set", target="weight", **options)
        with pytest.raises(DataError, match="no table has a column 'nothing' that could be 'ignore'"):
            import_graph_set(paths["edges"], tmp_path / "set", columns={"nothing": "ignore"}, **options)
        with pytest.raises(DataError, match="holds no set of graphs in TU's format"):
            import_graph_set(tmp_path, tmp_path / "set")
        with pytest.raises(DataError, match="has no column 'smiles'"):
            import_graph_set(paths["edges"], tmp_path / "set", smiles="smiles")

    def test_a_full_disk_leaves_nothing(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        paths = tables(tmp_path, keyed=False)
        monkeypatch.setattr(arrays.ArrayWriter, "append", full)
        with pytest.raises(DataError, match="cannot be written: No space left on device"):
            import_graph_set(paths["edges"], tmp_path / "set", graphs=paths["graphs"], nodes=paths["nodes"])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["edges.csv", "graphs.csv", "nodes.csv"]

    def test_molecules_without_rdkit_name_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "rdkit", None)
        (tmp_path / "a.csv").write_text("smiles,y\nCCO,1\n")
        with pytest.raises(DataError, match=r"graphkit\[molecules\]"):
            import_graph_set(tmp_path / "a.csv", tmp_path / "set", smiles="smiles")
