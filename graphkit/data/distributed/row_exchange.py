"""All-to-all exchange between the processes of a job: rows that one holds and another needs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

_since: float | None = None


@contextmanager
def mark_waiting() -> Iterator[None]:
    """Note that this process waits for the others until the block ends; Python acts on no signal meanwhile."""
    global _since
    _since = time.monotonic()
    try:
        yield
    finally:
        _since = None


def waiting_seconds() -> float:
    """Return for how many seconds this process has been waiting for the others; 0 where it does something."""
    since = _since
    return 0.0 if since is None else time.monotonic() - since


@dataclass(frozen=True)
class RowExchange:
    """This process among those that hold a graph together.

    Whatever it does, all of them do at the same time.

    Args:
        rank: number of this process, from 0.
        count: how many there are; more than one must be joined by ``torch.distributed``.

    Example:
        >>> RowExchange(0, 1).all_to_all([torch.arange(3)])[0].tolist()
        [0, 1, 2]
    """

    rank: int = 0
    count: int = 1

    def all_to_all(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Give ``parts[k]`` to process k, and return what each gave to this one.

        Args:
            parts: one tensor for each process, ``[rows, ...]``, alike but for the number of rows.

        Raises:
            ConnectionError: if another process is gone.
        """
        if self.count == 1:
            return list(parts)
        try:
            with mark_waiting():
                return self._all_to_all(parts)
        except RuntimeError as error:
            raise ConnectionError(
                f"process {self.rank} of {self.count} lost another one of the job; start all of them again with "
                f"`--resume` ({str(error).strip().splitlines()[0][:100]})."
            ) from None

    def _all_to_all(self, parts: Sequence[Tensor]) -> list[Tensor]:
        mine, shape, dtype = parts[self.rank], parts[0].shape[1:], parts[0].dtype
        others = [part if rank != self.rank else part[:0] for rank, part in enumerate(parts)]
        given = torch.tensor([len(part) for part in others])
        taken = torch.empty_like(given)
        dist.all_to_all_single(taken, given)
        # Bytes, since not every backend carries every type.
        rows = torch.cat(others).cpu().contiguous()
        width = shape.numel() * rows.element_size()
        out = torch.empty(int(taken.sum()), width, dtype=torch.uint8)
        dist.all_to_all_single(
            out, rows.reshape(-1).view(torch.uint8).view(len(rows), width), taken.tolist(), given.tolist()
        )
        came = list(out.view(-1).view(dtype).view(len(out), *shape).split(taken.tolist()))
        came[self.rank] = mine.cpu()
        return came
