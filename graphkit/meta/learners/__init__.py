"""Few-shot learners: MAML and its kin, Reptile, prototypical networks, kernel ridge regression."""

from graphkit.meta.learners.abstract import AbstractLearner
from graphkit.meta.learners.clone import Clone
from graphkit.meta.learners.gradient import AbstractGradientLearner
from graphkit.meta.learners.maml import ANIL, MAML, MetaSGD, ProtoMAML, SemiSupervisedProtoMAML
from graphkit.meta.learners.prototypes import PrototypicalNetwork, SemiSupervisedPrototypes, calibrated
from graphkit.meta.learners.reptile import Reptile
from graphkit.meta.learners.ridge import KernelRidge

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
    "calibrated",
]
