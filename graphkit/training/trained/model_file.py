"""The file of a trained model: its weights, and all that is needed to build it again and to use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from torch import Tensor

import graphkit
from graphkit._checks import suggestion
from graphkit.training.engine.options import AbstractOptions, first_fault
from graphkit.training.engine.tensor_file import describe_tensors, read_description

FORM = 1
"""Counts changes of the file's form; a newer one is refused."""

Options = TypeVar("Options", bound=AbstractOptions)


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What the file of a trained model holds.

    Args:
        study: what trained it: "train", "embed" or "fewshot".
        about: plain values, as JSON has them.
        weights: parameters and buffers by name.
    """

    study: str
    about: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    def to_bytes(self) -> bytes:
        """Return the content of the file, the same bytes each time; nothing in it can be executed."""
        head = {"form": FORM, "graphkit": graphkit.__version__, "study": self.study}
        return describe_tensors(self.weights, {**head, **self.about})

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> ModelFile:
        """Return what :meth:`to_bytes` made, and a file of this name holds.

        Raises:
            ValueError: for a file that is damaged, holds no description, or has a newer form.
        """
        weights, about = read_description(content, path)
        if about is None or "form" not in about or "study" not in about:
            raise ValueError(
                f"{str(path)!r} holds weights without a description, as version 0.1.0 and a training that failed leave "
                "them; train again for a file that suffices by itself."
            )
        form, version = about.pop("form"), about.pop("graphkit", "?")
        if form != FORM:
            raise ValueError(
                f"{str(path)!r} has form {form}, written by graphkit {version}; this version, "
                f"{graphkit.__version__}, reads form {FORM}: take the other one."
            )
        return cls(about.pop("study"), about, weights)

    @classmethod
    def read(cls, path: Path) -> ModelFile:
        """Return the file of this name.

        Raises:
            ValueError: if it cannot be read; see :meth:`from_bytes`.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be read as a trained model: {error.strerror}.") from None
        return cls.from_bytes(content, path)


@contextmanager
def refuse_other_fields() -> Iterator[None]:
    """Refuse in words, in a block that reads a description, one that lacks a field or has another one.

    Raises:
        ValueError: naming the field.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the model's description is not as graphkit {graphkit.__version__} writes it ({error}); take the version "
            "that wrote it, or train again."
        ) from None


def options_to_plain(options: AbstractOptions) -> dict[str, Any]:
    """Return options with the name of their kind, as plain values; parts that are options themselves likewise.

    Example:
        >>> from graphkit.training import recipe
        >>> plain = options_to_plain(recipe("gcn", {"hidden": 8}))
        >>> plain["kind"], plain["model"]["kind"], plain["model"]["hidden"]
        ('Recipe', 'GCN', 8)
        >>> options_from_plain(plain, AbstractOptions).model.hidden
        8
    """
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    plain = {
        name: options_to_plain(value) if isinstance(value, AbstractOptions) else value for name, value in fields.items()
    }
    return {"kind": type(options).__name__, **plain}


def options_from_plain(plain: Mapping[str, Any], kind: type[Options]) -> Options:
    """Return what :func:`options_to_plain` was given, by the classes that are imported now.

    Args:
        plain: with the name of a subclass of ``kind``.
        kind: what is expected.

    Raises:
        ValueError: for a kind that no class has, and fields or values that its class does not take.
    """
    known = kinds_of(kind)
    name, fields = plain["kind"], {field: value for field, value in plain.items() if field != "kind"}
    if name not in known:
        raise ValueError(
            f"the model is made by {name!r}, which is no {kind.__name__} here: import the module that defines it, or "
            f"take the version of graphkit that has it. {suggestion(name, list(known))}"
        )
    made = {
        field: options_from_plain(value, AbstractOptions) if isinstance(value, dict) and "kind" in value else value
        for field, value in fields.items()
    }
    try:
        return known[name](**made)
    except ValidationError as error:
        raise ValueError(
            f"the model is made by {name!r} with other fields than this version of graphkit has: {first_fault(error)}"
        ) from None


def kinds_of(base: type[Any]) -> dict[str, type[Any]]:
    """Return a class and all below it that are imported now, by name."""
    found = {base.__name__: base}
    for below in base.__subclasses__():
        found |= kinds_of(below)
    return found
