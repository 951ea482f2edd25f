"""Windows: stretches of time to forecast from, as views of the signals, which take no memory of their own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphkit import _checks

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
