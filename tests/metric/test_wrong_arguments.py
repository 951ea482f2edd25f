"""Everything public in the room, and each of its methods, with each argument wrong in all ways of one table."""

from __future__ import annotations

import inspect

import pytest
import torch

import graphkit.metric
from graphkit.metric import (
    AnomalyScorer,
    ConditionalSimilarity,
    ContextSimilarity,
    TripletLoss,
    barlow_twins,
    canonical_correlation,
    class_prototypes,
    cluster_agreement,
    consistency,
    evaluate_conditions,
    evaluate_retrieval,
    linear_probe,
    nearest_items,
    pairwise_distances,
    telemetry,
    vicreg,
)
from graphkit.metric.losses.abstract import AbstractCriterion
from graphkit.metric.miners import AbstractMiner
from tests.wrong_arguments import Call, refuses_what_is_wrong

PUBLIC = {name: getattr(graphkit.metric, name) for name in graphkit.metric.__all__}
CRITERIA = {
    name: made for name, made in PUBLIC.items() if inspect.isclass(made) and issubclass(made, AbstractCriterion)
}
MINERS = {name: made for name, made in PUBLIC.items() if inspect.isclass(made) and issubclass(made, AbstractMiner)}
RECORDS = {"Retrieval", "Telemetry"}
"""What calls return; nobody makes one."""
BELOW = {
    # what classes supply
    *("attribute_loss", "terms", "tuple_terms", "block_gradients", "blockwise_sums"),
    *("all_distances", "pair_distances", "fits_blocks", "mine", "mine_block", "distance_blocks"),
    *("extra_repr", "reset_parameters"),
}
"""Methods that graphkit calls with what it has looked at."""

z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
y = torch.tensor([0, 0, 1, 1, 2, 2])

FINE = {
    **{name: {"2.5", "0"} for name in ("margin", "positive_margin", "margin1", "margin2")},
    **{
        name: {"2.5"}
        for name in ("temperature", "alpha", "beta", "scale", "cutoff", "farthest", "sharpening", "strength")
    },
    **{name: {"2.5"} for name in ("off_diagonal", "decorrelation", "invariance", "variance", "covariance")},
    "base": {"2.5", "0", "-1"},
    "seed": {"0"},
    **{name: {"True"} for name in ("soft", "adaptive", "disjoint")},
    "miner": {
        "a function"
    },  # any function of embeddings and labels may be one; of what it returns a call says what is wrong
    **{name: {"Boolean labels"} for name in ("queries", "gallery", "anomalous")},  # rows as a mask
}
"""Entries of the table that are right wherever an argument has this name."""

ANY_WIDTH, ANY_SIZE = {"wider"}, {"wider", "fewer rows"}
WHATEVER_IT_HOLDS = {"NaN inside"}
"""A module lets pass what is not finite: its result shows it, and the loss refuses it."""


def defaults(thing):
    """Return the arguments of a call as they are when left out."""
    return {name: given.default for name, given in inspect.signature(thing).parameters.items()}


def call(thing, right, *, needed=(), **fine):
    """Return a call whose arguments may be what `FINE` says, or ``fine`` in its place."""
    may = {name: fine.get(name, FINE.get(name, set())) for name in right()}
    aliases = {"z": ("y", "anomalous", "condition", "context"), "y": ("z",), "others": ("labels",)}
    return Call(thing, right, may, aliases, needed)


def made_of(made):
    """Return the call that makes a loss or a miner; of likeness there are no other functions."""
    functions = (
        {"a function"} if "distance" in defaults(made) and made.__name__ not in LIKENESS | set(MINERS) else set()
    )
    return call(made, lambda: defaults(made), distance=functions)


LIKENESS = {"CircleLoss", "MultiSimilarityLoss"}
DEFAULTS = {
    thing: defaults(thing)
    for thing in (nearest_items, evaluate_retrieval, linear_probe, AnomalyScorer, ConditionalSimilarity)
}
TWO = torch.stack([y, y], 1)
SCORER, MASKS, CONTEXT = AnomalyScorer().fit(z), ConditionalSimilarity(3, 3), ContextSimilarity(3, 3)

