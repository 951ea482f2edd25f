"""Does a smooth response beat a free one on the same Fourier basis, and with how many parameters?

A free response has a number for each eigenvalue, as Bruna's had, and is tied to its graph; the others are functions of
the eigenvalue with a few coefficients. All have the same basis, layers and training (the recipe `spectral`), and the
same epochs, selected on validation nodes; `--set` changes fields of the recipe for all of them. "responses" counts what
the responses of all layers are made of, "all" every parameter of the model.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _measure as measure
import torch
from rich.table import Table
from safetensors.torch import load_file

from graphkit.data import load
from graphkit.nn.spectral.fourier import RESPONSES
from graphkit.training import recipe, train
from graphkit.viz import responses, save

SHARED = ("bias", "rest", "weight")
"""Ends of the names of parameters that are no part of a depthwise response."""


def counted(module: Any) -> tuple[int, int]:
    """Return the numbers that make the responses, and all parameters."""
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    own = [size for name, size in sizes.items() if ".terms." in name or not name.endswith(SHARED)]
    return sum(own), sum(sizes.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Train with each response in turn."""
    parser = measure.parser(__doc__, timed=False)
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw what the first layers learnt, first seed")
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--responses", nargs="+", choices=RESPONSES, default=RESPONSES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="field of the recipe")
    options = parser.parse_args(arguments)
    threads, start = measure.set_threads(options.threads), time.perf_counter()
    given = dict(pair.split("=", 1) for pair in options.set)
    if options.quick:
        options.dataset, options.seeds, given = "karate", 1, {"epochs": "3", "pairs": "12", **given}
    data = load(options.dataset)
    rows, records, curves = [], [], {}
    for kind in options.responses:
        plan = recipe("spectral", {**given, "response": kind})
        graph = plan.model.graph(data.edge_index, data.get("edge_weight"), data.num_nodes)
        module: Any = plan.module(data.num_features, data.card.classes, graph)
        own, everything = counted(module)
        with tempfile.TemporaryDirectory(prefix="graphkit-responses-") as folder:
            outcome = train(data, plan, seeds=range(options.seeds), run_dir=folder, command=shlex.join(sys.argv))
            module.load_state_dict(load_file(Path(folder) / "seed-0.safetensors"))
        curve = module.eval().convs[0].response(graph[0].eigenvalues).detach()
        largest = curve.gather(0, curve.abs().argmax(0, keepdim=True))
        curves[kind] = (curve / torch.where(largest == 0, 1.0, largest)).numpy()
        record = outcome.record
        records.append(dataclasses.asdict(record))
        rows.append(
            {
                "response": kind,
                "validation": str(record.validation),
                "test": str(record.metric),
                "responses": own,
                "all": everything,
                "seconds": record.seconds,
            }
        )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading == "response" else "right")
    for row in rows:
        table.add_row(
            *(
                f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
                for value in row.values()
            )
        )
    measure.printed(table)
    print(f"{options.dataset}, {options.seeds} seed{'s' * (options.seeds > 1)}, {records[0]['selection']}; {threads}")
    if options.picture is not None:
        eigenvalues = graph[0].eigenvalues.numpy()
        what = f"first layer, each channel over its largest value; mean and middle half of {curve.shape[1]} channels"
        picture = responses(
            curves,
            eigenvalues,
            title=f"Free and smooth responses learnt on {options.dataset}",
            note=f"{what}; ticks: the {len(eigenvalues)} eigenvalues",
            eigenvalues=eigenvalues,
        )
        save(picture, options.picture)
    measure.keep(options.json, **{**records[-1], "seconds": time.perf_counter() - start, "rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
