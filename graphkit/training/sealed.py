"""Files that a run reads back carry a checksum of all they hold, which is looked at before anything is used.

A disk or a copy that changes a bit would else change weights in silence. The checksum tells accidents, not forgers.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = b"\ngraphkit-sha256:"
SEAL = len(MARK) + 64
"""Bytes that stand behind a file's content; PyTorch, which looks for the end of an archive, reads on over them."""


class Damaged(ValueError):
    """A file that does not hold what was written: its checksum differs, or it has none."""


def sealed(content: bytes) -> bytes:
    """Return a file's content with its checksum behind it.

    Example:
        >>> len(sealed(b"content")) - len(b"content") == SEAL
        True
    """
    return content + MARK + hashlib.sha256(content).hexdigest().encode()


def unsealed(path: Path) -> bytes:
    """Return the content that :func:`sealed` was given.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    whole = path.read_bytes()
    content, seal = whole[:-SEAL], whole[-SEAL:]
    if not seal.startswith(MARK):
        raise Damaged(unlike(path, sealed=MARK in whole))
    if sealed(content)[-SEAL:] != seal:
        raise Damaged(unlike(path, sealed=True))
    return content


def saved_tensors(fields: Mapping[str, Any]) -> bytes:
    """Return fields, of tensors and plain values, as a sealed file's content."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(fields), buffer)
    return sealed(buffer.getvalue())


def read_tensors(path: Path) -> dict[str, Any]:
    """Return what :func:`saved_tensors` was given; nothing in the file is executed.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    import torch

    found: dict[str, Any] = torch.load(io.BytesIO(unsealed(path)), map_location="cpu", weights_only=True)
    return found


def saved_fields(fields: Mapping[str, Any]) -> bytes:
    """Return plain fields as a JSON file's content, with the checksum as one field more."""
    return json.dumps({**fields, "sha256": _digest(fields)}).encode()


def read_fields(path: Path) -> dict[str, Any]:
    """Return what :func:`saved_fields` was given.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    try:
        fields = json.loads(path.read_bytes())
    except ValueError:
        raise Damaged(unlike(path, sealed=True)) from None
    if not isinstance(fields, dict) or "sha256" not in fields:
        raise Damaged(unlike(path, sealed=False))
    if fields.pop("sha256") != _digest(fields):
        raise Damaged(unlike(path, sealed=True))
    return fields


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def unlike(path: Path, *, sealed: bool) -> str:
    """Say that a file, with a checksum or without, is not what was written."""
    if sealed:
        return f"{str(path)!r} is damaged: it is not what was written (its checksum differs)"
    return f"{str(path)!r} has no checksum: it is damaged, or of an older version of graphkit"
