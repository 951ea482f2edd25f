"""What layers send along edges of the features alone: the same in every inner step, and taken once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit._torch_internals import version_of
from graphkit.operators import SparseOperator


class Constants:
    """Tensors that no inner step changes, and what was made of them alone.

    The first layer of many models averages or sums the features before any weight. That costs more than all the rest
    of a step, and comes to the same in each.

    Args:
        given: tensors that do not change: features, edges, weights of edges.
        used: counts how often a parameter of a task was used; what uses one is no constant.
    """

    def __init__(self, given: list[Any], used: Callable[[], int]) -> None:
        self.used = used
        # Held, so that no `id` is given anew, each with the count of its changes in place.
        self._known = {id(each): (each, _version(each)) for each in given if each is not None}
        self._results: dict[Hashable, Tensor] = {}
        self._sparse: dict[int, SparseOperator | None] = {}

    @contextmanager
    def propagated_once(self, model: nn.Module, *, ours: bool) -> Iterator[None]:
        """Let layers that propagate constants find the result of the first time, those of graphkit where they do."""
        patched = [
            module
            for module in model.modules()
            if isinstance(module, MessagePassing)
            and (ours or not type(module).__module__.startswith("graphkit."))
            and "propagate" not in vars(module)
        ]
        try:
            for module in patched:
                module.propagate = self._once(module, module.propagate)
            yield
        finally:
            for module in patched:
                del module.propagate

    def _once(self, module: nn.Module, propagate: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(edge_index: Any, size: Any = None, **kwargs: Any) -> Any:
            key = self._key(module, edge_index, size, kwargs)
            if key is None:
                return propagate(edge_index, size=size, **kwargs)
            if key in self._results and self._is_constant(self._results[key]):
                return self._results[key]
            before = self.used()
            found = propagate(edge_index, size=size, **kwargs)
            # A layer that writes into what it propagated finds it anew each time.
            if key not in self._results and self.used() == before and isinstance(found, Tensor):
                self._results[key], self._known[id(found)] = found, (found, _version(found))
            return found

        return wrapped

    def _is_constant(self, x: Tensor) -> bool:
        known, version = self._known.get(id(x), (None, -1))
        return known is x and version == _version(x) and not x.requires_grad

    def _key(self, module: nn.Module, *arguments: Any) -> Hashable | None:
        """Return what a call is told by, or ``None`` where an argument is no constant."""
        key: list[Hashable] = [id(module)]
        for each in _leaves(arguments):
            if isinstance(each, Tensor):
                if not self._is_constant(each):
                    return None
                key.append(id(each))
            elif each is None or isinstance(each, bool | int | float | str):
                key.append((type(each), each))
            else:
                return None
        return tuple(key)

    def sparse(self, x: Tensor, make: Callable[[Tensor], SparseOperator | None]) -> SparseOperator | None:
        """Return what ``make`` makes of a constant, made once; ``None`` for what is none."""
        if not self._is_constant(x):
            return None
        if id(x) not in self._sparse:
            with torch.no_grad():
                self._sparse[id(x)] = make(x)
        return self._sparse[id(x)]


def _version(x: Any) -> int:
    with torch.DisableTorchFunctionSubclass():
        return -1 if x.is_inference() else version_of(x)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested tuples, lists and dictionaries, with the names of the latter."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from _leaves(value[name])
    elif isinstance(value, tuple | list):
        yield len(value)
        for each in value:
            yield from _leaves(each)
    else:
        yield value
