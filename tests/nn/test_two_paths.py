"""Every layer over every option, direction, form of a graph, weight and feature: its two paths are one function.

The fused path multiplies by a prepared operator; the plain one sends PyG's messages, which a hook on them asks for.
"""

from __future__ import annotations

import inspect
import itertools
import math
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import MessagePassing

import graphkit.nn
from graphkit.nn.fused import Fused
from graphkit.operators import SparseOperator, heat, sparse_features
from tests.contracts import matrix_forms
from tests.graphs import BY_NAME, Graph

LAYERS = {
    name: layer
    for name in graphkit.nn.__all__
    if inspect.isclass(layer := getattr(graphkit.nn, name)) and issubclass(layer, Fused)
}
WIDTH = 4
FLAGS = (True, False)

OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "MessagePassing": {
        "aggr": ("add", "mean", "max", "sum"),
        "flow": ("source_to_target", "target_to_source"),
    },
    "GCNConv": {
        "in_channels": (WIDTH, -1),
        "out_channels": (3, 6),
        "improved": FLAGS,
        "cached": FLAGS,
        "add_self_loops": (None, False),
        "normalize": FLAGS,
        "bias": FLAGS,
    },
    "SAGEConv": {
        "in_channels": (WIDTH, -1),
        "out_channels": (3, 6),
        "aggr": ("mean", "add", "max", "min", ["mean", "max"]),
        "normalize": FLAGS,
        "root_weight": FLAGS,
        "project": FLAGS,
        "bias": FLAGS,
    },
    "GATConv": {
        "in_channels": (WIDTH, -1),
        "heads": (1, 2),
        "concat": FLAGS,
        "negative_slope": (0.2, 0.7),
        "add_self_loops": FLAGS,
        "edge_dim": (None, 1, 2),
        "fill_value": ("mean", "add", "max", "mul", 0.5),
        "bias": FLAGS,
        "residual": FLAGS,
    },
    "GINConv": {"nn": (torch.nn.Linear, torch.nn.Identity), "eps": (0.0, 0.3), "train_eps": FLAGS},
    "GINEConv": {
        "nn": (torch.nn.Linear,),
        "eps": (0.0, 0.3),
        "train_eps": FLAGS,
        "edge_dim": (None, 1, 2),
    },
    "ChebConv": {
        "in_channels": (WIDTH, -1),
        "out_channels": (3, 6),
        "K": (1, 2, 3, 4),
        "normalization": ("sym", "rw", None),
        "bias": FLAGS,
    },
    "PolynomialConv": {
        "in_channels": (WIDTH, -1),
        "order": (0, 1, 3),
        "basis": ("monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "optbasis", "cayley"),
        "normalization": ("sym", "rw", None),
        "per_channel": FLAGS,
        "a": (1.0, -0.5),
        "b": (1.0, 2.0),
        "alpha": (None, 0.4),
        "nonnegative": FLAGS,
        "zoom": (1.0, 0.6),
        "degree": (None, 5),
        "linear": FLAGS,
        "bias": FLAGS,
    },
    "DiffusionConv": {
        "in_channels": (WIDTH, -1),
        "out_channels": (3, 6),
        "K": (1, 2, 3),
        "both": FLAGS,
        "bias": FLAGS,
    },
    "GraphWaveletConv": {
        "in_channels": (WIDTH, -1),
        "out_channels": (3, 6),
        "scale": (0.5, (0.5, 1.0)),
        "bank": (None, heat([0.3, 1.1, 2.0], largest=2.0)),
        "form": ("bands", "mixed", "gwnn"),
        "normalization": ("sym", "rw"),
        "order": (None, 3),
        "bias": FLAGS,
    },
}
"""What each argument of a constructor is tried with, the default among them."""
OPTIONS["GATv2Conv"] = OPTIONS["GATConv"] | {"share_weights": FLAGS}

