"""Losses of embeddings and labels."""

from graphkit.metric.losses.margin import ContrastiveLoss, TripletLoss
from graphkit.metric.losses.quadruplet import QuadrupletLoss
from graphkit.metric.losses.softmax import (
    CircleLoss,
    InfoNCELoss,
    MultiSimilarityLoss,
    SupervisedContrastiveLoss,
)

__all__ = [
    "CircleLoss",
    "ContrastiveLoss",
    "InfoNCELoss",
    "MultiSimilarityLoss",
    "QuadrupletLoss",
    "SupervisedContrastiveLoss",
    "TripletLoss",
]
