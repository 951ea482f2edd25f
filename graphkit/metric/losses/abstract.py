"""Base classes of losses: how one is called, its options, and how the terms of its tuples are summed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import member, tensor
from graphkit.metric.blockwise import (
    GradientAccumulator,
    PrecomputedGradient,
    Sums,
    accumulate_blocks,
    block_operands,
)
from graphkit.metric.distances import DISTANCES, distance_matrix, labelled_inputs, paired_distances
from graphkit.metric.monitoring import Telemetry, telemetry
from graphkit.metric.pair_inputs import (
    ExplicitPairMasks,
    PairInputs,
    PairMasks,
    Reference,
    in_func_transform,
    no_autocast,
    pair_inputs,
    split_by_attribute,
)
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, Tuples, as_pairs, check_tuples

REDUCTIONS = ("mean", "active", "sum")
DIFFERENTIABLE = ("once", "twice")

Distance: TypeAlias = "str | Callable[[Tensor, Tensor], Tensor]"
Miner: TypeAlias = Callable[..., Tuples]
Checks: TypeAlias = dict[str, Callable[[str, Any], Any]]


class AbstractCriterion(ABC):
    """A loss of embeddings and labels. Those that are one supply :meth:`attribute_loss` and :meth:`report`."""

    def __call__(
        self,
        z: Tensor,
        y: Tensor | None = None,
        *,
        pairs: Tuples | None = None,
        reference: Reference | None = None,
        condition: int | None = None,
    ) -> Tensor:
        """Return the loss, a number; zero, with a gradient of zero, where there is nothing to compare.

        It is computed in single precision at least, under ``torch.autocast`` too.

        Args:
            z: embeddings ``[items, features]``; with several attributes also ``[attributes, items, features]``, one for
                each condition, such as ``ConditionalSimilarity.all`` returns.
            y: integer labels ``[items]``, or of several attributes ``[items, attributes]``; -1 takes no part.
            pairs: the tuples to look at, in place of all that ``y`` allows and of the miner's; a loss that compares
                with the means of classes has none.
            reference: embeddings and labels of others that the items are compared with, in place of each other.
            condition: which attribute to look at; all, and the mean of their losses, when left out.

        Raises:
            ValueError: where shapes do not fit, an entry is not finite, a reference has no labels, or lacks a class
                that is compared by its mean, or the condition is unknown.
            TypeError: for what are no tensors, and labels that are not integers.
        """
        parts = split_by_attribute(z, y, pairs=pairs, reference=reference, condition=condition)
        with no_autocast(z):
            if parts is None:
                return self.attribute_loss(z, y, pairs, reference)
            losses = [self.attribute_loss(items, labels, None, others) for items, labels, others in parts]
            return torch.stack(losses).mean() if losses else z.sum() * 0

    @abstractmethod
    def attribute_loss(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the loss under one attribute, of arguments that are yet to be checked."""

    @abstractmethod
    def report(self, z: Tensor, y: Tensor, *, reference: Reference | None = None) -> Telemetry:
        """Return how the classes lie, and what share of its tuples or items the loss still acts on.

        Raises:
            ValueError: as a call does.
        """


class Terms(NamedTuple):
    """The sum of a loss's terms, how many tuples there are, and how many terms are above zero."""

    total: Tensor
    tuples: Tensor
    active: Tensor


