"""What the accelerated ways are known to be right for: unaltered models, plain numbers.

All ask here before they are tried. Anything that is not listed goes task by task over the whole graph.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit._torch_internals import LAZY_HOOK, MESSAGE_HOOKS
from graphkit.meta.items import AbstractItems, Nodes, Rows
from graphkit.nn.alteration import instance_alteration
from graphkit.operators import SparseOperator

FLOATS = (torch.float32, torch.float64)
"""Types whose numbers may be summed in another order."""

FEATURE_TYPES = (*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool)
"""Types of features: numbers, or what a model looks up."""


def is_unaltered(model: nn.Module) -> bool:
    """Tell whether no module of a model was altered since it was made, whatever its class.

    Looked for are hooks, those on a layer's messages and those of all modules among them, parametrisations, and methods
    replaced on a module, as explainers do, or on a class of the libraries. Hooks may do anything with what they see,
    which on an accelerated way is another thing.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> is_unaltered(model)
        True
        >>> model[0].register_forward_hook(print) and is_unaltered(model)
        False
    """
    return not any(map(_is_altered, model.modules()))


def _is_altered(module: nn.Module) -> bool:
    own = vars(module)
    return (
        isinstance(module, torch.jit.ScriptModule)
        or instance_alteration(module) is not None
        or LAZY_HOOK in own  # a lazy map, whose weight is not there yet
        or (isinstance(module, MessagePassing) and any(map(own.get, MESSAGE_HOOKS)))
    )


def plain_items(items: AbstractItems) -> bool:
    """Tell whether items are rows or nodes in plain numbers, of which nobody asks a gradient.

    Example:
        >>> edges, y = torch.tensor([[0], [1]]), torch.tensor([0, 1])
        >>> plain_items(Nodes(torch.eye(2), edges, y))
        True
        >>> plain_items(Nodes(torch.eye(2, requires_grad=True), edges, y))
        False
    """
    if type(items) is Rows:
        return _is_plain(items.x, FEATURE_TYPES)
    if type(items) is not Nodes or not _is_plain(items.edge_index, (torch.int64,)) or not items.edge_index.size(1):
        return False
    x, weight = items.x, items.edge_weight
    return (
        _is_plain(x, FEATURE_TYPES)
        and x.dim() == 2
        and (weight is None or (_is_plain(weight, (x.dtype,) if x.dtype in FLOATS else FLOATS) and weight.dim() == 1))
    )


def _is_plain(x: Any, dtypes: tuple[torch.dtype, ...]) -> bool:
    """Tell whether ``x`` is an array or an operator of numbers of some types, of which nobody asks a gradient."""
    if type(x) is SparseOperator:
        known = x.constant
    else:
        known = type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided and not x.requires_grad
    return known and x.dtype in dtypes and not torch.is_autocast_enabled(x.device.type)


def tensor_methods(*names: str) -> set[Any]:
    """Return methods of tensors as ``__torch_function__`` is handed them: of attributes, what reads them."""
    found = [getattr(Tensor, name) for name in names]
    return {each.__get__ if inspect.isgetsetdescriptor(each) else each for each in found}


TYPE_QUERIES = tensor_methods(
    "device", "dtype", "layout", "requires_grad", "is_cuda", "is_floating_point", "is_complex"
)
SHAPE_QUERIES = TYPE_QUERIES | tensor_methods("shape", "ndim", "size", "dim", "__len__")
"""What functions read of a tensor without a look at its numbers."""
