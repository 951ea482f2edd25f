"""What every public module of ``graphkit.nn`` refuses, in one line that names the argument, on both paths."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing

from graphkit.nn import ChebConv, GCNConv, GraphWaveletConv, PolynomialConv
from graphkit.nn.fused import Fused
from tests.contracts import matrix_forms
from tests.graphs import BY_NAME
from tests.nn.public import CATEGORIES, EDGES, MODULES, PUBLIC, WIDTH, on_graph, with_attr

WRONG: dict[str, Callable[[Tensor], Any]] = {
    "NumPy's array": lambda x: x.numpy(),
    "lists": lambda x: x.tolist(),
    "nothing": lambda x: None,
    "text": lambda x: "x",
    "a number": lambda x: 1.0,
    "a dictionary": lambda x: {"x": x},
    "one axis": lambda x: x[:, 0],
    "no axis": lambda x: x[0, 0],
    "another device": lambda x: x.to("meta"),
    "too few rows": lambda x: x[:2],
}
"""Features that no module takes."""
OF_WEIGHTS: dict[str, Callable[[Tensor], Any]] = {
    "wider": lambda x: torch.cat([x, x[:, :1]], 1),
    "narrower": lambda x: x[:, :-1],
    "wider, sparse": lambda x: torch.cat([x, x[:, :1]], 1).to_sparse_csr(),
    "no features": lambda x: x[:, :0],
    "float32": lambda x: x.float(),
    "half": lambda x: x.half(),
    "integers": lambda x: x.long(),
    "truth values": lambda x: x > 0,
    "complex": lambda x: x.to(torch.complex128),
}
"""Features that no module with weights in float64 takes; one without weights takes those of any width and type."""
TAKEN = {"float32", "half", "integers", "truth values"}
"""Types that become float64 where a layer adds a multiple of a node's own features, as in PyG."""
HOOKED = [public for public in MODULES if isinstance(public.made(), MessagePassing)]


def tables(public: Any) -> dict[str, Callable[[Tensor], Any]]:
    """Return the features that a module takes none of."""
    taken = TAKEN if public.kind in ("GINConv", "GINEConv") else ()
    if public.kind == "GatedTemporalConv":  # which looks at no graph
        taken = ("too few rows",)
    return {what: wrong for what, wrong in (WRONG | (OF_WEIGHTS if public.width else {})).items() if what not in taken}


