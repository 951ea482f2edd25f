"""Few-shot learners: MAML and its kin, Reptile, prototypical and Siamese networks, ridge regression."""

from graphkit.meta.learners.abstract_learner import AbstractLearner
from graphkit.meta.learners.gradient_learner import AbstractGradientLearner, Clone
from graphkit.meta.learners.maml import ANIL, MAML, MetaSGD, ProtoMAML, Reptile, SemiSupervisedProtoMAML
from graphkit.meta.learners.prototypical import PrototypicalNetwork, SemiSupervisedPrototypes, calibrated_logits
from graphkit.meta.learners.ridge import KernelRidge
from graphkit.meta.learners.siamese import SiameseNetwork
from graphkit.meta.learners.view_ridge import ViewRidge

__all__ = [
    "ANIL",
    "MAML",
    "AbstractGradientLearner",
    "AbstractLearner",
    "Clone",
    "KernelRidge",
    "MetaSGD",
    "ProtoMAML",
    "PrototypicalNetwork",
    "Reptile",
    "SemiSupervisedProtoMAML",
    "SemiSupervisedPrototypes",
    "SiameseNetwork",
    "ViewRidge",
    "calibrated_logits",
]
