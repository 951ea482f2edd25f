"""Several graphs as one that falls into them, so that one encoder sees all and one loss compares nodes of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from graphkit._checks import member, printable_name
from graphkit.data.content import tensors_sha256
from graphkit.data.soundness import validate
from graphkit.data.split import Split

if TYPE_CHECKING:
    from torch_geometric.data import Data

MASKS = ("train_mask", "val_mask", "test_mask")


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
    from torch_geometric.data import Data

    if not isinstance(graphs, Mapping):
        raise TypeError(f"`graphs` must be a mapping from names to graphs, got {type(graphs).__name__}.")
    if not graphs:
        raise ValueError("`graphs` must hold at least one graph.")
    if held_out is not None and member("held_out", held_out, graphs) and len(graphs) < 2:
        raise ValueError(f"`held_out` {held_out!r} leaves no graph to train on.")
    for name in graphs:
        printable_name("graphs", name)
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
    if (alike := _one_split(each)) is not None:
        return Split(train, val, test, alike["split"], {**alike["parameters"], **told}).apply(union)
    union.train_mask, union.val_mask, union.test_mask = train, val, test
    return union


def _one_split(graphs: Sequence[Data]) -> dict[str, Any] | None:
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
