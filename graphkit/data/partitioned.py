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
from graphkit.data.exchange import Exchange
from graphkit.data.incoming import AbstractIncoming, Draw, Incoming
from graphkit.data.partitions import Partitions


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

    def __init__(self, partitions: Partitions, exchange: Exchange) -> None:
        _checks.instance("partitions", partitions, Partitions, "the Partitions of a graph")
        _checks.instance("exchange", exchange, Exchange, "an Exchange")
        partitions.require(exchange.count)
        self.partitions, self.exchange = partitions, exchange
        self.owner = partitions.array("owner", mapped=True)
        self.own: np.ndarray = self.held("nodes")

    @property
    def nodes(self) -> int:
        """Nodes of the whole graph."""
        return self.partitions.nodes

    def held(self, name: str) -> np.ndarray:
        """Return an array of this part."""
        return self.partitions.array(f"part-{self.exchange.rank}/{name}")

    def by_owner(self, nodes: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Return the order that sorts ``nodes`` by the process that holds them, and how many each holds."""
        owner = self.owner[nodes]
        return np.argsort(owner, kind="stable"), np.bincount(owner, minlength=self.exchange.count).tolist()

    def rows_of(self, nodes: Tensor) -> Fetch:
        """Return a way of fetching rows of ``nodes``; all processes ask at the same time, each for its own."""
        order, many = self.by_owner(nodes.cpu().numpy())
        place = torch.from_numpy(order)
        asked = self.exchange.swapped(nodes.cpu()[place].split(many))
        rows = [torch.from_numpy(np.searchsorted(self.own, each.numpy())) for each in asked]
        back = torch.empty_like(place)
        back[place] = torch.arange(len(place))
        return Fetch(self.exchange, rows, back)


class Fetch:
    """Rows of some nodes, fetched from those that hold them; what is asked for is told once.

    Args:
        exchange: the processes.
        rows: rows of this process's tables that each process asked for.
        back: the place of each asked row in what comes, process by process.
    """

    def __init__(self, exchange: Exchange, rows: Sequence[Tensor], back: Tensor) -> None:
        self.exchange, self.rows, self.back = exchange, rows, back
        self.own = len(rows[exchange.rank])

    @property
    def remote(self) -> int:
        """How many rows come from other processes."""
        return len(self.back) - self.own

    def __call__(self, table: Tensor) -> Tensor:
        """Return the rows, out of the tables of all processes, of which ``table`` is this one's."""
        came = self.exchange.swapped([table[rows.to(table.device)] for rows in self.rows])
        return torch.cat(came)[self.back].to(table.device)


class PartitionedFeatures(FeatureStore):
    """Tensors of nodes, each process holding the rows of its own part; PyG's loaders ask it for any.

    All processes ask at the same time, as those do that draw batches in step. Rows of other nodes may be kept too
    (``near``): those one hop outside of the part are asked for most.

    Args:
        part: this process's part.
        tensors: rows of the part's nodes by name; by default ``x`` and ``y`` as they were written.
        near: nodes of other parts whose rows are fetched once and kept, ``[near]``.

    Attributes:
        held: rows by name, the part's own.
        fetched: how many nodes were asked of other processes so far.
    """

    def __init__(self, part: Part, *, tensors: dict[str, Tensor] | None = None, near: Tensor | None = None) -> None:
        super().__init__()
        _checks.instance("part", part, Part, "a Part")
        if tensors is not None:
            _checks.instance("tensors", tensors, dict, "a dict from names to tensors")
        if near is not None:
            _checks.node_ids("near", _checks.tensor("near", near), part.nodes)
        self.part, self.fetched = part, 0
        self.held = tensors or {name: torch.from_numpy(part.held(name)) for name in ("x", "y")}
        self.near = torch.empty(0, dtype=torch.long) if near is None else near.unique()
        rows = None if near is None else part.rows_of(self.near)
        self._kept = {name: rows(table) for name, table in self.held.items()} if rows else {}

    def _get_tensor(self, attr: TensorAttr) -> Tensor | None:
        return self._multi_get_tensor([attr])[0]

    def _multi_get_tensor(self, attrs: list[TensorAttr]) -> list[Tensor | None]:
        # PyG asks for all attributes of the same nodes at once: who holds them is then told once.
        found: list[Tensor | None] = []
        asked = rows = None
        for attr in attrs:
            if rows is None or attr.index is not asked:
                asked, rows = attr.index, self._rows(attr.index)
            table = self.held.get(attr.attr_name)
            found.append(None if table is None else rows(table, self._kept.get(attr.attr_name)))
        return found

    def _rows(self, index: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
        nodes = _named(index, self.part.nodes)
        place = torch.searchsorted(self.near, nodes).clamp(max=max(len(self.near) - 1, 0))
        known = self.near[place] == nodes if len(self.near) else torch.zeros(len(nodes), dtype=torch.bool)
        fetch = self.part.rows_of(nodes[~known])
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
        table = self.held.get(attr.attr_name)
        return None if table is None else (self.part.nodes, *table.shape[1:])

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """Return the attributes by name."""
        return [TensorAttr(None, name) for name in self.held]

    def _put_tensor(self, tensor: Any, attr: TensorAttr) -> bool:
        return False  # parts are written by `partition`

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        return False


class PartitionedGraph(GraphStore, AbstractIncoming):
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
        self.part, self.edges = part, part.held("edges")
        self.own = Incoming(part.held("pointers"), part.held("sources"), np.empty(0))

    @property
    def nodes(self) -> int:
        """Nodes of the whole graph."""
        return self.part.nodes

    @property
    def near(self) -> Tensor:
        """The nodes of other parts that edges lead from into this one, ascending."""
        sources = np.unique(self.own.sources)
        return torch.from_numpy(sources[self.part.owner[sources] != self.part.exchange.rank].astype(np.int64))

    def drawn(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> Draw:
        """Return edges into each node of ``frontier``, named by their places in ``edge_index``."""
        swapped = self.part.exchange.swapped
        order, many = self.part.by_owner(frontier)
        ask = torch.from_numpy(np.stack([order, frontier[order]], axis=1))
        # The key goes along as one more row: it depends on the batch, and every process has another one.
        own_key = torch.from_numpy(np.array([[np.int64(0), key.view(np.int64)]]))
        answers = []
        for asked in swapped([torch.cat([own_key, each]) for each in ask.split(many)]):
            given, places, nodes = asked[0, 1].numpy().view(np.uint64).item(), asked[1:, 0], asked[1:, 1]
            local = np.searchsorted(self.part.own, nodes.numpy())
            answers.append(
                self.own.drawn_at(places.numpy(), local, fanout=fanout, replace=replace, key=np.uint64(given))
            )
        degrees = torch.cat(swapped([torch.from_numpy(np.diff(draw.ends)) for draw in answers])).numpy()
        sources, edges = (
            torch.cat(
                swapped(
                    [
                        torch.from_numpy(np.stack([draw.sources, self.edges[draw.edges]], axis=1).astype(np.int64))
                        for draw in answers
                    ]
                )
            )
            .numpy()
            .T
        )
        ends, came = np.zeros(len(frontier) + 1, dtype=np.int64), np.cumsum(degrees) - degrees
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        np.cumsum(degrees[back], out=ends[1:])
        chosen = np.arange(ends[-1]) + np.repeat(came[back] - ends[:-1], degrees[back])
        return Draw(sources[chosen], edges[chosen], ends)

    def local(self) -> tuple[Tensor, Tensor]:
        """Return the part's edges, its own nodes numbered from 0, those of :attr:`near` after them; and the latter."""
        near, own = self.near, self.part.own
        names = np.concatenate([own, near.numpy()])
        order = np.argsort(names, kind="stable")
        source = order[np.searchsorted(names[order], self.own.sources)]
        target = np.repeat(np.arange(len(own)), np.diff(self.own.pointers))
        return torch.from_numpy(np.stack([source, target])), near

    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        degree, source = np.diff(self.own.pointers), torch.from_numpy(self.own.sources.astype(np.int64))
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


def _named(index: Any, nodes: int) -> Tensor:
    """Return the nodes that PyG's index names; ``None`` names all."""
    if index is None:
        return torch.arange(nodes)
    if isinstance(index, slice):
        return torch.arange(nodes)[index]
    index = torch.as_tensor(index).cpu()
    return index.nonzero().flatten() if index.dtype == torch.bool else index
