"""The package's differentiable functions: how they are called, and how they meet ``vmap`` and compiled kernels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from graphkit._torch_internals import (
    add_batch_dim,
    clear_interpreter_stack,
    forward_mode,
    inside_transform,
    is_legacy_batched,
    is_wrapped,
    legacy_vmap_level,
    remove_batch_dim,
    unwrap_dead_wrappers,
)

MISSING = object()
"""Where a tensor stood among the arguments of a function: tensors are saved apart."""

COMPILED = (torch.float32, torch.float64)
"""Types that the fused kernels take, on the CPU; the rest goes through compositions of PyTorch's own operations."""


def has_kernel(*tensors: Tensor) -> bool:
    """Tell whether the fused kernels take the tensors: on the CPU, and all of one of their types."""
    first = tensors[0]
    return first.device.type == "cpu" and first.dtype in COMPILED and all(t.dtype == first.dtype for t in tensors)


def kernel_arrays(first: Tensor, *others: Tensor | None) -> list[np.ndarray]:
    """Return tensors as kernels read and write them; an array like the first, but empty, stands for ``None``."""
    array = first.detach().contiguous().numpy()
    absent = np.empty((0,) * array.ndim, array.dtype)
    return [array, *(absent if x is None else x.detach().contiguous().numpy() for x in others)]


@contextlib.contextmanager
def outside_transforms() -> Iterator[None]:
    """Leave every ``torch.func`` transform and inference mode, for structures that outlive them.

    Inside ``grad`` or ``vmap`` every result is a wrapper that dies with the transform, and what inference mode makes
    cannot be trained with later; a graph prepared there must hold neither. PyTorch has no public name for leaving a
    transform, and its ``_DisableFuncTorch`` is not enough: an ``autograd.Function`` still asks for what it hides.
    """
    inferring = torch.is_inference_mode_enabled()
    with clear_interpreter_stack(), torch.inference_mode(False) if inferring else contextlib.nullcontext():
        yield


def is_readable(tensor: Tensor) -> bool:
    """Tell whether no transform wraps a tensor and no forward derivative is taken of it."""
    if is_wrapped(tensor):
        return False
    return not forward_mode() or forward_ad.unpack_dual(tensor).tangent is None


def is_cacheable(tensor: Tensor | None) -> bool:
    """Tell whether what is made of a tensor's numbers may be cached: no derivative is taken of them."""
    return tensor is None or (not tensor.requires_grad and is_readable(tensor))


