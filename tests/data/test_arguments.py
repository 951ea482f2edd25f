"""Every public name of the room, every argument, one table of bad values: an error in our words, or a known answer."""

from __future__ import annotations

import functools
import inspect
import math
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphkit
import graphkit.data
from graphkit.data import (
    LinkSplit,
    Part,
    Partitions,
    RandomLinks,
    Synthetic,
    TimeSplit,
    import_series,
    load,
    partition,
    store,
)
from graphkit.data.distributed.row_exchange import RowExchange
from graphkit.data.splits.links import LinkPart

BAD: dict[str, Any] = {
    "None": None,
    "a text": "nonsense",
    "no text": "",
    "a number": 3,
    "a real": 0.5,
    "minus one": -1,
    "zero": 0,
    "huge": 10**30,
    "nan": math.nan,
    "inf": math.inf,
    "true": True,
    "a list": [],
    "a list of texts": ["a", "b"],
    "a dict": {},
    "an object": object(),
    "a function": len,
    "an array": np.ones(3),
    "a real tensor": torch.rand(3),
    "an empty tensor": torch.empty(0),
    "a matrix": torch.rand(2, 3),
    "nan in a tensor": torch.full((34,), math.nan),
    "ids below zero": torch.full((2, 3), -1),
    "ids too large": torch.full((2, 3), 10**6),
    "a complex tensor": torch.ones(34, dtype=torch.complex64),
    "no data": Data(),
    "a generator": torch.Generator(),
}

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def several() -> dict[str, Any]:
    ones = torch.ones(4, dtype=torch.long)
    data = Data(x=torch.rand(4, 2), edge_index=torch.zeros(2, 4, dtype=torch.long), y=torch.arange(4) % 2)
    return {"data": data, "nodes": ones, "edges": ones}


def people() -> Data:
    return Data(attributes=torch.ones(5, 7, dtype=torch.long))


def directed() -> Data:
    return Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.arange(3))


def linked() -> Data:
    edges = torch.tensor([[0, 1]])
    return Data(edge_index=EDGES, train_edge=edges, val_edge=edges, val_edge_neg=edges, test_edge=edges)


def split_of_links() -> LinkSplit:
    return RandomLinks()(load("karate"), torch.Generator().manual_seed(0))


def series_table(home: Path) -> Path:
    path = home / "series.csv"
    path.write_text("time,0,1,2\n" + "".join(f"{60 * row},1.5,2,{row}\n" for row in range(60)))
    return path


def a_series(home: Path) -> Path:
    return import_series(series_table(home), listed(home), new(home)).folder


def a_link_split() -> dict[str, Any]:
    pairs = torch.tensor([[0], [1]])
    part = LinkPart(pairs, torch.tensor([[0], [2]]))
    seen = torch.tensor([True, False])
    return {"num_nodes": 3, "message": seen, "train": pairs, "val": part, "test": part, "directed": True}


def parts_in(home: Path) -> Path:
    if not (home / "parts").exists():
        partition(load("karate"), home / "parts", parts=1, by="contiguous")
    return home / "parts"


def graph_in(home: Path) -> Path:
    if not (home / "graph").exists():
        store(load("karate"), home / "graph")
    return home / "graph"


def listed(home: Path) -> Path:
    np.save(home / "edges.npy", EDGES.T.numpy())
    return home / "edges.npy"


def in_sets(home: Path) -> Path:
    np.save(home / "sets.npy", np.array([[0, 1, 2], [5, 1, 2]]))
    np.save(home / "nodes.npy", np.array([[0, 1], [0, 2], [5, 1], [5, 2]]))
    return home / "sets.npy"


def new(home: Path) -> Path:
    """Return a place where nothing is yet."""
    return home / f"new-{len(list(home.iterdir()))}"


