"""A family: several graphs that are worked on together, such as three citation networks of one vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphkit import _checks
from graphkit.data.cards import Card

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False, repr=False)
class GraphFamily(Mapping[str, "Data"]):
    """The graphs of a family by their short names, in the order of its card; a read-only mapping.

    The short name is the member's own without the family's: ``load("citation-domains")["acm"]`` is
    ``load("citation-domains-acm")``.

    Args:
        card: the card of the family.
        graphs: short name -> graph, each with its own ``card``, masks and ``protocol``.
    """

    card: Card
    graphs: Mapping[str, Data]

    def __post_init__(self) -> None:
        _checks.instance("card", self.card, Card, "a Card, as `graphkit.data.card` gives it")
        _checks.instance("graphs", self.graphs, Mapping, "a mapping from names to graphs")

    def __getitem__(self, name: str) -> Data:
        return self.graphs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    def __repr__(self) -> str:
        return f"GraphFamily({self.card.name!r}: {', '.join(self)})"


def short_name(member: str, family: str) -> str:
    """Return the name of a member without that of its family.

    Example:
        >>> short_name("citation-domains-acm", "citation-domains")
        'acm'
    """
    return member.removeprefix(f"{family}-")
