"""The sparse operator: a matrix and its transpose, multiplied, differentiated and handed around as one thing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import scipy.sparse
import torch
from torch import Tensor

from graphkit._checks import (
    edge_index_in_range,
    edge_index_shape,
    flag,
    instance,
    member,
    node_count,
    number,
    one_row_per_column,
    one_value_per_edge,
    to_numpy,
    valid_indptr,
)
from graphkit._exports import deprecated_arguments, deprecated_method
from graphkit.operators.autograd import is_cacheable, is_readable, outside_transforms
from graphkit.operators.dropout import dropout
from graphkit.operators.graph_cache import version_key
from graphkit.operators.operand_checks import check_addend, check_matrix, check_torch_sparse, check_values
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import row_sums, sddmm, spmm


class Degrees(NamedTuple):
    """Whose Laplacian an operator is: its normalisation (``"none"``, ``"sym"``, ``"rw"``) and the graph's degrees.

    Its null vectors are functions of these, and cannot be read off the values of the symmetric one.
    """

    normalization: str
    degree: Tensor


class ValueStore:
    """Values of the entries of a pattern, ``None`` for ones, degrees, and the values of the transpose once asked for.

    What is cached of a graph is one of these, which any number of operators share. Nobody outside the package sees its
    tensors: an operator that is asked for them goes on with a copy. Values that somebody outside holds (``exposed``)
    may be edited through any view of their memory; what was made of them counts only while they are the same.
    """

    def __init__(
        self, pattern: Pattern, values: Tensor | None, degrees: Degrees | None = None, *, exposed: bool
    ) -> None:
        self.pattern, self.values, self._degrees = pattern, values, degrees
        self.exposed = False
        self._initial_key: Hashable = None
        self._transpose_cache: tuple[Hashable, ValueStore | None] | None = None
        if exposed:
            self.expose()

    def expose(self) -> None:
        """Note that somebody holds the values from now on."""
        if not self.exposed:
            self.exposed = self.values is not None
            self._initial_key = None if self._degrees is None else self._key()

    def copy(self) -> ValueStore:
        """Return the same with tensors of its own."""
        with outside_transforms(), torch.no_grad():
            degrees = self._degrees
            degrees = None if degrees is None else Degrees(degrees.normalization, degrees.degree.clone())
            values = None if self.values is None else self.values.clone()
            return ValueStore(self.pattern, values, degrees, exposed=False)

    def version_key(self) -> Hashable:
        """Return what tells the values from those that they are edited to; ``None`` where nobody can edit them."""
        if self.exposed and self.pattern.device.type != "cpu":
            return object()  # there an edit may leave no trace
        return self._key() if self.exposed else None

    def _key(self) -> Hashable:
        if self.values is None or not is_readable(self.values):
            return None
        with outside_transforms():
            return version_key(self.values)

    @property
    def degrees(self) -> Degrees | None:
        """Degrees of the graph whose Laplacian this is, unless its values were edited."""
        if self._degrees is None or not self.exposed:
            return self._degrees
        return self._degrees if self._key() == self._initial_key else None

    def dense_values(self) -> Tensor:
        """Return the values, ones written out, ``[entries]``."""
        if self.values is not None:
            return self.values
        return torch.ones(self.pattern.entries, dtype=torch.get_default_dtype(), device=self.pattern.device)

    @property
    def transpose(self) -> ValueStore:
        """Those of the transpose, made once for values that stay; itself where the matrix is symmetric."""
        if not is_cacheable(self.values):
            pattern, position = self.pattern._transpose
            return ValueStore(pattern, self.values.index_select(0, position), exposed=False)  # type: ignore[union-attr]
        mark = self.version_key()
        if self._transpose_cache is None or self._transpose_cache[0] != mark:
            self._transpose_cache = mark, self._make_transpose()
        return self._transpose_cache[1] or self

    def _make_transpose(self) -> ValueStore | None:
        pattern, position = self.pattern._transpose
        with outside_transforms():
            values = None if self.values is None else self.values.index_select(0, position)
            same = self.values is None or values is None or torch.equal(values, self.values)
        return None if pattern is self.pattern and same else ValueStore(pattern, values, exposed=False)

    def values_t(self) -> Tensor | None:
        """Return the values in the order of the transpose where they are known and stay, for a backward pass."""
        known = not self.exposed or self.pattern.device.type == "cpu"
        return self.transpose.values if known and is_cacheable(self.values) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(ValueStore, exposed=self.exposed), (self.pattern, self.values, self.degrees)


FLOWS = ("source_to_target", "target_to_source")
"""Directions of the messages along an ``edge_index``."""

TORCH_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {}
"""What PyTorch's functions do when they are handed an operator; filled by ``feature_matrix``."""


