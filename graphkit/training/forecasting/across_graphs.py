"""Forecasts across graphs: a day at a time, from what is known until then here, and of other graphs.

Of each graph in turn the others are there to learn from. After each moment that is forecast from, a model has seen the
moments of its own graph until then; of the others, by the honest calendar, those until the same date, and by that of
Panagopoulos et al. all of them, also those that come later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from graphkit._checks import instance, member
from graphkit.data.fingerprint import tensors_sha256
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.training.engine.distributed import CPU, JobError, World
from graphkit.training.engine.experiment import Experiment, Seconds, run_experiment
from graphkit.training.engine.options import require_reporter, require_seeds, sequence
from graphkit.training.engine.records import (
    DatasetFacts,
    Protocol,
    Record,
    Unit,
    dataset_facts,
    environment,
    fingerprint,
    metric,
)
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import RunStore
from graphkit.training.forecasting.across_learners import LEARNERS, RULES, STEPPING, KnownSeries, forecaster_of
from graphkit.training.forecasting.across_recipes import AcrossRecipe

CALENDARS = ("honest", "published")
"""What is known of other graphs: what was there by then, or all, also what comes later."""


@dataclass(frozen=True, kw_only=True)
class AcrossUnit(Unit):
    """A learner on one graph, with one seed."""

    target: str
    learner: str


@dataclass(frozen=True, kw_only=True)
class AcrossResult:
    """What a learner came to on one graph.

    Args:
        seed: drew it.
        target: the graph.
        learner: its name.
        figures: name -> figure.
        seconds: what it took.
    """

    seed: int
    target: str
    learner: str
    figures: Mapping[str, float]
    seconds: float
    validation: float | None = None
    selected: int = 0

    def scalars(self) -> dict[str, float]:
        """Return the figures by name."""
        return {f"test_{name}": value for name, value in self.figures.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {**vars(self), "figures": dict(self.figures)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> AcrossResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**fields)


@dataclass(frozen=True)
class AcrossOutcome:
    """The record of a study across graphs.

    Args:
        record: what was measured, and how; ``figures`` has every learner on every graph.
        run_dir: where it lies, ``None`` where nothing is kept.
        faults: what could not be kept on the disk.
        put_aside: the folder into which an earlier run was put.
    """

    record: Record
    run_dir: Path | None = None
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None
    warnings: tuple[str, ...] = field(default=())


def forecast_across(
    graphs: Mapping[str, TemporalGraph],
    recipe: AcrossRecipe,
    *,
    horizons: Sequence[int] = (3, 7, 13),
    learners: Sequence[str] = LEARNERS,
    targets: Sequence[str] | None = None,
    calendar: Literal["honest", "published"] = "honest",
    seeds: Sequence[int] = (0,),
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.forecasting.forecast_across",
) -> AcrossOutcome:
    """Return the record of forecasts on each graph, learnt from it and from the others day by day.

    Args:
        graphs: series on calendars of the same step, by name; of a graph that changes with time the moments for which
            it is known.
        recipe: a network that belongs to no graph.
        horizons: how many moments ahead errors are given for, of all up to each together.
        learners: of ``LEARNERS``; rules and ridge regression have no seed, and are measured once.
        targets: the graphs that are forecast; by default all in turn.
        calendar: "honest": of other graphs the moments until the date of the forecast are known; "published": all.
        seeds: of the networks.
        run_dir, resume, checkpoint_every, reporter, command: as for :func:`graphkit.training.train`.

    Raises:
        ValueError: for graphs without a calendar, a network that belongs to a graph, and names that there are not.
        Interrupted: on SIGINT or SIGTERM, if there is a ``run_dir``.

    Source: Panagopoulos, Nikolentzos & Vazirgiannis (2021), arXiv:2009.08388, for MAML across countries.
    """
    instance("graphs", graphs, Mapping, "series by name")
    instance("recipe", recipe, AcrossRecipe, "an AcrossRecipe, such as `across_recipe('shared-lag-network')`")
    seeds = require_seeds(seeds)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_reporter(reporter)
    instance("command", command, str, "text")
    member("calendar", calendar, CALENDARS)
    learners = tuple(sequence("learners", learners, str, "names"))
    for name in learners:
        member("learners", name, LEARNERS)
    if not learners or len(set(learners)) < len(learners):
        raise ValueError("`learners` must name at least one, each once.")
    ahead = tuple(sequence("horizons", horizons, int, "numbers of moments"))
    if not ahead or list(ahead) != sorted(set(ahead)) or ahead[0] < 1:
        raise ValueError(f"`horizons` must name numbers of moments that rise, got {list(ahead)}.")
    if len(graphs) < 2:
        raise ValueError(f"`graphs` must hold two series at least, got {len(graphs)}.")
    if recipe.model.items != "moments" or recipe.model.tied:
        raise ValueError(
            f"`recipe` {recipe.name!r} belongs to a graph: across graphs a network has no parameters of nodes "
            "(`embedding=0`, `adaptive=0`, `scaling=series`)."
        )
    if World.from_env().count > 1:
        raise JobError("one process forecasts across graphs.")
    series = {name: KnownSeries.of(name, graph) for name, graph in graphs.items()}
    named = tuple(series) if targets is None else tuple(sequence("targets", targets, str, "names of graphs"))
    for name in named:
        member("targets", name, series)
    for name in named:
        series[name].origins(recipe.first, ahead[-1], recipe.length)
    units = _units(named, learners, seeds)
    facts, protocol = _protocol(graphs, series, recipe, ahead, calendar, named)
    fields = recipe.as_dict()
    if not set(learners) & set(STEPPING):  # nothing takes such steps
        fields = {name: value for name, value in fields.items() if name not in ("inner_lr", "inner_steps")}
    config = {**fields, "learners": list(learners), "calendar of others": calendar}
    identity = {**config, "protocol": protocol.fingerprint, "seeds": list(seeds)}
    store = None
    if run_dir is not None:
        store = RunStore(folder_of(run_dir, identity), identity, every=checkpoint_every)
    study = _AcrossExperiment(series, recipe, ahead, calendar == "honest", units, identity)
    found = run_experiment(study, store=store, reporter=reporter or SILENCE, resume=resume)
    record = _record(found.results, facts, protocol, config, learners, named, seeds, ahead, command)
    found.keep(record)
    return AcrossOutcome(record, found.folder, found.faults, found.put_aside)


def _units(targets: Sequence[str], learners: Sequence[str], seeds: Sequence[int]) -> list[AcrossUnit]:
    """Return what is measured at a time."""
    units: list[AcrossUnit] = []
    for target in targets:
        for learner in learners:
            for seed in seeds[:1] if learner in RULES else seeds:
                key = f"{target}-{learner}-seed-{seed}"
                label = f"{learner} on {target}" + ("" if learner in RULES else f", seed {seed}")
                units.append(
                    AcrossUnit(key=key, label=label, seed=seed, group=len(units), target=target, learner=learner)
                )
    return units


class _AcrossExperiment(Experiment[AcrossUnit, AcrossResult]):
    """Each learner on each graph, with each seed."""

    result = AcrossResult

    def __init__(
        self,
        series: Mapping[str, KnownSeries],
        recipe: AcrossRecipe,
        horizons: tuple[int, ...],
        honest: bool,
        listed: Sequence[AcrossUnit],
        identity: Mapping[str, Any],
    ) -> None:
        super().__init__(identity, CPU)
        self.series, self.recipe, self.horizons, self.honest, self.listed = series, recipe, horizons, honest, listed

    def units(self) -> Sequence[AcrossUnit]:
        """Return them."""
        return self.listed

    def start(self, unit: AcrossUnit) -> None:
        """Return nothing: what is trained is trained anew as time goes on."""

    def finish(self, unit: AcrossUnit, trainer: Any, seconds: Seconds) -> AcrossResult:
        """Forecast day by day, and measure."""
        began, recipe, target = time.perf_counter(), self.recipe, self.series[unit.target]
        others = [each for name, each in self.series.items() if name != unit.target]
        forecaster = forecaster_of(unit.learner, recipe, target, others, self.horizons[-1], honest=self.honest)
        errors = []
        for origin in target.origins(recipe.first, self.horizons[-1], recipe.length):
            said = forecaster.forecast(origin)
            came = target.signals[origin + 1 : origin + 1 + self.horizons[-1]].to(said.dtype)
            errors.append(_errors(said, came))
        sums = torch.stack(errors).sum(0)  # [horizon, (absolute, square, count)]
        figures = {}
        for ahead in self.horizons:
            absolute, square, many = sums[:ahead].sum(0).tolist()
            figures[f"mae to {ahead}, {unit.target}"] = absolute / many
            figures[f"rmse to {ahead}, {unit.target}"] = (square / many) ** 0.5
        return AcrossResult(
            seed=unit.seed,
            target=unit.target,
            learner=unit.learner,
            figures=figures,
            seconds=time.perf_counter() - began,
        )


def _errors(said: Tensor, came: Tensor) -> Tensor:
    """Return sums of errors and of their squares, and how many there are, of each moment ahead, ``[horizon, 3]``."""
    there = ~came.isnan()
    apart = torch.where(there, said - came, 0.0).double().flatten(1)
    many = there.flatten(1).sum(1).double()
    return torch.stack([apart.abs().sum(1), apart.square().sum(1), many], 1)


def _protocol(
    graphs: Mapping[str, TemporalGraph],
    series: Mapping[str, KnownSeries],
    recipe: AcrossRecipe,
    horizons: tuple[int, ...],
    calendar: str,
    targets: tuple[str, ...],
) -> tuple[DatasetFacts, Protocol]:
    """Return what the data are, and the protocol."""
    each = {name: dataset_facts(graph) for name, graph in graphs.items()}
    known = {
        name: torch.frombuffer(bytearray(facts.sha256.encode()), dtype=torch.uint8) for name, facts in each.items()
    }
    facts = DatasetFacts(
        name="+".join(each),
        sha256=tensors_sha256(known),
        nodes=sum(of.nodes for of in each.values()),
        edges=sum(of.edges for of in each.values()),
        features=next(iter(each.values())).features,
        classes=0,
        signals=sum(len(of.signals) for of in series.values()),
    )
    origins = [len(series[name].origins(recipe.first, horizons[-1], recipe.length)) for name in targets]
    asked = {
        "length": recipe.length,
        "first": recipe.first,
        "horizons": list(horizons),
        "calendar": calendar,
        "targets": list(targets),
    }
    return facts, Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=f"across graphs, {calendar} calendar",
        split_sha256=fingerprint(asked),
        train=recipe.first,
        validation=0,
        test=sum(origins),
        setting="day by day",
        selection="none",
        metric="mae",
        items="moments",
        rule=f"1 to {horizons[-1]} ahead, from {recipe.length}; of {', '.join(targets)}",
    )


def _record(
    results: Sequence[AcrossResult],
    facts: DatasetFacts,
    protocol: Protocol,
    config: Mapping[str, Any],
    learners: Sequence[str],
    targets: Sequence[str],
    seeds: tuple[int, ...],
    horizons: tuple[int, ...],
    command: str,
) -> Record:
    """Return the record; its figure is the error to the farthest horizon of the last learner, a mean over graphs."""
    figures: dict[str, dict[str, Any]] = {}
    means = {}
    for learner in learners:
        mine = [each for each in results if each.learner == learner]
        names = dict.fromkeys(name for each in mine for name in each.figures)
        figures[learner] = {
            name: metric(name, [each.figures[name] for each in mine if name in each.figures], unit="number")
            for name in names
        }
        farthest = [f"mae to {horizons[-1]}, {target}" for target in targets]
        of_seed = zip(*(figures[learner][name].values for name in farthest), strict=True)
        means[learner] = metric("mae", [sum(several) / len(several) for several in of_seed], unit="as the labels")
    head = learners[-1]
    many = len(means[head].values)
    return Record(
        command=command,
        dataset=facts,
        protocol=protocol,
        metric=means[head],
        validation=means[head],
        selection=protocol.selection,
        config={**config, "headline": head},
        seeds=seeds[:many],
        epochs=tuple({"selected": 0, "run": 0} for _ in range(many)),
        seconds=sum(each.seconds for each in results),
        environment=environment("cpu", "32-true"),
        beside={name: each for name, each in means.items() if name != head},
        figures=figures,
        target={"kind": "forecasts", "outputs": horizons[-1]},
    )
