"""What a trained encoder comes to beside rows of a view, whose share validation items or classes left out decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.embedding.embedding_trainer import EmbeddingTrainer
from graphkit.training.embedding.joined_rows import SHARES, best_share, join_rows
from graphkit.training.engine.distributed import rng_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
    from graphkit.training.embedding.embedding_setup import EmbeddingSetup
    from graphkit.training.embedding.embedding_task import EmbeddingTask
    from graphkit.training.embedding.joined_rows import NodeRows

PREFIX = "view_rows."
"""Before the names of what a file holds of the rows, beside the weights of the encoder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedEmbeddings:
    """Embeddings of all items, and rows of a view in them.

    Args:
        z: embeddings ``[items, dim]``.
        validation: their MAP@R on validation items, those of the encoder alone where nothing is joined.
        view: whose rows served validation items best; nothing of whole graphs.
        share: of the rows in the similarity.
        rows: of that view ``[items, width]``, whether joined or not.
        weights: what is needed to make the rows of another graph, where they are joined.
    """

    z: Tensor
    validation: float
    view: str = ""
    share: float = 0.0
    rows: Tensor | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        trainer: EmbeddingTrainer,
        z: Tensor,
        setting: EmbeddingSetup,
        recipe: EmbeddingRecipe,
        seed: int,
        fabric: Fabric,
    ) -> JoinedEmbeddings:
        """Return the embeddings of a trained encoder beside rows of the view that serves validation items best.

        The share is that of the best figure on validation items. Where classes are examined that training never saw,
        items of classes that it did see would choose what fits these: then the encoder is trained again on each half
        of the training classes, and how items of the other half answer each other decides. Of fewer than four classes
        no two can be spared that would have to be told apart, and the rows stand alone.

        Args:
            trainer: with its weights selected.
            z: its embeddings of all items.
            setting: what training saw, and what is examined.
            recipe: says whether to join, and by which figure.
            seed: draws the encoders of classes left out.
            fabric: puts them on a device.
        """
        validation, rows = trainer.selected.validation_map, setting.rows
        if rows is None:
            return cls(z=z, validation=validation)
        labelled, asking = trainer.labelled, len(setting.visible.validation.y)
        view = rows.best_view(labelled, asking, "both" if recipe.join == "none" else recipe.join)
        if recipe.join == "none":
            return cls(z=z, validation=validation, view=view, rows=rows.of(view))
        if setting.evaluator.disjoint:
            share = best_share(_figures_of_new_classes(rows, setting.visible, recipe, seed, fabric))
        else:
            known = trainer.labelled_embeddings()
            share = best_share(rows.figures(view, known, labelled, asking, recipe.join))
            if share:
                validation = rows.figures(view, known, labelled, asking, "map")[share]
        weights = {PREFIX + name: value for name, value in rows.fitted.state_dict().items()} if share else {}
        joined = join_rows(z, rows.of(view), share)
        return cls(z=joined, validation=validation, view=view, share=share, rows=rows.of(view), weights=weights)


def _figures_of_new_classes(
    rows: NodeRows, visible: EmbeddingTask, recipe: EmbeddingRecipe, seed: int, fabric: Fabric
) -> dict[float, float]:
    """Return share -> sum of figures on either half of the training classes, the other having trained the encoder."""
    classes = visible.train.y.unique()
    if len(classes) < 4:
        return {1.0: 1.0}
    found: list[dict[float, float]] = []
    for group in (classes[0::2], classes[1::2]):
        seen = visible.drop_classes(group)
        with rng_seed(seed, fabric.device):
            trainer = EmbeddingTrainer(recipe.module(seen.task.channels, seen.task.graph), seen, recipe, fabric)
            trainer.train()
            z = trainer.embeddings(visible)
        asks, answers = (_of_classes(each, group) for each in (visible.validation, visible.train))
        index = torch.cat((asks.index, answers.index))
        labelled = LabelledItems(index, torch.cat((asks.y, answers.y)))
        if len(asks.y) and len(answers.y):
            view = rows.best_view(trainer.labelled, len(seen.validation.y), recipe.join)
            found.append(rows.figures(view, z[index], labelled, len(asks.y), recipe.join))
    return {share: sum(each[share] for each in found) for share in SHARES} if found else {1.0: 1.0}


def _of_classes(items: LabelledItems, classes: Tensor) -> LabelledItems:
    """Return the items of some classes."""
    kept = torch.isin(items.y, classes)
    return LabelledItems(items.index[kept], items.y[kept])
