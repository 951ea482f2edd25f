"""Exact inference on a graph too large for one pass: layer by layer, over blocks of nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, get_laplacian, index_sort

from graphkit._checks import at_least, edge_index_in_range, node_ids
from graphkit._exports import deprecated_arguments
from graphkit._torch_internals import MODULES, children_of, keep_edges, module_name
from graphkit.nn.spatial.gcn import GCNConv
from graphkit.nn.spectral.cheb import ChebConv
from graphkit.operators import eigenvalue_bound, laplacian

_ONE_HOP = ("SAGEConv", "GATConv", "GATv2Conv", "GINConv", "GINEConv", "GraphConv")
_ACROSS_NODES = ("GraphNorm", "PairNorm", "InstanceNorm", "GraphSizeNorm", "MeanSubtractionNorm", "DiffGroupNorm")
_PER_EDGE = ("edge_weight", "edge_attr")


@deprecated_arguments(around="halo")
def layerwise(
    model: nn.Module,
    x: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    block: int = 4096,
    nodes: Tensor | None = None,
    halo: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Layer-wise inference: return ``model(x, edge_index)`` exactly, each graph layer over blocks of nodes in turn.

    A block sees all its neighbours, so that nothing is drawn and nothing is lost: the result is that of one pass over
    the whole graph, up to the order of sums. What a layer makes of all nodes is held, the messages of one block only.

    ``GCNConv`` divides by degrees of the whole graph, which neighbours at the edge of a block do not have there: its
    weights are computed once, before the blocks. ``ChebConv`` needs as many hops as it has terms, for the same reason,
    and rescales by the largest eigenvalue of the whole graph.
    Norms and linear maps act on all nodes at once.

    Args:
        model: of our layers or PyG's, called with ``x``, ``edge_index`` and, where given, ``edge_weight``; in
            evaluation mode.
        x: features ``[nodes, features]``.
        edge_index: ``[2, edges]``. PyG's ``EdgeIndex`` that is sorted by column is not sorted again.
        edge_weight: ``[edges]``.
        block: nodes of a block.
        nodes: those whose results are asked for ``[targets]``; all if None. Each layer is then taken of the nodes
            within the hops that remain, and is 0 elsewhere, so that a norm over the whole graph is refused.
        halo: where ``x`` is of a part of the nodes only, and the others are elsewhere: puts after the rows of a
            table of the part ``[nodes, ...]`` those of the others that edges lead from, which are numbered so. Edges
            lead to nodes of the part. It is called once before each graph layer, and once more for degrees.

    Returns:
        ``[nodes, ...]``, or ``[targets, ...]`` in the order of ``nodes``.

    Raises:
        ValueError: for a model in training mode, a block below 1, an edge to a node that is not there, a graph
            layer of which it is not known how far it sees, or that sees farther than ``halo``, or ``nodes`` of which
            one is not there, or with ``halo``, or with a norm that looks at all nodes.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216, for the layers' neighbourhoods; the order of
    evaluation is that of PyG's ``BasicGNN.inference``, which takes GCN's degrees from the batch.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model = Encoder(4, 8, 2, conv=GCNConv).eval()
        >>> torch.allclose(layerwise(model, torch.eye(3, 4), path, block=1), model(torch.eye(3, 4), path), atol=1e-6)
        True
    """
    at_least("block", block, 1)
    if model.training:
        raise ValueError("`model` must be in evaluation mode: call `model.eval()` first.")
    if halo is None:
        edge_index_in_range(edge_index, x.size(0))
    if nodes is not None:
        if halo is not None:
            raise ValueError("`nodes` is of a whole graph; with `halo` take all nodes of the part.")
        node_ids("nodes", nodes, x.size(0))
    weights = () if edge_weight is None else (edge_weight,)
    with torch.no_grad():
        targets = _TargetNodes(nodes)
        result = _convert_to_blocks(model, block, targets, halo)(x, edge_index, *weights)
        if targets.taken > targets.hops:  # a layer that is called twice sees farther than was thought
            result = _convert_to_blocks(model, block, _TargetNodes(None), halo)(x, edge_index, *weights)
    return result if nodes is None else result[nodes]


class _TargetNodes:
    """The nodes ``[targets]`` whose results are asked for, None for all, and what each layer must know for them."""

    def __init__(self, nodes: Tensor | None) -> None:
        self.nodes = nodes
        self.hops = self.taken = 0
        self._reached: list[Tensor] = []

    def rows(self, own: int, into: _InEdges, hops: int, block: int) -> Tensor:
        """Return the nodes that a layer of so many hops must be taken of; layers ask one after another."""
        self.taken += hops
        if self.nodes is None:
            return torch.arange(own, device=into.source.device)
        if not self._reached:
            self._reached = _k_hop_nodes(self.nodes, into, self.hops - hops, block)
        return self._reached[max(self.hops - self.taken, 0)]


