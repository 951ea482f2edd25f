"""The digits as signals on one grid: every pixel is a node, every digit a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data

SIDE = 8


def digits_grid() -> Data:
    """Return scikit-learn's 1,797 handwritten digits as signals on the grid of their 8 x 8 pixels.

    ``signals [1797, 64, 1]`` are the pixels, row by row, divided by 16; ``edge_index [2, 224]`` joins each pixel to
    those above, below, left and right of it; ``pos [64, 2]`` is the column of each pixel and its row from the bottom,
    for pictures; ``y [1797]`` are the labels of the signals.
    """
    from sklearn.datasets import load_digits
    from torch_geometric.data import Data

    digits = load_digits()
    pixel = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    right, down = (pixel[:, :-1], pixel[:, 1:]), (pixel[:-1], pixel[1:])
    one, other = (np.concatenate([ends[side].ravel() for ends in (right, down)]) for side in (0, 1))
    row, column = np.concatenate([one, other]), np.concatenate([other, one])
    order = np.lexsort((column, row))
    place = np.stack([pixel.ravel() % SIDE, SIDE - 1 - pixel.ravel() // SIDE], axis=1)
    return Data(
        edge_index=torch.from_numpy(np.stack([row, column])[:, order]),
        pos=torch.from_numpy(place.astype(np.float32)),
        signals=torch.from_numpy((digits.data / 16).astype(np.float32)).unsqueeze(-1),
        y=torch.from_numpy(digits.target.astype(np.int64)),
    )
