"""Class-balanced batches for metric learning: some classes, some items of each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from graphkit._checks import at_least, integer_labels, tensor
from graphkit._checks import optional_generator as generator_or_none


class ClassBatches(Sampler[list[int]]):
    """Batches of ``ways`` classes with ``shots`` items each, as the ``batch_sampler`` of a PyTorch or PyG loader.

    A class with fewer items than ``shots`` gives all it has, then repeats some; one with a single item makes no pair
    and is never drawn. Every batch is drawn anew, so an epoch is a number of batches and not a pass over the items.

    Args:
        y: integer labels of all items ``[items]``; -1 is never drawn.
        ways: classes in a batch; all classes where there are fewer.
        shots: items of each, at least 2.
        batches: number of batches in a pass.
        generator: draws them; PyTorch's own by default.

    Raises:
        ValueError: where no class has two items.
        TypeError: for labels that are not integers.

    Example:
        Three nodes of each of two classes in every batch, with neighbours around them:

        >>> from graphkit.data import NeighborLoader, load
        >>> data = load("karate")
        >>> drawn = ClassBatches(data.y, ways=2, shots=3, batches=4)
        >>> loader = NeighborLoader(data, [5], loader={"batch_sampler": drawn})
        >>> [sorted(batch.y[: batch.batch_size].bincount().tolist())[-2:] for batch in loader]
        [[3, 3], [3, 3], [3, 3], [3, 3]]
    """

    def __init__(
        self, y: Tensor, *, ways: int, shots: int, batches: int, generator: torch.Generator | None = None
    ) -> None:
        integer_labels("y", y, tensor("y", y).numel())
        generator_or_none("generator", generator)
        self.ways, self.shots = at_least("ways", ways, 1), at_least("shots", shots, 2)
        self.batches, self.generator = at_least("batches", batches, 1), generator
        labels = y.cpu()
        every = [(labels == label).nonzero().squeeze(-1) for label in labels[labels >= 0].unique()]
        self._members = [members for members in every if len(members) > 1]
        if not self._members:
            raise ValueError("`y` must have a class of two items: from single items no pair can be drawn.")

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.batches):
            chosen = torch.randperm(len(self._members), generator=self.generator)[: self.ways]
            yield [int(item) for number in chosen for item in self._draw(self._members[int(number)])]

    def _draw(self, members: Tensor) -> Tensor:
        """Return ``shots`` members, repeating some only where there are too few."""
        rounds = -(-self.shots // len(members))
        orders = [torch.randperm(len(members), generator=self.generator) for _ in range(rounds)]
        return members[torch.cat(orders)[: self.shots]]