GOOD: dict[str, Callable[[Path], dict[str, Any]]] = {
    "AddFourierBasis": lambda home: {"k": 2, "cache_dir": home},
    "ClassBatches": lambda home: {"y": torch.arange(8) % 2, "ways": 2, "shots": 2, "batches": 1},
    "FamilySplit": lambda home: {"train": ["karate"], "test": ["cora"]},
    "FixedClasses": lambda home: {"train": (0,), "val": (1,), "test": (2,)},
    "GraphFamily": lambda home: {"card": graphkit.data.card("karate"), "graphs": {"karate": load("karate")}},
    "GraphSet": lambda home: several(),
    "NestedFolds": lambda home: {},
    "Partitions": lambda home: {"folder": parts_in(home)},
    "Part": lambda home: {"partitions": Partitions(parts_in(home)), "exchange": RowExchange()},
    "Split": lambda home: dict(zip(("train", "val", "test"), torch.eye(3, dtype=torch.bool), strict=True)),
    "Synthetic": lambda home: {"nodes": 100, "edges": 50, "classes": 4},
    "cached_fourier_basis": lambda home: {"edge_index": EDGES, "num_nodes": 3, "cache_dir": home},
    "card": lambda home: {"name": "karate"},
    "PartitionedFeatures": lambda home: {"part": Part(Partitions(parts_in(home)), RowExchange())},
    "PartitionedGraph": lambda home: {"part": Part(Partitions(parts_in(home)), RowExchange())},
    "content_sha256": lambda home: {"data": load("karate")},
    "disjoint_union": lambda home: {"graphs": {"a": load("karate"), "b": load("karate")}},
    "edge_split": lambda home: {"data": linked()},
    "fetch": lambda home: {"name": "karate"},
    "few_shot_counts": lambda home: {"name": "coauthor-cs"},
    "fixed_classes": lambda home: {"name": "dblp"},
    "import_graph": lambda home: {"edges": listed(home), "to": new(home)},
    "import_graph_set": lambda home: {"source": in_sets(home), "to": new(home), "columns": {"0": "graph"}},
    "plan_import": lambda home: {"edges": listed(home)},
    "label_by": lambda home: {"data": people(), "names": "year"},
    "load": lambda home: {"name": "karate"},
    "load_splits": lambda home: {"name": "karate", "seeds": [0]},
    "LatestLinks": lambda home: {},
    "AcrossLinks": lambda home: {"graph": "a"},
    "RandomLinks": lambda home: {},
    "PublicLinks": lambda home: {},
    "LinkSplit": lambda home: a_link_split(),
    "TemporalGraph": lambda home: {"signals": torch.zeros(4, 3), "edge_index": EDGES},
    "ForecastSplit": lambda home: {"time": TimeSplit(20, 6, 6), "length": 2, "horizons": (1, 2)},
    "load_series": lambda home: {"name": a_series(home)},
    "import_series": lambda home: {"series": series_table(home), "edges": listed(home), "to": new(home)},
    "TimeSplit": lambda home: {"train": 3, "val": 1, "test": 2},
    "Windows": lambda home: {"signals": torch.zeros(4, 3, 1), "length": 2},
    "hard_negatives": lambda home: {"split": split_of_links(), "data": load("karate"), "count": 2},
    "link_split_from_name": lambda home: {"text": "random"},
    "load_links": lambda home: {"name": "karate"},
    "pair_score": lambda home: {"data": directed(), "pairs": torch.tensor([[0], [2]]), "name": "katz"},
    "pair_views": lambda home: {"data": directed(), "pairs": torch.tensor([[0], [2]]), "width": 4},
    "locality_order": lambda home: {"edge_index": EDGES, "num_nodes": 3},
    "families": lambda home: {},
    "names": lambda home: {},
    "ogb_metric": lambda home: {"name": "ogbg-molhiv", "y": torch.arange(3) % 2, "prediction": torch.rand(3)},
    "ogb_link_metric": lambda home: {"name": "ogbl-ddi", "positive": torch.rand(3), "negative": torch.rand(30)},
    "partition": lambda home: {"data": load("karate"), "folder": new(home), "parts": 2, "by": "contiguous"},
    "RandomGraphs": lambda home: {"seeds": [0]},
    "random_graph": lambda home: {"seed": 0, "nodes": (40, 50)},
    "reorder_nodes": lambda home: {"data": directed()},
    **{f"splits.{made.__name__}": lambda home: {} for made in graphkit.data.splits.PROTOCOLS.values()},
    "split_from_name": lambda home: {"text": "dense"},
    "store": lambda home: {"data": load("karate"), "folder": new(home)},
    "open_stored": lambda home: {"folder": graph_in(home)},
    "synthesize": lambda home: {"folder": new(home), "how": Synthetic(100, 50, 3, 4)},
    "synthesize_ogb": lambda home: {"folder": new(home), "how": Synthetic(100, 50, 3, 4)},
    "to_undirected": lambda home: {"data": directed()},
    "feature_sum": lambda home: {"data": directed(), "seen": torch.tensor([0, 2])},
    "graph_views": lambda home: {"data": directed(), "width": 4},
    "validate": lambda home: {"data": directed()},
    "verify": lambda home: {"name": "karate"},
}