class SparseOperator:
    """A sparse matrix :math:`A` in compressed rows that knows its transpose.

    Rows are targets and columns are sources, so that ``operator @ x`` sums over each node's incoming edges. It is
    differentiable in ``x`` and in its values, twice, and under ``torch.func``. It also stands where a sparse feature
    matrix stands: ``F.linear`` and ``F.dropout``, hence ``torch.nn.Linear`` and ``torch.nn.Dropout``, accept it and act
    on the stored values, since a dropped zero is a zero.

    Its ``values`` and ``degrees`` are the caller's own, to be edited in place as he likes: all products follow. Of an
    operator that is cached with a graph they are a copy, made when they are first asked for.

    Args:
        pattern: places of the entries.
        values: value of each entry in the pattern's order, ``[entries]``; ``None`` for ones in the type of whatever
            is multiplied.
        degrees: of the graph, where the operator is its Laplacian; other values, or another place, have none.

    Raises:
        ValueError: for values that are not one number per entry.

    Example:
        >>> edge_index = torch.tensor([[0, 1], [1, 2]])
        >>> operator = SparseOperator.from_edge_index(edge_index, num_nodes=3)
        >>> (operator @ torch.tensor([[1.0], [2.0], [4.0]])).flatten().tolist()
        [0.0, 1.0, 2.0]
        >>> (operator.T @ torch.tensor([[1.0], [2.0], [4.0]])).flatten().tolist()
        [2.0, 4.0, 0.0]
    """

    def __init__(self, pattern: Pattern, values: Tensor | None = None, degrees: Degrees | None = None) -> None:
        instance("pattern", pattern, Pattern, "a Pattern")
        check_values(values, pattern.entries)
        if degrees is not None:
            instance("degrees", degrees, Degrees, "a Degrees")
        self._store = ValueStore(pattern, values, degrees, exposed=True)
        self._shared = False

    @classmethod
    def _from_store(cls, store: ValueStore, *, shared: bool = True) -> SparseOperator:
        """Return an operator of numbers that it shares with others until they are asked for, or has for itself."""
        operator = cls.__new__(cls)
        operator._store, operator._shared = store, shared
        return operator

    @classmethod
    def _wrap(cls, pattern: Pattern, values: Tensor | None, degrees: Degrees | None = None) -> SparseOperator:
        """Return the operator of values that have just been made and that nobody else holds."""
        return cls._from_store(ValueStore(pattern, values, degrees, exposed=False), shared=False)

    def _shared_copy(self) -> SparseOperator:
        """Return an operator for a caller to keep: this one is cached and stays as it is."""
        return SparseOperator._from_store(self._store)

    # ---- made from

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        *,
        num_nodes: int | tuple[int, int] | None = None,
        flow: str = "source_to_target",
    ) -> SparseOperator:
        """Return the operator whose entry (i, j) is the weight of edge j -> i.

        Duplicate edges add up, self-loops stay, isolated nodes are empty rows: nothing is repaired silently.

        Args:
            edge_index: sources and targets, ``[2, edges]``, integers.
            edge_weight: ``[edges]``; ones when left out. Gradients flow to it.
            num_nodes: number of nodes, or of source and target nodes of a bipartite graph; the largest id plus one
                when left out.
            flow: ``"source_to_target"``, or ``"target_to_source"`` for the transpose.

        Raises:
            ValueError: for ids out of range or weights of another length.
            TypeError: for an ``edge_index`` that does not hold integers.
        """
        edge_index_shape(edge_index)
        node_count(num_nodes)
        member("flow", flow, FLOWS)
        edge_index = edge_index.as_subclass(Tensor) if type(edge_index) is not Tensor else edge_index
        one_value_per_edge("edge_weight", edge_weight, edge_index.shape[-1])
        with outside_transforms():
            sizes = edge_index_in_range(edge_index, num_nodes)
            source, target = edge_index.detach()
        if flow == "target_to_source":
            source, target, sizes = target, source, sizes[::-1]
        pattern = Pattern.from_coo(target, source, sizes[::-1])
        values = None if edge_weight is None else edge_weight.reshape(-1).index_select(0, pattern._perm)
        return cls._wrap(pattern, values)

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseOperator:
        """Return the non-zero entries of a matrix ``[rows, columns]``."""
        check_matrix("x", x)
        with outside_transforms():
            rows, columns = x.detach().nonzero(as_tuple=True)
        return cls._from_coo(rows, columns, x[rows, columns], (x.shape[0], x.shape[1]))

    @classmethod
    def from_torch(cls, matrix: Tensor) -> SparseOperator:
        """Return the operator of a ``torch.sparse`` matrix (COO, CSR, CSC), rows being targets as in PyG's ``adj_t``.

        A COO matrix may hold duplicates; they add up to one entry, as in PyTorch.

        Raises:
            ValueError: for entries outside the matrix, or that are not single numbers.
        """
        check_torch_sparse(check_matrix("matrix", matrix))
        if matrix.layout == torch.sparse_coo:
            matrix = matrix.coalesce()  # it would put an entry that lies outside somewhere
            (rows, columns), values = matrix.indices(), matrix.values()
        elif matrix.layout == torch.sparse_csr:
            columns, values = matrix.col_indices(), matrix.values()
            rows = _rows_of_indptr(matrix.crow_indices())
        elif matrix.layout == torch.sparse_csc:
            rows, values = matrix.row_indices(), matrix.values()
            columns = _rows_of_indptr(matrix.ccol_indices())
        else:
            return cls.from_dense(matrix)
        return cls._from_coo(rows, columns, values, (matrix.shape[0], matrix.shape[1]))

    @classmethod
    def from_scipy(cls, matrix: Any) -> SparseOperator:
        """Return the operator of a SciPy sparse matrix or array, rows being targets.

        Raises:
            TypeError: for anything else.
            ValueError: for pointers or places of entries that do not fit the matrix.
        """
        if not scipy.sparse.issparse(matrix):
            raise TypeError(f"`matrix` must be a SciPy sparse matrix or array, got {type(matrix).__name__}.")
        if matrix.format in ("csr", "csc", "bsr"):  # SciPy too trusts the pointers that it is handed
            valid_indptr("indptr", matrix.indptr, len(matrix.indptr) - 1, len(matrix.indices))
            try:
                matrix.check_format(full_check=True)
            except ValueError as error:
                raise ValueError(f"`matrix` does not hold together, as SciPy says: {error}.") from None
        coo = matrix.tocoo()
        pattern = Pattern.from_coo(coo.row, coo.col, coo.shape)
        return cls._wrap(pattern, torch.from_numpy(coo.data.copy()).index_select(0, pattern._perm))

    @classmethod
    def from_networkx(cls, graph: Any, weight: str | None = None) -> SparseOperator:
        """Return the operator of a NetworkX graph in its node order; an edge u -> v is entry (v, u).

        Args:
            graph: a graph, directed or not, multigraph or not.
            weight: name of the edge attribute that holds the weight; edges without it weigh 1, as in NetworkX, and all
                do when left out.
        """
        if not hasattr(graph, "edges") or not hasattr(graph, "is_directed"):
            raise TypeError(f"`graph` must be a NetworkX graph, got {type(graph).__name__}.")
        if weight is not None:
            instance("weight", weight, str, "a text")
        number = {node: i for i, node in enumerate(graph)}
        edges = [(number[u], number[v], data.get(weight, 1.0)) for u, v, data in graph.edges(data=True)]
        if not graph.is_directed():
            edges += [(v, u, w) for u, v, w in edges if u != v]
        index = torch.tensor([edge[:2] for edge in edges], dtype=torch.long).reshape(-1, 2).T
        weights = None if weight is None else torch.tensor([edge[2] for edge in edges], dtype=torch.get_default_dtype())
        return cls.from_edge_index(index, weights, num_nodes=len(number))

    @classmethod
    def _from_coo(cls, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> SparseOperator:
        check_values(values, len(columns))
        with outside_transforms():
            pattern = Pattern.from_coo(rows, columns, shape)
        return cls._wrap(pattern, values.index_select(0, pattern._perm))

    def with_values(self, values: Tensor | None) -> SparseOperator:
        """Return the operator with other values, ``[entries]``, in the same places."""
        return SparseOperator(self.pattern, values)

    # ---- what it is

    @property
    def pattern(self) -> Pattern:
        """Places of the entries, which never change."""
        return self._store.pattern

    @property
    def values(self) -> Tensor | None:
        """Value of each entry, ``[entries]``, or ``None`` for ones; the caller's own, see above."""
        store = self._own_store()
        store.expose()
        return store.values

    @values.setter
    def values(self, values: Tensor | None) -> None:
        check_values(values, self.entries)
        self._store, self._shared = ValueStore(self.pattern, values, exposed=True), False

    @property
    def degrees(self) -> Degrees | None:
        """Degrees of the graph, where the operator is its Laplacian and its values have not been edited."""
        return self._own_store().degrees

    def _own_store(self) -> ValueStore:
        """Return numbers that are this operator's own, copied where others share them."""
        if self._shared and (self._store.values is not None or self._store.degrees is not None):
            self._store = self._store.copy()
        self._shared = False
        return self._store

    @property
    def _cache_owner(self) -> ValueStore:
        """With what the cached results of the operator live: the values, which several operators may share."""
        return self._store

    def _version_key(self) -> Hashable:
        """Return what tells the operator from what its values are edited to; ``None`` while nobody has seen them."""
        return self._store.version_key()

    @property
    def shape(self) -> torch.Size:
        """Rows and columns."""
        return torch.Size(self.pattern.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one axis, as tensors do."""
        if dim is not None and (not isinstance(dim, int) or not -2 <= dim < 2):
            raise ValueError(f"`dim` must be 0 or 1, got {dim!r}.")
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return 2, as tensors do."""
        return 2

    @property
    def entries(self) -> int:
        """Number of stored entries."""
        return self.pattern.entries

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values; the default type where the values are implicit ones."""
        values = self._store.values
        return torch.get_default_dtype() if values is None else values.dtype

    @property
    def device(self) -> torch.device:
        """Where the operator lies."""
        return self.pattern.device

    @property
    def constant(self) -> bool:
        """Whether the values may be cached: no derivative is taken of them and no transform wraps them."""
        return is_cacheable(self._store.values)

    @property
    def T(self) -> SparseOperator:
        """The transpose, made once for values that stay; the same object where the operator is symmetric."""
        transpose = self._store.transpose
        return self if transpose is self._store else SparseOperator._from_store(transpose, shared=self.constant)

    @property
    def symmetric(self) -> bool:
        """Whether the operator equals its transpose, to the last bit."""
        return self._store.transpose is self._store

    def entry_values(self) -> Tensor:
        """Return the values, ones written out, ``[entries]``."""
        store = self._own_store()
        store.expose()
        return store.dense_values()

    def sums(self) -> Tensor:
        """Return the sum of each row, ``[rows]``: the weighted in-degrees of an adjacency."""
        return row_sums(self.pattern, self._store.dense_values())

    # ---- what it does

    def __matmul__(self, x: Tensor) -> Tensor:
        """Return :math:`Ax` for ``x`` of shape ``[columns]`` or ``[..., columns, features]``."""
        one_row_per_column(x, self.shape[1])
        if x.dim() == 1:
            return self.multiply_add(x.unsqueeze(1)).squeeze(1)
        if x.dim() == 2:
            return self.multiply_add(x)
        stacked = x.movedim(-2, 0)
        flat = self.multiply_add(stacked.flatten(1))
        return flat.view(self.shape[0], *stacked.shape[1:]).movedim(0, -2).contiguous()

    __call__ = __matmul__

    @deprecated_arguments(plus="addend", scale="alpha", plus_scale="beta")
    def multiply_add(self, x: Tensor, addend: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
        r"""Return :math:`\alpha A x + \beta p` in one pass over memory, ``[rows, features]``.

        Args:
            x: ``[columns, features]``.
            addend: :math:`p`, ``[rows, features]`` or ``[1, features]``; nothing when left out.
            alpha: :math:`\alpha`.
            beta: :math:`\beta`.

        Raises:
            ValueError: for shapes that do not fit.
        """
        one_row_per_column(x, self.pattern.shape[1])
        number("alpha", alpha)
        number("beta", beta)
        check_addend(addend, x, self.pattern.shape[0])
        store = self._store
        values_t = store.values_t() if torch.is_grad_enabled() and x.requires_grad else None
        return spmm(store.pattern, store.values, x, values_t=values_t, alpha=alpha, addend=addend, beta=beta)

    def sddmm(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the inner product of ``left[i]`` and ``right[j]`` at every entry (i, j), ``[entries]``."""
        return sddmm(self.pattern, left, right)

    sample = deprecated_method("sddmm")

    def dropout(self, p: float, training: bool = True) -> SparseOperator:
        """Return the operator with each value zeroed with probability ``p`` and the others scaled by 1 / (1 - p)."""
        flag("training", training)
        if not 0 <= number("p", p) <= 1:
            raise ValueError(f"`p` must lie in [0, 1], got {p!r}.")
        if not training or p == 0:
            return self
        return SparseOperator._wrap(self.pattern, dropout(self._store.dense_values(), p))

    def to(self, *args: Any, **kwargs: Any) -> SparseOperator:
        """Return the operator on another device or in another type, with the arguments of ``Tensor.to``."""
        store = self._store
        values = None if store.values is None else store.values.to(*args, **kwargs)
        device = torch.empty(0, device=self.device).to(*args, **kwargs).device
        if values is store.values and device == self.device:
            return self
        degrees = store.degrees
        if degrees is not None:
            degrees = Degrees(degrees.normalization, degrees.degree.to(*args, **kwargs))
        return SparseOperator._wrap(self.pattern.to(device), values, degrees)

    def to_dense(self) -> Tensor:
        """Return the dense matrix, duplicates added up."""
        values = self._store.dense_values()
        return values.new_zeros(self.shape).index_put((self.pattern.rows(), self.pattern._indices), values, True)

    def to_scipy(self) -> Any:
        """Return the matrix as a SciPy CSR array of its own on the CPU, duplicates kept apart; no gradient flows."""
        parts = (self._store.dense_values(), self.pattern._indices, self.pattern._indptr)
        return scipy.sparse.csr_array(tuple(to_numpy(part) for part in parts), shape=self.pattern.shape, copy=True)

    def edge_index(self) -> Tensor:
        """Return sources and targets in the operator's order, ``[2, entries]``, int64."""
        return torch.stack((self.pattern._indices.long(), self.pattern.rows()))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function not in TORCH_OVERRIDES:
            return NotImplemented
        return TORCH_OVERRIDES[function](*args, **(kwargs or {}))

    def __repr__(self) -> str:
        values = "ones" if self._store.values is None else str(self.dtype).removeprefix("torch.")
        return f"SparseOperator({self.shape[0]} x {self.shape[1]}, {self.entries} entries, {values})"


def _rows_of_indptr(indptr: Tensor) -> Tensor:
    return torch.arange(len(indptr) - 1, device=indptr.device).repeat_interleave(indptr.diff())
