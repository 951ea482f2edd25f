"""The pictures that ``graphkit embed`` leaves beside its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training.embedding import EmbeddingOutcome

ASKING, ANSWERS, MOST = 8, 10, 20
"""Rows and columns of the gallery, and its rows at the most, where there are many classes."""


def all_pictures(outcome: EmbeddingOutcome) -> dict[str, Figure]:
    """Return file name -> picture, of the first seed: scatter before and after, distances of pairs, nearest items.

    Of one class alone there are no pairs of two, and no picture of their distances.
    """
    import torch

    from graphkit.metric.nearest import nearest_items
    from graphkit.viz import neighbour_gallery, pair_distances

    record = outcome.record.record
    y, words = outcome.y, _words(outcome)
    asking = _one_of_each(outcome)
    nearest = nearest_items(
        outcome.embeddings[0], ANSWERS, queries=torch.from_numpy(asking), gallery=y >= 0, exclude=outcome.exclude
    ).items.numpy()
    images = _images(record.dataset.name, outcome.raw.numpy())
    drawn = {
        "scatter.png": scatter(outcome),
        "neighbours.png": neighbour_gallery(asking, nearest, y.numpy(), images=images, **words),
    }
    if len(y[y >= 0].unique()) > 1:
        drawn["distances.png"] = pair_distances(_spaces(outcome), y.numpy(), **words)
    return drawn


def scatter(outcome: EmbeddingOutcome) -> Figure:
    """Return the items of the first seed in two dimensions, before and after training."""
    from graphkit.viz import embedding_scatter

    return embedding_scatter(_spaces(outcome), outcome.y.numpy(), **_words(outcome))


def _spaces(outcome: EmbeddingOutcome) -> dict[str, Any]:
    """Return the rows before and after training."""
    z = outcome.embeddings[0]
    return {"before: raw features": outcome.raw.numpy(), f"after: {z.shape[1]} dimensions": z.numpy()}


def _words(outcome: EmbeddingOutcome) -> dict[str, Any]:
    """Return title and note of the pictures."""
    record, figures = outcome.record.record, outcome.seeds[0].figures
    loss, protocol = record.config["loss"], record.protocol
    after, before = (100 * figures[what]["map@r (test)"] for what in (loss, "raw features"))
    note = (
        f"MAP@R of test items {after:.1f} % (raw features {before:.1f} %), seed {outcome.seeds[0].seed}\n"
        f"split {protocol.split}; {protocol.setting}; protocol {protocol.fingerprint}"
    )
    width = outcome.embeddings[0].shape[1]
    return {"title": f"{record.dataset.name} in {width} dimensions, {loss} loss", "note": note}


def _one_of_each(outcome: EmbeddingOutcome) -> Any:
    """Return the middle test item of each class, or several of each where there are few classes.

    Of very many classes so many evenly spaced ones stand for all.
    """
    import numpy as np

    y = outcome.y.numpy()
    test = outcome.test.numpy()
    by_class = [np.flatnonzero((y == label) & test) for label in np.unique(y[y >= 0])]
    by_class = [members for members in by_class if len(members)]
    each = max(1, ASKING // len(by_class))
    chosen = np.linspace(0, len(by_class) - 1, min(MOST, len(by_class))).astype(int)
    return np.concatenate([by_class[number][len(by_class[number]) // 2 :][:each] for number in chosen])


def _images(name: str, raw: Any) -> Any:
    """Return the items as pictures, where they are some."""
    return raw.reshape(-1, 8, 8) if name == "digits" else None
