"""A linear model of several views of a graph that is solved for, not trained by steps."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from graphkit._checks import at_least, positive
from graphkit.metric.ridge import RidgePursuit
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features, edge_list, is_tracing
from graphkit.nn.maps import matrix_dtype
from graphkit.nn.node_models import averages
from graphkit.operators import SparseOperator, mean_adjacency
from graphkit.operators.feature_matrix import features_of, linear
from graphkit.operators.views import LONGEST, canonical_map, leading_directions, unit_view, view_rows, weighted_rows

PENALTIES = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties that each fit is tried with; rows have length 1."""

KINDS = PLAIN, CENTRED, CANONICAL = "", "-centred", "-canonical"
"""Ways in which rows are seen: as they are, without the mean, and without it along the directions neighbours share."""

SHARED = ("raw", "averaged-2", "averaged-4", "averaged-8")
"""Rows that are seen in the last way too."""

SCALES = tuple(2.0 ** (power / 2) for power in range(-2, 9))
"""What functions may be multiplied by to be logits, up to 16: few items, all right, would ask for no end of it."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The mean loss of outputs ``[rows, columns]``, with the numbers of those rows and columns among the labelled items."""


class RidgeMixture(AbstractModel):
    r"""Linear functions of views of a graph, fitted by ridge regression; no step of an optimiser is taken.

    Features weigh by how rare they are on the graph that the model was fitted to, have length 1, and are seen along
    that graph's ``width`` leading directions. Views are those of :func:`graphkit.operators.views.view_rows`, each as it
    is, with that graph's mean taken away, and then along the directions that its neighbours share
    (:func:`graphkit.operators.views.canonical_map`), in rows of length 1: with :math:`z^v` such a row and :math:`b` an
    offset

    .. math::
        f = s \bigl(b + \sum_v B_v^\top z^v\bigr).

    :class:`ViewRegression` solves for the weights; before that they are drawn, as those of any module are. All that a
    prediction on another graph needs is in ``state_dict``. Edges are taken in the direction that they have; their
    weights count in averages by GCN's adjacency.

    Args:
        in_channels: features of a node.
        out_channels: functions.
        width: directions at most, at least 1.
        hops: steps of the longest average and of PageRank, at least 1.

    Source: Zhao et al. (2024), arXiv:2405.20445, for least squares on views of a graph.

    Example:
        >>> x, path = torch.eye(4), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> model = RidgeMixture(4, 2, width=4, hops=2)
        >>> ViewRegression(model, x, path, index=torch.tensor([0, 2]), targets=torch.eye(2)).solve()
        >>> model(x, path).argmax(1).tolist()
        [0, 0, 1, 1]
    """

    importance: Tensor
    directions: Tensor
    means: Tensor
    canonical: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, width: int = 256, hops: int = LONGEST) -> None:
        super().__init__()
        width = min(at_least("width", width, 1), at_least("in_channels", in_channels, 1))
        self.hops = at_least("hops", hops, 1)
        nothing = torch.zeros(1, 1)
        plain = [name for name, _ in view_rows(nothing, torch.clone, torch.clone, hops=self.hops)]
        seen = [(name, kind) for name in plain for kind in KINDS if kind != CANONICAL or name in SHARED]
        self.views = tuple(name + kind for name, kind in seen)
        self._kinds = [[(place, kind) for place, (of, kind) in enumerate(seen) if of == name] for name in plain]
        self.register_buffer("importance", torch.ones(in_channels))
        self.register_buffer("directions", torch.eye(in_channels, width))
        self.register_buffer("means", torch.zeros(len(plain), width))
        self.register_buffer("canonical", torch.eye(width))
        self.weight = nn.Parameter(torch.empty(len(self.views), width, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    @property
    def first(self) -> nn.Module:
        """The module itself: it has no other layer."""
        return self

    def reset_parameters(self) -> None:
        """Draw the weights; a solution replaces them all."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.weight.size(0) * self.weight.size(1)))
        nn.init.zeros_(self.bias)

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return one row of ``out_channels`` per node.

        ``x [nodes, in_channels]`` is a tensor or a ``SparseOperator``, the graph in any form ``GCNConv`` takes.
        """
        check_features(x, width=self.importance.size(0), any_type=True)
        wanted = [True] * len(self.views) if is_tracing() else self.weight.detach().flatten(1).any(1).tolist()
        out, left = self.bias.expand(x.size(0), -1), sum(wanted)
        rows = self.plain_rows(x, edge_index, edge_weight)
        for number in range(len(self.means)):
            if not left:
                break
            for place, found in self.unit_rows(next(rows), number, wanted):
                left -= 1
                out = out + found.to(self.weight.dtype) @ self.weight[place]
        return out

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
    def fit_features(self, x: Any) -> None:
        """Look at the features of all nodes: how rare each is, and the directions in which they differ most."""
        x = features_of(x)
        matrix = x.to_scipy() if isinstance(x, SparseOperator) else csr_array(x.detach().float().cpu().numpy())
        weighted, importance = weighted_rows(matrix)
        self.importance.copy_(torch.from_numpy(importance))
        found = leading_directions(weighted, self.directions.size(1))[1]
        self.directions.zero_()
        self.directions[:, : found.size(1)] = found.to(self.directions)


class ViewRegression:
    r"""Solves for the weights of a :class:`RidgeMixture` on the labelled nodes of one graph.

    The first solution is a mixture: of each view and penalty by itself, weighed by its leave-one-out error as in
    :func:`graphkit.metric.ridge.view_shares`. The second is a joint fit of all views along their leading directions,
    and the k-th one of k - 1 views, as :class:`graphkit.metric.ridge.RidgePursuit` chooses them by the loss of items
    left out; so is the scale :math:`s` of logits. Columns that have the same labels missing are fitted together.

    In memory are the rows of the labelled nodes in every view: ``4 * items * width * views`` bytes.

    Args:
        model: its weights, and what it knows of features, are replaced.
        x, edge_index, edge_weight: as the model takes them.
        index: labelled nodes, ``[items]``.
        targets: what functions are to be there, ``[items, out_channels]``; NaN where nothing is known.
        loss: of outputs, with the numbers of their rows and columns among the labelled items; without one it is the
            square error, and outputs have the scale of the targets.
        sharpness: :math:`\beta` of the mixture, above 0.

    Source: Allen (1974), Technometrics 16(1), for leave-one-out errors.

    Example:
        >>> x, pair = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
        >>> model = RidgeMixture(2, 1, hops=1)
        >>> ViewRegression(model, x, pair, index=torch.tensor([0, 1]), targets=torch.tensor([[1.0], [3.0]])).solve(2)
        >>> model(x, pair).round().flatten().tolist()
        [1.0, 3.0]
    """

    @torch.no_grad()
    def __init__(
        self,
        model: RidgeMixture,
        x: Any,
        edge_index: Any,
        edge_weight: Tensor | None = None,
        *,
        index: Tensor,
        targets: Tensor,
        loss: Loss | None = None,
        sharpness: float = 0.2,
    ) -> None:
        self.model, self._loss, self._sharpness = model, loss, positive("sharpness", sharpness)
        self._scale = SCALES.index(1.0)
        model.fit_features(x)
        labelled: list[Tensor] = []
        plain = model.plain_rows(x, edge_index, edge_weight)
        own, near = next(plain), next(plain)
        model.canonical.copy_(canonical_map(own, near))
        for number, rows in enumerate(itertools.chain((own, near), plain)):
            model.means[number] = rows.mean(0)
            labelled += [z[index] for _, z in model.unit_rows(rows, number)]
        targets = targets.to(labelled[0])
        patterns, which = (~targets.isnan()).unique(dim=1, return_inverse=True)
        self._parts: list[tuple[Tensor, Tensor, RidgePursuit]] = []
        for number, known in enumerate(patterns.T):
            rows, columns = known.nonzero().squeeze(1), (which == number).nonzero().squeeze(1)
            if len(rows):
                least = None if loss is None else functools.partial(self._least_loss, rows, columns)
                views, chosen = [z[rows] for z in labelled], targets[rows][:, columns]
                self._parts.append((rows, columns, RidgePursuit(views, chosen, PENALTIES, loss=least)))

    @torch.no_grad()
    def solve(self, number: int = 1) -> None:
        """Give the model the weights of a solution.

        Args:
            number: 1 is the mixture, 2 the joint fit of all views, and k that of k - 1 views.
        """
        weight, bias = self.model.weight.zero_(), self.model.bias.zero_()
        for rows, columns, pursuit in self._parts:
            if number == 1:
                found = pursuit.mixture(self._sharpness)
            else:
                found = pursuit.joint_of_all() if number == 2 else pursuit.joint(number - 1)
            scale = 1.0
            if self._loss is not None:
                scale, _ = self._best_scale(rows, columns, found.left_out + pursuit.offset)
            for place, part in found.weights.items():
                weight[place][:, columns] = (scale * part).to(weight.dtype)
            bias[columns] = (scale * pursuit.offset).to(bias.dtype)

    def _best_scale(self, rows: Tensor, columns: Tensor, outputs: Tensor) -> tuple[float, float]:
        """Return the scale at which outputs have the least loss, and that loss.

        The loss of logits falls and then rises with their scale: one walks from that of the fit before.
        """
        assert self._loss is not None
        known: dict[int, float] = {}

        def loss_at(place: int) -> float:
            if place not in known:
                known[place] = float(self._loss(SCALES[place] * outputs, rows, columns))  # type: ignore[misc]
            return known[place]

        place = self._scale
        for step in (1, -1):
            while 0 <= place + step < len(SCALES) and loss_at(place + step) < loss_at(place):
                place += step
        self._scale = place
        return SCALES[place], loss_at(place)

    def _least_loss(self, rows: Tensor, columns: Tensor, outputs: Tensor) -> float:
        """Return the loss of outputs at the scale that suits them best."""
        return self._best_scale(rows, columns, outputs)[1]


def neighbour_mean(h: Tensor, edge_index: Any) -> Callable[[Tensor], Tensor]:
    """Return the mean over neighbours as a function, by messages where operations are traced."""
    if not is_tracing():
        return mean_adjacency(edge_index, num_nodes=h.size(0), dtype=h.dtype).__matmul__
    source, target = edge_list(edge_index, flow="source_to_target", num_nodes=h.size(0))[0]
    count = torch.zeros_like(h[:, :1]).index_add(0, target, torch.ones_like(source, dtype=h.dtype)[:, None])

    def mean(h: Tensor) -> Tensor:
        return torch.zeros_like(h).index_add(0, target, h.index_select(0, source)) / count.clamp(min=1)

    return mean
