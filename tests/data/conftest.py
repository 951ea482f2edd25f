"""A small stand-in for PubMed in Planetoid's own format, and what plays the network in front of it."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkit.data.catalog import cards

NODES, TRAIN, TEST, FEATURES, CLASSES = 600, 6, 40, 12, 3
FOLDER = Path("planetoid/PubMed/raw")


@dataclass
class StandIn:
    """A data set made here: where its files are, what is in them, and its card."""

    root: Path
    x: torch.Tensor
    y: torch.Tensor
    edge_index: torch.Tensor
    card: Path

    def file(self, name: str) -> Path:
        return self.root / FOLDER / f"ind.pubmed.{name}"


@pytest.fixture
def standin(tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Give the name ``pubmed`` to a made-up network, with no mirror and an empty data folder."""
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    random = np.random.default_rng(0)
    x = (random.random((NODES, FEATURES)) < 0.3).astype(np.float32)
    y = np.concatenate([np.arange(TRAIN) % CLASSES, random.integers(CLASSES, size=NODES - TRAIN)])
    pairs = {(int(a), int(b)) for a, b in random.integers(NODES, size=(1500, 2)) if a != b}
    pairs |= {(b, a) for a, b in pairs}
    graph = defaultdict(list)
    for a, b in sorted(pairs):
        graph[a].append(b)
    shuffled = random.permutation(np.arange(NODES - TEST, NODES))

    root = tmp_path / "upstream"
    (root / FOLDER).mkdir(parents=True)
    one_hot = np.eye(CLASSES, dtype=np.int32)[y]
    parts = {
        "x": scipy.sparse.csr_matrix(x[:TRAIN]),
        "allx": scipy.sparse.csr_matrix(x[: NODES - TEST]),
        # Planetoid's test rows stand in the order of test.index, not in the order of the nodes.
        "tx": scipy.sparse.csr_matrix(x[shuffled]),
        "y": one_hot[:TRAIN],
        "ally": one_hot[: NODES - TEST],
        "ty": one_hot[shuffled],
        "graph": graph,
    }
    for name, part in parts.items():
        (root / FOLDER / f"ind.pubmed.{name}").write_bytes(pickle.dumps(part))
    (root / FOLDER / "ind.pubmed.test.index").write_text("".join(f"{node}\n" for node in shuffled))

    folder = tmp_path / "cards"
    shutil.copytree(cards.folder(), folder)
    card = folder / "pubmed" / "card.toml"
    lines = card.read_text().partition("[files]")[0].splitlines()
    counts = {"nodes": NODES, "edges": len(pairs), "features": FEATURES}
    lines = [next((f"{key} = {n}" for key, n in counts.items() if line.startswith(f"{key} =")), line) for line in lines]
    lines += ["[files]"]
    for path in sorted((root / FOLDER).iterdir()):
        digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
        lines.append(f'"{FOLDER / path.name}" = {{ sha256 = "{digest}", bytes = {size} }}')
    card.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(cards, "folder", lambda: folder)

    edge_index = torch.tensor(sorted(pairs)).t()
    return StandIn(root, torch.from_numpy(x), torch.from_numpy(y), edge_index, card)


@pytest.fixture
def network(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let PyG's download find the stand-in; the list holds what was asked for."""
    from torch_geometric.io import fs

    asked: list[str] = []

    def copy(url: str, folder: str) -> None:
        name = url.rpartition("/")[2]
        asked.append(name)
        shutil.copy(standin.root / FOLDER / name, folder)

    monkeypatch.setattr(fs, "cp", copy)
    return asked
