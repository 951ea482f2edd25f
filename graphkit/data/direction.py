"""Direction: a graph whose edges point one way, with both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_geometric.data import Data


def undirected(data: Data) -> Data:
    """Return a shallow copy of a graph with every edge in both directions, once; ``undirected`` says so in it.

    A record of training names it, since figures on directed and on undirected edges are not comparable. Most
    published models of ogbn-arxiv see it so.

    Args:
        data: a graph in memory, whose edges have no weights or attributes.

    Raises:
        ValueError: for another kind of data, edges with values, a graph that is undirected already, or one on the disk.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> undirected(Data(edge_index=torch.tensor([[1, 2], [0, 0]]), num_nodes=3)).edge_index.tolist()
        [[0, 0, 1, 2], [1, 2, 0, 0]]
    """
    from torch_geometric.data import Data
    from torch_geometric.utils import to_undirected

    if not isinstance(data, Data) or data.get("edge_index") is None:
        raise ValueError(
            f"`data` must be one graph with `edge_index` to be made undirected, got {type(data).__name__}."
        )
    if (kept := data.get("store")) is not None:
        raise ValueError(
            f"`undirected`: the edges of {kept.name!r} stay on the disk as they are; `graphkit data import` takes "
            "`--undirected`."
        )
    held = [name for name, _ in data if name != "edge_index" and data.is_edge_attr(name)]
    if held:
        raise ValueError(f"`undirected`: which value of `{held[0]}` a reverse edge has is not said; leave it out.")
    if data.is_undirected():
        raise ValueError("`undirected`: every edge is there in both directions already; leave it out.")
    made: Any = data.__copy__()
    made.edge_index = to_undirected(data.edge_index, num_nodes=data.num_nodes)
    made.undirected = True
    return made
