"""A law over awkward graphs: the command that an import prints works, on all of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse

from graphkit.data import load

RING = [(node, (node + 1) % 12) for node in range(12)]
NAMES = ["Zoë, the first", "李", "naïve", 'a "quoted" one', "x;y", "NA", "null", " spaced", "007", "0,1", "é", "#hash"]


def rows(path: str, *lines: object, separator: str = ",") -> str:
    """Write a table; values with a comma or a quote in them are quoted."""

    def cell(value: object) -> str:
        text = str(value)
        return '"' + text.replace('"', '""') + '"' if set(text) & {",", '"', ";"} else text

    Path(path).write_text("".join(separator.join(map(cell, line)) + "\n" for line in lines), encoding="utf-8")
    return path


def ring(path: str = "edges.csv", called: Callable[[int], object] = int, further: tuple[object, ...] = ()) -> str:
    return rows(path, ("source", "target"), *[(called(one), called(two)) for one, two in (*RING, *further)])


def people(path: str = "nodes.csv", called: Callable[[int], object] = int, nodes: range = range(12)) -> str:
    kinds = ["smith", "baker"]
    table = [(called(node), 20 + 3 * node if node % 4 else "", kinds[node % 2]) for node in nodes]
    return rows(path, ("person", "age", "class"), *table)


def no_labels() -> list[str]:
    return [ring()]


def no_features() -> list[str]:
    return [ring(), "--labels", rows("y.csv", *[(node, "ab"[node % 2]) for node in range(12)])]


def one_class_with_one_node() -> list[str]:
    return [ring(), "--labels", rows("y.csv", *[(node, "rare" if node == 7 else "ab"[node % 2]) for node in range(12)])]


def isolated_nodes() -> list[str]:
    return [ring(), "--nodes", people(nodes=range(20))]


def self_loops_and_duplicates() -> list[str]:
    return [ring(further=((3, 3), (0, 1), (0, 1), (1, 0))), "--nodes", people(), "--undirected"]


def text_ids() -> list[str]:
    return [ring(called=NAMES.__getitem__), "--nodes", people(called=NAMES.__getitem__)]


def huge_ids() -> list[str]:
    def called(node: int) -> int:
        return 9_007_199_254_740_993 + 10**12 * node

    return [ring(called=called), "--nodes", people(called=called)]


def huge_ids_without_a_table() -> list[str]:
    return [ring(called=lambda node: 10**15 * node - 7)]


def missing_labels() -> list[str]:
    return [ring(), "--labels", rows("y.tsv", *[(n, "" if n % 3 == 0 else n % 2) for n in range(12)], separator="\t")]


def weights_with_gaps() -> list[str]:
    lines = [(one, two, "" if one % 5 == 0 else one / 2) for one, two in RING]
    return [rows("edges.txt", ("from", "to", "weight"), *lines, separator="\t"), "--nodes", people()]


def negative_weights() -> list[str]:
    lines = [(one, two, one - 5) for one, two in RING]
    return [rows("edges.csv", ("from", "to", "weight"), *lines), "--nodes", people()]


def directed() -> list[str]:
    return [ring(), "--nodes", people(), "--directed"]


def fewer_nodes_than_ids() -> list[str]:
    return [ring(), "--nodes", people(nodes=range(9))]


def labels_far_apart() -> list[str]:
    return [ring(), "--labels", rows("y.csv", ("id", "label"), *[(node, 10**12 * (node % 3)) for node in range(12)])]


def labels_of_minus_one_and_one() -> list[str]:
    return [ring(), "--labels", rows("y.csv", *[(2 * (node % 2) - 1,) for node in range(12)])]


def semicolons() -> list[str]:
    lines = [(one, two) for one, two in RING]
    return [rows("edges.csv", ("von", "nach"), *lines, separator=";"), "--nodes", people()]


def a_split_in_a_column() -> list[str]:
    table = [(node, node % 2, ("train", "valid", "test")[node % 3]) for node in range(12)]
    return [ring(), "--nodes", rows("nodes.csv", ("id", "y", "split"), *table)]


def comments_before_the_edges() -> list[str]:
    text = "# Directed graph\n# FromNodeId\tToNodeId\n" + "".join(f"{one}\t{two}\n" for one, two in RING)
    Path("edges.txt").write_text(text)
    return ["edges.txt", "--nodes", people()]


def a_graph_of_networkx() -> nx.Graph:
    graph = nx.Graph()
    for node in range(12):
        graph.add_node(f"n{node}", age=node, label="ab"[node % 2])
    graph.add_edges_from((f"n{one}", f"n{two}", {"weight": 0.5 + one, "kind": "xy"[one % 2]}) for one, two in RING)
    return graph


def graphml() -> list[str]:
    nx.write_graphml(a_graph_of_networkx(), "graph.graphml")
    return ["graph.graphml"]


def gexf() -> list[str]:
    nx.write_gexf(a_graph_of_networkx(), "graph.gexf")
    return ["graph.gexf", "--target", "label"]


def node_link() -> list[str]:
    Path("graph.json").write_text(json.dumps(nx.node_link_data(a_graph_of_networkx(), edges="links")))
    return ["graph.json"]


def edge_list_of_networkx() -> list[str]:
    nx.write_edgelist(a_graph_of_networkx(), "graph.edgelist")
    return ["graph.edgelist", "--labels", rows("y.csv", *[(f"n{node}", "ab"[node % 2]) for node in range(12)])]


def sparse_matrices() -> list[str]:
    one, two = np.array(RING).T
    scipy.sparse.save_npz("edges.npz", scipy.sparse.csr_array((np.ones(12), (one, two)), shape=(12, 12)))
    scipy.sparse.save_npz("x.npz", scipy.sparse.eye_array(12, format="csr"))
    np.save("y.npy", np.arange(12) % 3)
    return ["edges.npz", "--features", "x.npz", "--labels", "y.npy"]


def a_whole_matrix_of_structure() -> list[str]:
    kinds = ("degree", "one-hot", "random-walk", "laplacian")
    return [ring(), "--nodes", people(), "--undirected", *(part for kind in kinds for part in ("--structure", kind))]


AWKWARD = [
    *(no_labels, no_features, one_class_with_one_node, isolated_nodes, self_loops_and_duplicates, text_ids, huge_ids),
    *(huge_ids_without_a_table, missing_labels, weights_with_gaps, negative_weights, directed, fewer_nodes_than_ids),
    *(labels_far_apart, labels_of_minus_one_and_one, semicolons, a_split_in_a_column, comments_before_the_edges),
    *(graphml, gexf, node_link, edge_list_of_networkx, sparse_matrices, a_whole_matrix_of_structure),
]


@pytest.mark.filterwarnings("ignore:`edge_index` is directed:UserWarning")  # of one of the models that are tried
@pytest.mark.parametrize("awkward", AWKWARD, ids=lambda made: made.__name__)
def test_the_command_that_an_import_prints_works(call, awkward):
    code, _, told = call("data", "import", *awkward(), "--to", "my graph")
    assert code == 0, told
    last = told.splitlines()[-1]
    assert ("Train on it: " in last) == (awkward not in (no_labels, huge_ids_without_a_table)), told
    command = shlex.split(last.partition(" it: ")[2])
    assert command[0] == "graphkit"
    short = ("--seeds", "1", "--epochs", "2") if command[1] == "train" else ()
    code, _, told = call(*command[1:], *short)
    assert code == 0, told


@pytest.mark.parametrize("command", ["train", "embed", "fewshot", "spectrum", "data card", "data verify"])
def test_every_command_takes_the_folder(call, command):
    assert call("data", "import", *a_whole_matrix_of_structure(), "--to", "graph")[0] == 0
    short = {
        "train": ("--seeds", "1", "--epochs", "1"),
        "embed": ("--epochs", "1", "--no-pictures"),
        "fewshot": ("--learner", "prototypes-2", "--tasks", "1", "--shots", "1", "--queries", "1"),
    }
    code, _, told = call(*command.split(), "./graph", *short.get(command, ()))
    if command == "fewshot":  # of two classes none is left to be tested on
        assert (code, "classes" in told) == (2, True), told
        return
    assert code == 0, told


def test_names_are_those_of_the_tables(call):
    call("data", "import", *text_ids(), "--to", "graph", "--column", "age=raw")
    data = load("graph")
    assert list(data.node_names) == [name.strip() for name in NAMES]
    assert data.node_names.index("李") == 1
    assert data.class_names == ["baker", "smith"]
    assert data.y.tolist() == [1, 0] * 6
    assert data.feature_columns == ["age"]
    there = [20 + 3 * node for node in range(12) if node % 4]
    expected = [20 + 3 * node if node % 4 else np.mean(there) for node in range(12)]
    assert data.x[:, 0].tolist() == pytest.approx(expected)
    assert sorted(map(tuple, data.edge_index.as_tensor().T.tolist())) == sorted(RING)


def test_weights_and_features_of_edges_stay_with_their_edges(call):
    nx.write_graphml(a_graph_of_networkx(), "graph.graphml")
    call("data", "import", "graph.graphml", "--to", "graph")
    data = load("graph")
    found = {
        (data.node_names[int(one)], data.node_names[int(two)]): (float(weight), *kind.tolist())
        for (one, two), weight, kind in zip(
            data.edge_index.as_tensor().T, data.edge_weight, data.edge_attr, strict=True
        )
    }
    expected = {}
    for one, two in RING:
        value = (0.5 + one, *([1.0, 0.0] if one % 2 == 0 else [0.0, 1.0]))
        expected |= {(f"n{one}", f"n{two}"): value, (f"n{two}", f"n{one}"): value}
    assert found == expected
    assert data.edge_columns == ["kind=x", "kind=y"]


def test_a_dry_run_shows_what_columns_are_taken_for_and_writes_nothing(call):
    files = [*isolated_nodes()]
    code, said, _ = call("data", "import", *files, "--dry-run")
    assert code == 0
    rows_ = {tuple(line.split()[:3]) for line in said.splitlines()}
    expected = {("edges", "source", "from"), ("edges", "target", "to"), ("nodes", "person", "id")}
    assert expected | {("nodes", "age", "number"), ("nodes", "class", "target")} <= rows_
    assert not Path("my graph").exists()
    _, said, _ = call("data", "import", *files, "--dry-run", "--column", "age=category")
    assert ("nodes", "age", "category") in {tuple(line.split()[:3]) for line in said.splitlines()}


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        (isolated_nodes, ("--target", "job"), "has no column 'job'; it has person, age, class"),
        (isolated_nodes, ("--id", "age"), "row 1 has no id in 'age'"),
        (isolated_nodes, ("--column", "agee=ignore"), "no table has a column 'agee' that could be 'ignore'"),
        (
            fewer_nodes_than_ids,
            ("--unknown-ids", "refuse"),
            "3 ids of the edges are not in the table of nodes (9, 10, 11)",
        ),
        (no_labels, ("--target", "job"), "is a column of a table of nodes"),
    ],
)
def test_a_column_or_an_id_that_is_not_there_is_told(call, made, arguments, message):
    code, _, told = call("data", "import", *made(), *arguments, "--to", "graph")
    assert (code, message in told) == (1, True), told
    assert not list(Path().glob(".graph*"))
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"edges.csv": "source,target\n0,1\n", "nodes.csv": "id,age\n"}, "nodes.csv has no row"),
        ({"edges.csv": "source,target\n0,1\n", "nodes.csv": ""}, "nodes.csv has no row"),
        ({"edges.csv": "", "nodes.csv": "id,age\n1,2\n"}, "the lists hold no edge"),
        ({"edges.csv": "0,1\n1,2\n", "nodes.csv": "id,age\n1,2\n1,2\n"}, "no column has another value in each row"),
        ({"edges.csv": "0,1\n1,2\n", "nodes.csv": "key,age\n77,2\n78,3\n"}, "only 33 % of those looked at"),
        (
            {"edges.csv": "a,b\n1,\n2,3\n", "nodes.csv": "id,age\n1,2\n2,3\n3,4\n"},
            "row 1 must hold integers, got nothing",
        ),
        ({"edges.csv": "a,b\nx,\ny,z\n"}, "row 1 has no id in column 'b'"),
        ({"edges.graphml": "<graphml"}, "cannot be read as graphml"),
        ({"edges.json": "[1]"}, "cannot be read as json: it has no list `nodes`"),
        ({"edges.npz": "no archive"}, "no sparse matrix"),
        ({"edges.csv": b"\xff\xfe0,1\n"}, "is no text in UTF-8"),
        ({"edges.xlsx": "0,1"}, "a table ends in .csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(str(value))),
)
def test_a_table_that_is_none_is_told_in_one_line(call, files, message):
    for name, text in files.items():
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    edges, *nodes = files
    given = ("--nodes", nodes[0]) if nodes else ()
    code, _, told = call("data", "import", edges, *given, "--to", "graph")
    assert code == 1, told
    assert message in told
    assert len(told.strip().splitlines()) == 1
    assert not Path("graph").exists()
