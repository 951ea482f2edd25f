"""Records read back from their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graphkit.training.embedding.embedding_results import EmbeddingRecord
from graphkit.training.engine.records import Record
from graphkit.training.fewshot.fewshot_results import FewShotRecord


def read_record(path: Path | str) -> Record | EmbeddingRecord | FewShotRecord:
    """Return the record in a file, of whichever study wrote it.

    Raises:
        ValueError: if there is no such file, it is no record, or was changed after it was written.
    """
    path = Path(path)
    fields = read_fields(path)
    try:
        if "headline" in fields:
            return TypeAdapter(FewShotRecord).validate_python(fields)
        if "telemetry" in fields:
            own = {name: fields[name] for name in ("level", "figures", "telemetry")}
            return TypeAdapter(EmbeddingRecord).validate_python({**own, "record": _record(fields, path)})
        return _record(fields, path)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{str(path)!r} is no record of this version of graphkit: `{place}`: {first['msg'].lower()}."
        ) from None


def read_fields(path: Path) -> dict[str, Any]:
    """Return the plain fields of a record's file.

    Raises:
        ValueError: if there is no such file, or it holds no record.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise ValueError(f"{str(path)!r} is no record: it is no JSON, or damaged.") from None
    if not isinstance(fields, dict) or not {"command", "metric", "protocol"} <= fields.keys():
        raise ValueError(f"{str(path)!r} is no record of one study: `--json` and a run's folder hold such files.")
    return fields


def _record(fields: Mapping[str, Any], path: Path) -> Record:
    """Return the record of a classification, or the one in that of an embedding."""
    protocol = {name: value for name, value in fields["protocol"].items() if name != "fingerprint"}
    record = TypeAdapter(Record).validate_python({**fields, "protocol": protocol})
    if record.protocol.fingerprint != fields["protocol"].get("fingerprint"):
        raise ValueError(f"{str(path)!r} was changed after it was written: its protocol has another fingerprint.")
    return record
