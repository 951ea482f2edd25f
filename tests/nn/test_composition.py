"""The layers inside what PyG's users build: ``Sequential``, heterogeneous models, loaders with workers."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn
from torch import nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import HeteroConv, Sequential, to_hetero

import graphkit.nn
from graphkit.nn import ChebConv, GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv
from graphkit.operators import SparseOperator, sparse_features
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO

LAYERS = {
    "gcn": lambda: GCNConv(4, 4),
    "sage": lambda: SAGEConv(4, 4),
    "sage max": lambda: SAGEConv(4, 4, aggr="max"),
    "gat": lambda: GATConv(4, 4),
    "gatv2": lambda: GATv2Conv(4, 4),
    "gin": lambda: GINConv(nn.Linear(4, 4)),
    "cheb": lambda: ChebConv(4, 4, K=3),
}


@pytest.fixture(params=LAYERS)
def conv(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LAYERS[request.param]().double()


def test_it_goes_into_pygs_sequential(conv):
    graph = BY_NAME["grid"]
    model = Sequential("x, edge_index", [(conv, "x, edge_index -> x"), nn.ReLU(), (nn.Linear(4, 2).double(), "x -> x")])
    expected = model[2](conv(graph.features(), graph.edge_index).relu())
    torch.testing.assert_close(model(graph.features(), graph.edge_index), expected, **EXACT)


@pytest.fixture
def shop():
    """Three customers, four goods, who bought what, and who knows whom."""
    data = HeteroData()
    data["customer"].x, data["good"].x = (BY_NAME["grid"].features()[:n] for n in (3, 4))
    data["customer", "buys", "good"].edge_index = torch.tensor([[0, 0, 1, 2], [0, 3, 1, 1]])
    data["good", "bought", "customer"].edge_index = torch.tensor([[0, 3, 1, 1], [0, 0, 1, 2]])
    data["customer", "knows", "customer"].edge_index = torch.tensor([[0, 1], [1, 0]])
    return data


def test_it_goes_into_a_heterogeneous_convolution(shop):
    """Every kind of edge has its layer, and what arrives at a node adds up."""
    knows, buys, bought = GCNConv(4, 5), SAGEConv((4, 4), 5), GATConv((4, 4), 5, add_self_loops=False)
    kinds = {"knows": ("customer", "customer"), "buys": ("customer", "good"), "bought": ("good", "customer")}
    layers = {"knows": knows, "buys": buys, "bought": bought}
    model = HeteroConv({(a, kind, b): layers[kind] for kind, (a, b) in kinds.items()}, aggr="sum").double()
    found = model(shop.x_dict, shop.edge_index_dict)
    customers, goods = shop["customer"].x, shop["good"].x
    index = {kind: shop[a, kind, b].edge_index for kind, (a, b) in kinds.items()}
    expected = knows(customers, index["knows"]) + bought((goods, customers), index["bought"])
    torch.testing.assert_close(found["customer"], expected, **EXACT)
    torch.testing.assert_close(found["good"], buys((customers, goods), index["buys"]), **EXACT)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: SAGEConv((-1, -1), 4),
        lambda: GATConv((-1, -1), 4, add_self_loops=False),
        lambda: GATv2Conv((-1, -1), 4, add_self_loops=False),
        lambda: GINConv(nn.Linear(4, 4)),
    ],
    ids=["sage", "gat", "gatv2", "gin"],
)
def test_a_model_of_it_becomes_heterogeneous(shop, layer):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = layer(), layer()

        def forward(self, x, edge_index):
            return self.second(self.first(x, edge_index).relu(), edge_index)

    model = to_hetero(Model(), shop.metadata()).double()
    out = model(shop.x_dict, shop.edge_index_dict)
    sum(part.sum() for part in out.values()).backward()
    assert {kind: part.shape for kind, part in out.items()} == {"customer": (3, 4), "good": (4, 4)}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


class Convolved(torch.utils.data.Dataset):
    """Graphs whose features a layer has changed, in the worker that loads them."""

    def __init__(self, conv):
        self.conv = conv

    def __len__(self):
        return 2 * len(ZOO)

    def __getitem__(self, place):
        graph = ZOO[place % (len(ZOO) - 1)]
        with torch.no_grad():
            x = self.conv(graph.features(), graph.edge_index)
        return Data(x=x, edge_index=graph.edge_index, num_nodes=graph.num_nodes)


def test_it_runs_in_forked_loader_workers_after_threads_have_run_here(conv):
    """A forked worker has none of its parent's threads; waiting for them would hang."""
    big = torch.randint(300, (2, 30_000), generator=torch.Generator().manual_seed(0))
    if isinstance(conv, ChebConv):
        big = torch.cat((big, big.flip(0)), 1)
    x = torch.ones(300, 4, dtype=torch.float64)
    torch.set_num_threads(2)
    try:
        conv(x, big)
        loader = DataLoader(Convolved(conv), batch_size=5, num_workers=2, multiprocessing_context="fork", timeout=60)
        found = torch.cat([batch.x for batch in loader])
    finally:
        torch.set_num_threads(1)
    expected = torch.cat([Convolved(conv)[place].x for place in range(2 * len(ZOO))])
    torch.testing.assert_close(found, expected, **EXACT)


