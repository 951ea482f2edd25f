"""Prototypical networks; with a model that changes nothing, the baseline without training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, embeddings, flag, integer_labels, member, positive
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.items import ModelCall
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward, query_loss
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows

SIMILARITIES = ("cosine", "euclidean")

SCALINGS = 20
"""Turns of Sinkhorn's scaling, after which 24 guesses at a temperature of 0.1 are balanced to a thousandth."""


def prototypes(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Return the direction of the mean of each class's unit vectors, ``[ways, channels]``; see :func:`directions`.

    Args:
        z: embeddings ``[items, channels]``.
        y: labels ``[items]``, from 0 to ``ways - 1``, each at least once.
        ways: number of classes.
    """
    return directions(_class_sums(unit_rows(z), y, ways), len(y))


def _class_sums(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Return the sum of each class's rows."""
    return F.one_hot(y, ways).T.to(z.dtype) @ z


def directions(sums: Tensor, count: float) -> Tensor:
    """Return the directions of sums of ``count`` unit vectors; zero, as their gradients, where they cancel each other.

    What rounding leaves of a sum that is zero has a direction too, which means nothing, and gradients of 1e16.

    Example:
        >>> directions(torch.tensor([[0.1 + 0.2 - 0.3, 0.0], [0.0, 2.0]]), 3)
        tensor([[0., 0.],
                [0., 1.]])
    """
    noise = 2 * count * torch.finfo(sums.dtype).eps
    there = sums.detach().abs().amax(-1, keepdim=True) > noise if sums.size(-1) else sums
    return unit_rows(torch.where(there, sums, 0))


def require_like_support(unlabelled: Tensor, z: Tensor, call: ModelCall) -> None:
    """Refuse unlabelled rows that a model takes to other embeddings than the support's ``z``, or does not take.

    Raises:
        ValueError: for rows of another width or kind of numbers.
    """
    try:
        found = call(unlabelled[: len(z)])  # of one row alone batch normalisation knows no variance
        alike = (found.size(-1), found.dtype) == (z.size(-1), z.dtype)
    except RuntimeError:
        alike = False
    if not alike:
        raise ValueError(
            f"`unlabelled` must be rows of the width and dtype of the tasks' items, got {list(unlabelled.shape)} of "
            f"{unlabelled.dtype}."
        )


def soft_assignment(similar: Tensor) -> Tensor:
    """Return the soft assignment of unlabelled items to the mean of each class, ``[ways, unlabelled]``; rows sum to 1.

    See :class:`SemiSupervisedPrototypes`; ``similar [ways, unlabelled]`` are similarities over the spread.
    """
    return (similar.log_softmax(0) + similar).softmax(-1)


def refined_prototypes(z: Tensor, y: Tensor, ways: int, near: Tensor, *, weight: float, spread: float) -> Tensor:
    """Return the directions of :func:`prototypes` refined by unlabelled items, ``[ways, channels]``.

    Args:
        z, y, ways: see :func:`prototypes`.
        near: embeddings of the unlabelled items ``[unlabelled, channels]``.
        weight, spread: see :class:`SemiSupervisedPrototypes`.
    """
    near, sums = unit_rows(near), _class_sums(unit_rows(z), y, ways)
    similar = directions(sums, len(y)) @ near.T / spread
    return directions(sums + weight * soft_assignment(similar) @ near, len(y) + weight)


class PrototypicalNetwork(AbstractLearner):
    """Each class is the mean of its support, and a query item is of the class of the nearest mean.

    With ``nn.Identity()`` in place of a model nothing is trained: on propagated features this is the baseline that any
    few-shot result on graphs has to beat.

    Args:
        model: any module; its outputs are embeddings.
        similarity: "cosine" of directions, over ``temperature``; or minus the squared "euclidean" distance, over it.
        temperature: above 0.
        dropout: whether dropout is on.
        statistics: what batch normalisation uses: "task", or "stored".

    Source: Snell, Swersky & Zemel (2017), arXiv:1703.05175, for Euclidean distances.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> PrototypicalNetwork(nn.Identity()).logits(tasks).argmax(-1)[0].tolist()
        [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        similarity: str = "cosine",
        temperature: float = 0.1,
        dropout: bool = False,
        statistics: str = "task",
    ) -> None:
        super().__init__(model, dropout=dropout, statistics=statistics)
        self.similarity = member("similarity", similarity, SIMILARITIES)
        self.temperature = positive("temperature", temperature)

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the prototypes."""
        z = self.embed({}, support)
        if self.similarity == "cosine":
            return {"@prototypes": prototypes(z, y, ways)}
        members = F.one_hot(y, ways).T.to(z.dtype)
        return {"@prototypes": members @ z / members.sum(1, keepdim=True)}

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return the similarities with the prototypes."""
        z, centers = self.embed(parameters, query), parameters["@prototypes"]
        if self.similarity == "cosine":
            return unit_rows(z) @ centers.T / self.temperature
        # Differences, not inner products: far from the origin those lose every digit.
        return -(z.unsqueeze(-2) - centers).square().sum(-1) / self.temperature

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's mean cross-entropy."""
        return query_loss(self.logits(tasks), tasks)


class SemiSupervisedPrototypes(PrototypicalNetwork):
    r"""Prototypes by cosine that unlabelled items have refined, whatever class they are of.

    With :math:`p_c` the prototype of the support of class :math:`c` and unit embeddings :math:`z`, it becomes the
    direction of

    .. math::
        \sum_{s \in S_c} z_s + \beta \frac{\sum_u w_{cu} z_u}{\sum_u w_{cu}}, \qquad
        w_{cu} = \frac{e^{z_u \cdot p_c / \tau}}{\sum_{c'} e^{z_u \cdot p_{c'} / \tau}}\, e^{z_u \cdot p_c / \tau}.

    An unlabelled item counts by how surely it is of the class rather than another one, and by how near it is: most are
    of no class of the task at all, and far from every prototype. The query may be among them, as nodes without labels
    are among those that an encoder sees; unlike :func:`calibrated_logits` nothing is known of which items are asked
    about.

    Args:
        model: any module from rows to embeddings.
        unlabelled: rows ``[items, features]``.
        weight: :math:`\beta`, how many labelled items all unlabelled ones are worth, above 0.
        spread: :math:`\tau`, above 0.
        temperature: of the similarities, above 0.

    Source: Ren et al. (2018), arXiv:1803.00676, section 3: their refinement for unlabelled items of the task's classes
    has no second factor, and the one for others a threshold from a trained network in its place.

    Example:
        >>> from graphkit.meta import FewShotProtocol, Rows, TaskSet
        >>> items = Rows(torch.eye(2)[torch.arange(30) % 2], torch.arange(30) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4))
        >>> SemiSupervisedPrototypes(nn.Identity(), items.x).logits(tasks).argmax(-1)[0].tolist()
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
    ) -> None:
        super().__init__(model, temperature=temperature)
        self.register_buffer("unlabelled", embeddings("unlabelled", unlabelled), persistent=False)
        self.weight = positive("weight", weight)
        self.spread = positive("spread", spread)

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse unlabelled items that are not of the support's form; any outputs are embeddings."""
        require_like_support(self.unlabelled, self.embed({}, support), self.call({}))

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the prototypes."""
        z, near = self.embed({}, support), self.embed({}, lambda call: call(self.unlabelled))
        return {"@prototypes": refined_prototypes(z, y, ways, near, weight=self.weight, spread=self.spread)}


def calibrated_logits(
    support: Tensor,
    y: Tensor,
    query: Tensor,
    *,
    ways: int,
    temperature: float = 0.1,
    steps: int = 10,
    balanced: bool = False,
) -> Tensor:
    r"""Return cosines with prototypes that the query items have refined, over the temperature, ``[items, ways]``.

    In turn the query items guess their classes, and the prototypes become the means of the support and of the query
    items by their guesses. This looks at all query items at once: a figure of it is transductive.

    Guesses may be ``balanced``: of all tables whose rows are distributions and whose columns have equal sums the one
    nearest to the guesses (Sinkhorn's scaling). It uses that a task's query holds as many items of each class, which
    is true of tasks as they are drawn, and of few sets of items elsewhere: a figure of it has to say so.

    Args:
        support: embeddings of the support ``[ways * shots, channels]``.
        y: its labels.
        query: embeddings of the query ``[items, channels]``.
        ways: number of classes.
        temperature: of the guesses.
        steps: how often, 0 or more.
        balanced: whether every class is guessed equally often; what is returned is balanced too.

    Raises:
        TypeError: for embeddings that are no floating-point tensors, and labels that are no integers.
        ValueError: for embeddings that are not finite or not of one width, labels below 0 or beyond ``ways``, and
            options out of range.

    Source: Ren et al. (2018), arXiv:1803.00676 (soft k-means), on the sphere and in several steps; Cuturi (2013),
    arXiv:1306.0895, for the scaling.

    Example:
        >>> support, query = torch.eye(2), torch.tensor([[1.0, 0.9], [1.0, 0.8], [0.0, 1.0]])
        >>> calibrated_logits(support, torch.tensor([0, 1]), query, ways=2, steps=0).shape
        torch.Size([3, 2])
        >>> alike = torch.tensor([[1.0, 0.1], [1.0, 0.2]])
        >>> calibrated_logits(support, torch.tensor([0, 1]), alike, ways=2, balanced=True).argmax(-1).tolist()
        [0, 1]
    """
    integer_labels("y", y, len(embeddings("support", support)))
    at_least("ways", ways, 1)
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < ways:
        raise ValueError(f"`y` must hold labels from 0 to {ways - 1}, got {int(y.min())} to {int(y.max())}.")
    if embeddings("query", query).size(1) != support.size(1) or query.dtype != support.dtype:
        raise ValueError(
            f"`query` must be of the width and dtype of `support` ({support.size(1)}, {support.dtype}), got "
            f"{query.size(1)}, {query.dtype}."
        )
    positive("temperature", temperature)
    at_least("steps", steps, 0)
    flag("balanced", balanced)
    return transductive_logits(support, y, query, ways, temperature=temperature, steps=steps, balanced=balanced)


def transductive_logits(
    support: Tensor, y: Tensor, query: Tensor, ways: int, *, temperature: float, steps: int, balanced: bool
) -> Tensor:
    """Return what :func:`calibrated_logits` returns, without a check of its arguments."""
    query, sums = unit_rows(query), _class_sums(unit_rows(support), y, ways)
    centers = directions(sums, len(y))

    def logits() -> Tensor:
        found = query @ centers.T / temperature
        return balanced_logits(found) if balanced else found

    for _ in range(steps):
        centers = directions(sums + logits().softmax(-1).T @ query, len(y) + len(query))
    return logits()


def balanced_logits(logits: Tensor) -> Tensor:
    """Return logits whose probabilities have columns of equal sums, ``[items, ways]``, by Sinkhorn's scaling.

    Example:
        >>> balanced_logits(torch.tensor([[2.0, 0.0], [1.0, 0.0]])).argmax(-1).tolist()
        [0, 1]
    """
    for _ in range(SCALINGS):
        logits = logits.log_softmax(-1)  # rows are distributions
        logits = logits - logits.logsumexp(0)  # columns have equal sums; the next rows again do not care how large
    return logits.log_softmax(-1)