EXEMPT = {
    "MessagePassing": {
        "aggr_kwargs": "of aggregations that are never fused",
        "decomposed_layers": "what the plain path takes of memory at a time; PyG's own fails on pairs of features",
        "node_dim": "over another axis there is no fused path",
    },
    "GATConv": {"out_channels": "a width like another", "dropout": "the paths draw in another order; see below"},
    "GATv2Conv": {"out_channels": "a width like another", "dropout": "the paths draw in another order; see below"},
    "PolynomialConv": {"out_channels": "as many as come in, which `linear=False` asks for"},
    "GraphWaveletConv": {
        "num_nodes": "follows from `form` and the graph",
        "threshold": "wavelets that are matrices know no messages",
    },
}
"""Arguments that are not varied, and why."""

GRAPHS = ("self-loops", "duplicate edges", "directed", "isolated nodes", "empty", "no edges")
FORMS = ("edge_index", "int32", "EdgeIndex", "COO", "CSR", "CSC", "operator", "operator of ones")
WEIGHTS = ("none", "weights", "zero weights", "gradient")
FEATURES = ("dense", "signals", "CSR", "COO", "operator", "pair", "source alone")
PAIRED = ("SAGEConv", "GATConv", "GATv2Conv", "GINConv", "GINEConv")
"""Layers that take features of sources and of targets."""

CASES = 2200
"""Of each layer, spread evenly over all that its options allow."""


def known(layer: type) -> dict[str, tuple[Any, ...]]:
    """Return what each argument of a layer's constructor is tried with."""
    return OPTIONS["MessagePassing"] | OPTIONS[layer.__name__]


@pytest.mark.parametrize("name", ["MessagePassing", *LAYERS])
def test_every_argument_of_every_layer_is_varied_or_exempt(name):
    layer = MessagePassing if name == "MessagePassing" else LAYERS[name]
    arguments = set(inspect.signature(layer.__init__).parameters) - {"self"}
    arguments -= {"kwargs"} if name != "MessagePassing" else set()  # they are those of MessagePassing
    assert arguments == OPTIONS[name].keys() | EXEMPT.get(name, {}).keys()
    for argument, values in OPTIONS[name].items():
        default = inspect.signature(layer.__init__).parameters[argument].default
        assert default is inspect.Parameter.empty or default in values or name == "GraphWaveletConv"


@dataclass(frozen=True)
class Case:
    """A layer's options and what it is called with."""

    layer: type
    options: dict[str, Any]
    graph: Graph
    form: str
    weights: str
    features: str

    def __str__(self) -> str:
        said = {name: getattr(value, "name", value) for name, value in self.options.items()}
        return f"{self.layer.__name__}({said}), {self.graph.name}, {self.form}, {self.weights}, {self.features}"


def cases(layer: type) -> Iterator[Case]:
    """Yield cases drawn from the product of all that may vary, the same each time."""
    options = known(layer)
    axes = [*options.values(), GRAPHS, FORMS, WEIGHTS, FEATURES if layer.__name__ in PAIRED else FEATURES[:-2]]
    total = math.prod(map(len, axes))
    for place in random.Random(layer.__name__).sample(range(total), min(CASES, total)):
        chosen = []
        for axis in axes:
            place, here = divmod(place, len(axis))
            chosen.append(axis[here])
        *values, graph, form, weights, features = chosen
        yield Case(layer, dict(zip(options, values, strict=True)), BY_NAME[graph], form, weights, features)


def made(case: Case) -> torch.nn.Module:
    options = dict(case.options)
    if "nn" in options:
        options["nn"] = torch.nn.Linear(WIDTH, 3) if options["nn"] is torch.nn.Linear else torch.nn.Identity()
    if options.get("form") == "gwnn":
        options["num_nodes"] = max(1, case.graph.num_nodes)
    if "nn" not in options and "out_channels" not in options:
        options["out_channels"] = WIDTH
    if case.features in ("pair", "source alone") and "in_channels" in options:
        options["in_channels"] = (options["in_channels"],) * 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = case.layer(**options).double().eval()
        for name, parameter in module.named_parameters():
            if not isinstance(parameter, torch.nn.UninitializedParameter) and "zoom" not in name:
                torch.nn.init.normal_(parameter, std=0.5)
    return module