def test_two_python_threads_may_run_layers_at_once(conv):
    """Loaders of some servers do; results do not mix."""
    from concurrent.futures import ThreadPoolExecutor

    graph = BY_NAME["grid"]
    xs = [graph.features() * (k + 1) for k in range(16)]
    expected = [conv(x, graph.edge_index) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: conv(x, graph.edge_index.clone()), xs))
    torch.testing.assert_close(found, expected, **EXACT)


def test_weight_decay_and_a_few_steps_fit_a_small_graph(conv):
    """It learns: the loss of a regression falls."""
    graph = BY_NAME["grid"]
    goal = graph.features(4).flip(0)
    optimiser = torch.optim.Adam(conv.parameters(), lr=0.05, weight_decay=1e-4)
    losses = []
    for _ in range(50):
        optimiser.zero_grad()
        loss = (conv(graph.features(), graph.edge_index) - goal).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_edge_features_go_through_pygs_sequential_too():
    graph, conv = BY_NAME["grid"], GINEConv(nn.Linear(4, 4), edge_dim=2).double()
    model = Sequential("x, edge_index, edge_attr", [(conv, "x, edge_index, edge_attr -> x")])
    given = graph.features(), graph.edge_index, graph.edge_features()
    torch.testing.assert_close(model(*given), conv(*given), **EXACT)


class Doubled(nn.Module):
    """An adapter around a linear map, as fine-tuning puts there."""

    def __init__(self, lin: nn.Module) -> None:
        super().__init__()
        self.lin = lin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self.lin(x)


