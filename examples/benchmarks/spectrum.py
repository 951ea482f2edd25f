"""What do the 64 lowest eigenpairs of a graph cost, how many of its zeros are found, and how does that grow?

On a data set (the last lines) beside PyG's `AddLaplacianEigenvectorPE`: "zeros" are eigenvalues below 1e-5 among the
pairs; "residual" is the largest |L u - lambda u| of the pairs, lambda the Rayleigh quotient, since PyG keeps no
eigenvalues. (PyG leaves out the first pair: its zero is counted.) Our k grows to the end of an eigenspace. "from the
disk" is `AddFourierBasis` on a graph it has seen. And on the synthetic graphs of `layers.py`, against nodes and pairs,
each solved once; memory is what a process of its own adds to the graph.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _measure as measure
import torch
from layers import power_law
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import AddLaplacianEigenvectorPE
from torch_geometric.utils import to_scipy_sparse_matrix

from graphkit.data import AddFourierBasis, load
from graphkit.operators import fourier_basis, laplacian

ZERO = 1e-5
EDGES_PER_NODE = 13.5
PEER = "PyG's transform"


def solving(edge_index: Tensor, nodes: int, k: int, solver: str = "auto") -> Callable[[], Any]:
    """Return a call that makes the Laplacian and its Fourier basis."""
    return lambda: fourier_basis(laplacian(edge_index, num_nodes=nodes, normalization="sym"), k, solver=solver)


def peer(edge_index: Tensor, nodes: int, k: int) -> Callable[[], Tensor]:
    """Return a call of PyG's transform for all but the first of ``k`` pairs; it starts where ARPACK likes."""
    transform = AddLaplacianEigenvectorPE(k - 1, attr_name="pe", is_undirected=True)
    return lambda: transform(Data(edge_index=edge_index, num_nodes=nodes)).pe


def quality(vectors: Tensor, edge_index: Tensor, *, dropped: int = 0) -> dict[str, Any]:
    """Return how many zeros the vectors show, and their largest residual, in float64."""
    vectors = vectors.double()
    operator = laplacian(edge_index, num_nodes=len(vectors), normalization="sym", dtype=torch.float64)
    image = operator @ vectors
    values = (vectors * image).sum(0) / vectors.square().sum(0)
    residual = float((image - values * vectors).norm(dim=0).max())
    return {
        "zeros": int((values < ZERO).sum()) + dropped,
        "pairs": len(values) + dropped,
        "residual": f"{residual:.0e}",
    }


def on(name: str, k: int, rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a data set, and its facts."""
    data = load(name)
    edge_index, nodes = data.edge_index, data.num_nodes
    k = min(k, nodes - 2)
    components = connected_components(to_scipy_sparse_matrix(edge_index, num_nodes=nodes), directed=False)[0]
    with tempfile.TemporaryDirectory() as folder:
        kept = AddFourierBasis(k, Path(folder))
        bare = Data(edge_index=edge_index, num_nodes=nodes)
        bodies = {
            "graphkit": solving(edge_index, nodes, k),
            "from the disk": lambda: kept(bare.clone()),
            PEER: peer(edge_index, nodes, k),
        }
        times = measure.interleaved(bodies, rounds=rounds)
        basis, again = bodies["graphkit"](), bodies["from the disk"]().basis
    if not torch.equal(basis.entries, again.entries):
        raise SystemExit("the basis from the disk is another one")
    ours = quality(basis.entries.view(nodes, -1), edge_index)
    found = {"graphkit": ours, "from the disk": ours, PEER: quality(bodies[PEER](), edge_index, dropped=1)}
    what = f"{name}, k = {k}, {components} components"
    rows = [measure.row(what, side, times[side], times["graphkit"], None, **found[side]) for side in bodies]
    return rows, {"name": name, "nodes": nodes, "edges": edge_index.size(1), "classes": 0, "components": components}


def growing(nodes: int, k: int, options: Any) -> list[dict[str, Any]]:
    """Return the rows of a synthetic graph: ours, and PyG's transform where the graph is small."""
    edge_index = power_law(nodes, int(EDGES_PER_NODE * nodes))
    bodies = {"graphkit": solving(edge_index, nodes, k)}
    if nodes <= options.peer_up_to and k == options.k:
        bodies[PEER] = peer(edge_index, nodes, k)
    rows, ours = [], None
    for side, body in bodies.items():
        times, made = measure.once(body)
        ours = ours or times
        given = ["--memory-of", side, "--nodes", str(nodes), "--pairs", str(k)]
        used = None if options.no_memory else measure.memory_in_subprocess(__file__, *given)
        vectors = made if side == PEER else made.entries.view(nodes, -1)
        more = quality(vectors, edge_index, dropped=side == PEER)
        rows.append(measure.row(f"{nodes:,} nodes, k = {k}", side, times, ours, used, **more))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the data set, then the growth."""
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="cora", help="where PyG's transform is compared")
    parser.add_argument("--k", type=int, default=64, help="pairs")
    parser.add_argument("--nodes", type=int, nargs="+", help="sizes of synthetic graphs, all with --k pairs")
    parser.add_argument("--pairs", type=int, nargs="+", help="numbers of pairs, all on the second of the sizes")
    parser.add_argument("--peer-up-to", type=int, default=10_000, help="nodes up to which PyG's transform is run too")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    if options.memory_of:
        (nodes,), (k,) = options.nodes, options.pairs
        edge_index = power_law(nodes, int(EDGES_PER_NODE * nodes))
        make = peer if options.memory_of == PEER else solving
        make(power_law(2000, 20_000), 2000, min(k, 64))()
        print(measure.memory_added(make(edge_index, nodes, k)))
        return 0
    sizes = options.nodes or ([300, 600] if options.quick else [10_000, 30_000, 60_000, 170_000])
    counts = options.pairs or ([8] if options.quick else [16, 256])
    name = "karate" if options.quick and options.dataset == "cora" else options.dataset
    k = options.k = min(options.k, 16) if options.quick else options.k
    rounds = options.rounds or (1 if options.quick else 3)
    compared, facts = on(name, k, rounds)
    rows: list[dict[str, Any]] = []
    cases = sorted({*((n, k) for n in sizes), *((sizes[min(1, len(sizes) - 1)], count) for count in counts)})
    for nodes, pairs in cases:
        rows += growing(nodes, pairs, options)
    note = f"{threads}; data set {rounds} rounds in turn, the others once"
    rows += compared  # PyG's on the data set is the last one, the record's metric
    measure.show(rows, note, pairs="pairs", zeros="zeros", residual="residual")
    config = {"k": k, "sizes": sizes, "pairs": counts, "edges_per_node": EDGES_PER_NODE}
    measure.write(options.json, dataset=facts, rows=rows, config=config, seeds=[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
