"""Small models for rows: a weight per feature, a linear map that begins as none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit._checks import at_least


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
