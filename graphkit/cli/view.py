"""``graphkit view``: one page of a run, to look at what it is right and wrong about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.export import open_classifier
from graphkit.cli.options import FILE, require_places
from graphkit.cli.output import begin, debuggable, preload, say
from graphkit.cli.trained import DEVICE, RUN, load_data

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.runs import Run
    from graphkit.viz.run_page import PageCurves, PageItems, RunPage

MOST_ITEMS = 50_000
"""Items of a page; of more, so many evenly spaced ones."""

MOST_EDGES = 1_000_000
"""Edges of a page; of more none."""

PARTS = ("train", "validation", "test")


@click.command()
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option("--to", type=FILE, metavar="PATH", help="The page.  [default: view.html in RUN]")
@click.option("--seed", type=click.IntRange(0), help="Whose model.  [default: the best on validation items]")
@DEVICE
@debuggable
def view(run: Path, data: str | None, to: Path | None, seed: int | None, device: str) -> int:
    """Write one page that shows what RUN says of every item of DATA, by default of what it was trained on.

    Items in two dimensions with their true and predicted class, the neighbourhood of the one that is clicked, learning
    curves, the confusion matrix and the record. The page needs no network and no server: open it in a browser.
    """
    from graphkit._checks import extra

    extra("graphkit view", "view", "plotly")
    place = to or run / "view.html"
    require_places(to=to)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.runs", "graphkit.viz")
    from graphkit.training.engine.store import write_atomically
    from graphkit.viz.run_page import run_page

    opened, model = open_classifier(run, seed)
    given, splits = load_data(opened, data)
    if splits is not None:
        given = opened.with_split_of(given, splits, model.seed)
    begin("predicting")
    made = page_of(opened, model, given, device=device)
    write_atomically(place, run_page(made).encode())
    say(f"Page: {place}")
    return 0


def page_of(run: Run, model: TrainedModel, data: Any, *, device: str = "auto") -> RunPage:
    """Return what a page says of a run, and of its model on some data."""
    from graphkit.viz.run_page import RunPage

    items, confusion, of = _items(run, model, data, device)
    record = run.record
    return RunPage(
        title=f"{model.recipe.name} on {record.dataset.name}",
        headline=f"test {record.metric.name} {record.metric}; seed {model.seed} is shown",
        items=items,
        metric=record.metric.name,
        record=_rows(run),
        curves=_curves(run),
        confusion=confusion,
        confusion_of=of,
    )


def _items(run: Run, model: TrainedModel, data: Any, device: str) -> tuple[PageItems, np.ndarray | None, str]:
    """Return the items of a page, their confusion matrix, and whose it is."""
    import numpy as np
    import torch

    from graphkit.data import GraphSet
    from graphkit.training.trained.classifier import split_masks
    from graphkit.training.trained.data_facts import item_ids
    from graphkit.training.trained.runs import labels_for
    from graphkit.viz.run_page import PageItems

    logits = model.outputs_for(data, device=device).double()
    values, many = model.probabilities(logits), len(logits)
    labelled = (data.items if isinstance(data, GraphSet) else data).get("y") is not None
    y = labels_for(model, data) if labelled else torch.full((many,), -1)
    part = torch.full((many,), -1)
    for number, mask in enumerate(split_masks(data)):
        part[mask] = number
    shown = torch.linspace(0, many - 1, min(many, MOST_ITEMS)).round().long().unique()
    left_out = [] if len(shown) == many else [f"every {many / len(shown):.3g}th of {many:,} is shown"]
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
        pairs = true[counted] * model.outputs + predicted[counted]
        confusion = pairs.bincount(minlength=model.outputs**2).reshape(model.outputs, model.outputs).numpy()
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
    import torch

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
    import torch

    if model.objective.target.kind == "numbers":
        name = f"{model.column_names[0]}, true and predicted"
        return {name: torch.stack([true, predicted], dim=1)}, {name: ("true", "predicted")}
    centred = logits - logits.mean(dim=0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    # A direction is known but for its sign: its largest entry is positive.
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    points = torch.nn.functional.pad(centred @ (directions * largest.sign()).T[:, :2], (0, 1))[:, :2]
    shares = torch.nn.functional.pad(sizes.square() / sizes.square().sum().clamp(min=1e-30), (0, 1))[:2].tolist()
    axes = tuple(f"component {place} ({100 * share:.0f} % of the variance)" for place, share in enumerate(shares, 1))
    return {"logits, PCA": points}, {"logits, PCA": (axes[0], axes[1])}


def _edges_among(edge_index: Tensor, shown: Tensor, many: int) -> np.ndarray | None:
    """Return the edges between items that are shown, by their places; ``None`` for too many."""
    import torch

    place = torch.full((many,), -1)
    place[shown] = torch.arange(len(shown))
    ends = place[edge_index]
    ends = ends[:, (ends >= 0).all(dim=0)]
    return ends.numpy() if ends.size(1) <= MOST_EDGES else None


def _curves(run: Run) -> list[PageCurves]:
    """Return the figures of every epoch, where the run keeps them."""
    from graphkit.training.engine.store import CHECKPOINT, Damaged, read_tensors
    from graphkit.viz.run_page import PageCurves

    try:
        finished = read_tensors(run.folder / CHECKPOINT)["finished"]
    except (FileNotFoundError, Damaged):
        return []
    made = []
    for name, result in finished.items():
        if "history" not in result:  # of nested cross-validation, which keeps none
            continue
        _, train_loss, validation_loss, figure = zip(*result["history"], strict=True)
        curves = {"train_loss": train_loss, "validation_loss": validation_loss, "figure": figure}
        made.append(PageCurves(name=name, selected=result["selected"], **curves))
    return made


def _rows(run: Run) -> list[tuple[str, str]]:
    """Return what the record says, a row for each."""
    record = run.record
    return [
        ("command", record.command),
        ("test", f"{record.metric.name} {record.metric}"),
        ("validation", f"{record.validation.name} {record.validation}"),
        ("data", _list({name: value for name, value in vars(record.dataset).items() if value is not None})),
        ("protocol", str(record.protocol)),
        ("selection", record.selection),
        ("config", _list(record.config)),
        ("seeds", _words(record.seeds)),
        ("seconds", f"{record.seconds:.1f}"),
        ("environment", _list(record.environment)),
        *([("tuning", _list({k: v for k, v in record.tuning.items() if k != "best"}))] if record.tuning else []),
    ]


def _list(fields: Any) -> str:
    """Return named values in a line."""
    return ", ".join(f"{name} {_list(value) if hasattr(value, 'items') else value}" for name, value in fields.items())


def _words(values: Sequence[object]) -> str:
    """Return values in a line."""
    return ", ".join(map(str, values))
