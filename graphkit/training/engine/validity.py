"""What tells the result of a training from that of none: parameters that moved, numbers that are finite."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class TrainingError(RuntimeError):
    """A run that cannot go on, with what is left of it in the message."""


class InitialParameters:
    """The trainable parameters of a model before its training, to tell whether it learnt anything.

    Args:
        module: freshly drawn.
    """

    def __init__(self, module: nn.Module) -> None:
        self._pairs = [(now, now.detach().clone()) for now in module.parameters() if now.requires_grad]

    def has_changed(self) -> bool:
        """Return whether some parameter has changed since; a model that has none counts as moved."""
        if any(not torch.equal(now, before) for now, before in self._pairs):
            self._pairs = []  # the answer stays, the copies need not
        return not self._pairs

    def require_change(self, training: str) -> None:
        """Refuse to call it a training where no parameter changed.

        Raises:
            TrainingError: naming the training.
        """
        if not self.has_changed():
            raise TrainingError(
                f"{training} changed no parameter of the model, so there is no result; look at `lr`, `batch` and the "
                "training items."
            )


def require_finite(what: str, numbers: Iterable[Tensor]) -> None:
    """Refuse numbers of a training that are NaN or infinite.

    Raises:
        TrainingError: naming what they are.
    """
    if not all(bool(each.isfinite().all()) for each in numbers if each.is_floating_point()):
        raise TrainingError(f"the training diverged: {what} are not all finite; try a smaller `lr`.")
