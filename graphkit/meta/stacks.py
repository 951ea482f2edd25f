"""Models that are a stack of graph convolutions and nothing else, taken apart: a linear map, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
import torch
import torch_geometric.nn
from torch import Tensor, nn
from torch_geometric.nn.aggr import SumAggregation

from graphkit._torch_internals import keeps_graph
from graphkit.meta.items import AbstractItems, Nodes
from graphkit.meta.known import as_made, plain_items
from graphkit.meta.receptive import Fields
from graphkit.nn import Encoder, GCNConv
from graphkit.nn.alteration import LIBRARIES, defining_module, is_plain_linear
from graphkit.operators import SparseOperator, gcn_adjacency
from graphkit.operators.graph_cache import cached

POINTWISE = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.Identity, nn.SiLU)
"""Activations that see one number at a time."""

STEPS = ("message", "aggregate", "update", "edge_update", "message_and_aggregate", "propagate")
"""Methods of a layer that say how its messages come about."""

TAKES = frozenset({"edge_index", "edge_weight"})
"""What an encoder hands to a layer of GCN."""


@dataclass(frozen=True)
class Stack:
    """Layers :math:`Z_l = \\hat A\\,\\sigma(Z_{l-1})\\,W_l^\\top + b_l`, the first on the features.

    Args:
        names: of each layer, those of its weight and of its bias or ``None``.
        activation: between the layers.
        adjacency: :math:`\\hat A`, on the host.
        averaged: :math:`\\hat A X =: \\tilde X`, dense, ``[nodes, features]``.
        kernel: :math:`\\tilde X \\tilde X^\\top`, ``[nodes, nodes]``; ``None`` on graphs of more than ``WHOLE`` nodes.
    """

    names: tuple[tuple[str, str | None], ...]
    activation: Callable[[Tensor], Tensor]
    adjacency: scipy.sparse.csr_array
    averaged: Tensor
    kernel: Tensor | None

    def first(self, weight: Tensor, fields: Fields) -> Tensor:
        """Return what the first layer gives at the nodes of receptive fields, without bias, ``[tasks, nodes, ...]``."""
        if self.kernel is not None:
            return (self.averaged @ weight.T)[fields.index] * fields.there
        return self._rows(fields) @ weight.T

    def products(self, one: Fields, other: Fields) -> Tensor:
        """Return the inner products of averaged features, ``[tasks, nodes of one, nodes of the other]``."""
        if self.kernel is None:
            return self._rows(one) @ self._rows(other).transpose(1, 2)
        found = self.kernel[one.index[:, :, None], other.index[:, None, :]]
        return found * one.there * other.there.transpose(1, 2)

    def _rows(self, fields: Fields) -> Tensor:
        return self.averaged[fields.index] * fields.there


WHOLE = 8_192
"""Nodes up to which all inner products are kept: 268 MB in float32."""

Prepared: TypeAlias = tuple[scipy.sparse.csr_array, Tensor, "Tensor | None"]


def stack_of(model: nn.Module, items: AbstractItems) -> Stack | None:
    """Return the model as a stack on the graph of ``items``; ``None`` where it is anything else.

    Example:
        >>> nodes = Nodes(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, 1]))
        >>> stack_of(Encoder(3, 4, 2, conv=GCNConv, dropout=0.0), nodes).names
        (('convs.0.lin.weight', 'convs.0.bias'), ('convs.1.lin.weight', 'convs.1.bias'))
        >>> stack_of(nn.Linear(3, 2), nodes) is None
        True
    """
    if type(model) is not Encoder or not isinstance(items, Nodes) or not plain_items(items):
        return None
    names = _names(model) if as_made(model) and _is_stack(model) else None
    parameters = dict(model.named_parameters())
    if names is None or parameters.keys() != {name for pair in names for name in pair if name is not None}:
        return None  # a weight that is tied, of another name, or one more
    x, edge_index, weight = items.x, items.edge_index, items.edge_weight
    given = (*parameters.values(), edge_index, x, *([] if weight is None else [weight]))
    if any(each.device.type != "cpu" for each in given):
        return None
    prepared = cached(lambda: _averaged(x, edge_index, weight), ("stack", x.dtype), edge_index, x, weight)
    activation = model.activation
    if getattr(activation, "inplace", False):  # what it writes to is needed here
        return Stack(names, lambda z: activation(z.clone()), *prepared)
    return Stack(names, activation, *prepared)


def _names(model: Encoder) -> tuple[tuple[str, str | None], ...]:
    """Return the names of each layer's weight and bias."""
    return tuple(
        (f"convs.{number}.lin.weight", None if conv.bias is None else f"convs.{number}.bias")
        for number, conv in enumerate(model.convs)
    )


def _is_stack(model: Encoder) -> bool:
    """Tell whether an encoder is layers of GCN with an activation between them and nothing else."""
    return (
        type(model.activation) in POINTWISE
        and model.jump is None
        and not len(model.skips)
        and len(model.norms) == len(model.convs) - 1
        and all(type(norm) is nn.Identity for norm in model.norms)
        and all(map(_plain, model.convs))
        and all(takes == TAKES for takes in model._conv_takes)
    )


def _plain(conv: Any) -> bool:
    """Tell whether a layer is GCN's as its paper has it."""
    return (
        type(conv) in (GCNConv, torch_geometric.nn.GCNConv)
        and all(defining_module(getattr(type(conv), step)).startswith(LIBRARIES) for step in STEPS)
        and is_plain_linear(conv.lin)
        and conv.normalize
        and conv.add_self_loops
        and not conv.improved
        and not conv.cached
        and not keeps_graph(conv)
        and conv.aggr in ("add", "sum")
        and type(conv.aggr_module) is SumAggregation
        and conv.flow == "source_to_target"
        and conv.node_dim == -2
    )


def _averaged(x: Any, edge_index: Tensor, edge_weight: Tensor | None) -> Prepared:
    """Return the adjacency, the features averaged by it, and their inner products."""
    adjacency = gcn_adjacency(edge_index, edge_weight, num_nodes=x.size(0), dtype=x.dtype)
    dense = x.to_dense() if isinstance(x, SparseOperator) else x
    matrix = adjacency.to_scipy()
    matrix = scipy.sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    with torch.no_grad():
        averaged = adjacency @ dense
        return matrix, averaged, averaged @ averaged.T if len(averaged) <= WHOLE else None


def host_nodes(index: Tensor) -> np.ndarray:
    """Return node numbers as an array."""
    return index.detach().cpu().numpy()


def applied(stack: Stack, z: Tensor, blocks: tuple[Tensor, ...], parameters: Mapping[str, Tensor]) -> Tensor:
    """Return the outputs of a stack, given those of its first layer.

    Args:
        stack: the layers.
        z: outputs of the first layer, ``[tasks, nodes, channels]``.
        blocks: the adjacency of the further layers, outermost first.
        parameters: name -> ``[tasks, ...]``, one for each task.
    """
    for (weight, bias), block in zip(stack.names[1:], reversed(blocks), strict=True):
        z = (block @ stack.activation(z)) @ parameters[weight].transpose(-1, -2)
        if bias is not None:
            z = z + parameters[bias].unsqueeze(-2)
    return z
