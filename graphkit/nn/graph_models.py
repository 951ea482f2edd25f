"""Models of whole graphs: convolutions, a virtual node where wanted, a readout, a head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear, global_max_pool, global_mean_pool

from graphkit._checks import at_least, batch_vector, within
from graphkit.nn.fused import refuse_script
from graphkit.nn.graph_block import GraphBlock
from graphkit.nn.inputs import check_features, first_linear
from graphkit.nn.molecules import AtomEncoder, BondEncoder
from graphkit.nn.readouts import Readout, readout
from graphkit.operators.dropout import dropout
from graphkit.operators.messages import EdgeTable
from graphkit.operators.walks import heat_kept, return_probabilities

FORMER = {"convs": "conv", "norms": "norm", "skips": "skip"}
"""Lists of layers in files of 0.1, and what an entry is called in a block."""


class GraphBatch(NamedTuple):
    """Several graphs, side by side."""

    x: Tensor  # features of their nodes, [nodes, features]: numbers, or a molecule's integer categories
    edge_index: Tensor  # [2, edges]
    edge_attr: Tensor | None  # a molecule's categories, [edges, 3], features [edges, features], or nothing
    batch: Tensor  # graph of each node, [nodes], ascending
    graphs: int  # how many


class VirtualNode(nn.Module):
    """A virtual node: a state of each graph that every node sees, and that sees the sum of all nodes.

    Args:
        channels: width of nodes and state.
        updates: how often it is renewed; each renewal has a perceptron of its own.
        dropout: probability of zeroing a value of the renewed state.

    Source: Gilmer et al. (2017), arXiv:1704.01212, section 5.2; renewed as in the baseline of Hu et al. (2020),
    arXiv:2005.00687.

    Example:
        >>> virtual = VirtualNode(4, updates=1)
        >>> virtual(0, virtual.start.expand(2, -1), torch.ones(3, 4), torch.tensor([0, 0, 1])).shape
        torch.Size([2, 4])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, channels: int, *, updates: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, channels))
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.perceptrons = nn.ModuleList(
            nn.Sequential(*_linear(channels, 2 * channels), *_linear(2 * channels, channels)) for _ in range(updates)
        )

    def forward(self, number: int, state: Tensor, h: Tensor, batch: Tensor) -> Tensor:
        """Return the state ``[graphs, channels]`` after renewal ``number``, from nodes ``h [nodes, channels]``."""
        check_features(h, width=self.start.size(1), weight=self.start, argument="h")
        batch_vector("batch", batch, h.size(0))
        renewed = self.perceptrons[number](readout("sum", h, batch, state.size(0)) + state)
        return dropout(renewed, self.dropout, self.training)


