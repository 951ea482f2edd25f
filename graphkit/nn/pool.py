"""Pooling over clusters of nodes: of signals over a balanced tree, and of graphs and batches of graphs."""

import math
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.typing import OptTensor

from graphkit._checks import (
    at_least,
    cluster_vector,
    clusters_within_graphs,
    dense_features,
    member,
    no_empty_cluster,
    one_row_per_node,
)
from graphkit._exports import deprecated_names
from graphkit.nn.fused import refuse_script
from graphkit.operators import BalancedTree, coarse_graph
from graphkit.operators.autograd import outside_transforms

REDUCTIONS = ("max", "mean")


class ChebPool(nn.Module):
    """Pooling over siblings of a balanced tree, which stand side by side: as fast as that of a sequence.

    Fake nodes count for nothing, whatever values they carry: the maximum is over the real children alone, also where
    all are negative, and the mean is divided by their number. A place without real children is a fake itself and
    gets 0.

    Args:
        reduce: "max" or "mean". Ties share the gradient of a maximum evenly.
        levels: how many levels of the tree to rise; with a matching, ``2 ** levels`` places become one.

    Shape:
        ``x`` ``[..., places, features]`` in the order of ``tree.spread``. Returns
        ``[..., places of level + levels, features]``.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2.3. Their code gives fakes the value
    0 and relies on rectified inputs, where 0 is the least.

    Example:
        >>> import torch
        >>> from graphkit.operators import coarsen
        >>> tree = coarsen(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), levels=1).tree
        >>> ChebPool()(tree.spread(torch.tensor([[-1.0], [-2.0], [-3.0]])), tree).flatten().tolist()
        [-1.0, -3.0]
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, reduce: str = "max", *, levels: int = 1) -> None:
        super().__init__()
        self.reduce = member("reduce", reduce, REDUCTIONS)
        self.levels = at_least("levels", levels, 0)

    def forward(self, x: Tensor, tree: BalancedTree, level: int = 0) -> Tensor:
        """Return the pooled signal; ``x`` is on the places of ``level`` of the graph's tree.

        Raises:
            ValueError: where the tree has too few levels, or the signal another number of places.
        """
        size = tree.factor(level, self.levels)
        dense_features("x", x, tree.orders[level])
        one_row_per_node(x, len(tree.orders[level]))
        groups = x.unflatten(-2, (len(tree.orders[level + self.levels]), size))
        if tree.full[level]:
            return groups.amax(-2) if self.reduce == "max" else groups.mean(-2)
        fake = tree.fake(level).view(-1, size, 1)
        if self.reduce == "max":
            highest = groups.masked_fill(fake, -math.inf).amax(-2)
            return highest.masked_fill(tree.fake(level + self.levels).unsqueeze(-1), 0)
        total = groups.masked_fill(fake, 0).sum(-2)
        return total / (~fake).sum(-2).clamp(min=1).to(x.dtype)

    def extra_repr(self) -> str:
        """Return what tells one pooling from another."""
        return f"{self.reduce}, levels={self.levels}"


SCATTER_REDUCTIONS = {"max": "amax", "mean": "mean", "sum": "sum"}


class PooledGraph(NamedTuple):
    """A pooled graph or batch: one node for each cluster."""

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

    __prepare_scriptable__ = refuse_script

    def __init__(self, reduce: str = "max") -> None:
        super().__init__()
        self.reduce = member("reduce", reduce, SCATTER_REDUCTIONS)

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
        pooled = empty.scatter_reduce(-2, place, x, SCATTER_REDUCTIONS[self.reduce], include_self=False)
        coarse = None
        if batch is not None:
            coarse = batch.new_zeros(clusters).scatter(0, cluster, batch)
            clusters_within_graphs(coarse[cluster] != batch)
        return PooledGraph(pooled, *coarse_graph(edge_index, cluster, edge_weight, num_clusters=clusters), coarse)

    def extra_repr(self) -> str:
        """Return the reduction."""
        return self.reduce


__getattr__ = deprecated_names(
    __name__, {"LocallyConnectedConv": "graphkit.nn.spatial.locally_connected.LocallyConnectedConv"}
)
