"""Layers that go where PyG's go, and the encoder that stacks them."""

from graphkit.nn.models import Encoder
from graphkit.nn.spatial import GATConv, GATv2Conv, GCNConv, GINConv, GINEConv, SAGEConv
from graphkit.nn.spectral import ChebConv, GraphWaveletConv

__all__ = [
    "ChebConv",
    "Encoder",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GraphWaveletConv",
    "SAGEConv",
]
