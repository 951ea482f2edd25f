"""Transforms of a graph: both directions of its edges, other labels, another numbering, several graphs as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected as add_reverse_edges

from graphkit import _checks
from graphkit.data.fingerprint import tensors_sha256
from graphkit.data.sampling.clusters import metis_clusters
from graphkit.data.splits.split import MASKS, Split
from graphkit.data.validation import validate


def to_undirected(data: Data) -> Data:
    """Return a shallow copy of a graph with every edge in both directions, once; ``undirected`` says so in it.

    A record of training names it, since figures on directed and on undirected edges are not comparable. Most
    published models of ogbn-arxiv see it so.

    Args:
        data: a graph in memory, whose edges have no weights or attributes.

    Raises:
        ValueError: for another kind of data, edges with values, a graph that is undirected already, or one on the disk.

    Example:
        >>> to_undirected(Data(edge_index=torch.tensor([[1, 2], [0, 0]]), num_nodes=3)).edge_index.tolist()
        [[0, 0, 1, 2], [1, 2, 0, 0]]
    """
    if not isinstance(data, Data) or data.get("edge_index") is None:
        raise ValueError(
            f"`data` must be one graph with `edge_index` to be made undirected, got {type(data).__name__}."
        )
    if (kept := data.get("store")) is not None:
        raise ValueError(
            f"`undirected`: the edges of {kept.name!r} stay on the disk as they are; `graphkit data import` takes "
            "`--undirected`."
        )
    tensors = [name for name, value in data if isinstance(value, Tensor) and name != "edge_index"]
    held = [name for name in tensors if data.is_edge_attr(name)]
    if held:
        raise ValueError(f"`undirected`: which value of `{held[0]}` a reverse edge has is not said; leave it out.")
    if data.is_undirected():
        raise ValueError("`undirected`: every edge is there in both directions already; leave it out.")
    made: Any = data.__copy__()
    made.edge_index = add_reverse_edges(data.edge_index, num_nodes=data.num_nodes)
    made.undirected = True
    return made


ATTRIBUTES = ("status", "gender", "major", "minor", "dormitory", "year", "high_school")
"""What the columns of ``attributes`` are; ``minor`` is a second major or a minor."""


def label_by(data: Data, *names: str, least: int = 1) -> Data:
    """Return a shallow copy of ``data`` whose labels are one or more of its attributes, and ``x`` the others.

    The values of a label become 0, 1, ... in ascending order; -1 is a value that is not given, or given by fewer than
    ``least`` nodes. ``x`` is every other attribute one-hot, "not given" being a value too, as in PyG's
    ``LINKXDataset``; attributes depend on each other (a status says much of a year). Masks and the record of the split
    are dropped, for they were drawn by other labels.

    Args:
        data: a graph with ``attributes [nodes, 7]``, such as ``load("facebook100-amherst41")``.
        names: the attributes, of ``ATTRIBUTES``.
        least: how many nodes a value must have to be a class.

    Returns:
        The graph with ``y [nodes]`` for one name and ``y [nodes, names]`` for several, and ``label_names``.

    Raises:
        ValueError: if there is no such attribute, none is named or one twice, or ``data`` has no attributes.

    Example:
        >>> people = torch.tensor([[1, 2, 90, -1, 7, 2006, 3], [1, 1, 91, -1, -1, 2004, 3]])
        >>> data = label_by(Data(attributes=people), "year", "dormitory")
        >>> data.y.tolist(), data.x.shape
        ([[1, 0], [0, -1]], torch.Size([2, 7]))
    """
    if not isinstance(data, Data) or "attributes" not in data:
        raise ValueError("`data` must have `attributes`, as the graphs of 'facebook100' do.")
    for name in names:
        _checks.member("names", name, ATTRIBUTES)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`names` must be one or more different attributes, got {list(names)}.")
    _checks.at_least("least", least, 1)
    least = min(least, data.attributes.size(0) + 1)
    labels = [_class_labels(data.attributes[:, ATTRIBUTES.index(name)], least) for name in names]
    others = [data.attributes[:, at] for at, name in enumerate(ATTRIBUTES) if name not in names]
    result = data.__copy__()
    for field in (*MASKS, "protocol"):
        if field in result:
            del result[field]
    result.x = torch.cat([_one_hot(values) for values in others], dim=1)
    result.y = labels[0] if len(names) == 1 else torch.stack(labels, dim=1)
    result.label_names = list(names)
    return result


def _class_labels(values: Tensor, least: int) -> Tensor:
    """Return the class of each value: its place among those that are given and frequent enough, or -1."""
    found, place, count = values.unique(return_inverse=True, return_counts=True)
    kept = (count >= least) & (found >= 0)
    return torch.where(kept, kept.cumsum(0) - 1, -1)[place]


def _one_hot(values: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(values.unique(return_inverse=True)[1]).float()


CLUSTER_SIZE = 1_000
"""Nodes of a cluster: 128 features of each in float32 fill half a megabyte, a part of most second-level caches."""


def locality_order(
    edge_index: Tensor, *, num_nodes: int, by: Literal["rcm", "metis"] = "rcm", parts: int | None = None
) -> Tensor:
    """Return the nodes in an order in which neighbours stand close, ``[nodes]``.

    "rcm" is reverse Cuthill-McKee, breadth first from a node of low degree: a tenth of a second for two million edges.
    "metis" puts the nodes of a cluster side by side: slower to find, and better where a graph has communities.

    Args:
        edge_index: ``[2, edges]``; direction does not count.
        num_nodes: number of nodes.
        by: how.
        parts: clusters of METIS, from 1 to the number of nodes; one for every 1,000 nodes if None.

    Raises:
        ValueError: for another ``by``, edges out of range, ``parts`` without METIS or out of its range, or where
            pymetis is asked for and not installed.

    Source: Cuthill & McKee (1969) and George (1971), through SciPy; Karypis & Kumar (1998), through pymetis.

    Example:
        >>> path = torch.tensor([[0, 3, 1], [3, 1, 2]])  # 0 - 3 - 1 - 2
        >>> locality_order(path, num_nodes=4).tolist()
        [2, 1, 3, 0]
    """
    _checks.member("by", by, ("rcm", "metis"))
    _checks.edge_index_in_range(_checks.tensor("edge_index", edge_index), _checks.count("num_nodes", num_nodes))
    if by == "metis":
        parts = max(1, num_nodes // CLUSTER_SIZE) if parts is None else parts
        return metis_clusters(edge_index, parts, num_nodes=num_nodes).argsort(stable=True)
    if parts is not None:
        raise ValueError("`parts` is of METIS's clusters: ask for them with `by='metis'`.")
    row, column = torch.cat([edge_index.cpu(), edge_index.cpu().flip(0)], 1).numpy()
    both = csr_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(num_nodes, num_nodes))
    return torch.from_numpy(reverse_cuthill_mckee(both, symmetric_mode=True).astype(np.int64))


def reorder_nodes(data: Data, order: Tensor | None = None) -> Data:
    """Return a copy of a graph whose nodes are numbered in another order; everything that is of nodes goes with them.

    Edges stay in their order, and what is of them. ``n_id [nodes]`` holds the numbers from before: a result ``z`` in
    their order is ``torch.empty_like(z).index_copy(0, data.n_id, z)``.

    It pays where the features of a graph do not fit into the processor's cache and its edges join what belongs
    together: half the time of a sparse product, or nothing (``graphkit bench reordering``). Before :func:`store` it
    makes neighbours lie on the same pages; ``data.original_id = data.n_id`` keeps the numbers from before there.

    Args:
        data: a graph of one kind of nodes, dense where it is of nodes.
        order: the nodes in their new order, ``[nodes]``; :func:`locality_order` if None.

    Raises:
        ValueError: for an ``order`` that is none, or what cannot be ordered, such as signals on a graph.

    Example:
        >>> from graphkit.data import load
        >>> data = load("karate")
        >>> reordered = reorder_nodes(data)
        >>> bool((data.y[reordered.n_id] == reordered.y).all())
        True
    """
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    if data.get("signals") is not None:
        raise ValueError("`data` has signals on its nodes; take one graph of nodes with features.")
    validate(data)
    nodes = data.num_nodes
    order = locality_order(data.edge_index, num_nodes=nodes) if order is None else order
    if _checks.tensor("order", order).shape != (nodes,) or not torch.equal(
        order.sort().values.cpu(), torch.arange(nodes)
    ):
        raise ValueError(f"`order` must hold each of the {nodes:,} nodes once.")
    place = torch.empty_like(order).index_copy(0, order, torch.arange(nodes, device=order.device))
    result = data.__copy__()
    for name in data.node_attrs():
        value = data[name]
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise ValueError(f"`{name}` must be a dense tensor to be put in another order; got {type(value).__name__}.")
        result[name] = value[order.to(value.device)]
    result.edge_index = place.to(data.edge_index.device)[data.edge_index.as_subclass(Tensor)]
    result.n_id = order
    return result


def disjoint_union(graphs: Mapping[str, Data], *, held_out: str | None = None) -> Data:
    """Return several graphs as one: no edge joins two of them, and ``part [nodes]`` numbers each node's graph.

    Nodes come in the order of the graphs. Labels mean the same in all: class 2 of one graph is class 2 of another.

    Args:
        graphs: name -> graph with ``x`` of one width, ``edge_index``, integer ``y`` and the masks of a split, such as
            the family ``load("citation-domains")``.
        held_out: the name of a graph to test on: none of its nodes is trained on or selected by, all that have a label
            are tested on, and those of other graphs are not. ``held_out [nodes]`` then says which are its nodes.

    Returns:
        A graph with dense ``x``, ``edge_index``, ``y``, masks, ``part``, ``parts`` (name -> number of nodes, in order)
        and ``edge_weight`` where all graphs have one; with the card of the family, and the ``protocol`` of the split
        where all graphs are split alike.

    Raises:
        TypeError: for graphs without names.
        ValueError: without a graph, for one that is not sound or lacks a field, for features of several widths, edge
            weights in some graphs only, and for an unknown ``held_out`` or one that no graph is left beside.

    Example:
        >>> from graphkit.data import load
        >>> union = disjoint_union(load("structural-roles"), held_out="cycle-2")
        >>> union.num_nodes, len(union.parts), union.part[union.test_mask].unique().tolist()
        (6240, 6, [1])
    """
    if not isinstance(graphs, Mapping):
        raise TypeError(f"`graphs` must be a mapping from names to graphs, got {type(graphs).__name__}.")
    if not graphs:
        raise ValueError("`graphs` must hold at least one graph.")
    if held_out is not None and _checks.member("held_out", held_out, graphs) and len(graphs) < 2:
        raise ValueError(f"`held_out` {held_out!r} leaves no graph to train on.")
    for name in graphs:
        _checks.printable_name("graphs", name)
    _require_alike(graphs)
    each = list(graphs.values())
    sizes = torch.tensor([data.num_nodes for data in each])
    first = [0, *sizes.cumsum(0).tolist()]
    union = Data(
        x=torch.cat([data.x.to_dense() for data in each]),
        edge_index=torch.cat([data.edge_index + start for data, start in zip(each, first, strict=False)], dim=1),
        y=torch.cat([data.y for data in each]),
    )
    if each[0].get("edge_weight") is not None:
        union.edge_weight = torch.cat([data.edge_weight for data in each])
    if all(data.get("undirected") for data in each):
        union.undirected = True
    union.part = torch.repeat_interleave(torch.arange(len(each)), sizes).to(union.y.device)
    union.parts = {name: data.num_nodes for name, data in graphs.items()}
    if (card := getattr(graphs, "card", None)) is not None:
        union.card = card
    train, val, test = (torch.cat([data[name] for data in each]) for name in MASKS)
    told = {}
    if held_out is not None:
        union.held_out = union.part == list(graphs).index(held_out)
        train, val, test = train & ~union.held_out, val & ~union.held_out, union.held_out & (union.y >= 0)
        told = {"held_out": held_out}
    if (alike := _shared_split(each)) is not None:
        return Split(train, val, test, alike["split"], {**alike["parameters"], **told}).apply(union)
    union.train_mask, union.val_mask, union.test_mask = train, val, test
    return union


def _shared_split(graphs: Sequence[Data]) -> dict[str, Any] | None:
    """Return the record of the split that all graphs have, or nothing; masks that were changed since are no split's."""
    drawn = [data.get("protocol") for data in graphs]
    for data, record in zip(graphs, drawn, strict=True):
        if record is None or record["fingerprint"] != tensors_sha256({name: data[name] for name in MASKS}):
            return None
    alike = all((each["split"], each["parameters"]) == (drawn[0]["split"], drawn[0]["parameters"]) for each in drawn)
    return drawn[0] if alike else None


def _require_alike(graphs: Mapping[str, Data]) -> None:
    """Refuse graphs that no encoder takes together."""
    for name, data in graphs.items():
        for field in ("x", "y", *MASKS):
            if data.get(field) is None:
                raise ValueError(f"`{field}` is missing in the graph {name!r}.")
        try:
            validate(data)  # an edge that leaves its graph would lead into the next
        except ValueError as error:
            raise ValueError(f"the graph {name!r}: {error}") from None
        for field in MASKS:
            if data[field].dim() != 1:
                raise ValueError(f"`{field}` holds {data[field].size(-1)} splits in the graph {name!r}: choose one.")
    weighted = [name for name, data in graphs.items() if data.get("edge_weight") is not None]
    if weighted and len(weighted) < len(graphs):
        raise ValueError(f"`edge_weight` must be in all graphs or in none, but is in {', '.join(weighted)} alone.")
    widths = {name: data.x.size(1) for name, data in graphs.items()}
    if len(set(widths.values())) > 1:
        found = ", ".join(f"{width:,} in {name!r}" for name, width in widths.items())
        raise ValueError(
            f"`x` must have as many features in all graphs, of one meaning, got {found}; one-hot degrees are such."
        )
