"""Forecasts across graphs: what is not known yet changes nothing, each learner is what it is called."""

from __future__ import annotations

import itertools

import pytest
import torch

from graphkit.data import TemporalGraph
from graphkit.training.forecasting.across_graphs import forecast_across
from graphkit.training.forecasting.across_learners import (
    LEARNERS,
    NETWORKS,
    PENALTIES,
    RULES,
    KnownSeries,
    forecaster_of,
)
from graphkit.training.forecasting.across_recipes import across_recipe
from graphkit.training.trained.read_record import read_record

DAY = 86_400
FIELDS = {"hidden": 4, "steps": 3, "more_steps": 2, "first": 16, "length": 5, "inner_steps": 2}
HORIZON = 4


def country(days=40, nodes=3, start=0, seed=0, changes=True):
    """Return waves of cases on a graph that differs from day to day."""
    drawn = torch.Generator().manual_seed(seed)
    cases = (
        10
        + 5 * torch.sin(torch.arange(days)[:, None] / 5 + torch.arange(nodes))
        + torch.rand(days, nodes, generator=drawn)
    )
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    times = (start + torch.arange(days)) * DAY
    if not changes:
        return TemporalGraph(cases, ring, times=times)
    edges, weight = ring.repeat(1, days), torch.rand(nodes * days, generator=drawn)
    return TemporalGraph(cases, edges, weight, edge_step=torch.arange(days).repeat_interleave(nodes), times=times)


def countries():
    return {"here": country(), "there": country(35, 4, -3, 1), "yonder": country(30, 5, 5, 2, changes=False)}


def recipe(**fields):
    return across_recipe("shared-lag-network", FIELDS | fields)


def said(learner, graphs, origins, *, honest=True, **fields):
    """Return what a learner says of the first graph after some moments, one after the other."""
    torch.manual_seed(0)
    series = [KnownSeries.of(name, graph) for name, graph in graphs.items()]
    made = forecaster_of(learner, recipe(**fields), series[0], series[1:], HORIZON, honest=honest)
    return torch.stack([made.forecast(origin) for origin in origins])


@pytest.mark.parametrize("learner", LEARNERS)
def test_by_the_honest_calendar_nothing_that_comes_later_changes_a_forecast(learner):
    graphs, other = countries(), countries()
    origins = range(15, 25)
    for graph in other.values():
        later = graph.times > countries()["here"].times[24]
        graph.signals[later] = 1e3 * torch.rand(graph.signals[later].shape)
        if graph.get("edge_step") is not None:
            graph.edge_weight[later[graph.edge_step]] = 50.0
    assert torch.equal(said(learner, graphs, origins), said(learner, other, origins))


@pytest.mark.parametrize("learner", [each for each in LEARNERS if each not in ("last-value", "window-mean")])
def test_by_the_published_calendar_the_future_of_others_changes_it(learner):
    """Else the law above could not fail."""
    graphs, other = countries(), countries()
    for name in ("there", "yonder"):
        other[name].signals[-8:] = 30 * torch.rand(other[name].signals[-8:].shape)
    one, two = (said(learner, each, range(15, 20), honest=False, mix=False) for each in (graphs, other))
    alone = learner in ("ridge-alone", "alone")
    assert torch.equal(one, two) == alone


def test_rules_and_the_mean_that_is_mixed_in_are_what_they_are_called():
    graphs, origins = countries(), range(15, 22)
    x = graphs["here"].signals
    last, mean = said("last-value", graphs, origins), said("window-mean", graphs, origins)
    for place, origin in enumerate(origins):
        assert torch.equal(last[place], x[origin].expand(HORIZON, -1, -1))
        torch.testing.assert_close(mean[place], x[origin - 4 : origin + 1].mean(0).expand(HORIZON, -1, -1))
    bare, mixed = (said("ridge-alone", graphs, origins, mix=mix) for mix in (False, True))
    torch.testing.assert_close(mixed[0], (bare[0] + mean[0]) / 2)  # none of its forecasts has been judged yet
    for place, origin in itertools.islice(enumerate(origins), 1, None):
        errors = {}
        for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
            parts = mean[:place] + weight * (bare[:place] - mean[:place])
            errors[weight] = 0.0
            for before in range(place):
                came = x[origins[before] + 1 : min(origin, origins[before] + HORIZON) + 1]
                errors[weight] += float((parts[before, : len(came)] - came).abs().sum())
        best = min(errors, key=errors.__getitem__)
        torch.testing.assert_close(mixed[place], mean[place] + best * (bare[place] - mean[place]))


