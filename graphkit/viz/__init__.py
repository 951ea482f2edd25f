"""Pictures. Each function returns a matplotlib ``Figure`` and touches no global state; :func:`save` writes it."""

from __future__ import annotations

from graphkit.viz.curves import learning_curves
from graphkit.viz.figures import require_format, save

__all__ = ["learning_curves", "require_format", "save"]
