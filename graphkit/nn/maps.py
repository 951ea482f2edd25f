"""Linear maps and networks inside layers, computed as modules would, with fewer arrays."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter

from graphkit.nn.alteration import alteration, bare
from graphkit.nn.inputs import traced
from graphkit.operators.autograd import inside_transform
from graphkit.operators.feature_matrix import linear


def mapped(lin: Any, x: Any, bias: Tensor | None = None, *, plus: Tensor | None = None) -> Tensor:
    """Return ``x W^T + bias + plus`` for a PyG ``Linear``, whose own bias is used where it is given as ``bias``.

    A lazy map is made first, an altered one is called as the module it is. ``plus`` is a fresh tensor that may be
    overwritten: a new array of this size costs more than the addition.
    """
    if traced() or not bare(lin):
        out = lin(x)  # somebody may hold it, so that nothing is written to it
        out = out if bias is None or bias is getattr(lin, "bias", None) else out + bias
        return out if plus is None else out + plus
    materialized(lin, x)
    if plus is None:
        return linear(x, lin.weight, bias)
    one_type = isinstance(x, Tensor) and x.dtype == plus.dtype == lin.weight.dtype
    if bias is not None or not one_type or x.dim() != 2 or inside_transform():
        return plus + linear(x, lin.weight, bias)
    return plus.addmm_(x, lin.weight.t().contiguous())


def applied(network: Any, x: Any) -> Tensor:
    """Return ``network(x)``; the linear maps of a network as it was made are computed as those of our layers are."""
    known = type(network) in (torch.nn.Sequential, torch.nn.Linear, Linear) and isinstance(x, Tensor)
    if not known or alteration(network) is not None:
        return network(x)
    if type(network) is torch.nn.Sequential:
        for part in network:
            x = applied(part, x)
        return x
    return linear(x, network.weight, network.bias)


def biased(out: Tensor, bias: Tensor | None, *, fresh: bool) -> Tensor:
    """Return ``out + bias``; a fresh tensor, which nobody else holds, is overwritten: cheaper than a new one."""
    if bias is None:
        return out
    if not fresh or inside_transform() or torch.compiler.is_compiling() or out.dtype != bias.dtype:
        return out + bias
    return out.add_(bias)


def materialized(lin: Any, x: Any) -> None:
    """Give a lazy ``Linear`` its weight, as calling it on ``x`` would."""
    if isinstance(lin, Linear) and is_uninitialized_parameter(lin.weight):
        lin.initialize_parameters(lin, (x,))
