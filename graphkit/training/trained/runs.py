"""Runs: folders that explain themselves, with the record of a study and what it trained."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import instance, member
from graphkit.data import GraphSet
from graphkit.training.classification.metrics import KIND_NAMES, Kind
from graphkit.training.classification.nested import fold_key
from graphkit.training.classification.targets import target_labels
from graphkit.training.classification.tasks import MASKS
from graphkit.training.embedding.embedding_results import EmbeddingRecord
from graphkit.training.engine.options import require_splits
from graphkit.training.engine.records import Metric, metric
from graphkit.training.engine.store import lock_folder, weights_name, write_atomically
from graphkit.training.fewshot.fewshot_results import FewShotRecord
from graphkit.training.trained.abstract_trained import apply_split, split_masks
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames, aligned_labels, labels_of
from graphkit.training.trained.encoder import TrainedEncoder
from graphkit.training.trained.encoder_run import EncoderRun
from graphkit.training.trained.fewshot_run import FewShotRun
from graphkit.training.trained.forecast_run import ForecastRun
from graphkit.training.trained.link_run import LinkRun
from graphkit.training.trained.model_file import ModelFile
from graphkit.training.trained.model_run import AbstractModelRun
from graphkit.training.trained.predictions import Predictions, mean_predictions
from graphkit.training.trained.read_record import read_record
from graphkit.training.trained.reports import ClassReport, ColumnReport, class_report, column_report, fitted_temperature

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import Split

PARTS = ("train", "val", "test", "all")
"""Items that are evaluated; "all" are those that have a label."""


@dataclass(frozen=True, eq=False)
class RunReport:
    """What each seed's model came to on labelled items.

    Args:
        name: of the figure that the run records.
        figures: that figure for each seed.
        reports: all that is measured, for each seed.
        part: whose items they are.
        unit: of the figure.
        together: the figure of the mean of what all seeds say, as :meth:`Run.predict` returns it; ``None`` of one seed
            alone, and where each had items of its own.
    """

    name: str
    figures: tuple[float, ...]
    reports: tuple[ClassReport | ColumnReport, ...]
    part: str
    unit: str = "fraction"
    together: float | None = None

    @property
    def metric(self) -> Metric:
        """The recorded figure, over the seeds."""
        return metric(self.name, self.figures, unit=self.unit)

    @property
    def confusion(self) -> np.ndarray:
        """Numbers of items of all seeds, ``[true, predicted]``."""
        return np.sum([report.confusion for report in self.reports if isinstance(report, ClassReport)], axis=0)

    def by_class(self) -> dict[str, np.ndarray]:
        """Return the figures of each class, means over the seeds that have them, NaN where none has."""
        names = {"precision": "precision", "recall": "recall", "F1": "f1", "ROC-AUC": "roc_auc"}
        tables = {said: np.array([getattr(report, name) for report in self.reports]) for said, name in names.items()}
        counts = {said: (~np.isnan(table)).sum(axis=0) for said, table in tables.items()}
        return {
            said: np.where(counts[said], np.nansum(table, axis=0) / np.maximum(counts[said], 1), np.nan)
            for said, table in tables.items()
        }

    @property
    def scalars(self) -> dict[str, tuple[float, ...]]:
        """Every figure of all classes or columns together, for each seed."""
        names = self.reports[0].scalars
        return {
            name: tuple(report.scalars[name] for report in self.reports)
            for name in names
            if all(name in report.scalars for report in self.reports)
        }


@dataclass(frozen=True, eq=False)
class Run(AbstractModelRun):
    """A finished run of ``graphkit train``, or of ``train`` with a ``run_dir``."""

    def predict(self, data: Data | GraphSet, *, seed: int | None = None, device: str = "auto") -> Predictions:
        """Return what the run says of every item of ``data``.

        Args:
            data: what was trained on, a graph that has grown, another one, or other graphs of the same kind.
            seed: whose model is asked; by default all are, and their probabilities or numbers are averaged.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a seed that was not trained, and data that do not fit the model.
        """
        return mean_predictions([each.predict(data, device=device) for each in self.models_of(seed)])

    def evaluate(
        self,
        data: Data | GraphSet,
        *,
        part: str | None = None,
        seed: int | None = None,
        splits: Sequence[Split] | None = None,
        device: str = "auto",
    ) -> RunReport:
        """Return everything that is measured of labelled items, for each seed's model.

        Args:
            data: with labels.
            part: "train", "val" or "test" of its split, or "all" that have labels; by default "test" of the data that
                were trained on and "all" of others.
            seed: whose model is asked; by default each.
            splits: one for each seed, where each had its own.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for data without labels or without that part, a class never seen in training, and what
                :meth:`predict` refuses.
        """
        chosen = self.models_of(seed)
        require_splits(splits, len(chosen))
        if part is not None:
            member("part", part, PARTS)
        part = part or ("test" if self.is_own(data) else "all")
        figures: list[float] = []
        every: list[Tensor] = []
        reports: list[ClassReport | ColumnReport] = []
        for number, model in enumerate(chosen):
            own = data if splits is None else apply_split(data, splits[number])
            logits, y = model.outputs_for(own, device=device), labels_for(model, own)
            index = _part(own, part, y)
            figures.append(float(model.objective.figure(logits[index], y[index])))
            values = model.probabilities(logits[index])
            every.append(values if model.objective.target.kind != "numbers" else logits[index].double())
            if model.objective.target.kind == "classes":
                reports.append(class_report(values, y[index], model.column_names))
            else:
                tasks = model.objective.target.kind == "binary"
                reports.append(column_report(values, y[index], model.column_names, tasks=tasks))
        objective, together = chosen[0].objective, None
        if len(chosen) > 1 and splits is None:
            said = _as_outputs(torch.stack(every).mean(0), objective.target.kind)
            together = float(objective.figure(said, y[index]))
        return RunReport(objective.name, tuple(figures), tuple(reports), part, objective.unit, together)

    def calibrate(self, data: Data | GraphSet, *, splits: Sequence[Split] | None = None, device: str = "auto") -> Run:
        """Return the run with a temperature fitted to validation items, and write it into the models' files.

        Probabilities change, the order of classes does not: every accuracy stays.

        Args:
            data: what was trained on.
            splits: one for each seed, where each had its own.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for other data, a run whose outputs are no classes, and a folder that another process holds.
        """
        require_splits(splits, len(self.models))
        if not self.is_own(data):
            raise ValueError("`data` must be those that the run was trained on: its validation items calibrate it.")
        found = {}
        for number, (seed, model) in enumerate(self.models.items()):
            if model.objective.target.kind != "classes":
                kind = KIND_NAMES[model.objective.target.kind]
                raise ValueError(f"a temperature is of classes, and this run predicts {kind}.")
            own = data if splits is None else apply_split(data, splits[number])
            logits, y = model.outputs_for(own, device=device), labels_for(model, own)
            index = _part(own, "val", y)
            temperature = fitted_temperature(logits[index], y[index])
            found[seed] = dataclasses.replace(model, temperature=temperature)
        with lock_folder("run", self.folder):
            for seed, model in found.items():
                write_atomically(self.folder / weights_name(f"seed-{seed}"), model.to_bytes())
        return dataclasses.replace(self, models=found)


def _as_outputs(values: Tensor, kind: Kind) -> Tensor:
    """Return outputs of a model that mean some probabilities, or the numbers that they are."""
    if kind == "classes":
        return values.clamp(min=1e-300).log()
    return values.logit(1e-15) if kind == "binary" else values


def labels_for(model: TrainedModel, data: Data | GraphSet) -> Tensor:
    """Return the labels of data in the form and with the numbers that a model was trained on.

    Raises:
        ValueError: for data without labels, and a class never seen in training.
    """
    y = labels_of(data)
    if y is None:
        raise ValueError("`y` is missing: what is evaluated needs labels.")
    if model.objective.target.kind != "classes":
        return target_labels(y.cpu(), model.objective.target.kind)
    return aligned_labels(y.long().cpu(), DataNames.of(data).classes, model.names.classes, model.outputs)


def _part(data: Data | GraphSet, part: str, y: Tensor) -> Tensor:
    """Return the labelled items of a part of the split, or all."""
    known = (y >= 0) if y.dim() == 1 and not y.is_floating_point() else (y == y).reshape(len(y), -1).any(-1)
    if part != "all":
        masks = dict(zip(MASKS, split_masks(data), strict=False))
        mask = masks.get(f"{part}_mask")
        if mask is None:
            raise ValueError(f"`part` {part!r} is of a split, and `data` has none; take 'all'.")
        known = known & mask
    index = known.nonzero().squeeze(-1)
    if not len(index):
        raise ValueError(f"`part` {part!r} of `data` holds no labelled item.")
    return index


def load_run(path: Path | str) -> Run | LinkRun | ForecastRun | EncoderRun | FewShotRun:
    """Return a finished run: its record and the models that were trained.

    The folder suffices: the data that were trained on need not be there, and nothing in it is executed.

    Args:
        path: the folder of a run.

    Raises:
        ValueError: for a folder that holds no finished run, a file that is damaged, of another form or of another run.

    Example:
        >>> load_run("runs/none-there")
        Traceback (most recent call last):
        ValueError: 'runs/none-there' is no folder of a run.
    """
    folder = Path(instance("path", path, (str, Path), "the folder of a run"))
    if not folder.is_dir():
        raise ValueError(f"{str(folder)!r} is no folder of a run.")
    if not (folder / "record.json").exists():
        below = sorted(each.parent.name for each in folder.glob("*/record.json"))
        if below:  # one run for each number of shots
            raise ValueError(f"{str(folder)!r} holds several runs: name one, such as {str(folder / below[0])!r}.")
        raise ValueError(
            f"{str(folder)!r} holds no record: the run has not finished (`--resume` goes on), or none was begun there."
        )
    record = read_record(folder / "record.json")
    if isinstance(record, FewShotRecord):
        return FewShotRun(folder, record)
    kept = record.record if isinstance(record, EmbeddingRecord) else record
    runs = kept.config.get("runs") if "choices" in kept.config else None
    if runs:  # of nested cross-validation: the final trainings of each fold, whose mean is a figure
        keys = {number: fold_key(number, runs) for number in range(len(kept.metric.values) * runs)}
    else:
        keys = {seed: f"seed-{seed}" for seed in kept.seeds}
    files = {seed: folder / weights_name(key) for seed, key in keys.items()}
    if runs and not any(file.exists() for file in files.values()):
        raise ValueError(f"{str(folder)!r} has no models: nested cross-validation kept none then; run it again.")
    found = {seed: ModelFile.read(file) for seed, file in files.items()}
    told = [file.about.get("figures", {}).get("test", math.nan) for file in found.values()]
    if runs:
        told = [statistics.fmean(told[start : start + runs]) for start in range(0, len(told), runs)]
    for place, (figure, value) in enumerate(zip(told, kept.metric.values, strict=True)):
        if figure != value:
            name = str(list(files.values())[place * (runs or 1)])
            raise ValueError(
                f"{name!r} is of another run: its figure is {figure}, and the record says {value}; train again."
            )
    if isinstance(record, EmbeddingRecord):
        return EncoderRun(folder, record, {seed: TrainedEncoder.from_file(file) for seed, file in found.items()})
    models = {seed: TrainedModel.from_file(file) for seed, file in found.items()}
    kinds: dict[str, Any] = {"links": LinkRun, "moments": ForecastRun}
    kind = kinds.get(next(iter(models.values())).items, Run)
    opened: Run | LinkRun | ForecastRun = kind(folder, record, models)
    return opened
