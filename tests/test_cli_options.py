"""Every option of every command that measures acts or is refused, whatever it stands beside."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
from pathlib import Path

import click
import pytest
import torch
from tensorboardX.proto import event_pb2

from graphkit.cli import commands, options
from graphkit.data import store
from graphkit.training.classification import nested
from graphkit.training.classification.metrics import METRICS
from tests.training.studies import waves

pytestmark = pytest.mark.usefixtures("own_folder")

TRAIN = "--seeds 1 --seed 4 --epochs 2 --set hidden=4"
EMBED = "--dim 3 --seed 4 --epochs 1 --no-probes --no-pictures"
FEWSHOT = "--baselines none --class-split random:1:4,3,3 --tasks 2 --queries 3"
CONTEXTS = {
    "train nodes": f"train karate --model mlp {TRAIN}",
    "train batches": f"train karate --model sage --sampled --batch-size 2 {TRAIN}",
    "train published": f"train cora --model mlp {TRAIN}",
    "train signals": f"train digits-grid --model mlp {TRAIN}",
    "train graphs": f"train mutag --model gin {TRAIN}",
    "train links": f"train karate --task links --model gcn-link --beside none {TRAIN}",
    "train nested": "train mutag --model gin --protocol nested-10-fold --beside none --epochs 1 --set hidden=4 "
    "--set readout=sum",
    "tune": f"tune karate --model mlp --trials 2 --space lr=0.01..0.1 {TRAIN}",
    "embed": f"embed karate {EMBED}",
    "embed without labels": f"embed karate --loss ccassg {EMBED}",
    "embed family": f"embed structural-roles {EMBED}",
    "embed graphs": f"embed mutag {EMBED}",
    "fewshot": f"fewshot digits --learner maml --set steps=1 {FEWSHOT}",
    "fewshot untrained": f"fewshot digits --learner ridge {FEWSHOT}",
    "forecast": "forecast ./waves --model lag-network --beside none --seeds 1 --seed 4 --epochs 2 --set hidden=4 "
    "--no-pictures",
    "forecast across": "forecast covid-europe --across-graphs --learner maml --target spain --seeds 1 --seed 4 "
    "--set hidden=4 --set steps=2 --set more_steps=1",
    "spectrum": "spectrum karate",
}
"""Calls that an option is added to. Those on graphs that are fetched need their files."""

FAST = ("train nodes", "train links", "embed", "forecast", "spectrum")
MIRRORED = ("train published", "train graphs", "train nested", "embed graphs", "forecast across")

SHARED = {
    "seed": "3",
    "seeds": "2",
    "settings": "hidden=7",
    "config": "c.toml",
    "run_dir": "elsewhere",
    "resume": None,
    "json_path": "r.json",
    "picture": "p.png",
    "log_dir": "log",
    "logger": "tensorboard",
    "device": "cuda:9",
    "precision": "64-true",
    "threads": "2",
}
"""The options of all studies."""

VARIED = {
    "train": {
        **SHARED,
        "epochs": "3", "lr": "0.3", "metric": "f1",
        "model": "gcn", "list_models": None, "split": "stratified:0.5,0.2,0.3", "split_seed": "3",
        "task": "links", "hard": "4",
        "split_per_seed": None, "undirected": None, "protocol": "nested-10-fold", "beside": "gcn", "sampled": None,
        "fan_out": "1,1", "batch_size": "3", "workers": "1", "partitions": "parts", "keep_around": None,
        "settings": "dropout=0.9",
    },
    "tune": {
        **SHARED,
        "epochs": "3", "model": "gcn", "trials": "3", "space": "dropout=0.1..0.2", "split": "stratified:0.5,0.2,0.3",
        "split_seed": "3", "undirected": None, "settings": "dropout=0.9", "metric": "f1", "task": "links",
    },
    "embed": {
        **SHARED,
        "epochs": "3", "lr": "0.3",
        "loss": "triplet", "list_losses": None,
        "model": "mlp", "level": "graph", "dim": "5", "split": "stratified:0.5,0.2,0.3",
        "split_seed": "3", "split_per_seed": None, "beside": "gcn",
        "held_out": "cycle-2", "inductive": None, "disjoint": "1", "without_neighbours": None, "probes": None,
        "pictures": None, "undirected": None, "select": "both", "join": "map",
    },
    "fewshot": {
        **SHARED,
        "learner": "anil", "baselines": "untrained", "list_learners": None, "ways": "3", "shots": "2", "queries": "4",
        "tasks": "3", "class_split": "random:2:4,3,3", "across_graphs": None, "adapter": "structure",
        "inductive": None, "encoder": "dgi", "encoder_draws": "2", "encoder_settings": "epochs=1", "calibrate": "0",
        "balanced": None, "settings": "scale=0.3", "inner_steps": "0,1", "encoder_model": "sage",
    },
    "forecast": {
        **SHARED,
        "model": "lag-ridge", "list_models": None, "horizons": "1,2", "length": "5", "split": "time:0.5,0.2",
        "season": "12", "unweighted": None, "beside": "last-value", "metric": "mae", "epochs": "3", "lr": "0.3",
        "batch_size": "9", "across_graphs": None, "learners": "anil", "targets": "italy", "calendar": "published",
        "pictures": None,
    },
    "spectrum": {"k": "3", "normalization": "none", "undirected": None, "picture": "p.png", "wavelets": "w.png"},
}  # fmt: skip
"""Another value of each option than the one it has."""

EXEMPT = {
    ("train batches", "sampled"): "it is there already",
    ("train links", "task"): "it is there already",
    ("train batches", "workers"): "who draws ahead changes no result, which is what it promises",
    ("train nested", "protocol"): "it is there already",
    ("forecast across", "across_graphs"): "it is there already",
    ("forecast across", "pictures"): "there are none to be left out",
    ("embed graphs", "level"): "it says what is embedded, and refuses all else",
}


def options_of(command):
    """Return the options that a command looks at; ``--debug`` is looked at by ``main`` where an error arose."""
    known = [each for each in commands.commands[command].params if isinstance(each, click.Option)]
    return {each.name: each for each in known if each.expose_value}


OPTIONS = [(context, name) for context, call in CONTEXTS.items() for name in options_of(call.split()[0])]


def effect(call, arguments):
    """Return exit code, and all that a call leaves and prints but the time it took."""
    if "./waves" in arguments and not Path("waves").exists():
        store(waves(), "waves")
    before = {path for path in Path().rglob("*") if path.is_file()}
    code, out, _ = call(
        *arguments, *([] if "r.json" in arguments or arguments[0] == "spectrum" else ["--json", "k.json"])
    )
    files = {path for path in Path().rglob("*") if path.is_file()}
    record = None
    for path in (Path("k.json"), Path("r.json")):
        if path.exists():
            record = json.loads(path.read_text())
            for name in ("command", "seconds"):
                record.pop(name)
            for part in (*record.get("methods", {}).values(), record.get("tuning", {})):
                part.pop("seconds", None)
            path.unlink()
    kept = [line.rstrip() for line in out.splitlines() if not line.startswith("seconds")]
    left = sorted(str(path) for path in files - before)
    if record is not None:
        kept = []  # the table says what the record does, and CPU seconds
    return code, record, kept, left


BASES: dict[str, tuple] = {}
"""What the calls come to without another option, each made once."""


@pytest.mark.parametrize("command", ["train", "tune", "embed", "fewshot", "forecast"])
def test_all_studies_share_their_options(command):
    shared = {name: each.get_default(click.Context(commands)) for name, each in options_of(command).items()}
    train = {name: each.get_default(click.Context(commands)) for name, each in options_of("train").items()}
    assert {name: shared[name] for name in SHARED} == {name: train[name] for name in SHARED}


def test_torchrun_takes_every_option_of_a_study_for_ours():
    """It refuses to start where an option is the beginning of several of its own."""
    from torch.distributed import run as torchrun

    own = [name for action in torchrun.get_args_parser()._actions for name in action.option_strings]
    for command in ("train", "tune", "embed", "fewshot", "forecast"):
        for each in options_of(command).values():
            for name in (*each.opts, *each.secondary_opts):
                assert name in own or len([other for other in own if other.startswith(name)]) < 2, name


@pytest.mark.parametrize(
    ("old", "new"), [("--checkpoint", "--run-dir"), ("--run", "--run-dir"), ("--rivals", "--baselines")]
)
def test_an_option_that_was_renamed_is_taken_and_says_so(call, old, new):
    value = {"--rivals": "none"}.get(old, "own")
    start = CONTEXTS["fewshot untrained" if old == "--rivals" else "train nodes"].replace("--baselines none", "")
    code, _, err = call(*start.split(), old, value)
    assert code == 0, err
    assert f"`{old}` was renamed to `{new}`." in err
    assert old == "--rivals" or Path("own/record.json").exists()
    assert (old == "--rivals") == ("(1 of 1)" in err and "ridge" in err)


@pytest.mark.parametrize("command", VARIED)
def test_every_option_has_another_value_here(command):
    assert options_of(command).keys() == VARIED[command].keys()


@pytest.mark.parametrize(
    ("context", "name"),
    [
        pytest.param(*each, marks=[] if each[0] in FAST else pytest.mark.slow, id=" ".join(each))
        for each in OPTIONS
        if each not in EXEMPT
    ],
)
def test_an_option_acts_or_is_refused(call, monkeypatch, request, context, name):
    if context in MIRRORED:
        request.getfixturevalue("mirror")
    monkeypatch.setattr(nested, "RUNS", 1)
    Path("c.toml").write_text("hidden = 5\nlr = 0.02\n")
    arguments = CONTEXTS[context].split()
    value = VARIED[arguments[0]][name]
    threads = torch.get_num_threads()
    if context not in BASES:
        BASES[context] = effect(call, arguments)
        shutil.rmtree("runs", ignore_errors=True)
    base = BASES[context]
    assert base[0] == 0
    found = effect(call, [*arguments, options_of(arguments[0])[name].opts[0], *([] if value is None else [value])])
    torch.set_num_threads(threads)
    assert found[0] or found != base, f"{name} beside {context} changes nothing and is not refused"


@pytest.mark.parametrize(
    "context", [pytest.param(each, marks=[] if each in FAST else pytest.mark.slow) for each in CONTEXTS]
)
def test_a_call_without_another_option_is_the_same_again(call, monkeypatch, request, context):
    """Else the law above could not fail."""
    if context in MIRRORED:
        request.getfixturevalue("mirror")
    monkeypatch.setattr(nested, "RUNS", 1)
    found = [effect(call, CONTEXTS[context].split()) for _ in range(2) if not shutil.rmtree("runs", ignore_errors=True)]
    assert found[0] == found[1]


NESTED = ["train", "mutag", "--model", "gin", "--protocol", "nested-10-fold"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*NESTED, "--seeds", "4"], "`--protocol` takes one seed, `--seed`"),
        ([*NESTED, "--picture", "p.png"], "draws no picture"),
        ([*NESTED, "--metric", "f1"], "`--protocol` measures accuracy"),
        (["train", "karate", "--logger", "csv"], "`--logger` goes with `--log-dir`"),
        ([*NESTED, "--split-seed", "1"], "draws its splits itself"),
        ([*NESTED, "--workers", "1"], "`--workers` draw neighbours of nodes; graphs have none"),
        (["train", "karate", "--split-per-seed", "--split-seed", "0"], "`--split-seed` draws one split"),
        (["embed", "karate", "--split-per-seed", "--split-seed", "0"], "`--split-seed` draws one split"),
        (["embed", "mutag", "--inductive"], "graphs of a set do not"),
        (["fewshot", "digits", "--balanced", "--calibrate", "0"], "`--balanced` is of calibration"),
        (["bench", "--list", "--json", "r.json"], "give nothing else"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused_at_once(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_seed_for_a_split_that_is_given_is_refused(call, mirror):
    for command in ("train", "embed"):
        code, _, err = call(command, "cora", "--split-seed", "3")
        assert code == 2
        assert "`--split-seed` draws a random split, but 'public' is given as it is." in err


@pytest.mark.parametrize(
    ("option", "said"), [("--pictures", "record and pictures: runs"), ("--no-pictures", "weights and record: runs")]
)
def test_what_is_said_to_lie_there_lies_there(call, option, said):
    code, _, err = call("embed", "karate", "--epochs", "1", "--dim", "3", "--no-probes", option)
    assert code == 0
    assert said in err
    assert len(list(Path("runs").glob("karate-prototype-*/scatter.png"))) == (option == "--pictures")


def test_the_models_of_a_nested_cross_validation_are_used_by_its_folder(call, mirror, monkeypatch):
    monkeypatch.setattr(nested, "RUNS", 2)
    code, _, err = call(*CONTEXTS["train nested"].split(), "--json", "r.json", "--run-dir", "run")
    assert (code, err.splitlines()[-1]) == (0, "Record, models and state: run"), err
    assert len(list(Path("run").glob("fold-*-run-*.safetensors"))) == 20
    record = json.loads(Path("r.json").read_text())
    assert any(line.startswith("Warning: ") for line in err.splitlines()) == bool(record.get("warnings"))
    code, _, err = call("evaluate", "run", "--json", "e.json")
    assert code == 0, err
    figures = json.loads(Path("e.json").read_text())["figures"]["accuracy"]
    means = [statistics.fmean(figures[place : place + 2]) for place in range(0, 20, 2)]
    assert means == record["metric"]["values"]
    for command in (["predict", "run"], ["evaluate", "run", "mutag"], ["explain", "run", "--graph", "3"]):
        code, _, err = call(*command)
        assert code == 0, err
    if importlib.util.find_spec("plotly"):
        assert call("view", "run")[0] == 0
    for file in Path("run").glob("fold-*.safetensors"):
        file.unlink()
    code, _, err = call("predict", "run")
    assert (code, "has no models: nested cross-validation kept none then" in err) == (2, True), err


def scalars(folder):
    """Return tag -> steps of the figures in TensorBoard's event files: length, its checksum, event, its checksum."""
    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


