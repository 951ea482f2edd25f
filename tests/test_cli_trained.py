"""``graphkit predict``, ``evaluate``, ``compare`` and ``train --as``: a run is used by its folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import graphkit
from graphkit.data import load, store
from graphkit.training import recipe, train
from tests.training.studies import communities, rings_and_stars

pytestmark = pytest.mark.usefixtures("own_folder")

TRAIN = ("train", "karate", "--epochs", "5", "--seeds", "3", "--device", "cpu")


def trained(call, *arguments):
    """Train into a folder of its own name, and return it."""
    before = set(Path("runs").glob("*"))
    code, _, err = call(*TRAIN, *arguments)
    assert code == 0, err
    (folder,) = set(Path("runs").glob("*")) - before
    return str(folder)


def test_predictions_and_figures_are_those_of_the_record(call):
    folder = trained(call, "--model", "gcn", "--split-per-seed")
    record = json.loads(Path(folder, "record.json").read_text())
    code, out, err = call("predict", folder, "--to", "t.csv")
    assert code == 0, err
    assert "34 predictions: t.csv" in err
    table = pd.read_csv("t.csv")
    assert list(table.columns[:3]) == ["id", "prediction", "probability 0"]
    assert len(table) == 34
    code, out, err = call("predict", folder, "--seed", "1")
    assert (code, out.splitlines()[0]) == (0, ",".join(table.columns))
    code, out, err = call("evaluate", folder, "--json", "e.json", "--picture", "e.png")
    assert code == 0, err
    written = json.loads(Path("e.json").read_text())
    assert written["figures"]["accuracy"] == record["metric"]["values"]
    for said in ("balanced accuracy", "calibration error", "precision", "F1", "true \\ predicted", "3 seeds"):
        assert said in out
    assert Path("e.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = call("evaluate", folder, "--seed", "1", "--calibrate", "--part", "val")
    assert code == 0, err
    assert "Temperature, of each seed: " in err
    assert {model.temperature for model in graphkit.load_run(folder).models.values()} != {1.0}


def test_the_same_settings_find_a_run_again_and_others_never_touch_it(call):
    first = trained(call, "--model", "mlp")
    content = {path: path.read_bytes() for path in Path(first).glob("*.safetensors")}
    other = trained(call, "--model", "mlp", "--lr", "0.02")
    assert other != first
    assert len(set(map(len, (first, other)))) == 1
    assert {path: path.read_bytes() for path in content} == content
    code, _, err = call(*TRAIN, "--model", "mlp", "--resume")
    assert (code, f"Record, models and state: {first}" in err) == (0, True)
    assert len(list(Path("runs").glob("*"))) == 2


def test_a_study_again_as_its_record_says(call):
    folder = trained(call, "--model", "gat", "--set", "heads=2", "--split", "random-per-class:1,2", "--json", "r.json")
    code, _, err = call("train", "--as", "r.json", "--run-dir", "again", "--json", "s.json")
    assert code == 0, err
    assert "As recorded, to the last digit" in err
    old, new = (json.loads(Path(name).read_text()) for name in ("r.json", "s.json"))
    assert old["command"] != new["command"]
    for each in (old, new):
        for name in ("command", "seconds"):
            each.pop(name)
    assert old == new
    assert Path("again/seed-0.safetensors").read_bytes() == Path(folder, "seed-0.safetensors").read_bytes()
    # What was repeated can be repeated, from the folder of the run; what is typed beside wins.
    code, _, err = call("train", "--as", "again", "--lr", "0.5", "--seeds", "2", "--json", "t.json")
    assert (code, "Recorded of 3 seeds" in err) == (0, True), err
    found = json.loads(Path("t.json").read_text())
    assert (found["config"]["lr"], found["config"]["heads"], found["seeds"]) == (0.5, 2, [0, 1])
    code, _, err = call("train", "--as", "r.json", "--model", "mlp", "--json", "u.json")
    assert (code, json.loads(Path("u.json").read_text())["config"]["model"]) == (0, "mlp"), err


def test_what_a_search_found_is_trained_as_its_record_says(call):
    options = ("--trials", "3", "--epochs", "4", "--split", "random-per-class:1,2", "--split-seed", "3", "--seeds", "2")
    space = ("--space", "hidden=4,8", "--set", "dropout=0.3")
    code, _, err = call("tune", "karate", *options, *space, "--seed", "1", "--device", "cpu", "--run-dir", "searched")
    assert code == 0, err
    code, _, err = call("train", "--as", "searched", "--run-dir", "again")
    assert (code, "As recorded, to the last digit" in err) == (0, True), err
    old, new = (json.loads(Path(name, "record.json").read_text()) for name in ("searched", "again"))
    assert {field: old[field] == new[field] for field in ("config", "protocol", "metric", "seeds")} == dict.fromkeys(
        ("config", "protocol", "metric", "seeds"), True
    )
    assert (new.get("tuning", {}), new["command"].startswith("graphkit train karate ")) == ({}, True)
    # The search itself is repeated by its own command, and what was trained by that of training.
    code, _, err = call("tune", "--as", "searched", "--run-dir", "searched-again")
    assert (code, "As recorded, to the last digit" in err) == (0, True), err
    code, _, err = call("train", "--as", "again", "--run-dir", "thrice")
    assert (code, "As recorded, to the last digit" in err) == (0, True), err


def test_runs_are_compared_by_seed_where_they_share_splits(call):
    folders = [trained(call, "--model", model) for model in ("gcn", "mlp")]
    folders.append(trained(call, "--model", "mlp", "--split", "random-per-class:1,2"))
    code, out, err = call("compare", *folders, "--json", "c.json", "--picture", "c.png")
    assert code == 0, err
    found = json.loads(Path("c.json").read_text())
    values = [json.loads(Path(folder, "record.json").read_text())["metric"]["values"] for folder in folders]
    apart = [mine - theirs for mine, theirs in zip(values[1], values[0], strict=True)]
    assert found[1]["difference"] == pytest.approx(sum(apart) / 3)
    assert [each["pairing"] for each in found] == ["", "3 pairs of seeds", "not comparable: another protocol"]
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert "another protocol" in out


def test_a_stored_graph_without_labels_is_predicted(call):
    data = communities()
    train(data, recipe("gcn", {"epochs": 2}), device="cpu", run_dir="run")
    grown = communities(70)
    del grown.y, grown.train_mask, grown.val_mask, grown.test_mask
    store(grown, "grown")
    code, out, err = call("predict", "run", "./grown", "--device", "cpu")
    assert code == 0, err
    assert len(out.splitlines()) == 71
    code, _, err = call("predict", "run")
    assert code == 2
    assert "`data` must be named: the record was written by 'graphkit.training.train'" in err
    code, _, err = call("evaluate", "run", "./grown")
    assert (code, "`y` is missing" in err) == (2, True)


def test_graphs_are_evaluated_too(call):
    graphs = rings_and_stars()
    train(graphs, recipe("gin", {"epochs": 1, "hidden": 4}, items="graphs"), device="cpu", run_dir="run")
    run = graphkit.load_run("run")
    assert run.evaluate(graphs, device="cpu").figures == run.record.metric.values
    assert run.evaluate(graphs[:10], device="cpu").reports[0].items == 10


EMBEDDED = {
    "as it is": (),
    "classes unseen": ("--disjoint", "2"),
    "no neighbours": ("--without-neighbours",),
    "a split each": ("--split-per-seed", "--split", "random-per-class:1,2"),
    "test nodes unseen": ("--inductive", "--no-probes"),
}


@pytest.mark.parametrize("case", EMBEDDED)
def test_embeddings_are_evaluated_to_the_figures_of_their_record(call, case):
    command = ("embed", "karate", "--epochs", "2", "--dim", "4", "--seeds", "2", "--no-pictures", "--device", "cpu")
    code, _, err = call(*command, *EMBEDDED[case], "--run-dir", "run", "--json", "r.json")
    assert code == 0, err
    code, out, err = call("evaluate", "run", "--json", "e.json", "--device", "cpu")
    assert code == 0, err
    found, recorded = (json.loads(Path(name).read_text()) for name in ("e.json", "r.json"))
    wanted = {name: each["values"] for name, each in recorded["figures"]["prototype"].items()}
    assert found["values"] == wanted
    assert "map@r (test)" in out
    code, _, err = call("evaluate", "run", "--seed", "1", "--json", "e.json", "--device", "cpu")
    assert code == 0, err
    assert {name: each[1:] for name, each in wanted.items()} == json.loads(Path("e.json").read_text())["values"]
    code, _, err = call("evaluate", "run", "karate", "--part", "all", "--json", "e.json")
    assert (code, json.loads(Path("e.json").read_text())["items"]) == (0, 34), err
    code, _, err = call("evaluate", "run", "--calibrate")
    assert (code, "is measured by retrieval" in err) == (2, True)


def test_a_run_of_fewshot_says_what_measures_it(call):
    options = ("--tasks", "2", "--queries", "2", "--learner", "prototypes-2", "--baselines", "none", "--run-dir", "run")
    code, _, err = call("fewshot", "digits", "--class-split", "random:1:4,3,3", *options)
    assert code == 0, err
    code, _, err = call("evaluate", "run")
    assert (code, "is measured on the tasks of its record" in err) == (2, True), err


WRONG = {
    "no run": (("predict", "none"), "'none' is no folder of a run"),
    "another ending": (("predict", "none", "--to", "t.xls"), "`to` must end in .csv or .parquet"),
    "no record": (("compare", "none"), "'none' cannot be read as a record: No such file"),
    "as nothing": (("train", "--as", "none.json"), "'none.json' cannot be read as a record: No such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_refused_in_one_line(call, case):
    arguments, message = WRONG[case]
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_record_of_a_function_or_another_command_is_not_repeated(call):
    train(load("karate"), recipe("mlp", {"epochs": 1}), device="cpu", run_dir="run")
    code, _, err = call("train", "--as", "run")
    assert (code, "was written by 'graphkit.training.train', not by `graphkit train`" in err) == (2, True)


def test_a_table_for_which_there_is_no_room_is_told(call, monkeypatch):
    folder = trained(call, "--model", "mlp")

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, out, err = call("predict", folder, "--to", "t.csv")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].endswith("t.csv': No space left on device.")
    assert not Path("t.csv").exists()


def test_two_processes_do_not_write_one_run(call):
    from graphkit.training.engine.store import lock_folder

    folder = trained(call, "--model", "mlp")
    with lock_folder("run_dir", Path(folder)):
        code, _, err = call("evaluate", folder, "--calibrate")
    assert code == 2
    assert "another process" in err


def people(folder, rows):
    """Write a table of people and of who knows whom, and import it."""
    Path(folder).mkdir()
    words = "\n".join(f"p{place},{age},{job},{'yes' if old else 'no'}" for place, (age, job, old) in enumerate(rows))
    Path(folder, "nodes.csv").write_text(f"id,age,job,retired\n{words}\n")
    pairs = "\n".join(f"p{place},p{(place + 1) % len(rows)}" for place in range(len(rows)))
    Path(folder, "edges.csv").write_text(f"source,target\n{pairs}\n")
    kinds = ("--column", "age=number", "--column", "job=category", "--target", "retired", "--undirected")
    return "data", "import", f"{folder}/edges.csv", "--nodes", f"{folder}/nodes.csv", *kinds, "--to", f"{folder}/graph"


ROWS = [(20 + 2 * place, ("baker", "smith", "clerk")[place % 3], place > 14) for place in range(30)]


def test_another_table_is_read_by_the_encodings_of_the_one_that_was_trained_on(call):
    assert call(*people("first", ROWS))[0] == 0
    code, _, err = call("train", "./first/graph", "--model", "mlp", "--epochs", "9", "--seeds", "1", "--run-dir", "run")
    assert code == 0, err
    # Another mean and deviation, another order of columns, and no clerk at all.
    others = [row for row in ROWS[10:] if row[1] != "clerk"]
    assert call(*people("second", others))[0] == 0
    tables = []
    for folder in ("first", "second"):
        code, _, err = call("predict", "run", f"./{folder}/graph", "--to", f"{folder}.csv", "--device", "cpu")
        assert code == 0, err
        tables.append(pd.read_csv(f"{folder}.csv"))
    assert list(tables[0].columns) == ["id", "prediction", "probability no", "probability yes"]
    assert tables[0]["id"][4] == "p4"
    by_row = dict(zip(ROWS, tables[0]["probability yes"], strict=True))
    wanted = [by_row[row] for row in others]
    assert tables[1]["probability yes"].tolist() == pytest.approx(wanted, abs=1e-5)
    code, out, err = call("explain", "run", "--node", "p4", "--json", "e.json")
    assert (code, out.splitlines()[0].split()) == (0, ["node", "p4"]), err
    found = json.loads(Path("e.json").read_text())
    assert (
        found["item"],
        {each["name"] for each in found["features"]} <= {"age", "job=baker", "job=smith", "job=clerk"},
    ) == (4, True)
    code, _, err = call("explain", "run", "--node", "p99")
    assert (code, err.splitlines()[-1].startswith("Error: `--node` 'p99' is the name of none")) == (2, True)
    unknown = [*others, (40, "miner", True), (42, "miner", False)]
    assert call(*people("third", unknown))[0] == 0
    code, _, err = call("predict", "run", "./third/graph")
    assert (code, "column 'job' holds 'miner', a category that the model 'mlp' has never seen" in err) == (2, True), err
