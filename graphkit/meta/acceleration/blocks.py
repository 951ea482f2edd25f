"""The subgraphs of a meta-batch as one block-diagonal graph, and what need not be computed in every inner step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit._torch_internals import version_of
from graphkit.meta.acceleration.eligibility import SHAPE_QUERIES
from graphkit.meta.acceleration.subgraph import ReceptiveField, Subgraph, extract_subgraph
from graphkit.meta.items import Nodes
from graphkit.nn.fused import FEATURE_TYPES
from graphkit.operators import SparseOperator
from graphkit.operators.graph_cache import cached

MAX_DENSITY = 0.1
"""Share of features that are not zero, up to which they are multiplied as a sparse matrix."""


class Unstackable(TypeError):
    """A model that does with its parameters what is not known for parameters of each task."""


class TaskBlocks(NamedTuple):
    """Parts of a graph beside each other, padded with isolated nodes to the size of the largest.

    Args:
        nodes: all of them, ``tasks * size`` nodes.
        targets: the nodes that were asked for, ``[tasks, items]``.
        size: nodes of a part.
        sparse: the features as a block-diagonal matrix, ``[tasks * size, tasks * features]``, where most are zero.
        uses: how often parameters of tasks were used, one number that is counted up.
        constants: what is made of the features alone.
    """

    nodes: Nodes
    targets: Tensor
    size: int
    sparse: SparseOperator | None
    uses: list[int]
    constants: ConstantMessages

    def matmul(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return each part's rows times its own matrix, ``weight [tasks, in, out]``, ``[tasks * size, out]``."""
        if x is self.nodes.x and self.sparse is not None:
            return self.sparse @ weight.reshape(-1, weight.size(2))
        x = materialize(x)
        averaged = self.constants.sparse_form(x, lambda constant: _sparse_blocks(constant, self.size))
        if averaged is not None:
            return averaged @ weight.reshape(-1, weight.size(2))
        if x.dim() != 2 or len(x) != len(self.nodes.y):
            raise Unstackable(f"a product with {list(x.shape)}, which are no rows of nodes")
        return (x.view(len(self.targets), self.size, x.size(1)) @ weight).flatten(0, 1)

    def expand(self, value: Tensor, dimensions: int) -> Tensor:
        """Return a value of each task at each of its nodes, with so many dimensions, ``[tasks * size, ...]``."""
        shape = list(value.shape[1:])
        if len(shape) == dimensions:
            if shape[0] != 1:
                raise Unstackable(f"a parameter {shape} beside rows of nodes")
            shape = shape[1:]
        shape = [1] * (dimensions - 1 - len(shape)) + shape
        return value.reshape(-1, 1, *shape).expand(-1, self.size, *shape).reshape(-1, *shape)


def block_diagonal_graph(nodes: Nodes, groups: Sequence[Tensor], field: ReceptiveField) -> TaskBlocks:
    """Return the subgraphs that groups of nodes of one size see of a graph with dense features, beside each other.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
        >>> whole = Nodes(torch.eye(6), torch.cat([path, path.flip(0)], 1), torch.zeros(6, dtype=torch.long))
        >>> groups = [torch.tensor([0]), torch.tensor([3])]
        >>> found = block_diagonal_graph(whole, groups, ReceptiveField(1, degrees=True))
        >>> found.size, found.targets.tolist(), found.nodes.x.shape
        (4, [[0], [5]], torch.Size([8, 6]))
    """
    parts = [extract_subgraph(nodes, group, field) for group in groups]
    size = max(len(part.nodes) for part in parts)
    edges = torch.cat([part.edge_index + number * size for number, part in enumerate(parts)], 1)
    weights = [part.edge_weight for part in parts if part.edge_weight is not None]
    targets = torch.stack([part.targets + number * size for number, part in enumerate(parts)])
    matrix = _sparse_rows(nodes.x)
    # Where the features are sparse, no array of them is made unless the model asks for more than a linear map.
    x = _pad(nodes.x, parts, size) if matrix is None else LazyFeatures.of(nodes.x, parts, size)
    joined = Nodes(x, edges, nodes.y.new_zeros(len(x)), torch.cat(weights) if weights else None)
    uses = [0]
    constants = ConstantMessages([x, edges, joined.edge_weight], lambda: uses[0])
    sparse = None if matrix is None else _block_diagonal(matrix, parts, size)
    return TaskBlocks(joined, targets, size, sparse, uses, constants)


def _pad(x: Tensor, parts: Sequence[Subgraph], size: int) -> Tensor:
    """Return the features of the parts, ``[tasks * size, features]``."""
    padded = x.new_zeros(len(parts) * size, x.size(1))
    for number, part in enumerate(parts):
        padded[number * size : number * size + len(part.nodes)] = x[torch.from_numpy(part.nodes).to(x.device)]
    return padded


def _sparse_rows(x: Tensor) -> scipy.sparse.csr_array | None:
    """Return features on the host as a sparse matrix, cached with them; ``None`` where too many are not zero."""

    def build() -> scipy.sparse.csr_array | None:
        dense = x.detach().numpy()
        return scipy.sparse.csr_array(dense) if np.count_nonzero(dense) <= MAX_DENSITY * dense.size else None

    return cached(build, "sparse rows", x) if x.device.type == "cpu" else None


def _block_diagonal(matrix: scipy.sparse.csr_array, parts: Sequence[Subgraph], size: int) -> SparseOperator:
    """Return the features of each part in columns of its own."""
    features, edges, values = matrix.shape[1], [], []
    for number, part in enumerate(parts):
        rows = matrix[part.nodes].tocoo()
        edges.append(np.stack([rows.col + number * features, rows.row + number * size]))
        values.append(rows.data)
    ends = torch.from_numpy(np.concatenate(edges, 1).astype(np.int64))
    shape = (len(parts) * features, len(parts) * size)
    return SparseOperator.from_edge_index(ends, torch.from_numpy(np.concatenate(values)), num_nodes=shape)


