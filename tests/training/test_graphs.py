"""Training on sets of graphs, and the figures beside accuracy."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from graphkit.training import recipe, train
from graphkit.training.graphs import prepare_graphs
from graphkit.training.objectives import OfficialDistance, OfficialRanking, TwoClassRanking, roc_auc
from tests.interruptions import StopAfter


def small(model, **more):
    return recipe(model, {"epochs": 12, "hidden": 8, "layers": 2, "batch": 8, "lr": 0.02, **more}, items="graphs")


@pytest.mark.parametrize(
    "model", ["gin", "gin-large", "gin-virtual", "gin-virtual-large", "gcn", "gcn-virtual", "structure-free"]
)
def test_every_recipe_trains_and_its_record_counts_graphs(graphs, model):
    outcome = train(graphs, small(model, epochs=2), device="cpu")
    assert outcome.record.dataset.graphs == 60
    assert outcome.record.protocol.setting == "inductive"
    assert " graphs), inductive" in str(outcome.record.protocol)


def test_edges_are_learnt_from_and_the_structure_free_model_cannot(graphs):
    assert train(graphs, small("gin"), device="cpu").record.metric.mean > 0.9
    assert train(graphs, small("structure-free"), device="cpu").record.metric.mean < 0.9


def test_a_run_stopped_and_resumed_gives_the_same_numbers(graphs, tmp_path):
    whole = train(graphs, small("gin", epochs=4), seeds=[0, 1], device="cpu").record.metric
    from graphkit.training import Interrupted

    with pytest.raises(Interrupted):
        train(graphs, small("gin", epochs=4), seeds=[0, 1], device="cpu", checkpoint=tmp_path, reporter=StopAfter(6))
    again = train(graphs, small("gin", epochs=4), seeds=[0, 1], device="cpu", checkpoint=tmp_path, resume=True)
    assert again.record.metric == whole


def test_a_recipe_for_nodes_is_refused(graphs):
    with pytest.raises(ValueError, match="for nodes, but the items of the data are graphs"):
        train(graphs, recipe("gcn"), device="cpu")


def test_an_epoch_visits_every_training_graph_once(graphs):
    task, _ = prepare_graphs(graphs, small("gin"), torch.device("cpu"), torch.float32)
    seen = torch.cat([rows.index for rows in task.batches(7)])
    assert len(seen) == len(seen.unique())
    assert len(task.train.y) - len(seen) in (0, 1)


def test_roc_auc_is_scikit_learns_with_ties_too():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(5, (200,), generator=generator).float()
    positive = torch.rand(200, generator=generator) < 0.3
    assert roc_auc(scores, positive).item() == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert roc_auc(scores, torch.ones(200, dtype=torch.bool)).item() == 0.5


def test_two_classes_are_ranked_by_the_difference_of_their_logits():
    logits, y = torch.randn(50, 2), torch.arange(50) % 2
    expected = roc_auc_score(y, logits.softmax(-1)[:, 1])
    assert TwoClassRanking().figure(logits, y).item() == pytest.approx(expected, abs=1e-12)


def test_official_figures_are_ogbs_and_labels_that_are_missing_do_not_count():
    logits, y = torch.randn(50, 1), (torch.arange(50) % 2).float()[:, None]
    ranking = OfficialRanking("ogbg-molhiv")
    assert ranking.figure(logits, y).item() == pytest.approx(roc_auc_score(y, logits))
    holed = y.clone()
    holed[::5] = torch.nan
    kept = ~holed.isnan()
    torch.testing.assert_close(ranking.loss(logits, holed), ranking.loss(logits[kept][:, None], y[kept][:, None]))
    distance = OfficialDistance("ogbg-molesol")
    assert distance.figure(logits, y).item() == pytest.approx(float(distance.loss(logits, y).sqrt()))
    assert distance.sign == -1
