"""Splits: the protocols that say which items a model learns from, is chosen on, and is measured on.

A protocol is a small frozen object called with a graph, or the ``items`` of a set of graphs, and a generator; what it
gives is a ``Split``. The same generator state gives the same split, and its ``fingerprint`` names it in every result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from graphkit import _checks
from graphkit.data.splits.families import FamilySplit
from graphkit.data.splits.folds import Folds, NestedFold, NestedFolds, stratified_folds
from graphkit.data.splits.per_class import DENSE_SEEDS, Dense, RandomPerClass, RandomPlanetoid, RandomSplit, Stratified
from graphkit.data.splits.scaffold import Scaffold
from graphkit.data.splits.split import FileMasks, Public, Split, SplitProtocol

__all__ = [
    "DENSE_SEEDS",
    "PROTOCOLS",
    "Dense",
    "FamilySplit",
    "FileMasks",
    "Folds",
    "NestedFold",
    "NestedFolds",
    "Public",
    "RandomPerClass",
    "RandomPlanetoid",
    "RandomSplit",
    "Scaffold",
    "Split",
    "SplitProtocol",
    "Stratified",
    "protocol_from_name",
    "split_from_name",
    "stratified_folds",
]

P = TypeVar("P")

PROTOCOLS: dict[str, type[SplitProtocol]] = {
    protocol.name: protocol
    for protocol in (
        Public,
        FileMasks,
        RandomSplit,
        RandomPerClass,
        RandomPlanetoid,
        Stratified,
        Dense,
        Folds,
        Scaffold,
    )
}


def split_from_name(text: str) -> SplitProtocol:
    """Return the protocol that ``text`` names, such as ``"dense"``, ``"files:3"`` or ``"stratified:0.5,0.25,0.25"``.

    What follows the colon are the fields of the protocol in their order.

    Raises:
        TypeError: if ``text`` is none.
        ValueError: if there is no such protocol (the nearest names are suggested) or the fields do not fit it.

    Example:
        >>> split_from_name("random-per-class:5")
        RandomPerClass(per_class=5, val=30, test=None)
        >>> str(split_from_name("files:3"))
        'files:3'
    """
    _checks.instance("text", text, str, "a text such as 'dense' or 'files:3'")
    return protocol_from_name(text, PROTOCOLS)


def protocol_from_name(text: str, known: Mapping[str, type[P]]) -> P:
    """Return the protocol of a table that ``text`` names, with its fields after a colon.

    Raises:
        ValueError: as :func:`split_from_name` does.
    """
    name, _, given = text.partition(":")
    protocol: Any = known[_checks.member("split", name, known)]
    fields = {field.name: field.type == "str" for field in dataclasses.fields(protocol)}
    needed = [each.name for each in dataclasses.fields(protocol) if each.default is dataclasses.MISSING]
    values = given.split(",") if given else []
    form = f"{name}:{','.join(fields)}" if fields else name
    if not len(needed) <= len(values) <= len(fields):
        raise ValueError(f"`split` {text!r} has {len(values)} values, but its form is {form!r}.")
    try:
        read = [
            value if text_field else float(value) if "." in value else int(value)
            for value, text_field in zip(values, fields.values(), strict=False)
        ]
    except ValueError:
        raise ValueError(f"`split` {text!r} must have numbers after the colon; its form is {form!r}.") from None
    return protocol(*read)
