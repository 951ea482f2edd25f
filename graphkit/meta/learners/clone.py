"""The interface that users of learn2learn know: clone a learner, adapt the clone to a loss, call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.meta.functional import functional_call
from graphkit.meta.learners.abstract import Parameters, copied_buffers
from graphkit.meta.learners.inner import twice_differentiable
from graphkit.meta.modes import model_lock

if TYPE_CHECKING:
    from graphkit.meta.learners.gradient import AbstractGradientLearner


class Clone:
    """A model with parameters of its own, which :meth:`adapt` moves; the model itself is not touched.

    Calls see the model in the mode it is in; statistics that it stores then are the clone's own too. Gradients of what
    a clone returns reach the learner's parameters through all steps (order 2) or as if the steps were constants
    (order 1).

    Args:
        learner: MAML or one of its kin whose model has its own head.

    Raises:
        TypeError: for what is no learner that takes gradient steps.
        ValueError: for a learner that brings its own head, which needs a task.

    Source: the interface of learn2learn, Arnold et al. (2020), arXiv:2008.12284.

    Example:
        >>> from graphkit.meta import MAML
        >>> learner = MAML(torch.nn.Linear(3, 2), inner_lr=0.5)
        >>> clone = learner.clone()
        >>> clone.adapt(clone(torch.ones(4, 3)).square().mean())
        >>> bool((clone.parameters["bias"] != learner.model.bias).all())
        True
    """

    def __init__(self, learner: AbstractGradientLearner) -> None:
        if not isinstance(learner, torch.nn.Module) or not hasattr(learner, "moving"):
            raise TypeError(f"`learner` must be MAML or one of its kin, got {type(learner).__name__}.")
        if learner.temperature is not None:
            raise ValueError("`learner` brings a head of its own for each task; call `adapt(task)` of it instead.")
        self.learner, self.steps = learner, 0
        with model_lock():
            self.parameters: Parameters = learner.moving()
            self.buffers = copied_buffers(learner.model)

    def __call__(self, *inputs: Any) -> Tensor:
        """Return the model's outputs under the clone's parameters."""
        with model_lock(), twice_differentiable(self.learner.order == 2):
            return functional_call(self.learner.model, {**self.parameters, **self.buffers}, inputs)

    def adapt(self, loss: Tensor) -> None:
        """Take one inner step on a loss of what the clone returned.

        Raises:
            ValueError: where some parameter does not move the loss.
        """
        exact = self.learner.order == 2
        slopes = torch.autograd.grad(loss, list(self.parameters.values()), create_graph=exact, allow_unused=True)
        unused = [name for name, slope in zip(self.parameters, slopes, strict=True) if slope is None]
        if unused:
            raise ValueError(f"`loss` does not depend on {', '.join(unused)}.")
        self.parameters = {
            name: value - self.learner.rate(name, self.steps) * slope
            for (name, value), slope in zip(self.parameters.items(), slopes, strict=True)
        }
        self.steps += 1
