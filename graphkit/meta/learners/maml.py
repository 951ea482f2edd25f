"""MAML and its kin: a start from which a few steps on the support do well on the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit._checks import embeddings, instance, positive
from graphkit._exports import deprecated_method
from graphkit.meta.functional import model_lock
from graphkit.meta.learners.abstract_learner import Forward, query_loss
from graphkit.meta.learners.gradient_learner import (
    AbstractGradientLearner,
    InnerOptions,
    MovedOptions,
    trained_parameters,
)
from graphkit.meta.learners.prototypical import refined_prototypes, require_like_support
from graphkit.meta.tasks import Task


class AbstractMAML(AbstractGradientLearner):
    """A start that is trained by the loss of the query after the steps."""

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's mean cross-entropy after adapting, differentiable through the steps.

        With ``multi_step`` the losses after all steps are averaged, the last with the largest weight.
        """
        if not self.multi_step or not self.inner_steps:
            return query_loss(self.logits(tasks), tasks)

        def solve(support: Forward, query: Forward, y: Tensor, ways: int) -> Tensor:
            return torch.stack([self.predict_query(table, query) for table in self.trajectory(support, y, ways)[1:]])

        logits = self.map_tasks(tasks, solve)  # [tasks, steps, items, ways]
        losses = torch.stack([query_loss(logits[:, step], tasks) for step in range(logits.size(1))])
        before = self.multi_step / len(losses)
        return before * losses[:-1].sum() + (1 - before * (len(losses) - 1)) * losses[-1]

    loss_after_steps = deprecated_method("meta_loss")


class MAML(AbstractMAML):
    r"""Model-agnostic meta-learning: a start from which a few steps on the support do well on the query.

    .. math::
        \min_\theta \sum_{\mathcal T} \ell_{query}\bigl(\theta - \alpha \nabla \ell_{support}(\theta)\bigr)

    ``order=1`` is first-order MAML (FOMAML). All parameters adapt, or those that are named; the model has one
    output per class.

    Args:
        model: any module with as many outputs as tasks have classes.
        moved, inner_lr, inner_steps, order, dropout, statistics, multi_step: see :class:`AbstractGradientLearner`.

    Source: Finn, Abbeel & Levine (2017), arXiv:1703.03400. The official codes of Meta-GNN and G-Meta never
    keep the graph of the inner steps: what they call MAML is ``order=1``.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(30), torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> learner = MAML(nn.Linear(30, 2), inner_lr=0.5, inner_steps=2)
        >>> sorted(learner.adapt(tasks[0])), learner.logits(tasks).shape
        (['bias', 'weight'], torch.Size([4, 6, 2]))
    """

    def __init__(self, model: nn.Module, **inner: Unpack[MovedOptions]) -> None:
        super().__init__(model, **inner)


class ANIL(AbstractMAML):
    """Almost no inner loop: only the head adapts, the features are those of the start.

    Args:
        model: any module with as many outputs as tasks have classes.
        head: the module, or parameter, that adapts, by its name; the last layer when left out, a graph convolution with
            all that it has. That is the model's ``last``, if it has such a module, else what its last parameter is of.
        inner_lr, inner_steps, order, dropout, statistics, multi_step: see :class:`AbstractGradientLearner`.

    Raises:
        ValueError: if no parameter is of ``head``.

    Source: Raghu et al. (2020), arXiv:1909.09157.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> ANIL(model).moved
        ('2.weight', '2.bias')
    """

    def __init__(self, model: nn.Module, *, head: str | None = None, **inner: Unpack[InnerOptions]) -> None:
        names = list(trained_parameters(instance("model", model, nn.Module, "a torch.nn.Module")))
        if head is not None:
            instance("head", head, str, "the name of a module or a parameter")
        if "moved" in inner:
            raise TypeError("`moved` is not for ANIL, which moves its `head`; name that.")
        last = _last_layer(model, names) if head is None else head.removesuffix(".")
        moved = [last] if last else None
        if not trained_parameters(model, moved):
            raise ValueError(
                f"`head` {head!r} is no module or parameter that is trained; there are {', '.join(names)}."
            )
        super().__init__(model, moved=moved, **inner)


def _last_layer(model: nn.Module, names: Sequence[str]) -> str:
    """Return the name of the model's ``last``, or of the layer that the last parameter is of.

    That is a graph convolution, or what has the parameter directly.
    """
    said = getattr(model, "last", None)
    if isinstance(said, nn.Module) and any(p.requires_grad for p in said.parameters()):
        return next(name for name, module in model.named_modules() if module is said)
    path = names[-1].split(".")[:-1] if names else []
    prefixes = [".".join(path[:depth]) for depth in range(len(path) + 1)]
    convolutions = [prefix for prefix in prefixes if isinstance(model.get_submodule(prefix), MessagePassing)]
    return (convolutions or prefixes[-1:])[0]


class MetaSGD(AbstractMAML):
    """MAML with rates that are learnt, one for each parameter tensor in each step.

    Args:
        model: any module with as many outputs as tasks have classes.
        inner_lr: where all rates start, above 0.
        moved, inner_steps, order, dropout, statistics, multi_step: see :class:`AbstractGradientLearner`.

    Source: Li et al. (2017), arXiv:1707.09835, whose rates are one per number and the same in all steps; per tensor and
    step as Antoniou, Edwards & Storkey (2019), arXiv:1810.09502.

    Example:
        >>> learner = MetaSGD(nn.Linear(4, 2), inner_lr=0.2, inner_steps=3)
        >>> sorted((name, tuple(value.shape)) for name, value in learner.rates.items())
        [('bias', (3,)), ('weight', (3,))]
    """

    def __init__(self, model: nn.Module, **inner: Unpack[MovedOptions]) -> None:
        if "inner_lr" in inner:
            positive("inner_lr", inner["inner_lr"])
        super().__init__(model, learnt_rates=True, **inner)


