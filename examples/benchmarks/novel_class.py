"""How well does an embedding trained without a class tell the nodes of that class as anomalies?

Every class is held out in turn: the encoder is trained and selected on the labels of the other classes, the training
nodes of those classes are what is normal, and the test nodes are scored by their distance from it. AUROC is the chance
that a node of the held-out class scores higher than one of the others; AP is the average precision, whose floor is the
share of that class. Views that agree on a class are off: they would make the nodes of the held-out class choose one of
the others. Raw features, the encoder as it was drawn and rows of the view of the graph that serves validation nodes of
the other classes best stand beside it. Three scores are shown, and the one that is chosen without anomalies: each of
the other classes plays the unknown in turn, on validation nodes.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence

import _measure as measure
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data import load
from graphkit.metric import AnomalyScorer
from graphkit.metric.anomaly import METHODS
from graphkit.training.embedding import EmbeddingRecipe, embed, embedding_recipe
from graphkit.training.embedding.classifier_baselines import initial_embeddings
from graphkit.training.embedding.node_rows import NodeRows
from graphkit.training.engine.records import dataset_facts, metric

CHOSEN = "chosen"
SCORES = (*METHODS, CHOSEN)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--loss", default="prototype")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--consistency", type=float, default=0.0, help="above 0 every node has to decide for a class")
    options = parser.parse_args(arguments)
    measure.set_threads(options.threads or 1)
    data = load(options.dataset)
    chosen = embedding_recipe(
        options.loss, {"consistency": options.consistency, "views": 2 if options.consistency else 1}
    )
    chosen = chosen.with_({"epochs": 2} if options.quick else {})
    seeds = range(1 if options.quick else options.seeds)
    classes = data.y.unique().tolist()[: 2 if options.quick else None]

    start = time.perf_counter()
    rows = [row for novel in classes for row in held_out(data, chosen, novel, seeds)]
    print(f"{options.dataset}: AUROC of each held-out class and their mean, mean of {len(seeds)} seeds, per cent")
    for side in dict.fromkeys(row["side"] for row in rows):
        for method in SCORES:
            mine = [row for row in rows if (row["side"], row["method"]) == (side, method)]
            each = " ".join(f"{100 * statistics.fmean(row['auroc']):5.1f}" for row in mine)
            mean, precision = (
                100 * statistics.fmean(statistics.fmean(row[k]) for row in mine) for k in ("auroc", "ap")
            )
            print(f"  {side:15} {method:12} {each}   mean {mean:5.1f}, AP {precision:5.1f}")
    floor = 100 * statistics.fmean(row["floor"] for row in rows)
    print(f"  floor of AP {floor:.1f}; split {data.protocol['split']}, test nodes scored, other classes' labels only")
    ours = [row for row in rows if row["side"] == options.loss and row["method"] == CHOSEN]
    measure.keep(
        options.json,
        dataset=dataclasses.asdict(dataset_facts(data)),
        protocol={**data.protocol, "held_out": classes},
        metric=dataclasses.asdict(metric("auroc", [statistics.fmean(row["auroc"]) for row in ours])),
        selection=chosen.rule_for_new_classes,
        config=chosen.as_dict(),
        seeds=list(seeds),
        seconds=time.perf_counter() - start,
        rows=rows,
    )
    return 0


def held_out(data: Data, chosen: EmbeddingRecipe, novel: int, seeds: Sequence[int]) -> list[dict]:
    """Return a row for each embedding and each score."""
    outcome = embed(data, chosen, seeds=seeds, disjoint=[novel], probes=False, device="cpu")
    drawn = [initial_embeddings(data, chosen, seed) for seed in seeds]
    rows = NodeRows(data)
    sides = {
        "raw features": [data.x.to_dense()],
        "random encoder": drawn,
        "best view": [rows.of(each.view) for each in outcome.seeds],
        chosen.name: list(outcome.embeddings),
    }
    return [scored(data, novel, side, method, spaces) for side, spaces in sides.items() for method in SCORES]


def scored(data: Data, novel: int, side: str, method: str, spaces: Sequence[Tensor]) -> dict:
    """Return how well one score finds the novel class among the test nodes, for each seed."""
    normal, anomalous = data.train_mask & (data.y != novel), (data.y == novel)[data.test_mask]
    if method == CHOSEN:
        other = data.val_mask & (data.y != novel)
        scorers = [AnomalyScorer.choose(z[normal], data.y[normal], z[other], data.y[other]) for z in spaces]
    else:
        scorers = [AnomalyScorer(method).fit(z[normal], data.y[normal]) for z in spaces]
    found = [scorer.detection(z[data.test_mask], anomalous) for scorer, z in zip(scorers, spaces, strict=True)]
    return {
        "novel": novel,
        "side": side,
        "method": method,
        "methods": [each.method for each in scorers],
        "auroc": [each.auroc for each in found],
        "ap": [each.average_precision for each in found],
        "floor": float(anomalous.double().mean()),
    }


if __name__ == "__main__":
    sys.exit(main())
