"""Few-shot baselines: logistic regression, pre-training on the other classes, feature weights and whitening."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, embeddings, instance, not_negative, positive
from graphkit.meta.evaluation import Evaluation, require_calibration
from graphkit.meta.items import Rows, labelled_sources
from graphkit.meta.learners.prototypical import balanced_logits
from graphkit.meta.meta_training import SINGLE_PROCESS, WorldLike
from graphkit.meta.tasks import TaskSet, require_task_set
from graphkit.metric.distances import unit_rows

MAX_DIRECTIONS = 512
"""Most directions that whitening changes."""


def logistic_regression(
    tasks: TaskSet, *, strength: float = 1.0, calibrate: int = 0, balanced: bool = False
) -> Evaluation:
    """Return how a logistic regression fares that is fitted to each task's support, on rows of length 1.

    With calibration it is fitted anew to the support and to the query items in the classes they were guessed to be of:
    a figure of it is transductive. It agrees with most of its own guesses: without balance it gains little.

    Args:
        tasks: tasks of :class:`Rows`.
        strength: inverse of the L2 penalty, scikit-learn's ``C``.
        calibrate: how often, 0 or more.
        balanced: whether calibration knows that every class has as many query items, see :func:`calibrated_logits`.

    Source: Tian et al. (2020), arXiv:2003.11539, for the baseline; Amini & Gallinari (2002), Semi-supervised logistic
    regression, for its calibration (classification EM).

    Example:
        >>> from graphkit.meta import FewShotProtocol
        >>> items = Rows(torch.eye(2)[torch.arange(40) % 2], torch.arange(40) % 2)
        >>> logistic_regression(TaskSet.draw(items, (0, 1), FewShotProtocol(n_tasks=2, k_shot=1))).mean
        1.0
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    require_task_set("tasks", tasks, "a TaskSet")
    items = tasks.items
    if not isinstance(items, Rows):
        raise TypeError(f"`tasks` must be of rows, got {type(items).__name__}; propagate the features first.")
    x = unit_rows(embeddings("tasks.items.x", items.x.detach()).cpu().double()).numpy()
    require_calibration(calibrate, balanced)
    found = []
    regression = partial(LogisticRegression, C=positive("strength", strength), max_iter=1000, warm_start=True)
    with threadpool_limits(1):  # fits of a few rows: waking threads for each product takes longer than the product
        for task in tasks:
            episode = task.episode
            support, query = x[episode.support.flatten().numpy()], x[episode.query.flatten().numpy()]
            y, rows = episode.support_y.numpy(), np.concatenate((support, query))
            fitted = regression().fit(support, y)
            for _ in range(calibrate):
                fitted.fit(rows, np.concatenate((y, _predict(fitted, query, balanced))))
            guesses = _predict(fitted, query, balanced and calibrate > 0)
            found.append(float(np.mean(guesses == episode.query_y.numpy())))
    return Evaluation(tuple(found), tasks.fingerprint, calibrate > 0)


def _predict(fitted: Any, query: np.ndarray, balanced: bool) -> np.ndarray:
    if not balanced:
        return fitted.predict(query)
    return balanced_logits(torch.from_numpy(fitted.predict_log_proba(query))).argmax(-1).numpy()


