"""Targets as they are: every recipe learns classes, binary tasks and numbers, and is measured as scikit-learn would."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
from lightning_fabric import Fabric
from sklearn import metrics as peer
from torch_geometric.data import Data

from graphkit.data import GraphSet, card, ogb_metric
from graphkit.training import recipe, train
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.graph_task import prepare_graphs
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import target_kind, target_of
from graphkit.training.classification.tasks import prepare
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES
from tests.training.studies import graphs_for

CPU = torch.device("cpu")
KINDS = ("classes", "two classes", "binary", "numbers")
FABRIC = Fabric(accelerator="cpu", devices=1)


def targets(kind: str, items: int) -> torch.Tensor:
    """Return labels of a kind, with gaps where it may have some."""
    generator = torch.Generator().manual_seed(3)
    if kind in ("classes", "two classes"):
        return torch.arange(items) % (3 if kind == "classes" else 2)
    y = 250.0 + 40.0 * torch.randn(items, 3, generator=generator)
    y = (y > 250).float() if kind == "binary" else y
    y[torch.rand(items, 3, generator=generator) < 0.2] = torch.nan
    return y


def expected(name: str, outputs: torch.Tensor, y: torch.Tensor) -> float:
    """Return the figure as scikit-learn has it, column by column."""
    if y.dim() == 1 and name in ("accuracy", "f1"):
        guess = outputs.argmax(-1)
        return peer.accuracy_score(y, guess) if name == "accuracy" else peer.f1_score(y, guess, average="macro")
    if y.dim() == 1:
        outputs, y = (outputs[:, 1] - outputs[:, 0])[:, None], y[:, None].float()
    found = []
    for scores, labels in zip(outputs.T, y.T, strict=True):
        s, t = scores[~labels.isnan()].numpy(), labels[~labels.isnan()].numpy()
        found.append({
            "accuracy": lambda s, t: peer.accuracy_score(t, s > 0),
            "f1": lambda s, t: peer.f1_score(t, s > 0),
            "roc_auc": lambda s, t: peer.roc_auc_score(t, s),
            "ap": lambda s, t: peer.average_precision_score(t, s),
            "rmse": lambda s, t: peer.root_mean_squared_error(t, s),
            "mae": lambda s, t: peer.mean_absolute_error(t, s),
            "r2": lambda s, t: peer.r2_score(t, s),
        }[name](s, t))  # fmt: skip
    return sum(found) / len(found)


def signals_of(data: Data) -> Data:
    """Return ninety signals on a ring of sixteen nodes, with the labels and masks of ``data``."""
    ring = torch.stack([torch.arange(16), (torch.arange(16) + 1) % 16])
    masks = {name: data[name] for name in ("train_mask", "val_mask", "test_mask")}
    signals = torch.randn(90, 16, 1, generator=torch.Generator().manual_seed(0))
    return Data(edge_index=torch.cat([ring, ring.flip(0)], 1), num_nodes=16, signals=signals, y=data.y, **masks)


def with_targets(graphs: GraphSet, y: torch.Tensor) -> GraphSet:
    """Return the same graphs with other targets."""
    data = graphs._data.clone()
    data.y = y
    own = None if graphs.card is None else dataclasses.replace(graphs.card, metric="", target_kind="", classes=0)
    return GraphSet(data, nodes=graphs.nodes, edges=graphs.edges, card=own).with_split(graphs.split)


CASES = [
    (items, name)
    for items, known in (("nodes", RECIPES), ("signals", SIGNAL_RECIPES), ("graphs", GRAPH_RECIPES))
    for name in known
]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize(("items", "name"), CASES, ids=[f"{items}-{name}" for items, name in CASES])
def test_every_recipe_learns_every_kind_of_target_and_has_scikit_learns_figure(data, graphs, items, name, kind):
    made = recipe(name, {"epochs": 1}, items=items)
    if items == "graphs":
        given = graphs_for(name) if made.model.molecules else graphs
        given = with_targets(given, targets(kind, len(given)))
        task, test = prepare_graphs(given, made, CPU, torch.float32)
    else:
        data.y = targets(kind, 90)
        task, test = prepare(data if items == "nodes" else signals_of(data), made, CPU, torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = made.module(task.channels, task.outputs, task.graph)
        if made.views > 1 and kind not in ("classes", "two classes"):
            with pytest.raises(ValueError, match=r"`views` must be 1 for (binary tasks|real numbers): views agree on"):
                classification_trainer(module, task, made, FABRIC)
            return
        trainer = classification_trainer(module, task, made, FABRIC)
        trainer.train()
    outputs = task.objective.target.values(trainer.logits(test.index)).double()
    for metric in METRICS.values():
        if metric.fits(task.objective.target.kind, task.outputs):
            assert metric(outputs, test.y).item() == pytest.approx(expected(metric.name, outputs, test.y)), metric.name
    assert target_of(task.objective.target.as_dict()) == task.objective.target


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_scikit_learns_with_ties_and_gaps_too(kind):
    generator, y = torch.Generator().manual_seed(1), targets(kind, 80)
    outputs = torch.randint(-3, 4, (80, 2 if kind == "two classes" else 3), generator=generator).double()
    outputs = outputs + torch.rand(80, outputs.size(1), generator=generator) * (y.dim() == 1)  # sole largest classes
    outputs = (outputs * 2).round() / 2 if kind == "two classes" else outputs
    for metric in METRICS.values():
        if metric.fits(target_kind(y), outputs.size(1)):
            assert metric(outputs, y).item() == pytest.approx(expected(metric.name, outputs, y), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "tasks"), [("ogbg-molhiv", 1), ("ogbg-moltox21", 12), ("ogbg-molpcba", 128), ("ogbg-molesol", 1)]
)
def test_of_ogbs_sets_the_figures_are_those_of_ogbs_evaluator(name, tasks):
    generator, known = torch.Generator().manual_seed(1), card(name)
    y = (torch.rand(200, tasks, generator=generator) < 0.3).float()
    y[torch.rand(200, tasks, generator=generator) < (0.2 if tasks > 1 else 0)] = torch.nan
    scores = torch.randn(200, tasks, generator=generator).round(decimals=1)
    assert METRICS[known.metric](scores, y).item() == pytest.approx(ogb_metric(name, y, scores)[1], rel=1e-6)


@pytest.mark.parametrize("items", ["nodes", "nodes in batches", "signals", "graphs"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_follows_from_the_labels_or_is_named(data, graphs, items, kind):
    """Each figure that fits is measured of all seeds, and stands in protocol and record; another is refused."""
    data.y = targets(kind, 90)
    given, fields = data, {"epochs": 1}
    if items == "nodes in batches":
        fields |= {"fan_out": "3,3", "batch": 16}
    elif items == "signals":
        given = signals_of(data)
    elif items == "graphs":
        given = with_targets(graphs, targets(kind, 60))
    made = recipe("gcn", fields, items=items.split()[0])
    default = train(given, made, device="cpu").record
    assert default.metric.name == {"numbers": "rmse", "binary": "roc_auc"}.get(kind, "accuracy")
    known, outputs = kind.removeprefix("two "), 2 if kind == "two classes" else 3
    for metric in METRICS.values():
        if not metric.fits(known, outputs):
            with pytest.raises(ValueError, match=rf"`metric` '{metric.name}' is none of .*; take one of "):
                train(given, made, metric=metric.name, device="cpu")
            continue
        record = train(given, made, metric=metric.name, device="cpu").record
        assert (record.metric.name, record.protocol.metric, record.metric.unit) == (metric.name,) * 2 + (metric.unit,)
        assert record.selection.startswith(f"epoch of {'highest' if metric.sign > 0 else 'lowest'} validation ")


def test_numbers_are_learnt_whatever_their_unit_and_reported_in_it(data):
    """A figure of millions moves with its unit, and so does nothing else."""
    y = data.x[:, 0] + 2 * data.x[:, 1]
    found = {}
    for scale, shift in ((1.0, 0.0), (1e6, -3e6)):
        data.y = y.double() * scale + shift
        outcome = train(data, recipe("mlp", {"epochs": 150, "dropout": 0.0}), metric="r2", device="cpu")
        found[scale] = outcome.record.metric.mean
        rmse = train(data, recipe("mlp", {"epochs": 150, "dropout": 0.0}), device="cpu").record.metric.mean
        assert rmse < 0.2 * float(data.y.std())
    assert found[1.0] > 0.9
    assert found[1e6] == pytest.approx(found[1.0], abs=1e-3)


def test_the_best_epoch_is_the_one_of_the_smallest_error(data):
    data.y = targets("numbers", 90)
    outcome = train(data, recipe("gcn", {"epochs": 12, "lr": 0.3}), metric="mae", device="cpu")
    figures = [epoch.figure for epoch in outcome.seeds[0].history]
    assert outcome.seeds[0].validation == min(figures) < max(figures)


def test_constant_numbers_are_learnt_and_have_no_share_of_a_spread(data):
    data.y = torch.full((90,), 0.1)
    assert train(data, recipe("gcn", {"epochs": 60}), device="cpu").record.metric.mean < 0.5
    with pytest.raises(ValueError, match="`val_mask` must hold different numbers for R², got 30 labels"):
        train(data, recipe("gcn", {"epochs": 1}), metric="r2", device="cpu")


@pytest.mark.parametrize("part", ["train_mask", "val_mask", "test_mask"])
@pytest.mark.parametrize("kind", ["binary", "numbers"])
def test_a_part_without_a_label_is_refused_by_its_name(data, kind, part):
    data.y = targets(kind, 90)
    data.y[data[part]] = torch.nan
    with pytest.raises(ValueError, match=rf"`y` has no label on the 30 items of `{part}`"):
        train(data, recipe("gcn", {"epochs": 1}), device="cpu")


def test_tasks_of_one_class_in_validation_are_left_out_and_refused_where_all_are(data):
    data.y = targets("binary", 90)
    data.y[data.val_mask, 0] = 1.0
    task, _ = prepare(data, recipe("gcn"), CPU, torch.float32)
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    found = task.objective.figure(logits, task.validation.y).item()
    assert found == pytest.approx(expected("roc_auc", logits[:, 1:], task.validation.y[:, 1:]))
    data.y[data.val_mask] = 1.0
    with pytest.raises(ValueError, match="`val_mask` must hold items of both classes for ROC-AUC, got 90 of one and 0"):
        train(data, recipe("gcn", {"epochs": 1}), device="cpu")


def test_one_class_alone_trains_and_a_task_without_a_training_label_does_too(data):
    data.y = torch.zeros(90).long()
    assert train(data, recipe("gcn", {"epochs": 1}), device="cpu").record.metric.mean == 1.0
    for kind in ("binary", "numbers"):
        data.y = targets(kind, 90)
        data.y[data.train_mask, 1] = torch.nan
        assert math.isfinite(train(data, recipe("gcn", {"epochs": 2}), device="cpu").record.metric.mean)


@pytest.mark.parametrize(("y", "message"), [
    (torch.zeros(4, dtype=torch.complex64), r"must hold a class of each item"),
    (torch.zeros(4, 2, 2), r"got torch\.float32 \[4, 2, 2\]"),
    (torch.zeros(4, 0), r"must hold a class of each item"),
    (torch.tensor([[0, 2], [1, 1]]), r"must hold 0, 1 or nothing \(-1\) .* torch\.int64 \[2, 2\] with 2"),
    (torch.tensor([0.5, math.inf]), "must be finite, or NaN where a label is missing"),
])  # fmt: skip
def test_labels_that_are_no_target_are_refused_in_words(y, message):
    with pytest.raises(ValueError, match=message):
        target_kind(y)


@pytest.mark.parametrize(("y", "said", "kind"), [
    (torch.tensor([0, 1, -1]), "", "classes"),
    (torch.tensor([[0], [3]]), "", "classes"),
    (torch.tensor([True, False]), "", "classes"),
    (torch.tensor([[0, 1], [-1, 1]]), "", "binary"),
    (torch.tensor([[True, False]]), "", "binary"),
    (torch.tensor([0.0, math.nan]), "", "binary"),
    (torch.tensor([0.0, 2.0]), "", "numbers"),
    (torch.tensor([0, 7]), "numbers", "numbers"),
    (torch.tensor([0, 1]), "binary", "binary"),
    (torch.tensor([0.0, 2.0]), "binary", None),
    (torch.tensor([0.0, 2.0]), "classes", None),
])  # fmt: skip
def test_labels_tell_their_kind_and_who_knows_better_says_it(y, said, kind):
    if kind is None:
        with pytest.raises(ValueError, match="`y` must hold"):
            target_kind(y, said)
    else:
        assert target_kind(y, said) == kind


def test_what_data_says_of_its_labels_is_heard(data):
    data.y = (torch.arange(90) % 2).float()
    assert train(data, recipe("gcn", {"epochs": 1}), device="cpu").record.metric.name == "roc_auc"
    data.target_kind = "numbers"
    assert train(data, recipe("gcn", {"epochs": 1}), device="cpu").record.metric.name == "rmse"


def test_a_model_that_learns_nothing_is_said_to(data):
    """Four of five nodes are of class 0; without features and edges nothing tells the others."""
    blind = Data(x=torch.zeros(90, 1), edge_index=torch.zeros(2, 0).long(), y=(torch.arange(90) % 5 == 0).long())
    part = torch.arange(90) // 30
    blind.train_mask, blind.val_mask, blind.test_mask = part == 0, part == 1, part == 2
    outcome = train(blind, recipe("mlp", {"epochs": 5}), seeds=[0, 1, 2], device="cpu")
    (said,) = outcome.warnings
    assert said.startswith("3 of 3 seeds end at the share of the largest class among the validation items (80.0 %)")
    assert re.search(r"or worse; [123] never left it: nothing was learnt", said)
    assert outcome.record.as_dict()["warnings"] == (said,)
    for y, metric, what in (
        (blind.y.float(), "roc_auc", "the ROC-AUC of one answer for all among the validation items (50.0 %)"),
        (blind.y * 3.5, "r2", "the R² of one answer for all"),
    ):
        blind.y = y
        (said,) = train(blind, recipe("mlp", {"epochs": 2}), metric=metric, device="cpu").warnings
        assert said.startswith(f"1 of 1 seed ends at {what}")
    learnt = train(data, recipe("gcn", {"epochs": 60}), seeds=[0, 1], device="cpu")
    assert learnt.warnings == ()
    assert "warnings" not in learnt.record.as_dict()


def test_columns_without_labels_or_figure_are_said(data):
    data.y = targets("binary", 90)
    data.y[data.train_mask, 1] = torch.nan
    data.y[data.val_mask, 2] = 1.0
    said = " ".join(train(data, recipe("gcn", {"epochs": 2}), device="cpu").warnings)
    assert "1 of 3 columns of `y` have no label to train on: 1." in said
    assert "1 of 3 columns of `y` have no ROC-AUC in validation: 2." in said
