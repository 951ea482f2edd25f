"""All tasks over rows of a table at once under ``vmap``, for models of operations that are known to be right there.

Not everything is: the backward passes of PyTorch's normalisations with a weight, batched by ``vmap``, take mean and
variance as constants, so that their second derivatives are wrong without a word. So this lists what is known, and the
tests prove each entry; a model that does anything else is called task by task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from graphkit.meta.acceleration.eligibility import SHAPE_QUERIES, tensor_methods


class UnknownOperation(Exception):
    """Something that is not known to be differentiated rightly for many tasks at once."""


def _of(owners: tuple[Any, ...], names: str) -> set[Any]:
    return {getattr(owner, name) for name in names.split() for owner in owners if hasattr(owner, name)}


KNOWN = (
    SHAPE_QUERIES
    | tensor_methods("T", "mT")
    | _of((torch, Tensor), "add sub mul div neg abs square sqrt rsqrt exp log pow sin cos tanh sigmoid relu clamp")
    | _of((torch, Tensor), "gt lt ge le maximum minimum matmul mm bmm addmm sum mean softmax log_softmax logsumexp")
    | _of((torch, Tensor), "reshape flatten unsqueeze squeeze transpose permute t chunk split cat stack")
    | _of((Tensor,), "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __neg__")
    | _of((Tensor,), "__matmul__ __rmatmul__ view contiguous expand unflatten")
    | _of((torch,), "where")
    | _of((F,), "linear dropout normalize softmax log_softmax softmin group_norm rms_norm conv1d avg_pool1d")
    | _of((F,), "relu relu6 elu celu selu gelu silu mish leaky_relu prelu glu hardtanh hardswish threshold softplus")
    | _of((F,), "softsign logsigmoid hardshrink softshrink tanhshrink tanh sigmoid")
)
"""Functions whose first and second derivatives are right under ``vmap``."""


Given: TypeAlias = Tensor | None


def _layer_norm(
    x: Tensor, normalized_shape: Any, weight: Given = None, bias: Given = None, eps: float = 1e-5
) -> Tensor:
    return _scale_and_shift(F.layer_norm(x, normalized_shape, eps=eps), weight, bias, ())


def _batch_norm(
    x: Tensor,
    running_mean: Given,
    running_var: Given,
    weight: Given = None,
    bias: Given = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if training and running_mean is not None:
        raise UnknownOperation("statistics that a batch norm stores")
    plain = F.batch_norm(x, running_mean, running_var, None, None, training, momentum, eps)
    return _scale_and_shift(plain, weight, bias, (1,) * (x.dim() - 2))


def _scale_and_shift(x: Tensor, weight: Given, bias: Given, tail: tuple[int, ...]) -> Tensor:
    """Return normalised features times a weight plus a bias, each followed by axes of length 1."""
    x = x if weight is None else x * weight.reshape(*weight.shape, *tail)
    return x if bias is None else x + bias.reshape(*bias.shape, *tail)


def _basic_index(x: Tensor, index: Any) -> Tensor:
    parts = index if isinstance(index, tuple) else (index,)
    if not all(each is None or each is ... or isinstance(each, int | slice) for each in parts):
        raise UnknownOperation("rows by their numbers")
    return x[index]


REPLACEMENTS: dict[Any, Callable[..., Tensor]] = {
    F.layer_norm: _layer_norm,
    F.batch_norm: _batch_norm,
    Tensor.__getitem__: _basic_index,
}
"""Functions that are right with some arguments, or in pieces."""


class _KnownOperations(TorchFunctionMode):
    """Refuses, while it is entered, what is not known."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function if function in KNOWN else REPLACEMENTS.get(function)
        if found is None:
            raise UnknownOperation(getattr(function, "__name__", str(function)))
        return found(*args, **(kwargs or {}))


_in_vmap: ContextVar[bool] = ContextVar("all tasks at once", default=False)


@contextmanager
def only_known_operations() -> Iterator[None]:
    """Refuse, in the calls of a model, what is not known, while all tasks are taken at once."""
    if not _in_vmap.get():
        yield
        return
    try:
        with _KnownOperations():
            yield
    except RuntimeError as error:  # a function that ``vmap`` does not take; any other error comes again task by task
        raise UnknownOperation(str(error)) from error


def vmap_tasks(solve: Callable[..., Tensor], *inputs: Tensor) -> Tensor | None:
    """Return ``solve`` of each task's inputs, stacked, or ``None`` where the model does what is not known.

    Args:
        solve: from the inputs of one task to its result; it calls models within :func:`only_known_operations`.
        inputs: ``[tasks, ...]`` each.

    Example:
        >>> rows, layer = torch.ones(3, 4, 2), torch.nn.Linear(2, 1)
        >>> def solve(x, layer=layer):
        ...     with only_known_operations():
        ...         return layer(x)
        >>> vmap_tasks(solve, rows).shape
        torch.Size([3, 4, 1])
        >>> vmap_tasks(lambda x: solve(x, layer=torch.fft.fft), rows) is None
        True
    """
    before = _in_vmap.set(True)
    try:
        return vmap(solve, randomness="different")(*inputs)
    except UnknownOperation:
        return None
    finally:
        _in_vmap.reset(before)