def test_ridge_of_all_graphs_is_the_dense_solution():
    graphs, origin = countries(), 24
    found = said("ridge-pooled", graphs, [origin], mix=False)[0].double()
    date, rows, targets = int(graphs["here"].times[origin]), [], []
    for graph in graphs.values():
        known = int((graph.times <= date).sum())
        x = graph.signals[:known, :, 0].double()
        x = x / x.std()
        for end in range(4, known - HORIZON):
            for node in range(x.size(1)):
                window = x[end - 4 : end + 1, node]
                rows.append(window - window.mean())
                targets.append(x[end + 1 : end + 1 + HORIZON, node] - window.mean())
    z, y = torch.stack(rows), torch.stack(targets)
    x = graphs["here"].signals[: origin + 1, :, 0].double()
    scale = x.std()
    window = x[-5:] / scale
    apart = (window - window.mean(0)).T
    gram = z.T @ z
    candidates = [window.mean(0).expand(HORIZON, -1) * scale]
    for penalty in PENALTIES:
        w = torch.linalg.solve(gram + penalty * gram.diagonal().mean() * torch.eye(5, dtype=gram.dtype), z.T @ y)
        candidates.append(((apart @ w).T + window.mean(0)) * scale)
    assert min(float((each.clamp(min=0) - found[..., 0]).abs().max()) for each in candidates) < 1e-4


def test_maml_is_its_equations():
    """The gradient of a step is that of the error after steps on what came before, by differences."""
    graphs = countries()
    series = [KnownSeries.of(name, graph) for name, graph in graphs.items()]
    torch.manual_seed(0)
    made = forecaster_of("maml", recipe(), series[0], series[1:], HORIZON, honest=True)
    net = made.net.double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tasks = [made.known_windows(each, 30) for each in series]
    tasks = [type(each)(each.windows.double(), each.targets.double(), each.graph, each.scale) for each in tasks]

    def after(move):
        torch.manual_seed(5)
        loss = 0.0
        with torch.no_grad():
            for parameter, way in zip(net.parameters(), ways, strict=True):
                parameter.add_(move * way)
        for task in tasks:
            at = int(torch.randint(len(task.windows), ()))
            before = max(at - HORIZON, 0)
            parameters = dict(net.named_parameters())
            for _ in range(2 if before else 0):
                part = slice(max(before - 10, 0), before)
                error = (made.call(parameters, task.windows[part], task) - task.targets[part]).abs().mean()
                slopes = torch.autograd.grad(error, list(parameters.values()), create_graph=True)
                parameters = {
                    name: value - 0.05 * slope for (name, value), slope in zip(parameters.items(), slopes, strict=True)
                }
            query = slice(at, at + 7)
            said = made.call(parameters, task.windows[query], task)
            loss = loss + (said - task.targets[query]).abs().mean() / len(tasks)
        with torch.no_grad():
            for parameter, way in zip(net.parameters(), ways, strict=True):
                parameter.sub_(move * way)
        return float(loss.detach())

    ways = [torch.randn(each.shape, dtype=each.dtype) for each in net.parameters()]
    torch.manual_seed(5)
    net.zero_grad()
    made.backward(tasks)
    slope = sum(float((each.grad * way).sum()) for each, way in zip(net.parameters(), ways, strict=True))
    assert slope == pytest.approx((after(1e-6) - after(-1e-6)) / 2e-6, rel=1e-3, abs=1e-6)


def test_reptile_and_anil_move_what_they_say():
    graphs = countries()
    series = [KnownSeries.of(name, graph) for name, graph in graphs.items()]
    torch.manual_seed(0)
    made = forecaster_of("anil", recipe(), series[0], series[1:], HORIZON, honest=True)
    assert {name for name, _ in made.net.named_parameters() if made.moves(name)} == {
        "linear.weight",
        "linear.bias",
        "out.weight",
        "out.bias",
    }
    made = forecaster_of("reptile", recipe(), series[0], series[1:], HORIZON, honest=True)
    task = made.known_windows(series[0], 30)
    torch.manual_seed(3)
    made.backward([task])
    torch.manual_seed(3)
    at = int(torch.randint(len(task.windows), ()))
    start = {name: value.detach().requires_grad_() for name, value in made.net.named_parameters()}
    end = made.adapt(start, task, slice(max(at - 9, 0), at + 1), create_graph=False)
    for name, value in made.net.named_parameters():
        torch.testing.assert_close(value.grad, value.detach() - end[name].detach())


