"""One table of wrong arguments, and what a public call may do with any of them: answer as documented, or say no well.

A refusal is a ``ValueError`` or a ``TypeError`` that graphkit raises itself and that names the argument in backticks.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import graphkit

PACKAGE = Path(graphkit.__file__).parent
NAN = float("nan")


def table() -> dict[str, Any]:
    """Return wrong values by name, anew; where six items of three features are right most of them are not."""
    return {
        "None": None,
        "True": True,
        "a text": "wrong",
        "texts": list("abcdef"),
        "-1": -1,
        "0": 0,
        "2.5": 2.5,
        "NaN": NAN,
        "inf": float("inf"),
        "a dictionary": {"a": 1},
        "an object": object(),
        "a function": lambda *_: None,
        "NumPy": np.ones((6, 3)),
        "NumPy texts": np.array(list("abcdef")),
        "NumPy labels": np.arange(6),
        "lists": [[1.0] * 3] * 6,
        "no axis": torch.tensor(1.0),
        "one axis": torch.ones(6),
        "three axes": torch.ones(6, 3, 2),
        "wider": torch.ones(6, 5),
        "fewer rows": torch.ones(4, 3),
        "integers": torch.ones(6, 3, dtype=torch.int64),
        "complex": torch.ones(6, 3, dtype=torch.complex64),
        "a mask": torch.ones(6, 3, dtype=torch.bool),
        "NaN inside": torch.tensor([[1.0, NAN, 1.0]]).repeat(6, 1),
        "sparse": torch.eye(6)[:, :3].to_sparse(),
        "meta": torch.ones(6, 3, device="meta"),
        "fewer labels": torch.arange(4) % 2,
        "float labels": torch.arange(6.0) % 3,
        "labels of -2": torch.tensor([0, 0, 1, 1, -2, 2]),
        "Boolean labels": torch.arange(6) % 2 == 0,
        "meta labels": torch.ones(6, dtype=torch.int64, device="meta"),
    }


ENTRIES = tuple(table())


@dataclass(frozen=True)
class Call:
    """A public call and right arguments for it.

    Attributes:
        thing: what is called.
        right: returns arguments, all that its signature has.
        fine: argument -> entries of the table that are right here, or have a documented answer.
        aliases: argument -> what a refusal may name in its place.
        needed: arguments that may not be ``None`` though it is their default.
    """

    thing: Callable[..., Any]
    right: Callable[[], dict[str, Any]]
    fine: Mapping[str, set[str]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needed: Collection[str] = ()

    def parameters(self) -> set[str]:
        """Return the names of what it takes."""
        return set(inspect.signature(self.thing).parameters)


def faults(call: Call) -> Iterator[tuple[str, str, str]]:
    """Yield argument, entry and what is wrong with the answer."""
    for argument in call.right():
        optional = inspect.signature(call.thing).parameters[argument].default is None
        optional = optional and argument not in call.needed
        for entry in ENTRIES:
            given = {**call.right(), argument: table()[entry]}
            known = entry in call.fine.get(argument, ()) or (optional and entry == "None")
            said = _said(call, given, (argument, *call.aliases.get(argument, ())))
            if said and not (known and said == "answered"):
                yield argument, entry, said
            if not said and known:
                yield argument, entry, "refused, though it is said to be fine"


def _said(call: Call, given: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return what happened unless it was a refusal as it should be."""
    try:
        call.thing(**given)
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if not Path(last.filename).is_relative_to(PACKAGE) or "raise " not in (last.line or ""):
            return f"{type(error).__name__} in other words ({Path(last.filename).name}): {error}"
        if not any(f"`{name}" in str(error) for name in names):
            return f"the argument is not named: {error}"
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "answered"


def refuses_what_is_wrong(call: Call) -> None:
    """Every wrong value of every argument is refused in words that name it, or answered as documented."""
    assert set(call.right()) == call.parameters()
    call.thing(**call.right())
    found = [" | ".join(fault)[:200] for fault in faults(call)]
    if found:
        pytest.fail("\n".join([f"{len(found)} wrong arguments are not refused well:", *found]), pytrace=False)
