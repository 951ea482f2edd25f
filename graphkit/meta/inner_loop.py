"""The inner loop: steps of gradient descent as a pure function of where they start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from graphkit._checks import at_least, fraction, not_negative
from graphkit._torch_internals import inside_transform
from graphkit.meta.tasks import Task

Parameters: TypeAlias = dict[str, Tensor]
"""A task's own parameters by name. Names of the model's are its own; those that begin with "@" are the task's."""

Loss: TypeAlias = Callable[[Parameters], Tensor]
Rate: TypeAlias = Callable[[str, int], Tensor | float]
"""From a parameter's name and a step to the rate."""


@dataclass(frozen=True, kw_only=True)
class InnerLoop:
    """How a learner adapts to a task: the settings of its gradient descent on the support.

    Args:
        lr, steps, order, multi_step: as ``inner_lr``, ``inner_steps``, ``order`` and ``multi_step`` of
            :class:`graphkit.meta.AbstractGradientLearner`, by which names an error calls them.

    Raises:
        ValueError: for values out of range.

    Example:
        >>> InnerLoop(steps=3)
        InnerLoop(lr=0.1, steps=3, order=2, multi_step=0.0)
    """

    lr: float = 0.1
    steps: int = 5
    order: int = 2
    multi_step: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.order, int) or self.order not in (1, 2):
            raise ValueError(f"`order` must be 1 or 2, got {self.order!r}.")
        object.__setattr__(self, "lr", not_negative("inner_lr", self.lr))
        object.__setattr__(self, "steps", at_least("inner_steps", self.steps, 0))
        object.__setattr__(self, "multi_step", fraction("multi_step", self.multi_step))


class InnerProblem(NamedTuple):
    """The inner loops of several tasks, as the accelerated ways are given them.

    Args:
        model: in the mode it is to be called in.
        tasks: of one form, over the same items.
        adapted: names of the model's parameters that the steps move.
        head: from the support's outputs ``[tasks, items, channels]`` to the task's own head, name -> ``[tasks, ...]``;
            ``None`` where the model's last layer is the head.
        read: from outputs and parameters to logits ``[tasks, items, ways]``.
        loop: steps and order.
        rate: of a parameter in a step.
    """

    model: nn.Module
    tasks: Sequence[Task]
    adapted: frozenset[str]
    head: Callable[[Tensor], Parameters] | None
    read: Callable[[Tensor, Parameters], Tensor]
    loop: InnerLoop
    rate: Rate


def descent(loss: Loss, start: Parameters, *, steps: int, rate: Rate, order: int) -> list[Parameters]:
    r"""Return the parameters before the first step and after each, ``steps + 1`` tables.

    .. math::
        \theta_{t+1} = \theta_t - \alpha_t \nabla \ell(\theta_t)

    Of order 2, the result is differentiable in ``start`` and in the rates with the second derivatives of the loss; of
    order 1 the gradients are taken as constants, so that :math:`\partial \theta_T / \partial \theta_0` is the identity.

    Args:
        loss: of a table of parameters.
        start: what is adapted.
        steps: how often, 0 or more.
        rate: from a name and a step to a number or a tensor that broadcasts with the parameter.
        order: 1 or 2.

    Source: Finn, Abbeel & Levine (2017), arXiv:1703.03400; order 1 is its first-order form.

    Example:
        >>> start = {"w": torch.tensor(1.0)}
        >>> path = descent(lambda p: (p["w"] ** 2).sum(), start, steps=2, rate=lambda *_: 0.1, order=2)
        >>> [round(table["w"].item(), 2) for table in path]
        [1.0, 0.8, 0.64]
    """
    path = [start]
    for step in range(steps):
        gradients = grad(loss)(path[-1]) if inside_transform() else _gradients(loss, path[-1], order)
        if order == 1:
            gradients = {name: gradient.detach() for name, gradient in gradients.items()}
        path.append({name: value - rate(name, step) * gradients[name] for name, value in path[-1].items()})
    return path


def _gradients(loss: Loss, table: Parameters, order: int) -> Parameters:
    """Return the gradient of a loss, as ``torch.func.grad`` does, whose wrapping costs more than a small model."""
    keep = order == 2 and torch.is_grad_enabled()
    with torch.enable_grad(), twice_differentiable(keep):
        leaves = {
            name: value.view_as(value) if keep and value.requires_grad else value.detach().requires_grad_()
            for name, value in table.items()
        }  # views: a head depends on the parameters it was made of
        gradients = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=keep)
    return dict(zip(table, gradients, strict=True))


@contextmanager
def twice_differentiable(wanted: bool) -> Iterator[None]:
    """Compute attention, where it is wanted, in a form that has a second derivative, which the fused ones have not.

    This is a setting of the process: learners take turns, see :func:`graphkit.meta.functional.model_lock`.
    """
    with sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext():
        yield


def require_used(loss: Loss, start: Parameters, *, twice: bool) -> None:
    """Refuse parameters that the loss does not depend on: they would be said to adapt, and never move.

    Where the loss is to be differentiated ``twice``, refuse operations that cannot be.
    """
    with torch.enable_grad(), twice_differentiable(twice):
        leaves = {name: value.detach().requires_grad_() for name, value in start.items()}
        value, wanted = loss(leaves), list(leaves.values())
        gradients = torch.autograd.grad(value, wanted, retain_graph=twice, allow_unused=True)
        if twice:
            _require_second_derivative(value, wanted)
    unused = [name for name, gradient in zip(leaves, gradients, strict=True) if gradient is None]
    if unused:
        raise ValueError(
            f"`model` has parameters that its outputs do not depend on: {', '.join(unused)}; "
            "take them out, or freeze them with requires_grad_(False)."
        )


def _require_second_derivative(value: Tensor, wanted: list[Tensor]) -> None:
    """Refuse a value some operation of which PyTorch cannot differentiate twice."""
    try:
        gradients = torch.autograd.grad(value, wanted, create_graph=True, allow_unused=True)
        sums = [gradient.sum() for gradient in gradients if gradient is not None and gradient.requires_grad]
        _ = torch.autograd.grad(sums, wanted, allow_unused=True) if sums else ()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"`model` cannot be differentiated twice ({reason}); take `order=1`, or another layer."
        ) from error
