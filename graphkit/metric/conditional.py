"""Conditional similarity: one embedding under a mask or a projection for each condition or context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit._checks import (
    at_least,
    dense,
    flag,
    index_below,
    integer_labels,
    member,
    random_generator,
    same_device,
    tensor,
)
from graphkit._exports import deprecated_arguments
from graphkit.metric.nearest import Rows
from graphkit.metric.pair_inputs import check_embeddings
from graphkit.metric.retrieval import Retrieval, evaluate_retrieval

KINDS = ("mask", "projection")


class ConditionalSimilarity(nn.Module):
    r"""Turns a general embedding into one per condition: :math:`z_c = z \odot \max(m_c, 0)` or :math:`z_c = P_c z`.

    The same two items may then be near under one condition and far under another. It stands on top of any encoder and
    is learnt with it; it never sees a graph.

    Args:
        features: width of the embedding.
        conditions: number of conditions, or of attributes.
        kind: "mask" weighs each feature, "projection" is a square linear map, the identity at the start.
        disjoint: masks start as 1 on a share of the features of their own and 0 elsewhere, so that each condition has
            some; otherwise as normal numbers around 0.9 of deviation 0.7, as in the paper.
        generator: draws the masks.

    Raises:
        ValueError: for fewer than one condition, or disjoint masks with fewer features than conditions.

    Source: Veit, Belongie & Karaletsos (2017), arXiv:1603.07810, section 3.2: masks through a ReLU, initialised
    randomly or disjoint, with an L1 penalty on masks and an L2 penalty on the embedding (:meth:`penalty`).

    Example:
        >>> similarity = ConditionalSimilarity(4, 2, disjoint=True)
        >>> similarity(torch.ones(1, 4), 1).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
        >>> similarity.all(torch.ones(3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        kind: str = "mask",
        disjoint: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.features, self.conditions = at_least("features", features, 1), at_least("conditions", conditions, 1)
        self.kind, self.disjoint = member("kind", kind, KINDS), flag("disjoint", disjoint)
        if disjoint and features < conditions:
            raise ValueError(f"`disjoint` masks need {conditions} features, one per condition, got {features}.")
        self.weight = nn.Parameter(torch.empty(conditions, *([features] if kind == "mask" else [features, features])))
        self.reset_parameters(None if generator is None else random_generator("generator", generator))

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the masks anew, or set the projections to the identity."""
        with torch.no_grad():
            if self.kind == "projection":
                self.weight.copy_(torch.eye(self.features).expand_as(self.weight))
            elif self.disjoint:
                owner = torch.arange(self.features) * self.conditions // self.features
                self.weight.copy_(torch.nn.functional.one_hot(owner, self.conditions).T)
            else:
                self.weight.normal_(0.9, 0.7, generator=generator)

    def forward(self, z: Tensor, condition: int | Tensor) -> Tensor:
        """Return ``z`` as one condition sees it, ``[items, features]``.

        Args:
            z: embeddings ``[items, features]``.
            condition: a number, or one number for each row ``[items]``.

        Raises:
            ValueError: for a condition that does not exist, or embeddings of another width.
            TypeError: for what are no embeddings, or conditions that are not integers.
        """
        same_device("z", _of_width("z", z, self.features), self.weight)
        if isinstance(condition, Tensor):
            for number in integer_labels("condition", condition, len(z)).unique().tolist():
                index_below("condition", number, self.conditions)
        else:
            index_below("condition", condition, self.conditions)
        weight = self.weight[condition]
        if self.kind == "mask":
            return z * weight.relu()
        return (weight @ z.unsqueeze(-1)).squeeze(-1)

    def all(self, z: Tensor) -> Tensor:
        """Return what every condition sees, ``[conditions, items, features]``.

        Raises:
            ValueError: for embeddings of another width.
        """
        same_device("z", _of_width("z", z, self.features), self.weight)
        if self.kind == "mask":
            return z * self.weight.relu().unsqueeze(1)
        return z @ self.weight.mT

    def penalty(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean absolute mask (it wants to be sparse) and the mean square of ``z`` (it wants to be short).

        For losses on distances only: under a cosine, which does not know lengths, they shrink everything to zero.

        Raises:
            ValueError: for embeddings of another width, not finite, or too large for their squares to be.
        """
        check_embeddings("z", _of_width("z", z, self.features), "squared")
        long = z.square().mean() if z.numel() else z.sum()
        return self.weight.relu().mean() if self.kind == "mask" else self.weight.abs().mean(), long

    def extra_repr(self) -> str:
        """Return what the module is made of."""
        return f"{self.features}, {self.conditions}, kind={self.kind!r}"


class ContextSimilarity(nn.Module):
    r"""Turns an embedding into the one that a context sees, the context being an embedding itself.

    :math:`z_a = z \odot \max(W a + b, 0)` for the embedding :math:`a` of an anchor node or of a whole graph: a mask
    computed instead of looked up, so that it also exists for contexts never trained on. Starts as the identity.

    Args:
        features: width of the embedding.
        context_features: width of the context's embedding.

    Source: Veit, Belongie & Karaletsos (2017), arXiv:1603.07810, whose masks these are; that they are a function of
    the context is ours.

    Example:
        >>> ContextSimilarity(3, 2)(torch.ones(1, 3), torch.zeros(2)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, features: int, context_features: int) -> None:
        super().__init__()
        self.features, self.context_features = at_least("features", features, 1), context_features
        self.mask = nn.Linear(at_least("context_features", context_features, 1), features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make every mask 1."""
        nn.init.zeros_(self.mask.weight)
        nn.init.ones_(self.mask.bias)

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        """Return ``z`` as the context sees it.

        Args:
            z: embeddings ``[items, features]``.
            context: one for all ``[context_features]``, or one for each item ``[items, context_features]``.

        Raises:
            ValueError: for a context of another shape, or embeddings of another width.
            TypeError: for what are no dense tensors of floating-point numbers.
        """
        same_device("z", _of_width("z", z, self.features), self.mask.weight)
        if not dense("context", context).is_floating_point():
            raise TypeError(f"`context` must hold floating-point numbers, got {context.dtype}.")
        if context.shape not in ((self.context_features,), (len(z), self.context_features)):
            raise ValueError(
                f"`context` must have shape [{self.context_features}] or [{len(z)}, {self.context_features}], "
                f"got {list(context.shape)}."
            )
        return z * self.mask(context).relu()


@deprecated_arguments(seen="embeddings")
def evaluate_conditions(
    embeddings: Tensor, y: Tensor, *, queries: Rows = None, distance: str = "cosine"
) -> list[list[Retrieval]]:
    """Return how well embeddings under each condition retrieve each attribute, ``[conditions][attributes]``.

    On the diagonal stands the condition's own attribute and should be found; beside it stand the others, which a
    condition should not tell. Attributes that depend on each other cannot be hidden: who knows the digit knows whether
    it is even.

    Args:
        embeddings: of the items under each condition ``[conditions, items, features]``, such as ``similarity.all(z)``.
        y: labels of several attributes ``[items, attributes]``, of each condition its own first; -1 where an item's
            attribute is not known.
        queries: which items ask.
        distance: see :func:`evaluate_retrieval`.

    Raises:
        ValueError: for other shapes.
        TypeError: for labels that are not integers.

    Source: Veit, Belongie & Karaletsos (2017), arXiv:1603.07810, section 4, for looking at one condition at a time.

    Example:
        >>> people = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> seen = torch.stack([torch.eye(2)[people[:, 0]], torch.eye(2)[people[:, 1]]])
        >>> [[found.map_at_r for found in row] for row in evaluate_conditions(seen, people)]
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if tensor("embeddings", embeddings).dim() != 3 or tensor("y", y).dim() != 2 or embeddings.shape[1] != y.shape[0]:
        raise ValueError(
            "`embeddings` must have shape [conditions, items, features] and `y` [items, attributes], "
            f"got {list(embeddings.shape)} and {list(y.shape)}."
        )
    if len(embeddings) > y.shape[1]:
        given = len(embeddings)
        raise ValueError(f"`embeddings` must have a condition for an attribute of `y` ({y.shape[1]}), got {given}.")
    return [
        [
            evaluate_retrieval(z, labels, queries=queries, distance=distance, cuts=[1], metrics=["ranking"])
            for labels in y.unbind(1)
        ]
        for z in embeddings.unbind(0)
    ]


def _of_width(argument: str, z: Tensor, features: int) -> Tensor:
    """Return ``z`` if it is a matrix of so many columns of floating-point numbers, finite or not, else raise."""
    if not dense(argument, z).is_floating_point():
        raise TypeError(f"`{argument}` must hold floating-point numbers, got {z.dtype}.")
    if z.dim() != 2 or z.shape[1] != features:
        raise ValueError(f"`{argument}` must have shape [items, {features}], got {list(z.shape)}.")
    return z
