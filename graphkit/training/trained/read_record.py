"""Records read back from their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graphkit.training.embedding.embedding_results import EmbeddingRecord
from graphkit.training.engine.records import Record
from graphkit.training.fewshot.fewshot_results import FewShotRecord
from graphkit.training.trained.record_fields import read_fields


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
            own = {name: fields[name] for name in ("level", "figures", "telemetry", "views") if name in fields}
            return TypeAdapter(EmbeddingRecord).validate_python(
                {**own, "record": _record({name: fields[name] for name in fields if name not in own}, path)}
            )
        return _record(fields, path)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{str(path)!r} is no record of this version of graphkit: `{place}`: {first['msg'].lower()}."
        ) from None


def _record(fields: Mapping[str, Any], path: Path) -> Record:
    """Return the record of a classification, or the one in that of an embedding."""
    protocol = {name: value for name, value in fields["protocol"].items() if name != "fingerprint"}
    record = TypeAdapter(Record).validate_python({**fields, "protocol": protocol})
    if record.protocol.fingerprint != fields["protocol"].get("fingerprint"):
        raise ValueError(f"{str(path)!r} was changed after it was written: its protocol has another fingerprint.")
    return record