def refused(call: Callable[[], Any], *arguments: str) -> None:
    """Assert that a call is refused by one line that names one of the arguments in backticks."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert any(re.search(rf"`([a-z]+\.)*{argument}\b.*`", said) for argument in arguments), said
    return said


def test_every_public_module_is_here():
    assert {public.kind for public in MODULES} | CATEGORIES == PUBLIC.keys()


@pytest.mark.parametrize("public", MODULES, ids=str)
def test_features_of_the_wrong_kind_are_refused(public):
    module, x = public.made(), public.features()
    public.call(module, x)
    # Too few rows are too many nodes in the graph, or another graph than a layer is tied to, which may be said instead.
    beside = ("edge_index", "basis", public.kind, "form='gwnn'", "batch")
    for what, wrong in tables(public).items():
        also = beside if what == "too few rows" else ()
        refused(lambda wrong=wrong: public.call(module, wrong(x)), "x", "h", *also)


@pytest.mark.parametrize("public", HOOKED, ids=str)
def test_they_are_refused_on_the_plain_path_too(public):
    module, x = public.made(), public.features()
    module.register_message_forward_hook(lambda *_: None)
    for what, wrong in tables(public).items():
        if what != "too few rows":  # of which PyG tells
            refused(lambda wrong=wrong: public.call(module, wrong(x)), "x")


@pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
def test_a_map_in_the_place_of_a_layers_own_takes_what_it_takes(width):
    conv = GCNConv(WIDTH, 3)
    conv.lin = torch.nn.Sequential(torch.nn.Linear(width, 3))
    assert conv(torch.ones(9, width), EDGES).shape == (9, 3)


@pytest.mark.parametrize("public", MODULES, ids=str)
def test_torchscript_is_told_what_to_do(public):
    module = public.made(torch.float32)
    for whole in (module, torch.nn.Sequential(module)):
        with pytest.raises(TypeError, match=r"`torch.jit.script` cannot read \w+, .*`torch.compile` or `torch.export`"):
            torch.jit.script(whole)


@pytest.mark.parametrize("public", [p for p in MODULES if p.call in (on_graph, with_attr)], ids=str)
def test_a_graph_is_not_mapped_over(public):
    module, x = public.made(), public.features()
    options = () if public.call is on_graph else (BY_NAME["grid"].edge_features(2),)
    many = torch.stack([EDGES, EDGES.flip(1)])
    with pytest.raises(ValueError, match=r"`edge_index` cannot be mapped over by `torch.vmap`"):
        torch.vmap(lambda index: module(x, index, *options))(many)
    with pytest.raises(ValueError, match=r"`edge_index` cannot be mapped over by `torch.vmap`"):
        torch.vmap(torch.func.grad(lambda x, index: module(x, index, *options).sum()), (None, 0))(x, many)


@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize("public", HOOKED, ids=str)
def test_another_flow_than_pygs_two_is_refused(public, hook):
    module, x = public.made(), public.features()
    if hook:
        module.register_message_forward_hook(lambda *_: None)
    module.flow = "foo"
    with pytest.raises(ValueError, match=r"`flow` 'foo' is not known. Known: source_to_target, target_to_source"):
        public.call(module, x)


def test_every_layer_that_sends_messages_is_hooked_here():
    layers = {n for n, c in PUBLIC.items() if inspect.isclass(c) and issubclass(c, Fused)}
    assert {public.kind for public in HOOKED} == layers


@pytest.fixture(params=[ChebConv, PolynomialConv])
def conv(request):
    return request.param(WIDTH, 3, 3).double()


@pytest.fixture(params=[False, True], ids=["fused", "hooked"])
def either(request, conv):
    if request.param:
        conv.register_message_forward_hook(lambda *_: None)
    return conv


X = BY_NAME["grid"].features()
TWO = torch.tensor([0] * 5 + [1] * 4)
APART = EDGES[:, TWO[EDGES[0]] == TWO[EDGES[1]]]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (TWO[:5], r"`batch` must have shape \[nodes\] = \[9\], got \[5\]"),
        (TWO.unsqueeze(0), r"`batch` must have shape \[nodes\] = \[9\], got \[1, 9\]"),
        (TWO.double(), "`batch` must hold integers, got torch.float64"),
        (TWO.tolist(), "`batch` must be a tensor, got list"),
    ],
    ids=["short", "two axes", "numbers", "list"],
)
def test_a_batch_that_does_not_fit_is_refused(either, batch, message):
    with pytest.raises((ValueError, TypeError), match=message):
        either(X, APART, None, batch)


@pytest.mark.parametrize(
    ("largest", "message"),
    [
        (float("nan"), "`lambda_max` must be finite and 0 or above, got nan"),
        (-1.0, "`lambda_max` must be finite and 0 or above, got -1"),
        (float("inf"), "`lambda_max` must be finite and 0 or above, got inf"),
        (torch.tensor([1.5, float("nan")]), "`lambda_max` must be finite and 0 or above, got nan"),
        (torch.tensor([1.5, -2.0], requires_grad=True), "`lambda_max` must be finite and 0 or above, got -2"),
        (torch.tensor([[1.5, 2.0]]), r"`lambda_max` must be one number, or \[graphs\] numbers .* got \[1, 2\]"),
        (torch.empty(0), r"`lambda_max` must be one number, or \[graphs\] numbers beside `batch`, got \[0\]"),
    ],
    ids=str,
)
def test_a_largest_eigenvalue_that_is_none_is_refused(either, largest, message):
    with pytest.raises(ValueError, match=message):
        either(X, APART, None, TWO, largest)


def test_one_largest_eigenvalue_is_there_for_each_graph_of_the_batch(either):
    three = torch.tensor([0] * 5 + [1] * 3 + [2])
    with pytest.raises(ValueError, match="`lambda_max` must have a number for each of 3 graphs, got 2"):
        either(X, APART[:, (three[APART[0]] == three[APART[1]])], None, three, torch.tensor([1.5, 2.0]))
    with pytest.raises(ValueError, match=r"`lambda_max` must be one number, or \[graphs\] numbers beside `batch`"):
        either(X, APART, None, None, torch.tensor([1.5, 2.0]))
    given = torch.tensor([1.5, 2.0], dtype=torch.float64)
    found = either(X, APART, None, TWO, given)
    alone = either(X[:5], APART[:, TWO[APART[0]] == 0], None, None, 1.5)
    torch.testing.assert_close(found[:5], alone, rtol=0, atol=1e-10)


PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
SIGNED = torch.tensor([0.5, 0.5, -2.0, -2.0], dtype=torch.float64)


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: GCNConv(WIDTH, 3), "`edge_weight` must give every node a degree of 0 or above, .* node . has -"),
        (lambda: ChebConv(WIDTH, 3, 3), "`edge_weight` must give every node a degree of 0 or above, .* node . has -"),
        (lambda: PolynomialConv(WIDTH, 3, 3), "`edge_weight` must be 0 or above .* got -2"),
        (lambda: GraphWaveletConv(WIDTH, 3), "`edge_weight` must be 0 or above .* got -2"),
    ],
    ids=["GCNConv", "ChebConv", "PolynomialConv", "GraphWaveletConv"],
)
def test_weights_whose_degrees_have_no_root_are_refused_where_pyg_gives_nan(layer, message, hook, learnt):
    conv, x = layer().double(), torch.ones(3, WIDTH, dtype=torch.float64)
    if hook:
        conv.register_message_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=message):
        conv(x, PATH, SIGNED.clone().requires_grad_(learnt))
    for form in matrix_forms(BY_NAME["path"], -BY_NAME["path"].weights()):
        with pytest.raises(ValueError, match="`edge_weight` must"):
            conv(BY_NAME["path"].features(), form)


@pytest.mark.parametrize("hook", [False, True])
def test_negative_weights_are_taken_where_degrees_stay_positive(hook):
    """Against the dense matrix: weights 2 and -1, loops of 1."""
    weight = torch.tensor([2.0, 2.0, -0.5, -0.5], dtype=torch.float64)
    conv, x = GCNConv(WIDTH, 3, bias=False).double(), BY_NAME["duplicate edges"].features()
    if hook:
        conv.register_message_forward_hook(lambda *_: None)
    matrix = torch.tensor([[1, 2, 0], [2, 1, -0.5], [0, -0.5, 1]], dtype=torch.float64)
    root = matrix.sum(1).rsqrt()
    truth = root[:, None] * matrix * root @ x @ conv.lin.weight.T
    torch.testing.assert_close(conv(x, PATH, weight), truth, rtol=0, atol=1e-12)
