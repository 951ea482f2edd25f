"""Data sets: their cards, where their files come from, how they are split, and the graphs they hold.

``names`` and ``card`` answer without loading PyTorch; ``load`` gives a graph, ``fetch`` and ``verify`` its files, and
``splits`` holds the protocols that divide its nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit._lazy import lazy
from graphkit.data.cards import Card, card, names
from graphkit.data.errors import DataError

if TYPE_CHECKING:
    from graphkit.data.attributes import labelled_by
    from graphkit.data.bases import AddFourierBasis, cached_fourier_basis
    from graphkit.data.batches import ClassBatches
    from graphkit.data.class_splits import FixedClasses, few_shot_counts, fixed_classes
    from graphkit.data.clusters import ClusterLoader, metis_clusters
    from graphkit.data.content import content_sha256
    from graphkit.data.direction import undirected
    from graphkit.data.family import GraphFamily
    from graphkit.data.graphset import GraphSet
    from graphkit.data.importing import import_graph
    from graphkit.data.loaders import LinkNeighborLoader, NeighborLoader
    from graphkit.data.loading import fetch, load, load_splits
    from graphkit.data.official import official_figure, official_link_figure
    from graphkit.data.partitioned import Part, PartitionedFeatures, PartitionedGraph
    from graphkit.data.partitions import Partitions, partition
    from graphkit.data.reordering import locality_order, reorder_nodes
    from graphkit.data.sampling import NeighborSampler
    from graphkit.data.soundness import validate
    from graphkit.data.sources.ogb_links import edge_split
    from graphkit.data.splits import NestedFolds, Split, split_from_name
    from graphkit.data.storage import GraphStore, store, stored
    from graphkit.data.synthetic import Synthetic, synthesize, synthesize_ogb
    from graphkit.data.union import disjoint_union
    from graphkit.data.verification import Verification, verify

__getattr__ = lazy(
    __name__,
    {
        "attributes": ["labelled_by"],
        "bases": ["AddFourierBasis", "cached_fourier_basis"],
        "batches": ["ClassBatches"],
        "class_splits": ["FixedClasses", "few_shot_counts", "fixed_classes"],
        "clusters": ["ClusterLoader", "metis_clusters"],
        "content": ["content_sha256"],
        "direction": ["undirected"],
        "family": ["GraphFamily"],
        "graphset": ["GraphSet"],
        "importing": ["import_graph"],
        "loaders": ["LinkNeighborLoader", "NeighborLoader"],
        "loading": ["fetch", "load", "load_splits"],
        "official": ["official_figure", "official_link_figure"],
        "partitioned": ["Part", "PartitionedFeatures", "PartitionedGraph"],
        "partitions": ["Partitions", "partition"],
        "reordering": ["locality_order", "reorder_nodes"],
        "sampling": ["NeighborSampler"],
        "soundness": ["validate"],
        "sources.ogb_links": ["edge_split"],
        "splits": ["NestedFolds", "Split", "split_from_name"],
        "storage": ["GraphStore", "store", "stored"],
        "synthetic": ["Synthetic", "synthesize", "synthesize_ogb"],
        "union": ["disjoint_union"],
        "verification": ["Verification", "verify"],
    },
)

__all__ = [
    "AddFourierBasis",
    "Card",
    "ClassBatches",
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
    "disjoint_union",
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
    "undirected",
    "validate",
    "verify",
]
