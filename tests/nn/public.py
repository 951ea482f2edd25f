"""One or more instances of every public module of ``graphkit.nn``, and how each is called with features."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity, Linear, Module

import graphkit.nn as gk
from graphkit.nn.graph_models import GraphBatch
from graphkit.operators import coarsen, fourier_basis, laplacian
from tests.graphs import BY_NAME

GRAPH = BY_NAME["grid"]
EDGES, NODES, WIDTH = GRAPH.edge_index, GRAPH.num_nodes, 4
ATTR = GRAPH.edge_features(2)
CLUSTER = torch.arange(9) // 2
BATCH = torch.tensor([0] * 5 + [1] * 4)
BASIS = fourier_basis(laplacian(EDGES, normalization="sym", dtype=torch.float64))
LAPLACIAN = laplacian(EDGES, normalization="sym", dtype=torch.float64)
HIERARCHY = coarsen(EDGES, levels=2)
TREE = HIERARCHY.tree
PLACES = len(TREE.orders[0])

PUBLIC = {name: thing for name in gk.__all__ if inspect.isclass(thing := getattr(gk, name))}


@dataclass(frozen=True)
class Public:
    """A module and how it is called.

    Attributes:
        name: that of its class, and what tells it from others of the class.
        make: makes it, in single precision.
        call: calls it with features and returns a tensor.
        width: how many features it was made for; any, of any type, where 0.
        rows: how many nodes, or places.
    """

    name: str
    make: Callable[[], Module]
    call: Callable[[Module, Any], Tensor]
    width: int = WIDTH
    rows: int = NODES

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> str:
        return self.name.partition(",")[0]

    def features(self) -> Tensor:
        """Return features ``[rows, 4]``."""
        return replace(GRAPH, num_nodes=self.rows).features(WIDTH)

    def made(self, dtype: torch.dtype = torch.float64) -> Module:
        """Return it with weights that are the same at each call, for evaluation."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = self.make()
            for name, parameter in module.named_parameters():
                if "zoom" not in name and "norms" not in name:
                    torch.nn.init.normal_(parameter, std=0.5)
        return module.to(dtype).eval()


def on_graph(module: Module, x: Any) -> Tensor:
    return module(x, EDGES)


def with_attr(module: Module, x: Any) -> Tensor:
    return module(x, EDGES, ATTR)


def on_basis(module: Module, x: Any) -> Tensor:
    return module(x, BASIS)


def over_time(module: Module, x: Any) -> Tensor:
    """Call a module with three moments, of which the others are made of the last."""
    if isinstance(x, Tensor) and x.dim() == 2 and x.layout == torch.strided:
        x = torch.stack([x.flip(1), x.flip(0), x])
    return module(x, EDGES) if not isinstance(module, gk.GatedTemporalConv) else module(x)


def of_batch(module: Module, x: Any) -> Tensor:
    return module(GraphBatch(x, EDGES, None, BATCH, 2))


def spectral(response: str, **options: Any) -> Public:
    basis = BASIS if response == "free" else None
    call = on_basis if not options.get("polynomial") else lambda module, x: module(x, BASIS, LAPLACIAN)
    return Public(
        f"SpectralConv, {response} {options}", lambda: gk.SpectralConv(4, 3, response, basis=basis, **options), call
    )