def given(case: Case) -> tuple[tuple[Any, Any], dict[str, Any], list[Tensor]]:
    """Return features and graph, what stands beside them, and what gradients are taken of."""
    graph, size = case.graph, (case.graph.num_nodes, case.graph.num_nodes)
    weight = None if case.weights == "none" else graph.weights()
    if case.weights == "zero weights":
        weight = weight * (torch.arange(graph.num_edges) % 3 > 0)
    if case.weights == "gradient":
        weight = weight.clone().requires_grad_()
    inputs = [weight] if case.weights == "gradient" else []
    takes = inspect.signature(case.layer.forward).parameters
    beside: dict[str, Any] = {}
    if case.form in ("edge_index", "int32", "EdgeIndex"):
        index = graph.edge_index if case.form != "int32" else graph.edge_index.int()
        index = EdgeIndex(index, sparse_size=size) if case.form == "EdgeIndex" else index
        if weight is not None and "edge_weight" in takes:
            beside["edge_weight"] = weight
    else:
        detached = None if weight is None else weight
        values = torch.ones(graph.num_edges, dtype=torch.float64) if detached is None else detached
        if case.form == "operator of ones":
            index = SparseOperator.from_edge_index(graph.edge_index, num_nodes=graph.num_nodes)
        elif case.form == "operator":
            index = SparseOperator.from_edge_index(graph.edge_index, values, num_nodes=graph.num_nodes)
        else:
            index = torch.sparse_coo_tensor(graph.edge_index.flip(0), values, size, check_invariants=True)
            if case.form != "COO":
                index = index.coalesce()
                index = index.to_sparse_csr() if case.form == "CSR" else index.to_sparse_csc()
    if "edge_attr" in takes and (weight is not None or case.layer.__name__ == "GINEConv"):
        width = case.options["edge_dim"] or WIDTH
        own = {"COO", "CSR", "CSC"} & {case.form}
        edges = index._nnz() if own and case.form != "COO" else len(torch.unique(graph.edge_index, dim=1).T)
        edges = edges if own else graph.num_edges
        attr = Graph("", torch.zeros(2, edges, dtype=torch.long), 1).edge_features(width)
        if case.layer.__name__ == "GATv2Conv" and case.options["edge_dim"] is None:
            attr = None
        if attr is not None and (case.weights != "weights" or case.layer.__name__ == "GINEConv"):
            beside["edge_attr"] = attr.requires_grad_()
            inputs.append(attr)
    x: Any = graph.features(WIDTH)
    if case.features in ("dense", "signals", "pair", "source alone"):
        x = torch.stack([x, x.flip(0)]) if case.features == "signals" else x
        inputs.append(x.requires_grad_())
        x = (x, x * 2) if case.features == "pair" else (x, None) if case.features == "source alone" else x
        if case.features == "source alone" and "size" in takes:
            beside["size"] = size
    else:
        x = {"CSR": x.to_sparse_csr, "COO": x.to_sparse, "operator": lambda: sparse_features(x)}[case.features]()
    return (x, index), beside, inputs


def outcome(module: torch.nn.Module, case: Case) -> list[Tensor] | str:
    """Return the result, or two where one is kept, and its gradients, or what is said of a wrong call."""
    arguments, beside, inputs = given(case)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)  # a lazy layer draws its weights now
            out = module(*arguments, **beside)
            again = module(*arguments, **beside) if case.options.get("cached") else out
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    made_now = [p for p in module.parameters() if not isinstance(p, torch.nn.UninitializedParameter)]
    leaves = [*inputs, *made_now]
    if not again.requires_grad:
        return [out]
    upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    gradients = torch.autograd.grad(again, leaves, upstream, allow_unused=True, materialize_grads=True)
    return [out.detach(), again.detach(), *gradients]


