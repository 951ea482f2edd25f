"""Miners: which tuples a loss looks at, in place of all. They see embeddings and labels, and pass no gradient on.

A miner is called as pytorch-metric-learning's are, ``miner(z, y)`` or ``miner(z, y, others, labels)``, and returns what
theirs return: three tensors of rows for triplets, four for pairs. Ours and theirs can stand in each other's place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from graphkit._checks import member, not_negative, positive, random_generator
from graphkit.metric.blockwise import BLOCK, block_distances, block_operands, row_blocks
from graphkit.metric.distances import DISTANCES, unit_rows
from graphkit.metric.pair_inputs import PairInputs, PairMasks, pair_inputs
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, Tuples


class AbstractMiner(ABC):
    """Picks tuples from the distances of a block of rows to all others; nothing of ``items x others`` is kept."""

    directions: ClassVar[bool] = False
    """Whether embeddings are scaled to length 1."""

    tuples: ClassVar[type[Pairs | Triplets | Quadruplets]] = Triplets
    """What is returned."""

    def __init__(self, distance: str) -> None:
        self.distance = member("distance", distance, DISTANCES)

    @torch.no_grad()
    def __call__(self, z: Tensor, y: Tensor, others: Tensor | None = None, labels: Tensor | None = None) -> Tuples:
        """Return the tuples to look at.

        Args:
            z: embeddings ``[items, features]``.
            y: integer labels ``[items]``; -1 takes no part.
            others: embeddings of others that the items are compared with ``[others, features]``.
            labels: their labels.

        Raises:
            ValueError: where shapes do not fit, or an entry is not finite.
            TypeError: for labels that are not integers.
        """
        if others is not None and labels is None:
            raise ValueError("`labels` must hold those of `others`: without them nothing is known to be of a class.")
        if others is None and labels is not None:
            raise ValueError("`labels` are those of `others`; give these too, or the labels of `z` as `y`.")
        reference = None if others is None else (others, labels)
        distance = "cosine" if self.directions else self.distance
        return self.mine(pair_inputs(z, y, reference, distance=distance, names=("others", "labels")))  # type: ignore[arg-type]

    def mine(self, inputs: PairInputs) -> Tuples:
        """Return the tuples of all blocks, one after the other."""
        none = torch.empty(0, dtype=torch.int64, device=inputs.z.device)
        columns = [[none] for _ in self.tuples._fields]
        for start, distances, masks in self.distance_blocks(inputs):
            for column, rows in zip(columns, self.mine_block(start, distances, masks, inputs), strict=True):
                column.append(rows)
        return self.tuples(*map(torch.cat, columns))

    @abstractmethod
    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return the rows of the tuples whose anchors are in a block that begins at row ``start``."""

    def distance_blocks(self, inputs: PairInputs) -> Iterator[tuple[int, Tensor, PairMasks]]:
        """Yield the first row of a block, its distances to all others and its masks."""
        z, others = inputs.z.detach(), None if inputs.others is None else inputs.others.detach()
        if self.directions or self.distance == "cosine":
            z, others = unit_rows(z), None if others is None else unit_rows(others)
        operands = block_operands(z, others, self.distance)
        for start, stop in row_blocks(len(operands.left), len(operands.right), BLOCK):
            yield start, block_distances(operands, start, stop), inputs.masks.rows(start, stop)


class BatchHardMiner(AbstractMiner):
    """For every item the farthest one of its class and the nearest one of another.

    Args:
        distance: "euclidean", "squared", "cosine" or "dot".

    Source: Hermans, Beyer & Leibe (2017), arXiv:1703.07737, equation 5.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [3.0], [1.5]])
        >>> [rows.tolist() for rows in BatchHardMiner()(z, torch.tensor([0, 0, 0, 1]))]
        [[0, 1, 2], [2, 2, 0], [3, 3, 3]]
    """

    def __init__(self, distance: str = "euclidean") -> None:
        super().__init__(distance)

    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return a triplet for every item that has one."""
        anchors = (masks.positives.any(1) & masks.negatives.any(1)).nonzero().squeeze(1)
        farthest = distances.where(masks.positives, -torch.inf).argmax(1)
        nearest = distances.where(masks.negatives, torch.inf).argmin(1)
        return anchors + start, farthest[anchors], nearest[anchors]


class SemiHardMiner(AbstractMiner):
    """For every pair of a class the nearest item of another class that is farther than the pair, but within the margin.

    Pairs without such an item have no triplet.

    Args:
        margin: within which a negative is of interest, at least 0.
        distance: "euclidean", "squared", "cosine" or "dot".

    Raises:
        ValueError: for a margin below 0 or not finite.

    Source: Schroff, Kalenichenko & Philbin (2015), arXiv:1503.03832, section 3.2.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [0.5], [1.1]])
        >>> [rows.tolist() for rows in SemiHardMiner(0.2)(z, torch.tensor([0, 0, 1, 2]))]
        [[0], [1], [3]]
    """

    def __init__(self, margin: float = 0.2, *, distance: str = "euclidean") -> None:
        super().__init__(distance)
        self.margin = not_negative("margin", margin)

    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return a triplet for every pair that has one."""
        negatives, order = distances.where(masks.negatives, torch.inf).sort(1)
        place = torch.searchsorted(negatives, distances, right=True).clamp(max=distances.shape[1] - 1)
        next_farther = negatives.gather(1, place)
        fits = masks.positives & (next_farther > distances) & (next_farther < distances + self.margin)
        rows, columns = fits.nonzero().unbind(1)
        return rows + start, columns, order[rows, place[rows, columns]]


