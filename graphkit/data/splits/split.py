"""A split: the nodes to train on, to select on and to test on; and what every rule that draws one has in common."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from graphkit import _checks

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch_geometric.data import Data


MASKS = ("train_mask", "val_mask", "test_mask")
"""What PyG calls the parts of a split."""


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint sets of items, nodes of a graph or signals on it, to train on, to select on and to test on.

    Args:
        train: boolean mask, ``[items]``.
        val: boolean mask, ``[items]``.
        test: boolean mask, ``[items]``.
        protocol: name of the protocol.
        parameters: what the protocol was asked for, as plain numbers.
        rule: how its sizes come about, in words, where they are not what its parameters seem to say.

    Raises:
        ValueError: if the masks are not boolean vectors of one length, or not disjoint.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    protocol: str = "own"
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    rule: str = ""

    def __post_init__(self) -> None:
        import torch

        for name, mask in (("train", self.train), ("val", self.val), ("test", self.test)):
            _checks.tensor(name, mask)
        _checks.instance("protocol", self.protocol, str, "a name")
        _checks.instance("parameters", self.parameters, dict, "a dict of plain numbers")
        _checks.instance("rule", self.rule, str, "a text")
        forms = {(mask.dtype, mask.dim(), mask.numel()) for mask in self.masks.values()}
        if forms != {(torch.bool, 1, self.train.numel())}:
            found = ", ".join(f"{mask.dtype} {list(mask.shape)}" for mask in self.masks.values())
            raise ValueError(
                f"the masks of a split (`train`, `val`, `test`) must be boolean vectors of one length, got {found}."
            )
        if shared := int(((self.train.int() + self.val.int() + self.test.int()) > 1).sum()):
            raise ValueError(f"the masks of a split must be disjoint, but {shared:,} nodes are in more than one.")

    @property
    def masks(self) -> dict[str, Tensor]:
        """The masks by PyG's names."""
        return dict(zip(MASKS, (self.train, self.val, self.test), strict=True))

    @property
    def fingerprint(self) -> str:
        """The sha256 over the three masks."""
        from graphkit.data.fingerprint import tensors_sha256

        return tensors_sha256(self.masks)

    def record(self) -> dict[str, Any]:
        """Return the split as it stands in a result record: name, parameters, sizes, fingerprint."""
        sizes = {"train": int(self.train.sum()), "val": int(self.val.sum()), "test": int(self.test.sum())}
        told = {"split": self.protocol, "parameters": self.parameters, **sizes, "fingerprint": self.fingerprint}
        return told | ({"rule": self.rule} if self.rule else {})

    def apply(self, data: Data) -> Data:
        """Return a shallow copy of ``data`` with these masks and ``protocol``, the record of the split."""
        if self.train.numel() != len(data.y):
            raise ValueError(f"a split of {self.train.numel():,} items does not fit the {len(data.y):,} labels given.")
        split = data.__copy__()
        for name, mask in self.masks.items():
            split[name] = mask.to(data.edge_index.device)
        split.protocol = self.record()
        return split


@dataclass(frozen=True)
class SplitProtocol(ABC):
    """A rule that divides the nodes of a graph; called with the graph and a generator.

    ``str`` of a protocol is the form ``split_from_name`` reads.
    """

    name: ClassVar[str]

    whole: ClassVar[bool] = False
    """Whether it looks at the graphs of a set themselves, and is called with the set in place of its items."""

    @abstractmethod
    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the split of ``data``."""

    def require(self, sizes: Mapping[int, int]) -> None:  # noqa: B027  # published splits refuse nothing
        """Refuse classes that are too small to be divided, given how many items each has, as far as sizes tell."""

    def of_seed(self, data: Data, seed: int) -> Split:
        """Return the split that is a seed's own where each has one: drawn with it, or the one of this number."""
        import torch

        return self(data, torch.Generator().manual_seed(seed))

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields of the protocol as plain numbers."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __str__(self) -> str:
        given = [value for field, value in self.parameters.items() if value != self._defaults()[field]]
        values = list(self.parameters.values()) if given else []
        while values and values[-1] is None:
            values.pop()
        return f"{self.name}:{','.join(map(str, values))}" if values else self.name

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {field.name: field.default for field in dataclasses.fields(cls)}

    def _split(self, data: Data, parts: Sequence[Tensor], seed: int | None) -> Split:
        """Return the split whose training, validation and test nodes are ``parts``."""
        import torch

        masks = []
        for nodes in parts:
            mask = torch.zeros(len(data.y), dtype=torch.bool)
            mask[nodes] = True
            masks.append(mask)
        train, val, test = masks
        return Split(train, val, test, self.name, {**self.parameters, "seed": seed})


