"""Rivals and linear models of signals over time: they are their loops, and see nothing that is later."""

from __future__ import annotations

import pytest
import torch

from graphkit.data import TemporalGraph, TimeSplit, Windows, load
from graphkit.training.forecasting.forecasters import PENALTIES, LagRidge, LastPeriod, LastValue, WindowMean

HORIZONS = [1, 3]
SPLIT = TimeSplit(60, 15, 25)


def series(features=1, missing=0.0, directed=True, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    signals = torch.randn(100, 5, features, generator=drawn).cumsum(0)
    signals[torch.rand(signals.shape, generator=drawn) < missing] = torch.nan
    edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 4, 2]])
    weight = torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0])
    if not directed:
        edges, weight = torch.cat([edges, edges.flip(0)], 1), weight.repeat(2)
    return TemporalGraph(signals, edges, weight)


def models():
    yield "last value", LastValue(HORIZONS), False
    yield "window mean", WindowMean(HORIZONS, 4), False
    yield "last period", LastPeriod(HORIZONS, 7), False
    for hops in (0, 2):
        for shared in (False, True):
            yield f"ridge {hops} {shared}", LagRidge(HORIZONS, 3, hops=hops, shared=shared), True


MODELS = [pytest.param(model, fitted, id=name) for name, model, fitted in models()]


@pytest.mark.parametrize(("model", "fitted"), MODELS)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_no_forecast_sees_what_comes_after_its_moment(model, fitted, missing):
    graph = series(missing=missing)
    if fitted:
        model.fit(graph, SPLIT)
    for moment in (80, 90):
        origins = range(75, moment + 1)
        before = model.forecast(graph, origins)
        other = graph.clone()
        other.signals[moment + 1 :] = torch.randn(99 - moment, 5, 1) * 100
        assert torch.equal(before.nan_to_num(7.0), model.forecast(other, origins).nan_to_num(7.0))
    assert before.shape == (16, 2, 5, 1)


