"""Tuning: a search over the fields of a recipe, judged by validation items; test items are seen once, at its end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit._checks import at_least, extra, instance
from graphkit.data import GraphSet
from graphkit.training.classification.classification_trainer import ClassificationTrainer, Epoch
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.run_training import Outcome, dtype_of, prepare_tasks, resolve, train
from graphkit.training.engine.distributed import ALONE, JobError, World, fabric_on, own_device
from graphkit.training.engine.experiment import Experiment, Seconds, run_experiment
from graphkit.training.engine.interrupts import TrainingError
from graphkit.training.engine.options import require_reporter, require_seed, require_seeds
from graphkit.training.engine.records import Unit
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import CHECKPOINT, JOURNAL, RunStore, write_atomically
from graphkit.training.engine.trainer import AbstractTrainer
from graphkit.training.zoo.recipes import Recipe
from graphkit.training.zoo.space import Values, space_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from optuna import Study, Trial
    from torch_geometric.data import Data

    from graphkit.training.classification.tasks import AbstractTask

SEARCH = "search"
"""The folder of the search in that of the run."""

CONFIG = "config.toml"
"""The file of the fields that were found, as ``graphkit train --config`` takes it."""

STEPS = 20
"""How often in a whole training a trial is compared with those before it."""

WARM_UP = 0.2
"""The part of a training in which no trial is stopped."""

STRIDE = 1_000_003
"""Between the seeds of a search, so that no two of its trials draw alike."""


def tune(
    data: Data | GraphSet,
    recipe: Recipe,
    *,
    trials: int = 50,
    space: Mapping[str, Any] | None = None,
    fixed: Sequence[str] = (),
    seed: int = 0,
    seeds: Sequence[int] = (0,),
    metric: str | None = None,
    device: str = "auto",
    precision: str = "32-true",
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.tune",
) -> Outcome:
    """Return the record of the best of many settings of a recipe, chosen by validation items and tested once.

    The first trial is the recipe as it is. For each further one Optuna's estimator of Parzen trees proposes fields.
    A trial whose best validation figure lies below the median of the trials before it is stopped early. The best
    complete trial (ties: lower validation loss, then the earlier one) is trained anew with ``seeds``, as
    :func:`train` does it: then test items are seen for the first time, once for each seed.

    What a trial draws depends on ``seed``, its number, and what the trials before it came to.

    Args:
        data: as :func:`train` takes it, with one split.
        recipe: where the search begins, and what stays as it is.
        trials: how many, the first one among them.
        space: field -> its values, as :func:`graphkit.training.space_of` takes them; ``None`` is its table.
        fixed: fields that are not searched.
        seed: draws the trials; all of them begin with the weights of this seed.
        seeds: of the trainings that are tested.
        metric: what trials are judged by and what is reported, as :func:`train` takes it.
        device, precision: as for :func:`train`.
        run_dir: folder for the record, the weights, ``config.toml`` with the fields that were found, and in ``search``
            Optuna's journal of all trials and the state of the one under way.
        resume: go on with that journal, to the same trials.
        checkpoint_every: seconds between two periodic writes of the state.
        reporter: hears of trials and their epochs, then of those of the final training.
        command: what the record names as its origin.

    Raises:
        ValueError: for what :func:`train` or ``space_of`` refuses, and without Optuna (``graphkit[tune]``).
        TrainingError: if no trial came to its end.
        Interrupted: on SIGINT or SIGTERM, if there is a ``run_dir``.

    Source: Bergstra, Bardenet, Bengio & Kégl (2011), "Algorithms for Hyper-Parameter Optimization", for the estimator;
    Golovin et al. (2017), "Google Vizier", for the median rule; both as Optuna has them.
    """
    extra("tune", "tune", "optuna")
    instance("data", data, _graphs(), "a Data or a GraphSet; a graph in parts is not tuned on")
    instance("recipe", recipe, Recipe, "a Recipe, such as `graphkit.training.recipe('gcn')`")
    at_least("trials", trials, 1)
    require_seed("seed", seed)
    require_seeds(seeds)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_reporter(reporter)
    instance("command", command, str, "text")
    if World.from_env().count > 1:
        raise JobError("one process tunes: each trial depends on those before it.")
    searched = space_of(recipe, space, fixed=fixed)
    fabric = fabric_on(own_device(device), precision)

    def prepare(tried: Recipe) -> tuple[AbstractTask, Any]:
        tasks, _, protocol = prepare_tasks(data, tried, None, fabric.device, dtype_of(fabric), 0, ALONE, metric)
        return tasks[0][0], protocol  # and let go of the test items

    # What the data decide is decided once, before the first trial.
    task, protocol = prepare(resolve(recipe, data))
    written = {field: str(values) for field, values in searched.items()}
    identity = {**recipe.as_dict(), "space": written, "trials": trials, "seed": seed, "precision": precision}
    identity["protocol"] = protocol.fingerprint
    sign, path, store = task.objective.sign, None, None
    if run_dir is not None:
        run_dir = folder_of(run_dir, {**identity, "seeds": list(seeds)})
        store = RunStore(run_dir / SEARCH, identity, every=checkpoint_every)
        path = run_dir / SEARCH / JOURNAL
    search = TuningExperiment(
        recipe,
        searched,
        trials,
        Journal(path, resume=resume, epochs=recipe.epochs, sign=sign, seed=seed),
        lambda tried: prepare(resolve(tried, data))[0],
        fabric,
        identity,
        seed=seed,
        name=task.objective.name,
    )
    results = run_experiment(search, store=store, reporter=reporter or SILENCE, resume=resume).results
    best = best_trial(results, sign)
    chosen = recipe.merge_fields(results[best].fields)
    outcome = train(
        data,
        chosen,
        seeds=seeds,
        metric=metric,
        device=device,
        precision=precision,
        run_dir=run_dir,
        resume=resume and run_dir is not None and (run_dir / CHECKPOINT).exists(),
        checkpoint_every=checkpoint_every,
        reporter=reporter,
        command=command,
    )
    tuning = {
        "trials": trials,
        **{state: sum(each.state == state for each in results) for state in ("complete", "pruned", "failed")},
        "space": written,
        "sampler": "TPE, of one variable at a time",
        "pruner": f"median of the best figures so far, from {WARM_UP:.0%} of the epochs on",
        "seed": seed,
        "selection": "complete trial of best validation figure; ties: lower validation loss, then the earlier trial",
        "started_from": results[0].summary(),
        "best": {"trial": best, "fields": dict(results[best].fields), **results[best].summary()},
        "seconds": sum(each.seconds for each in results),
    }
    outcome = replace(outcome, record=replace(outcome.record, tuning=tuning))
    if run_dir is not None:
        outcome.record.write(run_dir / "record.json")
        write_atomically(run_dir / CONFIG, config_content(chosen).encode())
    return outcome


def config_content(recipe: Recipe) -> str:
    """Return the fields of a recipe that decide something, as TOML.

    Example:
        >>> from graphkit.training import recipe
        >>> print(config_content(recipe("mlp", {"lr": 0.02})).splitlines()[0])
        model = "mlp"
    """
    # A number, text, true or false is written in TOML as in JSON.
    return "".join(f"{field} = {json.dumps(value)}\n" for field, value in recipe.as_dict().items())


def _graphs() -> tuple[type, ...]:
    """Return what can be tuned on."""
    from torch_geometric.data.data import BaseData

    return BaseData, GraphSet


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial came to.

    Args:
        fields: what it replaced in the recipe.
        state: "complete", "pruned" where it was stopped early, "failed" where its training went wrong.
        validation: the best figure on the validation items; NaN of a failed trial.
        validation_loss: the loss at that epoch.
        selected: that epoch, 0 of a failed trial.
        seconds: training time.
        name: of the figure.
        fault: why it failed.
    """

    fields: Mapping[str, Any]
    state: str
    validation: float
    validation_loss: float
    selected: int
    seconds: float
    name: str
    fault: str = ""

    def scalars(self) -> dict[str, float]:
        """Return the figure of the validation items."""
        return {f"validation_{self.name}": self.validation}

    def summary(self) -> dict[str, Any]:
        """Return figure and loss on validation items; nothing of a failed trial."""
        if self.state == "failed":
            return {}
        return {"validation": self.validation, "validation_loss": self.validation_loss}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {**vars(self), "fields": dict(self.fields)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TrialResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**fields)


