"""Pictures of explanations: the subgraph that a prediction rests on, and its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphkit._checks import text
from graphkit.viz import figures as look
from graphkit.viz.checks import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = 10
"""Size of the features' names."""

PATHS = 200
"""Nodes of a graph up to which lengths follow those of paths; it takes their square in time."""

STROKES = {
    "single": ((0.0, "-"),),
    "double": ((-1.0, "-"), (1.0, "-")),
    "triple": ((-1.6, "-"), (0.0, "-"), (1.6, "-")),
    "aromatic": ((-1.0, "-"), (1.0, "--")),
    "other": ((0.0, ":"),),
}
"""Lines of each kind of bond: how far beside the middle, and how they are drawn."""

SEED = 0
"""Draws where the layout of a subgraph begins."""


def explanation_graph(
    edges: np.ndarray,
    scores: Sequence[float],
    features: Sequence[tuple[str, float]] = (),
    *,
    names: Sequence[object],
    groups: Sequence[int] | None = None,
    group_names: Sequence[str] = (),
    centre: int | None = None,
    pairs: np.ndarray | None = None,
    bonds: Sequence[str] = (),
    title: str,
    note: str = "",
) -> Figure:
    """Return the pairs of nodes that an explanation names, wider where they matter more, and its features beside them.

    A graph that is given whole lies under them, and a molecule is drawn with as many lines as each bond has.

    Args:
        edges: pairs of nodes, ``[2, pairs]``.
        scores: of each pair, from 0 to 1.
        features: name and score of each, the most important first.
        names: of all nodes.
        groups: class of each node, by which it is coloured.
        group_names: of the classes.
        centre: the node that is explained, a star.
        pairs: all edges of the graph, ``[2, all pairs]``, of which ``edges`` are some; by default those alone.
        bonds: of a molecule the kind of each of ``pairs``: "single", "double", "triple", "aromatic" or "other". Atoms
            are then drawn as their names.
        title, note: what is explained, and lines under it.

    Raises:
        ValueError: for scores that are not finite or not one for each pair, bonds that are not one for each of
            ``pairs``, and for nothing to be drawn.

    Example:
        >>> pairs = np.array([[0, 0], [1, 2]])
        >>> picture = explanation_graph(pairs, [0.9, 0.2], names=["a", "b", "c"], centre=0, title="a")
        >>> sorted(label.get_text() for label in picture.axes[0].texts)
        ['a', 'b', 'c']
    """
    edges = np.asarray(edges)
    weights = numbers("scores", scores, "pairs")
    if edges.shape != (2, len(weights)):
        raise ValueError(f"`edges` must hold a pair of nodes for each of {len(weights)} scores, got {edges.shape}.")
    whole = edges if pairs is None or not np.size(pairs) else np.asarray(pairs)
    if bonds and len(bonds) != whole.shape[1]:
        raise ValueError(f"`bonds` must hold a kind for each of {whole.shape[1]} pairs, got {len(bonds)}.")
    if not len(weights) and not features:
        raise ValueError("`edges` and `features` are empty: there is nothing to be drawn.")
    picture = look.new_figure(11.0, 5.6)
    look.draw_headline(picture, text("title", title), note, (0.03, 0.965, 0.90))
    # From left to right: the graph, the names of the features, their bars.
    shown = [look.escape(name, 26) for name, _ in features]
    room = (look.widest(shown, LETTERS) + 0.35) / picture.get_figwidth() if features else 0.0
    wide = (0.94 - room) * (0.6 if features else 1.0) if len(weights) else 0.0
    if len(weights):
        axes = picture.add_axes((0.03, 0.12, wide, 0.65))
        place = _node_places(axes, whole, centre)
        if bonds:
            _draw_molecule(axes, place, whole, bonds, edges, weights, names)
        else:
            _draw_graph(axes, place, whole, edges, weights, names, groups, group_names, centre)
        axes.margins(0.15)
        axes.set_axis_off()
    if features:
        axes = picture.add_axes((0.03 + wide + room, 0.12, 0.94 - wide - room, 0.65))
        _draw_features(axes, shown, [score for _, score in features])
    return picture


