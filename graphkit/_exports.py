"""What a package shows: names that are imported when asked for, and old names, each for one release more.

Names are imported late because the command line must answer before torch is loaded. An old name warns where it is used.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

REMOVED_IN = "0.3"

_renamed_names: dict[str, dict[str, str]] = {}  # package -> old name -> where it is now
_renamed_arguments: dict[str, dict[str, str]] = {}  # function -> old keyword -> new keyword
_renamed_methods: dict[str, str] = {}  # old method -> new method


def lazy(package: str, homes: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` of ``package``, whose modules ``homes`` names, each with what it is home to."""
    home_of = {name: module for module, names in homes.items() for name in names}

    def look_up(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    return look_up


def deprecated_names(
    package: str, renamed: Mapping[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` under which old names give the new objects and warn.

    Args:
        package: Name of the module the old names were taken from, ``__name__`` there.
        renamed: Old name to the full path of the new one, for example
            ``{"multiply": "graphkit.operators.products.spmm"}``.
        otherwise: The package's own ``__getattr__``, for names that are not old.
    """
    _renamed_names[package] = dict(renamed)

    def look_up(name: str) -> Any:
        if name not in renamed:
            if otherwise is not None:
                return otherwise(name)
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        _warn(f"{package}.{name}", renamed[name])
        module, _, attribute = renamed[name].rpartition(".")
        return getattr(importlib.import_module(module), attribute)

    return look_up


def deprecated_arguments(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take its old keywords, ``old="new"``; giving both is a ``TypeError``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        path = f"{function.__module__}.{function.__qualname__}"
        _renamed_arguments[path] = dict(renamed)

        @functools.wraps(function)
        def with_new_names(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in renamed.keys() & kwargs.keys():
                new = renamed[old]
                if new in kwargs:
                    raise TypeError(f"{path} was given `{new}` and its old name `{old}`; give `{new}` alone")
                _warn(f"{path}({old}=)", f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return with_new_names

    return decorate


def renamed_fields(title: str, fields: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return fields under their new names, ``renamed[old]``; both names of one are a ``ValueError``."""
    found = dict(fields)
    for old in renamed.keys() & fields.keys():
        new = renamed[old]
        if new in fields:
            raise ValueError(f"`{old}` is the old name of `{new}` in {title}; give `{new}` alone.")
        _warn(f"the field {old} of {title}", new)
        found[new] = found.pop(old)
    return found


class deprecated_method:
    """A method or property under its old name: ``multiply = deprecated_method("spmm")`` in the class's body."""

    def __init__(self, new: str):
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = f"{owner.__module__}.{owner.__qualname__}.{name}"
        _renamed_methods[self.old] = f"{owner.__module__}.{owner.__qualname__}.{self.new}"

    def __get__(self, instance: object, owner: type) -> Any:
        _warn(self.old, self.new)
        return getattr(owner if instance is None else instance, self.new)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} was renamed to {new}; the old name goes in {REMOVED_IN}", DeprecationWarning, stacklevel=3)
