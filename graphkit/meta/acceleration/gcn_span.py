r"""The inner loop of GCNs in the span of the support: exact, and without the first layer's large weight.

Applies to models that are a stack of graph convolutions and nothing else. A gradient step moves the first weight by a
combination of the rows that the support sees, :math:`W_t = W_0 + D_t^\top \tilde X_s`. What the layer gives at other
rows is then :math:`\tilde X W_0^\top + \tilde X \tilde X_s^\top D_t`, so that the steps work on the small matrices
:math:`K = \tilde X \tilde X_s^\top` and :math:`D_t`, for all tasks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.nn.aggr import SumAggregation

from graphkit._torch_internals import keeps_graph
from graphkit.meta.acceleration.eligibility import is_unaltered, plain_items
from graphkit.meta.inner_loop import InnerProblem, Parameters
from graphkit.meta.items import AbstractItems, Nodes
from graphkit.nn import Encoder, GCNConv
from graphkit.nn.alteration import LIBRARIES, defining_module, is_plain_linear
from graphkit.operators import SparseOperator, gcn_adjacency
from graphkit.operators.graph_cache import cached

POINTWISE = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.Identity, nn.SiLU)
"""Activations that see one number at a time."""

STEPS = ("message", "aggregate", "update", "edge_update", "message_and_aggregate", "propagate")
"""Methods of a layer that say how its messages come about."""

MAX_KERNEL_NODES = 8_192
"""Nodes up to which all inner products are kept: 268 MB in float32."""


@dataclass(frozen=True)
class DenseFields:
    """The receptive fields of several tasks as small dense blocks, each padded with zeros to the largest.

    Args:
        index: the nodes that the first layer is needed at, ``[tasks, nodes]``, node 0 for padding.
        mask: which of them are, ``[tasks, nodes, 1]``, 1 or 0.
        blocks: for every further layer, outermost first, its part of the adjacency,
            ``[tasks, nodes it is needed at, nodes the layer before is needed at]``.
    """

    index: Tensor
    mask: Tensor
    blocks: tuple[Tensor, ...]


def dense_fields(
    adjacency: scipy.sparse.csr_array, nodes: Sequence[np.ndarray], layers: int, dtype: torch.dtype
) -> DenseFields:
    """Return the receptive field of each group of nodes, as many in each, through ``layers`` layers, at least 1.

    Example:
        >>> ring = scipy.sparse.csr_array(np.roll(np.eye(5), 1, axis=1))
        >>> found = dense_fields(ring, [np.array([0]), np.array([3])], 2, torch.float32)
        >>> found.index.tolist(), found.blocks[0].tolist()
        ([[1], [4]], [[[1.0]], [[1.0]]])
    """
    current, blocks = [np.asarray(group) for group in nodes], []
    for _ in range(layers - 1):
        parts = [_neighbors(adjacency, group) for group in current]
        width = max(len(below) for below, _ in parts)
        height = max(block.shape[0] for _, block in parts)
        padded = np.zeros((len(parts), height, width), dtype=np.float64)
        for number, (_, block) in enumerate(parts):
            padded[number, : block.shape[0], : block.shape[1]] = block
        blocks.append(torch.from_numpy(padded).to(dtype))
        current = [below for below, _ in parts]
    index = pad_sequence([torch.from_numpy(group).long() for group in current], batch_first=True)
    mask = pad_sequence([torch.ones(len(group), 1, dtype=dtype) for group in current], batch_first=True)
    return DenseFields(index, mask, tuple(blocks))


def _neighbors(adjacency: scipy.sparse.csr_array, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes that some nodes average over, and the dense part of the adjacency between them."""
    starts, ends = adjacency.indptr[nodes], adjacency.indptr[nodes + 1]
    counts = ends - starts
    entries = np.repeat(starts - np.concatenate([[0], counts.cumsum()[:-1]]), counts) + np.arange(counts.sum())
    below, column = np.unique(adjacency.indices[entries], return_inverse=True)
    block = np.zeros((len(nodes), len(below)))
    np.add.at(block, (np.repeat(np.arange(len(nodes)), counts), column), adjacency.data[entries])
    return below, block


