"""What an accelerator computes is what the CPU computes; without one, these tests are skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from graphkit.meta import MAML, FewShotProtocol, Nodes, Rows, TaskSet
from graphkit.metric import (
    AnomalyScorer,
    BatchHardMiner,
    SemiHardMiner,
    evaluate_retrieval,
    linear_probe,
    nearest_items,
    pairwise_distances,
)
from graphkit.nn import Encoder, GCNConv
from graphkit.operators import gcn_adjacency, laplacian, largest_eigenvalue, lazy_random_walk, node_scattering
from graphkit.training import Interrupted, recipe, train
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS
from graphkit.training.fewshot import fewshot, study_across_graphs, study_of_classes, study_of_graphs
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.fewshot.named_methods import METHODS, graph_learner
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES
from tests import contracts
from tests.graphs import BY_NAME
from tests.interruptions import StopAfter
from tests.meta.conftest import nodes, rows  # noqa: F401
from tests.meta.test_learners import LEARNERS
from tests.metric.losses.test_loops import CASES
from tests.nn.spatial import test_attention, test_gcn, test_gin, test_sage
from tests.nn.spectral import test_cheb, test_graph_wavelet, test_polynomial
from tests.training.conftest import data, graphs, undropped  # noqa: F401
from tests.training.fewshot.test_fewshot import PROTOCOL, SMALL, SPLIT, graph, set_of_graphs

ROOMS = (test_gcn, test_sage, test_gin, test_attention, test_cheb, test_graph_wavelet, test_polynomial)
LAYERS = {f"{room.__name__.split('_')[-1]}, {layer.name}": layer for room in ROOMS for layer in room.LAYERS}
CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")  # PyTorch says so once, and goes on


@pytest.fixture
def accelerator() -> torch.device:
    """Return this machine's accelerator, or skip."""
    if not torch.cuda.is_available():
        pytest.skip("this machine has no accelerator that CUDA reaches")
    return torch.device("cuda", 0)


def agree(accelerator, function, **tolerance):
    """Assert that a function of the device comes to the same on both."""
    found, expected = (function(place) for place in (accelerator, CPU))
    torch.testing.assert_close(found, expected, check_device=False, **(tolerance or contracts.EXACT))


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, accelerator):
    contracts.agrees_with_the_cpu(LAYERS[name], accelerator)


@pytest.mark.parametrize("kind", [gcn_adjacency, laplacian])
def test_operators(kind, accelerator):
    graph = BY_NAME["grid"]

    def applied(device):
        operator = kind(graph.edge_index.to(device), num_nodes=graph.num_nodes, dtype=torch.float64)
        x = graph.features().to(device).requires_grad_()
        out = operator @ x
        return out.detach(), torch.autograd.grad(out.square().sum(), x)[0], float(largest_eigenvalue(operator))

    agree(accelerator, applied)


def test_scattering(accelerator):
    graph = BY_NAME["grid"]

    def scattered(device):
        walk = lazy_random_walk(graph.edge_index.to(device), num_nodes=graph.num_nodes, dtype=torch.float64)
        return node_scattering(walk, graph.features().to(device))

    agree(accelerator, scattered)


@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("case", CASES)
def test_losses(case, mode, accelerator, generator):
    z, y = torch.randn(50, 8, generator=generator).double(), torch.arange(50) % 4
    distance = "cosine" if case in ("multi-similarity", "circle") else "euclidean"
    loss = CASES[case][1](distance=distance, differentiable=mode)

    def value_and_slope(device):
        given = z.to(device).requires_grad_()
        value = loss(given, y.to(device))
        return value.detach(), torch.autograd.grad(value, given)[0]

    agree(accelerator, value_and_slope)


@pytest.mark.parametrize("miner", [BatchHardMiner(), SemiHardMiner()], ids=lambda made: type(made).__name__)
def test_miners(miner, accelerator, generator):
    z, y = torch.randn(50, 8, generator=generator).double(), torch.arange(50) % 4
    agree(accelerator, lambda device: tuple(miner(z.to(device), y.to(device))))


