"""Small models for rows: a weight per feature, and what makes the classes that are known round."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, embeddings, positive
from graphkit.meta.items import Rows, sources_of

DIRECTIONS = 512
"""Most directions that whitening changes."""


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
    r"""Shrinks the directions in which items of one class differ, as they do in the classes that are known.

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
        sources = sources_of("sources", sources)
        classes = [items.x[items.y == label] for items, labels in sources for label in labels]
        largest = max((float(x.detach().abs().max()) for x in classes if x.numel()), default=0.0)
        # In parts of the largest number, whose squares neither overflow nor vanish, in float32 at least.
        classes = [x.to(torch.promote_types(x.dtype, torch.float32)) / (largest or 1.0) for x in classes]
        known = torch.cat([x - x.mean(0) for x in classes]) if classes else torch.zeros(0, 0)
        if not known.count_nonzero():
            raise ValueError("`sources` must hold a class of two items that differ.")
        dtype = embeddings("sources", sources[0][0].x).dtype
        if min(known.shape) <= DIRECTIONS:
            _, spread, directions = torch.linalg.svd(known, full_matrices=False)
        else:
            basis = _leading(known, DIRECTIONS)
            _, spread, directions = torch.linalg.svd(known @ basis, full_matrices=False)
            directions = directions @ basis.T
        self.register_buffer("directions", directions.to(dtype))
        self.register_buffer("share", (spread / spread[0]).square().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows, whitened."""
        change = (1 + self.share / self.shrinkage).rsqrt() - 1
        return x + (x @ self.directions.T * change) @ self.directions


def _leading(x: Tensor, count: int, rounds: int = 2) -> Tensor:
    """Return an orthonormal basis of nearly the first right singular vectors of ``x``, ``[columns, count]``.

    Subspace iteration from a start of its own generator, so that no other random number changes.

    Source: Halko, Martinsson & Tropp (2011), arXiv:0909.4061, algorithm 4.4.
    """
    drawn = torch.randn(x.size(1), count, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    basis = drawn.to(x.device)
    for _ in range(rounds + 1):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    return basis
