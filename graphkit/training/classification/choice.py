"""Choices: which recipe of a portfolio does best on validation items; nobody looks at test items here."""

from __future__ import annotations

import functools
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphkit._checks.graphs import GraphWarning
from graphkit.training.classification.classification_trainer import ClassificationTrainer
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.engine.experiment import Experiment, Seconds
from graphkit.training.engine.records import Unit
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.classification.tasks import AbstractTask


@dataclass(frozen=True, kw_only=True)
class CandidateUnit(Unit):
    """A recipe with a seed."""

    candidate: int


@dataclass(frozen=True, kw_only=True)
class CandidateResult:
    """What a recipe with a seed came to.

    Args:
        candidate: the recipe's place in the portfolio.
        validation: the figure on the validation items at the selected epoch.
        validation_loss: the loss there.
        selected: the selected epoch, from 1.
        seconds: training time.
        name: of the figure.
        warnings: of the model about the graph, each once.
    """

    candidate: int
    validation: float
    validation_loss: float
    selected: int
    seconds: float
    name: str
    warnings: tuple[str, ...] = ()

    def scalars(self) -> dict[str, float]:
        """Return the figure of the validation items."""
        return {f"validation_{self.name}": self.validation}

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, for a file."""
        return {**vars(self), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CandidateResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**fields, "warnings": tuple(fields.get("warnings", ()))})


class ChoiceExperiment(Experiment[CandidateUnit, CandidateResult]):
    """The recipes of a portfolio, each with the same seeds.

    Args:
        recipes: to choose from.
        seeds: with which each is tried.
        prepare: returns what training with a recipe sees.
        fabric: device and precision.
        identity: of the run.
    """

    result = CandidateResult

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        prepare: Callable[[Recipe], AbstractTask],
        fabric: Fabric,
        identity: Mapping[str, Any],
    ) -> None:
        super().__init__(identity, fabric.device)
        self.recipes, self.seeds, self.fabric = recipes, seeds, fabric
        self._heard: dict[str, None] = {}
        # Of one recipe at a time, as all its seeds come one after the other.
        self._task = functools.lru_cache(maxsize=1)(lambda candidate: prepare(recipes[candidate]))

    def units(self) -> list[CandidateUnit]:
        """Return each recipe with each seed."""
        return [
            CandidateUnit(
                key=f"{recipe.name}/seed-{seed}", label=f"{recipe.name}, seed {seed}", seed=seed, candidate=place
            )
            for place, recipe in enumerate(self.recipes)
            for seed in self.seeds
        ]

    def start(self, unit: CandidateUnit) -> ClassificationTrainer:
        """Return the trainer of a freshly drawn classifier."""
        self._heard.clear()
        recipe, task = self.recipes[unit.candidate], self._task(unit.candidate)
        module = recipe.module(task.channels, task.outputs, task.graph)
        return classification_trainer(module, task, recipe, self.fabric)

    def finish(self, unit: CandidateUnit, trainer: ClassificationTrainer, seconds: Seconds) -> CandidateResult:
        """Return the figures of the selected epoch."""
        best = trainer.selected
        return CandidateResult(
            candidate=unit.candidate,
            validation=best.figure,
            validation_loss=best.validation_loss,
            selected=best.number,
            seconds=seconds.wall,
            name=trainer.task.objective.name,
            warnings=tuple(self._heard),
        )

    @contextmanager
    def gather_warnings(self) -> Iterator[None]:
        """Keep in a block what models say of the graph with what they came to: nobody has named them."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", GraphWarning)
            show = warnings.showwarning

            def hear(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
                if issubclass(category, GraphWarning):
                    self._heard[str(message)] = None
                else:
                    show(message, category, *place, **more)

            warnings.showwarning = hear
            yield


def best_candidate(results: Sequence[CandidateResult], sign: int) -> tuple[int, list[dict[str, Any]]]:
    """Return the place of the best recipe, and what each came to, in the order of the portfolio.

    Args:
        results: at least one of each recipe.
        sign: 1 where a higher figure is better, else -1. Of equal means the lower mean loss is better, then the
            earlier recipe.

    Example:
        >>> figures = {"validation_loss": 1.0, "selected": 3, "seconds": 2.0, "name": "accuracy"}
        >>> made = [CandidateResult(candidate=c, validation=v, **figures) for c, v in enumerate((0.5, 0.75))]
        >>> best, tried = best_candidate(made, 1)
        >>> best, tried[best]
        (1, {'validation': 0.75, 'validation_loss': 1.0, 'seconds': 2.0})
    """
    tried: list[dict[str, Any]] = []
    for place in sorted({result.candidate for result in results}):
        of_one = [result for result in results if result.candidate == place]
        said = dict.fromkeys(text for result in of_one for text in result.warnings)
        tried.append(
            {
                "validation": statistics.fmean(result.validation for result in of_one),
                "validation_loss": statistics.fmean(result.validation_loss for result in of_one),
                "seconds": sum(result.seconds for result in of_one),
                **({"warnings": list(said)} if said else {}),
            }
        )
    keys = [(-sign * each["validation"], each["validation_loss"]) for each in tried]
    return keys.index(min(keys)), tried
