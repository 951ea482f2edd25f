"""Explanations: what is planted is found, fidelity is what the model says, and what has no edges says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.nn.molecules import atom_symbols
from graphkit.training import recipe, train
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import BinaryTarget, SupervisedObjective
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames
from graphkit.training.trained.explanation import explain_item
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES
from tests.training.studies import communities, graphs_for, masks, rings_and_stars, signals


@pytest.fixture(scope="module")
def data():
    """Nodes whose class is the first feature of their neighbours; the others are noise."""
    drawn = torch.Generator().manual_seed(0)
    ends = torch.randint(90, (2, 120), generator=drawn)
    ends = ends[:, ends[0] != ends[1]]
    x = torch.rand(90, 4, generator=drawn)
    x[:, 0] = (torch.arange(90) % 2) * 3.0
    edge_index = torch.cat([ends, ends.flip(0)], dim=1).unique(dim=1)
    seen = torch.zeros(90).index_add(0, edge_index[1], x[edge_index[0], 0] - 1.5)
    return Data(x=x, edge_index=edge_index, y=(seen > 0).long(), **masks(90))


@pytest.fixture(scope="module")
def model(data):
    return train(data, recipe("sage", {"epochs": 60, "dropout": 0.0, "layers": 1}), device="cpu").models[0]


@pytest.fixture(scope="module")
def found(data, model):
    return explain_item(model, data, 17, most=3)


def test_the_feature_that_was_planted_comes_first(found):
    assert found.features[0][0] == "feature 0"
    assert len(found.features) == 3


def test_edges_are_pairs_that_reach_the_node(found, data):
    around = {tuple(sorted(pair)) for pair in data.edge_index.T.tolist() if 17 in pair}
    pairs = [tuple(pair) for pair in found.edges.T.tolist()]
    assert set(pairs) <= around
    assert len(pairs) == min(3, len(around))
    scores = found.edge_scores.tolist()
    assert scores == sorted(scores, reverse=True)


def test_fidelity_is_what_the_model_says_of_the_changed_graph(found, data, model):
    target = int(found.predicted)

    def said(edge_index):
        other = Data(x=data.x, edge_index=edge_index)
        return float(model.outputs_for(other, device="cpu").double().softmax(-1)[17, target])

    kept = {tuple(pair) for pair in found.edges.T.tolist()}
    inside = torch.tensor([tuple(sorted(pair)) in kept for pair in data.edge_index.T.tolist()])
    fidelity = found.edge_fidelity
    assert said(data.edge_index) == pytest.approx(fidelity.whole, abs=1e-6)
    assert said(data.edge_index[:, inside]) == pytest.approx(fidelity.alone, abs=1e-6)
    assert said(data.edge_index[:, ~inside]) == pytest.approx(fidelity.without, abs=1e-6)


def test_an_explanation_is_better_than_a_drawn_one(data, model):
    """Of many nodes: features that were found are worth more than as many drawn ones."""
    tried = [explain_item(model, data, node, most=1, epochs=40).feature_fidelity for node in range(3, 18, 3)]
    assert sum(of.without for of in tried) < sum(of.drawn_without for of in tried) - 0.1


def test_the_same_seed_says_the_same_and_leaves_global_generators_alone(data, model):
    before = torch.get_rng_state()
    first, again = (explain_item(model, data, 5, epochs=5) for _ in range(2))
    assert first.as_dict() == again.as_dict()
    assert torch.equal(torch.get_rng_state(), before)


def test_attention_is_read_off_layers_that_have_it(data):
    graph = communities()
    made = train(graph, recipe("gat", {"epochs": 2, "hidden": 8}), device="cpu").models[0]
    found = explain_item(made, graph, 3, method="attention", most=4)
    assert found.edges.shape == (2, 4)
    assert (found.features, found.feature_fidelity) == ((), None)
    other = train(graph, recipe("mlp", {"epochs": 1}), device="cpu").models[0]
    with pytest.raises(ValueError, match="has no layer that attends"):
        explain_item(other, graph, 3, method="attention")


@pytest.mark.parametrize(
    "name", [name if name in ("mlp", "gpr") else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def test_every_recipe_is_explained(name):
    graph = communities()
    chosen = recipe(name, {"epochs": 1})
    made = train(graph, chosen.merge_fields({"hidden": 8}), device="cpu").models[0]
    found = explain_item(made, graph, 3, epochs=3)
    assert len(found.features) == 6
    sends = name not in ("mlp", "spectral", "specformer", "gwnn", "grand", "view-ridge")
    assert (found.edge_fidelity is not None) == sends


def test_graphs_are_explained_by_their_own_edges():
    graphs = rings_and_stars()
    made = train(graphs, recipe("gin", {"epochs": 2, "hidden": 8, "batch": 8}, items="graphs"), device="cpu").models[0]
    found = explain_item(made, graphs, 1, most=3, epochs=3)
    assert found.edges.shape == (2, 3)
    assert (found.edges[0] == 0).all(), "the second graph is a star around its first node"
    assert found.classes is None


@pytest.mark.parametrize("name", GRAPH_RECIPES)
def test_every_recipe_of_graphs_is_explained_or_refused_in_words(name):
    graphs, chosen = graphs_for(name), recipe(name, items="graphs")
    small = {"epochs": 1, "hidden": 8, "layers": 2, "batch": 8, "trees": 5}
    chosen = chosen.merge_fields({field: value for field, value in small.items() if field in chosen.options()})
    made = train(graphs, chosen, seeds=[0], device="cpu").models[0]
    if not chosen.model.solved:
        assert explain_item(made, graphs, 1, most=3, epochs=2).item == 1
    else:
        with pytest.raises(ValueError, match=f"^the model '{name}' has no gradient, by which"):
            explain_item(made, graphs, 1)


def test_wrong_calls_are_refused_in_words(data, model):
    with pytest.raises(ValueError, match=r"^`item` must be at most 89, got 90"):
        explain_item(model, data, 90)
    with pytest.raises(ValueError, match=r"^`method` 'gnm' is not known"):
        explain_item(model, data, 1, method="gnm")
    made = train(signals(), recipe("mlp", {"epochs": 1, "batch": 8}, items="signals"), device="cpu").models[0]
    with pytest.raises(ValueError, match=r"^signals are not explained"):
        explain_item(made, signals(), 1)


def test_an_item_is_named_by_its_name(data, model):
    named = data.clone()
    named.node_names = [f"person {number}" for number in range(90)]
    found = explain_item(model, named, "person 17", most=3, epochs=2)
    assert (found.item, found.name) == (17, "person 17")
    assert found.as_dict() == explain_item(model, named, "17", most=3, epochs=2).as_dict(), "no name is a number"
    assert explain_item(model, data, "17", most=3, epochs=2).item == 17
    named.node_names[3] = "person 4"
    for item, said in (("person 4", "the name of 2 items"), ("nobody", "of none"), ("90", "at most 89")):
        with pytest.raises(ValueError, match=rf"^`item` .*{said}"):
            explain_item(model, named, item, epochs=1)
    numbered = data.clone()
    numbered.original_id = torch.arange(90) + 80
    assert explain_item(model, numbered, "85", most=3, epochs=2).item == 5
    with pytest.raises(ValueError, match=r"^`item` '5' is the name of none; the 90 items are called '80', '81', '82'"):
        explain_item(model, numbered, "5", epochs=1)


def test_atoms_and_bonds_of_a_molecule_are_named_as_chemists_do():
    """Ethanal, CC=O, and ethyne, with both directions of each bond, as OGB numbers them."""
    atoms, bonds = torch.zeros(5, 9, dtype=torch.long), torch.zeros(6, 3, dtype=torch.long)
    atoms[:, 0] = torch.tensor([5, 5, 7, 5, 5])
    bonds[:, 0] = torch.tensor([0, 0, 1, 1, 2, 2])
    ends = torch.tensor([[0, 1, 1, 2, 0, 1], [1, 0, 2, 1, 1, 0]])
    data = Data(x=atoms, edge_index=ends, edge_attr=bonds)
    molecules = GraphSet(data, nodes=torch.tensor([3, 2]), edges=torch.tensor([4, 2]))
    chosen = recipe("gin", {"hidden": 4, "layers": 2}, items="graphs")
    made = TrainedModel(
        recipe=chosen,
        weights=chosen.module(9, 1, (True, 0)).state_dict(),
        channels=9,
        outputs=1,
        objective=SupervisedObjective(BinaryTarget(1), METRICS["roc_auc"]),
        seed=0,
        precision="32-true",
        dataset="molecules",
        dataset_sha256="",
        molecules=True,
        names=DataNames(targets=("active",)),
    )
    found = explain_item(made, molecules, 0, epochs=2)
    assert found.nodes == ("C0", "C1", "O2")
    assert (found.pairs.tolist(), found.bonds) == ([[0, 1], [1, 2]], ("single", "double"))
    said = {tuple(edge["between"]): edge["bond"] for edge in found.as_dict()["edges"]}
    assert said == {("C0", "C1"): "single", ("C1", "O2"): "double"}
    assert explain_item(made, molecules, 1, epochs=2).bonds == ("triple",)


def test_the_symbols_are_those_of_the_elements():
    table = pytest.importorskip("rdkit.Chem").GetPeriodicTable()
    atoms = torch.arange(118)[:, None]
    assert atom_symbols(atoms) == [table.GetElementSymbol(number) for number in range(1, 119)]


def test_nodes_of_other_graphs_are_named_by_their_category():
    graphs = rings_and_stars()
    chosen = recipe("gin", {"epochs": 1, "hidden": 4, "batch": 8}, items="graphs")
    made = train(graphs, chosen, device="cpu").models[0]
    x = torch.eye(2)[torch.arange(int(graphs.nodes.sum())) % 2]
    named = graphs.with_features(x if made.channels == 2 else torch.cat([x] * made.channels, dim=1)[:, : made.channels])
    named.feature_columns = [f"kind={word}" for word in "uv"] + [str(place) for place in range(made.channels - 2)]
    named.store = SimpleNamespace(columns=({"name": "kind", "categories": ["u", "v"]},))
    assert explain_item(made, named, 0, epochs=1).nodes[:3] == ("u 0", "v 1", "u 2")