@dataclass(frozen=True)
class GCNStack:
    r"""Layers :math:`Z_l = \hat A\,\sigma(Z_{l-1})\,W_l^\top + b_l`, the first on the features.

    Args:
        names: of each layer, those of its weight and of its bias or ``None``.
        activation: between the layers.
        adjacency: :math:`\hat A`, on the host.
        averaged: :math:`\hat A X =: \tilde X`, dense, ``[nodes, features]``.
        kernel: :math:`\tilde X \tilde X^\top`, ``[nodes, nodes]``; ``None`` on graphs of more than
            ``MAX_KERNEL_NODES`` nodes.
    """

    names: tuple[tuple[str, str | None], ...]
    activation: Callable[[Tensor], Tensor]
    adjacency: scipy.sparse.csr_array
    averaged: Tensor
    kernel: Tensor | None

    def fields(self, groups: Sequence[Tensor]) -> DenseFields:
        """Return the receptive fields of groups of nodes."""
        nodes = [group.detach().cpu().numpy() for group in groups]
        return dense_fields(self.adjacency, nodes, len(self.names), self.averaged.dtype)

    def first_layer(self, weight: Tensor, fields: DenseFields) -> Tensor:
        """Return what the first layer gives at the nodes of receptive fields, without bias, ``[tasks, nodes, ...]``."""
        if self.kernel is not None:
            return (self.averaged @ weight.T)[fields.index] * fields.mask
        return self._rows(fields) @ weight.T

    def gram(self, one: DenseFields, other: DenseFields) -> Tensor:
        """Return the inner products of averaged features, ``[tasks, nodes of one, nodes of the other]``."""
        if self.kernel is None:
            return self._rows(one) @ self._rows(other).transpose(1, 2)
        found = self.kernel[one.index[:, :, None], other.index[:, None, :]]
        return found * one.mask * other.mask.transpose(1, 2)

    def _rows(self, fields: DenseFields) -> Tensor:
        return self.averaged[fields.index] * fields.mask

    def further_layers(self, z: Tensor, blocks: tuple[Tensor, ...], parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the outputs, given those of the first layer, ``z [tasks, nodes, channels]``."""
        for (weight, bias), block in zip(self.names[1:], reversed(blocks), strict=True):
            z = (block @ self.activation(z)) @ parameters[weight].transpose(-1, -2)
            if bias is not None:
                z = z + parameters[bias].unsqueeze(-2)
        return z


def gcn_stack(model: nn.Module, items: AbstractItems) -> GCNStack | None:
    """Return the model as a stack of GCN layers on the graph of ``items``; ``None`` where it is anything else.

    Example:
        >>> nodes = Nodes(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, 1]))
        >>> gcn_stack(Encoder(3, 4, 2, conv=GCNConv, dropout=0.0), nodes).names
        (('convs.0.lin.weight', 'convs.0.bias'), ('convs.1.lin.weight', 'convs.1.bias'))
        >>> gcn_stack(nn.Linear(3, 2), nodes) is None
        True
    """
    if type(model) is not Encoder or not isinstance(items, Nodes) or not plain_items(items):
        return None
    if not is_unaltered(model) or not _is_stack(model):
        return None
    names = tuple(
        (f"convs.{number}.lin.weight", None if conv.bias is None else f"convs.{number}.bias")
        for number, conv in enumerate(model.convs)
    )
    parameters = dict(model.named_parameters())
    if parameters.keys() != {name for pair in names for name in pair if name is not None}:
        return None  # a weight that is tied, of another name, or one more
    x, edge_index, weight = items.x, items.edge_index, items.edge_weight
    if any(each.device.type != "cpu" for each in (*parameters.values(), edge_index, x, weight) if each is not None):
        return None
    prepared = cached(lambda: _prepare(x, edge_index, weight), ("stack", x.dtype), edge_index, x, weight)
    activation = model.activation
    if getattr(activation, "inplace", False):  # what it writes to is needed here
        return GCNStack(names, lambda z: activation(z.clone()), *prepared)
    return GCNStack(names, activation, *prepared)


def _is_stack(model: Encoder) -> bool:
    """Tell whether an encoder is layers of GCN with an activation between them and nothing else."""
    return (
        type(model.activation) in POINTWISE
        and model.jump is None
        and not len(model.skips)
        and len(model.norms) == len(model.convs) - 1
        and all(type(norm) is nn.Identity for norm in model.norms)
        and all(map(_is_plain_gcn, model.convs))
        and all(takes == {"edge_index", "edge_weight"} for takes in model._conv_takes)
    )


def _is_plain_gcn(conv: Any) -> bool:
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


def _prepare(
    x: Any, edge_index: Tensor, edge_weight: Tensor | None
) -> tuple[scipy.sparse.csr_array, Tensor, Tensor | None]:
    """Return the adjacency, the features averaged by it, and their inner products."""
    adjacency = gcn_adjacency(edge_index, edge_weight, num_nodes=x.size(0), dtype=x.dtype)
    dense = x.to_dense() if isinstance(x, SparseOperator) else x
    matrix = adjacency.to_scipy()
    matrix = scipy.sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    with torch.no_grad():
        averaged = adjacency @ dense
        return matrix, averaged, averaged @ averaged.T if len(averaged) <= MAX_KERNEL_NODES else None


def span_logits(problem: InnerProblem) -> Tensor | None:
    """Return the query's logits of each task after the inner steps, ``[tasks, items, ways]``.

    ``None`` where the model is no stack of GCN layers.
    """
    stack = gcn_stack(problem.model, problem.tasks[0].items)
    if stack is None:
        return None
    tasks, rate, order, adapted = problem.tasks, problem.rate, problem.loop.order, problem.adapted
    keep = torch.is_grad_enabled()
    weight, bias = stack.names[0]
    # 1. What the loop works on: first-layer outputs before the first step, and the matrices K.
    support = stack.fields([task.episode.support.flatten() for task in tasks])
    query = stack.fields([task.episode.query.flatten() for task in tasks])
    y = torch.stack([task.episode.support_y for task in tasks])
    model = dict(problem.model.named_parameters())
    z_support, z_query = stack.first_layer(model[weight], support), stack.first_layer(model[weight], query)
    kernel_support, kernel_query = stack.gram(support, support), stack.gram(query, support)
    shift = z_support.new_zeros(len(tasks), support.index.size(1), z_support.size(-1))  # D
    own = {name: value.expand(len(tasks), *value.shape) for name, value in model.items() if name != weight}

    def first(z: Tensor, kernel: Tensor, table: Parameters) -> Tensor:
        z = z + kernel @ shift
        return z if bias is None else z + table[bias].unsqueeze(1)

    # 2. The task's own head, where it has one.
    table = dict(own)
    if problem.head is not None:
        table |= problem.head(stack.further_layers(first(z_support, kernel_support, own), support.blocks, own))
    moving = [name for name in table if name in adapted or name.startswith("@")]
    # 3. The inner steps, on D in place of the first weight.
    with torch.enable_grad():
        for step in range(problem.loop.steps):
            if not keep:
                table = {name: value.detach() for name, value in table.items()}
                z_support = z_support.detach()
            for name in moving:
                if not table[name].requires_grad:
                    table[name].requires_grad_()
            # Views: a head depends on the parameters it was made of.
            views = {name: value.view_as(value) for name, value in table.items()}
            z = first(z_support, kernel_support, views)
            if not z.requires_grad:
                z.requires_grad_()
            logits = problem.read(stack.further_layers(z, support.blocks, views), views)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / y.size(1)
            wanted = [views[name] for name in moving] + ([z] if weight in adapted else [])
            gradients = torch.autograd.grad(loss, wanted, create_graph=keep and order == 2, retain_graph=keep)
            if order == 1 or not keep:
                gradients = tuple(gradient.detach() for gradient in gradients)
            if weight in adapted:
                shift = shift - rate(weight, step) * gradients[-1]
            table |= {
                name: table[name] - rate(name, step) * gradient
                for name, gradient in zip(moving, gradients, strict=False)
            }
            if not keep:
                shift = shift.detach()
    # 4. The query under the adapted parameters.
    with torch.set_grad_enabled(keep):
        z = first(z_query, kernel_query, table)
        return problem.read(stack.further_layers(z, query.blocks, table), table)
