r"""Random labelled graphs of many kinds, as prior-fitted networks are trained on: a seed says all of one.

A graph is drawn in four steps. Its design comes first (``design``): how many classes, what joins nodes, what features
are and what they depend on. Then come classes and the communities inside or across them (``groups``), then edges
(``edges``), then features (``features``); ``graphs`` puts them together.
"""

from __future__ import annotations

from graphkit.data.random_graphs.design import GraphDesign
from graphkit.data.random_graphs.graphs import RandomGraphs, random_graph

__all__ = ["GraphDesign", "RandomGraphs", "random_graph"]
