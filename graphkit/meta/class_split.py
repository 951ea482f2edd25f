"""Class splits: which classes train, select and test, the first thing a few-shot result depends on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from graphkit._checks import at_least, instance, integer_list
from graphkit._deprecated import deprecated_method
from graphkit.data.catalog.fixed_classes import fixed_classes


@dataclass(frozen=True)
class ClassSplit:
    """Classes to train on, to select on and to test on, no class in two parts.

    Args:
        train: labels of the training classes.
        validation: labels of the validation classes.
        test: labels of the test classes, at least one.

    Raises:
        ValueError: where a class stands in two parts or twice in one, or none is left to test on.

    Example:
        >>> ClassSplit(train=(0, 1, 2), validation=(3, 4), test=(5, 6)).test
        (5, 6)
        >>> ClassSplit(train=(0, 1), validation=(1, 2), test=(3, 4))
        Traceback (most recent call last):
        ValueError: `validation` and `train` share the classes 1; the parts of a class split must be disjoint.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            labels = parts[name] = integer_list(name, part)
            object.__setattr__(self, name, labels)
            if len(set(labels)) < len(labels) or min(labels, default=0) < 0:
                raise ValueError(f"`{name}` must hold different labels of 0 or more, got {list(labels)}.")
        for (one, left), (other, right) in itertools.combinations(parts.items(), 2):
            if shared := sorted({*left} & {*right}):
                raise ValueError(
                    f"`{other}` and `{one}` share the classes {', '.join(map(str, shared))}; the parts of a class "
                    "split must be disjoint."
                )
        if not self.test:
            raise ValueError("`test` must hold at least one class.")

    @staticmethod
    def random(classes: Sequence[int], counts: tuple[int, int, int], generator: torch.Generator) -> ClassSplit:
        """Return a split with so many classes in each part, drawn without repetition.

        Args:
            classes: labels to draw from.
            counts: classes to train, select and test on.
            generator: draws them.

        Raises:
            ValueError: where there are fewer classes than that.

        Example:
            >>> ClassSplit.random(range(7), (3, 2, 2), torch.Generator().manual_seed(0))
            ClassSplit(train=(0, 4, 5), validation=(2, 3), test=(1, 6))
        """
        labels = sorted(set(integer_list("classes", classes)))
        instance("generator", generator, torch.Generator, "a torch.Generator")
        counts = integer_list("counts", counts)  # type: ignore[assignment]  # of another length is refused here
        if len(counts) != 3 or min(counts) < 0:
            raise ValueError(
                f"`counts` must be three numbers of 0 or more, to train, select and test on, got {counts}."
            )
        if sum(counts) > len(labels):
            raise ValueError(f"`counts` {counts} ask for {sum(counts)} classes, but there are {len(labels)}.")
        order = [labels[place] for place in torch.randperm(len(labels), generator=generator).tolist()]
        train, validation, _ = itertools.accumulate(counts)
        parts = order[:train], order[train:validation], order[validation : sum(counts)]
        return ClassSplit(*(tuple(sorted(part)) for part in parts))

    @staticmethod
    def benchmark(name: str) -> ClassSplit:
        """Return the published class split of a data set, from its file; see ``graphkit.data.catalog.fixed_classes``.

        Raises:
            ValueError: if nobody fixed one.
        """
        found = fixed_classes(name)
        return ClassSplit(found.train, found.val, found.test)

    fixed = deprecated_method("benchmark")

    @staticmethod
    def read(path: Path | str) -> ClassSplit:
        """Return the split in a JSON file: three lists of labels, to train, select and test on.

        Raises:
            ValueError: where the file is not there, or holds something else.
        """
        try:
            parts = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"there is no class split {str(path)!r}.") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"the class split {str(path)!r} cannot be read: {error}.") from None
        lists = isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, list) for part in parts)
        if not lists or not all(type(label) is int for part in parts for label in part):
            raise ValueError(
                f"the class split {str(path)!r} must hold three lists of whole numbers, to train, select and test on, "
                "as [[0, 1], [2, 3], [4, 5]]."
            )
        return ClassSplit(*parts)

    @staticmethod
    def all_pairs(classes: Sequence[int], *, ways: int = 2, validation: int = 2, seed: int = 0) -> list[ClassSplit]:
        """Return one split for each set of ``ways`` test classes, in the order of ``itertools.combinations``.

        Of the classes that are left, ``validation`` select, drawn with ``seed``, and the others train.

        Args:
            classes: all labels.
            ways: test classes of a split.
            validation: validation classes of a split.
            seed: draws them.

        Example:
            >>> splits = ClassSplit.all_pairs(range(7))
            >>> len(splits), splits[0].test, len(splits[0].train)
            (21, (0, 1), 3)
        """
        labels = sorted(set(integer_list("classes", classes)))
        if at_least("ways", ways, 1) + at_least("validation", validation, 0) >= len(labels):
            raise ValueError(
                f"`classes`: {ways} to test on and {validation} to select on leave none of {len(labels)} to train on; "
                f"that takes {ways + validation + 1} classes or more."
            )
        generator = torch.Generator().manual_seed(at_least("seed", seed, 0))
        splits = []
        for test in itertools.combinations(labels, ways):
            rest = [label for label in labels if label not in test]
            order = [rest[place] for place in torch.randperm(len(rest), generator=generator).tolist()]
            splits.append(ClassSplit(tuple(sorted(order[validation:])), tuple(sorted(order[:validation])), test))
        return splits
