"""Items: embeddings, labels, places, categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphkit._checks.kinds import dense, tensor

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def embeddings(argument: str, z: Tensor) -> Tensor:
    """Return ``z`` if it is a matrix of finite floating-point numbers, one row per item.

    Raises:
        TypeError: for anything but a tensor, for integers or complex numbers.
        ValueError: for another shape, or for NaN or infinite entries.
    """
    if not dense(argument, z).is_floating_point():
        raise TypeError(f"`{argument}` must hold floating-point numbers, got {z.dtype}.")
    if z.dim() != 2:
        raise ValueError(f"`{argument}` must have shape [items, features], got {list(z.shape)}.")
    finite = z.detach().isfinite()
    if not bool(finite.all()):
        row = int((~finite).any(dim=1).nonzero()[0])
        raise ValueError(f"`{argument}` must be finite, but row {row} holds NaN or infinity.")
    return z


def integer_labels(argument: str, y: Tensor, items: int) -> Tensor:
    """Return ``y`` if it holds one integer per item: as floats, classes above 2**24 would merge.

    Raises:
        TypeError: for anything but a tensor, and for labels that are not integers.
        ValueError: for another shape.
    """
    import torch

    if dense(argument, y).is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"`{argument}` must hold integers, got {y.dtype}; convert it with `.long()`.")
    if y.dim() != 1 or len(y) != items:
        raise ValueError(f"`{argument}` must have shape [items] = [{items}], got {list(y.shape)}.")
    return y


def classes(argument: str, y: Tensor, known: int = 0) -> int:
    """Return the number of classes of labels 0, 1, ...; negative ones are none. A model has an output for each class.

    Args:
        argument: what holds the labels.
        y: integers, of any shape.
        known: how many classes there are, of which some may be missing; 0 if only the labels tell.

    Raises:
        ValueError: for labels between which numbers are left out: outputs would stand for nothing.
    """
    largest = int(y.max()) if y.numel() else -1
    if largest < known:
        return max(largest + 1, 0)
    found = y[y >= 0].unique() if largest >= y.numel() else (y[y >= 0].long().bincount() > 0).nonzero().flatten()
    if len(found) <= largest:
        raise ValueError(
            f"`{argument}` must number its classes from 0 without a gap, but the largest of {len(found):,} different "
            f"labels is {largest:,}; `torch.unique(y, return_inverse=True)[1]` numbers them anew (leave -1 out)."
        )
    return largest + 1


def places(argument: str, index: object, items: int) -> Tensor:
    """Return places among ``items`` as int64 ``[places]``, of integers (negative ones from the end) or of a mask.

    Raises:
        TypeError: for what holds neither integers nor booleans.
        ValueError: for another shape than ``[places]``, a mask of another length, and places that are not there.
    """
    import numpy as np
    import torch

    try:
        given = index if isinstance(index, torch.Tensor) else np.asarray(index)
    except ValueError:  # rows of several lengths
        raise ValueError(f"`{argument}` must have shape [places], got {index!r}.") from None
    if isinstance(given, np.ndarray) and given.dtype.kind not in "biu" and given.size:
        raise TypeError(f"`{argument}` must hold integers or a mask, got {str(index)[:60]}.")
    if given.ndim != 1:
        raise ValueError(f"`{argument}` must have shape [places], got {list(given.shape)}.")
    if not len(given):
        return torch.empty(0, dtype=torch.long)
    if isinstance(given, torch.Tensor) and (given.is_floating_point() or given.is_complex()):
        raise TypeError(f"`{argument}` must hold integers or a mask, got {given.dtype}; convert it with `.long()`.")
    if given.dtype in (np.bool_, torch.bool):
        if len(given) != items:
            raise ValueError(f"`{argument}` is a mask and must have length {items:,}, got {len(given):,}.")
        return torch.as_tensor(given).nonzero().squeeze(1)
    lowest, highest = int(given.min()), int(given.max())
    if lowest < -items or highest >= items:
        wrong = lowest if lowest < -items else highest
        raise ValueError(f"`{argument}` must hold places from {-items:,} to {items - 1:,}, got {wrong:,}.")
    found = torch.as_tensor(given.astype(np.int64) if isinstance(given, np.ndarray) else given.long())
    return torch.where(found < 0, found + items, found) if lowest < 0 else found


def item_numbers(argument: str, value: Tensor, axes: str, items: int | None = None) -> Tensor:
    """Return ``value`` if it holds numbers of items, from 0 to ``items - 1``.

    Args:
        argument: its name.
        value: integers with as many axes as are named.
        axes: such as "ways, shots".
        items: how many there are, where that is known.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another number of axes, none at all, and numbers of items that are not there.
    """
    import torch

    if tensor(argument, value).dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`{argument}` must hold numbers of items (torch.int64), got {value.dtype}.")
    if value.dim() != axes.count(",") + 1 or not value.numel():
        raise ValueError(f"`{argument}` must have shape [{axes}], none of them 0, got {list(value.shape)}.")
    lowest, highest = (int(each) for each in value.aminmax())
    if lowest < 0 or (items is not None and highest >= items):
        most = "upwards" if items is None else f"to {items - 1:,}"
        raise ValueError(
            f"`{argument}` must hold numbers of items from 0 {most}, got {lowest if lowest < 0 else highest:,}."
        )
    return value


def extent(places: Any) -> tuple[int, int]:
    """Return the least and the largest of some integers, (0, -1) where there are none; on the CPU NumPy is faster."""
    if not len(places):
        return 0, -1
    if not hasattr(places, "device") or str(places.device) == "cpu":
        array = places.detach().numpy() if hasattr(places, "detach") else places
        return int(array.min()), int(array.max())
    import torch

    low, high = torch.stack(places.detach().aminmax()).tolist()
    return low, high


def integers(argument: str, places: np.ndarray | Tensor) -> None:
    """Refuse what are no integers along one axis."""
    kind = str(places.dtype).removeprefix("torch.")
    if kind not in ("int64", "int32", "int16", "int8", "uint8") or places.ndim != 1:
        raise TypeError(f"`{argument}` must hold integers along one axis, got {kind} {list(places.shape)}.")


def categories(argument: str, features: Tensor, counts: tuple[int, ...]) -> None:
    """Refuse rows that do not hold one category for each column, from 0 to the column's ``counts`` less 1."""
    import torch

    from graphkit._torch_internals import assert_async

    integers = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
    if tensor(argument, features).dtype not in integers or features.shape[1:] != (len(counts),):
        raise ValueError(
            f"`{argument}` must hold {len(counts)} integer categories in each row, as OGB's molecules have, got "
            f"{features.dtype} {list(features.shape)}."
        )
    if torch.compiler.is_compiling():  # the numbers cannot be read while they are traced
        fits = (features >= 0) & (features < torch.tensor(counts, device=features.device))
        assert_async(fits.all(), f"`{argument}` holds a category that there is not.")
        return
    if not len(features):
        return
    lowest, highest = torch.stack(features.detach().aminmax(dim=0)).tolist()
    for column, (low, high, count) in enumerate(zip(lowest, highest, counts, strict=True)):
        if low < 0 or high >= count:
            raise ValueError(
                f"`{argument}` must hold categories from 0 to {count - 1} in column {column}, as OGB numbers them, got "
                f"{low if low < 0 else high}."
            )


def require_finite_logits(accuracies: Sequence[float]) -> None:
    """Refuse accuracies of tasks of which some have none, NaN: their logits were not finite."""
    lost = sum(map(math.isnan, accuracies))
    if lost:
        raise ValueError(
            f"`learner` gave NaN, infinite or huge logits in {lost:,} of {len(accuracies):,} tasks, which therefore "
            "have no accuracy: its inner loop diverged (take a smaller `inner_lr`), or parameters or features are not "
            "finite."
        )
