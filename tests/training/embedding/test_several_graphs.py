"""Embedding the nodes of several graphs in one space: what training sees, who asks whom, a graph that is held out."""

from __future__ import annotations

import json

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import Split, disjoint_union, load
from graphkit.metric import evaluate_retrieval
from graphkit.training import recipe
from graphkit.training.embedding import SavedEmbeddings, embed, embedding_recipe
from graphkit.training.embedding.embedding_setup import node_setting
from graphkit.training.embedding.evaluator import EmbeddingEvaluator

SHORT = embedding_recipe("triplet", {"epochs": 3, "steps": 2, "dim": 4, "hidden": 8})


def graph(seed, nodes=60):
    """Communities of one of three classes, whose words are the same in every graph."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % 3
    joined = torch.rand(nodes, nodes, generator=drawn) < torch.where(y[:, None] == y, 0.2, 0.02)
    joined = joined.triu(1)
    x = (torch.rand(nodes, 12, generator=drawn) < 0.1 + 0.3 * (torch.arange(12) % 3 == y[:, None])).float()
    part = torch.arange(nodes) // 3 % 3
    data = Data(x=x, edge_index=(joined | joined.T).nonzero().T.contiguous(), y=y)
    return Split(part == 0, part == 1, part == 2).apply(data)


@pytest.fixture
def graphs():
    return {"a": graph(0), "b": graph(1), "c": graph(2)}


def run(data, chosen=SHORT, **options):
    return embed(data, chosen, device="cpu", **{"probes": False, **options})


def test_several_graphs_are_embedded_in_one_space(graphs):
    outcome = run(graphs, embedding_recipe("triplet", {"epochs": 15, "dim": 4, "hidden": 8, "join": "none"}))
    assert outcome.embeddings[0].shape == (180, 4)
    record = outcome.record.record
    assert (record.dataset.graphs, record.dataset.nodes) == (3, 180)
    assert record.protocol.setting == "transductive; graphs a, b, c as one"
    assert (record.protocol.train, record.protocol.test) == (63, 54)
    for figure in ("map@r (within)", "map@r (across)", "hit@1 (across)"):
        figures = outcome.record.figures
        assert figures["triplet"][figure].mean > 0.2 + figures["raw features"][figure].mean


def test_within_and_across_are_who_may_answer(graphs, generator):
    union = disjoint_union(graphs)
    z = torch.randn(180, 3, generator=generator)
    found = EmbeddingEvaluator(
        union.y, union.train_mask, union.test_mask, part=union.part, graphs=tuple("abc")
    ).figures(z, probes=False)
    within, across = [], []
    for query in union.test_mask.nonzero().squeeze(1):
        for own, gathered in ((True, within), (False, across)):
            items = (union.part == union.part[query]) == own
            gathered.append(evaluate_retrieval(z, union.y, queries=query[None], gallery=items, metrics=["ranking"]))
    for name, gathered in (("within", within), ("across", across)):
        for figure in ("map@r", "hit@1"):
            expected = sum(each[figure] for each in gathered) / len(gathered)
            assert found[f"{figure} ({name})"] == pytest.approx(expected)
    of_b = [
        each["map@r"] for query, each in zip(union.test_mask.nonzero(), within, strict=True) if union.part[query] == 1
    ]
    assert found["map@r (within b)"] == pytest.approx(sum(of_b) / len(of_b))


def test_where_no_other_graph_has_a_class_there_is_no_figure_across(generator):
    y, part = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 1])
    everything = torch.ones(5, dtype=torch.bool)
    found = EmbeddingEvaluator(y, everything, everything, part=part, graphs=("a", "b")).figures(
        torch.randn(5, 2, generator=generator), probes=False
    )
    assert "map@r (within)" in found
    assert "map@r (across)" not in found


def test_one_graph_of_a_family_is_what_it_is_alone(graphs):
    alone, among = run(graphs["b"]), run({"b": graphs["b"]})
    assert torch.equal(alone.embeddings[0], among.embeddings[0])


def test_labels_of_a_graph_that_is_held_out_change_nothing_but_the_figures(graphs):
    before = run(graphs, held_out="c", beside=[recipe("gcn", {"epochs": 3})])
    graphs["c"].y = graphs["c"].y.roll(1)
    after = run(graphs, held_out="c", beside=[recipe("gcn", {"epochs": 3})])
    assert before.seeds[0].history == after.seeds[0].history
    assert torch.equal(before.embeddings[0], after.embeddings[0])
    assert before.record.record.metric != after.record.record.metric
    assert before.test.nonzero().squeeze(1).tolist() == list(range(120, 180))
    assert before.record.record.protocol.train == 42


def test_inductive_training_sees_nothing_of_a_graph_that_is_held_out(graphs):
    before = run(graphs, held_out="c", inductive=True)
    graphs["c"].x = torch.ones_like(graphs["c"].x)
    after = run(graphs, held_out="c", inductive=True)
    assert before.seeds[0].history == after.seeds[0].history
    assert run(graphs, held_out="c").seeds[0].history != after.seeds[0].history
    assert before.record.record.protocol.setting == "inductive; graphs a, b, c as one"


def test_unlabelled_nodes_of_a_graph_that_is_held_out_are_not_seen_either(graphs):
    graphs["c"].y[:30] = -1
    for name in ("train_mask", "val_mask", "test_mask"):
        graphs["c"][name] = graphs["c"][name] & (graphs["c"].y >= 0)
    union = disjoint_union(graphs, held_out="c")
    setting = node_setting(union, SHORT, torch.device("cpu"), torch.float32, inductive=True)
    assert setting.visible.visible_items.tolist() == list(range(120))
    assert setting.evaluator.test.sum() == 30


def test_classes_and_a_graph_may_be_unseen_at_once(graphs):
    found = run(graphs, held_out="b", disjoint=[1])
    union = disjoint_union(graphs)
    assert torch.equal(found.test, (union.part == 1) & (union.y == 1))
    assert set(found.y.tolist()) == {-1, 1}


@pytest.mark.parametrize("loss", ["contrastive", "quadruplet", "ccassg"])
def test_other_losses_see_several_graphs_too(graphs, loss):
    chosen = embedding_recipe(loss, {"epochs": 2, "dim": 4, "hidden": 8, "join": "none"})
    assert run(graphs, chosen).embeddings[0].shape == (180, 4)


def test_saved_items_say_their_graph(graphs, tmp_path):
    run(graphs, run_dir=tmp_path)
    saved = SavedEmbeddings.read(tmp_path / "embeddings-0.safetensors")
    assert [saved.place(item) for item in (0, 59, 60, 179)] == ["a 0", "a 59", "b 0", "c 59"]
    run(graphs["a"], run_dir=tmp_path / "one")
    assert SavedEmbeddings.read(tmp_path / "one" / "embeddings-0.safetensors").place(3) == ""


def test_what_does_not_fit_is_refused(graphs):
    with pytest.raises(ValueError, match="`held_out` names one of several graphs"):
        run(graphs["a"], held_out="a")
    split = Split(*(graphs["a"][name] for name in ("train_mask", "val_mask", "test_mask")))
    with pytest.raises(ValueError, match="`splits` would train on what is `held_out`"):
        run(graphs, held_out="a", splits=[split])
    with pytest.raises(ValueError, match="`held_out` 'd' is not known"):
        run(graphs, held_out="d")


def test_networks_of_one_vocabulary_are_embedded_together(mirror):
    """The real papers and citations, every eighth word, and the labels of every twelfth paper to test on."""
    family = load("citation-domains")
    for data in family.values():
        kept = data.train_mask | data.val_mask | (torch.arange(data.num_nodes) % 12 == 0)
        data.y, data.test_mask = torch.where(kept, data.y, -1), data.test_mask & kept
        data.x = data.x[:, ::8]
    chosen = embedding_recipe("triplet", {"epochs": 6, "hidden": 16, "views": 1, "consistency": 0.0})
    outcome = run(family, chosen, held_out="dblp")
    record = json.loads(outcome.record.to_json())
    assert record["dataset"]["name"] == "citation-domains"
    assert record["protocol"]["train"] == 2 * 5 * 20
    assert record["protocol"]["split"] == "given masks"  # they were changed since the split was drawn
    figures = outcome.record.figures
    for figure in ("map@r (all)", "map@r (test)", "map@r (within)", "map@r (across)", "knn (test)"):
        assert figures["triplet"][figure].mean > figures["random encoder"][figure].mean
