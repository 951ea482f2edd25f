"""What a few-shot study has finished, on the disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphkit.training.fewshot.results import ProblemResult
from graphkit.training.files import write_atomically
from graphkit.training.protocol import fingerprint

KEPT = "results.json"


class Kept:
    """Finished results in one file, replaced as a whole after each."""

    def __init__(self, folder: Path | None, identity: str, resume: bool) -> None:
        self.path = None if folder is None else folder / KEPT
        self.identity = identity
        self.results: dict[str, Any] = {}
        if not resume or self.path is None:
            return
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"`resume`: there is no {str(self.path)!r} to go on from.") from None
        except json.JSONDecodeError:
            raise ValueError(f"`resume`: {str(self.path)!r} is damaged; start again without it.") from None
        if content.get("identity") != identity:
            raise ValueError(f"`resume`: {str(self.path)!r} is of another study; give the same data, tasks and seed.")
        self.results = content["results"]

    def get(self, name: str, problem: str, config: Mapping[str, Any]) -> ProblemResult | None:
        """Return a result, if a method of this name and these fields has finished the problem."""
        found = self.results.get(f"{name} {fingerprint(config)} {problem}")
        return None if found is None else ProblemResult.from_dict(found)

    def put(self, name: str, result: ProblemResult, config: Mapping[str, Any]) -> None:
        """Keep a result."""
        self.results[f"{name} {fingerprint(config)} {result.problem}"] = dataclasses.asdict(result)
        if self.path is not None:
            content = {"identity": self.identity, "results": self.results}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(content).encode())
