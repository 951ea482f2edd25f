"""Nested cross-validation of a set of graphs: the choice is made anew in every fold, on what the fold does not test."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphkit._checks import at_least, instance
from graphkit._exports import deprecated_arguments
from graphkit.data import GraphSet
from graphkit.data.graphset import as_graph_set
from graphkit.data.splits import NestedFolds
from graphkit.training.classification.classification_trainer import ClassificationTrainer
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.graph_task import graph_facts, prepare_graphs
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.run_training import Outcome
from graphkit.training.classification.tasks import (
    LabelledItems,
    graph_classes,
    majority_warning,
    stays_at,
    unused_edge_attr,
)
from graphkit.training.engine.distributed import IN_TURNS, fabric_on, init_world, own_device
from graphkit.training.engine.experiment import Experiment, Seconds, run_experiment
from graphkit.training.engine.options import fields_of, require_reporter, require_seed, sequence
from graphkit.training.engine.records import Metric, Record, Unit, environment, metric
from graphkit.training.engine.records import Protocol as MeasuredUnder
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import RunStore, weights_name
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames
from graphkit.training.trained.model_file import ModelFile
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.data import Split

GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "gin": (
        {"readout": "sum", "hidden": 32},
        {"readout": "sum", "hidden": 64},
        {"readout": "mean", "hidden": 32},
        {"readout": "mean", "hidden": 64},
    ),
    "structure-free": (
        {"hidden": 32},
        {"hidden": 128},
        {"hidden": 32, "l2": 1e-3},
        {"hidden": 128, "l2": 1e-3},
    ),
}
"""What is chosen from in each fold, beside the fields that are given; other recipes that take steps have the sizes of
``gin``."""

SETTINGS: dict[str, Any] = {
    "lr": 0.01,
    "schedule": "constant",
    "epochs": 200,
    "patience": 40,
    "batch": 32,
    "dropout": 0.0,
    "layers": 4,
    "residual": False,
    "l2_on": "all",
}
"""Fields that are the same for all choices unless given."""

RUNS = 3
"""Final runs in a fold, as in Errica et al."""

STRIDE = 1000
"""Between the numbers of two folds' first trainings, from which their random generators begin."""


