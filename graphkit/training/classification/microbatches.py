"""Microbatches: parts of a batch that processes take in turns, to the result of one process that takes all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from graphkit._torch_internals import BatchNorm

if TYPE_CHECKING:
    from graphkit.training.engine.distributed import World


class MicrobatchSlot(NamedTuple):
    """Number of a part in the epoch, its share of a step, and whether this process begins or ends the step with it."""

    number: int
    share: float
    first: bool
    last: bool


def take_turns(parts: Sequence[Tensor], world: World) -> list[tuple[int, Tensor]]:
    """Return the parts of a batch that this process takes, each with its number; a nameless empty one if none is left.

    Example:
        >>> from graphkit.training.engine.distributed import World
        >>> halves = torch.arange(5).tensor_split(2)
        >>> [(number, part.tolist()) for number, part in take_turns(halves, World(1, 2))]
        [(1, [3, 4])]
    """
    rank, count = world.rank, world.count
    return list(enumerate(parts))[rank::count] or [(rank, parts[0][:0])]


def microbatch_slots(
    parts: Sequence[tuple[int, Tensor]], items: int, before: int
) -> Iterator[tuple[MicrobatchSlot, Tensor]]:
    """Yield a process's parts of a batch, each with where it stands.

    Args:
        parts: with their numbers in the batch.
        items: of the whole batch.
        before: parts of the epoch that stand before the batch's.
    """
    for number, part in parts:
        ends = number == parts[0][0], number == parts[-1][0]
        yield MicrobatchSlot(before + number, len(part) / items, *ends), part


class RunningStatistics:
    r"""What batch norms remember of a step that is taken in microbatches, the same whatever the number of processes.

    Each share is normalised by its own mean and variance, and starts from the running ones :math:`r` before the step;
    after it they are the mean of what the microbatches :math:`s` with weights :math:`w_s` came to,

    .. math::
        r' = \sum_s w_s\, \big((1 - m)\, r + m\, r_s\big),

    which does not depend on who takes which share when. PyTorch's ``SyncBatchNorm`` normalises by the statistics of
    the whole batch instead, with a message between processes in every layer, and runs on accelerators alone.

    The same up to rounding, which is more than a last digit here: the gradient of a bias before a batch norm is 0 but
    for rounding, and Adam makes whole steps of that in float32. Losses of training do not see them, for the norm takes
    the bias away; what is measured by running means does, which lag behind. In float64 they vanish below Adam's eps.

    Args:
        model: with any number of batch norms, perhaps none.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [norm for norm in model.modules() if isinstance(norm, BatchNorm) and norm.track_running_stats]
        self._means: list[Tensor] = [each for norm in norms for each in (norm.running_mean, norm.running_var)]  # type: ignore[misc]
        self._counts: list[Tensor] = [norm.num_batches_tracked for norm in norms]  # type: ignore[misc]
        self._before: list[Tensor] = []
        self._sum = torch.zeros(0)

    def begin(self, *, first: bool) -> None:
        """Go back to the statistics before the step, where the share is not the first of this process."""
        if first:
            self._before = [each.clone() for each in (*self._means, *self._counts)]
            self._sum = torch.zeros_like(self._flat())
            return
        for now, before in zip((*self._means, *self._counts), self._before, strict=True):
            now.copy_(before)

    def end(self, share: float, world: World, *, last: bool) -> None:
        """Add what the share came to; at the end of the step take the sum over all processes."""
        self._sum += share * self._flat()
        if last and self._means:
            mean = world.total(self._sum)
            for now, part in zip(self._means, mean.split([each.numel() for each in self._means]), strict=True):
                now.copy_(part.view_as(now))

    def _flat(self) -> Tensor:
        return torch.cat([each.reshape(-1) for each in self._means]) if self._means else torch.zeros(0)
