"""Rules that divide the links of a graph: at random, by time, as published, or one graph of several apart."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.splits.links import PARTS, LinkPart, Links, LinkSplit, link_spaces, require_graph
from graphkit.data.splits.non_edges import PairSpace, non_edges
from graphkit.data.splits.split import generator_seed, require_fractions


@dataclass(frozen=True)
class LinkProtocol(ABC):
    """A rule that holds links of a graph out; called with the graph and a generator."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, data: Data, generator: torch.Generator | None = None) -> LinkSplit:
        """Return the split of ``data``."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields as plain values."""
        return dataclasses.asdict(self)


def visible_edges(links: Links, train: Tensor) -> Tensor:
    """Return which edges are copies of the links ``train``, or self-loops, boolean ``[edges]``."""
    learnt = torch.zeros(len(links.keys) + 1, dtype=torch.bool)  # the last one is of self-loops
    learnt[train] = learnt[-1] = True
    return learnt[links.of_edges]


@dataclass(frozen=True)
class AbstractShares(LinkProtocol):
    """Shares of the links to learn from, to choose on and to measure on; the last two each beside as many non-edges.

    Where the shares are less than all, links of no part are as if they were not there.

    Args:
        train: share to learn from.
        val: share to choose on.
        test: share to measure on; all three at most 1.
        negatives: non-edges for each link that is held out.
        validation_seen: whether the links to choose on are among the edges that a model sees when it is measured, 1 or
            0. PyG's ``RandomLinkSplit`` shows them, and figures measured with it are of that.
    """

    train: float = 0.7
    val: float = 0.1
    test: float = 0.2
    negatives: float = 1.0
    validation_seen: int = 0

    def __post_init__(self) -> None:
        require_fractions(self.train, self.val, self.test)
        _checks.positive("negatives", self.negatives)
        _checks.integer_between("validation_seen", self.validation_seen, 0, 1)

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields as plain values; that links to choose on are seen only where they are."""
        found = super().parameters
        return found if self.validation_seen else {k: v for k, v in found.items() if k != "validation_seen"}

    @abstractmethod
    def order(self, data: Data, links: Links, generator: torch.Generator | None) -> Tensor:
        """Return the order in which links are taken, those to learn from first, ``[links]``."""

    def visible(self, data: Data, links: Links, train: Tensor) -> Tensor:
        """Return which edges a model sees that learns from the links ``train``, boolean ``[edges]``: their copies."""
        return visible_edges(links, train)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> LinkSplit:
        """Return the split, all that is drawn by ``generator``.

        Raises:
            ValueError: for a graph with too few links, or too few pairs that are no edges.
        """
        seed, links = generator_seed(generator), Links.of(data)
        total = len(links.keys)
        val, test = (max(1, int(share * total)) for share in (self.val, self.test))
        everything = self.train + self.val + self.test > 1 - 1e-9
        train = total - val - test if everything else max(1, int(self.train * total))
        if train < 1 or train + val + test > total:
            raise ValueError(
                f"`data` has {total:,} links between different nodes, and a split needs some to learn from, to choose "
                "on and to measure on."
            )
        order = self.order(data, links, generator)
        cuts = order[: train + val + test].split([train, val, test])
        wanted = [max(1, round(self.negatives * len(cut))) for cut in cuts[1:]]
        spaces = link_spaces(data, links.keys, links.nodes, links.directed)
        others = non_edges(links.keys, spaces, links.nodes, sum(wanted), generator).split(wanted, 1)
        learn, *held = (links.pairs[:, cut] for cut in cuts)
        chosen, measured = (LinkPart(*each) for each in zip(held, others, strict=True))
        seen, about = self.visible(data, links, cuts[0]), {**self.parameters, "seed": seed}
        later = self.visible(data, links, torch.cat(cuts[:2])) if self.validation_seen else None
        return LinkSplit(links.nodes, seen, learn, chosen, measured, links.directed, self.name, about, later)


@dataclass(frozen=True)
class RandomLinks(AbstractShares):
    """Links in random order.

    Source: the setting of Zhang & Chen (2018), arXiv:1802.09691, with 70, 10 and 20 per cent. PyG's
    ``RandomLinkSplit`` draws the pairs that are no links of each part apart, so that parts share some (PyG's issue
    10706), and by Python's own generator.

    Example:
        >>> ring = torch.arange(8)
        >>> edges = torch.stack([ring, (ring + 1) % 8])
        >>> split = RandomLinks()(Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=8))
        >>> split.train.shape, split.val.positive.shape, int(split.message.sum())
        (torch.Size([2, 6]), torch.Size([2, 1]), 12)
    """

    name: ClassVar[str] = "random"

    def order(self, data: Data, links: Links, generator: torch.Generator | None) -> Tensor:
        """Return a random order."""
        return torch.randperm(len(links.keys), generator=generator)


@dataclass(frozen=True)
class LatestLinks(AbstractShares):
    """Links by the time at which they were first there, the latest to measure on; of equal times in random order.

    Times stand in ``edge_time``, a number for each edge. A model sees no edge that is later than the last link that it
    learns from, were it a copy of one of those.

    Example:
        >>> edges, years = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), torch.tensor([4, 2, 1, 3])
        >>> split = LatestLinks(0.5, 0.25, 0.25)(Data(edge_index=edges, edge_time=years, num_nodes=4))
        >>> split.val.positive.tolist(), split.test.positive.tolist()
        ([[3], [0]], [[0], [1]])
    """

    name: ClassVar[str] = "time"

    def order(self, data: Data, links: Links, generator: torch.Generator | None) -> Tensor:
        """Return the order of time."""
        shuffled = torch.randperm(len(links.keys), generator=generator)
        return shuffled[_first_times(data, links)[shuffled].argsort(stable=True)]

    def visible(self, data: Data, links: Links, train: Tensor) -> Tensor:
        """Return which edges a model sees: copies of links to learn from, none later than all of these."""
        last = _first_times(data, links)[train].max()
        return super().visible(data, links, train) & (_times(data) <= last)


def _first_times(data: Data, links: Links) -> Tensor:
    """Return when each link was first there."""
    times = _times(data)
    if times.shape != links.of_edges.shape:
        raise ValueError("a split by time needs `edge_time`, one number for each edge.")
    apart = links.of_edges >= 0
    first = torch.full((len(links.keys),), torch.inf, dtype=torch.float64)
    return first.scatter_reduce(0, links.of_edges[apart], times[apart], "amin")


def _times(data: Data) -> Tensor:
    """Return the times of edges in float64: ``edge_time``, or the imported column of that name among their features."""
    if data.get("edge_time") is not None:
        return data.edge_time.cpu().double()
    columns = list(data.get("edge_columns") or [])
    if "edge_time" not in columns:
        raise ValueError(
            "a split by time needs `edge_time`, one number for each edge, or an imported column of that name "
            "(`--column edge_time=number`)."
        )
    return data.edge_attr[:, columns.index("edge_time")].cpu().double()


@dataclass(frozen=True)
class PublicLinks(LinkProtocol):
    """The split that a set of links was published with, in fields of the graph as ``load("ogbl-...")`` gives them.

    Its pairs are taken as they are. Where each link has others of its own, they share its first node.
    """

    name: ClassVar[str] = "public"

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> LinkSplit:
        """Return the split; nothing is drawn.

        Raises:
            ValueError: for a graph that has none.
        """
        require_graph(data)
        val, test = (self._part(data, part) for part in PARTS)
        own = _ends(data, "train_edge", "train_source_node", "train_target_node")
        if own is None or val is None or test is None:
            raise ValueError("`data` has no published split of its links; take 'random:0.7,0.1,0.2'.")
        directed = Links.of(data).directed
        seen = torch.ones(data.edge_index.size(1), dtype=torch.bool)
        return LinkSplit(int(data.num_nodes), seen, own, val, test, directed, self.name)

    @staticmethod
    def _part(data: Data, part: str) -> LinkPart | None:
        """Return the pairs of a part, None where they are not there."""
        links = _ends(data, f"{part}_edge", f"{part}_source_node", f"{part}_target_node")
        others, targets = data.get(f"{part}_edge_neg"), data.get(f"{part}_target_node_neg")
        if links is None or (others is None and targets is None):
            return None
        if others is not None:
            return LinkPart(links, others.T.contiguous())
        return LinkPart(links, torch.stack([links[0][:, None].expand_as(targets), targets]))


def _ends(data: Data, both: str, first: str, second: str) -> Tensor | None:
    """Return pairs ``[2, pairs]`` from a field ``[pairs, 2]``, or from two fields."""
    if data.get(both) is not None:
        return data[both].T.contiguous()
    return None if data.get(first) is None else torch.stack([data[first], data[second]])


@dataclass(frozen=True)
class AcrossLinks(LinkProtocol):
    """Few links of one graph of several, and all links of the others.

    The graphs are joined by :func:`graphkit.data.disjoint_union`, as families of data sets are. Of the one graph
    ``shots`` links are learnt from, as many are chosen on, and all others are measured on; beside either stand as many
    other pairs as links are measured. A model sees what it learns from.

    Args:
        graph: name of the one.
        shots: its links to learn from.
        others: whether the other graphs are learnt from, 1 or 0: without them the same links are measured on.

    Example:
        >>> ring = torch.stack([torch.arange(10), torch.arange(10).roll(-1)])
        >>> both = Data(edge_index=torch.cat([ring, ring + 10], 1), num_nodes=20, parts={"a": 10, "b": 10})
        >>> both.part = torch.arange(20) // 10
        >>> split = AcrossLinks("b", shots=3)(both)
        >>> split.train.size(1), split.test.positive.size(1), int(split.test.positive.min()) >= 10
        (13, 4, True)
    """

    name: ClassVar[str] = "across"

    graph: str
    shots: int = 100
    others: int = 1

    def __post_init__(self) -> None:
        _checks.instance("graph", self.graph, str, "the name of a graph")
        _checks.at_least("shots", self.shots, 1)
        _checks.integer_between("others", self.others, 0, 1)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> LinkSplit:
        """Return the split, all that is drawn by ``generator``.

        Raises:
            ValueError: for a graph that is not made of several, or has too few links or pairs that are none.
        """
        seed, links = generator_seed(generator), Links.of(data)
        if data.get("part") is None or data.get("parts") is None:
            raise ValueError("a split across graphs is of several, joined by `disjoint_union`; `data` is one.")
        number = list(data.parts).index(_checks.member("graph", self.graph, data.parts))
        own = data.part.cpu()[links.pairs[0]] == number
        inside = own.nonzero().squeeze(-1)
        total = len(inside)
        if total <= 2 * self.shots:
            raise ValueError(f"{self.graph!r} has {total:,} links, too few to learn from {self.shots:,} and measure.")
        inside = inside[torch.randperm(total, generator=generator)]
        learn, *held = inside.split([self.shots, self.shots, total - 2 * self.shots])
        train = torch.cat([learn, (~own).nonzero().squeeze(-1)]) if self.others else learn
        nodes = (data.part.cpu() == number).nonzero().squeeze(-1)
        size = len(nodes) * (len(nodes) - 1) // (1 if links.directed else 2)
        space = PairSpace(nodes, nodes, total, size, links.directed)
        drawn = non_edges(links.keys, [space], links.nodes, 2 * len(held[1]), generator).chunk(2, 1)
        chosen, measured = (LinkPart(links.pairs[:, cut], others) for cut, others in zip(held, drawn, strict=True))
        seen, about = visible_edges(links, train), {**self.parameters, "seed": seed}
        return LinkSplit(links.nodes, seen, links.pairs[:, train], chosen, measured, links.directed, self.name, about)


LINK_PROTOCOLS: dict[str, type[LinkProtocol]] = {
    each.name: each for each in (RandomLinks, LatestLinks, PublicLinks, AcrossLinks)
}
"""The rules by name."""


def link_split_from_name(text: str) -> LinkProtocol:
    """Return the rule that ``text`` names, such as ``"random:0.7,0.1,0.2"``, ``"time"`` or ``"public"``.

    What follows the colon are the fields of the rule in their order.

    Raises:
        ValueError: as :func:`graphkit.data.split_from_name` does.

    Example:
        >>> link_split_from_name("random:0.8,0.1,0.1")
        RandomLinks(train=0.8, val=0.1, test=0.1, negatives=1.0, validation_seen=0)
    """
    from graphkit.data.splits import protocol_from_name

    _checks.instance("text", text, str, "a text such as 'random:0.7,0.1,0.2'")
    return protocol_from_name(text, LINK_PROTOCOLS)
