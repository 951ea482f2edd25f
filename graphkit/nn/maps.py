"""Linear maps and networks inside layers, with fewer arrays, and the types of numbers that layers compute in."""

import functools
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter

from graphkit._torch_internals import inside_transform
from graphkit.nn.alteration import alteration, is_plain_linear
from graphkit.nn.inputs import is_tracing
from graphkit.operators.feature_matrix import linear

HALF = (torch.bfloat16, torch.float16)
"""Types of eight or eleven bits, in which many-termed sums and recurrences are not taken."""


def matrix_dtype(x: Any) -> torch.dtype:
    """Return the type of a matrix that features are multiplied by: theirs, but single precision for half."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def is_half(x: Any) -> bool:
    """Tell whether linear maps of ``x`` are in half precision, its own or that of autocast."""
    return x.dtype in HALF or (x.device.type != "meta" and torch.is_autocast_enabled(x.device.type))


def upcast(x: Tensor) -> Tensor:
    """Return half-precision numbers in single precision, others as they are."""
    return x.float() if x.dtype in HALF else x


def result_dtype(*parts: Any) -> torch.dtype:
    """Return the type of the sum of tensors, without those that are ``None``."""
    return functools.reduce(torch.promote_types, (part.dtype for part in parts if part is not None))


def apply_linear(lin: Any, x: Any, bias: Tensor | None = None, *, plus: Tensor | None = None) -> Tensor:
    """Return ``x W^T + bias + plus`` for a PyG ``Linear``, whose own bias is used where it is given as ``bias``.

    A lazy map is made first, an altered one is called as the module it is. ``plus`` is a fresh tensor that may be
    overwritten: a new array of this size costs more than the addition.
    """
    if is_tracing() or not is_plain_linear(lin):
        out = lin(x)  # somebody may hold it, so that nothing is written to it
        out = out if bias is None or bias is getattr(lin, "bias", None) else out + bias
        return out if plus is None else out + plus
    initialize_lazy(lin, x)
    if plus is None:
        return linear(x, lin.weight, bias)
    one_type = isinstance(x, Tensor) and x.dtype == plus.dtype == lin.weight.dtype
    if bias is not None or not one_type or x.dim() != 2 or inside_transform():
        return plus + linear(x, lin.weight, bias)
    return plus.addmm_(x, lin.weight.t().contiguous())


def apply_network(network: Any, x: Any) -> Tensor:
    """Return ``network(x)``; the linear maps of a network as it was made are computed as those of our layers are."""
    known = type(network) in (torch.nn.Sequential, torch.nn.Linear, Linear) and isinstance(x, Tensor)
    if not known or alteration(network) is not None:
        return network(x)
    if type(network) is torch.nn.Sequential:
        for part in network:
            x = apply_network(part, x)
        return x
    return linear(x, network.weight, network.bias)


def add_bias(out: Tensor, bias: Tensor | None, *, fresh: bool) -> Tensor:
    """Return ``out + bias``; a fresh tensor, which nobody else holds, is overwritten: cheaper than a new one."""
    if bias is None:
        return out
    if not fresh or inside_transform() or torch.compiler.is_compiling() or out.dtype != bias.dtype:
        return out + bias
    return out.add_(bias)


def initialize_lazy(lin: Any, x: Any) -> None:
    """Give a lazy ``Linear`` its weight, as calling it on ``x`` would."""
    if isinstance(lin, Linear) and is_uninitialized_parameter(lin.weight):
        lin.initialize_parameters(lin, (x,))
