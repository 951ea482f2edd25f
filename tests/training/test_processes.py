"""Several processes train as one does; one that dies ends the job, and what was written resumes."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from graphkit.data import Partitions, load, partition
from graphkit.training import TrainingError, recipe, train
from graphkit.training.engine.distributed import World, _claim
from graphkit.training.engine.store import lock_folder, read_tensors
from tests.jobs import Ending, job, same
from tests.training.studies import STUDIES

FIELDS = {"epochs": 5, "fan_out": "3,2", "batch": 12, "microbatches": 4, "hidden": 8, "dropout": 0.5}
CHOSEN = recipe("sage", FIELDS)


def trained(count, data, folder, chosen=CHOSEN, how=None, **options):
    """Return history and figures of each process of a job of so many, or what it says."""

    def work(rank):
        outcome = train(data, chosen, seeds=[0], device="cpu", reporter=Ending((how or {}).get(rank)), **options)
        record = outcome.record
        history = [tuple(epoch) for epoch in outcome.seeds[0].history]
        assert record.environment["processes"] == count
        return [history, list(record.metric.values), record.protocol.fingerprint, record.dataset.sha256]

    return job(count, folder, work)


@pytest.fixture
def alone(data):
    outcome = train(data, CHOSEN, seeds=[0], device="cpu")
    return outcome.seeds[0].history, list(outcome.record.metric.values)


@pytest.mark.parametrize("count", [2, 4])
def test_losses_are_those_of_one_process_dropout_and_all(data, tmp_path, alone, count):
    for found in trained(count, data, tmp_path / "said"):
        same(found, alone)


def test_batch_norms_too_remember_what_one_process_remembers(data, tmp_path):
    chosen = CHOSEN.with_({"norm": "batch"})
    whole = train(data, chosen, device="cpu")
    for found in trained(2, data, tmp_path / "said", chosen):
        same(found, (whole.seeds[0].history, list(whole.record.metric.values)))


@pytest.mark.parametrize(("model", "parts", "around"), [("sage", 2, True), ("gcn", 4, False)])
def test_a_graph_in_parts_gives_the_losses_of_the_whole_one(data, tmp_path, model, parts, around):
    chosen = recipe(model, {**FIELDS, "row_normalise": True})
    whole = train(data, chosen, device="cpu")
    written = partition(data, tmp_path / "parts", parts=parts, by="random")
    outcome = trained(parts, Partitions(written.folder, keep_halo=around), tmp_path / "said", chosen)
    for found in outcome:
        same(found, (whole.seeds[0].history, list(whole.record.metric.values)))
        assert found[2:] == [whole.record.protocol.fingerprint, whole.record.dataset.sha256]


def test_a_process_that_dies_ends_the_others_and_the_job_resumes(data, tmp_path, alone):
    options = {"run_dir": tmp_path / "run", "checkpoint_every": 0.0}
    first, second = trained(2, data, tmp_path / "said", how={1: lambda: os._exit(9)}, **options)
    assert second is None
    assert "lost another one of the job" in first
    assert "`--resume`" in first
    for found in trained(2, data, tmp_path / "again", resume=True, **options):
        same(found, alone)


def test_nodes_that_stay_at_home_are_the_batch_where_all_neighbours_are_drawn(data, tmp_path):
    """Some process has none of the ten nodes of a batch now and then."""
    chosen = CHOSEN.with_({"fan_out": "-1,-1", "dropout": 0.0, "microbatches": 1})
    whole = train(data, chosen, device="cpu")
    written = partition(data, tmp_path / "parts", parts=4, by="random")
    for found in trained(4, written, tmp_path / "said", chosen.with_({"home": True})):
        same(found, (whole.seeds[0].history, list(whole.record.metric.values)))
    with pytest.raises(ValueError, match="`home` is of a graph in parts"):
        train(data, chosen.with_({"home": True}), device="cpu")


def test_a_process_that_dies_with_its_part_ends_the_others_and_the_job_resumes(data, tmp_path, alone):
    options = {"run_dir": tmp_path / "run", "checkpoint_every": 0.0}
    written = partition(data, tmp_path / "parts", parts=2)
    first, second = trained(2, written, tmp_path / "said", how={1: lambda: os._exit(9)}, **options)
    assert second is None
    assert "lost another one of the job" in first
    for found in trained(2, written, tmp_path / "again", resume=True, **options):
        same(found, alone)


def test_a_job_that_is_stopped_in_one_process_stops_in_all_and_resumes(data, tmp_path, alone):
    def signal():
        os.kill(os.getpid(), 15)

    options = {"run_dir": tmp_path / "run"}
    for said in trained(2, data, tmp_path / "said", how={1: signal}, **options):
        assert said.startswith("Interrupted: stopped after epoch 3")
    for found in trained(4, data, tmp_path / "again", resume=True, **options):
        same(found, alone)


def test_the_shares_of_a_batch_are_the_batch_where_all_neighbours_are_drawn(data):
    whole = {"fan_out": "-1,-1", "dropout": 0.0, "batch": 12}
    one, four = (train(data, CHOSEN.with_({**whole, "microbatches": shares}), device="cpu") for shares in (1, 4))
    losses = [torch.tensor([epoch.train_loss for epoch in each.seeds[0].history]) for each in (one, four)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"microbatches": 3}, "`microbatches` (3) must be a multiple of the number of processes (2)"),
        ({"home": True, "norm": "batch"}, "single nodes"),
        ({"fan_out": ""}, "`--sampled`"),
    ],
)
def test_what_processes_cannot_share_is_refused(data, monkeypatch, fields, message):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=re.escape(message)):
        train(data, CHOSEN.with_(fields), device="cpu")


def test_more_processes_than_seeds_are_refused(data, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for made in (recipe("gcn"), recipe("cheb", items="signals")):
        with pytest.raises(ValueError, match=r"^2 processes take the seeds in turns, but there are 1: start fewer"):
            train(data, made, device="cpu")


SUMMED = ("fewshot", "fewshot of a classifier")
"""Studies whose gradients are summed in another order by several processes, in float32."""

SPREAD = [name for name in STUDIES if name not in ("nodes in batches", "graphs", "links in batches")]
"""Studies whose processes take seeds, folds or tasks in turns; those that share batches are tried above."""


@pytest.mark.parametrize("name", SPREAD)
def test_a_study_in_several_processes_is_that_of_one(name, tmp_path):
    study = STUDIES[name]

    def values(outcome):
        record = getattr(outcome.record, "record", outcome.record)
        return [list(record.metric.values), list(record.validation.values)]

    whole = values(study(tmp_path / "whole"))
    found = job(2, tmp_path / "said", lambda _: values(study(tmp_path / "run")))
    # Gradients of meta-training are summed in another order, in float32; all else is the same to the bit.
    assert found == [pytest.approx(np.array(whole), abs=0.05 if name in SUMMED else 0)] * 2
    of_one, of_two = (
        {path.name: path for path in (tmp_path / folder).glob("*.safetensors")} for folder in ("whole", "run")
    )
    assert of_one.keys() == of_two.keys()
    for file, path in of_one.items():
        if name in SUMMED:
            torch.testing.assert_close(load_file(path), load_file(of_two[file]), atol=1e-3, rtol=1e-3)
        else:
            assert path.read_bytes() == of_two[file].read_bytes()
    again = values(study(tmp_path / "run", resume=True))  # by one process, with nothing left to do
    assert again == found[0]


def test_processes_take_encoders_in_turns(tmp_path):
    """Of each problem one is trained by the first process and one by the second; what is trained is there for both."""
    study = STUDIES["fewshot on encoders"]

    def heard(resume=False):
        units = []

        class Hear(Ending):
            def on_epoch(self, unit, epoch, best):
                units.append(unit.key.split("-")[1])

        study(tmp_path / "run", reporter=Hear(), resume=resume)
        return units

    assert job(2, tmp_path / "said", lambda _: heard()) == [["ccassg"] * 4, ["dgi"] * 4]
    assert job(2, tmp_path / "again", lambda _: heard(resume=True)) == [[], []]
    assert len(list((tmp_path / "run").glob("encoder-*.safetensors"))) == 4


def test_what_is_wrong_in_all_processes_is_said_by_the_first(call, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        said.append([call("train", "karate", *wrong)[::2] for wrong in ((), ("--workers", "2"), ("--set", "hidden=x"))])
    first, second = said
    assert [code for code, _ in first] == [code for code, _ in second] == [2, 2, 2]
    assert [bool(told) for _, told in first] == [True, True, True]
    assert [bool(told) for _, told in second] == [False, False, True], (
        "what may be wrong in one process only is said by it"
    )


def test_more_shares_than_nodes_are_refused(data):
    with pytest.raises(ValueError, match=r"`microbatches` \(40\) must be at most"):
        train(data, CHOSEN.with_({"microbatches": 40}), device="cpu")


@pytest.mark.parametrize(("rank", "count"), [("2", "2"), ("0", "0"), ("one", "2")])
def test_an_environment_that_makes_no_job_is_refused(monkeypatch, rank, count):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(ValueError, match="torchrun"):
        World.from_env()


def test_a_job_that_nobody_says_where_to_meet_is_refused(data, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="MASTER_ADDR and MASTER_PORT, where the processes meet, is not set"):
        train(data, CHOSEN, device="cpu")


def test_processes_fewer_than_world_size_says_are_told(data, tmp_path, monkeypatch):
    """Of a job of two only the first is there."""
    monkeypatch.setattr("graphkit.training.engine.distributed.PATIENCE", datetime.timedelta(seconds=2))

    def work(rank):
        os.environ["WORLD_SIZE"] = "2"
        train(data, CHOSEN, device="cpu")

    (said,) = job(1, tmp_path, work)
    assert said.startswith("TrainingError: process 0 of 2 did not meet the others")


def test_torchrun_starts_it_each_process_holds_a_part_and_one_speaks(tmp_path):
    partition(load("karate"), tmp_path / "parts", parts=2, by="contiguous")
    options = ["--model", "sage", "--sampled", "--fan-out", "4,2", "--batch-size", "2", "--set", "microbatches=2"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    more = ["--seeds", "1", "--epochs", "2", "--partitions", tmp_path / "parts", "--run-dir", tmp_path / "run"]
    command = [*launch, "-m", "graphkit.cli", "train", "karate", *options, *more]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("test accuracy") + made.stderr.count("test accuracy") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
def test_processes_end_with_a_torchrun_that_was_killed(tmp_path):
    options = ["--model", "sage", "--sampled", "--fan-out", "4,2", "--batch-size", "2", "--set", "microbatches=2"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    more = ["--seeds", "1", "--epochs", "100000", "--set", "patience=0", "--run-dir", tmp_path / "run"]
    command = [*launch, "-m", "graphkit.cli", "train", "karate", *options, *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as torchrun:
        waited = time.monotonic() + 120
        while not (tmp_path / "run/checkpoint.pt").exists() and time.monotonic() < waited:
            time.sleep(0.1)
        torchrun.kill()
        # The pipe ends when the last process that writes to it does.
        _, said = torchrun.communicate(timeout=60)
    assert "resume" in said
    with lock_folder("run_dir", tmp_path / "run"):
        assert read_tensors(tmp_path / "run/checkpoint.pt")["running"] is not None


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
def test_processes_end_with_a_torchrun_that_was_killed_before_they_had_begun(tmp_path):
    """Killed as soon as they are there, while they load; the pipe ends when the last process that holds it does."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [
        *launch,
        "-m",
        "graphkit.cli",
        "train",
        "karate",
        "--model",
        "sage",
        "--sampled",
        "--set",
        "microbatches=2",
    ]
    more = ["--epochs", "100000", "--set", "patience=0", "--run-dir", tmp_path / "run"]
    with subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True) as torchrun:
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children")
        while torchrun.poll() is None and len(children.read_text().split()) < 2:
            time.sleep(0.01)
        torchrun.kill()
        torchrun.communicate(timeout=60)
    assert not (tmp_path / "run/checkpoint.pt").exists()


