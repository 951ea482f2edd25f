"""The processes of a job that train one model together: who they are, and what they tell each other."""

from __future__ import annotations

import datetime
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from graphkit.data.distributed.row_exchange import mark_waiting, waiting_seconds
from graphkit.training.interrupts import LAUNCHED, end_with_launcher, hung_up
from graphkit.training.validity import TrainingError

if TYPE_CHECKING:
    from graphkit.training.recipes import Recipe

PATIENCE = datetime.timedelta(minutes=10)
"""How long a process waits for one that is silent but not known to be dead, such as on a machine without power."""


class JobError(ValueError):
    """A call that is wrong in all processes of a job alike: it is enough that the first one says so."""


class Lost(TrainingError):
    """Another process of the job is gone, or this one has stopped waiting for it."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the job.

    Gradients and losses are added up, so that a step is the one that a single process takes over the same parts of a
    batch, up to the order of sums.

    Args:
        rank: number of this process, from 0; the first one alone writes and prints.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

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


def stated() -> Processes:
    """Return what ``torchrun`` says in the environment about this process; without it, the only one.

    Raises:
        ValueError: where the environment is not one that ``torchrun`` makes.
    """
    try:
        made = Processes(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    except ValueError:
        made = Processes(0, 0)
    if not 0 <= made.rank < made.count:
        raise ValueError("RANK and WORLD_SIZE in the environment make no job; start it with `torchrun`.")
    return made


@contextmanager
def connected(device: torch.device, *, patience: datetime.timedelta | None = None) -> Iterator[Processes]:
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
    processes = stated()
    if processes.count == 1:
        yield processes
        return
    if unsaid := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise JobError(
            f"WORLD_SIZE is {processes.count}, but {' and '.join(unsaid)}, where the processes meet, is not set; start "
            "the job with `torchrun`."
        )
    end_with_launcher()
    try:
        lines = _meet("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", processes, patience or PATIENCE)
    except RuntimeError as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"process {processes.rank} of {processes.count} did not meet the others: start as many as WORLD_SIZE says, "
            f"best with `torchrun` ({str(error).strip().splitlines()[0][:100]})."
        ) from None
    try:
        with hung_up(lambda: _hang_up(lines), waiting_seconds):
            yield processes
    finally:
        dist.destroy_process_group()


def _meet(backend: str, processes: Processes, patience: datetime.timedelta) -> dict[int, int]:
    """Join the other processes of the job, and none of another job that meets at the same place.

    Returns:
        Number -> identity of the sockets that lead to the others.
    """
    store, rank, count = next(rendezvous("env://", processes.rank, processes.count, timeout=patience))
    store.set_timeout(patience)
    _claim(store, processes)
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


def _claim(store: dist.Store, processes: Processes) -> None:
    """Say at the meeting place who this process is; each rank can be had once, and a machine belongs to one launch.

    Raises:
        TrainingError: where another process has this one's rank, or was started by another `torchrun` on this machine.
    """
    attempt, machine = (os.environ.get(name, "0") for name in ("TORCHELASTIC_RESTART_COUNT", "GROUP_RANK"))
    claims = {f"rank {processes.rank}": f"process {os.getpid()} on {socket.gethostname()}"}
    if launch := launched_as():
        claims[f"machine {machine}"] = f"the job {launch}"
    for what, mine in claims.items():
        held = store.compare_set(f"graphkit, attempt {attempt}, {what}", "", mine).decode()
        if held != mine:
            place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise TrainingError(
                f"{what} of {processes.count} at {place} is taken by {held}, and this is {mine}: of two jobs that meet "
                "at one place, end the one that is left over, or give another port."
            )


def launched_as() -> str:
    """Return what tells one start of `torchrun` from all others on this machine; nothing without it.

    Its run id need not: it is "none" unless one is given. The folder of its logs is drawn anew at each start.
    """
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE", "")
    return Path(errors).parents[2].name if errors.count(os.sep) > 3 else os.environ.get(LAUNCHED, "")


@contextmanager
def joined(recipe: Recipe, device: torch.device) -> Iterator[Processes]:
    """Give this process among those that train a recipe's model together, connected until the block ends.

    Raises:
        JobError: for a recipe that so many processes cannot share.
    """
    many, items = stated().count, recipe.model.items
    if many > 1 and items == "signals":
        raise JobError(
            f"{items} are trained on in one process, but {many} were started; start one, without `torchrun`."
        )
    if many > 1 and items == "nodes" and not recipe.fan_out:
        raise JobError(f"{many} processes train nodes in batches only: ask for it with `--sampled`.")
    if recipe.shares % many and not recipe.home:
        raise JobError(
            f"`shares` ({recipe.shares}) must be a multiple of the number of processes ({many}), so that "
            f"each has as many parts of a batch; `--set shares={many}`, or start another number of them."
        )
    if many > 1 and recipe.home and getattr(recipe.model, "norm", "none") == "batch":
        raise JobError("`home` leaves a process single nodes, which `norm` 'batch' cannot divide by; take 'layer'.")
    with connected(device) as processes:
        yield processes