@pytest.mark.parametrize("scaling", ["series", "window"])
@pytest.mark.parametrize("name", ["shared-lag-network", "shared-graph-gru"])
def test_a_head_that_is_solved_for_is_the_dense_solution(name, scaling):
    """No change of the last maps has a smaller penalised error, by a minimiser that knows nothing of closed forms."""
    graphs = countries()
    series = [KnownSeries.of(each, graph) for each, graph in graphs.items()]
    torch.manual_seed(0)
    fields = FIELDS | {"scaling": scaling}
    made = forecaster_of("r2d2", across_recipe(name, fields), series[0], series[1:], HORIZON, honest=True)
    made.net.double()
    for parameter in made.net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    made.log_penalty.data = torch.tensor(-1.0).double()
    known = made.known_windows(series[0], 30)
    task = type(known)(known.windows.double(), known.targets.double(), known.graph, known.scale)
    start = {name: value.detach() for name, value in made.net.named_parameters()}
    solved = made.adapt(start, task, slice(-6, None), create_graph=False)
    heads = [name for name in start if made.moves(name)]
    free = [each for each in heads if not (each.endswith("bias") and each != f"{sorted(made._heads)[0]}.bias")]
    assert {each for each in start if not torch.equal(solved[each], start[each])} == set(free)

    windows, targets = task.windows[-6:], task.targets[-6:]
    weighs = 1.0
    if scaling == "window":
        mean = windows.mean(1, keepdim=True)
        weighs = ((windows - mean).square().mean(1, keepdim=True) + 0.01**2).sqrt()
    inputs = {}
    for head in sorted(made._heads):
        getattr(made.net, head).register_forward_pre_hook(lambda _, x, head=head: inputs.update({head: x[0].detach()}))
    made.call(start, windows, task)
    columns = torch.cat([*inputs.values(), torch.ones(len(windows), windows.size(2), 1).double()], -1)
    strength = torch.tensor(-1.0).exp() * columns.flatten(0, 1).square().sum(0).mean()

    def objective(table):
        said = made.call(table, windows, task)
        changes = sum((table[each] - start[each]).square().sum() for each in free)
        return ((said - targets) / weighs).square().sum() + strength * changes

    table = {each: value.clone().requires_grad_(each in free) for each, value in solved.items()}
    slopes = torch.autograd.grad(objective(table), [table[each] for each in free])
    assert max(float(each.abs().max()) for each in slopes) < 1e-8 * float(objective(start))
    assert float(objective(solved)) < float(objective(start))


def test_a_study_is_written_resumed_and_read(tmp_path):
    learners = ("window-mean", "ridge-pooled", "maml")
    one = forecast_across(
        countries(), recipe(), horizons=(1, HORIZON), learners=learners, seeds=[0, 1], run_dir=tmp_path / "run"
    )
    record = one.record
    assert list(record.figures) == list(learners)
    assert len(record.figures["maml"]["mae to 4, here"].values) == 2
    assert len(record.figures["window-mean"]["mae to 1, yonder"].values) == 1
    assert read_record(tmp_path / "run" / "record.json").figures.keys() == record.figures.keys()
    two = forecast_across(countries(), recipe(), horizons=(1, HORIZON), learners=learners, seeds=[0, 1])
    assert two.record.figures == record.figures
    published = forecast_across(
        countries(), recipe(), horizons=(1, HORIZON), learners=("pooled",), calendar="published", targets=["here"]
    )
    assert published.record.protocol.fingerprint != record.protocol.fingerprint
    assert set(NETWORKS) | set(RULES) == set(LEARNERS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learners": ["mamml"]}, "`learners` 'mamml' is not known. .*maml"),
        ({"targets": ["nowhere"]}, "`targets` 'nowhere' is not known"),
        ({"calendar": "mine"}, "`calendar` 'mine' is not known"),
        ({"horizons": (3, 1)}, "`horizons` must name numbers of moments that rise"),
        ({"horizons": (30,)}, "after none of which 30 come"),
        ({"learners": []}, "`learners` must name at least one"),
    ],
)
def test_what_there_is_not_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        forecast_across(countries(), recipe(), **{"horizons": (1, HORIZON)} | change)


def test_graphs_without_a_calendar_and_networks_of_one_graph_are_refused():
    graphs = countries() | {"bare": TemporalGraph(torch.rand(40, 3), torch.empty(2, 0, dtype=torch.long))}
    with pytest.raises(ValueError, match="'bare' has no calendar"):
        forecast_across(graphs, recipe(), horizons=(1,))
    with pytest.raises(ValueError, match="belongs to a graph"):
        forecast_across(countries(), recipe(embedding=4), horizons=(1,))
    with pytest.raises(ValueError, match="two series at least"):
        forecast_across({"here": country()}, recipe(), horizons=(1,))