class ClassifierTraining:
    """The training of a body in place with Adam, under a linear head, one step on all items an epoch.

    Between two steps its state is that of module and optimizer: who keeps these can go on from there.

    Args:
        body, channels, sources, lr, l2: see :func:`pretrain`.
        processes: those that train it together, each on its share of the items.

    Raises:
        ValueError, TypeError: see :func:`pretrain`.

    Source: see :func:`pretrain`.

    Example:
        >>> items = Rows(torch.eye(4)[torch.arange(40) % 4], torch.arange(40) % 4)
        >>> training = ClassifierTraining(nn.Linear(4, 3), 3, [(items, (0, 1, 2))])
        >>> losses = [training.take_step(epoch) for epoch in (1, 2)]
        >>> losses[1] < losses[0]
        True
    """

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        sources: Sequence[tuple[Rows, Sequence[int]]],
        *,
        lr: float = 0.01,
        l2: float = 5e-4,
        processes: WorldLike = SINGLE_PROCESS,
    ) -> None:
        instance("body", body, nn.Module, "a torch.nn.Module")
        at_least("channels", channels, 1)
        not_negative("l2", l2)
        sources = labelled_sources("sources", sources)
        classes = torch.tensor(sorted({label for _, labels in sources for label in labels}), dtype=torch.long)
        first = next(body.parameters())
        head = nn.Linear(channels, len(classes)).to(first.device, first.dtype)
        self.body, self.head, self.module, self.processes = body, head, nn.Sequential(body, head), processes
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=positive("lr", lr), weight_decay=l2)
        rows, numbers = [], []
        for items, labels in sources:
            known = torch.isin(items.y.cpu(), torch.tensor(labels))
            rows.append(items.x[known.to(items.x.device)])
            numbers.append(torch.searchsorted(classes, items.y.cpu()[known].long()).to(items.x.device))
        self.x, self.y = torch.cat(rows), torch.cat(numbers)

    def take_step(self, number: int) -> float:
        """Take the step of the epoch of this number, from 1, and return the loss before it."""
        self.module.train()
        self.optimizer.zero_grad()
        loss = self._loss()
        loss.backward()
        self.processes.add_gradients(self.module)
        self.optimizer.step()
        return self.processes.total(loss.detach()).item()

    def _loss(self) -> Tensor:
        """Return the loss of this process's items, as its part of the mean over all of them."""
        rank, count = self.processes.rank, self.processes.count
        z, channels = self.body(self.x[rank::count]), self.head.in_features
        if z.size(-1) != channels:
            raise ValueError(f"`channels` must be the number of outputs of `body` ({z.size(-1)}), got {channels}.")
        if count == 1:
            return F.cross_entropy(self.head(z), self.y)
        return F.cross_entropy(self.head(z), self.y[rank::count], reduction="sum") / len(self.y)


def pretrain(
    body: nn.Module,
    channels: int,
    sources: Sequence[tuple[Rows, Sequence[int]]],
    *,
    epochs: int = 100,
    lr: float = 0.01,
    l2: float = 5e-4,
) -> None:
    """Train a body in place, under a linear head that is thrown away, to tell classes apart.

    Args:
        body: from rows to ``channels`` outputs.
        channels: its outputs.
        sources: items, and the labels of the classes to tell apart; classes of one number are the same in all.
        epochs: full-batch steps of Adam.
        lr: its rate.
        l2: weight decay in the gradient.

    Raises:
        ValueError: while it runs, if the loss is not finite.

    Source: Chen et al. (2019), arXiv:1904.04232, for pre-training and fine-tuning as a baseline of few-shot learning.

    Example:
        >>> items = Rows(torch.eye(4)[torch.arange(40) % 4], torch.arange(40) % 4)
        >>> body = nn.Linear(4, 3)
        >>> pretrain(body, 3, [(items, (0, 1, 2))], epochs=5)
    """
    training = ClassifierTraining(body, channels, sources, lr=lr, l2=l2)
    for epoch in range(1, at_least("epochs", epochs, 1) + 1):
        if not math.isfinite(training.take_step(epoch)):
            raise ValueError(f"the loss is not finite in epoch {epoch}; try a smaller `lr`.")


class FeatureWeights(nn.Module):
    r"""Scales each feature, :math:`x \odot w`, and begins at 1, where it changes nothing.

    Args:
        channels: number of features.

    Source: the diagonal metric of Xing et al. (2002), "Distance metric learning with application to clustering".

    Example:
        >>> FeatureWeights(3)(torch.ones(2, 3)).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(at_least("channels", channels, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled rows."""
        return x * self.weight