def _sparse_blocks(x: Tensor, size: int) -> SparseOperator | None:
    """Return rows of nodes as a block-diagonal matrix, or ``None`` where too many of them are not zero."""
    if x.device.type != "cpu" or x.dim() != 2 or np.count_nonzero(x.numpy()) > MAX_DENSITY * x.numel():
        return None
    rows, columns = x.numpy().nonzero()
    ends = torch.from_numpy(np.stack([columns + rows // size * x.size(1), rows]))
    values = torch.from_numpy(x.numpy()[rows, columns])
    return SparseOperator.from_edge_index(ends, values, num_nodes=(x.size(1) * (len(x) // size), len(x)))


class LazyFeatures(Tensor):
    """Features of the parts of which no array is made before somebody looks at the numbers."""

    make: Callable[[], Tensor]

    @classmethod
    def of(cls, x: Tensor, parts: Sequence[Subgraph], size: int) -> LazyFeatures:
        """Return the features of the parts of a graph, padded to ``size`` rows each."""
        blank = x.new_full((), float("nan"))  # whoever reads past the array that is made reads no number
        lazy = blank.expand(len(parts) * size, x.size(1)).as_subclass(cls)
        lazy.make = functools.cache(lambda: _pad(x, parts, size))
        return lazy

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(type is not Tensor and not issubclass(type, cls | torch.nn.Parameter) for type in types):
            return NotImplemented  # a parameter of each task knows what to do with both
        with torch.DisableTorchFunctionSubclass():
            if function in SHAPE_QUERIES:
                return function(*args, **(kwargs or {}))
        arrays = [materialize(each) for each in args]
        return function(*arrays, **{name: materialize(each) for name, each in (kwargs or {}).items()})


def materialize(value: Any) -> Any:
    """Return a value, and arrays for the features in it."""
    if isinstance(value, tuple | list):
        return type(value)(materialize(each) for each in value)
    return value.make() if isinstance(value, LazyFeatures) else value


FEATURE_TYPES.add(LazyFeatures)  # to our layers they are features like others


class ConstantMessages:
    """Tensors that no inner step changes, and what was made of them alone.

    The first layer of many models averages or sums the features before any weight. That costs more than all the rest
    of a step, and comes to the same in each.

    Args:
        constants: tensors that do not change: features, edges, weights of edges.
        count_uses: counts how often a parameter of a task was used; what uses one is no constant.
    """

    def __init__(self, constants: list[Any], count_uses: Callable[[], int]) -> None:
        self.count_uses = count_uses
        # Held, so that no `id` is given anew, each with the count of its changes in place.
        self._known = {id(each): (each, _version(each)) for each in constants if each is not None}
        self._results: dict[Hashable, Tensor] = {}
        self._sparse: dict[int, SparseOperator | None] = {}

    @contextmanager
    def cache_propagation(self, model: nn.Module, *, ours: bool) -> Iterator[None]:
        """Let layers that propagate constants find the result of the first time, those of graphkit where they do."""
        patched = [
            module
            for module in model.modules()
            if isinstance(module, MessagePassing)
            and (ours or not type(module).__module__.startswith("graphkit."))
            and "propagate" not in vars(module)
        ]
        try:
            for module in patched:
                module.propagate = self._cached(module, module.propagate)
            yield
        finally:
            for module in patched:
                del module.propagate

    def _cached(self, module: nn.Module, propagate: Callable[..., Any]) -> Callable[..., Any]:
        def cached_propagate(edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
            key = self._key(module, edge_index, size, kwargs)
            if key is None:
                return propagate(edge_index, size=size, **kwargs)
            if key in self._results and self._is_constant(self._results[key]):
                return self._results[key]
            before = self.count_uses()
            found = propagate(edge_index, size=size, **kwargs)
            # A layer that writes into what it propagated finds it anew each time.
            if key not in self._results and self.count_uses() == before and isinstance(found, Tensor):
                self._results[key], self._known[id(found)] = found, (found, _version(found))
            return found

        return cached_propagate

    def _is_constant(self, x: Tensor) -> bool:
        known, version = self._known.get(id(x), (None, -1))
        return known is x and version == _version(x) and not x.requires_grad

    def _key(self, module: nn.Module, *arguments: Any) -> Hashable | None:
        """Return what a call is told by, or ``None`` where an argument is no constant."""
        key: list[Hashable] = [id(module)]
        for each in _leaves(arguments):
            if isinstance(each, Tensor):
                if not self._is_constant(each):
                    return None
                key.append(id(each))
            elif each is None or isinstance(each, bool | int | float | str):
                key.append((type(each), each))
            else:
                return None
        return tuple(key)

    def sparse_form(self, x: Tensor, make: Callable[[Tensor], SparseOperator | None]) -> SparseOperator | None:
        """Return what ``make`` makes of a constant, made once; ``None`` for what is none."""
        if not self._is_constant(x):
            return None
        if id(x) not in self._sparse:
            with torch.no_grad():
                self._sparse[id(x)] = make(x)
        return self._sparse[id(x)]


def _version(x: Any) -> int:
    with torch.DisableTorchFunctionSubclass():
        return -1 if x.is_inference() else version_of(x)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested tuples, lists and dictionaries, with the names of the latter."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from _leaves(value[name])
    elif isinstance(value, tuple | list):
        yield len(value)
        for each in value:
            yield from _leaves(each)
    else:
        yield value
