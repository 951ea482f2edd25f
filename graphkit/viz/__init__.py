"""Pictures. Each function returns a matplotlib ``Figure`` and touches no global state; :func:`save` writes it."""

from __future__ import annotations

from graphkit.viz.curves import accuracy_curves, learning_curves, method_accuracies
from graphkit.viz.embeddings import embedding_scatter, neighbour_gallery, pair_distances
from graphkit.viz.evaluation import class_evaluation, run_figures
from graphkit.viz.figures import require_format, save
from graphkit.viz.forecasts import error_lines, error_map, forecast_lines
from graphkit.viz.spectra import filter_bank, multiplicities, responses, spectrum, wavelets_on_graph

__all__ = [
    "accuracy_curves",
    "class_evaluation",
    "embedding_scatter",
    "error_lines",
    "error_map",
    "filter_bank",
    "forecast_lines",
    "learning_curves",
    "method_accuracies",
    "multiplicities",
    "neighbour_gallery",
    "pair_distances",
    "require_format",
    "responses",
    "run_figures",
    "save",
    "spectrum",
    "wavelets_on_graph",
]
