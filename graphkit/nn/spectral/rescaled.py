"""What polynomial layers share: the product with the rescaled Laplacian, fused or by messages."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor

from graphkit._checks import graph_numbers, largest_eigenvalues, one_number_or_one_per_graph
from graphkit.nn.abstract import AbstractGraphConv, matrix_type, plain_graph, rooted, traced
from graphkit.operators import SparseOperator, rescaled_laplacian
from graphkit.operators.functions import inside_transform
from graphkit.operators.normalization import inverse_power
from graphkit.operators.pattern import rememberable
from graphkit.operators.prepared import remembered


class AbstractLaplacianConv(AbstractGraphConv):
    r"""A layer that multiplies by :math:`2L/\lambda - I` of the Laplacian that ``normalization`` names."""

    normalization: str | None

    def _refuse(self, x: Any, batch: OptTensor, lambda_max: Any) -> None:
        """Refuse graphs of nodes and largest eigenvalues that do not fit; their numbers are looked at once."""
        if batch is not None:
            graph_numbers("batch", batch, x.size(-2))
        if not isinstance(lambda_max, Tensor):
            if lambda_max is not None and not traced():
                largest_eigenvalues("lambda_max", lambda_max)
            return
        one_number_or_one_per_graph("lambda_max", lambda_max, batch)
        if traced() or inside_transform():
            return

        def look() -> bool:
            graphs = int(batch.max()) + 1 if batch is not None and batch.numel() else 1
            largest_eigenvalues("lambda_max", lambda_max, graphs)
            return True

        if rememberable(lambda_max):
            remembered(look, "largest eigenvalues", lambda_max, batch)
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
            dtype=matrix_type(x),
        )
        if self.normalization != "rw" and operator.constant and not operator.symmetric:
            warnings.warn(
                "`edge_index` is directed or its weights differ by direction: its Laplacian is not symmetric and a "
                "Chebyshev filter of it is not a function of frequencies. Make it undirected "
                "(torch_geometric.utils.to_undirected) unless you mean this.",
                stacklevel=3,
            )
        return operator

    def _propagation(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, batch: OptTensor, lambda_max: Any
    ) -> Callable[[Tensor], Tensor]:
        """Return the product with the rescaled Laplacian by message passing, in operations that can be traced."""
        nodes = x.size(-2)
        edge_index, edge_weight = plain_graph(edge_index, edge_weight, flow=self.flow, num_nodes=nodes)
        target = edge_index[1 if self.flow == "source_to_target" else 0]
        weight = x.new_ones(edge_index.size(1)) if edge_weight is None else edge_weight.flatten().to(x.dtype)
        weight = torch.where(edge_index[0] == edge_index[1], 0, weight)
        degree = x.new_zeros(nodes).index_add(0, target, weight)
        if self.normalization == "sym":
            rooted(degree)
            root = inverse_power(degree, 0.5)
            weight = weight * root[edge_index[0]] * root[edge_index[1]]
        elif self.normalization == "rw":
            weight = weight * inverse_power(degree, 1.0)[target]
        diagonal = degree if self.normalization is None else torch.ones_like(degree)
        if lambda_max is None and self.normalization is not None:
            largest = x.new_full((1,), 2.0)
        elif lambda_max is None:
            graph = target.new_zeros(nodes) if batch is None else batch
            radius = degree + x.new_zeros(nodes).index_add(0, target, weight.abs())
            largest = x.new_zeros(max(nodes, 1)).scatter_reduce(0, graph, radius, "amax")[graph]
        else:
            largest = torch.as_tensor(lambda_max, dtype=x.dtype, device=x.device).reshape(-1)
            largest = largest[batch] if batch is not None and largest.numel() > 1 else largest
        scale = 2 * inverse_power(largest, 1.0).expand(nodes)
        norm, diagonal = -weight * scale[target], (scale * diagonal - 1).unsqueeze(-1)
        return lambda v: self.propagate(edge_index, x=v, norm=norm) + diagonal * v

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        """Return each edge's source features times its entry of the rescaled Laplacian."""
        return norm.view(-1, 1) * x_j
