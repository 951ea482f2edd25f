"""Few-shot learning: frozen tasks over the items of graphs, learners that adapt to them, and their evaluation."""

from graphkit._exports import deprecated_names
from graphkit.meta import learners
from graphkit.meta.baselines import FeatureWeights, WithinClassWhitening, logistic_regression, pretrain
from graphkit.meta.evaluation import Evaluation, evaluate
from graphkit.meta.items import AbstractItems, Graphs, Labels, Nodes, Rows
from graphkit.meta.learners import *  # noqa: F403  # the learners that its `__all__` lists
from graphkit.meta.meta_training import MetaStep, MetaTrainer, MetaTraining, MetaTrainingResult, meta_train
from graphkit.meta.tasks import ClassSplit, Episode, FewShotProtocol, Task, TaskSet

__all__ = [
    "AbstractItems",
    "ClassSplit",
    "Episode",
    "Evaluation",
    "FeatureWeights",
    "FewShotProtocol",
    "Graphs",
    "Labels",
    "MetaStep",
    "MetaTrainer",
    "MetaTraining",
    "MetaTrainingResult",
    "Nodes",
    "Rows",
    "Task",
    "TaskSet",
    "WithinClassWhitening",
    "evaluate",
    "logistic_regression",
    "meta_train",
    "pretrain",
]
__all__ += learners.__all__

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
