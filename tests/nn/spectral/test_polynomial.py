"""PolynomialConv: every basis and order against U g(Lambda) U^T X by SciPy's polynomials, and the laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import comb, eval_chebyt, eval_jacobi, eval_legendre

from graphkit.nn import PolynomialConv
from graphkit.operators import eigenvalue_bound, laplacian
from tests import contracts
from tests.contracts import EXACT, Layer, called
from tests.graphs import BY_NAME, ZOO

close = torch.testing.assert_close
BASES = ("monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "cayley")
OPTIONS = {"jacobi": {"a": 2.0, "b": -0.25}, "cayley": {"zoom": 0.8}}

LAYERS = [
    Layer("monomial", lambda nn: nn.PolynomialConv(4, 3, 4, "monomial", alpha=0.3), "edge_weight", undirected=True),
    Layer("jacobi", lambda nn: nn.PolynomialConv(4, 3, 3, "jacobi", per_channel=True, a=2.0, b=-0.25, alpha=0.5),
          "edge_weight", undirected=True),
    Layer("chebii", lambda nn: nn.PolynomialConv(4, 6, 3, "chebii", normalization="rw"), "edge_weight"),
    Layer("bernstein", lambda nn: nn.PolynomialConv(4, 3, 3, "bernstein", normalization=None), undirected=True),
    Layer("cayley", lambda nn: nn.PolynomialConv(4, 3, 1, "cayley", degree=8), undirected=True),
    Layer("filter alone", lambda nn: nn.PolynomialConv(4, 4, 2, "even", linear=False), undirected=True),
]  # fmt: skip
LAWS = [
    *(law for law in contracts.LAWS if law not in (contracts.loads_pygs_weights_and_back, contracts.reads_like_pygs)),
    contracts.takes_several_signals_on_one_graph,
    contracts.takes_sparse_features,
    contracts.makes_no_array_of_messages,
]


@pytest.mark.parametrize("law", LAWS, ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    if law is contracts.can_be_explained and layer.name in ("bernstein", "cayley", "chebii", "filter alone"):
        pytest.skip("it starts as the identity, which no edge explains")
    law(layer)


def test_it_compiles_and_exports():
    contracts.compiles_and_exports(LAYERS[1])


def test_it_learns_its_width():
    contracts.learns_its_width(
        lambda nn: nn.PolynomialConv(4, 3, 3, "legendre"), lambda nn: nn.PolynomialConv(-1, 3, 3, "legendre")
    )


def response(conv, points):
    """The filter at points of [-1, 1] from SciPy's polynomials and the formulas of the papers."""
    c = conv.filter.weight.detach().numpy()
    order, basis = conv.order, conv.basis
    k = np.arange(order + 1)[:, None]
    if basis == "cayley":
        h = float(conv.filter.zoom.detach())
        transform = (h * (points + 1) - 1j) / (h * (points + 1) + 1j)
        return c[0] * np.ones_like(points) + 2 * sum(
            ((c[2 * j - 1] + 1j * c[2 * j]) * transform**j).real for j in range(1, order + 1)
        ) * np.ones_like(points)
    if basis == "chebii":
        nodes = np.cos((np.arange(order + 1) + 0.5) * np.pi / (order + 1))
        c = np.maximum(c, 0)
        factors = [2 / (order + 1) * (c * eval_chebyt(i, nodes)).sum() for i in range(order + 1)]
        factors[0] /= 2
        return sum(f * eval_chebyt(i, points) for i, f in enumerate(factors))
    terms = {
        "monomial": lambda: (-points) ** k,
        "chebyshev": lambda: eval_chebyt(k, points),
        "bernstein": lambda: comb(order, k) * ((1 + points) / 2) ** k * ((1 - points) / 2) ** (order - k),
        "jacobi": lambda: eval_jacobi(k, 2.0, -0.25, -points),
        "legendre": lambda: eval_legendre(k, -points),
        "even": lambda: points ** (2 * k),
    }[basis]()
    return (np.maximum(c, 0) if basis == "bernstein" else c) @ terms


def drawn(order, basis, **options):
    conv = PolynomialConv(4, 4, order, basis, linear=False, bias=False, **(OPTIONS.get(basis, {}) | options)).double()
    generator = torch.Generator().manual_seed(order)
    with torch.no_grad():
        conv.filter.weight.copy_(torch.randn(conv.filter.weight.shape, generator=generator, dtype=torch.float64))
        conv.filter.weight.div_(conv.filter.weight.abs().sum())
    return conv


