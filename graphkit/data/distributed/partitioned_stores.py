"""A graph whose parts are held by the processes of a job, behind PyG's feature store and graph store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import EdgeAttr, FeatureStore, GraphStore, TensorAttr
from torch_geometric.data.graph_store import EdgeLayout

from graphkit import _checks
from graphkit._exports import deprecated_arguments, deprecated_method
from graphkit.data.distributed.partitions import Partitions
from graphkit.data.distributed.row_exchange import RowExchange
from graphkit.data.sampling.csc import CSC, AbstractCSC, SampledEdges


class Part:
    """This process's part of a graph: its own nodes, and where all others are.

    Args:
        partitions: all parts.
        exchange: the processes that hold them, as many as there are parts.

    Raises:
        ValueError: for another number of processes.
        DataError: for files that are missing or damaged.

    Attributes:
        own: names of this part's nodes, ascending.
    """

    def __init__(self, partitions: Partitions, exchange: RowExchange) -> None:
        _checks.instance("partitions", partitions, Partitions, "the Partitions of a graph")
        _checks.instance("exchange", exchange, RowExchange, "a RowExchange")
        partitions.require_processes(exchange.count)
        self.partitions, self.exchange = partitions, exchange
        self.owner = partitions.array("owner", mapped=True)
        self.own: np.ndarray = self.array("nodes")

    @property
    def nodes(self) -> int:
        """Nodes of the whole graph."""
        return self.partitions.nodes

    def array(self, name: str) -> np.ndarray:
        """Return an array of this part."""
        return self.partitions.array(f"part-{self.exchange.rank}/{name}")

    def sort_by_owner(self, nodes: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Return the order that sorts ``nodes`` by the process that holds them, and how many each holds."""
        owner = self.owner[nodes]
        return np.argsort(owner, kind="stable"), np.bincount(owner, minlength=self.exchange.count).tolist()

    def row_fetch(self, nodes: Tensor) -> RowFetch:
        """Return a way of fetching rows of ``nodes``; all processes ask at the same time, each for its own."""
        order, many = self.sort_by_owner(nodes.cpu().numpy())
        place = torch.from_numpy(order)
        asked = self.exchange.all_to_all(nodes.cpu()[place].split(many))
        rows = [torch.from_numpy(np.searchsorted(self.own, each.numpy())) for each in asked]
        back = torch.empty_like(place)
        back[place] = torch.arange(len(place))
        return RowFetch(self.exchange, rows, back)

    held = deprecated_method("array")
    by_owner = deprecated_method("sort_by_owner")
    rows_of = deprecated_method("row_fetch")


class RowFetch:
    """Rows of some nodes, fetched from those that hold them: what is asked for is told once, for any number of tables.

    ``rows`` are those of this process's tables that each process asked for, ``back`` the place of each row that this
    one asked for in what comes, process by process.
    """

    def __init__(self, exchange: RowExchange, rows: Sequence[Tensor], back: Tensor) -> None:
        self.exchange, self.rows, self.back = exchange, rows, back
        self.own = len(rows[exchange.rank])

    @property
    def remote(self) -> int:
        """How many rows come from other processes."""
        return len(self.back) - self.own

    def __call__(self, table: Tensor) -> Tensor:
        """Return the rows, out of the tables of all processes, of which ``table`` is this one's."""
        came = self.exchange.all_to_all([table[rows.to(table.device)] for rows in self.rows])
        return torch.cat(came)[self.back].to(table.device)


