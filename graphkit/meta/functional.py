"""Stateless calls: a model called with other parameters and in other modes, and left as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from graphkit._torch_internals import (
    BatchNorm,
    WeightNormParametrization,
    buffers_of,
    forward_pre_hooks_of,
    parameters_of,
    weight_norm,
)

STATISTICS = ("task", "stored")

_model_lock = threading.RLock()


def model_lock() -> threading.RLock:
    """Return the lock under which a model is called in modes or with parameters that are not its own.

    Both are put into the model itself for the while. There is one for the process, not one for each model: models of
    several learners may share modules, and how attention is computed is a setting of the process.
    """
    return _model_lock


@contextmanager
def adaptation_modes(model: nn.Module, *, dropout: bool, statistics: str) -> Iterator[None]:
    """Set every module's mode for adaptation, and set it back; other threads wait for their turn.

    Args:
        model: any module.
        dropout: whether anything is dropped: modules other than batch normalisation are in training mode then.
        statistics: "task": batch normalisation uses the mean and variance of what it is shown and stores nothing;
            "stored": those it has stored.

    Example:
        >>> model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2)).train()
        >>> with adaptation_modes(model, dropout=False, statistics="stored"):
        ...     [module.training for module in model]
        [False, False]
        >>> [module.training for module in model]
        [True, True]
    """
    with model_lock():
        before = [(module, module.training) for module in model.modules()]
        tracking = [(module, module.track_running_stats) for module, _ in before if isinstance(module, BatchNorm)]
        try:
            for module, _ in before:
                module.training = dropout
            for norm, tracked in tracking:
                norm.training = statistics == "task"
                norm.track_running_stats = tracked and statistics == "stored"
            yield
        finally:
            for module, training in before:
                module.training = training
            for norm, tracked in tracking:
                norm.track_running_stats = tracked


def clone_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of a model's buffers, for modules to write to that are in training mode."""
    return {name: value.clone() for name, value in model.named_buffers()}


def functional_call(model: nn.Module, table: Mapping[str, Tensor], inputs: tuple[Any, ...]) -> Any:
    """Return ``model(*inputs)`` with tensors of its own replaced, which are its own again afterwards.

    A tensor that stands at several places, since it is tied or since its module stands there twice, is replaced at
    all of them. ``torch.func.functional_call`` leaves the model changed where a module has two names: it replaces the
    tensor under both, and puts back under the second what it had put under the first. Weight norms are computed in
    pieces: PyTorch 2.13 takes their norms as constants where it differentiates twice.

    Args:
        model: any module.
        table: name, as ``named_parameters`` and ``named_buffers`` give it, -> tensor.
        inputs: of the model.

    Example:
        >>> layer = nn.Linear(2, 2, bias=False)
        >>> twice, before = nn.Sequential(layer, layer), layer.weight
        >>> functional_call(twice, {"0.weight": 3 * torch.eye(2)}, (torch.ones(1, 2),))
        tensor([[9., 9.]])
        >>> layer.weight is before
        True
    """
    modules = dict(model.named_modules())  # each once
    places = {
        f"{path}.{name}" if path else name: tensor
        for path, module in modules.items()
        for own in (parameters_of(module), buffers_of(module))
        for name, tensor in own.items()
        if tensor is not None
    }
    values = {id(places[name]): value for name, value in table.items()}
    everywhere = {name: values[id(tensor)] for name, tensor in places.items() if id(tensor) in values}
    with _WeightNormInPieces() if any(map(_has_weight_norm, modules.values())) else nullcontext():
        return torch.func.functional_call(model, everywhere, inputs, tie_weights=False)


def _has_weight_norm(module: nn.Module) -> bool:
    hooks = forward_pre_hooks_of(module)
    return isinstance(module, WeightNormParametrization) or any(isinstance(hook, WeightNorm) for hook in hooks.values())


class _WeightNormInPieces(TorchFunctionMode):
    """Computes weight norms in pieces while it is entered."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_weight_norm_in_pieces if function is weight_norm else function)(*args, **(kwargs or {}))


def _weight_norm_in_pieces(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))
