"""The older ways on the same frozen tasks: logistic regression, and a classifier trained on the other classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from graphkit._checks import at_least, embeddings, flag, instance, not_negative, positive
from graphkit.meta.evaluation import Evaluation
from graphkit.meta.items import Rows, sources_of
from graphkit.meta.learners.prototypes import balanced_logits
from graphkit.meta.tasks import TaskSet, require_task_set
from graphkit.metric.distances import unit_rows


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
        balanced: whether calibration knows that every class has as many query items, see :func:`calibrated`.

    Source: Tian et al. (2020), arXiv:2003.11539, for the baseline; Amini & Gallinari (2002), Semi-supervised logistic
    regression, for its calibration (classification EM).

    Example:
        >>> from graphkit.meta import Protocol
        >>> items = Rows(torch.eye(2)[torch.arange(40) % 2], torch.arange(40) % 2)
        >>> logistic_regression(TaskSet.drawn(items, (0, 1), Protocol(n_tasks=2, k_shot=1))).mean
        1.0
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    require_task_set("tasks", tasks, "a TaskSet")
    flag("balanced", balanced)
    items = tasks.items
    if not isinstance(items, Rows):
        raise TypeError(f"`tasks` must be of rows, got {type(items).__name__}; propagate the features first.")
    x = unit_rows(embeddings("tasks.items.x", items.x.detach()).cpu().double()).numpy()
    at_least("calibrate", calibrate, 0)
    found = []
    regression = partial(LogisticRegression, C=positive("strength", strength), max_iter=1000, warm_start=True)
    with threadpool_limits(1):  # fits of a few rows: waking threads for each product takes longer than the product
        for task in tasks:
            episode = task.episode
            support, query = (x[part.flatten().numpy()] for part in (episode.support, episode.query))
            y, rows = episode.support_y.numpy(), np.concatenate((support, query))
            fitted = regression().fit(support, y)
            for _ in range(calibrate):
                fitted.fit(rows, np.concatenate((y, _guesses(fitted, query, balanced))))
            guesses = _guesses(fitted, query, balanced and calibrate > 0)
            found.append(float(np.mean(guesses == episode.query_y.numpy())))
    return Evaluation(tuple(found), tasks.fingerprint, calibrate > 0)


def _guesses(fitted: Any, query: np.ndarray, balanced: bool) -> np.ndarray:
    if not balanced:
        return fitted.predict(query)
    return balanced_logits(torch.from_numpy(fitted.predict_log_proba(query))).argmax(-1).numpy()


def pretrained(
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

    Source: Chen et al. (2019), arXiv:1904.04232, for pre-training and fine-tuning as a baseline of few-shot learning.

    Example:
        >>> items = Rows(torch.eye(4)[torch.arange(40) % 4], torch.arange(40) % 4)
        >>> body = nn.Linear(4, 3)
        >>> pretrained(body, 3, [(items, (0, 1, 2))], epochs=5)
    """
    instance("body", body, nn.Module, "a torch.nn.Module")
    at_least("channels", channels, 1)
    not_negative("l2", l2)
    sources = sources_of("sources", sources)
    classes = sorted({label for _, labels in sources for label in labels})
    numbers = {label: number for number, label in enumerate(classes)}
    first = next(body.parameters())
    head = nn.Linear(channels, len(classes)).to(first.device, first.dtype)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=positive("lr", lr), weight_decay=l2)
    known = []
    for items, labels in sources:
        there = items.y.cpu()
        rows = torch.isin(there, torch.tensor(sorted(labels)))
        y = torch.tensor([numbers[int(label)] for label in there[rows]])
        known.append((items.x[rows.to(items.x.device)], y.to(items.x.device)))
    x, y = (torch.cat(parts) for parts in zip(*known, strict=True))
    body.train()
    for _ in range(at_least("epochs", epochs, 1)):
        optimizer.zero_grad()
        z = body(x)
        if z.size(-1) != channels:
            raise ValueError(f"`channels` must be the number of outputs of `body` ({z.size(-1)}), got {channels}.")
        F.cross_entropy(head(z), y).backward()
        optimizer.step()
