"""Models of signals on a graph: convolve, pool, again, and read the coarsest level out."""

import inspect
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch_geometric.nn.resolver import activation_resolver

from graphkit._checks import at_least, dense_features, member, within
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features
from graphkit.nn.pool import ChebPool
from graphkit.operators import BalancedTree, Level
from graphkit.operators.dropout import dropout

LevelConv = Callable[[int, int, Level], nn.Module]
"""Makes a layer from its numbers of input and output channels and the graph it is for."""

READOUTS = ("flat", "mean")


class SignalNet(AbstractModel):
    """Convolution, activation and pooling, stage by stage up a balanced tree, and a linear head.

    Args:
        in_channels: features of a node of a signal.
        widths: channels of each stage.
        out_channels: width of the result, the classes.
        tree: of the graph. Only layers tied to a graph and the flat readout depend on it; it is given again at each
            call.
        conv: makes the layer of a stage from two widths and the graph of its level. Its ``forward`` takes, beside the
            signal, ``edge_index`` (and ``edge_weight``), a Fourier ``basis``, the ``level`` itself, or nothing more.
        pool: "max" or "mean".
        pool_levels: how many levels of the tree each stage rises.
        readout: "flat": a weight for each node left, tied to the graph; "mean": over the nodes left, for any graph.
        dropout: probability of zeroing an input value of the head.
        activation: a name PyG resolves, or a module.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2; with ``LocallyConnectedConv``
    Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 2.

    Example:
        >>> import torch
        >>> from graphkit.nn import ChebConv
        >>> from graphkit.operators import coarsen
        >>> ring = torch.stack([torch.arange(8), (torch.arange(8) + 1) % 8])
        >>> tree = coarsen(torch.cat([ring, ring.flip(0)], dim=1), levels=3).tree
        >>> net = SignalNet(1, [4, 4], 2, tree, conv=lambda i, o, level: ChebConv(i, o, K=3), pool_levels=1)
        >>> net(torch.ones(5, 8, 1), tree).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        out_channels: int,
        tree: BalancedTree,
        *,
        conv: LevelConv,
        pool: str = "max",
        pool_levels: int = 1,
        readout: str = "flat",
        dropout: float = 0.0,
        activation: str | nn.Module = "relu",
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("`widths` must give the channels of at least one stage.")
        self.pool = ChebPool(pool, levels=pool_levels)
        self.readout = member("readout", readout, READOUTS)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.activation = activation_resolver(activation)
        tree.factor(0, pool_levels * len(widths))
        pairs = zip([in_channels, *widths], widths, strict=False)
        self.convs = nn.ModuleList(conv(i, o, tree.levels[stage * pool_levels]) for stage, (i, o) in enumerate(pairs))
        self._takes = [frozenset(inspect.signature(layer.forward).parameters) for layer in self.convs]
        self.top = pool_levels * len(widths)
        self.nodes = len(tree.places[self.top])
        self.head = nn.Linear(widths[-1] * (self.nodes if readout == "flat" else 1), out_channels)

    @property
    def first(self) -> nn.Module:
        """The first convolution: what weight decay is often confined to."""
        return self.convs[0]

    def forward(self, x: Tensor, tree: BalancedTree) -> Tensor:
        """Return one row for each signal ``x [..., nodes, in_channels]`` on the tree's graph, ``[..., out_channels]``.

        Raises:
            ValueError: for a tree that the flat readout or a tied layer was not made for.
        """
        check_features(x, weight=self.head.weight)
        dense_features("x", x, self.head.weight)
        x = tree.spread(x)
        for stage, (conv, takes) in enumerate(zip(self.convs, self._takes, strict=True)):
            level = stage * self.pool.levels
            x = self.pool(self.activation(_convolve(conv, takes, x, tree.levels[level])), tree, level)
        x = tree.gather(x, level=self.top)
        if self.readout == "flat" and x.shape[-2] != self.nodes:
            raise ValueError(
                f"`readout='flat'` has weights for the {self.nodes} nodes of level {self.top}, but `tree` has "
                f"{x.shape[-2]} there; make the model with readout='mean' to use it on other graphs."
            )
        x = x.flatten(-2) if self.readout == "flat" else x.mean(-2)
        return self.head(dropout(x, self.dropout, self.training))


def _convolve(conv: nn.Module, takes: frozenset[str], x: Tensor, level: Level) -> Tensor:
    """Return the convolved signal; the layer is handed what its ``forward`` asks for."""
    if "basis" in takes:
        return conv(x, level._basis.to(next(conv.parameters()).dtype))
    if "edge_weight" in takes:
        return conv(x, level.edge_index, edge_weight=level.edge_weight.to(x.dtype))
    if "edge_index" in takes:
        return conv(x, level.edge_index)
    return conv(x, level) if "level" in takes else conv(x)


class SignalPerceptron(nn.Module):
    """A perceptron of one hidden layer on all values of a signal: a baseline that does not see the graph.

    Args:
        in_channels: features of a node of a signal.
        hidden_channels, out_channels: width in between and of the result.
        num_nodes: of the graph.
        dropout: probability of zeroing a hidden value.
        activation: a name PyG resolves, or a module.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        num_nodes: int,
        dropout: float = 0.0,
        activation: str | nn.Module = "relu",
    ) -> None:
        super().__init__()
        self.first = nn.Linear(num_nodes * in_channels, at_least("hidden_channels", hidden_channels, 1))
        self.last = nn.Linear(hidden_channels, out_channels)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.activation = activation_resolver(activation)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Return one row for each signal ``[..., nodes, in_channels]``; the graph is not looked at."""
        return self.last(dropout(self.activation(self.first(x.flatten(-2))), self.dropout, self.training))
