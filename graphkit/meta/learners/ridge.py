"""Kernel ridge regression on a task's support, in closed form, with unlabelled items or without."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, embeddings, flag, positive
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward, query_loss
from graphkit.meta.learners.prototypical import prototypes, require_like_support, soft_assignment
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows


class KernelRidge(AbstractLearner):
    r"""Each class is a function fitted to the support by least squares with the Gaussian kernel, in closed form.

    Of unit embeddings :math:`z_i`, with :math:`k(a, b) = e^{-\gamma \|a - b\|^2}` and :math:`t_i` one-hot less
    :math:`1 / ways`, it minimises

    .. math::
        \sum_i w_i \|f(z_i) + b - t_i\|^2 + \lambda \|f\|_k^2, \qquad f = \sum_i k(\cdot, z_i)\, a_i,

    and a query item is of the class whose function is largest there. With a large penalty this is the mean similarity
    to the support, almost as in :class:`PrototypicalNetwork`; a smaller one counts what many items have in common once.
    Without an intercept the offset :math:`b` is 0: best for rows that were centred (half a point of accuracy on Cora).
    Rows with a direction in common, as features averaged over neighbours, need it, or the class wins whose support lies
    closer together (six points on Amazon-Computers).

    A labelled item has the weight 1. Unlabelled items take part as if they were of the class whose prototype is
    nearest, with the weights :math:`w_{cu}` of :class:`SemiSupervisedPrototypes`, which for every class that has some
    sum to ``weight``; of each class the ``nearest`` that weigh most, which keeps the system small.

    Args:
        model: any module from rows to embeddings; it may be trained, the solution is differentiable.
        unlabelled: rows ``[items, features]``, the query may be among them; none for the support alone.
        penalty: :math:`\lambda`, above 0.
        gamma: :math:`\gamma`, above 0; squared distances are 4 at most.
        weight: how many labelled items of its class all unlabelled ones are worth, above 0.
        spread: how far from a prototype an unlabelled item still counts, above 0.
        intercept: whether each class has an offset, which is not penalised.
        nearest: unlabelled items of each class that take part, at least 1.
        temperature: the functions are divided by it to be logits, above 0.

    Raises:
        TypeError: for unlabelled rows that are no floating-point tensor.
        ValueError: for unlabelled rows that are no matrix of finite numbers, or other rows than those of the tasks; and
            for a penalty so small that the system cannot be solved.

    Source: Bertinetto et al. (2019), arXiv:1805.08136, for ridge regression as a head in closed form (R2-D2), there
    linear and with scale and offset of the logits learnt; unlabelled items as in Ren et al. (2018), arXiv:1803.00676.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> KernelRidge(nn.Identity(), items.x).logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 0, 1, 1, 1]
    """

    unlabelled: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        unlabelled: Tensor | None = None,
        *,
        penalty: float = 10.0,
        gamma: float = 0.5,
        weight: float = 3.0,
        spread: float = 0.3,
        intercept: bool = False,
        nearest: int = 200,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(model)
        known = None if unlabelled is None else embeddings("unlabelled", unlabelled)
        self.register_buffer("unlabelled", known, persistent=False)
        self.penalty = positive("penalty", penalty)
        self.gamma = positive("gamma", gamma)
        self.weight = positive("weight", weight)
        self.spread = positive("spread", spread)
        self.intercept = flag("intercept", intercept)
        self.nearest = at_least("nearest", nearest, 1)
        self.temperature = positive("temperature", temperature)

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse unlabelled items that are not of the support's form; any outputs are embeddings."""
        if self.unlabelled is not None:
            require_like_support(self.unlabelled, self.embed({}, support), self.call({}))

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the items that took part, and what each contributes to the functions."""
        z = _unit(self.embed({}, support))
        belongs, weights = F.one_hot(y, ways).to(z.dtype), z.new_ones(len(z))
        if self.unlabelled is not None:
            near = _unit(self.embed({}, lambda call: call(self.unlabelled)))
            worth, chosen = self._nearest_unlabelled(prototypes(z, y, ways), near)
            z, weights = torch.cat((z, near[chosen.flatten()])), torch.cat((weights, worth.flatten()))
            classes = torch.eye(ways, dtype=z.dtype, device=z.device)
            belongs = torch.cat((belongs, classes.repeat_interleave(chosen.size(1), 0)))
        root = weights.clamp(min=torch.finfo(z.dtype).tiny).sqrt()[
            :, None
        ]  # whoever weighs nothing has a gradient of 0
        system = root * self._kernel(z, z) * root.T + self.penalty * torch.eye(len(z), dtype=z.dtype, device=z.device)
        wanted = root * (belongs - 1 / ways)
        try:
            solution = torch.linalg.solve(system, torch.cat((wanted, root), 1) if self.intercept else wanted)
        except torch.linalg.LinAlgError:
            raise ValueError(
                f"`penalty` {self.penalty} is too small beside rows that are alike in {z.dtype}: the system has no one "
                "solution; take a larger one."
            ) from None
        if not self.intercept:
            return {"@items": z, "@contributions": root * solution}
        # With an offset the targets are less by it, and the residuals of each class sum to 0.
        solution, ones = solution[:, :-1], solution[:, -1:]
        offset = (root * solution).sum(0) / (root * ones).sum(0)
        return {"@items": z, "@contributions": root * (solution - ones * offset), "@offset": offset}

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return the functions, over the temperature."""
        outputs = self.embed(parameters, query)
        found = self._kernel(_unit(outputs), parameters["@items"]) @ parameters["@contributions"]
        return ((found + parameters.get("@offset", 0)) / self.temperature).to(outputs.dtype)

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's mean cross-entropy."""
        return query_loss(self.logits(tasks), tasks)

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the kernel between unit rows."""
        return (2 * self.gamma * (a @ b.T - 1)).exp()

    def _nearest_unlabelled(self, centers: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and number of the unlabelled items that take part, of each class, ``[ways, items]`` both."""
        similar = centers @ near.T / self.spread
        likeliest = similar.argmax(0) == torch.arange(len(similar), device=similar.device)[:, None]
        worth, chosen = (soft_assignment(similar) * likeliest).topk(min(self.nearest, len(near)), dim=-1)
        total = worth.sum(-1, keepdim=True).clamp(min=torch.finfo(near.dtype).tiny)  # of a class that is none's: 0
        return self.weight * worth / total, chosen


def _unit(z: Tensor) -> Tensor:
    """Return rows of length 1 in a type in which systems can be solved, float32 at least."""
    return unit_rows(z.to(torch.promote_types(z.dtype, torch.float32)))
