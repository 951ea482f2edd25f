"""Neighbour sampling: what is drawn around some nodes of one large graph, without PyG's compiled companions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    NegativeSampling,
    NodeSamplerInput,
    NumNeighbors,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample
from torch_geometric.sampler.utils import to_csc

from graphkit import _checks
from graphkit._kernels import neighbor_sampling
from graphkit._kernels.csr_layout import coo_to_csr
from graphkit.data.sampling.csc import CSC, AbstractCSC
from graphkit.data.sampling.relabel import Relabeler

MAX_FANOUT = 2**31 - 1
"""Neighbours that a node may have drawn in a hop: sums of more, over the nodes of a batch, would not fit an integer."""

SUBGRAPHS = ("directional", "bidirectional", "induced")


class NeighborSampler(BaseSampler):
    r"""Draws neighbours of nodes, then of these, and so on: PyG's ``NeighborSampler`` for one kind of node and edge.

    It gives PyG's loaders what PyG's own sampler gives them (``n_id``, ``e_id``, ``input_id``, ``batch_size``,
    ``batch``, ``num_sampled_nodes``, ``num_sampled_edges``), in the same order: first the given nodes, then hop by hop
    those that are new. What is drawn is a function of ``seed``, the epoch and the nodes of a batch, with any number of
    workers and threads. pyg-lib and torch-sparse are not used where they are installed, since they draw from generators
    of their own: figures would depend on the machine. ``torch_geometric.loader.NeighborLoader`` uses them.

    Args:
        data: a graph with ``edge_index`` or ``adj_t``, or a pair of PyG's feature store and graph store.
        num_neighbors: neighbours a node in each hop, -1 takes all; or PyG's ``NumNeighbors`` of such a list.
        replace: whether a neighbour may be drawn twice.
        disjoint: whether each given node has a tree of its own; ``batch`` then names the tree of a node.
        subgraph_type: ``"directional"`` keeps the drawn edges, which point to the given nodes; ``"bidirectional"``
            adds their reverses; ``"induced"`` takes all edges between the drawn nodes.
        directed: PyG's older word: false is ``subgraph_type="induced"``.
        weight_attr: name of a weight per edge, not below 0: neighbours are drawn in proportion to it, and those of
            weight 0 never, where PyG takes them if there are no more neighbours than asked for. -1 takes all.
        seed: of all draws, from 0.

    Raises:
        ValueError: for another kind of graph, no hops, a fan-out below -1 or beyond 2**31 - 1, negative or not finite
            weights, ``disjoint`` with ``"induced"``, or edges that do not fit the graph. Those of a graph on the disk
            are looked at as they are drawn: a pass over all of them may take minutes.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216, section 3.2, for the idea; the fields are those of
    ``torch_geometric.sampler``. Seeds given twice are expanded twice, as in PyG.

    Example:
        >>> from torch_geometric.loader import NodeLoader
        >>> star = Data(edge_index=torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]]), num_nodes=5)
        >>> sampler = NeighborSampler(star, [2], seed=0)
        >>> batch = next(iter(NodeLoader(star, node_sampler=sampler, input_nodes=torch.tensor([0]))))
        >>> batch.n_id[0].item(), batch.num_sampled_nodes, batch.edge_index.tolist()
        (0, [1, 2], [[1, 2], [0, 0]])
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: Sequence[int] | NumNeighbors,
        *,
        replace: bool = False,
        disjoint: bool = False,
        subgraph_type: Literal["directional", "bidirectional", "induced"] = "directional",
        directed: bool = True,
        weight_attr: str | None = None,
        seed: int = 0,
    ) -> None:
        self.num_neighbors = _check_fanouts(num_neighbors)
        if not directed:
            subgraph_type = "induced"
        _checks.member("subgraph_type", subgraph_type, SUBGRAPHS)
        _checks.at_least("seed", seed, 0)
        if disjoint and subgraph_type == "induced":
            raise ValueError("`subgraph_type='induced'` has no `disjoint` trees; choose one of them.")
        self.replace, self.disjoint, self.subgraph_type = replace, disjoint, subgraph_type
        self.csc, self.perm = _csc_of(data, weight_attr)
        if subgraph_type == "induced" and not isinstance(self.csc, CSC):
            raise ValueError("`subgraph_type='induced'` needs the whole graph in one process.")
        self.num_nodes = self.csc.nodes
        self.seed = seed
        # In memory that worker processes share: workers that live on see the next epoch too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Which pass is drawn; loaders of this room advance it, others draw a batch alike each time it comes."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch.fill_(_checks.at_least("epoch", value, 0))

    @property
    def edge_permutation(self) -> Tensor | None:
        """The places in ``edge_index`` of the sampler's edges."""
        return self.perm

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> SamplerOutput:
        """Return the neighbourhood of the nodes ``index``.

        Raises:
            ValueError: for nodes that the graph does not have.
        """
        if index.time is not None or index.input_type is not None:
            raise ValueError("nodes of several kinds and times are not sampled here; use PyG's own sampler.")
        _checks.node_ids("input_nodes", index.node, self.num_nodes)
        return self._bidirectional(node_sample(index, self._sample))

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None) -> SamplerOutput:
        """Return the neighbourhood of the ends of the edges ``index``, and of negative ones drawn for them.

        Raises:
            ValueError: for ends that the graph does not have.
        """
        if index.time is not None or index.input_type is not None:
            raise ValueError("edges of several kinds and times are not sampled here; use PyG's own sampler.")
        for ends in (index.row, index.col):
            _checks.node_ids("edge_label_index", ends, self.num_nodes)
        # PyG draws negative edges from the global generator, whose state in a worker depends on the worker.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self._key(torch.cat([index.row, index.col]))) >> 1)
            out = edge_sample(index, self._sample, self.num_nodes, self.disjoint, None, neg_sampling)
        return self._bidirectional(out)

    def _bidirectional(self, out: SamplerOutput) -> SamplerOutput:
        return out.to_bidirectional() if self.subgraph_type == "bidirectional" else out

    def _key(self, nodes: Tensor) -> np.uint64:
        """Return a random number of the sampler's seed, the epoch and the nodes of a batch."""
        words = np.concatenate([[self.seed, self.epoch], nodes.cpu().numpy()]).astype(np.uint64)
        key = np.zeros(1, dtype=np.uint64)
        neighbor_sampling.hash_words(words, key)
        return key[0]

    def _sample(self, seed: Tensor, seed_time: Tensor | None = None) -> SamplerOutput:
        """Return the receptive field of some nodes, hop by hop: the new nodes of a hop are the frontier of the next."""
        nodes = seed.numpy()
        key, trees = self._key(seed), self.num_nodes if self.disjoint else 0
        relabeler = Relabeler(nodes, trees)
        begin, rows, columns, edges = 0, [], [], []
        hops = [len(nodes)]
        for hop, fanout in enumerate(self.num_neighbors):
            frontier = relabeler.nodes(begin)
            hop_key = np.uint64(neighbor_sampling.hop_key(key, hop))
            drawn = self.csc.sample(frontier, fanout=fanout, replace=self.replace, key=hop_key)
            _checks.sources_in_range(drawn.indices, self.num_nodes)
            # The target of each drawn edge is its place in the frontier; sources are numbered as they are first met.
            place = np.repeat(np.arange(begin, begin + len(frontier)), np.diff(drawn.indptr))
            begin = len(relabeler)
            rows.append(relabeler.add(drawn.indices, place))
            columns.append(place)
            edges.append(drawn.edges)
            hops.append(len(relabeler) - begin)
        many: list[int] | None = [len(one) for one in edges]
        parts = [np.concatenate(one) for one in (rows, columns, edges)]
        if self.subgraph_type == "induced" and isinstance(self.csc, CSC):
            parts, many = relabeler.induced_edges(self.csc.indptr, self.csc.indices), None
        source, target, edge = (torch.from_numpy(one) for one in parts)
        return SamplerOutput(
            node=torch.from_numpy(relabeler.nodes(0)),
            row=source,
            col=target,
            edge=edge,
            batch=torch.from_numpy(relabeler.trees()) if self.disjoint else None,
            num_sampled_nodes=None if many is None else hops,
            num_sampled_edges=many,
        )


