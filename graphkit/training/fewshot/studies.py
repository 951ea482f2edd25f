"""Few-shot studies, ready to run: unseen classes of one graph or of a set of graphs, or unseen graphs."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit._checks import degree_weights, flag, instance, integer_labels
from graphkit.data import GraphSet, validate
from graphkit.data.graphset import as_graph_set
from graphkit.meta import ClassSplit, FewShotProtocol, Rows
from graphkit.training.classification.graph_task import graph_facts
from graphkit.training.classification.tasks import require_plain_edges, warn_of_unread
from graphkit.training.engine.distributed import CPU, known_device
from graphkit.training.engine.options import require_seed, sequence
from graphkit.training.engine.records import DatasetFacts, dataset_facts, fingerprint
from graphkit.training.fewshot.encoder_training import (
    EncoderTraining,
    Seen,
    encoder_rows,
    encoder_trainings,
    seen_graphs,
)
from graphkit.training.fewshot.encoders import ENCODERS, Encoders
from graphkit.training.fewshot.feature_views import adapt_features, graph_counts, rows_of
from graphkit.training.fewshot.method import COUNTS
from graphkit.training.fewshot.problems import (
    EdgeViews,
    FeatureViews,
    GraphEdges,
    Problem,
    across_graphs,
    one_graph,
    unlike_names,
)

OVERLAP = 0.1
"""Share of the nodes of the smaller of two graphs that may stand in the other too, where features tell nodes apart."""

ROUNDS = 2
"""Looks at the neighbours, after which two graphs that are alike node for node are taken for one."""


def require_sound(data: Data, needed: Sequence[str] = ("x", "y")) -> None:
    """Refuse a graph without features or labels, or with numbers that are not finite.

    Args:
        data: the graph.
        needed: what must be there; without "y" the items are no nodes.

    Raises:
        TypeError: for no graph, and labels that are not integers.
        ValueError: for what is missing, and see :func:`graphkit.data.validate`.
    """
    instance("data", data, Data, "a Data")
    for name in needed:
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: few-shot methods tell items apart by features, and draw by labels.")
    validate(data)
    if data.get("edge_weight") is not None:
        degree_weights(data.edge_weight)
    if "y" in needed:
        integer_labels("y", data.y, data.num_nodes)


def require_apart(graphs: Mapping[str, Data]) -> None:
    """Refuse graphs of which one is another with its nodes in another order, or shares many nodes with it.

    Nodes are compared by features and label. Where at least half of a graph's nodes are told apart by these, two graphs
    may share ``OVERLAP`` of the smaller one's. Where they are not, as in graphs with few features, an overlap cannot be
    seen; a copy is, by what the neighbours of every node are (Weisfeiler and Leman's colours).

    Raises:
        ValueError: naming the two graphs, what they share and the way out.
    """
    rows = {name: row_hashes(data.x, data.y) for name, data in graphs.items()}
    single = {name: _single(hashes) for name, hashes in rows.items()}
    colours = {name: _colours(rows[name], data.edge_index) for name, data in graphs.items()}
    for one, other in itertools.combinations(graphs, 2):
        if torch.equal(colours[one], colours[other]):
            raise ValueError(
                f"the graph {one!r} is {other!r} again, node for node, up to their order; a graph to test on must be "
                "unseen: leave one of them out."
            )
        small = min(one, other, key=lambda name: len(rows[name]))
        if 2 * len(single[small]) < len(rows[small]):
            continue
        shared = int(torch.isin(single[one], single[other]).sum())
        if shared > OVERLAP * len(rows[small]):
            raise ValueError(
                f"the graphs {one!r} and {other!r} share {shared:,} nodes with the same features and label, of the "
                f"{len(rows[small]):,} of {small!r}; a graph to test on must be unseen: take out what they share."
            )


def row_hashes(x: Tensor, y: Tensor) -> Tensor:
    """Return one whole number for each row of features and its label, ``[rows]``; equal rows have equal numbers.

    Example:
        >>> found = row_hashes(torch.tensor([[0.0, 1.5], [1.5, 0.0], [0.0, 1.5]]), torch.tensor([1, 1, 1]))
        >>> (found[0] == found[2]).item(), (found[0] == found[1]).item()
        (True, False)
    """
    stored = x.to_sparse_coo().coalesce()
    row, column = stored.indices()
    value = stored.values().double()
    there = value != 0
    entry = _mix_bits(_mix_bits(column[there]) + value[there].view(torch.int64))
    # Whole numbers wrap around where they overflow: sums are the same in any order.
    return _mix_bits(_mix_bits(y.long()).index_add(0, row[there], entry))


def _single(hashes: Tensor) -> Tensor:
    """Return the numbers that stand there once."""
    values, counts = hashes.unique(return_counts=True)
    return values[counts == 1]


def _colours(hashes: Tensor, edge_index: Tensor) -> Tensor:
    """Return the nodes' numbers after looks at the neighbours, sorted: the same for any order of the nodes."""
    source, target = edge_index
    for _ in range(ROUNDS):
        hashes = _mix_bits(3 * hashes + torch.zeros_like(hashes).index_add(0, target, _mix_bits(hashes[source])))
    return hashes.sort().values


def _mix_bits(z: Tensor) -> Tensor:
    """Return whole numbers whose bits depend on all bits of ``z``, one for one (splitmix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * (factor - (factor >> 63 << 64))
    return z


Classes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Study:
    """A few-shot study, ready to run.

    Args:
        facts: the data set.
        problems: class splits, or graphs to test on.
        features: from a problem, a kind of rows, their scale and the problem's trained encoders, which "encoder" rows
            need, to the rows of each part.
        encoders: from a problem to the trainings of its encoders; those of one key are one training.
        setting: what a record says of them.
        device: where the rows lie.
        edges: from a problem to the edges of its graphs, for models that see them; ``None`` where items are no nodes.
    """

    facts: DatasetFacts
    problems: tuple[Problem, ...]
    features: Callable[[Problem, str, float, Sequence[nn.Module]], FeatureViews]
    encoders: Callable[[Problem], tuple[EncoderTraining, ...]]
    setting: Mapping[str, Any]
    device: torch.device = CPU
    edges: Callable[[Problem], EdgeViews] | None = None


def study_of_classes(
    data: Data,
    splits: Sequence[ClassSplit],
    protocol: FewShotProtocol,
    *,
    inductive: bool = False,
    encoders: Encoders = ENCODERS,
    seed: int = 0,
    device: torch.device | str = CPU,
) -> Study:
    """Return the study of unseen classes of one graph.

    Args:
        data: the graph.
        splits: classes to train, select and test on.
        protocol: of the tasks.
        inductive: nodes of validation and test classes are taken out of the graph that training sees, those of test
            classes out of the one that selection sees.
        encoders: trained without labels, behind rows of the kind "encoder".
        seed: of the encoders.
        device: where encoders are trained, rows lie and methods work.

    Raises:
        ValueError: for a graph that is not sound, no split, or splits or tasks that cannot be drawn.
    """
    splits = require_study(splits, protocol, encoders, seed)
    if not splits:
        raise ValueError("`splits` must hold at least one class split.")
    if flag("inductive", inductive) and not all(split.train for split in splits):
        raise ValueError(
            "`inductive` takes test classes out of what training sees; a split without others has nothing."
        )
    require_sound(data)
    warn_of_unread(data)
    device = known_device(device)
    problems = unlike_names([one_graph(data, split, protocol) for split in splits])
    by_name = dict(zip((problem.name for problem in problems), splits, strict=True))
    there = copy.copy(data).to(device)

    @lru_cache(maxsize=1)
    def known_of(problem: str) -> dict[Any, Tensor]:
        """Return the tables that a problem has so far; those of the one before, often of gigabytes, are forgotten."""
        return {}

    @lru_cache(maxsize=1)
    def visible(without: Classes) -> Seen:
        return seen_graphs([_drop_classes(there, without)[0]])

    def table(known: dict[Any, Tensor], kind: str, without: Classes, trained: Sequence[nn.Module]) -> Tensor:
        if (kind, without) not in known:
            left, kept = _drop_classes(there, without)
            found = encoder_rows([left], trained)[0] if kind == "encoder" else rows_of(left, kind)
            visible.cache_clear()  # nothing is trained on it any more
            known[kind, without] = found.new_zeros(data.num_nodes, found.size(1)).index_copy(0, kept, found)
        return known[kind, without]

    def unseen_classes(problem: Problem) -> tuple[Classes, Classes]:
        """Return the classes that training does not see, and those that selection does not."""
        split = by_name[problem.name]
        if not inductive:
            return (), ()
        return tuple(sorted((*split.validation, *split.test))), tuple(sorted(split.test))

    def features(problem: Problem, kind: str, scale: float, trained: Sequence[nn.Module] = ()) -> FeatureViews:
        known = known_of(problem.name if inductive else "all")
        stages = (*unseen_classes(problem), ())
        train, validation, test = (Rows(_scale(table(known, kind, each, trained), scale), there.y) for each in stages)
        return FeatureViews((train,), validation, test)

    def edges(problem: Problem) -> EdgeViews:
        train, validation, test = (_edges_without(there, each) for each in (*unseen_classes(problem), ()))
        return EdgeViews((train,), validation, test)

    def trainings(problem: Problem) -> tuple[EncoderTraining, ...]:
        sight = partial(visible, unseen_classes(problem)[0])
        return encoder_trainings(encoders, seed, data.num_features, sight, problem.name if inductive else "")

    setting = {
        "setting": "inductive" if inductive else "transductive",
        "encoder": {**encoders.as_dict(), "seed": seed},
        "class_splits": [dataclasses.asdict(split) for split in splits],
    }
    return Study(dataset_facts(data), problems, features, trainings, setting, device, edges)


def study_across_graphs(
    name: str,
    graphs: Mapping[str, Data],
    protocol: FewShotProtocol,
    *,
    splits: Sequence[ClassSplit] = (),
    adapter: str | None = None,
    inductive: bool = False,
    encoders: Encoders = ENCODERS,
    seed: int = 0,
    device: torch.device | str = CPU,
) -> Study:
    """Return the study of unseen graphs: each in turn is tested on, the others are trained on.

    Args:
        name: of the family.
        graphs: with features of one width, or an adapter, and classes of one numbering.
        protocol: of the tasks.
        splits: classes to train on, select by and test on, so that graph and classes are unseen; without any, all
            graphs share all classes.
        adapter: what brings features to one width and meaning, see :func:`adapt_features`; none when left out.
        inductive: the encoders do not see the graph to test on; otherwise they do, without labels.
        encoders: trained without labels, behind rows of the kind "encoder".
        seed: of the encoders.
        device: where encoders are trained, rows lie and methods work.

    Raises:
        ValueError: for fewer than two graphs, one that is not sound, two that share their nodes, or tasks that
            cannot be drawn.
    """
    instance("name", name, str, "text")
    instance("graphs", graphs, Mapping, "graphs by name")
    splits = require_study(splits, protocol, encoders, seed)
    flag("inductive", inductive)
    device = known_device(device)
    if len(graphs) < 2:
        raise ValueError(f"`graphs` must be two or more to test on an unseen one, got {len(graphs)}.")
    for data in graphs.values():
        require_sound(data)
        warn_of_unread(data)
    require_apart(graphs)
    graphs = graphs if adapter is None else adapt_features(graphs, adapter)
    chosen: Sequence[ClassSplit | None] = splits or [None]
    held = [(held_out, across_graphs(graphs, held_out, protocol, split)) for held_out in graphs for split in chosen]
    problems = unlike_names([problem for _, problem in held])
    tested = {problem.name: graph for problem, (graph, _) in zip(problems, held, strict=True)}
    there = {other: copy.copy(data).to(device) for other, data in graphs.items()}
    known: dict[Any, dict[str, Tensor]] = {}

    @lru_cache(maxsize=1)
    def visible(without: str | None) -> Seen:
        return seen_graphs([data for other, data in there.items() if other != without])

    def tables(kind: str, held_out: str, trained: Sequence[nn.Module]) -> dict[str, Tensor]:
        key = (kind, held_out if inductive and kind == "encoder" else None)
        if key not in known:
            every = list(there.values())
            found = encoder_rows(every, trained) if kind == "encoder" else [rows_of(data, kind) for data in every]
            visible.cache_clear()  # nothing is trained on it any more
            known[key] = dict(zip(graphs, found, strict=True))
        return known[key]

    def trainings(problem: Problem) -> tuple[EncoderTraining, ...]:
        held_out = tested[problem.name]
        sight, only = partial(visible, held_out if inductive else None), f"graph {held_out}" if inductive else ""
        return encoder_trainings(encoders, seed, there[held_out].num_features, sight, only)

    def features(problem: Problem, kind: str, scale: float, trained: Sequence[nn.Module] = ()) -> FeatureViews:
        held_out = tested[problem.name]
        found = {other: Rows(_scale(x, scale), there[other].y) for other, x in tables(kind, held_out, trained).items()}
        names = [other for other in graphs if other != held_out]
        return FeatureViews(tuple(found[other] for other in names), found[names[0]], found[held_out])

    def edges(problem: Problem) -> EdgeViews:
        held_out = tested[problem.name]
        found = {other: _edges_without(data, ()) for other, data in there.items()}
        names = [other for other in graphs if other != held_out]
        return EdgeViews(tuple(found[other] for other in names), found[names[0]], found[held_out])

    facts = [dataset_facts(data) for data in graphs.values()]
    total = DatasetFacts(
        name=name,
        sha256=fingerprint([each.sha256 for each in facts]),
        nodes=sum(each.nodes for each in facts),
        edges=sum(each.edges for each in facts),
        features=facts[0].features,
        classes=max(each.classes for each in facts),
        graphs=len(facts),
    )
    setting = {
        "setting": "across graphs, " + ("inductive" if inductive else "transductive"),
        "labels": "disjoint" if splits else "shared",
        "adapter": adapter,
        "class_splits": [dataclasses.asdict(split) for split in splits],
        "encoder": {**encoders.as_dict(), "seed": seed},
        "graphs": {each.name: each.sha256 for each in facts},
    }
    return Study(total, problems, features, trainings, setting, device, edges)


def require_study(
    splits: Sequence[ClassSplit], protocol: FewShotProtocol, encoders: Encoders, seed: int
) -> tuple[ClassSplit, ...]:
    """Return the class splits, or refuse what no study can be made of.

    Raises:
        TypeError: for splits, a protocol or encoders that are none.
        ValueError: for a seed that is none.
    """
    instance("protocol", protocol, FewShotProtocol, "a FewShotProtocol")
    instance("encoders", encoders, Encoders, "Encoders")
    require_seed("seed", seed)
    return sequence("splits", splits, ClassSplit, "class splits")


def _scale(x: Tensor, scale: float) -> Tensor:
    """Return rows of another length; the same ones where it is 1."""
    return x if scale == 1 else scale * x


def _drop_classes(data: Data, classes: Sequence[int]) -> tuple[Data, Tensor]:
    """Return the graph without the nodes of some classes, and the nodes that are left, ``[left]``."""
    kept = (~torch.isin(data.y, torch.tensor(classes, dtype=data.y.dtype, device=data.y.device))).nonzero().squeeze(-1)
    if len(kept) == data.num_nodes:
        return data, kept
    edge_index, weight = subgraph(
        kept, data.edge_index, data.get("edge_weight"), relabel_nodes=True, num_nodes=data.num_nodes
    )
    x = data.x.to_dense() if data.x.layout != torch.strided else data.x
    return Data(x=x[kept], edge_index=edge_index, edge_weight=weight, num_nodes=len(kept)), kept


def _edges_without(data: Data, classes: Sequence[int]) -> GraphEdges:
    """Return the edges between the nodes that are not of some classes, with the nodes' numbers as they are."""
    index, weight = data.edge_index, data.get("edge_weight")
    if not classes:
        return GraphEdges(index, weight)
    gone = torch.isin(data.y, torch.tensor(classes, dtype=data.y.dtype, device=data.y.device))
    kept = ~gone[index].any(0)
    return GraphEdges(index[:, kept], None if weight is None else weight[kept])


def study_of_graphs(
    graphs: GraphSet,
    splits: Sequence[ClassSplit],
    protocol: FewShotProtocol,
    *,
    encoders: Encoders = ENCODERS,
    seed: int = 0,
    device: torch.device | str = CPU,
) -> Study:
    """Return the study of unseen classes of a set of graphs.

    A row is a graph: the mean, over its nodes, of their rows, of length 1. Graphs do not see each other but in the mean
    that is taken away from rows of the kind "centred" and in what an encoder without labels is trained on.

    Args:
        graphs: a set whose graphs have classes.
        splits: classes to train, select and test on.
        protocol: of the tasks.
        encoders: trained without labels, behind rows of the kind "encoder".
        seed: of the encoders.
        device: where encoders are trained, rows lie and methods work.

    Raises:
        ValueError: for graphs that are not sound, labels that are no classes, no split, or splits or tasks that
            cannot be drawn.
    """
    graphs = as_graph_set(graphs)
    instance("graphs", graphs, GraphSet, "a GraphSet")
    splits = require_study(splits, protocol, encoders, seed)
    device, y = known_device(device), graphs.items.y
    if y.is_floating_point() or y.flatten().shape != (len(graphs),):
        raise ValueError("`graphs` must have one class each; few-shot tasks draw their items by class.")
    require_plain_edges(graphs)
    warn_of_unread(graphs)
    y = y.flatten()
    together = graphs.batch(range(len(graphs)))
    x = None if together.x is None else together.x.float()
    nodes = Data(x=x, edge_index=together.edge_index, num_nodes=together.num_nodes)
    require_sound(nodes, needed=["x"])
    drawn = [one_graph(Data(y=y, num_nodes=len(y)), split, protocol) for split in splits]
    nodes, graph_of, labels = nodes.to(device), together.batch.to(device), y.to(device)
    known: dict[str, Tensor] = {}

    @lru_cache(maxsize=1)
    def visible() -> Seen:
        return seen_graphs([nodes])

    def table(kind: str, trained: Sequence[nn.Module]) -> Tensor:
        if kind not in known:
            if kind.startswith(COUNTS):
                known[kind] = graph_counts(nodes, graph_of, len(graphs), kind)
                return known[kind]
            found = encoder_rows([nodes], trained)[0] if kind == "encoder" else rows_of(nodes, kind)
            visible.cache_clear()  # nothing is trained on it any more
            sums = found.new_zeros(len(graphs), found.size(1)).index_add(0, graph_of, found)
            known[kind] = F.normalize(sums, dim=-1)  # the length of a mean is its sum's
        return known[kind]

    def features(problem: Problem, kind: str, scale: float, trained: Sequence[nn.Module] = ()) -> FeatureViews:
        rows = Rows(scale * table(kind, trained), labels)
        return FeatureViews((rows,), rows, rows)

    def trainings(problem: Problem) -> tuple[EncoderTraining, ...]:
        return encoder_trainings(encoders, seed, nodes.num_features, visible)

    setting = {
        "setting": "transductive",
        "items": "graphs",
        "encoder": {**encoders.as_dict(), "seed": seed},
        "class_splits": [dataclasses.asdict(split) for split in splits],
    }
    return Study(graph_facts(graphs), unlike_names(drawn), features, trainings, setting, device)
