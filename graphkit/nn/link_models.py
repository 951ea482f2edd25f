"""Models of links: an encoder of nodes with a decoder of pairs, and estimators on what a graph says of pairs."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, member, within
from graphkit.nn.estimators import AbstractEstimator
from graphkit.nn.fused import AbstractModel, refuse_script
from graphkit.operators.dropout import dropout
from graphkit.operators.pair_scores import PairScores

DECODERS = ("inner", "hadamard", "bilinear", "distance")
"""What two nodes are scored by: an inner product, a perceptron on their product, a learnt form, or their distance."""

RADIUS = 2.0
"""Square distance at which a score is 0: that of rows at right angles."""


class LinkBatch(NamedTuple):
    """Pairs of nodes of a graph, of which is asked whether they are links; without pairs, its nodes alone."""

    x: Any  # features of all nodes, [nodes, features], or None
    edge_index: Tensor  # the edges that may be seen, [2, edges]
    edge_weight: Tensor | None  # [edges]
    pairs: Tensor | None  # [2, pairs]
    views: Tensor | None = None  # what the graph says of them, [pairs, columns], for models that ask for it
    z: Tensor | None = None  # rows of all nodes, [nodes, channels], where the encoder was asked before
    common: tuple[Tensor, Tensor] | None = None  # of which pair each common neighbour is, and which node, where known


class PairDecoder(nn.Module):
    r"""Scores of pairs from rows of their nodes.

    ``inner``: :math:`z_u^\top z_v`. ``hadamard``: :math:`\mathrm{MLP}(z_u \odot z_v)`. ``bilinear``:
    :math:`z_u^\top W z_v`, which alone tells (u, v) from (v, u). ``distance``: :math:`2 - \|z_u - z_v\|^2` of rows of
    length 1, from -2 to 2.

    Args:
        channels: width of a row.
        kind: one of ``DECODERS``.
        layers: linear maps of the perceptron.
        dropout: probability of zeroing a value before each of them.

    Source: Kipf & Welling (2016), arXiv:1611.07308, for inner products; Hu et al. (2020), arXiv:2005.00687, for the
    perceptron of its baselines; Yang et al. (2015), arXiv:1412.6575, for products weighted by features; Schroff,
    Kalenichenko & Philbin (2015), arXiv:1503.03832, for square distances on the unit sphere.

    Example:
        >>> PairDecoder(4, "inner")(torch.eye(3, 4), torch.tensor([[0, 0], [0, 1]])).flatten().tolist()
        [1.0, 0.0]
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, channels: int, kind: str = "hadamard", *, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.kind, width = member("kind", kind, DECODERS), at_least("channels", channels, 1)
        self.channels = width
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        sizes = [width] * at_least("layers", layers, 1) + [1]
        maps = [nn.Linear(i, o) for i, o in itertools.pairwise(sizes)] if kind == "hadamard" else []
        self.maps = nn.ModuleList(maps)
        self.form = nn.Linear(width, width, bias=False) if kind == "bilinear" else None

    def forward(self, z: Tensor, pairs: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return scores of ``pairs [2, pairs]``, ``[pairs, 1]``; ``extra [pairs, channels]`` is added to the products.

        Args:
            z: rows of all nodes, ``[nodes, channels]``.
            pairs: ``[2, pairs]``.
            extra: for the perceptron alone.
        """
        first, second = z.index_select(0, pairs[0]), z.index_select(0, pairs[1])
        if self.kind == "distance":
            first, second = (F.normalize(each, dim=-1) for each in (first, second))
            return RADIUS - (first - second).square().sum(-1, keepdim=True)
        if self.kind != "hadamard":
            first = first if self.form is None else self.form(first)
            return (first * second).sum(-1, keepdim=True)
        h = first * second if extra is None else first * second + extra
        for number, each in enumerate(self.maps):
            h = each(dropout(h if number == 0 else torch.relu(h), self.dropout, self.training))
        return h


class LinkPredictor(AbstractModel):
    r"""An encoder of nodes and a decoder of pairs.

    With ``common`` what both nodes have around them is looked at too, as in NCN,

    .. math::
        s_{uv} = \mathrm{MLP}\Bigl(z_u \odot z_v + W \sum_{w \in N(u) \cap N(v)} z_w\Bigr).

    Args:
        encoder: a module ``(x, edge_index)``, or ``(x, edge_index, edge_weight)``, to ``[nodes, channels]``.
        decoder: scores pairs.
        common: whether rows of common neighbours are added up.
        views: columns of what the graph says of pairs, which are looked at beside the products; 0 for none.

    Source: Wang, Yang & Zhang (2024), arXiv:2302.00890, equation 6, for common neighbours.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> model = LinkPredictor(Encoder(3, 8, 4, conv=GCNConv), PairDecoder(4))
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> model(LinkBatch(torch.ones(3, 3), edges, None, torch.tensor([[0, 1], [1, 2]]))).shape
        torch.Size([2, 1])
    """

    def __init__(self, encoder: nn.Module, decoder: PairDecoder, *, common: bool = False, views: int = 0) -> None:
        super().__init__()
        at_least("views", views, 0)
        if (common or views) and decoder.kind != "hadamard":
            name = "common" if common else "views"
            raise ValueError(f"`{name}` needs a decoder of kind 'hadamard', got {decoder.kind!r}.")
        self.encoder, self.decoder = encoder, decoder
        self.around = nn.Linear(decoder.channels, decoder.channels, bias=False) if common else None
        self.counted = nn.Linear(views, decoder.channels) if views else None

    @property
    def first(self) -> nn.Module:
        """The encoder's first layer."""
        found = getattr(self.encoder, "first", self.encoder)
        return found if isinstance(found, nn.Module) else self.encoder

    def forward(self, batch: LinkBatch) -> Tensor:
        """Return a score of each pair, ``[pairs, 1]``; of a batch without pairs the rows of nodes."""
        weights = () if batch.edge_weight is None else (batch.edge_weight,)
        z = self.encoder(batch.x, batch.edge_index, *weights) if batch.z is None else batch.z
        if batch.pairs is None:
            return z
        extra = None
        if self.counted is not None:
            if batch.views is None:
                raise ValueError("`batch.views` must be given: the model looks at what the graph says of pairs.")
            extra = self.counted(batch.views.to(z.dtype))
        if self.around is None:
            return self.decoder(z, batch.pairs, extra)
        of_pair, nodes = batch.common or PairScores(batch.edge_index, z.size(0)).common_nodes(batch.pairs)
        between = torch.zeros(batch.pairs.size(1), z.size(1), dtype=z.dtype, device=z.device)
        between = between.index_add(0, of_pair.to(z.device), z[nodes.to(z.device)])
        return self.decoder(z, batch.pairs, self.around(between) if extra is None else extra + self.around(between))


class PairViewModel(nn.Module):
    """An estimator on what a graph says of pairs: several solutions, of which :attr:`used` is the one that was taken.

    Args:
        estimator: fitted to rows of pairs; ``None`` where a single column is the score.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> views = torch.tensor([[0.3], [0.7]])
        >>> PairViewModel()(LinkBatch(None, edges, None, torch.tensor([[0, 1], [1, 2]]), views)).flatten().tolist()
        [0.30000001192092896, 0.699999988079071]
    """

    __prepare_scriptable__ = refuse_script
    used: Tensor

    def __init__(self, estimator: AbstractEstimator | None = None) -> None:
        super().__init__()
        self.estimator = estimator
        self.register_buffer("used", torch.tensor(0))

    @property
    def first(self) -> nn.Module:
        """The module itself: it has no layer."""
        return self

    @property
    def solutions(self) -> int:
        """One for each variant of the estimator."""
        return 1 if self.estimator is None else self.estimator.variants

    def solve(self, number: int, views: Tensor, y: Tensor) -> None:
        """Fit the estimator in the way of a number, from 1 on, to rows ``[pairs, columns]`` and ``y [pairs, 1]``."""
        self.used.fill_(at_least("number", number, 1) - 1)
        if self.estimator is not None:
            self.estimator.fit(views, y, "binary", int(self.used))

    def forward(self, batch: LinkBatch) -> Tensor:
        """Return a score of each pair, ``[pairs, 1]``."""
        if batch.views is None:
            raise ValueError("`batch.views` must be given: the model looks at what the graph says of pairs.")
        return batch.views[:, :1] if self.estimator is None else self.estimator(batch.views)
