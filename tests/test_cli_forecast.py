"""``graphkit forecast`` end to end on a series of one's own: train, resume, predict, evaluate, tune, view, compare."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path

import pytest
import torch

from graphkit.cli.forecast_pictures import forecast_moments, of_moments
from graphkit.data import TemporalGraph, store
from tests.training.studies import waves

FAST = ["--set", "hidden=6", "--epochs", "3", "--seeds", "2", "--no-pictures"]


@pytest.fixture
def series(own_folder):
    store(waves(), "waves")
    return "./waves"


def test_a_run_is_measured_predicted_from_and_looked_at(call, series):
    code, out, err = call("forecast", series, *FAST, "--run-dir", "run", "--json", "r.json")
    assert code == 0, err
    record = json.loads(Path("r.json").read_text())
    assert list(record["figures"]) == [
        "lag-network",
        "last-value",
        "window-mean",
        "last-day",
        "lag-ridge",
        "graph-ridge",
    ]
    assert record["beside"].keys() == set(record["figures"]) - {"lag-network"}
    assert record["protocol"]["items"] == "moments"
    for title in ("RMSE", "MAE", "MAPE, %", "correlation"):
        assert any(line.startswith(title) for line in out.splitlines()), title
    code, out, err = call("evaluate", "run", "--json", "e.json")
    assert code == 0, err
    found = json.loads(Path("e.json").read_text())
    assert found["figures"]["rmse"] == pytest.approx(record["metric"]["values"], rel=1e-6)
    for name, figure in record["figures"]["lag-network"].items():
        assert found["figures"][name] == pytest.approx(figure["values"], rel=1e-6)
    assert found["together"]["rmse"] <= max(found["figures"]["rmse"])
    code, out, err = call("predict", "run", "--to", "next.csv")
    assert code == 0, err
    horizon = max(int(name.split()[-1]) for name in record["figures"]["lag-network"])
    assert len(Path("next.csv").read_text().splitlines()) == 1 + horizon * 5
    assert f"{horizon * 5} predictions: next.csv" in err
    code, out, err = call("compare", "run", "r.json")
    assert code == 0, err
    if importlib.util.find_spec("plotly"):
        code, out, err = call("view", "run")
        assert code == 0, err
        page = Path("run/view.html").read_text(encoding="utf-8")
        assert "lag-network on waves" in page
        assert '"1 ahead"' in page
    code, _, err = call("forecast", series, *FAST, "--run-dir", "run", "--resume")
    assert code == 0, err


def test_a_picture_is_drawn_of_each_thing_that_is_known(call, series):
    code, _, err = call(
        "forecast", series, "--model", "lag-ridge", "--seeds", "1", "--run-dir", "run", "--beside", "none"
    )
    assert code == 0, err
    assert sorted(path.name for path in Path("run").glob("*.png")) == ["errors.png", "forecasts.png"]


def test_what_was_searched_is_used(call, series):
    pytest.importorskip("optuna")
    code, _, err = call("tune", series, "--trials", "3", *FAST[:-1], "--space", "hops=1..2", "--run-dir", "run")
    assert code == 0, err
    assert json.loads(Path("run/record.json").read_text())["tuning"]["complete"] >= 1
    code, _, err = call("evaluate", "run")
    assert code == 0, err
    code, _, err = call("tune", series, "--undirected")
    assert (code, "are not of signals over time" in err) == (2, True)


def test_models_are_listed(call):
    code, out, _ = call("forecast", "--list-models")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} >= {"lag-network", "stgcn", "graph-ridge", "last-value"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "lag-netwrk"], "`model` 'lag-netwrk' is not known"),
        (["--horizons", "a"], "`--horizons` takes numbers of moments with commas between"),
        (["--horizons", "80"], "leave no moment of `train`"),
        (["--split", "random"], "`split` 'random' is no split of time"),
        (["--beside", "none", "--beside", "last-value"], "`--beside none` stands alone"),
        (["--calendar", "honest"], "go with `--across-graphs`"),
        (["--across-graphs"], "is of a family of series, such as covid-europe"),
        (["--model", "stgcn", "--set", "kernel=9"], "is too short for 2 `blocks`"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(call, series, arguments, message):
    code, out, err = call("forecast", series, *arguments)
    assert (code, out) == (2, ""), err
    assert message in err
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


def test_a_run_of_forecasts_is_told_from_others(call, series):
    assert call("forecast", series, "--model", "last-value", "--beside", "none", "--run-dir", "run")[0] == 0
    for arguments, message in (
        (["evaluate", "run", "--calibrate"], "is measured by their errors"),
        (["predict", "run", "karate"], "are no signals over time"),
        (["explain", "run", "--node", "0"], ""),
        (["export", "run", "--to", "m.pt2"], ""),
    ):
        code, _, err = call(*arguments)
        assert code == 2, (arguments, err)
        assert message in err
        assert "inside graphkit" not in err


def test_a_family_is_forecast_across_its_graphs(call, mirror, own_folder):
    few = ["--learner", "window-mean", "--learner", "maml", "--target", "france", "--seeds", "1", "--set", "steps=2"]
    code, out, err = call("forecast", "covid-europe", "--across-graphs", *few, "--json", "r.json", "--picture", "p.png")
    assert code == 0, err
    record = json.loads(Path("r.json").read_text())
    assert record["figures"]["window-mean"]["mae to 7, france"]["mean"] == pytest.approx(7.47, abs=0.01)
    assert "window-mean" in out
    assert Path("p.png").exists()
    code, _, err = call("forecast", "covid-europe", "--across-graphs", "--beside", "none")
    assert (code, "`--beside` is of one graph" in err) == (2, True)
    few = ["--across-graphs", "--learner", "r2d2", "--set", "inner_lr=0.3"]
    code, _, err = call("forecast", "covid-europe", *few)
    assert (code, "`inner_lr` is of learners that take steps" in err) == (2, True)
    code, _, err = call("forecast", "covid-europe")
    assert (code, "is a family of graphs; name one of them" in err) == (2, True)


def test_a_family_that_is_stopped_goes_on_to_the_same_figures(call, mirror, own_folder, monkeypatch):
    from graphkit.training.forecasting import across_graphs

    few = ["--learner", "window-mean", "--learner", "r2d2", "--target", "france", "--seeds", "2", "--set", "steps=1"]
    wanted = ["forecast", "covid-europe", "--across-graphs", *few, "--set", "more_steps=1"]
    code, _, err = call(*wanted, "--json", "whole.json")
    assert code == 0, err
    made, count = across_graphs.forecaster_of, []

    def stopping(*arguments, **options):
        count.append(1)
        if len(count) == 2:
            signal.raise_signal(signal.SIGINT)
        return made(*arguments, **options)

    monkeypatch.setattr(across_graphs, "forecaster_of", stopping)
    code, _, err = call(*wanted, "--run-dir", "run")
    assert (code, "--resume" in err) == (1, True), err
    code, _, err = call(*wanted, "--run-dir", "run", "--resume", "--json", "r.json")
    assert code == 0, err
    whole, again = (json.loads(Path(name).read_text()) for name in ("whole.json", "r.json"))
    assert again["figures"] == whole["figures"]
    assert len(count) == 4  # what was finished is not done again, and what was under way is


def test_what_comes_next_is_asked_of_a_series_too_short_to_be_cut(call, series):
    code, _, err = call("forecast", series, *FAST, "--run-dir", "run", "--beside", "none")
    assert code == 0, err
    whole = waves()
    for moments in (8, 10):
        parts = (whole.signals[:moments], whole.edge_index, whole.edge_weight)
        store(TemporalGraph(*parts, times=whole.times[:moments]), f"of-{moments}")
    code, out, err = call("predict", "run", "./of-10")
    assert code == 0, err
    assert len(out.splitlines()) == 1 + 4 * 5  # four hours ahead, as by default
    code, _, err = call("evaluate", "run", "./of-10")
    assert code == 2
    assert "Error: " in err
    code, _, err = call("predict", "run", "./of-8")
    assert code == 2
    assert "the model looks at 9 moments, and `data` has 8" in err


def test_few_moments_are_drawn_as_they_are():
    said = torch.arange(8.0).reshape(2, 4, 1)  # two origins, four moments ahead
    origins, horizons = range(10, 12), (1, 4)
    moments = forecast_moments(origins, horizons)
    assert moments.tolist() == [11, 12, 13, 14, 15]
    found = of_moments(said, origins, moments, horizons)
    assert found["1 ahead"].nan_to_num(-1).flatten().tolist() == [0, 4, -1, -1, -1]
    assert found["4 ahead"].nan_to_num(-1).flatten().tolist() == [-1, -1, -1, 3, 7]
