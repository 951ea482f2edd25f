"""The Fourier basis: closed forms, dense float64, multiplicities, null vectors, and the same bits twice."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections import Counter

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import AddLaplacianEigenvectorPE

from graphkit.data import load
from graphkit.operators import FourierBasis, SparseOperator, fourier_basis, laplacian
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO, graphs

close = torch.testing.assert_close
UNDIRECTED = [graph for graph in ZOO if graph.symmetric]
ITERATIVE = ["lanczos", "chebyshev"]


def operator(graph: nx.Graph, normalization: str | None = None) -> SparseOperator:
    edges = torch.tensor(list(nx.convert_node_labels_to_integers(graph).edges)).reshape(-1, 2).T
    both = torch.cat((edges, edges.flip(0)), 1)
    return laplacian(both, num_nodes=len(graph), normalization=normalization, dtype=torch.float64)


def of_zoo(graph, normalization, weighted=True) -> SparseOperator:
    weight = graph.weights() if weighted else None
    return laplacian(graph.edge_index, weight, graph.num_nodes, normalization=normalization, dtype=torch.float64)


def spans(basis: FourierBasis, matrix: torch.Tensor) -> None:
    """Assert that a basis is orthonormal and diagonalises the matrix it spans."""
    u = basis.eigenvectors
    close(u.T @ u, torch.eye(basis.pairs, dtype=torch.float64), **EXACT)
    close(matrix @ u, u * basis.eigenvalues, rtol=0, atol=2e-5)


# ---- truth: closed forms


CLOSED = {
    "star": (nx.star_graph(6), [0.0, *[1.0] * 5, 7.0]),
    "path": (nx.path_graph(9), [4 * math.sin(math.pi * j / 18) ** 2 for j in range(9)]),
    "ring": (nx.cycle_graph(10), sorted(4 * math.sin(math.pi * j / 10) ** 2 for j in range(10))),
    "hypercube": (nx.hypercube_graph(6), sorted(2.0 * bin(j).count("1") for j in range(64))),
    "complete": (nx.complete_graph(7), [0.0, *[7.0] * 6]),
    "copies": (nx.disjoint_union_all([nx.complete_graph(4)] * 5), [0.0] * 5 + [4.0] * 15),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name):
    graph, expected = CLOSED[name]
    basis = fourier_basis(operator(graph))
    assert basis.complete
    close(basis.eigenvalues, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert Counter((basis.eigenvalues == 0).tolist())[True] == nx.number_connected_components(graph)
    spans(basis, operator(graph).to_dense())


@pytest.mark.parametrize("normalization", [None, "sym"])
@pytest.mark.parametrize("solver", ITERATIVE)
def test_iterative_solvers_see_multiplicities(solver, normalization):
    """A hypercube of 1,024 nodes: 2 j / 10, or 2 j, comes C(10, j) times; a Krylov space sees one of each."""
    unit = 0.2 if normalization else 2.0
    expected = torch.tensor([j * unit for j in range(3) for _ in range(math.comb(10, j))], dtype=torch.float64)
    basis = fourier_basis(operator(nx.hypercube_graph(10), normalization), k=14, solver=solver)
    close(basis.eigenvalues, expected, rtol=0, atol=1e-8)
    spans(basis, operator(nx.hypercube_graph(10), normalization).to_dense())


@pytest.mark.parametrize("solver", ITERATIVE)
def test_iterative_solvers_agree_with_the_dense_one_on_a_weighted_grid(solver):
    graph = nx.grid_2d_graph(25, 20)
    edges = torch.tensor(list(nx.convert_node_labels_to_integers(graph).edges)).T
    weight = 0.5 + torch.rand(edges.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both, weights = torch.cat((edges, edges.flip(0)), 1), weight.repeat(2)
    matrix = laplacian(both, weights, 500, normalization="sym", dtype=torch.float64)
    truth = torch.linalg.eigvalsh(matrix.to_dense())
    basis = fourier_basis(matrix, k=40, solver=solver)
    close(basis.eigenvalues, truth[:40], rtol=0, atol=1e-9)
    assert basis.residuals.max() < 2e-5
    spans(basis, matrix.to_dense())


@pytest.mark.parametrize(("name", "zeros"), [("cora", 78), ("citeseer", 438)])
def test_citation_graphs_have_a_zero_for_each_component_and_pygs_transform_finds_too_few(name, zeros, mirror):
    data = load(name)
    matrix = laplacian(data.edge_index, num_nodes=data.num_nodes, normalization="sym", dtype=torch.float64)
    truth = torch.linalg.eigvalsh(matrix.to_dense())
    assert int((truth.abs() < 1e-9).sum()) == zeros
    basis = fourier_basis(matrix, k=zeros)
    assert int((basis.eigenvalues == 0).sum()) == basis.pairs == zeros
    assert basis.residuals.max() < 1e-14
    more = fourier_basis(matrix, k=zeros + 20)
    close(more.eigenvalues, truth[: more.pairs], rtol=0, atol=1e-9)

    # PyG's drops the first vector, and returns only the others: their Rayleigh quotients say which are null vectors.
    found = AddLaplacianEigenvectorPE(64, attr_name="pe", is_undirected=True)(
        Data(edge_index=data.edge_index, num_nodes=data.num_nodes)
    )
    quotients = (found.pe.double() * (matrix @ found.pe.double())).sum(0)
    assert int((quotients.abs() < 1e-6).sum()) < 32  # of 63 that are all null vectors in truth


# ---- laws


@pytest.mark.parametrize("normalization", [None, "sym", "rw"])
def test_a_complete_basis_is_the_dense_one_on_the_whole_zoo(normalization):
    for graph in UNDIRECTED:
        matrix = of_zoo(graph, normalization)
        basis = fourier_basis(matrix)
        assert basis.complete
        assert basis.nodes == graph.num_nodes
        truth = torch.from_numpy(np.sort(np.linalg.eigvals(matrix.to_dense().numpy()).real))
        close(basis.eigenvalues, truth, rtol=0, atol=1e-7)  # a matrix that is not symmetric loses half of the digits
        x = graph.features()
        close(basis.igft(basis.gft(x)), x, **EXACT)
        close(basis.filter(x, lambda values: values), matrix @ x, **EXACT)


@given(graph=graphs(symmetric=True))
def test_zeros_are_as_many_as_components(graph):
    basis = fourier_basis(of_zoo(graph, "sym"))
    adjacency = nx.from_numpy_array(graph.dense().numpy())
    assert int((basis.eigenvalues == 0).sum()) == nx.number_connected_components(adjacency)


@pytest.mark.parametrize("normalization", [None, "sym", "rw"])
def test_a_filter_is_u_g_u_transposed(normalization):
    """Against dense float64, 1e-10; of the truncated basis too, with and without the rest."""
    graph = nx.disjoint_union(nx.random_geometric_graph(60, 0.2, seed=1), nx.star_graph(5))
    matrix = operator(graph, normalization)
    dense = matrix.to_dense()
    root = torch.ones(len(graph), dtype=torch.float64)
    if normalization == "rw":
        degree = torch.tensor([d for _, d in nx.convert_node_labels_to_integers(graph).degree], dtype=torch.float64)
        root = degree.clamp(min=1).sqrt()
    values, u = torch.linalg.eigh(root[:, None] * dense / root)
    x = torch.randn(len(graph), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for g in (lambda t: torch.exp(-2 * t), lambda t: (3 * t).cos()):
        expected = (u @ (g(values)[:, None] * (u.T @ (root[:, None] * x)))) / root[:, None]
        close(fourier_basis(matrix).filter(x, g), expected, **EXACT)
        basis = fourier_basis(matrix, k=15)
        u_k, few = u[:, : basis.pairs], g(values[: basis.pairs])
        part = (u_k @ (few[:, None] * (u_k.T @ (root[:, None] * x)))) / root[:, None]
        kept = (u_k @ (u_k.T @ (root[:, None] * x))) / root[:, None]
        close(basis.filter(x, g), part, **EXACT)
        close(basis.filter(x, g, residual=0.5), part + 0.5 * (x - kept), **EXACT)
        close(basis.filter(x[:, 0], g), part[:, 0], **EXACT)
        close(basis.filter(torch.stack((x, 2 * x)), g), torch.stack((part, 2 * part)), **EXACT)
        by_feature = torch.stack((few, few, few), 1)
        close(basis.filter(x, by_feature), part, **EXACT)


def neighbours(nodes: int, hub: bool) -> torch.Tensor:
    """Return a graph of nearest neighbours in a square, one of whose nodes is everybody's neighbour if wanted."""
    places = np.random.default_rng(0).random((nodes, 2))
    distances = np.square(places[:, None] - places).sum(-1)
    near = np.zeros((nodes, nodes), dtype=bool)
    near[np.arange(nodes)[:, None], distances.argsort(1)[:, 1:5]] = True
    near[0] |= hub
    return torch.from_numpy(np.stack(np.triu(near | near.T, 1).nonzero()))


