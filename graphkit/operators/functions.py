"""How this package's differentiable functions are called, and how they meet ``vmap`` and the compiled kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._torch_internals import (
    add_batch_dim,
    is_legacy_batched,
    legacy_vmap_level,
    remove_batch_dim,
    unwrap_dead_wrappers,
)
from graphkit._torch_internals import forward_mode as forward_mode
from graphkit._torch_internals import inside_transform as inside_transform
from graphkit._torch_internals import mapped_over as mapped_over

COMPILED = (torch.float32, torch.float64)
"""Types that the fused kernels take, on the CPU; the rest goes through compositions of PyTorch's own operations."""


def compiled(*tensors: Tensor) -> bool:
    """Tell whether the fused kernels take the tensors: on the CPU, and all of one of their types."""
    first = tensors[0]
    return first.device.type == "cpu" and first.dtype in COMPILED and all(t.dtype == first.dtype for t in tensors)


def kernel_arrays(first: Tensor, *others: Tensor | None) -> list[np.ndarray]:
    """Return tensors as kernels read and write them; an array like the first, but empty, stands for ``None``."""
    array = first.detach().contiguous().numpy()
    absent = np.empty((0,) * array.ndim, array.dtype)
    return [array, *(absent if x is None else x.detach().contiguous().numpy() for x in others)]


class AbstractFunction(torch.autograd.Function):
    """A differentiable function whose call costs little; all arguments are given by position.

    At every call of a function that has ``setup_context`` PyTorch works out the signature of ``forward`` to fill in
    defaults: 50 microseconds, a fifth of an epoch on Cora. Outside ``torch.func`` transforms the step is passed over.

    Its ``backward`` takes batches of gradients, as ``torch.autograd.grad(..., is_grads_batched=True)`` hands them, and
    its ``jvp`` batches of directions.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for way in {"backward", "jvp"} & vars(cls).keys():
            setattr(cls, way, staticmethod(one_by_one(getattr(cls, way))))

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Return what ``forward`` returns, recorded for differentiation where a gradient is wanted."""
        if torch.compiler.is_dynamo_compiling():
            return torch.compiler.disable(cls.apply)(*arguments)  # the graph breaks here: kernels cannot be traced
        base: Any = super()
        if not inside_transform():
            base = super(torch.autograd.Function, cls)
            arguments = unwrap_dead_wrappers(arguments)  # left over from a transform that has ended
        return base.apply(*arguments)


def one_by_one(derivative: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``backward`` or ``jvp`` that is run for each part of a batch in turn, and as it is without a batch.

    These batches come from an older ``vmap`` of PyTorch, whose tensors hide an axis and which knows nothing of
    ``torch.func``: no kernel can read them.
    """

    @functools.wraps(derivative)
    def wrapped(ctx: Any, *given: Any) -> Any:
        hidden = [isinstance(g, Tensor) and is_legacy_batched(g) for g in given]
        if not any(hidden):
            return derivative(ctx, *given)
        level = legacy_vmap_level()
        batches = [remove_batch_dim(g, level, 0, 0) if h else g for g, h in zip(given, hidden, strict=True)]
        found = [
            derivative(ctx, *(b[k] if h else b for b, h in zip(batches, hidden, strict=True)))
            for k in range(len(batches[hidden.index(True)]))
        ]
        if isinstance(found[0], Tensor):
            return add_batch_dim(torch.stack(found), 0, level)
        stacked = (None if parts[0] is None else torch.stack(parts) for parts in zip(*found, strict=True))
        return tuple(None if s is None else add_batch_dim(s, 0, level) for s in stacked)

    return wrapped


def stacked_tasks(x: Any, dim: int | None, tasks: int) -> Any:
    """Return ``x`` with the axis that ``vmap`` hides put second; what all tasks share is expanded, ``None`` stays."""
    if x is None:
        return None
    return x.unsqueeze(1).expand(-1, tasks, *x.shape[1:]) if dim is None else x.movedim(dim, 1)


def side_by_side(tensors: Sequence[Any], dims: Sequence[int | None], tasks: int) -> list[Any]:
    """Return tensors whose second axis holds that of all tasks in turn, as further heads or features."""
    stacked = (stacked_tasks(x, dim, tasks) for x, dim in zip(tensors, dims, strict=True))
    return [x if x is None else x.flatten(1, 2) for x in stacked]


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: list[Tensor | None], grad: Tensor
) -> list[Tensor | None]:
    """Return the gradients of a composed function at those inputs that are tensors, themselves differentiable."""
    given = [k for k, value in enumerate(inputs) if value is not None]

    def of_given(*tensors: Tensor) -> Tensor:
        full = list(inputs)
        for k, tensor in zip(given, tensors, strict=True):
            full[k] = tensor
        return function(*full)

    pull = torch.func.vjp(of_given, *(inputs[k] for k in given))[1]
    gradients: list[Tensor | None] = [None] * len(inputs)
    for k, gradient in zip(given, pull(grad), strict=True):
        gradients[k] = gradient
    return gradients
