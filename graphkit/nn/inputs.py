"""How layers read their arguments: features of one or of two kinds of nodes, and a graph in any form."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_sparse, is_torch_sparse_tensor

from graphkit._checks import features, message_flow, nonnegative_degrees, not_vmapped, pair_of_features
from graphkit._torch_internals import in_fake_mode, inside_transform, is_vmapped, parameters_of
from graphkit.nn.alteration import alteration
from graphkit.operators import SparseOperator
from graphkit.operators.edges import Edges, edges_of
from graphkit.operators.feature_matrix import features_of


def is_tracing() -> bool:
    """Tell whether operations are recorded rather than done, so that no number can be looked at."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or in_fake_mode()


def check_features(
    x: Any,
    lin: Any = None,
    *,
    width: int = 0,
    weight: Tensor | None = None,
    any_type: bool = False,
    argument: str = "x",
) -> None:
    """Refuse, in words, features that a linear map cannot take; one that was replaced or hooked may take anything.

    Args:
        x, argument: features, and what they are called where they are refused.
        lin: the map, PyG's or PyTorch's ``Linear``, whose width and weight are asked for in place of those below.
        width, weight: features that are asked for, any number where it is not above 0; whose type and place are.
        any_type: narrower features become of the weight's type before they are mapped.
    """
    if type(lin) in (Linear, torch.nn.Linear) and not is_tracing() and alteration(lin) is None:
        width = lin.in_channels if type(lin) is Linear else lin.in_features
        weight = parameters_of(lin).get("weight")
    if any_type and weight is not None and isinstance(x, Tensor):
        weight = None if torch.promote_types(x.dtype, weight.dtype) == weight.dtype else weight
    features(argument, x, width, weight)


def first_linear(network: Any) -> Any:
    """Return the linear map that a network begins with, or ``None`` where that cannot be told."""
    if type(network) is torch.nn.Sequential and len(network) and not is_tracing() and alteration(network) is None:
        return first_linear(network[0])
    return network if isinstance(network, Linear | torch.nn.Linear) else None


def source_and_target(x: Any, flow: str) -> tuple[Any, Any]:
    """Return features of sources and of targets, ready to be multiplied, from one set of features or a pair.

    A pair is refused with ``flow="target_to_source"``, which PyG reads in two ways: its messages are those of the
    first, and of the second as soon as a hook is registered.
    """
    if isinstance(x, tuple | list):
        pair_of_features("x", x)
        if flow == "target_to_source" and x[0] is not x[1]:
            raise ValueError(
                "`x` must be one set of features with flow='target_to_source', got a pair; reverse the rows of "
                "`edge_index` and keep flow='source_to_target'."
            )
        return features_of(x[0]), features_of(x[1])
    features("x", x)
    x = features_of(x)
    return x, x


def check_two_axes(x: Any, layer: str) -> None:
    """Refuse features with further axes, where a layer knows only ``[nodes, features]``."""
    if x is not None and x.dim() != 2:
        raise ValueError(f"`x` must have shape [nodes, features] in {layer}, got {list(x.shape)}.")


def bipartite_size(
    x: tuple[Any, Any], size: tuple[int | None, int | None] | None, edge_index: Any, axis: int = -2
) -> tuple[int, int]:
    """Return the numbers of source and target nodes from the features, the given ``size`` or the graph itself.

    Where nothing tells the number of target nodes it is that of the sources, as in PyG. ``axis`` is that of the nodes
    in ``x``. Raises ``ValueError`` where ``size`` and the features disagree.
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


def densify(x: Any) -> Any:
    """Return sparse features as the dense ones that the plain path gathers; others as they are."""
    sparse = isinstance(x, SparseOperator) or (isinstance(x, Tensor) and x.layout != torch.strided)
    return x.to_dense() if sparse else x


def edge_list(
    graph: Any, edge_weight: OptTensor = None, *, flow: str, num_nodes: int | tuple[int, int] | None = None
) -> tuple[Any, OptTensor]:
    """Return the edges and weights of a graph as the plain path reads them: those that the fused path makes of it.

    PyG reads the loops and values of a ``torch.sparse`` matrix in another way in nearly every layer.
    """
    message_flow(flow)
    not_vmapped("edge_index", not is_tracing() and inside_transform() and is_vmapped(graph))
    if isinstance(graph, SparseOperator):
        edges = edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)
    elif is_torch_sparse_tensor(graph):
        edges = _edges_of_matrix(graph, edge_weight, flow, num_nodes)
    else:
        narrow = isinstance(graph, Tensor) and graph.dtype == torch.int32  # with which torch 2.13's `gather` is wrong
        return graph.long() if narrow else graph, edge_weight
    # Messages are somebody's to write to; what is remembered of a graph is not.
    return edges.index.clone(), None if edges.weight is None else edges.weight.clone()


@torch.compiler.disable  # which knows no sparse tensors
def _edges_of_matrix(graph: Tensor, edge_weight: OptTensor, flow: str, num_nodes: Any) -> Edges:
    return edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)


def check_degrees(degree: Tensor) -> None:
    """Refuse negative degrees on the plain path, where they can be looked at."""
    if not (is_tracing() or inside_transform()):
        nonnegative_degrees(degree.detach())
