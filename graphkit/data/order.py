"""The order of a pass: a function of a seed and the pass, where PyTorch's depends on the kind of workers too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Sampler

from graphkit._kernels import neighbor_sampling


class Passing(Protocol):
    """What is passed through again and again: ``seed`` of its draws, and ``epoch``, which pass it is."""

    seed: int
    epoch: int


class PassOrder(Sampler[int]):
    """All numbers below ``length``, in an order that is drawn anew in every pass.

    Args:
        passing: tells seed and pass; an object and no function, so that a loader can be sent to a worker.
        length: how many.

    Example:
        >>> from types import SimpleNamespace
        >>> order = PassOrder(SimpleNamespace(seed=0, epoch=1), length=4)
        >>> sorted(order), list(order) == list(order)
        ([0, 1, 2, 3], True)
    """

    def __init__(self, passing: Passing, *, length: int = 0) -> None:
        self.passing, self.length = passing, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        key = int(neighbor_sampling.hop_key(np.uint64(self.passing.seed), self.passing.epoch))
        yield from torch.randperm(self.length, generator=torch.Generator().manual_seed(key >> 1)).tolist()
