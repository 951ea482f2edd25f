"""Rules and linear models of signals over time: they are their loops, and see nothing that is later."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn.temporal import LagRidge, LastPeriod, LastValue, WindowMean
from graphkit.nn.temporal.lag_ridge import PENALTIES
from graphkit.operators import walk_adjacency

HORIZON, LEARNT = 3, 75
EDGES, WEIGHT = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 4, 2]]), torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0])


def series(features=1, missing=0.0, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    signals = torch.randn(100, 5, features, generator=drawn).cumsum(0)
    signals[torch.rand(signals.shape, generator=drawn) < missing] = torch.nan
    return signals


def means(directed=True):
    edges, weight = (EDGES, WEIGHT) if directed else (torch.cat([EDGES, EDGES.flip(0)], 1), WEIGHT.repeat(2))
    flows = ("source_to_target", "target_to_source")[: 1 + directed]
    return [walk_adjacency(edges, weight, num_nodes=5, flow=flow, dtype=torch.float64) for flow in flows]


def ridge(features, hops, shared, ways):
    return LagRidge(3, HORIZON, features, nodes=0 if shared else 5, hops=hops, ways=len(ways) if hops else 0)


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_ridge_is_the_dense_solution(hops, directed, features, shared):
    signals, ways = series(features), means(directed)
    model = ridge(features, hops, shared, ways)
    sums = model.sums(signals[:LEARNT], None, *ways)
    double = signals.double()
    columns = [double]
    for way in ways if hops else ():
        near = double
        for _ in range(hops):
            near = torch.einsum("vu,tuf->tvf", way.to_dense(), near)
            columns.append(near)
    spread = torch.cat(columns, -1)
    origins, asked = range(2, LEARNT - HORIZON), range(80, 97)

    def rows(of, node):
        return torch.stack([spread[t - 2 : t + 1, node].flatten() for t in of])

    for number in (2, 5, *([] if shared else [len(PENALTIES) + 3])):
        model.solve(number, sums)
        penalty = PENALTIES[(number - 1) % len(PENALTIES)]
        found = model.forecast(signals, None, *ways)[[t - 2 for t in asked]].double()
        together = shared or number > len(PENALTIES)
        for group in [range(5)] if together else [[node] for node in range(5)]:
            z = torch.cat([rows(origins, node) for node in group])
            centre, scale = z.mean(0), z.std(0, correction=0)
            scale[scale < 1e-9] = torch.inf  # a constant tells nothing
            s = (z - centre) / scale
            gram = s.T @ s + penalty * len(z) * torch.eye(s.size(1), dtype=torch.float64)
            for ahead in range(1, HORIZON + 1):
                t = torch.cat([torch.stack([double[o + ahead, node] for o in origins]) for node in group])
                w = torch.linalg.solve(gram, s.T @ (t - t.mean(0)))
                for node in group:
                    expected = (rows(asked, node) - centre) / scale @ w + t.mean(0)
                    torch.testing.assert_close(found[:, ahead - 1, node], expected, rtol=1e-4, atol=1e-4)
        windows = signals.unfold(0, 3, 1).permute(0, 3, 1, 2)
        torch.testing.assert_close(model(windows, None, *ways), model.forecast(signals, None, *ways))


def test_rules_are_what_they_are_called():
    x = series(missing=0.2)
    last, mean, period = LastValue(5, 1), WindowMean(5, 1), LastPeriod(7, 9)
    said = [each.forecast(x) for each in (last, mean, period)]
    for t in range(20, 30):
        for node in range(5):
            there = [v for v in x[t - 4 : t + 1, node, 0].tolist() if v == v]
            found = [each[t - 4, 0, node, 0].item() for each in said[:2]]
            assert found == pytest.approx([there[-1], sum(there) / len(there)])
        for ahead, then in ((2, t + 2 - 7), (9, t + 9 - 14)):
            known = ~x[then].isnan()
            assert torch.equal(said[2][t - 6, ahead - 1][known], x[then][known])
            assert not bool(said[2][t - 6, ahead - 1].isnan().any())


def test_where_nothing_was_measured_the_mean_stands_in():
    for rule in (LastValue(3, 2, 2), WindowMean(3, 2, 2), LastPeriod(3, 2, 2)):
        rule.fit_scale(torch.tensor([[[1.0, 4.0]], [[3.0, torch.nan]]]))
        assert rule(torch.full((1, 3, 1, 2), torch.nan)).flatten(0, 2).tolist() == [[2.0, 4.0]] * 2


@pytest.mark.parametrize("shared", [False, True])
def test_gaps_and_constant_sensors_are_lived_with(shared):
    signals, ways = series(missing=0.3), means()
    signals[:, 2] = 4.0
    signals[:70, 3] = torch.nan
    model = ridge(1, 1, shared, ways)
    model.solve(4, model.sums(signals[:LEARNT], None, *ways))
    found = model.forecast(signals, None, *ways)
    assert bool(found.isfinite().all())
    if not shared:
        assert bool((found[:, :, 2] - 4).abs().max() < 1e-4)


def test_windows_are_taken_in_parts_that_come_to_the_same(monkeypatch):
    signals, ways = series(), means()
    model = ridge(1, 2, False, ways)
    whole = model.sums(signals, None, *ways)
    model.solve(3, whole)
    said = model.forecast(signals, None, *ways)
    monkeypatch.setattr(LagRidge, "entries", 200)
    for one, other in zip(whole, model.sums(signals, None, *ways), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(model.forecast(signals, None, *ways), said)


def test_what_cannot_be_forecast_is_refused():
    signals, ways = series(), means()
    with pytest.raises(ValueError, match="`horizon`"):
        LastValue(3, 0)
    with pytest.raises(ValueError, match="with 200 moments at least"):
        WindowMean(200, 1).forecast(signals)
    model = ridge(1, 2, False, ways)
    with pytest.raises(ValueError, match="none is followed by 3 and has 2 before it"):
        model.sums(signals[:5], None, *ways)
    with pytest.raises(ValueError, match="`graph` must hold 2 means around nodes, got 0"):
        model.sums(signals)
    with pytest.raises(ValueError, match="weights for 5 nodes, and `signals` has 4"):
        model.forecast(signals[:, :4], None, *ways)
    with pytest.raises(ValueError, match="`number`"):
        model.solve(19, model.sums(signals, None, *ways))


def test_the_clock_is_a_column_like_another():
    signals, ways, clock = series(), means(), torch.rand(100, 2, generator=torch.Generator().manual_seed(3))
    model = LagRidge(3, HORIZON, 1, nodes=5, hops=1, ways=2, clock=2)
    model.known.copy_(torch.tensor([1.0, 0.0]))
    model.solve(4, model.sums(signals[:LEARNT], clock[:LEARNT], *ways))
    found = model.forecast(signals, clock, *ways)
    windows = signals.unfold(0, 3, 1).permute(0, 3, 1, 2)
    torch.testing.assert_close(model(windows, clock[2:], *ways), found)
    other = torch.cat([clock[:, :1], torch.rand(100, 1)], 1)
    assert torch.equal(model.forecast(signals, other, *ways), found)  # of a period that was not run through
    assert not torch.equal(model.forecast(signals, 1 - clock, *ways), found)
    # As a further feature that nobody forecasts: the same weights where the clock is a lag.
    wide = torch.cat([signals, clock[:, None, :1].expand(-1, 5, -1)], -1)
    lags = LagRidge(1, 1, 2, nodes=5)
    lags.solve(4, lags.sums(wide[:LEARNT]))
    own = LagRidge(1, 1, 1, nodes=5, clock=1)
    own.solve(4, own.sums(signals[:LEARNT], clock[:LEARNT, :1]))
    torch.testing.assert_close(lags.forecast(wide)[..., :1], own.forecast(signals, clock[:, :1]), rtol=1e-4, atol=1e-4)
