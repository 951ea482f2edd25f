"""Classification with several seeds under one protocol, to one record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data.data import BaseData

from graphkit._checks import at_least, instance
from graphkit._exports import deprecated_arguments
from graphkit.data import GraphSet, Partitions, feature_sum
from graphkit.data.graphset import as_graph_set
from graphkit.training.classification.choice import ChoiceExperiment, best_candidate
from graphkit.training.classification.classification_trainer import ClassificationTrainer, Epoch
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.graph_task import GraphTask, graph_facts, graph_protocol, prepare_graphs
from graphkit.training.classification.partitioned_task import part_records, prepare_part
from graphkit.training.classification.sampled_task import sampled_part_task, sampled_task
from graphkit.training.classification.targets import SupervisedObjective
from graphkit.training.classification.tasks import (
    AbstractTask,
    LabelledItems,
    NodeTask,
    prepare,
    resplit,
    training_warnings,
    unused_edge_attr,
)
from graphkit.training.engine.distributed import (
    ALONE,
    IN_TURNS,
    JobError,
    World,
    fabric_on,
    init_world,
    own_device,
    rng_seed,
)
from graphkit.training.engine.experiment import Experiment, Seconds, run_experiment
from graphkit.training.engine.options import require_reporter, require_seeds, require_splits, sequence
from graphkit.training.engine.records import (
    DatasetFacts,
    Protocol,
    Record,
    SeedUnit,
    dataset_facts,
    environment,
    protocol_of,
)
from graphkit.training.engine.records import metric as metric_of
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import CHECKPOINT, RunStore, weights_name
from graphkit.training.forecasting.forecast_task import forecast_protocol, prepare_forecasts
from graphkit.training.links.link_task import link_protocol, prepare_links
from graphkit.training.links.sampled_links import sampled_links
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames, structure_sha256
from graphkit.training.trained.model_file import ModelFile
from graphkit.training.zoo.architecture import edge_channels
from graphkit.training.zoo.portfolio import MOST_SEEDS, Portfolio
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.data import LinkSplit, Split


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed came to.

    Args:
        seed: drew the weights and the dropout.
        validation: the figure on the validation items at the selected epoch.
        test: the figure on the test items with that epoch's weights.
        selected: the selected epoch, from 1.
        history: the figures of all epochs.
        seconds: training time.
        name: of the figure.
        figures: what else was measured on the test items, by name.
    """

    seed: int
    validation: float
    test: float
    selected: int
    history: tuple[Epoch, ...]
    seconds: float
    name: str = "accuracy"
    figures: Mapping[str, float] = field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """Return the figures of the test items by name."""
        return {f"test_{self.name}": self.test, **{f"test_{name}": value for name, value in self.figures.items()}}

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and tuples, for a file."""
        return {**vars(self), "figures": dict(self.figures), "history": [tuple(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SeedResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**fields, "history": tuple(Epoch(*figures) for figures in fields["history"])})


@dataclass(frozen=True)
class Outcome:
    """The record of a run, and behind it the results of each seed.

    Args:
        record: what was measured, and how.
        seeds: the results.
        models: what was trained, one for each seed; of nested cross-validation one for each final training.
        run_dir: where all of it lies, ``None`` where nothing is kept.
        faults: what could not be kept on the disk.
        put_aside: the folder into which an earlier run was put that lay there, unfinished or with other settings.
    """

    record: Record
    seeds: tuple[SeedResult, ...]
    models: tuple[TrainedModel, ...] = field(default=(), repr=False)
    run_dir: Path | None = None
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be known of the figures, in words: a model that is worth no more than one answer for all items."""
        return self.record.warnings


