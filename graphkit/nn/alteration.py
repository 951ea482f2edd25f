"""Whether a module still does what its class says, so that a faster computation may stand in for it.

All fast ways ask here: those of the layers and those of the inner loops of meta-learning. They list what is known to
be good; whatever a user did to a module that is not on the list takes the plain way.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn
from torch_geometric.nn.dense.linear import Linear

from graphkit._torch_internals import (
    BACKWARD_HOOKS,
    BACKWARD_PRE_HOOKS,
    FORWARD_HOOKS,
    FORWARD_PRE_HOOKS,
    GLOBAL_HOOKS,
    LAZY_HOOK,
    MODULES,
)

LIBRARIES = ("graphkit.", "torch.", "torch_geometric.")
"""Packages whose classes are known to do what they say."""

_LINEAR_FORWARD = Linear.forward


def alteration(module: nn.Module) -> str | None:
    """Return in words what was done to a module since it was made, ``None`` where it is as its class made it.

    Looked for are hooks, its own or those of all modules, parametrisations, and methods replaced on the module or on
    its class. Of children nothing is said; hooks on states and gradients of tensors change no call.

    Example:
        >>> lin = nn.Linear(3, 2)
        >>> alteration(lin) is None
        True
        >>> _ = lin.register_forward_hook(lambda module, inputs, output: 2 * output)
        >>> alteration(lin)
        'a hook'
    """
    kind = type(module)
    if not kind.__module__.startswith(LIBRARIES):
        return f"the class {kind.__name__}, which is not known"
    return instance_alteration(module)


def instance_alteration(module: nn.Module) -> str | None:
    """Return what ``alteration`` does for a module of any class: what was done to it since it was made."""
    kind: Any = type(module)
    own = module.__dict__
    if kind.__module__.startswith(LIBRARIES) and not defining_module(kind.forward).startswith(LIBRARIES):
        return f"a `forward` of its own in the class {kind.__name__}"
    if "parametrizations" in own[MODULES]:
        return "a parametrisation"
    if not own.keys().isdisjoint(method_names(kind)):
        return f"`{min(method_names(kind) & own.keys())}` of its own"
    hooks = len(own[FORWARD_PRE_HOOKS]) - (kind is Linear and LAZY_HOOK in own)  # by which PyG's learns its width
    if hooks or own[FORWARD_HOOKS] or own[BACKWARD_HOOKS] or own[BACKWARD_PRE_HOOKS]:
        return "a hook"
    return "a hook on all modules" if any(GLOBAL_HOOKS) else None


def defining_module(function: Any) -> str:
    """Return the module that a function was written in, whatever it calls itself; "" for other callables."""
    return getattr(function, "__globals__", {}).get("__name__", "")


@functools.lru_cache(maxsize=1024)
def method_names(kind: Any) -> frozenset[str]:
    """Return the names of a class's methods, which an instance's own attributes may hide; not those of all modules."""
    names = [name for name in dir(kind) if callable(getattr(kind, name, None))]
    return frozenset(name for name in names if not (name.startswith("__") and hasattr(nn.Module, name)))


def is_plain_linear(lin: Any) -> bool:
    """Tell whether a map is PyG's ``Linear`` as it was made, neither hooked nor replaced by an adapter.

    That is ``alteration`` at half the price, for what is asked of every map in every call.
    """
    if type(lin) is not Linear or Linear.forward is not _LINEAR_FORWARD:
        return False
    own = lin.__dict__
    hooks = own[FORWARD_HOOKS] or own[BACKWARD_HOOKS] or own[BACKWARD_PRE_HOOKS] or any(GLOBAL_HOOKS)
    return not hooks and len(own[FORWARD_PRE_HOOKS]) == (LAZY_HOOK in own) and "forward" not in own
