"""Everything public in the room, and each of its methods, with each argument wrong in all ways of one table."""

from __future__ import annotations

import inspect

import pytest
import torch

import graphkit.contrastive
from graphkit.contrastive import (
    BGRL,
    CCASSG,
    DGI,
    GRACE,
    AbstractSelfSupervision,
    Augmentation,
    Diffusion,
    View,
    drop_edges,
    mask_features,
    pretrain,
    subgraph_nodes,
)
from graphkit.nn import Encoder, GCNConv
from tests.wrong_arguments import Call, refuses_what_is_wrong

PUBLIC = {name: getattr(graphkit.contrastive, name) for name in graphkit.contrastive.__all__}
APART = {"View", "AbstractSelfSupervision"}
"""A record, looked at where it is used, and what the methods are made of."""
BELOW = {"encode", "after_step"}
"""What methods supply or `pretrain` calls."""
OF_THE_ENCODER = {"forward", "embed"}
"""They hand the graph to the encoder as it is, whatever that takes; the layers say what is wrong with it."""

X, EDGES = torch.rand(6, 3), torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
RING = View(X, EDGES)


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def encoder() -> Encoder:
    return Encoder(3, 4, 3, conv=GCNConv)


def defaults(thing):
    """Return the arguments of a call as they are when left out."""
    return {name: given.default for name, given in inspect.signature(thing).parameters.items()}


FINE = {
    "undirected": {"True"},
    "weighted": {"True"},
    **{name: {"0"} for name in ("p", "edge_drop", "feature_mask", "node_drop", "momentum", "then")},
    **{name: {"0", "2.5"} for name in ("decorrelation", "weight_decay")},
    **{name: {"2.5"} for name in ("temperature", "lr")},
    **{name: {"a function"} for name in ("first", "second", "augmentation", "then")},  # any that draws a view
    "x": {"NaN inside"},  # the first loss is NaN, and training says so
    "edge_weight": {"one axis", "float labels"},
}
METHODS = {
    "BGRL": lambda: BGRL(encoder(), 3, first=Augmentation(), second=Augmentation()),
    "CCASSG": lambda: CCASSG(encoder(), Augmentation()),
    "DGI": lambda: DGI(encoder(), 3),
    "GRACE": lambda: GRACE(encoder(), 3, first=Augmentation(), second=Augmentation()),
}
VIEWS = {"channels": 3, "first": Augmentation(), "second": Augmentation(), "augmentation": Augmentation()}


def call(thing, right, **fine):
    may = {name: fine.get(name, FINE.get(name, set())) for name in right()}
    return Call(thing, right, may, {"x": ("edge_index",)})


def makes(made):
    """Return the call that makes a method."""
    right = {**defaults(made), "encoder": encoder(), **{n: v for n, v in VIEWS.items() if n in defaults(made)}}
    return call(made, lambda: right)


def draws(made):
    return call(made, lambda: {"view": RING, "generator": drawn(), "weighted": False})


CALLS = {
    "drop_edges": call(drop_edges, lambda: {"edge_index": EDGES, "p": 0.5, "generator": drawn(), "undirected": False}),
    "mask_features": call(
        mask_features, lambda: {"x": X, "p": 0.5, "generator": drawn()}, x={"wider", "fewer rows", "NaN inside"}
    ),
    "subgraph_nodes": call(
        subgraph_nodes, lambda: {"edge_index": EDGES, "share": 0.5, "num_nodes": 6, "generator": drawn(), "steps": 3}
    ),
    "Augmentation": call(Augmentation, lambda: defaults(Augmentation)),
    "Augmentation.__call__": draws(Augmentation(edge_drop=0.2, feature_mask=0.2, node_drop=0.2)),
    "Diffusion": call(Diffusion, lambda: {"teleport": 0.15, "neighbours": 2, "then": Augmentation()}),
    "Diffusion.__call__": draws(Diffusion(neighbours=2)),
    **{name: makes(PUBLIC[name]) for name in METHODS},
    **{
        f"{name}.loss": call(made().loss, lambda: {"view": RING, "generator": drawn()})
        for name, made in METHODS.items()
    },
    "pretrain": call(
        pretrain,
        lambda: {
            "method": METHODS["CCASSG"](),
            "x": X,
            "edge_index": EDGES,
            "edge_weight": None,
            "epochs": 2,
            "lr": 0.1,
            "weight_decay": 0.0,
            "generator": drawn(),
        },
        x={"NaN inside", "wider"},  # the first step says so, the second in the encoder's words
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_refused_in_words(name):
    refuses_what_is_wrong(CALLS[name])


def test_the_law_is_about_everything_public():
    expected = set(PUBLIC) - APART
    for name in expected & {name for name, thing in PUBLIC.items() if inspect.isclass(thing)}:
        own = [base for base in PUBLIC[name].__mro__ if base.__module__.startswith("graphkit.")]
        methods = {key for base in own for key, value in vars(base).items() if inspect.isfunction(value)}
        public = {key for key in methods if key == "__call__" or not key.startswith("_")}
        expected = expected | {f"{name}.{key}" for key in public - BELOW - OF_THE_ENCODER}
    assert set(CALLS) == expected
    assert all(issubclass(PUBLIC[name], AbstractSelfSupervision) for name in METHODS)


@pytest.mark.parametrize(
    ("view", "named"),
    [
        (View(X.numpy(), EDGES), "`x` must be a tensor"),
        (View(X.long(), EDGES), "`x` must hold floating-point numbers"),
        (View(X[0], EDGES), "`x` must have shape"),
        (View(X[:1], EDGES[:, :0]), "`x` must have at least two nodes"),
        (View(X[:0], EDGES[:, :0]), "`x` must have at least two nodes"),
        (View(X, EDGES.float()), "`edge_index` must hold integers"),
        (View(X, EDGES + 1), "`edge_index` has source node 6"),
        (View(X, EDGES, torch.ones(5)), "`edge_weight` must have one value per edge"),
        (View(X, EDGES, torch.ones(6).long()), "`edge_weight` must hold floating-point numbers"),
        (View(X, EDGES, "wrong"), "`edge_weight` must be a tensor"),
    ],
)
@pytest.mark.parametrize("name", [*METHODS, "Augmentation", "Diffusion"])
def test_the_parts_of_a_view_are_looked_at(name, view, named):
    thing = METHODS[name]().loss if name in METHODS else lambda *given: PUBLIC[name]()(*given, weighted=False)
    with pytest.raises((ValueError, TypeError), match=named):
        thing(view, drawn())
