"""Result records: of which units, what was measured, on what, under which protocol, and with which software."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import statistics
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from graphkit._checks import instance, printable_name
from graphkit.data.fingerprint import content_sha256, tensors_sha256
from graphkit.training.engine.options import sequence
from graphkit.training.engine.store import write_atomically

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data

    from graphkit.data import Split


_MASKS = ("train_mask", "val_mask", "test_mask")

TOLD = ("items", "edges", "rule")
"""Fields that follow from the checksums of the data set and of the split."""

EDGES = {False: "as given", True: "made undirected"}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is trained and measured at a time: a seed, a training of a fold, an encoder, a method on a problem.

    Args:
        key: its name in files and logs, such as "seed-3".
        label: what people are told, such as "seed 3".
        seed: the random generators begin with it.
        group: units of one group run one after the other in one process, and may depend on those before them.
        number, total: its place among all units, from 1; the engine fills them in.
    """

    key: str
    label: str
    seed: int
    group: int = 0
    number: int = 1
    total: int = 1


@dataclass(frozen=True, kw_only=True)
class SeedUnit(Unit):
    """A seed: it draws weights, dropout and batches.

    Args:
        place: of what is trained with it, where several are trained with the same seeds; 0 is the first.
    """

    place: int = 0

    @classmethod
    def of(cls, seed: int, number: int, *, beside: str = "", place: int = 0) -> SeedUnit:
        """Return the unit of a seed, the one of this number, perhaps of what stands beside and has a name."""
        key, label = (f"{beside}-", f"{beside} beside it, ") if beside else ("", "")
        return cls(key=f"{key}seed-{seed}", label=f"{label}seed {seed}", seed=seed, group=number, place=place)


