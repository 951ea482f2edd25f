"""Signals on graphs: the features that layers and operators are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphkit._checks.kinds import tensor

if TYPE_CHECKING:
    from torch import Tensor


def one_row_per_column(x: Tensor, columns: int) -> None:
    """Refuse a signal that has not one row for each column of the matrix that is to multiply it."""
    tensor("x", x)
    rows = x.shape[-2] if x.dim() > 1 else x.shape[0] if x.dim() else None
    if rows != columns:
        raise ValueError(f"`x` must have {columns:,} rows, one per column of the operator, got {list(x.shape)}.")


def one_row_per_node(x: Tensor, nodes: int) -> None:
    """Refuse a signal that has not one row for each node (or place) of the graph."""
    if tensor("x", x).dim() < 2 or x.shape[-2] != nodes:
        raise ValueError(f"`x` must have shape [..., {nodes:,} nodes, features], got {list(x.shape)}.")


def features_per_item(argument: str, x: Tensor, width: int) -> None:
    """Refuse features of another width than a layer was made for; any fits where that is unknown, below 1."""
    if 0 < width != x.shape[-1]:
        raise ValueError(f"`{argument}` must have {width} features, got {list(x.shape)}.")


def features(argument: str, x: Any, width: int = 0, weight: Tensor | None = None) -> None:
    """Refuse what are not features that a layer can multiply by its weights.

    Args:
        argument: name of ``x``.
        x: a tensor or a ``SparseOperator``, ``[..., nodes, features]``.
        width: how many features the layer was made for; any where that is not above 0.
        weight: of the layer, whose place and type a dense ``x`` must have; autocast sees to types itself.
    """
    import torch

    operator = hasattr(x, "pattern")
    if not operator:
        tensor(argument, x)
    if x.dim() < 2:
        raise ValueError(f"`{argument}` must have shape [..., nodes, features], got {list(x.shape)}.")
    features_per_item(argument, x, width)
    if weight is None or torch.overrides.has_torch_function_unary(weight):  # made later, or of each task its own
        return
    if x.device != weight.device:
        raise ValueError(f"`{argument}` must be on {weight.device}, where the layer's weights are, got {x.device}.")
    if operator or x.dtype == weight.dtype or x.layout != torch.strided:
        return
    if x.device.type == "meta" or not torch.is_autocast_enabled(x.device.type):
        raise TypeError(
            f"`{argument}` must have the type of the layer's weights, {weight.dtype}, got {x.dtype}; convert one of "
            f"them, such as by `{argument}.to({weight.dtype})`."
        )


def pair_of_features(argument: str, x: Any) -> None:
    """Refuse a list or tuple that is not (features of sources, features of targets or ``None``)."""
    if len(x) != 2 or x[0] is None or any(isinstance(end, list | tuple) for end in x):
        raise TypeError(
            f"`{argument}` must be a tensor or a pair (x_source, x_target) of them, got a {type(x).__name__} of "
            f"{len(x)}; `torch.as_tensor` makes a tensor."
        )


def same_device(argument: str, x: Tensor, other: Tensor) -> None:
    """Refuse features that do not lie where what they are used with does."""
    if x.device != other.device:
        raise ValueError(f"`{argument}` must be on {other.device}, as the rest of the call, got {x.device}.")


def dense_features(argument: str, x: Any, other: Tensor) -> None:
    """Refuse what are not features in a dense tensor of floating-point numbers, on the device of ``other``."""
    import torch

    features(argument, x)
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided:
        raise TypeError(f"`{argument}` must be a dense tensor here; `{argument}.to_dense()` makes one.")
    if not x.is_floating_point():
        raise TypeError(
            f"`{argument}` must hold floating-point numbers, got {x.dtype}; `{argument}.float()` makes them."
        )
    same_device(argument, x, other)
