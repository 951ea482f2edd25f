"""Laws of forecasts over every recipe: nothing later is seen, nothing measured is learnt from, files suffice."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from graphkit.data import ForecastSplit, TemporalGraph, TimeSplit
from graphkit.training import load_run, recipe, train
from graphkit.training.forecasting.forecast_task import mean_graph, prepare_forecasts
from graphkit.training.forecasting.horizon_figures import horizon_figures
from graphkit.training.trained.forecast_run import model_forecasts
from graphkit.training.zoo.recipes import FORECAST_RECIPES
from tests.training.studies import communities, waves

CPU = torch.device("cpu")
SMALL = {"hidden": 6, "epochs": 2}
OWN = {"stgcn": {"blocks": 1, "kernel": 2}, "last-week": {"steps": 5}, "last-year": {"steps": 6}}


def small(name, **fields):
    """Return a recipe that trains fast, and fits a series of hours."""
    made = recipe(name, items="moments")
    given = SMALL | OWN.get(name, {}) | fields
    usable = {
        field: value for field, value in given.items() if field not in made.with_(OWN.get(name, {})).unused_fields()
    }
    return made.with_({field: value for field, value in usable.items() if field in made.options()})


NAMES = sorted(FORECAST_RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_no_forecast_sees_what_comes_after_its_moment(name):
    graph = waves()
    model = train(graph, small(name), device="cpu").models[0]
    length = model.objective.target.length
    for moment in (70, 85):
        origins = range(length + 20, moment + 1)
        before = model_forecasts(model, graph, origins)
        other = graph.clone()
        other.signals[moment + 1 :] = 100 * torch.randn(89 - moment, 5, 1)
        assert torch.equal(before.nan_to_num(7.0), model_forecasts(model, other, origins).nan_to_num(7.0))
    assert before.shape == (86 - length - 20, 3, 5, 1)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_measured_is_learnt_from_or_chosen_by(name):
    graph, other = waves(), waves()
    first = graph.forecast_split.time.bounds("test")[0]
    other.signals[first:] = 1e3 * torch.randn(90 - first, 5, 1)
    one, two = (train(each, small(name), device="cpu") for each in (graph, other))
    assert one.record.validation == two.record.validation
    for key, value in one.models[0].weights.items():
        assert torch.equal(value, two.models[0].weights[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_without_a_refit_what_is_chosen_by_is_not_learnt_from(name):
    made = small(name)
    if made.model.solved and not hasattr(made.model, "hops"):
        pytest.skip("a rule learns nothing")
    made = made.with_({"refit": False, "select": "last", "patience": 0})
    graph, other = waves(), waves()
    begin, end = graph.forecast_split.time.bounds("val")
    other.signals[begin:end] = torch.randn(end - begin, 5, 1)
    one, two = (train(each, made, device="cpu").models[0] for each in (graph, other))
    for key, value in one.weights.items():
        assert torch.equal(value, two.weights[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_taken_up_from_its_folder_and_goes_on(name, tmp_path):
    graph = waves()
    made = train(graph, small(name), seeds=[0, 1], device="cpu", run_dir=tmp_path / "run")
    opened = load_run(tmp_path / "run")
    report = opened.evaluate(graph)
    assert report.figures["rmse"] == pytest.approx(made.record.metric.values, rel=1e-6)
    for figure, several in made.record.figures[name].items():
        assert report.figures[figure] == pytest.approx(several.values, rel=1e-6)
    longer = TemporalGraph(
        torch.cat([graph.signals, graph.signals[:4]]),
        graph.edge_index,
        graph.edge_weight,
        times=graph.times[0] + 3600 * torch.arange(94),
    )
    table = opened.predict(longer).frame()
    assert len(table) == 3 * 5
    assert table["time"].iloc[0] == longer.dates[-1] + 3600
    said = opened.forecasts(longer, range(93, 94))
    assert torch.equal(torch.tensor(table["forecast"].to_numpy()).view(3, 5), said[0, ..., 0])


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_same_one_moment_at_a_time_and_in_any_order(name):
    graph = waves()
    made = small(name)
    task, test = prepare_forecasts(graph, made, CPU, torch.float64)
    module = made.module(task.channels, task.outputs, task.graph).double().eval()
    made.model.begin(module, task)
    if made.model.solved:
        made.model.solver(module, task).solve(1)
    with torch.no_grad():
        whole = task.logits(module, test.index)
        turned = task.logits(module, test.index.flip(0)).flip(0)
        single = torch.cat([task.logits(module, each) for each in test.index.split(1)])
    asked = task.logits(lambda *inputs: module(*inputs), test.index)
    for other in (turned, single, asked.detach()):
        torch.testing.assert_close(whole, other, equal_nan=True)
    assert whole.shape == test.y.shape


def test_windows_and_what_comes_after_take_no_memory_of_their_own():
    graph = waves()
    task, test = prepare_forecasts(graph, small("stgcn"), CPU, torch.float32)
    begin, end = task.signals.data_ptr(), task.signals.data_ptr() + 4 * task.signals.numel()
    for rows in (task.train, task.validation, test):
        assert begin <= rows.y.data_ptr() < end
    assert task.signals.data_ptr() == graph.signals.data_ptr()
    origin = int(task.train.index[3])
    assert torch.equal(task.train.y[3, 2].nan_to_num(9.0), graph.signals[origin + 3].nan_to_num(9.0))


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_figures_are_their_loops(missing):
    drawn = torch.Generator().manual_seed(0)
    y = torch.randn(20, 4, 3, 2, generator=drawn, dtype=torch.float64)
    y[torch.rand(y.shape, generator=drawn) < missing] = torch.nan
    y[0, 0, 0, 0] = 0.0
    outputs = torch.randn(y.shape, generator=drawn, dtype=torch.float64)
    found = horizon_figures(outputs, y, [2, 4])
    for horizon in (2, 4):
        for way, part in (("to", slice(0, horizon)), ("at", slice(horizon - 1, horizon))):
            p, t = outputs[:, part].flatten(), y[:, part].flatten()
            p, t = p[~t.isnan()], t[~t.isnan()]
            known = t != 0
            expected = {
                "rmse": (p - t).square().mean().sqrt(),
                "mae": (p - t).abs().mean(),
                "mape": ((p - t).abs()[known] / t[known].abs()).mean(),
                "correlation": torch.corrcoef(torch.stack([p, t]))[0, 1],
            }
            for name, value in expected.items():
                assert found[f"{name} {way} {horizon}"] == pytest.approx(float(value))


def test_a_graph_that_changes_is_its_mean_over_what_is_learnt_from():
    edges = torch.tensor([[0, 1, 0, 2, 0], [1, 0, 1, 1, 2]])
    steps, weight = torch.tensor([0, 0, 2, 3, 8]), torch.tensor([1.0, 2.0, 3.0, 4.0, 50.0])
    graph = TemporalGraph(torch.zeros(10, 3), edges, weight, edge_step=steps)
    found, means = mean_graph(graph, 5)
    dense = torch.zeros(3, 3).index_put((edges[0, :4], edges[1, :4]), weight[:4], accumulate=True) / 3
    assert torch.equal(torch.zeros(3, 3).index_put(tuple(found), means), dense)
    with pytest.raises(ValueError, match="names no moment among the first 1"):
        mean_graph(TemporalGraph(torch.zeros(10, 3), edges, edge_step=steps + 1), 1)


def test_what_cannot_be_learnt_is_refused():
    graph = waves()
    with pytest.raises(ValueError, match="`forecast_split` is missing"):
        train(TemporalGraph(graph.signals, graph.edge_index), small("stgcn"))
    with pytest.raises(TypeError, match="`data` must be a TemporalGraph"):
        train(communities(), small("stgcn"))
    with pytest.raises(ValueError, match="is for nodes, but the items of the data are"):
        train(graph, recipe("gcn"))
    bare = ForecastSplit(graph.forecast_split.time, length=4).apply(
        TemporalGraph(graph.signals, graph.edge_index, graph.edge_weight)
    )
    with pytest.raises(ValueError, match="has no calendar; give `steps`"):
        train(bare, recipe("last-day", items="moments"))
    with pytest.raises(ValueError, match="`length` 6 is too short for 2 `blocks`"):
        train(graph, recipe("stgcn", items="moments"))
    with pytest.raises(ValueError, match="`length` 80 is more than the moments before"):
        train(graph, recipe("lag-ridge", {"length": 80}, items="moments"))
    with pytest.raises(ValueError, match="`metric` 'accuracy' is none of forecasts"):
        train(graph, small("lag-ridge"), metric="accuracy")
    with pytest.raises(ValueError, match="leave no moment of `train` with its 3"):
        ForecastSplit(TimeSplit(3, 10, 10), length=4, horizons=(3,))
    gone = waves()
    gone.signals[gone.forecast_split.time.bounds("test")[0] :] = torch.nan
    with pytest.raises(ValueError, match="`test` must hold at least one label for RMSE"):
        train(gone, small("lag-ridge"))
    other = dataclasses.replace(graph.forecast_split, time=TimeSplit(30, 10, 10))
    with pytest.raises(ValueError, match="the split is of 50 moments, and `graph` has 90"):
        other.apply(graph)


def test_a_model_of_one_graph_is_told_from_one_of_any():
    graph = waves()
    turned = waves()
    turned.edge_index = graph.edge_index.flip(0)
    tied, free = (train(graph, small(name), device="cpu").models[0] for name in ("lag-network", "stgcn"))
    with pytest.raises(ValueError, match="parameters that belong to the graph of"):
        model_forecasts(tied, turned, range(20, 30))
    assert model_forecasts(free, turned, range(20, 30)).shape == (10, 3, 5, 1)
    with pytest.raises(ValueError, match="`origins` must be consecutive moments from 5 to 89"):
        model_forecasts(free, graph, range(1, 5))
    two = TemporalGraph(graph.signals.repeat(1, 1, 2), graph.edge_index, graph.edge_weight, times=graph.times)
    with pytest.raises(ValueError, match="forecasts 1 features, but `data` has 2"):
        model_forecasts(free, two, range(20, 30))


def without(graph, *fields):
    """Return a series with some fields away, and its split with it."""
    made = graph.clone()
    for name in fields:
        del made[name]
    return made


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"last-day", "last-week", "last-year"}])
def test_what_a_model_was_not_made_for_does_not_change_what_it_says(name):
    """A calendar, or edges that lead one way, are not looked at by a model that was made without."""
    graph = waves()
    bare = without(graph, "times")
    model = train(bare, small(name), device="cpu").models[0]
    assert torch.equal(model_forecasts(model, bare, range(30, 33)), model_forecasts(model, graph, range(30, 33)))
    both = torch.cat([graph.edge_index, graph.edge_index.flip(0)], 1)
    undirected = TemporalGraph(graph.signals, both, graph.edge_weight.repeat(2), times=graph.times)
    undirected.forecast_split = graph.forecast_split
    model = train(undirected, small(name), device="cpu").models[0]
    if not model.graph_sha256:
        assert model_forecasts(model, graph, range(30, 33)).isfinite().all()


def test_a_season_is_of_the_split_and_of_what_is_learnt():
    bare = without(waves(), "times", "forecast_split")
    time = TimeSplit.of(90, 0.6, 0.2)
    plain, season = (ForecastSplit(time, 6, (1, 3), season=moments) for moments in (0.0, 25.0))
    assert season.record()["parameters"] == plain.record()["parameters"] | {"season": 25.0}
    assert season.record()["fingerprint"] != plain.record()["fingerprint"]
    with pytest.raises(ValueError, match="`season` is of series without a calendar"):
        season.apply(waves())
    task, _ = prepare_forecasts(season.apply(bare), small("lag-ridge"), CPU, torch.float32)
    assert task.known_hands[-2:].all()
    long = ForecastSplit(time, 6, (1, 3), season=80.0).apply(bare)  # 54 moments are learnt from
    assert not prepare_forecasts(long, small("lag-ridge"), CPU, torch.float32)[0].known_hands.any()
    one, other = (train(each.apply(bare), small("lag-ridge"), device="cpu") for each in (plain, season))
    assert one.record.metric.values != other.record.metric.values
    assert other.models[0].objective.target.season == 25.0
