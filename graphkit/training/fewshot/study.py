"""All methods on all problems under one protocol, to one record; what is finished is kept on the way."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit.meta import ClassSplit, Protocol, Rows
from graphkit.training.fewshot.kept import Kept
from graphkit.training.fewshot.methods import METHODS, AbstractMethod
from graphkit.training.fewshot.problems import Problem, Rowed, across_graphs, one_graph
from graphkit.training.fewshot.results import FewShotRecord, MethodResult, ProblemResult
from graphkit.training.fewshot.rows import encoder_rows, rows_of
from graphkit.training.protocol import DatasetFacts, dataset_facts, fingerprint
from graphkit.training.records import environment, metric

Told = Callable[[str, str, ProblemResult], None]


@dataclass(frozen=True)
class FewShotOutcome:
    """The record of a study and the results behind it.

    Args:
        record: what was measured, and how.
        methods: results by name.
    """

    record: FewShotRecord
    methods: Mapping[str, MethodResult]


@dataclass(frozen=True)
class Study:
    """A few-shot study, ready to run.

    Args:
        facts: the data set.
        problems: class splits, or graphs to test on.
        rowed: from a problem, a kind of rows and their scale to the rows of each part.
        setting: what a record says of them.
    """

    facts: DatasetFacts
    problems: tuple[Problem, ...]
    rowed: Callable[[Problem, str, float], Rowed]
    setting: Mapping[str, Any]


def study_of_classes(
    data: Data,
    splits: Sequence[ClassSplit],
    protocol: Protocol,
    *,
    inductive: bool = False,
    encoder: str = "ccassg",
    encoder_fields: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Study:
    """Return the study of unseen classes of one graph.

    Args:
        data: the graph.
        splits: classes to train, select and test on.
        protocol: of the tasks.
        inductive: nodes of validation and test classes are taken out of the graph that training sees, those of test
            classes out of the one that selection sees.
        encoder: the loss without labels behind rows of the kind "encoder".
        encoder_fields: fields of its recipe, and values.
        seed: of the encoder.

    Raises:
        ValueError: for splits or tasks that cannot be drawn.
    """
    problems = tuple(one_graph(data, split, protocol) for split in splits)
    by_name = dict(zip((problem.name for problem in problems), splits, strict=True))
    known: dict[Any, Tensor] = {}

    def table(kind: str, without: tuple[int, ...], trained_without: tuple[int, ...]) -> Tensor:
        key = (kind, without, trained_without)
        if key not in known:
            seen, kept = _without(data, without)
            if kind == "encoder":
                first, _ = _without(data, trained_without)
                found = encoder_rows([first], [seen], loss=encoder, seed=seed, overrides=encoder_fields)[0]
            else:
                found = rows_of(seen, kind)
            known[key] = found.new_zeros(data.num_nodes, found.size(1)).index_copy(0, kept, found)
        return known[key]

    def rowed(problem: Problem, kind: str, scale: float) -> Rowed:
        split = by_name[problem.name]
        hidden = tuple(sorted((*split.validation, *split.test))) if inductive else ()
        stages = [(hidden, hidden), (tuple(sorted(split.test)) if inductive else (), hidden), ((), hidden)]
        train, validation, test = (Rows(scale * table(kind, *stage), data.y) for stage in stages)
        return Rowed((train,), validation, test)

    setting = {
        "setting": "inductive" if inductive else "transductive",
        "encoder": {"loss": encoder, "seed": seed, **(encoder_fields or {})},
        "class_splits": [dataclasses.asdict(split) for split in splits],
    }
    return Study(dataset_facts(data), problems, rowed, setting)


def study_across_graphs(
    name: str,
    graphs: Mapping[str, Data],
    protocol: Protocol,
    *,
    inductive: bool = False,
    encoder: str = "ccassg",
    encoder_fields: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Study:
    """Return the study of unseen graphs: each in turn is tested on, the others are trained on.

    Args:
        name: of the family.
        graphs: with features of one width and classes of one numbering.
        protocol: of the tasks.
        inductive: the encoder does not see the graph to test on; otherwise it does, without labels.
        encoder: the loss without labels behind rows of the kind "encoder".
        encoder_fields: fields of its recipe, and values.
        seed: of the encoder.

    Raises:
        ValueError: for fewer than two graphs, or tasks that cannot be drawn.
    """
    if len(graphs) < 2:
        raise ValueError(f"`graphs` must be two or more to test on an unseen one, got {len(graphs)}.")
    problems = tuple(across_graphs(graphs, held_out, protocol) for held_out in graphs)
    known: dict[Any, dict[str, Tensor]] = {}

    def tables(kind: str, held_out: str) -> dict[str, Tensor]:
        key = (kind, held_out if inductive and kind == "encoder" else None)
        if key not in known:
            if kind == "encoder":
                seen = [data for other, data in graphs.items() if not inductive or other != held_out]
                found = encoder_rows(seen, list(graphs.values()), loss=encoder, seed=seed, overrides=encoder_fields)
            else:
                found = [rows_of(data, kind) for data in graphs.values()]
            known[key] = dict(zip(graphs, found, strict=True))
        return known[key]

    def rowed(problem: Problem, kind: str, scale: float) -> Rowed:
        held_out = problem.name.removeprefix("graph ")
        found = {other: Rows(scale * x, graphs[other].y) for other, x in tables(kind, held_out).items()}
        names = [other for other in graphs if other != held_out]
        return Rowed(tuple(found[other] for other in names), found[names[0]], found[held_out])

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
        "encoder": {"loss": encoder, "seed": seed, **(encoder_fields or {})},
        "graphs": {each.name: each.sha256 for each in facts},
    }
    return Study(total, problems, rowed, setting)


def fewshot(
    study: Study,
    protocol: Protocol,
    names: Sequence[str],
    *,
    headline: str | None = None,
    calibrate: int = 10,
    seed: int = 0,
    methods: Mapping[str, AbstractMethod] = METHODS,
    folder: Path | None = None,
    resume: bool = False,
    tell: Told | None = None,
    command: str = "graphkit.training.fewshot.fewshot",
) -> FewShotOutcome:
    """Return how methods fare on the same frozen tasks.

    Test tasks of a problem are first looked at when the method is trained and selected. Where no method is named as
    the headline, it is the one of highest accuracy on the validation tasks.

    Args:
        study: problems and rows.
        protocol: of the tasks.
        names: of methods.
        headline: the method that the record's figure is of.
        calibrate: steps of calibration; 0 for none.
        seed: of weights.
        methods: name -> method.
        folder: keeps what is finished.
        resume: whether to take up what lies there.
        tell: hears of every result.
        command: what the record names as its origin.

    Raises:
        ValueError: for a folder that holds another study.
    """
    config = {name: {"kind": type(methods[name]).__name__, **dataclasses.asdict(methods[name])} for name in names}
    held = {
        **dataclasses.asdict(protocol),
        **study.setting,
        "dataset": study.facts.name,
        "dataset_sha256": study.facts.sha256,
        "calibration_steps": calibrate,
        "tasks": [problem.test.fingerprint for problem in study.problems],
        "metric": "accuracy, mean over tasks and problems",
    }
    held = {**held, "fingerprint": fingerprint(held)}
    kept = Kept(folder, fingerprint([held["fingerprint"], {"seed": seed}]), resume)
    found: dict[str, list[ProblemResult]] = {name: [] for name in names}
    for problem in study.problems:
        for name in names:
            result = kept.get(name, problem.name, config[name])
            if result is None:
                method = methods[name]
                rowed = problem.seeing(study.rowed(problem, method.rows, method.scale))
                result = _solved(method, rowed, seed, calibrate)
                kept.put(name, result, config[name])
            found[name].append(result)
            if tell is not None:
                tell(name, problem.name, result)
    results = {
        name: MethodResult(name=name, trained=methods[name].trained, problems=tuple(parts))
        for name, parts in found.items()
    }
    chosen = headline or max(names, key=lambda name: results[name].validation)
    best = results[chosen]
    record = FewShotRecord(
        command=command,
        dataset=study.facts,
        protocol=held,
        metric=metric("accuracy", [statistics.fmean(each.accuracies) for each in best.problems]),
        validation=metric("accuracy", [each.validation for each in best.problems]),
        headline=chosen,
        selection=("method named; " if headline else "method of highest accuracy on validation tasks; ")
        + "meta-training step of highest accuracy on validation tasks, ties: the earlier one",
        methods={name: _figures(result, results[names[0]]) for name, result in results.items()},
        config=config,
        seeds=(seed,),
        seconds=sum(each.seconds for result in results.values() for each in result.problems),
        environment=environment("cpu", "32-true"),
    )
    return FewShotOutcome(record, results)


def _solved(method: AbstractMethod, problem: Problem, seed: int, calibrate: int) -> ProblemResult:
    """Return one method's result, timed."""
    start = time.process_time()
    solved = method.solved(problem, seed, calibrate)
    return ProblemResult(
        problem=problem.name,
        validation=solved.validation,
        accuracies=solved.test.accuracies,
        calibrated=None if solved.calibrated is None else solved.calibrated.accuracies,
        step=solved.step,
        seconds=time.process_time() - start,
    )


def _figures(result: MethodResult, rival: MethodResult) -> dict[str, Any]:
    """Return a method's figures as plain numbers."""
    plain, after = result.accuracy(), result.accuracy(calibrated=True)
    return {
        "accuracy": None if plain is None else dataclasses.asdict(plain),
        "calibrated": None if after is None else dataclasses.asdict(after),
        "validation": result.validation,
        "difference": {"to": rival.name, **dataclasses.asdict(result.over(rival))},
        "selected_steps": [each.step for each in result.problems],
        "seconds": result.seconds,
    }


def _without(data: Data, classes: Sequence[int]) -> tuple[Data, Tensor]:
    """Return the graph without the nodes of some classes, and the nodes that are left, ``[left]``."""
    kept = (~torch.isin(data.y, torch.tensor(classes, dtype=data.y.dtype))).nonzero().squeeze(-1)
    if len(kept) == data.num_nodes:
        return data, kept
    edge_index, weight = subgraph(
        kept, data.edge_index, data.get("edge_weight"), relabel_nodes=True, num_nodes=data.num_nodes
    )
    x = data.x.to_dense() if data.x.layout != torch.strided else data.x
    return Data(x=x[kept], edge_index=edge_index, edge_weight=weight, num_nodes=len(kept)), kept
