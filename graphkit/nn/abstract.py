"""What all graph convolutions share: when the fused path may be taken, and how they read their arguments."""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch_geometric.nn
from torch import Tensor
from torch.nn import ModuleList
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import MaxAggregation, MeanAggregation, MinAggregation, SumAggregation
from torch_geometric.nn.dense.linear import Linear, is_uninitialized_parameter
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_sparse, is_torch_sparse_tensor

from graphkit._checks import degrees_with_roots, features, flow_of_messages, not_mapped, pair_of_features
from graphkit.operators import SparseOperator
from graphkit.operators.dense import linear
from graphkit.operators.features import features_of
from graphkit.operators.functions import forward_mode, inside_transform, mapped_over
from graphkit.operators.prepared import Edges, edges_of

AGGREGATIONS = {
    "add": SumAggregation,
    "sum": SumAggregation,
    "mean": MeanAggregation,
    "max": MaxAggregation,
    "min": MinAggregation,
}
"""What PyG makes of an aggregation's name."""

STEPS = ("message", "aggregate", "update", "edge_update", "message_and_aggregate", "propagate", "edge_updater")
"""Methods of a layer that say how its messages come about."""

LIBRARIES = ("graphkit.", "torch_geometric.")


def unscriptable(module: Any) -> None:
    """Say what to do in place of ``torch.jit.script``, which asks a module by ``__prepare_scriptable__``."""
    name = type(module).__name__
    peer = f", or load its state dict into `torch_geometric.nn.{name}`" if hasattr(torch_geometric.nn, name) else ""
    raise TypeError(
        f"`torch.jit.script` cannot read {name}, whose kernels are not TorchScript; use `torch.compile` or "
        f"`torch.export`{peer}."
    )


class AbstractGraphConv(MessagePassing):
    """A PyG message-passing layer that multiplies by a prepared operator where it can.

    Every layer has two paths with the same result. The fused one multiplies by a ``SparseOperator`` and never makes an
    ``edges x features`` array. The plain one is PyG's ``propagate`` over ``message``; it is taken under
    ``torch.compile`` and ``torch.export``, which trace it, in forward-mode differentiation, while an explainer masks
    the messages, when hooks look at them or at a linear map, for ``torch_sparse`` matrices, over another axis of nodes,
    with another aggregation than the product's or one put in its place, and by subclasses with a step of their own: a
    ``message``, ``aggregate``, ``update`` or other. Both read the graph by the same function, ``edges_of``.
    """

    __prepare_scriptable__ = unscriptable
    bias: OptTensor
    nodes_axis: ClassVar[int] = -2
    """The ``node_dim`` that the fused path knows."""

    def _fused(self, edge_index: Any, x: Any = None, aggregations: Sequence[str] = ("add", "sum")) -> bool:
        """Tell whether the fused path may be taken, which makes some ``aggregations`` over the nodes' axis.

        Raises:
            ValueError: for a pair ``x`` beside ``flow="target_to_source"``, which PyG reads in two ways: its messages
                are those of the first, and of the second as soon as a hook is registered.
        """
        if self.flow == "target_to_source" and isinstance(x, tuple | list) and x[0] is not x[1]:
            raise ValueError(
                "`x` must be one set of features with flow='target_to_source', got a pair; reverse the rows of "
                "`edge_index` and keep flow='source_to_target'."
            )
        return not self._plain(edge_index) and self.aggr in aggregations

    def _plain(self, edge_index: Any) -> bool:
        return (
            traced()
            or forward_mode()
            or bool(self.explain)
            or self._has_hooks()
            or self._maps_are_altered()
            or self.node_dim != self.nodes_axis
            or type(self.aggr_module) is not AGGREGATIONS.get(str(self.aggr))
            or _has_a_step_of_its_own(type(self))
            or (is_sparse(edge_index) and not isinstance(edge_index, Tensor))
        )

    def _maps_are_altered(self) -> bool:
        maps = [child for name, child in self._modules.items() if name.startswith("lin") and child is not None]
        return not all(bare(lin) for child in maps for lin in (child if isinstance(child, ModuleList) else (child,)))

    def _has_hooks(self) -> bool:
        return bool(
            self._propagate_forward_pre_hooks
            or self._propagate_forward_hooks
            or self._message_forward_pre_hooks
            or self._message_forward_hooks
            or self._aggregate_forward_pre_hooks
            or self._aggregate_forward_hooks
            or self._edge_update_forward_pre_hooks
            or self._edge_update_forward_hooks
        )


