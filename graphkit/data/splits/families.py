"""Splits of graphs by family: what is learnt on some graphs is tested on others that share nothing with them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphkit import _checks
from graphkit.data.catalog.cards import families


@dataclass(frozen=True)
class FamilySplit:
    """Which graphs are learnt from and which are tested on; none of a family on both sides.

    Args:
        train: names of the data sets that are learnt from, each one graph with labelled nodes.
        test: names of those that are tested on.

    Attributes:
        left_out: the families of those that are tested on, sorted.

    Raises:
        TypeError: for what are no names.
        ValueError: for an unknown name (the nearest ones are suggested), one that stands twice, a side without any, or
            a family on both sides.

    Example:
        >>> FamilySplit(train=["cora", "actor"], test=["texas", "cornell"])
        FamilySplit(train=('cora', 'actor'), test=('texas', 'cornell'), left_out=('webkb',))
        >>> FamilySplit(train=["cora", "texas"], test=["cornell"])
        Traceback (most recent call last):
        ...
        ValueError: `train` and `test` must have no family in common, but 'texas' and 'cornell' are both of 'webkb'.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    left_out: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        family_of = _family_of()
        for side in ("train", "test"):
            object.__setattr__(self, side, _graph_names(side, getattr(self, side), family_of))
        seen = {family_of[name]: name for name in reversed(self.train)}
        for name in self.test:
            if (family := family_of[name]) in seen:
                both = f"{seen[family]!r} and {name!r} are both of {family!r}"
                both = f"{name!r} is on both sides" if name in self.train else both
                raise ValueError(f"`train` and `test` must have no family in common, but {both}.")
        object.__setattr__(self, "left_out", tuple(sorted({family_of[name] for name in self.test})))

    @classmethod
    def leave_out(cls, name: str, graphs: Iterable[str] | None = None) -> FamilySplit:
        """Return the split that tests on one family and learns from all others.

        Args:
            name: of the family, or of a data set in it.
            graphs: names of the data sets that take part; by default all that are one graph with labelled nodes.

        Raises:
            TypeError: for what are no names.
            ValueError: for an unknown name, or where no graph, or none but the family's, takes part.

        Example:
            >>> FamilySplit.leave_out("texas", ["cora", "texas", "actor", "wisconsin"])
            FamilySplit(train=('cora', 'actor'), test=('texas', 'wisconsin'), left_out=('webkb',))
        """
        family_of = _family_of()
        _checks.member("name", name, {*family_of, *family_of.values()}, LISTED)
        family = name if name in family_of.values() else family_of[name]
        listed = _graph_names("graphs", list(family_of) if graphs is None else graphs, family_of)
        test = tuple(each for each in listed if family_of[each] == family)
        if not test or len(test) == len(listed):
            missing = "none of it" if not test else "none of another"
            raise ValueError(f"`graphs` must name graphs of family {family!r} and of others, got {missing}.")
        return cls(tuple(each for each in listed if family_of[each] != family), test)

    @classmethod
    def all(cls, graphs: Iterable[str] | None = None) -> list[FamilySplit]:
        """Return one split for each family, which it leaves out; together they test each graph once.

        Args:
            graphs: names of the data sets that take part; by default all that are one graph with labelled nodes.

        Raises:
            TypeError: for what are no names.
            ValueError: for an unknown name, or graphs of one family alone.

        Example:
            >>> splits = FamilySplit.all(["texas", "cornell", "cora", "actor"])
            >>> [(split.left_out, split.test) for split in splits]
            [(('webkb',), ('texas', 'cornell')), (('cora',), ('cora',)), (('actor',), ('actor',))]
        """
        family_of = _family_of()
        listed = _graph_names("graphs", list(family_of) if graphs is None else graphs, family_of)
        return [cls.leave_out(family, listed) for family in dict.fromkeys(family_of[name] for name in listed)]


LISTED = "`graphkit.data.families()` lists all."


@functools.cache
def _family_of() -> dict[str, str]:
    """Return the family of each data set that is one graph with labelled nodes; their cards are read once."""
    return {name: family for family, of_family in families().items() for name in of_family}


def _graph_names(argument: str, given: Iterable[str], family_of: dict[str, str]) -> tuple[str, ...]:
    """Return names that are there, each once."""
    listed = _checks.as_list(argument, given, "['cora', 'texas']")
    for name in listed:
        _checks.member(argument, name, family_of, LISTED)
    if not listed:
        raise ValueError(f"`{argument}` must name at least one graph, got none.")
    if twice := [name for name in dict.fromkeys(listed) if listed.count(name) > 1]:
        raise ValueError(f"`{argument}` must name each graph once, got {', '.join(map(repr, twice))} more often.")
    return tuple(listed)