@deprecated_arguments(checkpoint="run_dir")
def train(
    data: Data | GraphSet | Partitions,
    recipe: Recipe | Portfolio,
    *,
    seeds: Sequence[int] = (0,),
    splits: Sequence[Split] | Sequence[LinkSplit] | None = None,
    beside: Sequence[Recipe] = (),
    device: str = "auto",
    precision: str = "32-true",
    metric: str | None = None,
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    workers: int = 0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.train",
) -> Outcome:
    """Return the record of training on ``data``, on nodes, signals or links of it or graphs, one run for each seed.

    What items are labelled with decides what is learnt: integers are classes, 0 and 1 with gaps are binary tasks,
    other real numbers are regressed (:func:`.targets.target_kind`).

    A seed decides weights and dropout and nothing else: seed 3 gives the same result alone and among others. The
    global random generators are left as they were found. Test labels are first touched when a seed's epoch has been
    selected.

    Args:
        data: a graph with ``x``, ``edge_index``, ``y`` and boolean ``train_mask``, ``val_mask``, ``test_mask``; with
            ``signals [signals, nodes, features]`` in place of ``x``, labels and masks are those of the signals; with
            ``link_split``, and a recipe of links, neither labels nor masks are needed. Or a
            set of graphs with a split, or any ``InMemoryDataset`` of PyG with ``splits``. Or a graph in parts, one for
            each process that ``torchrun`` starts.
        recipe: model, optimiser, selection rule. Of a portfolio each recipe is tried with the first seeds, three at
            most, and the one of the best validation figure is trained; the record says what was tried.
        seeds: at least one, all different.
        splits: one for each seed, in place of the masks of ``data``.
        beside: other recipes, trained after it with the same seeds and splits; the record has their test figures.
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: a Lightning Fabric precision: "32-true", "64-true", "bf16-mixed", "16-mixed".
        metric: what is selected by and reported: "accuracy", "roc_auc", "ap", "f1", "rmse", "mae" or "r2", whichever
            fit the labels; by default what the card asks for, or "accuracy" of classes, "roc_auc" of binary tasks and
            "rmse" of numbers.
        run_dir: folder for the run's state, the trained models and the record; a :class:`.RunFolder` makes one for each
            setting, and finds it again; ``None`` keeps nothing. The state of an unfinished run that lies there, or of
            one with other settings, is put aside, not overwritten.
        resume: continue from the state in ``run_dir``; on a CPU with as many threads, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        workers: processes that draw neighbours ahead, where the recipe has a ``fan_out``; the result is the same with
            any number.
        reporter: hears of progress.
        command: what the record names as its origin.

    Raises:
        ValueError: for data, seeds or a run that cannot be used.
        TypeError: for data that are none, such as a list, and a recipe that is none, such as its name.
        TrainingError: if a loss is not finite; the last good state stays in ``run_dir``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``run_dir``.
    """
    data = as_graph_set(data)
    if not isinstance(data, BaseData | GraphSet | Partitions):
        raise TypeError(f"`data` must be a Data, a GraphSet or Partitions, got {type(data).__name__}.")
    if not isinstance(recipe, Recipe | Portfolio):
        raise TypeError(f"`recipe` must be a Recipe, such as `graphkit.training.recipe('gcn')`, got {recipe!r}.")
    seeds = require_seeds(seeds)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_splits(splits, len(seeds))
    beside = sequence("beside", beside, Recipe, "recipes")
    require_reporter(reporter)
    at_least("workers", workers, 0)
    instance("command", command, str, "text")
    if isinstance(data, Partitions):
        try:
            data.require_processes(World.from_env().count)
        except ValueError as error:
            raise JobError(str(error)) from None
        if splits is not None or workers or beside:
            raise ValueError(
                "`splits`, `workers`, `beside`: a graph in parts has its split, is drawn from in step, and by one "
                "recipe; give none."
            )
    fabric = fabric_on(own_device(device), precision)
    tried: tuple[Mapping[str, Any], ...] = ()
    if isinstance(recipe, Portfolio):
        if isinstance(data, Partitions) or splits is not None or World.from_env().count > 1:
            raise ValueError(
                "`recipe`: one process chooses from a portfolio, by the validation items of one split of a whole "
                "graph; name one recipe."
            )
        if beside:
            raise ValueError("`beside`: what a portfolio tries stands in its record; name one recipe.")
        recipe, tried, run_dir = _choose(
            recipe, data, seeds, fabric, workers, run_dir, resume, checkpoint_every, reporter, metric
        )
        resume = resume and run_dir is not None and (Path(run_dir) / CHECKPOINT).exists()
    recipe, *others = recipes = [resolve(each, data) for each in (recipe, *beside)]
    if len({each.name for each in recipes}) < len(recipes):
        raise ValueError(f"`beside` must name each recipe once, and not {recipe.name!r} itself.")
    together = _require_shared(recipe, World.from_env().count, len(seeds))
    if any(_require_shared(each, World.from_env().count, len(seeds)) != together for each in others):
        raise JobError(
            f"`beside`: of several processes all must train as {recipe.name!r} does, in batches or in turns."
        )
    with init_world(fabric.device, patience=None if together else IN_TURNS) as world:
        dtype = dtype_of(fabric)
        sharing = world if together else ALONE
        (tasks, facts, protocol), *rivals = [
            prepare_tasks(data, each, splits, fabric.device, dtype, workers, sharing, metric) for each in recipes
        ]
        objective = tasks[0][0].objective
        identity = {**recipe.as_dict(), "protocol": protocol.fingerprint, "precision": precision}
        if others:
            identity["beside"] = [each.as_dict() for each in others]
        store = None
        if run_dir is not None:
            folder = folder_of(run_dir, {**identity, "seeds": list(seeds)})
            store = RunStore(folder, identity, every=checkpoint_every, writes=world.rank == 0)
        about = {
            "precision": precision,
            "dataset": facts.name,
            "dataset_sha256": facts.sha256,
            "undirected": bool(getattr(data, "undirected", False)),
            "graph_sha256": structure_sha256(data) if recipe.model.tied else "",
            "names": DataNames.of(data),
        }
        of_seeds = [
            (each, dict(zip(seeds, several if splits is not None else several * len(seeds), strict=True)))
            for each, several in zip(recipes, (tasks, *(each[0] for each in rivals)), strict=True)
        ]
        experiment = ClassificationExperiment(of_seeds, fabric, sharing, identity, about)
        experiment.together = together
        found = run_experiment(experiment, store=store, reporter=reporter or SILENCE, world=world, resume=resume)
        results, rest = found.results[: len(seeds)], found.results[len(seeds) :]
        figures = [rest[first : first + len(seeds)] for first in range(0, len(rest), len(seeds))]
        ended = [result.validation for result in results]
        record = Record(
            command=command,
            dataset=facts,
            protocol=protocol,
            metric=metric_of(objective.name, [result.test for result in results], unit=objective.unit),
            validation=metric_of(objective.name, [result.validation for result in results], unit=objective.unit),
            selection=protocol.selection,
            config=recipe.as_dict(),
            seeds=seeds,
            epochs=tuple({"selected": result.selected, "run": len(result.history)} for result in results),
            seconds=sum(result.seconds for result in results),
            environment=environment(str(fabric.device), precision, world.count),
            tried=tried,
            beside={
                each.name: metric_of(objective.name, [result.test for result in several], unit=objective.unit)
                for each, several in zip(others, figures, strict=True)
            },
            figures=_figures(recipes, [results, *figures]),
            target=_target_facts(objective),
            parameters=_parameters(recipe, tasks[0][0]),
            warnings=unused_edge_attr(data, recipe)
            + training_warnings(
                [task for task, _ in of_seeds[0][1].values()], [result.history for result in results], ended
            ),
        )
        found.keep(record)
        models = tuple(experiment.models[seed] for seed in seeds)
        return Outcome(record, results, models, found.folder, found.faults, found.put_aside)


