"""What an embedding study came to: one seed, and the record of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from graphkit.training.trained.encoder import TrainedEncoder

from graphkit.training.embedding.embedding_trainer import LIES, EmbeddingEpoch
from graphkit.training.engine.records import BOUNDS, AbstractRecord, Metric, Record, metric

Figures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class EmbeddingResult:
    """What one seed came to.

    Args:
        seed: drew the weights, the dropout and the batches.
        validation: MAP@R of the validation items at the selected epoch.
        figures: what was embedded ("raw features", "random encoder", ..., the loss's name) -> name -> figure.
        selected: the selected epoch, from 1.
        history: the figures of all epochs.
        seconds: training time.
        view: the view whose rows served validation items best.
        share: of those rows in the similarity, 0 where they are not joined.
        solved: the share of what is solved for, likewise.
    """

    seed: int
    validation: float
    figures: Mapping[str, Figures]
    selected: int
    history: tuple[EmbeddingEpoch, ...]
    seconds: float
    view: str = ""
    share: float = 0.0
    solved: float = 0.0

    def scalars(self) -> dict[str, float]:
        """Return every figure by name: what was embedded, and what was measured on it."""
        return {f"{what}/{name}": value for what, each in self.figures.items() for name, value in each.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and tuples, for a file."""
        figures = {name: dict(values) for name, values in self.figures.items()}
        return {**vars(self), "figures": figures, "history": [tuple(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> EmbeddingResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**fields, "history": tuple(EmbeddingEpoch(*figures) for figures in fields["history"])})


@dataclass(frozen=True, kw_only=True)
class EmbeddingRecord(AbstractRecord):
    """A record, and beside it every figure of the embedding and of its baselines.

    Args:
        record: the record whose ``metric`` is the test items' MAP@R.
        level: "node" or "graph".
        figures: what was embedded -> name of a figure -> mean and deviation over the seeds.
        telemetry: "first" and "selected" epoch -> what is watched in training (:class:`EmbeddingEpoch`) -> likewise.
        views: of each seed the "view" that served validation items best, and in the similarity of what was embedded the
            "share" of its rows and that of what is solved for: "ridge" regression of nodes, a "forest" of graphs.
    """

    record: Record
    level: str
    figures: Mapping[str, Mapping[str, Metric]]
    telemetry: Mapping[str, Mapping[str, Metric]]
    views: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""
        figures, telemetry = (
            {what: {n: dataclasses.asdict(m) for n, m in each.items()} for what, each in table.items()}
            for table in (self.figures, self.telemetry)
        )
        views = [dict(each) for each in self.views]
        own = {"level": self.level, "figures": figures, "telemetry": telemetry, "views": views}
        return {**self.record.as_dict(), **own}


def telemetry_of(results: Sequence[EmbeddingResult]) -> dict[str, dict[str, Metric]]:
    """Return what was watched in the first and in the selected epoch, over the seeds; nothing that one seed lacks."""
    epochs = {
        "first": [result.history[0] for result in results],
        "selected": [result.history[result.selected - 1] for result in results],
    }
    return {
        when: {
            name: metric(
                name, [getattr(epoch, name) for epoch in each], unit="number" if name in BOUNDS else "fraction"
            )
            for name in LIES
            if all(getattr(epoch, name) is not None for epoch in each)
        }
        for when, each in epochs.items()
    }


@dataclass(frozen=True)
class EmbeddingOutcome:
    """The record of a study, and behind it the results and embeddings of each seed.

    Args:
        record: what was measured, and how.
        seeds: the results.
        embeddings: of each seed, ``[items, dim]``, in the order of ``seeds``.
        raw: features of the items ``[items, features]``.
        y: labels of the items ``[items]``; -1 for those that are not examined.
        test: which of them were asked for the record's figure, a mask ``[items]``.
        exclude: pairs of items that may not answer each other ``[2, pairs]``, or ``None``.
        models: the trained encoder of each seed.
        run_dir: where all of it lies, ``None`` where nothing is kept.
        faults: what could not be kept on the disk.
        put_aside: the folder into which an earlier run was put that lay there, unfinished or with other settings.
    """

    record: EmbeddingRecord
    seeds: tuple[EmbeddingResult, ...]
    embeddings: tuple[Tensor, ...] = dataclasses.field(repr=False)
    raw: Tensor = dataclasses.field(repr=False)
    y: Tensor = dataclasses.field(repr=False)
    test: Tensor = dataclasses.field(repr=False)
    exclude: Tensor | None = dataclasses.field(default=None, repr=False)
    models: tuple[TrainedEncoder, ...] = dataclasses.field(default=(), repr=False)
    run_dir: Path | None = None
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None
