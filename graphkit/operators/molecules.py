"""Molecules for rdkit, from atoms and bonds as OGB numbers them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

CHARGES, ELEMENTS = 11, 118
"""Formal charges that OGB's atoms tell apart, from -5 on, and elements; what is beyond is of no known kind."""

NITROGEN = (7, 15, 33)
"""Aromatic elements whose hydrogen no valence implies: without it their ring has two readings."""


def rdkit_molecule(x: Tensor, edge_index: Tensor, edge_attr: Tensor, *, implied: bool = False) -> Any:
    """Return a molecule as rdkit's ``Mol``, its rings known; rdkit must be installed.

    A molecule that has no lawful valence is returned all the same. What OGB's numbers do not tell, such as isotopes, is
    lost; chirality is left out.

    Args:
        x: OGB's features of its atoms, ``[atoms, 9]``.
        edge_index: its bonds in both directions, ``[2, bonds]``.
        edge_attr: OGB's features of them, ``[bonds, 3]``.
        implied: hydrogens and radicals are what the valence implies, as in a molecule that is about to lose atoms; else
            they are those of ``x``.

    Example:
        >>> import pytest
        >>> Chem = pytest.importorskip("rdkit.Chem")
        >>> from graphkit.data.disk.molecules import read_molecules
        >>> toluene, *_ = read_molecules(["Cc1ccccc1"])
        >>> Chem.MolToSmiles(rdkit_molecule(toluene.x, toluene.edge_index, toluene.edge_attr))
        'Cc1ccccc1'
    """
    from rdkit import Chem, rdBase

    kinds = Chem.BondType
    bonds = (kinds.SINGLE, kinds.DOUBLE, kinds.TRIPLE, kinds.AROMATIC, kinds.ZERO)
    molecule = Chem.RWMol()
    for element, _, _, charge, hydrogens, radicals, _, aromatic, _ in x.tolist():
        atom = Chem.Atom(element + 1 if element < ELEMENTS else 0)
        atom.SetFormalCharge(charge - CHARGES // 2 if charge < CHARGES else 0)
        atom.SetIsAromatic(bool(aromatic))
        if not implied:
            atom.SetNumRadicalElectrons(radicals)
        if not implied or (aromatic and hydrogens and element + 1 in NITROGEN):
            atom.SetNumExplicitHs(hydrogens)
            atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for (one, other), (kind, *_) in zip(edge_index.T.tolist(), edge_attr.tolist(), strict=True):
        if one < other:
            molecule.AddBond(one, other, bonds[kind])
    with rdBase.BlockLogs():  # it would write to standard error of every molecule with an odd valence
        if Chem.SanitizeMol(molecule, catchErrors=True):
            molecule.UpdatePropertyCache(strict=False)
            Chem.FastFindRings(molecule)
    return molecule.GetMol()
