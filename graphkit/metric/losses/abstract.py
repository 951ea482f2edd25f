"""What the losses over tuples share: who is compared with whom, and what is averaged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import member, tensor
from graphkit.metric.blockwise import BLOCK, PrecomputedGradient, Sums, accumulate_blocks, block_operands
from graphkit.metric.criterion import AbstractCriterion
from graphkit.metric.distances import distance_matrix, paired_distances, unit_rows
from graphkit.metric.gallery import DISTANCES
from graphkit.metric.monitoring import Telemetry, telemetry
from graphkit.metric.pair_inputs import PairInputs, Reference, in_func_transform, no_autocast, pair_inputs
from graphkit.metric.relations import ExplicitPairMasks, PairMasks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, Tuples, as_pairs, check_tuples

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
    """Whether the gradients jump where two distances are equal, so that these must be equal to the last bit."""

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

    def attribute_loss(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the loss under one attribute."""
        inputs = pair_inputs(z, y, reference, distance=self.distance, squared=self.squared, pairs=pairs is not None)
        if pairs is None and self.miner is not None:
            pairs = mine(self.miner, inputs)
        if pairs is not None:
            return self._reduce(self.tuple_terms(inputs, check_tuples(pairs, len(inputs.z), len(inputs.right))))
        if self.differentiable == "twice" or callable(self.distance):
            return self._reduce(self.terms(self.all_distances(inputs), inputs.masks))
        return self._blockwise_loss(inputs)

    @abstractmethod
    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the loss's sums, each to be reduced by itself, from all distances ``[items, others]``."""

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the sums over inputs tuples; here the pairs that are in them make up a matrix of their own."""
        chosen, shape = as_pairs(tuples), (len(inputs.z), len(inputs.right))
        masks = [torch.zeros(shape, dtype=torch.bool, device=inputs.z.device) for _ in range(2)]
        for mask, rows, columns in zip(masks, chosen[::2], chosen[1::2], strict=True):
            mask[rows, columns] = True
        return self.terms(self.all_distances(inputs), ExplicitPairMasks(*masks))

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the gradient of the sum by each distance of a block of labelled rows, and return the sums."""
        if torch.is_inference_mode_enabled():  # there are no gradients, and nobody can ask for them
            (part,) = self.terms(distances, masks)
        else:
            with torch.enable_grad():
                leaf = distances.detach().requires_grad_()
                (part,) = self.terms(leaf, masks)
                out.copy_(torch.autograd.grad(part.total, leaf)[0])
        return Sums(part.total.item(), int(part.tuples), int(part.active))

    def blockwise_sums(self, inputs: PairInputs, *, with_gradient: bool) -> list[tuple[Sums, Any]]:
        """Return sums and gathered gradients over all rows, each to be reduced by itself."""
        operands = block_operands(inputs.z, inputs.others, str(self.distance))
        block = BLOCK if inputs.z.device.type == "cpu" else 16 * BLOCK
        return [
            accumulate_blocks(
                operands,
                inputs.masks,
                str(self.distance),
                self.block_gradients,
                with_gradient=with_gradient,
                ordered=self.ordered,
                block=block,
            ),
        ]

    def all_distances(self, inputs: PairInputs) -> Tensor:
        """Return all distances ``[items, others]``, differentiable as often as the distance is."""
        if not callable(self.distance):
            return distance_matrix(inputs.z, inputs.others, self.distance)
        return self._as_distances(self.distance(inputs.z, inputs.right))

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
        with torch.no_grad(), no_autocast(z):
            inputs = pair_inputs(tensor("z", z).detach(), y, reference, distance=self.distance, squared=self.squared)
            if pairs is None and self.miner is not None:
                pairs = mine(self.miner, inputs)
            if pairs is not None:
                parts = self.tuple_terms(inputs, check_tuples(pairs, len(inputs.z), len(inputs.right)))
                counts = [(float(part.tuples), float(part.active)) for part in parts]
            elif callable(self.distance):
                parts = self.terms(self.all_distances(inputs), inputs.masks)
                counts = [(float(part.tuples), float(part.active)) for part in parts]
            else:
                counts = [
                    (sums.tuples, sums.active)
                    for sums, _ in self.blockwise_sums(self._labelled_inputs(inputs), with_gradient=False)
                ]
            tuples, active = (sum(each) for each in zip(*counts, strict=True))
            distance = "euclidean" if callable(self.distance) else self.distance
            found = telemetry(z, y, reference=reference, distance=distance)
        return found.with_active(active / tuples if tuples else 0.0)

    def _as_distances(self, distances: Tensor) -> Tensor:
        """Return distances of a pytorch-metric-learning object that measures similarity with its sign turned."""
        return -distances if getattr(self.distance, "is_inverted", False) else distances

    def _labelled_inputs(self, inputs: PairInputs) -> PairInputs:
        """Return what the blocks take: labelled items, unit vectors for the cosine."""

        def ready(part: Tensor, labels: Tensor) -> Tensor:
            known = labels >= 0
            part = part if bool(known.all()) else part[known]
            return unit_rows(part) if self.distance == "cosine" else part

        others = None if inputs.others is None else ready(inputs.others, inputs.labels)
        return PairInputs(ready(inputs.z, inputs.y), others, inputs.y[inputs.y >= 0], inputs.labels[inputs.labels >= 0])

    def _blockwise_loss(self, inputs: PairInputs) -> Tensor:
        if in_func_transform():
            raise ValueError(
                "`differentiable` is 'once': the gradient is computed with the value, which torch.func cannot see; "
                "make the loss with differentiable='twice'."
            )
        ready = self._labelled_inputs(inputs)

        def run(with_gradient: bool) -> tuple[float, Tensor | None, Tensor | None]:
            value, dz, dothers = 0.0, None, None
            everything = 0
            for sums, gathered in self.blockwise_sums(ready, with_gradient=with_gradient):
                factor = self._factor(sums)
                everything += sums.tuples
                value += factor * sums.total
                if gathered is not None:
                    left, right = gathered.both(factor, ready.others is None)
                    dz, dothers = (left, right) if dz is None else (dz.add_(left), _add(dothers, right))
            self.empty += everything == 0
            return value, dz, dothers

        return PrecomputedGradient.apply(ready.z, ready.others, run)

    def _factor(self, sums: Sums) -> float:
        """Return what a sum is multiplied by."""
        if self.reduction == "sum":
            return 1.0
        return 1.0 / max(1, sums.tuples if self.reduction == "mean" else sums.active)

    def _reduce(self, parts: list[Terms]) -> Tensor:
        if not in_func_transform():
            self.empty += sum(int(part.tuples) for part in parts) == 0
        if self.reduction == "sum":
            return torch.stack([part.total for part in parts]).sum()
        counts = [part.tuples if self.reduction == "mean" else part.active for part in parts]
        means = [part.total / count.clamp(min=1) for part, count in zip(parts, counts, strict=True)]
        return torch.stack(means).sum()


def mine(miner: Miner, inputs: PairInputs) -> Pairs | Triplets | Quadruplets:
    """Return what a miner picks among labelled items; one of another library would take -1 for a class."""
    rows, columns = ((labels >= 0).nonzero().squeeze(1) for labels in (inputs.y, inputs.labels))
    known = [inputs.z.detach()[rows], inputs.y[rows]]
    if inputs.others is not None:
        known += [inputs.others.detach()[columns], inputs.labels[columns]]
    found = check_tuples(miner(*known), len(rows), len(columns))
    anchors = (0, 2) if isinstance(found, Pairs) else (0,)
    return type(found)(*((rows if place in anchors else columns)[part] for place, part in enumerate(found)))


def _add(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return first if second is None else second if first is None else first.add_(second)
