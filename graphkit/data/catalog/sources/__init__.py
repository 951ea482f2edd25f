"""Sources: how the files of a data set are read and, where they are missing, downloaded.

A card names its reader, ``form``, and what that takes; PyG's own classes do the work wherever they can.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from graphkit.data.catalog.cards import Card
from graphkit.data.catalog.sources.generated import (
    EmbeddedSource,
    StoredSource,
    SyntheticSource,
    digits_graph,
    digits_grid,
    karate_graph,
    role_graph,
)
from graphkit.data.catalog.sources.ogb import OGBGraphSource, OGBLinkSource, OGBNodeSource, OGBTypedLinkSource
from graphkit.data.catalog.sources.pyg import PlanetoidSource, PyGSource, TUSource
from graphkit.data.catalog.sources.repositories import (
    CitationDomainSource,
    ClothingSource,
    CSRPartsSource,
    EdgeTableSource,
    Facebook100Source,
    FilesSource,
    FilteredSource,
    TwitchSource,
)
from graphkit.data.catalog.sources.series import (
    EdgeListSource,
    MatrixSource,
    MobilitySource,
    NodeLinkSource,
    SensorTableSource,
)
from graphkit.data.catalog.sources.source import Source
from graphkit.data.disk.synthetic import Synthetic

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["READERS", "Source", "StoredSource", "source_of"]


def _builtin_source(build: Callable[..., Data]) -> Callable[..., Source]:
    """Return what makes a source of a graph that a function builds."""
    return lambda **options: EmbeddedSource(partial(build, **options))


READERS: dict[str, Callable[..., Source]] = {
    "citation-domains": CitationDomainSource,
    "csr-parts": CSRPartsSource,
    "digits": _builtin_source(digits_graph),
    "digits-grid": _builtin_source(digits_grid),
    "edge-table": EdgeTableSource,
    "facebook100": Facebook100Source,
    "filtered": FilteredSource,
    "gpn": ClothingSource,
    "karate": _builtin_source(karate_graph),
    "ogb-graphs": OGBGraphSource,
    "ogb-links": OGBLinkSource,
    "ogb-nodes": OGBNodeSource,
    "ogb-typed-links": OGBTypedLinkSource,
    "planetoid": PlanetoidSource,
    "pyg": PyGSource,
    "series-edge-list": EdgeListSource,
    "series-matrix": MatrixSource,
    "series-mobility": MobilitySource,
    "series-node-link": NodeLinkSource,
    "series-sensors": SensorTableSource,
    "structural-roles": _builtin_source(role_graph),
    "synthetic-ogb": lambda name, **how: SyntheticSource(name, Synthetic(**how)),
    "synthetic-stored": lambda name, **how: StoredSource(name, Synthetic(**how)),
    "tu": TUSource,
    "twitch": TwitchSource,
}
"""What the ``form`` of a card's reader may be; a new format of files is a class more."""


def source_of(card: Card) -> Source:
    """Return the source that a card names."""
    options: dict[str, Any] = dict(card.reader)
    reader = READERS[options.pop("form")]
    if isinstance(reader, type) and issubclass(reader, FilesSource):
        options["files"] = tuple(card.files)
    return reader(**options)
