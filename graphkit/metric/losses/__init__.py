"""Losses of embeddings and labels."""

from graphkit.metric.losses.contrastive import ContrastiveLoss
from graphkit.metric.losses.quadruplet import QuadrupletLoss
from graphkit.metric.losses.similarity import CircleLoss, MultiSimilarityLoss
from graphkit.metric.losses.softmax import InfoNCELoss, SupervisedContrastiveLoss
from graphkit.metric.losses.triplet import TripletLoss

__all__ = [
    "CircleLoss",
    "ContrastiveLoss",
    "InfoNCELoss",
    "MultiSimilarityLoss",
    "QuadrupletLoss",
    "SupervisedContrastiveLoss",
    "TripletLoss",
]
