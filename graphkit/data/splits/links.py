"""Splits of links: the edges a model sees, and the pairs that it learns from, is chosen on, and is measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.splits.non_edges import NonEdgeSampler, PairSpace, non_edges, pair_keys, pair_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("val", "test")
"""Parts that are measured."""


class LinkPart(NamedTuple):
    """Pairs to measure on.

    ``positive [2, links]`` are edges. ``negative`` are none: ``[2, pairs]``, among which all links are ranked, or
    ``[2, links, pairs]``, where each link is ranked among pairs of its own.
    """

    positive: Tensor
    negative: Tensor

    def pairs(self) -> Tensor:
        """Return all of them, ``[2, pairs]``, the edges first."""
        return torch.cat([self.positive, self.negative.flatten(1)], 1)


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """Which edges of a graph a model sees, and the pairs that it learns from, is chosen on, and is measured on.

    Of a graph whose every edge has its reverse, a link is an unordered pair, written once, the smaller number first,
    and is held out in both directions; of any other one it is an edge. Self-loops are no links, and are always seen.
    An edge that stands several times is one link, held out with all its copies.

    Args:
        num_nodes: of the graph.
        message: which of the edges of ``edge_index`` a model sees, boolean ``[edges]``.
        train: links to learn from, ``[2, links]``; all of them are seen.
        val: pairs to choose on.
        test: pairs to measure on.
        directed: whether a pair is ordered.
        protocol: name of the rule that drew it.
        parameters: what the rule was asked for, as plain values.
        later: which of the edges a model sees when it is measured, ``[edges]``, where these are more.

    Raises:
        ValueError: for pairs of another shape, or of nodes that are not there.
    """

    num_nodes: int
    message: Tensor
    train: Tensor
    val: LinkPart
    test: LinkPart
    directed: bool
    protocol: str = "own"
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    later: Tensor | None = None

    def __post_init__(self) -> None:
        _checks.integer_between("num_nodes", self.num_nodes, 0, _checks.MAX_NODES)
        _checks.tensor("message", self.message)
        _checks.tensor("train", self.train)
        for name in PARTS:
            for pairs in _checks.instance(name, getattr(self, name), LinkPart, "a LinkPart of pairs"):
                _checks.tensor(name, pairs)
        _checks.flag("directed", self.directed)
        _checks.instance("protocol", self.protocol, str, "a name")
        _checks.instance("parameters", self.parameters, dict, "a dict of plain values")
        for name in ("message", "later"):
            mask = getattr(self, name)
            if name == "later" and mask is not None:
                _checks.tensor(name, mask)
            if mask is not None and (mask.dtype != torch.bool or mask.shape != self.message.shape[:1]):
                raise ValueError(f"`{name}` must be boolean of shape [edges], got {mask.dtype} {list(mask.shape)}.")
        for name, pairs in self._named_pairs():
            wanted = "[2, links]" if pairs.dim() != 3 else "[2, links, pairs]"
            if pairs.dim() not in (2, 3) or pairs.size(0) != 2 or pairs.is_floating_point():
                raise ValueError(f"`{name}` must hold integers of shape {wanted}, got {list(pairs.shape)}.")
            _checks.node_ids(name, pairs.flatten(), self.num_nodes)

    @property
    def fingerprint(self) -> str:
        """The sha256 over everything that is held apart."""
        from graphkit.data.fingerprint import tensors_sha256

        later = {} if self.later is None else {"later": self.later}
        return tensors_sha256({"message": self.message, **later, **dict(self._named_pairs())})

    def record(self) -> dict[str, Any]:
        """Return the split as it stands in a result record: name, parameters, sizes, fingerprint."""
        sizes = {"train": self.train.size(1), "val": self.val.positive.size(1), "test": self.test.positive.size(1)}
        return {"split": self.protocol, "parameters": self.parameters, **sizes, "fingerprint": self.fingerprint}

    def apply(self, data: Data) -> Data:
        """Return a shallow copy of ``data`` with this split as ``link_split``, and the record of it as ``protocol``."""
        self.message_data(data)
        made: Data = data.__copy__()
        made.link_split, made.protocol = self, self.record()
        return made

    def message_data(self, data: Data, *, measuring: bool = False) -> Data:
        """Return a shallow copy of the graph with the edges alone that a model sees, and their fields.

        Args:
            data: the graph.
            measuring: whether those are asked for that it sees when it is measured.

        Raises:
            ValueError: for another graph.
        """
        self._require_nodes(data)
        if data.edge_index.size(1) != len(self.message):
            raise ValueError(
                f"the split is of {len(self.message):,} edges, and `data` has {data.edge_index.size(1):,}."
            )
        made = with_plain_edges(data).__copy__()
        made.num_nodes = self.num_nodes
        seen = self.later if measuring and self.later is not None else self.message
        if bool(seen.all()):
            return made
        mask = seen.to(data.edge_index.device)
        of_edges = [name for name in made.keys() if name != "edge_index" and made.is_edge_attr(name)]  # noqa: SIM118
        for name in of_edges:
            made[name] = made[name][mask]
        made.edge_index = made.edge_index[:, mask]
        return made

    def as_pyg(self, data: Data, generator: torch.Generator | None = None) -> tuple[Data, Data, Data]:
        """Return the graph thrice, as PyG's ``RandomLinkSplit`` does: to train on, to choose on, to measure on.

        ``edge_index`` are the edges a model sees, ``edge_label_index [2, pairs]`` the pairs and
        ``edge_label [pairs]`` 1 for links and 0 for others. Pairs to train on that are no links are drawn, one a link.

        Args:
            data: the graph.
            generator: draws them.
        """
        seen = self.message_data(data)
        drawn = self.draw_negatives(seen, self.train.size(1), generator=generator)
        found = []
        for part in (LinkPart(self.train, drawn), self.val, self.test):
            made = self.message_data(data, measuring=True) if part is self.test else seen.__copy__()
            made.edge_label_index = part.pairs().to(seen.edge_index.device)
            made.edge_label = (torch.arange(made.edge_label_index.size(1)) < part.positive.size(1)).float()
            found.append(made)
        return found[0], found[1], found[2]

    def draw_negatives(self, data: Data, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return different pairs that are none of the edges in ``data``, ``[2, count]``, in random order.

        Raises:
            ValueError: where there are fewer.
        """
        self._require_nodes(data)
        keys = pair_keys(data.edge_index.cpu(), self.num_nodes, directed=self.directed).unique()
        if not len(keys):
            raise ValueError("`data` shows no edge: there is nothing to draw others beside.")
        return non_edges(keys, link_spaces(data, keys, self.num_nodes, self.directed), self.num_nodes, count, generator)

    def sampler(self, data: Data, *, anchored: bool = False) -> NonEdgeSampler:
        """Return what draws pairs that are none of the edges in ``data`` again and again, for training.

        Args:
            data: a graph of the split.
            anchored: whether a pair that is drawn beside a link has its first node.

        Raises:
            ValueError: where there are none.
        """
        self._require_nodes(data)
        keys = pair_keys(data.edge_index.cpu(), self.num_nodes, directed=self.directed).unique()
        spaces = link_spaces(data, keys, self.num_nodes, self.directed)
        return NonEdgeSampler(data.edge_index, spaces, self.num_nodes, kinds=node_kinds(data), anchored=anchored)

    def require_laws(self, data: Data) -> None:
        """Refuse a split that tells a model what it is asked for.

        Links of the three parts are edges and different; none to choose or measure on is seen, in either direction.
        Pairs that are no links are no edges and no loops; those of one ranking are different, and where all links are
        ranked among the same ones, those of the two parts are different too.

        Raises:
            ValueError: naming the law.
        """
        every = self._keys(data.edge_index.cpu())
        seen = self._keys(self.message_data(data).edge_index.cpu())
        links = {name: self._keys(pairs) for name, pairs in self._links()}
        for name, keys in links.items():
            if len(keys.unique()) < len(keys):
                raise ValueError(f"`{name}` holds a link twice.")
            if name != "train" and bool(torch.isin(keys, seen).any()):
                raise ValueError(f"a link of `{name}` is among the edges that a model sees.")
        if bool(torch.isin(links["test"], self._keys(self.message_data(data, measuring=True).edge_index.cpu())).any()):
            raise ValueError("a link of `test` is among the edges that a model sees when it is measured.")
        if len(torch.cat(list(links.values())).unique()) < sum(map(len, links.values())):
            raise ValueError("two parts hold the same link.")
        if bool((~torch.isin(links["train"], seen)).any()):
            raise ValueError("a link of `train` is not among the edges that a model sees.")
        others = {name: getattr(self, name).negative for name in PARTS}
        for name, pairs in others.items():
            keys = self._keys(pairs.flatten(1)).view(pairs.shape[1:])
            if bool((pairs[0] == pairs[1]).any()):
                raise ValueError(f"`{name}.negative` holds a self-loop.")
            if bool(torch.isin(keys, torch.cat([every, *links.values()])).any()):
                raise ValueError(f"`{name}.negative` holds an edge.")
            ordered = keys.sort(-1).values
            if bool((ordered[..., 1:] == ordered[..., :-1]).any()):
                raise ValueError(f"`{name}.negative` holds a pair twice.")
        if all(pairs.dim() == 2 for pairs in others.values()):
            first, second = (self._keys(pairs) for pairs in others.values())
            if bool(torch.isin(first, second).any()):
                raise ValueError("`val.negative` and `test.negative` share a pair.")

    def _require_nodes(self, data: Data) -> None:
        require_graph(data)
        if data.num_nodes != self.num_nodes:
            raise ValueError(f"the split is of {self.num_nodes:,} nodes, and `data` has {data.num_nodes:,}.")

    def _keys(self, pairs: Tensor) -> Tensor:
        return pair_keys(pairs, self.num_nodes, directed=self.directed)

    def _links(self) -> Iterator[tuple[str, Tensor]]:
        yield "train", self.train
        for name in PARTS:
            yield name, getattr(self, name).positive

    def _named_pairs(self) -> Iterator[tuple[str, Tensor]]:
        yield "train", self.train
        for name in PARTS:
            yield f"{name}.positive", getattr(self, name).positive
            yield f"{name}.negative", getattr(self, name).negative


