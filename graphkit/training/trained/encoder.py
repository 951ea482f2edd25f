"""Trained encoders: built again from their file, to embed items that training never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from graphkit.data import GraphSet
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import ClassTarget, SupervisedObjective
from graphkit.training.classification.tasks import AbstractTask, NodeTask
from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
from graphkit.training.embedding.graph_embedding import GraphsTask, graph_encoder
from graphkit.training.embedding.graph_rows import JoinedGraphRows
from graphkit.training.embedding.joined_embeddings import PREFIX
from graphkit.training.embedding.joined_rows import Shares
from graphkit.training.embedding.node_rows import JoinedNodeRows
from graphkit.training.trained.abstract_trained import AbstractTrained
from graphkit.training.trained.classifier import NOTHING
from graphkit.training.trained.data_facts import item_ids
from graphkit.training.trained.predictions import Predictions
from graphkit.training.zoo.recipes import ModelRecipe

if TYPE_CHECKING:
    from torch import nn
    from torch_geometric.data import Data

UNUSED = SupervisedObjective(ClassTarget(1), METRICS["accuracy"])
"""What a task minimises and measures, which nobody asks of an encoder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedEncoder(AbstractTrained):
    """One trained encoder of nodes or of graphs.

    Args:
        view: the view whose rows served best beside the encoder; nothing where none are joined.
        share: of those rows in the similarity.
        solved: the share of what is solved for.
    """

    study: ClassVar[str] = "embed"

    recipe: EmbeddingRecipe
    view: str = ""
    share: float = 0.0
    solved: float = 0.0

    @property
    def module_weights(self) -> dict[str, Tensor]:
        """The weights of the encoder, without what is joined."""
        return {name: value for name, value in self.weights.items() if not name.startswith(PREFIX)}

    @property
    def joined(self) -> JoinedNodeRows | JoinedGraphRows | None:
        """Which rows are joined, and how much they count."""
        if not self.view:
            return None
        state = {name.removeprefix(PREFIX): each for name, each in self.weights.items() if name.startswith(PREFIX)}
        kind: Any = JoinedGraphRows if self.items == "graphs" else JoinedNodeRows
        found: JoinedNodeRows | JoinedGraphRows = kind(
            view=self.view, shares=Shares(self.share, self.solved), state=state
        )
        return found

    @property
    def items(self) -> str:
        """What it embeds."""
        return "graphs" if self.recipe.level == "graph" else "nodes"

    @property
    def model_recipe(self) -> ModelRecipe:
        """How features and graph are prepared."""
        return self.recipe.encoder

    def draw(self, graph: tuple[Any, ...]) -> nn.Module:
        """Return what was trained, as it is drawn for a graph: the encoder, and what its objective puts around it."""
        if self.items == "graphs":
            return graph_encoder(self.recipe, self.channels)
        return self.recipe.module(self.channels, graph)

    def embed(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Tensor:
        """Return the embedding of every item of ``data``, ``[items, dim]`` in float32; see :meth:`outputs_for`.

        Where rows are joined, ``dim`` is the width of all parts that have a share in the similarity.
        """
        z = self.outputs_for(data, device=device, precision=precision).float()
        joined = self.joined
        return z if joined is None else joined.join(z, self.prepare(data))

    def predict(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Predictions:
        """Return the embeddings as a table whose columns are ``z0``, ``z1`` and so on."""
        z = self.embed(data, device=device, precision=precision)
        return Predictions(item_ids(data, len(z)), z, "numbers", tuple(f"z{place}" for place in range(z.size(1))))

    def task(self, data: Data | GraphSet, device: torch.device, dtype: torch.dtype) -> AbstractTask:
        """Return data as a task without labels."""
        if isinstance(data, GraphSet):
            return GraphsTask(data.to(device), dtype, NOTHING, NOTHING, UNUSED)
        features, graph = self.inputs(data, device, dtype)
        return NodeTask(features, graph, NOTHING, NOTHING, UNUSED)
