"""One bit of any file that is written and read back is turned: the same content, or an error that names the file."""

from __future__ import annotations

import inspect
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

import graphkit.data
from graphkit._torch_internals import joined_graphs
from graphkit.data import (
    DataError,
    GraphSet,
    Synthetic,
    cached_fourier_basis,
    fetch,
    import_graph,
    import_graph_set,
    import_series,
    load,
    open_stored,
    partition,
    store,
    synthesize,
    verify,
)
from graphkit.data.catalog import cached_graphs
from graphkit.data.catalog.cached_graphs import flatten
from graphkit.data.disk import external_sort
from graphkit.data.distributed.partitions import Partitions
from graphkit.data.fingerprint import tensors_sha256
from tests import raw_arxiv

Content = dict[str, Any]


def of_data(data: Data) -> Content:
    """Return all that is trained on, and what a record says of it."""
    held = {name: value.clone().as_subclass(Tensor) for name, value in data if isinstance(value, Tensor)}
    about = data.get("store")
    return held | ({"about": vars(about) | {"folder": None}} if about else {})


def write_stored(home: Path) -> None:
    store(load("karate"), home / "graph")


def write_synthetic(home: Path) -> None:
    synthesize(home / "graph", Synthetic(nodes=40, edges=90, features=3, classes=2))


def write_parts(home: Path) -> None:
    partition(load("karate"), home / "parts", parts=2, by="contiguous")


def read_parts(home: Path) -> Content:
    parts = Partitions(home / "parts")
    found: Content = {name: torch.from_numpy(parts.array(name.removesuffix(".npy"))) for name in parts.files}
    counts = (parts.parts, parts.nodes, parts.edges, parts.features, parts.classes)
    return found | {"about": parts.about, "counts": counts, "fingerprint": parts.fingerprint}


def write_half(home: Path) -> None:
    """Leave an import that was stopped before its edges were merged."""
    random = np.random.default_rng(0)
    for name, table in (
        ("edges", random.integers(0, 9, (60, 2))),
        ("x", random.random((9, 2))),
        ("y", np.arange(9) % 2),
    ):
        if not (home.parent / f"{name}.npy").exists():
            np.save(home.parent / f"{name}.npy", table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_sort, "merge_runs", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            read_half(home)


def read_half(home: Path) -> Content:
    at = home.parent
    options = {"features": at / "x.npy", "labels": at / "y.npy", "relabel": True, "undirected": True, "piece": 20}
    return of_data(open_stored(import_graph(at / "edges.npy", home / "graph", **options).folder))


RING = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])


def write_basis(home: Path) -> None:
    cached_fourier_basis(RING, num_nodes=3, cache_dir=home)


def read_basis(home: Path) -> Content:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the kept Fourier basis")
        basis = cached_fourier_basis(RING, num_nodes=3, cache_dir=home)
    return {"values": basis.eigenvalues, "vectors": basis.eigenvectors.abs()}


def drawn() -> dict[str, Any]:
    """Return a graph, a set of graphs and a graph with types, small and of all kinds of fields."""
    typed = HeteroData()
    typed["a"].num_nodes = 3
    typed["a", "to", "a"].edge_index = RING
    graph = Data(x=torch.eye(3), edge_index=RING, y=torch.arange(3), num_nodes=3)
    three, six = torch.tensor([3]), torch.tensor([6])
    return {"graph": graph, "set": GraphSet(Data(x=torch.eye(3), edge_index=RING, y=three), nodes=three, edges=six),
            "typed": typed}  # fmt: skip


def write_caches(home: Path) -> None:
    for name, data in drawn().items():
        cached_graphs.write_graph(data, home / f"{name}.safetensors")


def read_caches(home: Path) -> Content:
    found: Content = {}
    for name, data in drawn().items():
        back = cached_graphs.read_graph(home / f"{name}.safetensors") or data  # as `load` reads anew what is not whole
        held = flatten(back) if isinstance(back, HeteroData) else getattr(back, "_data", back).to_dict()
        found |= {f"{name}.{field}": torch.as_tensor(value) for field, value in held.items() if value is not None}
    return found


def write_series(home: Path) -> None:
    (home.parent / "signals.csv").write_text(
        "time,a,b\n" + "".join(f"{1_600_000_000 + 60 * row},{row},2\n" for row in range(5))
    )
    (home.parent / "roads.csv").write_text("from,to,weight\na,b,0.5\n")
    import_series(home.parent / "signals.csv", home.parent / "roads.csv", home / "graph")


def read_series(home: Path) -> Content:
    found = open_stored(home / "graph")
    return {"signals": found.signals, "times": found.times, "edges": found.edge_index, "weight": found.edge_weight}


def write_set(home: Path) -> None:
    (home.parent / "edges.csv").write_text("graph,source,target,kind\n" + "1,1,2,a\n1,2,3,b\n7,1,2,a\n7,2,1,b\n" * 3)
    import_graph_set(home.parent / "edges.csv", home / "graph")


