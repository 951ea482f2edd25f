"""Neighbour sampling around links: pairs that are none beside them, and no link shown to who is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling, NumNeighbors, SamplerOutput

from graphkit import _checks
from graphkit.data.sampling.neighbor_sampler import NeighborSampler
from graphkit.data.splits.non_edges import NonEdgeSampler, pair_keys

HIDDEN = ("none", "edge", "both")
"""What is left out of the drawn edges: nothing, the links of a batch, or their reverses too."""


class LinkSampler(NeighborSampler):
    """A ``NeighborSampler`` that starts from links.

    PyG's own shows a link to the model that is asked for it, and may draw an edge as a pair that is none. Edges are
    left out of what was drawn: a node that loses one has a neighbour less than asked for.

    Args:
        data, num_neighbors: as for ``NeighborSampler``, and so are all arguments that are not listed.
        non_edges: draws as many pairs that are no links beside those of a batch; none where it is left out.
        hide: what is left out of the drawn edges: "none", the links of a batch ("edge"), their reverses too ("both").
        further: of the links of a batch ``[2, links]`` and all its pairs ``[2, pairs]``, nodes to start from beside
            their ends.

    Raises:
        ValueError: as for ``NeighborSampler``.

    Example:
        >>> from torch_geometric.data import Data
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> sampler = LinkSampler(path, [-1], hide="both")
        >>> found = sampler.sample_from_edges(EdgeSamplerInput(None, torch.tensor([0]), torch.tensor([1])))
        >>> found.node[torch.stack([found.row, found.col])].tolist()
        [[2], [1]]
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        non_edges: NonEdgeSampler | None = None,
        hide: Literal["none", "edge", "both"] = "none",
        further: Callable[[Tensor, Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        if further is not None and not callable(further):
            raise TypeError(f"`further` must be a function of links and pairs, or None, got {further!r}.")
        self.further = further
        if non_edges is not None:
            _checks.instance("non_edges", non_edges, NonEdgeSampler, "a NonEdgeSampler, or None")
        self.non_edges, self.hide = non_edges, _checks.member("hide", hide, HIDDEN)
        super().__init__(data, num_neighbors, **kwargs)

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None) -> SamplerOutput:
        """Return the neighbourhood of the ends of the links ``index``, and of pairs that are none.

        Raises:
            ValueError: as for ``NeighborSampler``, and for links that have labels, or PyG's negatives, beside drawn
                pairs.
        """
        links = torch.stack([index.row, index.col])
        if self.non_edges is not None:
            if neg_sampling is not None or index.label is not None:
                raise ValueError("`non_edges` draws pairs that are no links: give no `edge_label` and `neg_sampling`.")
            drawn = self.non_edges.beside(links, key=int(self._key(links.flatten())))
            pairs = torch.cat([links, drawn], 1)
            label = (torch.arange(pairs.size(1)) < links.size(1)).float()
            index = EdgeSamplerInput(index.input_id, pairs[0], pairs[1], label)
        pairs = torch.stack([index.row, index.col])
        more = None if self.further is None else self.further(links, pairs).unique()
        if more is not None:  # each as a pair with itself, which is taken away again
            longer = None if index.label is None else torch.cat([index.label, index.label.new_zeros(len(more))])
            index = EdgeSamplerInput(index.input_id, *torch.cat([pairs, more.expand(2, -1)], 1), longer)
        out = super().sample_from_edges(index, neg_sampling)
        if more is not None:
            given, ends, labels, time = out.metadata
            kept = None if labels is None else labels[: pairs.size(1)]
            out.metadata = given, ends[:, : pairs.size(1)], kept, time
        return out if self.hide == "none" else self._leave_out(links, out)

    def _leave_out(self, links: Tensor, out: SamplerOutput) -> SamplerOutput:
        """Return what was drawn without some edges."""
        ordered = self.hide == "edge"
        drawn = out.node[torch.stack([out.row, out.col])]
        away = torch.isin(*(pair_keys(each, self.num_nodes, directed=ordered) for each in (drawn, links)))
        if out.num_sampled_edges is not None:
            hops = away.split(out.num_sampled_edges)
            out.num_sampled_edges = [len(hop) - int(hop.sum()) for hop in hops]
        out.row, out.col = out.row[~away], out.col[~away]
        out.edge = None if out.edge is None else out.edge[~away]
        return out
