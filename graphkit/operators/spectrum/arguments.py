"""What a Fourier basis asks of the signals it transforms; everybody else's checks stand in ``_checks``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._checks import integer_vector, tensor, valid_indptr
from graphkit.operators.arguments import shaped


def large_eigenspace(value: float, below: int, most: int, nodes: int) -> None:
    """Refuse to follow an eigenspace of a large component to its end: it cannot be cut, and is no use in part."""
    before = f"take the {below:,} pairs below it (`k={below}`), " if below else ""
    raise ValueError(
        f"`k` ends inside the eigenspace of {value:.6g}, which has more than {most:,} pairs in a component of "
        f"{nodes:,} nodes and is never cut; {before}`solver='dense'` to have it whole, or `k=None` for all pairs."
    )


def basis_parts(
    eigenvalues: Tensor, entries: Tensor, residuals: Tensor, node_pointers: Tensor, pair_pointers: Tensor
) -> None:
    """Refuse parts of a basis that do not fit each other."""
    shaped("eigenvalues", eigenvalues, pairs=None)
    pairs = len(eigenvalues)
    shaped("residuals", residuals, pairs=pairs)
    shaped("entries", entries, entries=None)
    for name, pointers in (("node_pointers", node_pointers), ("pair_pointers", pair_pointers)):
        integer_vector(name, tensor(name, pointers))
    if len(node_pointers) != len(pair_pointers):
        raise ValueError("`node_pointers` and `pair_pointers` must be of as many graphs.")
    if eigenvalues.device.type != "cpu":
        return  # their numbers were looked at where they were made
    valid_indptr("pair_pointers", pair_pointers, len(pair_pointers) - 1, pairs)
    valid_indptr("node_pointers", node_pointers, len(node_pointers) - 1, int(node_pointers[-1]))
    wanted = int((node_pointers.diff() * pair_pointers.diff()).sum())
    if len(entries) != wanted:
        raise ValueError(f"`entries` must hold nodes times pairs of each graph, {wanted:,}, got {len(entries):,}.")


def of_one_type(x: Any, basis: torch.dtype, weight: torch.dtype | None = None) -> None:
    """Refuse a dense signal of another type than the basis, and both where a layer's weights have another.

    Under autocast the products decide on a type of their own.

    Raises:
        TypeError: for anything but features, and for types that differ.
    """
    if not hasattr(x, "dtype"):
        raise TypeError(f"`x` must be a tensor, got {type(x).__name__}; `torch.as_tensor` makes one.")
    if not isinstance(x, Tensor) or torch.is_autocast_enabled(x.device.type):
        return
    if x.dtype != basis:
        raise TypeError(
            f"`x` must have the type of the basis, {basis}, got {x.dtype}; convert one of them: "
            "`x.to(basis.dtype)` or, of floating-point numbers, `basis.to(x.dtype)`."
        )
    if weight is not None and weight != basis:
        raise TypeError(
            f"`x` and `basis` must have the type of the layer's weights, {weight}, got {basis}; convert them with "
            f"`.to({weight})`, or the layer with `layer.to({basis})`."
        )
