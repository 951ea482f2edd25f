"""Self-supervised methods: deep graph infomax, GRACE, BGRL and CCA-SSG."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphkit._checks import at_least, not_negative, random_generator, torch_module, within
from graphkit.contrastive.augmentations import Augmentation, Diffusion, View, check_drawer, check_view
from graphkit.contrastive.self_supervision import AbstractSelfSupervision, _call_encoder
from graphkit.metric import InfoNCELoss
from graphkit.metric.distances import normalize_rows
from graphkit.metric.label_free import standardize
from graphkit.operators import SparseOperator


class DGI(AbstractSelfSupervision):
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
        view = check_view(view)
        random_generator("generator", generator)
        real, fake = self.encode(view), self.encode(corrupt(view, generator))
        direction = self.weight @ real.mean(0).sigmoid()
        return (F.softplus(-(real @ direction)).mean() + F.softplus(fake @ direction).mean()) / 2


def corrupt(view: View, generator: torch.Generator) -> View:
    """Return a view whose features are those of other nodes, drawn without repetition."""
    nodes = view.x.size(0)
    order = torch.randperm(nodes, generator=generator, device=generator.device).to(view.edge_index.device)
    if isinstance(view.x, SparseOperator):
        return View(view.x, order[view.edge_index], view.edge_weight)
    return View(view.x[order], view.edge_index, view.edge_weight)


class GRACE(AbstractSelfSupervision):
    r"""GRACE: InfoNCE on cosines at a temperature, with negatives from both views, behind a projector.

    Its denominator, the other view of all nodes and the own view of all others, is that of NT-Xent on the two views
    laid one after the other. It is summed block by block, so that nothing ``nodes x nodes`` is kept.

    Args:
        encoder: the encoder.
        channels: of its result.
        first, second: draw the two views.
        temperature: divides the cosines, above 0.
        projector_channels: width of the projector (linear, ELU, linear).
        after: applied to the encoder's result; a ``ReLU`` when left out.

    Source: Zhu et al. (2020), arXiv:2006.04131; Chen et al. (2020), arXiv:2002.05709, for NT-Xent.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = GRACE(Encoder(8, 4, 3, conv=GCNConv), 3, first=Augmentation(edge_drop=0.2), second=Augmentation())
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        *,
        first: Augmentation | Diffusion,
        second: Augmentation | Diffusion,
        temperature: float = 0.5,
        projector_channels: int = 128,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, nn.ReLU() if after is None else after)
        self.first, self.second = check_drawer("first", first), check_drawer("second", second)
        at_least("channels", channels, 1)
        at_least("projector_channels", projector_channels, 1)
        self.projector = nn.Sequential(
            nn.Linear(channels, projector_channels), nn.ELU(), nn.Linear(projector_channels, channels)
        )
        self.contrast = InfoNCELoss(temperature=temperature)

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        views = list(self._draw_views(view, generator, self.first, self.second))
        first, second = (self.projector(self.encode(each)) for each in views)
        nodes = torch.arange(len(first), device=first.device)
        return self.contrast(torch.cat([first, second]), torch.cat([nodes, nodes]))


