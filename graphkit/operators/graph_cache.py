"""The cache of what was computed from graphs, and the version keys that tell a tensor from its edited self.

A layer is handed the same ``edge_index`` epoch after epoch. What is computed from it is cached with the tensor, weakly:
it goes when the tensor goes. It is served again only while the tensor's version counter and, on the CPU, a fingerprint
of its numbers are unchanged, so that an edit in place, even through NumPy's view of the same memory, is seen.

What is cached belongs to no caller. Whoever is handed an operator, a pattern or a basis has his own: its numbers are
copied when they are asked for, and the package itself reads them without a copy. The few results that callers hold as
they are (``exposed``) are compared in the same way as the tensors they were made from.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkit._kernels.csr_layout import fingerprint
from graphkit._torch_internals import coo_parts, version_of
from graphkit.operators.autograd import outside_transforms

T = TypeVar("T")

FORMS_PER_TENSOR = 8
"""How many forms (normalisations, types, sizes) of one graph are kept; the one longest unused goes first."""


@dataclass(frozen=True)
class _CacheEntry:
    keys: tuple[Hashable, ...]
    others: tuple[weakref.ref[Any] | None, ...]
    result_key: Hashable
    result: Any


_cache: Any = WeakIdKeyDictionary()


def forget() -> None:
    """Empty the cache."""
    _cache.clear()


def cached(build: Callable[[], T], form: Hashable, owner: Any, *others: Any, exposed: bool = False) -> T:
    """Return ``build()``, or what it returned last time for the same tensors, unchanged since, and the same ``form``.

    Args:
        build: makes the result; it runs outside ``torch.func`` transforms and must not keep ``owner`` alive.
        form: everything else that the result depends on.
        owner: the tensor, operator or other object with which the entry lives and dies.
        others: further tensors and operators that the result depends on.
        exposed: whether callers hold the result itself, which must then be unchanged, too, to be returned again. All
            else that is cached they are handed as copies.
    """
    with outside_transforms():
        keys = tuple(version_key(tensor) for tensor in (owner, *others))
        forms: dict[Hashable, _CacheEntry] = _cache.setdefault(getattr(owner, "_cache_owner", owner), {})
        entry = forms.get(form)
        if entry is not None and _is_valid(entry, keys, others):
            forms.pop(form, None)
            forms[form] = entry  # the last used goes last
            return entry.result
        result = build()
        forms.pop(form, None)
        weak = tuple(None if other is None else weakref.ref(other) for other in others)
        forms[form] = _CacheEntry(keys, weak, version_key(result) if exposed else None, result)
        for old in list(forms)[:-FORMS_PER_TENSOR]:  # in one step: another thread may be at it too
            forms.pop(old, None)
        return result


def _is_valid(entry: _CacheEntry, keys: tuple[Hashable, ...], others: tuple[Any, ...]) -> bool:
    """Tell whether an entry was made from the same tensors, and neither they nor an exposed result changed since."""
    if entry.keys != keys:
        return False
    if entry.result_key is not None and entry.result_key != version_key(entry.result):
        return False
    return all((None if weak is None else weak()) is other for weak, other in zip(entry.others, others, strict=True))


def version_key(value: Any) -> Hashable:
    """Return what tells numbers from those they are edited to: a version and, on the CPU, a fingerprint.

    Args:
        value: a tensor of any layout, a ``SparseOperator``, or tuples, lists and dataclasses of them; of anything else
            nothing is told.

    Example:
        >>> x = torch.ones(3)
        >>> before = version_key(x)
        >>> x.numpy()[0] = 2.0
        >>> version_key(x) == before
        False
    """
    if isinstance(value, Tensor):
        return _tensor_key(value)
    if hasattr(value, "_version_key"):
        return value._version_key()
    if isinstance(value, tuple | list):
        return tuple(version_key(part) for part in value)
    if dataclasses.is_dataclass(value):
        return tuple(version_key(getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def _tensor_key(tensor: Tensor) -> Hashable:
    version = None if tensor.is_inference() else version_of(tensor)
    if tensor.device.type != "cpu":
        return version
    if tensor.layout == torch.strided:
        parts: tuple[Tensor, ...] = (tensor,)
    elif tensor.layout == torch.sparse_coo:
        parts = coo_parts(tensor)
    elif tensor.layout == torch.sparse_csr:
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    else:
        parts = (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    return version, *(_fingerprint_tensor(part) for part in parts)


def _fingerprint_tensor(tensor: Tensor) -> int:
    plain = tensor.detach().as_subclass(Tensor)
    plain = plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain  # NumPy does not know the type
    numbers = np.ascontiguousarray(plain.numpy()).reshape(-1)
    words = np.int64 if numbers.nbytes % 8 == 0 else np.int32 if numbers.nbytes % 4 == 0 else np.uint8
    return fingerprint(numbers.view(words))
