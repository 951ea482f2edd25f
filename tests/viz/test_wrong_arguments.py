"""Every picture with each argument wrong in all ways of one table."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphkit.viz
from graphkit.viz import (
    accuracy_curves,
    class_evaluation,
    embedding_scatter,
    error_lines,
    error_map,
    filter_bank,
    forecast_lines,
    learning_curves,
    method_accuracies,
    multiplicities,
    neighbour_gallery,
    pair_distances,
    require_format,
    responses,
    run_figures,
    save,
    spectrum,
    wavelets_on_graph,
)
from graphkit.viz.figures import new_figure
from tests.wrong_arguments import Call, refuses_what_is_wrong

FOUND = {"mean": 0.7, "interval": 0.01, "values": [0.6, 0.8]}
Y, Z = np.array([0, 0, 1, 1, 2, 2]), np.random.default_rng(0).normal(size=(6, 3))
POINTS = np.linspace(0, 2, 6)

TEXTS = {"a text"}
NUMBERS = {"one axis", "float labels", "NumPy labels", "labels of -2", "fewer labels"}
"""Of any size, a tensor on the CPU, too, is an array."""
FINE = {
    **dict.fromkeys(("title", "note", "over", "metric_name"), TEXTS),
    "fraction": {"True"},
    "names": {"texts", "NumPy texts"},
}


def defaults(thing):
    """Return the arguments of a call as they are when left out."""
    return {name: given.default for name, given in inspect.signature(thing).parameters.items()}


def call(thing, *, aliases=None, **given):
    """Return a call; of an argument that is a pair, the second says what else it may be."""
    right = {**defaults(thing), **({"title": "six"} if "title" in defaults(thing) else {})}
    right |= {name: value[0] if isinstance(value, tuple) else value for name, value in given.items()}
    fine = {name: FINE.get(name, set()) for name in right}
    fine |= {name: value[1] for name, value in given.items() if isinstance(value, tuple)}
    return Call(thing, lambda: right, fine, aliases or {})


SEEDS = [[1.0, 0.5], [1.1, 0.4]]
CALLS = {
    "learning_curves": call(
        learning_curves,
        train_loss=SEEDS,
        validation_loss=SEEDS,
        validation_metric=SEEDS,
        best_epochs=[1, 2],
    ),
    "method_accuracies": call(method_accuracies, accuracies={"maml": FOUND}, calibrated={"maml": FOUND}),
    "accuracy_curves": call(accuracy_curves, curves={"maml": {1: FOUND, 3: FOUND}}, over="shots"),
    "require_format": call(require_format, path="picture.png", argument=("path", TEXTS)),
    "save": call(save, picture=new_figure(1.0, 1.0), path="picture.png"),
    "neighbour_gallery": call(
        neighbour_gallery,
        queries=np.array([0, 2]),
        nearest=np.array([[1, 2], [3, -1]]),
        y=(Y, {"fewer labels"}),  # who asks and who answers is among the four
        names=list("abc"),
        images=(None, {"three axes"}),
        aliases={"queries": ("nearest",), "y": ("names",)},
    ),
    "embedding_scatter": call(
        embedding_scatter,
        spaces={"after": Z},
        y=Y,
        names=list("abc"),
        methods=["PCA"],
        aliases={"y": ("names", "spaces")},
    ),
    "pair_distances": call(pair_distances, spaces={"after": Z}, y=Y, aliases={"y": ("spaces",)}),
    "multiplicities": call(multiplicities, eigenvalues=(POINTS, NUMBERS), precision=(1e-6, {"0", "2.5"})),
    "spectrum": call(spectrum, eigenvalues=(POINTS, NUMBERS), marked=(4, {"0"})),
    "responses": call(
        responses,
        curves={"heat": np.exp(-POINTS)},
        at=(POINTS, {"NumPy labels"}),  # 0 to 5, ascending
        eigenvalues=(POINTS, NUMBERS),
        aliases={"at": ("curves",)},
    ),
    "filter_bank": call(
        filter_bank,
        eigenvalues=(POINTS, {"NumPy labels"}),
        kernels=np.stack([POINTS, POINTS]),
        labels=["low", "high"],
        spectrum=(POINTS, NUMBERS),
        aliases={"kernels": ("labels",), "labels": ("kernels",), "eigenvalues": ("kernels",)},
    ),
    "class_evaluation": call(
        class_evaluation,
        confusion=np.array([[3, 1], [0, 2]]),
        bins=(np.array([[2, 0.6, 0.5], [4, 0.9, 0.75]]), {"NumPy", "lists", "fewer rows", "integers"}),
        classes=(["yes", "no"], {"texts", "NumPy texts"}),
        aliases={"confusion": ("classes",)},
    ),
    "run_figures": call(run_figures, values={"gcn": [0.8, 0.9, 0.7], "mlp": [0.5]}),
    "forecast_lines": call(
        forecast_lines,
        times=(POINTS, NUMBERS - {"fewer labels"}),
        truth=Z[:, :2],
        forecasts={"1 ahead": Z[:, :2]},
        names=["a", "b"],
        ylabel=("speed", TEXTS),
        aliases={"truth": ("forecasts",), "times": ("truth",), "names": ("truth",)},
    ),
    "error_lines": call(
        error_lines,
        places=(POINTS, NUMBERS - {"fewer labels"}),
        errors={"1 ahead": POINTS},
        xlabel=("hour", TEXTS),
        ylabel=("RMSE", TEXTS),
        aliases={"places": ("errors",)},
    ),
    "error_map": call(
        error_map,
        pos=Z[:, :2],
        errors=(POINTS, NUMBERS - {"fewer labels"}),
        edge_index=np.array([[0, 1], [1, 2]]),
        label=("RMSE", TEXTS),
        aliases={"errors": ("pos",), "pos": ("errors",)},
    ),
    "wavelets_on_graph": call(
        wavelets_on_graph,
        positions=Z[:, :2],
        edges=np.array([[0, 1, 2], [1, 2, 3]]),
        wavelets=np.eye(6)[:2],
        labels=["one", "two"],
        centre=(0, {"0"}),
        aliases={"wavelets": ("labels",), "labels": ("wavelets",)},
    ),
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_refused_in_words(name):
    refuses_what_is_wrong(CALLS[name])


def test_the_law_is_about_everything_public():
    assert set(CALLS) == set(graphkit.viz.__all__)
