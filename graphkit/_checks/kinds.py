"""What kind of thing an argument is: a tensor, a switch, a function, a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def instance(argument: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> Any:
    """Return ``value`` if it is of a class, else raise ``TypeError``, which says what is ``wanted``."""
    if not isinstance(value, kinds):
        given = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"`{argument}` must be {wanted}, got {given}.")
    return value


def list_of(argument: str, values: Any, kind: type) -> None:
    """Refuse anything but a list or tuple, not empty, of objects of one class."""
    several = isinstance(values, list | tuple)
    if not several or not values or not all(isinstance(each, kind) for each in values):
        given = ", ".join(sorted({type(each).__name__ for each in values})) if several else type(values).__name__
        raise TypeError(
            f"`{argument}` must hold one {kind.__name__} or more, in a list or tuple, got {given or 'none'}."
        )


def flag(argument: str, value: bool) -> bool:
    """Return ``value`` if it is true or false, else raise ``TypeError``: the text "no" would count as true."""
    if type(value).__name__ not in ("bool", "bool_"):  # Python's, and NumPy's
        raise TypeError(f"`{argument}` must be True or False, got {value!r}.")
    return bool(value)


def function(argument: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise TypeError(f"`{argument}` must be a function, got {type(value).__name__}.")


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


def path(argument: str, value: Any) -> Path:
    """Return ``value`` as a path if it is one or a text that is not empty."""
    instance(argument, value, (str, os.PathLike), "a path")
    if not os.fspath(value):
        raise ValueError(f"`{argument}` must be a path, got an empty text.")
    return Path(value)


def not_vmapped(argument: str, mapped: bool) -> None:
    """Refuse a graph that ``torch.vmap`` runs over: what is prepared of it cannot be made for many at once."""
    if mapped:
        raise ValueError(
            f"`{argument}` cannot be mapped over by `torch.vmap`; give it `in_dims=None`, or put the graphs side by "
            "side in one (torch_geometric.data.Batch)."
        )
