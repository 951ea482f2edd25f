"""What do several processes on one machine bring to sampled training, and what does a graph in parts cost?

One epoch's batches of GraphSAGE on a synthetic graph (communities, power-law degrees, random features), by one process
and by several, each holding the whole graph, a part of it, or a part and the rows around it. All take the same
global batches; with its own nodes a process takes those of a batch that its part holds, not an even share. Nodes a
second count the nodes of the loss; CPU seconds those of all processes; memory what a process holds of its own after
loading. Processes share the machine's cores and talk through its memory: a network is not measured.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import queue
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _measure as measure
import torch
from rich.table import Table
from torch import nn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphkit.data import NeighborLoader, Part, PartitionedFeatures, PartitionedGraph, Partitions, partition
from graphkit.data.distributed.row_exchange import RowExchange
from graphkit.nn import Encoder, SAGEConv
from graphkit.training.engine.distributed import init_world

CLASSES, HIDDEN, COMMUNITY = 40, 256, 500
WHOLE, PARTS, AROUND, HOME = "the whole graph", "a part", "a part and around", "a part, its own nodes"


def synthetic(nodes: int, edges: int, features: int) -> Data:
    """Return a graph of communities with power-law degrees: four of five edges stay inside of one."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(nodes, (edges // 2,), generator=generator)
    drawn = torch.rand(edges // 2, generator=generator) ** 3
    start = source // COMMUNITY * COMMUNITY
    inside = start + (drawn * (nodes - start).clamp(max=COMMUNITY)).long()
    target = torch.where(torch.rand(edges // 2, generator=generator) < 0.8, inside, (drawn * nodes).long())
    names = torch.randperm(nodes, generator=generator)  # communities are not written on the nodes
    data = Data(edge_index=to_undirected(names[torch.stack([source, target])], num_nodes=nodes), num_nodes=nodes)
    data.x = torch.randn(nodes, features, generator=generator)
    data.y = torch.randint(CLASSES, (nodes,), generator=generator)
    for number, name in enumerate(("train_mask", "val_mask", "test_mask")):
        data[name] = torch.arange(nodes) % 3 == number
    return data


def private_mb() -> float:
    """Return the memory that this process shares with no other."""
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back
    status = Path("/proc/self/smaps_rollup")
    if not status.exists():
        return float("nan")
    lines = [line.split() for line in status.read_text().splitlines()]
    return sum(int(line[1]) for line in lines if line[0].startswith("Private_")) / 1000


def worked(rank: int, folders: dict[str, Path], held: str, batch: int, batches: int, fan_out: list[int]) -> Any:
    """Return what one process of a job measures."""
    torch.set_num_threads(1)
    with init_world(torch.device("cpu")) as processes:
        before = private_mb()
        exchange = RowExchange() if held == WHOLE else RowExchange(rank, processes.count)
        part = Part(Partitions(folders[held]), exchange)
        edges = PartitionedGraph(part)
        features = PartitionedFeatures(part, halo=edges.halo if held == AROUND else None)
        memory = private_mb() - before
        train = torch.from_numpy(part.partitions.array("train"))
        order = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(1))]
        steps = order.split(batch)[: batches + 1]
        if held == HOME:
            owner = torch.from_numpy(part.owner.copy())
            mine = [each[owner[each] == rank] for each in steps]
        else:
            mine = [each.tensor_split(processes.count)[rank] for each in steps]
        model = Encoder(features.get_tensor_size(None, "x")[1], HIDDEN, CLASSES, conv=SAGEConv, layers=len(fan_out))
        optimizer, seen, drawing = torch.optim.Adam(model.parameters(), lr=0.01), 0, 0.0
        ends = torch.tensor([0, *(len(each) for each in mine)]).cumsum(0).tolist()
        places = [list(range(*pair)) for pair in itertools.pairwise(ends)]
        loader = NeighborLoader(
            (features, edges), fan_out, input_nodes=torch.cat(mine), loader={"batch_sampler": places}
        )
        around = iter(loader)
        for number in range(batches + 1):
            if number == 1:  # the first batch makes kernels ready
                processes.total(torch.zeros(()))
                begun, cpu, seen, drawing = time.perf_counter(), time.process_time(), 0, 0.0
                features.fetched = nodes = 0
            drawn = time.perf_counter()
            graph = next(around)
            drawing += time.perf_counter() - drawn
            optimizer.zero_grad()
            found = model(graph.x, graph.edge_index)[: graph.batch_size]
            nn.functional.cross_entropy(found, graph.y[: graph.batch_size]).backward()
            processes.add_gradients(model)
            optimizer.step()
            seen += graph.batch_size
            nodes = nodes + graph.num_nodes if number else 0
        wall = time.perf_counter() - begun
        spent = time.process_time() - cpu
        own = sum(table.nbytes for table in features.tables.values()) / 1e6
        kept = sum(table.nbytes for table in features._halo_rows.values()) / 1e6
        return {"seen": seen, "wall": wall, "cpu": spent, "drawing": drawing, "nodes": nodes,
                "fetched": features.fetched, "memory_mb": memory, "features_mb": own, "around_mb": kept}  # fmt: skip


def _process(rank: int, count: int, port: int, answers: Any, arguments: tuple[Any, ...]) -> None:
    said = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in said.items()})
    answers.put(worked(rank, *arguments))