def dense_laplacian(edges: torch.Tensor, nodes: int, normalization: str | None) -> np.ndarray:
    adjacency = np.zeros((nodes, nodes))
    adjacency[tuple(edges.numpy())] = adjacency.T[tuple(edges.numpy())] = 1
    degree = adjacency.sum(1)
    if normalization is None:
        return np.diag(degree) - adjacency
    return np.eye(nodes) - adjacency / np.sqrt(np.outer(degree, degree))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize(("normalization", "hub"), [(None, True), ("sym", False), ("rw", False)])
@pytest.mark.parametrize("solver", ITERATIVE)
@pytest.mark.parametrize("pairs", [(8, "window"), pytest.param((22, 50), marks=pytest.mark.slow)], ids=["few", "many"])
def test_filters_of_a_truncated_basis_are_right_at_the_default_tolerance(pairs, solver, normalization, hub, dtype):
    """The span's error is the residual over the gap behind it; relative to a hub's degrees 1e-5 is much."""
    nodes = 600
    edges = neighbours(nodes, hub)
    matrix = laplacian(torch.cat((edges, edges.flip(0)), 1), num_nodes=nodes, normalization=normalization, dtype=dtype)
    values, vectors = np.linalg.eigh(dense_laplacian(edges, nodes, normalization))
    x = np.random.default_rng(1).standard_normal((nodes, 4))
    root = np.sqrt(np.bincount(edges.flatten(), minlength=nodes))[:, None] if normalization == "rw" else 1.0
    for k in pairs:
        k = ((1.05, 1.2) if hub else (0.02, 0.1)) if k == "window" else k
        basis = fourier_basis(matrix, k, solver=solver)
        low = int(np.searchsorted(values, float(basis.eigenvalues[0]) - 1e-5))
        u, own = vectors[:, low : low + basis.pairs], values[low : low + basis.pairs]
        for response in (np.ones_like, lambda v: np.exp(-v), lambda v: np.exp(-10 * v)):
            expected = (u * response(own)) @ (u.T @ (root * x)) / root
            found = basis.filter(torch.from_numpy(x).to(dtype), torch.from_numpy(response(own)).to(dtype))
            off = np.linalg.norm(found.double().numpy() - expected) / np.linalg.norm(expected)
            assert off < (1e-9 if dtype == torch.float64 else 1e-5), (k, off)


