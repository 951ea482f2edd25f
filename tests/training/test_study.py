"""Many seeds under one protocol: independence, resumption, records, and what a run leaves behind."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import load
from graphkit.data.splits import RandomPerClass
from graphkit.training import Interrupted, TrainingError, recipe, train
from graphkit.training.engine.store import RunStore, pack_tensors, require_writable, write_atomically
from graphkit.training.zoo.recipes import RECIPES, SIGNAL_RECIPES
from tests.interruptions import Meanwhile, StopAfter
from tests.training.conftest import undropped

SHORT = recipe("gcn", {"epochs": 8})


def figures(outcome):
    """All but the time it took."""
    return [dataclasses.replace(result, seconds=0.0) for result in outcome.seeds]


def run(data, chosen=SHORT, **options):
    return train(data, chosen, device="cpu", **options)


def test_a_seed_gives_the_same_result_alone_among_others_and_in_any_order(data):
    alone = figures(run(data, seeds=[3]))[0]
    assert figures(run(data, seeds=range(5)))[3] == alone
    assert figures(run(data, seeds=[4, 3, 0]))[1] == alone


def test_seeds_differ(data):
    first, second = figures(run(data, seeds=[0, 1]))
    assert first.history != second.history


def test_the_global_generator_is_left_as_it_was(data):
    before = torch.get_rng_state()
    run(data)
    assert torch.equal(before, torch.get_rng_state())


def test_test_labels_change_neither_training_nor_selection(data):
    honest = run(data, seeds=[0, 1])
    nodes = data.test_mask.nonzero().squeeze()
    data.y[nodes] = data.y[nodes[torch.randperm(len(nodes), generator=torch.Generator().manual_seed(1))]]
    permuted = run(data, seeds=[0, 1])
    for before, after in zip(honest.seeds, permuted.seeds, strict=True):
        assert (before.history, before.selected) == (after.history, after.selected)
    assert honest.record.validation == permuted.record.validation
    assert honest.record.metric != permuted.record.metric


@pytest.mark.parametrize("stop", [3, 8, 11])
def test_an_interrupted_run_resumes_to_the_same_bits(data, tmp_path, stop):
    whole = run(data, seeds=[0, 1], run_dir=tmp_path / "whole")
    with pytest.raises(Interrupted, match="resume from"):
        run(data, seeds=[0, 1], run_dir=tmp_path / "halved", reporter=StopAfter(stop))
    resumed = run(data, seeds=[0, 1], run_dir=tmp_path / "halved", resume=True)
    assert figures(resumed) == figures(whole)
    for seed in (0, 1):
        name = f"seed-{seed}.safetensors"
        assert (tmp_path / "halved" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_unfinished_run_is_put_aside_not_overwritten(data, tmp_path):
    whole = figures(run(data, seeds=[0, 1], run_dir=tmp_path / "whole"))
    with pytest.raises(Interrupted):
        run(data, seeds=[0, 1], run_dir=tmp_path, reporter=StopAfter(11))
    again = run(data, seeds=[7], run_dir=tmp_path)
    assert again.put_aside == tmp_path / "aside-1"
    assert run(data, seeds=[7], run_dir=tmp_path).put_aside is None  # a finished run may be replaced
    assert figures(run(data, seeds=[0, 1], run_dir=again.put_aside, resume=True)) == whole
    for seed in (0, 1):
        name = f"seed-{seed}.safetensors"
        assert (again.put_aside / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_with_other_settings_leaves_nothing_of_the_first_among_its_files(data, tmp_path):
    run(data, seeds=[0, 1, 2], run_dir=tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("[!.]*")}
    again = run(data, SHORT.with_({"lr": 0.5}), seeds=[0], run_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        *("aside-1", "checkpoint.pt", "record.json", "seed-0.safetensors")
    ]
    assert {path.name: path.read_bytes() for path in again.put_aside.glob("[!.]*")} == first
    third = run(data, seeds=[0], run_dir=tmp_path)
    assert third.put_aside == tmp_path / "aside-2"
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    assert run(data, seeds=[0], run_dir=tmp_path).put_aside == tmp_path / "aside-3"


def test_weights_that_a_model_cannot_use_are_not_passed_over_in_silence(data):
    weighted = data.clone()
    weighted.edge_weight = torch.ones(data.num_edges)
    run(weighted, seeds=[0])
    with pytest.raises(ValueError, match="'sage' does not use edge weights"):
        run(weighted, recipe("sage", {"epochs": 2}), seeds=[0])


def test_a_finished_run_resumes_to_its_own_result_and_takes_further_seeds(data, tmp_path):
    first = run(data, seeds=[0, 1], run_dir=tmp_path)
    again = run(data, seeds=[0, 1, 2], run_dir=tmp_path, resume=True)
    assert again.seeds[:2] == first.seeds
    assert figures(again)[2] == figures(run(data, seeds=[2]))[0]


SCRIPT = """
import sys, time, pathlib
from graphkit.data import load
from graphkit.training import recipe, train

