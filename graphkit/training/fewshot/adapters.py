"""Input adapters: features of one width and meaning for graphs whose own differ."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree

from graphkit._checks import member

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
