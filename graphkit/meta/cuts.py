"""The part of a graph that some nodes see through any model of message passing, in place of the whole graph."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit._torch_internals import version_of
from graphkit.meta.fingerprint import Fingerprint, fingerprint
from graphkit.meta.functional import functional_call
from graphkit.meta.items import AbstractItems, Nodes
from graphkit.meta.known import as_made, plain_items
from graphkit.operators import SparseOperator
from graphkit.operators.graph_cache import cached, version_key


class Cut(NamedTuple):
    """Part of a graph.

    Args:
        kept: its nodes' numbers in the whole; a last one stands for all others.
        edge_index: its edges, ``[2, edges]``.
        edge_weight: theirs, where the whole has some.
        at: where the nodes that were asked for are in it.
    """

    kept: np.ndarray
    edge_index: Tensor
    edge_weight: Tensor | None
    at: Tensor

    def of(self, nodes: Nodes) -> Nodes:
        """Return the part of a graph as one."""
        y = nodes.y[torch.from_numpy(self.kept).to(nodes.y.device)]
        return Nodes(_rows(nodes.x, self.kept), self.edge_index, y, self.edge_weight)


class _Incidence(NamedTuple):
    """Edges at each node: ``places[pointers[i] : pointers[i + 1]]`` are those that begin or end at node ``i``."""

    ends: np.ndarray
    pointers: np.ndarray
    places: np.ndarray


class Reach(NamedTuple):
    """What a model's outputs at a node depend on.

    Args:
        hops: how far they see, 0 or more.
        degrees: whether other edges count than those to a node and what is met on the way, as they do in a degree
            that a layer divides by.
    """

    hops: int
    degrees: bool


def cut(nodes: Nodes, index: Tensor, reach: Reach) -> Cut:
    """Return what some nodes see of a graph.

    It holds the nodes within so many hops, against the direction of edges and along it, and the edges to those of one
    hop less; where degrees count, the edges at all of them. All nodes farther out are one node then, which no message
    reaches from in so many hops, but whose edges make all degrees those of the whole graph.

    Args:
        nodes: the graph.
        index: the nodes, ``[nodes]``.
        reach: how far their outputs see.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
        >>> whole = Nodes(torch.eye(6), torch.cat([path, path.flip(0)], 1), torch.zeros(6, dtype=torch.long))
        >>> cut(whole, torch.tensor([0]), Reach(1, degrees=False)).edge_index.tolist()
        [[1], [0]]
        >>> part = cut(whole, torch.tensor([0]), Reach(1, degrees=True))  # nodes 0 and 1, and all beyond as one
        >>> part.kept.tolist(), part.edge_index.tolist(), part.at.tolist()
        ([0, 1, 0], [[0, 1, 1, 2], [1, 2, 0, 1]], [0])
    """
    size, device = int(nodes.x.size(0)), nodes.edge_index.device
    incidence = _incidence(nodes.edge_index, size)
    wanted = index.detach().cpu().numpy()
    inside, new = np.zeros(size, dtype=bool), np.unique(wanted)
    inside[new] = True
    places, met = [np.empty(0, dtype=np.int64)], inside
    for hop in range(reach.hops + reach.degrees):
        places.append(_places(incidence, new))
        met = inside.copy()
        if hop == reach.hops:
            break
        ends = incidence.ends[:, places[-1]].ravel()
        new = np.unique(ends[~inside[ends]])
        inside[new] = True
    kept, edges = np.flatnonzero(inside), np.unique(np.concatenate(places))
    if not reach.degrees:
        edges = edges[met[incidence.ends[1, edges]]]
    number = np.full(size, len(kept), dtype=np.int64)
    number[kept] = np.arange(len(kept))
    # The node that stands for all others has a real node's features: zeros may be what a layer divides by.
    rows = np.append(kept, wanted[0]) if reach.degrees and len(kept) < size else kept
    weight = None if nodes.edge_weight is None else nodes.edge_weight[torch.from_numpy(edges).to(device)]
    renumbered = torch.from_numpy(number[incidence.ends[:, edges]]).to(device)
    return Cut(rows, renumbered, weight, torch.from_numpy(number[wanted]).to(device))


def _incidence(edge_index: Tensor, size: int) -> _Incidence:
    """Return the edges at each node, remembered with the graph."""

    def build() -> _Incidence:
        ends = edge_index.detach().cpu().numpy()
        joined = ends.ravel()
        order = np.argsort(joined, kind="stable")
        pointers = np.concatenate([[0], np.bincount(joined, minlength=size).cumsum()])
        return _Incidence(ends.copy(), pointers, order % max(1, ends.shape[1]))

    return cached(build, ("incidence", size), edge_index)


def _places(incidence: _Incidence, nodes: np.ndarray) -> np.ndarray:
    """Return the numbers of the edges at some nodes; an edge between two of them stands there twice."""
    starts, counts = incidence.pointers[nodes], np.diff(incidence.pointers)[nodes]
    before = np.concatenate([[0], counts.cumsum()[:-1]]).astype(np.int64)
    return incidence.places[np.repeat(starts - before, counts) + np.arange(counts.sum())]


def _rows(x: Any, rows: np.ndarray) -> Any:
    """Return some rows of the features."""
    if not isinstance(x, SparseOperator):
        return x[torch.from_numpy(rows).to(x.device)]
    matrix = cached(lambda: scipy.sparse.csr_array(x.to_scipy()), "rows", x)
    return SparseOperator.from_scipy(matrix[rows]).to(x.device)


def reach_of(model: nn.Module, items: AbstractItems, index: Tensor, told: Fingerprint | None = None) -> Reach | None:
    """Return how far the model's outputs see, or ``None`` where a part of the graph does not do.

    Counted are the calls of ``propagate`` in one call of the model, more than which no output can see. Whether the
    part is then all that matters is not taken on trust: with parameters drawn at random the outputs at ``index``, and
    at some nodes whose part of the graph has edges to the rest, must be those on the whole graph. They are not where
    batch normalisation, pooling or a global largest eigenvalue looks at all nodes; what keeps its first graph
    (``cached=True``) is refused unseen. Asked once for a model and a graph, as long as they are the same; the model
    must be in the mode it is to be called in.

    Args:
        model: any module.
        items: the graph.
        index: some nodes.
        told: the model's fingerprint, where it is known.

    Example:
        >>> from torch_geometric.nn import APPNP, BatchNorm, GATConv, GCNConv, Sequential
        >>> ring = torch.stack([torch.arange(50), torch.arange(50).roll(1)])
        >>> nodes = Nodes(torch.randn(50, 3), ring, torch.zeros(50, dtype=torch.long))
        >>> reach_of(GATConv(3, 4), nodes, torch.tensor([0, 1]))
        Reach(hops=1, degrees=False)
        >>> layers = [(GCNConv(3, 4), "x, edge_index -> x"), (APPNP(K=5, alpha=0.1), "x, edge_index -> x")]
        >>> reach_of(Sequential("x, edge_index", layers), nodes, torch.tensor([0, 1]))
        Reach(hops=6, degrees=True)
        >>> reach_of(Sequential("x, edge_index", [*layers, (BatchNorm(4), "x -> x")]), nodes, torch.tensor([0])) is None
        True
    """
    if not isinstance(items, Nodes) or not plain_items(items) or not as_made(model):
        return None
    return asked_once("reach", model, items, lambda: _measured(model, items, index), told)


WITNESSES, CANDIDATES = 4, 64
"""Nodes on which it is seen how far a model sees, and among how many they are looked for."""

DRAWS = 8
"""How often parameters are drawn in search of such under which outputs differ; without, nothing is seen of them."""

FAULTS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What a model may raise that cannot be called on a part of its graph."""

