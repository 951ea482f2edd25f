"""Several graphs held as one object: a set of many small graphs, and a family of named ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from graphkit import _checks
from graphkit._exports import deprecated_method
from graphkit.data.catalog.cards import Card
from graphkit.data.fingerprint import sparse_parts, tensors_sha256
from graphkit.data.splits.split import Split

if TYPE_CHECKING:
    from torch_geometric.data import Data


GRAPH_FIELDS = ("y",)
"""Fields with one entry a graph; those called ``edge_...`` have one an edge, all others one a node."""


class GraphSet(InMemoryDataset):
    """Many small graphs: PyG's ``InMemoryDataset``, with a card, a split, and batches gathered in one go.

    It is indexed, iterated and given to PyG's ``DataLoader`` as every data set of PyG; a graph of it has the fields of
    ``data`` and nothing else, so that any of them make a batch. The graphs are those that are there: nothing is
    downloaded, and no folder belongs to it.

    Args:
        data: all graphs one after another: ``x [nodes, features]``, ``edge_index [2, edges]`` whose ids start at 0 in
            every graph, ``y [graphs]`` or ``[graphs, tasks]``, perhaps ``edge_attr [edges, columns]`` or other fields
            called ``edge_...``, and further fields with one row a node.
        nodes: number of nodes of each graph, ``[graphs]``.
        edges: number of edges of each graph, ``[graphs]``.
        masks: published masks, ``[graphs]`` or ``[graphs, splits]``, by PyG's names.
        card: what is known of the set.

    Raises:
        TypeError: for a field that is no tensor, or counts that are no integers.
        ValueError: for a field whose rows are not those that the counts say, and an edge that leaves its graph.

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
        if not isinstance(data, Data):
            raise TypeError(f"`data` must be a torch_geometric.data.Data, got {type(data).__name__}.")
        _require_counts(nodes, edges)
        _require_masks({} if masks is None else masks, len(nodes))
        if card is not None:
            _checks.instance("card", card, Card, "a Card, as `graphkit.data.card` gives it")
        _require_rows(data, nodes, edges)
        starts = {"edges": _offsets(edges), "graphs": torch.arange(len(nodes) + 1), "nodes": _offsets(nodes)}
        self._data = data
        self.slices = {name: starts[_axis(name)] for name in data.keys()}  # noqa: SIM118
        self.nodes, self.edges = nodes, edges
        self.masks = dict(masks or {})
        self.card = card
        self.split: Split | None = None

    @classmethod
    def of(cls, graphs: Iterable[Data], *, card: Card | None = None) -> GraphSet:
        """Return the set of some graphs: a list of ``Data``, or any data set of PyG that holds such.

        Kept are ``x``, ``edge_index``, ``y`` (one row a graph), fields called ``edge_...``, and tensors with a row for
        each node; what else a graph has, such as a text, is left out.

        Args:
            graphs: each a ``Data`` with ``edge_index``; all with the same fields.
            card: what is known of the set.

        Raises:
            TypeError: for what holds no graphs.
            ValueError: for no graph at all, fields that some lack or that differ in width, and labels that are not one
                row a graph.

        Example:
            >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
            >>> GraphSet.of([Data(x=torch.ones(3, 1), edge_index=ring, y=label) for label in (0, 1)])
            GraphSet('graphs', 2 graphs)
        """
        if isinstance(graphs, cls):
            if graphs._indices is None:
                return graphs
            card = card or graphs.card
        listed = list(graphs) if isinstance(graphs, Iterable) else [graphs]
        if not all(isinstance(each, Data) for each in listed):
            raise TypeError(f"`graphs` must be a list of torch_geometric.data.Data, got {type(graphs).__name__}.")
        if not listed:
            raise ValueError("`graphs` must hold at least one graph.")
        fields = _shared_fields(listed)
        joined = Data()
        for name in fields:
            rows = [_rows_of(each, name) for each in listed]
            if len({row.shape[1:] if name != "edge_index" else 2 for row in rows}) > 1:
                raise ValueError(f"`{name}` must have as many columns in all graphs, got {_widths(rows)}.")
            joined[name] = torch.cat(rows, dim=1 if name == "edge_index" else 0)
        counts = ([int(getattr(each, of)) for each in listed] for of in ("num_nodes", "num_edges"))
        nodes, edges = (torch.tensor(each, dtype=torch.int64) for each in counts)
        return cls(joined, nodes=nodes, edges=edges, card=card)

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
        y = self._data.get("y")
        if y is None:
            raise ValueError("this set of graphs has no labels; `y` in its `data` holds them.")
        items = Data(y=y.squeeze(1) if y.dim() == 2 and y.size(1) == 1 else y, num_nodes=len(self.nodes), **self.masks)
        if self.card:
            items.card = self.card
        return items

    def with_split(self, split: Split) -> GraphSet:
        """Return a shallow copy with this split.

        Raises:
            ValueError: if the split is one of another number of graphs.
        """
        self._require_whole()
        _checks.instance("split", split, Split, "a Split, as a protocol draws it")
        if split.train.numel() != len(self):
            raise ValueError(f"a split of {split.train.numel():,} graphs does not fit a set of {len(self):,}.")
        result = copy.copy(self)
        result.split = split
        return result

    divided = deprecated_method("with_split")

    def to(self, device: torch.device | str) -> GraphSet:
        """Return a copy whose graphs are on a device, where batches are gathered then; itself when they are there."""
        if self.nodes.device == torch.device(device):
            return self
        result = copy.copy(self)
        result._data, result._data_list = copy.copy(self._data).to(device), None
        result.nodes, result.edges = self.nodes.to(device), self.edges.to(device)
        return result

    def with_features(self, x: Tensor) -> GraphSet:
        """Return a shallow copy with other features of the nodes, ``[nodes, features]``.

        Raises:
            ValueError: if they are not one row for each node.
        """
        _require_rows(Data(x=x, edge_index=self._data.edge_index), self.nodes, self.edges)
        result = copy.copy(self)
        result._data, result._data_list = copy.copy(self._data), None
        result._data.x = x
        return result

    def part(self, name: Literal["train", "val", "test"]) -> GraphSet:
        """Return the graphs to train on, to select on, or to test on.

        Raises:
            ValueError: if there is no such part, the set has no split, or is itself a part.
        """
        _checks.member("name", name, ("train", "val", "test"))
        self._require_whole()
        if self.split is None:
            raise ValueError("this set of graphs has no split; `with_split` gives it one.")
        return self[getattr(self.split, name)]

    def index_select(self, idx: Any) -> GraphSet:
        """Return the graphs ``idx``, a slice or as for :meth:`batch`, as a part of this set; none are a part too."""
        chosen = idx if isinstance(idx, slice) else _checks.index_or_mask("idx", idx, len(self)).tolist()
        return super().index_select(chosen)

    def batch(self, index: Tensor | Sequence[int]) -> Batch:
        """Return the graphs ``index`` as one ``Batch``, the same that PyG makes of a list of them.

        PyG takes each graph out of the set and puts all together again; here their rows are gathered at once.

        Args:
            index: places in this set, ``[batch]``, negative ones from its end; or a mask, ``[graphs]``.

        Raises:
            TypeError: for an ``index`` that holds neither integers nor booleans.
            ValueError: if ``index`` is empty or names a graph that is not there, or the set has a ``transform``, which
                is of single graphs.
        """
        if self.transform is not None:
            raise ValueError("a set with a `transform` has no gathered batches; use PyG's DataLoader.")
        index = _checks.index_or_mask("index", index, len(self)).to(self.nodes.device)
        if not len(index):
            raise ValueError("`index` must be one or more places in the set, got none.")
        if self._indices is not None:
            index = torch.as_tensor(self._indices, device=index.device)[index]
        # Where the chosen graphs stand in each field, and where each begins in the batch.
        nodes, edges = self.nodes[index], self.edges[index]
        offset, edge_offset = _offsets(nodes), _offsets(edges)
        rows = {
            "nodes": _ranges(_offsets(self.nodes)[index], nodes),
            "edges": _ranges(_offsets(self.edges)[index], edges),
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

    def _require_whole(self) -> None:
        if self._indices is not None:
            raise ValueError("this is a part of a set; only the whole one can be divided.")


def as_graph_set(data: Any) -> Any:
    """Return any other data set of PyG that holds graphs as a ``GraphSet``, and all else as it is.

    Example:
        >>> as_graph_set(3)
        3
    """
    return GraphSet.of(data) if isinstance(data, InMemoryDataset) and not isinstance(data, GraphSet) else data


def _shared_fields(graphs: Sequence[Data]) -> list[str]:
    """Return the fields that graphs of a set keep, or refuse graphs of which some lack one."""

    def keeps(name: str) -> bool:
        if name in ("x", "y", "edge_index") or (name.startswith("edge_") and name != "edge_label"):
            return any(each.get(name) is not None for each in graphs)
        values = [each.get(name) for each in graphs]
        rows = [len(value) if isinstance(value, Tensor) and value.dim() else -1 for value in values]
        return rows == [each.num_nodes for each in graphs]

    found = [name for name in dict.fromkeys(key for each in graphs for key in each.to_dict()) if keeps(name)]
    for name in dict.fromkeys(["edge_index", *found]):
        if lacking := [place for place, each in enumerate(graphs) if each.get(name) is None]:
            raise ValueError(f"`graphs` must all have the same fields, but graph {lacking[0]:,} has no `{name}`.")
    return found


def _rows_of(graph: Data, name: str) -> Tensor:
    """Return a field of a graph as rows; of labels it is one row."""
    values = torch.as_tensor(graph[name])
    if name != "y":
        return values
    if values.dim() < 2 and values.numel() == 1:
        return values.reshape(1)
    if values.dim() != 2 or len(values) != 1:
        raise ValueError(f"`y` must be one row for each graph, such as [1] or [1, tasks], got {list(values.shape)}.")
    return values


def _widths(rows: Sequence[Tensor]) -> str:
    return " and ".join(sorted({str(list(row.shape[1:])) for row in rows})[:3])


def _axis(name: str) -> str:
    return "edges" if name.startswith("edge_") else "graphs" if name in GRAPH_FIELDS else "nodes"


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _ranges(starts: Tensor, counts: Tensor) -> Tensor:
    """Return ``starts[0], starts[0] + 1, ...``, ``counts[0]`` of them, then those of the next."""
    ends = counts.cumsum(0)
    total = int(ends[-1])
    skipped = torch.repeat_interleave(starts - ends + counts, counts, output_size=total)
    return torch.arange(total, device=counts.device) + skipped


def _require_counts(nodes: Tensor, edges: Tensor) -> None:
    """Refuse counts that are not one for each graph."""
    for name, counts in (("nodes", nodes), ("edges", edges)):
        _checks.integer_labels(name, counts, len(nodes) if name == "edges" else _checks.tensor(name, counts).numel())
        if len(counts) and int(counts.min()) < 0:
            raise ValueError(f"`{name}` must be counts from 0 upwards, got {int(counts.min()):,}.")


def _require_masks(masks: Mapping[str, Tensor], graphs: int) -> None:
    """Refuse masks that are not boolean with a row for each graph."""
    _checks.instance("masks", masks, Mapping, "a mapping from names to masks")
    for name, mask in masks.items():
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or len(mask) != graphs:
            raise ValueError(f"`masks` must be boolean with a row for each of {graphs:,} graphs, but {name!a} is not.")


def _require_rows(data: Data, nodes: Tensor, edges: Tensor) -> None:
    """Refuse fields without a row for each node, edge or graph, and edges that leave their graph."""
    many = {"nodes": int(nodes.sum()), "edges": int(edges.sum()), "graphs": len(nodes)}
    if data.get("edge_index") is None:
        raise ValueError("`edge_index` is missing; graphs without edges have one of shape [2, 0].")
    for name, values in data.to_dict().items():
        axis = _axis(name)
        if name == "num_nodes":
            raise ValueError("`num_nodes`: `nodes` says it of each graph; leave it out (`del data.num_nodes`).")
        shape = _checks.tensor(name, values).shape[1 if name == "edge_index" else 0 :]
        if not shape:
            raise ValueError(f"`{name}` must have a row for each of the {axis}, got a single number.")
        if shape[0] == many[axis]:
            continue
        if axis == "graphs":
            raise ValueError(f"`{name}` must have one row for each graph ({many[axis]:,}), got {shape[0]:,}.")
        raise ValueError(
            f"`{axis}` must be counts that add up to {shape[0]:,}, got {many[axis]:,}: `{name}` has {shape[0]:,} rows."
        )
    _checks.edge_index_in_range(data.edge_index, None)
    size = torch.repeat_interleave(nodes, edges)
    if bool((data.edge_index >= size).any()):
        graph = int(torch.repeat_interleave(torch.arange(len(edges)), edges)[(data.edge_index >= size).any(0)][0])
        raise ValueError(
            f"`edge_index` must start at 0 in every graph, but graph {graph:,} of {int(nodes[graph]):,} nodes has an "
            "edge beyond them."
        )


def graphs_sha256(graphs: GraphSet) -> str:
    """Return the sha256 of a set of graphs: its counts and all its fields.

    Neither the order in which a graph's edges are stored matters, nor whether ``x`` is dense or sparse; the order of
    nodes and of graphs does.
    """
    fields = graphs._data.to_dict()
    graph = torch.repeat_interleave(torch.arange(len(graphs.edges)), graphs.edges).numpy()
    row, column = fields["edge_index"].numpy()
    order = torch.from_numpy(np.lexsort((column, row, graph)))
    tensors = {"nodes": graphs.nodes, "edges": graphs.edges}
    for name, values in fields.items():
        if name == "edge_index":
            tensors[name] = values[:, order]
        elif name == "edge_attr":
            tensors[name] = values[order]
        elif name == "x" and values.is_floating_point():
            tensors |= {f"x.{part}": tensor for part, tensor in sparse_parts(values).items()}
        else:
            tensors[name] = values
    return tensors_sha256(tensors)


@dataclass(frozen=True, eq=False, repr=False)
class GraphFamily(Mapping[str, "Data"]):
    """The graphs of a family by their short names, in the order of its card; a read-only mapping.

    The short name is the member's own without the family's: ``load("citation-domains")["acm"]`` is
    ``load("citation-domains-acm")``.

    Args:
        card: the card of the family.
        graphs: short name -> graph, each with its own ``card``, masks and ``protocol``.
    """

    card: Card
    graphs: Mapping[str, Data]

    def __post_init__(self) -> None:
        _checks.instance("card", self.card, Card, "a Card, as `graphkit.data.card` gives it")
        _checks.instance("graphs", self.graphs, Mapping, "a mapping from names to graphs")

    def __getitem__(self, name: str) -> Data:
        return self.graphs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    def __repr__(self) -> str:
        return f"GraphFamily({self.card.name!r}: {', '.join(self)})"
