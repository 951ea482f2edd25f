"""What a metric loss must beat: the encoder as it was drawn, a classifier on the same labels, other embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.tasks import prepare
from graphkit.training.embedding.closed_form_embedding import embedding_trainer
from graphkit.training.embedding.joined_embeddings import JoinedEmbeddings
from graphkit.training.engine.distributed import rng_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
    from graphkit.training.embedding.embedding_setup import EmbeddingSetup
    from graphkit.training.zoo.recipes import Recipe


def initial_embeddings(data: Data, recipe: EmbeddingRecipe, seed: int) -> Tensor:
    """Return the nodes as the encoder embeds them before its first step, ``[nodes, dim]``.

    Args:
        data: a graph with its masks.
        recipe: the encoder.
        seed: draws its weights, as in a study.
    """
    task, _ = prepare(data, recipe.encoder, torch.device("cpu"), torch.float32)
    with rng_seed(seed), torch.no_grad():
        module = recipe.module(task.channels, task.graph).eval()
        return task.logits(module, torch.arange(data.num_nodes))


def train_embeddings(
    setting: EmbeddingSetup, recipe: EmbeddingRecipe, seed: int, fabric: Fabric
) -> tuple[Tensor, Tensor]:
    """Return the embeddings of all nodes that a study of this recipe draws with the same seed, and those it selects.

    Both are ``[nodes, dim]``: the first of the encoder before its first step, the second joined as the recipe says.

    Args:
        setting: what training sees, prepared for this recipe.
        recipe: objective and encoder.
        seed: draws weights, views and batches.
        fabric: puts the encoder on a device.
    """
    task = setting.visible.task
    with rng_seed(seed, fabric.device):
        trainer = embedding_trainer(recipe.module(task.channels, task.graph), setting.visible, recipe, fabric)
        drawn = trainer.initial_embeddings(setting.full_graph)
        trainer.train()
    z = trainer.embeddings(setting.full_graph).float().cpu()
    return drawn.float().cpu(), JoinedEmbeddings.of(trainer, z, setting, recipe, seed, fabric).z


def classifier_logits(data: Data, seen: Data, recipe: Recipe, seed: int, fabric: Fabric) -> Tensor:
    """Return the logits of all nodes, of the classifier that ``graphkit train`` selects with the same seed.

    Args:
        data: a graph with its masks.
        seen: what training sees of it.
        recipe: the classifier.
        seed: draws its weights and dropout.
        fabric: puts it on a device.
    """
    device = fabric.device
    task, _ = prepare(seen, recipe, device, torch.float32)
    with rng_seed(seed, device):
        trainer = classification_trainer(recipe.module(task.channels, task.outputs, task.graph), task, recipe, fabric)
        trainer.train()
    trainer.task, _ = prepare(data, recipe, device, torch.float32)
    return trainer.logits(torch.arange(data.num_nodes, device=device))
