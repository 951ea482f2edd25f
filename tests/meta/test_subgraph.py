"""Part of a graph in place of the whole: the same numbers for any layer, or the whole where a part does not do."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data

from graphkit.meta import ANIL, MAML, FewShotProtocol, MetaSGD, Nodes, ProtoMAML, PrototypicalNetwork, Reptile, TaskSet
from graphkit.meta.acceleration.blocks import block_diagonal_graph
from graphkit.meta.acceleration.subgraph import ReceptiveField, extract_subgraph, find_receptive_field
from graphkit.meta.acceleration.task_parameters import block_forward
from graphkit.nn import ChebConv, Encoder, GATConv, GCNConv, GINConv, SAGEConv
from graphkit.operators import sparse_features


def graph(nodes=480, directed=False, weighted=False) -> Nodes:
    """A ring with chords, self-loops, a duplicate edge and isolated nodes, so that fields are small."""
    drawn = torch.Generator().manual_seed(3)
    ring = torch.stack([torch.arange(nodes - 4), torch.arange(nodes - 4).roll(1)])
    chords = torch.randint(nodes - 4, (2, nodes // 8), generator=drawn)
    edges = torch.cat([ring, chords, torch.tensor([[5, 9, 9], [5, 30, 30]])], 1)
    edges = edges if directed else torch.cat([edges, edges.flip(0)], 1)
    y = torch.arange(nodes) % 6
    x = torch.randn(nodes, 7, dtype=torch.float64, generator=drawn) + 1.5 * torch.eye(6, 7, dtype=torch.float64)[y]
    weight = torch.rand(edges.size(1), dtype=torch.float64, generator=drawn) + 0.5 if weighted else None
    return Nodes(x, edges, y, weight)


def perceptron(i, o):
    return nn.Sequential(nn.Linear(i, o), nn.Tanh(), nn.Linear(o, o))


LAYERS = {
    "gcn of ours": GCNConv,
    "sage of ours": SAGEConv,
    "gat of ours": lambda i, o: GATConv(i, o, heads=2, concat=False),
    "gin of ours": lambda i, o: GINConv(perceptron(i, o), train_eps=True),
    "cheb of ours": lambda i, o: ChebConv(i, o, K=3),
    "gcn": pyg.GCNConv,
    "sage": pyg.SAGEConv,
    "gat": lambda i, o: pyg.GATConv(i, o, heads=2, concat=False),
    "gatv2": pyg.GATv2Conv,
    "gin": lambda i, o: pyg.GINConv(perceptron(i, o), train_eps=True),
    "cheb": lambda i, o: pyg.ChebConv(i, o, K=3),
    "graph": pyg.GraphConv,
    "tag": lambda i, o: pyg.TAGConv(i, o, K=2),
    "sgc": lambda i, o: pyg.SGConv(i, o, K=2),
    "transformer": pyg.TransformerConv,
    "edge": lambda i, o: pyg.EdgeConv(perceptron(2 * i, o)),
    "arma": lambda i, o: pyg.ARMAConv(i, o, num_layers=2),
    "leconv": pyg.LEConv,
    "cluster": pyg.ClusterGCNConv,
}
ONE_BY_ONE = {"gatv2", "edge", "arma"}
"""Those that use parameters on edges, or in products of their own: tasks call them in turn."""


def model(name, ways=2):
    """Two layers; ours and PyG's alike in a module that is no plain stack of graph convolutions."""
    torch.manual_seed(1)
    layers = [(LAYERS[name](7, 5), "x, e -> x"), (nn.Tanh(), "x -> x"), (LAYERS[name](5, ways), "x, e -> x")]
    return pyg.Sequential("x, e", layers).double()


def drawn(items, n_tasks=3):
    return list(TaskSet.draw(items, (0, 1, 2), FewShotProtocol(k_shot=2, n_query=2, n_tasks=n_tasks)))


def results(learner, tasks):
    learner.zero_grad()
    loss = learner.meta_loss(tasks)
    slopes = torch.autograd.grad(loss, list(learner.parameters()), allow_unused=True)
    with torch.no_grad():
        logits = learner.logits(tasks)
    return [logits, loss.detach(), *(slope for slope in slopes if slope is not None)]