@dataclass(eq=False, kw_only=True)
class AbstractLoss(AbstractCriterion):
    """A loss over tuples of items: a distance, a miner that picks tuples, and the terms of the tuples.

    Args:
        distance: one of ``DISTANCES``, or a function of ``(z, reference)`` that returns all distances.
        reduction: "mean" over all tuples, "active" over those whose term is above zero, or "sum".
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the tuples to look at, in place of all; one of ours or of pytorch-metric-learning.
    """

    exact_ties: ClassVar[bool] = False
    """Whether the gradients jump where two distances are equal, so that these must be equal to the last bit."""

    squared: ClassVar[bool] = False
    """Whether a term is the square of a distance, and overflows sooner."""

    checks: ClassVar[Checks] = {}
    """The check of each field that a loss adds, called with its name and its value."""

    distance: Distance = "euclidean"
    reduction: str = "mean"
    differentiable: str = "once"
    miner: Miner | None = None
    empty: int = field(default=0, init=False, repr=False)
    """How many calls had no tuple to look at, and returned zero."""

    def __post_init__(self) -> None:
        for name, check in self.checks.items():
            setattr(self, name, check(name, getattr(self, name)))
        if not callable(self.distance):
            member("distance", self.distance, DISTANCES)
        member("reduction", self.reduction, REDUCTIONS)
        member("differentiable", self.differentiable, DIFFERENTIABLE)
        if self.miner is not None and not callable(self.miner):
            raise TypeError(f"`miner` must be a miner, such as BatchHardMiner(), got {self.miner!r}.")

    def attribute_loss(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the loss under one attribute."""
        inputs = pair_inputs(z, y, reference, distance=self.distance, squared=self.squared, pairs=pairs is not None)
        tuples = self._chosen_tuples(inputs, pairs)
        if tuples is not None:
            return self._reduce(self.tuple_terms(inputs, tuples))
        if self.differentiable == "twice" or not self.fits_blocks(inputs):
            return self._reduce(self.terms(self.all_distances(inputs), inputs.masks))
        return self._blockwise_loss(inputs)

    @abstractmethod
    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the loss's sums, each to be reduced by itself, from all distances ``[items, others]``."""

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the sums over given tuples; here the pairs that are in them make up a matrix of their own."""
        anchor, positive, other, negative = as_pairs(tuples)
        shape = len(inputs.z), len(inputs.right)
        positives, negatives = (torch.zeros(shape, dtype=torch.bool, device=inputs.z.device) for _ in range(2))
        positives[anchor, positive] = True
        negatives[other, negative] = True
        return self.terms(self.all_distances(inputs), ExplicitPairMasks(positives, negatives))

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the sum's gradient by the distances of a block of labelled rows, and return the sums."""
        if torch.is_inference_mode_enabled():  # there are no gradients, and nobody can ask for them
            (part,) = self.terms(distances, masks)
        else:
            with torch.enable_grad():
                leaf = distances.detach().requires_grad_()
                (part,) = self.terms(leaf, masks)
                out.copy_(torch.autograd.grad(part.total, leaf)[0])
        return Sums(part.total.item(), int(part.tuples), int(part.active))

    def fits_blocks(self, inputs: PairInputs) -> bool:
        """Tell whether the distances can be taken block by block."""
        return not callable(self.distance)

    def blockwise_sums(
        self, inputs: PairInputs, *, with_gradient: bool
    ) -> list[tuple[Sums, GradientAccumulator | None]]:
        """Return sums and gathered gradients over all rows, each to be reduced by itself."""
        operands = block_operands(inputs.z, inputs.others, str(self.distance))
        return [
            accumulate_blocks(
                operands, inputs.masks, self.block_gradients, with_gradient=with_gradient, exact_ties=self.exact_ties
            )
        ]

    def all_distances(self, inputs: PairInputs) -> Tensor:
        """Return all distances ``[items, others]``, differentiable as often as the distance is."""
        if not callable(self.distance):
            return distance_matrix(inputs.z, inputs.others, self.distance)
        distances = self.distance(inputs.z, inputs.right)
        # Objects of pytorch-metric-learning that measure similarity say so.
        return -distances if getattr(self.distance, "is_inverted", False) else distances

    def pair_distances(self, inputs: PairInputs, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the distances of chosen pairs, ``[pairs]``."""
        if callable(self.distance):
            return self.all_distances(inputs)[rows, columns]
        return paired_distances(inputs.z[rows], inputs.right[columns], self.distance)

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
        sums: list[Terms] | list[Sums]
        distance = "euclidean" if callable(self.distance) else self.distance
        with torch.no_grad(), no_autocast(z):
            inputs = pair_inputs(tensor("z", z).detach(), y, reference, distance=self.distance, squared=self.squared)
            tuples = self._chosen_tuples(inputs, pairs)
            if tuples is not None:
                sums = self.tuple_terms(inputs, tuples)
            elif self.fits_blocks(inputs):
                sums = [part for part, _ in self.blockwise_sums(labelled_inputs(inputs, distance), with_gradient=False)]
            else:
                sums = self.terms(self.all_distances(inputs), inputs.masks)
            count, active = sum(float(part.tuples) for part in sums), sum(float(part.active) for part in sums)
            found = telemetry(z, y, reference=reference, distance=distance)
        return found.with_active(active / count if count else 0.0)

    def _chosen_tuples(self, inputs: PairInputs, pairs: Tuples | None) -> Pairs | Triplets | Quadruplets | None:
        """Return the tuples that are given, or else the miner's; ``None`` for all."""
        if pairs is not None:
            return check_tuples(pairs, len(inputs.z), len(inputs.right))
        return None if self.miner is None else _mine(self.miner, inputs)

    def _blockwise_loss(self, inputs: PairInputs) -> Tensor:
        """Return the loss with its gradient, both computed now."""
        if in_func_transform():
            raise ValueError(
                "`differentiable` is 'once': the gradient is computed with the value, which torch.func cannot see; "
                "make the loss with differentiable='twice'."
            )
        labelled = labelled_inputs(inputs, str(self.distance))

        def value_and_gradients(with_gradient: bool) -> tuple[float, Tensor | None, Tensor | None]:
            value, tuples = 0.0, 0
            dz: Tensor | None = None
            dothers: Tensor | None = None
            for sums, gathered in self.blockwise_sums(labelled, with_gradient=with_gradient):
                factor = self._factor(sums)
                tuples += sums.tuples
                value += factor * sums.total
                if gathered is not None:
                    left, right = gathered.scale(factor, labelled.others is None)
                    dz = left if dz is None else dz.add_(left)
                    dothers = right if dothers is None or right is None else dothers.add_(right)
            self.empty += tuples == 0
            return value, dz, dothers

        return PrecomputedGradient.apply(labelled.z, labelled.others, value_and_gradients)

    def _factor(self, sums: Sums) -> float:
        """Return what a sum is multiplied by."""
        if self.reduction == "sum":
            return 1.0
        return 1.0 / max(1, sums.tuples if self.reduction == "mean" else sums.active)

    def _reduce(self, parts: list[Terms]) -> Tensor:
        """Return the sum of the parts, each divided by the number that the reduction counts."""
        if not in_func_transform():
            self.empty += sum(int(part.tuples) for part in parts) == 0
        if self.reduction == "sum":
            return torch.stack([part.total for part in parts]).sum()
        counts = [part.tuples if self.reduction == "mean" else part.active for part in parts]
        means = [part.total / count.clamp(min=1) for part, count in zip(parts, counts, strict=True)]
        return torch.stack(means).sum()


def _mine(miner: Miner, inputs: PairInputs) -> Pairs | Triplets | Quadruplets:
    """Return what a miner picks among labelled items; one of another library would take -1 for a class."""
    rows, columns = ((labels >= 0).nonzero().squeeze(1) for labels in (inputs.y, inputs.labels))
    known = [inputs.z.detach()[rows], inputs.y[rows]]
    if inputs.others is not None:
        known += [inputs.others.detach()[columns], inputs.labels[columns]]
    found = check_tuples(miner(*known), len(rows), len(columns))
    anchors = (0, 2) if isinstance(found, Pairs) else (0,)
    return type(found)(*((rows if place in anchors else columns)[part] for place, part in enumerate(found)))
