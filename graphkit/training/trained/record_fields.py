"""The plain fields of a record's file, read without anything heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_fields(path: Path) -> dict[str, Any]:
    """Return the plain fields of a record's file; of a run's folder, those of its ``record.json``.

    Raises:
        ValueError: if there is no such file, or it holds no record.
    """
    path = path / "record.json" if path.is_dir() else path
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read as a record: {error.strerror}.") from None
    except ValueError:
        raise ValueError(f"{str(path)!r} is no record: it is no JSON, or damaged.") from None
    if not isinstance(fields, dict) or not {"command", "metric", "protocol", "seeds"} <= fields.keys():
        raise ValueError(f"{str(path)!r} is no record of one study: `--json` and a run's folder hold such files.")
    return fields
