"""Layers that go where PyG's go, and the encoder that stacks them."""

from graphkit.nn.decoupled import FilteredPerceptron
from graphkit.nn.exchange import Exchange, accelerate, to_pyg
from graphkit.nn.graphs import GraphClassifier, StructureFree, VirtualNode
from graphkit.nn.inference import layerwise
from graphkit.nn.models import Encoder
from graphkit.nn.molecules import AtomEncoder, BondEncoder
from graphkit.nn.pool import ChebPool, ClusterPool, LocallyConnectedConv
from graphkit.nn.separated import SeparatedConv
from graphkit.nn.signals import SignalNet
from graphkit.nn.spatial import BondedGCNConv, GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv
from graphkit.nn.spectral import ChebConv, GraphWaveletConv, PolynomialConv, SpecformerFilter, SpectralConv

__all__ = [
    "AtomEncoder",
    "BondEncoder",
    "BondedGCNConv",
    "ChebConv",
    "ChebPool",
    "ClusterPool",
    "Encoder",
    "Exchange",
    "FilteredPerceptron",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GraphClassifier",
    "GraphWaveletConv",
    "LocallyConnectedConv",
    "PolynomialConv",
    "SAGEConv",
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
