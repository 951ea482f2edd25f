"""What few-shot methods see of the items: features averaged over neighbours, or an encoder's embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphkit.contrastive import pretraining
from graphkit.operators import gcn_adjacency, sparse_features
from graphkit.training.devices import seeded
from graphkit.training.embedding.recipes import embedding_recipe

HOPS = 4
"""Averages over neighbours, of embeddings and of the features beside them."""


def averaged(x: Tensor, data: Data, hops: int) -> Tensor:
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
    x = averaged(_features(data), data, hops)
    return F.normalize(x - x.mean(0) if centred else x, dim=-1)


def rows_of(data: Data, kind: str) -> Tensor:
    """Return the rows that "features-K" or "centred-K" names."""
    name, _, hops = kind.partition("-")
    return feature_rows(data, int(hops), centred=name == "centred")


def encoder_rows(
    seen: Sequence[Data],
    embedded: Sequence[Data],
    *,
    loss: str,
    seed: int,
    overrides: Mapping[str, Any] | None = None,
) -> list[Tensor]:
    """Return embeddings of an encoder that is trained without labels, beside the features.

    Both are averaged four times, centred, and of length 1; the embeddings are standardised before.

    Args:
        seen: the graphs the encoder is trained on, all at once.
        embedded: the graphs that are embedded.
        loss: a name of a loss without labels.
        seed: draws weights and views.
        overrides: fields of the loss's recipe, and values.

    Raises:
        ValueError: for a loss that needs labels.
    """
    chosen = embedding_recipe(loss, overrides)
    if chosen.objective.labelled:
        raise ValueError(f"`encoder` must be trained without labels, but {loss!r} needs them.")
    whole = Batch.from_data_list([Data(x=_features(data), edge_index=data.edge_index) for data in seen])
    with seeded(seed):
        method = chosen.module(whole.num_features)
        losses = pretraining(
            method,  # type: ignore[arg-type]  # a loss without labels puts a method around its encoder
            sparse_features(whole.x),
            whole.edge_index,
            epochs=chosen.epochs,
            lr=chosen.encoder.lr,
            weight_decay=chosen.encoder.l2,
            generator=torch.default_generator,
        )
        for _ in losses:
            pass
    method.eval()
    rows = []
    with torch.no_grad():
        for data in embedded:
            z = method(sparse_features(_features(data)), data.edge_index)
            z = (z - z.mean(0)) / z.std(0).clamp(min=1e-9)
            z = averaged(z, data, HOPS)
            unit = F.normalize(z - z.mean(0), dim=-1)
            rows.append(torch.cat([unit, feature_rows(data, HOPS, centred=True)], dim=1) / 2**0.5)
    return rows


def _features(data: Data) -> Tensor:
    """Return features of absolute sum 1, in float32."""
    x = data.x.to_dense() if data.x.layout != torch.strided else data.x
    return F.normalize(x.float(), p=1, dim=-1)
