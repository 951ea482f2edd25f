"""A graph that is learnt: who matters to whom, from embeddings of the nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, dense_features, within
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features

LARGEST = 20_000
"""Nodes up to which an adjacency of all pairs is held."""


class AdaptiveAdjacency(AbstractModel):
    r"""Means of all nodes by learnt weights, :math:`\mathrm{softmax}(\mathrm{ReLU}(E_1 E_2^\top))\, x`.

    It costs memory and time that grow with the square of the number of nodes.

    Args:
        num_nodes: of the graph, to which it belongs; at most 20,000.
        channels: of each embedding.
        scale: deviation of the embeddings at the start.

    Shape:
        ``x`` ``[..., nodes, features]``. Returns the same shape.

    Raises:
        ValueError: for more nodes, and in a call for another number of them.

    Source: Wu et al. (2019), arXiv:1906.00121, equation 5.

    Example:
        >>> AdaptiveAdjacency(3)(torch.ones(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, num_nodes: int, channels: int = 10, *, scale: float = 0.3) -> None:
        super().__init__()
        if at_least("num_nodes", num_nodes, 1) > LARGEST:
            raise ValueError(
                f"`num_nodes` must be at most {LARGEST:,} for an adjacency of all pairs, got {num_nodes:,}; leave the "
                "adaptive adjacency out."
            )
        self.scale = within("scale", scale, 0.0, 1e3)
        self.source = nn.Parameter(torch.empty(num_nodes, at_least("channels", channels, 1)))
        self.target = nn.Parameter(torch.empty(num_nodes, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the embeddings anew."""
        nn.init.normal_(self.source, std=self.scale)
        nn.init.normal_(self.target, std=self.scale)

    @property
    def matrix(self) -> Tensor:
        """The weights, ``[nodes, nodes]``, each row's sum 1."""
        return torch.relu(self.target @ self.source.T).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        check_features(x, weight=self.source)
        dense_features("x", x, self.source)
        if x.size(-2) != len(self.source):
            raise ValueError(f"`x` must have shape [..., {len(self.source)}, features], got {list(x.shape)}.")
        return self.matrix @ x