def test_retrieval_and_probes(accelerator, generator):
    y = torch.arange(60) % 3
    z = torch.randn(60, 8, generator=generator).double() + torch.eye(3, 8).double()[y]
    part = torch.arange(60) // 20
    agree(accelerator, lambda device: pairwise_distances(z.to(device)))
    agree(accelerator, lambda device: evaluate_retrieval(z.to(device), y.to(device)).map_at_r)
    agree(accelerator, lambda device: nearest_items(z.to(device), 5).items)
    agree(accelerator, lambda device: AnomalyScorer("neighbour").fit(z.to(device), y.to(device))(z.to(device)))
    agree(
        accelerator,
        lambda device: linear_probe(
            z.to(device), y.to(device), train=(part < 2).to(device), test=(part == 2).to(device)
        ),
        rtol=0,
        atol=0.051,
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_on_rows(name, accelerator, rows):  # noqa: F811
    torch.manual_seed(3)
    learner = LEARNERS[name]()
    tasks = TaskSet.draw(rows, (0, 1, 2), FewShotProtocol(k_shot=3, n_query=4, n_tasks=5))

    def logits_and_slopes(device):
        there = tasks.with_items(Rows(rows.x.to(device), rows.y.to(device)))
        learner.to(device).zero_grad()
        learner.meta_loss(there).backward()
        return learner.logits(there).detach(), [p.grad.clone() for p in learner.parameters()]

    agree(accelerator, logits_and_slopes)


STUDIES = {
    "classes": lambda **there: study_of_classes(graph(), [SPLIT], PROTOCOL, **there),
    "classes, inductive": lambda **there: study_of_classes(graph(), [SPLIT], PROTOCOL, inductive=True, **there),
    "across graphs": lambda **there: study_across_graphs("two", {"a": graph(0), "b": graph(1)}, PROTOCOL, **there),
    "sets of graphs": lambda **there: study_of_graphs(set_of_graphs(classes=7), [SPLIT], PROTOCOL, **there),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_few_shot_studies(kind, accelerator):
    """Six tasks of 8 query items: a rounding may let one of them be of another class."""
    methods = {**SMALL, **{name: METHODS[name] for name in ("logistic", "encoder-semi", "encoder-ridge-semi")}}

    if kind != "sets of graphs":
        graph_models = graph_learner("maml", "gcn") | graph_learner("maml", "gat")
        methods |= {name: each.replace_fields({"steps": 2}) for name, each in graph_models.items()}

    def accuracies(device):
        study = STUDIES[kind](encoders=Encoders(fields={"epochs": 3}), device=device)
        outcome = fewshot(study, PROTOCOL, list(methods), methods=methods)
        assert outcome.record.environment["device"] == str(device)
        return {name: (found.validation, found.accuracy().mean) for name, found in outcome.methods.items()}

    agree(accelerator, accuracies, rtol=0, atol=0.03)


@pytest.mark.parametrize("order", [1, 2])
def test_learners_on_nodes(order, accelerator, nodes):  # noqa: F811
    torch.manual_seed(3)
    tasks = TaskSet.draw(nodes, (0, 1, 2), FewShotProtocol(k_shot=3, n_query=4, n_tasks=5))
    learner = MAML(Encoder(7, 5, 2, conv=GCNConv, dropout=0.0).double(), inner_lr=0.3, inner_steps=3, order=order)

    def slopes(device):
        there = tasks.with_items(Nodes(*(part.to(device) for part in (nodes.x, nodes.edge_index, nodes.y))))
        learner.to(device)
        return torch.autograd.grad(learner.meta_loss(there), list(learner.parameters()))

    agree(accelerator, slopes)


def losses_along(data, chosen, precision="64-true"):  # noqa: F811
    """Return a function from the device to the training's losses; nothing is drawn but weights, which a CPU draws."""

    def losses(device):
        outcome = train(data, chosen, device=str(device), precision=precision)
        return [epoch.train_loss for epoch in outcome.seeds[0].history]

    return losses


@pytest.mark.parametrize("name", RECIPES)
def test_models_of_nodes(name, accelerator, data):  # noqa: F811
    agree(accelerator, losses_along(data, undropped(name, 3)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", RECIPES)
def test_models_in_mixed_precision(name, precision, accelerator, data):  # noqa: F811
    """Half precision's scale begins too large for some: a step whose gradients overflow is left out, and no other."""
    found, plain = (
        losses_along(data, undropped(name, 3), precision=each)(accelerator) for each in (precision, "32-true")
    )
    taken = [loss for loss, before in zip(found, [None, *found], strict=False) if loss != before]
    assert len(taken) >= 2
    assert taken[:2] == pytest.approx(plain[:2], rel=0.05)


@pytest.mark.parametrize("name", GRAPH_RECIPES)
def test_models_of_graphs(name, accelerator, graphs):  # noqa: F811
    agree(
        accelerator,
        losses_along(graphs, recipe(name, {"epochs": 3, "dropout": 0.0}, items="graphs")),
        rtol=1e-3,
        atol=1e-5,
    )


def test_an_interrupted_run_goes_on_to_the_same_figures(accelerator, data, tmp_path):  # noqa: F811
    given = {"device": str(accelerator), "seeds": [0, 1]}
    chosen = recipe("mlp", {"epochs": 8})
    whole = train(data, chosen, run_dir=tmp_path / "whole", **given)
    with pytest.raises(Interrupted, match="resume from"):
        train(data, chosen, run_dir=tmp_path / "halved", reporter=StopAfter(11), **given)
    resumed = train(data, chosen, run_dir=tmp_path / "halved", resume=True, **given)
    assert [seed.history for seed in resumed.seeds] == [seed.history for seed in whole.seeds]


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings(name, accelerator, data):  # noqa: F811
    small = {"epochs": 2, "dim": 4, "hidden": 8}
    outcome = embed(data, embedding_recipe(name, small), device=str(accelerator), probes=False)
    assert outcome.record.record.environment["device"] == str(accelerator)


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # PyG leaves a file open, and NumPy 2.5 tells
def test_the_command_line(accelerator, call, mirror):
    code, _, told = call("train", "cora", "--model", "gcn", "--device", str(accelerator), "--json", "found.json")
    assert code == 0, told
    found = json.loads(Path("found.json").read_text())
    assert found["environment"]["device"] == str(accelerator)
    assert found["metric"]["mean"] > 0.79
