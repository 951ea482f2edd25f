"""Pooling of signals over the balanced tree of a graph."""

import math

from torch import Tensor, nn

from graphkit._checks import at_least, dense_features, member, one_row_per_node
from graphkit.nn.fused import unscriptable
from graphkit.operators import BalancedTree

REDUCTIONS = ("max", "mean")


class ChebPool(nn.Module):
    """Pooling over siblings of a balanced tree, which stand side by side: as fast as that of a sequence.

    Fake nodes count for nothing, whatever values they carry: the maximum is over the real children alone, also where
    all are negative, and the mean is divided by their number. A place without real children is a fake itself and
    gets 0.

    Args:
        reduce: "max" or "mean". Ties share the gradient of a maximum evenly.
        levels: how many levels of the tree to rise; with a matching, ``2 ** levels`` places become one.

    Shape:
        ``x`` ``[..., places, features]`` in the order of ``tree.spread``. Returns
        ``[..., places of level + levels, features]``.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2.3. Their code gives fakes the value
    0 and relies on rectified inputs, where 0 is the least.

    Example:
        >>> import torch
        >>> from graphkit.operators import coarsen
        >>> tree = coarsen(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), levels=1).tree
        >>> ChebPool()(tree.spread(torch.tensor([[-1.0], [-2.0], [-3.0]])), tree).flatten().tolist()
        [-1.0, -3.0]
    """

    __prepare_scriptable__ = unscriptable

    def __init__(self, reduce: str = "max", *, levels: int = 1) -> None:
        super().__init__()
        self.reduce = member("reduce", reduce, REDUCTIONS)
        self.levels = at_least("levels", levels, 0)

    def forward(self, x: Tensor, tree: BalancedTree, level: int = 0) -> Tensor:
        """Return the pooled signal.

        Args:
            x: ``[..., places, features]``, on the places of ``level``.
            tree: of the graph.
            level: on whose places the signal is.

        Raises:
            ValueError: where the tree has too few levels, or the signal another number of places.
        """
        size = tree.factor(level, self.levels)
        dense_features("x", x, tree.orders[level])
        one_row_per_node(x, len(tree.orders[level]))
        groups = x.unflatten(-2, (len(tree.orders[level + self.levels]), size))
        if tree.full[level]:
            return groups.amax(-2) if self.reduce == "max" else groups.mean(-2)
        fake = tree.fake(level).view(-1, size, 1)
        if self.reduce == "max":
            highest = groups.masked_fill(fake, -math.inf).amax(-2)
            return highest.masked_fill(tree.fake(level + self.levels).unsqueeze(-1), 0)
        total = groups.masked_fill(fake, 0).sum(-2)
        return total / (~fake).sum(-2).clamp(min=1).to(x.dtype)

    def extra_repr(self) -> str:
        """Return what tells one pooling from another."""
        return f"{self.reduce}, levels={self.levels}"
