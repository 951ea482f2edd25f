"""All methods on all problems under one protocol, to one record; what is finished is kept on the way."""

from __future__ import annotations

import dataclasses
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphkit._checks import at_least, flag, instance, member
from graphkit.meta import FewShotProtocol
from graphkit.training.arguments import fields_of, require_run, sequence
from graphkit.training.arguments import seed as known_seed
from graphkit.training.devices import CPU
from graphkit.training.fewshot.kept import ALONE, Kept, UnderWay
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.fewshot.methods import CHOICES, CHOSEN, METHODS
from graphkit.training.fewshot.problems import Problem
from graphkit.training.fewshot.results import FewShotRecord, MethodResult, ProblemResult
from graphkit.training.fewshot.solved import Asked
from graphkit.training.fewshot.studies import Study
from graphkit.training.interrupts import StopRequest, stop_request
from graphkit.training.processes import Lost, Processes
from graphkit.training.protocol import fingerprint
from graphkit.training.records import environment, metric

LOGGER = logging.getLogger(__name__)

Told = Callable[[str, str, ProblemResult], None]


@dataclass(frozen=True)
class FewShotOutcome:
    """The record of a study and the results behind it.

    Args:
        record: what was measured, and how.
        methods: results by name.
        faults: what could not be kept on the disk.
        put_aside: the folder into which another study was put that lay in the same folder.
    """

    record: FewShotRecord
    methods: Mapping[str, MethodResult]
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None