def _edge_channels(task: AbstractTask) -> int:
    """Return how many features of an edge a model is given; 0 for none."""
    if isinstance(task, GraphTask):
        return task.graph[1] or 0
    return (edge_channels(task.graph) or 0) if isinstance(task, NodeTask) else 0


def _figures(recipes: Sequence[Recipe], results: Sequence[Sequence[SeedResult]]) -> dict[str, dict[str, Any]]:
    """Return what else was measured: recipe -> figure -> mean and deviation over the seeds; nothing mostly."""
    if not results[0][0].figures:
        return {}
    return {
        each.name: {
            name: metric_of(name, [result.figures[name] for result in several], unit="number")
            for name in several[0].figures
            if all(name in result.figures for result in several)
        }
        for each, several in zip(recipes, results, strict=True)
    }


def _target_facts(objective: SupervisedObjective) -> dict[str, Any]:
    """Return what a record says of targets that are no classes."""
    target = objective.target
    return {} if target.kind == "classes" else {"kind": target.kind, "outputs": target.outputs}


def _parameters(recipe: Recipe, task: AbstractTask) -> int:
    """Return how many numbers steps of training move."""
    if recipe.model.solved:
        return 0
    with rng_seed(0):
        module = recipe.module(task.channels, task.outputs, task.graph)
    return sum(each.numel() for each in module.parameters() if each.requires_grad)