class PartitionedFeatures(FeatureStore):
    """Tensors of nodes, each process holding the rows of its own part; PyG's loaders ask it for any.

    All processes ask at the same time, as those do that draw batches in step. Rows of other nodes may be kept too
    (``halo``): those one hop outside of the part are asked for most.

    Args:
        part: this process's part.
        tensors: rows of the part's nodes by name; by default ``x`` and ``y`` as they were written.
        halo: nodes of other parts whose rows are fetched once and kept, ``[halo]``.

    Attributes:
        fetched: how many nodes were asked of other processes so far.
    """

    @deprecated_arguments(near="halo")
    def __init__(self, part: Part, *, tensors: dict[str, Tensor] | None = None, halo: Tensor | None = None) -> None:
        super().__init__()
        _checks.instance("part", part, Part, "a Part")
        if tensors is not None:
            _checks.instance("tensors", tensors, dict, "a dict from names to tensors")
        if halo is not None:
            _checks.node_ids("halo", _checks.tensor("halo", halo), part.nodes)
        self.part, self.fetched = part, 0
        self._tables = tensors or {name: torch.from_numpy(part.array(name)) for name in ("x", "y")}
        self._halo = torch.empty(0, dtype=torch.long) if halo is None else halo.unique()
        rows = None if halo is None else part.row_fetch(self._halo)
        self._halo_rows = {name: rows(table) for name, table in self._tables.items()} if rows else {}

    @property
    def tables(self) -> dict[str, Tensor]:
        """The part's own rows by name."""
        return self._tables

    @property
    def halo(self) -> Tensor:
        """Nodes of other parts whose rows are kept here."""
        return self._halo

    held = deprecated_method("tables")
    near = deprecated_method("halo")

    def _get_tensor(self, attr: TensorAttr) -> Tensor | None:
        return self._multi_get_tensor([attr])[0]

    def _multi_get_tensor(self, attrs: list[TensorAttr]) -> list[Tensor | None]:
        # PyG asks for all attributes of the same nodes at once: who holds them is then told once.
        found: list[Tensor | None] = []
        asked = rows = None
        for attr in attrs:
            if rows is None or attr.index is not asked:
                asked, rows = attr.index, self._rows(attr.index)
            table = self.tables.get(attr.attr_name)
            found.append(None if table is None else rows(table, self._halo_rows.get(attr.attr_name)))
        return found

    def _rows(self, index: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
        nodes = _resolve_index(index, self.part.nodes)
        place = torch.searchsorted(self.halo, nodes).clamp(max=max(len(self.halo) - 1, 0))
        known = self.halo[place] == nodes if len(self.halo) else torch.zeros(len(nodes), dtype=torch.bool)
        fetch = self.part.row_fetch(nodes[~known])
        self.fetched += fetch.remote

        def rows(table: Tensor, kept: Tensor | None) -> Tensor:
            came = fetch(table)
            if kept is None or not len(kept):
                return came
            out = came.new_empty(len(nodes), *came.shape[1:])
            out[~known], out[known] = came, kept[place[known]]
            return out

        return rows

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...] | None:
        table = self.tables.get(attr.attr_name)
        return None if table is None else (self.part.nodes, *table.shape[1:])

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """Return the attributes by name."""
        return [TensorAttr(None, name) for name in self.tables]

    def _put_tensor(self, tensor: Any, attr: TensorAttr) -> bool:
        return False  # parts are written by `partition`

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        return False


