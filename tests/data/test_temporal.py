"""Signals over time: calendars, graphs that change, and windows that are views and keep parts of time apart."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import ForecastSplit, TemporalGraph, TimeSplit, Windows, card, load, load_links, load_splits, names
from graphkit.data.windows import PARTS

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


def graph(steps=10, **fields):
    return TemporalGraph(torch.arange(steps * 3.0).view(steps, 3), EDGES, **fields)


def test_it_is_a_graph_of_pyg_and_comes_back_from_one():
    made = graph(times=torch.arange(10) * 60, pos=torch.rand(3, 2), edge_weight=torch.rand(3))
    assert isinstance(made, Data)
    assert (made.steps, made.num_nodes, made.step_seconds) == (10, 3, 60)
    assert made.dates[1] - made.dates[0] == 60
    again = TemporalGraph.of(Data(**made.to_dict()))
    assert again.to_dict().keys() == made.to_dict().keys()
    copied = made.clone()
    assert isinstance(copied, TemporalGraph)
    assert torch.equal(copied.signals, made.signals)
    assert graph().dates is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"signals": torch.zeros(4, 3, dtype=torch.long)}, r"`signals` must hold real numbers of shape \[time, nodes"),
        ({"signals": torch.zeros(4)}, "`signals` must hold real numbers"),
        ({"signals": torch.full((4, 3), torch.inf)}, "`signals` must be finite, or NaN"),
        ({"edge_index": torch.tensor([[0], [3]])}, "edge_index"),
        ({"edge_weight": torch.ones(2)}, "edge_weight"),
        ({"edge_step": torch.tensor([0, 1, 4])}, "`edge_step` names moment 4 of 4"),
        ({"edge_step": torch.tensor([0, -1, 3])}, "`edge_step` must number moments from 0"),
        ({"times": torch.tensor([0, 1, 2])}, r"`times` must hold whole seconds of shape \[4\]"),
        ({"times": torch.tensor([0, 1, 1, 2])}, "`times` must rise, and go back or stand still after row 1"),
        ({"times": torch.tensor([0, 2, 1, 3])}, "`times` must rise, and go back or stand still after row 1"),
        (
            {"times": torch.tensor([0, 1, 2, 4])},
            "by equal steps, and some are 1 and some 2 seconds; `Temporal",
        ),
        ({"pos": torch.rand(2, 2)}, r"`pos` must hold real numbers of shape \[3, 2\]"),
    ],
)
def test_what_is_no_graph_over_time_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TemporalGraph(**{"signals": torch.zeros(4, 3), "edge_index": EDGES, **fields})


def test_moments_that_are_missing_are_put_in_and_not_made_up():
    times = torch.tensor([100, 160, 340, 400])
    signals = torch.rand(4, 3, 2)
    made = TemporalGraph.on_calendar(signals, times, EDGES)
    assert made.times.tolist() == [100, 160, 220, 280, 340, 400]
    assert torch.equal(made.signals[[0, 1, 4, 5]], signals)
    assert bool(made.signals[2:4].isnan().all())


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 60, 30], "go back or stand still after row 1"),
        ([0, 0, 60], "go back or stand still after row 0"),
        ([0, 60, 150], "whole steps of 60 seconds apart"),
        ([0, 60], "one number for each of 3 rows"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(times, message):
    with pytest.raises(ValueError, match=message):
        TemporalGraph.on_calendar(torch.zeros(3, 3), torch.tensor(times), EDGES)


def test_a_graph_that_changes_is_the_last_one_that_was_known():
    made = graph(edge_step=torch.tensor([2, 2, 5]), edge_weight=torch.tensor([1.0, 2.0, 3.0]))
    sizes = [made.graph_at(step)[0].size(1) for step in range(10)]
    assert sizes == [0, 0, 2, 2, 2, 1, 1, 1, 1, 1]
    assert made.graph_at(7)[1].tolist() == [3.0]
    assert torch.equal(graph().graph_at(0)[0], EDGES)
    with pytest.raises(ValueError, match="`step` must be at most 9"):
        made.graph_at(10)


@pytest.mark.parametrize(("length", "horizon"), [(1, 1), (3, 2), (4, 5)])
def test_windows_are_the_loop_and_views(length, horizon):
    signals = torch.randn(20, 3, 2)
    windows, origins = Windows(signals, length), range(length - 1, 20 - horizon)
    seen, after = windows.inputs(origins), windows.targets(origins, horizon)
    for place, t in enumerate(origins):
        assert torch.equal(seen[place], signals[t - length + 1 : t + 1])
        assert torch.equal(after[place], signals[t + horizon])
    for view in (seen, after):
        assert view.untyped_storage().data_ptr() == signals.untyped_storage().data_ptr()
    with pytest.raises(ValueError, match="`origins` must be consecutive moments"):
        windows.targets(range(length - 1, 21 - horizon), horizon)
    with pytest.raises(ValueError, match="`length` 21 is more than the 20 moments"):
        Windows(signals, 21)


@pytest.mark.parametrize("inside", [False, True])
def test_parts_of_time_keep_apart_what_is_forecast(inside):
    for seed in range(100):
        drawn = torch.Generator().manual_seed(seed)
        train, val, test, length, horizon = (int(torch.randint(1, 12, (), generator=drawn)) for _ in range(5))
        split = TimeSplit(train, val, test)
        asked = {}
        for part in PARTS:
            begin, end = split.bounds(part)
            origins = split.origins(part, length=length, horizon=horizon, inside=inside)
            asked[part] = {t + horizon for t in origins}
            assert asked[part] <= set(range(begin, end))
            first = begin if inside else 0
            assert all(t - length + 1 >= first for t in origins)
            # None is left out that could be there.
            fits = {t + horizon for t in range(train + val + test) if t - length + 1 >= first}
            assert asked[part] == fits & set(range(begin, end))
        assert sum(map(len, asked.values())) == len(set().union(*asked.values()))


@pytest.mark.parametrize(("train", "val"), [(0.0, 0.5), (0.5, 0.0), (0.9, 0.1), (0.01, 0.01)])
def test_a_part_of_time_without_a_moment_is_refused(train, val):
    with pytest.raises(ValueError, match="leave a part of 20 moments without one"):
        TimeSplit.of(20, train, val)


def test_what_is_for_other_data_says_that_these_are_signals_over_time(call):
    for command in (
        "train los-loop",
        "embed chickenpox --loss triplet",
        "train covid-europe-italy",
        "spectrum los-loop",
    ):
        code, _, err = call(*command.split())
        assert code == 2
        assert "are signals over time, for `graphkit forecast`" in err
    for name in ("los-loop", "covid-europe"):
        with pytest.raises(ValueError, match="are signals over time"):
            load_links(name)
    with pytest.raises(ValueError, match="`load_series` takes a split of them"):
        load_splits("los-loop", seeds=[0])
    with pytest.raises(ValueError, match="Give no `split`"):
        load("los-loop", split="stratified")


SERIES = [name for name in names() if card(name).kind == "series"]


@pytest.mark.parametrize("name", SERIES)
def test_the_split_and_horizons_of_a_card_fit_its_moments(name):
    known = card(name)
    usual = {"length": 12, "horizons": [1], "inside": False} | known.forecast
    time = TimeSplit.from_name(known.default_split, known.signals)
    made = ForecastSplit(time, length=usual["length"], horizons=tuple(usual["horizons"]), inside=usual["inside"])
    for part in PARTS:
        assert len(made.origins(part)) >= 2
