"""Ridge regression on several views of the items, mixed by their leave-one-out errors, all in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import as_list, at_least, embeddings, not_negative, number, positive
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward, query_loss
from graphkit.meta.learners.prototypical import require_like_support
from graphkit.meta.tasks import Task
from graphkit.metric.ridge import leave_one_out, view_shares

PENALTIES = (0.1, 1.0, 10.0)
"""Penalties that each view is tried with."""


class ViewRidge(AbstractLearner):
    r"""Each class is a linear function of each view, fitted to the support, and views weigh by what they leave out.

    A row holds ``views`` blocks of equal width, :math:`z_i^v` of length 1 or 0. Of each view and penalty
    :math:`\lambda`, with :math:`t_i` one-hot less :math:`1 / ways`,

    .. math::
        B_{v\lambda} = \arg\min_B \sum_i w_i \|B^\top z^v_i - t_i\|^2 + \lambda \|B\|^2, \qquad
        e_{v\lambda} = \frac{\sum_i \|t_i - f^{-i}_{v\lambda}(z_i)\|^2}{\sum_i \|t_i\|^2}, \qquad
        f = \sum_{v\lambda} \frac{e^{p_v - \beta n e_{v\lambda}}}{\sum e^{p - \beta n e}} B_{v\lambda}^\top z^v,

    where :math:`f^{-i}`, fitted to all :math:`n` items but one, has a closed form. A query item is of the class whose
    function is largest. Nothing is trained, and no order of views, features or classes matters.

    Unlabelled items then take part as if they were of the class that :math:`f` gives them: of each class the
    ``nearest`` of highest probability, with a total weight of ``weight`` times that of the class's labelled items.

    Args:
        model: any module from rows to embeddings.
        unlabelled: rows ``[items, features]``, the query may be among them; none for the support alone.
        views: blocks of a row.
        prior: logarithms :math:`p_v` of how much each view weighs before anything is known of it; equal by default.
        penalties: :math:`\lambda`, each above 0.
        sharpness: :math:`\beta`, above 0: how far one view may outweigh another.
        weight: of unlabelled items, 0 or more.
        nearest: unlabelled items of each class that take part, at least 1.
        rounds: how often they are chosen, each time by what those before them came to, at least 1.
        temperature: the functions, of unit variance, are divided by it to be logits, above 0.

    Raises:
        TypeError: for unlabelled rows that are no floating-point tensor.
        ValueError: for unlabelled rows that are no matrix of finite numbers, other rows than those of the tasks, and
            embeddings that are not ``views`` blocks.

    Source: Allen (1974), Technometrics 16(1), for the closed form of the leave-one-out error (PRESS). Zhao et al.
    (2024), arXiv:2405.20445, for least squares on views of a graph, which an attention learnt on another graph mixes.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> y = torch.arange(30) % 2
        >>> noise = F.normalize(torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), dim=-1)
        >>> items = Rows(torch.cat((noise, torch.eye(2)[y]), 1), y)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> ViewRidge(nn.Identity(), views=2).logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 0, 1, 1, 1]
    """

    prior: Tensor | None
    unlabelled: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        unlabelled: Tensor | None = None,
        *,
        views: int,
        prior: Sequence[float] | None = None,
        penalties: Sequence[float] = PENALTIES,
        sharpness: float = 1.0,
        weight: float = 3.0,
        nearest: int = 200,
        rounds: int = 2,
        temperature: float = 0.25,
    ) -> None:
        super().__init__(model)
        known = None if unlabelled is None else embeddings("unlabelled", unlabelled)
        self.register_buffer("unlabelled", known, persistent=False)
        self.views = at_least("views", views, 1)
        weights = None if prior is None else [number("prior", each) for each in as_list("prior", prior, "[0.0, -1.0]")]
        if weights is not None and len(weights) != views:
            raise ValueError(f"`prior` must hold a number for each view ({views}), got {len(weights)}.")
        self.register_buffer("prior", None if weights is None else torch.tensor(weights), persistent=False)
        self.penalties = tuple(positive("penalties", each) for each in as_list("penalties", penalties, "[0.1, 1.0]"))
        if not self.penalties:
            raise ValueError("`penalties` must hold at least one number above 0.")
        self.sharpness = positive("sharpness", sharpness)
        self.weight = not_negative("weight", weight)
        self.nearest = at_least("nearest", nearest, 1)
        self.rounds = at_least("rounds", rounds, 1)
        self.temperature = positive("temperature", temperature)

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse embeddings that are not so many blocks, and unlabelled items that are not of the support's form."""
        z = self.embed({}, support)
        if z.size(-1) % self.views:
            raise ValueError(f"`views` must divide a row of {z.size(-1)} numbers, got {self.views}.")
        if self.unlabelled is not None:
            require_like_support(self.unlabelled, z, self.call({}))

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the weights of all views together: the mixture of linear functions is one."""
        z = self._blocks(self.embed({}, support))
        belongs, labelled = F.one_hot(y, ways).to(z.dtype), z.new_ones(len(y))
        # Every view with every penalty, and how each weighs by what it says of an item that it did not see.
        factor = self._factor(z, labelled)
        fitted = _solve(factor, _moments(z, labelled, belongs - 1 / ways))
        share = self._shares(z, belongs - 1 / ways, factor, fitted)
        mixed = torch.einsum("vp,vpdc->vdc", share, fitted)
        if self.unlabelled is None or not self.weight:
            return self._scale(mixed, z)
        # The same with unlabelled items, as if they were of the class that the mixture gives them.
        near = self._blocks(self.embed({}, lambda call: call(self.unlabelled)))
        for _ in range(self.rounds):
            worth, chosen = self._nearest_unlabelled(_outputs(near, mixed), belongs.sum(0))
            guessed = torch.eye(ways, dtype=z.dtype, device=z.device).repeat_interleave(chosen.size(1), 0)
            weights = torch.cat((labelled, worth.flatten()))
            every, targets = torch.cat((z, near[chosen.flatten()])), torch.cat((belongs, guessed)) - 1 / ways
            fitted = _solve(self._factor(every, weights), _moments(every, weights, targets))
            mixed = torch.einsum("vp,vpdc->vdc", share, fitted)
        return self._scale(mixed, near)

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return the functions, over the temperature."""
        outputs = self.embed(parameters, query)
        return (self._blocks(outputs).flatten(1) @ parameters["@weights"]).to(outputs.dtype)

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's mean cross-entropy."""
        return query_loss(self.logits(tasks), tasks)

    def _blocks(self, outputs: Tensor) -> Tensor:
        """Return embeddings as ``[items, views, numbers]``, in float32 at least."""
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32)).unflatten(-1, (self.views, -1))

    def _factor(self, z: Tensor, weights: Tensor) -> Tensor:
        """Return the Cholesky factors of all systems, ``[views, penalties, numbers, numbers]``."""
        gram = (z * weights[:, None, None]).transpose(0, 1).mT @ z.transpose(0, 1)
        identity = torch.eye(z.size(-1), dtype=z.dtype, device=z.device)
        penalties = torch.tensor(self.penalties, dtype=z.dtype, device=z.device)
        return torch.linalg.cholesky(gram[:, None] + penalties[:, None, None] * identity)

    def _scale(self, weights: Tensor, z: Tensor) -> Parameters:
        """Return the weights of functions that have the variance 1 on items, over the temperature."""
        return {"@weights": (weights / self._deviation(_outputs(z, weights))).flatten(0, 1)}

    def _deviation(self, found: Tensor) -> Tensor:
        """Return what functions are divided by to be logits."""
        return self.temperature * found.std().clamp(min=1e-9)

    def _shares(self, z: Tensor, targets: Tensor, factor: Tensor, fitted: Tensor) -> Tensor:
        """Return how much each view with each penalty weighs, ``[views, penalties]``; a view of zeros nothing."""
        rows = z.transpose(0, 1)[:, None]
        # An item's own part in its fit is its leverage; without that part the fit is the one of all other items.
        leverage = torch.linalg.solve_triangular(factor, rows.mT, upper=False).square().sum(-2)
        left_out = leave_one_out(rows @ fitted, leverage, targets)
        error = (left_out - targets).square().sum((-1, -2)) / targets.square().sum()
        there = z.square().sum((0, 2)) > 0
        prior = None if self.prior is None else self.prior.to(error)[:, None]
        return view_shares(torch.where(there[:, None], error, torch.inf), len(z), self.sharpness, prior)

    def _nearest_unlabelled(self, found: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and number of the unlabelled items that take part, of each class, ``[ways, items]`` both."""
        likely = (found / self._deviation(found)).softmax(-1)
        likeliest = found.argmax(-1, keepdim=True) == torch.arange(found.size(-1), device=found.device)
        sure, chosen = (likely * likeliest).T.topk(min(self.nearest, len(found)), dim=-1)
        worth = (sure > 0).to(found.dtype)
        return self.weight * labelled[:, None] * worth / worth.sum(-1, keepdim=True).clamp(min=1), chosen


def _outputs(z: Tensor, weights: Tensor) -> Tensor:
    """Return the functions of items, ``[items, classes]``; one product, as views lie side by side in a row."""
    return z.flatten(1) @ weights.flatten(0, 1)


def _moments(z: Tensor, weights: Tensor, targets: Tensor) -> Tensor:
    """Return the right sides of all systems, ``[views, 1, numbers, classes]``."""
    return (z.permute(1, 2, 0) @ (weights[:, None] * targets))[:, None]


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    """Return the solutions ``[views, penalties, numbers, classes]``."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)
