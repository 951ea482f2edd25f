"""A gated recurrent unit whose maps are graph convolutions."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, edge_index_in_range
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import is_tracing
from graphkit.operators.graph_cache import cached


def check_series(x: Any, moments: int = 1) -> None:
    """Refuse features that are none over so many moments at least.

    Raises:
        ValueError: naming the shape.
    """
    if not isinstance(x, Tensor) or x.dim() < 3 or x.size(-3) < moments:
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        least = f" with {moments} moments at least" if moments > 1 else ""
        raise ValueError(f"`x` must have shape [..., time, nodes, features]{least}, got {shape}.")


Conv = Callable[[int, int], nn.Module]
"""Makes a layer from its numbers of input and output channels."""


def convolve(conv: nn.Module, x: Tensor, *graph: Any) -> Tensor:
    """Return what a convolution makes of features with any axes before those of nodes and features.

    Our layers take such axes, but for attention. All else works on copies of the graph side by side, for which no
    layer needs to know more than one graph.

    Args:
        conv: the layer.
        x: ``[..., nodes, features]``.
        graph: as the layer takes it; where copies are needed ``edge_index [2, edges]`` and, perhaps, values of the
            edges ``[edges, ...]``.

    Raises:
        TypeError: for edges in another form where copies of them are needed.
        ValueError: for edges between nodes that are not there.

    Example:
        >>> from graphkit.nn import GATConv
        >>> convolve(GATConv(2, 4), torch.ones(6, 5, 3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([6, 5, 3, 4])
    """
    ours = type(conv).__module__.startswith("graphkit.") and getattr(conv, "node_dim", None) == -2
    if x.dim() == 2 or ours:
        found: Tensor = conv(x, *graph)
        return found
    edge_index, *values = graph or (None,)
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        raise TypeError(f"`edge_index` must be a tensor [2, edges] for {type(conv).__name__} over several moments.")
    copies, nodes = x.shape[:-2].numel(), x.size(-2)

    def side_by_side() -> Tensor:
        if not is_tracing():
            edge_index_in_range(edge_index, nodes)
        first = torch.arange(copies, device=edge_index.device).repeat_interleave(edge_index.size(1)) * nodes
        return edge_index.repeat(1, copies) + first

    form = ("side by side", copies, nodes)
    edges = side_by_side() if is_tracing() else cached(side_by_side, form, edge_index, exposed=True)
    beside = [None if value is None else value.repeat(copies, *[1] * (value.dim() - 1)) for value in values]
    flat: Tensor = conv(x.reshape(-1, x.size(-1)), edges, *beside)
    return flat.unflatten(0, x.shape[:-1])


class GraphGRU(AbstractModel):
    r"""A gated recurrent unit over time whose maps are convolutions over the graph.

    .. math::
        z, r = \sigma(C_x^{zr}(x_t) + C_h^{zr}(h_{t-1})), \quad
        h_t = z \odot h_{t-1} + (1 - z) \odot \tanh(C_x^h(x_t) + C_h^h(r \odot h_{t-1})).

    The convolution of the inputs is one for all moments and all gates together, before the loop. The state is a value
    that is handed on: nothing of the module is written to.

    Args:
        in_channels: features of a node at a moment.
        hidden_channels: of the state.
        conv: makes a convolution from two widths, such as ``lambda i, o: ChebConv(i, o, K=3)``; any of ours, and
            of PyG's any that takes ``x`` and ``edge_index [2, edges]``, see :func:`convolve`.

    Shape:
        ``x`` ``[..., time, nodes, in_channels]``; ``h`` ``[..., nodes, hidden_channels]``, zeros when left out; a graph
        as the convolution takes it. Returns the states of all moments, ``[..., time, nodes, hidden_channels]``.

    Source: Seo et al. (2018), arXiv:1612.07659, with ``ChebConv``; Li et al. (2018), arXiv:1707.01926, with
    ``DiffusionConv``; Zhao et al. (2020), arXiv:1811.05320, with ``GCNConv``.

    Example:
        >>> from graphkit.nn import GCNConv
        >>> unit = GraphGRU(1, 4, GCNConv)
        >>> unit(torch.ones(2, 12, 3, 1), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([2, 12, 3, 4])
    """

    def __init__(self, in_channels: int, hidden_channels: int, conv: Conv) -> None:
        super().__init__()
        self.hidden = at_least("hidden_channels", hidden_channels, 1)
        self.input = conv(at_least("in_channels", in_channels, 1), 3 * hidden_channels)
        self.gates = conv(hidden_channels, 2 * hidden_channels)
        self.candidate = conv(hidden_channels, hidden_channels)

    def forward(self, x: Tensor, *graph: Any, h: Tensor | None = None) -> Tensor:
        """Return the states."""
        return torch.stack(list(self.steps(x, *graph, h=h))).movedim(0, -3)

    def last_state(self, x: Tensor, *graph: Any, h: Tensor | None = None) -> Tensor:
        """Return the state after the last moment alone, ``[..., nodes, hidden_channels]``."""
        return collections.deque(self.steps(x, *graph, h=h), maxlen=1).pop()

    def steps(self, x: Tensor, *graph: Any, h: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the state after each moment, ``[..., nodes, hidden_channels]``."""
        check_series(x)
        into = convolve(
            self.input, x.movedim(-3, 0).contiguous(), *graph
        )  # moments first: each one's numbers are together
        # Nothing is known at first, the same of all series: one convolution of it serves them all.
        state = into.new_zeros(*[1] * (into.dim() - 3), into.size(-2), self.hidden) if h is None else h
        parts = into.split([2 * self.hidden, self.hidden], -1)  # of all moments at once: so are their gradients
        for for_gates, for_candidate in zip(*(part.unbind(0) for part in parts), strict=True):
            z, r = (for_gates + convolve(self.gates, state, *graph)).sigmoid().chunk(2, -1)
            kept = r * state if state.shape == r.shape else state  # of nothing nothing is kept
            new = (for_candidate + convolve(self.candidate, kept, *graph)).tanh()
            state = torch.lerp(new, state, z)
            yield state