def shifted(graph, normalization):
    """2 L / largest - I, dense, of the weighted graph."""
    matrix = graph.dense(graph.weights()).fill_diagonal_(0)
    degree = matrix.sum(1)
    inverse = torch.where(degree > 0, 1 / degree, 0)
    if normalization is None:
        return (degree.diag() - matrix) / degree.max() - torch.eye(len(matrix))
    if normalization == "rw":
        return -inverse[:, None] * matrix
    return -inverse.sqrt()[:, None] * matrix * inverse.sqrt()


@pytest.mark.parametrize("order", range(31))
@pytest.mark.parametrize("basis", BASES)
def test_it_is_a_function_of_the_eigenvalues_at_every_order_under_every_normalisation(basis, order):
    graph = BY_NAME["grid"]
    large = max(1, order**2) if basis == "jacobi" else 1  # P_k^(2, -1/4)(1) grows like this
    for normalization in ("sym", "rw", None):
        conv = drawn(order, basis, normalization=normalization)
        root = graph.dense(graph.weights()).fill_diagonal_(0).sum(1).sqrt().numpy()[:, None]
        root = root if normalization == "rw" else np.ones_like(root)
        eigenvalues, vectors = np.linalg.eigh(root * shifted(graph, normalization).numpy() / root.T)
        truth = (
            vectors @ (response(conv, eigenvalues)[:, None] * (vectors.T @ (root * graph.features().numpy()))) / root
        )
        found = conv(graph.features(), graph.edge_index, graph.weights())
        close(found, torch.from_numpy(truth), rtol=0, atol=1e-10 * large)
        curve = conv.response(torch.from_numpy(eigenvalues + 1), largest=2.0)
        close(curve.detach().numpy(), response(conv, eigenvalues), rtol=0, atol=1e-9 if basis != "jacobi" else 1e-7)


@pytest.mark.parametrize("zoom", [0.1, 0.5, 3.0, 10.0])
@pytest.mark.parametrize("order", range(31))
def test_a_cayley_filter_is_the_rational_function_at_every_order_and_zoom(order, zoom):
    """Its polynomial's degree follows both; each term is right to 1e-11, and the weights' sizes add up to 1."""
    graph, conv = BY_NAME["grid"], drawn(order, "cayley", zoom=zoom)
    eigenvalues, vectors = np.linalg.eigh(shifted(graph, "sym").numpy())
    truth = vectors @ (response(conv, eigenvalues)[:, None] * (vectors.T @ graph.features().numpy()))
    close(conv(graph.features(), graph.edge_index, graph.weights()), torch.from_numpy(truth), rtol=0, atol=1e-10)
    assert conv.series_error() < 1e-11
    with torch.no_grad():
        conv.filter.zoom.mul_(3)  # it is learnt: the degree goes with it
    assert conv.series_error() < 1e-11
    assert conv.float().series_error() < 1e-6


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("graph", [g for g in ZOO if g.symmetric and g.num_edges > 2], ids=lambda graph: graph.name)
def test_it_is_a_function_of_the_eigenvalues_under_every_normalisation(graph, basis, normalization):
    conv = drawn(4, basis, normalization=normalization)
    matrix = shifted(graph, normalization).numpy()
    degree = graph.dense(graph.weights()).fill_diagonal_(0).sum(1).numpy()
    root = np.where(degree > 0, np.sqrt(degree), 1) if normalization == "rw" else np.ones(len(matrix))
    eigenvalues, vectors = np.linalg.eigh(root[:, None] * matrix / root)
    truth = vectors @ (response(conv, eigenvalues)[:, None] * (vectors.T @ (root[:, None] * graph.features().numpy())))
    found = conv(graph.features(), graph.edge_index, graph.weights())
    close(found, torch.from_numpy(truth / root[:, None]), rtol=0, atol=2e-10)