def test_a_tolerance_that_is_given_is_kept_to():
    edges = neighbours(600, hub=True)
    matrix = laplacian(torch.cat((edges, edges.flip(0)), 1), num_nodes=600, dtype=torch.float64)
    rough, fine = (fourier_basis(matrix, 22, solver="lanczos", tolerance=t).residuals.max() for t in (1e-5, None))
    assert rough > 1e-8 > fine


def test_sparse_features_are_transformed_as_dense_ones():
    for normalization in ("sym", "rw"):
        basis = fourier_basis(operator(nx.path_graph(6), normalization))
        x = torch.eye(6, dtype=torch.float64)[:, :3] * 2
        close(basis.gft(SparseOperator.from_dense(x)), basis.gft(x), **EXACT)
        both = FourierBasis.batch([basis, basis])
        close(both.gft(SparseOperator.from_dense(torch.cat((x, x)))), both.gft(torch.cat((x, x))), **EXACT)


def test_no_eigenspace_is_cut():
    star = operator(nx.star_graph(9))  # 0, eight times 1, 10
    assert [fourier_basis(star, k=k).pairs for k in (1, 2, 5, 9, 10)] == [1, 9, 9, 9, 10]
    with pytest.raises(ValueError, match=r"`k` = 4 lies inside the eigenspace of 1, pairs 1 to 9; take 1 or 9 pairs"):
        fourier_basis(star, k=4, inside="refuse")
    assert fourier_basis(star, k=9, inside="refuse").pairs == 9