class _InEdges(NamedTuple):
    """Edges by target: their sources, the order that sorts them so, and where those into each node begin."""

    source: Tensor
    order: Tensor | None
    ends: Tensor

    def edges(self, nodes: Tensor) -> Tensor:
        """Return the edges that lead into these nodes, one node after another."""
        many = self.ends[nodes + 1] - self.ends[nodes]
        start = torch.repeat_interleave(self.ends[nodes] - many.cumsum(0) + many, many)
        found = start + torch.arange(len(start), device=nodes.device)
        return found if self.order is None else self.order[found]


class _BlockwiseLayer(nn.Module):
    """A graph layer that is taken over blocks of target nodes."""

    def __init__(
        self, conv: Any, block: int, hops: int, targets: _TargetNodes, halo: Callable[[Tensor], Tensor] | None
    ) -> None:
        super().__init__()
        self.conv, self.block, self.hops, self.targets, self.halo = conv, block, hops, targets, halo
        targets.hops += hops

    def _get_name(self) -> str:
        """Return the layer's own name."""
        return module_name(self.conv)

    def forward(self, x: Tensor, edge_index: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given = {**dict(zip(_PER_EDGE, args, strict=False)), **kwargs}
        extras = {name: value for name, value in given.items() if value is not None}
        conv, own = self.conv, x.size(0)
        # 1. What a layer takes of the whole graph: features of the halo, degrees, the largest eigenvalue.
        x = x if self.halo is None else self.halo(x)
        nodes = x.size(0)
        if "GCNConv" in _class_names(conv) and conv.normalize:
            edge_index, extras["edge_weight"] = self._normalize(edge_index, extras.get("edge_weight"), x, own)
            conv = copy.copy(conv)
            conv.normalize = conv.cached = False  # what a layer keeps for good is of one graph, and blocks are many
            keep_edges(conv, None)
        if "ChebConv" in _class_names(conv) and extras.get("lambda_max") is None:
            extras["lambda_max"] = _largest_eigenvalue(conv, edge_index, extras.get("edge_weight"), x)
        per_edge = {name: extras.pop(name) for name in _PER_EDGE if name in extras}
        # 2. Block by block: the subgraph that a block sees, in numbers of its own, and the block's rows of the result.
        into = _sort_by_target(edge_index, nodes)
        plain = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        place = torch.empty(nodes, dtype=torch.long, device=x.device)
        table = None
        for block in self.targets.rows(own, into, self.hops, self.block).split(self.block):
            around, edges = _k_hop_subgraph(block, into, self.hops)
            place[around] = torch.arange(len(around), device=x.device)
            chosen = {name: value[edges] for name, value in per_edge.items()}
            result = conv(x[around], place[plain[:, edges].long()], **chosen, **extras)
            table = result.new_zeros(own, *result.shape[1:]) if table is None else table
            table[block] = result[: len(block)]
        return conv(x, edge_index, **per_edge, **extras)[:own] if table is None else table

    def _normalize(self, edge_index: Tensor, weight: Tensor | None, x: Tensor, own: int) -> tuple[Tensor, Tensor]:
        """Return edges and weights of a ``GCNConv`` by degrees of the whole graph."""
        conv, nodes = self.conv, x.size(0)
        if weight is None and isinstance(conv, GCNConv):  # PyG's forgets `improved` where there are no weights
            weight = x.new_ones(edge_index.size(1))
        if self.halo is None:
            return gcn_norm(edge_index, weight, nodes, conv.improved, conv.add_self_loops, conv.flow, x.dtype)
        loop = 2.0 if conv.improved and weight is not None else 1.0
        weight = x.new_ones(edge_index.size(1)) if weight is None else weight
        if conv.add_self_loops:
            edge_index, weight = add_remaining_self_loops(edge_index, weight, loop, nodes)
        degree = self.halo(x.new_zeros(own + 1).index_add_(0, edge_index[1].clamp(max=own), weight)[:own])
        scale = degree.pow(-0.5).masked_fill(degree == 0, 0)
        return edge_index, scale[edge_index[0]] * weight * scale[edge_index[1]]


def _largest_eigenvalue(conv: Any, edge_index: Tensor, weight: Tensor | None, x: Tensor) -> Tensor:
    """Return the largest eigenvalue that a ``ChebConv`` rescales the whole graph by, where none is given to it."""
    if not isinstance(conv, ChebConv):  # PyG's takes twice the largest entry
        return 2 * get_laplacian(edge_index, weight, conv.normalization, x.dtype, x.size(0))[1].max()
    if conv.normalization is not None:
        return x.new_tensor(2.0)
    return eigenvalue_bound(laplacian(edge_index, weight, num_nodes=x.size(0), dtype=x.dtype)).squeeze(0)


def _sort_by_target(edge_index: Tensor, nodes: int) -> _InEdges:
    """Return edges by target."""
    if isinstance(edge_index, EdgeIndex) and edge_index.sort_order == "col":
        (ends, source), _ = edge_index.get_csc()  # a graph that lies on the disk stays there
        return _InEdges(source, None, ends.long())
    targets, order = index_sort(edge_index[1], nodes, stable=True)
    return _InEdges(edge_index[0], order, torch.searchsorted(targets, torch.arange(nodes + 1, device=targets.device)))


def _k_hop_nodes(nodes: Tensor, into: _InEdges, hops: int, block: int) -> list[Tensor]:
    """Return the nodes from which these are reached in at most 0, 1, ... hops, each in rising order."""
    seen = torch.zeros(len(into.ends) - 1, dtype=torch.bool, device=nodes.device)
    seen[nodes] = True
    within = [seen.nonzero().squeeze(1)]
    fresh = within[0]
    for _ in range(hops):
        before = seen.clone()
        for some in fresh.split(block):
            seen[into.source[into.edges(some)].long()] = True
        fresh = (seen & ~before).nonzero().squeeze(1)
        within.append(seen.nonzero().squeeze(1))
    return within


def _k_hop_subgraph(block: Tensor, into: _InEdges, hops: int) -> tuple[Tensor, Tensor]:
    """Return the receptive field of a block: its nodes, those of ``block`` first, and its edges."""
    source, order, ends = into
    seen = torch.zeros(len(ends) - 1, dtype=torch.bool, device=block.device)
    seen[block] = True
    around, edges, frontier = [block], [block[:0]], block
    for _ in range(hops):
        found = into.edges(frontier)
        edges.append(found)
        reached = source[found].unique().long()
        frontier = reached[~seen[reached]]
        seen[frontier] = True
        around.append(frontier)
    if hops > 1:
        # All edges among them: of an undirected graph the part must be undirected too, which polynomial layers ask for.
        target = torch.repeat_interleave(torch.arange(len(seen), device=block.device), ends.diff())
        order = torch.arange(len(target), device=block.device) if order is None else order
        return torch.cat(around), order[seen[source[order].long()] & seen[target]]
    return torch.cat(around), torch.cat(edges)


def _convert_to_blocks(
    module: nn.Module, block: int, targets: _TargetNodes, halo: Callable[[Tensor], Tensor] | None
) -> nn.Module:
    """Return a copy that shares all parameters, with graph layers that go by blocks."""
    if targets.nodes is not None and _mixes_all_nodes(module):
        raise ValueError(f"`nodes`: a {type(module).__name__} looks at all nodes; leave `nodes` out.")
    if isinstance(module, MessagePassing):
        hops = _hops(module)
        if halo is not None and (hops > 1 or "ChebConv" in _class_names(module)):
            raise ValueError(f"`halo`: a {type(module).__name__} sees farther than the nodes around a part.")
        return _BlockwiseLayer(module, block, hops, targets, halo)
    copied = copy.copy(module)
    vars(copied)[MODULES] = {
        name: None if child is None else _convert_to_blocks(child, block, targets, halo)
        for name, child in children_of(module).items()
    }
    return copied


def _mixes_all_nodes(module: Any) -> bool:
    """Return whether a norm takes all nodes together."""
    return bool(_class_names(module).intersection(_ACROSS_NODES)) or getattr(module, "mode", None) == "graph"


def _class_names(conv: Any) -> set[str]:
    """Return the names of a layer's class and of those it is made from: ours and PyG's are called alike."""
    return {kind.__name__ for kind in type(conv).__mro__}


def _hops(conv: Any) -> int:
    """Return a layer's receptive field in hops of incoming edges, those that its degrees need among them."""
    kinds = _class_names(conv)
    if conv.flow != "source_to_target":
        raise ValueError("`model` has a layer with `flow='target_to_source'`; blocks follow incoming edges.")
    if "ChebConv" in kinds:
        return len(conv.lins) if len(conv.lins) > 1 else 0  # one hop less, but whose degrees are those of the whole
    if "GCNConv" in kinds or kinds.intersection(_ONE_HOP):
        return 1
    raise ValueError(
        f"`model` has a {type(conv).__name__}, and how far it sees is not known; blocks are for GCNConv, ChebConv, "
        f"{', '.join(_ONE_HOP)}."
    )
