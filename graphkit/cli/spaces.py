"""The pictures that ``graphkit embed`` leaves beside its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training.embedding import EmbeddingOutcome

ASKING, ANSWERS, MOST = 8, 10, 20
"""Rows and columns of the gallery, and its rows at the most, where there are many classes."""


def pictures(outcome: EmbeddingOutcome) -> dict[str, Figure]:
    """Return file name -> picture, of the first seed: scatter before and after, distances of pairs, nearest items.

    Of one class alone there are no pairs of two, and no picture of their distances.
    """
    import torch

    from graphkit.metric.nearest import nearest_items
    from graphkit.viz import embedding_scatter, neighbour_gallery, pair_distances

    record = outcome.record.record
    loss, protocol = record.config["loss"], record.protocol
    z, y = outcome.embeddings[0], outcome.y
    title = f"{record.dataset.name} in {z.shape[1]} dimensions, {loss} loss"
    figures = outcome.seeds[0].figures
    after, before = (100 * figures[what]["map@r (test)"] for what in (loss, "raw features"))
    note = (
        f"MAP@R of test items {after:.1f} % (raw features {before:.1f} %), seed {outcome.seeds[0].seed}\n"
        f"split {protocol.split}; {protocol.setting}; protocol {protocol.fingerprint}"
    )
    spaces = {"before: raw features": outcome.raw.numpy(), f"after: {z.shape[1]} dimensions": z.numpy()}
    asking = _one_of_each(outcome)
    asked = torch.from_numpy(asking)
    nearest = nearest_items(z, ANSWERS, queries=asked, gallery=y >= 0, exclude=outcome.exclude).items.numpy()
    images = _images(record.dataset.name, outcome.raw.numpy())
    drawn = {
        "scatter.png": embedding_scatter(spaces, y.numpy(), title=title, note=note),
        "neighbours.png": neighbour_gallery(asking, nearest, y.numpy(), title=title, note=note, images=images),
    }
    if len(y[y >= 0].unique()) > 1:
        drawn["distances.png"] = pair_distances(spaces, y.numpy(), title=title, note=note)
    return drawn


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
