"""Coarsening: a graph clustered again and again, and the balanced tree in which pooling is that of a sequence."""

from graphkit.operators.coarsening.contraction import coarse_graph
from graphkit.operators.coarsening.hierarchy import BalancedTree, Hierarchy, Level, coarsen

__all__ = ["BalancedTree", "Hierarchy", "Level", "coarse_graph", "coarsen"]
