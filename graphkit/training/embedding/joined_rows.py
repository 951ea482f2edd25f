"""Rows that take no training beside an embedding: of a view of the items, of what is solved for, and their shares."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from graphkit.metric.distances import normalize_rows
from graphkit.metric.retrieval import evaluate_retrieval
from graphkit.nn.estimators.abstract_estimator import evenly_spaced
from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.engine.distributed import rng_seed

VIEW_SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
"""How much of the similarity may be that of rows of a view: from none of it to all."""

SOLVED_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of what is left may be that of what is solved for."""

ASKING, ANSWERING = 1_000, 5_000
"""Labelled items by which views and shares are chosen; of more, so many evenly spaced ones."""

LEARNING = 10_000
"""Training items that what is solved for learns from; of more, so many evenly spaced ones. Of nodes a quarter of a
gigabyte holds their rows in all views."""


class Shares(NamedTuple):
    """How much of the similarity is that of rows of a view, and of what is solved for; the rest is what is trained."""

    view: float = 0.0
    solved: float = 0.0

    @property
    def encoder(self) -> float:
        """How much is that of what is trained."""
        return 1 - self.view - self.solved


NOTHING_JOINED = Shares()


class SolvedRows(NamedTuple):
    """What a classifier says of items that is solved for, no step being taken.

    Args:
        all: of all items ``[items, classes]``, as :class:`graphkit.nn.class_probabilities.ClassProbabilities`.
        labelled: likewise of the labelled items, by what training sees.
        state: all that is needed to say it of other items, and to make their rows in any view.
    """

    all: Tensor
    labelled: Tensor
    state: Mapping[str, Tensor]


def join_rows(*parts: tuple[Tensor, float]) -> Tensor:
    r"""Return rows of several kinds side by side; cosines are :math:`\sum_i s_i \cos(z_i, z_i')`.

    Args:
        parts: rows ``[items, width]`` with their share :math:`s_i`; shares sum to 1. Rows that are all there is stay
            as they are.

    Example:
        >>> z, rows = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> (10 * join_rows((z, 0.5), (rows, 0.5)) ** 2).round().tolist()
        [[5.0, 5.0, 0.0], [5.0, 5.0, 0.0]]
    """
    kept = [(rows, share) for rows, share in parts if share > 1e-9]
    if len(kept) == 1:
        return kept[0][0]
    return torch.cat([share**0.5 * normalize_rows(rows).to(kept[0][0]) for rows, share in kept], 1)


def selection_figure(z: Tensor, y: Tensor, queries: Tensor, select: str) -> float:
    """Return the figure that selects: how well all others answer some items; 0 where none has a relevant one.

    Args:
        z: embeddings of labelled items.
        y: their labels.
        queries: those that ask, an index.
        select: "map", "hit@1" or "both", the mean of the two.
    """
    found = evaluate_retrieval(z, y, queries=queries, cuts=[1], metrics=["ranking"])
    first = found.hit[1] if found.hit else 0.0
    return {"map": found.map_at_r or 0.0, "hit@1": first, "both": ((found.map_at_r or 0.0) + first) / 2}[select]


