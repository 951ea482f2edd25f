"""Random forests, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least, member
from graphkit.nn.estimators.abstract_estimator import KINDS, AbstractEstimator


class Forest(AbstractEstimator):
    """Decision trees side by side: what is said of an item is the mean of the leaves that it falls into.

    Args:
        outputs: numbers that are said of an item.
        trees: of each forest, at least 1. Classes have one forest, and so have numbers that are all known; tasks of yes
            or no, and numbers with gaps, one each.
        leaf: training items in a leaf at least, at least 1.

    Source: Breiman (2001), "Random forests"; grown by scikit-learn, numbers with a third of the columns at each branch.

    Example:
        >>> rows, y = torch.arange(8.0)[:, None], torch.arange(8.0)[:, None] // 4
        >>> forest = Forest(1, trees=9)
        >>> forest.fit(rows, y, "numbers")
        >>> forest(torch.tensor([[0.0], [7.0]])).round().flatten().tolist()
        [0.0, 1.0]
    """

    column: Tensor
    threshold: Tensor
    branches: Tensor
    value: Tensor
    roots: Tensor
    trees: Tensor
    depth: Tensor
    kind: Tensor

    def __init__(self, outputs: int, *, trees: int = 300, leaf: int = 1) -> None:
        super().__init__(outputs)
        self._fields = {"n_estimators": at_least("trees", trees, 1), "min_samples_leaf": at_least("leaf", leaf, 1)}
        self.register_buffer("column", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(0))
        self.register_buffer("branches", torch.zeros(0, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(0, outputs))
        self.register_buffer("roots", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("trees", torch.zeros(outputs))
        self.register_buffer("depth", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def fit(self, rows: Tensor, targets: Tensor, kind: str, variant: int = 0) -> None:
        """Grow the trees."""
        member("kind", kind, KINDS)
        x, y = rows.cpu().numpy(), targets.detach().cpu().numpy()
        if kind == "classes" or (kind == "numbers" and not np.isnan(y).any()):
            self.grow([self._scikit_forest(x, y, kind)], kind)
        else:
            known = [~np.isnan(column) for column in y.T]
            parts = zip(known, y.T, strict=True)
            self.grow(
                [self._scikit_forest(x[there], y[there], kind) if there.any() else None for there, y in parts], kind
            )

    def grow(self, forests: Sequence[Any], kind: str) -> Forest:
        """Take the trees of scikit-learn's forests, and return the module.

        Args:
            forests: one for all outputs, or one for each output that there is something to say of, ``None`` for others.
            kind: "classes", "binary" or "numbers".
        """
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("column", "threshold", "branches", "value")}
        roots, trees, depth, first = [], np.zeros(self.outputs), 0, 0
        for place, forest in enumerate(forests):
            if forest is None:
                continue
            into = np.arange(self.outputs) if len(forests) == 1 else np.array([place])
            trees[into] = len(forest.estimators_)
            for each in forest.estimators_:
                tree = each.tree_
                inner = tree.children_left >= 0
                own = np.arange(tree.node_count)
                branches = np.stack([np.where(inner, side, own) for side in (tree.children_left, tree.children_right)])
                value = np.zeros((tree.node_count, self.outputs))
                value[:, into] = _leaf_values(forest, tree, kind, len(into))
                parts["column"].append(np.where(inner, tree.feature, 0))
                parts["threshold"].append(_single_below(tree.threshold))
                parts["branches"].append(branches.T + first)
                parts["value"].append(value)
                roots.append(first)
                depth, first = max(depth, tree.max_depth), first + tree.node_count
        there = self.value.device
        self.column = torch.from_numpy(np.concatenate(parts["column"])).to(there, torch.int32)
        self.threshold = torch.from_numpy(np.concatenate(parts["threshold"])).to(there)
        self.branches = torch.from_numpy(np.concatenate(parts["branches"])).to(there, torch.int32)
        self.value = torch.from_numpy(np.concatenate(parts["value"])).to(there, torch.float32)
        self.roots = torch.tensor(roots, dtype=torch.int32, device=there)
        self.trees = torch.from_numpy(trees).to(there, torch.float32)
        self.depth = torch.tensor(depth, device=there)
        self.kind = torch.tensor(KINDS.index(kind), device=there)
        return self

    def forward(self, rows: Tensor) -> Tensor:
        """Return what the trees say of ``rows [items, columns]``, ``[items, outputs]``: logits, or numbers.

        Shares are counted as if one more tree did not know: no class is impossible.
        """
        if not len(self.roots):
            raise ValueError("the forest has no trees yet: `fit` it.")
        place = self.roots.long().expand(len(rows), -1)
        for _ in range(int(self.depth)):
            goes_right = rows.gather(1, self.column[place].long()) > self.threshold[place]
            place = self.branches[place, goes_right.long()].long()
        said = torch.zeros(len(rows), self.outputs, device=rows.device)
        for trees in place.split(16, 1):
            said += self.value[trees].sum(1)
        kind = KINDS[int(self.kind)]
        if kind == "numbers":
            return said / self.trees.clamp(min=1)
        if kind == "classes":
            return ((said + 1 / self.outputs) / (self.trees + 1)).log()
        share = (said + 0.5) / (self.trees + 1)
        return share.log() - (1 - share).log()

    def _scikit_forest(self, rows: np.ndarray, targets: np.ndarray, kind: str) -> Any:
        """Return a forest of scikit-learn."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        fields = {**self._fields, "random_state": int(torch.randint(2**31 - 1, ())), "n_jobs": torch.get_num_threads()}
        if kind == "numbers":
            targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
            return RandomForestRegressor(max_features=1 / 3, **fields).fit(rows, targets)
        return RandomForestClassifier(**fields).fit(rows, targets)


def _leaf_values(forest: Any, tree: Any, kind: str, outputs: int) -> np.ndarray:
    """Return what each node of a tree says, ``[nodes, outputs]``; a class that a forest never saw has nothing."""
    if kind == "numbers":
        return tree.value[:, :, 0].reshape(tree.node_count, outputs)
    shares = tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True)
    found = np.zeros((tree.node_count, outputs if kind == "classes" else 2))
    found[:, forest.classes_.astype(int)] = shares
    return found if kind == "classes" else found[:, 1:]


def _single_below(threshold: np.ndarray) -> np.ndarray:
    """Return the largest numbers in single precision that are no larger: they tell the same numbers apart.

    Example:
        >>> float(_single_below(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
        True
    """
    single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)
