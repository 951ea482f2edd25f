"""All methods on all problems under one protocol, to one record."""

from __future__ import annotations

import dataclasses
import datetime
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, flag, instance, member
from graphkit._exports import deprecated_arguments
from graphkit.meta import FewShotProtocol
from graphkit.training.engine.distributed import IN_TURNS, World, init_world
from graphkit.training.engine.experiment import Experiment, Seconds, run_experiment
from graphkit.training.engine.options import fields_of, require_reporter, require_seed, sequence
from graphkit.training.engine.records import Unit, environment, fingerprint, metric
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import RunStore, weights_content, weights_from, weights_name
from graphkit.training.engine.trainer import AbstractTrainer
from graphkit.training.fewshot.encoder_training import EncoderTraining
from graphkit.training.fewshot.fewshot_results import EncoderResult, FewShotRecord, MethodResult, ProblemResult
from graphkit.training.fewshot.method import CHOICES, CHOSEN, ENCODER, AbstractMethod, EvalOptions, require_inner_steps
from graphkit.training.fewshot.named_methods import METHODS
from graphkit.training.fewshot.pretraining_trainer import PretrainingTrainer
from graphkit.training.fewshot.problems import Problem
from graphkit.training.fewshot.studies import Study
from graphkit.training.trained.learner import TrainedLearner
from graphkit.training.trained.model_file import ModelFile


@dataclass(frozen=True)
class PretrainedEncoder:
    """What the training of an encoder without labels left, for a study with other tasks on the same graph.

    Args:
        result: what it came to.
        weights: of the encoder.
    """

    result: EncoderResult
    weights: Mapping[str, Tensor] = dataclasses.field(repr=False)


@dataclass(frozen=True)
class FewShotOutcome:
    """The record of a study and the results behind it.

    Args:
        record: what was measured, and how.
        methods: results by name.
        learners: by the name of their method, one for each problem.
        encoders: trained without labels, by a fingerprint of all that decides what they come to.
        run_dir: where all of it lies, ``None`` where nothing is kept.
        faults: what could not be kept on the disk.
        put_aside: the folder into which another study was put that lay in the same folder.
    """

    record: FewShotRecord
    methods: Mapping[str, MethodResult]
    learners: Mapping[str, tuple[TrainedLearner, ...]] = dataclasses.field(default_factory=dict, repr=False)
    encoders: Mapping[str, PretrainedEncoder] = dataclasses.field(default_factory=dict, repr=False)
    run_dir: Path | None = None
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None