class PartitionedGraph(GraphStore, AbstractCSC):
    """Edges, each process holding those that lead to the nodes of its own part.

    As PyG's graph store it gives the edges of the part, named as in the whole graph. A ``NeighborSampler`` over it
    draws from the whole graph: each process draws for all others from the nodes that it holds, all at the same time.
    What is drawn is what one process draws that has the whole graph.

    Args:
        part: this process's part.
    """

    def __init__(self, part: Part) -> None:
        super().__init__()
        _checks.instance("part", part, Part, "a Part")
        self.part, self.edges = part, part.array("edges")
        self.own = CSC(part.array("pointers"), part.array("sources"), np.empty(0))

    @property
    def nodes(self) -> int:
        """Nodes of the whole graph."""
        return self.part.nodes

    @property
    def halo(self) -> Tensor:
        """The nodes of other parts that edges lead from into this one, ascending."""
        sources = np.unique(self.own.indices)
        return torch.from_numpy(sources[self.part.owner[sources] != self.part.exchange.rank].astype(np.int64))

    near = deprecated_method("halo")
    drawn = deprecated_method("sample")
    local = deprecated_method("local_edges")

    def sample(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> SampledEdges:
        """Return edges into each node of ``frontier``, named by their places in ``edge_index``."""
        all_to_all = self.part.exchange.all_to_all
        # Step 1: ask the process that holds each node; one row is its place in the frontier and its name. The key goes
        # along as one more row: it depends on the batch, and every process has another one.
        order, many = self.part.sort_by_owner(frontier)
        ask = torch.from_numpy(np.stack([order, frontier[order]], axis=1))
        own_key = torch.from_numpy(np.array([[np.int64(0), key.view(np.int64)]]))
        asked = all_to_all([torch.cat([own_key, each]) for each in ask.split(many)])
        # Step 2: draw for each process from the edges that are held here.
        answers = []
        for rows in asked:
            given, places = np.uint64(rows[0, 1].numpy().view(np.uint64).item()), rows[1:, 0].numpy()
            local = np.searchsorted(self.part.own, rows[1:, 1].numpy())
            answers.append(self.own.sample_at(places, local, fanout=fanout, replace=replace, key=given))
        # Step 3: hand back how many edges each place has, and the edges themselves.
        degrees = torch.cat(all_to_all([torch.from_numpy(np.diff(draw.indptr)) for draw in answers])).numpy()
        pairs = [np.stack([draw.indices, self.edges[draw.edges]], axis=1).astype(np.int64) for draw in answers]
        sources, edges = torch.cat(all_to_all([torch.from_numpy(each) for each in pairs])).numpy().T
        # Step 4: what came stands process by process; put it in the order of the frontier.
        ends, came = np.zeros(len(frontier) + 1, dtype=np.int64), np.cumsum(degrees) - degrees
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        np.cumsum(degrees[back], out=ends[1:])
        chosen = np.arange(ends[-1]) + np.repeat(came[back] - ends[:-1], degrees[back])
        return SampledEdges(sources[chosen], edges[chosen], ends)

    def local_edges(self) -> tuple[Tensor, Tensor]:
        """Return the part's edges, its own nodes numbered from 0, those of :attr:`halo` after them; and the latter."""
        halo, own = self.halo, self.part.own
        names = np.concatenate([own, halo.numpy()])
        order = np.argsort(names, kind="stable")
        source = order[np.searchsorted(names[order], self.own.indices)]
        target = np.repeat(np.arange(len(own)), np.diff(self.own.indptr))
        return torch.from_numpy(np.stack([source, target])), halo

    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        degree, source = np.diff(self.own.indptr), torch.from_numpy(self.own.indices.astype(np.int64))
        if edge_attr.layout == EdgeLayout.COO:
            return source, torch.from_numpy(np.repeat(self.part.own, degree))
        if edge_attr.layout == EdgeLayout.CSC:
            pointers = torch.zeros(self.nodes + 1, dtype=torch.long)
            pointers[torch.from_numpy(self.part.own) + 1] = torch.from_numpy(degree)
            return source, pointers.cumsum(0)
        return None

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """Return the one kind of edges."""
        return [EdgeAttr(None, EdgeLayout.CSC, size=(self.nodes, self.nodes))]

    def _put_edge_index(self, edge_index: Any, edge_attr: EdgeAttr) -> bool:
        return False  # parts are written by `partition`

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        return False


def _resolve_index(index: Any, nodes: int) -> Tensor:
    """Return the nodes that PyG's index names; ``None`` names all."""
    if index is None:
        return torch.arange(nodes)
    if isinstance(index, slice):
        return torch.arange(nodes)[index]
    index = torch.as_tensor(index).cpu()
    return index.nonzero().flatten() if index.dtype == torch.bool else index
