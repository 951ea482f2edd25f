"""Pictures. Each function returns a matplotlib ``Figure`` and touches no global state; :func:`save` writes it."""

from __future__ import annotations

from graphkit.viz.curves import learning_curves
from graphkit.viz.fewshot import accuracy_curves, method_accuracies
from graphkit.viz.figures import require_format, save
from graphkit.viz.gallery import neighbour_gallery
from graphkit.viz.spaces import embedding_scatter, pair_distances
from graphkit.viz.spectra import multiplicities, responses, spectrum
from graphkit.viz.wavelets import filter_bank, wavelets_on_graph

__all__ = [
    "accuracy_curves",
    "embedding_scatter",
    "filter_bank",
    "learning_curves",
    "method_accuracies",
    "multiplicities",
    "neighbour_gallery",
    "pair_distances",
    "require_format",
    "responses",
    "save",
    "spectrum",
    "wavelets_on_graph",
]
