"""Fingerprints: the sha256 of the tensors that a data set holds, whatever file they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks

EXTRA_FIELDS = ("attributes", "signals", "y_multi")
"""Fields that count where a graph has them."""

BLOCK = 2**22
"""Numbers of a dense matrix that are looked at together."""


class ChunkedVector(NamedTuple):
    """A vector that is never held whole: its type, its length, and its parts one after another."""

    dtype: torch.dtype
    length: int
    parts: Iterable[Tensor]


def tensors_sha256(tensors: Mapping[str, Tensor | ChunkedVector]) -> str:
    """Return the sha256 over name, type, shape and bytes of each tensor, in the order of their names.

    Example:
        >>> tensors_sha256({"a": torch.zeros(2)}) == tensors_sha256({"a": torch.zeros(2, dtype=torch.int32)})
        False
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        parts = tensor.parts if isinstance(tensor, ChunkedVector) else (tensor,)
        shape = (tensor.length,) if isinstance(tensor, ChunkedVector) else tuple(tensor.shape)
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {shape}\n".encode())
        for part in parts:
            array = part.detach().cpu().contiguous().numpy()
            little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little_endian).data)
    return digest.hexdigest()


def content_sha256(data: Data) -> str:
    """Return the sha256 of a graph's ``edge_index``, and of what else it has of those listed below.

    Edges are sorted first, and ``x`` counts by its non-zeros in float32, so that neither the order in which edges are
    stored nor dense or sparse storage matters. The order of the nodes does: splits refer to it.

    Args:
        data: a graph with ``edge_index [2, edges]`` and perhaps ``x [nodes, features]``, integer ``y [nodes]``,
            ``edge_weight [edges]``, ``attributes`` or ``y_multi``, each ``[nodes, columns]``; or with
            ``signals [signals, nodes, features]`` and ``y [signals]`` instead of ``x``.

    Example:
        >>> x, y = torch.eye(3), torch.tensor([0, 1, 0])
        >>> one = Data(x=x, y=y, edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> two = Data(x=x.to_sparse(), y=y, edge_index=torch.tensor([[1, 0], [2, 1]]))
        >>> content_sha256(one) == content_sha256(two)
        True
    """
    _require_content(data)
    row, column = data.edge_index.cpu().numpy().astype(np.int64)
    weight = data.get("edge_weight")
    values = [] if weight is None else [weight.detach().cpu().numpy().reshape(-1)]
    order = np.lexsort((*values, column, row))
    tensors: dict[str, Tensor | ChunkedVector] = {}
    if data.get("x") is not None:
        x = data.x.detach().cpu()
        stored = _sparse_chunks(x) if x.layout == torch.strided else sparse_parts(x)
        tensors |= {f"x.{name}": part for name, part in stored.items()}
    tensors["edge_index"] = torch.from_numpy(np.stack([row[order], column[order]]))
    if data.get("y") is not None:
        tensors["y"] = data.y.cpu().long()
    tensors |= {name: data[name] for name in EXTRA_FIELDS if name in data}
    if values:
        tensors["edge_weight"] = torch.from_numpy(values[0][order])
    return tensors_sha256(tensors)


def _require_content(data: Data) -> None:
    """Refuse what has no content of a graph."""
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    if data.get("edge_index") is None:
        raise ValueError("`data` must have `edge_index` to have a fingerprint.")


def sparse_parts(x: Tensor) -> dict[str, Tensor]:
    """Return ``x [nodes, features]`` as its non-zeros: ``shape``, ``start`` of each row, ``column`` and ``value``."""
    index = x.to_sparse().coalesce().indices() if x.layout == torch.sparse_coo else x.to_dense().nonzero().t()
    value = x.coalesce().values() if x.layout == torch.sparse_coo else x.to_dense()[index[0], index[1]]
    start = torch.zeros(x.size(0) + 1, dtype=torch.int64)
    start[1:] = torch.bincount(index[0], minlength=x.size(0)).cumsum(0)
    shape = torch.tensor(x.shape, dtype=torch.int64)
    return {"shape": shape, "start": start, "column": index[1].int(), "value": value.float()}


def _sparse_chunks(x: Tensor) -> dict[str, Tensor | ChunkedVector]:
    """Return what :func:`sparse_parts` does of a dense ``x``, which may be as large as memory."""
    blocks = x.split(max(1, BLOCK // max(x.size(1), 1)))
    start = torch.zeros(x.size(0) + 1, dtype=torch.int64)
    start[1:] = torch.cat([block.count_nonzero(1) for block in blocks]).cumsum(0)
    stored = int(start[-1])
    return {
        "shape": torch.tensor(x.shape, dtype=torch.int64),
        "start": start,
        "column": ChunkedVector(torch.int32, stored, (block.nonzero()[:, 1].int() for block in blocks)),
        "value": ChunkedVector(torch.float32, stored, (block[block != 0].float() for block in blocks)),
    }


def from_sparse_parts(parts: Mapping[str, Tensor]) -> Tensor:
    """Return the dense ``x`` that ``sparse_parts`` took apart."""
    nodes, features = parts["shape"].tolist()
    row = torch.repeat_interleave(torch.arange(nodes), parts["start"].diff())
    x = torch.zeros(nodes, features)
    x[row, parts["column"].long()] = parts["value"]
    return x