class AbstractRows(ABC):
    """Rows of items in several views, fitted to what training may see of them, and a classifier that is solved for."""

    solver: ClassVar[str]
    """What is solved for, in a word."""
    title: ClassVar[str]
    """What its figures are called."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[float]] = {}
        self._whole: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor] = {}
        self._solved: dict[bytes, SolvedRows] = {}

    @property
    @abstractmethod
    def views(self) -> tuple[str, ...]:
        """The names of the views."""

    @abstractmethod
    def rows(self, view: str, *, seen: bool) -> Tensor:
        """Return the rows in a view of all items, or of those that training sees, of length 1 or 0."""

    @abstractmethod
    def every_view(self) -> Iterator[Tensor]:
        """Yield the rows in every view of the items that training sees."""

    @abstractmethod
    def places(self, index: Tensor) -> Tensor:
        """Return where items stand among those that training sees."""

    @abstractmethod
    def solutions(self, index: Tensor, y: Tensor, labelled: Tensor, classes: int) -> Iterator[SolvedRows]:
        """Yield what classifiers say that are solved for on labelled items.

        Args:
            index, y: the items that they learn from, and their classes.
            labelled: the items of which ``labelled`` of a solution is.
            classes: how many there are.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to make the rows of other items in any view."""

    def of(self, view: str) -> Tensor:
        """Return the rows of all items in a view, ``[items, width]``."""
        if view not in self._whole:
            self._whole[view] = self.rows(view, seen=False)
        return self._whole[view]

    def best_view(self, labelled: LabelledItems, asking: int, select: str) -> str:
        """Return the view in which labelled items answer those that ask best.

        Args:
            labelled: items that ask, then others, which only answer.
            asking: how many ask.
            select: as :func:`selection_figure` takes it.
        """
        key = _key_of(labelled, asking, select)
        if key not in self._known:  # the same for all seeds of one split
            chosen, queries = _sample(len(labelled.y), asking)
            place, y = self.places(labelled.index.cpu()[chosen]), labelled.y.cpu()[chosen]
            self._known[key] = [selection_figure(rows[place], y, queries, select) for rows in self.every_view()]
        figures = self._known[key]
        return self.views[figures.index(max(figures))]

    def best_solution(self, labelled: LabelledItems, asking: int, classes: int, select: str) -> SolvedRows:
        """Return what is solved for on those that only answer; those that ask choose among solutions.

        Args:
            labelled, asking, select: as :meth:`best_view` takes them.
            classes: of the labels.
        """
        key = _key_of(labelled, asking, select)
        if key not in self._solved:  # the same for all seeds of one split
            index, y = labelled.index.cpu(), labelled.y.cpu()
            sample, queries = _sample(len(y), asking)
            learning = asking + evenly_spaced(len(y) - asking, LEARNING)
            with rng_seed(0), torch.no_grad():
                made = list(self.solutions(index[learning], y[learning], index, classes))
            figures = [selection_figure(each.labelled[sample], y[sample], queries, select) for each in made]
            self._solved[key] = made[figures.index(max(figures))]
        return self._solved[key]

    def figure(
        self,
        view: str,
        z: Tensor,
        labelled: LabelledItems,
        asking: int,
        select: str,
        solved: SolvedRows | None = None,
    ) -> Callable[[Shares], float]:
        """Return what tells the figure of embeddings that are joined with shares.

        Args:
            view: rows of which.
            z: embeddings of ``labelled``.
            labelled, asking, select: as :meth:`best_view` takes them.
            solved: of the same items; without it, it has no share.
        """
        sample, queries = _sample(len(labelled.y), asking)
        if view not in self._seen:
            self._seen[view] = self.rows(view, seen=True)
        rows = self._seen[view][self.places(labelled.index.cpu()[sample])]
        said = z[:, :0] if solved is None else solved.labelled
        z, y, said = z.float().cpu()[sample], labelled.y.cpu()[sample], said.cpu()[sample]

        def of(shares: Shares) -> float:
            joined = join_rows((z, shares.encoder), (said, shares.solved), (rows, shares.view))
            return selection_figure(joined, y, queries, select)

        return functools.cache(of)


def best_shares(figure: Callable[[Shares], float], *, solved: bool = True) -> Shares:
    """Return the shares of the highest figure that is found by choosing in turns; of equal ones the most even.

    No share alone, and nothing joined, has a higher one. Few items that ask cannot tell shares apart; even ones
    then lose least.

    Args:
        figure: of shares.
        solved: whether what is solved for may have one.

    Example:
        >>> best_shares(lambda shares: min(shares.view, 0.5) - abs(shares.solved - 0.25))
        Shares(view=0.5, solved=0.25)
    """
    view, left = 0.0, 0.0
    even = 1 / 3 if solved else 1 / 2
    while True:
        before = view, left
        if solved:
            left = max(SOLVED_SHARES, key=lambda share: (figure(_shares(view, share)), -abs(share - 1 / 2)))
        view = max(VIEW_SHARES, key=lambda share: (figure(_shares(share, left)), -abs(share - even)))
        if (view, left) == before:
            return _shares(view, left)


def _shares(view: float, left: float) -> Shares:
    """Return shares, where what is solved for has a part of what is left."""
    return Shares(view, (1 - view) * left)


def _key_of(labelled: LabelledItems, asking: int, select: str) -> bytes:
    """Return what decides on a choice."""
    index, y = labelled.index.cpu().numpy(), labelled.y.cpu().numpy()
    return b"".join((index.tobytes(), y.tobytes(), f"{asking} {select}".encode()))


def _sample(items: int, asking: int) -> tuple[Tensor, Tensor]:
    """Return the labelled items that are looked at, and which of these ask."""
    chosen = torch.cat([evenly_spaced(asking, ASKING), asking + evenly_spaced(items - asking, ANSWERING)])
    return chosen, torch.arange(min(asking, ASKING))