def test_a_window_holds_both_of_its_ends():
    ring = operator(nx.cycle_graph(12), "sym")
    every = fourier_basis(ring).eigenvalues
    for low, high in ((0.0, 0.5), (0.5, 1.5), (1.0, 1.0), (1.9, 5.0), (0.01, 0.02), (-1.0, 3.0)):
        found = fourier_basis(ring, k=(low, high)).eigenvalues
        close(found, every[(every > low - 1e-8) & (every < high + 1e-8)], **EXACT)
    hypercube = operator(nx.hypercube_graph(10), "sym")
    assert fourier_basis(hypercube, k=(0.1, 0.41), solver="chebyshev").pairs == 10 + 45


def test_a_window_that_ends_in_a_chain_of_near_values_is_widened_or_refused():
    pair = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    matrix = laplacian(pair, torch.tensor([1.0, 1.0, 1 + 5e-9, 1 + 5e-9], dtype=torch.float64), dtype=torch.float64)
    close_by = 2 + 1e-8 + 1.9e-8  # 2 and 2 + 1e-8 are one eigenvalue at the precision of 2e-8
    assert fourier_basis(matrix, k=(1.0, 2.0)).pairs == 2
    assert fourier_basis(matrix, k=(close_by, 3.0)).pairs == 2


def test_signs_are_canonical_and_do_not_depend_on_the_solver():
    grid = nx.grid_2d_graph(31, 8)
    bases = [fourier_basis(operator(grid, "sym"), k=6, solver=solver) for solver in ("dense", "lanczos", "chebyshev")]
    for basis in bases:
        sizes = basis.eigenvectors.abs()
        largest = (sizes > 0.999 * sizes.amax(0)).int().argmax(0)
        assert (basis.eigenvectors[largest, torch.arange(6)] > 0).all()
        close(basis.eigenvectors, bases[0].eigenvectors, rtol=0, atol=1e-3)  # residual 1e-5 over gaps of 1e-2


SCRIPT = """
import hashlib, networkx as nx, torch
from graphkit.operators import fourier_basis, laplacian
torch.set_num_threads(1)
graph = nx.convert_node_labels_to_integers(nx.disjoint_union(nx.grid_2d_graph(30, 20), nx.star_graph(80)))
edges = torch.tensor(list(graph.edges)).T
matrix = laplacian(torch.cat((edges, edges.flip(0)), 1), normalization="sym")
digest = hashlib.sha256()
for solver in ("dense", "lanczos", "chebyshev"):
    basis = fourier_basis(matrix, k=20, solver=solver)
    digest.update(basis.entries.numpy().tobytes() + basis.eigenvalues.numpy().tobytes())
print(digest.hexdigest())
"""