@pytest.mark.parametrize("basis", BASES)
def test_coefficients_have_right_derivatives(basis):
    graph, conv = BY_NAME["grid"], drawn(3, basis)
    with torch.no_grad():
        conv.filter.weight.abs_().add_(0.1)  # off the corner of the rectifier
    names = [name for name, _ in conv.named_parameters()]

    def function(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(conv, given, (x, graph.edge_index))

    inputs = [graph.features().requires_grad_(), *(p.detach().requires_grad_() for p in conv.parameters())]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_the_optimal_basis_is_a_polynomial_of_the_signals_own():
    graph = BY_NAME["grid"]
    conv = PolynomialConv(4, 4, 4, "optbasis", linear=False, bias=False).double()
    with torch.no_grad():
        conv.filter.weight.normal_(generator=torch.Generator().manual_seed(0))
    x = graph.features()
    eigenvalues, vectors = torch.linalg.eigh(torch.eye(9, dtype=torch.float64) + shifted(graph, "sym"))
    curve = conv.response_to(eigenvalues, x, graph.edge_index, graph.weights())
    close(conv(x, graph.edge_index, graph.weights()), vectors @ (curve * (vectors.T @ x)), rtol=0, atol=1e-9)
    close(conv(3 * x, graph.edge_index), 3 * conv(x, graph.edge_index), **EXACT)
    assert torch.autograd.gradcheck(lambda v: conv(v, graph.edge_index), (x.clone().requires_grad_(),), fast_mode=True)
    with pytest.raises(ValueError, match="no response without a signal"):
        conv.response(eigenvalues)


def test_the_optimal_basis_is_a_function_of_the_eigenvalues_at_every_order():
    """On a 10 x 14 grid, which has many more different eigenvalues than order 30 has terms: the curve is well known."""
    side = torch.arange(140).view(10, 14)
    ends = torch.cat(
        (torch.stack((side[:-1], side[1:])).flatten(1), torch.stack((side[:, :-1], side[:, 1:])).flatten(1)), 1
    )
    edge_index = torch.cat((ends, ends.flip(0)), 1)
    x = torch.randn(140, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for normalization in ("sym", None):
        matrix = laplacian(edge_index, normalization=normalization, dtype=torch.float64)
        largest = 2.0 if normalization else float(eigenvalue_bound(matrix))
        eigenvalues, vectors = torch.linalg.eigh(matrix.to_dense())
        for order in range(31):
            conv = PolynomialConv(
                3, 3, order, "optbasis", normalization=normalization, linear=False, bias=False
            ).double()
            with torch.no_grad():
                conv.filter.weight.normal_(generator=torch.Generator().manual_seed(order))
                conv.filter.weight.div_(conv.filter.weight.abs().sum(0))
                curve = conv.response_to(eigenvalues, x, edge_index, largest=largest)
                truth = vectors @ (curve * (vectors.T @ x))
                close(conv(x, edge_index, lambda_max=largest), truth, rtol=0, atol=1e-10)


def test_an_exhausted_signal_adds_nothing():
    """A constant on a ring is an eigenvector, zero is nothing: higher terms are zero, gradients finite."""
    graph = BY_NAME["ring"]
    conv = PolynomialConv(2, 2, 5, "optbasis", linear=False, bias=False).double()
    torch.nn.init.ones_(conv.filter.weight)
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(6, 2).clone().requires_grad_()
    out = conv(x, graph.edge_index)
    close(out, x, **EXACT)
    out.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("basis", [*BASES, "optbasis"])
def test_every_filter_but_damped_ones_starts_as_the_identity(basis):
    graph = BY_NAME["isolated nodes"]
    conv = PolynomialConv(4, 4, 6, basis, linear=False).double()
    close(conv(graph.features(), graph.edge_index), graph.features(), **EXACT)


def test_page_rank_is_the_start_of_the_monomials():
    points = torch.tensor([0.0, 1.0, 2.0])
    close(PolynomialConv(1, 1, 10, "monomial", alpha=0.1).response(points)[:2], torch.tensor([1.0, 0.1]))


def test_the_error_of_a_cayley_filters_polynomial_falls_with_its_degree():
    convs = [PolynomialConv(1, 1, 3, "cayley", degree=degree).double() for degree in (5, 10, 20, 60)]
    for conv in convs:
        torch.nn.init.ones_(conv.filter.weight)
    errors = [conv.series_error() for conv in convs]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-3
    assert errors[-1] < 1e-12
    assert PolynomialConv(1, 1, 3).series_error() == 0.0
    with pytest.raises(ValueError, match="`degree` must be an integer of at least 1, got 0"):
        PolynomialConv(1, 1, 3, "cayley", degree=0)


def test_no_term_is_kept_for_the_gradient():
    """What is saved between forward and backward does not grow with the order."""
    graph = contracts.large(200, 4)
    x = graph.features(16).requires_grad_()
    saved = {}
    for order in (2, 20):
        conv, held = PolynomialConv(16, 16, order, "jacobi", linear=False).double(), {}

        def pack(tensor, held=held):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            conv(x, graph.edge_index)
        saved[order] = sum(size for size in held.values() if size >= x.nbytes)
    assert saved[20] == saved[2]


def test_a_filter_learnt_on_one_graph_is_used_on_another():
    conv = drawn(5, "jacobi")
    curve = conv.response(torch.linspace(0, 2, 9, dtype=torch.float64))
    twin = drawn(5, "jacobi")
    twin.load_state_dict(conv.state_dict())
    twin(BY_NAME["star"].features(), BY_NAME["star"].edge_index)
    close(twin.response(torch.linspace(0, 2, 9, dtype=torch.float64)), curve, **EXACT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": -1}, "`order` must be an integer of at least 0, got -1"),
        ({"order": 2, "basis": "jacoby"}, "`basis` 'jacoby' is not known. Did you mean 'jacobi'"),
        ({"order": 2, "basis": "jacobi", "a": -1.0}, "`a` must be a finite number above -1"),
        ({"order": 2, "basis": "jacobi", "b": float("nan")}, "`b` must be a finite number above -1"),
        ({"order": 2, "alpha": -0.5}, "`alpha` must be a finite number above 0"),
        ({"order": 2, "basis": "even", "alpha": 0.5}, "`alpha` belongs to"),
        ({"order": 2, "normalization": "sim"}, "`normalization` 'sim' is not known"),
        ({"order": 2, "basis": "optbasis", "normalization": "rw"}, "not symmetric"),
        ({"order": 2, "linear": False}, "`linear=False` needs as many"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PolynomialConv(4, 3, **options)


@pytest.mark.parametrize(("value", "message"), [(-1.0, "0 or above"), (float("nan"), "finite")])
@pytest.mark.parametrize("gradient", [False, True])
def test_weights_without_frequencies_are_refused(value, message, gradient):
    graph, conv = BY_NAME["path"], PolynomialConv(4, 3, 2).double()
    weight = graph.weights().index_fill(0, torch.tensor([0, 1]), value).requires_grad_(gradient)
    matrices = () if gradient else contracts.matrix_forms(graph, weight)
    for given in ((graph.edge_index, weight), *((matrix,) for matrix in matrices)):
        with pytest.raises(ValueError, match=f"`edge_weight` must be {message}"):
            conv(graph.features(), *given)


def test_a_directed_graph_is_warned_of_and_refused_where_symmetry_is_needed():
    graph = BY_NAME["directed"]
    with pytest.warns(UserWarning, match="is directed"):
        PolynomialConv(4, 3, 2).double()(graph.features(), graph.edge_index)
    with (
        pytest.warns(UserWarning, match="is directed"),
        pytest.raises(ValueError, match="`edge_index` must be symmetric"),
    ):
        PolynomialConv(4, 3, 2, "optbasis").double()(graph.features(), graph.edge_index)


def test_the_largest_eigenvalue_of_an_unnormalised_laplacian_is_not_guessed():
    graph, conv = BY_NAME["grid"], drawn(3, "legendre", normalization=None)
    matrix = laplacian(graph.edge_index, dtype=torch.float64)
    eigenvalues, vectors = torch.linalg.eigh(matrix.to_dense())
    for given in (lambda: conv.response(eigenvalues), lambda: conv.response_to(eigenvalues, None, graph.edge_index)):
        with pytest.raises(ValueError, match="`largest` must be given with normalization=None"):
            given()
    found = conv.response(eigenvalues, largest=float(eigenvalue_bound(matrix)))
    truth = vectors @ (found.unsqueeze(-1) * (vectors.T @ graph.features()))
    close(conv(graph.features(), graph.edge_index), truth, **EXACT)


def test_its_eigenvalues_are_those_of_the_laplacian():
    """`response` takes what `fourier_basis` of `laplacian(normalization="sym")` gives."""
    graph, conv = BY_NAME["ring"], drawn(3, "legendre")
    matrix = laplacian(graph.edge_index, normalization="sym", dtype=torch.float64).to_dense()
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    truth = vectors @ (conv.response(eigenvalues).unsqueeze(-1) * (vectors.T @ graph.features()))
    close(conv(graph.features(), graph.edge_index), truth, **EXACT)
