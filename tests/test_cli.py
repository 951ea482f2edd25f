"""The command line: exit codes, one-line errors with a way out, and what a command leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest
from rich.console import Console

import graphkit
from graphkit.cli import commands, main, output
from graphkit.data import load, partition, store

pytestmark = pytest.mark.usefixtures("own_folder")


def train(call, *arguments):
    return call("train", "karate", "--seeds", "2", "--epochs", "3", "--device", "cpu", *arguments)


# ---- asking


@pytest.mark.parametrize("arguments", [["--help"], ["train", "-h"], ["data", "--help"], ["bench", "--help"]])
def test_help_answers_without_loading_torch(arguments):
    code = (
        f"import sys, graphkit.cli; code = graphkit.cli.main({arguments!r});"
        "heavy = {'torch', 'numpy', 'matplotlib', 'lightning_fabric', 'rich'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: graphkit")


def test_a_wrong_call_is_refused_without_loading_torch():
    code = "import sys, graphkit.cli; graphkit.cli.main(['train', 'corra']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_version_is_the_packages(call):
    assert call("--version") == (0, f"graphkit, version {graphkit.__version__}\n", "")


def test_the_module_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "graphkit.cli", "--version"], capture_output=True, check=False)
    assert done.returncode == 0


def test_every_option_and_command_is_described():
    def walk(command):
        assert command.help, command.name
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.hidden or parameter.help, parameter.name
        for below in getattr(command, "commands", {}).values():
            walk(below)

    walk(commands)


def test_a_call_without_arguments_shows_the_help(call):
    code, _, err = call()
    assert code == 2
    assert "Usage" in err


# ---- wrong calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian", "No such command 'trian'. Did you mean 'train'?"),
        ("data lst", "Did you mean 'list'?"),
        ("train --sed 3", "'--seed'"),
        ("train citation-domains", "is a family of graphs; name one of them: citation-domains-acm"),
        ("train corra", "'corra' is not known. Did you mean 'cora'"),
        ("data card corra", "'corra' is not known. Did you mean 'cora'"),
        ("data verify corra", "'corra' is not known. Did you mean 'cora'"),
        ("data fetch corra", "'corra' is not known. Did you mean 'cora'"),
        ("train --model gnc", "`model` 'gnc' is not known. Did you mean 'gin' or 'gcn'?"),
        ("train --set hiden=3", "`hiden` is no field of the recipe 'gcn'. Did you mean 'hidden'?"),
        ("train --set heads=3", "`heads` is no field of the recipe 'gcn'."),
        ("train --set hidden", "`--set` takes FIELD=VALUE, got 'hidden'."),
        ("train --set dropout=1.5", "`dropout` must be below 1, got 1.5."),
        ("train --set norm=bach", "`norm` must be 'none', 'batch', 'layer', 'graph' or 'pair', got 'bach'."),
        ("train --lr -1", "`lr` must be above 0, got -1.0."),
        ("train --lr nan", "`lr` must be a finite number, got nan."),
        ("train --epochs 0", "`epochs` must be at least 1, got 0."),
        ("train --seeds 0", "0 is not in the range x>=1"),
        ("train karate --split pubic", "`split` 'pubic' is not known. Did you mean 'public'?"),
        ("train digits --split public", "no public split"),
        ("train karate --device abacus", "`device` 'abacus'"),
        ("train karate --precision 7-bits --device cpu", "`precision` '7-bits'"),
        ("train karate --precision 16-mixed --device cpu", "`precision` '16-mixed' needs an accelerator"),
        ("train karate --split dense:0.6,0.2,4294967296", "`seed` must be below 2**32"),
        ("train --split-seed 4294967296", "'--split-seed': 4294967296 is not in the range"),
        ("train --json /dev/null", "`json` must name a file, but '/dev/null' is a device or a pipe"),
        ("train --json /dev/stdout", "`json` must name a file, but '/dev/stdout' is a device or a pipe"),
        ("train --picture curve.doc", "`picture` must end in .png, .pdf, .svg"),
        ("spectrum karate --wavelets bank.doc", "`wavelets` must end in .png"),
        ("train karate --batch-size 4", "`--batch-size` and `--workers` go with `--sampled`"),
        ("train karate --workers 2", "`--batch-size` and `--workers` go with `--sampled`"),
        ("train karate --sampled --fan-out ten", "`fan_out` must be a number for each layer, such as '10,5'"),
        ("train --set =3", "`--set` takes FIELD=VALUE, got '=3'."),
        ("train nothing-like-it", "is not known. `graphkit data list` names all."),
        ("train karate --device cuda:one", "a number must follow the colon, as in 'cuda:1'"),
        ("train --config none.toml", "`config` 'none.toml' cannot be read: No such file"),
        ("train karate --resume --device cpu", "there is no checkpoint in 'runs/karate-gcn-"),
        ("train karate --model gat --set hidden=60", "`hidden` must be a multiple of `heads` (8), got 60."),
        ("bench nothing", "`benchmark` 'nothing' is not known."),
    ],
)
def test_a_wrong_call_exits_with_2_and_one_line(call, arguments, message):
    code, out, err = call(*arguments.split())
    assert code == 2
    assert message in err
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: ")
    assert not list(Path("runs").glob("karate-gcn-*/seed-0.safetensors"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = fast", "is not TOML"),
        ("lr = -0.1", "`lr` must be above 0"),
        ("learning_rate = 0.1", "`learning_rate` is no field of the recipe 'gcn'."),
        ("hidden = 2.5", "`hidden` must be a whole number"),
        ("[model]\nname = 'gcn'", "must be flat: `model` holds a dict"),
        ("model = 'gnc'", "`model` 'gnc' is not known"),
        ("model = 7", "`model` '7' is not known"),
    ],
)
def test_a_wrong_file_of_settings_is_refused_in_one_line(call, text, message):
    Path("settings.toml").write_text(text)
    code, _, err = call("train", "karate", "--config", "settings.toml")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--json", "--picture", "--run-dir"])
def test_a_place_that_cannot_be_written_is_found_before_training(call, option, monkeypatch):
    Path("file").write_text("")
    code, _, err = train(call, option, "file/inside.png")
    assert code == 2
    assert "cannot be written: " in err
    assert len(err.splitlines()) == 1


def test_a_folder_in_place_of_a_record_is_refused(call):
    Path("record.json").mkdir()
    code, _, err = train(call, "--json", "record.json")
    assert code == 2
    assert "record.json" in err


# ---- training


def test_training_prints_the_figure_with_its_protocol_and_keeps_record_picture_and_weights(call, monkeypatch):
    arguments = ["--json", "out/record.json", "--picture", "out/curve.png", "--model", "mlp"]
    monkeypatch.setattr(sys, "argv", ["pytest"])
    code, out, err = train(call, *arguments, "--log-dir", "a b")
    assert code == 0
    record = json.loads(Path("out/record.json").read_text())
    mean = f"{100 * record['metric']['mean']:.2f} ± "
    for said in ("mlp", "karate, 34 nodes", "0 to 1", mean, "95 % interval", record["protocol"]["fingerprint"]):
        assert said in out
    assert "random-per-class" in out
    assert "seed 1 (2 of 2): validation" in err
    assert record["command"].startswith("graphkit train karate")
    assert record["command"].endswith("--model mlp --log-dir 'a b'")
    assert record["config"]["epochs"] == 3
    assert Path("out/curve.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path("runs").glob("karate-mlp-*/[!.]*")) == [
        "checkpoint.pt",
        "record.json",
        "seed-0.safetensors",
        "seed-1.safetensors",
    ]


def test_flags_beat_settings_and_settings_beat_the_file(call):
    Path("settings.toml").write_text("model = 'gat'\nheads = 4\nhidden = 8\nlr = 0.5\ndropout = 0.25\n")
    code, _, _ = train(call, "--config", "settings.toml", "--set", "lr=0.1", "--set", "hidden=16", "--json", "r.json")
    assert code == 0
    config = json.loads(Path("r.json").read_text())["config"]
    wanted = {"model": "gat", "heads": 4, "hidden": 16, "lr": 0.1, "dropout": 0.25, "epochs": 3}
    assert {name: config[name] for name in wanted} == wanted


def test_seeds_start_where_they_are_told(call):
    train(call, "--seed", "7", "--json", "r.json")
    assert json.loads(Path("r.json").read_text())["seeds"] == [7, 8]


def test_a_finished_run_resumes_to_the_same_record(call):
    train(call, "--json", "first.json")
    code, _, _ = train(call, "--json", "second.json", "--resume")
    assert code == 0
    first, second = (json.loads(Path(name).read_text()) for name in ("first.json", "second.json"))
    assert first["metric"] == second["metric"]


def test_a_checkpoint_of_another_recipe_is_refused(call):
    train(call, "--run-dir", "own")
    code, _, err = train(call, "--run-dir", "own", "--resume", "--lr", "0.5")
    assert code == 2
    assert "belongs to another run: lr was 0.01 and is 0.5; start without it, or give what that run was given." in err


def test_a_full_disk_at_the_end_prints_the_record(call, monkeypatch):
    from graphkit.training.engine.records import Record

    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "write", full)
    code, out, err = train(call, "--json", "r.json")
    assert code == 1
    assert json.JSONDecoder().raw_decode(out[out.index("{\n") :])[0]["command"]
    assert "'r.json' could not be written (No space left on device); the record stands above." in err


def test_a_run_that_fails_exits_with_1_and_one_line(call):
    code, out, err = train(call, "--model", "mlp", "--lr", "1e38", "--epochs", "50", "--set", "dropout=0")
    assert (code, out) == (1, "")
    assert err.startswith("Error: seed 0: the loss is not finite in epoch ")
    assert len(err.splitlines()) == 1


def test_ctrl_c_leaves_a_checkpoint_and_resume_goes_on_to_the_same_numbers(call):
    arguments = ["train", "karate", "--model", "mlp", "--epochs", "300", "--seeds", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "graphkit.cli", *arguments, "--threads", "1"]
    slow = "lambda *_: (print('epoch', flush=True), time.sleep(0.01))"
    code = f"import sys, time, graphkit.cli, graphkit.cli.output as output; output.Lines.on_epoch = {slow};"
    code += "graphkit.cli.output.Stages.LOG = 1e6;"  # however slow the machine, no stage is said
    code += f"sys.exit(graphkit.cli.main({command[3:]!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, env=os.environ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.lstrip("\n").startswith("Stopped after epoch ")  # click moves on from the line that holds ^C
    assert len(err.split("\n")) == 3
    assert call(*arguments, "--resume", "--json", "resumed.json")[0] == 0
    assert call(*arguments, "--run-dir", "elsewhere", "--json", "whole.json")[0] == 0
    resumed, whole = (json.loads(Path(name).read_text()) for name in ("resumed.json", "whole.json"))
    assert (resumed["metric"], resumed["epochs"]) == (whole["metric"], whole["epochs"])


def test_the_place_of_a_checkpoint_is_named_as_it_is(call, monkeypatch):
    from graphkit.cli.output import Lines

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "on_epoch", stop)
    code, _, err = train(call, "--run-dir", "My/Run")
    assert code == 1
    assert "of seed 0; resume from 'My/Run/checkpoint.pt'. The same command with --resume goes on." in err


def test_a_reader_that_leaves_early_does_not_cost_the_record(call, monkeypatch):
    def closed(*_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys.modules["graphkit.cli.train"], "fields", closed)
    with pytest.raises(SystemExit):  # click's end to a broken pipe
        train(call, "--json", "record.json")
    assert json.loads(Path("record.json").read_text())["seeds"] == [0, 1]


def test_ctrl_c_inside_an_import_that_would_swallow_it_stops_at_once():
    Path("swallowing.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's `&` would ignore it
    code = f"{heard}; from graphkit.cli.output import preload; preload('swallowing'); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Stopped.\n")


def test_progress_on_a_terminal_is_a_bar_and_elsewhere_lines(call, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    code, _, err = train(call)
    assert code == 0
    assert "(2 of 2): validation" not in err


# ---- errors


def test_an_error_of_ours_is_one_line_too_and_debug_shows_where(call, monkeypatch):
    def broken(*arguments, **options):
        raise KeyError("inside")

    monkeypatch.setattr("graphkit.data.catalog.loading.load", broken)
    code, _, err = train(call)
    assert code == 1
    assert err == "Error inside graphkit, KeyError: 'inside' (--debug shows where)\n"
    with pytest.raises(KeyError):
        train(call, "--debug")
    monkeypatch.setenv("GRAPHKIT_DEBUG", "1")
    with pytest.raises(KeyError):
        train(call)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("debug", [False, True])
def test_a_warning_is_one_line_and_debug_shows_where(call, monkeypatch, debug):
    def warn(*_: object, **__: object) -> None:
        warnings.warn("this is\n  meant for the user", UserWarning, stacklevel=2)
        raise ValueError("enough")

    monkeypatch.setattr("graphkit.data.catalog.loading.load", warn)
    shown = warnings.showwarning
    if debug:
        with pytest.raises(ValueError, match="enough"), pytest.warns(UserWarning, match="meant for the user"):
            call("train", "karate", "--debug")
    else:
        _, _, err = call("train", "karate")
        assert "Note: this is meant for the user\nError: enough\n" in err
    assert warnings.showwarning is shown


def test_missing_files_fail_in_one_line_that_says_what_to_do(call, monkeypatch, data_home, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "empty"))
    code, _, err = call("train", "cora", "--seeds", "1")
    assert code == 1
    assert "cora" in err
    assert len(err.splitlines()) == 1


# ---- data


def test_data_list_names_every_data_set(call):
    from graphkit.data import names

    code, out, _ = call("data", "list")
    assert code == 0
    first = [line.split()[0] for line in out.splitlines()[1:] if not line.startswith(" ")]  # a title may be wrapped
    assert first == names()
    assert "10,556" in out


def test_data_card_shows_the_card(call):
    code, out, _ = call("data", "card", "cora")
    assert code == 0
    assert "2,708 nodes" in out


def test_data_verify_takes_folders_and_names_the_file_that_changed(call, own_folder):
    data = load("karate")
    store(data, own_folder / "kept")
    partition(data, own_folder / "parts", parts=2, by="contiguous")
    code, out, err = call("data", "verify", "kept", str(own_folder / "parts"), "karate")
    assert (code, err) == (0, "")
    assert "karate: in order; 7 of 7 files by their sha256" in out
    assert "karate: in order; 16 of 16 files by their sha256" in out
    for name, folder in (("y.npy", "kept"), ("part-1/x.npy", "parts")):
        path = own_folder / folder / name
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
        code, _, err = call("data", "verify", f"./{folder}")
        assert code == 1
        assert f"{folder}/{name} is not what was written" in err
    code, _, err = call("train", "kept", "--epochs", "1")
    assert code == 1
    assert "kept/y.npy is not what was written" in err
    code, _, err = call("data", "verify", "./nowhere")
    assert code == 1
    assert "holds no manifest" in err


def test_what_is_not_checked_is_said(call, arxiv, data_home):
    shutil.copytree(arxiv, data_home / "ogb/ogbn_arxiv")
    said = "no checksum of the files is known: what comes is compared with the published counts only"
    for command in ("fetch", "verify"):
        code, _, err = call("data", command, "ogbn-arxiv", "karate")
        assert (code, err.count(said)) == (0, 1)
        assert err.startswith("ogbn-arxiv: no checksum")
    assert " ".join(call("data", "card", "ogbn-arxiv")[1].split()).count(said) == 1
    listed = {line.split()[0]: line for line in call("data", "list")[1].splitlines()}
    assert "counts only" in listed["ogbn-arxiv"]
    assert "sha256" in listed["cora"]


def test_data_fetch_and_verify_the_embedded_graph(call):
    code, out, _ = call("data", "fetch", "karate")
    assert code == 0
    assert out.startswith("karate: ")
    code, out, _ = call("data", "verify", "karate", "digits")
    assert code == 0
    assert "karate: in order; no file, content sha256 " in out


# ---- benchmarks


SCRIPT = '''"""Is one larger than zero?

