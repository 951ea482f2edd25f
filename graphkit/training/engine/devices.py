"""The device of a run and its precision, as Lightning Fabric has them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphkit._checks import instance, member
from graphkit._torch_internals import MODULES

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CPU = torch.device("cpu")
HALF = (torch.bfloat16, torch.float16)
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")
LAUNCHER = "LT_"
"""How the variables begin by which ``fabric run`` tells Fabric of its options."""


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
