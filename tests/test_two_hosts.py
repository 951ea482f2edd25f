"""Two hosts, each with a network and a name of its own: README's command trains on them as one process does.

They are two network namespaces of this machine, joined by a cable that can be cut; who may not make such is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import graphkit
from graphkit.data import load, partition
from graphkit.training.engine.interrupts import GRACE

BATCHES = ("--sampled", "--fan-out", "4,2", "--batch-size", "4", "--set", "microbatches=2")
RUN = ("train", "karate", "--model", "sage", *BATCHES, "--seeds", "2", "--epochs", "150", "--set", "patience=0")
OURS = {**os.environ, "PYTHONPATH": str(Path(graphkit.__file__).parents[1])}
HOSTS = ("gk-east", "gk-west")
PATIENCE = 120.0
"""Seconds after which a step of the trial has failed."""


def system(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)


class Hosts:
    """The two of them, and the cable between."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.jobs = folder, []
        self.names = [f"{name}-{os.getpid()}" for name in HOSTS]
        self.ends = [f"gk{os.getpid()}{side}" for side in "ew"]

    def raise_up(self) -> None:
        """Make both, or raise what the system says against it."""
        addresses = [f"10.213.77.{number}" for number in (1, 2)]
        hosts = [f"{address} {name}\n" for address, name in zip(addresses, self.names, strict=True)]
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(hosts))
        for name in self.names:
            system("ip", "netns", "add", name)
        system("ip", "link", "add", self.ends[0], "type", "veth", "peer", "name", self.ends[1])
        for name, end, address in zip(self.names, self.ends, addresses, strict=True):
            system("ip", "link", "set", end, "netns", name)
            system("ip", "-n", name, "address", "add", f"{address}/24", "dev", end)
            system("ip", "-n", name, "link", "set", "lo", "up")
        self.cable("up")
        for name in self.names:
            subprocess.run(self.command(name, "hostname"), check=True, capture_output=True, text=True, timeout=30)

    def cable(self, state: str) -> None:
        """Cut the cable (``"down"``), of which neither host is told, or mend it."""
        for name, end in zip(self.names, self.ends, strict=True):
            system("ip", "-n", name, "link", "set", end, state)

    def command(self, name: str, *command: str) -> list[str]:
        """Return a command as it is run on one of the hosts."""
        named = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'
        inside = ["unshare", "--uts", "--mount", "sh", "-c", named, "sh", str(self.folder / "hosts"), name]
        return ["ip", "netns", "exec", name, *inside, *command]

    def start(self, said: str, *arguments: Any) -> None:
        """Give README's command on both hosts."""
        launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{self.names[0]}:29500", "-m", "graphkit.cli"]
        for name in self.names:
            command = self.command(name, *launch, *meet, *map(str, arguments))
            with open(self.folder / f"{said}-{name}", "w") as file:
                job = subprocess.Popen(command, stdout=file, stderr=file, env=OURS, start_new_session=True)
            self.jobs.append(job)

    def said(self, said: str) -> list[str]:
        """Return what was said on each host."""
        return [(self.folder / f"{said}-{name}").read_text() for name in self.names]

    def ended(self) -> list[int]:
        """Wait for the commands on both hosts, and return their exit codes."""
        codes = [job.wait(PATIENCE) for job in self.jobs]
        self.jobs.clear()
        return codes

    def workers(self) -> list[int]:
        """Return the processes that train, which each host's `torchrun` has started."""
        children = (Path(f"/proc/{job.pid}/task/{job.pid}/children") for job in self.jobs)
        return [int(number) for each in children if each.exists() for number in each.read_text().split()]

    def end(self) -> None:
        """End all that runs there, and the hosts."""
        for job in self.jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        for name in self.names:  # the cable goes with its ends
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=30)


def until(true: Callable[[], Any], what: str, hosts: Hosts, said: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit, f"{what}: {hosts.said(said)}"
        time.sleep(0.02)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Return two hosts, or skip where the system lets nobody make them."""
    missing = [tool for tool in ("ip", "unshare", "mount", "hostname") if shutil.which(tool) is None]
    if sys.platform != "linux" or missing:
        pytest.skip(f"two hosts need Linux with namespaces, and {' and '.join(missing) or 'Linux'} is missing")
    made = Hosts(tmp_path)
    try:
        try:
            made.raise_up()
        except subprocess.CalledProcessError as refused:
            pytest.skip(f"two hosts need network namespaces, which are not allowed here: {refused.stderr.strip()}")
        yield made
    finally:
        made.end()


def record(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    return {name: found[name] for name in ("dataset", "protocol", "metric", "validation", "epochs", "seeds", "config")}


def same(call: Any, folder: Path, many: str) -> None:
    """Require of a finished run in a folder what one process comes to."""
    assert call(*RUN, "--run-dir", "one", "--json", "one.json")[0] == 0
    assert record(folder / f"{many}.json") == record(folder / "one.json")
    for seed in (0, 1):
        one, other = (load_file(folder / run / f"seed-{seed}.safetensors") for run in ("one", many))
        for name, weight in one.items():  # gradients are summed in another order, in float32
            torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-4)


def cut_and_stopped(hosts: Hosts, *more: Any) -> None:
    """Start a job, cut the cable in the middle of the second seed, and ask both hosts to stop, as a scheduler does."""
    hosts.start("cut", *RUN, *more, "--run-dir", hosts.folder / "run")
    until((hosts.folder / "run/seed-0.safetensors").exists, "the first seed is not finished", hosts, "cut")
    hosts.cable("down")
    workers, asked = hosts.workers(), time.monotonic()
    assert len(workers) == 2
    for job in hosts.jobs:
        job.terminate()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "they do not stop", hosts, "cut")
    assert time.monotonic() - asked < GRACE + 15, "a scheduler kills after 30 seconds"
    for said in hosts.said("cut"):
        # It may hear between two epochs, if it comes so far without the other, or while both still end the first seed.
        assert re.search(r"Stopped (in seed [01]|after epoch \d+ of seed 1).*; resume from", said), said
    kept = torch.load(hosts.folder / "run/checkpoint.pt", weights_only=True)
    assert (list(kept["finished"]), kept["running"]["unit"]) == (["seed-0"], "seed-1")
    for job in hosts.jobs:
        os.killpg(job.pid, signal.SIGKILL)  # `torchrun` itself waits for the other host
    hosts.ended()
    hosts.cable("up")


def test_a_job_on_two_hosts_whose_cable_is_cut_stops_when_asked_and_goes_on_in_one_process(hosts, call, tmp_path):
    cut_and_stopped(hosts)
    assert call(*RUN, "--run-dir", "run", "--resume", "--json", "run.json")[0] == 0
    same(call, tmp_path, "run")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "parts"])
def test_two_hosts_train_as_one_process_does_and_go_on_after_a_cut_cable(hosts, call, tmp_path, kind):
    partition(load("karate"), tmp_path / "parts", parts=2, by="contiguous")
    more = ["--partitions", tmp_path / "parts"] if kind == "parts" else []
    hosts.start("straight", *RUN, *more, "--run-dir", tmp_path / "straight", "--json", tmp_path / "straight.json")
    assert hosts.ended() == [0, 0], hosts.said("straight")
    same(call, tmp_path, "straight")
    cut_and_stopped(hosts, *more)
    hosts.start("again", *RUN, *more, "--run-dir", tmp_path / "run", "--resume", "--json", tmp_path / "run.json")
    assert hosts.ended() == [0, 0], hosts.said("again")
    same(call, tmp_path, "run")
