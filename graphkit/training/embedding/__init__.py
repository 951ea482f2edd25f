"""Embeddings: metric losses on any encoder, selected by retrieval, examined beside what they must beat."""

from graphkit.training.embedding.fit import EmbeddingEpoch, EmbeddingFit
from graphkit.training.embedding.recipes import EMBEDDINGS, EmbeddingRecipe, embedding_recipe
from graphkit.training.embedding.results import EmbeddingRecord, EmbeddingResult
from graphkit.training.embedding.saved import Found, SavedEmbeddings, search
from graphkit.training.embedding.study import EmbeddingOutcome, embed

__all__ = [
    "EMBEDDINGS",
    "EmbeddingEpoch",
    "EmbeddingFit",
    "EmbeddingOutcome",
    "EmbeddingRecipe",
    "EmbeddingRecord",
    "EmbeddingResult",
    "Found",
    "SavedEmbeddings",
    "embed",
    "embedding_recipe",
    "search",
]
