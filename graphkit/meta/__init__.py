"""Few-shot learning: frozen tasks over the items of graphs, learners that adapt to them, and their evaluation."""

from graphkit._deprecated import deprecated_names
from graphkit.meta.baselines import FeatureWeights, WithinClassWhitening, logistic_regression, pretrain
from graphkit.meta.class_split import ClassSplit
from graphkit.meta.evaluation import Evaluation, evaluate
from graphkit.meta.items import AbstractItems, Graphs, Labels, Nodes, Rows
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
    calibrated_logits,
)
from graphkit.meta.meta_training import MetaStep, MetaTrainer, MetaTraining, MetaTrainingResult, meta_train
from graphkit.meta.tasks import Episode, FewShotProtocol, Task, TaskSet

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
    "FewShotProtocol",
    "Graphs",
    "KernelRidge",
    "Labels",
    "MetaSGD",
    "MetaStep",
    "MetaTrainer",
    "MetaTraining",
    "MetaTrainingResult",
    "Nodes",
    "ProtoMAML",
    "PrototypicalNetwork",
    "Reptile",
    "Rows",
    "SemiSupervisedProtoMAML",
    "SemiSupervisedPrototypes",
    "Task",
    "TaskSet",
    "WithinClassWhitening",
    "calibrated_logits",
    "evaluate",
    "logistic_regression",
    "meta_train",
    "pretrain",
]

__getattr__ = deprecated_names(
    __name__,
    {
        "Protocol": "graphkit.meta.tasks.FewShotProtocol",
        "Trained": "graphkit.meta.meta_training.MetaTrainingResult",
        "calibrated": "graphkit.meta.learners.prototypical.calibrated_logits",
        "meta_trained": "graphkit.meta.meta_training.meta_train",
        "pretrained": "graphkit.meta.baselines.pretrain",
    },
)
