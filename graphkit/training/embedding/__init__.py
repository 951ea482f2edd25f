"""Embeddings: metric losses on any encoder, selected by retrieval, examined beside what they must beat.

A loss is an objective (``embedding_objectives``) with a line in the table of ``embedding_recipes``. One without labels
derives from ``AbstractEmbeddingObjective`` and supplies ``loss(model, visible, batch)``; all else stays the same.
Several graphs of the same features and classes are embedded in one space: ``embed(load("citation-domains"), ...)``.

Example:
    >>> import torch
    >>> from torch_geometric.datasets import FakeDataset
    >>> from graphkit.training.embedding import embed, embedding_recipe
    >>> data = FakeDataset(num_graphs=1, avg_num_nodes=60, num_classes=3, task="node")[0]
    >>> data.train_mask, data.val_mask, data.test_mask = (torch.arange(data.num_nodes) % 3 == part for part in range(3))
    >>> outcome = embed(data, embedding_recipe("prototype", {"epochs": 2}), device="cpu", probes=False)
    >>> list(outcome.record.figures)[2:]
    ['best view', 'ridge on views', 'prototype, not joined', 'prototype']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit._exports import deprecated_names, lazy

if TYPE_CHECKING:
    from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, EmbeddingRecipe, embedding_recipe
    from graphkit.training.embedding.embedding_results import EmbeddingOutcome, EmbeddingRecord, EmbeddingResult
    from graphkit.training.embedding.embedding_trainer import EmbeddingEpoch, EmbeddingTrainer
    from graphkit.training.embedding.run_embedding import embed
    from graphkit.training.embedding.saved import Found, SavedEmbeddings, search

__getattr__ = deprecated_names(
    __name__,
    {"EmbeddingFit": "graphkit.training.embedding.embedding_trainer.EmbeddingTrainer"},
    lazy(
        __name__,
        {
            "embedding_recipes": ["EMBEDDINGS", "EmbeddingRecipe", "embedding_recipe"],
            "embedding_results": ["EmbeddingOutcome", "EmbeddingRecord", "EmbeddingResult"],
            "saved": ["Found", "SavedEmbeddings", "search"],
            "run_embedding": ["embed"],
            "embedding_trainer": ["EmbeddingEpoch", "EmbeddingTrainer"],
        },
    ),
)

__all__ = [
    "EMBEDDINGS",
    "EmbeddingEpoch",
    "EmbeddingOutcome",
    "EmbeddingRecipe",
    "EmbeddingRecord",
    "EmbeddingResult",
    "EmbeddingTrainer",
    "Found",
    "SavedEmbeddings",
    "embed",
    "embedding_recipe",
    "search",
]
