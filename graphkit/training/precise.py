"""A model called in the precision that Fabric was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

HALF = (torch.bfloat16, torch.float16)


class Precise(nn.Module):
    """A module, called under Fabric's autocast; results in half precision come back in float32.

    Fabric's own wrapper also converts the arguments of every call: it takes apart the dataclasses that a graph is made
    of, or refuses them. What we pass is of the right type already. Weights go by their names in the module.

    Args:
        module: that Fabric has set up.
        fabric: knows the precision.
    """

    def __init__(self, module: nn.Module, fabric: Fabric) -> None:
        super().__init__()
        self.module, self.fabric = module, fabric

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the module returns."""
        return self._called(self.module, *args, **kwargs)

    def loss(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the module's method of this name returns, of those that have one."""
        return self._called(self.module.loss, *args, **kwargs)  # type: ignore[arg-type]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's weights."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Give the module other weights."""
        return self.module.load_state_dict(*args, **kwargs)

    def _called(self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        with self.fabric.autocast():
            found = function(*args, **kwargs)
        return found.float() if found.dtype in HALF else found

    def __getattr__(self, name: str) -> Any:
        return vars(self)["_modules"][name] if name == "module" else getattr(self.module, name)
