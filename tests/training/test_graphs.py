"""Training on sets of graphs, and the figures beside accuracy."""

from __future__ import annotations

import pytest
import torch

from graphkit.data import GraphSet, load
from graphkit.meta import ClassSplit
from graphkit.meta import FewShotProtocol as FewShot
from graphkit.training import nested_cross_validation, recipe, train
from graphkit.training.classification.graph_task import prepare_graphs
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.fewshot import study_of_graphs
from tests.interruptions import StopAfter


def small(model, **more):
    layers = {} if model == "structure-free" else {"layers": 2}
    return recipe(model, {"epochs": 12, "hidden": 8, "batch": 8, "lr": 0.02, **layers, **more}, items="graphs")


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
        train(graphs, small("gin", epochs=4), seeds=[0, 1], device="cpu", run_dir=tmp_path, reporter=StopAfter(6))
    again = train(graphs, small("gin", epochs=4), seeds=[0, 1], device="cpu", run_dir=tmp_path, resume=True)
    assert again.record.metric == whole


def test_a_recipe_for_nodes_is_refused(graphs):
    with pytest.raises(ValueError, match="for nodes, but the items of the data are graphs"):
        train(graphs, recipe("gcn"), device="cpu")


def relabelled(graphs: GraphSet, y: torch.Tensor, **more: torch.Tensor) -> GraphSet:
    """The same graphs with other targets."""
    data = graphs._data.clone()
    data.y = y
    for name, values in more.items():
        data[name] = values
    return GraphSet(data, nodes=graphs.nodes, edges=graphs.edges).with_split(graphs.split)


def test_targets_that_are_no_classes_are_refused_by_studies_of_classes(graphs):
    few = ClassSplit((0, 1), (2, 3), (4, 5))
    doors = (
        lambda given: nested_cross_validation(given, small("gin"), folds=3, device="cpu"),
        lambda given: embed(given, embedding_recipe("prototype", {"epochs": 1}), device="cpu"),
        lambda given: study_of_graphs(given, [few], FewShot(n_way=2, k_shot=1, n_query=1)),
    )
    real = torch.rand(60)
    for y in (real, real * 10, real.round(), torch.full((60,), torch.nan), torch.randint(2, (60, 3)), real[:, None]):
        for door in doors:
            with pytest.raises(ValueError, match="class"):
                door(relabelled(graphs, y))
    for y in (torch.full((60,), -1), torch.where(torch.arange(60) == 7, -1, graphs._data.y)):
        with pytest.raises(ValueError, match=r"`y` must be 0 or above on the items of `\w+`, found -1"):
            train(relabelled(graphs, y), small("gin"), device="cpu")
    edges = int(graphs.edges.sum())
    for name in ("edge_attr", "edge_weight"):
        for door in doors:
            y = torch.arange(60) % 6
            with pytest.raises(ValueError, match=f"`{name}`: values of edges are looked at by `train` only"):
                door(relabelled(graphs, y, **{name: torch.rand(edges)}))


def test_a_class_a_row_is_a_class_a_graph(graphs):
    ours, theirs = (
        train(relabelled(graphs, y), small("gin", epochs=2)) for y in (graphs._data.y[:, None], graphs._data.y)
    )
    assert ours.record.metric == theirs.record.metric


def test_a_set_with_a_card_is_trained_on_without_its_bonds_as_published_figures_are(mirror):
    assert train(load("mutag"), small("gin", epochs=1), device="cpu").record.dataset.classes == 2


def test_an_epoch_visits_every_training_graph_once(graphs):
    task, _ = prepare_graphs(graphs, small("gin"), torch.device("cpu"), torch.float32)
    seen = torch.cat([rows.index for rows in task.batches(7)])
    assert len(seen) == len(seen.unique())
    assert len(task.train.y) - len(seen) in (0, 1)
