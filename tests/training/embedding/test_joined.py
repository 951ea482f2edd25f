"""Rows of a view beside an embedding: what they do to similarities, who decides on them, and what they never cost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphkit._torch_internals import joined_graphs
from graphkit.nn.view_rows import ViewRows
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, RULES
from graphkit.training.embedding.graph_rows import GraphRows
from graphkit.training.embedding.joined_rows import (
    SOLVED_SHARES,
    VIEW_SHARES,
    Shares,
    best_shares,
    join_rows,
    selection_figure,
)
from graphkit.training.embedding.node_rows import WIDTH, NodeRows
from tests.training.studies import communities, embedding_fields, rings_and_stars

SMALL = {"epochs": 3, "steps": 2, "dim": 4, "hidden": 8}
LABELLED = [name for name, made in EMBEDDINGS.items() if made.objective.labelled]


def run(data, loss="prototype", fields=SMALL, **options):
    return embed(
        data, embedding_recipe(loss, embedding_fields(loss, fields)), device="cpu", **{"probes": False, **options}
    )


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
    joined = F.normalize(join_rows((z, 1 - share), (rows, share)), dim=1)
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
    module = ViewRows(data.num_features, width=WIDTH).fit(data.x, data.edge_index)
    views = {view: figure(module.rows(view, data.x, data.edge_index)) for view in module.views}
    best = outcome.seeds[0].view
    assert views[best] == max(views.values())
    beside = [views[best], figure(alone.embeddings[0])]
    if loss != "ridge":
        beside.append(figure(run(data, "ridge", {"join": "none", "select": "both", "epochs": 2}).embeddings[0]))
    assert figure(outcome.embeddings[0]) >= max(beside)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_decides_on_the_share(rule):
    data = communities(90)
    outcome = run(data, "triplet", {**SMALL, "join": rule})
    assert f"a view and shares by highest validation {RULES[rule]}" in outcome.record.record.selection
    seed = outcome.seeds[0]
    assert outcome.record.views == ({"view": seed.view, "share": seed.share, "ridge": seed.solved},)


def test_nothing_is_joined_unless_asked_for_where_no_labels_are_used():
    data = communities(60)
    outcome = run(data, "dgi", {"epochs": 2, "dim": 4})
    assert (outcome.embeddings[0].size(1), outcome.seeds[0].share) == (4, 0.0)
    assert list(outcome.record.figures) == ["raw features", "random encoder", "best view", "dgi"]
    joined = run(data, "dgi", {"epochs": 2, "dim": 4, "join": "both"}).seeds[0]
    assert joined.share + joined.solved > 0


@pytest.mark.parametrize("options", [{"disjoint": [2]}, {"disjoint": [2, 3]}, {"disjoint": [1, 3], "inductive": True}])
def test_labels_of_unseen_classes_decide_nothing(options):
    """Six classes of eight are left, or seven; halves of them are in turn left out of training."""
    data = communities(160)
    data.y = data.y + 2 * (torch.arange(160) // 2 % 4)
    before = run(data, **options)
    unseen = torch.isin(data.y, torch.tensor(options["disjoint"]))
    data.y[unseen] = data.y[unseen].flip(0).roll(1)
    after = run(data, **options)
    assert torch.equal(before.embeddings[0], after.embeddings[0])
    assert before.record.views == after.record.views


@pytest.mark.parametrize("classes", [3, 6])
def test_with_fewer_than_six_classes_to_train_on_new_ones_are_seen_by_rows_alone(classes):
    """Halves of two classes say too little of an encoder of two others."""
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
    expected = ViewRows(data.num_features, width=WIDTH).fit(part.x, part.edge_index)
    assert all(torch.equal(value, model.joined.state[name]) for name, value in expected.state_dict().items())
    rows = NodeRows(data, ~data.test_mask)
    assert torch.equal(rows.of(model.view), expected.rows(model.view, data.x, data.edge_index))


@pytest.mark.parametrize("solved", [False, True])
def test_of_all_shares_the_best_are_found_where_one_helps_whatever_the_other(solved):
    """What is best of each alone is best of both; of equal figures the most even shares are taken."""

    def figure(shares):
        left = shares.solved / (1 - shares.view) if shares.view < 1 else 0
        return -abs(shares.view - 0.35) - abs(left - 0.5)

    every = [Shares(view, (1 - view) * left) for view in VIEW_SHARES for left in (SOLVED_SHARES if solved else [0.0])]
    assert best_shares(figure, solved=solved) == max(every, key=figure)
    even = Shares(0.35, 0.325) if solved else Shares(0.5)
    assert best_shares(lambda shares: 1.0, solved=solved) == even
    assert best_shares(lambda shares: float(shares.view > 0), solved=solved) == even
    assert best_shares(lambda shares: float(shares.view > 0.7), solved=solved).view == 0.8
    assert best_shares(lambda shares: float(shares.encoder), solved=solved) == Shares()


def test_classes_that_training_never_saw_are_told_by_no_regression_on_others():
    data = communities(120)
    data.y = data.y + 2 * (torch.arange(120) % 3)
    outcome = run(data, disjoint=[2])
    assert "ridge on views" not in outcome.record.figures
    assert outcome.seeds[0].solved == 0.0
    assert "half the training classes" in outcome.record.record.selection


@pytest.mark.parametrize("loss", ["softmax", "ridge"])
def test_an_embedding_of_classes_is_as_wide_as_there_are(loss):
    data = communities(90)
    outcome = run(data, loss, {**SMALL, "join": "none"})
    assert outcome.embeddings[0].shape == (90, int(data.y.max()) + 1)
    assert outcome.embeddings[0].sum(1).abs().max() < 1e-5
    assert "dim" not in outcome.record.record.config
    with pytest.raises(ValueError, match="`dim` decides nothing in the recipe"):
        embedding_recipe(loss, {"dim": 4})


def test_ridge_regression_is_solved_for_and_takes_no_other_encoder():
    with pytest.raises(ValueError, match="`loss` 'ridge' is solved for on 'view-ridge'; leave `model` out"):
        embedding_recipe("ridge", model="gcn")
    with pytest.raises(ValueError, match="for whole graphs take one with labels and steps"):
        embedding_recipe("ridge", level="graph")
    for field in ("lr", "steps", "ways", "shots", "hidden", "l2"):
        with pytest.raises(ValueError, match=f"`{field}`"):
            embedding_recipe("ridge", {field: 1})
    data = communities(90)
    outcomes = [run(data, "ridge", {"join": "none"}, seeds=[seed]) for seed in (0, 5)]
    assert torch.equal(outcomes[0].embeddings[0], outcomes[1].embeddings[0])
    assert len(outcomes[0].seeds[0].history) == 5


@pytest.mark.parametrize("loss", [name for name in LABELLED if name != "ridge"])
def test_no_embedding_of_graphs_is_below_what_takes_no_training_on_validation_items(loss):
    data = rings_and_stars(classes=4)
    fields = {"epochs": 2, "steps": 2, "dim": 4, "hidden": 4}
    made = embedding_recipe(loss, embedding_fields(loss, fields, "graph"), level="graph")
    alone = embed(data, made.with_({"join": "none"}), device="cpu", probes=False)
    outcome = embed(data, made, device="cpu", probes=False)
    labelled = torch.cat([data.split.val.nonzero(), data.split.train.nonzero()]).squeeze(1)
    queries, y = torch.arange(int(data.split.val.sum())), data.items.y[labelled]
    rows = GraphRows(data, data.split.train)

    def figure(z):
        return selection_figure(z[labelled], y, queries, "both")

    views = {view: figure(rows.of(view)) for view in rows.views}
    assert views[outcome.seeds[0].view] == max(views.values())
    assert figure(outcome.embeddings[0]) >= max(*views.values(), figure(alone.embeddings[0]))
    assert list(outcome.record.figures)[2:] == ["best view", "wl-forest", f"{loss}, not joined", loss]
    again = outcome.models[0].embed(data, device="cpu")
    assert torch.equal(again, outcome.embeddings[0])


def test_what_is_fitted_to_graphs_looks_at_training_graphs_alone():
    data = rings_and_stars(classes=4)
    before = {name: value.clone() for name, value in GraphRows(data, data.split.train).state().items()}
    part = torch.repeat_interleave(~data.split.train, data.nodes)
    joined_graphs(data).x[part] = 7.0
    after = GraphRows(data, data.split.train).state()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
