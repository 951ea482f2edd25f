"""The inner loop: steps of gradient descent as a pure function of where they start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.func import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from graphkit._torch_internals import inside_transform

Loss = Callable[[dict[str, Tensor]], Tensor]
Rate = Callable[[str, int], Tensor | float]


def descent(loss: Loss, start: dict[str, Tensor], *, steps: int, rate: Rate, order: int) -> list[dict[str, Tensor]]:
    r"""Return the parameters before the first step and after each, ``steps + 1`` tables.

    .. math::
        \theta_{t+1} = \theta_t - \alpha_t \nabla \ell(\theta_t)

    Of order 2, the result is differentiable in ``start`` and in the rates with the second derivatives of the loss; of
    order 1 the gradients are taken as constants, so that :math:`\partial \theta_T / \partial \theta_0` is the identity.

    Args:
        loss: of a table of parameters.
        start: what moves.
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
        slopes = grad(loss)(path[-1]) if inside_transform() else _slopes(loss, path[-1], order)
        if order == 1:
            slopes = {name: slope.detach() for name, slope in slopes.items()}
        path.append({name: value - rate(name, step) * slopes[name] for name, value in path[-1].items()})
    return path


def _slopes(loss: Loss, table: dict[str, Tensor], order: int) -> dict[str, Tensor]:
    """Return the gradient of a loss, as ``torch.func.grad`` does, whose wrapping costs more than a small model."""
    keep = order == 2 and torch.is_grad_enabled()
    with torch.enable_grad(), twice_differentiable(keep):
        seen = {
            name: value.view_as(value) if keep and value.requires_grad else value.detach().requires_grad_()
            for name, value in table.items()
        }  # a head depends on what it was made of
        found = torch.autograd.grad(loss(seen), list(seen.values()), create_graph=keep)
    return dict(zip(table, found, strict=True))


@contextmanager
def twice_differentiable(wanted: bool) -> Iterator[None]:
    """Let attention be taken in a form that has a second derivative, which the fused ones do not, where it is wanted.

    This is a setting of the process: learners take turns, see :func:`graphkit.meta.modes.model_lock`.
    """
    with sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext():
        yield


def require_used(loss: Loss, start: dict[str, Tensor], *, twice: bool) -> None:
    """Refuse parameters that the loss does not depend on: they would be said to adapt, and never move.

    Where the loss is to be differentiated ``twice``, refuse operations that cannot be.
    """
    with torch.enable_grad(), twice_differentiable(twice):
        leaves = {name: value.detach().requires_grad_() for name, value in start.items()}
        value, wanted = loss(leaves), list(leaves.values())
        slopes = torch.autograd.grad(value, wanted, retain_graph=twice, allow_unused=True)
        if twice:
            _require_second_derivative(value, wanted)
    unused = [name for name, slope in zip(leaves, slopes, strict=True) if slope is None]
    if unused:
        raise ValueError(
            f"`model` has parameters that its outputs do not depend on: {', '.join(unused)}; "
            "take them out, or freeze them with requires_grad_(False)."
        )


def _require_second_derivative(value: Tensor, wanted: list[Tensor]) -> None:
    """Refuse a value some operation of which PyTorch cannot differentiate twice."""
    try:
        slopes = torch.autograd.grad(value, wanted, create_graph=True, allow_unused=True)
        known = [slope.sum() for slope in slopes if slope is not None and slope.requires_grad]
        _ = torch.autograd.grad(known, wanted, allow_unused=True) if known else ()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"`model` cannot be differentiated twice ({reason}); take `order=1`, or another layer."
        ) from error
