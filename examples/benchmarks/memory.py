"""Does a graph whose features exceed the memory of a process train from the disk, and at what share of the speed?

Sampled GraphSAGE on a stored graph, each side in a process of its own: with features and edges copied into memory; from
the disk, its pages dropped from the system's cache before (cold), and left there (warm); and from the disk under a
limit (``RLIMIT_DATA``: what the process may allocate; read-only maps of files do not count, and the system may drop
their pages at any time). In memory under the same limit must fail. Peak memory is the largest resident set, pages of
mapped files among it; own memory is what is not backed by a file, at the end. Nodes a second count the nodes of the
loss, drawing included. The graph is synthetic and is removed at the end, unless one is given.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _measure as measure
import torch
from rich.table import Table
from torch import nn
from torch_geometric import EdgeIndex

from graphkit.data import NeighborLoader, Synthetic, open_stored, synthesize
from graphkit.nn import Encoder, SAGEConv

HIDDEN = 256
MEMORY, COLD, WARM, LIMITED, REFUSED = (
    "in memory", "from the disk, cold", "from the disk, warm", "from the disk, limited", "in memory, limited",
)  # fmt: skip


def status(name: str) -> float:
    """Return a line of the process's status in MB."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) / 1000 if found else float("nan")


def trained(side: str, folder: Path, batch: int, batches: int, fan_out: Sequence[int]) -> dict[str, Any]:
    """Return what one process measures."""
    data = open_stored(folder, verify=False)  # whose pages are read when they are asked for
    if side in (MEMORY, REFUSED):
        data.x = data.x.clone()
        ends, edges = data.edge_index._indptr.clone(), data.edge_index.as_tensor().clone()
        data.edge_index = EdgeIndex(edges, sparse_size=(data.num_nodes,) * 2, sort_order="col")
        data.edge_index._indptr = ends
    model = Encoder(data.num_features, HIDDEN, data.store.classes, conv=SAGEConv, layers=len(fan_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    options = {"batch_size": batch, "shuffle": True}
    loader, seen, losses = NeighborLoader(data, fan_out, input_nodes=data.train_mask, loader=options), 0, []
    for number, part in enumerate(loader):
        if number == 1:  # the first batch makes kernels ready
            start, cpu, seen = time.perf_counter(), time.process_time(), 0
        optimizer.zero_grad()
        found = model(part.x, part.edge_index)[: part.batch_size]
        loss = nn.functional.cross_entropy(found, part.y[: part.batch_size])
        loss.backward()
        optimizer.step()
        seen += part.batch_size
        losses.append(float(loss.detach()))
        if number == batches:
            break
    wall, spent = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    figures = {"wall": wall, "cpu": spent, "nodes_per_second": seen / wall, "peak_mb": peak}
    return {**figures, "own_mb": status("RssAnon"), "loss": [losses[0], losses[-1]]}


def dropped(folder: Path) -> None:
    """Drop the pages of all files in a folder from the system's cache."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def process(side: str, folder: Path, options: Any, limit: int) -> dict[str, Any] | None:
    """Return what a process of its own measures, or nothing where its memory did not suffice."""
    if side == COLD:
        dropped(folder)
    given = [side, str(folder), str(limit if side in (LIMITED, REFUSED) else 0), str(options.batch)]
    given += [str(options.batches), options.fan_out, str(torch.get_num_threads())]
    done = subprocess.run([sys.executable, __file__, "--side", *given], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    if side in (LIMITED, REFUSED) and ("alloc" in last.lower() or "memory" in last.lower()):
        return None
    raise RuntimeError(f"{side}: {last}")


def side(given: Sequence[str]) -> None:
    """Be the process of one side."""
    name, folder, limit, batch, batches, fan_out, threads = given
    torch.set_num_threads(int(threads))
    if int(limit):
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    torch.manual_seed(0)
    print(json.dumps(trained(name, Path(folder), int(batch), int(batches), [int(many) for many in fan_out.split(",")])))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    made = measure.parser(__doc__)
    made.add_argument("--graph", type=Path, metavar="FOLDER", help="a stored graph (default: one is drawn)")
    made.add_argument("--nodes", type=int, help="of the drawn one (default: 2,000,000)")
    made.add_argument("--features", type=int, help="of a node (default: 512)")
    made.add_argument("--folder", type=Path, help="where it is drawn (default: the system's temporary folder)")
    made.add_argument("--limit-mb", type=int, help="the limit (default: half of the features)")
    made.add_argument("--batch", type=int, default=512)
    made.add_argument("--batches", type=int, help="after the first one (default: 20)")
    made.add_argument("--fan-out", default="10,5")
    options = made.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    options.batches = options.batches or (2 if options.quick else 20)
    nodes = options.nodes or (20_000 if options.quick else 2_000_000)
    features = options.features or (64 if options.quick else 512)
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        folder = options.graph or Path(home) / "graph"
        if options.graph is None:
            synthesize(folder, Synthetic(nodes=nodes, edges=5 * nodes, features=features), name="synthetic")
        about = open_stored(folder, verify=False).store
        table = about.nodes * about.features * 4
        limit = 10**6 * options.limit_mb if options.limit_mb else table // 2
        # On a small graph no limit that PyTorch can live with is below the features.
        sides = [MEMORY, COLD, WARM] if options.quick else [MEMORY, COLD, WARM, LIMITED, REFUSED]
        rows, speeds = [], {}
        for name in sides:
            found = [process(name, folder, options, limit) for _ in range(options.rounds or 1)]
            if found[0] is None:
                print(f"{name} to {limit / 1e6:,.0f} MB: out of memory{', as it must be' * (name == REFUSED)}")
                continue
            best = min(found, key=lambda each: each["wall"])
            speeds[name] = [each["nodes_per_second"] for each in found]
            ratios = [ours / theirs for ours, theirs in zip(speeds[MEMORY], speeds[name], strict=True)]
            rows.append({"what": "sampled GraphSAGE", "side": name, **best, "ratios": ratios})
        shown = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
        shown.caption = (
            f"{about.name}: {about.nodes:,} nodes, {about.edges:,} edges, features of {table / 1e6:,.0f} MB; "
            f"batches of {options.batch}, fan-out {options.fan_out}; limit {limit / 1e6:,.0f} MB; {threads}"
        )
        for heading in ("", "nodes a second", "of memory's", "CPU s", "peak MB", "own MB", "loss"):
            shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for row in rows:
            share = row["nodes_per_second"] / max(speeds[MEMORY])
            figures = f"{row['nodes_per_second']:,.0f}", f"{share:.0%}", f"{row['cpu']:.1f}"
            memory = f"{row['peak_mb']:,.0f}", f"{row['own_mb']:,.0f}"
            shown.add_row(row["side"], *figures, *memory, "{:.2f} to {:.2f}".format(*row["loss"]))
        measure.printed(shown)
    facts = {"name": about.name, "sha256": about.fingerprint, "nodes": about.nodes, "edges": about.edges}
    fields = {"config": {"hidden": HIDDEN, "fan_out": options.fan_out, "batch": options.batch}, "seeds": [0]}
    measured = {"features_mb": table / 1e6, "limit_mb": limit / 1e6, "batches": options.batches}
    measure.write(options.json, dataset={**facts, "classes": about.classes}, rows=rows, **fields, protocol=measured)


if __name__ == "__main__":
    side(sys.argv[2:]) if sys.argv[1:2] == ["--side"] else main()
