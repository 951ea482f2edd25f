"""A way of solving few-shot tasks, as frozen data: which rows it sees, and how it is trained."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic.dataclasses import dataclass

from graphkit._checks import nearest
from graphkit.training.architectures.abstract import STRICT, LearningRate
from graphkit.training.fewshot.solved import Asked, Solved
from graphkit.training.recipes import first_fault

if TYPE_CHECKING:
    from graphkit.training.fewshot.kept import UnderWay
    from graphkit.training.fewshot.problems import Problem


def _known(rows: str) -> str:
    """Return the name of a kind of rows, or refuse it."""
    if not re.fullmatch("chosen|encoder|(features|centred|weighted)-[0-9]+", rows):
        raise ValueError("must be features-K, centred-K or weighted-K with K of 0 or more, chosen, or encoder")
    return rows


M = TypeVar("M", bound="AbstractMethod")
Kind: TypeAlias = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMethod(ABC):
    """A way of solving few-shot tasks.

    Args:
        rows: what it sees of the items: "features-K" are the features averaged K times over neighbours, "centred-K"
            the same without their mean, "weighted-K" those where rare features count more; "chosen" is the kind of
            ``CHOICES`` on which prototypes do best on validation tasks; "encoder" are embeddings of encoders that were
            trained without labels, beside the weighted features.
        scale: length of a row.
    """

    rows: Kind = "features-2"
    scale: LearningRate = 1.0

    @property
    @abstractmethod
    def trained(self) -> bool:
        """Whether it uses the labels of the training classes."""

    @property
    @abstractmethod
    def selects(self) -> str:
        """What validation tasks select for it beside its rows, in words; nothing where they select nothing."""

    @abstractmethod
    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return what it comes to; ``seed`` draws weights, ``asked`` is what else is wanted.

        What is ``under_way`` keeps the state of a meta-training.
        """


def with_fields(method: M, overrides: Mapping[str, Any]) -> M:
    """Return a method with some fields replaced.

    Args:
        method: any.
        overrides: field -> value; text is read as the field's type.

    Raises:
        ValueError: for a field that does not exist, or a value out of its range.

    Example:
        >>> from graphkit.training.fewshot import METHODS
        >>> with_fields(METHODS["maml"], {"inner_steps": 3}).inner_steps
        3
    """
    known = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    for name in overrides:
        if name not in known:
            raise ValueError(f"`{name}` is no field of this learner. {nearest(name, known)}")
    try:
        return type(method)(**{**known, **overrides})
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