def difference(case: Case) -> str | None:
    """Return how the two paths of a case differ, if they do."""
    try:
        fused, plain = made(case), made(case)
    except (ValueError, TypeError):
        return None  # the options contradict each other
    plain.register_message_forward_hook(lambda *_: None)
    results = [outcome(module, case) for module in (fused, plain)]
    if any(isinstance(result, str) for result in results):
        return None if results[0] == results[1] else f"{case}: {results[0]!s:.200} // {results[1]!s:.200}"
    for found, expected in zip(*results, strict=True):
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return f"{case}: {found.shape} {found.dtype} // {expected.shape} {expected.dtype}"
        size = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        # A directed graph's polynomials of degree 36 are large, and nearly cancel.
        close = 1e-6 if case.options.get("basis") == "cayley" else 1e-9
        if not torch.allclose(found, expected, rtol=0, atol=close * size):
            return f"{case}: off by {float((found - expected).abs().max()):.3g}"
    return None


def differences(name: str, every: int = 1) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # directed graphs are warned of where the graph can be looked at
        found = [difference(case) for case in itertools.islice(cases(LAYERS[name]), 0, None, every)]
    return [text for text in found if text]


@pytest.mark.parametrize("name", LAYERS)
def test_both_paths_of_a_layer_give_the_same(name):
    """A chosen tenth of the cases."""
    assert differences(name, every=10) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_both_paths_of_a_layer_give_the_same_in_every_case(name):
    assert differences(name) == []


# ---- what the law found first, each with its right value

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def compiled(conv: torch.nn.Module, x: Tensor) -> Tensor:
    torch._dynamo.reset()
    return torch.compile(conv, fullgraph=True, backend="aot_eager")(x, PATH)


def hooked(conv: torch.nn.Module, x: Tensor) -> Tensor:
    conv.register_message_forward_hook(lambda *_: None)
    return conv(x, PATH)


def masked(conv: torch.nn.Module, x: Tensor) -> Tensor:
    set_masks(conv, torch.ones(4, dtype=torch.float64), PATH, apply_sigmoid=False)
    return conv(x, PATH)


