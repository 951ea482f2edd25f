"""The values of a sparse operator and what is made of them: kept, copied for who asks, and watched from then on."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from graphkit._torch_internals import forward_mode, is_wrapped
from graphkit.operators.pattern import Pattern, outside_transforms, rememberable
from graphkit.operators.stamps import stamp


class Degrees(NamedTuple):
    """Whose Laplacian an operator is: its normalisation (``"none"``, ``"sym"``, ``"rw"``) and the graph's degrees.

    Its null vectors are functions of these, and cannot be read off the values of the symmetric one.
    """

    normalization: str
    degree: Tensor


class Numbers:
    """Values of the entries of a pattern, degrees, and the values of the transpose once they have been asked for.

    What is remembered of a graph is one of these, which any number of operators share. Nobody outside the package sees
    its tensors: an operator that is asked for them goes on with a copy. Values that somebody holds (``seen``) may be
    edited through any view of their memory; what was made of them counts only while they are the same.

    Args:
        pattern: places of the entries.
        values: ``[entries]``, or ``None`` for ones.
        degrees: of the graph, where this is its Laplacian.
        seen: whether somebody outside holds the values.
    """

    def __init__(self, pattern: Pattern, values: Tensor | None, degrees: Degrees | None = None, *, seen: bool) -> None:
        self.pattern, self.values, self._degrees = pattern, values, degrees
        self.seen = False
        self._at_first: Hashable = None
        self._turned: tuple[Hashable, Numbers | None] | None = None
        if seen:
            self.show()

    def show(self) -> None:
        """Note that somebody holds the values from now on."""
        if not self.seen:
            self.seen = self.values is not None
            self._at_first = None if self._degrees is None else self._mark()

    def copy(self) -> Numbers:
        """Return the same with tensors of its own."""
        with outside_transforms(), torch.no_grad():
            degrees = self._degrees
            degrees = None if degrees is None else Degrees(degrees.normalization, degrees.degree.clone())
            values = None if self.values is None else self.values.clone()
            return Numbers(self.pattern, values, degrees, seen=False)

    def stamp(self) -> Hashable:
        """Return what tells the values from those that they are edited to; ``None`` where nobody can edit them."""
        if self.seen and self.pattern.device.type != "cpu":
            return object()  # there an edit may leave no trace
        return self._mark() if self.seen else None

    def _mark(self) -> Hashable:
        if self.values is None or not _readable(self.values):
            return None
        with outside_transforms():
            return stamp(self.values)

    @property
    def degrees(self) -> Degrees | None:
        """Degrees of the graph whose Laplacian this is, unless its values were edited."""
        if self._degrees is None or not self.seen:
            return self._degrees
        return self._degrees if self._mark() == self._at_first else None

    def written_out(self) -> Tensor:
        """Return the values, ones written out, ``[entries]``."""
        if self.values is not None:
            return self.values
        return torch.ones(self.pattern.entries, dtype=torch.get_default_dtype(), device=self.pattern.device)

    @property
    def transpose(self) -> Numbers:
        """Those of the transpose, made once for values that stay; itself where the matrix is symmetric."""
        if not rememberable(self.values):
            pattern, position = self.pattern._transpose
            return Numbers(pattern, self.values.index_select(0, position), seen=False)  # type: ignore[union-attr]
        mark = self.stamp()
        if self._turned is None or self._turned[0] != mark:
            self._turned = mark, self._transposed()
        return self._turned[1] or self

    def _transposed(self) -> Numbers | None:
        pattern, position = self.pattern._transpose
        with outside_transforms():
            values = None if self.values is None else self.values.index_select(0, position)
            same = self.values is None or values is None or torch.equal(values, self.values)
        return None if pattern is self.pattern and same else Numbers(pattern, values, seen=False)

    def turned(self) -> Tensor | None:
        """Return the values in the order of the transpose where they are known and stay, for a backward pass."""
        known = not self.seen or self.pattern.device.type == "cpu"
        return self.transpose.values if known and rememberable(self.values) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Numbers, seen=self.seen), (self.pattern, self.values, self.degrees)


def _readable(values: Tensor) -> bool:
    """Tell whether no transform hides the numbers."""
    hidden = is_wrapped(values)
    return not hidden and (not forward_mode() or forward_ad.unpack_dual(values).tangent is None)
