"""Files of a whole graph, as tables of its edges and its nodes: GraphML, GEXF, node-link JSON, sparse matrices."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.data.disk.checked_files import DataError

if TYPE_CHECKING:
    import networkx
    import pandas

GRAPH_FORMS = (".graphml", ".gexf", ".json", ".npz")
"""Endings of such files; ``.npz`` is a sparse matrix as SciPy writes it."""


@dataclass(frozen=True, eq=False)
class GraphTables:
    """A graph as tables.

    Args:
        edges: columns "source" and "target", and what the edges carry.
        nodes: column "id" and what the nodes carry; nothing where the file tells of edges only.
        directed: whether an edge has one direction; ``None`` where the file does not say.
        about: what the file says of the graph as a whole.
        count: number of nodes, where ids are numbers from 0.
    """

    edges: pandas.DataFrame
    nodes: pandas.DataFrame | None
    directed: bool | None
    about: Mapping[str, Any]
    count: int | None = None


def is_graph_file(path: Path) -> bool:
    """Return whether a file holds a whole graph by its ending, or by how its first line ends (``1 2 {}``)."""
    if path.suffix in GRAPH_FORMS:
        return True
    return path.suffix == ".edgelist" and _has_dicts(path)


def read_graph_file(path: Path) -> GraphTables:
    """Return the tables of a graph's file.

    Raises:
        DataError: for a file that is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing.")
    if path.suffix == ".npz":
        return _matrix_tables(path)
    import networkx

    readers: dict[str, Any] = {
        ".graphml": networkx.read_graphml,
        ".gexf": networkx.read_gexf,
        ".json": _read_node_link,
        ".edgelist": lambda file: networkx.read_edgelist(file, create_using=networkx.DiGraph),
    }
    try:
        graph = readers[path.suffix](path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # what a reader raises depends on the parser below it
        said = " ".join(str(error).split())[:150] or type(error).__name__
        raise DataError(f"{path} cannot be read as {path.suffix[1:]}: {said}.") from error
    return network_tables(graph, directed=None if path.suffix == ".edgelist" else graph.is_directed())


def network_tables(graph: networkx.Graph, *, directed: bool | None) -> GraphTables:
    """Return the tables of a graph of NetworkX; values that are lists or tables themselves are left out."""
    import pandas

    nodes = pandas.DataFrame([_plain(values) for _, values in graph.nodes(data=True)])
    nodes = nodes.drop(columns=[name for name in ("id",) if name in nodes])
    nodes.insert(0, "id", [str(node) for node in graph.nodes()])
    edges = pandas.DataFrame([_plain(values) for _, _, values in graph.edges(data=True)])
    edges = edges.drop(columns=[name for name in ("id", "source", "target") if name in edges])
    ends = list(graph.edges())
    edges.insert(0, "source", pandas.Series([str(source) for source, *_ in ends], dtype="string"))
    edges.insert(1, "target", pandas.Series([str(target) for _, target, *_ in ends], dtype="string"))
    return GraphTables(edges, nodes, directed, _plain(graph.graph))


def read_sparse(path: Path) -> Any:
    """Return the sparse matrix in a ``.npz`` file of SciPy.

    Raises:
        DataError: for a file that is none.
    """
    import scipy.sparse

    if not path.is_file():
        raise DataError(f"{path} is missing.")
    try:
        return scipy.sparse.load_npz(path)
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no sparse matrix as `scipy.sparse.save_npz` writes it ({said}).") from error


def _matrix_tables(path: Path) -> GraphTables:
    """Return the edges of a square matrix: one for each entry, which is its weight unless all are 1."""
    import pandas

    matrix = read_sparse(path).tocoo()
    if matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"{path}: a matrix of edges must be square, got {list(matrix.shape)}.")
    edges = pandas.DataFrame({"source": matrix.row.astype("int64"), "target": matrix.col.astype("int64")})
    if len(matrix.data) and not bool((matrix.data == 1).all()):
        edges["weight"] = matrix.data
    both = matrix.tocsr()
    directed = bool((abs(both - both.T) > 0).nnz)
    return GraphTables(edges, None, directed, {}, matrix.shape[0])


def _read_node_link(path: Path) -> networkx.Graph:
    """Return the graph of node-link JSON, whatever its lists of edges and its ids are called."""
    import networkx

    text = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(text, dict) or not isinstance(text.get("nodes"), list):
        raise ValueError("it has no list `nodes`")
    edges = next((name for name in ("edges", "links") if isinstance(text.get(name), list)), None)
    if edges is None:
        raise ValueError("it has no list `edges` or `links`")
    first = text["nodes"][0] if text["nodes"] else {}
    ends = {link[end] for link in text[edges] for end in ("source", "target")}
    ids = [name for name in first if all(isinstance(node.get(name), str | int) for node in text["nodes"])]
    # NetworkX looks for "id"; other tools name it otherwise, or mean places in the list of nodes.
    name = (
        "id" if "id" in first else next((each for each in ids if ends <= {node[each] for node in text["nodes"]}), "id")
    )
    if name == "id" and "id" not in first:
        for place, node in enumerate(text["nodes"]):
            node["id"] = place
    return networkx.node_link_graph(text, edges=edges, name=name)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in values.items() if isinstance(value, str | int | float | bool)}


def _has_dicts(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = next((line for line in file if line.strip() and not line.startswith("#")), "")
    except (OSError, UnicodeDecodeError):
        return False
    return line.rstrip().endswith("}") and "{" in line