def read_set(home: Path) -> Content:
    graphs = open_stored(home / "graph")
    counts = {"nodes": graphs.nodes, "edges": graphs.edges}
    return of_data(joined_graphs(graphs)) | counts | {"about": vars(graphs.store) | {"folder": None}}


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Content]]] = {
    "store": (write_stored, lambda home: of_data(open_stored(home / "graph"))),
    "synthesize": (write_synthetic, lambda home: of_data(load(home / "graph"))),
    "partition": (write_parts, read_parts),
    "import_graph": (write_half, read_half),
    "import_graph_set": (write_set, read_set),
    "import_series": (write_series, read_series),
    "cached_fourier_basis": (write_basis, read_basis),
    "cache": (write_caches, read_caches),
}
ELSEWHERE = {
    "AddFourierBasis": "calls `cached_fourier_basis`",
    "Partitions": "reads what `partition` wrote",
    "open_stored": "reads what `store` wrote",
    "synthesize_ogb": "text that is read as a data set; see the test of data sets without checksums",
}
"""Public names that take a folder and are covered by another case."""


def test_every_public_writer_is_among_the_cases():
    named = set()
    for name in graphkit.data.__all__:
        made = getattr(graphkit.data, name)
        made = made.__init__ if inspect.isclass(made) else made
        if {"folder", "to", "cache_dir"} & set(inspect.signature(made).parameters):
            named.add(name)
    named.discard("StoredGraph")  # what a manifest says, not one who reads it
    assert named - set(ELSEWHERE) <= set(CASES)


def flips(home: Path, places: int) -> Iterator[tuple[Path, bytes]]:
    """Yield each file below ``home`` with one bit turned, where a seed says; of many places also at its ends."""
    random = np.random.default_rng(0)
    for path in sorted(path for path in home.rglob("*") if path.is_file() and path.stat().st_size):
        whole = path.read_bytes()
        ends = [0, len(whole) - 1] if places > 10 else []
        for place in sorted({*ends, *random.integers(len(whole), size=places).tolist()}):
            turned = bytearray(whole)
            turned[place] ^= 1 << int(random.integers(8))
            yield path, bytes(turned)


def same(one: Content, two: Content) -> bool:
    tensors = [{name: value for name, value in each.items() if isinstance(value, Tensor)} for each in (one, two)]
    rest = [{name: value for name, value in each.items() if not isinstance(value, Tensor)} for each in (one, two)]
    return tensors_sha256(tensors[0]) == tensors_sha256(tensors[1]) and rest[0] == rest[1]


def assert_told_or_unharmed(case: str, home: Path, places: int) -> None:
    write, read = CASES[case]
    made, spoilt = home / "made", home / "spoilt"
    made.mkdir()
    write(made)
    shutil.copytree(made, spoilt)
    expected = read(spoilt)
    told = []
    for path, turned in flips(made, places):
        shutil.rmtree(spoilt)
        shutil.copytree(made, spoilt)
        (spoilt / path.relative_to(made)).write_bytes(turned)
        try:
            found = read(spoilt)
        except DataError as error:
            told.append((path.name, str(error)))
        else:
            assert same(found, expected), f"{path.name}: other content, and no word"
    assert [(name, said) for name, said in told if name not in said] == []
    if case in ("store", "synthesize", "partition"):
        assert told, "damage is seen"


@pytest.mark.parametrize("case", CASES)
def test_a_turned_bit_is_told_or_does_no_harm(case, tmp_path):
    assert_told_or_unharmed(case, tmp_path, places=2)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_turned_bit_at_many_places_is_told_or_does_no_harm(case, tmp_path):
    assert_told_or_unharmed(case, tmp_path, places=120)


def test_a_set_without_checksums_is_what_it_was_when_it_was_first_read(arxiv, data_home):
    shutil.copytree(arxiv, data_home / "ogb/ogbn_arxiv")
    expected = of_data(load("ogbn-arxiv"))
    raw, seal = data_home / "ogb", data_home / "seals/ogbn-arxiv.json"
    for path, turned in flips(data_home, 3):
        whole = path.read_bytes()
        path.write_bytes(turned)
        if path.is_relative_to(raw) or path == seal:
            for asked in (load, verify, fetch):
                with pytest.raises(DataError) as told:
                    asked("ogbn-arxiv")
                assert str(path) in str(told.value)
        else:
            assert same(of_data(load("ogbn-arxiv")), expected)
        path.write_bytes(whole)
    assert same(of_data(load("ogbn-arxiv")), expected)


def test_another_file_is_taken_where_the_seal_is_deleted(arxiv, data_home):
    shutil.copytree(arxiv, data_home / "ogb/ogbn_arxiv")
    load("ogbn-arxiv")
    path = data_home / "ogb/ogbn_arxiv/raw/node-label.csv.gz"
    other = (torch.arange(raw_arxiv.NODES) * 3 % raw_arxiv.CLASSES)[:, None]
    raw_arxiv.tables(path.parent, {"node-label": other})
    with pytest.raises(
        DataError, match=r"node-label.csv.gz is not what it was when it was first read.*or delete"
    ) as told:
        load("ogbn-arxiv")
    seal = data_home / "seals/ogbn-arxiv.json"
    assert str(seal) in str(told.value)
    seal.unlink()
    assert torch.equal(load("ogbn-arxiv").y, other.flatten())
    assert seal.is_file()