def fewshot(
    study: Study,
    protocol: FewShotProtocol,
    names: Sequence[str],
    *,
    headline: str | None = None,
    calibrate: int = 10,
    balanced: bool = False,
    seed: int = 0,
    steps: Sequence[int] = (),
    methods: Mapping[str, AbstractMethod] = METHODS,
    folder: Path | None = None,
    resume: bool = False,
    tell: Told | None = None,
    processes: Processes = ALONE,
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
        balanced: whether calibration knows that every class has as many query items.
        seed: of weights.
        steps: further numbers of inner steps after which methods that take some are tested; nothing is chosen by them.
        methods: name -> method.
        folder: keeps what is finished.
        resume: whether to take up what lies there.
        tell: hears of every result.
        processes: those that take the tasks of meta-training in turns; all else each does by itself.
        command: what the record names as its origin.

    Raises:
        ValueError: for names that are no methods, or none; a protocol that the study was not drawn with; and a folder
            that holds another study, or that another process holds.
        Interrupted: on SIGINT or SIGTERM, if there is a ``folder``; what is finished lies there, and the state of a
            meta-training under way.
    """
    instance("study", study, Study, "a Study, such as `study_of_classes` makes")
    instance("protocol", protocol, FewShotProtocol, "a FewShotProtocol")
    methods = fields_of("methods", methods)
    sequence("methods", list(methods.values()), AbstractMethod, "methods by name")
    names, steps = sequence("names", names, str, "names"), sequence("steps", steps, int, "whole numbers")
    for number in (calibrate, *steps):
        at_least("calibrate" if number is calibrate else "steps", number, 0)
    flag("balanced", balanced)
    known_seed("seed", seed)
    require_run(folder, resume, name="folder")
    folder = None if folder is None else Path(folder)
    if tell is not None and not callable(tell):
        raise TypeError(f"`tell` must be a function, got {tell!r}.")
    instance("command", command, str, "text")
    if not names:
        raise ValueError(f"`names` must hold at least one method. Known: {', '.join(methods)}.")
    for name in names:
        member("names", name, methods)
    if headline is not None:
        member("headline", headline, names)
    for problem in study.problems:
        if problem.test.protocol != protocol:
            raise ValueError(
                f"`protocol` must be the one that the study was drawn with, {problem.test.protocol}, got {protocol}."
            )
    config = {name: {"kind": type(methods[name]).__name__, **methods[name].as_dict()} for name in names}
    held = {
        **dataclasses.asdict(protocol),
        **study.setting,
        "dataset": study.facts.name,
        "dataset_sha256": study.facts.sha256,
        "calibration_steps": calibrate,
        **({"calibration": "balanced"} if balanced else {}),
        "tasks": [problem.test.fingerprint for problem in study.problems],
        "metric": "accuracy, mean over tasks and problems",
    }
    held = {**held, "fingerprint": fingerprint(held)}
    more = {
        **({"steps": list(steps)} if steps else {}),
        **({"device": study.device.type} if study.device.type != "cpu" else {}),
    }
    identity = fingerprint([held["fingerprint"], {"seed": seed, **more}])
    asked = Asked(calibrate, tuple(steps), balanced)
    found: dict[str, list[ProblemResult]] = {name: [] for name in names}
    row_seconds: dict[str, float] = {}
    with (
        Kept.alone(folder, identity, resume, processes=processes) as kept,
        stop_request() if folder is not None else nullcontext() as stop,
        _stopped_though_lost(kept, stop),
    ):
        processes.any(False, CPU)  # none writes before all have read
        for problem in study.problems:
            for name in names:
                result = kept.get(name, problem.name, config[name])
                if result is None:
                    method = methods[name]
                    LOGGER.info("%s on %s", name, problem.name)
                    try:
                        began = time.process_time()
                        with stop.at_once() if stop is not None and processes.count == 1 else nullcontext():
                            kind, rowed = _seeing(study, problem, method)
                        row_seconds[method.rows] = row_seconds.get(method.rows, 0.0) + time.process_time() - began
                    except KeyboardInterrupt:
                        if stop is None:
                            raise
                        kept.put_down()
                        raise kept.interrupted(f"stopped before {name} on {problem.name}") from None
                    under_way = UnderWay(kept, f"{name} {fingerprint(config[name])} {problem.name}", stop)
                    result = dataclasses.replace(_solved(method, rowed, seed, asked, under_way), rows=kind)
                    kept.put(name, result, config[name])
                found[name].append(result)
                if tell is not None:
                    tell(name, problem.name, result)
                if processes.any(bool(stop), CPU):
                    raise kept.interrupted(f"stopped after {name} on {problem.name}")
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
        selection=_selection(headline is not None, study.problems, {name: methods[name] for name in names}),
        methods={name: _figures(result, results[names[0]]) for name, result in results.items()},
        config=config,
        seeds=(seed,),
        seconds=sum(each.seconds for result in results.values() for each in result.problems),
        row_seconds=row_seconds,
        environment=environment(str(study.device), "32-true", processes.count),
    )
    return FewShotOutcome(record, results, tuple(kept.writer.faults.values()), kept.put_aside)


@contextmanager
def _stopped_though_lost(kept: Kept, stop: StopRequest | None) -> Iterator[None]:
    """Say where to go on to who asked us to stop, where another process has gone or does not answer."""
    try:
        yield
    except Lost:
        if not stop:
            raise
        kept.put_down()
        raise kept.interrupted("stopped where another process does not go on") from None


def _seeing(study: Study, problem: Problem, method: AbstractMethod) -> tuple[str, Problem]:
    """Return the kind of rows that a method sees, and the problem over them; encoders may take minutes."""
    kind = chosen_rows(study, problem) if method.rows == CHOSEN else method.rows
    rowed = problem.seeing(study.rowed(problem, kind, method.length))
    if study.device.type == "cuda":
        torch.cuda.synchronize(study.device)  # what made the rows is no part of the method's time
    return kind, rowed


def chosen_rows(study: Study, problem: Problem) -> str:
    """Return the kind of rows on which prototypes do best on the validation tasks; ties: the earlier of ``CHOICES``."""
    from torch import nn

    from graphkit.meta import PrototypicalNetwork, evaluate

    def accuracy(kind: str) -> float:
        tasks = problem.seeing(study.rowed(problem, kind, 1.0)).validation
        return evaluate(PrototypicalNetwork(nn.Identity()), tasks).mean

    return max(CHOICES, key=accuracy)


def _selection(named: bool, problems: Sequence[Problem], methods: Mapping[str, AbstractMethod]) -> str:
    """Say in words what was selected by what."""
    said = ["method named" if named else "method of highest accuracy on validation tasks"]
    rows = ["rows"] if any(method.rows == CHOSEN for method in methods.values()) else []
    selected = dict.fromkeys([*filter(None, (method.selects for method in methods.values())), *rows])
    surely = [name for name, method in methods.items() if getattr(method, "margin", 0)]
    if selected:
        by_margin = f", for {', '.join(surely)} a later one only by its margin" if surely else ""
        best = f"{', '.join(selected)} of highest accuracy on validation tasks"
        said.append(f"{best}, ties: the earlier one{by_margin}")
    some = "" if all(problem.selecting for problem in problems) else "in some splits "
    others = dict.fromkeys(problem.selecting for problem in problems if problem.selecting)
    return "; ".join([*said, *(f"{some}validation tasks are of {other}" for other in others)])


def _solved(method: AbstractMethod, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> ProblemResult:
    """Return one method's result, timed."""
    start = time.process_time()
    solved = method.solved(problem, seed, asked, under_way)
    return ProblemResult(
        problem=problem.name,
        validation=solved.validation,
        accuracies=solved.test.accuracies,
        calibrated=None if solved.calibrated is None else solved.calibrated.accuracies,
        step=solved.step,
        seconds=time.process_time() - start + under_way.before,
        by_steps=None if solved.by_steps is None else {n: each.accuracies for n, each in solved.by_steps.items()},
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
        "rows": [each.rows for each in result.problems],
        "seconds": result.seconds,
        "after_steps": {str(number): dataclasses.asdict(found) for number, found in result.after_steps().items()},
    }
