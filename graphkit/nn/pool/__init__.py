"""Pooling over clusters of nodes, and the convolution that has weights of its own in every neighbourhood."""

from graphkit.nn.pool.cheb_pool import ChebPool
from graphkit.nn.pool.cluster_pool import ClusterPool
from graphkit.nn.pool.local import LocallyConnectedConv

__all__ = ["ChebPool", "ClusterPool", "LocallyConnectedConv"]
