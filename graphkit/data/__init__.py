"""Data sets: their cards, where their files come from, how they are split, and the graphs they hold.

``names`` and ``card`` answer without loading PyTorch; ``load`` gives a graph, ``fetch`` and ``verify`` its files, and
``splits`` holds the protocols that divide its nodes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphkit.data.cards import Card, card, names
from graphkit.data.errors import DataError

if TYPE_CHECKING:
    from graphkit.data.attributes import labelled_by
    from graphkit.data.bases import AddFourierBasis, cached_fourier_basis
    from graphkit.data.class_splits import FixedClasses, few_shot_counts, fixed_classes
    from graphkit.data.clusters import ClusterLoader, metis_clusters
    from graphkit.data.content import content_sha256
    from graphkit.data.family import GraphFamily
    from graphkit.data.graphset import GraphSet
    from graphkit.data.importing import import_graph
    from graphkit.data.loading import Verification, fetch, load, load_splits, verify
    from graphkit.data.official import official_figure, official_link_figure
    from graphkit.data.partitioned import Part, PartitionedFeatures, PartitionedGraph
    from graphkit.data.partitions import Partitions, partition
    from graphkit.data.sampling import LinkNeighborLoader, NeighborLoader, NeighborSampler
    from graphkit.data.soundness import validate
    from graphkit.data.sources.ogb_links import edge_split
    from graphkit.data.splits import NestedFolds, Split, split_from_name
    from graphkit.data.storage import GraphStore, store, stored
    from graphkit.data.synthetic import Synthetic, synthesize, synthesize_ogb

__all__ = [
    "AddFourierBasis",
    "Card",
    "ClusterLoader",
    "DataError",
    "FixedClasses",
    "GraphFamily",
    "GraphSet",
    "GraphStore",
    "LinkNeighborLoader",
    "NeighborLoader",
    "NeighborSampler",
    "NestedFolds",
    "Part",
    "PartitionedFeatures",
    "PartitionedGraph",
    "Partitions",
    "Split",
    "Synthetic",
    "Verification",
    "cached_fourier_basis",
    "card",
    "content_sha256",
    "edge_split",
    "fetch",
    "few_shot_counts",
    "fixed_classes",
    "import_graph",
    "labelled_by",
    "load",
    "load_splits",
    "locality_order",
    "metis_clusters",
    "names",
    "official_figure",
    "official_link_figure",
    "partition",
    "reorder_nodes",
    "split_from_name",
    "store",
    "stored",
    "synthesize",
    "synthesize_ogb",
    "validate",
    "verify",
]

_ROOMS = {
    "AddFourierBasis": "bases",
    "cached_fourier_basis": "bases",
    "FixedClasses": "class_splits",
    "few_shot_counts": "class_splits",
    "fixed_classes": "class_splits",
    "labelled_by": "attributes",
    "ClusterLoader": "clusters",
    "metis_clusters": "clusters",
    "content_sha256": "content",
    "GraphFamily": "family",
    "GraphSet": "graphset",
    "GraphStore": "storage",
    "store": "storage",
    "stored": "storage",
    "Synthetic": "synthetic",
    "synthesize": "synthetic",
    "synthesize_ogb": "synthetic",
    "import_graph": "importing",
    "Verification": "loading",
    "fetch": "loading",
    "load": "loading",
    "load_splits": "loading",
    "verify": "loading",
    "official_figure": "official",
    "official_link_figure": "official",
    "edge_split": "sources.ogb_links",
    "Part": "partitioned",
    "PartitionedFeatures": "partitioned",
    "PartitionedGraph": "partitioned",
    "Partitions": "partitions",
    "partition": "partitions",
    "locality_order": "reordering",
    "reorder_nodes": "reordering",
    "LinkNeighborLoader": "sampling",
    "NeighborLoader": "sampling",
    "NeighborSampler": "sampling",
    "validate": "soundness",
    "NestedFolds": "splits",
    "Split": "splits",
    "split_from_name": "splits",
}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch only when it is asked for: the command line must answer at once."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
