"""Estimators on rows of numbers that are fitted without a step of an optimiser, as modules."""

from graphkit.nn.estimators.abstract_estimator import AbstractEstimator
from graphkit.nn.estimators.forest import Forest
from graphkit.nn.estimators.gaussian_process import GaussianProcess
from graphkit.nn.estimators.logistic import LogisticModel

__all__ = ["AbstractEstimator", "Forest", "GaussianProcess", "LogisticModel"]
