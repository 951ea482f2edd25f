"""A network of whole graphs, and what is solved for beside it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from graphkit._checks import fraction
from graphkit.nn.estimators.abstract_estimator import KINDS
from graphkit.nn.fused import refuse_script
from graphkit.nn.graph_features import GraphFeatureModel
from graphkit.nn.graph_models import GraphBatch


class GraphEnsemble(nn.Module):
    r"""The mean of what a network says of graphs, and of what an estimator says that was fitted before.

    .. math::
        p_g = (1 - s)\,p^{\mathrm{network}}_g + s\,p^{\mathrm{other}}_g

    Mixed are probabilities, which are returned as logits again, or numbers. While it is trained it is the network
    alone: no gradient reaches the other.

    Args:
        network: returns logits or numbers, ``[graphs, outputs]``.
        other: likewise.
        share: :math:`s`, from 0 to 1.

    Source: Dietterich (2000), "Ensemble methods in machine learning", for the mean.

    Example:
        >>> from graphkit.nn.estimators import Forest
        >>> from graphkit.nn.graph_features import ColourCounts
        >>> from graphkit.nn.graph_models import StructureFree
        >>> other = GraphFeatureModel(ColourCounts(), Forest(2))
        >>> two = GraphBatch(torch.ones(3, 4), torch.zeros(2, 0, dtype=torch.long), None, torch.tensor([0, 0, 1]), 2)
        >>> other.solve(1, lambda: other.rows(two), torch.tensor([0, 1]), "classes")
        >>> GraphEnsemble(StructureFree(4, 8, 2), other).eval()(two).shape
        torch.Size([2, 2])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, network: nn.Module, other: GraphFeatureModel, *, share: float = 0.5) -> None:
        super().__init__()
        self.network, self.other, self.share = network, other, fraction("share", share)

    @property
    def first(self) -> nn.Module:
        """The first layer of the network."""
        return cast("nn.Module", self.network.first)

    def forward(self, graphs: GraphBatch) -> Tensor:
        """Return one row for each graph."""
        own: Tensor = self.network(graphs)
        if self.training:
            return own
        other = self.other(graphs).to(own)
        kind = KINDS[int(cast("Tensor", self.other.estimator.kind))]
        parts: Any = (own, 1 - self.share), (other, self.share)
        if kind == "numbers":
            return sum(share * part for part, share in parts)
        if kind == "binary":
            return sum(share * part.double().sigmoid() for part, share in parts).logit(1e-7).to(own)
        kept = [part.log_softmax(1) + torch.tensor(share).log() for part, share in parts if share > 0]
        return torch.stack(kept).logsumexp(0)
