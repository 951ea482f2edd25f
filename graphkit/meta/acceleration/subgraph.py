"""Receptive fields: the part of a graph that some nodes see through any message-passing model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.meta.acceleration.eligibility import is_unaltered, plain_items
from graphkit.meta.acceleration.model_fingerprint import ModelFingerprint, memoized_probe
from graphkit.meta.functional import functional_call
from graphkit.meta.items import AbstractItems, Nodes
from graphkit.operators import SparseOperator
from graphkit.operators.graph_cache import cached


class Subgraph(NamedTuple):
    """Part of a graph.

    Args:
        nodes: its nodes' numbers in the whole; a last one stands for all others.
        edge_index: its edges, ``[2, edges]``.
        edge_weight: theirs, where the whole has some.
        targets: where the nodes that were asked for are in it.
    """

    nodes: np.ndarray
    edge_index: Tensor
    edge_weight: Tensor | None
    targets: Tensor

    def restrict(self, whole: Nodes) -> Nodes:
        """Return this part of a graph, with its features and labels, as a graph."""
        y = whole.y[torch.from_numpy(self.nodes).to(whole.y.device)]
        return Nodes(_take_rows(whole.x, self.nodes), self.edge_index, y, self.edge_weight)


class _Incidence(NamedTuple):
    """Edges at each node: those with numbers ``edges[indptr[i] : indptr[i + 1]]`` begin or end at node ``i``."""

    ends: np.ndarray
    indptr: np.ndarray
    edges: np.ndarray


class ReceptiveField(NamedTuple):
    """What a model's outputs at a node depend on.

    Args:
        hops: how far they see, 0 or more.
        degrees: whether other edges count than those to a node and what is met on the way, as they do in a degree
            that a layer divides by.
    """

    hops: int
    degrees: bool


def extract_subgraph(nodes: Nodes, index: Tensor, field: ReceptiveField) -> Subgraph:
    """Return the k-hop subgraph that some nodes see of a graph.

    It holds the nodes within so many hops, against the direction of edges and along it, and the edges to those of one
    hop less; where degrees count, the edges at all of them. All nodes farther out are one node then, which no message
    reaches from in so many hops, but whose edges make all degrees those of the whole graph.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
        >>> whole = Nodes(torch.eye(6), torch.cat([path, path.flip(0)], 1), torch.zeros(6, dtype=torch.long))
        >>> extract_subgraph(whole, torch.tensor([0]), ReceptiveField(1, degrees=False)).edge_index.tolist()
        [[1], [0]]
        >>> part = extract_subgraph(whole, torch.tensor([0]), ReceptiveField(1, degrees=True))
        >>> part.nodes.tolist(), part.edge_index.tolist(), part.targets.tolist()  # 0 and 1, and all beyond as one
        ([0, 1, 0], [[0, 1, 1, 2], [1, 2, 0, 1]], [0])
    """
    size, device = int(nodes.x.size(0)), nodes.edge_index.device
    incidence = _incidence(nodes.edge_index, size)
    wanted = index.detach().cpu().numpy()
    # 1. Breadth-first search, hop by hop; `reached` are the nodes whose incoming edges count.
    inside, frontier = np.zeros(size, dtype=bool), np.unique(wanted)
    inside[frontier] = True
    found, reached = [np.empty(0, dtype=np.int64)], inside
    for hop in range(field.hops + field.degrees):
        found.append(_incident_edges(incidence, frontier))
        reached = inside.copy()
        if hop == field.hops:
            break
        ends = incidence.ends[:, found[-1]].ravel()
        frontier = np.unique(ends[~inside[ends]])
        inside[frontier] = True
    kept, edges = np.flatnonzero(inside), np.unique(np.concatenate(found))
    if not field.degrees:
        edges = edges[reached[incidence.ends[1, edges]]]
    # 2. New numbers; every node outside has the last one.
    number = np.full(size, len(kept), dtype=np.int64)
    number[kept] = np.arange(len(kept))
    # The node that stands for all others has a real node's features: zeros may be what a layer divides by.
    rows = np.append(kept, wanted[0]) if field.degrees and len(kept) < size else kept
    weight = None if nodes.edge_weight is None else nodes.edge_weight[torch.from_numpy(edges).to(device)]
    renumbered = torch.from_numpy(number[incidence.ends[:, edges]]).to(device)
    return Subgraph(rows, renumbered, weight, torch.from_numpy(number[wanted]).to(device))


def _incidence(edge_index: Tensor, size: int) -> _Incidence:
    """Return the edges at each node, cached with the graph."""

    def build() -> _Incidence:
        ends = edge_index.detach().cpu().numpy()
        both = ends.ravel()
        order = np.argsort(both, kind="stable")
        indptr = np.concatenate([[0], np.bincount(both, minlength=size).cumsum()])
        return _Incidence(ends.copy(), indptr, order % max(1, ends.shape[1]))

    return cached(build, ("incidence", size), edge_index)


def _incident_edges(incidence: _Incidence, nodes: np.ndarray) -> np.ndarray:
    """Return the numbers of the edges at some nodes; an edge between two of them stands there twice."""
    starts, counts = incidence.indptr[nodes], np.diff(incidence.indptr)[nodes]
    before = np.concatenate([[0], counts.cumsum()[:-1]]).astype(np.int64)
    return incidence.edges[np.repeat(starts - before, counts) + np.arange(counts.sum())]


def _take_rows(x: Any, rows: np.ndarray) -> Any:
    """Return some rows of the features."""
    if not isinstance(x, SparseOperator):
        return x[torch.from_numpy(rows).to(x.device)]
    matrix = cached(lambda: scipy.sparse.csr_array(x.to_scipy()), "rows", x)
    return SparseOperator.from_scipy(matrix[rows]).to(x.device)


def find_receptive_field(
    model: nn.Module, items: AbstractItems, index: Tensor, fingerprint: ModelFingerprint | None = None
) -> ReceptiveField | None:
    """Return how far the model's outputs see, or ``None`` where a part of the graph does not do.

    Counted are the calls of ``propagate`` in one call of the model, more than which no output can see. Whether the
    part is then all that matters is not taken on trust: with parameters drawn at random the outputs at ``index``, and
    at some nodes whose part of the graph has edges to the rest, must be those on the whole graph. They are not where
    batch normalisation, pooling or a global largest eigenvalue looks at all nodes; what keeps its first graph
    (``cached=True``) is refused unseen. Probed once for a model and a graph, as long as they are the same; the model
    must be in the mode it is to be called in.

    Args:
        model: any module.
        items: the graph.
        index: some nodes.
        fingerprint: the model's, where it is known.

    Example:
        >>> from torch_geometric.nn import APPNP, BatchNorm, GATConv, GCNConv, Sequential
        >>> ring = torch.stack([torch.arange(50), torch.arange(50).roll(1)])
        >>> nodes, index = Nodes(torch.randn(50, 3), ring, torch.zeros(50, dtype=torch.long)), torch.tensor([0, 1])
        >>> find_receptive_field(GATConv(3, 4), nodes, index)
        ReceptiveField(hops=1, degrees=False)
        >>> layers = [(GCNConv(3, 4), "x, edge_index -> x"), (APPNP(K=5, alpha=0.1), "x, edge_index -> x")]
        >>> find_receptive_field(Sequential("x, edge_index", layers), nodes, index)
        ReceptiveField(hops=6, degrees=True)
        >>> layers.append((BatchNorm(4), "x -> x"))
        >>> find_receptive_field(Sequential("x, edge_index", layers), nodes, index) is None
        True
    """
    if not isinstance(items, Nodes) or not plain_items(items) or not is_unaltered(model):
        return None
    nodes = items
    return memoized_probe("reach", model, nodes, lambda: _probe_receptive_field(model, nodes, index), fingerprint)


def visible_items(
    model: nn.Module, nodes: Nodes, index: Tensor, probe: Tensor, fingerprint: ModelFingerprint | None = None
) -> tuple[Nodes, Tensor]:
    """Return the part of a graph that nodes at ``index`` see, and where they are in it; or the whole, see above.

    Whether a part does is tried at the nodes ``probe``, once for a model and a graph.
    """
    field = find_receptive_field(model, nodes, probe, fingerprint)
    if field is None:
        return nodes, index
    part = extract_subgraph(nodes, index, field)
    return part.restrict(nodes), part.targets


WITNESSES, CANDIDATES = 4, 64
"""Boundary nodes at which it is seen how far a model sees, and among how many they are looked for."""

DRAWS = 8
"""How often parameters are drawn in search of such under which outputs differ; without, nothing is seen of them."""

MODEL_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What a model may raise that cannot be called on a part of its graph."""