def require_same(learner, tasks, tolerance):
    fast = results(learner, tasks)
    slow = results(learner.plain(), tasks)
    assert len(fast) == len(slow)
    for quick, plain in zip(fast, slow, strict=True):
        largest = max(1.0, plain.abs().max().item())
        torch.testing.assert_close(quick, plain, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_part_of_the_graph_is_the_whole_for_any_layer(name, dtype):
    whole = graph()
    items = Nodes(whole.x.to(dtype), whole.edge_index, whole.y)
    tasks, learner = drawn(items), MAML(model(name).to(dtype), inner_lr=0.2, inner_steps=2)
    support = [task.episode.support.flatten() for task in tasks]
    reach = find_receptive_field(learner.model, items, support[0])
    assert reach is not None
    assert len(extract_subgraph(items, support[0], reach).nodes) < len(items.y) / 2
    at_once = block_forward(learner.model, items, learner.moved, support, reach)
    assert (at_once is None) == (name in ONE_BY_ONE)
    require_same(learner, tasks, 1e-12 if dtype == torch.float64 else 1e-6)


@pytest.mark.parametrize("name", ["gcn", "sage of ours", "gat", "cheb", "cluster", "edge"])
@pytest.mark.parametrize("directed", [False, True])
def test_directions_and_weights_of_edges_are_kept(name, directed):
    takes = name in ("gcn", "cheb")
    items = graph(directed=directed, weighted=takes)
    made = model(name)
    if takes:
        made = Encoder(7, 5, 2, conv=LAYERS[name], dropout=0.0, activation=nn.Tanh()).double()
        made.norms[0] = nn.LayerNorm(5).double()  # no plain stack
    require_same(MAML(made, inner_lr=0.2, inner_steps=2), drawn(items), 1e-12)


@pytest.mark.parametrize(
    "made",
    [
        lambda m: MAML(m, inner_lr=0.2, inner_steps=2, order=1),
        lambda m: MAML(m, inner_lr=0.2, inner_steps=2, multi_step=0.5),
        lambda m: ANIL(m, inner_lr=0.2, inner_steps=2, head="module_2"),
        lambda m: MetaSGD(m, inner_lr=0.2, inner_steps=2),
        lambda m: ProtoMAML(m, temperature=1.0, inner_lr=0.1, inner_steps=2),
        lambda m: Reptile(m, inner_lr=0.2, inner_steps=2),
        PrototypicalNetwork,
    ],
    ids=["fomaml", "multi-step", "anil", "meta-sgd", "protomaml", "reptile", "prototypes"],
)
@pytest.mark.parametrize("name", ["gcn", "gat of ours"])
def test_every_learner_works_on_parts(made, name):
    items = graph()
    require_same(made(model(name)).double(), drawn(items), 1e-12)


def test_sparse_features_are_multiplied_as_such():
    whole = graph()
    x = whole.x * (whole.x > 2.2)
    for items in (Nodes(x, whole.edge_index, whole.y), Nodes(sparse_features(x), whole.edge_index, whole.y)):
        require_same(MAML(model("gcn of ours"), inner_lr=0.2, inner_steps=2), drawn(items), 1e-12)
    items = Nodes(x, whole.edge_index, whole.y)
    found = block_diagonal_graph(items, [torch.tensor([3]), torch.tensor([40])], ReceptiveField(2, degrees=True))
    assert found.sparse is not None
    dense = found.nodes.x + 0
    for task in range(2):
        rows = slice(task * found.size, (task + 1) * found.size)
        torch.testing.assert_close(found.sparse.to_dense()[rows, 7 * task : 7 * task + 7], dense[rows])
    require_same(MAML(model("sage"), inner_lr=0.2, inner_steps=2), drawn(items), 1e-12)  # which looks at the numbers


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["gcn of ours", "sage of ours"])
def test_layers_of_ours_multiply_in_blocks_and_send_no_messages(name, sparse, monkeypatch):
    whole, sent = graph(), []
    items = Nodes(whole.x * (whole.x > 2.2) if sparse else whole.x, whole.edge_index, whole.y)
    learner, tasks = MAML(model(name), inner_lr=0.2, inner_steps=2), drawn(items)
    learner.logits(tasks)
    aggregate = pyg.aggr.Aggregation.__call__
    monkeypatch.setattr(pyg.aggr.Aggregation, "__call__", lambda *a, **k: sent.append(1) or aggregate(*a, **k))
    learner.logits(tasks)
    assert not sent


