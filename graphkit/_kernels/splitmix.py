"""Hashes by SplitMix64: dropout masks that need not be stored, and fingerprints of arrays."""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import kernel


@kernel
def splitmix64(word):
    """Return the finaliser of SplitMix64: 64 bits in, 64 bits out, every bit depending on all."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@kernel
def dropout_range(start, stop, x, seed, threshold, factor, out):
    """Set ``out[k] = factor * x[k]`` where the number of place ``k`` is at least ``threshold``, else ``0 * x[k]``."""
    zero = out.dtype.type(0)  # an integer here would make the selection run in double precision
    seen, kept = x[start:stop], out[start:stop]  # places counted from 0, so that the loop vectorises
    first = seed + np.uint64(start) * np.uint64(0x9E3779B97F4A7C15)
    for k in range(len(seen)):
        number = splitmix64(first + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15))
        kept[k] = seen[k] * (factor if number >= threshold else zero)  # a dropped NaN stays one, as PyTorch's does
