"""What was trained is used again from its file alone: to the same figures, on new data, or with a refusal in words."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.data.splits import RandomPerClass
from graphkit.training import recipe, train
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import BinaryTarget, SupervisedObjective
from graphkit.training.engine.tensor_file import describe_tensors, read_description
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames
from graphkit.training.trained.model_file import FORM, ModelFile
from graphkit.training.trained.reports import class_report, fitted_temperature
from graphkit.training.trained.runs import load_run
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES
from tests.training.studies import communities, graphs_for, rings_and_stars, signals
from tests.training.trained.descriptions import unrefused

SETS = {"nodes": communities, "signals": signals, "graphs": rings_and_stars}


def given_to(items, name):
    """Return what a recipe is trained on."""
    return graphs_for(name) if items == "graphs" else SETS[items]()


TABLES = {"nodes": RECIPES, "signals": SIGNAL_RECIPES, "graphs": GRAPH_RECIPES}
CASES = [(items, name) for items, table in TABLES.items() for name in table]
SMALL = {"hidden": 8, "epochs": 1, "heads": 2, "order": 2, "layers": 2, "pairs": 8, "terms": 4, "width": 4}


def trained(items, name, folder, seeds=(0, 1), **fields):
    """Train a recipe, as small as it can be, into a folder."""
    known = TABLES[items][name].options()
    fields = {**{field: value for field, value in SMALL.items() if field in known}, **fields}
    chosen = TABLES[items][name].merge_fields(fields)
    return train(given_to(items, name), chosen, seeds=seeds, device="cpu", run_dir=folder)


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
    run, data = load_run(runs(items, name)), given_to(items, name)
    y, test = labels(data)
    for seed, recorded in zip(run.record.seeds, run.record.metric.values, strict=True):
        found = run.predict(data, seed=seed, device="cpu")
        assert float((found.classes[test] == y[test]).double().mean()) == recorded
    report = run.evaluate(data, device="cpu")
    assert report.figures == run.record.metric.values
    mean = run.predict(data, device="cpu").classes
    assert report.together == float((mean[test] == y[test]).double().mean())
    assert run.evaluate(data, seed=1, device="cpu").together is None
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
    data, many = grown(items, given_to(items, name))
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
        other = graphs_for(name)[:4]
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


def test_models_in_memory_are_those_in_the_files(tmp_path):
    outcome = trained("nodes", "gcn", tmp_path / "run")
    for model in outcome.models:
        assert model.to_bytes() == (outcome.run_dir / f"seed-{model.seed}.safetensors").read_bytes()
    assert [model.seed for model in outcome.models] == [0, 1]
    assert trained("nodes", "gcn", None).models[1].to_bytes() == outcome.models[1].to_bytes()


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_come_to_the_recorded_figures_too(tmp_path, precision):
    train(communities(), recipe("gcn", {"epochs": 1}), device="cpu", precision=precision, run_dir=tmp_path)
    run = load_run(tmp_path)
    assert run.model.precision == precision
    assert run.evaluate(communities(), device="cpu").figures == run.record.metric.values
    assert run.model.module(communities())(
        communities().x.to(next(iter(run.model.weights.values())).dtype), communities().edge_index
    ).shape == (60, 2)


def test_batches_of_drawn_neighbours_are_measured_as_in_training(tmp_path):
    chosen = recipe("sage", {"epochs": 1, "fan_out": "3,2", "batch": 16})
    train(communities(), chosen, device="cpu", run_dir=tmp_path)
    run = load_run(tmp_path)
    assert run.evaluate(communities(), device="cpu").figures == run.record.metric.values


def test_the_model_of_a_run_is_the_one_of_the_best_validation_figure(runs):
    run = load_run(runs("nodes", "mlp"))
    best = max(model.figures["validation"] for model in run.models.values())
    assert run.model.figures["validation"] == best


def test_several_seeds_are_averaged_and_one_is_itself(runs):
    run, data = load_run(runs("nodes", "sage")), communities()
    each = [run.predict(data, seed=seed, device="cpu").values for seed in (0, 1)]
    torch.testing.assert_close(run.predict(data, device="cpu").values, (each[0] + each[1]) / 2)
    with pytest.raises(ValueError, match="`seed` must be one that was trained, 0, 1, got 7"):
        run.predict(data, seed=7)


def test_splits_of_their_own_are_evaluated_seed_by_seed(tmp_path):
    data = communities()
    splits = [RandomPerClass(per_class=5, val=10).of_seed(data, seed) for seed in (0, 1)]
    train(data, recipe("gcn", {"epochs": 2}), seeds=[0, 1], splits=splits, device="cpu", run_dir=tmp_path)
    run = load_run(tmp_path)
    assert run.evaluate(data, splits=splits, device="cpu").figures == run.record.metric.values


def test_a_temperature_changes_probabilities_and_no_class(tmp_path):
    trained("nodes", "gcn", tmp_path, epochs=20)
    data, before = communities(), load_run(tmp_path)
    after = before.calibrate(data, device="cpu")
    again = load_run(tmp_path)
    assert [model.temperature for model in again.models.values()] == [
        model.temperature for model in after.models.values()
    ]
    assert all(model.temperature != 1 for model in again.models.values())
    old, new = (run.predict(data, seed=0, device="cpu") for run in (before, again))
    assert torch.equal(old.classes, new.classes)
    assert not torch.equal(old.values, new.values)
    losses = [run.evaluate(data, part="val", device="cpu").scalars["log loss"] for run in (before, again)]
    assert all(now <= then for then, now in zip(*losses, strict=True))
    assert again.evaluate(data, device="cpu").figures == again.record.metric.values
    with pytest.raises(ValueError, match="must be those that the run was trained on"):
        again.calibrate(communities(30))


# ---- names


def named(data):
    """Return data with names of classes and columns."""
    data.class_names = ["no", "yes"]
    data.feature_columns = [f"column {place}" for place in range(data.num_features)]
    data.node_names = [f"node {place}" for place in range(data.num_nodes)]
    return data


@pytest.fixture(scope="module")
def named_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("named")
    train(named(communities()), recipe("gcn", {"epochs": 2}), device="cpu", run_dir=folder)
    return load_run(folder)


def test_names_of_classes_and_items_stand_in_the_table(named_run, tmp_path):
    found = named_run.predict(named(communities()), device="cpu")
    table = found.frame()
    assert list(table.columns) == ["id", "prediction", "probability no", "probability yes"]
    assert table["id"][3] == "node 3"
    assert set(table["prediction"]) <= {"no", "yes"}
    for name, read in (("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)):
        found.write(tmp_path / name)
        pd.testing.assert_frame_equal(read(tmp_path / name), table)
    with pytest.raises(ValueError, match=r"must end in .csv or .parquet, got '.*t.txt'"):
        found.write(tmp_path / "t.txt")


def test_columns_are_found_by_their_names_in_any_order(named_run):
    data = named(communities())
    other = named(communities())
    order = list(reversed(range(6)))
    other.x = torch.cat([data.x[:, order], torch.rand(60, 1)], 1)
    other.feature_columns = [*(data.feature_columns[place] for place in order), "one more"]
    one, two = (named_run.predict(each, device="cpu").values for each in (data, other))
    assert torch.equal(one, two)


def test_columns_that_are_missing_are_named(named_run):
    other = named(communities())
    other.x, other.feature_columns = other.x[:, 1:], other.feature_columns[1:]
    with pytest.raises(ValueError, match=r"`data` lacks 1 of the 6 columns .* 'gcn' was trained on: 'column 0'"):
        named_run.predict(other, device="cpu")


def test_classes_are_told_by_their_names_whatever_their_numbers(named_run):
    data = named(communities())
    other = named(communities())
    other.y, other.class_names = 1 - data.y, ["yes", "no"]
    reports = [named_run.evaluate(each, part="all", device="cpu") for each in (data, other)]
    assert reports[0].figures == reports[1].figures
    assert reports[0].confusion.tolist() == reports[1].confusion.tolist()


def test_a_class_never_seen_is_refused_by_its_name(named_run, runs):
    other = named(communities())
    other.y[0], other.class_names = 2, ["no", "yes", "perhaps"]
    with pytest.raises(ValueError, match="`y` holds a class never seen in training: 'perhaps'"):
        named_run.evaluate(other, part="all", device="cpu")
    other = communities()
    other.y[0] = 5
    with pytest.raises(ValueError, match="`y` holds a class never seen in training: '5'"):
        load_run(runs("nodes", "gcn")).evaluate(other, part="all", device="cpu")


# ---- what does not fit


def without_x(data):
    del data.x


def not_finite(data):
    data.x[0, 0] = float("nan")


def narrow(data):
    data.x = data.x[:, :4]


def far_edge(data):
    data.edge_index[0, 0] = 1000


MISFITS = {
    "another number of features": (narrow, "takes 6 features, but `data` has 4"),
    "no features": (without_x, "`x` is missing"),
    "numbers that are not finite": (not_finite, "`x` must be finite"),
    "an edge to no node": (far_edge, "`edge_index` must hold node ids from 0 to 59"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_data_that_do_not_fit_are_refused_in_words(runs, case):
    change, message = MISFITS[case]
    data = communities()
    change(data)
    with pytest.raises(ValueError, match=message):
        load_run(runs("nodes", "gcn")).predict(data, device="cpu")


def test_items_of_another_kind_are_refused(runs):
    for kind, other in (("nodes", "graphs"), ("graphs", "signals"), ("signals", "nodes")):
        name = "gcn"
        with pytest.raises(ValueError, match=f"is of {kind}, but the items of `data` are {other}"):
            load_run(runs(kind, name)).predict(SETS[other](), device="cpu")
    with pytest.raises(TypeError, match="`data` must be a Data or a GraphSet"):
        load_run(runs("nodes", "gcn")).predict("cora")


def test_atoms_of_an_unknown_category_are_refused():
    chosen = recipe("gin", {"hidden": 4, "layers": 1}, items="graphs")
    weights = chosen.module(9, 1, (True, 0)).state_dict()
    model = TrainedModel(
        recipe=chosen,
        weights=weights,
        channels=9,
        outputs=1,
        objective=SupervisedObjective(BinaryTarget(1), METRICS["roc_auc"]),
        seed=0,
        precision="32-true",
        dataset="ogbg-molhiv",
        dataset_sha256="",
        molecules=True,
        names=DataNames(targets=("active",)),
    )
    model = TrainedModel.from_file(ModelFile.from_bytes(model.to_bytes(), Path("m")))
    x, bonds = torch.zeros(4, 9, dtype=torch.long), torch.zeros(4, 3, dtype=torch.long)
    pairs = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]])
    two = {"nodes": torch.tensor([2, 2]), "edges": torch.tensor([2, 2])}
    found = model.predict(GraphSet(Data(x=x, edge_index=pairs, edge_attr=bonds), **two), device="cpu")
    assert list(found.frame().columns) == ["id", "probability active"]
    assert bool(((found.values > 0) & (found.values < 1)).all())
    with pytest.raises(ValueError, match="`x`"):
        model.predict(GraphSet(Data(x=x + 200, edge_index=pairs, edge_attr=bonds), **two), device="cpu")


# ---- files


def spoil(file, how):
    """Change a model's file."""
    if how == "a bit":
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(bytes(content))
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif how == "weights alone":
        save_file({"weight": torch.ones(2)}, file)
    elif how == "another run":
        model = TrainedModel.read(file)
        file.write_bytes(dataclasses.replace(model, figures={"validation": 0.0, "test": 0.123}).to_bytes())
    elif how == "newer":
        tensors, about = read_description(file.read_bytes(), file)
        file.write_bytes(describe_tensors(tensors, {**about, "form": FORM + 1, "graphkit": "9.9"}))
    elif how == "unknown kind":
        tensors, about = read_description(file.read_bytes(), file)
        about["recipe"]["model"]["kind"] = "GCNN"
        file.write_bytes(describe_tensors(tensors, about))
    else:
        file.unlink()


