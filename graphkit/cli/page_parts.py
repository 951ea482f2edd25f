"""What pages of all kinds of runs have in common: which items are shown and where, and what the record says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from graphkit.training.engine.records import Record
    from graphkit.training.trained.abstract_run import AbstractRun

MOST_ITEMS = 50_000
"""Items of a page; of more, so many evenly spaced ones."""

PARTS = ("train", "validation", "test")


def shown_items(many: int) -> tuple[Tensor, list[str]]:
    """Return the items that a page shows, and in words what it leaves out."""
    shown = torch.linspace(0, many - 1, min(many, MOST_ITEMS)).round().long().unique()
    return shown, [] if len(shown) == many else [f"every {many / len(shown):.3g}th of {many:,} is shown"]


def parts_of(data: Any, many: int) -> Tensor:
    """Return the part of the split that each item is in ``[items]``, -1 for none."""
    from graphkit.training.trained.abstract_trained import split_masks

    part = torch.full((many,), -1)
    for number, mask in enumerate(split_masks(data)):
        part[mask] = number
    return part


def principal_places(values: Tensor) -> tuple[Tensor, tuple[str, str]]:
    """Return rows ``[items, features]`` in two dimensions, by their principal components, and what the axes are."""
    centred = values - values.mean(dim=0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    # A direction is known but for its sign: its largest entry is positive.
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    points = torch.nn.functional.pad(centred @ (directions * largest.sign()).T[:, :2], (0, 1))[:, :2]
    shares = torch.nn.functional.pad(sizes.square() / sizes.square().sum().clamp(min=1e-30), (0, 1))[:2].tolist()
    first, second = (
        f"component {place} ({100 * share:.0f} % of the variance)" for place, share in enumerate(shares, 1)
    )
    return points, (first, second)


def confusion_counts(true: Tensor, predicted: Tensor, classes: int) -> Any:
    """Return how many items of each class are taken for each, ``[true, predicted]``, of those that have a class."""
    known = (true >= 0) & (predicted >= 0)
    pairs = true[known] * classes + predicted[known]
    return pairs.bincount(minlength=classes**2).reshape(classes, classes).numpy()


def histories(run: AbstractRun[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each training with what it kept of its epochs, where the run keeps them."""
    from graphkit.training.engine.store import CHECKPOINT, Damaged, read_tensors

    try:
        finished = read_tensors(run.folder / CHECKPOINT)["finished"]
    except (FileNotFoundError, Damaged):
        return
    yield from ((name, result) for name, result in finished.items() if "history" in result)


def record_rows(record: Record) -> list[tuple[str, str]]:
    """Return what the record says, a row for each."""
    return [
        ("command", record.command),
        ("test", f"{record.metric.name} {record.metric}"),
        ("validation", f"{record.validation.name} {record.validation}"),
        ("data", _list({name: value for name, value in vars(record.dataset).items() if value is not None})),
        ("protocol", str(record.protocol)),
        ("selection", record.selection),
        ("config", _list(record.config)),
        ("seeds", _words(record.seeds)),
        ("seconds", f"{record.seconds:.1f}"),
        ("environment", _list(record.environment)),
        *([("tuning", _list({k: v for k, v in record.tuning.items() if k != "best"}))] if record.tuning else []),
    ]


def _list(fields: Any) -> str:
    """Return named values in a line."""
    return ", ".join(f"{name} {_list(value) if hasattr(value, 'items') else value}" for name, value in fields.items())


def _words(values: Sequence[object]) -> str:
    """Return values in a line."""
    return ", ".join(map(str, values))
