"""Losses without labels, of two views of the same items: Barlow Twins, VICReg and canonical correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import embeddings, positive, same_device
from graphkit.metric.distances import power_of_two_scale
from graphkit.metric.pair_inputs import at_least_float32, check_magnitude, no_autocast


def barlow_twins(first: Tensor, second: Tensor, *, off_diagonal: float = 5e-3) -> Tensor:
    r"""Return how far the correlation of two views' features is from the identity.

    .. math::
        L = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \neq j} C_{ij}^2

    with :math:`C` the correlation of feature :math:`i` of one view and :math:`j` of the other, over the items: neither
    the scale of a feature counts nor where its zero lies. A constant feature correlates with nothing.

    Args:
        first, second: embeddings of the same items ``[items, features]``; half precision is widened to single.
        off_diagonal: :math:`\lambda`, above 0.

    Raises:
        ValueError: for views of different shapes, fewer than two items, or a weight not above 0.

    Source: Zbontar et al. (2021), arXiv:2103.03230, equations 1 and 2.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins(x, x).item()
        0.0
    """
    first, second = _views(first, second)
    weight = positive("off_diagonal", off_diagonal)
    with no_autocast(first):
        correlation = standardize(first).T @ standardize(second) / len(first)
    on = torch.eye(len(correlation), dtype=torch.bool, device=correlation.device)
    return ((1 - correlation).square() * on).sum() + weight * (correlation.square() * ~on).sum()


def vicreg(
    first: Tensor, second: Tensor, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    r"""Return the sum of how far two views differ, how little their features vary and how much these covary.

    .. math::
        L = \frac{\lambda}{nd} \lVert A - B \rVert^2 + \frac{\mu}{2} (v(A) + v(B)) + \nu (c(A) + c(B))

    with :math:`v` the mean over features of :math:`\max(0, 1 - \sqrt{\operatorname{Var} + 10^{-4}})` and :math:`c` the
    sum of the squared covariances of different features over their number :math:`d`.

    Args:
        first, second: embeddings of the same items ``[items, features]``; half precision is widened to single.
        invariance: :math:`\lambda`, above 0.
        variance: :math:`\mu`, above 0.
        covariance: :math:`\nu`, above 0.

    Raises:
        ValueError: for views of different shapes, fewer than two items, entries too large for their covariances to be
            finite, or weights not above 0.

    Source: Bardes, Ponce & LeCun (2022), arXiv:2105.04906, equations 1 to 6, divided as the official code does: by the
    features in the first term, by two in the second.

    Example:
        >>> x = 2 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg(x, x).item()
        0.0
    """
    first, second = _views(first, second)
    for name, view in (("first", first), ("second", second)):
        check_magnitude(name, view, 4, "covariances", "scale it")
    weights = [positive(*each) for each in zip(("invariance", "variance", "covariance"),
                                               (invariance, variance, covariance), strict=True)]  # fmt: skip
    spread, shared = [], []
    for view in (first, second):
        spread.append((1 - (view.var(0) + 1e-4).sqrt()).relu().mean())
        centred = view - view.mean(0)
        with no_autocast(view):
            covariances = centred.T @ centred / (len(view) - 1)
        shared.append((covariances.square().sum() - covariances.diagonal().square().sum()) / view.shape[1])
    apart = (first - second).square().mean()
    return weights[0] * apart + weights[1] * sum(spread) / 2 + weights[2] * sum(shared)


def canonical_correlation(first: Tensor, second: Tensor, *, decorrelation: float = 1e-3) -> Tensor:
    r"""Return how little two views agree, and how far the features of each are from uncorrelated.

    .. math::
        L = \lVert \tilde A - \tilde B \rVert_F^2
            + \lambda (\lVert \tilde A^\top \tilde A - I \rVert_F^2 + \lVert \tilde B^\top \tilde B - I \rVert_F^2)

    of views standardised feature by feature and divided by the square root of the number of items. A constant feature
    is zero, so that it correlates with nothing.

    Args:
        first, second: embeddings of the same items ``[items, features]``; half precision is widened to single.
        decorrelation: :math:`\lambda`, above 0.

    Raises:
        ValueError: for views of different shapes, fewer than two items, or a weight not above 0.

    Source: Zhang et al. (2021), arXiv:2106.12484, equation 5.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> canonical_correlation(x, -x).item()
        8.0
    """
    first, second = _views(first, second)
    weight = positive("decorrelation", decorrelation)
    views = [standardize(view) / len(view) ** 0.5 for view in (first, second)]
    identity = torch.eye(first.shape[1], dtype=first.dtype, device=first.device)
    apart = (views[0] - views[1]).square().sum()
    with no_autocast(first):
        correlations = [view.T @ view for view in views]
    return apart + weight * sum((each - identity).square().sum() for each in correlations)


def standardize(z: Tensor, *, correction: int = 0) -> Tensor:
    """Return features of mean 0 and variance 1 over the items; a constant one becomes 0, with derivatives of zero.

    Constant is what has one value, not what has the variance 0: the mean of equal numbers may be rounded to another.

    Args:
        z: embeddings ``[items, features]``.
        correction: what the number of items is lessened by in the variance.
    """
    if len(z) < 2:
        return z * 0
    deviation, mean = z.std(0, correction=correction), z.mean(0)
    known = deviation.detach()
    if bool(((known > 1e-3 * mean.detach().abs()) & (known > 1e-6) & (known < 1e6)).all()):
        return (z - mean) / deviation  # the usual case: nothing is constant, and no square is too large or small
    scaled = z * power_of_two_scale(z.detach().abs().amax(0))
    varies = (scaled != scaled[:1]).any(0)
    # The deviation of equal numbers has no derivative; that of a ramp, which stands in for them, is not asked for.
    ramp = torch.arange(len(z), device=z.device, dtype=z.dtype).unsqueeze(1)
    deviation = torch.where(varies, scaled, ramp).std(0, correction=correction)
    return torch.where(varies, scaled - scaled.mean(0), 0) / deviation


def _views(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return views of the same items, half precision widened to single."""
    for name, view in (("first", first), ("second", second)):
        embeddings(name, view)
    if first.shape != second.shape or len(first) < 2 or not first.shape[1]:
        raise ValueError(
            "`first` and `second` must be views of the same items, two at least, of one feature at least, "
            f"got {list(first.shape)} and {list(second.shape)}."
        )
    same_device("second", second, first)
    common = torch.promote_types(at_least_float32(first).dtype, at_least_float32(second).dtype)
    return first.to(common), second.to(common)
