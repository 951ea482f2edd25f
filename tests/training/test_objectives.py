"""Figures where there is none: items of one class, no items, scores that are not finite. Never a number for it."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.data import ogb_link_metric, ogb_metric
from graphkit.data.catalog import cards
from graphkit.training.classification.metrics import METRICS, NEEDS, roc_auc
from graphkit.training.classification.tasks import objective_of
from graphkit.training.embedding import evaluator as probe
from graphkit.training.embedding.evaluator import overlap

FITTING = [(name, kind) for name, made in METRICS.items() for kind in made.kinds]


def figure(name: str, kind: str, logits: torch.Tensor, y: torch.Tensor) -> float:
    """Return a figure of ``logits [items, 2]``, of which one column stands for tasks and numbers."""
    if kind == "classes":
        return METRICS[name](logits, y).item()
    return METRICS[name](logits[:, 1:], y[:, None].float()).item()


@pytest.mark.parametrize(("name", "kind"), FITTING)
def test_no_items_have_no_figure(name, kind):
    with pytest.raises(ValueError, match="`y` must"):
        figure(name, kind, torch.zeros(0, 2), torch.zeros(0).long())


@pytest.mark.parametrize(("name", "kind"), FITTING)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rows", [slice(None), slice(1)], ids=["all", "one"])
def test_scores_that_are_not_finite_have_the_figure_nan(name, kind, wrong, rows):
    logits = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))  # ranks want a hundred others
    logits[rows] = wrong
    assert math.isnan(figure(name, kind, logits, torch.arange(200) % 2))


@pytest.mark.parametrize(("name", "kind"), FITTING)
@pytest.mark.parametrize("label", [0, 1])
def test_items_of_one_class_have_a_figure_where_it_means_something(name, kind, label):
    logits, y = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.full((6,), label)
    if METRICS[name].needs == "labels":
        assert math.isfinite(figure(name, kind, logits, y))
        return
    with pytest.raises(ValueError, match=f"`y` must hold {NEEDS[METRICS[name].needs]} for "):
        figure(name, kind, logits, y)


def test_a_split_of_one_class_is_refused_before_training():
    ranked = cards.card(next(name for name in cards.names() if cards.card(name).metric == "roc_auc"))
    train, one = torch.tensor([0, 1]), torch.tensor([1, 1])
    with pytest.raises(ValueError, match="`test_mask` must hold items of both classes for ROC-AUC, got 2 of one and 0"):
        objective_of(ranked, [train, train, one], kind="classes", classes=2)
    assert objective_of(ranked, [train, train, train], kind="classes", classes=2).name == "roc_auc"


def test_equal_scores_are_one_half_and_the_accuracy_of_nan_is_not_that_of_the_first_class():
    assert roc_auc(torch.ones(4), torch.tensor([True, False, True, True])).item() == 0.5
    assert math.isnan(METRICS["accuracy"](torch.full((4, 2), math.nan), torch.tensor([0, 0, 1, 1])))
    assert METRICS["accuracy"](torch.eye(2), torch.tensor([0, 0])).item() == 0.5


OGB = {cards.card(name).metric: name for name in cards.names() if name.startswith(("ogbg-", "ogbn-"))}
LINKS = {cards.card(name).metric: name for name in cards.names() if name.startswith("ogbl-")}


@pytest.mark.parametrize("name", OGB.values())
def test_ogbs_figures_of_nothing_are_refused(name):
    tasks = {"ogbg-molpcba": (128,), "ogbg-moltoxcast": (617,)}.get(name, ())
    for items, label in ((0, 0.0), (4, math.nan)):
        with pytest.raises(ValueError, match="`y` must hold"):
            ogb_metric(name, torch.full((items, *tasks), label), torch.zeros(items, *tasks))
    if cards.card(name).metric in ("roc_auc", "ap"):
        with pytest.raises(ValueError, match="No positively labeled data"):
            ogb_metric(name, torch.zeros(4, *tasks), torch.rand(4, *tasks))


@pytest.mark.parametrize("name", LINKS.values())
@pytest.mark.parametrize(("links", "others"), [(0, 60), (3, 0), (0, 0)])
def test_ogbs_figures_of_no_links_are_refused(name, links, others):
    shape = (links, others) if cards.card(name).metric == "mrr" else (others,)
    with pytest.raises(ValueError, match="must hold"):
        ogb_link_metric(name, torch.rand(links), torch.rand(shape))


def test_fewer_others_than_a_hit_is_counted_among_are_not_a_figure_of_one():
    with pytest.raises(ValueError, match=r"`negative` at least 50 for hits@50, got \[3\] and \[49\]"):
        ogb_link_metric("ogbl-collab", torch.zeros(3), torch.ones(49))
    assert ogb_link_metric("ogbl-collab", torch.zeros(3), torch.ones(50)) == ("hits@50", 0.0)


def test_one_class_has_no_overlap():
    assert math.isnan(overlap(torch.eye(3), torch.zeros(3).long()))


def test_the_test_figure_does_not_decide_between_equal_probes(monkeypatch):
    made = []

    class Same:
        """A trainer whose validation is that of all others, and whose test figure is not."""

        def __init__(self, module, task, recipe, fabric):
            made.append(self)
            self.selected, self.wrong = type("Epoch", (), {"figure": 1.0, "validation_loss": 0.5})(), len(made) > 1

        def train(self):
            pass

        def logits(self, index):
            right = torch.tensor([0, 1])
            return torch.nn.functional.one_hot(1 - right if self.wrong else right, 2).float()

    monkeypatch.setattr(probe, "classification_trainer", Same)
    rows = torch.arange(6)
    masks = (rows < 2, (rows >= 2) & (rows < 4), rows >= 4)
    assert probe.tuned_probe(torch.randn(6, 3), rows % 2, masks) == 1.0
    assert len(made) == len(probe.DECAYS)
