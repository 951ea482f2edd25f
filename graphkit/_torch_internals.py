"""Private names of PyTorch and PyTorch Geometric: every one that the package uses, what for, and what if it goes.

No other file uses a private name of theirs, and ``tests/test_torch_internals.py`` shows that each means what is said
here: where a new version of either changes one, that test fails and this file is mended.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch._functorch import pyfunctorch, utils
from torch.autograd import forward_ad
from torch.nn.modules import batchnorm, module
from torch.nn.utils import parametrizations

# Transforms of torch.func

clear_interpreter_stack = pyfunctorch.temporarily_clear_interpreter_stack
"""Context in which no ``torch.func`` transform is under way, for what outlives it; without it nothing may be prepared
inside of one."""

unwrap_dead_wrappers = utils.unwrap_dead_wrappers
"""Arguments without wrappers of a transform that has ended; without it ``setup_context`` costs 50 us at every call."""

is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a transform wraps a tensor, whose numbers are then not looked at; without it none are inside of one."""

unwrap = torch._C._functorch.get_unwrapped
"""What is inside of a wrapped tensor; without it a Cayley filter keeps the degree it knew last under ``vmap``."""

_is_batched = torch._C._functorch.is_batchedtensor
_peek_interpreter_stack = torch._C._functorch.peek_interpreter_stack


def inside_transform() -> bool:
    """Tell whether a ``torch.func`` transform is under way, under which writing in place may be refused.

    Without it every fast way that writes in place has to be left.
    """
    return _peek_interpreter_stack() is not None


def is_vmapped(x: Any) -> bool:
    """Tell whether ``torch.vmap`` runs over an axis of a tensor; without it mapped graphs are refused less clearly."""
    while isinstance(x, Tensor) and is_wrapped(x):
        if _is_batched(x):
            return True
        x = unwrap(x)
    return False


def forward_mode() -> bool:
    """Tell whether derivatives are taken forwards, as ``torch.func.jvp`` and ``jacfwd`` do.

    Without it every tensor has to be asked for its tangent.
    """
    return forward_ad._current_level >= 0


# Batches of gradients: torch.autograd.grad(..., is_grads_batched=True), an older vmap than torch.func's

is_legacy_batched = torch._C._functorch.is_legacy_batchedtensor
"""Whether a tensor hides an axis of such a batch; without it kernels cannot take batches of gradients."""

remove_batch_dim = torch._remove_batch_dim
"""``(x, level, batch size, dim)``: the tensor with the hidden axis in sight."""

add_batch_dim = torch._add_batch_dim
"""``(x, dim, level)``: the tensor with that axis hidden again."""


def legacy_vmap_level() -> int:
    """Return the level of the batch of gradients under way: that before the one that would come next."""
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    return level


# Tracing

_FAKE = torch._C._TorchDispatchModeKey.FAKE
_get_dispatch_mode = torch._C._get_dispatch_mode


def in_fake_mode() -> bool:
    """Tell whether tensors are made without numbers, as ``torch.export`` does; without it each has to be asked."""
    return _get_dispatch_mode(_FAKE) is not None


assert_async = torch._assert_async
"""A check in a compiled graph, of numbers that cannot be looked at yet; without it there is none in compiled models."""

# Tensors

version_of = operator.attrgetter("_version")
"""The counter of changes in place of a tensor that is none of inference mode; without it caches see numbers only."""