Answer = TypeVar("Answer")
ANSWERS = 8
"""How many answers are kept of a model; the oldest goes first."""


class _Record(NamedTuple):
    nodes: weakref.ref[Nodes]
    held: list[Any]  # what the model was told by, so that nothing else is taken for it
    answer: Any


_answers: weakref.WeakKeyDictionary[nn.Module, dict[Any, _Record]] = weakref.WeakKeyDictionary()


def forget() -> None:
    """Forget what was found out about all models."""
    _answers.clear()


def asked_once(
    what: Hashable, model: nn.Module, nodes: Nodes, ask: Callable[[], Answer], told: Fingerprint | None = None
) -> Answer:
    """Return ``ask()``, or what it said of the same model on the same graph, if nothing has changed that may matter.

    See :func:`graphkit.meta.fingerprint.fingerprint` for what is seen of a model. Of the graph it is all but an edit of
    the features through other views of their memory, such as NumPy's.
    """
    told = fingerprint(model) if told is None else told
    if told is None:
        return ask()
    key = (what, told[0], version_key(nodes.edge_index), version_key(nodes.edge_weight), _edits(nodes.x))
    known = _answers.setdefault(model, {})
    record = known.get(key)
    if record is None or record.nodes() is not nodes:
        record = _Record(weakref.ref(nodes), told[1], ask())
        known.pop(key, None)
        known[key] = record
        for old in list(known)[:-ANSWERS]:
            known.pop(old, None)
    return record.answer


