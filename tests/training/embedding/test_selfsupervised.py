"""Embeddings without labels: what they may see, how they resume, and the probe that validation selects."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from graphkit.training import Interrupted
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS
from graphkit.training.embedding.evaluator import DECAYS, tuned_probe
from tests.interruptions import StopAfter

UNLABELLED = [name for name, made in EMBEDDINGS.items() if not made.objective.labelled]


def short(loss, **fields):
    hidden = {} if loss == "dgi" else {"hidden": 8}  # its encoder has one layer
    return embedding_recipe(loss, {"epochs": 3, "dim": 6, **hidden, **fields})


def run(data, chosen, **options):
    return embed(data, chosen, device="cpu", **{"probes": False, **options})


def moved(data):
    """The same graph, its training and test labels given to other nodes."""
    changed = data.clone()
    for mask in (data.train_mask, data.test_mask):
        nodes = mask.nonzero().squeeze()
        changed.y[nodes] = data.y[nodes].roll(1)
    return changed


@pytest.mark.parametrize("loss", UNLABELLED)
def test_labels_change_nothing_but_the_figures(data, loss):
    first, second = (run(each, short(loss)) for each in (data, moved(data)))
    assert [epoch.train_loss for epoch in first.seeds[0].history] == [e.train_loss for e in second.seeds[0].history]
    assert torch.equal(first.embeddings[0], second.embeddings[0])
    assert first.record.figures[loss] != second.record.figures[loss]
    assert first.record.record.selection == "last epoch"


@pytest.mark.parametrize("loss", UNLABELLED)
def test_the_inductive_setting_never_sees_test_nodes(data, loss):
    before = run(data, short(loss), inductive=True)
    changed = data.clone()
    changed.x[data.test_mask] = 7.0
    after = run(changed, short(loss), inductive=True)
    assert [epoch.train_loss for epoch in before.seeds[0].history] == [e.train_loss for e in after.seeds[0].history]
    assert not torch.equal(before.embeddings[0], after.embeddings[0])


@pytest.mark.parametrize("loss", ["ccassg", "bgrl"])
def test_an_interrupted_run_resumes_to_the_same_bits(data, tmp_path, loss):
    whole = run(data, short(loss))
    with pytest.raises(Interrupted):
        run(data, short(loss), run_dir=tmp_path, reporter=StopAfter(2))
    resumed = run(data, short(loss), run_dir=tmp_path, resume=True)
    assert torch.equal(resumed.embeddings[0], whole.embeddings[0])
    assert resumed.seeds[0].history == whole.seeds[0].history


def test_any_encoder_of_edges_stands_under_a_loss_without_labels(data):
    chosen = embedding_recipe("ccassg", {"epochs": 2, "dim": 6, "hidden": 8}, model="sage")
    assert (chosen.encoder.name, chosen.encoder.model.dropout, chosen.encoder.lr) == ("sage", 0.0, 1e-3)
    assert run(data, chosen).embeddings[0].shape == (90, 6)


def test_what_draws_no_views_is_refused():
    with pytest.raises(ValueError, match="`model` 'spectral' prepares the graph once"):
        embedding_recipe("grace", model="spectral")
    with pytest.raises(ValueError, match="for whole graphs take one with labels"):
        embedding_recipe("dgi", level="graph")


def test_the_tuned_probe_stands_beside_in_the_closed_setting_alone(data):
    closed = run(data, short("dgi"), probes=True)
    assert all("tuned probe (test)" in figures for figures in closed.record.figures.values())
    unseen = run(data, short("dgi"), probes=True, disjoint=1)
    assert "tuned probe (test)" not in unseen.record.figures["dgi"]


def test_the_tuned_probe_is_the_best_epoch_by_validation_of_the_better_decay(data):
    """Written out: Adam on a linear map, looked at after each step."""
    z = torch.randn(90, 5, generator=torch.Generator().manual_seed(0)) + torch.eye(5)[data.y]
    tried = []
    for decay in DECAYS:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            from torch_geometric.nn import Linear

            linear = Linear(5, 3)
        optimizer = torch.optim.Adam(linear.parameters(), lr=0.01, weight_decay=decay)
        for _ in range(1000):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(linear(z[data.train_mask]), data.y[data.train_mask]).backward()
            optimizer.step()
            with torch.no_grad():
                found = linear(z)
            right = (found.argmax(-1) == data.y).float()
            loss = torch.nn.functional.cross_entropy(found[data.val_mask], data.y[data.val_mask])
            tried.append((-right[data.val_mask].mean().item(), loss.item(), right[data.test_mask].mean().item()))
    expected = min(tried, key=lambda each: each[:2])[2]
    masks = (data.train_mask, data.val_mask, data.test_mask)
    assert tuned_probe(z, data.y, masks) == pytest.approx(expected, abs=2 / int(data.test_mask.sum()))


def test_test_labels_do_not_move_the_tuned_probe(data):
    """It answers for each test item as before: with one test label changed, the figure moves by one item at most."""
    z = torch.randn(90, 5, generator=torch.Generator().manual_seed(0)) + torch.eye(5)[data.y]
    masks = (data.train_mask, data.val_mask, data.test_mask)
    before = tuned_probe(z, data.y, masks)
    changed = data.y.clone()
    item = int(data.test_mask.nonzero()[0])
    changed[item] = (changed[item] + 1) % 3
    assert abs(tuned_probe(z, changed, masks) - before) <= 1 / int(data.test_mask.sum()) + 1e-9


def test_a_recipe_with_other_sizes_keeps_its_objective():
    changed = embedding_recipe("bgrl", {"momentum": 0.9, "hidden": 32})
    assert changed.objective == dataclasses.replace(EMBEDDINGS["bgrl"].objective, momentum=0.9)


def test_a_view_of_the_diffused_graph_is_asked_for_by_its_restarts(data):
    plain, diffused = (run(data, short("grace", teleport=chance)) for chance in (0.0, 0.15))
    assert plain.seeds[0].history[0].train_loss != diffused.seeds[0].history[0].train_loss
