"""A made-up ogbn-arxiv in exactly the raw format of the real one, small enough to be trained on in a test."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.data.catalog import cards

NODES, EDGES, FEATURES, CLASSES = 120, 400, 128, 40


def written(root: Path) -> None:
    """Write OGB's raw files and split below ``root``."""
    random = np.random.default_rng(0)
    order = random.permutation(NODES)
    files = {
        "raw/edge": random.integers(NODES, size=(EDGES, 2)),
        "raw/node-feat": random.normal(size=(NODES, FEATURES)).round(6),
        "raw/node-label": np.arange(NODES)[:, None] % CLASSES,
        "raw/node_year": random.integers(1990, 2021, size=(NODES, 1)),
        "raw/num-edge-list": [[EDGES]],
        "raw/num-node-list": [[NODES]],
        "split/time/train": np.sort(order[:60])[:, None],
        "split/time/valid": np.sort(order[60:90])[:, None],
        "split/time/test": np.sort(order[90:])[:, None],
    }
    tables(root, files)


def tables(root: Path, files: dict[str, Any]) -> None:
    """Write tables as OGB does, each to a compressed file of its name below ``root``."""
    for name, rows in files.items():
        path = root / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt") as file:
            file.writelines(",".join(map(str, row)) + "\n" for row in np.asarray(rows).tolist())


def carded(folder: Path) -> None:
    """Write all cards to ``folder``, that of ogbn-arxiv and that of ogbn-products with the counts of these files."""
    shutil.copytree(cards.folder(), folder)
    for name, edges in (("arxiv", EDGES), ("products", 2 * EDGES)):
        card = folder / f"ogbn-{name}/card.toml"
        counts = {"nodes": NODES, "edges": edges, "features": FEATURES, "classes": CLASSES}
        lines = [line for line in card.read_text().splitlines() if line.partition(" =")[0] not in counts]
        lines = [f"{key} = {value}" for key, value in counts.items()] + lines
        lines = [line.partition("{")[0] + "{}" if "sha256 =" in line else line for line in lines]
        card.write_text("\n".join(lines) + "\n")