WAYS = {
    "eager": lambda conv, x: conv(x, PATH),
    "compiled": compiled,
    "exported": lambda conv, x: torch.export.export(conv, (x, PATH)).module()(x, PATH),
    "jvp": lambda conv, x: torch.func.jvp(lambda x: conv(x, PATH), (x,), (x,))[0],
    "hooked": hooked,
    "masked by an explainer": masked,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_improved_loops_weigh_two_without_weights_on_every_way(way):
    """PyG 2.8.1 forgets them and gives 0.9082, 1.1498, 0.9082."""
    conv = graphkit.nn.GCNConv(3, 1, improved=True, bias=False).double().requires_grad_(False)
    conv.lin.weight.fill_(1.0)
    matrix = torch.tensor([[2, 1, 0], [1, 2, 1], [0, 1, 2]], dtype=torch.float64)
    root = matrix.sum(1).rsqrt()
    truth = (root[:, None] * matrix * root).sum(1)
    torch.testing.assert_close(truth, torch.tensor([0.9553, 1.0774, 0.9553]).double(), rtol=0, atol=5e-5)
    found = way(conv, torch.eye(3, dtype=torch.float64)).flatten()
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr", "to_sparse_csc"])
@pytest.mark.parametrize("hook", FLAGS)
def test_a_loop_in_a_matrix_keeps_its_weight(hook, layout):
    conv = graphkit.nn.GCNConv(4, 1, bias=False).double()
    if hook:
        conv.register_message_forward_hook(lambda *_: None)
    given = torch.tensor([[2, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float64)
    whole = torch.tensor([[2, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=torch.float64)
    root, x = whole.sum(1).rsqrt(), BY_NAME["duplicate edges"].features()
    truth = root[:, None] * whole * root @ x @ conv.lin.weight.T
    torch.testing.assert_close(conv(x, getattr(given, layout)()), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["GATConv", "GATv2Conv"])
@pytest.mark.parametrize("hook", FLAGS)
def test_attention_reads_the_values_of_a_matrix_as_features_of_edges(hook, name):
    graph, conv = BY_NAME["grid"], getattr(graphkit.nn, name)(4, 3, edge_dim=1).double()
    expected = conv(graph.features(), graph.edge_index, graph.weights())
    if hook:
        conv.register_message_forward_hook(lambda *_: None)
    for form in matrix_forms(graph, graph.weights()):
        torch.testing.assert_close(conv(graph.features(), form), expected, rtol=0, atol=1e-12)
    assert not torch.allclose(conv(graph.features(), matrix_forms(graph)[0]), expected)


@pytest.mark.parametrize("name", PAIRED)
def test_a_pair_against_the_flow_is_refused(name):
    """Its messages are the first's in PyG, and the second's once a hook is registered."""
    x, given = torch.ones(3, 4), {"edge_attr": torch.ones(4, 4)} if name == "GINEConv" else {}
    first = torch.nn.Linear(4, 2) if name.startswith("GIN") else (4, 4)
    conv = LAYERS[name](*([first] if name.startswith("GIN") else [first, 2]), flow="target_to_source")
    with pytest.raises(ValueError, match="`x` must be one set of features with flow='target_to_source', got a pair"):
        conv((x, 2 * x), PATH, **given)
    conv((x, x), PATH, **given)


def test_int32_edges_have_the_gradients_of_int64_ones_on_the_plain_path():
    """PyTorch's gather by an expanded int32 index reads other places, so that PyG's gradients are wrong there."""
    graph = BY_NAME["directed"]
    conv = graphkit.nn.SAGEConv(4, 3, aggr="sum").double()
    conv.register_message_forward_hook(lambda *_: None)
    x = graph.features().requires_grad_()
    upstream = torch.linspace(-1, 1, 18, dtype=torch.float64).view(6, 3)
    found, expected = (
        torch.autograd.grad(conv(x, index), x, upstream)[0] for index in (graph.edge_index.int(), graph.edge_index)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_a_basis_fitted_to_the_signal_takes_an_empty_graph(order):
    graph = BY_NAME["empty"]
    conv = graphkit.nn.PolynomialConv(4, 3, order, "optbasis").double()
    assert conv(graph.features(), graph.edge_index).shape == (0, 3)


@pytest.mark.parametrize("name", ["ChebConv", "PolynomialConv", "GraphWaveletConv"])
def test_another_aggregation_is_that_of_the_messages(name):
    """The fused product is a sum, so that it is not taken."""
    graph, rest = BY_NAME["complete"], {"ChebConv": [3], "PolynomialConv": [3]}.get(name, [])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sums, means = (LAYERS[name](4, 3, *rest, aggr=aggr).double() for aggr in ("sum", "mean"))
    for parameter in means.parameters():
        torch.nn.init.normal_(parameter)
    sums.load_state_dict(means.state_dict())
    sent: list[int] = []
    found = means(graph.features(), graph.edge_index)
    means.register_message_forward_hook(lambda *_: sent.append(1))
    torch.testing.assert_close(means(graph.features(), graph.edge_index), found, rtol=0, atol=1e-12)
    assert not torch.allclose(sums(graph.features(), graph.edge_index), found)


def test_gin_without_a_linear_map_takes_sparse_features():
    graph = BY_NAME["grid"]
    conv = graphkit.nn.GINConv(torch.nn.Identity()).double()
    expected = conv(graph.features(), graph.edge_index)
    torch.testing.assert_close(conv(graph.features().to_sparse_csr(), graph.edge_index), expected)


def test_gine_asks_for_the_features_of_edges():
    for form in (PATH, *matrix_forms(BY_NAME["grid"])):
        with pytest.raises(ValueError, match="`edge_attr` must be given"):
            graphkit.nn.GINEConv(torch.nn.Linear(4, 2))(torch.ones(9, 4), form)
