"""Does a graph convolution tell digits on their grid as well as a perceptron, and a filter of few knots as a free one?

Defferrard's and Bruna's comparisons in small: every 8 x 8 digit is a signal on one grid graph. ChebNet with pooling
stands beside a perceptron of the same size, the narrowest one that has no fewer parameters. The spectral filters, in
the whole eigenbasis of every level, are splines of few knots, or free: a number for each eigenvalue, of which nearly a
third belong to the tree's fake nodes and meet no signal. Each row is trained with every learning rate on the same
splits, one drawn for each seed, for 100 epochs of ten batches; learning rate and epoch are chosen by validation digits.
"many" learns from 60 % of the digits, "few" from ten of each class.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import _measure as measure
from rich.table import Table

from graphkit.data import load_splits
from graphkit.training import recipe, train

SPLITS = {"many": "stratified", "few": "random-per-class:10"}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "perceptron": ("mlp", {}),
    "ChebNet": ("cheb", {}),
    "spectral, free": ("spectral", {"response": "free"}),
    "spectral, 5 knots": ("spectral", {"response": "bspline", "terms": 5}),
}


def parameters(data: Any, kind: str, fields: dict[str, Any]) -> int:
    """Return how many numbers a model learns."""
    plan = recipe(kind, fields, items="signals")
    graph = plan.model.graph(data.edge_index, None, data.num_nodes)
    return sum(p.numel() for p in plan.module(data.signals.size(-1), data.card.classes, graph).parameters())


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every model on every kind of split."""
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.003, 0.01], help="learning rates to choose from")
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    options = parser.parse_args(arguments)
    threads, start = measure.set_threads(options.threads), time.perf_counter()
    if options.quick:
        options.seeds, options.epochs, options.rates = 1, 2, [0.01]
    seeds, rows, records = range(options.seeds), [], []
    for kind in options.splits:
        data, splits = load_splits("digits-grid", split=SPLITS[kind], seeds=seeds)
        known = {name: parameters(data, *model) for name, model in MODELS.items()}
        width = next(w for w in range(1, 1000) if parameters(data, "mlp", {"hidden": w}) >= known["ChebNet"])
        known["perceptron"] = parameters(data, "mlp", {"hidden": width})
        for name, (model, fields) in MODELS.items():
            given = {**fields, "epochs": options.epochs, "batch": -(-int(splits[0].train.sum()) // 10)}
            given |= {"hidden": width} if name == "perceptron" else {}
            tried = [
                train(data, recipe(model, {**given, "lr": rate}, items="signals"), seeds=seeds, splits=splits).record
                for rate in options.rates
            ]
            best = max(range(len(tried)), key=lambda place: tried[place].validation.mean)
            records.append(dataclasses.asdict(tried[best]))
            figures = {"validation": str(tried[best].validation), "test": str(tried[best].metric)}
            seconds = sum(record.seconds for record in tried)
            rows.append({"learns from": kind, "model": name, "parameters": known[name], **figures})
            rows[-1] |= {"rate": options.rates[best], "seconds": seconds, "values": list(tried[best].metric.values)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = [heading for heading in rows[0] if heading != "values"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("learns from", "model") else "right", no_wrap=True)
    for row in rows:
        texts = {**row, "parameters": f"{row['parameters']:,}", "seconds": f"{row['seconds']:.1f}"}
        table.add_row(*(str(texts[heading]) for heading in headings))
    measure.printed(table)
    print(f"digits-grid, {options.seeds} seed{'s' * (options.seeds > 1)}, {records[0]['selection']}; {threads}")
    measure.keep(options.json, **{**records[-1], "seconds": time.perf_counter() - start, "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