More.
"""
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--json")
parser.add_argument("--fail", action="store_true")
arguments = parser.parse_args()
if arguments.json:
    pathlib.Path(arguments.json).write_text(json.dumps({"ratio": 2}))
raise SystemExit(3 if arguments.fail else 0)
'''


@pytest.fixture
def _benchmarks(tmp_path, monkeypatch):
    folder = tmp_path / "site" / "graphkit" / "benchmarks"
    folder.mkdir(parents=True)
    for name in ("one_epoch", "two_layers"):
        (folder / f"{name}.py").write_text(SCRIPT)
    (folder / "_shared.py").write_text("")
    monkeypatch.setattr(graphkit, "__file__", str(folder.parent / "__init__.py"))


@pytest.mark.usefixtures("_benchmarks")
def test_bench_lists_each_script_with_its_question(call):
    code, out, _ = call("bench", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["one-epoch", "two-layers"]
    assert "Is one larger than zero?" in out


@pytest.mark.usefixtures("_benchmarks")
def test_bench_runs_one_or_all_and_keeps_what_they_measured(call):
    assert call("bench", "one-epoch", "--json", "one.json")[0] == 0
    assert json.loads(Path("one.json").read_text()) == {"ratio": 2}
    assert call("bench", "--json", "all.json")[0] == 0
    assert json.loads(Path("all.json").read_text()) == {"one-epoch": {"ratio": 2}, "two-layers": {"ratio": 2}}


@pytest.mark.usefixtures("_benchmarks", "own_folder")
def test_help_beside_a_benchmark_is_that_of_its_script(capfd):
    assert main(["bench", "one-epoch", "--help"]) == 0
    assert "--fail" in capfd.readouterr().out
    assert main(["bench", "-h"]) == 0
    out = capfd.readouterr().out
    assert "Run the benchmark NAME" in out
    assert "--fail" not in out


@pytest.mark.usefixtures("_benchmarks")
def test_a_benchmark_that_fails_is_named(call):
    code, _, err = call("bench", "two-layers", "--fail")
    assert code == 1
    assert err.splitlines()[-1] == "Error: failed: two-layers."


# ---- tables


@pytest.mark.parametrize(
    ("rows", "first"),
    [([["a", "", "1"], ["b", "", ""]], "name figure"), ([["a", "x", ""]], "name what"), ([], "name what figure")],
)
def test_a_column_in_which_no_row_has_anything_is_left_out(capsys, rows, first):
    output.table(["name", "what", " figure"], rows)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == first.split()
    assert [line.split() for line in lines] == [[cell for cell in row if cell] for row in rows]


def test_a_table_on_a_narrow_terminal_loses_no_figure(capsys, monkeypatch):
    figures = [f"{number}.5 ± 0.25" for number in range(10, 17)]
    monkeypatch.setattr(output, "_console", lambda: Console(width=50, highlight=False, markup=False))
    output.table(["", *(f" figure {number}" for number in range(7))], [["prototype", *figures]])
    out = capsys.readouterr().out
    assert all(figure in out for figure in figures)
    assert max(map(len, out.splitlines())) <= 50
    assert sum(line.startswith("prototype") for line in out.splitlines()) == 3


def test_what_is_of_one_kind_is_told_apart_by_its_fields(call):
    models, learners = call("train", "--list-models")[1], call("fewshot", "--list-learners")[1]
    for listed, name, field in ((models, "cayley", "basis=cayley"), (learners, "transfer", "adaptation=prototypes")):
        lines = listed.split("\n" + name + " ")[1].splitlines()[:2]
        assert field in " ".join(lines)