MODULES = [
    Public("GCNConv", lambda: gk.GCNConv(4, 3), on_graph),
    Public("GCNConv, widening", lambda: gk.GCNConv(4, 6, improved=True), on_graph),
    Public("SAGEConv", lambda: gk.SAGEConv(4, 3), on_graph),
    Public("SAGEConv, max", lambda: gk.SAGEConv(4, 3, aggr="max", project=True, normalize=True), on_graph),
    Public("GATConv", lambda: gk.GATConv(4, 3, heads=2), on_graph),
    Public("GATConv, edges", lambda: gk.GATConv(4, 3, heads=2, concat=False, edge_dim=2, residual=True), with_attr),
    Public("GATv2Conv", lambda: gk.GATv2Conv(4, 3, heads=2), on_graph),
    Public("GATv2Conv, edges", lambda: gk.GATv2Conv(4, 3, heads=2, concat=False, edge_dim=2), with_attr),
    Public("GINConv", lambda: gk.GINConv(Linear(4, 3)), on_graph),
    Public("GINConv, learnt", lambda: gk.GINConv(Identity(), train_eps=True), on_graph, 0),
    Public("GINEConv", lambda: gk.GINEConv(Linear(4, 3), edge_dim=2, train_eps=True), with_attr),
    Public("BondedGCNConv", lambda: gk.BondedGCNConv(4, 2), with_attr),
    Public("ChebConv", lambda: gk.ChebConv(4, 3, 4), on_graph),
    Public("ChebConv, widening", lambda: gk.ChebConv(4, 6, 3, None), on_graph),
    *(
        Public(f"PolynomialConv, {basis}", lambda basis=basis: gk.PolynomialConv(4, 3, 6, basis), on_graph)
        for basis in ("monomial", "jacobi", "bernstein", "optbasis", "cayley")
    ),
    Public("DiffusionConv", lambda: gk.DiffusionConv(4, 3, 2), on_graph),
    Public("DiffusionConv, widening", lambda: gk.DiffusionConv(4, 6, 2, both=False), on_graph),
    Public("GraphGRU", lambda: gk.GraphGRU(4, 3, lambda i, o: gk.ChebConv(i, o, 2)), over_time),
    Public("GatedTemporalConv", lambda: gk.GatedTemporalConv(4, 3, 2), over_time),
    Public("STConvBlock", lambda: gk.STConvBlock(4, 3, 5, gk.GCNConv, kernel=2), over_time),
    Public("AdaptiveAdjacency", lambda: gk.AdaptiveAdjacency(9, 4), lambda m, x: m(x), 0),
    Public("GraphWaveletConv", lambda: gk.GraphWaveletConv(4, 3), on_graph),
    Public("GraphWaveletConv, mixed", lambda: gk.GraphWaveletConv(4, 6, form="mixed"), on_graph),
    Public("GraphWaveletConv, gwnn", lambda: gk.GraphWaveletConv(4, 3, form="gwnn", num_nodes=9, scale=1.0), on_graph),
    Public("GraphWaveletConv, sparse", lambda: gk.GraphWaveletConv(4, 3, threshold=1e-4), on_graph),
    *(spectral(response) for response in ("free", "bspline", "bernstein", "chebyshev", "mlp", "set")),
    spectral("set", mixing="depthwise"),
    spectral("bspline", polynomial=2),
    Public("SpecformerFilter", lambda: gk.SpecformerFilter(4), on_basis),
    Public("LocallyConnectedConv", lambda: gk.LocallyConnectedConv(4, 3, HIERARCHY.levels[0]), lambda m, x: m(x)),
    Public("ChebPool", lambda: gk.ChebPool(), lambda m, x: m(x, TREE), 0, PLACES),
    Public("ChebPool, mean", lambda: gk.ChebPool("mean"), lambda m, x: m(x, TREE), 0, PLACES),
    Public("ClusterPool", lambda: gk.ClusterPool(), lambda m, x: m(x, CLUSTER, EDGES).x, 0),
    Public("Encoder", lambda: gk.Encoder(4, 5, 3, conv=gk.GCNConv, residual=True, norm="layer"), on_graph),
    Public("Encoder, attention", lambda: gk.Encoder(4, 5, 3, conv=gk.GATConv, activation="elu"), on_graph),
    Public(
        "FilteredPerceptron",
        lambda: gk.FilteredPerceptron(4, 5, 3, gk.PolynomialConv(3, 3, 4, "chebii", linear=False)),
        on_graph,
    ),
    Public(
        "GraphBlock",
        lambda: gk.GraphBlock(gk.GATConv(4, 3), 4, 3, norm="layer", residual=True, feed_forward=True),
        on_graph,
    ),
    Public("SeparatedConv", lambda: gk.SeparatedConv(gk.GCNConv(4, 3), 4, 3), on_graph),
    Public(
        "SignalNet",
        lambda: gk.SignalNet(4, [3], 2, TREE, conv=lambda i, o, level: gk.ChebConv(i, o, 2)),
        lambda m, x: m(x, TREE),
    ),
    Public(
        "GraphClassifier",
        lambda: gk.GraphClassifier(4, 5, 2, conv=lambda i, o: gk.GINConv(Linear(i, o)), layers=2, virtual_node=True),
        of_batch,
    ),
    Public(
        "GraphClassifier, walks",
        lambda: gk.GraphClassifier(
            4,
            5,
            2,
            conv=lambda i, o: gk.GCNConv(i, o),
            layers=2,
            walks=3,
            feed_forward=True,
            readout="all",
            head_layers=2,
        ),
        of_batch,
    ),
    Public("StructureFree", lambda: gk.StructureFree(4, 5, 2, deep_sets=True), of_batch),
    Public(
        "VirtualNode",
        lambda: gk.VirtualNode(4, updates=1),
        lambda m, x: m(0, m.start.expand(2, -1), x, BATCH),
    ),
]
CATEGORIES = {"AtomEncoder", "BondEncoder"}
"""Modules of integers, of which there are no derivatives and no widths to choose; see ``test_molecules``."""
