"""Graph attention, with the additive and with the dynamic score: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg

import graphkit.nn
from graphkit.nn import GATv2Conv
from graphkit.operators import SparseOperator
from tests import contracts
from tests.contracts import EXACT, Layer, called, matrix_forms
from tests.graphs import BY_NAME, ZOO

BOTH = ("GATConv", "GATv2Conv")


def layers(name: str, numbers: int) -> list[Layer]:
    """Return the forms that both layers have; ``numbers`` is what features of edges may need of them."""

    def layer(form: str, edge: str | None = None, edge_numbers: int = 2, **options) -> Layer:
        return Layer(f"{name}, {form}", lambda nn: getattr(nn, name)(4, 3, **options), edge, edge_numbers=edge_numbers)

    return [
        layer("one head", edge_numbers=1),
        layer("heads side by side", heads=2),
        layer("heads averaged", heads=2, concat=False, residual=True),
        layer("written_out", "edge_attr", edge_numbers=numbers, edge_dim=2, fill_value=0.5),
        layer("without loops", heads=2, add_self_loops=False, bias=False),
    ]


LAYERS = [
    *layers("GATConv", 2),
    *layers("GATv2Conv", 3),
    Layer("GATv2Conv, shared weights", lambda nn: nn.GATv2Conv(4, 3, heads=2, share_weights=True), edge_numbers=2),
]
FILLED_BY_MEAN = [
    Layer("GATConv", lambda nn: nn.GATConv(4, 3, heads=2, edge_dim=2), "edge_attr", edge_numbers=2),
    Layer("GATv2Conv", lambda nn: nn.GATv2Conv(4, 3, heads=2, edge_dim=2), "edge_attr", edge_numbers=6),
]

LAWS = [
    contracts.agrees_with_pyg,
    contracts.has_pygs_types_under_autocast,
    contracts.is_as_exact_as_pyg_in_half_precision,
    contracts.follows_the_flow_as_pyg_does,
    *contracts.LAWS,
    contracts.takes_sparse_features,
    contracts.makes_no_array_of_messages,
]


@pytest.fixture(params=BOTH)
def attention(request):
    """One of the two classes."""
    return getattr(graphkit.nn, request.param)


@pytest.mark.parametrize("law", LAWS, ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)


@pytest.mark.parametrize(
    "law", [law for law in LAWS if law is not contracts.reverses_the_edges_with_the_flow], ids=called
)
@pytest.mark.parametrize("layer", FILLED_BY_MEAN, ids=str)
def test_with_loops_filled_from_the_edges_it_obeys(layer, law):
    """Loops take the mean over ``edge_index[1]`` whatever the flow, as in PyG: reversing the flow is another layer."""
    law(layer)


@pytest.mark.parametrize("layer", FILLED_BY_MEAN, ids=str)
def test_it_compiles_and_exports(layer):
    contracts.compiles_and_exports(layer)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("edge_dim", [0, 2])
@pytest.mark.parametrize("name", BOTH)
def test_it_joins_two_kinds_of_nodes_as_pyg_does(name, loops, edge_dim):
    options = {"edge_dim": 2} if edge_dim else {}
    contracts.agrees_with_pyg_between_two_kinds_of_nodes(
        lambda nn: getattr(nn, name)((4, 3), 5, heads=2, add_self_loops=loops, residual=True, **options),
        (4, 3),
        edge_dim=edge_dim,
        alone=name == "GATConv",
    )


def test_the_dynamic_score_needs_the_features_of_both_ends():
    with pytest.raises(ValueError, match="`x` must hold the target's features too"):
        GATv2Conv((4, 3), 5)((torch.ones(4, 4), None), torch.tensor([[0], [0]]))


def test_a_pair_of_one_tensor_is_that_tensor(attention):
    graph, conv = BY_NAME["grid"], attention(4, 3, heads=2).double()
    x = graph.features()
    torch.testing.assert_close(conv((x, x), graph.edge_index), conv(x, graph.edge_index), **EXACT)


@pytest.mark.parametrize("name", BOTH)
def test_it_learns_its_widths(name):
    contracts.learns_its_width(
        lambda nn: getattr(nn, name)(4, 3, heads=2, edge_dim=2, residual=True),
        lambda nn: getattr(nn, name)(-1, 3, heads=2, edge_dim=-1, residual=True),
        edge_attr=True,
    )


@pytest.mark.parametrize("fill", ["add", "min", "max", "mul", 2.0, torch.tensor([0.5, -1.0])], ids=str)
@pytest.mark.parametrize("name", BOTH)
def test_loops_are_filled_as_pyg_fills_them(name, fill):
    layer = Layer("", lambda nn: getattr(nn, name)(4, 3, heads=2, edge_dim=2, fill_value=fill), "edge_attr")
    contracts.agrees_with_pyg(layer, [graph for graph in ZOO if graph.num_nodes])


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
@pytest.mark.parametrize("name", BOTH)
def test_the_weights_it_returns_are_pygs_in_pygs_order(name, graph, loops, flow):
    options = {"heads": 2, "add_self_loops": loops, "flow": flow}
    ours, theirs = (getattr(nn, name)(4, 3, **options).double() for nn in (graphkit.nn, pyg))
    theirs.load_state_dict(ours.state_dict())
    found, expected = (
        module(graph.features(), graph.edge_index, return_attention_weights=True) for module in (ours, theirs)
    )
    torch.testing.assert_close(found, expected, **EXACT)


def test_beside_a_matrix_the_weights_come_back_as_a_matrix(attention):
    graph, conv = BY_NAME["self-loops"], attention(4, 3, heads=2).double()
    index, weights = conv(graph.features(), graph.edge_index, return_attention_weights=True)[1]
    dense = torch.zeros(4, 4, 2, dtype=torch.float64).index_put((index[1], index[0]), weights)
    for form in matrix_forms(graph):
        out, (matrix, alpha) = conv(graph.features(), form, return_attention_weights=True)
        torch.testing.assert_close(out, conv(graph.features(), graph.edge_index), **EXACT)
        assert matrix.shape == (4, 4, 2)
        assert matrix.layout == torch.sparse_csr
        torch.testing.assert_close(matrix.values(), alpha, rtol=0, atol=0)
        rows = SparseOperator.from_torch(matrix_of(matrix, alpha[:, 0]))
        torch.testing.assert_close(rows.to_dense(), dense[:, :, 0], **EXACT)


def matrix_of(matrix, values):
    return torch.sparse_csr_tensor(matrix.crow_indices(), matrix.col_indices(), values, (4, 4), check_invariants=True)


def test_attention_sums_to_one_over_each_node_that_has_neighbours(attention):
    for graph in ZOO:
        conv = attention(4, 3, heads=2, add_self_loops=False).double()
        index, alpha = conv(graph.features(), graph.edge_index, return_attention_weights=True)[1]
        sums = torch.zeros(graph.num_nodes, 2, dtype=torch.float64).index_add(0, index[1], alpha)
        torch.testing.assert_close(sums, (graph.dense().sum(1, keepdim=True) > 0).double().expand(-1, 2), **EXACT)


def test_a_nodes_result_is_unharmed_by_large_scores(attention):
    """The softmax is shifted by its maximum: scores of 1e4 would overflow else, even in float64."""
    graph, conv = BY_NAME["complete"], attention(4, 3).double()
    assert conv(1e5 * graph.features(), graph.edge_index).isfinite().all()


def test_dropout_zeroes_weights_and_scales_the_others(attention):
    graph, conv = BY_NAME["complete"], attention(4, 3, heads=8, dropout=0.5).double()
    x = graph.features()
    _, full = conv.eval()(x, graph.edge_index, return_attention_weights=True)[1]
    _, dropped = conv.train()(x, graph.edge_index, return_attention_weights=True)[1]
    torch.testing.assert_close(dropped, torch.where(dropped == 0, 0, 2 * full), **EXACT)
    share = float((dropped == 0).double().mean())
    assert 0.35 < share < 0.65, "200 weights: five standard deviations around one half are 0.18"


def test_asking_for_the_weights_changes_nothing_even_under_dropout(attention):
    graph, conv = BY_NAME["grid"], attention(4, 3, heads=2, dropout=0.5, edge_dim=2).double().train()
    x, attr = graph.features().requires_grad_(), graph.edge_features()
    results = []
    with torch.random.fork_rng():
        for asked in (None, True):
            torch.manual_seed(0)
            out = conv(x, graph.edge_index, attr, return_attention_weights=asked)
            out = out[0] if asked else out
            results.append((out, torch.autograd.grad(out.square().sum(), x)[0]))
    torch.testing.assert_close(*results, **EXACT)


def test_edge_features_without_edge_dim_are_ignored_as_in_pyg():
    graph = BY_NAME["grid"]
    made = [nn.GATConv(4, 3).double() for nn in (graphkit.nn, pyg)]
    made[1].load_state_dict(made[0].state_dict())
    found, expected = (module(graph.features(), graph.edge_index, graph.edge_features()) for module in made)
    torch.testing.assert_close(found, expected, **EXACT)


def test_the_dynamic_score_refuses_edge_features_without_edge_dim():
    """PyG stops at an assertion there."""
    graph = BY_NAME["grid"]
    with pytest.raises(ValueError, match="`edge_attr` was given to a layer without `edge_dim`"):
        GATv2Conv(4, 3).double()(graph.features(), graph.edge_index, graph.edge_features())


def test_static_graphs_are_refused_in_one_line(attention):
    message = rf"`x` must have shape \[nodes, features\] in {attention.__name__}, got \[2, 5, 4\]"
    with pytest.raises(ValueError, match=message):
        attention(4, 3)(torch.ones(2, 5, 4), BY_NAME["path"].edge_index)
