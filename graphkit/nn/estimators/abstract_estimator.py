"""What every estimator on rows of numbers has: a fit, and buffers of any size that hold it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphkit._checks import at_least

KINDS = ("classes", "binary", "numbers")
"""Targets: the number of a class, yes or no for each task, or numbers."""


class AbstractEstimator(nn.Module, ABC):
    """A module without parameters: what is fitted is in its buffers, and a file of them is all that is needed.

    Args:
        outputs: numbers that are said of an item, at least 1.
    """

    variants: ClassVar[int] = 1
    """How many ways there are to fit it."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = at_least("outputs", outputs, 1)
        self.register_buffer("kind", torch.zeros((), dtype=torch.long))

    @abstractmethod
    def fit(self, rows: Tensor, targets: Tensor, kind: str, variant: int = 0) -> None:
        """Fit to items; what is drawn is drawn by PyTorch's generator.

        Args:
            rows: of the items, ``[items, columns]``.
            targets: classes ``[items]``; or for "binary" (0 and 1) and "numbers" ``[items, outputs]``, NaN where
                nothing is known.
            kind: "classes", "binary" or "numbers".
            variant: which of :attr:`variants`, from 0 on.
        """

    @abstractmethod
    def forward(self, rows: Tensor) -> Tensor:
        """Return what is said of ``rows [items, columns]``, ``[items, outputs]``: logits, or numbers.

        Raises:
            ValueError: before :meth:`fit`.
        """

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take buffers of any size."""
        for name, own in list(self.named_buffers(recurse=False)):
            if (given := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(given, device=own.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def evenly_spaced(items: int, most: int) -> Tensor:
    """Return evenly spaced numbers of so many items, at most ``most``, for what cannot look at all.

    Example:
        >>> evenly_spaced(3, 5).tolist(), evenly_spaced(9, 3).tolist()
        ([0, 1, 2], [0, 4, 8])
    """
    return torch.arange(items) if items <= most else torch.linspace(0, items - 1, most).long()