RECORDS = "says what the library found out, and is made by it alone"
LOADER = "hands its arguments to PyG's loaders; its sampler's own are looked at in test_sampling.py"
EXEMPT = {
    "Card": RECORDS,
    "StoredGraph": RECORDS,
    "Verification": RECORDS,
    "DataError": "an error",
    "GraphViews": RECORDS,
    "LinkNeighborLoader": LOADER,
    "NeighborLoader": LOADER,
    "NeighborSampler": LOADER,
    "ClusterLoader": "see test_clusters.py",
    "metis_clusters": "see test_clusters.py",
}

NUMBER = {"a number", "huge"}
CHANCE = {"a number", "zero", "huge"}
TEXT = {"a text", "no text"}
ANSWERS: dict[str, set[str]] = {
    "AddFourierBasis.k": {"None", *NUMBER},  # of smaller graphs all pairs
    "AddFourierBasis.cache_dir": {"None", "a text"},
    "AddFourierBasis.normalization": {"None"},
    "AddFourierBasis.solver": TEXT,  # looked at where a basis is solved
    "AddFourierBasis.attr_name": TEXT,
    "ClassBatches.ways": NUMBER,
    "ClassBatches.shots": NUMBER,
    "ClassBatches.batches": NUMBER,
    "ClassBatches.generator": {"None", "a generator"},
    "GraphFamily.graphs": {"a dict"},
    "GraphSet.masks": {"None", "a dict"},
    "GraphSet.card": {"None"},
    "NestedFolds.folds": NUMBER,  # too many are refused with the labels
    "NestedFolds.inner": NUMBER,
    "NestedFolds.val": {"a real"},
    "PartitionedFeatures.tensors": {"None", "a dict"},
    "PartitionedFeatures.halo": {"None"},
    "Partitions.keep_halo": {"true"},
    "Split.protocol": TEXT,
    "Split.parameters": {"a dict"},
    "Split.rule": TEXT,
    "Synthetic.edges": CHANCE,
    "Synthetic.features": NUMBER,
    "Synthetic.classes": {"a number"},
    "Synthetic.exponent": NUMBER,
    "Synthetic.homophily": {"a real", "zero"},
    "Synthetic.signal": {*CHANCE, "a real", "minus one"},
    "Synthetic.neighbours": {*CHANCE, "a real", "minus one"},
    "Synthetic.noise": {"a real", "zero"},
    "Synthetic.train": {"a real", "zero"},
    "Synthetic.validation": {"zero"},
    "Synthetic.seed": CHANCE,
    "cached_fourier_basis.edge_weight": {"None"},
    "cached_fourier_basis.num_nodes": {"a number"},
    "cached_fourier_basis.k": {"None", "a number"},
    "cached_fourier_basis.normalization": {"None"},
    "cached_fourier_basis.cache_dir": {"None", "a text"},
    "disjoint_union.held_out": {"None"},
    "feature_sum.seen": {"None", "a list", "an empty tensor", "no data"},
    "graph_views.width": {"None", "a number"},
    "import_graph.features": {"None"},
    "import_graph.labels": {"None"},
    "import_graph.split": {"None"},
    "import_graph.nodes": {"None", "a number"},
    "import_graph.to": {"a text"},
    "import_graph.undirected": {"None", "true"},
    **{
        f"{name}.{argument}": answers
        for name in ("import_graph", "import_graph_set", "plan_import")
        for argument, answers in {
            "target": {"a list"},
            "target_kind": {"None"},
            "header": {"None", "true"},
        }.items()
    },
    "import_graph.columns": {"None", "a dict"},
    "plan_import.columns": {"None", "a dict"},
    "import_graph.ids": {"None"},
    "plan_import.ids": {"None"},
    "plan_import.nodes": {"None"},
    "plan_import.labels": {"None"},
    "import_graph.structure": {"None", "a list"},
    "import_graph_set.structure": {"None", "a list"},
    "import_graph_set.to": {"a text"},
    "import_graph_set.graphs": {"None"},
    "import_graph_set.nodes": {"None"},
    "import_graph_set.smiles": {"None"},
    "import_graph_set.undirected": {"None", "true"},
    "import_graph_set.name": {"None", "a text"},
    "import_graph.relabel": {"true"},
    "import_graph.name": {"None", "a text"},
    "import_graph.piece": NUMBER,
    "label_by.least": NUMBER,
    **{
        f"{name}.{argument}": answers
        for name in ("LatestLinks", "RandomLinks")
        for argument, answers in {
            "train": {"a real"},
            "negatives": {*NUMBER, "a real"},  # too many are refused with the graph
            "validation_seen": {"zero"},
        }.items()
    },
    "TemporalGraph.signals": {"None", "a matrix"},
    "TemporalGraph.edge_index": {"None"},
    "TemporalGraph.edge_weight": {"None"},
    "TemporalGraph.edge_step": {"None"},
    "TemporalGraph.times": {"None"},
    "TemporalGraph.pos": {"None"},
    "TimeSplit.train": NUMBER,
    "TimeSplit.val": NUMBER,
    "TimeSplit.test": NUMBER,
    "Windows.length": {"a number"},
    "ForecastSplit.length": {"a number"},
    "ForecastSplit.horizons": set(),
    "ForecastSplit.inside": {"true"},
    "ForecastSplit.season": {"a number", "a real", "zero"},
    "load_series.split": {"None"},
    "load_series.length": {"None", "a number"},
    "load_series.horizons": {"None"},
    "load_series.season": {"None", "a number"},
    "load_series.edge_weights": {"true"},
    "import_series.nodes": {"None"},
    "import_series.columns": {"None", "a dict"},
    "import_series.undirected": {"true"},
    "import_series.to": {"a text"},
    "import_series.name": {"None", "a text"},
    "AcrossLinks.graph": TEXT,  # looked at with the graphs
    "AcrossLinks.shots": NUMBER,
    "AcrossLinks.others": {"zero"},
    "LinkSplit.num_nodes": {"a number"},
    "LinkSplit.directed": {"true"},
    "LinkSplit.protocol": TEXT,
    "LinkSplit.parameters": {"a dict"},
    "LinkSplit.later": {"None"},
    "hard_negatives.count": {"a number"},
    "hard_negatives.generator": {"None", "a generator"},
    "load_links.split": {"None"},
    "pair_views.width": {"None", "a number"},
    "pair_views.walks": {"true"},
    "load.split": {"None"},
    "load.seed": {"a number", "zero", "minus one"},
    "load_splits.split": {"None"},
    "locality_order.num_nodes": {"a number"},
    "locality_order.parts": {"None"},
    "ogb_metric.prediction": {"a real tensor"},
    "ogb_link_metric.positive": {"a real tensor"},
    "partition.parts": {"a number"},
    "partition.folder": {"a text"},
    "partition.by": {"None"},
    "partition.seed": CHANCE,
    "RandomGraphs.seeds": {"a list"},
    "random_graph.seed": CHANCE,
    "reorder_nodes.order": {"None"},
    "splits.Dense.train": {"a real"},
    "splits.Dense.seed": {"None", "a number", "zero"},
    "splits.FileMasks.index": CHANCE,
    "splits.Folds.folds": NUMBER,
    "splits.Folds.fold": {"a number", "zero"},
    "splits.Folds.val": {"a real"},
    "splits.RandomPerClass.per_class": NUMBER,
    "splits.RandomPerClass.val": NUMBER,
    "splits.RandomPerClass.test": {"None", *NUMBER},
    "splits.RandomPlanetoid.per_class": NUMBER,
    "splits.RandomPlanetoid.val": NUMBER,
    "splits.RandomPlanetoid.test": NUMBER,
    "splits.Stratified.train": {"a real"},
    "splits.RandomSplit.train": {"a real"},
    "store.folder": {"a text"},
    "store.name": {"None", "a text"},
    "open_stored.verify": {"true"},
    "synthesize.folder": {"a text"},
    "synthesize_ogb.folder": {"a text"},
    "synthesize.name": {"a text"},
}
"""What is no mistake: a default, or a value whose answer the docstring gives."""