class AbstractFunction(torch.autograd.Function):
    """A differentiable function whose call costs little; all arguments are given by position.

    At every call of a function that has ``setup_context`` PyTorch works out the signature of ``forward`` to fill in
    defaults: 50 microseconds, a fifth of an epoch on Cora. Outside ``torch.func`` transforms the step is passed over.

    Its ``backward`` takes batches of gradients, as ``torch.autograd.grad(..., is_grads_batched=True)`` hands them, and
    its ``jvp`` batches of directions.
    """

    as_heads: ClassVar[int] = 0
    """How many leading arguments ``vmap`` puts side by side on their second axis, and the results; 0: see ``vmap``."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for way in {"backward", "jvp"} & vars(cls).keys():
            setattr(cls, way, staticmethod(loop_over_batch(getattr(cls, way))))
        if cls.as_heads:
            cls.vmap = staticmethod(functools.partial(_vmap_as_heads, cls))  # type: ignore[method-assign]

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


class AbstractKernelFunction(AbstractFunction):
    """A function whose value and gradient are kernels', and whose further gradients are those of a reference.

    ``forward`` returns the result, or a tuple of it and what ``gradients`` needs beside the inputs.
    """

    differentiable: ClassVar[int]
    """How many leading arguments have gradients, where they are given."""

    reference: ClassVar[Callable[..., Tensor]]
    """The result from the same arguments, composed of differentiable steps: the definition, and the tests' oracle."""

    gradients: ClassVar[Callable[..., tuple[Tensor | None, ...]]]
    """Gradients from the upstream one, which arguments want any, what ``forward`` left, and the arguments."""

    def __init_subclass__(cls) -> None:
        cls.backward = staticmethod(functools.partial(_kernel_backward, cls))  # type: ignore[method-assign]
        super().__init_subclass__()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save the tensors, and keep all else as it is."""
        ctx.extra = output[1:] if isinstance(output, tuple) else ()
        ctx.mark_non_differentiable(*ctx.extra)
        ctx.set_materialize_grads(False)  # zeros for what is left beside the result would be as large as it is
        ctx.save_for_backward(*ctx.extra, *(each for each in inputs if isinstance(each, Tensor)))
        ctx.extra = len(ctx.extra)
        ctx.constants = [MISSING if isinstance(each, Tensor) else each for each in inputs]


def _kernel_backward(cls: type[AbstractKernelFunction], ctx: Any, grad: Tensor | None, *_: Any) -> Any:
    if grad is None:
        return (None,) * len(ctx.constants)
    saved = iter(ctx.saved_tensors)
    extra = [next(saved) for _ in range(ctx.extra)]
    inputs = [next(saved) if each is MISSING else each for each in ctx.constants]
    found: Any
    if torch.is_grad_enabled():  # the gradient is differentiated again
        found = tuple(differentiable_gradients(cls.reference, inputs, cls.differentiable, grad))
    else:
        found = cls.gradients(grad, ctx.needs_input_grad, *extra, *inputs)
    return *found, *(None,) * (len(inputs) - len(found))


def _vmap_as_heads(cls: type[AbstractFunction], info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
    """Return results whose second axis holds those of all tasks in turn, as further heads or features."""
    count, tasks = cls.as_heads, info.batch_size
    found = cls.apply(*tasks_as_heads(inputs[:count], in_dims[:count], tasks), *inputs[count:])
    if isinstance(found, Tensor):
        return found.unflatten(1, (tasks, -1)), 1
    return tuple(part.unflatten(1, (tasks, -1)) for part in found), (1,) * len(found)


def loop_over_batch(derivative: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``backward`` or ``jvp`` that is run for each part of a batch in turn, and as it is without a batch.

    These batches come from an older ``vmap`` of PyTorch, whose tensors hide an axis and which knows nothing of
    ``torch.func``: no kernel can read them.
    """

    @functools.wraps(derivative)
    def loop(ctx: Any, *given: Any) -> Any:
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

    return loop


def stack_tasks(x: Any, dim: int | None, tasks: int) -> Any:
    """Return ``x`` with the axis that ``vmap`` hides put second; what all tasks share is expanded, ``None`` stays."""
    if x is None:
        return None
    return x.unsqueeze(1).expand(-1, tasks, *x.shape[1:]) if dim is None else x.movedim(dim, 1)


def tasks_as_heads(tensors: Sequence[Any], dims: Sequence[int | None], tasks: int) -> list[Any]:
    """Return tensors whose second axis holds that of all tasks in turn, as further heads or features."""
    stacked = (stack_tasks(x, dim, tasks) for x, dim in zip(tensors, dims, strict=True))
    return [x if x is None else x.flatten(1, 2) for x in stacked]


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Any], differentiable: int, grad: Tensor
) -> list[Tensor | None]:
    """Return the gradients, themselves differentiable, of a composed function at its leading inputs that are given."""
    places = [k for k in range(differentiable) if inputs[k] is not None]

    def of_given(*tensors: Tensor) -> Tensor:
        full = list(inputs)
        for k, tensor in zip(places, tensors, strict=True):
            full[k] = tensor
        return function(*full)

    pull = torch.func.vjp(of_given, *(inputs[k] for k in places))[1]
    gradients: list[Tensor | None] = [None] * differentiable
    for k, gradient in zip(places, pull(grad), strict=True):
        gradients[k] = gradient
    return gradients
