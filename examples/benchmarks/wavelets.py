"""How much memory and time does a training step of a wavelet layer take, where published code keeps dense matrices?

Two `GraphWaveletConv` layers with dropout on Coauthor-Physics, 34,493 nodes, forward, backward and Adam's step, in two
forms: functions of the eigenvalue ("bands"), and the published form with a number at each node ("gwnn"). Memory is
what a process of its own adds to graph and features. The published construction makes psi and its inverse from all
eigenvectors: three dense nodes x nodes matrices, whose bytes are printed, not taken.

The first lines are the ways to evaluate a wavelet, in float64, on the subgraph of the first `--exact` nodes: the
largest error of heat and Mexican-hat wavelets against the Fourier basis, relative to the largest value, and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
from layers import power_law
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit.data import load
from graphkit.nn import Encoder, GraphWaveletConv
from graphkit.operators import fourier_basis, heat, krylov, laplacian, mexican_hat, sparse_features, wavelet_analysis

FORMS = {"bands": "bands", "gwnn": "GWNN's form"}


def graph_of(name: str) -> Data:
    """Return a data set's graph, or a small one that needs no file."""
    if name == "power-law":
        x = torch.rand(300, 20, generator=torch.Generator().manual_seed(0))
        return Data(x=x, edge_index=power_law(300, 3_000), y=torch.arange(300) % 3)
    return load(name)


def step_of(form: str, data: Data, hidden: int) -> Callable[[], Tensor]:
    """Return a training step of two wavelet layers, which returns its loss."""
    torch.manual_seed(0)
    x, nodes = sparse_features(F.normalize(data.x, p=1, dim=1)), data.num_nodes
    data.x = None  # the features are held once
    more: dict[str, Any] = {"form": form, "num_nodes": nodes, "scale": 1.0} if form == "gwnn" else {"scale": [1.0, 2.0]}
    classes = int(data.y.max()) + 1
    model = Encoder(x.size(1), hidden, classes, conv=lambda i, o: GraphWaveletConv(i, o, **more))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x, data.edge_index), data.y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def evaluations(data: Data, nodes: int) -> list[dict[str, Any]]:
    """Return seconds and errors of the exact, the polynomial and the Krylov way, on the first nodes of the graph."""
    edge_index, _ = subgraph(torch.arange(nodes), data.edge_index, num_nodes=data.num_nodes)
    operator = laplacian(edge_index, num_nodes=nodes, normalization="sym", dtype=torch.float64)
    signal = torch.randn(nodes, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = []
    for name, bank in (
        ("heat, s = 1", heat(1.0)),
        ("heat, s = 10", heat(10.0)),
        ("Mexican hat, 5 bands", mexican_hat(5)),
    ):
        ways: dict[str, Callable[[], Tensor]] = {
            "exact": lambda bank=bank: wavelet_analysis(fourier_basis(operator), signal, bank),
            "Chebyshev": lambda bank=bank: wavelet_analysis(operator, signal, bank, tolerance=1e-8),
            "Krylov": lambda bank=bank: krylov(operator, signal, bank, tolerance=1e-8).values,
        }
        truth, ours = None, None
        for way, body in ways.items():
            times, found = measure.once(body)
            truth, ours = found if truth is None else truth, ours or times
            error = f"{float((found - truth).abs().max() / truth.abs().max()):.0e}"
            rows.append(measure.row(f"{name}, {nodes:,} nodes", way, times, ours, None, error=error))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure training steps, then the three ways of evaluation."""
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="coauthor-physics")
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--exact", type=int, default=1_500, help="nodes of the graph on which the ways are compared")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    name = "power-law" if options.quick else options.dataset
    data = graph_of(name)
    nodes, edges, classes = data.num_nodes, data.num_edges, int(data.y.max()) + 1
    if options.memory_of:
        body = step_of(options.memory_of, data, options.hidden)
        step_of(options.memory_of, graph_of("power-law"), options.hidden)()  # kernels and imports are ready then
        print(measure.memory_added(body))
        return 0
    rows = evaluations(data, min(options.exact, nodes))
    steps = {form: step_of(form, graph_of(name), options.hidden) for form in FORMS}
    rounds = options.rounds or (1 if options.quick else 3)
    times = measure.interleaved(steps, rounds=rounds)
    given = ["--dataset", options.dataset, "--hidden", str(options.hidden), *(["--quick"] if options.quick else [])]
    for form, label in FORMS.items():
        used = None
        if not options.no_memory:
            used = measure.memory_in_subprocess(__file__, "--memory-of", form, *given)
        what = f"training step, {nodes:,} nodes"
        rows.append(measure.row(what, label, times[form], times["bands"], used, error=""))
    dense = 3 * 4 * nodes**2
    note = f"{threads}; training steps {rounds} rounds in turn, the others once"
    measure.show(rows, note, error="error")
    print(f"U, psi and its inverse as dense float32 matrices: {dense / 1e6:,.0f} MB (not made)")
    facts = {"name": name, "nodes": nodes, "edges": edges, "classes": classes}
    config = {"hidden": options.hidden, "dense_mb": dense / 1e6}
    measure.write(options.json, dataset=facts, rows=rows, config=config, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
