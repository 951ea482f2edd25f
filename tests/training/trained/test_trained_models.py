"""What was trained is used again from its file alone: to the same figures, on new data, or with a refusal in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.training import train
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.runs import load_run
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES
from tests.training.studies import communities, rings_and_stars, signals

SETS = {"nodes": communities, "signals": signals, "graphs": rings_and_stars}
TABLES = {"nodes": RECIPES, "signals": SIGNAL_RECIPES, "graphs": GRAPH_RECIPES}
CASES = [(items, name) for items, table in TABLES.items() for name in table]
SMALL = {"hidden": 8, "epochs": 1, "heads": 2, "order": 2, "layers": 2, "pairs": 8, "terms": 4, "width": 4}


def trained(items, name, folder, seeds=(0, 1), **fields):
    """Train a recipe, as small as it can be, into a folder."""
    known = TABLES[items][name].options()
    fields = {**{field: value for field, value in SMALL.items() if field in known}, **fields}
    chosen = TABLES[items][name].merge_fields(fields)
    return train(SETS[items](), chosen, seeds=seeds, device="cpu", run_dir=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs, each trained when it is asked for first."""
    folders: dict[tuple[str, str], Path] = {}

    def of(items, name):
        if (items, name) not in folders:
            folder = tmp_path_factory.mktemp(f"{items}-{name}")
            trained(items, name, folder)
            folders[items, name] = folder
        return folders[items, name]

    return of


def labels(data):
    """Return labels and test mask."""
    return (data.items.y, data.split.test) if isinstance(data, GraphSet) else (data.y, data.test_mask)


@pytest.mark.parametrize(("items", "name"), CASES)
def test_a_run_predicts_what_was_trained_on_to_the_recorded_figure(runs, items, name):
    run, data = load_run(runs(items, name)), SETS[items]()
    y, test = labels(data)
    for seed, recorded in zip(run.record.seeds, run.record.metric.values, strict=True):
        found = run.predict(data, seed=seed, device="cpu")
        assert float((found.classes[test] == y[test]).double().mean()) == recorded
    assert run.evaluate(data, device="cpu").figures == run.record.metric.values
    assert torch.equal(run.predict(data, device="cpu").values.sum(1).round(decimals=9), torch.ones(len(y)).double())


def grown(items, data):
    """Return data with items that training did not see."""
    if items == "nodes":
        new = torch.tensor([[60, 61, 0, 2], [0, 2, 60, 61]])
        edges, x = torch.cat([data.edge_index, new], 1), torch.cat([data.x, data.x[:2]])
        return Data(x=x, edge_index=edges), 62
    if items == "signals":
        return Data(signals=data.signals[:5] + 0.1, edge_index=data.edge_index, num_nodes=data.num_nodes), 5
    return data[[3, 1, 2]], 3


@pytest.mark.parametrize(("items", "name"), CASES)
def test_new_items_are_predicted_without_labels_or_refused_in_words(runs, items, name):
    model = TrainedModel.read(runs(items, name) / "seed-1.safetensors")
    data, many = grown(items, SETS[items]())
    if items == "nodes" and model.recipe.model.tied:
        with pytest.raises(ValueError, match="parameters that belong to the graph"):
            model.predict(data, device="cpu")
        return
    found = model.predict(data, device="cpu")
    assert len(found) == many
    assert bool(found.values.isfinite().all())
    assert list(found.frame().columns) == ["id", "prediction", *(f"probability {name}" for name in model.column_names)]


@pytest.mark.parametrize(("items", "name"), CASES)
def test_another_graph_is_predicted_or_refused_in_words(runs, items, name):
    model = TrainedModel.read(runs(items, name) / "seed-0.safetensors")
    if items == "graphs":
        other = rings_and_stars(2)[:4]
    elif items == "nodes":
        other = communities(30, 2)
    else:
        other = signals(12)
    if model.recipe.model.tied:
        with pytest.raises(ValueError, match="parameters that belong to the graph"):
            model.predict(other, device="cpu")
    else:
        assert bool(model.predict(other, device="cpu").values.isfinite().all())


def test_nodes_that_a_graph_grew_do_not_change_what_is_said_of_those_far_from_them(runs):
    model, data = TrainedModel.read(runs("nodes", "gcn") / "seed-0.safetensors"), communities()
    alone = Data(x=torch.cat([data.x, data.x[:1]]), edge_index=data.edge_index)
    before, after = (model.predict(each, device="cpu").values for each in (data, alone))
    torch.testing.assert_close(before, after[:60])
