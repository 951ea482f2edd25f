"""Every layer of PyTorch and of ours that can stand in an inner loop, in a small model of rows, nodes or graphs.

A layer is given 8 channels and the number it returns is stated; a layer that is not here has a reason in ``LEFT_OUT``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

import graphkit.nn as own
from graphkit.operators import fourier_basis, laplacian

WIDTH = 8


class Layer(NamedTuple):
    """How a layer is made, called on rows ``[items, 8]``, and how many channels come out."""

    make: Callable[[], nn.Module]
    call: Callable[[nn.Module, Tensor], Tensor] = lambda layer, x: layer(x)
    out: int = WIDTH
    twice: bool = True  # whether PyTorch has its second derivative


def _shaped(make: Callable[[], nn.Module], *shape: int, out: int = WIDTH) -> Layer:
    """Return a layer that sees each row in another shape."""
    return Layer(make, lambda layer, x: layer(x.view(-1, *shape)).flatten(1), out)


def _pair(make: Callable[[], nn.Module], out: int = WIDTH) -> Layer:
    return Layer(make, lambda layer, x: layer(x, x.roll(1, -1)).view(len(x), -1), out)


def _sequence(make: Callable[[], nn.Module]) -> Layer:
    return Layer(make, lambda layer, x: layer(x)[0])


def _stacked() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 4), 2, enable_nested_tensor=False)


TORCH: dict[type[nn.Module], Layer] = {
    nn.Linear: Layer(lambda: nn.Linear(8, 8)),
    nn.Bilinear: _pair(lambda: nn.Bilinear(8, 8, 8)),
    nn.LayerNorm: Layer(lambda: nn.LayerNorm(8)),
    nn.RMSNorm: Layer(lambda: nn.RMSNorm(8)),
    nn.GroupNorm: Layer(lambda: nn.GroupNorm(2, 8)),
    nn.BatchNorm1d: Layer(lambda: nn.BatchNorm1d(8)),
    nn.BatchNorm2d: _shaped(lambda: nn.BatchNorm2d(2), 2, 2, 2),
    nn.BatchNorm3d: _shaped(lambda: nn.BatchNorm3d(2), 2, 2, 2, 1),
    nn.InstanceNorm1d: _shaped(lambda: nn.InstanceNorm1d(2, affine=True), 2, 4),
    nn.InstanceNorm2d: _shaped(lambda: nn.InstanceNorm2d(2, affine=True), 2, 2, 2),
    nn.InstanceNorm3d: _shaped(lambda: nn.InstanceNorm3d(2, affine=True), 2, 2, 2, 1),
    nn.LocalResponseNorm: _shaped(lambda: nn.LocalResponseNorm(2), 8, 1),
    nn.CrossMapLRN2d: _shaped(lambda: nn.CrossMapLRN2d(2), 8, 1, 1)._replace(twice=False),
    nn.Conv1d: _shaped(lambda: nn.Conv1d(1, 2, 3, padding=1), 1, 8, out=16),
    nn.Conv2d: _shaped(lambda: nn.Conv2d(1, 2, 3, padding=1), 1, 2, 4, out=16),
    nn.Conv3d: _shaped(lambda: nn.Conv3d(1, 2, 3, padding=1), 1, 2, 2, 2, out=16),
    nn.ConvTranspose1d: _shaped(lambda: nn.ConvTranspose1d(1, 2, 3, padding=1), 1, 8, out=16),
    nn.ConvTranspose2d: _shaped(lambda: nn.ConvTranspose2d(1, 2, 3, padding=1), 1, 2, 4, out=16),
    nn.ConvTranspose3d: _shaped(lambda: nn.ConvTranspose3d(1, 2, 3, padding=1), 1, 2, 2, 2, out=16),
    nn.RNN: _sequence(lambda: nn.RNN(8, 8)),
    nn.GRU: _sequence(lambda: nn.GRU(8, 8)),
    nn.LSTM: _sequence(lambda: nn.LSTM(8, 8)),
    nn.RNNCell: Layer(lambda: nn.RNNCell(8, 8)),
    nn.GRUCell: Layer(lambda: nn.GRUCell(8, 8)),
    nn.LSTMCell: _sequence(lambda: nn.LSTMCell(8, 8)),
    nn.MultiheadAttention: Layer(
        lambda: nn.MultiheadAttention(8, 2), lambda layer, x: layer(x, x, x, need_weights=False)[0]
    ),
    nn.TransformerEncoderLayer: Layer(lambda: nn.TransformerEncoderLayer(8, 2, 4)),
    nn.TransformerDecoderLayer: _pair(lambda: nn.TransformerDecoderLayer(8, 2, 4)),
    nn.TransformerEncoder: Layer(lambda: _stacked()),
    nn.TransformerDecoder: _pair(lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 4), 2)),
    nn.Transformer: _pair(lambda: nn.Transformer(8, 2, 1, 1, 4, custom_encoder=_stacked())),
    nn.PReLU: Layer(lambda: nn.PReLU(8)),
    nn.GLU: Layer(nn.GLU, out=4),
    nn.Threshold: Layer(lambda: nn.Threshold(0.1, 0.2)),
    nn.Softmax: Layer(lambda: nn.Softmax(-1)),
    nn.LogSoftmax: Layer(lambda: nn.LogSoftmax(-1)),
    nn.Softmin: Layer(lambda: nn.Softmin(-1)),
    nn.Softmax2d: _shaped(nn.Softmax2d, 2, 2, 2),
    nn.Hardsigmoid: Layer(nn.Hardsigmoid, twice=False),
    nn.Flatten: _shaped(nn.Flatten, 2, 4),
    nn.Unflatten: _shaped(lambda: nn.Unflatten(1, (2, 4)), 8),
    nn.Fold: _shaped(lambda: nn.Fold((2, 2), (1, 1)), 2, 4),
    nn.Unfold: _shaped(lambda: nn.Unfold((1, 2)), 2, 2, 2),
    nn.ChannelShuffle: _shaped(lambda: nn.ChannelShuffle(2), 4, 2, 1),
    nn.PixelShuffle: _shaped(lambda: nn.PixelShuffle(2), 4, 1, 2),
    nn.PixelUnshuffle: _shaped(lambda: nn.PixelUnshuffle(2), 1, 2, 4),
    nn.Upsample: _shaped(lambda: nn.Upsample(scale_factor=2, mode="linear"), 1, 8, out=16),
    nn.UpsamplingBilinear2d: _shaped(lambda: nn.UpsamplingBilinear2d(scale_factor=2), 1, 2, 4, out=32),
    nn.UpsamplingNearest2d: _shaped(lambda: nn.UpsamplingNearest2d(scale_factor=2), 1, 2, 4, out=32),
    nn.CosineSimilarity: _pair(nn.CosineSimilarity, out=1),
    nn.PairwiseDistance: _pair(nn.PairwiseDistance, out=1),
    **{
        kind: _shaped(lambda kind=kind, args=args: kind(*args), 1, 8, out=out)
        for kind, args, out in (
            (nn.AvgPool1d, (2,), 4),
            (nn.MaxPool1d, (2,), 4),
            (nn.LPPool1d, (2, 2), 4),
            (nn.AdaptiveAvgPool1d, (2,), 2),
            (nn.AdaptiveMaxPool1d, (2,), 2),
            (nn.ZeroPad1d, (1,), 10),
            (nn.ConstantPad1d, (1, 0.5), 10),
            (nn.CircularPad1d, (1,), 10),
            (nn.ReflectionPad1d, (1,), 10),
            (nn.ReplicationPad1d, (1,), 10),
        )
    },
    **{
        kind: _shaped(lambda kind=kind, args=args: kind(*args), 1, 2, 4, out=out)
        for kind, args, out in (
            (nn.AvgPool2d, (2,), 2),
            (nn.MaxPool2d, (2,), 2),
            (nn.LPPool2d, (2, 2), 2),
            (nn.AdaptiveAvgPool2d, (2,), 4),
            (nn.AdaptiveMaxPool2d, (2,), 4),
            (nn.ZeroPad2d, (1,), 24),
            (nn.ConstantPad2d, (1, 0.5), 24),
            (nn.CircularPad2d, (1,), 24),
            (nn.ReflectionPad2d, (1,), 24),
            (nn.ReplicationPad2d, (1,), 24),
        )
    },
    **{
        kind: _shaped(lambda kind=kind, args=args: kind(*args), 1, 2, 2, 2, out=out)
        for kind, args, out in (
            (nn.AvgPool3d, (2,), 1),
            (nn.MaxPool3d, (2,), 1),
            (nn.LPPool3d, (2, 2), 1),
            (nn.AdaptiveAvgPool3d, (1,), 1),
            (nn.AdaptiveMaxPool3d, (1,), 1),
            (nn.ZeroPad3d, (1,), 64),
            (nn.ConstantPad3d, (1, 0.5), 64),
            (nn.CircularPad3d, (1,), 64),
            (nn.ReflectionPad3d, (1,), 64),
            (nn.ReplicationPad3d, (1,), 64),
        )
    },
    **{
        kind: Layer(kind)
        for kind in (
            *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout),
            *(nn.ReLU, nn.ReLU6, nn.RReLU, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
            *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink),
            *(nn.Softplus, nn.Softsign, nn.LogSigmoid),
        )
    },
    nn.Dropout2d: _shaped(nn.Dropout2d, 2, 2, 2),
    nn.Dropout3d: _shaped(nn.Dropout3d, 2, 2, 2, 1),
    nn.Sequential: Layer(lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True))),
}

_LOSS, _HOLDER, _LAZY = "a loss, which asks for targets", "holds modules and is not called", "a plain layer once it ran"
_UNPOOL, _INTEGERS = "asks for places that a pooling returned", "takes integers, which have no slope"
LEFT_OUT: dict[type[nn.Module], str] = {
    **dict.fromkeys(
        (nn.Module, nn.Container, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict), _HOLDER
    ),
    **dict.fromkeys((nn.RNNBase, nn.RNNCellBase), "abstract"),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), _INTEGERS),
    **dict.fromkeys((nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d), _UNPOOL),
    **dict.fromkeys((nn.FractionalMaxPool2d, nn.FractionalMaxPool3d), "draws its windows in every mode"),
    nn.DataParallel: "copies a model to several accelerators",
    nn.SyncBatchNorm: "BatchNorm on several accelerators, and refuses the CPU in training mode",
}
for _name, _kind in inspect.getmembers(nn, inspect.isclass):
    if _name.endswith(("Loss", "Loss2d", "LossWithLoss")) or _kind is nn.AdaptiveLogSoftmaxWithLoss:
        LEFT_OUT[_kind] = _LOSS
    if _name.startswith("Lazy"):
        LEFT_OUT[_kind] = _LAZY


class Net(nn.Module):
    """A linear map, the layer, and a head; on nodes and graphs after a convolution, on graphs before a mean."""

    def __init__(self, layer: Layer, form: str, channels: int = 5, ways: int = 2) -> None:
        super().__init__()
        self.form, self.call = form, layer.call
        self.start = nn.Linear(channels, WIDTH) if form == "rows" else own.SAGEConv(channels, WIDTH)
        self.layer, self.head = layer.make(), nn.Linear(layer.out, ways)

    def forward(self, x: Tensor, edge_index: Tensor | None = None, batch: Tensor | None = None) -> Tensor:
        x = self.start(x) if edge_index is None else self.start(x, edge_index)
        x = torch.tanh(self.call(self.layer, torch.tanh(x)))
        return self.head(x if batch is None else pyg.global_mean_pool(x, batch))


class Graphed(nn.Module):
    """A layer of ours on a graph, and a head."""

    def __init__(self, layer: nn.Module, call: Callable[..., Tensor], channels: int = 5, ways: int = 2) -> None:
        super().__init__()
        self.start, self.layer, self.call, self.head = nn.Linear(channels, WIDTH), layer, call, nn.Linear(WIDTH, ways)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        z = torch.tanh(self.call(self.layer, torch.tanh(self.start(x)), edge_index))
        return self.head(z if batch is None else pyg.global_mean_pool(z, batch))


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 8))


def _on_graph(layer: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
    return layer(x, edge_index)


def _on_basis(layer: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
    return layer(
        x,
        fourier_basis(
            laplacian(edge_index, normalization="sym", num_nodes=len(x), dtype=x.dtype), k=min(20, len(x) // 2)
        ),
    )


def _with_edge_attr(layer: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
    return layer(x, edge_index, x[edge_index[0]] - x[edge_index[1]])


OURS: dict[Any, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
    own.GCNConv: (lambda: own.GCNConv(8, 8), _on_graph),
    own.SAGEConv: (lambda: own.SAGEConv(8, 8, aggr="max"), _on_graph),
    own.GATConv: (lambda: own.GATConv(8, 4, heads=2), _on_graph),
    own.GATv2Conv: (lambda: own.GATv2Conv(8, 4, heads=2), _on_graph),
    own.GINConv: (lambda: own.GINConv(_perceptron(), train_eps=True), _on_graph),
    own.GINEConv: (lambda: own.GINEConv(_perceptron(), train_eps=True), _with_edge_attr),
    own.BondedGCNConv: (lambda: own.BondedGCNConv(8, 8), _with_edge_attr),
    own.ChebConv: (lambda: own.ChebConv(8, 8, K=3), _on_graph),
    own.DiffusionConv: (lambda: own.DiffusionConv(8, 8, K=2), _on_graph),
    own.PolynomialConv: (lambda: own.PolynomialConv(8, 8, order=3, basis="jacobi"), _on_graph),
    own.GraphWaveletConv: (lambda: own.GraphWaveletConv(8, 8), _on_graph),
    own.SeparatedConv: (lambda: own.SeparatedConv(own.SAGEConv(8, 8), 8, 8), _on_graph),
    own.SpectralConv: (lambda: own.SpectralConv(8, 8), _on_basis),
    own.SpecformerFilter: (lambda: own.SpecformerFilter(8, hidden=8), _on_basis),
    own.FilteredPerceptron: (lambda: own.FilteredPerceptron(8, 8, 8, own.SpecformerFilter(8, hidden=8)), _on_basis),
    own.Encoder: (lambda: own.Encoder(8, 8, 8, conv=own.GCNConv, norm="layer", layers=3), _on_graph),
    own.GraphBlock: (lambda: own.GraphBlock(own.GCNConv(8, 8), 8, 8, norm="layer", feed_forward=True), _on_graph),
}
OURS_LEFT_OUT: dict[Any, str] = {
    **dict.fromkeys((own.GraphGRU, own.GatedTemporalConv, own.STConvBlock), "looks at items over time"),
    own.AdaptiveAdjacency: "has an embedding of each node of a graph",
    **dict.fromkeys((own.AtomEncoder, own.BondEncoder), _INTEGERS),
    **dict.fromkeys((own.ChebPool, own.ClusterPool), "has no parameters, and returns fewer nodes than it is given"),
    **dict.fromkeys((own.LocallyConnectedConv, own.SignalNet), "has weights for each node of a hierarchy"),
    **dict.fromkeys((own.GraphClassifier, own.StructureFree), "takes a batch of molecules, which no items show it"),
    own.VirtualNode: "a part of GraphClassifier, called with the state of a layer",
    own.layerwise: "a function",
    **dict.fromkeys((own.accelerate, own.to_pyg), "exchanges layers"),
}
