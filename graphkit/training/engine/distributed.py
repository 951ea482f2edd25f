"""The processes of a job: who they are, what they tell each other, on what device and in what precision they run."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from graphkit._checks import instance, member
from graphkit._torch_internals import MODULES
from graphkit.data.distributed.row_exchange import mark_waiting, waiting_seconds
from graphkit.training.engine.interrupts import LAUNCHED, TrainingError, end_with_launcher, hang_up_on_stop

if TYPE_CHECKING:
    from lightning_fabric import Fabric


PATIENCE = datetime.timedelta(minutes=10)
"""How long a process waits for one that is silent but not known to be dead, such as on a machine without power."""

IN_TURNS = datetime.timedelta(days=1)
"""How long processes that take seeds or folds in turns wait for the one whose turn takes longest."""


CPU = torch.device("cpu")
HALF = (torch.bfloat16, torch.float16)
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")
LAUNCHER = "LT_"
"""How the variables begin by which ``fabric run`` tells Fabric of its options."""


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


@contextmanager
def rng_seed(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Begin the generators of the CPU and of ``device`` with ``seed``; afterwards they are as they were."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def known_device(device: torch.device | str) -> torch.device:
    """Return a device as PyTorch has it, "cpu:0" as "cpu".

    Raises:
        ValueError: for words that name none.
        TypeError: for anything but words, or a device.
    """
    instance("device", device, (str, torch.device), "one as 'cpu' or 'cuda:1'")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"`device` must be one as 'cpu' or 'cuda:1', got {device!r}.") from None
    return CPU if found.type == "cpu" else found


def own_device(device: str) -> str:
    """Return what ``device`` means in this process where ``torchrun`` or ``fabric run`` started several.

    Of several processes on a machine with accelerators each has one of its own. What ``fabric run --accelerator`` says
    counts where ``device`` is "auto".
    """
    instance("device", device, str, "text such as 'cpu' or 'cuda:1'")
    if device == "auto":
        said = os.environ.get("LT_ACCELERATOR", "auto")
        device = "cuda" if said == "gpu" else said
    local = os.environ.get("LOCAL_RANK")
    several = local is not None and device in ("auto", "cuda") and torch.cuda.is_available()
    return f"cuda:{local}" if several else device


def fabric_on(device: str, precision: str) -> Fabric:
    """Return Fabric on one device.

    Under ``fabric run`` too it is one device: what the processes of a job tell each other is not Fabric's.

    Raises:
        ValueError: for a device or precision that does not exist here, or other words on it in ``fabric run``.
    """
    from lightning_fabric import Fabric

    # It would advise a faster and coarser product on every accelerator that has one.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    member("precision", precision, PRECISIONS)
    instance("device", device, str, "text such as 'cpu' or 'cuda:1'")
    name, colon, number = device.partition(":")
    if precision == "16-mixed" and (name == "cpu" or (name == "auto" and not torch.accelerator.is_available())):
        # Fabric would take bfloat16 instead, and the record would name a precision that was not used.
        raise ValueError("`precision` '16-mixed' needs an accelerator; on a CPU take 'bf16-mixed'.")
    try:
        if colon and not number.isdecimal():
            raise ValueError("a number must follow the colon, as in 'cuda:1'.")
        with _without_launcher(precision):
            return Fabric(accelerator=name, devices=[int(number)] if number else 1, precision=precision)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"`device` {device!r} with `precision` {precision!r} cannot be used here: {first}") from None


@contextmanager
def _without_launcher(precision: str) -> Iterator[None]:
    """Hide from Fabric what ``fabric run`` told it: as many devices in each process as the job has processes."""
    said = {name: value for name, value in os.environ.items() if name.startswith(LAUNCHER)}
    for name, ours in (("LT_PRECISION", precision), ("LT_STRATEGY", "ddp")):
        if said.get(name, ours) != ours:
            option = name.removeprefix(LAUNCHER).lower()
            raise ValueError(f"`fabric run --{option} {said[name]}` is not followed here, which is {ours!r}")
    for name in said:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(said)


def in_precision(module: nn.Module, fabric: Fabric) -> Any:
    """Return a module as it is called in Fabric's precision: as it is, unless that is another one than float32."""
    return module if fabric.strategy.precision.precision == "32-true" else AutocastModule(module, fabric)


class AutocastModule(nn.Module):
    """A module, called under Fabric's autocast; results in half precision come back in float32.

    Fabric's own wrapper also converts the arguments of every call: it takes apart the dataclasses that a graph is made
    of, or refuses them. What we pass is of the right type already. Weights go by their names in the module.

    Args:
        module: that Fabric has set up.
        fabric: knows the precision.
    """

    def __init__(self, module: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.module, self.fabric = module, fabric

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the module returns."""
        return self._call(self.module, *args, **kwargs)

    def loss(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the module's method of this name returns, of those that have one."""
        return self._call(self.module.loss, *args, **kwargs)  # type: ignore[arg-type]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's weights."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Give the module other weights."""
        return self.module.load_state_dict(*args, **kwargs)

    def _call(self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        with self.fabric.autocast():
            found = function(*args, **kwargs)
        return found.float() if found.dtype in HALF else found

    def __getattr__(self, name: str) -> Any:
        return vars(self)[MODULES][name] if name == "module" else getattr(self.module, name)
