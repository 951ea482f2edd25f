"""graphkit: graph learning on PyTorch Geometric, correct first and fast second.

The map, from the ground floor up; a folder imports only what lies below it.

``_kernels``   compiled loops over plain arrays: sparse product, attention, maximum, sorting
``_checks``    the one place where arguments are refused
``_exports``   names that are imported when they are asked for; old names of what was renamed
``_torch_internals``  every private name of PyTorch and PyG that is used
``operators``  sparse operators, Laplacians, Fourier bases, wavelets, polynomials, coarsening: functions, no modules
``metric``     metric learning on embeddings and labels: distances, losses, retrieval, anomalies; never a graph
``data``       the registry of data sets, their cards, where files come from, splits, samplers
``nn``         ``spatial`` and ``spectral`` convolutions, ``pool`` and the encoder that stacks them
``contrastive``  pre-training without labels: views of a graph and what they are to agree on
``meta``       few-shot learning: tasks, learners that adapt, their baselines
``training``   recipes, the loop, embeddings, checkpoints, result records
``viz``        pictures
``cli``        the command line

Importing ``graphkit`` imports none of these: ask for the room you need,
for example ``from graphkit.nn import GCNConv``, or ``graphkit.nn``.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

DOORS = {"load_run": "graphkit.training.trained.runs"}
"""What is asked for by name alone, and where it lives."""

ROOMS = ("cli", "contrastive", "data", "meta", "metric", "nn", "operators", "training", "viz")


if TYPE_CHECKING:
    from graphkit.training.trained.runs import load_run as load_run


def __getattr__(name: str) -> Any:
    """Import a room, or what stands behind a door, when it is asked for."""
    if name in ROOMS:
        return importlib.import_module(f"graphkit.{name}")
    if name in DOORS:
        return getattr(importlib.import_module(DOORS[name]), name)
    raise AttributeError(f"module 'graphkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *ROOMS, *DOORS])


def clear_caches() -> None:
    """Forget what was prepared of graphs and found out about models, and give back memory that is kept for results.

    All of it is made anew when it is needed. What lies on the disk stays: ``graphkit data cache --clear`` empties that.

    Example:
        >>> import graphkit
        >>> graphkit.clear_caches()
    """
    for name in ("operators.graph_cache", "meta.acceleration.model_fingerprint", "_kernels.resources"):
        module = sys.modules.get(f"graphkit.{name}")  # what was never imported keeps nothing
        if module is not None:
            module.forget()
