"""Embedding studies: honesty, resumption, baselines, protocols, records, search."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from graphkit.data.graphset import GraphSet
from graphkit.data.splits import Folds, Split
from graphkit.metric import evaluate_retrieval
from graphkit.training import Interrupted, TrainingError, recipe
from graphkit.training.embedding import SavedEmbeddings, embed, embedding_recipe, search
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS
from graphkit.training.embedding.evaluator import EmbeddingEvaluator, overlap
from graphkit.training.embedding.graph_embedding import same_graphs
from graphkit.training.embedding.saved import latest
from tests.interruptions import Meanwhile, StopAfter
from tests.training.studies import embedding_fields

SHORT = embedding_recipe("prototype", {"epochs": 4, "steps": 2, "dim": 4, "hidden": 8})


def run(data, chosen=SHORT, **options):
    return embed(data, chosen, device="cpu", **{"probes": False, **options})


def results(outcome):
    """All but the time it took."""
    return [dataclasses.replace(result, seconds=0.0) for result in outcome.seeds]


@pytest.fixture
def graphs():
    """Rings and stars of five to seven nodes, with one repeated, split in three."""
    generator = torch.Generator().manual_seed(0)
    parts, nodes, edges, y = [], [], [], []
    for number in range(36):
        size, star = 5 + number % 3, number % 2
        ends = torch.stack([torch.zeros(size - 1).long(), torch.arange(1, size)]) if star else ring(size)
        parts.append(torch.cat([ends, ends.flip(0)], dim=1))
        nodes.append(size)
        edges.append(parts[-1].size(1))
        y.append(star)
    x = torch.rand(sum(nodes), 2, generator=generator)
    x[: nodes[0]], x[sum(nodes[:6]) : sum(nodes[:7])] = 1.0, 1.0  # the first and the seventh are the same ring
    data = Data(x=x, edge_index=torch.cat(parts, dim=1), y=torch.tensor(y))
    made = GraphSet(data, nodes=torch.tensor(nodes), edges=torch.tensor(edges))
    part = torch.arange(36) // 2 % 3
    return made.with_split(Split(part == 0, part == 1, part == 2))


def ring(size):
    return torch.stack([torch.arange(size), (torch.arange(size) + 1) % size])


@pytest.mark.parametrize("loss", [name for name, made in EMBEDDINGS.items() if made.objective.labelled])
def test_every_loss_trains_and_beats_the_random_encoder(data, loss):
    fields = {"epochs": 15, "dim": 4, "hidden": 8, "row_normalise": True}
    chosen = embedding_recipe(loss, embedding_fields(loss, fields))
    figures = run(data, chosen, seeds=[2]).record.figures  # this draw is a bad embedding, one with room to improve
    assert figures[loss]["map@r (all)"].mean > 0.2 + figures["random encoder"]["map@r (all)"].mean


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin", "cheb", "mlp"])
def test_any_encoder_is_trained(data, model):
    chosen = embedding_recipe("prototype", {"epochs": 2, "dim": 4, "hidden": 8, "join": "none"}, model=model)
    assert run(data, chosen).embeddings[0].shape == (90, 4)


def test_test_labels_change_neither_training_nor_selection(data):
    honest = run(data, seeds=[0, 1])
    nodes = data.test_mask.nonzero().squeeze()
    data.y[nodes] = data.y[nodes.flip(0)].roll(1)
    permuted = run(data, seeds=[0, 1])
    for before, after in zip(honest.seeds, permuted.seeds, strict=True):
        assert (before.history, before.selected) == (after.history, after.selected)
    assert all(map(torch.equal, honest.embeddings, permuted.embeddings))
    assert honest.record.record.metric != permuted.record.record.metric


def test_the_inductive_setting_never_sees_test_nodes(data):
    before = run(data, inductive=True)
    data.x[data.test_mask] = 7.0
    after = run(data, inductive=True)
    assert before.seeds[0].history == after.seeds[0].history
    assert "inductive" in after.record.record.protocol.setting
    assert run(data).seeds[0].history != before.seeds[0].history


def test_unseen_classes_give_no_label_and_alone_are_examined(data):
    before = run(data, disjoint=1)
    unseen = int(before.record.record.protocol.setting.split("classes ")[1].split()[0])
    expected = evaluate_retrieval(before.embeddings[0], torch.where(data.y == unseen, data.y, -1), metrics=["ranking"])
    assert before.seeds[0].figures["prototype"]["map@r (all)"] == expected.map_at_r
    assert set(before.y.tolist()) == {-1, unseen}
    with pytest.raises(ValueError, match="`disjoint` must leave two of the 3 classes"):
        run(data, disjoint=2)


def test_neighbours_are_left_out_on_request(data):
    outcome = run(data, without_neighbours=True)
    pairs = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1)
    expected = evaluate_retrieval(outcome.embeddings[0], data.y, exclude=pairs, metrics=["ranking"]).map_at_r
    assert outcome.seeds[0].figures["prototype"]["map@r (all)"] == expected


def test_baselines_stand_beside_and_the_classifier_is_that_of_train(data):
    outcome = run(data, seeds=[3], beside=[recipe("gcn", {"epochs": 3})])
    beside = ["raw features", "random encoder", "best view", "ridge on views", "gcn, cross-entropy"]
    assert list(outcome.record.figures) == [*beside, "prototype, not joined", "prototype"]
    raw = evaluate_retrieval(data.x, data.y, metrics=["ranking"])
    assert outcome.seeds[0].figures["raw features"]["map@r (all)"] == raw.map_at_r


def test_a_seed_gives_the_same_alone_and_among_others_and_leaves_the_generator_alone(data):
    before = torch.get_rng_state()
    assert results(run(data, seeds=[3]))[0] == results(run(data, seeds=[2, 3]))[1]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("stop", [2, 5])
def test_an_interrupted_run_resumes_to_the_same_bits(data, tmp_path, stop):
    whole = run(data, seeds=[0, 1], run_dir=tmp_path / "whole")
    with pytest.raises(Interrupted, match="resume from"):
        run(data, seeds=[0, 1], run_dir=tmp_path / "halved", reporter=StopAfter(stop))
    resumed = run(data, seeds=[0, 1], run_dir=tmp_path / "halved", resume=True)
    assert results(resumed) == results(whole)
    for name in ("seed-0", "seed-1", "embeddings-0", "embeddings-1"):
        file = f"{name}.safetensors"
        assert (tmp_path / "halved" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.parametrize("resume", [False, True])
def test_one_run_at_a_time_embeds_into_a_folder(data, tmp_path, resume):
    tried = []

    def another():
        with pytest.raises(ValueError, match="`run_dir`: another process trains into"):
            run(data, run_dir=tmp_path, resume=resume)
        tried.append(resume)

    with pytest.raises(Interrupted):
        run(data, run_dir=tmp_path, reporter=Meanwhile(another))
    assert tried == [resume]
    assert results(run(data, run_dir=tmp_path, resume=True)) == results(run(data))


def test_a_loss_that_is_not_finite_is_told(data, tmp_path):
    chosen = embedding_recipe("prototype", {"lr": 1e30, "epochs": 5, "consistency": 0.0})
    with pytest.raises(TrainingError, match=r"seed 0: the loss is not finite in epoch .* smaller `lr`"):
        run(data, chosen, run_dir=tmp_path)


def test_batches_of_classes_are_trained_on(data):
    chosen = SHORT.with_({"ways": 2, "shots": 3})
    assert run(data, chosen).seeds[0].history != run(data).seeds[0].history


def test_records_hold_what_design_asks_for(data, tmp_path):
    record = run(data, seeds=[0, 1]).record
    record.write(tmp_path / "record.json")
    content = json.loads((tmp_path / "record.json").read_text())
    wanted = {"command", "dataset", "protocol", "metric", "selection", "config", "seeds", "figures", "level"}
    assert wanted <= content.keys()
    assert content["metric"]["name"] == "map@r"
    assert len(content["metric"]["values"]) == 2
    assert content["config"]["loss"] == "prototype"
    assert set(content["figures"]["prototype"]) == set(content["figures"]["raw features"])


def test_saved_embeddings_are_searched(data, tmp_path):
    outcome = run(data, seeds=[1, 0], run_dir=tmp_path)
    saved = SavedEmbeddings.read(latest(tmp_path))
    assert torch.equal(saved.z, outcome.embeddings[1])
    assert (saved.about["loss"], saved.about["seed"]) == ("prototype", "0")
    unit = F.normalize(saved.z.double(), dim=1)
    distance = 1 - unit @ unit[7]
    distance[7] = torch.inf
    found = search(saved, 7, 5)
    assert [each.item for each in found] == distance.argsort()[:5].tolist()
    assert [each.label for each in found] == saved.y[distance.argsort()[:5]].tolist()
    with pytest.raises(ValueError, match="`query` must be an item from 0 to 89"):
        search(saved, 90)
    with pytest.raises(ValueError, match="holds no embeddings but"):
        SavedEmbeddings.read(tmp_path / "seed-0.safetensors")
    with pytest.raises(ValueError, match="holds no embeddings; make some"):
        latest(tmp_path / "nothing")


def test_graphs_are_embedded_whole(graphs):
    fields = {"epochs": 5, "dim": 4, "hidden": 8, "ways": 2, "shots": 4, "join": "none"}
    chosen = embedding_recipe("prototype", fields, level="graph")
    outcome = run(graphs, chosen)
    assert outcome.embeddings[0].shape == (36, 4)
    assert outcome.record.level == "graph"
    assert outcome.record.record.dataset.graphs == 36
    assert outcome.record.figures["prototype"]["map@r (all)"].mean > 0.9
    with pytest.raises(ValueError, match="are for nodes"):
        run(graphs, chosen, disjoint=1)


def test_each_seed_has_the_fold_of_its_number(graphs):
    chosen = embedding_recipe("prototype", {"epochs": 3, "dim": 4, "hidden": 8, "ways": 2, "shots": 4}, level="graph")
    splits = [Folds(folds=3, val=0.3).of_seed(graphs.items, seed) for seed in range(3)]
    outcome = run(graphs, chosen, splits=splits, seeds=range(3))
    alone = run(graphs.with_split(splits[1]), chosen, seeds=[1])
    assert outcome.seeds[1].figures == alone.seeds[0].figures
    assert outcome.seeds[0].figures["raw features"] != outcome.seeds[1].figures["raw features"]
    protocol = outcome.record.record.protocol
    assert protocol.split == "folds(folds=3, fold=0|1|2, val=0.3, seed=0)"
    assert protocol.fingerprint != alone.record.record.protocol.fingerprint
    with pytest.raises(ValueError, match="one split per seed"):
        run(graphs, chosen, splits=splits)


def test_graphs_that_are_the_same_do_not_answer_each_other(graphs):
    pairs = same_graphs(graphs)
    assert sorted(map(tuple, pairs.T.tolist())) == [(0, 6), (6, 0)]


def test_overlap_is_one_minus_the_area_under_the_curve(generator):
    from sklearn.metrics import roc_auc_score

    z, y = torch.randn(30, 3, generator=generator), torch.arange(30) % 3
    unit = F.normalize(z.double(), dim=1)
    upper = torch.triu_indices(30, 30, 1)
    distance = (1 - unit @ unit.T)[upper[0], upper[1]]
    truth = y[upper[0]] != y[upper[1]]
    assert overlap(z, y) == pytest.approx(1 - roc_auc_score(truth, distance))


def test_the_vote_and_the_probe_learn_from_training_labels_alone(generator):
    y = torch.arange(40) % 2
    z = F.one_hot(y, 2).float() + 0.01 * torch.randn(40, 2, generator=generator)
    train = torch.arange(40) < 20
    z[:20] = z[:20].flip(1)  # what training labels say is the opposite of what test items are
    figures = EmbeddingEvaluator(y, train, ~train).figures(z)
    assert figures["knn (test)"] == figures["probe (test)"] == 0.0


def test_fields_that_do_not_exist_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'margin'"):
        embedding_recipe("triplet", {"margn": 0.1})
    with pytest.raises(ValueError, match="`margin` must be at least 0"):
        embedding_recipe("triplet", {"margin": -1})
    with pytest.raises(ValueError, match="Did you mean 'triplet'"):
        embedding_recipe("triplets")
    with pytest.raises(ValueError, match="`margin`"):
        embedding_recipe("triplet", {"margin": float("nan")})


def test_a_recipe_says_all_its_fields_once():
    fields = embedding_recipe("quadruplet", {"dim": 8}, model="gat").as_dict()
    assert (fields["loss"], fields["model"], fields["dim"], fields["heads"]) == ("quadruplet", "gat", 8, 8)
