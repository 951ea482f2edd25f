"""OGB's evaluators: the metric that the publishers of a data set ask for, as they compute it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from graphkit import _checks
from graphkit.data.catalog.cards import card


def ogb_metric(name: str, y: Tensor, prediction: Tensor) -> tuple[str, float]:
    """Return the name and the value of the figure that OGB asks for on the data set ``name``, by OGB's own evaluator.

    Args:
        name: a data set of OGB, such as ``"ogbg-molhiv"``.
        y: labels ``[items]`` or ``[items, tasks]``.
        prediction: shaped like ``y``: scores for ROC-AUC, values for RMSE, classes for accuracy.

    Raises:
        ValueError: if the data set is not OGB's, the shapes differ, a prediction is not finite, no label is there, or
            OGB's evaluator cannot compute the figure, as ROC-AUC of one class.

    Example:
        >>> y, score = torch.tensor([0, 0, 1, 1]), torch.tensor([0.1, 0.4, 0.35, 0.8])
        >>> ogb_metric("ogbg-molhiv", y, score)
        ('rocauc', 0.75)
    """
    if card(name).kind == "link":
        raise ValueError(f"{name!r} is a set of links; `official_link_figure` is for them.")
    _require_numbers(y=y, prediction=prediction)
    if y.shape != prediction.shape or y.dim() not in (1, 2):
        raise ValueError(
            f"`y` and `prediction` must have one shape, [items] or [items, tasks], "
            f"got {list(y.shape)} and {list(prediction.shape)}."
        )
    if not bool(torch.isfinite(prediction).all()):
        raise ValueError("`prediction` must be finite.")
    if not bool((~y.isnan()).any()):
        raise ValueError(f"`y` must hold a label; of {len(y)} items without any there is no figure.")
    columns = (values.reshape(len(values), -1).detach().cpu() for values in (y, prediction))
    try:
        figures = _evaluator(name).eval(dict(zip(("y_true", "y_pred"), columns, strict=True)))
    except RuntimeError as error:
        raise ValueError(f"OGB's evaluator refuses: {error}") from error
    (metric, value), *_ = figures.items()
    return metric, float(value)


def ogb_link_metric(name: str, positive: Tensor, negative: Tensor) -> tuple[str, float]:
    """Return the name and the value of the figure that OGB asks for on a set of links, by OGB's own evaluator.

    Args:
        name: such as ``"ogbl-collab"``.
        positive: scores of the links that are there, ``[links]``.
        negative: scores of links that are not there: ``[others]``, or where the figure is the mean reciprocal rank
            (``"mrr"``) those each link is ranked among, ``[links, others]``. In a set of facts each is ranked twice,
            among other heads and among other tails: give both, one below the other.

    Raises:
        ValueError: if the data set is not OGB's, a score is not finite, there are no links of one kind, fewer than K
            that are not there for hits@K, which OGB's evaluator takes for 1, or it cannot compute the figure.

    Example:
        >>> ogb_link_metric("ogbl-ddi", torch.tensor([0.9, 0.1]), torch.linspace(0.0, 0.5, 30))
        ('hits@20', 0.5)
    """
    if card(name).kind != "link":
        raise ValueError(f"{name!r} is no set of links; `official_figure` is for nodes and graphs.")
    _require_numbers(positive=positive, negative=negative)
    if not bool(torch.isfinite(positive).all() and torch.isfinite(negative).all()):
        raise ValueError("`positive` and `negative` must be finite.")
    evaluator = _evaluator(name)
    least = evaluator.K if evaluator.eval_metric.startswith("hits@") else 1
    if not positive.numel() or not negative.numel() or negative.shape[-1] < least:
        raise ValueError(
            f"`positive` and `negative` must hold scores, `negative` at least {least} for {evaluator.eval_metric}, "
            f"got {list(positive.shape)} and {list(negative.shape)}."
        )
    scores = {"y_pred_pos": positive.detach().cpu(), "y_pred_neg": negative.detach().cpu()}
    try:
        figures = evaluator.eval(scores)
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"OGB's evaluator refuses: {error}") from error
    if "mrr_list" in figures:  # one for each link; the figure is their mean
        return "mrr", float(figures["mrr_list"].double().mean())
    (metric, value), *_ = figures.items()
    return metric, float(value)


def _require_numbers(**values: Tensor) -> None:
    """Refuse what holds no real numbers, or none."""
    for name, each in values.items():
        if _checks.tensor(name, each).is_complex() or not each.numel():
            raise ValueError(f"`{name}` must hold real numbers, at least one, got {each.dtype} {list(each.shape)}.")
    if "positive" in values and values["positive"].dim() != 1:
        raise ValueError(f"`positive` must have shape [links], got {list(values['positive'].shape)}.")


def _evaluator(name: str) -> Any:
    known = card(name)
    if known.evaluator != "ogb":
        raise ValueError(f"{name!r} has no evaluator of OGB; those of 'ogbg-...', 'ogbl-...' and 'ogbn-...' have one.")
    with without_update_check():
        tasks = importlib.import_module(f"ogb.{known.kind}proppred")
    return tasks.Evaluator(name)


@contextmanager
def without_update_check() -> Iterator[None]:
    """Hide a package from OGB, which asks the network for OGB's newest version when OGB is first imported."""
    name = "outdated"
    there, before = name in sys.modules, sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if there and before is not None:
            sys.modules[name] = before
