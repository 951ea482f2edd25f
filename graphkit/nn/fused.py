"""What makes a PyG layer ours: a second, faster way through its ``forward``, and when that may be taken."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch_geometric.nn
from torch import Tensor
from torch.nn import ModuleList, Parameter
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MaxAggregation, MeanAggregation, MinAggregation, SumAggregation
from torch_geometric.nn.inits import reset
from torch_geometric.typing import OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor

from graphkit._torch_internals import (
    EXPLAIN,
    MESSAGE_HOOKS,
    PRIVATE_STEPS,
    PRODUCT_HOOKS,
    children_of,
    forward_mode,
    generated_module,
    generated_step,
    original_step,
)
from graphkit.nn.alteration import LIBRARIES, alteration, defining_module, is_plain_linear, method_names
from graphkit.nn.inputs import edge_list, is_tracing
from graphkit.operators import SparseOperator

AGGREGATIONS = {
    "add": SumAggregation,
    "sum": SumAggregation,
    "mean": MeanAggregation,
    "max": MaxAggregation,
    "min": MinAggregation,
}
"""What PyG makes of an aggregation's name."""

FEATURE_TYPES: set[type] = {Tensor, Parameter, SparseOperator}
"""Types of features that the fused way takes, besides the nothing of a node that has none."""

GRAPH_TYPES = {Tensor, Parameter, EdgeIndex}
"""Types of tensors that the fused way takes for a graph, besides an operator."""

GENERATED = ("propagate", "edge_updater")
"""Steps that PyG writes anew for each class, as a function without what only explainers ask for."""

_ORIGINAL = {step: original_step(MessagePassing, step, getattr(MessagePassing, step)) for step in GENERATED}


def refuse_script(module: Any) -> None:
    """Say what to do in place of ``torch.jit.script``, which asks a module by ``__prepare_scriptable__``."""
    name = type(module).__name__
    peer = ", or `graphkit.nn.to_pyg` first" if hasattr(torch_geometric.nn, name) else ""
    raise TypeError(
        f"`torch.jit.script` cannot read {name}, whose kernels are not TorchScript; use `torch.compile` or "
        f"`torch.export`{peer}."
    )


class AbstractModel(torch.nn.Module):
    """A module whose parameters are all those of others, and whose kernels are not TorchScript."""

    __prepare_scriptable__ = refuse_script

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.children():
            reset(module)


