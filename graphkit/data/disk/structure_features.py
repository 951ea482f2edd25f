"""Features of nodes that are made of the edges alone: degrees, one-hot ids, random-walk and Laplacian encodings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphkit import _checks

if TYPE_CHECKING:
    from scipy.sparse import csr_array

STEPS = 16
"""Steps of the random walk, and pairs of the Laplacian."""

SMALL = 20_000
"""Nodes up to which each may have a feature of its own, and walks are followed."""


def structure_features(adjacency: csr_array, kinds: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return features of the nodes, float32 ``[nodes, features]``, and their names.

    Args:
        adjacency: ``[nodes, nodes]``, with an entry for each edge in the row of its source.
        kinds: of "degree" (the logarithm of one more than the number of edges, out of and into a node where these
            differ), "one-hot" (a feature for each node), "random-walk" (the share of walks that are back after 1 to 16
            steps) and "laplacian" (16 eigenvectors of the symmetric Laplacian above the constant one, the largest entry
            of each positive).

    Raises:
        ValueError: for another kind, one-hot ids and walks of more than 20,000 nodes.

    Source: Dwivedi et al. (2022), arXiv:2110.07875, for the random-walk encoding; Dwivedi & Bresson (2021),
    arXiv:2012.09699, for the Laplacian one.

    Example:
        >>> from scipy.sparse import csr_array
        >>> path = csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
        >>> x, names = structure_features(path, ["degree"])
        >>> names, (10 * x).round().astype(int).tolist()
        (['degree'], [[7], [11], [7]])
    """
    makers = {"degree": _degrees, "one-hot": _one_hot, "random-walk": _walks, "laplacian": _eigenvectors}
    parts = [makers[_checks.member("structure", kind, makers)](adjacency) for kind in kinds]
    return np.concatenate([x for x, _ in parts], axis=1, dtype=np.float32), [
        name for _, names in parts for name in names
    ]


def degree_features(outgoing: np.ndarray, incoming: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the logarithms of one more than the degrees, once where those out of and into each node are the same."""
    if np.array_equal(outgoing, incoming):
        return np.log1p(outgoing)[:, None].astype(np.float32), ["degree"]
    return np.log1p(np.stack([outgoing, incoming], axis=1)).astype(np.float32), ["out-degree", "in-degree"]


def _degrees(adjacency: csr_array) -> tuple[np.ndarray, list[str]]:
    return degree_features(np.diff(adjacency.indptr), np.bincount(adjacency.indices, minlength=adjacency.shape[0]))


def _one_hot(adjacency: csr_array) -> tuple[np.ndarray, list[str]]:
    nodes = _require_small("one-hot", adjacency)
    return np.eye(nodes, dtype=np.float32), [f"node {node}" for node in range(nodes)]


def _require_small(kind: str, adjacency: csr_array) -> int:
    nodes = int(adjacency.shape[0])
    if nodes > SMALL:
        raise ValueError(
            f"`structure` {kind!r} needs a number for every pair of nodes: {nodes:,} are too many (at most {SMALL:,}); "
            "take 'degree' or 'laplacian'."
        )
    return nodes


def _walks(adjacency: csr_array) -> tuple[np.ndarray, list[str]]:
    from scipy.sparse import diags_array

    _require_small("random-walk", adjacency)
    ones = adjacency.astype(np.float64)
    ones.data = np.ones(len(ones.data))
    degree = np.asarray(ones.sum(axis=1)).ravel()
    step = diags_array(1 / np.maximum(degree, 1)) @ ones
    back, power = [], step
    for number in range(STEPS):
        back.append(power.diagonal())
        power = power @ step if number + 1 < STEPS else power
    return np.stack(back, axis=1), [f"back after {number + 1}" for number in range(STEPS)]


def _eigenvectors(adjacency: csr_array) -> tuple[np.ndarray, list[str]]:
    import torch

    from graphkit.operators import fourier_basis, laplacian

    both = (adjacency + adjacency.T).tocoo()
    nodes = both.shape[0]
    edge_index = torch.from_numpy(np.stack([both.row, both.col]).astype(np.int64))
    pairs = min(STEPS + 1, nodes)
    basis = fourier_basis(laplacian(edge_index, num_nodes=nodes, normalization="sym"), k=pairs)
    vectors = basis.eigenvectors.double().numpy()[:, 1:]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    found = np.zeros((nodes, STEPS))
    found[:, : vectors.shape[1]] = vectors * np.sign(largest)
    return found, [f"eigenvector {number + 1}" for number in range(STEPS)]
