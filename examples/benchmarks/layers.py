"""How fast is one layer, forward and backward, on a large sparse graph, and how much memory does it take?

The graph is synthetic, undirected, without loops, its degrees follow a power law, its nodes stand in random order:
170,000 nodes and 2,300,000 edges (both directions counted) with 128 features, the size of ogbn-arxiv. The peers are
PyG's layer on `edge_index`, and on a `torch.sparse` CSR matrix, which all but PyG's ChebNet take (for GCN normalised
beforehand, as PyG recommends). All have the same weights; "difference" is the largest one in the results and in the
gradients of `x`, relative to the largest value. Memory is what forward and backward add to the inputs, on the device
where the layers run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import numpy as np
import torch
import torch_geometric.nn as pyg
from torch import Tensor
from torch_geometric.utils import to_torch_csr_tensor

import graphkit.nn as ours

SIDES = {"graphkit": "graphkit", "edge_index": "PyG, edge_index", "csr": "PyG, CSR adj_t"}
WITHOUT_CSR = ("cheb",)
"""Layers of PyG that refuse a `torch.sparse` matrix."""

LAYERS: dict[str, Callable[[Any, int, int], torch.nn.Module]] = {
    "gcn": lambda nn, i, o: nn.GCNConv(i, o),
    "sage": lambda nn, i, o: nn.SAGEConv(i, o),
    "gat": lambda nn, i, o: nn.GATConv(i, o // 8, heads=8),
    "gatv2": lambda nn, i, o: nn.GATv2Conv(i, o // 8, heads=8),
    "gin": lambda nn, i, o: nn.GINConv(torch.nn.Linear(i, o)),
    "cheb": lambda nn, i, o: nn.ChebConv(i, o, K=3),
}


def power_law(nodes: int, edges: int, seed: int = 0) -> Tensor:
    """Return a random undirected graph, ``edge_index [2, edges]`` sorted by source, degrees falling as d^-3."""
    random = np.random.default_rng(seed)
    ends = (nodes * random.random((2, edges // 2 + edges // 5)) ** 2).astype(np.int64)
    low, high = ends.min(0), ends.max(0)
    pairs = random.permutation(np.unique((low * nodes + high)[low != high]))[: edges // 2]
    source, target = random.permutation(nodes)[np.stack((pairs // nodes, pairs % nodes))]
    both = np.sort(np.concatenate((source * nodes + target, target * nodes + source)))
    return torch.from_numpy(np.stack((both // nodes, both % nodes)))


def pass_of(
    layer: str, side: str, nodes: int, edges: int, features: int, device: str
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return one side's forward and backward pass, which returns the result and the gradient of ``x``."""
    torch.manual_seed(0)
    x, upstream = torch.randn(nodes, features).to(device).requires_grad_(), torch.randn(nodes, features).to(device)
    conv = LAYERS[layer](pyg, features, features)
    if side == "graphkit":
        state, conv = conv.state_dict(), LAYERS[layer](ours, features, features)
        conv.load_state_dict(state)
    conv, graph = conv.to(device), power_law(nodes, edges).to(device)
    if side == "csr" and layer == "gcn":
        conv.normalize = conv.add_self_loops = False
        graph = to_torch_csr_tensor(*pyg.conv.gcn_conv.gcn_norm(graph, num_nodes=nodes), size=(nodes, nodes))
    elif side == "csr":
        graph = to_torch_csr_tensor(graph, size=(nodes, nodes))

    def run() -> tuple[Tensor, Tensor]:
        x.grad = None
        conv.zero_grad()
        out = conv(x, graph)
        out.backward(upstream)
        return out.detach(), x.grad

    return run


def compare(
    layer: str, size: Sequence[int], rounds: int, *, device: str, memory: bool, what: str
) -> list[dict[str, Any]]:
    """Return the rows of one layer on one graph of ``size`` (nodes, edges, features)."""
    sides = [side for side in SIDES if side != "csr" or layer not in WITHOUT_CSR]
    runs = {side: pass_of(layer, side, *size, device) for side in sides}
    times = measure.interleaved(runs, rounds=rounds)
    truth, rows = runs["edge_index"](), []
    for side, run in runs.items():
        difference = f"{max(map(_difference, run(), truth)):.0e}"
        arguments = ["--layer", layer, "--memory-of", side, "--device", device, "--size", *map(str, size)]
        used = measure.memory_in_subprocess(__file__, *arguments) if memory else None
        rows.append(measure.row(what, SIDES[side], times[side], times["graphkit"], used, difference=difference))
    return rows


def _difference(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).abs().max() / truth.abs().max())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--layer", choices=LAYERS, action="append", help="may be given again (default: all)")
    parser.add_argument("--size", type=int, nargs=3, default=[170_000, 2_300_000, 128], help="nodes edges features")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--scaling", action="store_true", help="how the cost grows from 10,000 to 1,000,000 edges")
    options = parser.parse_args(arguments)
    measure.without_beta_warnings()
    threads = measure.set_threads(options.threads)
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SystemExit(f"Error: `--device` {options.device!r} cannot be used here: {reason}") from None
    size, layers = options.size if not options.quick else [300, 4_000, 16], options.layer or list(LAYERS)
    if options.memory_of:
        device = options.device
        pass_of(layers[0], options.memory_of, 64, 512, size[2], device)()  # kernels are compiled, threads are started
        print(measure.memory_added(pass_of(layers[0], options.memory_of, *size, device), device))
        return 0
    rounds, rows = options.rounds or (2 if options.quick else 5), []
    edge_counts = [size[1]]
    if options.scaling:
        edge_counts = [10**3, 10**4] if options.quick else [10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6]
    for layer in layers:
        for edges in edge_counts:
            one = [round(size[0] * edges / size[1]), edges, size[2]]
            what = f"{layer}, {edges:,} edges"
            memory = not options.no_memory and not options.scaling
            rows += compare(layer, one, rounds, device=options.device, memory=memory, what=what)
    where = threads if options.device == "cpu" else options.device
    note = f"{size[2]} features, {where}, {rounds} rounds in turn; ratio: this side's seconds over graphkit's"
    measure.show(rows, note, difference="difference")
    facts = {"name": "power-law", "sha256": _checksum(*size[:2]), "nodes": size[0], "edges": size[1], "classes": 0}
    config = {"layers": layers, "size": size}
    measure.write(options.json, dataset=facts, rows=rows, config=config, seeds=[0], device=options.device)
    return 0


def _checksum(nodes: int, edges: int) -> str:
    return hashlib.sha256(power_law(nodes, edges).numpy().tobytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
