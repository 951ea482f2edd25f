"""What ``--class-split`` means: which classes train, select and test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphkit.meta import ClassSplit

HELP = (
    "all-pairs; all-pairs:N for the first N of them; fixed, from others' files; fixed:PATH, from a JSON file of three "
    "lists; random:N for N draws of the card's counts, or random:N:TRAIN,VALIDATION,TEST; shared, across graphs: all "
    "classes in all of them.  [default: all-pairs; across graphs: shared]"
)


def class_splits(dataset: str, data: Any, wanted: str, ways: int, seed: int) -> list[ClassSplit]:
    """Return the class splits that were asked for.

    Of all pairs two classes select, or as many as a task has where so many are left to train on.

    Raises:
        ValueError: for a split that is none, or cannot be made of the classes of this data set.
    """
    import torch

    from graphkit._checks import member
    from graphkit.data.catalog.fixed_classes import few_shot_counts
    from graphkit.meta import ClassSplit

    name, *arguments = wanted.split(":")
    member("class-split", name, ["all-pairs", "fixed", "random"])
    if name == "fixed":
        return [ClassSplit.read(Path(":".join(arguments))) if arguments else ClassSplit.benchmark(dataset)]
    classes = data.y[data.y >= 0].unique().tolist()
    try:
        numbers = [[int(part) for part in argument.split(",")] for argument in arguments]
    except ValueError:
        raise ValueError(f"`class-split` {wanted!r}: what follows a colon must be whole numbers.") from None
    if numbers and numbers[0][0] < 1:
        raise ValueError(f"`class-split` {wanted!r}: ask for at least one.")
    if name == "all-pairs":
        selecting = ways if 3 * ways <= len(classes) else 2
        every = ClassSplit.all_pairs(classes, ways=ways, validation=selecting, seed=seed)
        return every[: numbers[0][0]] if numbers else every
    draws = numbers[0][0] if numbers else 5
    counts = tuple(numbers[1]) if len(numbers) > 1 else few_shot_counts(dataset)
    if len(counts) != 3:
        raise ValueError(f"`class-split` {wanted!r}: give three counts, to train, select and test on.")
    generator = torch.Generator().manual_seed(seed)
    return [ClassSplit.random(classes, counts, generator) for _ in range(draws)]
