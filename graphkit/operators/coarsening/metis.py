"""One round of clustering by METIS, which looks at the whole graph and balances sizes."""

from __future__ import annotations

import importlib.util
import math

import numpy as np

from graphkit.operators.coarsening.contraction import Weights

STEPS = 1_000
"""METIS wants whole numbers: weights are rounded to so many steps of the largest."""


def partitioned(weights: Weights, sizes: np.ndarray, *, cluster_size: int, seed: int) -> tuple[np.ndarray, int]:
    """Return the cluster of each node, ``[nodes]``, and how many clusters there are, about nodes / ``cluster_size``.

    METIS is made for parts of many nodes: on large graphs take at least 8, of fewer it complains itself, on standard
    output. It balances the numbers of original nodes, so that clusters may hold more or fewer nodes of this level, and
    may join nodes that no edge joins. Clusters are numbered by their first node.

    Args:
        weights: between nodes.
        sizes: original nodes in each node, ``[nodes]``.
        cluster_size: nodes to a cluster, about.
        seed: of METIS's own generator.

    Raises:
        ValueError: where pymetis is not installed.
    """
    if importlib.util.find_spec("pymetis") is None:
        raise ValueError("`method` 'metis' needs pymetis: pip install 'graphkit[metis]'; 'graclus' needs nothing.")
    import pymetis

    parts = math.ceil(weights.nodes / cluster_size)
    if parts < 2 or not len(weights.columns):
        # Without edges there is nothing to cut: METIS crashes on some such graphs.
        part = np.arange(weights.nodes) // cluster_size
    else:
        kind = pymetis.zero_copy_dtype()
        steps = np.maximum(1, np.rint(STEPS * weights.values / weights.values.max()))
        starts, adjacent, vertices, edges = (
            np.ascontiguousarray(array, kind) for array in (weights.pointers, weights.columns, sizes, steps)
        )
        graph, options = pymetis.CSRAdjacency(starts, adjacent), pymetis.Options(seed=seed)
        found = pymetis.part_graph(parts, graph, vweights=vertices, eweights=edges, options=options)
        part = np.asarray(found.vertex_part)
    _, first, number = np.unique(part, return_index=True, return_inverse=True)
    renumbered = np.argsort(np.argsort(first))
    return renumbered[number].astype(np.int64), len(first)
