"""Gaussian processes, as tensors."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._checks import at_least, member
from graphkit.nn.estimators.abstract_estimator import KINDS, AbstractEstimator, evenly_spaced

CLEAR = 5.0
"""Standard deviations beyond which a column tells no more."""

LIKELY = 0.01
"""The least that a class or an answer is taken for."""


class GaussianProcess(AbstractEstimator):
    r"""The mean of a Gaussian process on standardised columns.

    .. math::
        k(x, x') = a\,m_{5/2}(|x - x'| / l) + b\,(x^\top x' + c) + n\,[x = x']

    The first variant has :math:`b = 0`, the second the whole kernel. Its constants have the highest marginal likelihood
    on at most ``tried`` evenly spaced items, and the mean is that given at most ``most`` of them. Classes are 0 or 1,
    answers likewise; their mean is taken for a probability of at least 0.01.

    Args:
        outputs: numbers that are said of an item. Classes share the constants, and so do numbers that are all known.
        tried: items by which constants are chosen, at least 2.
        most: items that are kept, at least 2: a square of as many numbers is solved with.

    Source: Rasmussen & Williams (2006), "Gaussian processes for machine learning", algorithm 2.1 and section 4.2;
    fitted by scikit-learn.

    Example:
        >>> rows = torch.linspace(0, 6, 30)[:, None]
        >>> process = GaussianProcess(1)
        >>> process.fit(rows, rows.sin(), "numbers")
        >>> process(torch.tensor([[1.57], [4.71]])).round(decimals=1).flatten().tolist()
        [1.0, -1.0]
    """

    mean: Tensor
    scale: Tensor
    rows: Tensor
    weights: Tensor
    constants: Tensor
    centre: Tensor
    kind: Tensor

    variants: ClassVar[int] = 2

    def __init__(self, outputs: int, *, tried: int = 1000, most: int = 5000) -> None:
        super().__init__(outputs)
        self.tried, self.most = at_least("tried", tried, 2), at_least("most", most, 2)
        double: dict[str, Any] = {"dtype": torch.float64}
        self.register_buffer("mean", torch.zeros(0, **double))
        self.register_buffer("scale", torch.ones(0, **double))
        self.register_buffer("rows", torch.zeros(0, 0, **double))
        self.register_buffer("weights", torch.zeros(0, outputs, **double))
        self.register_buffer("constants", torch.zeros(outputs, 4, **double))
        self.register_buffer("centre", torch.zeros(outputs, **double))

    @torch.no_grad()
    def fit(self, rows: Tensor, targets: Tensor, kind: str, variant: int = 0) -> None:
        """Choose the constants, and solve."""
        number, there = KINDS.index(member("kind", kind, KINDS)), self.rows.device
        y = F.one_hot(targets, self.outputs) if kind == "classes" else targets
        kept = evenly_spaced(len(rows), self.most)
        x, y = rows.detach().cpu().double()[kept], y.detach().cpu().double()[kept]
        spread = x.std(0, correction=0)
        self.mean, self.scale = x.mean(0).to(there), torch.where(spread > 1e-9, 1 / spread, 0.0).to(there)
        self.rows, x = self._standard_rows(x.to(there)), self._standard_rows(x.to(there)).cpu()
        weights, centre = torch.zeros_like(y), torch.zeros_like(y[0])
        constants = torch.zeros(self.outputs, 4, dtype=y.dtype)
        known, whole = ~y.isnan(), not bool(y.isnan().any())
        for outputs in [list(range(self.outputs))] if whole else [[each] for each in range(self.outputs)]:
            here = known[:, outputs[0]]
            centre[outputs] = y[here][:, outputs].mean(0) if here.any() else _nothing_known(kind)
            deviation = y[here][:, outputs].std(0, correction=0) if here.any() else torch.zeros(1)
            if deviation.max() > 0:
                unit = torch.where(deviation > 0, deviation, 1.0)
                solved, constants[outputs] = self._solution(
                    x[here], (y[here][:, outputs] - centre[outputs]) / unit, variant
                )
                weights[here.nonzero(), torch.tensor(outputs)] = solved * unit
        self.weights, self.constants, self.centre = weights.to(there), constants.to(there), centre.to(there)
        self.kind = torch.tensor(number, device=there)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the mean: log-odds, logarithms of what classes are taken for, or numbers."""
        if not len(self.rows):
            raise ValueError("the Gaussian process knows no items yet: `fit` it.")
        if rows.size(1) != self.rows.size(1):
            raise ValueError(f"`rows` must have {self.rows.size(1)} columns, got {rows.size(1)}.")
        x = self._standard_rows(rows.double())
        far, along = torch.cdist(x, self.rows), x @ self.rows.T
        found = self.centre.expand(len(rows), -1).clone()
        for a, length, b, offset in self.constants.unique(dim=0):
            outputs = (self.constants == torch.stack((a, length, b, offset))).all(1)
            steps = 5**0.5 * far / length.clamp(min=1e-12)
            kernel = a * (1 + steps + steps.square() / 3) * (-steps).exp() + b * (along + offset)
            found[:, outputs] += kernel @ self.weights[:, outputs]
        kind = KINDS[int(self.kind)]
        if kind == "binary":
            found = found.clamp(LIKELY, 1 - LIKELY).logit()
        elif kind == "classes":
            found = found.clamp(LIKELY).log()
        return found.to(rows.dtype)

    def _standard_rows(self, rows: Tensor) -> Tensor:
        """Return rows in standard deviations from the mean; a column that never changes is 0."""
        return ((rows - self.mean) * self.scale).clamp(-CLEAR, CLEAR)

    def _solution(self, x: Tensor, y: Tensor, variant: int) -> tuple[Tensor, Tensor]:
        """Return weights ``[items, outputs]`` and the four constants."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
        from threadpoolctl import threadpool_limits

        kernel = ConstantKernel(1.0) * Matern(max(x.std(0).count_nonzero().item(), 1) ** 0.5, nu=2.5)
        if variant:
            kernel = kernel + ConstantKernel(0.01) * DotProduct(1.0)
        tried = evenly_spaced(len(x), self.tried)
        with warnings.catch_warnings(), threadpool_limits(1):  # waking threads for a small square takes longer than it
            warnings.simplefilter("ignore")  # a constant at the end of its range, 1e-5 or 1e5, is as good as none
            process = GaussianProcessRegressor(kernel + WhiteKernel(0.1)).fit(x[tried].numpy(), y[tried].numpy())
        if len(tried) < len(x):
            with threadpool_limits(torch.get_num_threads()):
                process = GaussianProcessRegressor(process.kernel_, optimizer=None).fit(x.numpy(), y.numpy())
        smooth, *linear = (process.kernel_.k1.k1, process.kernel_.k1.k2) if variant else (process.kernel_.k1,)
        constants = [smooth.k1.constant_value, smooth.k2.length_scale]
        constants += [linear[0].k1.constant_value, linear[0].k2.sigma_0 ** 2] if linear else [0.0, 0.0]
        return torch.from_numpy(process.alpha_).view(len(x), -1), torch.tensor(constants, dtype=torch.float64)


def _nothing_known(kind: str) -> float:
    """Return what is said where nothing is known: an answer is as likely as not."""
    return 0.5 if kind == "binary" else 0.0