@pytest.fixture
def claim(monkeypatch):
    """Return a function by which a process comes to one meeting place."""
    store = dist.HashStore()

    def come(rank, number, launch="", attempt=0, machine=0):
        monkeypatch.setattr(os, "getpid", lambda: number)
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", "29500")
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", launch and f"/tmp/{launch}/attempt_0/{rank}/error.json")
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(attempt))
        monkeypatch.setenv("GROUP_RANK", str(machine))
        _claim(store, World(rank, 2))

    return come


def test_a_rank_is_had_once_and_a_machine_belongs_to_one_launch(claim):
    claim(0, 10, "none_abc")
    claim(0, 10, "none_abc")  # the same process again
    claim(1, 11, "none_abc")
    with pytest.raises(TrainingError, match=r"rank 1 of 2 at 127.0.0.1:29500 is taken by process 11 on .*left over"):
        claim(1, 12, "none_abc")
    claim(1, 13, "none_abc", attempt=1)
    with pytest.raises(
        TrainingError, match=r"machine 0 of 2 at .* is taken by the job none_abc, and this is the job no"
    ):
        claim(0, 14, "none_xyz", attempt=1)
    claim(0, 15, "none_xyz", attempt=2, machine=1)
    claim(1, 16, "none_abc", attempt=2, machine=0)


def test_a_process_of_another_job_is_not_trained_with(data, tmp_path, monkeypatch):
    monkeypatch.setattr("graphkit.training.engine.distributed.PATIENCE", datetime.timedelta(seconds=3))

    def work(rank):
        os.environ["TORCHELASTIC_ERROR_FILE"] = f"/tmp/torchelastic/none_{rank}/attempt_0/{rank}/error.json"
        return train(data, CHOSEN, device="cpu").record.metric.mean

    said = job(2, tmp_path, work)
    assert all(each.startswith("TrainingError: ") for each in said)
    assert sum("is taken by the job none_" in each for each in said) == 1