class Fused(MessagePassing):
    """A message-passing layer that multiplies by a prepared operator where it is known to come to the same.

    The plain way is PyG's ``propagate`` over ``message``, with all that PyG offers on it: hooks, explainers, steps of
    a subclass. The fused one multiplies by a ``SparseOperator`` and never makes an ``edges x features`` array.
    ``fusible`` lists what it is known to be good for; anything else takes the plain way. Both read the graph by the
    same function, ``edges_of``.

    PyG looks in the source of a layer's class for what its ``propagate`` is called with, and finds classes by name.
    Since ours have the names of PyG's, that stands in a comment of each, ``# propagate_type``.
    """

    __prepare_scriptable__ = refuse_script
    bias: OptTensor
    aggregations: ClassVar[tuple[str, ...]] = ("add", "sum")
    """Those that the fused way takes."""
    nodes_axis: ClassVar[int] = -2
    """The ``node_dim`` that the fused way knows."""

    def __init_subclass__(cls) -> None:
        """Take steps from PyG's class as they were before it wrote them for itself; it does so again for ours."""
        super().__init_subclass__()
        for step, original in _ORIGINAL.items():
            if defining_module(getattr(cls, step)).startswith(LIBRARIES) or _is_generated(cls, getattr(cls, step)):
                setattr(cls, step, original)

    def fusible(self, graph: Any, *features: Any) -> bool:
        """Tell whether the fused way may be taken: a layer as its class made it, on numbers that can be looked at.

        What is no graph at all is taken, to be refused in words.
        """
        return not (
            is_tracing()
            or forward_mode()
            or (isinstance(graph, Tensor | SparseTensor) and type(graph) not in GRAPH_TYPES)
            or any(isinstance(x, Tensor) and type(x) not in FEATURE_TYPES for x in features)
            or self.alteration() is not None
        )

    def alteration(self) -> str | None:
        """Return in words what keeps the layer, or one of its linear maps, from the fused way; ``None`` if nothing."""
        own, modules = self.__dict__, children_of(self)
        aggregation = modules.get("aggr_module")
        if self.aggr not in self.aggregations or type(aggregation) is not AGGREGATIONS[self.aggr]:
            return f"the aggregation {self.aggr!r}"
        if self.node_dim != self.nodes_axis:
            return f"node_dim={self.node_dim}"
        if own[EXPLAIN]:
            return "an explainer"
        if any(map(own.__getitem__, MESSAGE_HOOKS)):
            return "a hook on its messages"
        if "parametrizations" in modules:
            return "a parametrisation"
        kind: Any = type(self)
        names, steps = _step_names(kind)
        if not _has_library_steps(kind, steps(kind)):
            return "a step of its own class"
        if not own.keys().isdisjoint(names) and (replaced := _replaced_step(self, names)):
            return f"`{replaced}` of its own"
        return alteration(aggregation) or next(filter(None, map(_linear_alteration, modules.items())), None)

    def edges(
        self, graph: Any, weight: OptTensor = None, *, num_nodes: int | tuple[int, int] | None = None
    ) -> tuple[Any, OptTensor]:
        """Return the edges and weights of a graph as the plain way reads them: as the fused way does.

        PyG reads the loops and values of a ``torch.sparse`` matrix in another way in nearly every layer. Somebody's
        own product with the matrix is given the matrix.
        """
        if is_torch_sparse_tensor(graph) and self._has_its_own_product():
            return graph, weight
        return edge_list(graph, weight, flow=self.flow, num_nodes=num_nodes)

    def _has_its_own_product(self) -> bool:
        hooks = any(getattr(self, name) for name in PRODUCT_HOOKS)
        product = getattr(self.message_and_aggregate, "__func__", self.message_and_aggregate)
        return hooks or not defining_module(product).startswith(LIBRARIES)


def _linear_alteration(child: tuple[str, Any]) -> str | None:
    """Return what is no bare linear map among a layer's maps, which are all called ``lin``."""
    name, module = child
    if not name.startswith("lin") or module is None or is_plain_linear(module):
        return None
    if type(module) is ModuleList and all(map(is_plain_linear, module)):
        return None
    return f"`{name}`, which is hooked or replaced"


def _replaced_step(layer: Any, names: frozenset[str]) -> str | None:
    """Return which step was put in the place of a layer's own; explainers put back what PyG wrote."""
    own, kind = layer.__dict__, type(layer)
    for name in sorted(names & own.keys()):
        written = generated_step(kind, name), original_step(kind, name)
        if getattr(own[name], "__func__", name) not in written:
            return name
    return None


@functools.lru_cache(maxsize=256)
def _step_names(kind: Any) -> tuple[frozenset[str], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of PyG's methods for a layer's messages, and what reads them off a class, in order."""
    pygs = next(each for each in kind.__mro__ if each.__module__.startswith("torch_geometric."))
    others = ("register_", *PRIVATE_STEPS)
    names = [each for each in method_names(pygs) - set(dir(torch.nn.Module)) if not each.startswith(others)]
    return frozenset(names), operator.attrgetter(*sorted(names))


@functools.lru_cache(maxsize=256)
def _has_library_steps(kind: Any, steps: tuple[Any, ...]) -> bool:
    """Tell whether all steps of a class are a library's, or written by PyG for it."""
    own = {name for each in kind.__mro__ if not each.__module__.startswith(LIBRARIES) for name in vars(each)}
    for name, step in zip(sorted(_step_names(kind)[0]), steps, strict=True):
        theirs = name in own or not defining_module(step).startswith(LIBRARIES)
        if theirs and not _is_generated(kind, step) and step not in _ORIGINAL.values():
            return False
    return True


def _is_generated(kind: type, step: Any) -> bool:
    """Tell whether PyG wrote a step for a class or for one that it comes from."""
    names = {generated_module(each, name) for each in kind.__mro__ for name in GENERATED}
    return defining_module(step) in names
