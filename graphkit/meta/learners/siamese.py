"""Siamese networks: pairs of items that are alike or not, and one labelled item a class to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import positive
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows


class SiameseNetwork(AbstractLearner):
    r"""A query item is of the class of the nearest support item; pairs of the two train the network.

    With :math:`d` the distance of two embeddings of length 1 and :math:`m` the margin, the contrastive loss of a pair
    is :math:`d^2` for items of one class, :math:`\max(0, m - d)^2` for items of two. Here the means over both kinds of
    pairs are added: among several classes most pairs are of two.

    Args:
        model: any module; its outputs are embeddings.
        margin: above 0; at most 2 can be reached.
        temperature: of the similarities that are a query's logits, above 0; no decision depends on it.
        dropout: whether dropout is on.
        statistics: what batch normalisation uses: "task", or "stored".

    Source: Koch, Zemel & Salakhutdinov (2015), "Siamese neural networks for one-shot image recognition", with the
    contrastive loss of Hadsell, Chopra & LeCun (2006) in place of a learnt verification.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=1, n_query=3, n_tasks=4))
        >>> SiameseNetwork(nn.Identity()).logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 0, 1, 1, 1]
        >>> round(float(SiameseNetwork(nn.Identity(), margin=2.0).meta_loss(list(tasks))), 4)
        0.3431
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        margin: float = 1.0,
        temperature: float = 0.1,
        dropout: bool = False,
        statistics: str = "task",
    ) -> None:
        super().__init__(model, dropout=dropout, statistics=statistics)
        self.margin = positive("margin", margin)
        self.temperature = positive("temperature", temperature)

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the directions of the support items, and what is added to their similarities with each class."""
        z = unit_rows(self.embed({}, support))
        others = torch.where(F.one_hot(y, ways).bool(), 0.0, -torch.inf)
        return {"@support": z, "@others": others.to(z)}

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return the similarities with the nearest item of each class."""
        similar = unit_rows(self.embed(parameters, query)) @ parameters["@support"].T
        return (similar[:, :, None] + parameters["@others"]).amax(1) / self.temperature

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the mean contrastive loss of the pairs of a support and a query item."""

        def pairs(support: Forward, query: Forward, y: Tensor, ways: int) -> Tensor:
            near, asking = (unit_rows(self.embed({}, each)) for each in (support, query))
            squared = (2 - 2 * asking @ near.T).clamp(min=torch.finfo(near.dtype).eps)
            asked = tasks[0].episode.query_y.to(y.device)  # of all tasks: they are of one form
            same = (asked[:, None] == y).to(near.dtype)
            apart = (self.margin - squared.sqrt()).clamp(min=0).square()
            return (squared * same).sum() / same.sum() + (apart * (1 - same)).sum() / (1 - same).sum()

        return self.map_tasks(tasks, pairs).mean()