@pytest.mark.parametrize("context", ["train nodes", "embed"])
def test_figures_of_every_epoch_reach_tensorboard(call, context):
    code, _, err = call(*CONTEXTS[context].split(), "--log-dir", "log", "--logger", "tensorboard")
    assert code == 0, err
    assert "Figures of every epoch: log\n" in err
    found = scalars(Path("log"))
    first = found[next(tag for tag in found if "loss" in tag)]
    assert first == list(range(1, len(first) + 1))
    assert any(tag.startswith("seed-4/") and "test" in tag for tag in found)


def test_tensorboard_is_asked_for_by_name_where_it_is_missing(call, monkeypatch):
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    code, _, err = call("train", "karate", "--log-dir", "log", "--logger", "tensorboard")
    assert code == 2
    assert "pip install 'graphkit[tensorboard]'" in err


def test_every_metric_is_a_choice_of_the_command():
    assert options_of("train")["metric"].type.choices == tuple(METRICS)


SET_COMMANDS = {
    "train": "train ./graphs --model gin --set batch=8 --epochs 1 --seeds 1 --run-dir run",
    "train auto": "train ./graphs --model auto --set batch=8 --epochs 1 --seeds 1",
    "tune": "tune ./graphs --model gin --set batch=8 --epochs 1 --seeds 1 --trials 1",
    "embed": "embed ./graphs --set ways=2 --set shots=4 --epochs 1 --no-pictures",
    "predict": "predict run",
}


