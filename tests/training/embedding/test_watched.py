"""What stands beside a trained embedding, and what is watched while it is trained."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from graphkit.metric import evaluate_retrieval, telemetry
from graphkit.training import recipe
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.classifier_baselines import classifier_logits
from graphkit.training.embedding.embedding_setup import training_view
from graphkit.training.embedding.embedding_trainer import LIES
from graphkit.training.engine.distributed import fabric_on

SMALL = {"epochs": 4, "steps": 2, "dim": 4, "hidden": 8}
WITHOUT_LABELS = embedding_recipe("dgi", {"epochs": 3, "dim": 8})
WATCHED = LIES


def run(data, chosen, **options):
    return embed(data, chosen, device="cpu", **{"probes": False, **options})


@pytest.mark.parametrize("options", [{}, {"inductive": True}, {"disjoint": 1}, {"without_neighbours": True}])
def test_another_embedding_beside_is_that_of_its_own_study(data, options):
    others = [recipe("gcn"), WITHOUT_LABELS, embedding_recipe("contrastive", SMALL)]
    together = run(data, embedding_recipe("triplet", SMALL), beside=others, seeds=[0, 1], **options)
    beside = ["dgi, random encoder", "dgi", "contrastive, random encoder", "contrastive"]
    solved = [] if "disjoint" in options else ["ridge on views"]
    names = ["raw features", "random encoder", "best view", *solved, "gcn, cross-entropy", *beside]
    names += ["triplet, not joined", "triplet"]
    assert list(together.record.figures) == names
    for other in others[1:]:
        alone = run(data, other, seeds=[0, 1], **options)
        for own, there in ((other.name, other.name), ("random encoder", f"{other.name}, random encoder")):
            assert [each.figures[own] for each in alone.seeds] == [e.figures[there] for e in together.seeds]
    if "disjoint" not in options:  # there one class is left, of which every embedding has the same figures
        assert together.record.figures["dgi, random encoder"] != together.record.figures["random encoder"]


def test_a_classifier_beside_sees_no_more_than_the_embedding(data):
    """Neither the labels of unseen classes nor, in the inductive setting, the edges of test nodes."""
    classifier, chosen = recipe("gcn", {"epochs": 5}), embedding_recipe("triplet", SMALL)

    def logits(data, **options):
        seen = training_view(data, **options)
        return classifier_logits(data, seen, classifier, 0, fabric_on("cpu", "32-true"))

    outcome = run(data, chosen, beside=[classifier], disjoint=1)
    unseen = outcome.y.max()
    before, other = logits(data, disjoint=1), data.clone()
    other.train_mask = data.train_mask & (data.y != unseen)
    other.val_mask = data.val_mask & (data.y != unseen)
    assert torch.equal(logits(other), before)
    assert not torch.equal(logits(data), before)
    expected = evaluate_retrieval(before, torch.where(data.y == unseen, data.y, -1), metrics=["ranking"]).map_at_r
    assert outcome.seeds[0].figures["gcn, cross-entropy"]["map@r (all)"] == expected
    hidden = training_view(data, inductive=True)
    assert not data.test_mask[hidden.edge_index].any()
    kept = (~data.test_mask[data.edge_index]).all(0)
    assert torch.equal(hidden.edge_index, data.edge_index[:, kept])
    assert not torch.equal(logits(data, inductive=True), logits(data))


def test_nothing_stands_beside_itself(data):
    for beside in ([WITHOUT_LABELS], [recipe("gcn"), recipe("gcn")]):
        with pytest.raises(ValueError, match="`beside` must name each once, and not 'dgi' itself"):
            run(data, WITHOUT_LABELS, beside=beside)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "quadruplet", "supcon", "circle", "prototype"])
def test_every_epoch_says_how_the_training_items_lie_and_what_the_loss_still_acts_on(data, loss):
    chosen = embedding_recipe(loss, {**SMALL, "join": "none"})
    outcome = run(data, chosen)
    result = outcome.seeds[0]
    z, y = F.normalize(outcome.embeddings[0][data.train_mask], dim=1), data.y[data.train_mask]
    expected = chosen.objective.criterion().report(z, y)
    for name in WATCHED:
        found = getattr(result.history[result.selected - 1], name)
        assert found == pytest.approx(getattr(expected, name), rel=1e-5, abs=1e-6), name
    assert all(0 < epoch.active <= 1 for epoch in result.history[:1])


def test_without_labels_the_classes_are_watched_but_nothing_is_active(data):
    outcome = run(data, WITHOUT_LABELS)
    z, y = F.normalize(outcome.embeddings[0][data.train_mask], dim=1), data.y[data.train_mask]
    last = outcome.seeds[0].history[-1]
    assert last.active is None
    assert last.effective_rank == pytest.approx(telemetry(z, y).effective_rank, rel=1e-5)
    assert "active" not in outcome.record.telemetry["selected"]


def test_what_is_watched_stands_in_the_record_for_the_first_and_the_selected_epoch(data, tmp_path):
    outcome = run(data, embedding_recipe("triplet", SMALL), seeds=[0, 1])
    outcome.record.write(tmp_path / "record.json")
    written = json.loads((tmp_path / "record.json").read_text())["telemetry"]
    for when, epochs in (("first", [1, 1]), ("selected", [each.selected for each in outcome.seeds])):
        assert list(written[when]) == list(WATCHED)
        for name in WATCHED:
            expected = [getattr(e.history[n - 1], name) for e, n in zip(outcome.seeds, epochs, strict=True)]
            assert written[when][name]["values"] == expected


def test_watching_changes_nothing_that_is_trained(data, monkeypatch):
    """A miner that draws would take random numbers from the epochs after it."""
    chosen = embedding_recipe("triplet", {**SMALL, "mining": "distance-weighted"})
    whole = run(data, chosen)
    monkeypatch.setattr("graphkit.training.embedding.embedding_trainer.WATCHED", 6)
    assert torch.equal(run(data, chosen).embeddings[0], whole.embeddings[0])
