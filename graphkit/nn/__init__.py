"""Layers that go where PyG's go, and the encoder that stacks them."""

from graphkit.nn.models import Encoder
from graphkit.nn.pool import ChebPool, ClusterPool, LocallyConnectedConv
from graphkit.nn.signals import SignalNet
from graphkit.nn.spatial import GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv
from graphkit.nn.spectral import ChebConv, GraphWaveletConv, SpectralConv

__all__ = [
    "ChebConv",
    "ChebPool",
    "ClusterPool",
    "Encoder",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GraphWaveletConv",
    "LocallyConnectedConv",
    "SAGEConv",
    "SignalNet",
    "SpectralConv",
]