def test_degrees_are_those_of_the_whole_graph():
    items = graph()
    reach = find_receptive_field(model("gcn"), items, torch.tensor([7, 9]))
    assert reach == ReceptiveField(2, degrees=True)
    assert find_receptive_field(model("sage"), items, torch.tensor([7, 9])) == ReceptiveField(2, degrees=False)
    part = extract_subgraph(items, torch.tensor([7, 9]), reach)
    inside = torch.from_numpy(part.nodes[:-1])
    here = torch.bincount(part.edge_index[1], minlength=len(part.nodes))[:-1]
    assert torch.equal(here, torch.bincount(items.edge_index[1], minlength=len(items.y))[inside])


class Centred(nn.Module):
    """Looks at all nodes."""

    def __init__(self):
        super().__init__()
        self.conv = pyg.SAGEConv(7, 2)

    def forward(self, x, edge_index):
        z = self.conv(x, edge_index)
        return z - z.mean(0)


class Named(nn.Module):
    """Knows each node by its number."""

    def __init__(self):
        super().__init__()
        self.conv, self.names = pyg.SAGEConv(7, 2), nn.Parameter(torch.randn(480, 7))

    def forward(self, x, edge_index):
        return self.conv(x + self.names, edge_index)


@pytest.mark.parametrize(
    "made",
    [
        Centred,
        Named,
        lambda: Encoder(7, 5, 2, conv=SAGEConv, dropout=0.0, norm="batch"),
        lambda: Encoder(7, 5, 2, conv=lambda i, o: pyg.GCNConv(i, o, cached=True), dropout=0.0),
        lambda: Encoder(7, 5, 2, conv=lambda i, o: pyg.ChebConv(i, o, K=40), dropout=0.0),
    ],
    ids=["mean over nodes", "name of a node", "batch norm", "cached", "far sight"],
)
def test_what_a_part_does_not_do_for_goes_over_the_whole(made):
    items, learner = graph(), MAML(made().double(), inner_lr=0.2, inner_steps=1)
    tasks = drawn(items, 2)
    learner.logits(tasks)
    assert find_receptive_field(learner.model, items, tasks[0].episode.support.flatten()) is None
    require_same(learner, tasks, 0.0)


def test_one_small_graph_is_taken_whole():
    items = graph(nodes=34)
    assert find_receptive_field(model("gcn"), items, torch.arange(0, 34, 4)) is None


def test_batch_normalisation_by_stored_statistics_can_be_cut():
    items = graph()
    made = Encoder(7, 5, 2, conv=SAGEConv, dropout=0.0, norm="batch").double().eval()
    require_same(MAML(made, inner_lr=0.2, inner_steps=1, statistics="stored"), drawn(items), 1e-12)


def test_a_changed_graph_is_cut_anew_and_nothing_is_touched():
    items = graph()
    learner, tasks = MAML(model("gat"), inner_lr=0.2, inner_steps=1), drawn(items)
    state, before = copy.deepcopy(learner.state_dict()), learner.logits(tasks)
    items.edge_index[:, :40] = items.edge_index[:, 40:80].clone()
    assert not torch.equal(learner.logits(tasks), before)
    require_same(learner, tasks, 1e-12)
    items.x.mul_(0.5)
    require_same(learner, tasks, 1e-12)
    assert all(torch.equal(value, learner.state_dict()[key]) for key, value in state.items())


def test_the_meta_gradient_through_blocks_is_that_of_finite_differences():
    items = graph()
    learner, tasks = MAML(model("gcn"), inner_lr=0.3, inner_steps=3), drawn(items, 2)
    parameters = list(learner.parameters())
    slope = torch.cat([s.flatten() for s in torch.autograd.grad(learner.meta_loss(tasks), parameters)])
    start, direction, values = nn.utils.parameters_to_vector(parameters).detach(), torch.randn_like(slope), []
    for sign in (1, -1):
        nn.utils.vector_to_parameters(start + sign * 1e-5 * direction, parameters)
        with torch.no_grad():
            values.append(learner.meta_loss(tasks).item())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(slope @ direction), rel=1e-5)


def test_evaluation_keeps_no_graph():
    items = graph()
    with torch.no_grad():
        assert not MAML(model("gcn"), inner_steps=2).logits(drawn(items)).requires_grad