def _has_a_step_of_its_own(layer: type) -> bool:
    """Tell whether somebody's subclass defines a step, or a step of the class was replaced."""
    return _has_others(tuple([getattr(layer, step) for step in STEPS]))


@functools.lru_cache(maxsize=256)
def _has_others(steps: tuple[Any, ...]) -> bool:
    """Tell whether some of the ``STEPS`` is neither ours nor PyG's, which writes a module for some of each class."""
    modules = ((name, step.__module__) for name, step in zip(STEPS, steps, strict=True))
    return not all(module.startswith(LIBRARIES) or module.endswith(f"_{name}") for name, module in modules)


def bare(lin: Any) -> bool:
    """Tell whether a map is PyG's ``Linear`` as it was made, neither hooked nor replaced by an adapter."""
    lazy = "_hook" in getattr(lin, "__dict__", ())  # a module's own look for what it has not takes microseconds
    hooked = lin._forward_hooks or lin._backward_hooks or lin._backward_pre_hooks if type(lin) is Linear else True
    return not hooked and len(lin._forward_pre_hooks) == lazy


def mapped(lin: Any, x: Any, bias: Tensor | None = None, *, plus: Tensor | None = None) -> Tensor:
    """Return ``x W^T + bias + plus`` for a PyG ``Linear``, whose own bias is used where it is given as ``bias``.

    A lazy map is made first, an altered one is called as the module it is. ``plus`` is a fresh tensor that may be
    overwritten: a new array of this size costs more than the addition.
    """
    if not bare(lin):
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
    hooked = (
        network._forward_hooks or network._forward_pre_hooks or network._backward_hooks or network._backward_pre_hooks
    )
    if hooked or not isinstance(x, Tensor):
        return network(x)
    if type(network) is torch.nn.Sequential:
        for part in network:
            x = applied(part, x)
        return x
    return linear(x, network.weight, network.bias) if type(network) in (Linear, torch.nn.Linear) else network(x)


def biased(out: Tensor, bias: Tensor | None, *, fresh: bool) -> Tensor:
    """Return ``out + bias``; a fresh tensor, which nobody else holds, is overwritten: cheaper than a new one."""
    if bias is None:
        return out
    if not fresh or inside_transform() or torch.compiler.is_compiling() or out.dtype != bias.dtype:
        return out + bias
    return out.add_(bias)


def materialized(lin: Any, x: Any) -> None:
    """Give a lazy ``Linear`` its weight, as calling it on ``x`` would."""
    if is_uninitialized_parameter(lin.weight):
        lin.initialize_parameters(lin, (x,))


def fitting(x: Any, lin: Any = None, *, width: int = 0, weight: Tensor | None = None, argument: str = "x") -> None:
    """Refuse, in words, features that a linear map cannot take; one that was replaced or hooked may take anything.

    Args:
        x: features.
        lin: the map, PyG's or PyTorch's ``Linear``, whose width and weight are asked for in place of those below.
        width: features that are asked for; any number where it is not above 0.
        weight: whose type and place are asked for.
        argument: what ``x`` is called where it is refused.
    """
    if type(lin) is torch.nn.Linear and not (lin._forward_hooks or lin._forward_pre_hooks):
        width, weight = lin.in_features, lin._parameters["weight"]
    elif bare(lin):
        width, weight = lin.in_channels, lin._parameters["weight"]
    features(argument, x, width, weight)


def first_map(network: Any) -> Any:
    """Return the linear map that a network begins with, or ``None`` where that cannot be told."""
    if isinstance(network, torch.nn.Sequential) and len(network) and not network._forward_pre_hooks:
        return first_map(network[0])
    return network if isinstance(network, Linear | torch.nn.Linear) else None