def best_trial(results: Sequence[TrialResult], sign: int) -> int:
    """Return the number of the best complete trial; of equal figures the lower loss wins, then the earlier trial.

    Args:
        results: of all trials.
        sign: 1 where a higher figure is better, else -1.

    Raises:
        TrainingError: where none is complete, with the first fault.
    """
    complete = [number for number, result in enumerate(results) if result.state == "complete"]
    if not complete:
        raise TrainingError(f"none of {len(results)} trials came to its end; the first one: {results[0].fault}")
    return min(complete, key=lambda n: (-sign * results[n].validation, results[n].validation_loss, n))


class Journal:
    """The trials of a search as Optuna keeps them, in a file or in memory.

    Args:
        path: of the file; ``None`` keeps nothing.
        resume: go on with what is there; else it begins anew.
        epochs: of a whole training.
        sign: 1 where a higher figure is better, else -1.
        seed: with the number of a trial it seeds the sampler, so that a search that goes on draws what it would have.
    """

    def __init__(self, path: Path | None, *, resume: bool, epochs: int, sign: int, seed: int) -> None:
        self.path, self.resume, self.epochs, self.sign, self.seed = path, resume, epochs, sign, seed

    @cached_property
    def study(self) -> Study:
        """The trials, for Optuna's own tools; one that was under way when its process ended is let go.

        Raises:
            ValueError: where the file cannot be read.
        """
        import optuna

        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=int(WARM_UP * self.epochs))
        direction = "maximize" if self.sign > 0 else "minimize"
        # No news of Optuna's own: reporters hear of trials.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(
                storage=self._storage(), study_name="graphkit", pruner=pruner, direction=direction, load_if_exists=True
            )
        except (ValueError, KeyError) as error:
            raise ValueError(f"`resume`: {str(self.path)!r} is no journal of trials ({error}).") from None
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return study

    def _storage(self) -> Any:
        """Return where Optuna keeps the trials."""
        from optuna.storages import InMemoryStorage, JournalStorage
        from optuna.storages.journal import JournalFileBackend

        if self.path is None:
            return InMemoryStorage()
        if self.path.exists():
            written = self.path.read_bytes() if self.resume else b""
            # A process that is killed may leave a part of its last line.
            write_atomically(self.path, written[: written.rfind(b"\n") + 1])
        # The folder is locked already, and Optuna's own lock would outlive a process that is killed.
        return JournalStorage(JournalFileBackend(str(self.path), lock_obj=NoLock()))

    def results(self) -> list[TrialResult]:
        """Return what the trials that ended came to, in their order."""
        ended = [trial for trial in self.study.get_trials(deepcopy=False) if "result" in trial.user_attrs]
        return [TrialResult.from_dict(trial.user_attrs["result"]) for trial in ended if trial.state.name != "FAIL"]

    def ask(self, number: int, first: Mapping[str, Any]) -> Trial:
        """Return the trial of a number; ``first`` are the fields of the first one."""
        import optuna

        self.study.sampler = optuna.samplers.TPESampler(seed=(self.seed * STRIDE + number) % 2**32)
        if number == 0 and not self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.WAITING]):
            self.study.enqueue_trial(dict(first))
        return self.study.ask()

    def tell(self, trial: Trial, result: TrialResult) -> None:
        """Write what a trial came to; for Optuna one that failed is one that was stopped before its first figure."""
        from optuna.trial import TrialState

        trial.set_user_attr("result", result.as_dict())
        if result.state == "complete":
            self.study.tell(trial, result.validation)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)


