"""Few-shot learning: frozen tasks over the items of graphs, learners that adapt to them, and how they fare."""

from graphkit.meta.baselines import logistic_regression, pretrained
from graphkit.meta.class_split import ClassSplit
from graphkit.meta.evaluation import Evaluation, evaluate
from graphkit.meta.items import AbstractItems, Graphs, Nodes, Rows
from graphkit.meta.learners import (
    ANIL,
    MAML,
    AbstractGradientLearner,
    AbstractLearner,
    Clone,
    KernelRidge,
    MetaSGD,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    SemiSupervisedProtoMAML,
    SemiSupervisedPrototypes,
    calibrated,
)
from graphkit.meta.models import FeatureWeights, WithinClassWhitening
from graphkit.meta.tasks import Episode, Protocol, Task, TaskSet
from graphkit.meta.training import MetaStep, MetaTrainer, MetaTraining, Trained, meta_trained

__all__ = [
    "ANIL",
    "MAML",
    "AbstractGradientLearner",
    "AbstractItems",
    "AbstractLearner",
    "ClassSplit",
    "Clone",
    "Episode",
    "Evaluation",
    "FeatureWeights",
    "Graphs",
    "KernelRidge",
    "MetaSGD",
    "MetaStep",
    "MetaTrainer",
    "MetaTraining",
    "Nodes",
    "ProtoMAML",
    "Protocol",
    "PrototypicalNetwork",
    "Reptile",
    "Rows",
    "SemiSupervisedProtoMAML",
    "SemiSupervisedPrototypes",
    "Task",
    "TaskSet",
    "Trained",
    "WithinClassWhitening",
    "calibrated",
    "evaluate",
    "logistic_regression",
    "meta_trained",
    "pretrained",
]
