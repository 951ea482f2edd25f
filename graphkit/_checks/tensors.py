"""Arguments that are tensors, and what goes with them: embeddings, labels, features, indices, generators, modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphkit._checks.values import instance

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


def tensor(argument: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a tensor, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.Tensor):
        texts = isinstance(value, list | tuple) and any(isinstance(each, str) for each in value)
        way = "`numpy.unique(texts, return_inverse=True)[1]` numbers texts" if texts else "`torch.as_tensor` makes one"
        raise TypeError(f"`{argument}` must be a tensor, got {type(value).__name__}; {way}.")
    return value


def dense(argument: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a dense tensor that holds its numbers, else raise ``TypeError``."""
    import torch

    if tensor(argument, value).layout != torch.strided or value.device.type == "meta":
        raise TypeError(
            f"`{argument}` must be a dense tensor with numbers in it, got {value.layout} on {value.device}; "
            "`to_dense()` makes one of a sparse tensor."
        )
    return value


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers as NumPy sees them; without a copy where the tensor is on the CPU."""
    return tensor.detach().cpu().numpy()


def floating_dtype(argument: str, dtype: object) -> None:
    """Refuse anything but a type of floating-point or complex numbers."""
    import torch

    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"`{argument}` must be a type of floating-point numbers, such as torch.float32, got {dtype!r}.")


def random_generator(argument: str, value: torch.Generator) -> torch.Generator:
    """Return ``value`` if it is a generator of random numbers, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.Generator):
        raise TypeError(
            f"`{argument}` must be a torch.Generator, got {type(value).__name__}; `torch.Generator().manual_seed(0)` "
            "makes one."
        )
    return value


def optional_generator(argument: str, value: Any) -> None:
    """Refuse what is neither nothing nor a generator."""
    import torch

    if value is not None:
        instance(argument, value, torch.Generator, "a torch.Generator or None")


def torch_module(argument: str, value: torch.nn.Module) -> torch.nn.Module:
    """Return ``value`` if it is a module, else raise ``TypeError``."""
    import torch

    if not isinstance(value, torch.nn.Module):
        raise TypeError(f"`{argument}` must be a torch.nn.Module, got {type(value).__name__}.")
    return value


def not_vmapped(argument: str, mapped: bool) -> None:
    """Refuse a graph that ``torch.vmap`` runs over: what is prepared of it cannot be made for many at once."""
    if mapped:
        raise ValueError(
            f"`{argument}` cannot be mapped over by `torch.vmap`; give it `in_dims=None`, or put the graphs side by "
            "side in one (torch_geometric.data.Batch)."
        )


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


def class_labels(argument: str, y: Tensor, items: int) -> Tensor:
    """Return ``y`` if it holds one class per item: an integer from 0 upwards, or -1 where it has no label.

    Numbers are not looked at inside a ``torch.func`` transform, which hides them.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another shape, and for labels below -1.
    """
    from graphkit._torch_internals import is_wrapped

    integer_labels(argument, y, items)
    if not is_wrapped(y) and y.numel() and int(y.min()) < -1:
        row = int((y < -1).nonzero()[0])
        raise ValueError(
            f"`{argument}` must hold classes from 0 upwards, or -1 for items without a label, got {int(y[row])} in row "
            f"{row}."
        )
    return y


def class_count(argument: str, y: Tensor, known: int = 0) -> int:
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


def index_or_mask(argument: str, index: object, items: int) -> Tensor:
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


def item_ids(argument: str, value: Tensor, axes: str, items: int | None = None) -> Tensor:
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


def min_and_max(places: Any) -> tuple[int, int]:
    """Return the least and the largest of some integers, (0, -1) where there are none; on the CPU NumPy is faster."""
    if not len(places):
        return 0, -1
    if not hasattr(places, "device") or str(places.device) == "cpu":
        array = places.detach().numpy() if hasattr(places, "detach") else places
        return int(array.min()), int(array.max())
    import torch

    low, high = torch.stack(places.detach().aminmax()).tolist()
    return low, high


def integer_vector(argument: str, places: np.ndarray | Tensor) -> None:
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


def same_device(argument: str, x: Tensor, other: Tensor) -> Tensor:
    """Return ``x`` if it lies where ``other`` does, which it is used with."""
    if x.device != other.device:
        raise ValueError(
            f"`{argument}` must be on {other.device}, as the rest of the call, got {x.device}; move it there."
        )
    return x


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
