"""Pictures. Each function returns a matplotlib ``Figure`` and touches no global state; :func:`save` writes it."""

from __future__ import annotations

from graphkit.viz.curves import accuracy_curves, learning_curves, method_accuracies
from graphkit.viz.embeddings import embedding_scatter, neighbour_gallery, pair_distances
from graphkit.viz.evaluation import class_evaluation, run_figures
from graphkit.viz.explanations import explanation_graph
from graphkit.viz.figures import require_format, save
from graphkit.viz.run_page import PageCurves, PageItems, RunPage, run_page
from graphkit.viz.spectra import filter_bank, multiplicities, responses, spectrum, wavelets_on_graph

__all__ = [
    "PageCurves",
    "PageItems",
    "RunPage",
    "accuracy_curves",
    "class_evaluation",
    "embedding_scatter",
    "explanation_graph",
    "filter_bank",
    "learning_curves",
    "method_accuracies",
    "multiplicities",
    "neighbour_gallery",
    "pair_distances",
    "require_format",
    "responses",
    "run_figures",
    "run_page",
    "save",
    "spectrum",
    "wavelets_on_graph",
]
