"""Fingerprints of models: what outputs depend on besides inputs and parameters; and answers kept under them."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
import torch_geometric.inspector
from torch import Tensor, nn

from graphkit._torch_internals import version_of
from graphkit.meta.items import Nodes
from graphkit.operators import SparseOperator
from graphkit.operators.graph_cache import version_key

TRUSTED = {"torch", "torch_geometric", "graphkit", "numpy", "scipy", *sys.stdlib_module_names}
"""Packages whose code does not change while a program runs, and whose functions keep nothing to themselves."""

_PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...), torch.dtype, torch.device, torch.layout}
_HOLDERS = {dict, OrderedDict, list, tuple, set, frozenset}
_BY_IDENTITY = (
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.GenericAlias),
    torch_geometric.inspector.Inspector,
)
_NOT_COMPARED = frozenset(
    ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__abstractmethods__", "_abc_impl")
)

MAX_PARTS = 10_000
"""Parts of a list or dictionary, above which it is not read."""


class _UnknownState(Exception):
    """Something of which it cannot be told whether it changes."""


class _StateReader:
    """Reads a model, each object once; ``held`` are those known by their ``id``, which none other may be given."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = {id(parameter) for parameter in model.parameters()}
        self.visited: dict[int, tuple[int, Any]] = {}  # with the objects, so that no `id` is given anew
        self.held: list[Any] = []

    def read(self, value: Any) -> Hashable:
        """Return what a value is known by."""
        kind = type(value)
        if kind in _PLAIN:
            return kind, value
        if kind in _HOLDERS and not value:
            return kind, ()
        if id(value) in self.visited:
            return "again", self.visited[id(value)][0]
        self.visited[id(value)] = len(self.visited), value
        if isinstance(value, Tensor):
            return self._tensor(value)
        if kind is np.ndarray and value.dtype.kind in "biufc":
            return kind, value.shape, value.dtype, hash(value.tobytes())
        if isinstance(value, dict | list | tuple) and len(value) > MAX_PARTS:
            raise _UnknownState(f"{len(value)} parts")  # whose reading would take longer than what it spares
        if isinstance(value, dict):
            each = tuple([(name if type(name) is str else self.read(name), self.read(e)) for name, e in value.items()])
            return kind, each, None if kind in _HOLDERS else self._attributes(value)
        if isinstance(value, list | tuple):
            return kind, tuple([self.read(e) for e in value]), None if kind in _HOLDERS else self._attributes(value)
        if kind in (set, frozenset) and all(type(each) in _PLAIN for each in value):
            return kind, frozenset(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType):
            return self._builtin(value)
        if isinstance(value, types.MethodType):
            return "method", self.read(value.__func__), self.read(value.__self__)
        if isinstance(value, functools.partial):
            return "partial", self.read(value.func), self.read(value.args), self.read(value.keywords)
        if isinstance(value, staticmethod | classmethod):
            return kind, self.read(value.__func__)
        if isinstance(value, property):
            return "property", self.read(value.fget)
        if isinstance(value, type):
            return self._class(value)
        trusted_module = kind is types.ModuleType and value.__name__.partition(".")[0] in TRUSTED
        if trusted_module or isinstance(value, _BY_IDENTITY):
            return self._identity(value)
        if hasattr(value, "__dict__"):
            return self._class(kind), self._attributes(value)
        raise _UnknownState(kind.__name__)

    def _identity(self, value: Any) -> Hashable:
        self.held.append(value)
        return "same", id(value)

    def _attributes(self, value: Any) -> Hashable:
        """Return what the attributes of an object are known by."""
        if _has_hidden_state(type(value)):
            raise _UnknownState(type(value).__name__)
        return self.read(vars(value)) if getattr(value, "__dict__", None) else None

    def _tensor(self, value: Tensor) -> Hashable:
        about = type(value), value.shape, value.dtype, value.device, value.requires_grad
        if id(value) in self.parameters:
            return about
        return *about, version_key(value), None if value.device.type == "cpu" else self._identity(value)

    def _builtin(self, function: types.BuiltinFunctionType | types.MethodWrapperType) -> Hashable:
        owner = function.__self__
        if _is_defined_in_trusted(function):
            return self._identity(function)
        if owner is None or isinstance(owner, types.ModuleType):
            raise _UnknownState(function.__name__)  # somebody's C
        return "builtin", function.__name__, self.read(owner)

    def _function(self, function: types.FunctionType) -> Hashable:
        if _is_defined_in_trusted(function):
            return self._identity(function)
        names = {name for code in _nested_code(function.__code__) for name in code.co_names}
        outside = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
        inside = tuple(cell.cell_contents for cell in function.__closure__ or ())
        arguments = function.__defaults__, function.__kwdefaults__, vars(function)
        return "function", function.__code__, self.read(outside), self.read(inside), self.read(arguments)

    def _class(self, kind: type) -> Hashable:
        if _is_defined_in_trusted(kind):
            return kind
        own = {name: each for name, each in vars(kind).items() if name not in _NOT_COMPARED}
        return kind, self.read(own), *(self._class(base) for base in kind.__bases__)