@deprecated_arguments(folder="run_dir", processes="world")
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
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    world: World | None = None,
    before: FewShotOutcome | None = None,
    command: str = "graphkit.training.fewshot.fewshot",
) -> FewShotOutcome:
    """Return how methods fare on the same frozen tasks.

    Test tasks of a problem are first looked at when the method is trained and selected. Where no method is named as
    the headline, it is the one of highest accuracy on the validation tasks. Where all classes are tested on nothing is
    left to train or to select by: methods that need other classes are refused, and the headline must be named.

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
        run_dir: folder for what is finished, the state under way and the record; ``None`` keeps nothing.
        resume: go on from it, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        reporter: hears of the epochs of encoders and classifiers, the steps of meta-training and every result.
        world: the processes of a job, already connected, which take encoders, the tasks of meta-training and the items
            of a classifier in turns; all else each does by itself. By default those that ``torchrun`` started.
        before: of a study with other tasks, such as another number of shots: an encoder that would be trained as one
            of its own was is taken from there, to the same bits.
        command: what the record names as its origin.

    Raises:
        ValueError: for names that are no methods, or none; a protocol that the study was not drawn with; and a run
            of another study, or one that another process holds.
        TrainingError: if a training diverges, or changes nothing.
        Interrupted: on SIGINT or SIGTERM, if there is a ``run_dir``; what is finished lies there, and the state of the
            training under way.
    """
    instance("study", study, Study, "a Study, such as `study_of_classes` makes")
    instance("protocol", protocol, FewShotProtocol, "a FewShotProtocol")
    methods = fields_of("methods", methods)
    sequence("methods", list(methods.values()), AbstractMethod, "methods by name")
    names, steps = sequence("names", names, str, "names"), sequence("steps", steps, int, "whole numbers")
    for number in (calibrate, *steps):
        at_least("calibrate" if number is calibrate else "steps", number, 0)
    if flag("balanced", balanced) and not calibrate:
        raise ValueError("`balanced` is of calibration, which `calibrate` of 0 leaves out.")
    require_seed("seed", seed)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_reporter(reporter)
    if before is not None:
        instance("before", before, FewShotOutcome, "what `fewshot` returned, or None")
    instance("command", command, str, "text")
    if not names:
        raise ValueError(f"`names` must hold at least one method. Known: {', '.join(methods)}.")
    for name in names:
        member("names", name, methods)
    if headline is not None:
        member("headline", headline, names)
    if all_tested := any(problem.validation is None for problem in study.problems):
        needy = [name for name in names if methods[name].needs_other_classes]
        if needy:
            raise ValueError(
                f"`names`: {', '.join(needy)} are trained or chosen on other classes than those that they are tested "
                "on, and here all classes are; leave them out."
            )
        if headline is None:
            raise ValueError("`headline` must be named where all classes are tested on: no validation tasks choose it.")
    for problem in study.problems:
        if problem.test.protocol != protocol:
            raise ValueError(
                f"`protocol` must be the one that the study was drawn with, {problem.test.protocol}, got {protocol}."
            )
    if study.edges is None and (seeing := [name for name in names if methods[name].sees_edges]):
        raise ValueError(
            f"`names`: {', '.join(seeing)} have models of the nodes of a graph, and the items here are whole graphs; "
            "take a `model` of rows, such as perceptron."
        )
    if study.edges is not None and any(methods[name].sees_edges for name in names):
        tested = [(study.edges(problem).test, len(problem.test.items.y)) for problem in study.problems]
        for edges, nodes in {id(edges.index): (edges, nodes) for edges, nodes in tested}.values():
            for name in names:
                methods[name].require_graph(edges, nodes)
    require_inner_steps({name: methods[name] for name in names}, steps)
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
    options = EvalOptions(calibrate, tuple(steps), balanced)
    identity = {"study": held["fingerprint"], "seed": seed, "steps": list(steps), "device": study.device.type}
    used = {name: methods[name] for name in names}
    with init_world(study.device, patience=patience(used)) if world is None else nullcontext(world) as joined:
        store = None
        if run_dir is not None:
            store = RunStore(
                folder_of(run_dir, {**identity, "methods": config}),
                identity,
                every=checkpoint_every,
                writes=joined.rank == 0,
            )
        known = {} if before is None else before.encoders
        experiment = FewShotExperiment(study, used, config, options, seed, joined, identity, known)
        found = run_experiment(experiment, store=store, reporter=reporter or SILENCE, world=joined, resume=resume)
        results = experiment.results()
        chosen = headline or max(names, key=lambda name: results[name].validation or 0.0)
        best = results[chosen]
        record = FewShotRecord(
            command=command,
            dataset=study.facts,
            protocol=held,
            metric=metric("accuracy", [statistics.fmean(each.accuracies) for each in best.problems]),
            validation=None if all_tested else metric("accuracy", [each.validation or 0.0 for each in best.problems]),
            headline=chosen,
            selection=_selection(headline is not None, study.problems, used),
            methods={name: _figures(result, results[names[0]]) for name, result in results.items()},
            config=config,
            seeds=(seed,),
            seconds=sum(each.seconds for result in results.values() for each in result.problems),
            row_seconds=experiment.row_seconds(),
            environment=environment(str(study.device), "32-true", joined.count),
        )
        found.keep(record)
    learners = {name: experiment.learners_of(name) for name in names}
    return FewShotOutcome(
        record, results, learners, experiment.encoder_weights(), found.folder, found.faults, found.put_aside
    )


def learner_file(name: str, problem: int) -> str:
    """Return the name of the file with the learner that a method left on a problem, from 1."""
    return f"learner-{name}-{problem}.safetensors"


