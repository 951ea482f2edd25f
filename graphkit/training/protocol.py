"""What a figure was measured under, as one frozen and hashed object."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphkit.data.content import content_sha256, tensors_sha256

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """The data set of a record: its name, the checksum of its content, and its sizes."""

    name: str
    sha256: str
    nodes: int
    edges: int
    features: int
    classes: int


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything a comparison has to hold fixed; two figures are comparable only where fingerprints agree.

    Args:
        dataset: name of the data set.
        dataset_sha256: checksum of its content.
        split: name of the split, with what it was asked for.
        split_sha256: checksum of its three masks.
        train, validation, test: numbers of nodes in each part.
        setting: "transductive": training sees the features and edges of all nodes, and the labels of its own.
        selection: the rule that decides whose weights are tested.
        metric: what is measured on the test nodes.
    """

    dataset: str
    dataset_sha256: str
    split: str
    split_sha256: str
    train: int
    validation: int
    test: int
    setting: str = "transductive"
    selection: str
    metric: str = "accuracy"

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all fields."""
        return fingerprint(dataclasses.asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields and the fingerprint."""
        return {**dataclasses.asdict(self), "fingerprint": self.fingerprint}

    def __str__(self) -> str:
        """Return the protocol in one line, to stand beside a figure."""
        sizes = f"{self.train:,}/{self.validation:,}/{self.test:,} nodes"
        return f"{self.dataset}, {self.split} split ({sizes}), {self.setting}, {self.selection} [{self.fingerprint}]"


def fingerprint(fields: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a JSON-like value.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def dataset_facts(data: Data) -> DatasetFacts:
    """Return the name on the card of ``data``, and the checksum and sizes of what it holds now."""
    card = data.get("card")
    return DatasetFacts(
        name=card.name if card else str(data.get("name") or "unnamed"),
        sha256=content_sha256(data),
        nodes=data.num_nodes,
        edges=data.num_edges,
        features=data.num_features,
        classes=int(data.y.max()) + 1,
    )


def protocol_of(data: Data, facts: DatasetFacts, selection: str) -> Protocol:
    """Return the protocol of full-batch node classification on ``data`` and its masks."""
    masks = {name: data[name] for name in ("train_mask", "val_mask", "test_mask")}
    drawn = data.get("protocol")
    if drawn and drawn["fingerprint"] != tensors_sha256(masks):
        drawn = None  # masks were changed after the split was drawn: its name is no longer theirs
    given = ", ".join(f"{name}={value}" for name, value in drawn["parameters"].items()) if drawn else ""
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=f"{drawn['split']}({given})" if given else drawn["split"] if drawn else "given masks",
        split_sha256=tensors_sha256(masks),
        train=int(masks["train_mask"].sum()),
        validation=int(masks["val_mask"].sum()),
        test=int(masks["test_mask"].sum()),
        selection=selection,
    )