def _has_hidden_state(kind: type) -> bool:
    """Tell whether objects of a class have more to them than ``vars``: slots, or what C++ knows, as TorchScript has."""
    if any(base.__module__ == "pybind11_builtins" for base in kind.__mro__):
        return True
    slots = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    return any(set((each,) if isinstance(each, str) else each) - {"__dict__", "__weakref__"} for each in slots)


def _nested_code(code: types.CodeType) -> list[types.CodeType]:
    """Return a function's code and that of the functions in it."""
    inner = [each for const in code.co_consts if isinstance(const, types.CodeType) for each in _nested_code(const)]
    return [code, *inner]


def _is_defined_in_trusted(value: Any) -> bool:
    """Tell whether a class or function is of a trusted package."""
    return str(getattr(value, "__module__", "")).partition(".")[0] in TRUSTED


ModelFingerprint: TypeAlias = tuple[Hashable, list[Any]]
"""What a model is known by, and the objects that must be kept while that is compared."""


def model_fingerprint(model: nn.Module) -> ModelFingerprint | None:
    """Return what tells a model from what it may be changed to; ``None`` where nothing may be remembered of it.

    It covers, of every module and of what they refer to, numbers and texts, lists and dictionaries, buffers and other
    tensors by their values, hooks, and functions by their code, defaults, closures and the globals they name. Values of
    parameters do not count. Anything else that is met makes it ``None``.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        >>> before = model_fingerprint(model)[0]
        >>> _ = model[0].weight.data.fill_(1)
        >>> model_fingerprint(model)[0] == before
        True
        >>> _ = model[1].running_mean.fill_(1)
        >>> model_fingerprint(model)[0] == before
        False
        >>> model.drawn = torch.Generator()
        >>> model_fingerprint(model) is None
        True
    """
    reader = _StateReader(model)
    try:
        return reader.read(model), reader.held
    except _UnknownState:
        return None


Answer = TypeVar("Answer")
MAX_PROBES = 8
"""How many answers are kept of a model; the oldest goes first."""


class _Probe(NamedTuple):
    nodes: weakref.ref[Nodes]
    held: list[Any]  # what the model is known by, so that nothing else is taken for it
    answer: Any


_probes: weakref.WeakKeyDictionary[nn.Module, dict[Any, _Probe]] = weakref.WeakKeyDictionary()


def forget() -> None:
    """Forget what was found out about all models."""
    _probes.clear()


def memoized_probe(
    what: Hashable,
    model: nn.Module,
    nodes: Nodes,
    probe: Callable[[], Answer],
    fingerprint: ModelFingerprint | None = None,
) -> Answer:
    """Return ``probe()``, or what it said of the same model on the same graph, if nothing has changed that may matter.

    See :func:`model_fingerprint` for what is seen of a model. Of the graph it is all but an edit of the features
    through other views of their memory, such as NumPy's.
    """
    fingerprint = model_fingerprint(model) if fingerprint is None else fingerprint
    if fingerprint is None:
        return probe()
    key = (
        what,
        fingerprint[0],
        version_key(nodes.edge_index),
        version_key(nodes.edge_weight),
        _feature_version(nodes.x),
    )
    known = _probes.setdefault(model, {})
    record = known.get(key)
    if record is None or record.nodes() is not nodes:
        record = _Probe(weakref.ref(nodes), fingerprint[1], probe())
        known.pop(key, None)
        known[key] = record
        for old in list(known)[:-MAX_PROBES]:
            known.pop(old, None)
    return record.answer


def _feature_version(x: Any) -> Hashable:
    """Return what tells features from those they are edited to: of an array how often it was, in place."""
    if isinstance(x, SparseOperator):
        return version_key(x)
    return None if x.is_inference() else version_of(x)