class Links(NamedTuple):
    """The links of a graph, by ascending keys."""

    nodes: int
    directed: bool  # whether a pair is ordered
    keys: Tensor  # [links]
    of_edges: Tensor  # the link of each edge, [edges], -1 of a self-loop

    @property
    def pairs(self) -> Tensor:
        """Their nodes, ``[2, links]``."""
        nodes = max(self.nodes, 1)
        return torch.stack([self.keys // nodes, self.keys % nodes])

    @classmethod
    def of(cls, data: Data) -> Links:
        """Return the links of a graph."""
        require_graph(data)
        edge_index, nodes = with_plain_edges(data).edge_index.cpu(), int(data.num_nodes)
        ahead, back = (pair_keys(each, nodes, directed=True).unique() for each in (edge_index, edge_index.flip(0)))
        directed = not torch.equal(ahead, back)
        apart = edge_index[0] != edge_index[1]
        keys, slots = pair_keys(edge_index[:, apart], nodes, directed=directed).unique(return_inverse=True)
        of_edges = torch.full((edge_index.size(1),), -1)
        of_edges[apart] = slots
        return cls(nodes, directed, keys, of_edges)


def require_graph(data: Data) -> None:
    """Refuse what is no graph with edges."""
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    if data.get("edge_index") is None:
        raise ValueError("`data` has no `edge_index`: a split of links is of its edges.")
    _checks.edge_index_in_range(data.edge_index, data.num_nodes)


def with_plain_edges(data: Data) -> Data:
    """Return a graph whose edges are a plain tensor, where they are PyG's ``EdgeIndex`` in a shallow copy."""
    if not isinstance(data.edge_index, EdgeIndex):
        return data
    made: Data = data.__copy__()
    made.edge_index = data.edge_index.as_tensor()
    return made


def node_kinds(data: Data) -> Tensor | None:
    """Return the types of nodes, between some of which alone there are links, ``[nodes]``; None where they have none.

    That are ``node_type``, as PyG's ``to_homogeneous`` leaves it; or else, of a graph none of whose nodes edges both
    leave and enter, as users and what they bought, the side on which a node stands. Nodes of different graphs of a
    :func:`graphkit.data.disjoint_union` are of different types.

    Example:
        >>> node_kinds(Data(edge_index=torch.tensor([[0, 0, 1], [2, 3, 2]]), num_nodes=4)).tolist()
        [0, 0, 1, 1]
    """
    kinds = data.node_type.cpu() if data.get("node_type") is not None else _sides(data)
    part = data.get("part")
    if data.get("parts") is None or not isinstance(part, Tensor) or part.shape != (int(data.num_nodes),):
        return kinds
    part = part.cpu()
    return part if kinds is None else part * (int(kinds.max()) + 1) + kinds


def _sides(data: Data) -> Tensor | None:
    """Return 0 for nodes that edges leave, 1 for those that they enter, 2 for others; None where some are both."""
    source, target = with_plain_edges(data).edge_index.cpu()
    sides = torch.full((int(data.num_nodes),), 2)
    sides[source] = 0
    leaves = sides == 0
    sides[target] = 1
    return None if not len(source) or bool((leaves & (sides == 1)).any()) else sides


def link_spaces(data: Data, keys: Tensor, nodes: int, directed: bool) -> Sequence[PairSpace]:
    """Return where non-edges are drawn: between nodes of the types that edges join, where nodes have types."""
    return pair_spaces(node_kinds(data), keys, nodes, directed=directed)