def test_two_processes_give_the_same_bits(capsys):
    other = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    exec(SCRIPT, {})
    assert capsys.readouterr().out == other
    assert len(other) == 65


def test_null_vectors_are_exact():
    for normalization, power in ((None, 0.0), ("sym", 0.5), ("rw", 0.5)):
        for graph in UNDIRECTED:
            matrix = of_zoo(graph, normalization)
            basis = fourier_basis(matrix)
            first = basis.eigenvectors[:, basis.eigenvalues == 0]
            degree = torch.where(matrix.degrees.degree > 0, matrix.degrees.degree, 1.0) ** power
            assert first.square().sum(1).gt(0).all()
            for vector in first.T:
                own = vector > 0
                close(vector[own], degree[own] / degree[own].norm(), rtol=0, atol=1e-15)


def test_isolated_nodes_with_a_diagonal_of_one_have_the_eigenvalue_one():
    graph = BY_NAME["isolated nodes"]
    matrix = laplacian(graph.edge_index, num_nodes=6, normalization="sym", isolated=1.0, dtype=torch.float64)
    close(fourier_basis(matrix).eigenvalues, torch.linalg.eigvalsh(matrix.to_dense()), **EXACT)


def test_a_matrix_that_knows_no_degrees_is_solved_too():
    """Its null vector is not known then, and is found."""
    graph = BY_NAME["grid"]
    known = of_zoo(graph, "sym")
    found = fourier_basis(SparseOperator.from_dense(known.to_dense()))
    close(found.eigenvalues, fourier_basis(known).eigenvalues, **EXACT)
    assert fourier_basis(SparseOperator.from_scipy(known.to_scipy()), k=3, components="joint").pairs >= 3


def test_float32_finds_the_same_counts():
    matrix = operator(nx.disjoint_union_all([nx.hypercube_graph(5)] * 3), "sym").to(torch.float32)
    basis = fourier_basis(matrix, k=4)
    assert basis.dtype == torch.float32
    assert basis.pairs == 3 + 15


# ---- batches


def test_a_batch_is_its_graphs_one_by_one():
    for normalization in ("sym", "rw"):
        zoo = [graph for graph in UNDIRECTED if graph.num_nodes]
        apart = [fourier_basis(of_zoo(graph, normalization), k=min(2, graph.num_nodes)) for graph in zoo]
        batch = FourierBasis.batch(apart)
        assert (batch.num_graphs, batch.pairs) == (len(zoo), sum(basis.pairs for basis in apart))
        x = [graph.features() for graph in zoo]
        close(batch.gft(torch.cat(x)), torch.cat([b.gft(v) for b, v in zip(apart, x, strict=True)]), **EXACT)
        found = batch.filter(torch.cat(x), torch.exp, residual=0.3)
        expected = [b.filter(v, torch.exp, residual=0.3) for b, v in zip(apart, x, strict=True)]
        close(found, torch.cat(expected), **EXACT)
        for one, back in zip(apart, batch.graphs(), strict=True):
            close(back.eigenvectors, one.eigenvectors, **EXACT)
            assert back.fingerprints == one.fingerprints
        with pytest.raises(ValueError, match=r"`eigenvectors` is one matrix, but the basis holds \d+ graphs"):
            _ = batch.eigenvectors


def test_a_basis_travels_with_pyg_data():
    items = []
    for graph in (BY_NAME["path"], BY_NAME["star"]):
        basis = fourier_basis(of_zoo(graph, "sym"))
        items.append(Data(x=graph.features(), edge_index=graph.edge_index, basis=basis))
    batch = Batch.from_data_list(items).to("cpu")
    joined = FourierBasis.batch(batch.basis)
    assert joined.nodes == batch.num_nodes
    assert batch.get_example(1).basis.nodes == 6


