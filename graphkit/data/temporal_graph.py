"""Signals on the nodes of a graph over time, with their calendar; the graph stays as it is, or changes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks

DAY, WEEK, YEAR = 86_400, 7 * 86_400, 31_557_600
"""Seconds of the periods that a clock knows; a year is of 365 and a quarter days."""

HANDS = ((DAY, 1), (DAY, 2), (WEEK, 1), (YEAR, 1))
"""Period and harmonic of the pairs of columns of a clock."""

FIELDS = ("signals", "edge_index", "edge_weight", "edge_step", "times", "pos")
"""What a graph over time may have."""


class TemporalGraph(Data):
    """A graph whose nodes have numbers at each of many moments: a ``Data`` of PyG with what time needs.

    Moments follow each other at equal steps. What was not measured is NaN, and so is a moment that is missing in a
    calendar (:meth:`on_calendar` puts it there).

    Args:
        signals: ``[time, nodes, features]``, or ``[time, nodes]`` of one feature; NaN where nothing was measured.
        edge_index: ``[2, edges]``.
        edge_weight: ``[edges]``.
        edge_step: the moment of each edge, ``[edges]``, of a graph that changes with time; None of one that does not.
        times: seconds since 1970 of each moment, ``[time]`` in int64; None where the calendar is not known.
        pos: places of the nodes, ``[nodes, 2]``.

    Raises:
        ValueError: for signals of another shape, infinite numbers, edges of nodes that are not there, and times that do
            not rise by equal steps.

    Example:
        >>> hours = torch.arange(4) * 3600
        >>> graph = TemporalGraph(torch.rand(4, 2), torch.tensor([[0, 1], [1, 0]]), times=hours)
        >>> graph.steps, graph.num_nodes, graph.step_seconds
        (4, 2, 3600)
    """

    def __init__(
        self,
        signals: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        *,
        edge_step: Tensor | None = None,
        times: Tensor | None = None,
        pos: Tensor | None = None,
    ) -> None:
        given = {"edge_weight": edge_weight, "edge_step": edge_step, "times": times, "pos": pos}
        fields = {name: _checks.tensor(name, value) for name, value in given.items() if value is not None}
        super().__init__()
        if signals is None:  # PyG makes an empty graph first when it copies one
            return
        _checks.tensor("signals", signals)
        signals = signals.unsqueeze(-1) if signals.dim() == 2 else signals
        if signals.dim() != 3 or not signals.is_floating_point():
            raise ValueError(
                f"`signals` must hold real numbers of shape [time, nodes, features], got {signals.dtype} "
                f"{list(signals.shape)}."
            )
        if bool(signals.isinf().any()):
            raise ValueError("`signals` must be finite, or NaN where nothing was measured.")
        nodes = signals.size(1)
        edges = torch.empty(2, 0, dtype=torch.long) if edge_index is None else _checks.tensor("edge_index", edge_index)
        _checks.edge_index_in_range(edges, nodes)
        for name in ("edge_weight", "edge_step"):
            if name in fields:
                _checks.one_value_per_edge(name, fields[name], edges.size(1))
        if edge_step is not None and (edge_step.is_floating_point() or edge_step.is_complex()):
            raise ValueError(f"`edge_step` must hold integers, got {edge_step.dtype}.")
        if edge_step is not None and edge_step.numel() and not 0 <= int(edge_step.min()) <= int(edge_step.max()):
            raise ValueError("`edge_step` must number moments from 0.")
        if edge_step is not None and edge_step.numel() and int(edge_step.max()) >= len(signals):
            raise ValueError(f"`edge_step` names moment {int(edge_step.max()):,} of {len(signals):,}.")
        if times is not None:
            _require_calendar(times, len(signals))
        if pos is not None and (pos.shape != (nodes, 2) or not pos.is_floating_point()):
            raise ValueError(f"`pos` must hold real numbers of shape [{nodes}, 2], got {pos.dtype} {list(pos.shape)}.")
        self.signals, self.edge_index, self.num_nodes = signals, edges, nodes
        for name, value in fields.items():
            self[name] = value

    @classmethod
    def of(cls, data: Data) -> TemporalGraph:
        """Return a graph with ``signals`` as one over time, with all its fields."""
        fields = {name: value for name, value in data.to_dict().items() if name != "num_nodes"}
        own = {name: fields.pop(name) for name in FIELDS if name in fields}
        made = cls(**own)
        for name, value in fields.items():
            made[name] = value
        return made

    @classmethod
    def on_calendar(
        cls, signals: Tensor, times: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, **fields: Tensor
    ) -> TemporalGraph:
        """Return a graph over time of moments some of which are missing: they are put in, with nothing measured.

        The step is the smallest between two moments.

        Args:
            signals: ``[rows, nodes, features]`` or ``[rows, nodes]``.
            times: of the rows, rising, ``[rows]`` seconds.
            edge_index, edge_weight, fields: as for the class.

        Raises:
            ValueError: for times that go back or stand still, or are not whole steps apart.

        Example:
            >>> one = torch.ones(3, 1)
            >>> graph = TemporalGraph.on_calendar(one, torch.tensor([0, 60, 180]), torch.empty(2, 0, dtype=torch.long))
            >>> graph.signals.flatten().tolist()
            [1.0, 1.0, nan, 1.0]
        """
        apart = _checks.tensor("times", times).diff()
        if times.dim() != 1 or len(times) != len(signals) or len(times) < 2:
            raise ValueError(f"`times` must hold one number for each of {len(signals)} rows, two at least.")
        _require_rising(apart)
        step = int(apart.min())
        if bool((apart % step != 0).any()):
            raise ValueError(f"`times` must be whole steps of {step:,} seconds apart; the smallest step is taken.")
        place = ((times - times[0]) // step).long()
        whole = signals.new_full((int(place[-1]) + 1, *signals.shape[1:]), torch.nan)
        whole[place] = signals
        calendar = times[0] + step * torch.arange(len(whole))
        return cls(whole, edge_index, edge_weight, times=calendar.long(), **fields)

    @property
    def steps(self) -> int:
        """How many moments there are."""
        return len(self.signals)

    @property
    def step_seconds(self) -> int | None:
        """Seconds from one moment to the next; None where the calendar is not known."""
        times = self.get("times")
        return None if times is None or len(times) < 2 else int(times[1] - times[0])

    @property
    def dates(self) -> np.ndarray | None:
        """The moments as NumPy's ``datetime64``, ``[time]``; None where the calendar is not known."""
        times = self.get("times")
        return None if times is None else times.numpy().astype("datetime64[s]")

    def graph_at(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return edges and weights as they are at a moment: of a graph that changes the last ones that were known.

        Args:
            step: number of the moment, from 0.

        Raises:
            ValueError: for a moment that is not there.
        """
        _checks.integer_between("step", step, 0, self.steps - 1)
        weight = self.get("edge_weight")
        of_edges = self.get("edge_step")
        if of_edges is None:
            return self.edge_index, weight
        known = of_edges[of_edges <= step]
        kept = of_edges == (int(known.max()) if len(known) else -1)
        return self.edge_index[:, kept], None if weight is None else weight[kept]


def clock_of(times: Tensor) -> Tensor:
    """Return where moments stand in day, half day, week and year: sine and cosine of each, ``[time, 8]``.

    Args:
        times: seconds since 1970, ``[time]``.

    Example:
        >>> clock_of(torch.tensor([0, 21600]))[:, :2].round().abs().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    columns = []
    for period, harmonic in HANDS:
        phase = 2 * torch.pi * harmonic * (times % period).double() / period
        columns += [phase.sin(), phase.cos()]
    return torch.stack(columns, 1).float()


def hands_seen(times: Tensor) -> Tensor:
    """Return which columns of a clock tell moments apart that were seen through a whole period, booleans ``[8]``.

    Args:
        times: of what is learnt from, equal steps apart.

    Example:
        >>> hands_seen(3600 * torch.arange(48)).tolist()
        [True, True, True, True, False, False, False, False]
    """
    step = int(times[1] - times[0]) if len(times) > 1 else YEAR
    span = step * len(times)
    return torch.tensor([2 * step * each <= period <= span for period, each in HANDS for _ in range(2)])


def season_of(steps: int, season: float) -> Tensor:
    """Return where moments stand in a season, as a clock that knows nothing else, ``[steps, 8]``.

    Args:
        steps: how many moments.
        season: moments of one.

    Example:
        >>> season_of(2, 4.0)[:, 6:].round().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    phase = 2 * torch.pi * torch.arange(steps).double() / season
    return torch.cat([torch.zeros(steps, 6), torch.stack([phase.sin(), phase.cos()], 1).float()], 1)


def _require_calendar(times: Tensor, steps: int) -> None:
    """Refuse times that are no calendar of equal steps."""
    _checks.tensor("times", times)
    if times.is_floating_point() or times.shape != (steps,):
        raise ValueError(f"`times` must hold whole seconds of shape [{steps}], got {times.dtype} {list(times.shape)}.")
    apart = times.diff()
    _require_rising(apart)
    if len(apart) and bool((apart != apart[0]).any()):
        raise ValueError(
            f"`times` must rise by equal steps, and some are {int(apart.min()):,} and some {int(apart.max()):,} "
            "seconds; `TemporalGraph.on_calendar` puts missing moments in."
        )


def _require_rising(apart: Tensor) -> None:
    back = (apart <= 0).nonzero()
    if len(back):
        raise ValueError(f"`times` must rise, and go back or stand still after row {int(back[0])}.")
