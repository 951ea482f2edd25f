"""The contrastive loss of Siamese networks."""

from __future__ import annotations

from torch import Tensor

from graphkit.metric.losses.abstract import AbstractLoss, Relations, Terms, margin_of


class ContrastiveLoss(AbstractLoss):
    r"""Pulls pairs of one class together and pushes others apart until their margin.

    .. math::
        L = \tfrac12 \bigl[\, y D^2 + (1 - y) \max(m - D, 0)^2 \,\bigr]

    with :math:`y = 1` for two items of one class. As it stands, pairs of a class are pulled until they coincide, while
    others rest at the margin; with a positive margin :math:`m_+` the first term is :math:`\max(D - m_+, 0)^2`.

    Args:
        margin: :math:`m`, at least 0, in units of the distance.
        positive_margin: :math:`m_+`, at least 0.
        distance: "euclidean", "squared", "cosine" or "dot".
        reduction: "mean" over all pairs, "active" over those whose term is above zero, or "sum" over ordered pairs.

    Raises:
        ValueError: for margins below 0 or not finite, an unknown distance or reduction.

    Source: Hadsell, Chopra & LeCun (2006), "Dimensionality reduction by learning an invariant mapping", equation 4 with
    y = 1 for similar pairs, as issue 4 states it.

    Example:
        >>> import torch
        >>> z = torch.tensor([[0.0], [0.6], [1.0]])
        >>> round(ContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.12
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        positive_margin: float = 0.0,
        distance: str = "euclidean",
        reduction: str = "mean",
    ) -> None:
        super().__init__(distance=distance, reduction=reduction)
        self.margin, self.positive_margin = margin_of("margin", margin), margin_of("positive_margin", positive_margin)

    def terms(self, distances: Tensor, relations: Relations) -> list[Terms]:
        """Return the terms of all pairs."""
        pulled = (distances - self.positive_margin).relu() * relations.same
        pushed = (self.margin - distances).relu() * relations.different
        active = (pulled > 0).sum() + (pushed > 0).sum()
        count = relations.same.sum() + relations.different.sum()
        return [Terms((pulled.square().sum() + pushed.square().sum()) / 2, count, active)]