@pytest.mark.parametrize("out_channels", [3, 8])
@pytest.mark.parametrize("layer", ["GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "ChebConv"])
def test_a_linear_map_that_is_hooked_or_replaced_is_called_as_pyg_calls_it(layer: str, out_channels: int) -> None:
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    order = (3,) if layer == "ChebConv" else ()
    conv, peer = (getattr(library, layer)(5, out_channels, *order) for library in (graphkit.nn, torch_geometric.nn))
    conv.load_state_dict(peer.state_dict())
    for module in (conv, peer):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ModuleList):
                for k, lin in enumerate(child):
                    child[k] = Doubled(lin)
            elif name.startswith("lin"):
                setattr(module, name, Doubled(child))
    torch.testing.assert_close(conv(x, edge_index), peer(x, edge_index))

    calls: dict[str, list[str]] = {}
    for library in (graphkit.nn, torch_geometric.nn):
        hooked, heard = getattr(library, layer)(5, out_channels, *order), calls.setdefault(library.__name__, [])
        for name, lin in hooked.named_modules():
            if type(lin) is torch_geometric.nn.Linear:
                lin.register_forward_hook(lambda *_, name=name, heard=heard: heard.append(name))
        hooked(x, edge_index)
    assert calls["graphkit.nn"] == calls["torch_geometric.nn"] != []


def with_a_step_of_its_own(conv, step):
    """A subclass that doubles what one step gives."""

    class Own(conv):
        if step == "update":

            def update(self, inputs):
                return 2 * inputs

        elif step == "aggregate":

            def aggregate(self, inputs, index, ptr=None, dim_size=None):
                return super().aggregate(2 * inputs, index, ptr, dim_size)

        else:

            def propagate(self, edge_index, **more):
                return 2 * super().propagate(edge_index, **more)

    # PyG writes a module for every class and finds it again by the class's name.
    Own.__name__ = f"{step}_{conv.__module__.partition('.')[0]}_{conv.__name__}"
    return Own


@pytest.mark.parametrize("step", ["update", "aggregate", "propagate"])
@pytest.mark.parametrize("layer", ["GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "GINConv"])
def test_a_step_of_a_subclass_is_taken_as_pyg_takes_it(layer, step):
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    makers = [with_a_step_of_its_own(getattr(library, layer), step) for library in (graphkit.nn, torch_geometric.nn)]
    conv, peer = (make(nn.Linear(5, 4)) if layer == "GINConv" else make(5, 4) for make in makers)
    conv.load_state_dict(peer.state_dict())
    torch.testing.assert_close(conv(x, edge_index), peer(x, edge_index))


def test_a_subclass_without_a_step_of_its_own_is_as_fast():
    class Named(GCNConv):
        def forward(self, x, edge_index):
            return super().forward(x, edge_index).relu()

    assert Named(5, 4).fusible(PAIR)


def test_another_aggregation_may_be_put_in_the_place_of_a_layers_own():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    conv, peer = GCNConv(4, 3), torch_geometric.nn.GCNConv(4, 3)
    conv.load_state_dict(peer.state_dict())
    for module in (conv, peer):
        module.aggr_module = torch_geometric.nn.aggr.MedianAggregation()
    torch.testing.assert_close(conv(x, PAIR), peer(x, PAIR))


@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize("layer", ["SAGEConv", "GINConv"])
def test_nodes_may_lie_along_the_first_axis(layer, steps):
    """Of ``[nodes, steps, features]``, whether or not there are as many steps as nodes."""
    x = torch.randn(3, steps, 4, generator=torch.Generator().manual_seed(0))
    conv, peer = (
        getattr(library, layer)(*((nn.Linear(4, 2),) if layer == "GINConv" else (4, 2)), node_dim=0)
        for library in (graphkit.nn, torch_geometric.nn)
    )
    conv.load_state_dict(peer.state_dict())
    torch.testing.assert_close(conv(x, PAIR), peer(x, PAIR))


@pytest.mark.parametrize("layer", ["GCNConv", "ChebConv", "PolynomialConv", "GraphWaveletConv"])
def test_edge_weights_may_be_a_column_on_both_paths(layer):
    order = (3,) if layer in ("ChebConv", "PolynomialConv") else ()
    conv = getattr(graphkit.nn, layer)(4, 2, *order)
    x, weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.ones(4, 1)
    fused = conv(x, PAIR, weight)
    conv.register_message_forward_hook(lambda *_: None)
    torch.testing.assert_close(conv(x, PAIR, weight), fused)
    torch.testing.assert_close(conv(x, PAIR, weight.squeeze(1)), fused)


def with_biases(conv: nn.Module) -> nn.Module:
    for name, parameter in conv.named_parameters():
        if name.endswith("bias"):
            nn.init.ones_(parameter)
    return conv


PAIR = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
ALTERABLE = {
    "gcn": lambda: GCNConv(4, 3),
    "sage": lambda: SAGEConv(4, 3),
    "gat": lambda: GATConv(4, 3, heads=2, edge_dim=2),
    "gatv2": lambda: GATv2Conv(4, 3, heads=2, edge_dim=2),
    "cheb to fewer": lambda: ChebConv(4, 3, K=3),
    "cheb to more": lambda: ChebConv(4, 8, K=3),
}


@pytest.fixture(params=ALTERABLE)
def alterable(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return with_biases(ALTERABLE[request.param]())


def called(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    edge_features = (torch.ones(4, 2, requires_grad=True),) if isinstance(conv, GATConv | GATv2Conv) else ()
    return conv(x, PAIR, *edge_features)


def maps_of(conv: nn.Module) -> list[nn.Module]:
    return [module for module in conv.modules() if type(module) is torch_geometric.nn.Linear]


def test_what_a_hook_saw_is_not_overwritten(alterable):
    """The bias is added in place, but not to what somebody else holds."""
    seen = []
    alterable.register_propagate_forward_hook(lambda _module, _inputs, out: seen.append((out, out.detach().clone())))
    for lin in maps_of(alterable)[:1]:
        lin.register_forward_hook(lambda _module, _inputs, out: seen.append((out, out.detach().clone())))
    called(alterable, torch.ones(3, 4))
    assert len(seen) > 1
    for held, copy in seen:
        assert torch.equal(held, copy)


def test_a_map_may_end_in_what_autograd_keeps_the_result_of(alterable):
    for name, child in list(alterable.named_children()):
        if isinstance(child, nn.ModuleList):
            for k, lin in enumerate(child):
                child[k] = nn.Sequential(lin, nn.Sigmoid())
        elif name.startswith("lin"):
            setattr(alterable, name, nn.Sequential(child, nn.Sigmoid()))
    x = torch.ones(3, 4, requires_grad=True)
    called(alterable, x).sum().backward()
    assert x.grad.isfinite().all()


def test_hooks_on_the_gradients_of_a_map_are_called(alterable):
    calls, maps = [], maps_of(alterable)
    if isinstance(alterable, ChebConv):
        maps = maps[:2]  # PyG calls the others without their hooks
    for lin in maps_of(alterable):
        lin.register_full_backward_hook(lambda module, *_: calls.append(module))
    called(alterable, torch.ones(3, 4, requires_grad=True)).sum().backward()
    assert set(calls) == set(maps)


@pytest.mark.parametrize("layer", [GATConv, GATv2Conv])
def test_attention_may_take_the_largest_message(layer):
    conv = with_biases(layer(4, 3, heads=2, aggr="max"))
    conv(torch.ones(3, 4), PAIR).sum().backward()
    assert conv.bias.grad.eq(3).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layers_follow_each_other_under_autocast(conv, dtype):
    """The second layer is given half-precision features while its weights are float32."""
    conv, x = conv.float(), torch.ones(3, 4, requires_grad=True)
    with torch.autocast("cpu", dtype):
        out = conv(conv(x, PAIR).to(dtype), PAIR)
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), conv(conv(x, PAIR), PAIR), rtol=0.05, atol=0.05)


def test_cheb_widens_half_precision_features_under_autocast():
    conv, x = ChebConv(4, 8, K=3), torch.ones(3, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x, PAIR)
    torch.testing.assert_close(out.float(), conv(x.float(), PAIR), rtol=0.05, atol=0.05)


def test_ends_of_another_width_never_reach_the_kernels():
    x = torch.ones(3, 64)
    with pytest.raises(ValueError, match=r"`x` must have 64 features, got \[3, 32\]"):
        GINConv(nn.Identity())((x, torch.ones(3, 32)), PAIR)
    with pytest.raises(ValueError, match=r"`x` must have 32 features, got \[3, 64\]"):
        GINEConv(nn.Linear(32, 4), edge_dim=2)(x, PAIR, torch.ones(4, 2))
    with pytest.raises(ValueError, match="dimensionalities do not match"):
        GINEConv(nn.Sequential(nn.Tanh(), nn.Linear(64, 4)))(x, PAIR, torch.ones(4, 2))
    with pytest.raises(ValueError, match="must have shape"):
        GATConv((64, 64), 4)((x, torch.ones(2, 3, 64)), PAIR)


PLAIN = LAYERS | {
    "sage median": lambda: SAGEConv(4, 4, aggr="median"),
    "gine": lambda: GINEConv(nn.Linear(4, 4), edge_dim=1),
}


@pytest.mark.parametrize("layer", PLAIN)
def test_the_plain_path_takes_operators_and_sparse_features_too(layer):
    """A hook on the messages must not take away what the layer could be given without it."""
    conv, x = PLAIN[layer](), torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    edge_features = (torch.ones(4, 1),) if isinstance(conv, GINEConv) else ()
    operator, expected = SparseOperator.from_edge_index(PAIR, num_nodes=3), conv(x, PAIR, *edge_features)
    conv.register_propagate_forward_hook(lambda *_: None)
    for form in (x, x.to_sparse_csr(), sparse_features(x)):
        for graph in (PAIR, operator):
            torch.testing.assert_close(conv(form, graph, *edge_features), expected)
    if isinstance(conv, ChebConv):
        torch.testing.assert_close(conv(x, operator.to_dense().to_sparse_csr()), expected)


def test_the_largest_neighbour_in_half_precision_takes_an_operator():
    conv, x = SAGEConv(4, 4, aggr="max").bfloat16(), torch.eye(4, dtype=torch.bfloat16)[:3]
    operator = SparseOperator.from_edge_index(PAIR, num_nodes=3)
    torch.testing.assert_close(conv(x, operator), conv(x, PAIR))
