"""Comparison of runs, by their records: seed by seed where they share a protocol."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from graphkit.training.engine.records import LEAST


@dataclass(frozen=True)
class ComparedRun:
    """A run beside the first one.

    Args:
        name: where it lies.
        label: what it is called in a picture.
        model: what was trained.
        dataset: on what.
        metric: what is measured.
        unit: "fraction" for what is shown in per cent.
        values: the figure of each seed.
        validation: mean of the validation figures; ``None`` where nothing was selected.
        seconds: of training.
        protocol: fingerprint; only figures of one protocol are comparable.
        difference: mean of this run less the first; ``None`` where they are not comparable.
        interval: half of the 95 % interval of that mean, by Student's t of the pairs; ``None`` where nothing is paired.
        pairing: in words, how the two were compared.
    """

    name: str
    label: str
    model: str
    dataset: str
    metric: str
    unit: str
    values: tuple[float, ...]
    validation: float | None
    seconds: float
    protocol: str
    difference: float | None = None
    interval: float | None = None
    pairing: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return asdict(self)

    def row(self) -> list[str]:
        """Return the row of a printed table."""
        scale, places = (100, 2) if self.unit == "fraction" else (1, 4)
        spread = f" ± {scale * statistics.stdev(self.values):.{places}f}" if len(self.values) > 1 else ""
        apart = "" if self.difference is None else f"{scale * self.difference:+.{places}f}"
        apart += "" if self.interval is None else f" ± {scale * self.interval:.{places}f}"
        return [
            self.name,
            self.model,
            self.dataset,
            f"{self.metric} {scale * statistics.fmean(self.values):.{places}f}{spread}",
            "" if self.validation is None else f"{scale * self.validation:.{places}f}",
            f"{self.seconds:.1f}",
            apart,
            self.pairing,
        ]


def compare_records(records: Mapping[str, Mapping[str, Any]]) -> list[ComparedRun]:
    """Return runs beside the first of them.

    Args:
        records: name of a run -> plain fields of its record, at least one.

    Raises:
        ValueError: for records whose figures are not of one kind.

    Example:
        >>> fields = {"dataset": {"name": "cora"}, "protocol": {"fingerprint": "a"}, "seconds": 1.0, "seeds": range(5)}
        >>> figures = (0.5, 0.6, 0.7, 0.6, 0.5), (0.6, 0.7, 0.8, 0.7, 0.6)
        >>> one, two = ({"name": "accuracy", "values": v, "mean": v[1]} for v in figures)
        >>> runs = {"gcn": one, "gat": two}
        >>> records = {name: {**fields, "metric": each, "validation": each} for name, each in runs.items()}
        >>> found = compare_records(records)[1]
        >>> round(found.difference, 6), round(found.interval, 6), found.pairing
        (0.1, 0.0, '5 pairs of seeds')
    """
    first: Mapping[str, Any] | None = None
    found = []
    labels = _labels(records)
    for name, fields in records.items():
        made = _summary(name, labels[name], fields)
        if first is not None:
            made = _with_difference(made, fields, first)
        first = first or fields
        found.append(made)
    return found


def _summary(name: str, label: str, fields: Mapping[str, Any]) -> ComparedRun:
    """Return a run by itself."""
    measured, config = fields["metric"], fields.get("config", {})
    return ComparedRun(
        name=name,
        label=label,
        model=_model(fields, config),
        dataset=fields["dataset"]["name"],
        metric=measured["name"],
        unit=measured.get("unit", "fraction"),
        values=tuple(measured["values"]),
        validation=None if fields["validation"] is None else fields["validation"]["mean"],
        seconds=fields["seconds"],
        protocol=fields["protocol"]["fingerprint"],
    )


def _model(fields: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return what was trained, in a word."""
    return str(fields.get("headline") or config.get("loss") or config.get("model") or "")


def _labels(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what each run is called in a picture: its model where that tells them apart, else its folder too."""
    models = [_model(fields, fields.get("config", {})) for fields in records.values()]
    alone = len(set(models)) == len(models)
    return {name: model if alone else f"{model} {name}" for name, model in zip(records, models, strict=True)}


def _with_difference(made: ComparedRun, fields: Mapping[str, Any], first: Mapping[str, Any]) -> ComparedRun:
    """Return a run with its difference to the first one."""
    from dataclasses import replace

    other = first["metric"]
    if made.metric != other["name"]:
        return replace(made, pairing=f"not comparable: another figure than {other['name']}")
    if made.protocol != first["protocol"]["fingerprint"]:
        return replace(made, pairing="not comparable: another protocol")
    difference = statistics.fmean(made.values) - statistics.fmean(other["values"])
    pairs = _pairs(made.values, fields["seeds"], other["values"], first["seeds"])
    if not pairs:
        return replace(made, difference=difference, pairing="means, as no seed is shared")
    apart = [mine - theirs for mine, theirs in pairs]
    interval = None
    if len(apart) >= LEAST:
        from scipy.stats import t

        interval = float(t.ppf(0.975, len(apart) - 1)) * statistics.stdev(apart) / math.sqrt(len(apart))
    what = "seeds" if len(made.values) == len(fields["seeds"]) else "splits"
    return replace(made, difference=statistics.fmean(apart), interval=interval, pairing=f"{len(apart)} pairs of {what}")


def _pairs(
    mine: Sequence[float], my_seeds: Sequence[int], theirs: Sequence[float], their_seeds: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the figures of the seeds that both have; of other units, such as class splits, all if they are as many."""
    if len(mine) == len(my_seeds) and len(theirs) == len(their_seeds):
        known = dict(zip(their_seeds, theirs, strict=True))
        return [(value, known[seed]) for seed, value in zip(my_seeds, mine, strict=True) if seed in known]
    return list(zip(mine, theirs, strict=True)) if len(mine) == len(theirs) else []
