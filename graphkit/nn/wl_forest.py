"""Forests on counts of what surrounds nodes: no gradient, and often hard to beat on whole graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphkit._checks import at_least, member
from graphkit.nn.graph_models import GraphBatch
from graphkit.operators.refinement import mix_bits, refine_colours

LINKS = ("classes", "binary", "numbers")
"""What the means over trees are: shares of classes, shares of yes for each task, or numbers."""

DEGREES = 8
"""Columns of a histogram of degrees; the last is "that many or more"."""


def wl_counts(batch: GraphBatch, *, rounds: int, columns: int) -> Tensor:
    """Return how often each colour occurs in each graph, ``[graphs, columns]``, colours being put into columns by hash.

    Colours of all rounds count, those before the first one too: see
    :func:`graphkit.operators.refinement.refine_colours`.

    Args:
        batch: graphs, with features of nodes, and of edges or none.
        rounds: of refinement, at least 0.
        columns: at least 1; two colours share one by chance.

    Source: Shervashidze et al. (2011), JMLR 12, whose counts have a column for each colour; Rogers & Hahn (2010),
    "Extended-connectivity fingerprints", for the hash into a fixed number of columns.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> batch = GraphBatch(torch.ones(3, 1), path, None, torch.zeros(3, dtype=torch.long), 1)
        >>> sorted(wl_counts(batch, rounds=1, columns=1000)[0].tolist())[-3:]
        [1.0, 2.0, 3.0]
    """
    colours = refine_colours(batch.x, batch.edge_index, batch.edge_attr, rounds=rounds)
    found = torch.zeros(batch.graphs * columns, device=batch.x.device)
    for number, colour in enumerate(colours):
        column = torch.remainder(mix_bits(colour + number), at_least("columns", columns, 1))
        found += torch.bincount(batch.batch * columns + column, minlength=len(found))
    return found.view(batch.graphs, columns)


def graph_statistics(batch: GraphBatch) -> Tensor:
    """Return nodes, edges, sums and means of node features, and numbers and shares of degrees of each graph.

    ``[graphs, 2 + 2 * features + 16]``; a graph without nodes has zeros.
    """
    x, where = batch.x.float(), batch.batch
    nodes = torch.bincount(where, minlength=batch.graphs).float()[:, None]
    edges = torch.bincount(where[batch.edge_index[1]], minlength=batch.graphs).float()[:, None]
    sums = torch.zeros(batch.graphs, x.size(1), device=x.device).index_add_(0, where, x)
    degree = torch.bincount(batch.edge_index[1], minlength=len(x)).clamp(max=DEGREES - 1)
    histogram = torch.bincount(where * DEGREES + degree, minlength=batch.graphs * DEGREES).view(-1, DEGREES).float()
    count = nodes.clamp(min=1)
    return torch.cat((nodes, edges, sums, sums / count, histogram, histogram / count), 1)


class Forest(nn.Module):
    """Decision trees side by side, as buffers: what is said of an item is the mean of the leaves that it falls into.

    Args:
        outputs: numbers that are said of an item.

    Raises:
        ValueError: in ``forward``, before there are trees.

    Source: Breiman (2001), "Random forests".

    Example:
        >>> from sklearn.ensemble import RandomForestRegressor
        >>> rows, y = torch.arange(8.0)[:, None], torch.arange(8.0) // 4
        >>> forest = Forest(1).grow([RandomForestRegressor(9, random_state=0).fit(rows.numpy(), y.numpy())], "numbers")
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
    link: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = at_least("outputs", outputs, 1)
        self.register_buffer("column", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(0))
        self.register_buffer("branches", torch.zeros(0, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(0, outputs))
        self.register_buffer("roots", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("trees", torch.zeros(outputs))
        self.register_buffer("depth", torch.zeros((), dtype=torch.long))
        self.register_buffer("link", torch.zeros((), dtype=torch.long))

    def grow(self, forests: Sequence[Any], link: str) -> Forest:
        """Take the trees of scikit-learn's forests, and return the module.

        Args:
            forests: one for all outputs, or one for each output that there is something to say of, ``None`` for others.
            link: "classes", "binary" or "numbers".
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
                value[:, into] = _leaf_values(forest, tree, link, len(into))
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
        self.link = torch.tensor(LINKS.index(member("link", link, LINKS)), device=there)
        return self

    def forward(self, rows: Tensor) -> Tensor:
        """Return what the trees say of ``rows [items, columns]``, ``[items, outputs]``: logits, or numbers.

        Shares are counted as if one more tree did not know: no class is impossible.
        """
        if not len(self.roots):
            raise ValueError("the forest has no trees yet: `grow` it.")
        place = self.roots.long().expand(len(rows), -1)
        for _ in range(int(self.depth)):
            goes_right = rows.gather(1, self.column[place].long()) > self.threshold[place]
            place = self.branches[place, goes_right.long()].long()
        said = torch.zeros(len(rows), self.outputs, device=rows.device)
        for trees in place.split(16, 1):
            said += self.value[trees].sum(1)
        link = LINKS[int(self.link)]
        if link == "numbers":
            return said / self.trees.clamp(min=1)
        if link == "classes":
            return ((said + 1 / self.outputs) / (self.trees + 1)).log()
        share = (said + 0.5) / (self.trees + 1)
        return share.log() - (1 - share).log()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take trees of any number and size."""
        for name, _ in list(self.named_buffers(recurse=False)):
            if (given := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(given, device=self.value.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class WLForest(nn.Module):
    """A forest on the counts of colours of Weisfeiler and Leman, and on statistics of each graph.

    Args:
        out_channels: classes, tasks or numbers.
        rounds: of refinement at most, at least 0; :attr:`used` says how many the forest looks at.
        columns: of the counts, at least 1.

    Source: Shervashidze et al. (2011), JMLR 12; Breiman (2001), "Random forests".

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> batch = GraphBatch(torch.ones(3, 1), path, None, torch.zeros(3, dtype=torch.long), 1)
        >>> WLForest(2, rounds=1, columns=100).rows(batch).shape
        torch.Size([1, 120])
    """

    used: Tensor

    def __init__(self, out_channels: int, *, rounds: int = 3, columns: int = 2048) -> None:
        super().__init__()
        self.columns, self.rounds = at_least("columns", columns, 1), at_least("rounds", rounds, 0)
        self.forest = Forest(out_channels)
        self.register_buffer("used", torch.tensor(self.rounds))

    @property
    def first(self) -> nn.Module:
        """The module itself: it has no layer."""
        return self

    def rows(self, batch: GraphBatch) -> Tensor:
        """Return what the forest looks at, ``[graphs, columns + 2 + 2 * features + 16]``."""
        counts = wl_counts(batch, rounds=int(self.used), columns=self.columns)
        return torch.cat((counts, graph_statistics(batch)), 1)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return one row of ``out_channels`` for each graph."""
        return self.forest(self.rows(batch))


class ForestFit:
    """Grows the forest of a :class:`WLForest`: the k-th solution looks at k - 1 rounds of refinement.

    Args:
        model: its forest is replaced.
        rows: returns what the model looks at of the training graphs, ``[graphs, columns]``, as it is now.
        targets: classes ``[graphs]``; or for "binary" and "numbers" ``[graphs, outputs]``, NaN where nothing is known.
        link: "classes", "binary" or "numbers".
        trees: of each forest, at least 1.
        leaf: training graphs in a leaf at least, at least 1.
    """

    def __init__(
        self,
        model: WLForest,
        rows: Callable[[], Tensor],
        targets: Tensor,
        link: str,
        *,
        trees: int = 300,
        leaf: int = 1,
    ) -> None:
        self.model, self._rows, self._link = model, rows, member("link", link, LINKS)
        self._targets = targets.detach().cpu().numpy()
        self._fields = {"n_estimators": at_least("trees", trees, 1), "min_samples_leaf": at_least("leaf", leaf, 1)}

    @torch.no_grad()
    def solve(self, number: int = 1) -> None:
        """Give the model the trees of a solution, drawn by PyTorch's generator."""
        self.model.used.fill_(at_least("number", number, 1) - 1)
        rows, targets = self._rows().cpu().numpy(), self._targets
        if self._link == "classes" or (self._link == "numbers" and not np.isnan(targets).any()):
            forests = [self._fit(rows, targets)]
        else:
            forests = [self._of_known(rows, column) for column in targets.T]
        self.model.forest.grow(forests, self._link)

    def _of_known(self, rows: np.ndarray, column: np.ndarray) -> Any:
        """Return the forest of one output, of the graphs in which it is known."""
        known = ~np.isnan(column)
        return self._fit(rows[known], column[known]) if known.any() else None

    def _fit(self, rows: np.ndarray, targets: np.ndarray) -> Any:
        """Return a forest."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        fields = {**self._fields, "random_state": int(torch.randint(2**31 - 1, ())), "n_jobs": torch.get_num_threads()}
        if self._link == "numbers":
            targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
            return RandomForestRegressor(max_features=1 / 3, **fields).fit(rows, targets)
        return RandomForestClassifier(**fields).fit(rows, targets)


def _leaf_values(forest: Any, tree: Any, link: str, outputs: int) -> np.ndarray:
    """Return what each node of a tree says, ``[nodes, outputs]``; a class that a forest never saw has nothing."""
    if link == "numbers":
        return tree.value[:, :, 0].reshape(tree.node_count, outputs)
    shares = tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True)
    found = np.zeros((tree.node_count, outputs if link == "classes" else 2))
    found[:, forest.classes_.astype(int)] = shares
    return found if link == "classes" else found[:, 1:]


def _single_below(threshold: np.ndarray) -> np.ndarray:
    """Return the largest numbers in single precision that are no larger: they tell the same numbers apart.

    Example:
        >>> float(_single_below(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
        True
    """
    single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)
