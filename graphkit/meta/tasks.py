"""Few-shot tasks: which classes train, select and test; support and query items of some classes, in frozen sets."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphkit._checks import at_least, instance, integer_list, item_ids
from graphkit._exports import deprecated_method
from graphkit.data.catalog.fixed_classes import fixed_classes
from graphkit.meta.items import AbstractItems


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


@dataclass(frozen=True, kw_only=True)
class FewShotProtocol:
    """N-way K-shot protocol: what a few-shot figure depends on besides the data and the classes.

    Args:
        n_way: classes of a task, at least 2.
        k_shot: labelled items of each class, at least 1.
        n_query: query items of each class, to be classified, at least 1.
        n_tasks: tasks of a set, at least 1.
        seed: of the draws, 0 or more.

    Example:
        >>> FewShotProtocol(n_way=2, k_shot=1).n_query
        12
    """

    n_way: int = 2
    k_shot: int = 3
    n_query: int = 12
    n_tasks: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_way", 2), ("k_shot", 1), ("n_query", 1), ("n_tasks", 1), ("seed", 0)):
            at_least(name, getattr(self, name), least)


@dataclass(frozen=True, eq=False)
class Episode:
    """The items of a task; its classes are numbered anew from 0, and ``y`` of the data stays as it is.

    Args:
        support: labelled items ``[ways, shots]``.
        query: items to be classified ``[ways, queries]``.
        classes: labels of the classes ``[ways]``.

    Raises:
        TypeError: for what are no tensors of integers.
        ValueError: for other shapes, and numbers below 0.

    Example:
        >>> episode = Episode(torch.tensor([[4], [7]]), torch.tensor([[5, 6], [8, 9]]), torch.tensor([2, 0]))
        >>> episode.query_y
        tensor([0, 0, 1, 1])
    """

    support: Tensor
    query: Tensor
    classes: Tensor

    def __post_init__(self) -> None:
        ways = len(item_ids("support", self.support, "ways, shots"))
        if len(item_ids("query", self.query, "ways, queries")) != ways:
            raise ValueError(f"`query` must have the ways of `support` ({ways}), got {len(self.query)}.")
        if item_ids("classes", self.classes, "ways").shape != (ways,):
            raise ValueError(f"`classes` must have shape [ways] = [{ways}], got {list(self.classes.shape)}.")

    @property
    def ways(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def form(self) -> tuple[int, int, int]:
        """Numbers of classes, and of support and query items of each."""
        return self.ways, self.support.size(1), self.query.size(1)

    @property
    def support_y(self) -> Tensor:
        """The task's own label of each support item, ``[ways * shots]``."""
        return _local_labels(self.support)

    @property
    def query_y(self) -> Tensor:
        """The task's own label of each query item, ``[ways * queries]``."""
        return _local_labels(self.query)


def _local_labels(items: Tensor) -> Tensor:
    return torch.arange(len(items), device=items.device).repeat_interleave(items.size(1))


@dataclass(frozen=True, eq=False)
class Task:
    """An episode and the items it is drawn from.

    Args:
        items: what the model sees.
        episode: which of them, and as what.

    Raises:
        TypeError: for anything else.
        ValueError: for items that are not there.

    Example:
        >>> from graphkit.meta.items import Rows
        >>> items = Rows(torch.eye(8), torch.arange(8) // 4)
        >>> task = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=1, n_query=2, n_tasks=1))[0]
        >>> task.episode.support.shape, task.episode.query.shape
        (torch.Size([2, 1]), torch.Size([2, 2]))
    """

    items: AbstractItems
    episode: Episode

    def __post_init__(self) -> None:
        instance("items", self.items, AbstractItems, "items, such as Rows(x, y)")
        instance("episode", self.episode, Episode, "an Episode")
        for part in (self.episode.support, self.episode.query):
            item_ids("episode", part, "ways, items", len(self.items.y))


