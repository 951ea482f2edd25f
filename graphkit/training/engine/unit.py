"""Units: what an experiment trains and measures at a time, and what each comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self


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
    """A seed: it draws weights, dropout and batches."""

    @classmethod
    def of(cls, seed: int, number: int) -> SeedUnit:
        """Return the unit of a seed, the one of this number."""
        return cls(key=f"seed-{seed}", label=f"seed {seed}", seed=seed, group=number)


class UnitResult(Protocol):
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
