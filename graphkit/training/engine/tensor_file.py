"""Files of tensors that say what they hold: safetensors with a description, and a checksum over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from graphkit.training.engine.store import Damaged, damage_message

ABOUT = "about"
"""The one entry of a file's metadata: of several the order would be drawn, and two writes would differ."""


def describe_tensors(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Return tensors and what they are as the content of a file, the same bytes each time; nothing in it is executed.

    Args:
        tensors: by name.
        about: plain values, as JSON has them.

    Example:
        >>> import torch
        >>> content = describe_tensors({"z": torch.ones(2)}, {"seed": 3})
        >>> read_description(content, Path("seed-3.safetensors"))
        ({'z': tensor([1., 1.])}, {'seed': 3})
    """
    from safetensors.torch import save

    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content: bytes = save(kept, {ABOUT: json.dumps({**about, "sha256": _digest(kept, about)})})
    return content


def read_description(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return tensors and description of a file; the description is ``None`` where the file has none.

    Args:
        content: of the file.
        path: what it is called in messages.

    Raises:
        Damaged: for a file that is no safetensors, or whose checksum differs or is not there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, Tensor] = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header.get("__metadata__", {}).get(ABOUT, "null"))
    except (SafetensorError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Damaged(f"{str(path)!r} cannot be read as safetensors: {error}") from None
    if about is None:
        return tensors, None
    if not isinstance(about, dict):
        raise Damaged(damage_message(path, sealed=True))
    if "sha256" not in about:
        raise Damaged(damage_message(path, sealed=False))
    if about.pop("sha256") != _digest(tensors, about):
        raise Damaged(damage_message(path, sealed=True))
    return tensors, about


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Return the checksum of all that a file holds."""
    from safetensors.torch import save

    return hashlib.sha256(save(dict(tensors)) + json.dumps(about, sort_keys=True).encode()).hexdigest()