def test_it_is_pickled_moved_and_shown():
    basis = fourier_basis(operator(nx.path_graph(4), "rw"))
    basis.gft(torch.ones(4, 1, dtype=torch.float64))
    back = pickle.loads(pickle.dumps(basis))
    close(back.eigenvectors, basis.eigenvectors, **EXACT)
    assert (back.fingerprints, str(back)) == (basis.fingerprints, "FourierBasis(4 nodes, 4 pairs, complete)")
    half = basis.to(torch.float32)
    assert (half.dtype, half.scale.dtype, half.node_pointers.dtype) == (torch.float32, torch.float32, torch.int64)
    assert basis.to("cpu") is basis


def test_gradients_flow_through_the_transform():
    basis = fourier_basis(operator(nx.path_graph(4), "sym"), k=3)
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    factors = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    both = FourierBasis.batch([basis, basis])
    assert torch.autograd.gradcheck(lambda v, g: basis.filter(v, g, residual=0.5), (x, factors))
    wide, two = x.detach().repeat(2, 1).requires_grad_(), factors.detach().repeat(2, 1).requires_grad_()
    assert torch.autograd.gradcheck(both.filter, (wide, two))
    assert torch.autograd.gradgradcheck(both.filter, (wide, two))


# ---- refusals


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "`k` must be an integer of at least 1, got 0"),
        (-3, "`k` must be an integer of at least 1, got -3"),
        (6, r"`k` must be at most the number of nodes \(5\), got 6; `k=None` means all pairs"),
        ((1.0, 0.5), r"`k` as a window must be \(low, high\)"),
        ((math.nan, 1.0), r"`k` as a window must be \(low, high\)"),
    ],
)
def test_wrong_numbers_of_pairs_are_refused(k, message):
    with pytest.raises(ValueError, match=message):
        fourier_basis(of_zoo(BY_NAME["path"], "sym"), k)


def test_as_many_pairs_as_nodes_are_all():
    assert fourier_basis(of_zoo(BY_NAME["path"], "sym"), 5).complete


@pytest.mark.parametrize("normalization", [None, "sym", "rw"])
def test_a_directed_graph_is_refused(normalization):
    with pytest.raises(ValueError, match="the graph is directed or its weights differ by direction"):
        fourier_basis(of_zoo(BY_NAME["directed"], normalization))
    path = BY_NAME["path"]
    weight = torch.arange(1.0, 1 + path.num_edges).double()
    with pytest.raises(ValueError, match="the graph is directed or its weights differ by direction"):
        fourier_basis(laplacian(path.edge_index, weight, normalization=normalization, dtype=torch.float64))


@pytest.mark.parametrize("normalization", [None, "sym", "rw"])
def test_negative_and_missing_weights_are_refused(normalization):
    path = BY_NAME["path"]
    for value, message in ((-1.0, "0 or above"), (math.nan, "must be finite"), (math.inf, "must be finite")):
        weight = torch.ones(path.num_edges).double()
        weight[:2] = value
        with pytest.raises(ValueError, match=message):
            fourier_basis(laplacian(path.edge_index, weight, normalization=normalization, dtype=torch.float64))


def test_what_is_no_square_operator_is_refused():
    with pytest.raises(TypeError, match="`laplacian` must be a SparseOperator"):
        fourier_basis(torch.eye(3))
    with pytest.raises(ValueError, match=r"`laplacian` must be square, got \[3, 2\]"):
        fourier_basis(SparseOperator.from_edge_index(BY_NAME["path"].edge_index[:, :0], num_nodes=(2, 3)))
    for option in ("solver", "components", "inside"):
        with pytest.raises(ValueError, match=f"`{option}` 'no' is not known"):
            fourier_basis(of_zoo(BY_NAME["path"], None), **{option: "no"})