def _choose(
    portfolio: Portfolio,
    data: Data | GraphSet,
    seeds: Sequence[int],
    fabric: Fabric,
    workers: int,
    run_dir: Path | str | RunFolder | None,
    resume: bool,
    every: float,
    reporter: Reporter | None,
    metric: str | None,
) -> tuple[Recipe, tuple[Mapping[str, Any], ...], Path | None]:
    """Return the recipe of the best validation figure, what each of them came to, and the folder of the run.

    What is done lies in a folder below it.
    """
    recipes = [resolve(each, data) for each in portfolio.fitting(data).recipes]

    def prepare_all(recipe: Recipe) -> tuple[AbstractTask, Protocol]:
        tasks, _, protocol = prepare_tasks(data, recipe, None, fabric.device, dtype_of(fabric), workers, ALONE, metric)
        return tasks[0][0], protocol  # and let go of the test items

    task, protocol = prepare_all(recipes[0])
    several = tuple(seeds)[:MOST_SEEDS]
    tried = {"recipes": [each.as_dict() for each in recipes], "seeds": list(several)}
    identity = {**tried, "protocol": protocol.fingerprint, "precision": fabric.strategy.precision.precision}
    experiment = ChoiceExperiment(recipes, several, lambda recipe: prepare_all(recipe)[0], fabric, identity)
    folder = None if run_dir is None else folder_of(run_dir, {**identity, "all seeds": list(seeds)})
    store = None if folder is None else RunStore(folder / "choice", identity, every=every)
    with experiment.gather_warnings():
        found = run_experiment(experiment, store=store, reporter=reporter or SILENCE, resume=resume)
    best, figures = best_candidate(found.results, task.objective.sign)
    return recipes[best], tuple({"model": each.name, **of} for each, of in zip(recipes, figures, strict=True)), folder


def resolve(recipe: Recipe, data: Data | GraphSet | Partitions) -> Recipe:
    """Return a recipe with what is left to the data decided."""
    if isinstance(data, GraphSet):
        return recipe  # features of graphs are as they are
    return recipe.resolve(data.feature_sum if isinstance(data, Partitions) else lambda: feature_sum(data))


def dtype_of(fabric: Fabric) -> torch.dtype:
    """Return the type of features."""
    return torch.float64 if fabric.strategy.precision.precision == "64-true" else torch.float32