class GraphClassifier(nn.Module):
    r"""Blocks over the nodes of many graphs, and one row of results for each graph.

    .. math::
        h_0 = \mathrm{encode}(x) + W p, \qquad h_{l+1} = \mathrm{block}_l(h_l, e_l), \qquad
        \hat y_g = \mathrm{head}\bigl(\mathrm{readout}_{i \in g}(h_{L,i})\bigr)

    :math:`p` are the probabilities that random walks return and the heat that nodes keep, where they are asked for. The
    last block has no activation unless ``jumping``, with which every layer is read out and has a head of its own, and
    the heads add up.

    Args:
        in_channels: features of a node; ``None`` for OGB's atoms and bonds, which are embedded.
        hidden_channels, out_channels: width of the layers and of the result.
        conv: makes a layer ``(h, edge_index)``, or ``(h, edge_index, edge_attr)`` where edges have features.
        edge_channels: features of an edge, which each layer sees through a linear map of its own; those of nodes are
            then mapped to ``hidden_channels`` before the first. 0 where there are none, or ``in_channels`` is ``None``.
        layers: how many.
        dropout: probability of zeroing a value after each layer; with ``jumping`` after each head instead.
        readout: one of :data:`graphkit.nn.readouts.READOUTS`.
        virtual_node: whether every graph has a state that all its nodes see.
        residual: add the layer's input to its result.
        jumping: read out every layer, as Xu et al. do.
        feed_forward: whether a perceptron on each node follows each convolution.
        walks: steps of the random walks whose return tells nodes apart; 0 for none.
        heat: times at which the heat that a node has kept tells it apart; 0 for none.
        head_layers: linear maps of a head.

    Source: Xu et al. (2019), arXiv:1810.00826, section 4.2; atoms, bonds and the virtual node as in the baselines of
    Hu et al. (2020), arXiv:2005.00687; feed-forward parts and walks as in Luo, Shi & Wu (2025), arXiv:2502.09263, who
    put walks beside the encoded features and not on top of them, and normalise them over the batch: of molecules, few
    of which have a ring of three, one that has is then so far out that its figure is lost.

    Example:
        >>> from graphkit.nn import GINEConv
        >>> from graphkit.nn.graph_models import GraphBatch
        >>> model = GraphClassifier(None, 8, 1, conv=lambda i, o: GINEConv(nn.Linear(i, o)), layers=2)
        >>> atoms, bonds = torch.zeros(4, 9, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)
        >>> two = GraphBatch(atoms, torch.tensor([[0, 2], [1, 3]]), bonds, torch.tensor([0, 0, 1, 1]), 2)
        >>> model(two).shape
        torch.Size([2, 1])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        in_channels: int | None,
        hidden_channels: int,
        out_channels: int,
        *,
        conv: Callable[[int, int], nn.Module],
        edge_channels: int = 0,
        layers: int = 5,
        dropout: float = 0.5,
        readout: str = "mean",
        virtual_node: bool = False,
        residual: bool = False,
        jumping: bool = False,
        feed_forward: bool = False,
        walks: int = 0,
        heat: int = 0,
        head_layers: int = 1,
    ) -> None:
        super().__init__()
        width, count = at_least("hidden_channels", hidden_channels, 1), at_least("layers", layers, 1)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.jumping, self.walks, self.heat = jumping, at_least("walks", walks, 0), at_least("heat", heat, 0)
        if in_channels is None:
            self.encode: nn.Module = AtomEncoder(width)
        else:
            mapped = virtual_node or at_least("edge_channels", edge_channels, 0) > 0 or walks + heat > 0
            self.encode = nn.Linear(in_channels, width) if mapped else nn.Identity()
        bonded = count if in_channels is None or edge_channels else 0
        self.bonds = nn.ModuleList(
            BondEncoder(width) if in_channels is None else nn.Linear(edge_channels, width) for _ in range(bonded)
        )
        start = width if in_channels is None or not isinstance(self.encode, nn.Identity) else in_channels
        self.blocks = nn.ModuleList()
        for number in range(count):
            wide = start if number == 0 else width
            self.blocks.append(
                GraphBlock(
                    conv(wide, width),
                    wide,
                    width,
                    activation="relu" if number < count - 1 or jumping else None,
                    dropout=0.0 if jumping else dropout,
                    residual=residual,
                    feed_forward=feed_forward,
                )
            )
        self.virtual = VirtualNode(width, updates=count - 1, dropout=dropout) if virtual_node else None
        self.returns = nn.Linear(walks + heat, width) if walks + heat else None
        self.readout = Readout(readout, width)
        read = self.readout.out_channels
        self.heads = nn.ModuleList(
            _head(read, width, out_channels, at_least("head_layers", head_layers, 1))
            for _ in range(layers if jumping else 1)
        )

    @property
    def first(self) -> nn.Module:
        """The first convolution."""
        return cast("GraphBlock", self.blocks[0]).conv

    def forward(self, graphs: GraphBatch) -> Tensor:
        """Return one row of ``out_channels`` per graph."""
        if not isinstance(self.encode, AtomEncoder):
            weight = next(self.heads[0].parameters())
            check_features(graphs.x, self.encode, weight=weight)
        batch_vector("graphs.batch", graphs.batch, graphs.x.size(0))
        h = self.encode(graphs.x)
        if self.returns is not None:
            edges = graphs.edge_index, graphs.batch, graphs.graphs
            told = [return_probabilities(*edges, steps=self.walks)] if self.walks else []
            told += [heat_kept(*edges, times=self.heat)] if self.heat else []
            h = h + self.returns(torch.cat(told, 1).to(h.dtype))
        state = None if self.virtual is None else self.virtual.start.expand(graphs.graphs, -1)
        result: Any = 0
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            if state is not None:
                h = h + state[graphs.batch]
            before = h
            h = block(h, graphs.edge_index, *self._edge_features(number, graphs.edge_attr))
            if self.virtual is not None and state is not None and number < last:
                state = self.virtual(number, state, before, graphs.batch)
            if self.jumping or number == last:
                read = self.heads[number if self.jumping else 0](self.readout(h, graphs.batch, graphs.graphs))
                result = result + (dropout(read, self.dropout, self.training) if self.jumping else read)
        return result

    def _edge_features(self, number: int, edge_attr: Tensor | None) -> tuple[Tensor | EdgeTable, ...]:
        """Return the features of edges as a layer sees them, or nothing."""
        if not len(self.bonds):
            return ()
        if edge_attr is None:
            raise ValueError("`graphs.edge_attr` must be given: the layers look at features of edges.")
        bonds = self.bonds[number]
        if isinstance(bonds, BondEncoder):
            return (bonds.table(edge_attr),)
        check_features(edge_attr, bonds, argument="graphs.edge_attr")
        return (bonds(edge_attr),)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Take weights that were kept when there were lists of convolutions, norms and skips in place of blocks."""
        for old in [name for name in state_dict if name.startswith(prefix)]:
            kind, _, rest = old.removeprefix(prefix).partition(".")
            if kind in FORMER:
                number, _, own = rest.partition(".")
                state_dict[f"{prefix}blocks.{number}.{FORMER[kind]}.{own}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)


class StructureFree(nn.Module):
    r"""A baseline that looks at no edge: what the features of the nodes alone are worth.

    Chemical sets: :math:`\hat y_g = \mathrm{MLP}(\sum_{i \in g} x_i)`, of a molecule a count of its atoms. Others:
    :math:`\hat y_g = \mathrm{MLP}'(\sum_{i \in g} \mathrm{MLP}(x_i))`.

    Args:
        in_channels: features of a node; ``None`` for OGB's atoms.
        hidden_channels, out_channels: width in between and of the result.
        deep_sets: whether each node goes through a perceptron before the sum.
        dropout: probability of zeroing a hidden value of the head.

    Source: the baselines of Errica et al. (2020), arXiv:1912.09893, for chemical and for social sets.

    Example:
        >>> from graphkit.nn.graph_models import GraphBatch
        >>> two = GraphBatch(torch.ones(3, 4), torch.zeros(2, 0, dtype=torch.long), None, torch.tensor([0, 0, 1]), 2)
        >>> StructureFree(4, 8, 2)(two).shape
        torch.Size([2, 2])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        in_channels: int | None,
        hidden_channels: int,
        out_channels: int,
        *,
        deep_sets: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = at_least("hidden_channels", hidden_channels, 1)
        channels = width if in_channels is None else in_channels
        self.encode = AtomEncoder(width) if in_channels is None else nn.Identity()
        self.each = nn.Sequential(nn.Linear(channels, width), nn.ReLU()) if deep_sets else nn.Identity()
        self.first = nn.Linear(width if deep_sets else channels, width)
        self.last = nn.Linear(width, out_channels)
        self.dropout = within("dropout", dropout, 0.0, 1.0)

    def forward(self, graphs: GraphBatch) -> Tensor:
        """Return one row of ``out_channels`` per graph."""
        if not isinstance(self.encode, AtomEncoder):
            check_features(graphs.x, first_linear(self.each) or self.first)
        batch_vector("graphs.batch", graphs.batch, graphs.x.size(0))
        h = readout("sum", self.each(self.encode(graphs.x)), graphs.batch, graphs.graphs)
        return self.last(dropout(torch.relu(self.first(h)), self.dropout, self.training))


def _head(in_channels: int, width: int, out_channels: int, layers: int) -> nn.Module:
    """Return a perceptron of so many linear maps; of one it is that map."""
    if layers == 1:
        return nn.Linear(in_channels, out_channels)
    inner = [part for _ in range(layers - 2) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(in_channels, width), nn.ReLU(), *inner, nn.Linear(width, out_channels))


def _linear(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels), nn.ReLU()


class GraphEncoder(nn.Module):
    r"""An encoder of nodes, their mean and their largest feature in each graph, and a perceptron on both.

    .. math::
        z_g = W_2\,\sigma\Bigl(W_1 \bigl[\tfrac{1}{|g|} \sum_{i \in g} h_i \,\|\, \max_{i \in g} h_i\bigr]\Bigr)

    An empty graph is read as zeros.

    Args:
        nodes: any module ``(x, edge_index, batch=batch) -> [nodes, hidden_channels]``, or one without ``batch``.
        hidden_channels: width of what ``nodes`` gives.
        out_channels: width of the result.
        dropout: probability of zeroing a value inside the perceptron.

    Source: Xu et al. (2019), arXiv:1810.00826, section 4.2, for reading a graph off its nodes; mean and maximum instead
    of the sum, so that an embedding does not grow with the graph.

    Example:
        >>> from graphkit.nn import Encoder, GINConv
        >>> mlp = lambda i, o: GINConv(nn.Linear(i, o))
        >>> encoder = GraphEncoder(Encoder(2, 8, 8, conv=mlp), 8, 3)
        >>> encoder(torch.ones(4, 2), torch.tensor([[0, 2], [1, 3]]), torch.tensor([0, 0, 1, 1]), graphs=2).shape
        torch.Size([2, 3])
    """

    def __init__(self, nodes: nn.Module, hidden_channels: int, out_channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.nodes = nodes
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        at_least("hidden_channels", hidden_channels, 1)
        self.head = nn.Sequential(
            Linear(2 * hidden_channels, hidden_channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            Linear(hidden_channels, out_channels),
        )

    @property
    def first(self) -> nn.Module:
        """The first convolution, or all of the encoder where it does not tell."""
        found = getattr(self.nodes, "first", self.nodes)
        return found if isinstance(found, nn.Module) else self.nodes

    def forward(self, x: Any, edge_index: Any, batch: Tensor, *, graphs: int) -> Tensor:
        """Return one row of ``out_channels`` for each of so many ``graphs``.

        ``x [nodes, features]`` and ``edge_index``, in any form the encoder takes, are of all graphs; ``batch [nodes]``
        says the graph of each node.
        """
        h = self.nodes(x, edge_index, batch=batch) if hasattr(self.nodes, "takes") else self.nodes(x, edge_index)
        pooled = global_mean_pool(h, batch, graphs), global_max_pool(h, batch, graphs)
        return self.head(torch.cat(pooled, dim=1))