class DistanceWeightedMiner(AbstractMiner):
    r"""For every pair of a class one item of another, drawn so that all distances are seen alike.

    On a sphere most points lie at a distance of about :math:`\sqrt 2`. Negatives are drawn with weights inverse to the
    density :math:`q(d) \propto d^{n-2} (1 - d^2/4)^{(n-3)/2}` of the distance, which no longer grow below the cut-off.
    Embeddings are scaled to length 1.

    Args:
        cutoff: distances below count as this one, above 0.
        farthest: negatives beyond, which a margin leaves without a gradient, are not drawn; above 0.
        generator: draws.

    Raises:
        ValueError: for bounds not above 0.

    Source: Wu et al. (2017), arXiv:1706.07567, section 4.1; the two bounds are 0.5 and 1.4 in the official code.

    Example:
        >>> z = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [1.0, 0.5, 0.0], [-1.0, 0.0, 0.0]])
        >>> [rows.tolist() for rows in DistanceWeightedMiner()(z, torch.tensor([0, 0, 1, 2]))]
        [[0, 1], [1, 0], [2, 2]]
    """

    directions = True

    def __init__(self, *, cutoff: float = 0.5, farthest: float = 1.4, generator: torch.Generator | None = None) -> None:
        super().__init__("euclidean")
        self.cutoff, self.farthest = positive("cutoff", cutoff), positive("farthest", farthest)
        self.generator = None if generator is None else random_generator("generator", generator)

    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return a triplet for every pair whose first item has a negative near enough."""
        features = inputs.z.shape[1]
        bounded = distances.clamp(min=self.cutoff, max=math.sqrt(4 - 1e-4)).double()
        weights = -(features - 2.0) * bounded.log() - (features - 3) / 2 * (1 - bounded.square() / 4).log()
        eligible = masks.negatives & (distances < self.farthest)
        weights = weights.where(eligible, -torch.inf)
        pairs = masks.positives & eligible.any(1, keepdim=True)
        rows, columns = pairs.nonzero().unbind(1)
        if not len(rows):  # then nothing is drawn
            return rows, columns, columns
        # Draw a negative for each pair, by the cumulated weights of its row.
        largest = weights.amax(1, keepdim=True)
        sums = (weights - largest.where(largest > -torch.inf, 0)).exp().cumsum(1)
        drawn = torch.rand(pairs.shape, generator=self.generator, device=pairs.device, dtype=sums.dtype)
        negatives = torch.searchsorted(sums, drawn * sums[:, -1:], right=True)[rows, columns]
        return rows + start, columns, negatives


class MultiSimilarityMiner(AbstractMiner):
    """Pairs that are hard: negatives nearer than the farthest positive, positives farther than the nearest negative.

    Args:
        margin: by which a pair may be easier and still be looked at, at least 0.
        distance: "cosine", "euclidean", "squared" or "dot".

    Raises:
        ValueError: for a margin below 0 or not finite.

    Source: Wang et al. (2019), arXiv:1904.06627, equations 10 and 11.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> [rows.tolist() for rows in MultiSimilarityMiner()(z, torch.tensor([0, 0, 1]))]
        [[0, 1], [1, 0], [0, 1], [2, 2]]
    """

    tuples = Pairs

    def __init__(self, margin: float = 0.1, *, distance: str = "cosine") -> None:
        super().__init__(distance)
        self.margin = not_negative("margin", margin)

    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return all hard pairs."""
        farthest = distances.where(masks.positives, -torch.inf).amax(1, keepdim=True)
        nearest = distances.where(masks.negatives, torch.inf).amin(1, keepdim=True)
        near, positive_columns = (masks.positives & (distances + self.margin > nearest)).nonzero().unbind(1)
        far, negative_columns = (masks.negatives & (distances - self.margin < farthest)).nonzero().unbind(1)
        return near + start, positive_columns, far + start, negative_columns


class HardQuadrupletMiner(AbstractMiner):
    """For every item its hardest triplet, and the item of a third class nearest to the triplet's negative.

    Args:
        distance: "euclidean", "squared", "cosine" or "dot".

    Source: Chen et al. (2017), arXiv:1704.01719, for quadruplets; hardest as in Hermans, Beyer & Leibe (2017),
    arXiv:1703.07737. The paper's own online mining is ``QuadrupletLoss(adaptive=True, reduction="active")``.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
        >>> [rows.tolist() for rows in HardQuadrupletMiner()(z, torch.tensor([0, 0, 1, 2]))]
        [[0, 1], [1, 0], [2, 2], [3, 3]]
    """

    tuples = Quadruplets

    def __init__(self, distance: str = "euclidean") -> None:
        super().__init__(distance)

    def mine_block(self, start: int, distances: Tensor, masks: PairMasks, inputs: PairInputs) -> Sequence[Tensor]:
        """Return a quadruplet for every item that has one."""
        anchor, positive_row, negative = BatchHardMiner(self.distance).mine_block(start, distances, masks, inputs)
        # The second negative is the nearest to the first one, of a third class.
        among = PairInputs(inputs.right[negative], inputs.right, inputs.labels[negative], inputs.labels)
        second = torch.full_like(negative, -1)
        for first, apart, pairs in self.distance_blocks(among):
            rows = slice(first, first + len(apart))
            third = pairs.negatives & (inputs.labels != inputs.y[anchor[rows]].unsqueeze(1))
            second[rows] = apart.where(third, torch.inf).argmin(1).where(third.any(1), -1)
        found = second >= 0
        return anchor[found], positive_row[found], negative[found], second[found]
