"""Several processes train on a set of graphs as one does, batch norms and all; one that dies or stops ends the job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from graphkit.training import recipe, train
from graphkit.training.classification.classification_trainer import RunningStatistics
from graphkit.training.classification.graph_task import prepare_graphs
from graphkit.training.engine.distributed import World
from tests.jobs import Ending, job, same

FIELDS = {"epochs": 5, "hidden": 8, "layers": 2, "batch": 20, "microbatches": 4, "lr": 0.02}
CHOSEN = recipe("gin-virtual", FIELDS, items="graphs")
DOUBLE = "64-true"
"""In float32 Adam makes whole steps of what rounding leaves of the gradient of a bias before a batch norm, which is 0.
Training losses do not see those steps; what is measured by running means does, in the third digit."""


def trained(count, graphs, folder, chosen=CHOSEN, how=None, precision=DOUBLE, **options):
    """Return history and figures of each process of a job of so many, or what it says."""

    def work(rank):
        options.update(device="cpu", precision=precision, reporter=Ending((how or {}).get(rank)))
        outcome = train(graphs, chosen, seeds=[0], **options)
        assert outcome.record.environment["processes"] == count
        return [[tuple(epoch) for epoch in outcome.seeds[0].history], list(outcome.record.metric.values)]

    return job(count, folder, work)


def alone(graphs, chosen=CHOSEN, precision=DOUBLE, **options):
    outcome = train(graphs, chosen, seeds=[0], device="cpu", precision=precision, **options)
    return outcome.seeds[0].history, list(outcome.record.metric.values)


@pytest.mark.parametrize("count", [2, 4])
def test_losses_figures_and_weights_are_those_of_one_process(graphs, tmp_path, count):
    expected = alone(graphs, run_dir=tmp_path / "one")
    for found in trained(count, graphs, tmp_path / "said", run_dir=tmp_path / "many"):
        same(found, expected)
    one, many = (load_file(tmp_path / run / "seed-0.safetensors") for run in ("one", "many"))
    assert any("running_var" in name for name in one)
    for name, weight in one.items():
        torch.testing.assert_close(many[name], weight, rtol=1e-4, atol=1e-5)


def test_in_single_precision_training_losses_are_those_of_one_process(graphs, tmp_path):
    single = {"precision": "32-true"}
    expected = [epoch.train_loss for epoch in alone(graphs, **single)[0]]
    for history, _ in trained(2, graphs, tmp_path, **single):
        assert [epoch[1] for epoch in history] == pytest.approx(expected, rel=1e-4)


def test_a_process_for_which_the_last_batch_leaves_no_share_waits_for_the_others(graphs, tmp_path):
    chosen = CHOSEN.with_({"batch": 17})  # of 36 graphs two are left for the last batch: one share
    for found in trained(4, graphs, tmp_path, chosen):
        same(found, alone(graphs, chosen))


def test_portions_that_are_measured_are_shared_out(graphs, tmp_path, monkeypatch):
    monkeypatch.setattr("graphkit.training.classification.graph_task.AT_ONCE", 2)
    expected = alone(graphs)
    for found in trained(2, graphs, tmp_path):
        same(found, expected)


def test_the_shares_of_a_batch_are_the_batch_where_no_norm_or_dropout_tells_them_apart(graphs):
    fields = {"epochs": 4, "hidden": 8, "batch": 20, "dropout": 0.0}
    runs = [alone(graphs, recipe("structure-free", {**fields, "microbatches": n}, items="graphs"))[0] for n in (1, 4)]
    # The generator has drawn the keys of dropout too: batches of later epochs are others.
    torch.testing.assert_close(torch.tensor(runs[0][0]), torch.tensor(runs[1][0]), rtol=1e-5, atol=1e-6)


def test_what_is_taken_by_all_processes_is_the_epoch_once(graphs):
    taken = []
    for rank in range(3):
        task, _ = prepare_graphs(
            graphs, CHOSEN.with_({"microbatches": 3}), torch.device("cpu"), torch.float32, world=World(rank, 3)
        )
        torch.manual_seed(0)
        taken += [rows for rows in task.batches(20) if rows.share]
    seen = torch.cat([rows.index for rows in taken])
    assert sorted(seen.tolist()) == sorted(task.train.index.tolist())
    assert sum(rows.share for rows in taken) == pytest.approx(2)


def test_running_statistics_are_the_mean_over_shares_whatever_their_order():
    norm, shares = nn.BatchNorm1d(3), [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (5, 9)]
    norm.running_mean += 1
    expected = sum(len(x) / 14 * (0.9 + 0.1 * x.mean(0)) for x in shares)
    statistics = RunningStatistics(norm)
    for number, x in enumerate(shares):
        statistics.begin(first=number == 0)
        norm(x)
        statistics.end(len(x) / 14, World(), last=number == 1)
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.num_batches_tracked == 1


def test_a_process_that_dies_ends_the_others_and_the_job_resumes(graphs, tmp_path):
    options = {"run_dir": tmp_path / "run", "checkpoint_every": 0.0}
    first, second = trained(2, graphs, tmp_path / "said", how={1: lambda: os._exit(9)}, **options)
    assert second is None
    assert "lost another one of the job" in first
    for found in trained(4, graphs, tmp_path / "again", resume=True, **options):
        same(found, alone(graphs))


def test_a_job_that_is_stopped_in_one_process_stops_in_all_and_resumes(graphs, tmp_path):
    options = {"run_dir": tmp_path / "run"}
    for said in trained(2, graphs, tmp_path / "said", how={1: lambda: os.kill(os.getpid(), 15)}, **options):
        assert said.startswith("Interrupted: stopped after epoch 3")
    for found in trained(2, graphs, tmp_path / "again", resume=True, **options):
        same(found, alone(graphs))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"microbatches": 3}, "`microbatches` (3) must be a multiple of the number of processes (2)"),
        ({"microbatches": 4, "batch": 6}, "`microbatches` (4) must be at most 3: each takes 2 graphs of a batch (6)"),
    ],
)
def test_what_processes_cannot_share_is_refused(graphs, tmp_path, fields, message):
    for said in trained(2, graphs, tmp_path, CHOSEN.with_(fields)):
        assert re.match(f"JobError: {re.escape(message)}", said)


def test_torchrun_starts_it_and_one_process_writes_and_speaks(mirror, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = ["--model", "gin", "--set", "microbatches=2", "--set", "hidden=8", "--seeds", "1", "--epochs", "2"]
    files = ["--run-dir", tmp_path / "run", "--json", tmp_path / "record.json"]
    command = [*launch, "-m", "graphkit.cli", "train", "mutag", *options, *files]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("test accuracy") + made.stderr.count("test accuracy") == 1
    assert json.loads((tmp_path / "record.json").read_text())["environment"]["processes"] == 2
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == [
        *("checkpoint.pt", "record.json", "seed-0.safetensors")
    ]