@torch.no_grad()
def _probe_receptive_field(model: nn.Module, nodes: Nodes, index: Tensor) -> ReceptiveField | None:
    """Count the hops, and see whether a part of so many is enough."""
    if any(getattr(module, "cached", False) for module in model.modules()):
        return None
    table = {name: perturb(value, 0) for name, value in model.named_parameters()}

    def call(*inputs: Any) -> Tensor:
        return functional_call(model, table, inputs)  # under the parameters last drawn

    # 1. Count the hops on a part: while somebody listens, our layers make an array of all messages.
    part = extract_subgraph(nodes, index, ReceptiveField(1, degrees=True))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            hops = _count_propagations(model, lambda: part.restrict(nodes).outputs(call, part.targets))
        except MODEL_ERRORS:  # a model of this graph alone: an embedding of each node
            return None
    # 2. Choose where to compare. Nodes that see all of their component would let anything pass, and are what a first
    # task may consist of.
    groups = [index, *_boundary_nodes(nodes, hops, index)]
    if len(groups) == 1:
        return None
    # 3. Draw parameters under which outputs on the whole graph differ from node to node.
    for seed in range(DRAWS):
        table = {name: perturb(value, seed) for name, value in model.named_parameters()}
        with warnings.catch_warnings(record=True) as expected_warnings:
            warnings.simplefilter("always")
            whole = nodes.outputs(call, torch.cat(groups))
        if is_informative(whole):
            break
    else:
        return None
    expected = whole.split([len(group) for group in groups])
    # 4. Compare with the outputs on parts, without the edges that only count in degrees and with them.
    for field in (ReceptiveField(hops, degrees=False), ReceptiveField(hops, degrees=True)):
        parts = [extract_subgraph(nodes, group, field) for group in groups]
        if 2 * len(parts[0].nodes) > nodes.x.size(0):
            return None  # nothing is gained
        with warnings.catch_warnings(record=True) as part_warnings:
            warnings.simplefilter("always")
            try:
                found = [part.restrict(nodes).outputs(call, part.targets) for part in parts]
            except MODEL_ERRORS:
                continue
        # A layer may warn of a part, of its being directed say, that would not of the whole.
        quiet = len(part_warnings) <= len(expected_warnings) * len(groups)
        if quiet and all(equal_up_to_rounding(*pair) for pair in zip(found, expected, strict=True)):
            return field
    return None


