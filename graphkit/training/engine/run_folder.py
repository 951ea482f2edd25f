"""Folders of runs that are named after their settings: the same settings find a run again, others never touch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphkit.training.engine.options import require_run

DIGITS = 8
"""Hexadecimal digits of a fingerprint that stand in a folder's name."""


@dataclass(frozen=True)
class RunFolder:
    """A folder for each setting, ``runs/cora-gcn-1a2b3c4d``.

    Args:
        name: how it begins, in words.
        parent: where it lies.

    Example:
        >>> RunFolder("cora-gcn").of({"seeds": [0], "lr": 0.01})
        PosixPath('runs/cora-gcn-ca2e7f4b')
    """

    name: str
    parent: Path = Path("runs")

    def of(self, settings: Mapping[str, Any]) -> Path:
        """Return the folder of these settings, plain values as JSON has them."""
        from graphkit.training.engine.records import fingerprint  # loads torch, which a command does late

        return self.parent / f"{self.name}-{fingerprint(settings)[:DIGITS]}"


def folder_of(run_dir: Path | str | RunFolder, settings: Mapping[str, Any]) -> Path:
    """Return the folder that was given, or the one of these settings."""
    return run_dir.of(settings) if isinstance(run_dir, RunFolder) else Path(run_dir)


def require_run_folder(run_dir: object, resume: Any, *, every: Any = 30.0) -> None:
    """Refuse what says nothing of where a run is kept; see :func:`graphkit.training.engine.options.require_run`."""
    require_run(run_dir.parent if isinstance(run_dir, RunFolder) else run_dir, resume, every=every)
