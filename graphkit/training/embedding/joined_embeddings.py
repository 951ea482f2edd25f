"""What a trained encoder comes to beside what takes no training, by shares that validation items or classes decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.embedding.closed_form_embedding import embedding_trainer
from graphkit.training.embedding.joined_rows import NOTHING_JOINED, Shares, best_shares, join_rows
from graphkit.training.engine.distributed import rng_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
    from graphkit.training.embedding.embedding_setup import EmbeddingSetup
    from graphkit.training.embedding.embedding_task import EmbeddingTask
    from graphkit.training.embedding.embedding_trainer import EmbeddingTrainer
    from graphkit.training.embedding.joined_rows import AbstractRows

PREFIX = "view_rows."
"""Before the names of what a file holds of the rows, beside the weights of the encoder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedEmbeddings:
    """Embeddings of all items, and what takes no training in them.

    Args:
        z: embeddings ``[items, dim]``.
        validation: their MAP@R on validation items, those of the encoder alone where nothing is joined.
        view: whose rows served validation items best.
        shares: of those rows, and of what is solved for, in the similarity.
        rows: of that view ``[items, width]``, whether joined or not.
        solved: what is solved for says of all items ``[items, classes]``, whether joined or not; nothing of classes
            that training never saw.
        weights: what is needed to make the rows of other items, where they are joined.
    """

    z: Tensor
    validation: float
    view: str = ""
    shares: Shares = NOTHING_JOINED
    rows: Tensor | None = None
    solved: Tensor | None = None
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
        """Return the embeddings of a trained encoder beside rows of the best view and what is solved for.

        The view and the shares are those of the best figure on validation items. Where classes are examined that
        training never saw, items of classes that it did see would choose what fits these: then the encoder is trained
        again on each half of the training classes, and how items of the other half answer each other decides. Halves of
        fewer than three classes say too little, and the rows stand alone. What is solved for tells the classes
        it has seen, and has no share there.

        Args:
            trainer: with its weights selected.
            z: its embeddings of all items.
            setting: what training saw, and what is examined.
            recipe: says whether to join, and by which figure.
            seed: draws the encoders of classes left out.
            fabric: puts them on a device.
        """
        validation, rows = trainer.selected.validation_map, setting.rows
        task, labelled, asking = setting.visible.task, trainer.labelled, len(setting.visible.validation.y)
        figure = "both" if recipe.join == "none" else recipe.join
        view = rows.best_view(labelled, asking, figure)
        if recipe.join == "none":
            return cls(z=z, validation=validation, view=view, rows=rows.of(view))
        solved = None
        if setting.evaluator.disjoint:
            shares = _shares_of_new_classes(rows, setting.visible, recipe, seed, fabric)
        else:
            solved = None if recipe.objective.solved else rows.best_solution(labelled, asking, task.outputs, figure)
            known = trainer.labelled_embeddings()
            shares = best_shares(rows.figure(view, known, labelled, asking, figure, solved), solved=solved is not None)
            if shares != NOTHING_JOINED:
                validation = rows.figure(view, known, labelled, asking, "map", solved)(shares)
        parts, state = [(z, shares.encoder), (rows.of(view), shares.view)], rows.state()
        if shares.solved and solved is not None:
            parts.insert(1, (solved.all, shares.solved))
            state = dict(solved.state)
        return cls(
            z=join_rows(*parts),
            validation=validation,
            view=view,
            shares=shares,
            rows=rows.of(view),
            solved=None if solved is None else solved.all,
            weights={PREFIX + name: value for name, value in state.items()} if shares != NOTHING_JOINED else {},
        )


ALONE = Shares(view=1.0)
"""The rows of a view, and nothing beside them."""

LEAST_CLASSES = 6
"""Training classes of which halves are asked. By halves of two classes shares were chosen that lost half a point of
MAP@R in the mean over all groups of three classes of Cora, and five on one, beside the rows alone."""


def _shares_of_new_classes(
    rows: AbstractRows, visible: EmbeddingTask, recipe: EmbeddingRecipe, seed: int, fabric: Fabric
) -> Shares:
    """Return the shares by which either half of the training classes is told, the other having trained the encoder."""
    classes = visible.train.y.unique()
    if len(classes) < LEAST_CLASSES:
        return ALONE
    found: list[Callable[[Shares], float]] = []
    for group in (classes[0::2], classes[1::2]):
        seen = visible.drop_classes(group)
        with rng_seed(seed, fabric.device):
            trainer = embedding_trainer(recipe.module(seen.task.channels, seen.task.graph), seen, recipe, fabric)
            trainer.train()
            z = trainer.embeddings(visible)
        asks, answers = (_of_classes(each, group) for each in (visible.validation, visible.train))
        index = torch.cat((asks.index, answers.index))
        labelled = LabelledItems(index, torch.cat((asks.y, answers.y)))
        if len(asks.y) and len(answers.y):
            view = rows.best_view(trainer.labelled, len(seen.validation.y), recipe.join)
            found.append(rows.figure(view, z[index], labelled, len(asks.y), recipe.join))
    return best_shares(lambda shares: sum(figure(shares) for figure in found), solved=False) if found else ALONE


def _of_classes(items: LabelledItems, classes: Tensor) -> LabelledItems:
    """Return the items of some classes."""
    kept = torch.isin(items.y, classes)
    return LabelledItems(items.index[kept], items.y[kept])