def coo_parts(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices and values of a COO matrix that need not be coalesced; else it has to be coalesced first."""
    return matrix._indices(), matrix._values()


# Modules

BatchNorm = batchnorm._BatchNorm
"""The class that all batch normalisations come from; else they are listed, ``BatchNorm1d`` and the others."""

WeightNormParametrization = parametrizations._WeightNorm
"""What ``parametrizations.weight_norm`` registers; without it such norms are constants in second derivatives."""

weight_norm = torch._weight_norm
"""The function that it calls, which is taken in pieces where one differentiates twice."""

GLOBAL_HOOKS = (
    module._global_forward_pre_hooks,
    module._global_forward_hooks,
    module._global_backward_pre_hooks,
    module._global_backward_hooks,
)
"""Hooks of all modules, kept up to date; without them such hooks go unheard on fast ways."""

FORWARD_PRE_HOOKS, FORWARD_HOOKS = "_forward_pre_hooks", "_forward_hooks"
BACKWARD_PRE_HOOKS, BACKWARD_HOOKS = "_backward_pre_hooks", "_backward_hooks"
"""Where a module's ``__dict__`` has its hooks, by number; fast ways are for modules without any."""

MODULES = "_modules"
"""Where a module's ``__dict__`` has its children, by name; ``named_children`` leaves out those that stand twice."""

children_of = operator.attrgetter(MODULES)
parameters_of = operator.attrgetter("_parameters")
buffers_of = operator.attrgetter("_buffers")
"""A module's own children, parameters and buffers by name, those that are ``None`` and those named twice included."""

module_name = operator.methodcaller("_get_name")
"""The name by which a module is printed, which a module that stands for another may give as that one's."""

forward_pre_hooks_of = operator.attrgetter(FORWARD_PRE_HOOKS)
"""A module's own hooks before ``forward``, among which the older weight norm is found."""

# PyG's layers

LAZY_HOOK = "_hook"
"""Where the ``__dict__`` of PyG's ``Linear`` has the hook by which it learns its width, until it has."""

EXPLAIN = "_explain"
"""Where the ``__dict__`` of a ``MessagePassing`` says whether an explainer looks at it, which sees the plain way."""

PRODUCT_HOOKS = "_message_and_aggregate_forward_pre_hooks", "_message_and_aggregate_forward_hooks"
MESSAGE_HOOKS = tuple(
    f"_{step}_forward_{when}"
    for step in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
    for when in ("pre_hooks", "hooks")
)
"""Where the ``__dict__`` of a ``MessagePassing`` has the hooks on its messages, which see the plain way only."""

PRIVATE_STEPS = ("_get_", "_set_jit", "_jinja", "_orig")
"""How methods of a ``MessagePassing`` begin that are no steps of a layer."""

_CACHED_EDGES, _CACHED_MATRIX = "_cached_edge_index", "_cached_adj_t"


def original_step(kind: type, step: str, otherwise: Any = None) -> Any:
    """Return a step of a layer's class as it was before PyG wrote it anew for the class."""
    return getattr(kind, f"_orig_{step}", otherwise)


def generated_step(kind: type, step: str) -> Any:
    """Return a step that PyG has written for a layer's class, ``None`` where it has not."""
    return getattr(kind, f"_jinja_{step}", None)


def generated_module(kind: type, step: str) -> str:
    """Return the name of the module that PyG makes for a step it writes; else our layers cannot tell whose it is."""
    return f"{kind.__module__}_{kind.__name__}_{step}"


def cached_edges(conv: Any) -> Any:
    """Return the edges and weights that a ``GCNConv`` with ``cached`` keeps, ``None`` before its first call."""
    return getattr(conv, _CACHED_EDGES)


def keep_edges(conv: Any, edges: Any) -> None:
    """Let a ``GCNConv`` keep edges and weights, or for ``None`` nothing at all."""
    setattr(conv, _CACHED_EDGES, edges)
    if edges is None:
        setattr(conv, _CACHED_MATRIX, None)


def keeps_graph(conv: Any) -> bool:
    """Tell whether a ``GCNConv`` keeps a graph, as edges or as a matrix."""
    return getattr(conv, _CACHED_EDGES) is not None or getattr(conv, _CACHED_MATRIX) is not None


# PyG's data

DOWNLOAD, PROCESS = "_download", "_process"
"""Methods of ``Dataset`` that look for files and write its own; without them its classes cannot be read by halves."""

fields_of_graph = operator.attrgetter("_global_store")
"""The fields of a ``HeteroData`` that belong to no type, as a dictionary; else ``to_dict()["_global_store"]``."""

joined_graphs = operator.attrgetter("_data")
"""All graphs of an ``InMemoryDataset`` in one ``Data``, without the warning of ``dataset.data``."""

chosen_graphs = operator.attrgetter("_indices")
"""Places of the graphs of a part of a ``Dataset`` in the whole, ``None`` for the whole."""


def set_layout(batch: Any, graphs: int, slices: dict[str, Tensor], increments: dict[str, Tensor]) -> None:
    """Tell a ``Batch`` how many graphs it has and where their rows are, as ``Batch.from_data_list`` does."""
    batch._num_graphs, batch._slice_dict, batch._inc_dict = graphs, slices, increments


# torch.export

assume = torch._check
"""Tell a trace that something holds, such as that a number read off a tensor is at least 1, and require it."""
