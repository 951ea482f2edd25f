"""What a few-shot study came to: methods by name, each on every problem, and the record of all."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphkit.training.engine.records import AbstractRecord, DatasetFacts, Metric


@dataclass(frozen=True, kw_only=True)
class ProblemResult:
    """One method on one problem.

    Args:
        problem: what was held out.
        validation: accuracy on the validation tasks, a fraction; ``None`` where all classes are tested on.
        accuracies: of each test task.
        calibrated: of each test task with calibration; ``None`` where there is none.
        step: selected step of meta-training, 0 where nothing was trained or the start was best.
        seconds: CPU seconds of the process, training and evaluation together.
        by_steps: accuracies of each test task after other numbers of inner steps, which are written as text; ``None``
            where none were asked for, or the method takes no steps.
        rows: the kind of rows it saw.
    """

    problem: str
    validation: float | None
    accuracies: tuple[float, ...]
    calibrated: tuple[float, ...] | None
    step: int
    seconds: float
    by_steps: Mapping[str, tuple[float, ...]] | None = None
    rows: str = ""

    @property
    def selected(self) -> int:
        """The selected step of meta-training."""
        return self.step

    @property
    def accuracy(self) -> float:
        """Mean accuracy on the test tasks."""
        return statistics.fmean(self.accuracies)

    def scalars(self) -> dict[str, float]:
        """Return the figures by name."""
        calibrated = {} if self.calibrated is None else {"test_accuracy_calibrated": statistics.fmean(self.calibrated)}
        validated = {} if self.validation is None else {"validation_accuracy": self.validation}
        return {**validated, "test_accuracy": self.accuracy, **calibrated}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ProblemResult:
        """Return what :meth:`as_dict` wrote, tuples perhaps as lists."""
        after = fields["calibrated"]
        changes: dict[str, Any] = {
            "accuracies": tuple(fields["accuracies"]),
            "calibrated": None if after is None else tuple(after),
        }
        steps = fields.get("by_steps")
        if steps is not None:
            changes["by_steps"] = {number: tuple(accuracies) for number, accuracies in steps.items()}
        return cls(**{**fields, **changes})


@dataclass(frozen=True, kw_only=True)
class EncoderResult:
    """What the training of an encoder without labels came to.

    Args:
        train_loss: of its last epoch, the selected one.
        epochs: how many.
        seconds: CPU seconds of the process.
    """

    train_loss: float
    epochs: int
    seconds: float

    @property
    def validation(self) -> None:
        """Nothing: no label says how good it is."""
        return

    @property
    def selected(self) -> int:
        """The last epoch."""
        return self.epochs

    def scalars(self) -> dict[str, float]:
        """Return the figures by name."""
        return {"train_loss": self.train_loss}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> EncoderResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**fields)


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method on all problems.

    Args:
        name: its name.
        trained: whether it uses the labels of the training classes.
        problems: one result each.
    """

    name: str
    trained: bool
    problems: tuple[ProblemResult, ...]

    @property
    def validation(self) -> float | None:
        """Mean accuracy on the validation tasks; ``None`` where there are none."""
        found = [each.validation for each in self.problems if each.validation is not None]
        return statistics.fmean(found) if len(found) == len(self.problems) else None

    @property
    def seconds(self) -> float:
        """CPU seconds a problem."""
        return statistics.fmean(each.seconds for each in self.problems)

    def accuracy(self, *, calibrated: bool = False) -> Summary | None:
        """Return the accuracy over all tasks and problems; ``None`` without calibration."""
        parts = [each.calibrated if calibrated else each.accuracies for each in self.problems]
        if any(part is None for part in parts):
            return None
        return summary([part for part in parts if part is not None])

    def after_steps(self) -> dict[int, Summary]:
        """Return the accuracy after each number of inner steps that was asked for."""
        tables = [each.by_steps or {} for each in self.problems]
        return {int(number): summary([table[number] for table in tables]) for number in tables[0]}

    def over(self, other: MethodResult) -> Summary:
        """Return the differences to another method, task by task."""
        paired = zip(self.problems, other.problems, strict=True)
        return summary(
            [
                [mine - theirs for mine, theirs in zip(here.accuracies, there.accuracies, strict=True)]
                for here, there in paired
            ]
        )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A figure over tasks and problems.

    Args:
        mean: over all tasks.
        interval: half the width of its 95 % interval over tasks within problems, by the normal approximation.
        spread: sample standard deviation of the problems' means; ``None`` for one problem.
        values: mean of each problem.
    """

    mean: float
    interval: float
    spread: float | None
    values: tuple[float, ...]


def summary(parts: Sequence[Sequence[float]]) -> Summary:
    """Return mean, interval over tasks and deviation over problems.

    Example:
        >>> found = summary([[0.5, 0.7], [0.9, 0.9]])
        >>> round(found.mean, 2), round(found.spread, 3), [round(value, 2) for value in found.values]
        (0.75, 0.212, [0.6, 0.9])
    """
    means = [statistics.fmean(part) for part in parts]
    within = sum(statistics.variance(part) / len(part) if len(part) > 1 else 0.0 for part in parts)
    return Summary(
        mean=statistics.fmean(means),
        interval=1.96 * math.sqrt(within) / len(parts),
        spread=statistics.stdev(means) if len(means) > 1 else None,
        values=tuple(means),
    )


@dataclass(frozen=True, kw_only=True)
class FewShotRecord(AbstractRecord):
    """One study, complete enough to be repeated.

    Args:
        command: what was typed, or the Python call.
        dataset: name, checksum and sizes.
        protocol: everything a comparison has to hold fixed, with its fingerprint.
        metric: accuracy of the headline method on the test tasks, one value per problem.
        validation: the same on the validation tasks; ``None`` where all classes are tested on.
        headline: name of the method that ``metric`` is of.
        selection: how it and its weights were chosen.
        methods: every method's figures.
        config: fields of every method.
        seeds: the seed of weights and tasks.
        seconds: CPU seconds of all methods.
        row_seconds: those that each kind of rows took to make, training of encoders included, which ``seconds`` and
            the methods' own leave out; but for encoders of this run alone, where one went on from another.
        environment: versions, device, threads.
        by_shots: for each number of shots, where there are several, its protocol and every method's figures.
    """

    command: str
    dataset: DatasetFacts
    protocol: Mapping[str, Any]
    metric: Metric
    validation: Metric | None
    headline: str
    selection: str
    methods: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    seeds: tuple[int, ...]
    seconds: float
    environment: Mapping[str, Any]
    row_seconds: Mapping[str, float] = field(default_factory=dict)
    by_shots: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""
        return dataclasses.asdict(self)