def job(count: int, *arguments: Any) -> list[dict[str, float]]:
    """Return what each process of a job of so many measures."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    every = [context.Process(target=_process, args=(rank, count, port, answers, arguments)) for rank in range(count)]
    for process in every:
        process.start()
    found: list[dict[str, float]] = []
    while len(found) < count:
        try:
            found.append(answers.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in every):
                raise RuntimeError("a process of the job failed; what it said stands above.") from None
    for process in every:
        process.join()
    return found


def line(count: int, held: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """Return a row of the table: sums and largest values over the processes."""
    total = {name: sum(each[name] for each in found) for name in found[0]}
    most = {name: max(each[name] for each in found) for name in found[0]}
    return {
        "processes": count,
        "held": held,
        "nodes_per_second": total["seen"] / most["wall"],
        "wall": most["wall"],
        "cpu": total["cpu"],
        "drawing": total["drawing"] / count,
        "drawn": total["nodes"],
        "fetched": total["fetched"],
        **{name: most[name] for name in ("memory_mb", "features_mb", "around_mb")},
    }


def show(rows: Sequence[dict[str, Any]], note: str) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption=note, caption_justify="left")
    for heading in ("processes", "each holds", "nodes a second", "wall s", "CPU s", "of it drawing s", "nodes drawn",
                    "fetched", "MB held", "features", "around"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "each holds" else "right", no_wrap=True)
    for each in rows:
        numbers = [f"{each['nodes_per_second']:,.0f}", *(f"{each[name]:.2f}" for name in ("wall", "cpu", "drawing"))]
        counts = [f"{each[name]:,.0f}" for name in ("drawn", "fetched", "memory_mb", "features_mb", "around_mb")]
        table.add_row(str(each["processes"]), each["held"], *numbers, *counts)
    measure.printed(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    made = measure.parser(__doc__)
    made.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="how many processes, one job each")
    made.add_argument("--nodes", type=int, default=100_000, help="of the synthetic graph, of 15 edges each")
    options = made.parse_args(arguments)
    measure.set_threads(1)
    nodes, features, batch, batches = (2_000, 16, 64, 3) if options.quick else (options.nodes, 128, 1_024, 20)
    fan_out, rows, took = [10, 5], [], {}
    data = synthetic(nodes, 15 * nodes, features)
    facts = {"name": "synthetic communities", "nodes": nodes, "edges": data.num_edges, "classes": CLASSES}
    with tempfile.TemporaryDirectory() as home:
        for parts in sorted({1, *options.processes}):
            begun = time.process_time()
            written = partition(data, Path(home) / str(parts), parts=parts)
            took[parts] = time.process_time() - begun
        stored = {"bytes_per_node": written.bytes_per("node"), "bytes_per_edge": written.bytes_per("edge")}
        del data
        for count in options.processes:
            folders = {WHOLE: Path(home) / "1", **{held: Path(home) / str(count) for held in (PARTS, AROUND, HOME)}}
            for held in (WHOLE, PARTS, AROUND, HOME) if count > 1 else (WHOLE,):
                rows.append(line(count, held, job(count, folders, held, batch, batches, fan_out)))
    first = rows[0]
    for each in rows:
        each |= {"what": f"{each['processes']} processes", "side": each["held"]}
        each["ratios"] = [each["nodes_per_second"] / first["nodes_per_second"]]
    show(
        rows, f"{nodes:,} nodes, {facts['edges']:,} edges, synthetic; fan-out {fan_out}, batch {batch}; one thread each"
    )
    cuts = ", ".join(f"{seconds:.1f} CPU s for {parts}" for parts, seconds in took.items())
    node, edge = stored.values()
    print(f"On the disk: {node:.0f} bytes a node, {edge:.0f} an edge; cut: {cuts}.")
    config = {"hidden": HIDDEN, "fan_out": fan_out, "batch": batch, "batches": batches, "features": features}
    measure.write(options.json, dataset=facts, rows=rows, config=config, seeds=[0], stored=stored, cut_seconds=took)


if __name__ == "__main__":
    main()
