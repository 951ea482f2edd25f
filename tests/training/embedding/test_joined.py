"""Rows of a view beside an embedding: what they do to similarities, who decides on them, and what they never cost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphkit.nn.view_rows import ViewRows
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, RULES
from graphkit.training.embedding.joined_rows import NodeRows, best_share, join_rows, selection_figure
from tests.training.studies import communities

SMALL = {"epochs": 3, "steps": 2, "dim": 4, "hidden": 8}
LABELLED = [name for name, made in EMBEDDINGS.items() if made.objective.labelled]


def run(data, loss="prototype", fields=SMALL, **options):
    return embed(data, embedding_recipe(loss, fields), device="cpu", **{"probes": False, **options})


def shuffled(data):
    """Return the graph with features that say little: rows of half of the nodes change places."""
    order = torch.arange(data.num_nodes)
    order[::2] = order[::2].flip(0)
    data.x = data.x[order]
    return data


def plain(data):
    """Return the graph without an edge."""
    data.edge_index = data.edge_index[:, :0]
    return data


GRAPHS = {
    "communities": lambda: communities(90),
    "shuffled": lambda: shuffled(communities(90)),
    "no edges": lambda: plain(communities()),
}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_a_share_is_that_of_the_similarity(share, generator):
    z, rows = torch.randn(9, 3, generator=generator), F.normalize(torch.randn(9, 5, generator=generator), dim=1)
    joined = F.normalize(join_rows(z, rows, share), dim=1)
    z = F.normalize(z, dim=1)
    assert torch.allclose(joined @ joined.T, (1 - share) * z @ z.T + share * rows @ rows.T, atol=1e-6)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("loss", LABELLED)
def test_no_embedding_is_below_its_rows_or_its_encoder_on_validation_items(loss, name):
    data = GRAPHS[name]()
    outcome = run(data, loss)
    labelled = torch.cat([data.val_mask.nonzero(), data.train_mask.nonzero()]).squeeze(1)
    queries, y = torch.arange(int(data.val_mask.sum())), data.y[labelled]

    def figure(z):
        return selection_figure(z[labelled], y, queries, "both")

    alone = run(data, loss, {**SMALL, "join": "none"})
    module = ViewRows(data.num_features, width=128).fit(data.x, data.edge_index)
    views = {view: figure(module.rows(view, data.x, data.edge_index)) for view in module.views}
    best = outcome.seeds[0].view
    assert views[best] == max(views.values())
    assert figure(outcome.embeddings[0]) >= max(views[best], figure(alone.embeddings[0]))


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_decides_on_the_share(rule):
    data = communities(90)
    outcome = run(data, "triplet", {**SMALL, "join": rule})
    assert f"rows of a view joined by highest validation {RULES[rule]}" in outcome.record.record.selection
    assert outcome.record.views == ({"view": outcome.seeds[0].view, "share": outcome.seeds[0].share},)


def test_nothing_is_joined_unless_asked_for_where_no_labels_are_used():
    data = communities(60)
    outcome = run(data, "dgi", {"epochs": 2, "dim": 4})
    assert (outcome.embeddings[0].size(1), outcome.seeds[0].share) == (4, 0.0)
    assert list(outcome.record.figures) == ["raw features", "random encoder", "best view", "dgi"]
    assert run(data, "dgi", {"epochs": 2, "dim": 4, "join": "both"}).seeds[0].share > 0


@pytest.mark.parametrize("options", [{"disjoint": [2]}, {"disjoint": [2, 3]}, {"disjoint": [1, 3], "inductive": True}])
def test_labels_of_unseen_classes_decide_nothing(options):
    """Four classes of six are left, or five; halves of them are in turn left out of training."""
    data = communities(120)
    data.y = data.y + 2 * (torch.arange(120) % 3)
    before = run(data, **options)
    unseen = torch.isin(data.y, torch.tensor(options["disjoint"]))
    data.y[unseen] = data.y[unseen].flip(0).roll(1)
    after = run(data, **options)
    assert torch.equal(before.embeddings[0], after.embeddings[0])
    assert before.record.views == after.record.views


@pytest.mark.parametrize("classes", [3, 4])
def test_with_fewer_than_four_classes_to_train_on_new_ones_are_seen_by_rows_alone(classes):
    """Of three, two that are left out would have to be told apart by an encoder of one class."""
    data = communities(90, classes=classes)
    outcome = run(data, disjoint=1)
    assert outcome.seeds[0].share == 1.0
    figures = outcome.seeds[0].figures
    assert figures["prototype"] == figures["best view"]


def test_rows_are_fitted_to_what_training_sees_and_made_of_all_nodes():
    data = communities(90)
    found = run(data, "triplet", inductive=True)
    data.x = torch.where(data.test_mask[:, None], 7.0, data.x)
    assert run(data, "triplet", inductive=True).record.views == found.record.views
    model = found.models[0]
    assert model.joined is not None
    data = communities(90)
    seen = (~data.test_mask).nonzero().squeeze(1)
    part = data.subgraph(seen)
    expected = ViewRows(data.num_features, width=128).fit(part.x, part.edge_index)
    assert all(torch.equal(value, model.joined.state[name]) for name, value in expected.state_dict().items())
    rows = NodeRows(data, ~data.test_mask)
    assert torch.equal(rows.of(model.view), expected.rows(model.view, data.x, data.edge_index))


def test_of_equal_shares_the_smallest_is_taken():
    assert best_share({0.5: 0.7, 0.2: 0.7, 0.0: 0.1, 1.0: 0.7}) == 0.2
