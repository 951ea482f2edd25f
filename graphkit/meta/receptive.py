"""What a few nodes see of a graph through layers of graph convolution: small dense blocks instead of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import Tensor


@dataclass(frozen=True)
class Fields:
    """The receptive fields of several tasks, each padded with zeros to the largest.

    Args:
        index: the nodes that the first layer is needed at, ``[tasks, nodes]``, node 0 for padding.
        there: which of them are, ``[tasks, nodes, 1]``, 1 or 0.
        blocks: for every further layer, outermost first, its part of the adjacency,
            ``[tasks, nodes it is needed at, nodes the layer before is needed at]``.
    """

    index: Tensor
    there: Tensor
    blocks: tuple[Tensor, ...]


def receptive_fields(
    adjacency: scipy.sparse.csr_array, nodes: Sequence[np.ndarray], layers: int, dtype: torch.dtype
) -> Fields:
    """Return what each group of nodes sees through ``layers`` layers.

    Args:
        adjacency: normalised, ``[nodes, nodes]``.
        nodes: of each task, each of the same number.
        layers: of the model, at least 1.
        dtype: of the blocks.

    Example:
        >>> ring = scipy.sparse.csr_array(np.roll(np.eye(5), 1, axis=1))
        >>> found = receptive_fields(ring, [np.array([0]), np.array([3])], 2, torch.float32)
        >>> found.index.tolist(), found.blocks[0].tolist()
        ([[1], [4]], [[[1.0]], [[1.0]]])
    """
    current, blocks = [np.asarray(group) for group in nodes], []
    for _ in range(layers - 1):
        parts = [_below(adjacency, group) for group in current]
        width = max(len(below) for below, _ in parts)
        height = max(block.shape[0] for _, block in parts)
        padded = np.zeros((len(parts), height, width), dtype=np.float64)
        for number, (_, block) in enumerate(parts):
            padded[number, : block.shape[0], : block.shape[1]] = block
        blocks.append(torch.from_numpy(padded).to(dtype))
        current = [below for below, _ in parts]
    most = max(len(group) for group in current)
    index = np.zeros((len(current), most), dtype=np.int64)
    there = np.zeros((len(current), most, 1), dtype=bool)
    for number, group in enumerate(current):
        index[number, : len(group)] = group
        there[number, : len(group)] = True
    return Fields(torch.from_numpy(index), torch.from_numpy(there).to(dtype), tuple(blocks))


def _below(adjacency: scipy.sparse.csr_array, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes that some nodes average over, and the dense part of the adjacency between them."""
    starts, ends = adjacency.indptr[nodes], adjacency.indptr[nodes + 1]
    counts = ends - starts
    places = np.repeat(starts - np.concatenate([[0], counts.cumsum()[:-1]]), counts) + np.arange(counts.sum())
    below, column = np.unique(adjacency.indices[places], return_inverse=True)
    block = np.zeros((len(nodes), len(below)))
    np.add.at(block, (np.repeat(np.arange(len(nodes)), counts), column), adjacency.data[places])
    return below, block