def _check_fanouts(given: Sequence[int] | NumNeighbors) -> list[int]:
    """Return the number of neighbours in each hop."""
    values = given.values if isinstance(given, NumNeighbors) else given
    hops = list(values) if isinstance(values, Sequence | np.ndarray) else []
    numbers = all(isinstance(many, int | np.integer) and not isinstance(many, bool) for many in hops)
    if not hops or not numbers or min(hops) < -1 or max(hops) > MAX_FANOUT:
        raise ValueError(
            f"`num_neighbors` must hold a number of neighbours for each hop, -1 for all or up to {MAX_FANOUT:,}, "
            f"such as [10, 5], got {given!r}."
        )
    return [int(many) for many in hops]


def _csc_of(data: Any, weight: str | None) -> tuple[AbstractCSC, Tensor | None]:
    """Return the incoming edges of each node, and their places in ``edge_index``."""
    if isinstance(data, tuple) and isinstance(data[1], AbstractCSC):
        if weight is not None:
            raise ValueError(f"`weight_attr` {weight!r}: a graph in parts has no weights to draw by.")
        return data[1], None
    colptr, row, perm = _compress(data)
    weights = _edge_weights(data, weight, perm, len(row))
    return CSC(colptr.long().contiguous().numpy(), row.contiguous().numpy(), weights.numpy()), perm


