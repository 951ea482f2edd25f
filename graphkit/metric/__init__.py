"""Metric learning on embeddings and labels; nothing here ever sees a graph."""

from graphkit.metric.anomaly import AnomalyScorer
from graphkit.metric.conditional import ConditionalSimilarity, ContextSimilarity, evaluate_conditions
from graphkit.metric.distances import pairwise_distances
from graphkit.metric.losses import (
    ContrastiveLoss,
    InfoNCELoss,
    QuadrupletLoss,
    SupervisedContrastiveLoss,
    TripletLoss,
)
from graphkit.metric.nearest import nearest_items
from graphkit.metric.probes import cluster_agreement, linear_probe
from graphkit.metric.prototypes import PrototypeLoss, class_prototypes, consistency
from graphkit.metric.retrieval import Retrieval, evaluate_retrieval

__all__ = [
    "AnomalyScorer",
    "ConditionalSimilarity",
    "ContextSimilarity",
    "ContrastiveLoss",
    "InfoNCELoss",
    "PrototypeLoss",
    "QuadrupletLoss",
    "Retrieval",
    "SupervisedContrastiveLoss",
    "TripletLoss",
    "class_prototypes",
    "cluster_agreement",
    "consistency",
    "evaluate_conditions",
    "evaluate_retrieval",
    "linear_probe",
    "nearest_items",
    "pairwise_distances",
]