def _require_shared(recipe: Recipe, count: int, seeds: int) -> bool:
    """Return whether so many processes train each model together, in batches; else they take the seeds in turns.

    Raises:
        JobError: for a recipe that so many processes cannot share.
    """
    together = recipe.model.items == "graphs" or bool(recipe.fan_out)
    if not together:
        if count > seeds:
            raise JobError(
                f"{count} processes take the seeds in turns, but there are {seeds}: start fewer, or train nodes or "
                "links in batches, which they share, with `--sampled`."
            )
        return count == 1
    if recipe.microbatches % count and not recipe.home and not recipe.model.solved:
        raise JobError(
            f"`microbatches` ({recipe.microbatches}) must be a multiple of the number of processes ({count}), so that "
            f"each has as many parts of a batch; `--set microbatches={count}`, or start another number of them."
        )
    if count > 1 and recipe.home and getattr(recipe.model, "norm", "none") == "batch":
        raise JobError("`home` leaves a process single nodes, which `norm` 'batch' cannot divide by; take 'layer'.")
    return True


class ClassificationExperiment(Experiment[SeedUnit, SeedResult]):
    """The seeds of one call, each on the task of its split; of several recipes one after the other.

    Args:
        recipes: model, optimiser, selection rule, and seed -> what training sees, and the items to test on. The models
            of the first one are kept; of others that stand beside it the figures alone.
        fabric: device and precision.
        world: the processes that train each model together.
        identity: of the run.
        about: what all trained models have in common, fields of :class:`.TrainedModel`.
    """

    result = SeedResult

    def __init__(
        self,
        recipes: Sequence[tuple[Recipe, Mapping[int, tuple[AbstractTask, LabelledItems]]]],
        fabric: Fabric,
        world: World,
        identity: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> None:
        super().__init__(identity, fabric.device)
        self.recipes, self.fabric, self.world, self.about = recipes, fabric, world, about
        self.models: dict[int, TrainedModel] = {}

    def units(self) -> list[SeedUnit]:
        """Return the seeds, first those of the first recipe."""
        return [
            SeedUnit.of(seed, number * len(tasks) + place, beside=recipe.name if number else "", place=number)
            for number, (recipe, tasks) in enumerate(self.recipes)
            for place, seed in enumerate(tasks)
        ]

    def start(self, unit: SeedUnit) -> ClassificationTrainer:
        """Return the trainer of a freshly drawn classifier."""
        recipe, tasks = self.recipes[unit.place]
        task, _ = tasks[unit.seed]
        module = recipe.module(task.channels, task.outputs, task.graph)
        return classification_trainer(module, task, recipe, self.fabric, self.world)

    def finish(self, unit: SeedUnit, trainer: ClassificationTrainer, seconds: Seconds) -> SeedResult:
        """Look at the test items, now that the epoch is selected."""
        recipe, tasks = self.recipes[unit.place]
        rows, best, task, history = tasks[unit.seed][1], trainer.selected, trainer.task, trainer.history
        if recipe.refit and "refit" not in recipe.unused_fields():
            began = time.perf_counter()
            trainer = self._refit(unit, trainer)
            seconds = Seconds(seconds.wall + time.perf_counter() - began, seconds.cpu)
        outputs = trainer.logits(rows.index)
        test = float(task.objective.figure(outputs, rows.y))
        if not unit.place:
            self.models[unit.seed] = self._model(unit.seed, recipe, trainer, test)
        return SeedResult(
            seed=unit.seed,
            validation=best.figure,
            test=test,
            name=task.objective.name,
            selected=best.number,
            history=tuple(history),
            seconds=seconds.wall,
            figures=task.figures(outputs, rows.y),
        )

    def _refit(self, unit: SeedUnit, trainer: ClassificationTrainer) -> ClassificationTrainer:
        """Return a training anew, with the items to choose by among those to learn from."""
        recipe, task = self.recipes[unit.place][0], trainer.task.refit_task()
        with rng_seed(unit.seed, self.fabric.device):
            module = recipe.module(task.channels, task.outputs, task.graph)
            again = classification_trainer(module, task, recipe, self.fabric, self.world)
            again.repeat(trainer.selected)
        return again

    def _model(self, seed: int, recipe: Recipe, trainer: ClassificationTrainer, test: float) -> TrainedModel:
        """Return what a trainer trained, and all that is needed to use it."""
        task = trainer.task
        return TrainedModel(
            recipe=recipe,
            weights={name: value.detach().cpu() for name, value in trainer.best_weights.items()},
            channels=task.channels,
            outputs=task.outputs,
            objective=task.objective,
            seed=seed,
            molecules=isinstance(task, GraphTask) and task.graph[0],
            edge_channels=_edge_channels(task),
            figures={"validation": trainer.selected.figure, "test": test},
            **self.about,
        )

    def files(self, unit: SeedUnit) -> dict[str, bytes]:
        """Return the trained model of a seed."""
        return {} if unit.place else {weights_name(unit.key): self.models[unit.seed].to_bytes()}

    def recall(self, unit: SeedUnit, read: Callable[[str], bytes | None]) -> bool:
        """Take up the model of a finished seed, and return whether it is there."""
        if unit.place:
            return True
        name = weights_name(unit.key)
        if unit.seed not in self.models and (content := read(name)) is not None:
            self.models[unit.seed] = TrainedModel.from_file(ModelFile.from_bytes(content, Path(name)))
        return unit.seed in self.models


def prepare_tasks(
    data: Data | GraphSet | Partitions,
    recipe: Recipe,
    splits: Sequence[Split] | Sequence[LinkSplit] | None,
    device: torch.device,
    dtype: torch.dtype,
    workers: int,
    world: World,
    metric: str | None,
) -> tuple[list[tuple[AbstractTask, LabelledItems]], DatasetFacts, Protocol]:
    """Return the task of each split with the items to test on, what the data are, and the protocol."""
    tasks: list[tuple[AbstractTask, LabelledItems]]
    if isinstance(data, GraphSet):
        several: Sequence[Any] = [data.split] if splits is None else splits
        there = data.to(device)
        tasks = [prepare_graphs(there, recipe, device, dtype, split, world=world, metric=metric) for split in several]
        if not all(len(test.y) for _, test in tasks):
            raise ValueError("`test` of the split is empty; choose another split.")
        objective, facts = tasks[0][0].objective, graph_facts(data)
        named = [split for split in several if split is not None]
        return tasks, facts, graph_protocol(named, facts, recipe.rule(objective.best), objective.name)
    if isinstance(data, Partitions):
        part, test, stores = prepare_part(data, recipe, device, dtype, world, metric)
        records = part_records(data, recipe.rule(part.objective.best), part.objective.name)
        return [(sampled_part_task(part, stores, recipe, world=world), test)], *records
    divided = [data] if splits is None else [split.apply(data) for split in splits]
    if recipe.model.items == "moments":
        moments = prepare_forecasts(data, recipe, device, dtype, metric)
        objective, facts = moments[0].objective, dataset_facts(data)
        return [moments], facts, forecast_protocol(data, facts, recipe.rule(objective.best), objective.name)
    if recipe.model.items == "links":
        links = [prepare_links(each, recipe, device, dtype, metric) for each in divided]
        if recipe.fan_out:
            links = [(sampled_links(task, recipe, workers=workers, world=world), test) for task, test in links]
        objective, facts = links[0][0].objective, dataset_facts(data)
        return [*links], facts, link_protocol(divided, facts, recipe.rule(objective.best), objective.name)
    first = prepare(divided[0], recipe, device, dtype, metric, edge_features=True)
    tasks = [first, *(resplit(first[0], each, device) for each in divided[1:])]
    if recipe.fan_out:
        parts = zip(tasks, divided, strict=True)
        tasks = [(sampled_task(task, each, recipe, workers=workers, world=world), test) for (task, test), each in parts]
    objective, facts = first[0].objective, dataset_facts(data)
    return tasks, facts, protocol_of(divided, facts, recipe.rule(objective.best), objective.name)
