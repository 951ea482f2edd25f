"""Logistic regression, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphkit.nn.estimators.abstract_estimator import KINDS, AbstractEstimator

CERTAIN = 10.0
"""The logit of a task to which there is but one answer."""


class LogisticModel(AbstractEstimator):
    r"""Logistic regression on columns of mean 0 and deviation 1, one for each task of yes or no.

    It minimises :math:`\tfrac{1}{2} \|w\|^2 + C \sum_i \log(1 + e^{-y_i (w^\top x_i + b)})` over rows :math:`x_i` with
    :math:`y_i = \pm 1`, for a :math:`C` of 0.01, 0.1, 1 and 10, a variant each.

    Args:
        outputs: tasks.

    Source: Cox (1958), "The regression analysis of binary sequences"; fitted by scikit-learn.

    Example:
        >>> rows, y = torch.arange(8.0)[:, None], (torch.arange(8)[:, None] > 3).double()
        >>> model = LogisticModel(1)
        >>> model.fit(rows, y, "binary", 3)
        >>> (model(torch.tensor([[0.0], [7.0]])) > 0).flatten().tolist()
        [False, True]
    """

    variants = 4
    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    kind: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("scale", torch.zeros(0))
        self.register_buffer("weight", torch.zeros(outputs, 0))
        self.register_buffer("bias", torch.zeros(outputs))

    @torch.no_grad()
    def fit(self, rows: Tensor, targets: Tensor, kind: str, variant: int = 0) -> None:
        """Fit to items.

        Raises:
            ValueError: for another kind than "binary".
        """
        if kind != "binary":
            raise ValueError(f"`kind` must be 'binary': the odds are those of yes and no, got {kind!r}.")
        from sklearn.linear_model import LogisticRegression

        x, y = rows.double().cpu(), targets.cpu()
        mean, spread = x.mean(0), x.std(0, correction=0)
        scale = torch.where(spread > 1e-6, spread, 1.0)
        standard = ((x - mean) / scale).numpy()
        weight, bias = torch.zeros(self.outputs, x.size(1)), torch.zeros(self.outputs)
        for task in range(self.outputs):
            known = ~y[:, task].isnan().numpy()
            answers = y[known, task].numpy()
            if len(np.unique(answers)) < 2:  # one answer alone, or none
                bias[task] = CERTAIN * (2 * float(answers[0]) - 1) if len(answers) else 0.0
                continue
            found = LogisticRegression(C=10.0 ** (variant - 2), max_iter=2000).fit(standard[known], answers)
            weight[task], bias[task] = torch.from_numpy(found.coef_[0]), float(found.intercept_[0])
        there = rows.device
        self.mean, self.scale = mean.float().to(there), scale.float().to(there)
        self.weight, self.bias = weight.to(there), bias.to(there)
        self.kind = torch.tensor(KINDS.index(kind), device=there)

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits of ``rows [items, columns]``, ``[items, outputs]``."""
        if not len(self.mean):
            raise ValueError("nothing is fitted yet: `fit` it.")
        return ((rows - self.mean) / self.scale) @ self.weight.T + self.bias
