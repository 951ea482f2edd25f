"""What the losses over tuples share: who is compared with whom, and what is averaged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import member, tensor
from graphkit.metric.compared import Compared, Reference, compared, under_transform, without_autocast
from graphkit.metric.criterion import AbstractCriterion
from graphkit.metric.distances import between, distance_matrix, unit
from graphkit.metric.gallery import DISTANCES
from graphkit.metric.monitoring import Telemetry, telemetry
from graphkit.metric.relations import NamedPairs, Relations
from graphkit.metric.streaming import BLOCK, Streamed, Sums, sides, streamed
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, Tuples, as_pairs, tuples_of

REDUCTIONS = ("mean", "active", "sum")
DIFFERENTIABLE = ("once", "twice")

Distance: TypeAlias = "str | Callable[[Tensor, Tensor], Tensor]"
Miner: TypeAlias = Callable[..., Tuples]


class Terms(NamedTuple):
    """The sum of a loss's terms, how many tuples there are, and how many terms are above zero."""

    total: Tensor
    tuples: Tensor
    active: Tensor


class AbstractLoss(AbstractCriterion):
    """A loss of embeddings and labels: a distance, a miner that picks tuples, and the terms of the tuples."""

    ordered: ClassVar[bool] = False
    """Whether the slopes jump where two distances are equal, so that these must be equal to the last bit."""

    squared: ClassVar[bool] = False
    """Whether a term is the square of a distance, and overflows sooner."""

    def __init__(self, *, distance: Distance, reduction: str, differentiable: str, miner: Miner | None) -> None:
        if not callable(distance):
            member("distance", distance, DISTANCES)
        self.distance = distance
        self.reduction = member("reduction", reduction, REDUCTIONS)
        self.differentiable = member("differentiable", differentiable, DIFFERENTIABLE)
        if miner is not None and not callable(miner):
            raise TypeError(f"`miner` must be a miner, such as BatchHardMiner(), got {miner!r}.")
        self.miner = miner
        self.empty = 0
        """How many calls had no tuple to look at, and returned zero."""

    def of_one(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the loss under one attribute."""
        given = compared(z, y, reference, distance=self.distance, squared=self.squared, pairs=pairs is not None)
        if pairs is None and self.miner is not None:
            pairs = mined(self.miner, given)
        if pairs is not None:
            return self._reduced(self.chosen(given, tuples_of(pairs, len(given.z), len(given.right))))
        if self.differentiable == "twice" or callable(self.distance):
            return self._reduced(self.terms(self.matrix(given), given.relations))
        return self._streamed(given)

    @abstractmethod
    def terms(self, distances: Tensor, relations: Relations) -> list[Terms]:
        """Return the loss's sums, each to be reduced by itself, from all distances ``[items, others]``."""

    def chosen(self, given: Compared, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the sums over given tuples; here the pairs that are in them make up a matrix of their own."""
        chosen, shape = as_pairs(tuples), (len(given.z), len(given.right))
        masks = [torch.zeros(shape, dtype=torch.bool, device=given.z.device) for _ in range(2)]
        for mask, rows, columns in zip(masks, chosen[::2], chosen[1::2], strict=True):
            mask[rows, columns] = True
        return self.terms(self.matrix(given), NamedPairs(*masks))

    def slopes(self, distances: Tensor, relations: Relations, out: Tensor) -> Sums:
        """Set ``out`` to the slope of the sum by each distance of a block of labelled rows, and return the sums."""
        if torch.is_inference_mode_enabled():  # there are no slopes, and nobody can ask for them
            (part,) = self.terms(distances, relations)
        else:
            with torch.enable_grad():
                leaf = distances.detach().requires_grad_()
                (part,) = self.terms(leaf, relations)
                out.copy_(torch.autograd.grad(part.total, leaf)[0])
        return Sums(part.total.item(), int(part.tuples), int(part.active))

    def streams(self, given: Compared, *, gradient: bool) -> list[tuple[Sums, Any]]:
        """Return sums and gathered gradients over all rows, each to be reduced by itself."""
        seen = sides(given.z, given.others, str(self.distance))
        block = BLOCK if given.z.device.type == "cpu" else 16 * BLOCK
        return [
            streamed(
                seen,
                given.relations,
                str(self.distance),
                self.slopes,
                gradient=gradient,
                ordered=self.ordered,
                block=block,
            ),
        ]

    def matrix(self, given: Compared) -> Tensor:
        """Return all distances ``[items, others]``, differentiable as often as the distance is."""
        if not callable(self.distance):
            return distance_matrix(given.z, given.others, self.distance)
        return self._signed(self.distance(given.z, given.right))

    def between(self, given: Compared, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the distances of chosen pairs, ``[pairs]``."""
        if callable(self.distance):
            return self.matrix(given)[rows, columns]
        return between(given.z[rows], given.right[columns], self.distance)

    def report(
        self, z: Tensor, y: Tensor, *, reference: Reference | None = None, pairs: Tuples | None = None
    ) -> Telemetry:
        """Return how far training has come: what the loss still acts on, and how the classes lie.

        Args:
            z: embeddings ``[items, features]``.
            y: integer labels ``[items]``.
            reference: others, as in a call.
            pairs: tuples, as in a call; ``active`` is about them.

        Raises:
            ValueError: as a call does.
        """
        with torch.no_grad(), without_autocast(z):
            given = compared(tensor("z", z).detach(), y, reference, distance=self.distance, squared=self.squared)
            if pairs is None and self.miner is not None:
                pairs = mined(self.miner, given)
            if pairs is not None:
                parts = self.chosen(given, tuples_of(pairs, len(given.z), len(given.right)))
                counts = [(float(part.tuples), float(part.active)) for part in parts]
            elif callable(self.distance):
                parts = self.terms(self.matrix(given), given.relations)
                counts = [(float(part.tuples), float(part.active)) for part in parts]
            else:
                counts = [(sums.tuples, sums.active) for sums, _ in self.streams(self._prepared(given), gradient=False)]
            tuples, active = (sum(each) for each in zip(*counts, strict=True))
            distance = "euclidean" if callable(self.distance) else self.distance
            found = telemetry(z, y, reference=reference, distance=distance)
        return found.with_active(active / tuples if tuples else 0.0)

    def _signed(self, distances: Tensor) -> Tensor:
        """Return distances of a pytorch-metric-learning object that measures likeness with its sign turned."""
        return -distances if getattr(self.distance, "is_inverted", False) else distances

    def _prepared(self, given: Compared) -> Compared:
        """Return what the blocks take: labelled items, unit vectors for the cosine."""

        def ready(part: Tensor, labels: Tensor) -> Tensor:
            known = labels >= 0
            part = part if bool(known.all()) else part[known]
            return unit(part) if self.distance == "cosine" else part

        others = None if given.others is None else ready(given.others, given.labels)
        return Compared(ready(given.z, given.y), others, given.y[given.y >= 0], given.labels[given.labels >= 0])

    def _streamed(self, given: Compared) -> Tensor:
        if under_transform():
            raise ValueError(
                "`differentiable` is 'once': the gradient is computed with the value, which torch.func cannot see; "
                "make the loss with differentiable='twice'."
            )
        ready = self._prepared(given)

        def run(gradient: bool) -> tuple[float, Tensor | None, Tensor | None]:
            value, dz, dothers = 0.0, None, None
            everything = 0
            for sums, gathered in self.streams(ready, gradient=gradient):
                factor = self._factor(sums)
                everything += sums.tuples
                value += factor * sums.total
                if gathered is not None:
                    left, right = gathered.both(factor, ready.others is None)
                    dz, dothers = (left, right) if dz is None else (dz.add_(left), _plus(dothers, right))
            self.empty += everything == 0
            return value, dz, dothers

        return Streamed.apply(ready.z, ready.others, run)

    def _factor(self, sums: Sums) -> float:
        """Return what a sum is multiplied by."""
        if self.reduction == "sum":
            return 1.0
        return 1.0 / max(1, sums.tuples if self.reduction == "mean" else sums.active)

    def _reduced(self, parts: list[Terms]) -> Tensor:
        if not under_transform():
            self.empty += sum(int(part.tuples) for part in parts) == 0
        if self.reduction == "sum":
            return torch.stack([part.total for part in parts]).sum()
        counts = [part.tuples if self.reduction == "mean" else part.active for part in parts]
        means = [part.total / count.clamp(min=1) for part, count in zip(parts, counts, strict=True)]
        return torch.stack(means).sum()


def mined(miner: Miner, given: Compared) -> Pairs | Triplets | Quadruplets:
    """Return what a miner picks among labelled items; one of another library would take -1 for a class."""
    rows, columns = ((labels >= 0).nonzero().squeeze(1) for labels in (given.y, given.labels))
    known = [given.z.detach()[rows], given.y[rows]]
    if given.others is not None:
        known += [given.others.detach()[columns], given.labels[columns]]
    found = tuples_of(miner(*known), len(rows), len(columns))
    anchors = (0, 2) if isinstance(found, Pairs) else (0,)
    return type(found)(*((rows if place in anchors else columns)[part] for place, part in enumerate(found)))


def _plus(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return first if second is None else second if first is None else first.add_(second)
