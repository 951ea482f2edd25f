"""Convolutions in the vertex domain: each node gathers from its neighbours."""

from graphkit.nn.spatial.bonded import BondedGCNConv
from graphkit.nn.spatial.gat import GATConv
from graphkit.nn.spatial.gatv2 import GATv2Conv
from graphkit.nn.spatial.gcn import GCNConv
from graphkit.nn.spatial.gin import GINConv, GINEConv
from graphkit.nn.spatial.sage import SAGEConv

__all__ = ["BondedGCNConv", "GATConv", "GATv2Conv", "GCNConv", "GINConv", "GINEConv", "SAGEConv"]
