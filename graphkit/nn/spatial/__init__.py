"""Convolutions in the vertex domain: each node gathers from its neighbours."""

from graphkit.nn.spatial.gat import GATConv, GATv2Conv
from graphkit.nn.spatial.gcn import BondedGCNConv, GCNConv
from graphkit.nn.spatial.gin import GINConv, GINEConv
from graphkit.nn.spatial.locally_connected import LocallyConnectedConv
from graphkit.nn.spatial.sage import SAGEConv

__all__ = [
    "BondedGCNConv",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "LocallyConnectedConv",
    "SAGEConv",
]
