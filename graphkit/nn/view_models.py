"""A linear model of several views of a graph that is solved for, not trained by steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import positive
from graphkit.metric.ridge import RidgePursuit
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features, is_tracing
from graphkit.nn.view_rows import ViewRows
from graphkit.operators.views import LONGEST

PENALTIES = (0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties that each fit is tried with; rows have length 1."""

SCALES = tuple(2.0 ** (power / 2) for power in range(-2, 9))
"""What functions may be multiplied by to be logits, up to 16: few items, all right, would ask for no end of it."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The mean loss of outputs ``[rows, columns]``, with the numbers of those rows and columns among the labelled items."""


class RidgeMixture(AbstractModel, ViewRows):
    r"""Linear functions of views of a graph, fitted by ridge regression; no step of an optimiser is taken.

    With :math:`z^v` a node's row in a view, as :class:`ViewRows` makes it, and :math:`b` an offset

    .. math::
        f = s \bigl(b + \sum_v B_v^\top z^v\bigr).

    :class:`ViewRegression` solves for the weights; before that they are drawn, as those of any module are. All that a
    prediction on another graph needs is in ``state_dict``.

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

    def __init__(self, in_channels: int, out_channels: int, *, width: int = 256, hops: int = LONGEST) -> None:
        super().__init__(in_channels, width=width, hops=hops)
        width = self.canonical.size(0)
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
        fit: look at the graph first; without, the model knows what features are like, of this graph or another.

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
        fit: bool = True,
    ) -> None:
        self.model, self._loss, self._sharpness = model, loss, positive("sharpness", sharpness)
        self._scale = SCALES.index(1.0)
        if fit:
            labelled = [z[index] for _, z in model.fitted_rows(x, edge_index, edge_weight)]
        else:
            labelled = [z[index] for z in model.every_view(x, edge_index, edge_weight)]
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
