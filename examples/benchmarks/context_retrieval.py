"""Does one embedding retrieve by whichever attribute it is asked for, and not by the other?

Items have two labels: digits their digit and whether it is even; members of a university (Facebook100) their year and
their dormitory, some of them not given. One encoder and a mask for each condition are learnt together from the training
items' labels; the test items then ask all others, by MAP@R: each condition's own attribute (on) and the other (off).
Beside it stand the raw features, the encoder as it was drawn, the same embedding without masks, and of each condition
the view of the graph that serves its validation items best and ridge regression on all views from its training labels.
Joined, each condition's rows hold both beside what its mask leaves, by shares that validation items select. The epoch
is the one of highest validation MAP@R, mean of both attributes on their conditions. Chance is what equal distances
would give.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence

import _measure as measure
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data import label_by, load
from graphkit.metric import ConditionalSimilarity, PrototypeLoss, evaluate_conditions
from graphkit.nn.node_models import RandomPropagation
from graphkit.operators import sparse_features
from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.embedding.joined_rows import best_shares, join_rows
from graphkit.training.embedding.node_rows import NodeRows
from graphkit.training.engine.records import dataset_facts, metric

LEAST = 20
"""Members that a year or a dormitory must have to be a class."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--dataset", default="digits", help="digits, or a facebook100 graph")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--dim", type=int, default=8)
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.steps = 1, 10
    measure.set_threads(options.threads or 1)
    data, names = with_two_labels(options.dataset)
    start = time.perf_counter()
    runs = [studied(data, seed, options.steps, options.dim) for seed in range(options.seeds)]

    known = ", ".join(f"{name}: {int(data.y[:, c].max()) + 1} classes" for c, name in enumerate(names))
    print(f"{options.dataset} ({known}); MAP@R of test items, per cent, mean of {options.seeds} seeds")
    print(f"  {'':22} {'on ' + names[0]:>14} {'on ' + names[1]:>14} {'off ' + names[0]:>14} {'off ' + names[1]:>14}")
    for side in runs[0]:
        cells = [statistics.fmean(run[side][at] for run in runs) for at in range(4)]
        print(f"  {side:22} " + " ".join(f"{100 * cell:14.1f}" for cell in cells))
    on = [(run["masks, joined"][0] + run["masks, joined"][1]) / 2 for run in runs]
    measure.keep(
        options.json,
        dataset=dataclasses.asdict(dataset_facts(data.clone().update({"y": data.y[:, 0]}))),
        protocol={"split": "20 % of items to train on, 20 % to select by, the rest asks", "conditions": names},
        metric=dataclasses.asdict(metric("map@r, on condition", on)),
        selection="epoch of highest validation MAP@R on condition",
        config={"steps": options.steps, "dim": options.dim},
        seeds=list(range(options.seeds)),
        seconds=time.perf_counter() - start,
        rows=runs,
    )
    return 0


def with_two_labels(name: str) -> tuple[Data, list[str]]:
    """Return the graph with ``y [items, 2]``, -1 where a label is not known, and what the labels are."""
    data = load(name)
    if name == "digits":
        data.y = torch.stack([data.y, data.y % 2], dim=1)
        return data, ["digit", "parity"]
    data = label_by(data, "year", "dormitory", least=LEAST)
    friends = torch.zeros(data.num_nodes, data.num_nodes)
    friends[data.edge_index[1], data.edge_index[0]] = 1.0
    data.x = torch.nn.functional.normalize(torch.cat([data.x, friends], dim=1), dim=1)
    return data, ["year", "dormitory"]


def studied(data: Data, seed: int, steps: int, dim: int) -> dict[str, list[float]]:
    """Return, for each side, MAP@R of test items: both attributes on condition, then both off."""
    generator = torch.Generator().manual_seed(seed)
    order, fifth = torch.randperm(data.num_nodes, generator=generator), data.num_nodes // 5
    train, test = order[:fifth], order[2 * fifth :]  # between them the items to select by
    x = data.x if float((data.x != 0).float().mean()) > 0.1 else sparse_features(data.x)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        encoder = RandomPropagation(data.num_features, 64, dim, order=2, node_dropout=0.3, dropout=0.3)
        similarity = ConditionalSimilarity(dim, 2, disjoint=True)
        parameters = [*encoder.parameters(), *similarity.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=0.01, weight_decay=1e-4)
        loss, best = PrototypeLoss(), (-1.0, torch.empty(0), torch.empty(0))

        def embedded() -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                z = encoder.eval()(x, data.edge_index)
                return z, similarity.all(z)

        drawn = embedded()[0]
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            z = encoder.train()(x, data.edge_index)[train]
            sum(loss(seen, data.y[train, c]) for c, seen in enumerate(similarity.all(z))).backward()
            optimizer.step()
            if step % 10 == 0:
                z, seen = embedded()
                labelled = order[: 2 * fifth]
                asking = torch.arange(fifth, 2 * fifth)
                found = evaluate_conditions(seen[:, labelled], data.y[labelled], queries=asking)
                mean = (found[0][0].map_at_r + found[1][1].map_at_r) / 2
                best = (mean, z, seen) if mean > best[0] else best
    one = torch.ones(data.num_nodes, 1)
    sides = {
        "equal distances": torch.stack([one, one]),
        "raw features": torch.stack([data.x, data.x]),
        "random encoder": torch.stack([drawn, drawn]),
        "without masks": torch.stack([best[1], best[1]]),
        "masks": best[2],
        **beside_masks(data, best[2], order[fifth : 2 * fifth], train),
    }
    return {side: four(evaluate_conditions(seen, data.y, queries=test)) for side, seen in sides.items()}


def beside_masks(data: Data, seen: Tensor, asking: Tensor, train: Tensor) -> dict[str, Tensor]:
    """Return what takes no step for each condition, and joined with what its mask leaves, ``[2, items, dim]`` each."""
    rows, sides = NodeRows(data), {"best view": [], "ridge on views": [], "masks, joined": []}
    for condition, z in enumerate(seen):
        y = data.y[:, condition]
        parts = [part[y[part] >= 0] for part in (asking, train)]
        index, many = torch.cat(parts), len(parts[0])
        labelled = LabelledItems(index, y[index])
        view = rows.best_view(labelled, many, "both")
        solved = rows.best_solution(labelled, many, int(y.max()) + 1, "both")
        shares = best_shares(rows.figure(view, z[index], labelled, many, "both", solved))
        sides["best view"].append(rows.of(view))
        sides["ridge on views"].append(solved.all)
        sides["masks, joined"].append(
            join_rows((z, shares.encoder), (solved.all, shares.solved), (rows.of(view), shares.view))
        )
    widest = {side: max(each.size(1) for each in found) for side, found in sides.items()}
    return {
        side: torch.stack([F.pad(each, (0, widest[side] - each.size(1))) for each in found])
        for side, found in sides.items()
    }


def four(found: list[list]) -> list[float]:
    """Return both attributes on their own condition, then on the other's."""
    return [found[0][0].map_at_r, found[1][1].map_at_r, found[1][0].map_at_r, found[0][1].map_at_r]


if __name__ == "__main__":
    sys.exit(main())
