"""The page of a run of ``graphkit embed``: where items lie, and which lie nearest to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

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
    from graphkit.training.trained.encoder import TrainedEncoder
    from graphkit.training.trained.runs import EncoderRun
    from graphkit.viz.run_page import PageCurves, RunPage

NEAREST = 12
"""Items that a page names of those nearest to one."""


def retrieval_page(run: EncoderRun, model: TrainedEncoder, data: Any, *, device: str = "auto") -> RunPage:
    """Return what a page says of a run: the items nearest to each of some data, by one of its encoders."""
    from graphkit.metric.distances import normalize_rows
    from graphkit.metric.nearest import nearest_items
    from graphkit.training.trained.data_facts import item_ids, labels_of
    from graphkit.viz.run_page import PageItems, RunPage

    z = model.embed(data, device=device)
    many, y = len(z), labels_of(data)
    y = torch.full((many,), -1) if y is None else y.long().cpu().reshape(-1)
    part, (shown, left_out) = parts_of(data, many), shown_items(many)
    true = y[shown]
    found = nearest_items(z[shown], min(NEAREST, max(1, len(shown) - 1)))
    first = found.items[:, 0]
    # Of an item the nearest one that has a class stands for what would be said of it; the last row is nobody's.
    predicted = torch.cat([true, torch.tensor([-1])])[first]
    classes = max(int(y.max()) + 1, 1)
    names = model.names.classes if len(model.names.classes) >= classes else tuple(map(str, range(classes)))
    ids, places, record = item_ids(data, many), principal_places(normalize_rows(z)[shown].double()), run.about
    test = run.is_own(data) and bool((part == 2).any())
    counted = part[shown] == 2 if test else torch.ones(len(shown), dtype=torch.bool)
    return RunPage(
        title=f"{model.recipe.name} on {record.dataset.name}",
        headline=f"test {record.metric.name} {record.metric}; seed {model.seed} is shown",
        items=PageItems(
            ids=[ids[place] for place in shown.tolist()],
            points={"embeddings, PCA": places[0].numpy()},
            axes={"embeddings, PCA": places[1]},
            classes=names,
            true=true.numpy(),
            predicted=predicted.numpy(),
            predicted_word="class of the nearest",
            parts=PARTS,
            part=part[shown].numpy(),
            nearest=found.items.numpy(),
            distances=found.distances.numpy(),
            left_out=", ".join(left_out),
        ),
        metric=record.metric.name,
        record=record_rows(record),
        curves=_curves(run),
        confusion=confusion_counts(true[counted], predicted[counted], len(names)),
        confusion_of=f"{'test' if test else 'all'} items and their nearest",
    )


def _curves(run: EncoderRun) -> list[PageCurves]:
    """Return loss and MAP@R of every epoch, where the run keeps them."""
    from graphkit.viz.run_page import PageCurves

    made = []
    for name, result in histories(run):
        _, train_loss, figure, *_ = zip(*result["history"], strict=True)
        made.append(PageCurves(name=name, selected=result["selected"], train_loss=train_loss, figure=figure))
    return made
