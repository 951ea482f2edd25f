"""A set of graphs: many small graphs held as one, with a card and a split."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from graphkit import _checks
from graphkit.data.cards import Card
from graphkit.data.split import Split

OF_EDGES = ("edge_index", "edge_attr")
"""Fields with one entry an edge."""

OF_GRAPHS = ("y",)
"""Fields with one entry a graph; all others have one a node."""


class GraphSet(InMemoryDataset):
    """Many small graphs: PyG's ``InMemoryDataset``, with a card, a split, and batches gathered in one go.

    It is indexed, iterated and given to PyG's ``DataLoader`` as every data set of PyG; a graph of it has the fields of
    ``data`` and nothing else, so that any of them make a batch. The graphs are those that are there: nothing is
    downloaded, and no folder belongs to it.

    Args:
        data: all graphs one after another: ``x [nodes, features]``, ``edge_index [2, edges]`` whose ids start at 0 in
            every graph, ``y [graphs]`` or ``[graphs, tasks]``, perhaps ``edge_attr [edges, columns]`` and further
            fields with one row a node.
        nodes: number of nodes of each graph, ``[graphs]``.
        edges: number of edges of each graph, ``[graphs]``.
        masks: published masks, ``[graphs]`` or ``[graphs, splits]``, by PyG's names.
        card: what is known of the set.

    Raises:
        ValueError: if the counts are not those of ``data``.

    Example:
        >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> data = Data(x=torch.ones(6, 1), edge_index=torch.cat([ring, ring], dim=1), y=torch.tensor([0, 1]))
        >>> graphs = GraphSet(data, nodes=torch.tensor([3, 3]), edges=torch.tensor([3, 3]))
        >>> len(graphs), graphs[1].y.item(), graphs.batch([1, 0]).edge_index[0].tolist()
        (2, 1, [0, 1, 2, 3, 4, 5])
    """

    def __init__(
        self,
        data: Data,
        *,
        nodes: Tensor,
        edges: Tensor,
        masks: Mapping[str, Tensor] | None = None,
        card: Card | None = None,
    ) -> None:
        super().__init__()
        _sums("nodes", nodes, data.num_nodes)
        _sums("edges", edges, data.num_edges)
        starts = {"edges": _starts(edges), "graphs": torch.arange(len(nodes) + 1), "nodes": _starts(nodes)}
        self._data = data
        self.slices = {name: starts[_axis(name)] for name in data.keys()}  # noqa: SIM118
        self.nodes, self.edges = nodes, edges
        self.masks = dict(masks or {})
        self.card = card
        self.split: Split | None = None

    def __repr__(self) -> str:
        name = self.card.name if self.card else "graphs"
        return f"GraphSet({name!r}, {len(self):,} graphs)"

    @property
    def protocol(self) -> dict[str, Any] | None:
        """The record of the split."""
        return self.split.record() if self.split else None

    @property
    def items(self) -> Data:
        """Labels and published masks of the graphs, in the form split protocols take."""
        y = self._data.y
        items = Data(y=y.squeeze(1) if y.dim() == 2 and y.size(1) == 1 else y, num_nodes=len(self.nodes), **self.masks)
        if self.card:
            items.card = self.card
        return items

    def divided(self, split: Split) -> GraphSet:
        """Return a shallow copy with this split.

        Raises:
            ValueError: if the split is one of another number of graphs.
        """
        self._whole()
        if split.train.numel() != len(self):
            raise ValueError(f"a split of {split.train.numel():,} graphs does not fit a set of {len(self):,}.")
        result = copy.copy(self)
        result.split = split
        return result

    def to(self, device: torch.device | str) -> GraphSet:
        """Return a copy whose graphs are on a device, where batches are gathered then; itself when they are there."""
        if self.nodes.device == torch.device(device):
            return self
        result = copy.copy(self)
        result._data, result._data_list = copy.copy(self._data).to(device), None
        result.nodes, result.edges = self.nodes.to(device), self.edges.to(device)
        return result

    def part(self, name: Literal["train", "val", "test"]) -> GraphSet:
        """Return the graphs to train on, to select on, or to test on.

        Raises:
            ValueError: if there is no such part, the set has no split, or is itself a part.
        """
        _checks.member("name", name, ("train", "val", "test"))
        self._whole()
        if self.split is None:
            raise ValueError("this set of graphs has no split; `divided` gives it one.")
        return self[getattr(self.split, name)]

    def batch(self, index: Tensor | Sequence[int]) -> Batch:
        """Return the graphs ``index`` as one ``Batch``, the same that PyG makes of a list of them.

        PyG takes each graph out of the set and puts all together again; here their rows are gathered at once.

        Args:
            index: places in this set, ``[batch]``.

        Raises:
            ValueError: if ``index`` is empty, or the set has a ``transform``, which is of single graphs.
        """
        if self.transform is not None:
            raise ValueError("a set with a `transform` has no gathered batches; use PyG's DataLoader.")
        index = torch.as_tensor(index, dtype=torch.long, device=self.nodes.device)
        if index.dim() != 1 or not len(index):
            raise ValueError(f"`index` must be one or more places in the set, got shape {list(index.shape)}.")
        if self._indices is not None:
            index = torch.as_tensor(self._indices, device=index.device)[index]
        nodes, edges = self.nodes[index], self.edges[index]
        offset, edge_offset = _starts(nodes), _starts(edges)
        rows = {
            "nodes": _gathered(_starts(self.nodes)[index], nodes),
            "edges": _gathered(_starts(self.edges)[index], edges),
            "graphs": index,
        }
        pointers = {"nodes": offset, "edges": edge_offset, "graphs": torch.arange(len(index) + 1)}
        batch = Batch()
        increments = {}
        for name, values in self._data.to_dict().items():
            axis = _axis(name)
            if name == "edge_index":
                added = torch.repeat_interleave(offset[:-1], edges, output_size=len(rows[axis]))
                batch[name] = values[:, rows[axis]] + added
            else:
                batch[name] = values[rows[axis]]
            increments[name] = offset[:-1] if name == "edge_index" else torch.zeros_like(index)
        places = torch.arange(len(index), device=index.device)
        batch.batch = torch.repeat_interleave(places, nodes, output_size=len(rows["nodes"]))
        batch.ptr = offset
        batch._num_graphs = len(index)
        batch._slice_dict = {name: pointers[_axis(name)] for name in increments}
        batch._inc_dict = increments
        return batch

    def _whole(self) -> None:
        if self._indices is not None:
            raise ValueError("this is a part of a set; only the whole one can be divided.")


def _axis(name: str) -> str:
    return "edges" if name in OF_EDGES else "graphs" if name in OF_GRAPHS else "nodes"


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _gathered(starts: Tensor, counts: Tensor) -> Tensor:
    """Return ``starts[0], starts[0] + 1, ...``, ``counts[0]`` of them, then those of the next."""
    ends = counts.cumsum(0)
    total = int(ends[-1])
    skipped = torch.repeat_interleave(starts - ends + counts, counts, output_size=total)
    return torch.arange(total, device=counts.device) + skipped


def _sums(name: str, counts: Tensor, expected: int) -> None:
    if counts.dim() != 1 or int(counts.sum()) != expected:
        raise ValueError(f"`{name}` must be counts that add up to {expected:,}, got {int(counts.sum()):,}.")
