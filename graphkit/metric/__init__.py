"""Metric learning on embeddings and labels; nothing here ever sees a graph."""

from graphkit.metric import losses
from graphkit.metric.anomaly import AnomalyScorer
from graphkit.metric.conditional import ConditionalSimilarity, ContextSimilarity, evaluate_conditions
from graphkit.metric.distances import pairwise_distances
from graphkit.metric.label_free import barlow_twins, canonical_correlation, vicreg
from graphkit.metric.losses import *  # noqa: F403  # the losses that its `__all__` lists
from graphkit.metric.miners import (
    BatchHardMiner,
    DistanceWeightedMiner,
    HardQuadrupletMiner,
    MultiSimilarityMiner,
    SemiHardMiner,
)
from graphkit.metric.monitoring import Telemetry, telemetry
from graphkit.metric.nearest import nearest_items
from graphkit.metric.probes import cluster_agreement, linear_probe
from graphkit.metric.prototypes import PrototypeLoss, class_prototypes, consistency
from graphkit.metric.retrieval import Retrieval, evaluate_retrieval

__all__ = [
    "AnomalyScorer",
    "BatchHardMiner",
    "ConditionalSimilarity",
    "ContextSimilarity",
    "DistanceWeightedMiner",
    "HardQuadrupletMiner",
    "MultiSimilarityMiner",
    "PrototypeLoss",
    "Retrieval",
    "SemiHardMiner",
    "Telemetry",
    "barlow_twins",
    "canonical_correlation",
    "class_prototypes",
    "cluster_agreement",
    "consistency",
    "evaluate_conditions",
    "evaluate_retrieval",
    "linear_probe",
    "nearest_items",
    "pairwise_distances",
    "telemetry",
    "vicreg",
]
__all__ += losses.__all__
