"""The Fourier basis: eigenvalues and eigenvectors of one graph or of a ragged batch, and the transform they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import list_of, number, tensor
from graphkit.operators.graph_cache import cached
from graphkit.operators.operand_checks import check_basis, check_same_dtype
from graphkit.operators.pattern import Pattern
from graphkit.operators.sparse import SparseOperator


@dataclass(frozen=True, eq=False, repr=False)
class FourierBasis:
    r"""Eigenvalues :math:`\lambda_i` and orthonormal eigenvectors :math:`U` of a Laplacian, for one graph or a batch.

    A complete basis has :math:`L = U \Lambda U^T`. Under the random-walk normalisation :math:`U` belongs to the
    symmetric Laplacian, :math:`L_{rw} = D^{-1/2} U \Lambda U^T D^{1/2}`, and ``scale`` holds :math:`D^{1/2}`; the
    transform does the rest. The basis of a batch is ragged: every graph has its own number of pairs.

    In a PyG ``Data`` object a basis moves with ``data.to``; a ``Batch`` holds the list of its graphs' bases, which
    layers join by :meth:`batch`.

    Args:
        eigenvalues: ascending within each graph, ``[pairs]``.
        entries: the matrices :math:`U` of all graphs, each ``[nodes, pairs]``, row by row, in one line.
        residuals: :math:`\|L u_i - \lambda_i u_i\|` as it was measured, ``[pairs]``.
        node_pointers: range of the nodes of each graph, ``[graphs + 1]``, int64.
        pair_pointers: range of the pairs of each graph, ``[graphs + 1]``, int64.
        scale: :math:`D^{1/2}`, ``[nodes]``, 1 at isolated nodes; ``None`` where the Laplacian is symmetric.
        fingerprints: one text per graph that names its Laplacian, however many pairs were found and in whichever type.

    Source: Shuman, Narang, Frossard, Ortega & Vandergheynst (2013), arXiv:1211.0053, section II.C.

    Example:
        >>> from graphkit.operators import fourier_basis, laplacian
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> basis = fourier_basis(laplacian(path, dtype=torch.float64))
        >>> basis.eigenvalues.round(decimals=6).tolist(), basis.complete
        ([0.0, 1.0, 3.0], True)
        >>> x = torch.tensor([[1.0], [0.0], [5.0]], dtype=torch.float64)
        >>> basis.filter(x, lambda eigenvalues: (eigenvalues == 0).double()).flatten().round(decimals=6).tolist()
        [2.0, 2.0, 2.0]
    """

    eigenvalues: Tensor
    entries: Tensor
    residuals: Tensor
    node_pointers: Tensor
    pair_pointers: Tensor
    scale: Tensor | None = None
    fingerprints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_basis(self.eigenvalues, self.entries, self.residuals, self.node_pointers, self.pair_pointers)
        if self.scale is not None and tensor("scale", self.scale).shape != (self.nodes,):
            raise ValueError(f"`scale` must have one number per node ({self.nodes:,}), got {list(self.scale.shape)}.")
        if not isinstance(self.fingerprints, tuple) or self.fingerprints:
            list_of("fingerprints", self.fingerprints, str)

    # ---- what it is

    @property
    def num_graphs(self) -> int:
        """Number of graphs."""
        return len(self.node_pointers) - 1

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Numbers of nodes and of pairs of each graph."""
        nodes, pairs = (indptr.diff().tolist() for indptr in (self.node_pointers, self.pair_pointers))
        return list(zip(nodes, pairs, strict=True))

    @property
    def nodes(self) -> int:
        """Number of nodes of all graphs together."""
        return sum(nodes for nodes, _ in self.sizes)

    @property
    def pairs(self) -> int:
        """Number of pairs of all graphs together."""
        return len(self.eigenvalues)

    @property
    def complete(self) -> bool:
        """Whether every graph has as many pairs as nodes, so that the basis loses nothing."""
        return all(nodes == pairs for nodes, pairs in self.sizes)

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the largest eigenvalue of all graphs; (0, 0) without any."""
        if not self.pairs:
            return 0.0, 0.0
        values = self.eigenvalues
        return cached(lambda: (float(values.min()), float(values.max())), "extent", values)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the eigenvalues."""
        return self.eigenvalues.dtype

    @property
    def device(self) -> torch.device:
        """Where the basis lies."""
        return self.eigenvalues.device

    @property
    def eigenvectors(self) -> Tensor:
        """:math:`U`, ``[nodes, pairs]``, of a basis of one graph; for a batch see :meth:`graphs`.

        Raises:
            ValueError: for a batch, whose graphs have a matrix each.
        """
        if self.num_graphs != 1:
            raise ValueError(
                f"`eigenvectors` is one matrix, but the basis holds {self.num_graphs} graphs; use `basis.graphs()`."
            )
        return self.entries.view(self.sizes[0])

    @cached_property
    def _matrix(self) -> Tensor | SparseOperator:
        """:math:`U` as one matrix: dense for one graph, sparse with a block for each graph of a batch."""
        if self.num_graphs == 1:
            return self.eigenvectors
        nodes, pairs = self.node_pointers.diff(), self.pair_pointers.diff()
        counts = pairs.repeat_interleave(nodes)
        indptr = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        shift = self.pair_pointers[:-1].repeat_interleave(nodes) - indptr[:-1]
        order = torch.arange(len(self.entries), device=self.device)
        columns = order + shift.repeat_interleave(counts, output_size=len(order))
        kind = torch.int32 if len(order) < 2**31 - 1 else torch.int64
        pattern = Pattern._from_csr(indptr.to(kind), columns.to(kind), order, (self.nodes, self.pairs))
        return SparseOperator(pattern, self.entries)

    # ---- what it does

    def gft(self, x: Any) -> Tensor:
        r"""Return the graph Fourier transform :math:`\hat x = U^T x`, ``[..., pairs, features]``.

        Args:
            x: signal ``[nodes]`` or ``[..., nodes, features]``, or sparse features ``[nodes, features]``.

        Raises:
            ValueError: where ``x`` has another number of nodes than the graph of the basis.
            TypeError: where ``x`` has another type than the basis.
        """
        if not isinstance(x, SparseOperator) and tensor("x", x).dim() == 0:
            raise ValueError("`x` must have nodes, got a single number.")
        rows = x.shape[-2] if len(x.shape) > 1 else len(x)
        if rows != self.nodes:
            raise ValueError(
                f"`x` has {rows:,} nodes, but the basis belongs to a graph of {self.nodes:,} nodes; "
                "make one for this graph with `fourier_basis`."
            )
        check_same_dtype(x, self.dtype)
        matrix = self._matrix
        if isinstance(x, SparseOperator):
            if isinstance(matrix, Tensor):
                return (x.T @ (matrix if self.scale is None else matrix * self.scale.unsqueeze(-1))).mT
            x = x.to_dense()
        if self.scale is not None:
            x = x * (self.scale if x.dim() == 1 else self.scale.unsqueeze(-1))
        return (matrix.mT if isinstance(matrix, Tensor) else matrix.T) @ x

    def igft(self, spectrum: Tensor) -> Tensor:
        r"""Return the signal :math:`x = U \hat x` of a spectrum ``[pairs]`` or ``[..., pairs, features]``.

        Raises:
            ValueError: where ``spectrum`` has not one row for each pair.
        """
        axes = tensor("spectrum", spectrum).dim()
        rows = 1 if axes == 0 else spectrum.shape[-2] if axes > 1 else len(spectrum)
        if rows != self.pairs or axes == 0:
            raise ValueError(f"`spectrum` must have one row for each of the {self.pairs:,} pairs, got {rows:,}.")
        x = self._matrix @ spectrum
        if self.scale is None:
            return x
        return x / (self.scale if x.dim() == 1 else self.scale.unsqueeze(-1))

    def filter(self, x: Tensor, g: Callable[[Tensor], Tensor] | Tensor, *, residual: float = 0.0) -> Tensor:
        r"""Return :math:`U g(\Lambda) U^T x + r (x - U U^T x)`, shaped like ``x``.

        Without the second term a truncated basis deletes what it does not span; a complete one spans all.

        Args:
            x: signal ``[nodes]`` or ``[..., nodes, features]``.
            g: the response, a function from eigenvalues to factors, or the factors: ``[pairs]``, or
                ``[pairs, features]`` for a response of each feature's own.
            residual: :math:`r`, by which the rest of the signal is multiplied.

        Raises:
            ValueError: where ``x`` belongs to another graph, or ``g`` has not one factor for each pair.

        Example:
            >>> from graphkit.operators import fourier_basis, laplacian
            >>> ring = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
            >>> one = fourier_basis(laplacian(ring), k=1)
            >>> x = torch.tensor([1.0, 0.0, 0.0, 3.0])
            >>> one.filter(x, torch.exp).tolist(), one.filter(x, torch.exp, residual=1.0).tolist()
            ([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 3.0])
        """
        number("residual", residual)
        factors = g(self.eigenvalues) if callable(g) else g
        if not isinstance(factors, Tensor) or factors.dim() == 0 or factors.shape[0] != self.pairs:
            given = list(factors.shape) if isinstance(factors, Tensor) else factors
            raise ValueError(
                f"`g` must be a function or give one factor for each of the {self.pairs:,} pairs, got {given}."
            )
        spectrum = self.gft(x)
        factors = factors - residual
        if factors.dim() == 1 and spectrum.dim() > 1:
            factors = factors.unsqueeze(-1)
        filtered = self.igft(factors * spectrum)
        return filtered + residual * x if residual else filtered

    # ---- made into others

    def to(self, *args: Any, **kwargs: Any) -> FourierBasis:
        """Return the basis on another device or in another type, with the arguments of ``Tensor.to``."""
        eigenvalues = self.eigenvalues.to(*args, **kwargs)
        if eigenvalues is self.eigenvalues:
            return self
        return dataclasses.replace(
            self,
            eigenvalues=eigenvalues,
            entries=self.entries.to(*args, **kwargs),
            residuals=self.residuals.to(*args, **kwargs),
            node_pointers=self.node_pointers.to(eigenvalues.device),
            pair_pointers=self.pair_pointers.to(eigenvalues.device),
            scale=None if self.scale is None else self.scale.to(*args, **kwargs),
        )

    @classmethod
    def batch(cls, bases: Sequence[FourierBasis]) -> FourierBasis:
        """Return the basis of several graphs side by side, in their order.

        Raises:
            ValueError: without any basis, or where random-walk bases stand beside symmetric ones.
        """
        if isinstance(bases, list | tuple) and not bases:
            raise ValueError("`bases` must hold at least one basis.")
        list_of("bases", bases, cls)
        if len(bases) == 1:
            return bases[0]
        scales = [basis.scale for basis in bases if basis.scale is not None]
        if len(scales) not in (0, len(bases)):
            raise ValueError("`bases` must all be of random-walk Laplacians or none, got list_of of each.")
        return cls(
            eigenvalues=torch.cat([basis.eigenvalues for basis in bases]),
            entries=torch.cat([basis.entries for basis in bases]),
            residuals=torch.cat([basis.residuals for basis in bases]),
            node_pointers=_concat_indptr([basis.node_pointers for basis in bases]),
            pair_pointers=_concat_indptr([basis.pair_pointers for basis in bases]),
            scale=torch.cat(scales) if scales else None,
            fingerprints=sum((basis.fingerprints for basis in bases), ()),
        )

    @classmethod
    def of(cls, basis: FourierBasis | Sequence[FourierBasis]) -> FourierBasis:
        """Return the basis that a layer is given: as it is, or joined where it is the list that a PyG batch holds.

        Raises:
            TypeError: for anything else.
        """
        if isinstance(basis, cls):
            return basis
        if isinstance(basis, list | tuple) and basis and all(isinstance(one, cls) for one in basis):
            return cls.batch(basis)
        given = "a tensor" if isinstance(basis, Tensor) else type(basis).__name__
        raise TypeError(
            f"`basis` must be a FourierBasis, got {given}; `fourier_basis(laplacian(edge_index, num_nodes=...))` makes "
            "one of a graph."
        )

    def graphs(self) -> list[FourierBasis]:
        """Return the bases of the graphs one by one, as views."""
        found, node, pair, entry = [], 0, 0, 0
        for place, (nodes, pairs) in enumerate(self.sizes):
            here = slice(pair, pair + pairs)
            basis = FourierBasis(
                eigenvalues=self.eigenvalues[here],
                entries=self.entries[entry : entry + nodes * pairs],
                residuals=self.residuals[here],
                node_pointers=torch.tensor([0, nodes], device=self.device),
                pair_pointers=torch.tensor([0, pairs], device=self.device),
                scale=None if self.scale is None else self.scale[node : node + nodes],
                fingerprints=self.fingerprints[place : place + 1],
            )
            found.append(basis)
            node, pair, entry = node + nodes, pair + pairs, entry + nodes * pairs
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __repr__(self) -> str:
        graphs = "" if self.num_graphs == 1 else f"{self.num_graphs} graphs, "
        whole = ", complete" if self.complete else ""
        return f"FourierBasis({graphs}{self.nodes} nodes, {self.pairs} pairs{whole})"


def _concat_indptr(indptr: list[Tensor]) -> Tensor:
    """Return the pointers of ranges that stand side by side."""
    lengths = torch.cat([part.diff() for part in indptr])
    return torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))
