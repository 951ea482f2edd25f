"""Aliases for the types that appear in several rooms."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

OptTensor: TypeAlias = Tensor | None
"""A tensor that may be left out."""

Size: TypeAlias = tuple[int, int] | None
"""Number of source and of target nodes of a bipartite graph."""