class UnitResult(typing.Protocol):
    """What a unit came to."""

    @property
    def validation(self) -> float | None:
        """The figure by which its epoch was selected; ``None`` where no figure selects."""

    @property
    def selected(self) -> int:
        """The selected epoch, 0 where nothing was trained."""

    @property
    def seconds(self) -> float:
        """What it took."""

    def scalars(self) -> dict[str, float]:
        """Return its figures by name."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` wrote."""


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """The data set of a record: name, checksum of its content, sizes; ``signals`` where those are the items."""

    name: str
    sha256: str
    nodes: int
    edges: int
    features: int
    classes: int
    signals: int | None = None
    graphs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything a comparison has to hold fixed; two figures are comparable only where fingerprints agree.

    How a model is trained is not part of it: layers, rates, and whether nodes were drawn in batches, with what
    ``fan_out``, ``batch`` and ``microbatches``, stand in the record's ``config``. What is measured is measured
    alike, with all neighbours.

    Args:
        dataset: name of the data set.
        dataset_sha256: checksum of its content.
        split: name of the split, with what it was asked for.
        split_sha256: checksum of its three masks; of several splits, of their checksums one after the other.
        train, validation, test: numbers of items in each part, of the first split where there are several.
        setting: "transductive": training sees the features and edges of all nodes, and the labels of its own;
            "inductive": it sees nothing of the signals it is tested on.
        selection: the rule that decides whose weights are tested.
        metric: what is measured on the test items.
        items: what is labelled: "nodes", "graphs", "signals", "links" or "moments". It follows from the data set, so
            that the fingerprint leaves it out.
        rule: how the sizes of the split come about, in words; it follows from the split, as well.
        edges: "as given", or "made undirected"; the checksum tells it too, so that the fingerprint leaves it out.
    """

    dataset: str
    dataset_sha256: str
    split: str
    split_sha256: str
    train: int
    validation: int
    test: int
    setting: str = "transductive"
    selection: str
    metric: str = "accuracy"
    items: str = "nodes"
    edges: str = "as given"
    rule: str = ""

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all other fields."""
        return fingerprint({name: value for name, value in dataclasses.asdict(self).items() if name not in TOLD})

    def of_splits(self, splits: Sequence[Split]) -> Protocol:
        """Return this protocol with several splits in place of its one."""
        drawn = [split.record() for split in splits]
        digests = [each["fingerprint"] for each in drawn]
        return dataclasses.replace(self, split=split_name(drawn), split_sha256=splits_sha256(digests))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields and the fingerprint."""
        return {**dataclasses.asdict(self), "fingerprint": self.fingerprint}

    def __str__(self) -> str:
        """Return the protocol in one line, to stand beside a figure."""
        sizes = f"{self.train:,}/{self.validation:,}/{self.test:,} {self.items}"
        return f"{self.dataset}, {self.split} split ({sizes}), {self.setting}, {self.selection} [{self.fingerprint}]"


def fingerprint(fields: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a JSON-like value.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def class_total(y: Tensor) -> int:
    """Return how many classes labels have, 0 where they are no classes."""
    return 0 if y.is_floating_point() or y.dim() != 1 or not len(y) else int(y.max()) + 1


def dataset_facts(data: Data) -> DatasetFacts:
    """Return the name on the card of ``data``, and the checksum and sizes of what it holds now."""
    card, signals, kept = data.get("card"), data.get("signals"), data.get("store")
    return DatasetFacts(
        name=card.name if card else kept.name if kept else printable_name("name", str(data.get("name") or "unnamed")),
        sha256=content_sha256(data) if kept is None else kept.fingerprint,
        nodes=data.num_nodes,
        edges=data.num_edges,
        features=data.num_features if signals is None else signals.size(-1),
        classes=0 if data.get("y") is None else class_total(data.y),
        signals=None if signals is None else len(signals),
    )


def protocol_of(divided: Sequence[Data], facts: DatasetFacts, selection: str, metric: str = "accuracy") -> Protocol:
    """Return the protocol of classification on the masks of ``divided``: one graph, with one split or several."""
    masks = [{name: data[name] for name in _MASKS} for data in divided]
    digests = [tensors_sha256(each) for each in masks]
    drawn = [data.get("protocol") for data in divided]
    # Where masks were changed after the split was drawn, its name is no longer theirs.
    named = all(each and each["fingerprint"] == digest for each, digest in zip(drawn, digests, strict=True))
    inductive = divided[0].get("signals") is not None
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name(drawn) if named else "given masks",
        split_sha256=splits_sha256(digests),
        train=int(masks[0]["train_mask"].sum()),
        validation=int(masks[0]["val_mask"].sum()),
        test=int(masks[0]["test_mask"].sum()),
        setting="inductive" if inductive else "transductive",
        selection=selection,
        metric=metric,
        items="signals" if inductive else "nodes",
        edges=EDGES[bool(divided[0].get("undirected"))],
        rule=drawn[0].get("rule", "") if named else "",
    )


def splits_sha256(digests: Sequence[str]) -> str:
    """Return the checksum of one split, or that of the checksums of several."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def split_name(drawn: Sequence[dict[str, Any]]) -> str:
    """Return the name of the splits with what they were asked for; what differs between them is listed."""
    values = {name: list(dict.fromkeys(each["parameters"][name] for each in drawn)) for name in drawn[0]["parameters"]}
    given = ", ".join(f"{name}={'|'.join(map(str, several))}" for name, several in values.items())
    return f"{drawn[0]['split']}({given})" if given else drawn[0]["split"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure over several seeds.

    Args:
        name: what is measured, such as "accuracy".
        mean: mean over the seeds; accuracies are fractions in [0, 1].
        std: sample standard deviation (n - 1), ``None`` for a single seed.
        ci95: lower and upper end of Student's 95 % interval of the mean over seeds, within what the figure can be;
            ``None`` for fewer than five seeds: that of two is nine deviations wide to either side, that of three still
            two and a half, and says little.
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
            return f"{spread} ({COUNTED[len(self.values)]} seeds)"
        low, high = (scale * end for end in self.ci95)
        return f"{spread} (95 % interval {low:.2f} to {high:.2f})"


LEAST = 5
"""Values from which an interval of their mean says something."""

COUNTED = ("no", "one", "two", "three", "four")
"""Numbers of seeds below that, in words."""

BOUNDS = {
    "ami (all)": (-1.0, 1.0),
    "rmse": (0.0, math.inf),
    "mae": (0.0, math.inf),
    "r2": (-math.inf, 1.0),
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
        >>> print(metric("accuracy", [0.81, 0.82, 0.80, 0.81, 0.82]))
        81.20 ± 0.84 % (95 % interval 80.16 to 82.24)
        >>> print(metric("accuracy", [0.99, 0.90, 1.0, 0.94, 1.0]))
        96.60 ± 4.45 % (95 % interval 91.07 to 100.00)
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


class AbstractRecord(ABC):
    """One measurement, complete enough to be repeated, as JSON text and in a file."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def write(self, path: Path | str) -> None:
        """Write the record beside ``path`` and rename it, so that no half-written record can be found there."""
        write_atomically(Path(path), (self.to_json() + "\n").encode())


@dataclass(frozen=True, kw_only=True)
class Record(AbstractRecord):
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
        tried: of the recipes that this one was chosen from, ``model``, mean ``validation`` figure and loss, and
            ``seconds`` of training, in the order in which they were tried, with its ``warnings`` about the graph, if
            any; left out where none was chosen.
        tuning: of a search, its budget, space and rule, and what the best trial and the recipe that it began with came
            to on validation items; left out where there was none.
        figures: what else was measured on the test items: model -> name -> figure, that of the record first, then those
            beside it; left out where there is nothing.
        target: what items are labelled with where they have no classes: ``kind`` and number of ``outputs``.
        parameters: numbers that steps of training move, of one model; left out where none are, or sizes were chosen.
        warnings: what is to be known of the figures, in words; left out where there is nothing.
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
    tried: tuple[Mapping[str, Any], ...] = ()
    tuning: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, Metric]] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""
        made = {**dataclasses.asdict(self), "protocol": self.protocol.as_dict()}
        for name in ("tried", "tuning", "figures", "target", "parameters", "warnings"):
            if not made[name]:
                del made[name]
        return made


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
