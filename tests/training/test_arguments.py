"""Every public call of the training rooms gets the same table of bad arguments, and answers each in our words."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
import torch

import graphkit.training
import graphkit.training.embedding
import graphkit.training.fewshot
from graphkit.meta import ClassSplit
from graphkit.training import (
    Portfolio,
    RunStore,
    explain_item,
    export_model,
    metric,
    nested_cross_validation,
    portfolio,
    read_overrides,
    recipe,
    require_writable,
    space_of,
    train,
    tune,
)
from graphkit.training.classification import nested
from graphkit.training.embedding import SavedEmbeddings, embed, embedding_recipe, search
from graphkit.training.fewshot import fewshot, study_across_graphs, study_of_classes, study_of_graphs, with_baselines
from graphkit.training.fewshot.encoders import Encoders
from tests.training.studies import METHODS, TASKS, communities, rings_and_stars

pytestmark = pytest.mark.usefixtures("own_folder")


class Thing:
    """What nothing takes."""


BAD = {
    "None": None,
    "True": True,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "NaN": math.nan,
    "text": "text",
    "empty text": "",
    "list": [],
    "list of None": [None],
    "dict": {},
    "dict of numbers": {1: 2},
    "thing": Thing(),
    "bytes": b"x",
    "tensor": torch.tensor([1.5, 2.5]),
    "10**30": 10**30,
    "function": len,
}

SPLIT = ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))
RUN = {"run_dir": None, "resume": False, "checkpoint_every": 30.0, "reporter": None, "command": "mine"}
EPOCHS = {**RUN, "seeds": [0], "splits": None, "device": "cpu", "precision": "32-true"}
STUDY = {"protocol": TASKS, "encoders": Encoders(), "seed": 0, "device": "cpu"}


def six(above=0.0):
    data = communities(90, 6, 12)
    data.x = data.x + above
    return data


def a_model():
    return train(communities(), recipe("mlp", {"epochs": 1}), device="cpu").models[0]


CALLS = {
    "train": lambda: (
        train,
        {
            "data": communities(),
            "recipe": recipe("gcn", {"epochs": 1}),
            "workers": 0,
            "metric": None,
            "beside": (),
            **EPOCHS,
        },
    ),
    "tune": lambda: (
        tune,
        {
            **{name: value for name, value in EPOCHS.items() if name != "splits"},
            "data": communities(),
            "recipe": recipe("mlp", {"epochs": 1}),
            "trials": 1,
            "space": {"lr": "0.01..0.1"},
            "fixed": (),
            "seed": 0,
            "metric": None,
        },
    ),
    "space_of": lambda: (space_of, {"recipe": recipe("gcn"), "given": {}, "fixed": ()}),
    "export_model": lambda: (export_model, {"model": a_model(), "path": Path("m.pt2"), "format": "torch"}),
    "explain_item": lambda: (
        explain_item,
        {"model": a_model(), "data": communities(), "item": 0, "method": "gnn", "most": 3, "epochs": 1, "seed": 0},
    ),
    "nested_cross_validation": lambda: (
        nested_cross_validation,
        {
            **RUN,
            "graphs": rings_and_stars(),
            "recipe": recipe("gin", items="graphs"),
            "given": {"epochs": 1, "hidden": 2, "layers": 1, "readout": "sum"},
            "beside": (),
            "folds": 2,
            "seed": 0,
            "device": "cpu",
            "precision": "32-true",
        },
    ),
    "embed": lambda: (
        embed,
        {
            **EPOCHS,
            "data": communities(),
            "recipe": embedding_recipe("prototype", {"epochs": 1, "dim": 2}),
            "beside": (),
            "held_out": None,
            "inductive": False,
            "disjoint": 0,
            "without_neighbours": False,
            "probes": False,
        },
    ),
    "fewshot": lambda: (
        fewshot,
        {
            "study": study_of_classes(six(), [SPLIT], TASKS),
            "protocol": TASKS,
            "names": ["prototypes"],
            "headline": None,
            "calibrate": 0,
            "balanced": False,
            "seed": 0,
            "steps": (),
            "methods": METHODS,
            "before": None,
            **RUN,
        },
    ),
    "study_of_classes": lambda: (study_of_classes, {"data": six(), "splits": [SPLIT], "inductive": False, **STUDY}),
    "study_of_graphs": lambda: (study_of_graphs, {"graphs": rings_and_stars(6), "splits": [SPLIT], **STUDY}),
    "study_across_graphs": lambda: (
        study_across_graphs,
        {
            "name": "own",
            "graphs": {"a": six(), "b": six(9.0)},
            "splits": (),
            "adapter": None,
            "inductive": False,
            **STUDY,
        },
    ),
    "with_baselines": lambda: (
        with_baselines,
        {"name": "maml", "baselines": "all", "all_classes": False, "whole_graphs": False},
    ),
    "portfolio": lambda: (portfolio, {"overrides": {}, "items": "nodes"}),
    "Portfolio": lambda: (Portfolio, {"recipes": portfolio().recipes}),
    "recipe": lambda: (recipe, {"name": "gcn", "overrides": {}, "items": "nodes"}),
    "embedding_recipe": lambda: (
        embedding_recipe,
        {"loss": "triplet", "overrides": {}, "model": None, "level": "node"},
    ),
    "read_overrides": lambda: (read_overrides, {"path": Path("none.toml")}),
    "require_writable": lambda: (require_writable, {"argument": "json", "path": Path("file")}),
    "metric": lambda: (metric, {"name": "accuracy", "values": [0.5], "unit": "fraction"}),
    "search": lambda: (
        search,
        {
            "saved": SavedEmbeddings(torch.eye(3), torch.arange(3), {}),
            "query": 0,
            "count": 2,
            "queries": None,
            "engine": "exact",
        },
    ),
    "RunStore": lambda: (RunStore, {"folder": Path("run"), "identity": {}, "every": 30.0, "writes": True}),
}

EXEMPT = {
    **dict.fromkeys(["DatasetFacts", "Metric", "Protocol", "Record", "SeedResult", "Epoch", "Outcome", "LabelledItems",
                     "EmbeddingEpoch", "EmbeddingOutcome", "EmbeddingRecord", "EmbeddingResult", "Found",
                     "SavedEmbeddings", "FewShotOutcome", "FewShotRecord", "MethodResult", "ProblemResult", "Study"],
                    "a record, which holds what the loops put into it"),
    **dict.fromkeys(["Predictions", "Run", "RunFolder", "RunReport", "TrainedModel", "TrainedEncoder",
                     "TrainedLearner", "load_run", "read_record"],
                    "made by `train`, `load_run` and their kin; what they refuse is tested in tests/training/trained"),
    **dict.fromkeys(["NodeTask", "SignalTask", "ClassificationTrainer", "EmbeddingTrainer"],
                    "made by `train` and `embed` of what they have looked at; what a task refuses is tested there"),
    **dict.fromkeys(["Recipe", "EmbeddingRecipe", "AbstractMethod", "GAT", "GCN", "GIN", "MLP", "SAGE", "Cheb"],
                    "settings, whose fields have a law of their own in test_settings"),
    **dict.fromkeys(["Choices", "Range"], "what `space_of` makes of text, and refuses in the words of these"),
    **dict.fromkeys(["Interrupted", "TrainingError"], "exceptions"),
    **dict.fromkeys(["StopRequest", "stop_request", "Silence"], "take nothing"),
    "LoggerReporter": "takes any object with `log_metrics`, as loggers have no class in common",
    "Reporter": "a protocol",
    **dict.fromkeys(["AbstractTrainer", "Trainer", "Experiment", "Unit", "RunResult", "run_experiment"],
                    "the engine's own, whose parts the studies make of what they have looked at"),
    **dict.fromkeys(["RECIPES", "EMBEDDINGS", "METHODS"], "tables"),
}  # fmt: skip

ANSWERED = {
    ("given", "space"): ("None", "dict"),
    ("fixed",): ("list", "dict"),
    ("item",): ("0",),
    ("most",): ("10**30",),
    ("path",): ("text",),
    ("run_dir", "folder"): ("None", "text", "empty text"),
    ("checkpoint_every", "every"): ("0", "1.5", "10**30"),
    ("identity",): ("dict", "dict of numbers"),
    ("writes", "inductive", "without_neighbours", "probes", "balanced", "whole_graphs"): ("True",),
    ("reporter", "before", "splits", "headline", "adapter", "model", "held_out", "metric", "queries"): ("None",),
    ("overrides", "given"): ("None", "dict"),
    ("beside", "steps"): ("list",),
    ("disjoint",): ("0", "list"),
    ("workers", "calibrate"): ("0", "10**30"),
    ("seed", "query"): ("0",),
    ("count",): ("10**30",),
    ("command", "unit", "argument", "name"): ("text", "empty text"),
}
"""What is no mistake there: a number, a path, a text, or nothing asked for."""

UNTRIED = {
    ("tune", "trials", "10**30"): "as many trials as were asked for, which takes for ever",
    ("explain_item", "epochs", "10**30"): "as many steps as were asked for, which takes for ever",
    ("fewshot", "calibrate", "10**30"): "as many steps as were asked for, which takes for ever",
}


def test_every_public_call_is_tried_here_or_has_a_reason():
    rooms = (graphkit.training, graphkit.training.embedding, graphkit.training.fewshot)
    public = {name for room in rooms for name in room.__all__}
    assert public == (CALLS.keys() | EXEMPT.keys()) & public
    assert not CALLS.keys() & EXEMPT.keys()


@pytest.mark.parametrize("name", CALLS)
def test_every_argument_of_it_is_tried(name):
    function, good = CALLS[name]()
    assert inspect.signature(function).parameters.keys() - {"world"} == good.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_argument_is_refused_in_our_words_and_by_its_name(name, monkeypatch):
    monkeypatch.setattr(nested, "GRIDS", {"gin": ({"hidden": 2},)})
    monkeypatch.setattr(nested, "SETTINGS", {"epochs": 1, "layers": 1})
    function, good = CALLS[name]()
    if name != "read_overrides":
        function(**good)
    silent, foreign = [], []
    for argument in good:
        for what, bad in BAD.items():
            if (name, argument, what) in UNTRIED:
                continue
            try:
                function(**{**good, argument: bad})
            except (ValueError, TypeError) as error:
                said = str(error)
                if "`" not in said or len(said.splitlines()) > 1:
                    foreign.append(f"{argument}={what}: {type(error).__name__}: {said[:80]}")
                continue
            if (name, argument, what) == ("study_across_graphs", "splits", "list"):
                continue  # all graphs share all classes
            if not any(argument in arguments and what in values for arguments, values in ANSWERED.items()):
                silent.append(f"{argument}={what}")
    assert (silent, foreign) == ([], [])
