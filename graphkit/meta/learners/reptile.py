"""Reptile: the start moves towards where the tasks lead."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.meta.learners.gradient import AbstractGradientLearner
from graphkit.meta.modes import model_lock
from graphkit.meta.tasks import Task


class Reptile(AbstractGradientLearner):
    r"""No gradient through the steps and no query: the start moves by the mean displacement of the tasks.

    ``meta_loss`` is :math:`\tfrac12 \lVert \theta - \theta_T \rVert^2` with :math:`\theta_T` held constant: its
    gradient is the displacement :math:`\theta - \theta_T`, so that plain gradient descent at rate :math:`\epsilon` is
    the paper's step, and Adam its Adam.

    Args:
        model: any module with as many outputs as tasks have classes.
        inner_lr, inner_steps, dropout, statistics: see :class:`AbstractGradientLearner`.

    Source: Nichol, Achiam & Schulman (2018), arXiv:1803.02999.

    Example:
        >>> learner = Reptile(torch.nn.Linear(4, 2), inner_lr=0.1, inner_steps=3)
        >>> learner.order
        1
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        inner_lr: float = 0.1,
        inner_steps: int = 5,
        dropout: bool = False,
        statistics: str = "task",
    ) -> None:
        super().__init__(
            model,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            order=1,
            dropout=dropout,
            statistics=statistics,
        )

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return half the mean squared distance to where the tasks lead."""
        self._look_at(tasks)
        total = torch.zeros(())
        for task in tasks:
            with torch.no_grad():
                there = self.adapt(task)
            with model_lock():
                start = self.moving()
            for name, here in start.items():
                total = total.to(here) + (here - there[name]).square().sum() / 2
        return total / len(tasks)
