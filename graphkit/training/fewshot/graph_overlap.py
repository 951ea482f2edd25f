"""What must hold of the graphs of a few-shot study: they are sound, and none of them is hidden in another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit._checks import degree_weights, instance, integer_labels
from graphkit.data import validate

OVERLAP = 0.1
"""Share of the nodes of the smaller of two graphs that may stand in the other too, where features tell nodes apart."""

ROUNDS = 2
"""Looks at the neighbours, after which two graphs that are alike node for node are taken for one."""


def require_sound(data: Data, needed: Sequence[str] = ("x", "y")) -> None:
    """Refuse a graph without features or labels, or with numbers that are not finite.

    Args:
        data: the graph.
        needed: what must be there; without "y" the items are no nodes.

    Raises:
        TypeError: for no graph, and labels that are not integers.
        ValueError: for what is missing, and see :func:`graphkit.data.validate`.
    """
    instance("data", data, Data, "a Data")
    for name in needed:
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: few-shot methods tell items apart by features, and draw by labels.")
    validate(data)
    if data.get("edge_weight") is not None:
        degree_weights(data.edge_weight)
    if "y" in needed:
        integer_labels("y", data.y, data.num_nodes)


def require_apart(graphs: Mapping[str, Data]) -> None:
    """Refuse graphs of which one is another with its nodes in another order, or shares many nodes with it.

    Nodes are compared by features and label. Where at least half of a graph's nodes are told apart by these, two graphs
    may share ``OVERLAP`` of the smaller one's. Where they are not, as in graphs with few features, an overlap cannot be
    seen; a copy is, by what the neighbours of every node are (Weisfeiler and Leman's colours).

    Raises:
        ValueError: naming the two graphs, what they share and the way out.
    """
    rows = {name: row_hashes(data.x, data.y) for name, data in graphs.items()}
    single = {name: _single(hashes) for name, hashes in rows.items()}
    colours = {name: _colours(rows[name], data.edge_index) for name, data in graphs.items()}
    for one, other in itertools.combinations(graphs, 2):
        if torch.equal(colours[one], colours[other]):
            raise ValueError(
                f"the graph {one!r} is {other!r} again, node for node, up to their order; a graph to test on must be "
                "unseen: leave one of them out."
            )
        small = min(one, other, key=lambda name: len(rows[name]))
        if 2 * len(single[small]) < len(rows[small]):
            continue
        shared = int(torch.isin(single[one], single[other]).sum())
        if shared > OVERLAP * len(rows[small]):
            raise ValueError(
                f"the graphs {one!r} and {other!r} share {shared:,} nodes with the same features and label, of the "
                f"{len(rows[small]):,} of {small!r}; a graph to test on must be unseen: take out what they share."
            )


def row_hashes(x: Tensor, y: Tensor) -> Tensor:
    """Return one whole number for each row of features and its label, ``[rows]``; equal rows have equal numbers.

    Example:
        >>> found = row_hashes(torch.tensor([[0.0, 1.5], [1.5, 0.0], [0.0, 1.5]]), torch.tensor([1, 1, 1]))
        >>> (found[0] == found[2]).item(), (found[0] == found[1]).item()
        (True, False)
    """
    stored = x.to_sparse_coo().coalesce()
    row, column = stored.indices()
    value = stored.values().double()
    there = value != 0
    entry = _mix_bits(_mix_bits(column[there]) + value[there].view(torch.int64))
    # Whole numbers wrap around where they overflow: sums are the same in any order.
    return _mix_bits(_mix_bits(y.long()).index_add(0, row[there], entry))


def _single(hashes: Tensor) -> Tensor:
    """Return the numbers that stand there once."""
    values, counts = hashes.unique(return_counts=True)
    return values[counts == 1]


def _colours(hashes: Tensor, edge_index: Tensor) -> Tensor:
    """Return the nodes' numbers after looks at the neighbours, sorted: the same for any order of the nodes."""
    source, target = edge_index
    for _ in range(ROUNDS):
        hashes = _mix_bits(3 * hashes + torch.zeros_like(hashes).index_add(0, target, _mix_bits(hashes[source])))
    return hashes.sort().values


def _mix_bits(z: Tensor) -> Tensor:
    """Return whole numbers whose bits depend on all bits of ``z``, one for one (splitmix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * (factor - (factor >> 63 << 64))
    return z
