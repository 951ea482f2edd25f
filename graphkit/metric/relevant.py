"""Relevant components: the linear metric in which items of one class scatter alike in all directions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import at_least, embeddings, integer_labels


class RelevantComponents:
    r"""Turns and scales embeddings so that what varies within a class counts less: relevant component analysis.

    Embeddings are brought to their principal components; there the covariance within classes, :math:`C`, gives the
    metric :math:`(C / \bar c + s I)^{-1}`, :math:`\bar c` being its mean eigenvalue. It is learnt in closed form from
    the labels of some classes and serves others: what varies among items of one class is likely to vary among those of
    the next. Shrinkage ``inf`` leaves the principal components as they are.

    Args:
        components: principal components that are kept; all where there are fewer.
        shrinkage: multiple of the mean variance that is added to every direction, above 0.

    Source: Bar-Hillel, Hertz, Shental & Weinshall (2005), JMLR 6, for the analysis; shrinkage as in
    :class:`graphkit.metric.AnomalyScorer`, here as a multiple.

    Example:
        >>> z = torch.tensor([[0.0, -3.0], [0.0, 3.0], [1.0, -3.0], [1.0, 3.0]])
        >>> metric = RelevantComponents(shrinkage=0.01).fit(z, torch.tensor([0, 0, 1, 1]))
        >>> near = torch.cdist(metric(z), metric(z))[0]
        >>> bool(near[1] < near[2])  # six apart in the class, one apart between the classes
        True
    """

    def __init__(self, components: int = 64, *, shrinkage: float = 1.0) -> None:
        self.components = at_least("components", components, 1)
        if not shrinkage > 0:
            raise ValueError(f"`shrinkage` must be above 0, got {shrinkage}: few items' covariance cannot be inverted.")
        self.shrinkage = shrinkage
        self._mean: Tensor | None = None

    def fit(self, z: Tensor, y: Tensor) -> RelevantComponents:
        """Learn the metric and return it; principal components are those of all items.

        Args:
            z: items ``[items, features]``.
            y: their classes ``[items]``, at least one; -1 where not known.

        Raises:
            ValueError: where no item has a class.
            TypeError: for labels that are not integers.
        """
        from sklearn.decomposition import PCA

        values = embeddings("z", z).detach().double()
        labels = integer_labels("y", y, len(z)).to(z.device).long()
        if not bool((labels >= 0).any()):
            raise ValueError("`y` must give some items a class.")
        kept = min(self.components, *z.shape)
        solver = "full" if 2 * kept >= min(z.shape) else "arpack"
        found = PCA(kept, svd_solver=solver, random_state=0).fit(values.cpu().numpy())
        self._mean = values.mean(0)
        axes = torch.from_numpy(found.components_.copy()).to(values).T
        self._axes = axes
        projected = ((values - self._mean) @ axes)[labels >= 0]
        classes, numbers = labels[labels >= 0].unique(return_inverse=True)
        belongs = torch.nn.functional.one_hot(numbers, len(classes)).to(projected)
        inside = projected - ((belongs.T @ projected) / belongs.sum(0)[:, None])[numbers]
        self._variances, self._turned = torch.linalg.eigh(inside.T @ inside / len(inside))
        return self

    def __call__(self, z: Tensor) -> Tensor:
        """Return embeddings whose Euclidean distances and directions are those of the metric, ``[items, components]``.

        Raises:
            ValueError: before :meth:`fit`, or for another number of features.
        """
        if self._mean is None:
            raise ValueError("`fit` the metric on labelled items first.")
        if embeddings("z", z).shape[1] != len(self._mean):
            raise ValueError(f"`z` must have {len(self._mean)} features, as what it was fitted on, got {z.shape[1]}.")
        mean = self._variances.mean().clamp(min=torch.finfo(torch.float64).tiny)
        weights = torch.ones_like(self._variances)
        if self.shrinkage < float("inf"):
            weights = (self._variances.clamp(min=0) / mean + self.shrinkage).rsqrt()
        turn = self._axes @ self._turned * weights
        return ((z.double() - self._mean) @ turn).to(z.dtype)
