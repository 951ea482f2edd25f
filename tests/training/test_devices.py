"""One device for each process, whatever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphkit.training.engine.distributed import fabric_on, own_device

SAID = {"LT_CLI_USED": "1", "LT_DEVICES": "2", "LT_NUM_NODES": "1", "LT_ACCELERATOR": "cpu", "LT_STRATEGY": "ddp"}


def test_what_fabric_run_says_of_devices_is_of_the_job_and_not_of_a_process(monkeypatch):
    for name, value in SAID.items():
        monkeypatch.setenv(name, value)
    assert own_device("auto") == "cpu"
    assert own_device("cuda:1") == "cuda:1"
    assert fabric_on(own_device("auto"), "32-true").device == torch.device("cpu")
    assert {name: os.environ[name] for name in SAID} == SAID
    for name, value in (("LT_PRECISION", "64-true"), ("LT_STRATEGY", "fsdp")):
        with monkeypatch.context() as more:
            more.setenv(name, value)
            with pytest.raises(ValueError, match=f"`fabric run --.* {value}` is not followed here"):
                fabric_on("cpu", "32-true")


@pytest.mark.slow
def test_fabric_run_starts_it(tmp_path):
    home = Path(sys.executable).parent
    options = ["--model", "sage", "--sampled", "--fan-out", "4,2", "--batch-size", "2", "--set", "microbatches=2"]
    launch = [home / "fabric", "run", "--accelerator", "cpu", "--devices", "2", home / "graphkit"]
    more = ["--seeds", "1", "--epochs", "2", "--run-dir", tmp_path]
    made = subprocess.run([*launch, "train", "karate", *options, *more], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("test accuracy") == 1
