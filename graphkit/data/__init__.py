"""Data sets: their cards, where their files come from, how they are split, and the graphs they hold.

``names`` and ``card`` answer without loading PyTorch; ``load`` gives a graph, ``fetch`` and ``verify`` its files, and
``splits`` holds the protocols that divide its nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit._exports import deprecated_names, lazy
from graphkit.data.catalog.cards import Card, card, families, names
from graphkit.data.disk.checked_files import DataError

if TYPE_CHECKING:
    from graphkit.data.catalog.fixed_classes import FixedClasses, few_shot_counts, fixed_classes
    from graphkit.data.catalog.loading import Verification, fetch, load, load_links, load_series, load_splits, verify
    from graphkit.data.catalog.ogb_evaluators import ogb_link_metric, ogb_metric
    from graphkit.data.catalog.sources.ogb import edge_split
    from graphkit.data.disk.graph_import import import_graph
    from graphkit.data.disk.import_plan import plan_import
    from graphkit.data.disk.manifest import StoredGraph
    from graphkit.data.disk.series_import import import_series
    from graphkit.data.disk.set_import import import_graph_set
    from graphkit.data.disk.storage import open_stored, store
    from graphkit.data.disk.synthetic import Synthetic, synthesize, synthesize_ogb
    from graphkit.data.distributed.partitioned_stores import Part, PartitionedFeatures, PartitionedGraph
    from graphkit.data.distributed.partitions import Partitions, partition
    from graphkit.data.fingerprint import content_sha256
    from graphkit.data.fourier_bases import AddFourierBasis, cached_fourier_basis
    from graphkit.data.graphset import GraphFamily, GraphSet
    from graphkit.data.pairs import pair_score, pair_views
    from graphkit.data.random_graphs import RandomGraphs, random_graph
    from graphkit.data.sampling.class_batches import ClassBatches
    from graphkit.data.sampling.clusters import metis_clusters
    from graphkit.data.sampling.loaders import ClusterLoader, LinkNeighborLoader, NeighborLoader
    from graphkit.data.sampling.neighbor_sampler import NeighborSampler
    from graphkit.data.splits import FamilySplit, NestedFolds, Split, split_from_name
    from graphkit.data.splits.hard_negatives import hard_negatives
    from graphkit.data.splits.link_protocols import (
        AcrossLinks,
        LatestLinks,
        PublicLinks,
        RandomLinks,
        link_split_from_name,
    )
    from graphkit.data.splits.links import LinkSplit
    from graphkit.data.temporal_graph import TemporalGraph
    from graphkit.data.transforms import disjoint_union, label_by, locality_order, reorder_nodes, to_undirected
    from graphkit.data.validation import feature_sum, validate
    from graphkit.data.views import GraphViews, graph_views
    from graphkit.data.windows import ForecastSplit, TimeSplit, Windows

_look_up = lazy(
    __name__,
    {
        "catalog.fixed_classes": ["FixedClasses", "few_shot_counts", "fixed_classes"],
        "catalog.loading": ["Verification", "fetch", "load", "load_links", "load_series", "load_splits", "verify"],
        "catalog.ogb_evaluators": ["ogb_metric", "ogb_link_metric"],
        "catalog.sources.ogb": ["edge_split"],
        "disk.graph_import": ["import_graph"],
        "disk.import_plan": ["plan_import"],
        "disk.manifest": ["StoredGraph"],
        "disk.series_import": ["import_series"],
        "disk.set_import": ["import_graph_set"],
        "disk.storage": ["store", "open_stored"],
        "disk.synthetic": ["Synthetic", "synthesize", "synthesize_ogb"],
        "distributed.partitioned_stores": ["Part", "PartitionedFeatures", "PartitionedGraph"],
        "distributed.partitions": ["Partitions", "partition"],
        "fingerprint": ["content_sha256"],
        "fourier_bases": ["AddFourierBasis", "cached_fourier_basis"],
        "graphset": ["GraphFamily", "GraphSet"],
        "pairs": ["pair_score", "pair_views"],
        "random_graphs": ["RandomGraphs", "random_graph"],
        "sampling.class_batches": ["ClassBatches"],
        "sampling.clusters": ["metis_clusters"],
        "sampling.loaders": ["ClusterLoader", "LinkNeighborLoader", "NeighborLoader"],
        "sampling.neighbor_sampler": ["NeighborSampler"],
        "splits": ["FamilySplit", "NestedFolds", "Split", "split_from_name"],
        "splits.hard_negatives": ["hard_negatives"],
        "splits.link_protocols": ["AcrossLinks", "LatestLinks", "PublicLinks", "RandomLinks", "link_split_from_name"],
        "splits.links": ["LinkSplit"],
        "temporal_graph": ["TemporalGraph"],
        "windows": ["ForecastSplit", "TimeSplit", "Windows"],
        "transforms": ["disjoint_union", "label_by", "locality_order", "reorder_nodes", "to_undirected"],
        "validation": ["feature_sum", "validate"],
        "views": ["GraphViews", "graph_views"],
    },
)

__getattr__ = deprecated_names(
    __name__,
    {
        "GraphStore": "graphkit.data.disk.manifest.StoredGraph",
        "labelled_by": "graphkit.data.transforms.label_by",
        "official_figure": "graphkit.data.catalog.ogb_evaluators.ogb_metric",
        "official_link_figure": "graphkit.data.catalog.ogb_evaluators.ogb_link_metric",
        "stored": "graphkit.data.disk.storage.open_stored",
        "undirected": "graphkit.data.transforms.to_undirected",
    },
    _look_up,
)

__all__ = [
    "AcrossLinks",
    "AddFourierBasis",
    "Card",
    "ClassBatches",
    "ClusterLoader",
    "DataError",
    "FamilySplit",
    "FixedClasses",
    "ForecastSplit",
    "GraphFamily",
    "GraphSet",
    "GraphViews",
    "LatestLinks",
    "LinkNeighborLoader",
    "LinkSplit",
    "NeighborLoader",
    "NeighborSampler",
    "NestedFolds",
    "Part",
    "PartitionedFeatures",
    "PartitionedGraph",
    "Partitions",
    "PublicLinks",
    "RandomGraphs",
    "RandomLinks",
    "Split",
    "StoredGraph",
    "Synthetic",
    "TemporalGraph",
    "TimeSplit",
    "Verification",
    "Windows",
    "cached_fourier_basis",
    "card",
    "content_sha256",
    "disjoint_union",
    "edge_split",
    "families",
    "feature_sum",
    "fetch",
    "few_shot_counts",
    "fixed_classes",
    "graph_views",
    "hard_negatives",
    "import_graph",
    "import_graph_set",
    "import_series",
    "label_by",
    "link_split_from_name",
    "load",
    "load_links",
    "load_series",
    "load_splits",
    "locality_order",
    "metis_clusters",
    "names",
    "ogb_link_metric",
    "ogb_metric",
    "open_stored",
    "pair_score",
    "pair_views",
    "partition",
    "plan_import",
    "random_graph",
    "reorder_nodes",
    "split_from_name",
    "store",
    "synthesize",
    "synthesize_ogb",
    "to_undirected",
    "validate",
    "verify",
]
