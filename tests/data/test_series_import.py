"""Own signals over time: tables of both forms come in whole, and what cannot be right is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data import (
    DataError,
    ForecastSplit,
    TemporalGraph,
    card,
    import_series,
    load,
    load_series,
    open_stored,
    store,
)

ROADS = "from,to,weight\na,b,0.5\nb,c,2\n"
SPEEDS = "time,a,b,c\n2024-01-01 00:00,1,2,3\n2024-01-01 01:00,4,,6\n2024-01-01 03:00,7,8,9\n"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        Path(name).write_text(text)
        return Path(name)

    return write


def test_a_row_for_each_moment_comes_in_with_its_calendar_and_gaps(table):
    made = import_series(table("speeds.csv", SPEEDS), table("roads.csv", ROADS), "own")
    graph = open_stored("own")
    assert isinstance(graph, TemporalGraph)
    expected = [[1, 2, 3], [4, np.nan, 6], [np.nan] * 3, [7, 8, 9]]
    np.testing.assert_array_equal(graph.signals[..., 0].numpy(), np.array(expected, np.float32))
    assert graph.dates.astype(str).tolist()[2] == "2024-01-01T02:00:00"
    assert [*map(list, graph.edge_index.T.tolist())] == [[0, 1], [1, 2]]
    assert graph.edge_weight.tolist() == [0.5, 2.0]
    assert list(graph.node_names) == ["a", "b", "c"]
    assert (made.kind, made.signals, made.nodes, made.features, made.how["gaps"]) == ("series", 4, 3, 1, 1)
    known = card(Path("own"))
    assert (known.kind, known.metric, known.signals) == ("series", "rmse", 4)
    assert isinstance(load("./own"), TemporalGraph)


def test_a_row_for_each_node_at_each_moment_comes_to_the_same(table):
    rows = ["sensor,when,speed,flow"]
    for moment, hour in enumerate((0, 1, 3)):
        for place, node in enumerate("cab"):
            value = 10 * moment + place
            rows.append(f"{node},2024-01-01 0{hour}:00,{value},{-value}")
    table("long.csv", "\n".join(rows[:5] + rows[6:]) + "\n")
    import_series("long.csv", table("roads.csv", ROADS), "own", columns={"when": "time"})
    graph = open_stored("own")
    assert graph.signals.shape == (4, 3, 2)
    assert graph.signals[:, 0, 0].nan_to_num(-1).tolist() == [0, 10, -1, 20]
    assert graph.signals[:, 1, 1].nan_to_num(-1).tolist() == [-1, -1, -1, -21] or bool(
        graph.signals[1, 1].isnan().all()
    )
    wide = "time,1,2\n0,1,2\n60,3,4\n120,5,6\n"
    import_series(table("wide.csv", wide), table("edges.csv", "1 2\n2 1\n"), "numbered")
    assert open_stored("numbered").signals[..., 0].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert list(open_stored("numbered").node_names) == ["1", "2"]


def test_places_directions_and_rows_without_times(table):
    table("places.csv", "station,lon,lat\nb,2,20\nc,3,30\na,1,10\nelsewhere,9,9\n")
    table("bare.csv", "a,b,c\n" + "1,2,3\n" * 30)
    import_series("bare.csv", table("roads.csv", ROADS), "own", nodes="places.csv", undirected=True)
    graph = open_stored("own")
    assert graph.pos.tolist() == [[1, 10], [2, 20], [3, 30]]
    assert graph.get("times") is None
    assert graph.num_edges == 4
    assert graph.is_undirected()
    split = load_series("own", horizons=[1], length=2).forecast_split
    assert split == ForecastSplit(split.time, 2, (1,))


WRONG = {
    "text": (SPEEDS.replace("8", "eight"), ROADS, "holds 'eight' in row 3, which is no number"),
    "infinite": (SPEEDS.replace("8", "inf"), ROADS, "a number that is not finite"),
    "a clock that goes back": (
        SPEEDS.replace("01 03", "01 00"),
        ROADS,
        "`times` must rise, and go back or stand still",
    ),
    "no whole step": (SPEEDS.replace("03:00", "02:30"), ROADS, "`times` must be whole steps of 3,600 seconds apart"),
    "no date": (SPEEDS.replace("2024-01-01 01:00", "soon"), ROADS, "holds 'soon' in row 2, which is no date"),
    "another node": (SPEEDS, ROADS.replace("c", "z"), "'z' is no node of the series, whose nodes are called 'a', 'b'"),
    "a weight below 0": (SPEEDS, ROADS.replace("2", "-2"), "column 'weight' must hold a number of 0 or above"),
    "nothing": ("time\n2024-01-01\n", ROADS, "holds no signals"),
    "a node without times": ("sensor,speed\na,1\n", ROADS, "has a column of nodes, 'sensor', and none of times"),
    "a node twice": ("time,id,speed\n0,a,1\n0,a,2\n60,b,3\n", ROADS, "has a node twice at one moment"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_right_is_refused_and_nothing_is_left(table, name):
    series, edges, message = WRONG[name]
    table("speeds.csv", series), table("roads.csv", edges)
    with pytest.raises(DataError) as caught:
        import_series("speeds.csv", "roads.csv", "own")
    assert message in str(caught.value)
    assert not Path("own").exists()


def test_a_column_that_is_named_is_used(table):
    table("roads.csv", ROADS)
    with pytest.raises(DataError, match="no table has a column 'z'"):
        import_series(table("speeds.csv", SPEEDS), "roads.csv", "own", columns={"z": "ignore"})
    import_series("speeds.csv", "roads.csv", "own", columns={"weight": "ignore", "c": "ignore"} | {"c": "number"})
    assert open_stored("own").num_nodes == 3


def test_a_graph_that_changes_is_stored_with_the_moments_of_its_edges(tmp_path):
    edges, steps = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([2, 0, 1])
    graph = TemporalGraph(torch.rand(4, 3, 2), edges, torch.tensor([1.0, 2.0, 3.0]), edge_step=steps)
    store(graph, tmp_path / "own")
    found = open_stored(tmp_path / "own")
    assert torch.equal(found.signals, graph.signals)
    for moment in range(4):
        for one, other in zip(found.graph_at(moment), graph.graph_at(moment), strict=True):
            assert torch.equal(one, other)


def test_the_command_takes_both_tables_and_says_what_is_next(call, table):
    table("speeds.csv", "time,a,b,c\n" + "".join(f"{60 * row},{row % 5},{row % 7},2\n" for row in range(80)))
    table("roads.csv", ROADS)
    code, out, err = call("data", "import", "--series", "speeds.csv", "--edges", "roads.csv", "--to", "own")
    assert code == 0, err
    assert out == "own: 80 moments on 3 nodes, 2 edges, 1 feature, 0.0 MB\n"
    assert "Forecast it: graphkit forecast" in err
    code, out, err = call("forecast", "own", "--model", "lag-ridge", "--seeds", "1", "--run-dir", "run")
    assert code == 0, err
    assert "last-value" in out
    assert sorted(path.name for path in Path("run").glob("*.png")) == ["errors.png", "forecasts.png"]
    code, out, err = call("predict", "run")
    assert code == 0, err
    assert out.splitlines()[:2][0] == "time,id,forecast"
    code, out, err = call("evaluate", "run", "--part", "val", "--json", "e.json")
    assert code == 0, err
    code, _, err = call("data", "import", "roads.csv", "--series", "speeds.csv", "--to", "other", "--target", "a")
    assert (code, "`--target` is not of signals over time" in err) == (2, True)
    code, _, err = call("forecast", "karate")
    assert code == 2
    assert "'karate' are no signals over time, which alone are forecast; its items are nodes." in err
    code, _, err = call("forecast", "own", "--horizons", "3,2")
    assert (code, err) == (2, "Error: `--horizons` must rise, got '3,2'.\n")
    code, _, err = call("forecast", "own", "--learner", "maml")
    assert (code, "go with `--across-graphs`" in err) == (2, True)


def numbered(rows):
    return "time,a,b,c\n" + "".join(f"{when},1,2,{place}\n" for place, when in enumerate(rows))


def test_small_whole_numbers_count_moments_and_large_ones_are_seconds(table):
    table("roads.csv", ROADS)
    import_series(table("weeks.csv", numbered([1, 2, 4])), "roads.csv", "weeks")
    graph = open_stored("weeks")
    assert graph.get("times") is None
    assert graph.signals[:, 2, 0].nan_to_num(-1).tolist() == [0, 1, -1, 2]
    start = 1_700_000_000
    import_series(table("seconds.csv", numbered([start, start + 60, start + 180])), "roads.csv", "seconds")
    graph = open_stored("seconds")
    assert (graph.step_seconds, graph.steps) == (60, 4)


@pytest.mark.parametrize(
    ("written", "days"),
    [
        (["20240130", "20240131", "20240201"], ["2024-01-30", "2024-01-31", "2024-02-01"]),
        (["30.01.2024", "31.01.2024", "01.02.2024"], ["2024-01-30", "2024-01-31", "2024-02-01"]),
        (["01/30/2024", "01/31/2024", "02/01/2024"], ["2024-01-30", "2024-01-31", "2024-02-01"]),
    ],
    ids=["eight digits", "the day first", "the month first"],
)
def test_dates_are_read_as_they_are_written(table, written, days):
    import_series(table("days.csv", numbered(written)), table("roads.csv", ROADS), "own")
    assert open_stored("own").dates.astype("datetime64[D]").astype(str).tolist() == days


@pytest.mark.parametrize("written", [["01/02/2024", "02/02/2024"], ["13/02/2024", "02/13/2024"]])
def test_a_date_that_may_be_two_is_refused(table, written):
    with pytest.raises(DataError, match="the day first or the month first; write dates as 2024-01-31"):
        import_series(table("days.csv", numbered(written)), table("roads.csv", ROADS), "own")