@dataclass(frozen=True, eq=False)
class TaskSet(Sequence[Task]):
    """Frozen tasks over the same items. Task ``i`` is a function of labels, classes, protocol, and ``i`` alone.

    A slice is a list of tasks; two sets are equal where their fingerprints are.

    Args:
        items: what tasks are drawn from.
        protocol: how.
        chosen: items ``[tasks, ways, shots + queries]``.
        classes: labels ``[tasks, ways]``.

    Raises:
        TypeError: for anything else.
        ValueError: for items that are not there, and another form than the protocol's.

    Example:
        >>> from graphkit.meta.items import Rows
        >>> items = Rows(torch.eye(30), torch.arange(30) % 3)
        >>> tasks = TaskSet.draw(items, (0, 2), FewShotProtocol(k_shot=2, n_query=3, n_tasks=5))
        >>> len(tasks), tasks[4].episode.support.shape
        (5, torch.Size([2, 2]))
        >>> tasks.fingerprint == TaskSet.draw(items, (0, 2), tasks.protocol).fingerprint
        True
    """

    items: AbstractItems
    protocol: FewShotProtocol
    chosen: Tensor
    classes: Tensor

    def __post_init__(self) -> None:
        instance("items", self.items, AbstractItems, "items, such as Rows(x, y)")
        protocol = instance("protocol", self.protocol, FewShotProtocol, "a FewShotProtocol")
        item_ids("chosen", self.chosen, "tasks, ways, shots + queries", len(self.items.y))
        form = protocol.n_way, protocol.k_shot + protocol.n_query
        shape, counts = list(self.chosen.shape), self.chosen.shape[:2]
        if self.chosen.shape[1:] != form:
            raise ValueError(f"`chosen` must have shape [tasks, {form[0]}, {form[1]}] by the protocol, got {shape}.")
        if item_ids("classes", self.classes, "tasks, ways").shape != counts:
            found = list(self.classes.shape)
            raise ValueError(f"`classes` must have shape [tasks, ways] = {list(counts)}, got {found}.")

    @staticmethod
    def draw(
        items: AbstractItems, classes: Sequence[int], protocol: FewShotProtocol, *, within: Tensor | None = None
    ) -> TaskSet:
        """Draw tasks of these classes, which look at the labels of the items alone.

        Args:
            items: what they are drawn from; ``Labels(y)`` where the items come later, see :meth:`with_items`.
            classes: labels to draw the classes of a task from.
            protocol: how many of what.
            within: the items that may be drawn, ``[allowed]``; all that are labelled when left out.

        Raises:
            ValueError: for more ways than classes, a class with fewer items than a task takes, or -1, which is the
                label of items of no class; and for items that do not exist.
        """
        instance("items", items, AbstractItems, "items, such as Rows(x, y)")
        instance("protocol", protocol, FewShotProtocol, "a FewShotProtocol")
        labels, classes = items.y.cpu().numpy(), sorted(set(integer_list("classes", classes)))
        if classes and classes[0] < 0:
            raise ValueError(f"`classes` must be labels of 0 or more, got {classes}.")
        if within is not None:
            labels = _labels_within(labels, within)
        if protocol.n_way > len(classes):
            raise ValueError(f"`n_way` is {protocol.n_way}, but there are {len(classes)} classes to draw from.")
        wanted = protocol.k_shot + protocol.n_query
        members = {label: np.flatnonzero(labels == label) for label in classes}
        for label, found in members.items():
            if len(found) < wanted:
                raise ValueError(
                    f"class {label} has {len(found)} items, fewer than the {wanted} a task takes (`k_shot` "
                    f"{protocol.k_shot} + `n_query` {protocol.n_query}); ask for fewer, or leave the class out."
                )
        chosen = np.empty((protocol.n_tasks, protocol.n_way, wanted), dtype=np.int64)
        drawn = np.empty((protocol.n_tasks, protocol.n_way), dtype=np.int64)
        for number in range(protocol.n_tasks):
            random = np.random.default_rng([protocol.seed, number])  # of this task alone, however many there are
            drawn[number] = random.choice(classes, protocol.n_way, replace=False)
            for way, label in enumerate(drawn[number].tolist()):
                chosen[number, way] = random.choice(members[label], wanted, replace=False)
        return TaskSet(items, protocol, torch.from_numpy(chosen), torch.from_numpy(drawn))

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, number: int) -> Task: ...

    @overload
    def __getitem__(self, number: slice) -> list[Task]: ...

    def __getitem__(self, number: int | slice) -> Task | list[Task]:
        if isinstance(number, slice):
            return [self[each] for each in range(len(self))[number]]
        place = range(len(self))[number]
        shots, chosen = self.protocol.k_shot, self.chosen[place]
        return Task(self.items, Episode(chosen[:, :shots], chosen[:, shots:], self.classes[place]))

    def __iter__(self) -> Iterator[Task]:
        return (self[number] for number in range(len(self)))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the items chosen, as they are now: tensors can be written to."""
        return _fingerprint(self.protocol, self.chosen, self.classes)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskSet) and self.fingerprint == other.fingerprint

    def with_items(self, items: AbstractItems) -> TaskSet:
        """Return the same tasks over another view of the same items: embeddings in place of features.

        Raises:
            ValueError: where the items are not as many or have other labels.
        """
        instance("items", items, AbstractItems, "items, such as Rows(x, y)")
        if not torch.equal(items.y.cpu(), self.items.y.cpu()):
            raise ValueError("`items` must be the same items in the same order: their labels differ.")
        return TaskSet(items, self.protocol, self.chosen, self.classes)

    drawn = deprecated_method("draw")
    over = deprecated_method("with_items")

    def save(self, path: Path | str) -> None:
        """Write the tasks to a safetensors file, protocol and fingerprint beside them."""
        about = {name: str(value) for name, value in asdict(self.protocol).items()}
        tensors = {"chosen": self.chosen.contiguous(), "classes": self.classes.contiguous()}
        save_file(tensors, path, metadata={**about, "fingerprint": self.fingerprint})

    @staticmethod
    def load(path: Path | str, items: AbstractItems) -> TaskSet:
        """Return the tasks that :meth:`save` wrote, over these items.

        Raises:
            ValueError: where the file is not what was written, or a task's items do not have its classes here.
        """
        try:
            with safe_open(path, "pt") as file:
                about = dict(file.metadata() or {})
                expected = about.pop("fingerprint", None)
                protocol = FewShotProtocol(**{name: int(value) for name, value in about.items()})
                chosen, classes = file.get_tensor("chosen"), file.get_tensor("classes")
        except (SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{str(path)!r} holds no tasks that `TaskSet.save` wrote.") from error
        if _fingerprint(protocol, chosen, classes) != expected:
            raise ValueError(f"{str(path)!r} is damaged: its tasks are not those of the fingerprint {expected}.")
        instance("items", items, AbstractItems, "items, such as Rows(x, y)")
        if int(chosen.max()) >= len(items.y) or not bool((items.y.cpu()[chosen] == classes[..., None]).all()):
            raise ValueError(f"{str(path)!r} holds tasks of other items: classes and labels differ.")
        return TaskSet(items, protocol, chosen, classes)


def _labels_within(labels: np.ndarray, within: Tensor) -> np.ndarray:
    """Return the labels of some items, and -1 for all others."""
    instance("within", within, Tensor, "a tensor of numbers of items")
    if within.dtype == torch.bool or within.is_floating_point() or within.dim() != 1:
        raise ValueError(f"`within` must be integers of shape [items], got {within.dtype} {list(within.shape)}.")
    if len(within) and not 0 <= int(within.min()) <= int(within.max()) < len(labels):
        raise ValueError(f"`within` must name items from 0 to {len(labels) - 1}.")
    outside = np.ones(len(labels), dtype=bool)
    outside[within.cpu().numpy()] = False
    return np.where(outside, -1, labels)


def _fingerprint(protocol: FewShotProtocol, chosen: Tensor, classes: Tensor) -> str:
    digest = hashlib.sha256(repr(asdict(protocol)).encode())
    for part in (chosen, classes):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()[:16]


def require_task_set(argument: str, value: Any, instead: str) -> None:
    """Refuse what is no frozen set of tasks: a figure without a fingerprint cannot be compared.

    Raises:
        TypeError: for anything else; ``instead`` says what to give.
    """
    if not isinstance(value, TaskSet):
        raise TypeError(f"`{argument}` must be {instead}, got {type(value).__name__}.")
