"""Jobs of several processes on this machine: the same function in each, and what each of them says."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

PATIENCE = 60.0


def job(count: int, folder: Path, work: Callable[[int], Any]) -> list[Any]:
    """Return what ``work(rank)`` gives in each of so many processes that torchrun's environment joins.

    An exception is given as "Kind: message"; a process that dies without a word gives ``None``. Processes are forked:
    they know what the test knows, and what is compiled stays compiled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, count, port, folder, work)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode is not None, "a process hangs"
    files = [folder / f"rank-{rank}.pt" for rank in range(count)]
    return [torch.load(file, weights_only=True) if file.exists() else None for file in files]


def _process(rank: int, count: int, port: int, folder: Path, work: Callable[[int], Any]) -> None:
    environment = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in environment.items()})
    try:
        said = work(rank)
    except (Exception, KeyboardInterrupt) as error:
        said = f"{type(error).__name__}: {error}"
    torch.save(said, folder / f"rank-{rank}.pt")


class Ending:
    """Ends its process, or asks it to stop, after an epoch."""

    def __init__(self, how: Callable[[], Any] | None = None, after: int = 3) -> None:
        self.how, self.after = how, after

    def on_epoch(self, unit: Any, epoch: Any, best: Any) -> None:
        """Do it now, if this is the epoch."""
        if self.how and epoch.number == self.after:
            self.how()

    def on_unit(self, unit: Any, result: Any) -> None:
        """Let a finished seed be."""


def same(found: list[Any], expected: Any) -> None:
    """Require history and figures of one process in another."""
    # Gradients are summed in another order, in float32.
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(expected[0]), rtol=1e-5, atol=1e-6)
    assert found[1] == pytest.approx(expected[1])