@deprecated_arguments(checkpoint="run_dir")
def nested_cross_validation(
    graphs: GraphSet,
    recipe: Recipe,
    *,
    given: Mapping[str, Any] | None = None,
    beside: Sequence[Recipe] = (),
    folds: int = 10,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.nested_cross_validation",
) -> Outcome:
    """Return the record of a recipe under the fair protocol: mean and deviation over folds of the mean of three runs.

    In every fold each choice of the grid is trained on 90 % of what the fold does not test and judged on the other
    10 %; the best one is trained three times anew, stopped by a hold-out, and tested. No choice sees a test graph.

    The processes that ``torchrun`` started take the folds in turns, to the figures of one process: a training draws
    from its own number alone. After each round they tell each other what theirs came to.

    Args:
        graphs: a set with classes; any ``InMemoryDataset`` of PyG.
        recipe: for graphs; its fields are replaced by ``SETTINGS``, then by a choice of ``GRIDS``.
        given: fields that are not chosen but given: they win over both.
        beside: other recipes, measured after it in the same folds and in the same way; the record has their figures.
        folds: outer folds.
        seed: draws the folds, and with the number of the training its weights.
        device, precision: as for ``train``.
        run_dir: folder for the state of the run, its record, and the models of the recipe's final trainings.
        resume: go on from it, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        reporter: hears of trainings and their epochs.
        command: what the record names as its origin.

    Raises:
        ValueError: for a set without classes, or a recipe that is not for graphs.
        TrainingError: if another process of the job is gone.
        Interrupted: on SIGINT or SIGTERM, if there is a ``run_dir``.

    Source: Errica, Podda, Bacciu & Micheli (2020), arXiv:1912.09893, for the protocol; the grid is smaller.
    """
    graphs = as_graph_set(graphs)
    instance("graphs", graphs, GraphSet, "a GraphSet")
    instance("recipe", recipe, Recipe, "a Recipe, such as `graphkit.training.recipe('gin', items='graphs')`")
    given, beside = fields_of("given", given), sequence("beside", beside, Recipe, "recipes")
    if at_least("folds", folds, 2) > len(graphs):
        raise ValueError(f"`folds` must be at most the number of graphs ({len(graphs):,}), got {folds:,}.")
    require_seed("seed", seed)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_reporter(reporter)
    instance("command", command, str, "text")
    graph_classes(graphs)
    names = [each.name for each in (recipe, *beside)]
    if len(set(names)) < len(names):
        raise ValueError(f"`beside` must name each once, and not {recipe.name!r} itself.")
    fabric = fabric_on(own_device(device), precision)
    with init_world(fabric.device, patience=IN_TURNS) as world:
        grids = {each.name: choices_of(each, given) for each in (recipe, *beside)}
        protocol, splits = _protocol(graphs, folds, seed)
        configs = {name: {"choices": [choice.as_dict() for choice in grid]} for name, grid in grids.items()}
        config = {"model": recipe.name, **configs[recipe.name], "runs": RUNS}
        identity = {
            **config,
            "beside": {each.name: configs[each.name] for each in beside},
            "protocol": protocol.fingerprint,
            "precision": precision,
        }
        store = None
        if run_dir is not None:
            store = RunStore(
                folder_of(run_dir, {**identity, "seed": seed}), identity, every=checkpoint_every, writes=world.rank == 0
            )
        nested = NestedExperiment(graphs, grids, splits, seed, fabric, precision, identity)
        found = run_experiment(nested, store=store, reporter=reporter or SILENCE, world=world, resume=resume)
        record = Record(
            command=command,
            dataset=graph_facts(graphs),
            protocol=protocol,
            metric=nested.test_metric(recipe.name),
            validation=nested.validation_metric(recipe.name),
            selection=protocol.selection,
            config=config,
            seeds=(seed,),
            epochs=tuple(nested.selected_choice(recipe.name, fold) for fold in range(folds)),
            seconds=sum(result.seconds for result in found.results if result.model == recipe.name),
            environment=environment(str(fabric.device), precision, world.count),
            warnings=unused_edge_attr(graphs, recipe) + nested.warnings(recipe.name),
        )
        record = replace(record, beside={each.name: nested.test_metric(each.name) for each in beside})
        found.keep(record)
    models = tuple(nested.models[number] for number in range(folds * RUNS))
    return Outcome(record, (), models, found.folder, found.faults, found.put_aside)


def fold_key(number: int, runs: int) -> str:
    """Return the name of a final training in files, of so many in each fold.

    Example:
        >>> fold_key(7, 3)
        'fold-2-run-1'
    """
    return f"fold-{number // runs}-run-{number % runs}"


def fold_splits(graphs: GraphSet, folds: int, seed: int, *, runs: int = RUNS) -> list[Split]:
    """Return the outer split of each final training of a nested cross-validation, those of a fold in a row."""
    return [fold.outer for fold in _protocol(as_graph_set(graphs), folds, seed)[1] for _ in range(runs)]


def _protocol(graphs: GraphSet, folds: int, seed: int) -> tuple[MeasuredUnder, list[Any]]:
    """Return what the figures are measured under, and the splits of each fold."""
    divided = NestedFolds(folds=folds)
    splits = divided.splits(graphs.items, torch.Generator().manual_seed(seed))
    facts = graph_facts(graphs)
    protocol = MeasuredUnder(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=f"nested-folds(folds={folds}, inner=1, val={divided.val}, seed={seed}, runs={RUNS})",
        split_sha256=divided.fingerprint(splits),
        train=int(splits[0].outer.train.sum()),
        validation=int(splits[0].outer.val.sum()),
        test=int(splits[0].outer.test.sum()),
        setting="inductive",
        selection="in each fold: choice, then epoch, of highest hold-out accuracy; ties: lower loss, then the earlier",
    )
    return protocol, splits


