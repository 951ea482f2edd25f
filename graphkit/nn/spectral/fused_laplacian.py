"""What polynomial layers share: the product with the rescaled Laplacian, fused or by messages."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor

from graphkit._checks import batch_vector, largest_eigenvalues, scalar_or_per_graph
from graphkit._checks.graphs import GraphWarning
from graphkit._torch_internals import inside_transform
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import check_degrees, is_tracing
from graphkit.nn.maps import HALF, matrix_dtype
from graphkit.operators import SparseOperator, rescaled_laplacian
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.graph_cache import cached
from graphkit.operators.normalization import inverse_power


def warn_of_directed(operator: SparseOperator, what: str) -> None:
    """Warn of a graph whose Laplacian is not symmetric, so that what is made of it has no frequencies."""
    if operator.constant and not operator.symmetric:
        warnings.warn(
            f"`edge_index` is directed or its weights differ by direction: its Laplacian is not symmetric and {what} "
            "of frequencies. Make it undirected (torch_geometric.utils.to_undirected) unless you mean this.",
            GraphWarning,
            stacklevel=4,
        )


class FusedLaplacian(Fused):
    r"""A layer that multiplies by :math:`2L/\lambda - I` of the Laplacian that ``normalization`` names."""

    normalization: str | None

    def _check_batch(self, x: Any, batch: OptTensor, lambda_max: Any) -> None:
        """Refuse graphs of nodes and largest eigenvalues that do not fit; their numbers are looked at once."""
        if batch is not None:
            batch_vector("batch", batch, x.size(-2))
        if not isinstance(lambda_max, Tensor):
            if lambda_max is not None and not is_tracing():
                largest_eigenvalues("lambda_max", lambda_max)
            return
        scalar_or_per_graph("lambda_max", lambda_max, batch)
        if is_tracing() or inside_transform():
            return

        def look() -> bool:
            graphs = int(batch.max()) + 1 if batch is not None and batch.numel() else 1
            largest_eigenvalues("lambda_max", lambda_max, graphs)
            return True

        if is_cacheable(lambda_max):
            cached(look, "largest eigenvalues", lambda_max, batch)
        else:
            look()

    def _operator(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, batch: OptTensor, lambda_max: Any
    ) -> SparseOperator:
        operator = rescaled_laplacian(
            edge_index,
            edge_weight,
            num_nodes=x.size(-2),
            normalization=self.normalization,
            largest=lambda_max,
            batch=batch,
            flow=self.flow,
            dtype=matrix_dtype(x),
        )
        if self.normalization != "rw":
            warn_of_directed(operator, "a Chebyshev filter of it is not a function")
        return operator

    def _rescaled_edges(
        self, graph: Any, weight: OptTensor, nodes: int, batch: OptTensor, lambda_max: Any, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return edges and weights whose messages add up to the product, in operations that can be traced."""
        # 1. Weights without those of loops, and the degrees they give.
        index, weight = self.edges(graph, weight, num_nodes=nodes)
        wide = torch.float32 if dtype in HALF else dtype
        proper = index[0] != index[1]
        weight = index.new_ones(index.size(1), dtype=wide) if weight is None else weight.flatten().to(wide)
        if is_tracing():  # loops weigh nothing; how many there are cannot be looked at
            weight = torch.where(proper, weight, 0)
        elif not bool(proper.all()):
            index, weight = index[:, proper], weight[proper]
        target = index[1 if self.flow == "source_to_target" else 0]
        degree = weight.new_zeros(nodes).index_add(0, target, weight)
        # 2. The Laplacian's entries off the diagonal, with their sign turned, and on it.
        if self.normalization == "sym":
            check_degrees(degree)
            root = inverse_power(degree, 0.5)
            weight = weight * root[index[0]] * root[index[1]]
        elif self.normalization == "rw":
            weight = weight * inverse_power(degree, 1.0)[target]
        diagonal = degree if self.normalization is None else torch.ones_like(degree)
        # 3. The largest eigenvalue: what is given, 2 of a normalised Laplacian, else Gershgorin's bound of each graph.
        if lambda_max is None and self.normalization is not None:
            largest = degree.new_full((1,), 2.0)
        elif lambda_max is None:
            graph = target.new_zeros(nodes) if batch is None else batch
            radius = degree + degree.new_zeros(nodes).index_add(0, target, weight.abs())
            largest = degree.new_zeros(max(nodes, 1)).scatter_reduce(0, graph, radius, "amax")[graph]
        else:
            largest = torch.as_tensor(lambda_max, dtype=wide, device=degree.device).reshape(-1)
            largest = largest[batch] if batch is not None and largest.numel() > 1 else largest
        # 4. 2 L / lambda - I as edges, the diagonal as loops.
        scale = 2 * inverse_power(largest, 1.0).expand(nodes)
        loops = torch.arange(nodes, device=index.device, dtype=index.dtype)
        norm = torch.cat((-weight * scale[target], scale * diagonal - 1))
        return torch.cat((index, loops.expand(2, -1)), 1), norm.to(dtype)