CALLS: dict[str, Call] = {
    **{name: made_of(made) for name, made in (CRITERIA | MINERS).items()},
    **{
        f"{name}.__call__": call(
            made(),
            lambda: {"z": z, "y": y, "pairs": None, "reference": None, "condition": None},
            z=ANY_WIDTH,
            y={"integers"},  # three attributes
            needed=["y"],
        )
        for name, made in CRITERIA.items()
    },
    **{
        f"{name}.report": call(made().report, lambda m=made: {**defaults(m().report), "z": z, "y": y}, z=ANY_WIDTH)
        for name, made in CRITERIA.items()
    },
    **{
        f"{name}.__call__": call(
            made(), lambda: {"z": z, "y": y, "others": z, "labels": y}, needed=["others", "labels"]
        )
        for name, made in MINERS.items()
    },
    "pairwise_distances": call(
        pairwise_distances,
        lambda: {"z": z, "reference": z, "distance": "cosine"},
        z={"fewer rows"},
        reference={"fewer rows"},
    ),
    "class_prototypes": call(class_prototypes, lambda: {"z": z, "y": y}, z=ANY_WIDTH),
    "consistency": call(
        consistency,
        lambda: {"views": [z.softmax(-1)], "sharpening": 0.5},
        views={"three axes"},  # six views at once
    ),
    "telemetry": call(telemetry, lambda: {"z": z, "y": y, "reference": (z, y), "distance": "cosine"}),
    "nearest_items": call(
        nearest_items, lambda: {**DEFAULTS[nearest_items], "z": z, "count": 2}, z=ANY_SIZE, reference={"fewer rows"}
    ),
    "evaluate_retrieval": call(
        evaluate_retrieval,
        lambda: {**DEFAULTS[evaluate_retrieval], "z": z, "y": y, "metrics": ["ranking", "knn"]},
        z=ANY_WIDTH,
        train={"Boolean labels"},
    ),
    "evaluate_conditions": call(
        evaluate_conditions,
        lambda: {"embeddings": torch.stack([z, z]), "y": TWO, "queries": None, "distance": "cosine"},
        y={"integers"},  # an attribute without a condition of its own
    ),
    "linear_probe": call(
        linear_probe,
        lambda: {**DEFAULTS[linear_probe], "z": z, "y": y, "train": torch.arange(6) % 2 == 0},
        z=ANY_WIDTH,
        train={"Boolean labels"},
    ),
    "cluster_agreement": call(
        cluster_agreement, lambda: {"z": z, "y": y, "distance": "cosine", "seed": 0}, z=ANY_WIDTH
    ),
    "barlow_twins": call(barlow_twins, lambda: {"first": z, "second": z, "off_diagonal": 0.1}),
    "canonical_correlation": call(canonical_correlation, lambda: {"first": z, "second": z, "decorrelation": 0.1}),
    "vicreg": call(vicreg, lambda: {"first": z, "second": z, "invariance": 1.0, "variance": 1.0, "covariance": 1.0}),
    "AnomalyScorer": call(AnomalyScorer, lambda: DEFAULTS[AnomalyScorer]),
    "AnomalyScorer.fit": call(AnomalyScorer().fit, lambda: {"z": z, "y": y}, z=ANY_WIDTH),
    "AnomalyScorer.__call__": call(SCORER, lambda: {"z": z}, z={"fewer rows"}),
    "AnomalyScorer.detection": call(SCORER.detection, lambda: {"z": z, "anomalous": y == 1}),
    "ConditionalSimilarity": call(
        ConditionalSimilarity, lambda: {**DEFAULTS[ConditionalSimilarity], "features": 3, "conditions": 2}
    ),
    "ConditionalSimilarity.forward": call(
        MASKS.forward, lambda: {"z": z, "condition": y}, z=WHATEVER_IT_HOLDS, condition={"0"}
    ),
    "ConditionalSimilarity.all": call(MASKS.all, lambda: {"z": z}, z=WHATEVER_IT_HOLDS | {"fewer rows"}),
    "ConditionalSimilarity.penalty": call(MASKS.penalty, lambda: {"z": z}, z={"fewer rows"}),
    "ContextSimilarity": call(ContextSimilarity, lambda: {"features": 3, "context_features": 2}),
    "ContextSimilarity.forward": call(
        CONTEXT.forward, lambda: {"z": z, "context": z}, z=WHATEVER_IT_HOLDS, context=WHATEVER_IT_HOLDS
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_refused_in_words(name):
    refuses_what_is_wrong(CALLS[name])


def test_the_law_is_about_everything_public():
    expected = set()
    for name, thing in PUBLIC.items():
        if name in RECORDS:
            continue
        expected.add(name)
        if inspect.isclass(thing):
            own = [base for base in thing.__mro__ if base.__module__.startswith("graphkit.")]
            methods = {key for base in own for key, value in vars(base).items() if inspect.isfunction(value)}
            expected |= {f"{name}.{key}" for key in methods if key == "__call__" or not key.startswith("_")} - {
                f"{name}.{key}" for key in BELOW
            }
    assert set(CALLS) == expected


class Elsewhere(torch.Tensor):
    """A tensor that says it is on an accelerator; where there is none, too, a refusal can be seen."""

    device = property(lambda self: torch.device("cuda", 0))


@pytest.mark.parametrize("name", [name for name, made in CALLS.items() if {"z", "y"} <= set(made.right())])
def test_labels_on_another_device_are_refused_or_fetched(name):
    """Losses, miners and prototypes compute where the embeddings are; evaluations on the CPU, from wherever."""
    given = CALLS[name].right()
    given["y"] = given["y"].as_subclass(Elsewhere)
    on_the_cpu = {"evaluate_retrieval", "evaluate_conditions", "linear_probe", "cluster_agreement", "AnomalyScorer.fit"}
    if name in on_the_cpu:
        CALLS[name].thing(**given)
        return
    with pytest.raises(ValueError, match="`y` must be on cpu, as the rest of the call, got cuda:0"):
        CALLS[name].thing(**given)


@pytest.mark.parametrize(
    "name", ["pairwise_distances", "barlow_twins", "ContextSimilarity.forward", "TripletLoss.report"]
)
def test_embeddings_on_another_device_are_refused(name):
    given = CALLS[name].right()
    place = next(key for key in ("reference", "second", "z") if key in given)
    given[place] = (z.as_subclass(Elsewhere), y) if name == "TripletLoss.report" else z.as_subclass(Elsewhere)
    with pytest.raises(ValueError, match=f"`{place}` must be on cpu, as the rest of the call, got cuda:0"):
        CALLS[name].thing(**given)


def test_labels_that_are_texts_are_told_the_way():
    with pytest.raises(
        TypeError, match=r"`y` must be a tensor, got list; `numpy\.unique\(texts, return_inverse=True\)"
    ):
        TripletLoss()(z, ["cat", "cat", "dog", "dog", "cow", "cow"])
    with pytest.raises(ValueError, match=r"`y` must hold classes from 0 upwards, or -1 .*, got -2 in row 4"):
        TripletLoss()(z, torch.tensor([0, 0, 1, 1, -2, 2]))