def both_ends(x: Any) -> tuple[Any, Any]:
    """Return features of sources and of targets, ready to be multiplied, from one set of features or a pair."""
    if isinstance(x, tuple | list):
        pair_of_features("x", x)
        return features_of(x[0]), features_of(x[1])
    features("x", x)
    x = features_of(x)
    return x, x


def matrix_type(x: Any) -> torch.dtype:
    """Return the type of a matrix that features are multiplied by: theirs, but single precision for half."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def traced() -> bool:
    """Tell whether operations are recorded rather than done, so that no number can be looked at."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def rooted(degree: Tensor) -> None:
    """Refuse negative degrees on the plain path, where they can be looked at."""
    if not (traced() or inside_transform()):
        degrees_with_roots(degree.detach())


HALF = (torch.bfloat16, torch.float16)
"""Types of eight or eleven bits, in which many-termed sums and recurrences are not taken."""


def in_half(x: Any) -> bool:
    """Tell whether linear maps of ``x`` are in half precision, its own or that of autocast."""
    return x.dtype in HALF or (x.device.type != "meta" and torch.is_autocast_enabled(x.device.type))


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in single precision, others as they are."""
    return x.float() if x.dtype in HALF else x


def result_type(*parts: Any) -> torch.dtype:
    """Return the type of the sum of tensors, without those that are ``None``."""
    return functools.reduce(torch.promote_types, (part.dtype for part in parts if part is not None))


def plain_graph(
    graph: Any, edge_weight: OptTensor = None, *, flow: str, num_nodes: int | tuple[int, int] | None = None
) -> tuple[Any, OptTensor]:
    """Return the edges and weights of a graph as the plain path reads them: those that the fused path makes of it.

    PyG reads the loops and values of a ``torch.sparse`` matrix in another way in nearly every layer.
    """
    flow_of_messages(flow)
    not_mapped("edge_index", not traced() and inside_transform() and mapped_over(graph))
    if isinstance(graph, SparseOperator):
        edges = edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)
    elif is_torch_sparse_tensor(graph):
        edges = _edges_of_matrix(graph, edge_weight, flow, num_nodes)
    else:
        narrow = isinstance(graph, Tensor) and graph.dtype == torch.int32  # with which torch 2.13's `gather` is wrong
        return graph.long() if narrow else graph, edge_weight
    return edges.index, edges.weight


@torch.compiler.disable  # which knows no sparse tensors
def _edges_of_matrix(graph: Tensor, edge_weight: OptTensor, flow: str, num_nodes: Any) -> Edges:
    return edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)


def plain_features(x: Any) -> Any:
    """Return sparse features as the dense ones that the plain path gathers; others as they are."""
    sparse = isinstance(x, SparseOperator) or (isinstance(x, Tensor) and x.layout != torch.strided)
    return x.to_dense() if sparse else x


def end_sizes(
    x: tuple[Any, Any], size: tuple[int | None, int | None] | None, edge_index: Any, axis: int = -2
) -> tuple[int, int]:
    """Return the numbers of source and target nodes from the features, the given ``size`` or the graph itself.

    Where nothing tells the number of target nodes it is that of the sources, as in PyG.

    Args:
        x: features of sources and of targets, or ``None``.
        size: what is stated beside them.
        edge_index: the graph.
        axis: of the nodes in ``x``.

    Raises:
        ValueError: where ``size`` and the features disagree.
    """
    found: list[int] = []
    for end, own, stated, side in zip(("source", "target"), x, size or (None, None), (1, 0), strict=True):
        given = own.size(axis) if own is not None else None
        if given is not None and stated is not None and given != stated:
            raise ValueError(f"`size` says {stated} {end} nodes, but `x` has {given}.")
        count = given if given is not None else stated
        if count is None and (is_sparse(edge_index) or not isinstance(edge_index, Tensor)):
            count = edge_index.size(side)
        found.append(found[0] if count is None else count)
    return found[0], found[1]


def two_axes(x: Any, layer: str) -> None:
    """Refuse features with further axes, where a layer knows only ``[nodes, features]``."""
    if x is not None and x.dim() != 2:
        raise ValueError(f"`x` must have shape [nodes, features] in {layer}, got {list(x.shape)}.")