@pytest.mark.parametrize("hops", [0, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_nothing_that_is_measured_is_learnt_from(hops, shared):
    graph = series()
    one = LagRidge(HORIZONS, 3, hops=hops, shared=shared).fit(graph, SPLIT)
    other = graph.clone()
    other.signals[75:] = 1e6
    two = LagRidge(HORIZONS, 3, hops=hops, shared=shared).fit(other, SPLIT)
    for name, value in one.named_buffers():
        assert torch.equal(value, two.get_buffer(name))
    assert one.penalty == two.penalty
    # The penalty is chosen by weights that have not seen the moments to choose by.
    other.signals[60:75] = 1e6
    three = LagRidge(HORIZONS, 3, hops=hops, shared=shared)
    three.means = one.means
    sums = [each._sums(of, range(2, 57)) for each, of in ((one, graph), (three, other)) if not hops]
    assert not sums or all(torch.equal(*pair) for pair in zip(*sums, strict=True))


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_ridge_is_the_dense_solution(hops, directed, features, shared):
    graph = series(features, directed=directed)
    model = LagRidge(HORIZONS, 3, hops=hops, shared=shared).fit(graph, SPLIT)
    signals = graph.signals.double()
    ways = [graph.edge_index] if not directed else [graph.edge_index, graph.edge_index.flip(0)]
    columns = [signals]
    for source, target in ways:
        mean = torch.zeros(5, 5, dtype=torch.float64)
        mean[target, source] = graph.edge_weight.double()
        mean = mean / mean.sum(1, keepdim=True).clamp(min=1e-12)
        near = signals
        for _ in range(hops):
            near = torch.einsum("vu,tuf->tvf", mean, near)
            columns.append(near)
    spread = torch.cat(columns, -1)
    origins, asked = range(2, 72), range(80, 97)

    def rows(of, node):
        return torch.stack([spread[t - 2 : t + 1, node].flatten() for t in of])

    found = model.forecast(graph, asked).double()
    nodes = [range(5)] if shared else [[node] for node in range(5)]
    for group in nodes:
        z = torch.cat([rows(origins, node) for node in group])
        for place, horizon in enumerate(HORIZONS):
            t = torch.cat([torch.stack([signals[o + horizon, node] for o in origins]) for node in group])
            centre, scale = z.mean(0), z.std(0, correction=0)
            scale[scale < 1e-9] = torch.inf  # a constant tells nothing
            s = (z - centre) / scale
            gram = s.T @ s + model.penalty * len(z) * torch.eye(s.size(1), dtype=torch.float64)
            w = torch.linalg.solve(gram, s.T @ (t - t.mean(0)))
            for node in group:
                expected = (rows(asked, node) - centre) / scale @ w + t.mean(0)
                torch.testing.assert_close(found[:, place, node], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(Windows(graph.signals, 3).inputs(asked)), model.forecast(graph, asked))
    assert model.penalty in PENALTIES


def test_rivals_are_what_they_are_called():
    graph = series(missing=0.2)
    x = graph.signals
    last, mean, period = LastValue([2], 5), WindowMean([2], 5), LastPeriod([2, 9], 7)
    for t in range(20, 30):
        for node in range(5):
            there = [v for v in x[t - 4 : t + 1, node, 0].tolist() if v == v]
            said = [each.forecast(graph, range(t, t + 1))[0, 0, node, 0].item() for each in (last, mean)]
            assert said == pytest.approx([there[-1], sum(there) / len(there)])
        assert torch.equal(period.forecast(graph, range(t, t + 1))[0, 0].nan_to_num(3.0), x[t + 2 - 7].nan_to_num(3.0))
        assert torch.equal(period.forecast(graph, range(t, t + 1))[0, 1].nan_to_num(3.0), x[t + 9 - 14].nan_to_num(3.0))


def test_gaps_and_constant_sensors_are_lived_with():
    graph = series(missing=0.3)
    graph.signals[:, 2] = 4.0
    graph.signals[:70, 3] = torch.nan
    for shared in (False, True):
        model = LagRidge(HORIZONS, 3, hops=1, shared=shared).fit(graph, SPLIT)
        found = model.forecast(graph, range(76, 96))
        assert bool(found.isfinite().all())
        if not shared:
            assert bool((found[:, :, 2] - 4).abs().max() < 1e-4)


def test_what_cannot_be_forecast_is_refused():
    graph = series()
    with pytest.raises(ValueError, match="`horizons` must name at least one"):
        LastValue([])
    with pytest.raises(ValueError, match="`horizons`"):
        LastValue([0])
    with pytest.raises(ValueError, match="leave no moment to learn from, or to choose by, of 60 and 15"):
        LagRidge([20], 3).fit(graph, SPLIT)
    with pytest.raises(ValueError, match="`origins` must be consecutive moments from 2 on"):
        LagRidge(HORIZONS, 3).fit(graph, SPLIT).forecast(graph, range(1, 5))
    changing = TemporalGraph(graph.signals, graph.edge_index, edge_step=torch.arange(5))
    with pytest.raises(ValueError, match="`graph` changes with time"):
        LagRidge(HORIZONS, 3, hops=1).fit(changing, SPLIT)
    assert LagRidge(HORIZONS, 3).fit(changing, SPLIT).penalty in PENALTIES


def test_neighbours_tell_of_traffic_what_the_last_value_does_not():
    graph = load("los-loop")
    split, horizons = TimeSplit.from_name("time:0.7,0.1", graph.steps), [1, 2, 3]
    origins = range(split.bounds("test")[0] + 11, graph.steps - 3)
    windows = Windows(graph.signals, 12)
    wanted = torch.stack([windows.targets(origins, each) for each in horizons], 1)

    def rmse(model):
        return float((model.forecast(graph, origins) - wanted).square().mean().sqrt())

    own, near = (LagRidge(horizons, 12, hops=hops).fit(graph, split) for hops in (0, 2))
    last = rmse(LastValue(horizons))
    assert last == pytest.approx(5.54, abs=0.005)  # as the publishers measure: all steps of a quarter of an hour
    assert rmse(near) < rmse(own) < last
