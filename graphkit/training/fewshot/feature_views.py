"""Views of the items that few-shot methods see: features averaged over neighbours, adapted features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree

from graphkit._checks import member
from graphkit.data.views import graph_views
from graphkit.nn.graph_features import wl_counts
from graphkit.nn.graph_models import GraphBatch
from graphkit.operators import gcn_adjacency

ADAPTERS = ("structure", "components")
COMPONENTS = 64
"""Principal components that are kept."""


def adapt_features(graphs: Mapping[str, Data], adapter: str) -> dict[str, Data]:
    """Return the graphs with features of one width; labels and edges stay, and no label is looked at.

    "structure" forgets the features: what is left are degrees, and the mean and deviation of the neighbours' degrees,
    in powers of two, one-hot. They mean the same on every graph, so that what is learnt on one holds on another.

    "components" takes each graph's own 64 leading principal components, standardised, in order of size, with the sign
    that makes their skewness positive. Distances inside a graph are kept as well as 64 numbers can, but the third
    component of one graph need not mean what the third of another does: prototypes of a task are sound, weights of
    components carry over only as far as the graphs are alike.

    Args:
        graphs: name -> graph.
        adapter: "structure" or "components".

    Raises:
        ValueError: for another adapter.
    """
    make = {"structure": _structure, "components": _components}[member("adapter", adapter, ADAPTERS)]
    found = {}
    for name, data in graphs.items():
        found[name] = data.clone()
        found[name].x = make(data)
    return found


def _structure(data: Data) -> Tensor:
    """Return degrees and the mean and deviation of the neighbours', one-hot by powers of two, ``[nodes, 36]``."""
    source, target = data.edge_index
    own = degree(target, data.num_nodes)
    number = own.clamp(min=1)
    mean = torch.zeros(data.num_nodes).index_add(0, target, own[source]) / number
    square = torch.zeros(data.num_nodes).index_add(0, target, own[source] ** 2) / number
    spread = (square - mean**2).clamp(min=0).sqrt()
    bins = [(each + 1).log2().floor().long().clamp(max=11) for each in (own, mean, spread)]
    return torch.cat([torch.nn.functional.one_hot(each, 12) for each in bins], 1).float()


def _components(data: Data) -> Tensor:
    """Return the leading principal components, standardised, ``[nodes, 64]``; zeros where there are fewer."""
    from graphkit.operators import sparse_features

    x = data.x.to_dense() if data.x.layout != torch.strided else data.x
    x = torch.nn.functional.normalize(x.float(), p=1, dim=-1)
    matrix, mean = sparse_features(x), x.mean(0)
    kept = min(COMPONENTS, *x.shape)
    # Subspace iteration from fixed random directions; the mean is taken away without making the matrix dense.
    drawn = torch.Generator().manual_seed(0)
    basis = torch.randn(x.size(1), min(kept + 16, *x.shape), generator=drawn)
    for _ in range(6):
        scores = matrix @ basis - mean @ basis
        left = torch.linalg.qr(scores)[0]
        basis = torch.linalg.qr(x.T @ left - torch.outer(mean, left.sum(0)))[0]
    scores = matrix @ basis - mean @ basis
    u, _, _ = torch.linalg.svd(scores, full_matrices=False)
    u = u[:, :kept]
    u = u / u.std(0).clamp(min=1e-9)
    u = u * torch.where((u**3).mean(0) < 0, -1.0, 1.0)
    return torch.nn.functional.pad(u, (0, COMPONENTS - kept))


COLUMNS = 2048
"""Columns of the counts of a graph's colours."""

VIEWS_ROWS = "views"
"""The name of rows that hold every view of :func:`graphkit.data.graph_views`."""

HOPS = 2
"""Averages over neighbours, of embeddings and of the features beside them."""


def propagate(x: Tensor, data: Data, hops: int) -> Tensor:
    """Return rows averaged so often over neighbours, with the operator of GCN, ``[nodes, features]``.

    Args:
        x: ``[nodes, features]``.
        data: their graph.
        hops: 0 or more.
    """
    adjacency = gcn_adjacency(data.edge_index, data.get("edge_weight"), num_nodes=data.num_nodes)
    for _ in range(hops):
        x = adjacency @ x
    return x


def feature_rows(data: Data, hops: int, *, centred: bool = False) -> Tensor:
    """Return features of absolute sum 1, averaged so often, as unit rows.

    Args:
        data: the graph.
        hops: 0 or more.
        centred: take the mean over all nodes away first: what all have in common tells no class from another.
    """
    x = propagate(features_of(data), data, hops)
    return F.normalize(x - x.mean(0) if centred else x, dim=-1)


def weighted_rows(data: Data, hops: int) -> Tensor:
    r"""Return features that count the more the fewer nodes have them, averaged so often, centred, as unit rows.

    Feature :math:`j` of :math:`n` nodes, :math:`n_j` of which have it, is scaled by :math:`\sqrt{w_j}` with
    :math:`w_j = 1 + \log\frac{1 + n}{1 + n_j}`, so that it has the weight :math:`w_j` in an inner product: the inverse
    document frequency of words. Where all nodes have all features nothing is weighted.

    Args:
        data: the graph.
        hops: 0 or more.

    Source: scikit-learn's smoothed inverse document frequency.
    """
    x = _dense(data)
    frequency = (1 + len(x)) / (1 + x.count_nonzero(0))
    x = propagate(F.normalize(x * (1 + frequency.log()).sqrt(), dim=-1), data, hops)
    return F.normalize(x - x.mean(0), dim=-1)


def rows_of(data: Data, kind: str) -> Tensor:
    """Return the rows that "features-K", "centred-K" or "weighted-K" names; "views" are all of a graph's, in a row."""
    if kind == VIEWS_ROWS:
        return graph_views(data).rows.flatten(1)
    name, _, hops = kind.partition("-")
    if name == "counts":
        raise ValueError(f"`rows` {kind!r} count what a whole graph holds; of nodes take features-K or weighted-K.")
    if name == "weighted":
        return weighted_rows(data, int(hops))
    return feature_rows(data, int(hops), centred=name == "centred")


def graph_counts(data: Data, graph_of: Tensor, graphs: int, kind: str) -> Tensor:
    """Return the rows of whole graphs that "counts-K" names, ``[graphs, columns]``, of length 1 or 0.

    Args:
        data: all graphs side by side.
        graph_of: graph of each node, ``[nodes]``, ascending.
        graphs: how many.
        kind: "counts-K".

    Source: Shervashidze et al. (2011), JMLR 12, for the counts; their logarithms, without the mean, are ours.
    """
    batch = GraphBatch(_dense(data), data.edge_index, None, graph_of, graphs)
    found = wl_counts(batch, rounds=int(kind.partition("-")[2]), columns=COLUMNS).log1p()
    return F.normalize(found - found.mean(0), dim=-1)


def _dense(data: Data) -> Tensor:
    """Return features as a dense matrix in float32."""
    return (data.x.to_dense() if data.x.layout != torch.strided else data.x).float()


def features_of(data: Data) -> Tensor:
    """Return features of absolute sum 1, in float32, ``[nodes, features]``."""
    return F.normalize(_dense(data), p=1, dim=-1)
