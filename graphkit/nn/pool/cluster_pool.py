"""Pooling of graphs, and of batches of graphs, over given clusters."""

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.typing import OptTensor

from graphkit._checks import (
    cluster_vector,
    clusters_within_graphs,
    dense_features,
    member,
    no_empty_cluster,
    one_row_per_node,
)
from graphkit.nn.fused import unscriptable
from graphkit.operators import coarse_graph
from graphkit.operators.autograd import outside_transforms

REDUCTIONS = {"max": "amax", "mean": "mean", "sum": "sum"}


class PooledGraph(NamedTuple):
    """What pooling leaves of a graph or a batch: one node for each cluster."""

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    batch: OptTensor


class ClusterPool(nn.Module):
    """Clusters become nodes: their features are reduced, the weights between them summed.

    Args:
        reduce: "max", "mean" or "sum". Ties share the gradient of a maximum evenly.

    Shape:
        ``x`` ``[..., nodes, features]``, ``cluster`` ``[nodes]``, ``batch`` ``[nodes]``. Returns a ``PooledGraph`` of
        ``x`` ``[..., clusters, features]``, ``edge_index``, ``edge_weight``, and ``batch`` ``[clusters]`` where it was
        given.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 2.3: pooling over each cluster.

    Example:
        >>> import torch
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> pooled = ClusterPool("mean")(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]), path)
        >>> pooled.x.flatten().tolist(), pooled.edge_index.tolist(), pooled.edge_weight.tolist()
        ([2.0, 5.0], [[1, 0], [0, 1]], [1.0, 1.0])
    """

    __prepare_scriptable__ = unscriptable

    def __init__(self, reduce: str = "max") -> None:
        super().__init__()
        self.reduce = member("reduce", reduce, REDUCTIONS)

    def forward(
        self, x: Tensor, cluster: Tensor, edge_index: Any, edge_weight: OptTensor = None, batch: OptTensor = None
    ) -> PooledGraph:
        """Return the graph of clusters.

        Raises:
            ValueError: for a directed graph, numbers of clusters that no node has, or a cluster in two graphs.
        """
        dense_features("x", x, cluster)
        clusters = cluster_vector(cluster, None)
        one_row_per_node(x, len(cluster))
        no_empty_cluster(cluster, clusters)
        with outside_transforms():
            cluster = cluster.long()
        place = cluster.unsqueeze(-1).expand(x.shape)
        empty = x.new_zeros(*x.shape[:-2], clusters, x.shape[-1])
        pooled = empty.scatter_reduce(-2, place, x, REDUCTIONS[self.reduce], include_self=False)
        coarse = None
        if batch is not None:
            coarse = batch.new_zeros(clusters).scatter(0, cluster, batch)
            clusters_within_graphs(coarse[cluster] != batch)
        return PooledGraph(pooled, *coarse_graph(edge_index, cluster, edge_weight, num_clusters=clusters), coarse)

    def extra_repr(self) -> str:
        """Return the reduction."""
        return self.reduce
