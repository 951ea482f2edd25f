"""Mini-batches of nodes: exact where all neighbours are drawn, the same by seed, measured with all neighbours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from graphkit.training import Interrupted, recipe, train
from graphkit.training.classification.sampled_task import Parts, SampledTask, sampled_task
from graphkit.training.classification.tasks import prepare
from graphkit.training.engine.distributed import World
from tests.interruptions import StopAfter

CPU = torch.device("cpu")


def small(**fields):
    return recipe("sage", {"epochs": 6, "fan_out": "3,2", "batch": 8, "hidden": 8, **fields})


def task_of(data, chosen) -> SampledTask:
    return sampled_task(prepare(data, chosen, CPU, torch.float32)[0], data, chosen)


@pytest.mark.parametrize("model", ["sage", "gat", "gin"])
def test_with_all_neighbours_a_batch_has_the_logits_of_the_whole_graph(data, model):
    chosen = recipe(model, {"fan_out": "-1,-1", "batch": 7, "layers": 2, "norm": "none"})
    task = task_of(data, chosen)
    module = chosen.module(task.channels, task.outputs, task.graph).eval()
    with torch.no_grad():
        expected = module(task.whole.x, *task.graph)
        rows = list(task.batches(7))
        for batch in rows:
            torch.testing.assert_close(batch.logits(module), expected[batch.index], rtol=1e-5, atol=1e-5)
        found = task.logits(module, torch.arange(len(expected)))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert sorted(torch.cat([batch.index for batch in rows]).tolist()) == task.train.index.tolist()
    assert all(torch.equal(batch.y, data.y[batch.index]) for batch in rows)


def test_a_batch_holds_no_label_that_is_not_trained_on(data):
    labels = task_of(data, small()).loader.data.y
    assert not labels[~data.train_mask].any()


def test_it_learns_and_its_record_says_how_it_was_sampled(data):
    record = train(data, small(epochs=25), seeds=[0], device="cpu").record
    assert record.metric.mean > 0.6
    assert (record.config["fan_out"], record.config["batch"]) == ("3,2", 8)
    # Measured alike, so that figures may be compared; how they were trained is said beside them.
    assert record.protocol == train(data, small(epochs=1, fan_out="2,2"), device="cpu").record.protocol


def test_a_seed_gives_the_same_result_with_any_number_of_workers(data):
    alone = train(data, small(epochs=2), seeds=[3], device="cpu").seeds[0]
    helped = train(data, small(epochs=2), seeds=[3], device="cpu", workers=2).seeds[0]
    assert alone.history == helped.history
    assert alone.history != train(data, small(epochs=2), seeds=[4], device="cpu").seeds[0].history


def test_an_interrupted_run_resumes_to_the_same_bits(data, tmp_path):
    whole = train(data, small(), seeds=[0], device="cpu")
    with pytest.raises(Interrupted, match="epoch 3"):
        train(data, small(), seeds=[0], device="cpu", run_dir=tmp_path, reporter=StopAfter(3))
    again = train(data, small(), seeds=[0], device="cpu", run_dir=tmp_path, resume=True)
    assert again.seeds[0].history == whole.seeds[0].history
    assert again.record.metric.values == whole.record.metric.values


def test_a_process_that_has_no_node_of_a_batch_takes_one_of_no_share():
    owner = torch.tensor([0, 0, 0, 0, 1])
    takes = [Parts(5, 2, 1, World(rank, 2), owner=owner) for rank in range(2)]
    seen = {rank: [node for part, place in zip(each, each.places(), strict=True) if place.share for node in part]
            for rank, each in enumerate(takes)}  # fmt: skip
    assert {rank: sorted(nodes) for rank, nodes in seen.items()} == {0: [0, 1, 2, 3], 1: [4]}
    assert [len(list(each)) for each in takes] == [3, 3] == [len(each) for each in takes]
    assert sum(place.share for each in takes for place in each.places()) == 3


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("sage", {"fan_out": "3"}, "each of the 2 layers, got 1"),
        ("sage", {"norm": "pair"}, "one view"),
        ("cheb", {}, "needs its graph whole"),
    ],
)
def test_what_cannot_be_sampled_is_refused(data, model, fields, message):
    with pytest.raises(ValueError, match=message):
        train(data, recipe(model, {"fan_out": "3,2", **fields}), device="cpu")


def test_a_fan_out_is_numbers():
    with pytest.raises(ValueError, match="`fan_out`"):
        recipe("sage", {"fan_out": "ten"})


def test_the_command_line_samples(tmp_path):
    kept = tmp_path / "record.json"
    options = [
        "--model",
        "sage",
        "--sampled",
        "--fan-out",
        "4,2",
        "--batch-size",
        "2",
        "--seeds",
        "1",
        "--epochs",
        "2",
    ]
    arguments = ["train", "karate", *options, "--json", str(kept), "--run-dir", str(tmp_path / "run")]
    made = subprocess.run([sys.executable, "-m", "graphkit.cli", *arguments], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "fan-out 4,2, 2 nodes a step" in made.stdout + made.stderr
    assert json.loads(kept.read_text())["config"]["fan_out"] == "4,2"