def patience(methods: Mapping[str, AbstractMethod]) -> datetime.timedelta | None:
    """Return how long a process waits for another one, whose turn may be to train an encoder; ``None`` as usual."""
    return IN_TURNS if any(method.rows == ENCODER for method in methods.values()) else None


@dataclass(frozen=True, kw_only=True)
class EncoderUnit(Unit):
    """An encoder that is trained without labels, before the first problem whose methods stand on it."""

    training: EncoderTraining = dataclasses.field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class MethodUnit(Unit):
    """A method on a problem."""

    method: str
    problem: Problem = dataclasses.field(repr=False, compare=False)


class FewShotExperiment(Experiment[EncoderUnit | MethodUnit, EncoderResult | ProblemResult]):
    """All methods on all problems, and the encoders that they stand on.

    The processes of a job take encoders in turns, and work on each method together.

    Args:
        study: the problems, and what is seen of their items.
        methods: by name.
        config: their fields, by name.
        options: what is wanted beside accuracies.
        seed: draws weights.
        world: the processes of the job.
        identity: of the run.
        pretrained: encoders of an earlier study, which are not trained again.
    """

    result = ProblemResult

    def __init__(
        self,
        study: Study,
        methods: Mapping[str, AbstractMethod],
        config: Mapping[str, Mapping[str, Any]],
        options: EvalOptions,
        seed: int,
        world: World,
        identity: Mapping[str, Any],
        pretrained: Mapping[str, PretrainedEncoder],
    ) -> None:
        super().__init__(identity, study.device)
        self._pretrained = pretrained
        self._trained: dict[str, Mapping[str, Tensor]] = {}
        self.study, self.methods, self.config = study, methods, config
        self.options, self.seed, self.world = options, seed, world
        self._row_seconds: dict[str, float] = {}
        self._rows = ""
        self._chosen: dict[str, str] = {}
        self._problem: Problem | None = None
        self._encoders: dict[str, nn.Module] = {}
        self.learners: dict[str, TrainedLearner] = {}

    def units(self) -> list[EncoderUnit | MethodUnit]:
        """Return the encoders and the methods of each problem, one problem after the other."""
        found: dict[str, EncoderUnit | MethodUnit] = {}
        for problem in self.study.problems:
            # Most encoders are of several problems, and trained before the first.
            found |= {unit.key: unit for unit in self._encoder_units(problem) if unit.key not in found}
            found |= {unit.key: unit for unit in self._method_units(problem)}
        return list(found.values())

    def _encoder_units(self, problem: Problem) -> list[EncoderUnit]:
        """Return the encoders that some method stands on; each is a group of its own."""
        if all(method.rows != ENCODER for method in self.methods.values()):
            return []
        trainings = enumerate(self.study.encoders(problem))
        return [
            EncoderUnit(key=each.key, label=each.label, seed=each.seed, group=number, training=each)
            for number, each in trainings
        ]

    def _method_units(self, problem: Problem) -> list[MethodUnit]:
        return [
            MethodUnit(
                key=f"{name} {fingerprint(self.config[name])} {problem.name}",
                label=f"{name} on {problem.name}",
                seed=self.seed,
                method=name,
                problem=problem,
            )
            for name in self.methods
        ]

    def is_shared(self, unit: EncoderUnit | MethodUnit) -> bool:
        """Return whether it is a method."""
        return isinstance(unit, MethodUnit)

    def read_result(self, fields: Mapping[str, Any]) -> EncoderResult | ProblemResult:
        """Return what a method or an encoder came to, from its plain values."""
        return (ProblemResult if "problem" in fields else EncoderResult).from_dict(fields)

    def start(self, unit: EncoderUnit | MethodUnit) -> AbstractTrainer[Any] | None:
        """Return the training of an encoder; or make the rows that a method sees, and return its training, if any."""
        if isinstance(unit, EncoderUnit):
            return None if self._pretraining(unit) in self._pretrained else unit.training.start()
        study, method = self.study, self.methods[unit.method]
        began = time.process_time()
        self._rows = self._chosen_rows(unit.problem) if method.rows == CHOSEN else method.rows
        trained = [self._encoders[each.key] for each in study.encoders(unit.problem)] if self._rows == ENCODER else []
        views = study.features(unit.problem, self._rows, method.length, trained)
        if method.sees_edges:
            assert study.edges is not None
            views = views.with_edges(study.edges(unit.problem), method.nodes)
        self._problem = unit.problem.with_features(views)
        if study.device.type == "cuda":
            torch.cuda.synchronize(study.device)  # what made the rows is no part of the method's time
        self._row_seconds[method.rows] = self._row_seconds.get(method.rows, 0.0) + time.process_time() - began
        return method.start(self._problem, self.seed, self.world)

    def finish(self, unit: EncoderUnit | MethodUnit, trainer: Any, seconds: Seconds) -> EncoderResult | ProblemResult:
        """Return a method's evaluations or an encoder's loss, with the CPU seconds of training and evaluation."""
        if isinstance(unit, EncoderUnit):
            return self._finish_encoder(unit, trainer, seconds)
        assert self._problem is not None
        began = time.process_time()
        method = self.methods[unit.method]
        found = method.evaluate(self._problem, self.seed, self.options, trainer)
        setting, trained = self.study.setting, self.study.encoders(unit.problem) if self._rows == ENCODER else ()
        self.learners[unit.key] = TrainedLearner(
            name=unit.method,
            method=method,
            rows=self._rows,
            features=self.study.facts.features,
            channels=self._problem.channels,
            ways=self._problem.ways,
            learnt=method.learnt(self._problem, self.seed, trainer),
            encoders=tuple((each.recipe, self._encoders[each.key].state_dict()) for each in trained),
            adapter=setting.get("adapter") or "",
            items=setting.get("items", "nodes"),
            problem=unit.problem.name,
            dataset=self.study.facts.name,
            figures={
                **({} if found.validation is None else {"validation": found.validation}),
                "test": found.test.mean,
            },
        )
        return ProblemResult(
            problem=unit.problem.name,
            validation=found.validation,
            accuracies=found.test.accuracies,
            calibrated=None if found.calibrated is None else found.calibrated.accuracies,
            step=found.step,
            seconds=seconds.cpu + time.process_time() - began,
            by_steps=None if found.by_steps is None else {n: each.accuracies for n, each in found.by_steps.items()},
            rows=self._rows,
        )

    def _finish_encoder(self, unit: EncoderUnit, trainer: PretrainingTrainer | None, seconds: Seconds) -> EncoderResult:
        """Keep a trained encoder for the methods, and return its loss; of one that was trained before what it took."""
        if trainer is None:
            found = self._pretrained[self._pretraining(unit)]
            self._keep(unit, unit.training.load(found.weights, self.device))
            return found.result
        trainer.select()
        self._keep(unit, trainer.model.eval())
        last = trainer.selected
        return EncoderResult(train_loss=last.train_loss, epochs=last.number, seconds=seconds.cpu)

    def files(self, unit: EncoderUnit | MethodUnit) -> Mapping[str, bytes]:
        """Return an encoder's weights, or the learner that a method left."""
        if isinstance(unit, MethodUnit):
            return {self._file_of(unit): self.learners[unit.key].to_bytes()}
        return {weights_name(unit.key): weights_content(self._encoders[unit.key].state_dict())}

    def recall(self, unit: EncoderUnit | MethodUnit, read: Callable[[str], bytes | None]) -> bool:
        """Take up a trained encoder or learner, and return whether it is there."""
        if isinstance(unit, MethodUnit):
            name = self._file_of(unit)
            if unit.key not in self.learners and (content := read(name)) is not None:
                self.learners[unit.key] = TrainedLearner.from_file(ModelFile.from_bytes(content, Path(name)))
            return unit.key in self.learners
        if unit.key in self._encoders:
            return True
        weights = weights_from(read(weights_name(unit.key)))
        if weights is None:
            return False
        self._keep(unit, unit.training.load(weights, self.device))
        return True

    def _file_of(self, unit: MethodUnit) -> str:
        """Return the name of the file of a method's learner, which counts the problems from 1."""
        return learner_file(unit.method, self.study.problems.index(unit.problem) + 1)

    def _keep(self, unit: EncoderUnit, encoder: nn.Module) -> None:
        """Keep an encoder, and let go of those of other problems, whose methods are through."""
        problem = unit.training.problem
        others = {unit.key: unit.training.problem for unit in self.units() if isinstance(unit, EncoderUnit)}
        self._encoders = {key: each for key, each in self._encoders.items() if others[key] == problem}
        self._encoders[unit.key] = encoder
        self._trained[unit.key] = encoder.state_dict()

    def _pretraining(self, unit: EncoderUnit) -> str:
        """Return a fingerprint of all that decides what an encoder comes to: the tasks do not."""
        study, training = self.study, unit.training
        return fingerprint(
            {
                "dataset": study.facts.sha256,
                "setting": study.setting,
                "recipe": training.recipe.as_dict(),
                "seed": training.seed,
                "problem": training.problem,
                "device": str(self.device),
            }
        )

    def encoder_weights(self) -> dict[str, PretrainedEncoder]:
        """Return the encoders that were trained or taken over, by the fingerprints of their trainings."""
        units = [unit for unit in self.units() if isinstance(unit, EncoderUnit) and unit.key in self._trained]
        found = {}
        for unit in units:
            result = self.done[unit.key]
            assert isinstance(result, EncoderResult)
            found[self._pretraining(unit)] = PretrainedEncoder(result, self._trained[unit.key])
        return found

    def learners_of(self, name: str) -> tuple[TrainedLearner, ...]:
        """Return the learners of a method, in the order of the problems."""
        units = [unit for unit in self.units() if isinstance(unit, MethodUnit) and unit.method == name]
        return tuple(self.learners[unit.key] for unit in units)

    def _chosen_rows(self, problem: Problem) -> str:
        """Return the rows that validation tasks choose, once for all methods that leave it to them."""
        if problem.name not in self._chosen:
            self._chosen[problem.name] = chosen_rows(self.study, problem)
        return self._chosen[problem.name]

    def row_seconds(self) -> dict[str, float]:
        """Return the CPU seconds that each kind of rows took to make, the training of encoders included."""
        found = dict(self._row_seconds)
        for result in (self.done[unit.key] for unit in self.units()):
            if isinstance(result, EncoderResult):
                found[ENCODER] = found.get(ENCODER, 0.0) + result.seconds
        return found

    def results(self) -> dict[str, MethodResult]:
        """Return what each method came to on all problems."""
        found = {}
        for name, method in self.methods.items():
            units = [unit for unit in self.units() if isinstance(unit, MethodUnit) and unit.method == name]
            parts = [self.done[unit.key] for unit in units]
            problems = tuple(part for part in parts if isinstance(part, ProblemResult))
            found[name] = MethodResult(name=name, trained=method.trained, problems=problems)
        return found


def chosen_rows(study: Study, problem: Problem) -> str:
    """Return the kind of rows on which prototypes do best on the validation tasks; ties: the earlier of ``CHOICES``."""
    from torch import nn

    from graphkit.meta import PrototypicalNetwork, evaluate

    def accuracy(kind: str) -> float:
        tasks = problem.with_features(study.features(problem, kind, 1.0, ())).selection
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


def _figures(result: MethodResult, baseline: MethodResult) -> dict[str, Any]:
    """Return a method's figures as plain numbers."""
    plain, after = result.accuracy(), result.accuracy(calibrated=True)
    return {
        "accuracy": None if plain is None else dataclasses.asdict(plain),
        "calibrated": None if after is None else dataclasses.asdict(after),
        "validation": result.validation,
        "difference": {"to": baseline.name, **dataclasses.asdict(result.over(baseline))},
        "selected_steps": [each.step for each in result.problems],
        "rows": [each.rows for each in result.problems],
        "seconds": result.seconds,
        "after_steps": {str(number): dataclasses.asdict(found) for number, found in result.after_steps().items()},
    }