def integer_labels(data: Data) -> Tensor:
    """Return the labels on the CPU; those of a regression cannot be divided by class.

    Raises:
        ValueError: if labels are missing or real numbers, or there are several of an item.
    """
    require_items(data)
    if data.get("y") is None:
        raise ValueError("`y` is missing: this split goes by class.")
    y = _checks.tensor("y", data.y).cpu()
    if y.is_floating_point() or y.dim() != 1:
        raise ValueError(
            f"this split goes by class, but `y` holds {'real numbers' if y.is_floating_point() else 'several labels'} "
            f"of shape {list(y.shape)}; use 'random', a published split, or give a `Split`."
        )
    return y


def require_items(data: Data) -> None:
    """Refuse what is no graph, nor the ``items`` of a set of graphs."""
    from torch_geometric.data import Data

    _checks.instance("data", data, Data, "a torch_geometric.data.Data, or the `items` of a GraphSet")


def shuffled_classes(data: Data, generator: torch.Generator | None) -> dict[int, Tensor]:
    """Return the items of each class that is there, each in random order; those without a label (-1) are in none."""
    import torch

    y = integer_labels(data)
    shuffled = torch.randperm(len(y), generator=generator)
    return {label: shuffled[y[shuffled] == label] for label in present_classes(y)}


def present_classes(y: Tensor) -> list[int]:
    """Return the classes that have an item, ascending; whatever their numbers, no room is made for others.

    Raises:
        ValueError: where no item has a label.
    """
    classes = y[y >= 0].unique().tolist()
    if not classes:
        raise ValueError("`y` holds no label of 0 or above: a split needs some.")
    return classes


def generator_seed(generator: torch.Generator | None) -> int | None:
    """Return the seed that gives again what ``generator`` is about to draw, or ``None`` if it has drawn before.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(3)
        >>> generator_seed(generator)
        3
        >>> _ = torch.rand(1, generator=generator)
        >>> generator_seed(generator) is None
        True
    """
    import torch

    _checks.optional_generator("generator", generator)
    generator = torch.default_generator if generator is None else generator
    fresh = torch.Generator(generator.device).manual_seed(generator.initial_seed())
    return generator.initial_seed() if torch.equal(fresh.get_state(), generator.get_state()) else None


def require_integer(argument: str, value: int, least: int = 1) -> None:
    """Refuse what is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"`{argument}` must be a whole number of at least {least}, got {value!r}.")


def require_fractions(*fractions: float) -> None:
    """Refuse shares of items to train on, to select by and to test on that are none, or more than all."""
    fractions = tuple(_checks.fraction(name, of) for name, of in zip(("train", "val", "test"), fractions, strict=True))
    if not (all(fraction > 0 for fraction in fractions) and sum(fractions) <= 1 + 1e-9):
        raise ValueError(f"`train`, `val` and `test` must be above 0 and at most 1 together, got {fractions}.")


def require_class_sizes(name: str, sizes: Mapping[int, int], needed: int) -> None:
    """Refuse classes of which one has fewer than ``needed`` items."""
    for label, found in sizes.items():
        if found < needed:
            raise ValueError(
                f"{name!r} needs {needed} nodes of each class, but class {label} has {found}; ask for fewer."
            )


@dataclass(frozen=True)
class Public(SplitProtocol):
    """The one split a data set was published with."""

    name: ClassVar[str] = "public"

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks the data set came with; ``generator`` is not used."""
        require_items(data)
        if "train_mask" not in data or ("protocol" in data and data.protocol["split"] != self.name):
            raise ValueError(f"this data set has no public split{_splits_hint(data)}.")
        return Split(data.train_mask, data.val_mask, data.test_mask, protocol=self.name)


@dataclass(frozen=True)
class FileMasks(SplitProtocol):
    """One of the several splits a data set was published with, such as the ten of Geom-GCN.

    Args:
        index: which, from 0.
    """

    index: int = 0
    name: ClassVar[str] = "files"

    def __post_init__(self) -> None:
        require_integer("index", self.index, least=0)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks of the file; ``generator`` is not used."""
        require_items(data)
        if "train_masks" not in data:
            raise ValueError(f"this data set has no files of masks{_splits_hint(data)}.")
        many = data.train_masks.size(1)
        if not 0 <= self.index < many:
            raise ValueError(f"`index` must lie in 0 to {many - 1}, the splits of this data set, got {self.index}.")
        train, val, test = (data[part][:, self.index].clone() for part in ("train_masks", "val_masks", "test_masks"))
        return Split(train, val, test, self.name, self.parameters)

    def of_seed(self, data: Data, seed: int) -> Split:
        """Return the split of this number in the files."""
        return FileMasks(seed)(data)


def _splits_hint(data: Data) -> str:
    if "card" in data and data.card.splits:
        return f"; its card lists {', '.join(data.card.splits)}"
    return "; draw one, such as 'random-per-class:20'"
