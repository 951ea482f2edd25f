"""Features of edges: models that can use them do, and of the others it is said that they do not."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.data.splits import Stratified
from graphkit.training import recipe, train
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES

CASES = [("nodes", name) for name in RECIPES] + [("graphs", name) for name in GRAPH_RECIPES]


def coloured_rings(count: int = 60) -> GraphSet:
    """Rings of six nodes without features, told apart by the colour of their edges alone."""
    ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    edges = torch.cat([ring, ring.flip(0)], dim=1)
    y = torch.arange(count) % 2
    colour = y.repeat_interleave(12).float()
    data = Data(
        x=torch.ones(6 * count, 2),
        edge_index=edges.repeat(1, count),
        y=y,
        edge_attr=torch.stack([colour, 1 - colour], 1),
    )
    made = GraphSet(data, nodes=torch.full((count,), 6), edges=torch.full((count,), 12))
    return made.with_split(Stratified()(made.items, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(("items", "name"), CASES, ids=[f"{items}-{name}" for items, name in CASES])
def test_features_of_edges_change_the_figures_or_are_said_to_be_unused(data, items, name):
    made = recipe(name, {"epochs": 2}, items=items)
    if made.model.molecules:
        pytest.skip("its edges are bonds")
    losses, said = [], set()
    for factor in (0.0, 1.0):
        given = data
        if items == "graphs":
            given = coloured_rings()
            given._data.edge_attr *= factor
        else:
            data.edge_attr = factor * torch.linspace(-1, 1, data.num_edges)
        outcome = train(given, made, device="cpu")
        losses.append(outcome.seeds[0].history[-1].validation_loss)
        said.update(each for each in outcome.warnings if "edge_attr" in each)
    assert (losses[0] != losses[1]) == made.model.edge_features == (not said)
    assert said <= {each for each in said if each.startswith(f"`edge_attr` is not used: the model {name!r}")}


@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_graphs_that_differ_in_their_edges_alone_are_told_apart(name):
    fields = {"epochs": 15, "hidden": 8, "layers": 2, "lr": 0.02, "batch": 12}
    assert train(coloured_rings(), recipe(name, fields, items="graphs"), device="cpu").record.metric.mean == 1.0


def test_nodes_that_differ_in_their_edges_alone_are_told_apart():
    ring = torch.stack([torch.arange(90), (torch.arange(90) + 1) % 90])
    y = torch.arange(90) // 3 % 2
    part = torch.arange(90) % 3
    masks = {of: part == number for number, of in enumerate(("train_mask", "val_mask", "test_mask"))}
    told = Data(x=torch.ones(90, 2), edge_index=ring.flip(0), y=y, edge_attr=y[ring[0]].float() * 2 - 1, **masks)
    fields = {"epochs": 80, "layers": 1, "dropout": 0.0}
    assert train(told, recipe("gin", fields), device="cpu").record.metric.mean > 0.9


def test_drawn_neighbours_come_without_the_features_of_their_edges_and_it_is_said(data):
    data.edge_attr = torch.rand(data.num_edges)
    outcome = train(data, recipe("gin", {"epochs": 1, "fan_out": "3,3", "batch": 16}), device="cpu")
    assert "the model 'gin' does not look at features of edges in batches; gat and gin" in outcome.warnings[0]
