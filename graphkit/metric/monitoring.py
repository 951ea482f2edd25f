"""Telemetry of an embedding in training: distances within and between classes, overlap, collapse, effective rank."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit._checks import member
from graphkit.metric.blockwise import BLOCK, block_distances, block_operands, row_blocks
from graphkit.metric.distances import DISTANCES, labelled_inputs
from graphkit.metric.pair_inputs import pair_inputs

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
    inputs = labelled_inputs(pair_inputs(z, y, reference, distance=distance), distance)
    z, others = inputs.z.detach(), inputs.others
    classes, numbers = torch.unique(torch.cat([inputs.y, inputs.labels]), return_inverse=True)
    largest = torch.full((len(classes),), -math.inf, dtype=z.dtype, device=z.device)
    smallest = torch.full_like(largest, math.inf)
    near, far = [0.0, 0], [0.0, 0]  # the sums of distances, and their numbers
    collapsed = 0
    limit = COINCIDE * float(z.double().square().sum(1).mean().sqrt()) if len(z) else 0.0
    operands = block_operands(z, others, distance)
    plain = operands if distance in ("euclidean", "squared") else block_operands(z, others, "euclidean")
    plain = plain._replace(distance="euclidean")
    for start, stop in row_blocks(len(z), len(inputs.right), BLOCK):
        masks = inputs.masks.rows(start, stop)
        found = block_distances(operands, start, stop)
        for sums, mask in ((near, masks.positives), (far, masks.negatives)):
            sums[0] += float(found.where(mask, 0).sum(dtype=torch.float64))
            sums[1] += int(mask.sum())
        own = numbers[start:stop]
        largest.scatter_reduce_(0, own, found.where(masks.positives, -math.inf).amax(1), "amax")
        smallest.scatter_reduce_(0, own, found.where(masks.negatives, math.inf).amin(1), "amin")
        apart = found if distance == "euclidean" else block_distances(plain, start, stop)
        collapsed += int(((apart <= limit) & (masks.positives | masks.negatives)).sum())
    pairs = near[1] + far[1]
    judged = (largest > -math.inf) & (smallest < math.inf)
    return Telemetry(
        items=len(z),
        classes=len(classes),
        positives=near[0] / near[1] if near[1] else math.nan,
        negatives=far[0] / far[1] if far[1] else math.nan,
        overlapping=float((largest > smallest)[judged].double().mean()) if bool(judged.any()) else math.nan,
        collapsed=collapsed / pairs if pairs else math.nan,
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
