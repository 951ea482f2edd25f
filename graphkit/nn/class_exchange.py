"""PyG's layers in a model exchanged for ours, in place, and back: their classes differ by a method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch_geometric.nn
from torch import nn
from torch_geometric.nn import MessagePassing

from graphkit._checks import torch_module
from graphkit._torch_internals import generated_step, original_step
from graphkit.nn.fused import GENERATED, Fused
from graphkit.nn.spatial import GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv
from graphkit.nn.spectral import ChebConv

OURS: dict[type, Any] = {
    getattr(torch_geometric.nn, layer.__name__): layer
    for layer in (GCNConv, SAGEConv, GATConv, GATv2Conv, GINConv, GINEConv, ChebConv)
}
"""Layers of PyG, and ours of the same name."""

PYGS: dict[type, Any] = {ours: pygs for pygs, ours in OURS.items()}


@dataclass(frozen=True)
class ExchangeReport:
    """What became of the message-passing layers of a model; printed, it says so in words.

    Args:
        exchanged: names of the layers that are of another class now, as ``named_modules`` gives them.
        left: names of those that are as they were, and why.
        changed: names of those exchanged that compute something else now, and what.
    """

    exchanged: tuple[str, ...]
    left: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        count = len(self.exchanged)
        said = f"{count} {'layer' if count == 1 else 'layers'} exchanged"
        said += f": {', '.join(map(_display_name, self.exchanged))}" if self.exchanged else ""
        changed = [f"\n{_display_name(name)} differs: {reason}" for name, reason in self.changed.items()]
        left = [f"\n{_display_name(name)} left: {reason}" for name, reason in self.left.items()]
        return "".join([said, *changed, *left])


def accelerate(model: nn.Module) -> ExchangeReport:
    """Give every layer of PyG in a model that is also one of ours the faster way through, in place; say which.

    Weights, optimisers, hooks and all else stay: only classes change, so that ``model`` may be any module that holds
    PyG's layers, or a layer itself; one that was loaded from a pickle too. Subclasses, and layers that were altered
    (hooks on messages, parametrisations, replaced maps or methods, other aggregations), are left as they are, since
    they would take the plain way.

    Args:
        model: any module.

    Raises:
        TypeError: for what is no module.

    Example:
        >>> model = torch_geometric.nn.GraphSAGE(8, 16, num_layers=2, out_channels=3)
        >>> print(accelerate(model))
        2 layers exchanged: convs.0, convs.1
    """
    return _exchange(model, OURS)


def to_pyg(model: nn.Module) -> ExchangeReport:
    """Make PyG's layers of ours in a model, in place: for TorchScript, for deployment without graphkit, for a report.

    The opposite of ``accelerate``. Where PyG's numbers differ from ours, as the README lists, they are PyG's then.
    Layers whose options make them differ are named in ``changed``; on directed graphs those of ``ChebConv`` always do.

    Args:
        model: any module; its subclasses of layers, and layers that PyG does not have, are left.

    Raises:
        TypeError: for what is no module.

    Example:
        >>> conv = GCNConv(3, 2)
        >>> _ = to_pyg(conv)
        >>> type(conv) is torch_geometric.nn.GCNConv
        True
    """
    return _exchange(model, PYGS)


def _exchange(model: nn.Module, classes: dict[type, Any]) -> ExchangeReport:
    exchanged: list[str] = []
    left: dict[str, str] = {}
    changed: dict[str, str] = {}
    for name, module in torch_module("model", model).named_modules():
        kind = type(module)
        if not isinstance(module, MessagePassing) or isinstance(module, Fused) != (classes is PYGS):
            continue
        reason = None if kind in classes else _missing_counterpart(kind, classes)
        if reason is None:
            _set_class(module, classes[kind])
            reason = module.alteration() if isinstance(module, Fused) else None
            if reason is not None:
                _set_class(module, kind)
        if reason is not None:
            left[name] = reason
            continue
        exchanged.append(name)
        if (difference := _difference(module)) is not None:
            changed[name] = difference
    return ExchangeReport(tuple(exchanged), left, changed)


def _difference(layer: Any) -> str | None:
    """Return in which respect PyG computes something else than we do by these options, ``None`` where it does not."""
    if isinstance(layer, torch_geometric.nn.GCNConv) and layer.improved:
        return "PyG's loops weigh 1 where no `edge_weight` is given, in spite of `improved`; ours weigh 2"
    normalization = getattr(layer, "normalization", "sym") if isinstance(layer, torch_geometric.nn.ChebConv) else "sym"
    if normalization == "rw":
        return "PyG multiplies by the transposed random-walk Laplacian"
    if normalization is None:
        return "PyG's `lambda_max`, where none is given, is of a whole batch; ours is each graph's own"
    return None


def _missing_counterpart(kind: type, classes: dict[type, Any]) -> str:
    """Return why a layer has no other class to take."""
    known = next((base.__name__ for base in kind.__mro__ if base in classes), None)
    if known is not None:
        return f"{kind.__name__}, a subclass of {known}, may do more than that"
    return f"{'PyG' if classes is PYGS else 'graphkit'} has no {kind.__name__}"


def _set_class(module: Any, kind: Any) -> None:
    """Make a layer one of another class, with what PyG finds out about a class and writes for it."""
    specimen = kind.__new__(kind)
    MessagePassing.__init__(specimen)
    explained, module.explain = module.explain, None  # which takes back what explainers put in the place of steps
    for step in GENERATED:
        method = getattr(module.__dict__.get(step), "__func__", None)
        for step_of in (generated_step, original_step):  # explainers leave one or the other in place of the class's
            if method is not None and method is step_of(type(module), step):
                module.__dict__[step] = step_of(kind, step).__get__(module)
    module.__class__ = kind
    module.inspector = specimen.inspector
    module.explain = explained


def _display_name(name: str) -> str:
    return name or "the model itself"
