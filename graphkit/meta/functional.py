"""A model called with other parameters, whatever stands in it several times."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from graphkit._torch_internals import (
    WeightNormParametrization,
    buffers_of,
    forward_pre_hooks_of,
    parameters_of,
    weight_norm,
)


def functional_call(model: nn.Module, table: Mapping[str, Tensor], inputs: tuple[Any, ...]) -> Any:
    """Return ``model(*inputs)`` with tensors of its own replaced, which are its own again afterwards.

    A tensor that stands at several places, since it is tied or since its module stands there twice, is replaced at
    all of them. ``torch.func.functional_call`` leaves the model changed where a module has two names: it replaces the
    tensor under both, and puts back under the second what it had put under the first. Weight norms are taken in pieces:
    PyTorch 2.13 takes their norms as constants where it differentiates twice.

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
    with _InPieces() if any(map(_normalises_weights, modules.values())) else nullcontext():
        return torch.func.functional_call(model, everywhere, inputs, tie_weights=False)


def _normalises_weights(module: nn.Module) -> bool:
    hooks = forward_pre_hooks_of(module)
    return isinstance(module, WeightNormParametrization) or any(isinstance(hook, WeightNorm) for hook in hooks.values())


class _InPieces(TorchFunctionMode):
    """Takes weight norms in pieces while it is entered."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_weight_norm_in_pieces if function is weight_norm else function)(*args, **(kwargs or {}))


def _weight_norm_in_pieces(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))