def _edits(x: Any) -> Hashable:
    """Return what tells features from those they are edited to: of an array how often it was, in place."""
    if isinstance(x, SparseOperator):
        return version_key(x)
    return None if x.is_inference() else version_of(x)


def settings(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    """Return the numbers, names and switches that a module was made with, its mode among them."""
    plain = (bool, int, float, str, type(None))
    return tuple((k, v) for k, v in vars(module).items() if isinstance(v, plain) and not k.startswith("_"))


@torch.no_grad()
def _measured(model: nn.Module, nodes: Nodes, index: Tensor) -> Reach | None:
    """Count the hops, and see whether they do."""
    if any(getattr(module, "cached", False) for module in model.modules()):
        return None
    table = {name: shaken(value, 0) for name, value in model.named_parameters()}

    def call(*inputs: Any) -> Tensor:
        return functional_call(model, table, inputs)  # under the parameters last drawn

    # Counted on a part: while somebody listens, our layers make an array of all messages.
    probe = cut(nodes, index, Reach(1, degrees=True))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            hops = _propagations(model, lambda: probe.of(nodes).outputs(call, probe.at))
        except FAULTS:  # a model of this graph alone: an embedding of each node
            return None
    # Nodes that see all of their component would let anything pass, and are what a first task may consist of.
    groups = [index, *_looking_out(nodes, hops, index)]
    if len(groups) == 1:
        return None
    for seed in range(DRAWS):
        table = {name: shaken(value, seed) for name, value in model.named_parameters()}
        with warnings.catch_warnings(record=True) as known:
            warnings.simplefilter("always")
            whole = nodes.outputs(call, torch.cat(groups))
        if telling(whole):
            break
    else:
        return None
    there = whole.split([len(group) for group in groups])
    for reach in (Reach(hops, degrees=False), Reach(hops, degrees=True)):
        parts = [cut(nodes, group, reach) for group in groups]
        if 2 * len(parts[0].kept) > nodes.x.size(0):
            return None  # nothing is gained
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                here = [part.of(nodes).outputs(call, part.at) for part in parts]
            except FAULTS:
                continue
        # A layer may warn of a part, of its being directed say, that would not of the whole.
        quiet = len(heard) <= len(known) * len(groups)
        if quiet and all(alike(*pair) for pair in zip(here, there, strict=True)):
            return reach
    return None


def _looking_out(nodes: Nodes, hops: int, index: Tensor) -> list[Tensor]:
    """Return some nodes, each by itself, that edges join to what lies farther away than so many hops, both ways."""
    size, found = int(nodes.x.size(0)), []
    incidence = _incidence(nodes.edge_index, size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:CANDIDATES]
    for node in order.split(1):
        inside = np.zeros(size, dtype=bool)
        inside[cut(nodes, node, Reach(hops, degrees=False)).kept] = True
        leaving = inside[incidence.ends[0]] != inside[incidence.ends[1]]
        if inside[incidence.ends[0, leaving]].any() and inside[incidence.ends[1, leaving]].any():
            found.append(node.to(index.device))
        if len(found) == WITNESSES:
            break
    return found


def shaken(value: Tensor, seed: int) -> Tensor:
    """Return a parameter moved at random, so that none of its numbers hides by being 0."""
    return value + 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed)).to(value)


def telling(outputs: Tensor) -> bool:
    """Tell whether more than a quarter of the rows differ: where all are 0, behind an activation, any part would do.

    Example:
        >>> telling(torch.eye(3)), telling(torch.zeros(3, 3))
        (True, False)
    """
    rows = outputs.flatten(0, -2)
    return len(rows.unique(dim=0)) > max(1, len(rows) / 4)


def alike(one: Tensor, other: Tensor) -> bool:
    """Tell whether two results are the same but for rounding."""
    allowed = (1e-10 if other.dtype == torch.float64 else 1e-4) * float(other.abs().max())
    return one.shape == other.shape and bool(((one - other).abs() <= allowed).all())


def _propagations(model: nn.Module, call: Callable[[], Any]) -> int:
    """Return how often layers of the model propagate in one call."""
    count = 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, MessagePassing):
                stack.callback(module.register_propagate_forward_pre_hook(counted).remove)
        call()
    return count
