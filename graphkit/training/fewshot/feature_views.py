"""What few-shot methods see of the items: features averaged over neighbours, or an encoder's embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphkit.operators import gcn_adjacency, sparse_features
from graphkit.training.engine.validity import require_finite
from graphkit.training.fewshot.encoders import Encoders, train_encoder

HOPS = 2
"""Averages over neighbours, of embeddings and of the features beside them."""


def propagate(x: Tensor, data: Data, hops: int) -> Tensor:
    """Return rows averaged so often over neighbours, with the operator of GCN, ``[nodes, features]``.

    Args:
        x: ``[nodes, features]``.
        data: their graph.
        hops: 0 or more.
    """
    adjacency = gcn_adjacency(data.edge_index, data.get("edge_weight"), num_nodes=data.num_nodes)
    for _ in range(hops):
        x = adjacency @ x
    return x


def feature_rows(data: Data, hops: int, *, centred: bool = False) -> Tensor:
    """Return features of absolute sum 1, averaged so often, as unit rows.

    Args:
        data: the graph.
        hops: 0 or more.
        centred: take the mean over all nodes away first: what all have in common tells no class from another.
    """
    x = propagate(_features(data), data, hops)
    return F.normalize(x - x.mean(0) if centred else x, dim=-1)


def weighted_rows(data: Data, hops: int) -> Tensor:
    r"""Return features that count the more the fewer nodes have them, averaged so often, centred, as unit rows.

    Feature :math:`j` of :math:`n` nodes, :math:`n_j` of which have it, is scaled by :math:`\sqrt{w_j}` with
    :math:`w_j = 1 + \log\frac{1 + n}{1 + n_j}`, so that it has the weight :math:`w_j` in an inner product: the inverse
    document frequency of words. Where all nodes have all features nothing is weighted.

    Args:
        data: the graph.
        hops: 0 or more.

    Source: scikit-learn's smoothed inverse document frequency.
    """
    x = _dense(data)
    frequency = (1 + len(x)) / (1 + x.count_nonzero(0))
    x = propagate(F.normalize(x * (1 + frequency.log()).sqrt(), dim=-1), data, hops)
    return F.normalize(x - x.mean(0), dim=-1)


def rows_of(data: Data, kind: str) -> Tensor:
    """Return the rows that "features-K", "centred-K" or "weighted-K" names."""
    name, _, hops = kind.partition("-")
    if name == "weighted":
        return weighted_rows(data, int(hops))
    return feature_rows(data, int(hops), centred=name == "centred")


def encoder_rows(seen: Sequence[Data], embedded: Sequence[Data], encoders: Encoders, *, seed: int) -> list[Tensor]:
    """Return embeddings of encoders that are trained without labels, beside the features.

    All are averaged twice, centred, and of length 1; the embeddings are standardised before. The embeddings
    together weigh as much as the features, which are those of :func:`weighted_rows`.

    Args:
        seen: the graphs the encoders are trained on, all at once.
        embedded: the graphs that are embedded.
        encoders: which, and how many.
        seed: draws weights and views of the first encoder of each loss; the next have the next seeds.
    """
    whole = Batch.from_data_list([Data(x=_features(data), edge_index=data.edge_index) for data in seen])
    x, parts = sparse_features(whole.x), [list[Tensor]() for _ in embedded]
    for made in encoders.recipes.values():
        for draw in range(encoders.draws):
            method = train_encoder(made, x, whole.edge_index, seed + draw)
            for found, data in zip(parts, embedded, strict=True):
                found.append(_embed(method, data))
    share = (2 * len(parts[0])) ** -0.5
    return [
        torch.cat([*(share * part for part in found), weighted_rows(data, HOPS) / 2**0.5], dim=1)
        for found, data in zip(parts, embedded, strict=True)
    ]


@torch.no_grad()
def _embed(method: nn.Module, data: Data) -> Tensor:
    """Return the embeddings of a graph's nodes, standardised, averaged and centred, as unit rows."""
    z = method(sparse_features(_features(data)), data.edge_index)
    require_finite("the encoder's embeddings", [z])
    z = propagate((z - z.mean(0)) / z.std(0).clamp(min=1e-9), data, HOPS)
    return F.normalize(z - z.mean(0), dim=-1)


def _dense(data: Data) -> Tensor:
    """Return features as a dense matrix in float32."""
    return (data.x.to_dense() if data.x.layout != torch.strided else data.x).float()


def _features(data: Data) -> Tensor:
    """Return features of absolute sum 1, in float32."""
    return F.normalize(_dense(data), p=1, dim=-1)
