"""The design of a random graph: what is drawn of it before any node is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

EDGES = {"blocks": 0.15, "hierarchy": 0.38, "geometric": 0.2, "cliques": 0.15, "hubs": 0.12}
"""What joins nodes, and how often."""

FEATURES = {"words": 0.4, "gaussian": 0.28, "attributes": 0.18, "degrees": 0.07, "nothing": 0.07}
"""What features are, and how often."""

CAUSES = {"class": 0.5, "community": 0.2, "neighbours": 0.15, "position": 0.15}
"""What features depend on, and how often; a position is there in geometric graphs alone."""

SECOND_CAUSES = {"nothing": 0.5, "community": 0.35, "neighbours": 0.15}
"""What features depend on besides, and how often."""

LEAST = 20
"""Nodes of a class at least."""

MOST_CLASSES = 10
"""Classes at most."""

LARGEST = 1_000_000
"""Nodes at most."""


@dataclass(frozen=True)
class GraphDesign:
    """What a random graph is drawn from; a graph has it as ``design``.

    Args:
        nodes: number of nodes.
        classes: number of classes.
        edges: what joins nodes, one of ``EDGES``.
        degree: mean number of neighbours that is aimed at, 2 to 40; edges that are drawn twice count once.
        homophily: -1 to 1: the share of edges inside of classes, or where it is negative the share that goes where
            classes prefer others; the rest is by chance. Of geometric graphs, the sign alone counts.
        features: what features are, one of ``FEATURES``.
        cause: what they depend on, one of ``CAUSES``, or ``"nothing"``.
        second_cause: what they depend on besides, less, one of ``SECOND_CAUSES``.
        informativeness: 0 to 1, how much they depend on the cause; where it is 0 they depend on nothing at all.
        copies: 0 to 1, how much of a node's features is taken from neighbours, whatever their class.
        label_noise: share of the nodes whose labels are shuffled at the end.
    """

    nodes: int
    classes: int
    edges: str
    degree: float
    homophily: float
    features: str
    cause: str
    second_cause: str
    informativeness: float
    copies: float
    label_noise: float


def draw_design(
    structure: np.random.Generator,
    rows: np.random.Generator,
    nodes: tuple[int, int],
    edges: Mapping[str, float],
    features: Mapping[str, float],
) -> GraphDesign:
    """Return a design; what it says of features comes from a generator of their own.

    Args:
        structure: draws all but what is of features.
        rows: draws that.
        nodes: how many there are at least and at most.
        edges: kinds to draw from, and how often each comes.
        features: the same of features.
    """
    size = int(structure.integers(nodes[0], nodes[1], endpoint=True))
    joint, form = pick(structure, edges), pick(rows, features)
    cause = pick(rows, {name: often for name, often in CAUSES.items() if name != "position" or joint == "geometric"})
    second = pick(rows, SECOND_CAUSES)
    informativeness = float(rows.uniform(0.02, 1) ** 0.7) if rows.random() < 0.9 else 0.0
    copies = float(rows.uniform(0.1, 0.8)) if rows.random() < 0.5 else 0.0
    if form in ("degrees", "nothing") or not informativeness:
        cause, second, informativeness, copies = "nothing", "nothing", 0.0, 0.0
    return GraphDesign(
        nodes=size,
        classes=int(structure.integers(2, min(MOST_CLASSES, size // LEAST), endpoint=True)),
        edges=joint,
        degree=log_uniform(structure, 2, 40),
        homophily=_draw_homophily(structure),
        features=form,
        cause=cause,
        second_cause=second,
        informativeness=informativeness,
        copies=copies,
        label_noise=float(structure.uniform(0, 0.25)) if structure.random() < 0.35 else 0.0,
    )


def _draw_homophily(random: np.random.Generator) -> float:
    """Return a homophily: published graphs are mostly well above 0, or near it and below."""
    kind = random.random()
    if kind < 0.25:
        return float(random.uniform(-1, 0))
    return float(random.uniform(0, 0.3) if kind < 0.45 else random.uniform(0.3, 1))


def pick(random: np.random.Generator, kinds: Mapping[str, float]) -> str:
    """Return one of several names, each as often as it says."""
    often = np.array(list(kinds.values()))
    return list(kinds)[int(random.choice(len(often), p=often / often.sum()))]


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Return a number between two, the logarithm of which is uniform."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
