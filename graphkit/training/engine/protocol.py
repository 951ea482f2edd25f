"""What a figure was measured under, as one frozen and hashed object."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphkit._checks import printable_name
from graphkit.data.fingerprint import content_sha256, tensors_sha256

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import Split

_MASKS = ("train_mask", "val_mask", "test_mask")

TOLD = ("items", "edges", "rule")
"""Fields that follow from the checksums of the data set and of the split."""

EDGES = {False: "as given", True: "made undirected"}


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """The data set of a record: name, checksum of its content, sizes; ``signals`` where those are the items."""

    name: str
    sha256: str
    nodes: int
    edges: int
    features: int
    classes: int
    signals: int | None = None
    graphs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything a comparison has to hold fixed; two figures are comparable only where fingerprints agree.

    How a model is trained is not part of it: layers, rates, and whether nodes were drawn in batches, with what
    ``fan_out``, ``batch`` and ``microbatches``, stand in the record's ``config``. What is measured is measured
    alike, with all neighbours.

    Args:
        dataset: name of the data set.
        dataset_sha256: checksum of its content.
        split: name of the split, with what it was asked for.
        split_sha256: checksum of its three masks; of several splits, of their checksums one after the other.
        train, validation, test: numbers of items in each part, of the first split where there are several.
        setting: "transductive": training sees the features and edges of all nodes, and the labels of its own;
            "inductive": it sees nothing of the signals it is tested on.
        selection: the rule that decides whose weights are tested.
        metric: what is measured on the test items.
        items: what is labelled: "nodes", "graphs" or "signals". It follows from the data set, so that the fingerprint
            leaves it out.
        rule: how the sizes of the split come about, in words; it follows from the split, as well.
        edges: "as given", or "made undirected"; the checksum tells it too, so that the fingerprint leaves it out.
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
    items: str = "nodes"
    edges: str = "as given"
    rule: str = ""

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all other fields."""
        return fingerprint({name: value for name, value in dataclasses.asdict(self).items() if name not in TOLD})

    def of_splits(self, splits: Sequence[Split]) -> Protocol:
        """Return this protocol with several splits in place of its one."""
        drawn = [split.record() for split in splits]
        digests = [each["fingerprint"] for each in drawn]
        return dataclasses.replace(self, split=split_name(drawn), split_sha256=splits_sha256(digests))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields and the fingerprint."""
        return {**dataclasses.asdict(self), "fingerprint": self.fingerprint}

    def __str__(self) -> str:
        """Return the protocol in one line, to stand beside a figure."""
        sizes = f"{self.train:,}/{self.validation:,}/{self.test:,} {self.items}"
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
    card, signals, kept = data.get("card"), data.get("signals"), data.get("store")
    return DatasetFacts(
        name=card.name if card else kept.name if kept else printable_name("name", str(data.get("name") or "unnamed")),
        sha256=content_sha256(data) if kept is None else kept.fingerprint,
        nodes=data.num_nodes,
        edges=data.num_edges,
        features=data.num_features if signals is None else signals.size(-1),
        classes=int(data.y.max()) + 1,
        signals=None if signals is None else len(signals),
    )


def protocol_of(divided: Sequence[Data], facts: DatasetFacts, selection: str, metric: str = "accuracy") -> Protocol:
    """Return the protocol of classification on the masks of ``divided``: one graph, with one split or several."""
    masks = [{name: data[name] for name in _MASKS} for data in divided]
    digests = [tensors_sha256(each) for each in masks]
    drawn = [data.get("protocol") for data in divided]
    # Where masks were changed after the split was drawn, its name is no longer theirs.
    named = all(each and each["fingerprint"] == digest for each, digest in zip(drawn, digests, strict=True))
    inductive = divided[0].get("signals") is not None
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name(drawn) if named else "given masks",
        split_sha256=splits_sha256(digests),
        train=int(masks[0]["train_mask"].sum()),
        validation=int(masks[0]["val_mask"].sum()),
        test=int(masks[0]["test_mask"].sum()),
        setting="inductive" if inductive else "transductive",
        selection=selection,
        metric=metric,
        items="signals" if inductive else "nodes",
        edges=EDGES[bool(divided[0].get("undirected"))],
        rule=drawn[0].get("rule", "") if named else "",
    )


def splits_sha256(digests: Sequence[str]) -> str:
    """Return the checksum of one split, or that of the checksums of several."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def split_name(drawn: Sequence[dict[str, Any]]) -> str:
    """Return the name of the splits with what they were asked for; what differs between them is listed."""
    values = {name: list(dict.fromkeys(each["parameters"][name] for each in drawn)) for name in drawn[0]["parameters"]}
    given = ", ".join(f"{name}={'|'.join(map(str, several))}" for name, several in values.items())
    return f"{drawn[0]['split']}({given})" if given else drawn[0]["split"]