@pytest.mark.parametrize(("few", "threads"), [(300, [1]), (10, [])])
def test_one_thread_computes_where_a_step_of_small_graphs_is_small(call, monkeypatch, few, threads):
    """As many graphs as a step takes count, not the set: two threads wait for each other there."""
    from graphkit.cli import options
    from graphkit.data import store
    from tests.training.studies import rings_and_stars

    graphs = rings_and_stars()
    assert int(graphs.edges.sum()) > 300
    store(graphs, "graphs")
    monkeypatch.setattr(options, "SMALL_EDGES", few)
    for name, command in SET_COMMANDS.items():
        chosen: list[int] = []
        with monkeypatch.context() as block:
            block.setattr(torch, "set_num_threads", chosen.append)
            code, _, err = call(*command.split())
        assert code == 0, err
        assert chosen == threads, name


def test_a_step_has_the_edges_of_its_graphs():
    from graphkit.cli.options import step_edges, step_graphs
    from graphkit.training import portfolio, recipe
    from graphkit.training.embedding import embedding_recipe
    from tests.training.studies import communities, rings_and_stars

    graphs, graph = rings_and_stars(), communities()
    every = int(graphs.edges.sum())
    assert [step_edges(graphs, many) for many in (0, 10, 40, 400)] == [every, every // 4, every, every]
    assert step_edges(graph, 10) == graph.num_edges
    assert step_edges({"a": graph, "b": graph}) == 2 * graph.num_edges
    assert step_graphs(recipe("gin", {"batch": 7}, items="graphs")) == 7
    assert step_graphs(portfolio({"batch": 7}, items="graphs")) == 7
    assert step_graphs(embedding_recipe("contrastive", {"ways": 2, "shots": 3}, level="graph")) == 6
    assert step_graphs(embedding_recipe("prototype", {"ways": 0}, level="graph")) == 0
