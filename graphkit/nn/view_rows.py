"""Rows of nodes in views of a graph, as a module: fitted to one graph without labels, and made of any other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from graphkit._checks import at_least, member
from graphkit.nn.inputs import check_features, edge_list, is_tracing
from graphkit.nn.maps import matrix_dtype
from graphkit.nn.node_models import averages
from graphkit.operators import SparseOperator, mean_adjacency
from graphkit.operators.feature_matrix import features_of, linear
from graphkit.operators.views import LONGEST, canonical_map, leading_directions, unit_view, view_rows, weighted_rows

KINDS = PLAIN, CENTRED, CANONICAL = "", "-centred", "-canonical"
"""Ways in which rows are seen: as they are, without the mean, and without it along the directions neighbours share."""

SHARED = ("raw", "averaged-2", "averaged-4", "averaged-8")
"""Rows that are seen in the last way too."""


class ViewRows(nn.Module):
    """Rows of length 1 in views of a graph; what it knows of one graph's features is applied to any.

    Features weigh by how rare they are on the graph that it was fitted to, have length 1, and are seen along that
    graph's ``width`` leading directions. Views are those of :func:`graphkit.operators.views.view_rows`, each as it is,
    with that graph's mean taken away ("-centred"), and then along the directions that its neighbours share
    ("-canonical", :func:`graphkit.operators.views.canonical_map`), in rows of length 1. Nothing looks at labels. All
    that another graph needs is in ``state_dict``. Edges are taken in the direction that they have; their weights count
    in averages by GCN's adjacency.

    Args:
        in_channels: features of a node.
        width: directions at most, at least 1.
        hops: steps of the longest average and of PageRank, at least 1.

    Source: Wu et al. (2019), arXiv:1902.07153, for averaged features.

    Example:
        >>> x, path = torch.eye(4), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> rows = ViewRows(4, width=4, hops=2).fit(x, path)
        >>> (2 * rows.rows("averaged-1", x, path)[0] ** 2).round().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    importance: Tensor
    directions: Tensor
    means: Tensor
    canonical: Tensor

    def __init__(self, in_channels: int, *, width: int = 256, hops: int = LONGEST) -> None:
        super().__init__()
        width = min(at_least("width", width, 1), at_least("in_channels", in_channels, 1))
        self.hops = at_least("hops", hops, 1)
        nothing = torch.zeros(1, 1)
        self._plain = [name for name, _ in view_rows(nothing, torch.clone, torch.clone, hops=self.hops)]
        seen = [(name, kind) for name in self._plain for kind in KINDS if kind != CANONICAL or name in SHARED]
        self.views = tuple(name + kind for name, kind in seen)
        self._kinds = [[(place, kind) for place, (of, kind) in enumerate(seen) if of == name] for name in self._plain]
        self.register_buffer("importance", torch.ones(in_channels))
        self.register_buffer("directions", torch.eye(in_channels, width))
        self.register_buffer("means", torch.zeros(len(self._plain), width))
        self.register_buffer("canonical", torch.eye(width))

    @torch.no_grad()
    def fit(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> ViewRows:
        """Look at a graph: how rare features are, in which directions nodes differ, and which neighbours share.

        Args:
            x: ``[nodes, in_channels]``, a tensor or a ``SparseOperator``.
            edge_index, edge_weight: the graph in any form ``GCNConv`` takes.
        """
        for _ in self.fitted_rows(x, edge_index, edge_weight):
            pass
        return self

    @torch.no_grad()
    def fitted_rows(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Iterator[tuple[int, Tensor]]:
        """Fit, and yield every view of that graph, each with its place among all."""
        self._fit_features(x)
        plain = self.plain_rows(x, edge_index, edge_weight)
        own, near = next(plain), next(plain)
        self.canonical.copy_(canonical_map(own, near))
        for number, rows in enumerate(itertools.chain((own, near), plain)):
            self.means[number] = rows.mean(0)
            yield from self.unit_rows(rows, number)

    @torch.no_grad()
    def every_view(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the rows of a graph in every view, ``[nodes, width]`` each, when they are made."""
        for number, plain in enumerate(self.plain_rows(x, edge_index, edge_weight)):
            yield from (found for _, found in self.unit_rows(plain, number))

    @torch.no_grad()
    def rows(self, view: str, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return the rows of a graph in one view, ``[nodes, width]``, of length 1 or 0.

        Args:
            view: one of ``views``.
            x, edge_index, edge_weight: as :meth:`fit` takes them.
        """
        check_features(x, width=self.importance.size(0), any_type=True)
        wanted = [name == view for name in self.views]
        member("view", view, self.views)
        for number, plain in enumerate(self.plain_rows(x, edge_index, edge_weight)):
            for _, found in self.unit_rows(plain, number, wanted):
                return found
        raise AssertionError(view)

    def unit_rows(
        self, plain: Tensor, number: int, wanted: Sequence[bool] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the views of one kind of rows, in rows of length 1, each with its place among all.

        Args:
            plain: what :meth:`plain_rows` yields.
            number: the how-manieth that is.
            wanted: of every view whether it is; all are when left out.
        """
        mean, shares = self.means[number].to(plain.dtype), self.canonical.to(plain.dtype)
        for place, kind in self._kinds[number]:
            if wanted is None or wanted[place]:
                if kind == PLAIN:
                    yield place, unit_view(plain)
                elif kind == CENTRED:
                    yield place, unit_view(plain, mean)
                else:
                    with torch.autocast(plain.device.type, enabled=False):
                        shared = plain @ shares, mean @ shares
                    yield place, unit_view(*shared)

    def plain_rows(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the views before anything is taken away, ``[nodes, width]`` each, in single precision at least."""
        x = features_of(x)
        dtype = matrix_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            importance, directions = self.importance.to(dtype), self.directions.to(dtype)
            if isinstance(x, SparseOperator):
                squares = x.with_values(x.entry_values().square())
            else:
                x = x.to(dtype)
                squares = x.square()
            length = linear(squares, importance.square()[None]).sqrt()
            h = linear(x, (importance[:, None] * directions).T) / length.clamp(min=torch.finfo(dtype).tiny ** 0.5)
        smooth, mean = averages(h, edge_index, edge_weight), neighbour_mean(h, edge_index)
        for _, rows in view_rows(h, smooth, mean, hops=self.hops):
            yield rows

    @torch.no_grad()
    def _fit_features(self, x: Any) -> None:
        """Look at the features of all nodes: how rare each is, and the directions in which they differ most."""
        x = features_of(x)
        matrix = x.to_scipy() if isinstance(x, SparseOperator) else csr_array(x.detach().float().cpu().numpy())
        weighted, importance = weighted_rows(matrix)
        self.importance.copy_(torch.from_numpy(importance))
        found = leading_directions(weighted, self.directions.size(1))[1]
        self.directions.zero_()
        self.directions[:, : found.size(1)] = found.to(self.directions)


def neighbour_mean(h: Tensor, edge_index: Any) -> Callable[[Tensor], Tensor]:
    """Return the mean over neighbours as a function, by messages where operations are traced."""
    if not is_tracing():
        return mean_adjacency(edge_index, num_nodes=h.size(0), dtype=h.dtype).__matmul__
    source, target = edge_list(edge_index, flow="source_to_target", num_nodes=h.size(0))[0]
    count = torch.zeros_like(h[:, :1]).index_add(0, target, torch.ones_like(source, dtype=h.dtype)[:, None])

    def mean(h: Tensor) -> Tensor:
        return torch.zeros_like(h).index_add(0, target, h.index_select(0, source)) / count.clamp(min=1)

    return mean