FILES = {"folder", "to", "edges", "features", "labels", "split", "cache_dir", "nodes", "graphs", "source"}
CALLED = {
    "columns": ("no column of graphs",),
    "data": ("`x`", "`edge_index`", "`y`", "`seen`"),  # the field that is wrong
    "num_nodes": ("`edge_index`", "`train`"),
    "text": ("`split`",),
    "y": ("OGB's evaluator refuses",),
    "negative": ("OGB's evaluator refuses",),
}


def public(name: str) -> Any:
    """Return what a name means, a protocol of the splits among them."""
    room = graphkit.data.splits if name.startswith("splits.") else graphkit.data
    return getattr(room, name.removeprefix("splits."))


def cases() -> Iterator[tuple[str, str]]:
    for name in GOOD:
        for argument in inspect.signature(public(name)).parameters:
            yield name, argument


def complaint(name: str, argument: str, label: str, home: Path) -> str:
    """Say what is wrong with the answer to one bad value, or nothing."""
    given = GOOD[name](home) | {argument: BAD[label]}
    call = (
        functools.partial(public(name), given.pop("data"), given.pop("names")) if name == "label_by" else public(name)
    )
    allowed = label in ANSWERS.get(f"{name}.{argument}", ())
    try:
        call(**given)
    except (ValueError, TypeError) as error:
        text = str(error)
        raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if allowed:
            return f"refused, but it is no mistake: {text}"
        if not raised.is_relative_to(Path(graphkit.__file__).parent):
            return f"in the words of {raised.name}: {text}"
        told = [f"`{argument}`", *CALLED.get(argument, ())]
        if argument in FILES and label in ("a text", "a list of texts"):
            told += ["nonsense", "a is missing", "a: a table ends in"]
        return "" if any(each in text for each in told) else f"the argument is not named: {text}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if allowed else "answered"


