"""Logistic regression as a learner: fitted to a support, asked for anything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphkit.meta import AbstractLearner
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.learners.abstract_learner import Forward
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows


class LogisticLearner(AbstractLearner):
    """A logistic regression on unit rows, fitted to each support by itself; nothing of it is trained beforehand.

    Args:
        strength: inverse of the L2 penalty, scikit-learn's ``C``.

    Source: Tian et al. (2020), arXiv:2003.11539; :func:`graphkit.meta.logistic_regression` evaluates the same.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=2, n_tasks=1))
        >>> LogisticLearner().logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 1, 1]
    """

    def __init__(self, *, strength: float = 1.0) -> None:
        super().__init__(nn.Identity())
        self.strength = strength
        self._accelerated = False  # scikit-learn fits one support at a time

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return weights and offsets of each class."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        x = unit_rows(support(self.call({})).detach().cpu().double()).numpy()
        with threadpool_limits(1):
            fitted = LogisticRegression(C=self.strength, max_iter=1000).fit(x, y.cpu().numpy())
        weight, bias = torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)
        if len(weight) == 1:  # of two classes the first one's logit is 0
            weight, bias = torch.cat([0 * weight, weight]), torch.cat([0 * bias, bias])
        return {"@weight": weight, "@bias": bias}

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return logits."""
        x = unit_rows(query(self.call({})).detach().double())
        return x @ parameters["@weight"].to(x.device).T + parameters["@bias"].to(x.device)

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Refuse: nothing in it is trained.

        Raises:
            TypeError: always.
        """
        raise TypeError("a logistic regression is fitted to each support; there is nothing to train beforehand.")
