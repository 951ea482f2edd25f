"""Few-shot learning: frozen tasks over the items of graphs, learners that adapt to them, and how they fare."""

from graphkit.meta.class_split import ClassSplit
from graphkit.meta.evaluation import Evaluation, evaluate
from graphkit.meta.items import AbstractItems, Graphs, Nodes, Rows
from graphkit.meta.learners import (
    ANIL,
    MAML,
    AbstractGradientLearner,
    AbstractLearner,
    MetaSGD,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    calibrated,
)
from graphkit.meta.tasks import Episode, Protocol, Task, TaskSet

__all__ = [
    "ANIL",
    "MAML",
    "AbstractGradientLearner",
    "AbstractItems",
    "AbstractLearner",
    "ClassSplit",
    "Episode",
    "Evaluation",
    "Graphs",
    "MetaSGD",
    "Nodes",
    "ProtoMAML",
    "Protocol",
    "PrototypicalNetwork",
    "Reptile",
    "Rows",
    "Task",
    "TaskSet",
    "calibrated",
    "evaluate",
]
