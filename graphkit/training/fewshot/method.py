"""A way of solving few-shot tasks, as frozen data: which rows it sees, and how it is trained."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from graphkit.training.engine.options import AbstractOptions
from graphkit.training.fewshot.evaluations import EvalOptions, Evaluations
from graphkit.training.zoo.abstract import STRICT

if TYPE_CHECKING:
    from graphkit.training.engine.distributed import World
    from graphkit.training.engine.trainer import AbstractTrainer
    from graphkit.training.fewshot.problems import Problem


def _known(rows: str) -> str:
    """Return the name of a kind of rows, or refuse it."""
    if not re.fullmatch("chosen|encoder|(features|centred|weighted)-[0-9]+", rows):
        raise ValueError("must be features-K, centred-K or weighted-K with K of 0 or more, chosen, or encoder")
    return rows


Kind: TypeAlias = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMethod(AbstractOptions, ABC):
    """A way of solving few-shot tasks.

    Args:
        rows: what it sees of the items: "features-K" are the features averaged K times over neighbours, "centred-K"
            the same without their mean, "weighted-K" those where rare features count more; "chosen" is the kind of
            ``CHOICES`` on which prototypes do best on validation tasks; "encoder" are embeddings of encoders that were
            trained without labels, beside the weighted features.
    """

    rows: Kind = "features-2"

    @property
    def length(self) -> float:
        """Length of a row, which says nothing where directions are compared."""
        return 1.0

    @property
    def title(self) -> str:
        """What it is called where a field is refused."""
        return "this learner"

    @property
    def trained(self) -> bool:
        """Whether it uses the labels of the training classes."""
        return False

    @property
    def selects(self) -> str:
        """What validation tasks select for it beside its rows, in words; nothing where they select nothing."""
        return ""

    def start(self, problem: Problem, seed: int, world: World) -> AbstractTrainer[Any] | None:
        """Return what is trained on tasks of the training classes, freshly drawn; ``None`` where nothing is.

        Args:
            problem: the tasks.
            seed: draws weights.
            world: the processes that train together.
        """
        return None

    @abstractmethod
    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: Any) -> Evaluations:
        """Return what it comes to: the first look at test tasks.

        Args:
            problem: the tasks.
            seed: draws weights of what is not trained by the engine.
            options: what else is wanted.
            trainer: what :meth:`start` returned, trained to its end.
        """