@dataclass(frozen=True, kw_only=True)
class FoldTraining(Unit):
    """One training of a fold: of a choice, which judges it, or of the chosen one, which is tested.

    Args:
        model: name of the recipe.
        fold: number of the fold.
        place: number of the training in it, those of the choices first.
    """

    model: str
    fold: int
    place: int


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """What a training of a fold came to.

    Args:
        model: name of the recipe.
        validation: accuracy on the hold-out at the selected epoch.
        loss: its loss there.
        test: accuracy on the test graphs, ``None`` of a training that judges a choice.
        selected: the selected epoch.
        epochs: how many were run.
        seconds: of training.
        constant: accuracy on the hold-out of one answer for all graphs.
        stayed: whether no epoch had another one.
    """

    model: str
    validation: float
    loss: float
    test: float | None
    selected: int
    epochs: int
    seconds: float
    constant: float = math.nan
    stayed: bool = False

    def scalars(self) -> dict[str, float]:
        """Return the accuracies by name."""
        tested = {} if self.test is None else {"test_accuracy": self.test}
        return {"validation_accuracy": self.validation, **tested}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FoldResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**fields)


class NestedExperiment(Experiment[FoldTraining, FoldResult]):
    """The trainings of all folds, of one recipe after the other; the folds are spread over the processes of a job.

    Args:
        graphs: all graphs.
        grids: name of a recipe -> what each fold chooses from.
        splits: of each fold.
        seed: with the number of a training it decides its weights and dropout.
        fabric: device and precision.
        precision: its name.
        identity: of the run.
    """

    result = FoldResult
    together = False

    def __init__(
        self,
        graphs: GraphSet,
        grids: Mapping[str, Sequence[Recipe]],
        splits: Sequence[Any],
        seed: int,
        fabric: Fabric,
        precision: str,
        identity: Mapping[str, Any],
    ) -> None:
        super().__init__(identity, fabric.device)
        self.graphs, self.grids, self.splits, self.seed, self.fabric = graphs, grids, splits, seed, fabric
        self.dtype = torch.float64 if precision == "64-true" else torch.float32
        self._test: LabelledItems | None = None
        self.models: dict[int, TrainedModel] = {}
        facts = graph_facts(graphs)
        self.about: dict[str, Any] = {
            "precision": precision,
            "dataset": facts.name,
            "dataset_sha256": facts.sha256,
            "names": DataNames.of(graphs),
        }

    def units(self) -> list[FoldTraining]:
        """Return the trainings, fold by fold, of one recipe after the other."""
        return [
            self._unit(model, number * len(self.splits) + fold, fold, place)
            for number, (model, grid) in enumerate(self.grids.items())
            for fold in range(len(self.splits))
            for place in range(len(grid) + RUNS)
        ]

    def start(self, unit: FoldTraining) -> ClassificationTrainer:
        """Return the trainer of a choice, or of the best one."""
        grid, split = self.grids[unit.model], self.splits[unit.fold]
        judges = unit.place < len(grid)
        recipe = grid[unit.place if judges else self.best(unit.model, unit.fold)]
        part = split.inner[0] if judges else split.outer
        task, self._test = prepare_graphs(self.graphs, recipe, self.fabric.device, self.dtype, part, metric="accuracy")
        module = recipe.module(task.channels, task.outputs, task.graph)
        return classification_trainer(module, task, recipe, self.fabric)

    def finish(self, unit: FoldTraining, trainer: ClassificationTrainer, seconds: Seconds) -> FoldResult:
        """Return the figures of a training; that of a choice has no test graphs."""
        test, best, task = self._test, trainer.selected, trainer.task
        figure = None
        if test is not None and len(test.y):
            figure = float(task.objective.figure(trainer.logits(test.index), test.y))
        if (number := self.number(unit)) is not None:
            self.models[number] = TrainedModel(
                recipe=trainer.recipe,
                weights={name: value.detach().cpu() for name, value in trainer.best_weights.items()},
                channels=task.channels,
                outputs=task.outputs,
                objective=task.objective,
                seed=number,
                molecules=task.graph[0],
                edge_channels=task.graph[1] or 0,
                figures={"validation": best.figure, "test": math.nan if figure is None else figure},
                **self.about,
            )
        constant = task.objective.constant_figure(task.validation.y)
        return FoldResult(
            model=unit.model,
            validation=best.figure,
            loss=best.validation_loss,
            test=figure,
            selected=best.number,
            epochs=len(trainer.history),
            seconds=seconds.wall,
            constant=constant,
            stayed=stays_at(constant, trainer.history),
        )

    def number(self, unit: FoldTraining) -> int | None:
        """Return the number of a final training of the recipe itself, those of a fold in a row; ``None`` of others."""
        run = unit.place - len(self.grids[unit.model])
        return None if run < 0 or unit.model != next(iter(self.grids)) else unit.fold * RUNS + run

    def files(self, unit: FoldTraining) -> dict[str, bytes]:
        """Return the model of a final training."""
        number = self.number(unit)
        return {} if number is None else {weights_name(fold_key(number, RUNS)): self.models[number].to_bytes()}

    def recall(self, unit: FoldTraining, read: Callable[[str], bytes | None]) -> bool:
        """Take up the model of a final training that is finished, and return whether it is there."""
        number = self.number(unit)
        if number is None:
            return True
        name = weights_name(fold_key(number, RUNS))
        if number not in self.models and (content := read(name)) is not None:
            self.models[number] = TrainedModel.from_file(ModelFile.from_bytes(content, Path(name)))
        return number in self.models

    def warnings(self, model: str) -> tuple[str, ...]:
        """Return in words what makes the figures of a recipe worth little."""
        finals = [each for fold in range(len(self.splits)) for each in self._finals(model, fold)]
        said = majority_warning(
            [each.validation for each in finals],
            [each.constant for each in finals],
            [each.stayed for each in finals],
            what="the share of the largest class",
            whose=("training", "the hold-out"),
            text=METRICS["accuracy"].text,
        )
        return (said,) if said else ()

    def best(self, model: str, fold: int) -> int:
        """Return the choice of a fold, whose choices have all been judged."""
        judged = [self._found(model, fold, place) for place in range(len(self.grids[model]))]
        return max(range(len(judged)), key=lambda k: (judged[k].validation, -judged[k].loss, -k))

    def test_metric(self, model: str) -> Metric:
        """Return the accuracy on the test graphs, over folds."""
        finals = [self._finals(model, fold) for fold in range(len(self.splits))]
        tests = [[each.test for each in runs if each.test is not None] for runs in finals]
        return metric("accuracy", [statistics.fmean(of_fold) for of_fold in tests])

    def validation_metric(self, model: str) -> Metric:
        """Return the accuracy on the hold-outs of the final runs, over folds."""
        finals = [self._finals(model, fold) for fold in range(len(self.splits))]
        return metric("accuracy", [statistics.fmean(each.validation for each in runs) for runs in finals])

    def selected_choice(self, model: str, fold: int) -> dict[str, int]:
        """Return the choice of a fold, and the mean number of epochs of its final runs."""
        epochs = round(statistics.fmean(each.epochs for each in self._finals(model, fold)))
        return {"selected": self.best(model, fold), "run": epochs}

    def _finals(self, model: str, fold: int) -> list[FoldResult]:
        """Return the final runs of a fold."""
        first = len(self.grids[model])
        return [self._found(model, fold, place) for place in range(first, first + RUNS)]

    def _found(self, model: str, fold: int, place: int) -> FoldResult:
        """Return what a training came to."""
        return self.done[self._unit(model, 0, fold, place).key]

    def _unit(self, model: str, group: int, fold: int, place: int) -> FoldTraining:
        """Return the unit of a training."""
        return FoldTraining(
            key=f"{model}/fold-{fold}/training-{place}",
            label=f"{model}, fold {fold}, training {place}",
            seed=self.seed * 1_000_000 + fold * STRIDE + place,
            group=group,
            model=model,
            fold=fold,
            place=place,
        )


def choices_of(recipe: Recipe, given: Mapping[str, Any]) -> list[Recipe]:
    """Return what a fold chooses from: each entry of the recipe's grid, fields that are given left as they are.

    Example:
        >>> from graphkit.training import recipe
        >>> [each.model.hidden for each in choices_of(recipe("structure-free", items="graphs"), {"l2": 0.0})]
        [32, 128]
    """
    own = recipe.options()
    found: list[Recipe] = []
    for choice in ({},) if recipe.model.solved else GRIDS.get(recipe.name, GRIDS["gin"]):
        fields = {**SETTINGS, **choice, **given}
        made = recipe.merge_fields({name: value for name, value in fields.items() if name in own})
        if made not in found:
            found.append(made)
    return found
