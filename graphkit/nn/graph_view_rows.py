"""Rows of whole graphs in several views, as a module: fitted to some graphs without labels, and made of any others."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, member
from graphkit.nn.graph_features import DEGREES, graph_statistics, wl_counts
from graphkit.nn.graph_models import GraphBatch
from graphkit.operators.views import unit_view

STATISTICS = "statistics"


class GraphViewRows(nn.Module):
    """Rows of length 1 of graphs: their statistics, and counts of Weisfeiler and Leman's colours.

    Views are "statistics" (:func:`graphkit.nn.graph_features.graph_statistics`, standardised), and for each number of
    rounds the counts as they are ("counts-R"), without the mean ("counts-R-centred"), and their logarithms without the
    mean ("counts-R-log"). Means are those of the graphs that it was fitted to; nothing looks at labels.

    Args:
        in_channels: features of a node.
        rounds: of refinement at most, at least 0.
        columns: of the counts, at least 1.

    Source: Shervashidze et al. (2011), JMLR 12, for counts of colours.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> batch = GraphBatch(torch.ones(3, 1), path, None, torch.zeros(3, dtype=torch.long), 1)
        >>> rows = GraphViewRows(1, rounds=0, columns=50).fit([batch])
        >>> rows.views, rows.rows("counts-0", batch).shape
        (('statistics', 'counts-0', 'counts-0-centred', 'counts-0-log'), torch.Size([1, 50]))
    """

    mean: Tensor
    spread: Tensor
    counts: Tensor
    logs: Tensor

    def __init__(self, in_channels: int, *, rounds: int = 3, columns: int = 2048) -> None:
        super().__init__()
        self.rounds, self.columns = at_least("rounds", rounds, 0), at_least("columns", columns, 1)
        kinds = [f"counts-{number}{kind}" for number in range(rounds + 1) for kind in ("", "-centred", "-log")]
        self.views = (STATISTICS, *kinds)
        width = 2 + 2 * at_least("in_channels", in_channels, 0) + 2 * DEGREES
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("counts", torch.zeros(rounds + 1, columns))
        self.register_buffer("logs", torch.zeros(rounds + 1, columns))

    @torch.no_grad()
    def fit(self, batches: Iterable[GraphBatch]) -> GraphViewRows:
        """Look at graphs, in portions: what they are in the mean, and how far their statistics spread."""
        statistics = []
        self.counts.zero_()
        self.logs.zero_()
        for batch in batches:
            statistics.append(graph_statistics(batch))
            for number in range(self.rounds + 1):
                found = wl_counts(batch, rounds=number, columns=self.columns)
                self.counts[number] += found.sum(0)
                self.logs[number] += found.log1p().sum(0)
        table = torch.cat(statistics)
        self.counts /= len(table)
        self.logs /= len(table)
        spread = table.std(0, correction=0)
        self.mean.copy_(table.mean(0))
        self.spread.copy_(torch.where(spread > 0, spread, 1.0))
        return self

    @torch.no_grad()
    def rows(self, view: str, batch: GraphBatch) -> Tensor:
        """Return the rows of graphs in one view, ``[graphs, width]``, of length 1 or 0.

        Args:
            view: one of ``views``.
            batch: graphs side by side.
        """
        if member("view", view, self.views) == STATISTICS:
            return unit_view((graph_statistics(batch) - self.mean) / self.spread)
        number, _, kind = view.removeprefix("counts-").partition("-")
        found = wl_counts(batch, rounds=int(number), columns=self.columns)
        if kind == "log":
            return unit_view(found.log1p(), self.logs[int(number)])
        return unit_view(found, self.counts[int(number)] if kind else None)
