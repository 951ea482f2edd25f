"""The processes of a job: who they are, and what they tell each other."""

from __future__ import annotations

import datetime
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from graphkit.data.distributed.row_exchange import mark_waiting, waiting_seconds
from graphkit.training.engine.interrupts import LAUNCHED, end_with_launcher, hang_up_on_stop
from graphkit.training.engine.validity import TrainingError

PATIENCE = datetime.timedelta(minutes=10)
"""How long a process waits for one that is silent but not known to be dead, such as on a machine without power."""

IN_TURNS = datetime.timedelta(days=1)
"""How long processes that take seeds or folds in turns wait for the one whose turn takes longest."""


class JobError(ValueError):
    """A call that is wrong in all processes of a job alike: it is enough that the first one says so."""


class Lost(TrainingError):
    """Another process of the job is gone, or this one has stopped waiting for it."""


@dataclass(frozen=True)
class World:
    """This process among those of the job.

    Gradients and losses are added up, so that a step is the one that a single process takes over the same parts of a
    batch, up to the order of sums.

    Args:
        rank: number of this process, from 0; the first one alone writes and prints.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def from_env(cls) -> Self:
        """Return what ``torchrun`` says in the environment about this process; without it, the only one.

        Raises:
            ValueError: where the environment is not one that ``torchrun`` makes.
        """
        try:
            rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        except ValueError:
            rank, count = 0, 0
        if not 0 <= rank < count:
            raise ValueError("RANK and WORLD_SIZE in the environment make no job; start it with `torchrun`.")
        return cls(rank, count)

    def add_gradients(self, model: nn.Module) -> None:
        """Put the sum over all processes in the place of each parameter's gradient."""
        if self.count == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        added = self.total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, added.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of ``value`` over all processes.

        Raises:
            Lost: if another process is gone.
        """
        if self.count == 1:
            return value
        value = value.clone()
        try:
            with mark_waiting():
                dist.all_reduce(value)
        except RuntimeError as error:
            raise Lost(
                f"process {self.rank} of {self.count} lost another one of the job; start all of them again with "
                f"`--resume` ({str(error).strip().splitlines()[0][:100]})."
            ) from None
        return value

    def any(self, here: bool, device: torch.device) -> bool:
        """Tell whether it is so in some process; all get the same answer."""
        return bool(self.total(torch.tensor(float(here), device=device)))

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their ranks.

        Raises:
            Lost: if another process is gone.
        """
        if self.count == 1:
            return [content]
        sizes = torch.zeros(self.count, dtype=torch.int64)
        sizes[self.rank] = len(content)
        sizes = self.total(sizes)
        table = torch.zeros(self.count, int(sizes.max()), dtype=torch.uint8)
        table[self.rank, : len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        table = self.total(table)  # all but one of the summands of a byte are 0
        return [bytes(row[:size].numpy()) for row, size in zip(table, sizes.tolist(), strict=True)]


ALONE = World()
"""The process of a job that has only one."""


@contextmanager
def init_world(device: torch.device, *, patience: datetime.timedelta | None = None) -> Iterator[World]:
    """Give this process among those that ``torchrun`` started, connected until the block ends.

    Args:
        device: what they tell each other may lie there.
        patience: in place of ``PATIENCE``, where they seldom tell each other anything. One that dies is noticed at
            once in any case.

    Raises:
        JobError: where the environment does not say where they meet.
        TrainingError: if the others do not come, or one comes that is of another job.
        Orphan: where the `torchrun` that started this process is gone.
    """
    world = World.from_env()
    if world.count == 1:
        yield world
        return
    if unsaid := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise JobError(
            f"WORLD_SIZE is {world.count}, but {' and '.join(unsaid)}, where the processes meet, is not set; start "
            "the job with `torchrun`."
        )
    end_with_launcher()
    try:
        lines = _rendezvous("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", world, patience or PATIENCE)
    except RuntimeError as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"process {world.rank} of {world.count} did not meet the others: start as many as WORLD_SIZE says, "
            f"best with `torchrun` ({str(error).strip().splitlines()[0][:100]})."
        ) from None
    try:
        with hang_up_on_stop(lambda: _hang_up(lines), waiting_seconds):
            yield world
    finally:
        dist.destroy_process_group()


def _rendezvous(backend: str, world: World, patience: datetime.timedelta) -> dict[int, int]:
    """Join the other processes of the job, and none of another job that meets at the same place.

    Returns:
        Number -> identity of the sockets that lead to the others.
    """
    store, rank, count = next(rendezvous("env://", world.rank, world.count, timeout=patience))
    store.set_timeout(patience)
    _claim(store, world)
    before = _sockets()
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=patience)
    return {number: identity for number, identity in _sockets().items() if before.get(number) != identity}


def _sockets() -> dict[int, int]:
    """Return number -> identity of the sockets of this process."""
    found = {}
    for name in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        try:
            about = os.fstat(int(name))
        except OSError:
            continue  # that by which the folder was read
        if stat.S_ISSOCK(about.st_mode):
            found[int(name)] = about.st_ino
    return found


def _hang_up(lines: dict[int, int]) -> None:
    """Close the connections to the other processes, which ends every wait for them with an error, here and there.

    Gloo has no way to give a wait up: ``abort`` does nothing, and ``destroy_process_group`` waits for it.
    """
    for number, identity in _sockets().items():
        if lines.get(number) == identity:
            try:
                with socket.socket(fileno=os.dup(number)) as line:
                    line.getpeername()  # one that waits for calls must not be shut: gloo ends the process for it
                    line.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _claim(store: dist.Store, world: World) -> None:
    """Say at the meeting place who this process is; each rank can be had once, and a machine belongs to one launch.

    Raises:
        TrainingError: where another process has this one's rank, or was started by another `torchrun` on this machine.
    """
    attempt, machine = (os.environ.get(name, "0") for name in ("TORCHELASTIC_RESTART_COUNT", "GROUP_RANK"))
    claims = {f"rank {world.rank}": f"process {os.getpid()} on {socket.gethostname()}"}
    if launch := launched_as():
        claims[f"machine {machine}"] = f"the job {launch}"
    for what, mine in claims.items():
        held = store.compare_set(f"graphkit, attempt {attempt}, {what}", "", mine).decode()
        if held != mine:
            place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise TrainingError(
                f"{what} of {world.count} at {place} is taken by {held}, and this is {mine}: of two jobs that meet "
                "at one place, end the one that is left over, or give another port."
            )


def launched_as() -> str:
    """Return what tells one start of `torchrun` from all others on this machine; nothing without it.

    Its run id need not: it is "none" unless one is given. The folder of its logs is drawn anew at each start.
    """
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE", "")
    return Path(errors).parents[2].name if errors.count(os.sep) > 3 else os.environ.get(LAUNCHED, "")