def test_features_of_padding_do_not_reach_anybody():
    """Parts of different sizes beside each other give what each gives alone."""
    items = graph()
    data = Data(x=items.x, edge_index=items.edge_index)
    made = model("gcn")
    whole = made(data.x, data.edge_index)
    groups = [torch.tensor([9, 10]), torch.tensor([470, 479])]  # many neighbours, and none
    found = block_diagonal_graph(items, groups, ReceptiveField(2, degrees=True))
    out = made(found.nodes.x, found.nodes.edge_index)[found.targets]
    torch.testing.assert_close(out, torch.stack([whole[group] for group in groups]), rtol=0, atol=1e-12)
    assert not F.relu(out).isnan().any()


class InPlace(nn.Module):
    """Writes into what was propagated, as a layer may that owns it."""

    def __init__(self):
        super().__init__()
        self.conv, self.lin = pyg.SimpleConv(aggr="mean"), nn.Linear(7, 2)

    def forward(self, x, edge_index):
        return self.lin(self.conv(x, edge_index).mul_(2))


class Twice(nn.Module):
    """Averages the features before any weight, as often as it is told, and once more after."""

    def __init__(self):
        super().__init__()
        self.conv, self.lin = pyg.SimpleConv(aggr="mean"), nn.Linear(7, 2)

    def forward(self, x, edge_index):
        return self.conv(self.lin(self.conv(self.conv(x, edge_index), edge_index)), edge_index)


@pytest.mark.parametrize("made", [InPlace, Twice])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_sent_of_the_features_alone_is_taken_once_unless_it_is_written_to(made, sparse, monkeypatch):
    whole, calls = graph(), []
    x = whole.x * (whole.x > 2.4) if sparse else whole.x
    items, learner = Nodes(x, whole.edge_index, whole.y), MAML(made().double(), inner_lr=0.2, inner_steps=4)
    tasks = drawn(items)
    learner.logits(tasks)
    propagate = pyg.SimpleConv.propagate
    monkeypatch.setattr(pyg.SimpleConv, "propagate", lambda *a, **k: calls.append(1) or propagate(*a, **k))
    learner.logits(tasks)  # four steps and the query
    assert len(calls) == {InPlace: 5, Twice: 2 + 4 + 2 + 1}[made]
    monkeypatch.undo()
    require_same(learner, tasks, 1e-12)


class Summed(nn.Module):
    """A layer of one's own, in which nobody sees a message pass."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(7, 2).double()

    def forward(self, x, edge_index):
        return self.lin(x).index_add(0, edge_index[1], self.lin(x)[edge_index[0]])


@pytest.mark.parametrize("name", ["gcn", "sage", "own"])
def test_a_first_task_of_nodes_that_nothing_reaches_says_nothing_of_the_others(name):
    """The support of the first task sees all of its component: a pair of nodes, or none but itself."""
    made = graph()
    alone = torch.tensor([[480, 481], [481, 480]])
    x = torch.cat([made.x, made.x[:8]])
    items = Nodes(x, torch.cat([made.edge_index, alone], 1), torch.cat([made.y, made.y[:8]]))
    chosen = torch.stack([torch.arange(480, 488), torch.arange(40, 48), torch.arange(120, 128)]).view(3, 2, 4)
    tasks = list(TaskSet(items, FewShotProtocol(k_shot=1, n_query=3, n_tasks=3), chosen, torch.tensor([[0, 1]] * 3)))
    module = Summed() if name == "own" else model(name)
    learner = MAML(module, inner_lr=0.5, inner_steps=3)
    torch.testing.assert_close(learner.logits(tasks), learner.plain().logits(tasks), rtol=0, atol=1e-10)


def test_a_layer_that_is_set_anew_is_looked_at_anew():
    items = graph()
    tasks = list(TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))
    module = pyg.Sequential(
        "x, edge_index", [(nn.Linear(7, 2), "x -> x"), (pyg.APPNP(K=1, alpha=0.1), "x, edge_index -> x")]
    ).double()
    learner = MAML(module, inner_steps=2)
    assert find_receptive_field(module, items, torch.tensor([7])) == ReceptiveField(1, degrees=True)
    learner.logits(tasks)
    module[1].K = 3
    found = learner.logits(tasks)
    torch.testing.assert_close(found, learner.plain().logits(tasks), rtol=0, atol=1e-10)


def test_a_model_that_asserts_that_it_sees_its_graph_does():
    items = graph()

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.conv = nn.Embedding(480, 4).double(), pyg.GCNConv(4, 2).double()

        def forward(self, x, edge_index):
            assert len(x) == 480
            return self.conv(self.rows.weight, edge_index)

    tasks = list(TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))
    assert MAML(Own(), inner_steps=1).logits(tasks).shape == (4, 6, 2)
