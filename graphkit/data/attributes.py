"""Attributes: other labels for the members of a university than their gender, and features that do not tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit import _checks

if TYPE_CHECKING:
    from torch_geometric.data import Data

ATTRIBUTES = ("status", "gender", "major", "minor", "dormitory", "year", "high_school")
"""What the columns of ``attributes`` are; ``minor`` is a second major or a minor."""


def labelled_by(data: Data, *names: str, least: int = 1) -> Data:
    """Return a shallow copy of ``data`` whose labels are one or more of its attributes, and ``x`` the others.

    Of each attribute that is a label, the values become 0, 1, ... in ascending order; -1 is a value that is not given,
    or given by fewer than ``least`` nodes. ``x`` is the one-hot form of every attribute that is *not* a label, "not
    given" being a value too, as in PyG's ``LINKXDataset``. No label stands in ``x``, but attributes depend on each
    other (a status says much of a year), as everywhere. The masks and the record of the split are dropped, for they
    were drawn by other labels.

    Args:
        data: a graph with ``attributes [nodes, 7]``, such as ``load("facebook100-amherst41")``.
        names: the attributes, of ``ATTRIBUTES``.
        least: how many nodes a value must have to be a class.

    Returns:
        The graph with ``y [nodes]`` for one name and ``y [nodes, names]`` for several, and ``label_names``.

    Raises:
        ValueError: if there is no such attribute, none is named or one twice, or ``data`` has no attributes.

    Example:
        >>> from torch_geometric.data import Data
        >>> people = torch.tensor([[1, 2, 90, -1, 7, 2006, 3], [1, 1, 91, -1, -1, 2004, 3]])
        >>> data = labelled_by(Data(attributes=people), "year", "dormitory")
        >>> data.y.tolist(), data.x.shape
        ([[1, 0], [0, -1]], torch.Size([2, 7]))
    """
    from torch_geometric.data import Data

    if not isinstance(data, Data) or "attributes" not in data:
        raise ValueError("`data` must have `attributes`, as the graphs of 'facebook100' do.")
    for name in names:
        _checks.member("names", name, ATTRIBUTES)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`names` must be one or more different attributes, got {list(names)}.")
    _checks.at_least("least", least, 1)
    least = min(least, data.attributes.size(0) + 1)
    labels = [_classes(data.attributes[:, ATTRIBUTES.index(name)], least) for name in names]
    others = [data.attributes[:, at] for at, name in enumerate(ATTRIBUTES) if name not in names]
    result = data.__copy__()
    for field in ("train_mask", "val_mask", "test_mask", "protocol"):
        if field in result:
            del result[field]
    result.x = torch.cat([_one_hot(values) for values in others], dim=1)
    result.y = labels[0] if len(names) == 1 else torch.stack(labels, dim=1)
    result.label_names = list(names)
    return result


def _classes(values: Tensor, least: int) -> Tensor:
    found, place, count = values.unique(return_inverse=True, return_counts=True)
    kept = (count >= least) & (found >= 0)
    number = torch.where(kept, kept.cumsum(0) - 1, -1)
    return number[place]


def _one_hot(values: Tensor) -> Tensor:
    found, place = values.unique(return_inverse=True)
    x = torch.zeros(len(values), len(found), device=values.device)
    x[torch.arange(len(values), device=values.device), place] = 1.0
    return x
