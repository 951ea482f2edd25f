"""Classes of a random graph, the communities inside or across them, and where each node lies in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphkit.data.random_graphs.design import LEAST, GraphDesign, log_uniform

MOST_COMMUNITIES = 30
"""Communities of a class, or across classes, at most."""


@dataclass(frozen=True)
class NodeGroups:
    """The groups that nodes are in.

    A block holds the nodes of one class and one community; blocks are in the order of their classes.

    Args:
        y: class of each node, ``[nodes]``.
        community: of each node, ``[nodes]``.
        block: of each node, ``[nodes]``.
        block_class: class of each block.
        block_community: community of each block.
        nested: whether each community is of one class.
        position: a place in space for each node, ``[nodes, 2]`` or ``[nodes, 3]``.
        centre: a place in space for each block, around which its nodes lie.
    """

    y: np.ndarray
    community: np.ndarray
    block: np.ndarray
    block_class: np.ndarray
    block_community: np.ndarray
    nested: bool
    position: np.ndarray
    centre: np.ndarray


def draw_groups(random: np.random.Generator, design: GraphDesign) -> NodeGroups:
    """Return classes of unequal sizes, their communities, and where those lie."""
    share = random.dirichlet(np.full(design.classes, log_uniform(random, 0.5, 20)))
    sizes = LEAST + random.multinomial(design.nodes - LEAST * design.classes, share)
    y = random.permutation(np.repeat(np.arange(design.classes), sizes))
    nested = bool(random.random() < 0.8)
    least = max(10, design.degree)
    grain = least * (design.nodes / least) ** (random.random() ** 1.7)
    community = np.zeros(design.nodes, dtype=np.int64)
    if nested:
        start = 0
        for label, size in enumerate(sizes):
            many = int(np.clip(round(size / grain), 1, MOST_COMMUNITIES))
            community[y == label] = start + random.choice(many, size, p=random.dirichlet(np.full(many, 2.0)))
            start += many
    else:
        many = int(np.clip(round(design.nodes / grain), 2, MOST_COMMUNITIES))
        community = random.choice(many, design.nodes, p=random.dirichlet(np.full(many, 2.0)))
    several = int(community.max()) + 1
    pairs, block = np.unique(y * several + community, return_inverse=True)
    block_class, block_community = np.divmod(pairs, several)
    # In space a class has a centre, and its communities lie around it or anywhere.
    dimension = int(random.integers(2, 3, endpoint=True))
    apart = random.uniform(0, 1.5)
    centre = random.normal(size=(design.classes, dimension))[block_class]
    centre = centre + apart * random.normal(size=(len(pairs), dimension))
    width = log_uniform(random, 0.1, 0.8) * random.lognormal(0, 0.3, len(pairs))
    position = centre[block] + width[block, None] * random.normal(size=(design.nodes, dimension))
    return NodeGroups(y, community, block, block_class, block_community, nested, position, centre)
