"""Splits of molecules by their scaffolds: what is tested has frames that training has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from graphkit import _checks
from graphkit.data.splits.split import Split, SplitProtocol, require_fractions

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Scaffold(SplitProtocol):
    """Shares of molecules, all of one Bemis-Murcko scaffold in one part; needs rdkit.

    A scaffold is what is left of a molecule without its side chains: rings and what joins them, without chirality. The
    groups of molecules go by size, the largest first (ties: the one whose first molecule comes later): to the training
    molecules as long as there is room for all of a group, else to those that select, else to those that test. Nothing
    is drawn.

    Args:
        train: share to train on.
        val: share to select on.
        test: share to test on; the three are 1 together.

    Raises:
        ValueError: if called with what is no set of molecules, if a part would be empty, and without rdkit.

    Source: Bemis & Murcko (1996), "The Properties of Known Drugs. 1"; the order of DeepChem's ``ScaffoldSplitter``,
    which MoleculeNet and OGB's molecules were divided by. Molecules are read off their atoms and bonds, not off SMILES.

    Example:
        >>> str(Scaffold(0.7, 0.2, 0.1))
        'scaffold:0.7,0.2,0.1'
    """

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    name: ClassVar[str] = "scaffold"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_fractions(self.train, self.val, self.test)
        if self.train + self.val + self.test < 1 - 1e-9:
            raise ValueError(f"`train`, `val` and `test` of {self.name!r} must be 1 together: nothing is drawn.")

    def __call__(self, data: Any, generator: torch.Generator | None = None) -> Split:
        """Return the split of a set of molecules, those with a label; ``generator`` is not used."""
        import torch

        if not getattr(getattr(data, "card", None), "molecules", False):
            raise ValueError(
                f"`data` must be a set of molecules for the split {self.name!r}, as `graphkit data import --smiles` "
                "makes one; take 'random' or 'stratified'."
            )
        _checks.extra(f"--split {self.name}", "molecules", "rdkit")
        y = data.items.y
        there = (y >= 0) if not y.is_floating_point() else ~y.isnan()
        groups: dict[str, list[int]] = {}
        for place in there.reshape(len(y), -1).any(1).nonzero().flatten().tolist():
            one = data[place]
            groups.setdefault(scaffold_smiles(one.x, one.edge_index, one.edge_attr), []).append(place)
        parts: tuple[list[int], ...] = ([], [], [])
        many = sum(map(len, groups.values()))
        room = self.train * many, (self.train + self.val) * many
        for group in sorted(groups.values(), key=lambda each: (len(each), each[0]), reverse=True):
            if len(parts[0]) + len(group) <= room[0]:
                parts[0].extend(group)
            elif len(parts[0]) + len(parts[1]) + len(group) <= room[1]:
                parts[1].extend(group)
            else:
                parts[2].extend(group)
        if not all(parts):
            largest = max(map(len, groups.values()), default=0)
            raise ValueError(
                f"`split` {self!s} leaves a part empty: {many:,} molecules have {len(groups):,} scaffolds, and the "
                f"largest has {largest:,} of them, which stay together; take other shares, or 'random'."
            )
        train, val, test = (
            torch.zeros(len(y), dtype=torch.bool).index_fill(0, torch.tensor(part), value=True) for part in parts
        )
        return Split(train, val, test, self.name, self.parameters)


def scaffold_smiles(x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> str:
    """Return the Bemis-Murcko scaffold of a molecule as canonical SMILES without chirality; empty without rings.

    Args:
        x: OGB's features of its atoms, ``[atoms, 9]``.
        edge_index: its bonds in both directions, ``[2, bonds]``.
        edge_attr: OGB's features of them, ``[bonds, 3]``.

    Example:
        >>> import pytest, torch
        >>> _ = pytest.importorskip("rdkit")
        >>> from graphkit.data.disk.molecules import read_molecules
        >>> toluene, *_ = read_molecules(["Cc1ccccc1"])
        >>> scaffold_smiles(toluene.x, toluene.edge_index, toluene.edge_attr)
        'c1ccccc1'
    """
    from rdkit import rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    from graphkit.operators.molecules import rdkit_molecule

    molecule = rdkit_molecule(x, edge_index, edge_attr, implied=True)
    with rdBase.BlockLogs():
        return str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule, includeChirality=False))