class WithinClassWhitening(nn.Module):
    r"""Within-class whitening: shrinks the directions in which items of one class differ.

    With :math:`\Sigma` the covariance of known items around the means of their classes, and :math:`\sigma` its largest
    eigenvalue, the map is :math:`(\Sigma / \sigma + \lambda)^{-1/2}` times :math:`\lambda^{1/2}`, so that directions in
    which nothing is known to differ stay as they are. Where there are more than 512 directions, the others stay too, in
    which items differ least, and random projections from a fixed start find those. Nothing is learnt step by step.

    Args:
        sources: items, and the labels of the classes that are known in them.
        shrinkage: :math:`\lambda`, above 0; the smaller, the rounder. It may be set to another value later.

    Raises:
        ValueError: for no class that is known with two items, which differ.

    Source: Hatch, Kajarekar & Stolcke (2006), "Within-class covariance normalization for SVM-based speaker
    recognition"; smoothed by the identity as there, but relative to the largest eigenvalue.

    Example:
        >>> items = Rows(torch.tensor([[-3.0, 0.0], [3.0, 0.0], [-3.0, 5.0], [3.0, 5.0]]), torch.tensor([0, 0, 1, 1]))
        >>> WithinClassWhitening([(items, (0, 1))], shrinkage=1 / 3)(torch.ones(1, 2))
        tensor([[0.5000, 1.0000]])
    """

    directions: Tensor
    share: Tensor

    def __init__(self, sources: Sequence[tuple[Rows, Sequence[int]]], *, shrinkage: float = 1.0) -> None:
        super().__init__()
        self.shrinkage = positive("shrinkage", shrinkage)
        sources = labelled_sources("sources", sources)
        classes = [items.x[items.y == label] for items, labels in sources for label in labels]
        largest = max((float(x.detach().abs().max()) for x in classes if x.numel()), default=0.0)
        # In parts of the largest number, whose squares neither overflow nor vanish, in float32 at least.
        classes = [x.to(torch.promote_types(x.dtype, torch.float32)) / (largest or 1.0) for x in classes]
        known = torch.cat([x - x.mean(0) for x in classes]) if classes else torch.zeros(0, 0)
        if not known.count_nonzero():
            raise ValueError("`sources` must hold a class of two items that differ.")
        dtype = embeddings("sources", sources[0][0].x).dtype
        if min(known.shape) <= MAX_DIRECTIONS:
            _, spread, directions = torch.linalg.svd(known, full_matrices=False)
        else:
            basis = _leading_directions(known, MAX_DIRECTIONS)
            _, spread, directions = torch.linalg.svd(known @ basis, full_matrices=False)
            directions = directions @ basis.T
        self.register_buffer("directions", directions.to(dtype))
        self.register_buffer("share", (spread / spread[0]).square().to(dtype))

    @classmethod
    def of(cls, directions: Tensor, share: Tensor, shrinkage: float) -> WithinClassWhitening:
        """Return a whitening that is known already.

        Args:
            directions: orthonormal ``[directions, features]``.
            share: how much classes differ along each, of the most that they do along any ``[directions]``.
            shrinkage: above 0.
        """
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.shrinkage = positive("shrinkage", shrinkage)
        made.register_buffer("directions", directions)
        made.register_buffer("share", share)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows, whitened."""
        change = (1 + self.share / self.shrinkage).rsqrt() - 1
        return x + (x @ self.directions.T * change) @ self.directions


def _leading_directions(x: Tensor, count: int, rounds: int = 2) -> Tensor:
    """Return an orthonormal basis of nearly the first right singular vectors of ``x``, ``[columns, count]``.

    Subspace iteration from a start of its own generator, so that no other random number changes.

    Source: Halko, Martinsson & Tropp (2011), arXiv:0909.4061, algorithm 4.4.
    """
    basis = torch.randn(x.size(1), count, dtype=x.dtype, generator=torch.Generator().manual_seed(0)).to(x.device)
    for _ in range(rounds + 1):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    return basis