def test_every_public_name_is_among_the_cases():
    protocols = {f"splits.{made.__name__}" for made in graphkit.data.splits.PROTOCOLS.values()}
    assert set(graphkit.data.__all__) - set(EXEMPT) | protocols == set(GOOD)
    assert not set(EXEMPT) & set(GOOD)
    known = {f"{name}.{argument}" for name, argument in cases()}
    assert set(ANSWERS) <= known


DRAWN = [made() for made in graphkit.data.splits.PROTOCOLS.values()] + [graphkit.data.NestedFolds().splits]


NOT_DRAWN = graphkit.data.splits.Public | graphkit.data.splits.FileMasks | graphkit.data.splits.Scaffold


@pytest.mark.parametrize("draw", DRAWN, ids=str)
@pytest.mark.parametrize("label", [label for label in BAD if label not in ("None", "a generator")])
def test_a_split_of_what_is_no_graph_or_by_no_generator_is_refused(draw, label):
    with pytest.raises((TypeError, ValueError), match=r"`data` must be|`y` is missing|this data set has no"):
        draw(BAD[label])
    if not isinstance(draw, NOT_DRAWN):
        with pytest.raises(TypeError, match=r"`generator` must be a torch\.Generator or None"):
            draw(Data(y=torch.arange(300) % 3), BAD[label])


@pytest.mark.parametrize(("name", "argument"), list(cases()))
def test_a_bad_value_is_refused_in_our_words_that_name_it(name, argument, tmp_path, data_home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {label: said for label in BAD if (said := complaint(name, argument, label, tmp_path))}
    assert wrong == {}
