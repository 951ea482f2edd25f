"""Fourier bases on the disk: found again by the graph they were made from, never by a name."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit import _checks
from graphkit.data.catalog.cache import cache_folder, read_tensors, touch, write_tensors
from graphkit.data.fingerprint import tensors_sha256
from graphkit.operators import FourierBasis, fourier_basis, laplacian
from graphkit.operators.spectrum.fourier import VERSION as SOLVERS_VERSION

VERSION = 1
"""Raised whenever the file keeps a basis in another form."""

Pairs = int | tuple[float, float] | None


def cached_fourier_basis(
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    num_nodes: int,
    k: Pairs = None,
    normalization: str | None = "sym",
    solver: str = "auto",
    dtype: torch.dtype = torch.float32,
    cache_dir: str | Path | None = None,
) -> FourierBasis:
    """Return a graph's Fourier basis, from the disk where this very graph was solved before.

    The file is named by a digest of edges, weights, normalisation, ``k``, type, solver and the solvers' version, and
    holds a checksum of itself. It is written beside its place and renamed, so that two writers do no harm; a damaged
    one is told of and made anew; on a disk that refuses, nothing is kept.

    Args:
        edge_index: ``[2, edges]``.
        edge_weight: ``[edges]``; ones when left out.
        num_nodes: number of nodes.
        k: as for ``fourier_basis``: how many of the lowest pairs, or a window, or all.
        normalization: as for ``laplacian``.
        solver: as for ``fourier_basis``.
        dtype: of the Laplacian and the basis.
        cache_dir: the folder, which nobody bounds; ``bases`` in the data folder's cache when left out, of which
            ``$GRAPHKIT_CACHE_LIMIT`` bytes are kept, 10 GB by default.

    Raises:
        ValueError: for graphs and ``k`` that ``fourier_basis`` refuses.
    """
    _checks.edge_index_in_range(_checks.tensor("edge_index", edge_index), _checks.count("num_nodes", num_nodes))
    if edge_weight is not None:
        _checks.one_value_per_edge("edge_weight", _checks.tensor("edge_weight", edge_weight), edge_index.size(1))
    k = k if k is None or isinstance(k, tuple) else _checks.at_least("k", k, 1)
    _require_solvable(normalization, solver, cache_dir)
    _checks.instance("dtype", dtype, torch.dtype, "a torch.dtype")
    asked: dict[str, Any] = {"k": k, "normalization": normalization, "solver": solver, "dtype": str(dtype)}
    tensors = {"edge_index": edge_index.detach(), "num_nodes": torch.tensor(num_nodes)}
    if edge_weight is not None:
        tensors["edge_weight"] = edge_weight.detach()
    key = hashlib.sha256(json.dumps([VERSION, SOLVERS_VERSION, asked, tensors_sha256(tensors)]).encode()).hexdigest()
    folder = cache_folder() / "bases" if cache_dir is None else Path(cache_dir).expanduser()
    path = folder / f"basis-{key[:32]}.safetensors"
    basis = _read_basis(path, key)
    if basis is None:
        operator = laplacian(
            edge_index.cpu(),
            None if edge_weight is None else edge_weight.detach().cpu(),
            num_nodes,
            normalization=normalization,
            dtype=dtype,
        )
        basis = fourier_basis(operator, k, solver=solver)
        _write_basis(basis, path, key)
    return basis.to(edge_index.device)


class AddFourierBasis(BaseTransform):
    """Add a graph's Fourier basis to its data, solved once and kept on the disk.

    The basis belongs to the graph as it is when the transform sees it: transforms that drop nodes or edges go before.

    Args:
        k: number of lowest pairs, of smaller graphs all; or (low, high), a window of eigenvalues; or ``None`` for all.
        cache_dir: the folder of kept bases; ``bases`` in the data folder's cache when left out.
        normalization: ``"sym"``, ``"rw"`` or ``None``, as for ``laplacian``.
        solver: as for ``fourier_basis``.
        attr_name: under which the basis is added.

    Example:
        >>> import tempfile
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     AddFourierBasis(k=2, cache_dir=folder)(path).basis
        FourierBasis(3 nodes, 2 pairs)
    """

    def __init__(
        self,
        k: Pairs = None,
        cache_dir: str | Path | None = None,
        *,
        normalization: str | None = "sym",
        solver: str = "auto",
        attr_name: str = "basis",
    ) -> None:
        self.k = k if k is None or isinstance(k, tuple) else _checks.at_least("k", k, 1)
        _require_solvable(normalization, solver, cache_dir)
        _checks.instance("attr_name", attr_name, str, "a name")
        self.cache_dir = cache_dir
        self.normalization = normalization
        self.solver = solver
        self.attr_name = attr_name

    def forward(self, data: Data) -> Data:
        """Return the data with its basis.

        Raises:
            ValueError: for data without ``edge_index``, and what ``fourier_basis`` refuses.
        """
        if data.get("edge_index") is None:
            raise ValueError(
                "`data` must have an `edge_index` to have a Fourier basis; adjacencies go by `fourier_basis`."
            )
        k = self.k if self.k is None or isinstance(self.k, tuple) else min(self.k, data.num_nodes)
        data[self.attr_name] = cached_fourier_basis(
            data.edge_index,
            data.get("edge_weight"),
            num_nodes=data.num_nodes,
            k=k or None,
            normalization=self.normalization,
            solver=self.solver,
            cache_dir=self.cache_dir,
        )
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k={self.k})"


def _require_solvable(normalization: str | None, solver: str, cache_dir: str | Path | None) -> None:
    """Refuse what no basis is solved with, before a file is named by it."""
    if normalization is not None:
        _checks.member("normalization", normalization, ("sym", "rw"))
    _checks.instance("solver", solver, str, "a name")
    if cache_dir is not None:
        _checks.path("cache_dir", cache_dir)


def _read_basis(path: Path, key: str) -> FourierBasis | None:
    """Return the basis that was kept at ``path``, or ``None`` where there is nothing, or nothing whole."""
    if not path.is_file():
        return None
    tensors, seal = read_tensors(path)
    if not tensors or seal != f"{key} {tensors_sha256(tensors)}":
        warnings.warn(f"the kept Fourier basis {path} is damaged; it is made anew.", stacklevel=3)
        return None
    touch(path)
    name = bytes(tensors.pop("fingerprint").tolist()).hex()
    return FourierBasis(**tensors, fingerprints=(name,))


def _write_basis(basis: FourierBasis, path: Path, key: str) -> None:
    """Put the basis at ``path``."""
    fields = ("eigenvalues", "entries", "residuals", "node_pointers", "pair_pointers", "scale")
    tensors = {name: getattr(basis, name) for name in fields if getattr(basis, name) is not None}
    tensors["fingerprint"] = torch.tensor(list(bytes.fromhex(basis.fingerprints[0])), dtype=torch.uint8)
    write_tensors(tensors, path, f"{key} {tensors_sha256(tensors)}")
