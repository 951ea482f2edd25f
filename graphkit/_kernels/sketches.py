"""Sketches of the nodes around a node: the smallest of many hashes, and the longest runs of zeros in another.

``minima [nodes, permutations]`` of unsigned 32-bit numbers and ``registers [nodes, buckets]`` of bytes are of sets of
nodes; those of a union are the smaller minima and the larger registers.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import exact_kernel
from graphkit._kernels.neighbor_sampling import GOLDEN
from graphkit._kernels.splitmix import splitmix64


@exact_kernel
def node_sketches(start, stop, seed, minima, registers):
    """Set the sketches of single nodes; ``seed`` decides the hashes."""
    permutations, buckets = minima.shape[1], registers.shape[1]
    for u in range(start, stop):
        word = splitmix64(seed + np.uint64(u + 1) * GOLDEN)
        for j in range(permutations):
            word += GOLDEN
            minima[u, j] = np.uint32(splitmix64(word) >> np.uint64(32))
        word = splitmix64(word + GOLDEN)
        bucket = np.int64(word % np.uint64(buckets))
        word = splitmix64(word + GOLDEN)
        run = 1
        while run < 63 and not (word & np.uint64(1)):
            word >>= np.uint64(1)
            run += 1
        for j in range(buckets):
            registers[u, j] = 0
        registers[u, bucket] = run


@exact_kernel
def merge_sketches(start, stop, indptr, indices, minima, registers, near_minima, near_registers):
    """Set the sketches of each node's set and those of its neighbours together."""
    permutations, buckets = minima.shape[1], registers.shape[1]
    for u in range(start, stop):
        for j in range(permutations):
            near_minima[u, j] = minima[u, j]
        for j in range(buckets):
            near_registers[u, j] = registers[u, j]
        for e in range(indptr[u], indptr[u + 1]):
            v = indices[e]
            for j in range(permutations):
                near_minima[u, j] = min(near_minima[u, j], minima[v, j])
            for j in range(buckets):
                near_registers[u, j] = max(near_registers[u, j], registers[v, j])


@exact_kernel
def sketch_sizes(start, stop, registers, correction, sizes):
    """Set ``sizes[u]`` to how large a set is by its registers."""
    buckets, halves = registers.shape[1], 0.5 ** np.arange(64.0)
    for u in range(start, stop):
        total, empty = 0.0, 0
        for j in range(buckets):
            total += halves[registers[u, j]]
            empty += registers[u, j] == 0
        found = correction * buckets * buckets / total
        sizes[u] = buckets * np.log(buckets / empty) if empty and found <= 2.5 * buckets else found


@exact_kernel
def sketch_overlaps(start, stop, first, second, minima, registers, other_minima, other_registers, correction, sizes):
    """Set ``sizes[p]`` to how many nodes the sets of ``first[p]`` and ``second[p]`` have in common.

    The share of equal minima is their share of both sets, whose size the larger registers tell.
    """
    permutations, buckets, halves = minima.shape[1], registers.shape[1], 0.5 ** np.arange(64.0)
    for p in range(start, stop):
        u, v = first[p], second[p]
        equal = 0
        for j in range(permutations):
            equal += minima[u, j] == other_minima[v, j]
        total, empty = 0.0, 0
        for j in range(buckets):
            run = max(registers[u, j], other_registers[v, j])
            total += halves[run]
            empty += run == 0
        found = correction * buckets * buckets / total
        found = buckets * np.log(buckets / empty) if empty and found <= 2.5 * buckets else found
        sizes[p] = found * equal / permutations
