"""Features of whole graphs that take no training, and models that are solved for on them."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from graphkit._checks import at_least, categories, extra
from graphkit.nn.estimators import AbstractEstimator
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.molecules import ATOM_CATEGORIES, BOND_CATEGORIES
from graphkit.operators.molecules import rdkit_molecule
from graphkit.operators.refinement import mix_bits, refine_colours

DEGREES = 8
"""Columns of a histogram of degrees; the last is "that many or more"."""


def wl_counts(batch: GraphBatch, *, rounds: int, columns: int) -> Tensor:
    """Return how often each colour occurs in each graph, ``[graphs, columns]``, colours being put into columns by hash.

    Colours of all rounds count, those before the first one too: see
    :func:`graphkit.operators.refinement.refine_colours`.

    Args:
        batch: graphs, with features of nodes, and of edges or none.
        rounds: of refinement, at least 0.
        columns: at least 1; two colours share one by chance.

    Source: Shervashidze et al. (2011), JMLR 12, whose counts have a column for each colour; Rogers & Hahn (2010),
    "Extended-connectivity fingerprints", for the hash into a fixed number of columns.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> batch = GraphBatch(torch.ones(3, 1), path, None, torch.zeros(3, dtype=torch.long), 1)
        >>> sorted(wl_counts(batch, rounds=1, columns=1000)[0].tolist())[-3:]
        [1.0, 2.0, 3.0]
    """
    colours = refine_colours(batch.x, batch.edge_index, batch.edge_attr, rounds=rounds)
    found = torch.zeros(batch.graphs * columns, device=batch.x.device)
    for number, colour in enumerate(colours):
        column = torch.remainder(mix_bits(colour + number), at_least("columns", columns, 1))
        found += torch.bincount(batch.batch * columns + column, minlength=len(found))
    return found.view(batch.graphs, columns)


def graph_statistics(batch: GraphBatch) -> Tensor:
    """Return nodes, edges, sums and means of node features, and numbers and shares of degrees of each graph.

    ``[graphs, 2 + 2 * features + 16]``; a graph without nodes has zeros.
    """
    x, where = batch.x.float(), batch.batch
    nodes = torch.bincount(where, minlength=batch.graphs).float()[:, None]
    edges = torch.bincount(where[batch.edge_index[1]], minlength=batch.graphs).float()[:, None]
    sums = torch.zeros(batch.graphs, x.size(1), device=x.device).index_add_(0, where, x)
    degree = torch.bincount(batch.edge_index[1], minlength=len(x)).clamp(max=DEGREES - 1)
    histogram = torch.bincount(where * DEGREES + degree, minlength=batch.graphs * DEGREES).view(-1, DEGREES).float()
    count = nodes.clamp(min=1)
    return torch.cat((nodes, edges, sums, sums / count, histogram, histogram / count), 1)


class AbstractGraphFeatures(nn.Module, ABC):
    """Rows of numbers of whole graphs, in one or several variants."""

    variants: int = 1
    """How many there are."""

    @abstractmethod
    def forward(self, batch: GraphBatch, variant: int = 0) -> Tensor:
        """Return the rows of graphs, ``[graphs, columns]``.

        Args:
            batch: graphs side by side.
            variant: which of :attr:`variants`, from 0 on.
        """


class ColourCounts(AbstractGraphFeatures):
    """Counts of Weisfeiler and Leman's colours, and statistics of each graph; variants are numbers of rounds.

    Args:
        rounds: of refinement at most, at least 0.
        columns: of the counts, at least 1.

    Source: Shervashidze et al. (2011), JMLR 12.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> batch = GraphBatch(torch.ones(3, 1), path, None, torch.zeros(3, dtype=torch.long), 1)
        >>> ColourCounts(rounds=1, columns=100)(batch).shape
        torch.Size([1, 120])
    """

    def __init__(self, *, rounds: int = 3, columns: int = 2048) -> None:
        super().__init__()
        self.columns, self.variants = at_least("columns", columns, 1), at_least("rounds", rounds, 0) + 1

    def forward(self, batch: GraphBatch, variant: int = 0) -> Tensor:
        """Return the rows of graphs, ``[graphs, columns + 2 + 2 * features + 16]``."""
        return torch.cat((wl_counts(batch, rounds=variant, columns=self.columns), graph_statistics(batch)), 1)


class Fingerprints(AbstractGraphFeatures):
    """Morgan's fingerprints of molecules: as counts, and in the second variant as 1 where there are any.

    This needs rdkit.

    Args:
        radius: in bonds, at least 0. A radius of 2 is known as ECFP4.
        columns: of the counts, at least 1.

    Raises:
        ValueError: without rdkit, and in ``forward`` for nodes and edges that are not OGB's atoms and bonds.

    Source: Rogers & Hahn (2010), "Extended-connectivity fingerprints", J. Chem. Inf. Model. 50; made by rdkit.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("rdkit")
        >>> carbon, bonds = torch.zeros(2, 9, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)
        >>> carbon[:, 0], carbon[:, 3], carbon[:, 4] = 5, 5, 3
        >>> ethane = GraphBatch(carbon, torch.tensor([[0, 1], [1, 0]]), bonds, torch.zeros(2, dtype=torch.long), 1)
        >>> sorted(Fingerprints(radius=1, columns=64)(ethane)[0].tolist())[-2:]
        [1.0, 2.0]
    """

    def __init__(self, *, radius: int = 2, columns: int = 2048) -> None:
        super().__init__()
        extra("fingerprints", "molecules", "rdkit")
        self.columns, self.radius, self.variants = at_least("columns", columns, 1), at_least("radius", radius, 0), 2

    def forward(self, batch: GraphBatch, variant: int = 0) -> Tensor:
        """Return the fingerprints of graphs, ``[graphs, columns]``."""
        from rdkit.Chem import rdFingerprintGenerator

        made = rdFingerprintGenerator.GetMorganGenerator(radius=self.radius, fpSize=self.columns)
        found = made.GetFingerprintAsNumPy if variant else made.GetCountFingerprintAsNumPy
        return _rows_of_molecules(batch, lambda *parts: found(rdkit_molecule(*parts)))


class Descriptors(AbstractGraphFeatures):
    r"""rdkit's two-dimensional descriptors of molecules, as :math:`\mathrm{sign}(v)\log(1 + |v|)`. This needs rdkit.

    They are about two hundred: weight, surface, charges, counts of groups, an estimate of how a molecule parts between
    octanol and water, and others; the version of rdkit decides. Chirality is not looked at. What has no value is 0.

    Raises:
        ValueError: without rdkit, and in ``forward`` for nodes and edges that are not OGB's atoms and bonds.

    Source: ``rdkit.Chem.Descriptors``, which names the source of each.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("rdkit")
        >>> carbon, bonds = torch.zeros(2, 9, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)
        >>> carbon[:, 0], carbon[:, 3], carbon[:, 4] = 5, 5, 3
        >>> ethane = GraphBatch(carbon, torch.tensor([[0, 1], [1, 0]]), bonds, torch.zeros(2, dtype=torch.long), 1)
        >>> round(float(Descriptors()(ethane)[0, Descriptors.names().index("MolWt")].expm1()), 1)
        30.1
    """

    def __init__(self) -> None:
        super().__init__()
        extra("descriptors", "molecules", "rdkit")

    @staticmethod
    def names() -> list[str]:
        """Return the names of the columns."""
        from rdkit.Chem import Descriptors as Known

        return [name for name, _ in Known.descList]

    def forward(self, batch: GraphBatch, variant: int = 0) -> Tensor:
        """Return the descriptors of graphs, ``[graphs, columns]``."""

        def of(x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> np.ndarray:
            flat = (each.contiguous().numpy().tobytes() for each in (x, edge_index, edge_attr))
            return _descriptors(*flat)

        return _rows_of_molecules(batch, of)


@functools.lru_cache(maxsize=1 << 16)
def _descriptors(x: bytes, edge_index: bytes, edge_attr: bytes) -> np.ndarray:
    """Return the descriptors of a molecule: milliseconds each, which all seeds, folds and solutions ask for again."""
    from rdkit import rdBase
    from rdkit.Chem import Descriptors as Known

    parts = [
        torch.frombuffer(bytearray(each), dtype=torch.int64) if each else torch.zeros(0, dtype=torch.int64)
        for each in (x, edge_index, edge_attr)
    ]
    molecule = rdkit_molecule(
        parts[0].view(-1, len(ATOM_CATEGORIES)), parts[1].view(2, -1), parts[2].view(-1, len(BOND_CATEGORIES))
    )
    with rdBase.BlockLogs():
        found = np.array(
            list(Known.CalcMolDescriptors(molecule, missingVal=0.0, silent=True).values()), dtype=np.float64
        )
    found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    return (np.sign(found) * np.log1p(np.abs(found))).astype(np.float32)


def _rows_of_molecules(batch: GraphBatch, row: Callable[[Tensor, Tensor, Tensor], np.ndarray]) -> Tensor:
    """Return a row of each molecule of a batch, made of its atoms and bonds."""
    if batch.edge_attr is None or batch.x.is_floating_point():
        raise ValueError(
            "nodes and edges must be OGB's atoms and bonds, as `graphkit data import --smiles` makes them."
        )
    categories("x", batch.x, ATOM_CATEGORIES)
    categories("edge_attr", batch.edge_attr, BOND_CATEGORIES)
    x, ends, bonds, graph = (each.cpu() for each in (batch.x, batch.edge_index, batch.edge_attr, batch.batch))
    atoms = torch.bincount(graph, minlength=batch.graphs)
    order = graph[ends[0]].argsort(stable=True)
    counts = torch.bincount(graph[ends[0]], minlength=batch.graphs)
    starts = (atoms.cumsum(0) - atoms).tolist()
    parts = zip(
        x.split(atoms.tolist()), ends[:, order].split(counts.tolist(), 1), bonds[order].split(counts.tolist()), starts,
        strict=True,
    )  # fmt: skip
    rows = [row(own, pairs - start, kinds) for own, pairs, kinds, start in parts]
    return torch.from_numpy(np.stack(rows).astype(np.float32)).to(batch.x.device)


class GraphFeatureModel(nn.Module):
    """An estimator on features of whole graphs: several solutions, of which :attr:`used` is the one that was taken.

    Args:
        features: rows of graphs.
        estimator: fitted to them.

    Example:
        >>> from graphkit.nn.estimators import Forest
        >>> GraphFeatureModel(ColourCounts(rounds=2), Forest(2)).solutions
        3
    """

    used: Tensor

    def __init__(self, features: AbstractGraphFeatures, estimator: AbstractEstimator) -> None:
        super().__init__()
        self.features, self.estimator = features, estimator
        self.register_buffer("used", torch.tensor(0))

    @property
    def first(self) -> nn.Module:
        """The module itself: it has no layer."""
        return self

    @property
    def solutions(self) -> int:
        """One for each variant of the features with each of the estimator."""
        return self.features.variants * self.estimator.variants

    def rows(self, batch: GraphBatch) -> Tensor:
        """Return what the estimator looks at, ``[graphs, columns]``."""
        return self.features(batch, int(self.used) // self.estimator.variants)

    def solve(self, number: int, rows: Callable[[], Tensor], targets: Tensor, kind: str) -> None:
        """Fit the estimator.

        Args:
            number: of the solution, from 1 on.
            rows: returns what :meth:`rows` says of the training graphs, as it is once the number is known.
            targets, kind: as :meth:`.AbstractEstimator.fit` takes them.
        """
        self.used.fill_(at_least("number", number, 1) - 1)
        self.estimator.fit(rows(), targets, kind, int(self.used) % self.estimator.variants)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return one row of outputs for each graph."""
        return self.estimator(self.rows(batch))
