"""The trainer of embeddings: steps on an objective, selection by retrieval among labelled items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from graphkit.data.sampling.class_batches import ClassBatches
from graphkit.metric.retrieval import evaluate_retrieval
from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.embedding.embedding_task import EmbeddingTask
from graphkit.training.engine.distributed import rng_seed
from graphkit.training.engine.trainer import Trainer, require_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe


WATCHED = 512
"""Training items whose telemetry is taken after every epoch; of more, so many evenly spaced ones."""


class EmbeddingEpoch(NamedTuple):
    """The figures of one epoch: the mean loss of its steps, the validation items' MAP@R, and how training items lie.

    ``validation_hit`` is how often the item nearest to a validation item is of its class. The others are those of
    :class:`graphkit.metric.Telemetry`, by which a training that stalls is seen; ``None`` where there is no pair to
    measure, and where an objective without labels has no tuples to be active.
    """

    number: int
    train_loss: float
    validation_map: float
    active: float | None = None
    positives: float | None = None
    negatives: float | None = None
    overlapping: float | None = None
    collapsed: float | None = None
    effective_rank: float | None = None
    validation_hit: float | None = None

    @property
    def figure(self) -> float:
        """What progress shows."""
        return self.validation_map


LIES = EmbeddingEpoch._fields[3:-1]
"""The figures of how training items lie."""


class EmbeddingTrainer(Trainer[EmbeddingEpoch]):
    """One encoder on its way from drawn to selected.

    It never sees a test label: ``visible`` holds none.

    Args:
        module: a freshly drawn encoder, on the CPU.
        visible: items, training and validation labels.
        recipe: objective, rates, selection.
        fabric: puts model and optimiser on their device and in their precision.
    """

    figures = EmbeddingEpoch
    labelled: LabelledItems
    """The validation items, then the training items."""

    def __init__(self, module: nn.Module, visible: EmbeddingTask, recipe: EmbeddingRecipe, fabric: Fabric) -> None:
        self.visible, self.recipe = visible, recipe
        module = module.to(fabric.device)
        encoder = recipe.objective.encoder(module)
        super().__init__(module, recipe.encoder.parameter_groups(module, encoder), recipe.encoder.lr, fabric)
        labels = [visible.validation.y, visible.train.y]
        self.labelled = LabelledItems(torch.cat([visible.validation.index, visible.train.index]), torch.cat(labels))
        self._queries = torch.arange(len(visible.validation.y))

    @property
    def finished(self) -> bool:
        """Whether all epochs have run or patience has."""
        done, patience = len(self.history), self.recipe.patience
        waited = done - self.best.number if self.best else 0
        return done >= self.recipe.epochs or (0 < patience <= waited)

    def take_steps(self, number: int) -> float:
        """Take the steps of an epoch, and return their mean loss."""
        losses = torch.stack([self._step(*drawn) for drawn in enumerate(self._batches(), start=1)])
        return float(losses.double().mean())

    def validate(self, number: int, loss: float) -> EmbeddingEpoch:
        """Look at the validation items; an embedding that is not finite has no figures."""
        z = self._embed(self.labelled.index, self.visible)
        if not bool(z.isfinite().all()):
            return EmbeddingEpoch(number, loss, math.nan)
        found = evaluate_retrieval(z, self.labelled.y, queries=self._queries, cuts=[1], metrics=["ranking"])
        first = found.hit[1] if found.hit else None
        return EmbeddingEpoch(number, loss, found.map_at_r or 0.0, validation_hit=first, **self._telemetry(z))

    def losses(self, epoch: EmbeddingEpoch) -> float:
        """Return the sum of the loss and of the figure, which is NaN where an embedding is not finite."""
        return epoch.train_loss + epoch.validation_map

    def better(self, epoch: EmbeddingEpoch, best: EmbeddingEpoch) -> bool:
        """Return whether selection prefers an epoch; of equal ones the earlier stays."""
        if self.recipe.select == "last":
            return True
        return self._selected_by(epoch) > self._selected_by(best)

    def _selected_by(self, epoch: EmbeddingEpoch) -> float:
        """Return the figure that selects."""
        first = epoch.validation_hit or 0.0
        return {"hit@1": first, "both": epoch.validation_map + first}.get(self.recipe.select, epoch.validation_map)

    def initial_embeddings(self, visible: EmbeddingTask) -> Tensor:
        """Return the embeddings of all items as the model is now, before its first step that of the drawn encoder."""
        return self._embed(None, visible)

    def embeddings(self, visible: EmbeddingTask | None = None) -> Tensor:
        """Return the selected encoder's embeddings of all items, and leave the model with the selected weights.

        Args:
            visible: other items, or the same in another graph; by default those trained on.

        Raises:
            TrainingError: if weights or embeddings are not finite.
        """
        self.select()
        z = self._embed(None, visible or self.visible)
        require_finite("the embeddings", [z])
        return z

    def labelled_embeddings(self) -> Tensor:
        """Return the selected encoder's embeddings of the labelled items, in the graph that training sees."""
        self.select()
        return self._embed(self.labelled.index, self.visible)

    def _batches(self) -> Iterator[LabelledItems]:
        """Yield the labelled items of each step of an epoch."""
        rows, recipe = self.visible.train, self.recipe
        if not recipe.ways:
            for _ in range(recipe.steps):
                yield rows
            return
        drawn = ClassBatches(rows.y, ways=recipe.ways, shots=recipe.shots, batches=recipe.steps)
        for batch in drawn:
            places = torch.tensor(batch, device=rows.index.device)
            yield LabelledItems(rows.index[places], rows.y[places])

    def _step(self, number: int, batch: LabelledItems) -> Tensor:
        """Take one optimiser step, that of this number in its epoch, and return the loss before it."""
        progress = (len(self.history) + number / self.recipe.steps) / self.recipe.epochs
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.recipe.objective.loss(self.model, self.visible, batch)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.recipe.objective.after_step(self.model, progress)
        return loss.detach()

    def _embed(self, index: Tensor | None, visible: EmbeddingTask) -> Tensor:
        """Return embeddings without dropout and gradient."""
        self.model.eval()
        with torch.no_grad():
            return visible.embed(self.model, index)

    def _telemetry(self, z: Tensor) -> dict[str, float | None]:
        """Return how the training items lie among the labelled ones; what a miner draws changes no later epoch."""
        first = len(self._queries)
        chosen = torch.linspace(first, len(z) - 1, min(WATCHED, len(z) - first)).long()
        with rng_seed(0, z.device):
            found = self.recipe.objective.report(z[chosen], self.labelled.y[chosen])
        values = {name: getattr(found, name) for name in LIES}
        return {name: None if value is None or math.isnan(value) else value for name, value in values.items()}
