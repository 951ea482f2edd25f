"""How well do nodes of classes that training never saw find their own class?

Groups of classes are held out, all that there are or so many that are drawn; the encoder is trained and selected on the
labels of the others, and the nodes of the group ask each other. MAP@R and the share whose nearest node is right stand
for raw features, for features averaged four times and centred, for the view of the graph that serves validation nodes
of the other classes best, for the encoder alone, and for what `graphkit embed` makes of all of them. No label of a
class that is held out takes part in anything.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Sequence

import _measure as measure
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data import load
from graphkit.metric import evaluate_retrieval
from graphkit.training.embedding import EmbeddingRecipe, embed, embedding_recipe
from graphkit.training.embedding.node_rows import NodeRows
from graphkit.training.engine.records import dataset_facts, metric

FREE = "averaged-4-centred"
"""What needs no choice and no training."""

FIGURES = {"map@r (all)": "MAP@R", "hit@1 (all)": "nearest right"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--loss", default="triplet")
    parser.add_argument("--held-out", type=int, default=3, help="classes of a group")
    parser.add_argument("--groups", type=int, default=0, help="so many drawn ones; 0 takes all")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args(arguments)
    measure.set_threads(options.threads or 1)
    data = load(options.dataset)
    chosen = embedding_recipe(options.loss).with_({"epochs": 2} if options.quick else {})
    seeds = range(options.seeds)
    groups = list(itertools.combinations(data.y[data.y >= 0].unique().tolist(), options.held_out))
    if options.groups or options.quick:
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(0))
        groups = [groups[place] for place in sorted(order[: 2 if options.quick else options.groups].tolist())]

    start, rows, free = time.perf_counter(), [], NodeRows(data).of(FREE)
    for number, group in enumerate(groups, start=1):
        rows += held_out(data, chosen, group, seeds, free)
        print(f"{number} of {len(groups)} groups", file=sys.stderr)
    print(f"{options.dataset}: {len(groups)} groups of {options.held_out} unseen classes, {len(seeds)} seeds, per cent")
    for side in dict.fromkeys(row["side"] for row in rows):
        mine = [row for row in rows if row["side"] == side]
        said = [
            f"{heading} {100 * statistics.fmean(row[figure] for row in mine):5.1f}"
            for figure, heading in FIGURES.items()
        ]
        worst = min(each - base for each, base in zip(*(values(rows, which) for which in (side, FREE)), strict=True))
        print(f"  {side:22} {'  '.join(said)}  worst group beside {FREE} {100 * worst:+5.1f} MAP@R")
    ours = values(rows, chosen.name)
    measure.keep(
        options.json,
        dataset=dataclasses.asdict(dataset_facts(data)),
        protocol={**data.protocol, "held_out": [list(group) for group in groups]},
        metric=dataclasses.asdict(metric("map@r", ours)),
        selection=chosen.rule_for_new_classes,
        config=chosen.as_dict(),
        seeds=list(seeds),
        seconds=time.perf_counter() - start,
        means={
            side: {figure: statistics.fmean(row[figure] for row in rows if row["side"] == side) for figure in FIGURES}
            for side in dict.fromkeys(row["side"] for row in rows)
        },
        worst={
            side: min(a - b for a, b in zip(values(rows, side), values(rows, FREE), strict=True))
            for side in dict.fromkeys(row["side"] for row in rows)
        },
        rows=rows,
    )
    return 0


def held_out(
    data: Data, chosen: EmbeddingRecipe, group: Sequence[int], seeds: Sequence[int], free: Tensor
) -> list[dict]:
    """Return a row for each embedding, means over the seeds."""
    outcome = embed(data, chosen, seeds=seeds, disjoint=list(group), probes=False, device="cpu")
    y = torch.where(torch.isin(data.y, torch.tensor(group)), data.y, -1)
    found = evaluate_retrieval(free, y, cuts=[1], metrics=["ranking"]).as_dict()
    rows = [{"group": list(group), "side": FREE, **{figure: found[figure[:-6]] for figure in FIGURES}}]
    for side, figures in outcome.record.figures.items():
        rows.append({"group": list(group), "side": side, **{figure: figures[figure].mean for figure in FIGURES}})
    return rows


def values(rows: Sequence[dict], side: str) -> list[float]:
    """Return the MAP@R of each group."""
    return [row["map@r (all)"] for row in rows if row["side"] == side]


if __name__ == "__main__":
    sys.exit(main())
