"""What commands share where links are predicted: their splits, suggestions of new ones, and their figures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.cli.output import begin, fields, say

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.cli.options import DatasetArgument
    from graphkit.data import LinkSplit
    from graphkit.training.trained.link_run import LinkRun

LINK_SPLIT = "random:0.7,0.1,0.2, time:0.7,0.1,0.2 or public"
"""The splits of links, in words."""


def require_link_split(split: str | None) -> None:
    """Refuse a split of links that is none, before a graph is loaded.

    Raises:
        ValueError: for a name that is not known, or fields that do not fit it.
    """
    if split is not None:
        from graphkit.data.splits.link_protocols import link_split_from_name

        link_split_from_name(split)


def load_link_data(
    asked: DatasetArgument,
    split: str | None,
    seeds: Sequence[int],
    hard: int | None,
    *,
    each: bool,
    undirected: bool = False,
) -> tuple[Data, list[LinkSplit] | None]:
    """Return a graph with a split of its links, or with one for each seed.

    Args:
        asked: the data set.
        split: as it was typed.
        seeds: each draws a split.
        hard: pairs that rules rank high, for each link; ``None`` for drawn ones.
        each: whether there is one for each seed, else the first draws the one.
        undirected: whether edges are given both directions first.
    """
    import torch

    import graphkit.data

    drawn = seeds if each else seeds[:1]
    data, splits = graphkit.data.load_links(asked.source, split=split, seeds=drawn, undirected=undirected)
    if hard is not None:
        begin("looking for hard pairs")
        order = torch.Generator().manual_seed(0)
        splits = [graphkit.data.hard_negatives(one, data, hard, generator=order) for one in splits]
    return (data, splits) if each else (splits[0].apply(data), None)


def evaluate_links(
    run: LinkRun, data: Data, splits: Any, part: str, json_path: Path | None, seed: int | None, device: str
) -> int:
    """Measure what the models of a run say of held-out links, write and print it, and return the exit code.

    Args:
        run: of links.
        data: what it was trained on, with a split unless there is one for each seed.
        splits: one for each seed, or ``None``.
        part: "val" or "test".
        json_path: where the figures are written too.
        seed: whose model alone is asked.
        device: where.
    """
    from graphkit.training.classification.metrics import METRICS

    if splits is not None and seed is not None:
        run.of_seed(seed)
        splits = [splits[list(run.models).index(seed)]]
    begin("ranking links")
    found = run.evaluate(data, part=part, seed=seed, splits=splits, device=device)
    if json_path is not None:
        plain = {"run": str(run.folder), **vars(found)}
        json_path.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(f"Figures: {json_path}")

    def spread(values: tuple[float, ...]) -> str:
        mean = f"{100 * statistics.fmean(values):.2f}"
        return f"{mean} ± {100 * statistics.stdev(values):.2f} %" if len(values) > 1 else f"{mean} %"

    each = f" for each of {len(found.figures[found.name])} seeds" if len(found.figures[found.name]) > 1 else ""
    fields(
        [
            ("model", run.model.recipe.name),
            ("trained on", run.record.dataset.name),
            ("links", f"{found.part}, {found.links:,} among {found.others:,} other pairs{each}"),
            *((METRICS[name].title, spread(values)) for name, values in found.figures.items()),
        ]
    )
    return 0