def _boundary_nodes(nodes: Nodes, hops: int, index: Tensor) -> list[Tensor]:
    """Return some nodes, each by itself, that edges join to what lies farther away than so many hops, both ways."""
    size, found = int(nodes.x.size(0)), []
    incidence = _incidence(nodes.edge_index, size)
    for node in torch.randperm(size, generator=torch.Generator().manual_seed(0))[:CANDIDATES].split(1):
        inside = np.zeros(size, dtype=bool)
        inside[extract_subgraph(nodes, node, ReceptiveField(hops, degrees=False)).nodes] = True
        leaving = inside[incidence.ends[0]] != inside[incidence.ends[1]]
        if inside[incidence.ends[0, leaving]].any() and inside[incidence.ends[1, leaving]].any():
            found.append(node.to(index.device))
        if len(found) == WITNESSES:
            break
    return found


def perturb(value: Tensor, seed: int) -> Tensor:
    """Return a parameter moved at random, so that none of its numbers hides by being 0."""
    return value + 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed)).to(value)


def is_informative(outputs: Tensor) -> bool:
    """Tell whether more than a quarter of the rows differ: where all are 0, behind an activation, any part would do.

    Example:
        >>> is_informative(torch.eye(3)), is_informative(torch.zeros(3, 3))
        (True, False)
    """
    rows = outputs.flatten(0, -2)
    return len(rows.unique(dim=0)) > max(1, len(rows) / 4)


def equal_up_to_rounding(one: Tensor, other: Tensor) -> bool:
    """Tell whether two results are the same but for rounding."""
    allowed = (1e-10 if other.dtype == torch.float64 else 1e-4) * float(other.abs().max())
    return one.shape == other.shape and bool(((one - other).abs() <= allowed).all())


def _count_propagations(model: nn.Module, call: Callable[[], Any]) -> int:
    """Return how often layers of the model propagate in one call."""
    count = 0

    def count_one(*_: Any) -> None:
        nonlocal count
        count += 1

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, MessagePassing):
                stack.callback(module.register_propagate_forward_pre_hook(count_one).remove)
        call()
    return count
