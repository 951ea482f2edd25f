"""Windows: stretches of time to forecast from, as views of the signals, which take no memory of their own."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit import _checks
from graphkit.data.fingerprint import tensors_sha256

if TYPE_CHECKING:
    from graphkit.data.temporal_graph import TemporalGraph

PARTS = ("train", "val", "test")
"""Parts of time, one after another."""


@dataclass(frozen=True)
class TimeSplit:
    """Time in three parts: what is learnt from, chosen by and measured, each later than the one before.

    Args:
        train: moments to learn from, which are the first.
        val: moments to choose by, after them.
        test: moments to measure, after these.

    Raises:
        ValueError: for a part without a moment.
    """

    train: int
    val: int
    test: int

    def __post_init__(self) -> None:
        for part in PARTS:
            _checks.at_least(part, getattr(self, part), 1)

    @property
    def steps(self) -> int:
        """How many moments there are."""
        return self.train + self.val + self.test

    @classmethod
    def of(cls, steps: int, train: float = 0.7, val: float = 0.1) -> TimeSplit:
        """Return shares of so many moments, the rest to measure.

        Raises:
            ValueError: for shares that are none, or leave a part without a moment.

        Example:
            >>> TimeSplit.of(100, 0.7, 0.1)
            TimeSplit(train=70, val=10, test=20)
        """
        for name, share in (("train", train), ("val", val)):
            _checks.fraction(name, share)
        first, second = int(train * steps + 1e-9), int((train + val) * steps + 1e-9)
        if not 0 < first < second < steps:
            raise ValueError(f"`train` {train} and `val` {val} leave a part of {steps:,} moments without one.")
        return cls(first, second - first, steps - second)

    @classmethod
    def from_name(cls, text: str, steps: int) -> TimeSplit:
        """Return the shares of so many moments that ``text`` names, such as ``"time:0.7,0.1"``.

        Raises:
            ValueError: for another text, and as :meth:`of` does.

        Example:
            >>> TimeSplit.from_name("time:0.5,0.2", 10)
            TimeSplit(train=5, val=2, test=3)
        """
        name, _, shares = _checks.instance("text", text, str, "a text such as 'time:0.7,0.1'").partition(":")
        try:
            given = [float(share) for share in shares.split(",") if shares]
        except ValueError:
            given = [0.0] * 3
        if name != "time" or len(given) > 2:
            raise ValueError(f"`split` {text!r} is no split of time; its form is 'time:train,val', shares of all.")
        return cls.of(steps, *given)

    def bounds(self, part: str) -> tuple[int, int]:
        """Return the first moment of a part, and the one after its last."""
        ends = {"train": self.train, "val": self.train + self.val, "test": self.steps}
        end = ends[_checks.member("part", part, PARTS)]
        return end - getattr(self, part), end

    def origins(self, part: str, *, length: int, horizon: int, inside: bool = False) -> range:
        """Return the moments after which a forecast is made whose moment is in a part.

        What is forecast lies in the part. So does what it is made from where ``inside``; else that may lie before the
        part, which is what is known when a part begins.

        Args:
            part: "train", "val" or "test".
            length: moments that a forecast is made from.
            horizon: how many moments ahead it is.
            inside: as above.

        Example:
            >>> split = TimeSplit(10, 4, 6)
            >>> split.origins("test", length=3, horizon=2), split.origins("test", length=3, horizon=2, inside=True)
            (range(12, 18), range(16, 18))
        """
        _checks.at_least("length", length, 1)
        _checks.at_least("horizon", horizon, 1)
        begin, end = self.bounds(part)
        first = begin + length - 1 if inside else max(begin - horizon, length - 1)
        return range(first, max(first, end - horizon))


class Windows:
    """What is seen before, and what is after, each of some moments: views of the signals.

    Args:
        signals: ``[time, nodes, features]``.
        length: moments that are seen, the last of them the one after which is forecast.

    Raises:
        ValueError: for fewer moments than are seen.

    Example:
        >>> import torch
        >>> windows = Windows(torch.arange(5.0).view(5, 1, 1), 3)
        >>> windows.inputs(range(2, 4)).flatten(1).tolist(), windows.targets(range(2, 4), 1).flatten().tolist()
        ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [3.0, 4.0])
    """

    def __init__(self, signals: Tensor, length: int) -> None:
        if _checks.tensor("signals", signals).dim() != 3:
            raise ValueError(f"`signals` must have shape [time, nodes, features], got {list(signals.shape)}.")
        self.signals, self.length = signals, _checks.at_least("length", length, 1)
        if length > len(signals):
            raise ValueError(f"`length` {length:,} is more than the {len(signals):,} moments that there are.")
        # [moments, nodes, features, length], and time to its usual place
        self._seen = signals.unfold(0, length, 1).permute(0, 3, 1, 2)

    def inputs(self, origins: range) -> Tensor:
        """Return what is seen until each moment, ``[moments, length, nodes, features]``, a view."""
        self._require(origins, 0)
        return self._seen[origins.start - self.length + 1 : origins.stop - self.length + 1]

    def targets(self, origins: range, horizon: int) -> Tensor:
        """Return what is there ``horizon`` moments after each, ``[moments, nodes, features]``, a view."""
        self._require(origins, _checks.at_least("horizon", horizon, 1))
        return self.signals[origins.start + horizon : origins.stop + horizon]

    def _require(self, origins: range, ahead: int) -> None:
        if origins.step != 1 or origins.start < self.length - 1 or origins.stop + ahead > len(self.signals):
            raise ValueError(
                f"`origins` must be consecutive moments from {self.length - 1} on, with {ahead} after each, got "
                f"{origins!r} of {len(self.signals):,}."
            )


@dataclass(frozen=True)
class ForecastSplit:
    """What is forecast of a series, and which forecasts are learnt from, chosen by and measured.

    After a moment all that come up to the largest of ``horizons`` are forecast. What is forecast lies in one part of
    time, whole.

    Args:
        time: parts of time.
        length: moments that a forecast is made from.
        horizons: how many moments ahead figures are given for, rising.
        inside: whether the moments that the forecasts of a later part are made from lie in that part too; else they may
            lie before it, and the whole part is forecast.
        season: moments of a season, of a series without a calendar; 0 for none. The first moment begins one.

    Raises:
        ValueError: for horizons that do not rise, and parts in which nothing can be forecast.

    Example:
        >>> split = ForecastSplit(TimeSplit(10, 5, 6), length=3, horizons=(1, 2))
        >>> [split.origins(part) for part in PARTS]
        [range(2, 8), range(9, 13), range(14, 19)]
    """

    time: TimeSplit
    length: int = 12
    horizons: tuple[int, ...] = (1,)
    inside: bool = False
    season: float = 0.0

    def __post_init__(self) -> None:
        _checks.within("season", self.season, 0.0, 1e9)
        _checks.instance("time", self.time, TimeSplit, "a TimeSplit")
        _checks.at_least("length", self.length, 1)
        _checks.flag("inside", self.inside)
        given = _checks.as_list("horizons", self.horizons, "[1, 2, 3]")
        for each in given:
            _checks.at_least("horizons", each, 1)
        if not given or sorted(set(given)) != given:
            raise ValueError(f"`horizons` must name numbers of moments that rise, got {list(given)}.")
        object.__setattr__(self, "horizons", tuple(given))
        for part in PARTS:
            if not len(self.origins(part)):
                raise ValueError(
                    f"`length` {self.length:,} and `horizons` up to {self.horizon:,} leave no moment of `{part}` "
                    f"with its {getattr(self.time, part):,}; take fewer, or other shares of `time`."
                )

    @property
    def horizon(self) -> int:
        """How many moments are forecast."""
        return max(self.horizons)

    def origins(self, part: str, *, length: int | None = None) -> range:
        """Return the moments after which is forecast in a part.

        Args:
            part: "train", "val" or "test".
            length: of a model that looks at more than other models do: of the first part some moments are left out.

        Raises:
            ValueError: for a model that looks at more than there is before what is measured.
        """
        begin, end = self.time.bounds(part)
        needed = self.length if length is None else max(length, self.length)
        first = begin - 1
        if part == "train":
            first = needed - 1
        elif self.inside:
            first = begin + self.length - 1
        if first < needed - 1:
            if needed == self.length:
                first = needed - 1
            else:
                raise ValueError(f"`length` {needed:,} is more than the moments before the part {part!r}.")
        return range(first, max(first, end - self.horizon))

    def apply(self, graph: TemporalGraph) -> TemporalGraph:
        """Return a shallow copy of a graph over time that carries this split as ``forecast_split``.

        Raises:
            ValueError: for a graph of another number of moments.
        """
        if self.time.steps != graph.steps:
            raise ValueError(f"the split is of {self.time.steps:,} moments, and `graph` has {graph.steps:,}.")
        made = copy.copy(graph)
        made.forecast_split = self
        if self.season and graph.get("times") is not None:
            raise ValueError("`season` is of series without a calendar, and `graph` has one.")
        return made

    def record(self) -> dict[str, Any]:
        """Return name, parameters and fingerprint, as a record holds them."""
        time = self.time
        parameters = {
            "train": time.train,
            "val": time.val,
            "test": time.test,
            "length": self.length,
            "horizons": ",".join(map(str, self.horizons)),
        }
        parameters |= {"inside": True} if self.inside else {}
        parameters |= {"season": self.season} if self.season else {}
        numbers = [time.train, time.val, time.test, self.length, int(self.inside), *self.horizons]
        numbers += [round(1000 * self.season)] if self.season else []
        return {
            "split": "time",
            "parameters": parameters,
            "fingerprint": tensors_sha256({"forecast_split": torch.tensor(numbers)}),
        }