def _compress(data: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return pointers and sources of the incoming edges of each node, and their places in ``edge_index``."""
    if isinstance(data, tuple):
        row, colptr, perm = data[1].csc()
        if isinstance(row, dict):
            row, colptr, perm = (next(iter(one.values())) if len(one) == 1 else None for one in (row, colptr, perm))
        if row is None:
            raise ValueError("graphs with several kinds of edges are not sampled here; use PyG's own sampler.")
    elif isinstance(data, Data) and _has_indptr(data):
        (colptr, row), perm = data.edge_index.get_csc()
    elif isinstance(data, Data) and isinstance(data.edge_index, Tensor):
        # PyG's sort is not stable: what is drawn would depend on it.
        edges, nodes = data.edge_index, data.num_nodes
        edges = edges.as_tensor() if isinstance(edges, EdgeIndex) else edges
        _checks.edge_index_in_range(edges, nodes)
        source, target = edges.cpu().numpy()
        arrays = coo_to_csr(target, source, (nodes, nodes), np.int32 if len(source) < 2**31 else np.int64)
        colptr, row, perm = map(torch.from_numpy, arrays)
    elif isinstance(data, Data) and not isinstance(data.get("adj_t"), Tensor):
        colptr, row, perm = to_csc(data, device=torch.device("cpu"))
    else:
        raise ValueError(
            "`data` must be a graph of one kind of nodes (`Data`) with `edge_index`, or a pair of stores, got "
            f"{type(data).__name__}; use PyG's own sampler for others."
        )
    return colptr, row, None if perm is None else perm.long()


def _has_indptr(data: Data) -> bool:
    """Tell whether the edges are sorted by target and know where each node's begin, as those of a stored graph do."""
    edges = data.edge_index
    if not isinstance(edges, EdgeIndex) or edges.sort_order != "col" or edges._indptr is None:
        return False
    return edges._indptr.shape == (data.num_nodes + 1,)


def _edge_weights(data: Any, name: str | None, perm: Tensor | None, edges: int) -> Tensor:
    if name is None:
        return torch.empty(0, dtype=torch.float64)
    if isinstance(data, tuple) or name not in data:
        raise ValueError(f"`weight_attr` {name!r} is no field of the graph.")
    weight = data[name].detach().cpu().reshape(-1).double()
    _checks.one_value_per_edge(name, weight, edges)
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise ValueError(f"`{name}` must hold weights that are finite and not below 0.")
    return weight if perm is None else weight[perm]
