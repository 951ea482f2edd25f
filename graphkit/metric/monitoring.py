"""How an embedding lies while it is trained: numbers by which a training that stalls is seen."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit._checks import member
from graphkit.metric.blockwise import BLOCK, block_distances, block_operands, row_blocks
from graphkit.metric.distances import unit_rows
from graphkit.metric.gallery import DISTANCES
from graphkit.metric.pair_inputs import pair_inputs
from graphkit.metric.relations import ABSENT, PairMasks

COINCIDE = 1e-4
"""Two items coincide when they lie no farther apart than this share of the embeddings' root mean square length."""


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """How the classes lie; NaN where there is no pair to measure.

    Args:
        items: labelled items.
        classes: classes among them.
        positives: mean distance of two items of one class.
        negatives: mean distance of two items of two classes.
        overlapping: share of the classes whose largest distance inside exceeds their smallest distance to another.
        collapsed: share of all pairs that coincide.
        effective_rank: number of directions in use, the exponential of the entropy of the singular values.
        active: share of the loss's tuples whose term is above zero, ``None`` where no loss was asked.

    Source: Roy & Vetterli (2007), "The effective rank: a measure of effective dimensionality", for the rank.

    Example:
        >>> telemetry(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])).positives
        1.0
    """

    items: int
    classes: int
    positives: float
    negatives: float
    overlapping: float
    collapsed: float
    effective_rank: float
    active: float | None = None

    def with_active(self, share: float) -> Telemetry:
        """Return the same with the share of active tuples."""
        return dataclasses.replace(self, active=share)


def telemetry(
    z: Tensor, y: Tensor, *, reference: tuple[Tensor, Tensor] | None = None, distance: str = "euclidean"
) -> Telemetry:
    """Return how the classes lie in an embedding, block by block: nothing of ``items x items`` is held.

    Args:
        z: embeddings ``[items, features]``.
        y: integer labels ``[items]``; -1 takes no part.
        reference: embeddings and labels of others that distances are measured to, in place of each other.
        distance: "euclidean", "squared", "cosine" or "dot".

    Raises:
        ValueError: where shapes do not fit, an entry is not finite, or the distance is unknown.
        TypeError: for labels that are not integers.

    Example:
        >>> found = telemetry(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))
        >>> found.negatives, found.overlapping, found.collapsed
        (2.5, 0.0, 0.0)
    """
    member("distance", distance, DISTANCES)
    inputs, itself = pair_inputs(z, y, reference, distance=distance), reference is None
    z, others = (part.detach()[known >= 0] for part, known in ((inputs.z, inputs.y), (inputs.right, inputs.labels)))
    y, labels = (known[known >= 0] for known in (inputs.y, inputs.labels))
    if distance == "cosine":
        z, others = unit_rows(z), unit_rows(others)
    classes, numbers = torch.unique(torch.cat([y, labels]), return_inverse=True)
    numbers = numbers[: len(y)]
    largest = torch.full((len(classes),), -math.inf, dtype=z.dtype, device=z.device)
    smallest = torch.full_like(largest, math.inf)
    sums, counts, collapsed = [0.0, 0.0], [0, 0], 0
    limit = COINCIDE * float(z.double().square().sum(1).mean().sqrt()) if len(z) else 0.0
    masks = PairMasks(y, labels, 0 if itself else ABSENT)
    operands = block_operands(z, None if itself else others, distance)
    plain = (
        operands if distance in ("euclidean", "squared") else block_operands(z, None if itself else others, "euclidean")
    )
    for start, stop in row_blocks(len(z), len(others), BLOCK):
        part = masks.rows(start, stop)
        found = block_distances(operands, start, stop, distance)
        for place, mask in enumerate((part.positives, part.negatives)):
            sums[place] += float(found.where(mask, 0).sum(dtype=torch.float64))
            counts[place] += int(mask.sum())
        own = numbers[start:stop]
        largest.scatter_reduce_(0, own, found.where(part.positives, -math.inf).amax(1), "amax")
        smallest.scatter_reduce_(0, own, found.where(part.negatives, math.inf).amin(1), "amin")
        apart = found if distance == "euclidean" else block_distances(plain, start, stop, "euclidean")
        collapsed += int(((apart <= limit) & (part.positives | part.negatives)).sum())
    judged = (largest > -math.inf) & (smallest < math.inf)
    return Telemetry(
        items=len(z),
        classes=len(classes),
        positives=sums[0] / counts[0] if counts[0] else math.nan,
        negatives=sums[1] / counts[1] if counts[1] else math.nan,
        overlapping=float((largest > smallest)[judged].double().mean()) if bool(judged.any()) else math.nan,
        collapsed=collapsed / sum(counts) if sum(counts) else math.nan,
        effective_rank=effective_rank(z),
    )


def effective_rank(z: Tensor) -> float:
    """Return the exponential of the entropy of the singular values of the centred embeddings; 0 where all coincide."""
    if not z.numel():
        return 0.0
    values = torch.linalg.svdvals((z - z.mean(0)).double())
    values = values[values > 1e-7 * max(float(z.detach().abs().max()), torch.finfo(torch.float64).tiny)]
    share = values / values.sum()
    return float((-(share * share.log()).sum()).exp()) if len(values) else 0.0