class BGRL(AbstractSelfSupervision):
    r"""BGRL: no negative pairs; the target network follows the online one as a moving average.

    .. math::
        L = 2 - \operatorname{mean}_i \cos(q(h^1_i), \bar h^2_i) - \operatorname{mean}_i \cos(q(h^2_i), \bar h^1_i)

    with a predictor :math:`q` (linear, PReLU, linear) and :math:`\bar h` of the target network, which gets no gradient.
    Its rate goes from ``momentum`` to 1 along a cosine.

    Args:
        encoder: the encoder; of GCN layers with batch normalisation in the paper. The target is a copy of which all is
            drawn anew that has ``reset_parameters``.
        channels: of its result.
        first, second: draw the two views.
        momentum: of the moving average, in [0, 1).
        predictor_channels: width inside the predictor.
        after: applied to the encoder's result; batch normalisation and a PReLU when left out.

    Source: Thakoor et al. (2022), arXiv:2102.06514.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = BGRL(Encoder(8, 4, 3, conv=GCNConv), 3, first=Augmentation(edge_drop=0.2), second=Augmentation())
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        *,
        first: Augmentation | Diffusion,
        second: Augmentation | Diffusion,
        momentum: float = 0.99,
        predictor_channels: int = 512,
        after: nn.Module | None = None,
    ) -> None:
        at_least("channels", channels, 1)
        at_least("predictor_channels", predictor_channels, 1)
        torch_module("encoder", encoder)
        if after is None:
            after = nn.Sequential(nn.BatchNorm1d(channels, momentum=0.01), nn.PReLU())
        super().__init__(encoder, after)
        self.first, self.second = check_drawer("first", first), check_drawer("second", second)
        self.momentum = within("momentum", momentum, 0.0, 1.0)
        self.target_encoder, self.target_after = copy.deepcopy(self.encoder), copy.deepcopy(self.after)
        for module in (self.target_encoder, self.target_after):
            reset(module)  # two networks that begin alike have nothing to predict
            module.requires_grad_(False)
        self.predictor = nn.Sequential(
            nn.Linear(channels, predictor_channels), nn.PReLU(), nn.Linear(predictor_channels, channels)
        )

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        views = list(self._draw_views(view, generator, self.first, self.second))
        online = [self.predictor(self.encode(each)) for each in views]
        with torch.no_grad():
            target = [self.target_after(_call_encoder(self.target_encoder, each)) for each in views]
        agreement = [
            (normalize_rows(q) * normalize_rows(t)).sum(-1).mean()
            for q, t in zip(online, reversed(target), strict=True)
        ]
        return 2 - agreement[0] - agreement[1]

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the target network towards the online one."""
        rate = 1 - (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
        for slow, quick in ((self.target_encoder, self.encoder), (self.target_after, self.after)):
            for old, new in zip(slow.parameters(), quick.parameters(), strict=True):
                old.mul_(rate).add_(new, alpha=1 - rate)


class CCASSG(AbstractSelfSupervision):
    r"""CCA-SSG: the two views of a node agree, and the channels of a view are uncorrelated.

    .. math::
        L = -\operatorname{tr} C_{12} + \lambda\,(\lVert C_{11} - I\rVert_F^2 + \lVert C_{22} - I\rVert_F^2)

    with the correlations :math:`C_{ab} = Z_a^\top Z_b / n` of embeddings standardize channel by channel. No negative
    pairs, projector or second network; an epoch costs :math:`O(n d^2)`.

    Args:
        encoder: the encoder.
        augmentation: draws both views.
        decorrelation: :math:`\lambda`, at least 0.

    Source: Zhang et al. (2021), arXiv:2106.12484, in the form of the official code, which divides by ``n``
    and drops directions of edges one by one.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = CCASSG(Encoder(8, 4, 3, conv=GCNConv), Augmentation(edge_drop=0.2))
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(
        self, encoder: nn.Module, augmentation: Augmentation | Diffusion, *, decorrelation: float = 1e-3
    ) -> None:
        super().__init__(encoder)
        self.augmentation = check_drawer("augmentation", augmentation)
        self.decorrelation = not_negative("decorrelation", decorrelation)

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        views = self._draw_views(view, generator, self.augmentation, self.augmentation)
        first, second = (standardize(self.encode(each), correction=1) for each in views)
        nodes = len(first)
        agreement = (first * second).sum() / nodes
        return self.decorrelation * (_correlation_penalty(first) + _correlation_penalty(second)) - agreement


def _correlation_penalty(z: Tensor) -> Tensor:
    correlation = z.T @ z / len(z)
    return (correlation - torch.eye(len(correlation), dtype=z.dtype, device=z.device)).square().sum()