class NoLock:
    """A lock, as Optuna's journals take one, that locks nothing."""

    def acquire(self) -> bool:
        """Say that it is held."""
        return True

    def release(self) -> None:
        """Do nothing."""


class TrialTrainer(AbstractTrainer[Epoch]):
    """A training that ends early where its trial is no longer worth it.

    Args:
        trainer: of the trial's recipe.
        trial: hears of the best figure so far, ``STEPS`` times in a whole training.

    Attributes:
        pruned: whether it was ended early.
        fault: what went wrong, empty where nothing did.
    """

    def __init__(self, trainer: ClassificationTrainer, trial: Trial) -> None:
        super().__init__()
        self.trainer, self.trial = trainer, trial
        self.interval = max(1, trainer.recipe.epochs // STEPS)
        self.pruned, self.fault = False, ""
        self._reported: float | None = None

    def epochs(self) -> Iterator[Epoch]:
        """Train on until the end, or until the trial is pruned or fails."""
        for number in range(1, len(self.trainer.history) + 1):  # of a trial that goes on
            self._report(self.trainer.history[:number])
        try:
            for epoch in self.trainer.epochs():
                self.best = self.trainer.best
                yield epoch
                self._report(self.trainer.history)
                if self.pruned:
                    return
        except TrainingError as error:
            self.fault = str(error)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the training."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.trainer.load_state_dict(state)
        self.best = self.trainer.best

    def _report(self, history: Sequence[Epoch]) -> None:
        """Tell the trial of the best figure so far where it is time, and hear whether it is worth going on."""
        number = len(history)
        if number % self.interval:
            return
        sign = self.trainer.task.objective.sign
        self.trial.report(sign * max(sign * epoch.figure for epoch in history), number)
        self.pruned = self.trial.should_prune()


@dataclass(frozen=True, kw_only=True)
class TrialUnit(Unit):
    """A trial of a search, from 0."""

    trial: int


class TuningExperiment(Experiment[TrialUnit, TrialResult]):
    """The trials of a search, each of which depends on those before it.

    Args:
        recipe: where it begins.
        space: field -> its values, in the order in which they are drawn.
        trials: how many.
        journal: what the trials came to.
        prepare: returns what training with a recipe sees.
        fabric: device and precision.
        identity: of the run.
        seed: draws the weights of each trial.
        name: of the figure.
    """

    result = TrialResult

    def __init__(
        self,
        recipe: Recipe,
        space: Mapping[str, Values],
        trials: int,
        journal: Journal,
        prepare: Callable[[Recipe], AbstractTask],
        fabric: Fabric,
        identity: Mapping[str, Any],
        *,
        seed: int,
        name: str,
    ) -> None:
        super().__init__(identity, fabric.device)
        self.recipe, self.space, self.trials, self.journal = recipe, space, trials, journal
        self.prepare, self.fabric, self.seed, self.name = prepare, fabric, seed, name
        self._trial: Trial | None = None
        self._fields: dict[str, Any] = {}
        self._fault = ""

    def units(self) -> list[TrialUnit]:
        """Return the trials."""
        return [
            TrialUnit(key=f"trial-{number}", label=f"trial {number}", seed=self.seed, trial=number)
            for number in range(self.trials)
        ]

    def start(self, unit: TrialUnit) -> TrialTrainer | None:
        """Return the trainer of the next trial; ``None`` where the journal knows already, or the recipe is none.

        Raises:
            ValueError: where the journal has fewer trials than were finished, or the recipe itself cannot be used.
        """
        self._trial, self._fault = None, ""
        known = len(self.journal.results())
        if known > unit.trial:  # it ended, and its process with it
            return None
        if known < unit.trial:
            raise ValueError(
                f"`resume`: the journal {str(self.journal.path)!r} has {known} trials of {unit.trial} that were "
                "finished; start without it."
            )
        own = self.recipe.as_dict()
        begin = {field: own[field] for field, values in self.space.items() if field in own}
        self._trial = self.journal.ask(
            unit.trial, {field: value for field, value in begin.items() if self.space[field].contains(value)}
        )
        try:
            recipe = self._draw(self._trial, first=unit.trial == 0)
            task = self.prepare(recipe)
            module = recipe.module(task.channels, task.outputs, task.graph)
        except ValueError as error:
            if unit.trial == 0:
                raise
            self._fault = str(error)  # fields that do not go together
            return None
        return TrialTrainer(classification_trainer(module, task, recipe, self.fabric), self._trial)

    def finish(self, unit: TrialUnit, trainer: TrialTrainer | None, seconds: Seconds) -> TrialResult:
        """Return the figures of the selected epoch, and write them into the journal."""
        if self._trial is None:
            return self.journal.results()[unit.trial]
        fault = self._fault if trainer is None else trainer.fault
        best = None if trainer is None or fault else trainer.trainer.selected
        result = TrialResult(
            fields=self._fields,
            state="failed" if best is None else "pruned" if trainer is not None and trainer.pruned else "complete",
            validation=math.nan if best is None else best.figure,
            validation_loss=math.nan if best is None else best.validation_loss,
            selected=0 if best is None else best.number,
            seconds=seconds.wall,
            name=self.name,
            fault=fault,
        )
        self.journal.tell(self._trial, result)
        return result

    def _draw(self, trial: Trial, *, first: bool) -> Recipe:
        """Return the recipe of a trial; a field that decides nothing beside those before it is not drawn.

        The first trial is the recipe itself: of its fields only those are told that lie in the space.
        """
        self._fields, recipe = {}, self.recipe
        for field, values in self.space.items():
            own = recipe.as_dict().get(field)
            if field not in recipe.as_dict() or (first and not values.contains(own)):
                continue
            value = values.suggest(trial, field)
            recipe = recipe.merge_fields({field: value})
            if not first:
                self._fields[field] = value
        return recipe