class ProtoMAML(AbstractMAML):
    r"""MAML whose head starts, task by task, as the nearest-prototype rule, on the directions of the outputs.

    The head's rows are :math:`\tau c_k / \lVert c_k \rVert` with the class means :math:`c_k` of the unit outputs, and
    its biases 0: before the first step it decides as cosine prototypes do. It fits any number of classes. Gradients
    reach the start through the prototypes too.

    Args:
        model: any module; its outputs are embeddings.
        temperature: :math:`1 / \tau`, above 0.
        moved, inner_lr, inner_steps, order, dropout, statistics, multi_step: see :class:`AbstractGradientLearner`.

    Source: Triantafillou et al. (2020), arXiv:1903.03096, for Euclidean prototypes; cosines here,
    as the baseline without training has them.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(30), torch.arange(30) % 3)
        >>> tasks = TaskSet.draw(items, (0, 1, 2), FewShotProtocol(n_way=3, k_shot=2, n_query=3, n_tasks=4))
        >>> ProtoMAML(nn.Linear(30, 8), inner_steps=1).logits(tasks).shape
        torch.Size([4, 9, 3])
    """

    def __init__(self, model: nn.Module, *, temperature: float = 0.1, **inner: Unpack[MovedOptions]) -> None:
        super().__init__(model, temperature=positive("temperature", temperature), **inner)


class SemiSupervisedProtoMAML(ProtoMAML):
    r"""ProtoMAML whose head starts at prototypes that unlabelled items have refined.

    Before the first step it decides as :class:`SemiSupervisedPrototypes` do. A model trained as :class:`ProtoMAML` may
    be given to it for new tasks, which spares a pass over all unlabelled items in every step of the training.

    Args:
        model: any module from rows to embeddings.
        unlabelled: rows ``[items, features]``.
        weight, spread: see :class:`SemiSupervisedPrototypes`.
        temperature, moved, inner_lr, inner_steps, order, dropout, statistics, multi_step: see :class:`ProtoMAML`.

    Source: Triantafillou et al. (2020), arXiv:1903.03096, for the start; Ren et al. (2018), arXiv:1803.00676, for
    prototypes that unlabelled items refine.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> SemiSupervisedProtoMAML(nn.Identity(), items.x, inner_steps=1).logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 0, 1, 1, 1]
    """

    unlabelled: Tensor

    def __init__(
        self,
        model: nn.Module,
        unlabelled: Tensor,
        *,
        weight: float = 3.0,
        spread: float = 0.2,
        temperature: float = 0.1,
        **inner: Unpack[MovedOptions],
    ) -> None:
        super().__init__(model, temperature=temperature, **inner)
        self.register_buffer("unlabelled", embeddings("unlabelled", unlabelled), persistent=False)
        self.weight, self.spread = positive("weight", weight), positive("spread", spread)

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse unlabelled items that are not of the support's form, and parameters that nothing depends on."""
        require_like_support(self.unlabelled, support(self.call({})), self.call({}))
        super().require_fit(support, y, ways)

    def prototypes(self, support: Forward, y: Tensor, ways: int) -> Tensor:
        """Return the directions of the refined prototypes."""
        call = self.call(self.inner_parameters())
        z, near = support(call), call(self.unlabelled)
        return refined_prototypes(z, y, ways, near, weight=self.weight, spread=self.spread)


class Reptile(AbstractGradientLearner):
    r"""No gradient through the steps and no query: the start moves by the mean displacement of the tasks.

    ``meta_loss`` is :math:`\tfrac12 \lVert \theta - \theta_T \rVert^2` with :math:`\theta_T` held constant: its
    gradient is the displacement :math:`\theta - \theta_T`, so that plain gradient descent at rate :math:`\epsilon` is
    the paper's step, and Adam its Adam.

    Args:
        model: any module with as many outputs as tasks have classes.
        moved, inner_lr, inner_steps, dropout, statistics: see :class:`AbstractGradientLearner`.

    Source: Nichol, Achiam & Schulman (2018), arXiv:1803.02999.

    Example:
        >>> learner = Reptile(torch.nn.Linear(4, 2), inner_lr=0.1, inner_steps=3)
        >>> learner.order
        1
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        moved: Sequence[str] | None = None,
        inner_lr: float = 0.1,
        inner_steps: int = 5,
        dropout: bool = False,
        statistics: str = "task",
    ) -> None:
        super().__init__(
            model,
            moved=moved,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            order=1,
            dropout=dropout,
            statistics=statistics,
        )

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return half the mean squared distance to where the tasks lead."""
        self._check_fit(tasks)
        total = torch.zeros(())
        for task in tasks:
            with torch.no_grad():
                adapted = self.adapt(task)
            with model_lock():
                start = self.inner_parameters()
            for name, value in start.items():
                total = total.to(value) + (value - adapted[name]).square().sum() / 2
        return total / len(tasks)
