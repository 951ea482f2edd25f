"""Features of parts of a graph: as a block-diagonal matrix, as rows, or as rows that nobody has asked for yet."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from graphkit.meta.cuts import Cut
from graphkit.nn.fused import FEATURE_TYPES
from graphkit.operators import SparseOperator
from graphkit.operators.graph_cache import cached

SPARSE = 0.1
"""Share of features that are not zero, up to which they are multiplied as a sparse matrix."""


def padded(x: Tensor, parts: Sequence[Cut], size: int) -> Tensor:
    """Return the features of the parts, ``[tasks * size, features]``."""
    padded = x.new_zeros(len(parts) * size, x.size(1))
    for number, part in enumerate(parts):
        padded[number * size : number * size + len(part.kept)] = x[torch.from_numpy(part.kept).to(x.device)]
    return padded


def sparse_rows(x: Tensor) -> scipy.sparse.csr_array | None:
    """Return features on the host as a sparse matrix, remembered with them; ``None`` where too many are not zero."""

    def build() -> scipy.sparse.csr_array | None:
        dense = x.detach().numpy()
        return scipy.sparse.csr_array(dense) if np.count_nonzero(dense) <= SPARSE * dense.size else None

    return cached(build, "sparse rows", x) if x.device.type == "cpu" else None


def block_diagonal(matrix: scipy.sparse.csr_array, parts: Sequence[Cut], size: int) -> SparseOperator:
    """Return the features of each part in columns of its own."""
    features, edges, values = matrix.shape[1], [], []
    for number, part in enumerate(parts):
        rows = matrix[part.kept].tocoo()
        edges.append(np.stack([rows.col + number * features, rows.row + number * size]))
        values.append(rows.data)
    ends = torch.from_numpy(np.concatenate(edges, 1).astype(np.int64))
    shape = (len(parts) * features, len(parts) * size)
    return SparseOperator.from_edge_index(ends, torch.from_numpy(np.concatenate(values)), num_nodes=shape)


def sparse_blocks(x: Tensor, size: int) -> SparseOperator | None:
    """Return rows of nodes as a block-diagonal matrix, or ``None`` where too many of them are not zero."""
    if x.device.type != "cpu" or x.dim() != 2 or np.count_nonzero(x.numpy()) > SPARSE * x.numel():
        return None
    rows, columns = x.numpy().nonzero()
    ends = torch.from_numpy(np.stack([columns + rows // size * x.size(1), rows]))
    values = torch.from_numpy(x.numpy()[rows, columns])
    return SparseOperator.from_edge_index(ends, values, num_nodes=(x.size(1) * (len(x) // size), len(x)))


class Features(Tensor):
    """Features of the parts of which no array is made before somebody looks at the numbers."""

    make: Callable[[], Tensor]

    @classmethod
    def of(cls, x: Tensor, parts: Sequence[Cut], size: int) -> Features:
        """Return the features of the parts of a graph, padded to ``size`` rows each."""
        blank = x.new_full((), float("nan"))  # whoever reads past the array that is made reads no number
        lazy = blank.expand(len(parts) * size, x.size(1)).as_subclass(cls)
        lazy.make = functools.cache(lambda: padded(x, parts, size))
        return lazy

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(type is not Tensor and not issubclass(type, cls | torch.nn.Parameter) for type in types):
            return NotImplemented  # a parameter of each task knows what to do with both
        with torch.DisableTorchFunctionSubclass():
            if function in SHAPE:
                return function(*args, **(kwargs or {}))
        given = [made(each) for each in args]
        return function(*given, **{name: made(each) for name, each in (kwargs or {}).items()})


def made(value: Any) -> Any:
    """Return a value, and arrays for the features in it."""
    if isinstance(value, tuple | list):
        return type(value)(made(each) for each in value)
    return value.make() if isinstance(value, Features) else value


def of_tensor(*names: str) -> set[Any]:
    """Return methods of tensors, of attributes the functions that read them."""
    found = [getattr(Tensor, name) for name in names]
    return {each.__get__ if inspect.isgetsetdescriptor(each) else each for each in found}


FEATURE_TYPES.add(Features)  # to our layers they are features like others

KIND = of_tensor("device", "dtype", "layout", "requires_grad", "is_cuda", "is_floating_point", "is_complex")
SHAPE = KIND | of_tensor("shape", "ndim", "size", "dim", "__len__")