def test_an_eigenspace_out_of_reach_is_refused():
    """All but two pairs of a star are one eigenspace: 20,000 nodes of it are more than any solver here takes."""
    ends = torch.arange(1, 20_000)
    edges = torch.stack((torch.zeros_like(ends), ends))
    matrix = laplacian(torch.cat((edges, edges.flip(0)), 1), normalization="sym")
    assert fourier_basis(matrix, k=1).pairs == 1
    with pytest.raises(ValueError, match="out of reach"):
        fourier_basis(matrix, k=15_000)
    path = torch.arange(49_999)
    edges = torch.stack((path, path + 1))
    matrix = laplacian(torch.cat((edges, edges.flip(0)), 1))
    with pytest.raises(ValueError, match=r"`k=None` asks for all pairs of a component of 50,000 nodes"):
        fourier_basis(matrix)


def test_a_signal_of_another_graph_is_refused():
    basis = fourier_basis(of_zoo(BY_NAME["path"], "sym"), k=2)
    with pytest.raises(ValueError, match="`x` has 6 nodes, but the basis belongs to a graph of 5 nodes"):
        basis.filter(torch.ones(6, 1), torch.exp)
    with pytest.raises(ValueError, match="`spectrum` must have one row for each of the 2 pairs, got 5"):
        basis.igft(torch.ones(5, 1))
    with pytest.raises(ValueError, match="`bases` must hold at least one"):
        FourierBasis.batch([])
    with pytest.raises(ValueError, match="`bases` must all be of random-walk Laplacians or none"):
        FourierBasis.batch([basis, fourier_basis(of_zoo(BY_NAME["path"], "rw"))])


@pytest.mark.parametrize("factors", [torch.ones(3), torch.ones(1), torch.tensor(2.0), 2.0])
def test_a_response_without_a_factor_for_each_pair_is_refused(factors):
    basis = fourier_basis(of_zoo(BY_NAME["path"], "sym"), k=2)
    with pytest.raises(ValueError, match="`g` must be a function or give one factor for each of the 2 pairs, got"):
        basis.filter(torch.ones(5, 1, dtype=torch.float64), factors)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("normalization", "solver", "k"),
    [
        (None, "auto", 10),
        pytest.param("sym", "auto", (0.0, 1.0), marks=SLOW),
        pytest.param("sym", "lanczos", 10, marks=SLOW),
    ],
)
def test_an_eigenspace_of_most_of_a_large_graph_is_refused_with_a_way_out(normalization, solver, k):
    """All of a star's pairs but two belong to its leaves: for 10 of them all were solved for, again and again."""
    star = operator(nx.star_graph(2_199), normalization)
    said = r"eigenspace of 1, which has more than 512 pairs .* take the 1 pairs below it \(`k=1`\), `solver='dense'`"
    with pytest.raises(ValueError, match=said):
        fourier_basis(star, k, solver=solver)
    assert fourier_basis(star, 1, solver=solver).eigenvalues.tolist() == [0.0]


def test_an_eigenspace_of_most_of_a_small_graph_is_whole():
    basis = fourier_basis(operator(nx.star_graph(599), "sym"), 10)
    close(basis.eigenvalues[1:], torch.ones(598, dtype=torch.float64), **EXACT)
    assert basis.pairs == 599
    assert basis.residuals.max() < 1e-10


@pytest.mark.slow
def test_an_eigenspace_of_hundreds_in_a_large_graph_is_whole():
    """300 leaves at one node have the eigenvalue 1 299 times: what sums to 0 over them."""
    graph = nx.random_regular_graph(6, 2_000, seed=0)
    graph.add_edges_from((0, 2_000 + leaf) for leaf in range(300))
    basis = fourier_basis(operator(graph), 10)
    assert int(((basis.eigenvalues - 1).abs() < 1e-6).sum()) == 299
    leaves = basis.eigenvectors[2_000:, (basis.eigenvalues - 1).abs() < 1e-6]
    close(leaves.sum(0), torch.zeros(299, dtype=torch.float64), rtol=0, atol=1e-4)
