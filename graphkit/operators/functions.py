"""How this package's differentiable functions are called."""

from __future__ import annotations

from typing import Any

import torch
from torch._functorch.utils import unwrap_dead_wrappers


def inside_transform() -> bool:
    """Tell whether a ``torch.func`` transform is under way, under which writing in place may be refused."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class AbstractFunction(torch.autograd.Function):
    """A differentiable function whose call costs little; all arguments are given by position.

    At every call of a function that has ``setup_context`` PyTorch works out the signature of ``forward`` to fill in
    defaults: 50 microseconds, a fifth of an epoch on Cora. Outside ``torch.func`` transforms the step is passed over.
    """

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Return what ``forward`` returns, recorded for differentiation where a gradient is wanted."""
        base: Any = super()
        if not inside_transform():
            base = super(torch.autograd.Function, cls)
            arguments = unwrap_dead_wrappers(arguments)  # left over from a transform that has ended
        return base.apply(*arguments)