FAULTS = {
    "a bit": "is damaged",
    "cut": "cannot be read as safetensors",
    "weights alone": "holds weights without a description, as version 0.1.0",
    "another run": "is of another run: its figure is 0.123",
    "newer": f"has form {FORM + 1}, written by graphkit 9.9",
    "unknown kind": "made by 'GCNN', which is no AbstractOptions here.*Did you mean 'GCN'",
    "missing": "No such file",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_file_that_is_not_what_was_written_is_refused_in_words(runs, tmp_path, how):
    folder = tmp_path / "run"
    shutil.copytree(runs("nodes", "mlp"), folder)
    spoil(folder / "seed-0.safetensors", how)
    with pytest.raises(ValueError, match=FAULTS[how]) as told:
        load_run(folder)
    assert len(str(told.value).splitlines()) == 1


def test_no_field_of_a_description_ends_a_reader_in_words_that_are_not_ours(runs):
    file = ModelFile.read(runs("nodes", "mlp") / "seed-0.safetensors")
    assert unrefused(file, TrainedModel.from_file) == []


def test_a_folder_without_a_finished_run_and_a_changed_record_are_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="is no folder of a run"):
        load_run(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no record: the run has not finished"):
        load_run(tmp_path)
    record = json.loads((runs("nodes", "mlp") / "record.json").read_text())
    for change, message in (
        ({"protocol": {**record["protocol"], "split": "another"}}, "was changed after it was written"),
        ({"metric": "high"}, "is no record of this version of graphkit: `metric`"),
        ({"seeds": None}, "is no record"),
    ):
        (tmp_path / "record.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(ValueError, match=message):
            load_run(tmp_path)


# ---- figures


def test_reports_are_those_of_slow_loops():
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 3
    p = torch.rand(40, 3, generator=drawn).softmax(-1)
    report = class_report(p, y, ("a", "b", "c"))
    guess = p.argmax(1)
    for place in range(3):
        hits = sum(int(g == t == place) for g, t in zip(guess.tolist(), y.tolist(), strict=True))
        assert report.precision[place] == hits / int((guess == place).sum())
        assert report.recall[place] == hits / int((y == place).sum())
        pairs = [
            (float(p[i, place]), float(p[j, place]))
            for i, j in itertools.product(range(40), repeat=2)
            if y[i] == place != y[j]
        ]
        assert report.roc_auc[place] == pytest.approx(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    error = 0.0
    for low in range(15):
        inside = [i for i in range(40) if low / 15 <= float(p[i].max()) < (low + 1) / 15]
        if inside:
            sure = sum(float(p[i].max()) for i in inside) / len(inside)
            right = sum(int(guess[i] == y[i]) for i in inside) / len(inside)
            error += len(inside) / 40 * abs(sure - right)
    assert report.calibration_error == pytest.approx(error)
    assert report.accuracy == float((guess == y).double().mean())


def test_a_temperature_is_the_best_of_a_grid():
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 4
    logits = 5 * torch.randn(60, 4, generator=drawn).double() + 3 * torch.nn.functional.one_hot(y, 4)
    grid = torch.linspace(0.5, 20, 400).tolist()
    losses = [float(torch.nn.functional.cross_entropy(logits / each, y)) for each in grid]
    assert fitted_temperature(logits, y) == pytest.approx(grid[losses.index(min(losses))], abs=0.06)
