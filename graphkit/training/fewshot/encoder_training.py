"""Encoders of a few-shot study: what each is trained by and on, and the rows that trained ones make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphkit.contrastive.self_supervision import SelfSupervisedTraining
from graphkit.operators import sparse_features
from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
from graphkit.training.engine.distributed import rng_seed
from graphkit.training.engine.records import fingerprint
from graphkit.training.engine.trainer import require_finite
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.fewshot.feature_views import HOPS, features_of, propagate, weighted_rows
from graphkit.training.fewshot.pretraining_trainer import PretrainingTrainer

LOGGER = logging.getLogger(__name__)

Seen: TypeAlias = tuple[Any, Tensor]
"""Features, a sparse operator ``[nodes, features]``, and edges, ``[2, edges]``."""


def seen_graphs(graphs: Sequence[Data]) -> Seen:
    """Return features and edges of graphs, all at once."""
    whole = Batch.from_data_list([Data(x=features_of(data), edge_index=data.edge_index) for data in graphs])
    return sparse_features(whole.x), whole.edge_index


@dataclass(frozen=True)
class EncoderTraining:
    """The training of one encoder without labels.

    Args:
        recipe: model, objective, epochs and rates.
        seed: draws weights and views.
        channels: width of the features.
        seen: makes the features and the edges it is trained on.
        problem: the only problem, or held-out graph, that it is for; nothing where it serves all of them.
    """

    recipe: EmbeddingRecipe
    seed: int
    channels: int
    seen: Callable[[], Seen]
    problem: str = ""

    @property
    def key(self) -> str:
        """Its name in files and logs."""
        name = f"encoder-{self.recipe.name}-seed-{self.seed}"
        return f"{name}-{fingerprint(self.problem)}" if self.problem else name

    @property
    def label(self) -> str:
        """What people are told."""
        name = f"encoder {self.recipe.name} with seed {self.seed}"
        return f"{name} for {self.problem}" if self.problem else name

    def start(self) -> PretrainingTrainer:
        """Return the trainer of a freshly drawn encoder; the generators of this process draw it, and its views."""
        x, edge_index = self.seen()
        made = self.recipe
        training = SelfSupervisedTraining(
            made.module(self.channels).to(edge_index.device),  # type: ignore[arg-type]  # one around an encoder
            x,
            edge_index,
            epochs=made.epochs,
            lr=made.encoder.lr,
            weight_decay=made.encoder.l2,
            generator=torch.default_generator,
        )
        return PretrainingTrainer(training, made.epochs, edge_index.device, f"a training of the encoder {made.name!r}")

    def train(self) -> nn.Module:
        """Return the encoder, trained to the end at once, in evaluation mode."""
        with rng_seed(self.seed, self.seen()[1].device):
            trainer = self.start()
            trainer.train()
        trainer.select()
        return trainer.model.eval()

    def load(self, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
        """Return the encoder with weights that it was trained to, in evaluation mode."""
        with rng_seed(self.seed):
            module = self.recipe.module(self.channels)
        module.load_state_dict(weights)
        return module.to(device).eval()


def encoder_trainings(
    encoders: Encoders, seed: int, channels: int, seen: Callable[[], Seen], problem: str = ""
) -> tuple[EncoderTraining, ...]:
    """Return the trainings of encoders on the same graphs.

    Args:
        encoders: which, and how many.
        seed: of the first encoder of each loss; the next have the next seeds.
        channels, seen, problem: see :class:`EncoderTraining`.
    """
    return tuple(
        EncoderTraining(made, seed + draw, channels, seen, problem)
        for made in encoders.recipes.values()
        for draw in range(encoders.draws)
    )


def encoder_rows(graphs: Sequence[Data], methods: Sequence[nn.Module]) -> list[Tensor]:
    """Return embeddings of encoders that were trained without labels, beside the features.

    All are averaged twice, centred, and of length 1; the embeddings are standardised before. The embeddings
    together weigh as much as the features, which are those of :func:`weighted_rows`.

    Args:
        graphs: the graphs that are embedded.
        methods: the trained encoders.
    """
    parts = [[_embed(method, data) for method in methods] for data in graphs]
    share = (2 * len(methods)) ** -0.5
    return [
        torch.cat([*(share * part for part in found), weighted_rows(data, HOPS) / 2**0.5], dim=1)
        for found, data in zip(parts, graphs, strict=True)
    ]


@torch.no_grad()
def _embed(method: nn.Module, data: Data) -> Tensor:
    """Return the embeddings of a graph's nodes, standardised, averaged and centred, as unit rows."""
    z = method(sparse_features(features_of(data)), data.edge_index)
    require_finite("the encoder's embeddings", [z])
    z = propagate((z - z.mean(0)) / z.std(0).clamp(min=1e-9), data, HOPS)
    return F.normalize(z - z.mean(0), dim=-1)
