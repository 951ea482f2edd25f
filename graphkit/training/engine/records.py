"""Result records: what was measured, on what, how, and with which software."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from graphkit._checks import instance
from graphkit.training.engine.arguments import sequence
from graphkit.training.engine.files import write_atomically
from graphkit.training.engine.protocol import DatasetFacts, Protocol


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure over several seeds.

    Args:
        name: what is measured, such as "accuracy".
        mean: mean over the seeds; accuracies are fractions in [0, 1].
        std: sample standard deviation (n - 1), ``None`` for a single seed.
        ci95: lower and upper end of Student's 95 % interval of the mean over seeds, within what the figure can be;
            ``None`` for fewer than three seeds: that of two is nine deviations wide to either side, and says nothing.
        values: one value per seed, in the order of the record's ``seeds``.
        unit: "fraction" for what is shown in per cent.
    """

    name: str
    mean: float
    std: float | None
    ci95: tuple[float, float] | None
    values: tuple[float, ...]
    unit: str = "fraction"

    def __str__(self) -> str:
        """Return mean, deviation and interval, in per cent where they are fractions."""
        scale, sign = (100, " %") if self.unit == "fraction" else (1, "")
        if self.std is None:
            return f"{scale * self.mean:.2f}{sign} (one seed)"
        spread = f"{scale * self.mean:.2f} ± {scale * self.std:.2f}{sign}"
        if self.ci95 is None:
            return f"{spread} (two seeds)"
        low, high = (scale * end for end in self.ci95)
        return f"{spread} (95 % interval {low:.2f} to {high:.2f})"


LEAST = 3
"""Values from which an interval of their mean says something."""

BOUNDS = {
    "ami (all)": (-1.0, 1.0),
    "rmse": (0.0, math.inf),
    "positives": (0.0, math.inf),
    "negatives": (0.0, math.inf),
    "effective_rank": (0.0, math.inf),
}
"""What a figure can be, by its name; all other fractions lie from 0 to 1, and what has another unit anywhere."""

MARGIN = 1e-6
"""How far rounding may lead out of that."""


def metric(name: str, values: Sequence[float], *, unit: str = "fraction") -> Metric:
    """Return mean, deviation and interval of one value per seed.

    Args:
        name: of the figure, which says what it can be: ``BOUNDS``.
        values: at least one.
        unit: of the values.

    Raises:
        ValueError: for no value, and for one that the figure cannot have.

    Example:
        >>> print(metric("accuracy", [0.81, 0.82, 0.80]))
        81.00 ± 1.00 % (95 % interval 78.52 to 83.48)
        >>> print(metric("accuracy", [0.99, 0.90, 1.0]))
        96.33 ± 5.51 % (95 % interval 82.65 to 100.00)
        >>> print(metric("accuracy", [0.1, 0.6]))
        35.00 ± 35.36 % (two seeds)
    """
    instance("name", name, str, "text")
    instance("unit", unit, str, "text")
    values = sequence("values", values, Real, "numbers")
    low, high = BOUNDS.get(name, (0.0, 1.0) if unit == "fraction" else (-math.inf, math.inf))
    if not values or not all(math.isfinite(value) and low - MARGIN <= value <= high + MARGIN for value in values):
        wanted = f"one or more numbers from {low:g} to {high:g}"
        raise ValueError(f"`values` of {name} must be {wanted}, got {list(values)!r}.")
    mean = statistics.fmean(values)
    std = statistics.stdev(values) if len(values) > 1 else None
    interval = None
    if std is not None and len(values) >= LEAST:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(values) - 1)) * std / math.sqrt(len(values))
        interval = max(mean - half, min(low, mean)), min(mean + half, max(high, mean))
    return Metric(name=name, mean=mean, std=std, ci95=interval, values=values, unit=unit)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement, complete enough to be repeated.

    Args:
        command: what was typed, or the Python call.
        dataset: name, checksum and sizes.
        protocol: what a comparison has to hold fixed.
        metric: the figure on the test nodes.
        validation: the same figure on the validation nodes, at the selected epochs.
        selection: the rule that decided whose weights were tested.
        config: all fields of the recipe.
        seeds: the seeds, in the order of the values.
        epochs: per seed, the selected epoch and the number of epochs run.
        seconds: training time of all seeds together, loading excluded.
        environment: versions, device, precision and number of threads.
        beside: the figure on the test items of other recipes, by name, under the same protocol.
    """

    command: str
    dataset: DatasetFacts
    protocol: Protocol
    metric: Metric
    validation: Metric
    selection: str
    config: Mapping[str, Any]
    seeds: tuple[int, ...]
    epochs: tuple[Mapping[str, int], ...]
    seconds: float
    environment: Mapping[str, Any]
    beside: Mapping[str, Metric] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""
        return {**dataclasses.asdict(self), "protocol": self.protocol.as_dict()}

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def write(self, path: Path) -> None:
        """Write the record beside ``path`` and rename it, so that no half-written record can be found there."""
        write_atomically(path, (self.to_json() + "\n").encode())


def environment(device: str, precision: str, processes: int = 1) -> dict[str, Any]:
    """Return the versions and the machine's part in a result; ``processes`` trained it together."""
    import torch
    import torch_geometric

    import graphkit

    return {
        "graphkit": graphkit.__version__,
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "python": platform.python_version(),
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": processes,
    }
