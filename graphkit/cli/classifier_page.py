"""The page of a run of ``graphkit train`` or ``tune``: what its model says of every item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit.cli.page_parts import (
    PARTS,
    confusion_counts,
    histories,
    parts_of,
    principal_places,
    record_rows,
    shown_items,
)

if TYPE_CHECKING:
    from graphkit.training.trained.abstract_run import AbstractRun
    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.runs import Run
    from graphkit.viz.run_page import PageCurves, PageItems, RunPage

MOST_EDGES = 1_000_000
"""Edges of a page; of more none."""


def classifier_page(run: Run, model: TrainedModel, data: Any, *, device: str = "auto") -> RunPage:
    """Return what a page says of a run, and of its model on some data."""
    from graphkit.viz.run_page import RunPage

    items, confusion, of = _items(run, model, data, device)
    record = run.record
    return RunPage(
        title=f"{model.recipe.name} on {record.dataset.name}",
        headline=f"test {record.metric.name} {record.metric}; seed {model.seed} is shown",
        items=items,
        metric=record.metric.name,
        record=record_rows(record),
        curves=epoch_curves(run),
        confusion=confusion,
        confusion_of=of,
    )


def _items(run: Run, model: TrainedModel, data: Any, device: str) -> tuple[PageItems, np.ndarray | None, str]:
    """Return the items of a page, their confusion matrix, and whose it is."""
    from graphkit.data import GraphSet
    from graphkit.training.trained.data_facts import item_ids
    from graphkit.training.trained.runs import labels_for
    from graphkit.viz.run_page import PageItems

    logits = model.outputs_for(data, device=device).double()
    values, many = model.probabilities(logits), len(logits)
    labelled = (data.items if isinstance(data, GraphSet) else data).get("y") is not None
    y = labels_for(model, data) if labelled else torch.full((many,), -1)
    part, (shown, left_out) = parts_of(data, many), shown_items(many)
    edges = None
    if model.recipe.model.items == "nodes":
        edges = _edges_among(data.edge_index.cpu(), shown, many)
        if edges is None:
            left_out.append(f"more than {MOST_EDGES:,} edges are left out")
    kind, confusion, of = model.objective.target.kind, None, ""
    true, predicted, confidence = _columns(kind, y, values)
    if kind == "classes":
        test = run.is_own(data) and bool((part == 2).any())
        counted = (true >= 0) & (part == 2 if test else torch.ones(many, dtype=torch.bool))
        confusion = confusion_counts(true[counted], predicted[counted], model.outputs)
        of = f"{'test' if test else 'all labelled'} items"
    names = {"classes": model.column_names, "binary": ("0", "1"), "numbers": ()}[kind]
    points, axes = _places(logits, true, predicted, model)
    ids = item_ids(data, many)
    return (
        PageItems(
            ids=[ids[place] for place in shown.tolist()],
            points={name: np.asarray(each[shown]) for name, each in points.items()},
            axes=axes,
            classes=names,
            true=true[shown].numpy(),
            predicted=predicted[shown].numpy(),
            confidence=None if confidence is None else confidence[shown].numpy(),
            parts=PARTS,
            part=part[shown].numpy(),
            edges=edges,
            left_out=", ".join(left_out),
        ),
        confusion,
        of,
    )


def _columns(kind: str, y: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return true and predicted classes and the confidence; of tasks those of the first, of numbers the first."""
    if kind == "classes":
        confidence, predicted = values.max(dim=-1)
        return y, predicted, confidence
    first = y.reshape(len(y), -1)[:, 0].double()
    if kind == "numbers":
        return first, values[:, 0], None
    predicted = (values[:, 0] > 0.5).long()
    true = torch.where(first >= 0, first.nan_to_num(-1.0), -1.0).long()
    return true, predicted, torch.maximum(values[:, 0], 1 - values[:, 0])


def _places(
    logits: Tensor, true: Tensor, predicted: Tensor, model: TrainedModel
) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Return items in two dimensions: their logits by their principal components, or numbers beside the true ones."""
    if model.objective.target.kind == "numbers":
        name = f"{model.column_names[0]}, true and predicted"
        return {name: torch.stack([true, predicted], dim=1)}, {name: ("true", "predicted")}
    points, axes = principal_places(logits)
    return {"logits, PCA": points}, {"logits, PCA": axes}


def _edges_among(edge_index: Tensor, shown: Tensor, many: int) -> np.ndarray | None:
    """Return the edges between items that are shown, by their places; ``None`` for too many."""
    place = torch.full((many,), -1)
    place[shown] = torch.arange(len(shown))
    ends = place[edge_index]
    ends = ends[:, (ends >= 0).all(dim=0)]
    return ends.numpy() if ends.size(1) <= MOST_EDGES else None


def epoch_curves(run: AbstractRun[Any]) -> list[PageCurves]:
    """Return the figures of every epoch, where the run keeps them."""
    from graphkit.viz.run_page import PageCurves

    made = []
    for name, result in histories(run):
        _, train_loss, validation_loss, figure = zip(*result["history"], strict=True)
        curves = {"train_loss": train_loss, "validation_loss": validation_loss, "figure": figure}
        made.append(PageCurves(name=name, selected=result["selected"], **curves))
    return made