class Slow:
    def on_epoch(self, unit, epoch, best):
        print(epoch.number, flush=True)
        time.sleep(0.02)
    def on_unit(self, unit, result): pass

train(load("karate"), recipe("mlp", {"epochs": 400}), device="cpu", run_dir=pathlib.Path(sys.argv[1]),
      reporter=Slow(), checkpoint_every=float(sys.argv[2]))
"""


@pytest.mark.parametrize(("number", "every"), [(signal.SIGTERM, 30.0), (signal.SIGINT, 30.0), (signal.SIGKILL, 0.0)])
def test_a_real_signal_leaves_a_checkpoint_that_resumes_to_the_same_bits(tmp_path, number, every):

    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(every)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    with process:
        for line in process.stdout:
            if int(line) >= 3:
                break
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode != 0
    chosen = recipe("mlp", {"epochs": 400})
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["running"]
    assert 2 <= len(state["trainer"]["history"]) < 400
    resumed = run(load("karate"), chosen, run_dir=tmp_path, resume=True)
    assert figures(resumed) == figures(run(load("karate"), chosen))


def test_who_asks_as_soon_as_the_file_is_there_is_told_where_it_lies(data, tmp_path, monkeypatch):
    write = RunStore.write
    asked = []

    def asked_at_once(self, *state, **more):
        write(self, *state, **more)
        if not asked:
            asked.append(self.path.exists())
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunStore, "write", asked_at_once)
    with pytest.raises(Interrupted, match="stopped after epoch 1 of seed 0; resume from"):
        run(data, run_dir=tmp_path)
    assert asked == [True]
    assert figures(run(data, run_dir=tmp_path, resume=True)) == figures(run(data))


@pytest.mark.parametrize("resume", [False, True])
def test_one_run_at_a_time_trains_into_a_folder(data, tmp_path, resume):
    tried = []

    def another():
        with pytest.raises(ValueError, match="`run_dir`: another process trains into") as told:
            run(data, run_dir=tmp_path, resume=resume)
        tried.append(told)

    with pytest.raises(Interrupted):
        run(data, run_dir=tmp_path, reporter=Meanwhile(another))
    assert len(tried) == 1
    assert figures(run(data, run_dir=tmp_path, resume=True)) == figures(run(data))


def test_handlers_are_put_back_after_a_run(data, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(data, run_dir=tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_state_is_written_every_so_many_seconds(data, tmp_path, monkeypatch):
    written = []
    write = RunStore.write
    monkeypatch.setattr(RunStore, "write", lambda *state, **more: (written.append(1), write(*state, **more)))
    run(data, run_dir=tmp_path, checkpoint_every=0.0)
    often = len(written)
    written.clear()
    run(data, run_dir=tmp_path, checkpoint_every=1000.0)
    assert (often, len(written)) == (1 + 8 + 1, 2)


def test_a_killed_write_leaves_the_previous_checkpoint_whole(data, tmp_path, monkeypatch):
    run(data, run_dir=tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def killed(_):
        raise SystemExit

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(SystemExit):
        run(data, seeds=[7], run_dir=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        "checkpoint.pt",
        "record.json",
        "seed-0.safetensors",
    ]


def test_weights_that_could_not_be_written_are_told_though_a_later_checkpoint_was(data, tmp_path, monkeypatch):
    def no_room_for_weights(path, content):
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        write_atomically(path, content)

    monkeypatch.setattr("graphkit.training.engine.store.write_atomically", no_room_for_weights)
    outcome = run(data, seeds=[0, 1], run_dir=tmp_path)
    assert [fault.split()[0] for fault in outcome.faults] == [
        f"'{tmp_path}/seed-{seed}.safetensors'" for seed in (0, 1)
    ]


def test_a_full_disk_costs_no_result(data, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = run(data, run_dir=tmp_path)
    assert figures(outcome) == figures(run(data))
    assert "No space left on device" in outcome.faults[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chosen": recipe("gcn", {"epochs": 9})}, "epochs was 8 and is 9"),
        ({"chosen": recipe("mlp", {"epochs": 8})}, "model was 'gcn' and is 'mlp'"),
        ({"precision": "64-true"}, "precision was '32-true' and is '64-true'"),
    ],
    ids=["recipe", "model", "precision"],
)
def test_a_checkpoint_of_another_run_is_refused(data, tmp_path, options, message):
    run(data, run_dir=tmp_path)
    with pytest.raises(ValueError, match=message):
        run(data, run_dir=tmp_path, resume=True, **options)


@pytest.mark.parametrize("what", ["features", "split"])
def test_a_checkpoint_on_other_data_is_refused(data, tmp_path, what):
    run(data, run_dir=tmp_path)
    if what == "features":
        data.x = data.x + 1
    else:
        data.train_mask, data.test_mask = data.test_mask, data.train_mask
    with pytest.raises(ValueError, match="protocol was"):
        run(data, run_dir=tmp_path, resume=True)


def test_resuming_nothing_and_resuming_rubbish_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="there is no checkpoint"):
        run(data, run_dir=tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="has no checksum: it is damaged, or of an older version"):
        run(data, run_dir=tmp_path, resume=True)


def test_a_pickled_checkpoint_is_never_executed(data, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(pack_tensors({"form": 2, "identity": time.sleep}))
    with pytest.raises(pickle.UnpicklingError):
        run(data, run_dir=tmp_path, resume=True)


def test_a_loss_that_is_not_finite_names_the_weights_it_kept(data, tmp_path):
    class Poison(StopAfter):
        def on_epoch(self, unit, epoch, best):
            if epoch.number == 4:
                data.x.fill_(float("nan"))

        def __init__(self):
            pass

    # Without scaling and sparsity the loop trains on the very tensor that the reporter spoils.
    chosen = recipe("mlp", {"epochs": 8, "row_normalise": False, "sparse_below": 0})
    with pytest.raises(TrainingError, match=r"seed 0: the loss is not finite in epoch 5 .*seed-0.safetensors"):
        run(data, chosen, run_dir=tmp_path, reporter=Poison())
    assert (tmp_path / "seed-0.safetensors").exists()


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], [2**64], "1", 3])
def test_seeds_that_make_no_sense_are_refused(data, seeds):
    with pytest.raises(ValueError, match="`seeds` must be"):
        run(data, seeds=seeds)


def test_the_name_of_a_recipe_is_no_recipe(data):
    with pytest.raises(TypeError, match="`data` must be a Data, a GraphSet or Partitions, got list"):
        train([data], SHORT, device="cpu")
    with pytest.raises(TypeError, match=r"`recipe` must be a Recipe, such as .*recipe\('gcn'\)`, got 'gcn'"):
        train(data, "gcn")


def test_what_is_missing_is_named_first(data):
    with pytest.raises(ValueError, match="`x` is missing"):
        run(Data(edge_index=data.edge_index, y=data.y))


@pytest.mark.parametrize("device", ["cuda:17", "abacus", "cpu:3", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_in_one_line(data, device):
    with pytest.raises(ValueError, match=r"`device` '.*' .* cannot be used here"):
        train(data, SHORT, device=device)


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "64", "bf16"])
def test_a_precision_that_would_be_another_here_is_refused(data, precision):
    with pytest.raises(ValueError, match=f"`precision` '{precision}' "):
        run(data, precision=precision)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_train(data, precision):
    record = run(data, precision=precision).record
    assert record.environment["precision"] == precision


def test_the_record_holds_what_a_record_must(data, tmp_path):
    record = run(data, seeds=[2, 5], command="graphkit train x").record
    record.write(tmp_path / "record.json")
    read = json.loads((tmp_path / "record.json").read_text())
    wanted = {"command", "dataset", "protocol", "metric", "selection", "config", "seeds", "seconds", "environment"}
    assert wanted <= read.keys()
    assert {"name", "sha256", "nodes", "edges", "classes"} <= read["dataset"].keys()
    assert {"name", "mean", "std", "ci95", "values"} <= read["metric"].keys()
    keys = {"graphkit", "torch", "torch_geometric", "python", "device", "threads"}
    assert keys <= read["environment"].keys()
    assert read["seeds"] == [2, 5]
    assert read["metric"]["mean"] == sum(read["metric"]["values"]) / 2
    assert read["protocol"]["setting"] == "transductive"
    assert len(read["protocol"]["fingerprint"]) == 16


def test_the_configuration_in_a_record_makes_the_same_recipe_again(data):
    chosen = recipe("gat", {"heads": 4, "lr": 0.02})
    config = dict(chosen.as_dict())
    assert recipe(config.pop("model"), config) == chosen


def test_protocols_differ_where_data_split_or_rule_differ(data):
    def fingerprint(**options):
        return run(data, **options).record.protocol.fingerprint

    start = fingerprint()
    assert fingerprint(seeds=[1]) == start
    assert fingerprint(chosen=recipe("mlp", {"epochs": 8})) == start
    assert fingerprint(chosen=recipe("gcn", {"epochs": 8, "select": "last"})) != start
    data.y[0] = 1
    assert fingerprint() != start


def test_protocols_differ_where_edge_weights_do(data):
    plain = run(data).record.protocol.fingerprint
    data.edge_weight = torch.ones(data.num_edges)
    ones = run(data).record.protocol.fingerprint
    data.edge_weight[0] = 2
    assert len({plain, ones, run(data).record.protocol.fingerprint}) == 3


def test_masks_changed_after_a_split_no_longer_bear_its_name(data):
    data = RandomPerClass(per_class=5, val=5)(data, torch.Generator().manual_seed(0)).apply(data)
    assert run(data).record.protocol.split.startswith("random-per-class(")
    data.train_mask = data.train_mask & (torch.arange(data.num_nodes) > 20)
    assert run(data).record.protocol.split == "given masks"


@pytest.mark.parametrize("select", ["accuracy", "last"])
def test_without_validation_nodes_there_is_no_figure_to_report(data, select):
    data.val_mask = torch.zeros_like(data.val_mask)
    with pytest.raises(ValueError, match="`val_mask` is empty"):
        run(data, recipe("gcn", {"epochs": 3, "select": select}))


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_of_any_integer_type_train_alike(data, dtype):
    wide = figures(run(data))
    data.y = data.y.to(dtype)
    assert figures(run(data)) == wide


def test_a_record_is_never_put_in_the_place_of_a_pipe_and_a_link_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"`json` must name a file, but '.*pipe' is a device or a pipe"):
        require_writable("json", tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"


def assert_trains_in(precision, data, chosen):
    """Assert that losses are near those of single precision, and not the same."""
    share = 1e-3 if precision == "64-true" else 0.05
    found, plain = (
        [epoch.train_loss for epoch in train(data, chosen, device="cpu", precision=each).seeds[0].history]
        for each in (precision, "32-true")
    )
    assert found == pytest.approx(plain, rel=share, abs=1e-3 * share)  # a loss of nearly nothing has few digits
    assert found != plain


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_model_trains_in_every_precision(data, name, precision):
    assert_trains_in(precision, data, undropped(name, 2))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
@pytest.mark.parametrize("name", SIGNAL_RECIPES)
def test_every_model_of_signals_trains_in_every_precision(name, precision):
    chosen = recipe(name, {"epochs": 1, "batch": 0, "dropout": 0.0}, items="signals")
    assert_trains_in(precision, load("digits-grid"), chosen)
