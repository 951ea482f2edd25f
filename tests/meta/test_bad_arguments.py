"""Every argument of every public class and function, given what it cannot be: refused in one line that names it.

What an argument may be is told by its name; a new name, and a new class or function, has to be entered here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data

import graphkit.meta as meta
from graphkit.data import GraphSet
from graphkit.meta import (
    ANIL,
    MAML,
    AbstractItems,
    AbstractLearner,
    ClassSplit,
    Episode,
    FeatureWeights,
    FewShotProtocol,
    Graphs,
    KernelRidge,
    Labels,
    MetaSGD,
    MetaTrainer,
    MetaTraining,
    Nodes,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    Rows,
    SemiSupervisedProtoMAML,
    SemiSupervisedPrototypes,
    SiameseNetwork,
    Task,
    TaskSet,
    ViewRidge,
    WithinClassWhitening,
    calibrated_logits,
    evaluate,
    logistic_regression,
    meta_train,
    pretrain,
)
from graphkit.meta.learners.gradient_learner import InnerOptions
from graphkit.nn import GCNConv

X, Y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
ROWS = Rows(X, Y)
PROTOCOL = FewShotProtocol(k_shot=2, n_query=2, n_tasks=3)
TASKS = TaskSet.draw(ROWS, (0, 1), PROTOCOL)
EPISODE = TASKS[0].episode
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
SET = GraphSet(
    Data(x=X, edge_index=EDGES, y=torch.tensor([0, 1])), nodes=torch.tensor([20, 20]), edges=torch.tensor([3, 0])
)

NOT_A_NUMBER = [None, "1", [1], torch.ones(2), float("nan"), True]
NOT_A_TENSOR = [None, 1, "x", [1.0], np.ones(3)]
BAD: dict[str, list[Any]] = {
    "count of 1 or more": [*NOT_A_NUMBER, 0, -1, 1.5],
    "count of 0 or more": [*NOT_A_NUMBER, -1, 1.5],
    "count of 2 or more": [*NOT_A_NUMBER, 1, 0, 2.5],
    "positive": [*NOT_A_NUMBER, 0, -1.0, float("inf")],
    "0 or more": [*NOT_A_NUMBER, -0.1, float("inf")],
    "share": [*NOT_A_NUMBER, -0.1, 1.1],
    "flag": [None, "yes", 1, 0.0, torch.tensor(True)],
    "order": [*NOT_A_NUMBER[:-1], 0, 3, 1.5],
    "statistics": [None, 1, "batch", ["task"]],
    "similarity": [None, 1, "dot", ["cosine"]],
    "head": [1, ["0"], "nothing"],
    "moved": [1, "weight", [1], [], ["nothing"], ["weight", "nothing"]],
    "model": [None, 1, "gcn", lambda x: x, nn.Linear, X],
    "rows": [*NOT_A_TENSOR, X[0], Y, X.bool(), X * torch.nan, torch.ones(2, 2, 2)],
    "rows or none": [1, "x", X[0], Y, X * torch.nan, torch.ones(2, 2, 2)],
    "features": [*NOT_A_TENSOR, X[0], torch.tensor(1.0)],
    "labels of items": [*NOT_A_TENSOR, Y.float(), Y[:-1], Y[:, None], torch.zeros(0).long()],
    "labels alone": [*NOT_A_TENSOR, Y.float(), Y[:, None]],
    "edges": [None, 1, [[0], [1]], np.ones((2, 3)), EDGES.float(), EDGES[0], EDGES.T, EDGES - 1, EDGES + 40],
    "edge weights": [1, [1.0, 1.0, 1.0], np.ones(3), torch.ones(2), torch.ones(3, 2)],
    "graphs": [None, [Data()], Data(), X, ROWS],
    "ids": [*NOT_A_TENSOR, X, EPISODE.support - 40, EPISODE.support[0], EPISODE.support[:1], EPISODE.support.bool()],
    "classes of an episode": [*NOT_A_TENSOR, X[0], EPISODE.classes[:1], EPISODE.support, -EPISODE.classes - 1],
    "items": [None, X, [ROWS], TASKS],
    "episode": [None, EPISODE.support, TASKS[0], (EPISODE.support, EPISODE.query)],
    "protocol": [None, {}, 3, MetaTraining()],
    "chosen": [*NOT_A_TENSOR, X, TASKS.chosen - 40, TASKS.chosen + 40, TASKS.chosen[0], TASKS.chosen[..., :2]],
    "classes of tasks": [*NOT_A_TENSOR, X, TASKS.classes[:1], TASKS.classes[0], TASKS.chosen],
    "task set": [None, ROWS, list(TASKS), TASKS[0], X],
    "task sets": [None, TASKS, list(TASKS), [], [None], X],
    "labels": [None, 1, "01", [0.5, 1], ["a", "b"], [[0], [1]], [0, None], torch.ones(2)],
    "labels that differ": [None, 1, "01", [0.5], ["a"], [-1], [3, 3], torch.ones(2)],
    "counts": [None, 2, (1, 1), (1, 1, 1, 1), (-1, 2, 2), ("a", 1, 1), (1.5, 1, 1)],
    "generator": [None, 0, np.random.default_rng(0)],
    "learner": [None, nn.Linear(3, 2), TASKS, MAML],
    "gradient learner": [None, nn.Linear(3, 2), PrototypicalNetwork(nn.Identity()), MAML],
    "sources": [None, ROWS, [ROWS], [(X, (0,))], [(ROWS, 0)], [], [(ROWS, (0.5,))]],
    "options": [None, {}, PROTOCOL, 3],
    "labels of a support": [
        *NOT_A_TENSOR,
        torch.ones(4),
        torch.tensor([0, 1]),
        torch.tensor([0, 1, 2, 9]),
        torch.tensor([0, 0, 1, -1]),
    ],
    "numbers of views or none": [1.0, "a", [1.0, 2.0], [float("nan")], [None], ["a"]],
    "positive numbers": [None, 1.0, "1", [], [0.0], [-1.0], [float("inf")], ["1"]],
    "within": [1, [0, 1], X, torch.tensor([-1]), torch.tensor([40]), torch.tensor(1)],
}
"""What an argument of a kind cannot be."""

INNER = {"inner_lr": "0 or more", "inner_steps": "count of 0 or more", "dropout": "flag", "statistics": "statistics"}
STEPS = {"model": "model", **INNER, "order": "order", "multi_step": "share"}
MOVED = {**STEPS, "moved": "moved"}
UNLABELLED = {"unlabelled": "rows", "weight": "positive", "spread": "positive", "temperature": "positive"}
CASES: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, str]]] = {
    "MAML": (MAML, {"model": nn.Linear(3, 2)}, MOVED),
    "ANIL": (ANIL, {"model": nn.Linear(3, 2)}, {**STEPS, "head": "head"}),
    "MetaSGD": (MetaSGD, {"model": nn.Linear(3, 2)}, {**MOVED, "inner_lr": "positive"}),
    "ProtoMAML": (ProtoMAML, {"model": nn.Linear(3, 2)}, {**MOVED, "temperature": "positive"}),
    "SemiSupervisedProtoMAML": (
        SemiSupervisedProtoMAML,
        {"model": nn.Linear(3, 2), "unlabelled": X},
        {**MOVED, **UNLABELLED},
    ),
    "Reptile": (Reptile, {"model": nn.Linear(3, 2)}, {"model": "model", **INNER, "moved": "moved"}),
    "SiameseNetwork": (
        SiameseNetwork,
        {"model": nn.Linear(3, 2)},
        {
            "model": "model",
            "margin": "positive",
            "temperature": "positive",
            "dropout": "flag",
            "statistics": "statistics",
        },
    ),
    "PrototypicalNetwork": (
        PrototypicalNetwork,
        {"model": nn.Linear(3, 2)},
        {
            "model": "model",
            "similarity": "similarity",
            "temperature": "positive",
            "dropout": "flag",
            "statistics": "statistics",
        },
    ),
    "SemiSupervisedPrototypes": (
        SemiSupervisedPrototypes,
        {"model": nn.Linear(3, 2), "unlabelled": X},
        {"model": "model", **UNLABELLED},
    ),
    "KernelRidge": (
        KernelRidge,
        {"model": nn.Linear(3, 2), "unlabelled": X},
        {
            "model": "model",
            **UNLABELLED,
            "unlabelled": "rows or none",
            "penalty": "positive",
            "gamma": "positive",
            "intercept": "flag",
            "nearest": "count of 1 or more",
        },
    ),
    "ViewRidge": (
        ViewRidge,
        {"model": nn.Linear(3, 2), "unlabelled": X, "views": 1},
        {
            "model": "model",
            "unlabelled": "rows or none",
            "views": "count of 1 or more",
            "prior": "numbers of views or none",
            "penalties": "positive numbers",
            "sharpness": "positive",
            "weight": "0 or more",
            "nearest": "count of 1 or more",
            "rounds": "count of 1 or more",
            "temperature": "positive",
        },
    ),
    "Clone": (meta.Clone, {"learner": MAML(nn.Linear(3, 2))}, {"learner": "gradient learner"}),
    "Labels": (Labels, {"y": Y}, {"y": "labels alone"}),
    "Rows": (Rows, {"x": X, "y": Y}, {"x": "features", "y": "labels of items"}),
    "Nodes": (
        Nodes,
        {"x": X, "edge_index": EDGES, "y": Y, "edge_weight": torch.ones(3)},
        {"x": "features", "edge_index": "edges", "y": "labels of items", "edge_weight": "edge weights"},
    ),
    "Graphs": (Graphs, {"graphs": SET}, {"graphs": "graphs"}),
    "Episode": (
        Episode,
        {"support": EPISODE.support, "query": EPISODE.query, "classes": EPISODE.classes},
        {"support": "ids", "query": "ids", "classes": "classes of an episode"},
    ),
    "Task": (Task, {"items": ROWS, "episode": EPISODE}, {"items": "items", "episode": "episode"}),
    "TaskSet": (
        TaskSet,
        {"items": ROWS, "protocol": PROTOCOL, "chosen": TASKS.chosen, "classes": TASKS.classes},
        {"items": "items", "protocol": "protocol", "chosen": "chosen", "classes": "classes of tasks"},
    ),
    "TaskSet.draw": (
        TaskSet.draw,
        {"items": ROWS, "classes": (0, 1), "protocol": PROTOCOL},
        {"items": "items", "classes": "labels", "protocol": "protocol", "within": "within"},
    ),
    "TaskSet.with_items": (TASKS.with_items, {"items": ROWS}, {"items": "items"}),
    "FewShotProtocol": (
        FewShotProtocol,
        {},
        {
            "n_way": "count of 2 or more",
            "k_shot": "count of 1 or more",
            "n_query": "count of 1 or more",
            "n_tasks": "count of 1 or more",
            "seed": "count of 0 or more",
        },
    ),
    "ClassSplit": (
        ClassSplit,
        {"train": (0,), "validation": (1,), "test": (2,)},
        dict.fromkeys(("train", "validation", "test"), "labels that differ"),
    ),
    "ClassSplit.random": (
        ClassSplit.random,
        {"classes": range(7), "counts": (3, 2, 2), "generator": torch.Generator()},
        {"classes": "labels", "counts": "counts", "generator": "generator"},
    ),
    "ClassSplit.all_pairs": (
        ClassSplit.all_pairs,
        {"classes": range(7)},
        {
            "classes": "labels",
            "ways": "count of 1 or more",
            "validation": "count of 0 or more",
            "seed": "count of 0 or more",
        },
    ),
    "FeatureWeights": (FeatureWeights, {"channels": 3}, {"channels": "count of 1 or more"}),
    "WithinClassWhitening": (
        WithinClassWhitening,
        {"sources": [(ROWS, (0, 1))]},
        {"sources": "sources", "shrinkage": "positive"},
    ),
    "MetaTraining": (
        MetaTraining,
        {},
        {
            "steps": "count of 0 or more",
            "batch": "count of 1 or more",
            "lr": "positive",
            "cosine": "flag",
            "first_order": "share",
            "test_steps": "count of 0 or more",
            "every": "count of 1 or more",
            "margin": "0 or more",
        },
    ),
    "evaluate": (
        evaluate,
        {"learner": MAML(nn.Linear(3, 2)), "tasks": TASKS},
        {
            "learner": "learner",
            "tasks": "task set",
            "steps": "count of 0 or more",
            "calibrate": "count of 0 or more",
            "balanced": "flag",
            "batch": "count of 1 or more",
        },
    ),
    "meta_train": (
        meta_train,
        {"learner": MAML(nn.Linear(3, 2)), "train": [TASKS], "validation": TASKS, "options": MetaTraining(steps=1)},
        {"learner": "learner", "train": "task sets", "validation": "task set", "options": "options"},
    ),
    "MetaTrainer": (
        MetaTrainer,
        {"learner": MAML(nn.Linear(3, 2)), "train": [TASKS], "validation": TASKS, "options": MetaTraining(steps=1)},
        {"learner": "learner", "train": "task sets", "validation": "task set", "options": "options"},
    ),
    "logistic_regression": (
        logistic_regression,
        {"tasks": TASKS},
        {"tasks": "task set", "strength": "positive", "calibrate": "count of 0 or more", "balanced": "flag"},
    ),
    "pretrain": (
        pretrain,
        {"body": nn.Linear(3, 2), "channels": 2, "sources": [(ROWS, (0, 1))], "epochs": 1},
        {
            "body": "model",
            "channels": "count of 1 or more",
            "sources": "sources",
            "epochs": "count of 1 or more",
            "lr": "positive",
            "l2": "0 or more",
        },
    ),
    "calibrated_logits": (
        calibrated_logits,
        {"support": X[:4], "y": torch.tensor([0, 0, 1, 1]), "query": X[4:], "ways": 2},
        {
            "support": "rows",
            "y": "labels of a support",
            "query": "rows",
            "ways": "count of 1 or more",
            "temperature": "positive",
            "steps": "count of 0 or more",
            "balanced": "flag",
        },
    ),
}
LEFT_OUT = {
    **dict.fromkeys(("AbstractGradientLearner", "AbstractItems", "AbstractLearner"), "abstract"),
    **dict.fromkeys(("Evaluation", "MetaStep", "MetaTrainingResult"), "a result, which nobody but the library makes"),
}
NOT_TRIED = {"state": "a training's own", "checkpoint": "a function", "processes": "a training's own"}


def outcome(name: str, argument: str, value: Any) -> str:
    """Return what is wrong with the answer to a bad argument, or nothing."""
    function, given, _ = CASES[name]
    try:
        function(**{**given, argument: value})
    except (TypeError, ValueError) as error:
        message = str(error)
        if "\n" in message or not any(f"`{argument}{end}" in message for end in ("`", "=", ".", "[")):
            return f"{type(error).__name__}: {message}"
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


ALL = [(name, argument) for name, (_, _, kinds) in CASES.items() for argument in kinds]


@pytest.mark.parametrize(("name", "argument"), ALL)
def test_what_an_argument_cannot_be_is_refused_by_its_name(name, argument):
    function, given, kinds = CASES[name]
    function(**given)
    values = BAD[kinds[argument]]
    found = {repr(value)[:60]: outcome(name, argument, value) for value in values}
    assert not {value: answer[:150] for value, answer in found.items() if answer}


def test_every_argument_of_everything_public_is_tried():
    assert {name.split(".")[0] for name in CASES} | LEFT_OUT.keys() == set(meta.__all__)
    for function, _, kinds in CASES.values():
        names = set(inspect.signature(function).parameters)
        if "inner" in names:  # keywords that learners share
            names = names - {"inner"} | InnerOptions.__annotations__.keys() | ({"moved"} & kinds.keys())
        assert names - NOT_TRIED.keys() == kinds.keys()


RING = torch.stack([torch.arange(40), torch.arange(40).roll(1)])
MISFITS: dict[str, tuple[Callable[[], nn.Module], AbstractItems, str]] = {
    "width": (lambda: nn.Linear(7, 2), ROWS, r"`model` does not take the items \(Rows, 3, torch.float32, cpu\): mat1"),
    "dtype": (lambda: nn.Linear(3, 2).double(), ROWS, r"`model` does not take the items \(Rows.* same dtype"),
    "integers": (
        lambda: nn.Linear(3, 2),
        Rows((X * 9).long(), Y),
        r"`model` does not take the items \(Rows, 3, torch.int64",
    ),
    "integers as outputs": (
        nn.Identity,
        Rows((X * 9).long(), Y),
        r"one row of floating-point .* \(4\), got \[4, 3\] of torch",
    ),
    "device": (lambda: nn.Linear(3, 2, device="meta"), ROWS, r"`model` does not take the items \(Rows, .* device"),
    "a model of nodes": (lambda: GCNConv(3, 2), ROWS, r"`model` does not take .* argument: 'edge_index'; their width"),
    "a model of rows": (
        lambda: nn.Linear(3, 2),
        Nodes(X, RING, Y),
        r"`model` does not take the items \(Nodes, 3, .*positional",
    ),
    "a tuple": (lambda: nn.LSTM(3, 2), ROWS, r"`model` must return one row .* per item \(4\), got a tuple for Rows"),
    "further axes": (lambda: nn.Unflatten(1, (3, 1)), ROWS, r"`model` must return one row .* got \[4, 3, 1\]"),
    "fewer rows": (lambda: nn.Flatten(0), ROWS, r"`model` must return one row .* got \[12\]"),
}


LEARNERS = [name for name, (made, *_) in CASES.items() if inspect.isclass(made) and issubclass(made, AbstractLearner)]


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_model_that_does_not_fit_its_items_is_refused_by_every_learner(name, misfit):
    make, given, _ = CASES[name]
    model, items, message = MISFITS[misfit]
    model = model()
    if make is ANIL and not list(model.parameters()):
        return  # which has no head
    tasks = TaskSet.draw(items, (0, 1), PROTOCOL)
    for asked in ("logits", "meta_loss", "adapt"):
        learner = make(**{**given, "model": model})
        with pytest.raises((TypeError, ValueError), match=message):
            getattr(learner, asked)(tasks[0] if asked == "adapt" else list(tasks))
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(make(**{**given, "model": model}), tasks)


def test_other_items_than_before_are_looked_at_again():
    learner = MAML(nn.Linear(3, 2))
    learner.logits(list(TASKS))
    wider = TaskSet.draw(Rows(torch.ones(40, 5), Y), (0, 1), PROTOCOL)
    with pytest.raises(ValueError, match=r"`model` does not take the items \(Rows, 5"):
        learner.logits(list(wider))
    learner.model = nn.Linear(3, 4)
    with pytest.raises(ValueError, match="`model` has 4 outputs, but a task has 2 classes"):
        learner.logits(list(TASKS))


@pytest.mark.parametrize("value", [None, 1, TASKS, [TASKS[0]], EPISODE])
def test_methods_refuse_what_is_no_task(value):
    learner = MAML(nn.Linear(3, 2))
    adapted = learner.adapt(TASKS[0])
    with pytest.raises(TypeError, match="`task` must be a task, such as"):
        learner.adapt(value)
    with pytest.raises(TypeError, match="`task` must be a task, such as"):
        learner.predict(adapted, value)
    with pytest.raises(TypeError, match="`parameters` must be what `adapt` returned"):
        learner.predict(list(adapted), TASKS[0])
    for asked in (learner.logits, learner.meta_loss):
        if value is not TASKS and not isinstance(value, list):
            with pytest.raises(TypeError, match="`tasks` must be a list of tasks or a TaskSet"):
                asked(value)
