"""Validation: what must hold of a graph before anything is trained on it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks


def validate(data: Data) -> None:
    """Raise if ``data`` cannot be trained on; the message names the field, what it must be and what was found.

    Checked are ``x`` (``[nodes, features]``, floating, finite), ``edge_index`` (``[2, edges]``, integers from 0 to
    nodes - 1), ``edge_weight`` and ``edge_attr`` (one row per edge, finite), ``y`` (one row per node, NaN where a label
    is missing) and the masks (boolean, one per node, disjoint), each where it is there.

    Raises:
        TypeError: if ``data`` is no ``Data``.
        ValueError: if a field does not hold what it must.

    Example:
        >>> validate(Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [2]])))
        Traceback (most recent call last):
        ...
        ValueError: `edge_index` must hold node ids from 0 to 1, found 2.
    """
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    nodes = data.num_nodes if data.keys() else 0
    if not nodes:
        raise ValueError("`data` must have at least one node, got none.")
    x, y = data.get("x"), data.get("y")
    if x is not None:
        if x.dim() != 2 or x.size(0) != nodes:
            raise ValueError(f"`x` must have shape [{nodes}, features], got {list(x.shape)}.")
        if not x.is_floating_point():
            raise ValueError(f"`x` must be floating point, got {x.dtype}; call `data.x.float()`.")
        _finite("x", x)
    edges = _edges(data.get("edge_index"), nodes)
    for name in ("edge_weight", "edge_attr"):
        values = data.get(name)
        if values is not None:
            _checks.one_value_per_edge(name, values, edges)
            _finite(name, values)
    if y is not None:
        if y.size(0) != nodes:
            raise ValueError(f"`y` must have one label per node ({nodes:,}), got {y.size(0):,}.")
        _finite("y", y.nan_to_num(0.0, torch.inf, -torch.inf) if y.is_floating_point() else y)
    _masks(data, nodes)


def class_count(data: Data) -> int:
    """Return the number of classes of ``y``, or refuse labels that leave numbers out; negative ones are none.

    Where a card or a stored graph's manifest says how many classes there are, some of them may have no item.

    Raises:
        ValueError: for labels such as 0, 100, 200: a model has an output for each number.

    Example:
        >>> class_count(Data(y=torch.tensor([0, 2, 1, -1])))
        3
    """
    about = data.get("card") or data.get("store")
    return _checks.class_count("y", data.y, about.classes if about else 0)


def feature_sum(data: Data, seen: Tensor | None = None) -> float:
    """Return the absolute sum that each node's features are scaled to where nobody says it, 0 for "as they are".

    Where a card says that its publishers scale rows to a sum of 1, that is 1. Of bags of words (whole numbers of 0 or
    above, more than half of them 0) it is the mean sum of a row, to three digits: long and short texts then weigh the
    same, and values stay as large as they came. Other features, and those that stay on the disk, are left as they are.

    Args:
        data: a graph.
        seen: the nodes whose features may be looked at, an index or a mask; by default all.

    Raises:
        TypeError: if ``data`` is no ``Data``, or ``seen`` neither index nor mask.
        ValueError: if ``seen`` names nodes that are not there.

    Example:
        >>> words = torch.tensor([[4.0, 0, 2, 0, 0], [0, 0, 0, 1, 1]])
        >>> feature_sum(Data(x=words)), feature_sum(Data(x=words + 0.5))
        (4.0, 0.0)
    """
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    if seen is not None:
        seen = _checks.index_or_mask("seen", seen, data.num_nodes if data.keys() else 0)
    x, card = data.get("x"), data.get("card")
    if x is None or x.dim() != 2 or data.get("store") is not None:
        return 0.0
    if card is not None and card.row_normalise:
        return 1.0
    x = x if seen is None else x.index_select(0, seen.to(x.device))
    total, filled, rows = 0.0, 0, 0
    # In pieces, so that a large dense table is never held twice.
    for piece in x.split(max(1, 2**22 // max(1, x.size(1)))) if x.layout == torch.strided else [x]:
        piece = piece.to_sparse_coo().coalesce()
        values = piece.values()
        if bool(((values < 0) | (values != values.round())).any()):
            return 0.0
        total += float(values.double().sum())
        filled += int(values.count_nonzero())
        rows += len(piece.indices()[0][values != 0].unique())
    return float(f"{total / rows:.3g}") if 0 < 2 * filled < x.numel() else 0.0


def _edges(edge_index: Tensor | None, nodes: int) -> int:
    if edge_index is None:
        raise ValueError("`edge_index` is missing; a graph without edges has one of shape [2, 0].")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"`edge_index` must have shape [2, edges], got {list(edge_index.shape)}.")
    if edge_index.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"`edge_index` must hold integers, got {edge_index.dtype}; call `edge_index.long()`.")
    if edge_index.numel():
        for wrong in (int(edge_index.min()), int(edge_index.max())):
            if not 0 <= wrong < nodes:
                raise ValueError(f"`edge_index` must hold node ids from 0 to {nodes - 1:,}, found {wrong:,}.")
    return edge_index.size(1)


def _finite(name: str, values: Tensor) -> None:
    stored = values.values() if values.layout == torch.sparse_csr else values
    stored = stored.coalesce().values() if stored.layout == torch.sparse_coo else stored
    # In pieces: a table may be larger than memory, and lie on the disk.
    pieces = stored.split(max(1, 2**24 // max(1, stored[:1].numel()))) if stored.dim() else [stored]
    if wrong := sum(int((~torch.isfinite(piece)).sum()) for piece in pieces):
        raise ValueError(f"`{name}` must be finite, but {wrong:,} of its values are NaN or infinite.")


def _masks(data: Data, nodes: int) -> None:
    masks = {name: data.get(name) for name in ("train_mask", "val_mask", "test_mask")}
    given = {name: mask for name, mask in masks.items() if mask is not None}
    for name, mask in given.items():
        if mask.dtype != torch.bool or mask.size(0) != nodes:
            raise ValueError(f"`{name}` must be boolean of length {nodes:,}, got {mask.dtype} {list(mask.shape)}.")
    if len({mask.shape for mask in given.values()}) == 1:
        shared = int((torch.stack([mask.int() for mask in given.values()]).sum(0) > 1).sum())
        if shared:
            raise ValueError(f"the masks must be disjoint, but {shared:,} nodes are in more than one.")
