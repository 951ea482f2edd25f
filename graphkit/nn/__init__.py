"""Layers that go where PyG's go, and the encoder that stacks them."""

from graphkit.nn.class_exchange import accelerate, to_pyg
from graphkit.nn.graph_block import GraphBlock
from graphkit.nn.graph_models import GraphClassifier, StructureFree, VirtualNode
from graphkit.nn.inference import layerwise
from graphkit.nn.molecules import AtomEncoder, BondEncoder
from graphkit.nn.node_models import Encoder, FilteredPerceptron, SeparatedConv
from graphkit.nn.pool import ChebPool, ClusterPool
from graphkit.nn.signal_models import SignalNet
from graphkit.nn.spatial import (
    BondedGCNConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GINEConv,
    LocallyConnectedConv,
    SAGEConv,
)
from graphkit.nn.spectral import ChebConv, GraphWaveletConv, PolynomialConv, SpecformerFilter, SpectralConv
from graphkit.nn.temporal import AdaptiveAdjacency, DiffusionConv, GatedTemporalConv, GraphGRU, STConvBlock

__all__ = [
    "AdaptiveAdjacency",
    "AtomEncoder",
    "BondEncoder",
    "BondedGCNConv",
    "ChebConv",
    "ChebPool",
    "ClusterPool",
    "DiffusionConv",
    "Encoder",
    "FilteredPerceptron",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GatedTemporalConv",
    "GraphBlock",
    "GraphClassifier",
    "GraphGRU",
    "GraphWaveletConv",
    "LocallyConnectedConv",
    "PolynomialConv",
    "SAGEConv",
    "STConvBlock",
    "SeparatedConv",
    "SignalNet",
    "SpecformerFilter",
    "SpectralConv",
    "StructureFree",
    "VirtualNode",
    "accelerate",
    "layerwise",
    "to_pyg",
]
