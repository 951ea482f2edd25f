"""Pictures of explanations: the subgraph that a prediction rests on, and its features."""

from __future__ import annotations

from collections.abc import Sequence
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
    title: str,
    note: str = "",
) -> Figure:
    """Return the pairs of nodes that an explanation names, wider where they matter more, and its features beside them.

    Args:
        edges: pairs of nodes, ``[2, pairs]``.
        scores: of each pair, from 0 to 1.
        features: name and score of each, the most important first.
        names: of all nodes.
        groups: class of each node, by which it is coloured.
        group_names: of the classes.
        centre: the node that is explained, a star.
        title, note: what is explained, and lines under it.

    Raises:
        ValueError: for scores that are not finite or not one for each pair, and for nothing to be drawn.

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
        _draw_graph(axes, edges, weights, names, groups, group_names, centre)
    if features:
        axes = picture.add_axes((0.03 + wide + room, 0.12, 0.94 - wide - room, 0.65))
        _draw_features(axes, shown, [score for _, score in features])
    return picture


def _draw_graph(
    axes: Axes,
    edges: np.ndarray,
    weights: np.ndarray,
    names: Sequence[object],
    groups: Sequence[int] | None,
    group_names: Sequence[str],
    centre: int | None,
) -> None:
    """Draw nodes and pairs."""
    import networkx as nx
    from matplotlib.collections import LineCollection

    from graphkit.viz.embeddings import COLOURS

    graph = nx.Graph()
    graph.add_edges_from(edges.T.tolist())
    if centre is not None:
        graph.add_node(centre)
    place = nx.spring_layout(graph, seed=SEED, weight=None, k=1.6 / max(len(graph), 1) ** 0.5)
    strength = weights / max(weights.max(), 1e-12)
    lines = [[place[a], place[b]] for a, b in edges.T.tolist()]
    axes.add_collection(LineCollection(lines, linewidths=0.6 + 4 * strength, colors=look.GREY, alpha=0.7, zorder=1))
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
    axes.margins(0.15)
    axes.set_axis_off()
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