def _node_places(axes: Axes, pairs: np.ndarray, centre: int | None) -> dict[int, np.ndarray]:
    """Return where each node is drawn: small graphs so that lengths are those of paths, others as springs lie."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(sorted(set(pairs.ravel().tolist())))
    graph.add_edges_from(pairs.T.tolist())
    if centre is not None:
        graph.add_node(centre)
    if len(graph) > PATHS or not nx.is_connected(graph):
        place: dict[int, np.ndarray] = nx.spring_layout(graph, seed=SEED, weight=None, k=1.6 / len(graph) ** 0.5)
        return place
    spot = np.array([xy for _, xy in sorted(nx.kamada_kawai_layout(graph).items())])
    # Longer than it is high, as the room for it is.
    turned = spot @ np.linalg.svd(spot - spot.mean(axis=0), full_matrices=False)[2].T if len(spot) > 1 else spot
    axes.set_aspect("equal")
    return dict(zip(sorted(graph), turned, strict=True))


def _draw_molecule(
    axes: Axes,
    place: Mapping[int, np.ndarray],
    pairs: np.ndarray,
    bonds: Sequence[str],
    edges: np.ndarray,
    weights: np.ndarray,
    names: Sequence[object],
) -> None:
    """Draw a molecule, with the bonds that an explanation names on coloured ground."""
    from matplotlib.collections import LineCollection

    strength = weights / max(weights.max(), 1e-12)
    ground = [[place[a], place[b]] for a, b in edges.T.tolist()]
    axes.add_collection(
        LineCollection(ground, linewidths=4 + 10 * strength, colors=look.ORANGE, alpha=0.75, capstyle="round", zorder=1)
    )
    known = [(place[a], place[b]) for a, b in pairs.T.tolist()]
    gap = 0.06 * float(np.median([np.linalg.norm(b - a) for a, b in known]))
    for (a, b), bond in zip(known, bonds, strict=True):
        across = np.array([a[1] - b[1], b[0] - a[0]]) / max(float(np.linalg.norm(b - a)), 1e-12)
        for offset, style in STROKES.get(bond, STROKES["other"]):
            ends = np.array([a, b]) + offset * gap * across
            axes.plot(ends[:, 0], ends[:, 1], color=look.INK, linewidth=1.2, linestyle=style, zorder=2)
    for node, (x, y) in place.items():
        axes.text(
            x, y, look.escape(names[node], 18), ha="center", va="center", fontsize=9, color=look.INK, zorder=4,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.9},
        )  # fmt: skip


def _draw_graph(
    axes: Axes,
    place: Mapping[int, np.ndarray],
    pairs: np.ndarray,
    edges: np.ndarray,
    weights: np.ndarray,
    names: Sequence[object],
    groups: Sequence[int] | None,
    group_names: Sequence[str],
    centre: int | None,
) -> None:
    """Draw nodes and pairs."""
    from matplotlib.collections import LineCollection

    from graphkit.viz.embeddings import COLOURS

    strength = weights / max(weights.max(), 1e-12)
    lines = [[place[a], place[b]] for a, b in edges.T.tolist()]
    axes.add_collection(LineCollection(lines, linewidths=0.6 + 4 * strength, colors=look.GREY, alpha=0.7, zorder=1))
    named = set(map(tuple, edges.T.tolist()))
    rest = [[place[a], place[b]] for a, b in map(tuple, pairs.T.tolist()) if (a, b) not in named]
    if rest:
        axes.add_collection(LineCollection(rest, linewidths=0.6, colors=look.FAINT, alpha=0.5, zorder=0))
    seen: set[int] = set()
    for node, (x, y) in place.items():
        group = -1 if groups is None else int(groups[node])
        colour = look.FAINT if group < 0 else COLOURS[group % len(COLOURS)]
        known = 0 <= group < len(group_names) and group not in seen
        label = look.escape(group_names[group], 24) if known else None
        seen.add(group)
        star = node == centre
        axes.scatter(
            x,
            y,
            s=420 if star else 170,
            marker="*" if star else "o",
            color=colour,
            edgecolor="white",
            zorder=3,
            label=label,
        )
        axes.annotate(
            look.escape(names[node], 18), (x, y), xytext=(0, 11), textcoords="offset points", ha="center", fontsize=9,
            color=look.INK, fontweight="bold" if star else "normal", zorder=4,
        )  # fmt: skip
    if seen - {-1} and group_names:
        axes.legend(
            frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, title="predicted"
        )


def _draw_features(axes: Axes, names: Sequence[str], scores: Sequence[float]) -> None:
    """Draw the scores of features as bars."""
    axes.barh(range(len(names)), scores, color=look.BLUE, height=0.65)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    look.style_axes(axes, xlabel="score of the feature", ylabel="")
    axes.tick_params(axis="y", labelsize=LETTERS)
    axes.grid(axis="y", visible=False)
