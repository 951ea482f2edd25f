"""Deep graph infomax: a node's embedding against a summary of the graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, random_generator
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.views import View, checked
from graphkit.operators import SparseOperator


class DGI(AbstractMethod):
    r"""DGI: tell embeddings of the graph from those of a corrupted graph by their score with the graph's summary.

    .. math::
        s = \operatorname{sigmoid}\bigl(\operatorname{mean}_i h_i\bigr), \qquad
        L = \tfrac12 \bigl(\operatorname{mean}_i \operatorname{softplus}(-h_i^\top W s)
            + \operatorname{mean}_i \operatorname{softplus}(\tilde h_i^\top W s)\bigr)

    The corruption gives every node the features of another. Sparse features stay where they are and the edges are moved
    instead, which is the same up to the order of the nodes, and the loss knows no order.

    Args:
        encoder: the encoder.
        channels: of its result.
        after: applied to the result; a ``PReLU`` when left out.

    Source: Veličković et al. (2019), arXiv:1809.10341; the official code adds biases of
    samples that are zero.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = DGI(Encoder(8, 4, 3, conv=GCNConv), 3)
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(self, encoder: nn.Module, channels: int, *, after: nn.Module | None = None) -> None:
        super().__init__(encoder, nn.PReLU() if after is None else after)
        at_least("channels", channels, 1)
        self.weight = nn.Parameter(torch.empty(channels, channels))
        nn.init.xavier_uniform_(self.weight)

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss against one drawn corruption."""
        view = checked(view)
        random_generator("generator", generator)
        real, fake = self.encoded(view), self.encoded(corrupted(view, generator))
        direction = self.weight @ real.mean(0).sigmoid()
        return (F.softplus(-(real @ direction)).mean() + F.softplus(fake @ direction).mean()) / 2

    def stepped(self, progress: float) -> None:
        """Do nothing."""


def corrupted(view: View, generator: torch.Generator) -> View:
    """Return a view whose features are those of other nodes, drawn without repetition."""
    nodes = view.x.size(0)
    order = torch.randperm(nodes, generator=generator, device=generator.device).to(view.edge_index.device)
    if isinstance(view.x, SparseOperator):
        return View(view.x, order[view.edge_index], view.edge_weight)
    return View(view.x[order], view.edge_index, view.edge_weight)
