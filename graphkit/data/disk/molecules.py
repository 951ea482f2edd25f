"""Molecules written as SMILES, as graphs of OGB's atoms and bonds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.data.catalog.ogb_evaluators import without_update_check
from graphkit.data.disk.checked_files import DataError


def read_molecules(smiles: Iterable[str]) -> tuple[Data, np.ndarray, np.ndarray, np.ndarray]:
    """Return molecules one after another, and how many atoms and (directed) bonds each has.

    Args:
        smiles: one text for each.

    Returns:
        ``x [atoms, 9]`` and ``edge_attr [bonds, 3]``, integers for OGB's encoders; atoms and bonds of each molecule,
        ``[molecules]``; and which texts are molecules with an atom, boolean ``[texts]``: the others are left out.

    Raises:
        DataError: where rdkit is not installed.

    Source: ``ogb.utils.smiles2graph`` 1.3.6, which this calls.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise DataError("molecules need rdkit: pip install 'graphkit[molecules]'.") from None
    with without_update_check():
        from ogb.utils import smiles2graph

    atoms, bonds, ends, there = [], [], [], []
    for text in smiles:
        with rdBase.BlockLogs():  # it would write to standard error of every text that is none
            molecule = Chem.MolFromSmiles(text)
        there.append(molecule is not None and molecule.GetNumAtoms() > 0)
        if there[-1]:
            graph = smiles2graph(text)
            atoms.append(graph["node_feat"])
            bonds.append(graph["edge_feat"])
            ends.append(graph["edge_index"])
    data = Data(
        x=torch.from_numpy(np.concatenate([*atoms, np.empty((0, 9), dtype=np.int64)])),
        edge_index=torch.from_numpy(np.concatenate([*ends, np.empty((2, 0), dtype=np.int64)], axis=1)),
        edge_attr=torch.from_numpy(np.concatenate([*bonds, np.empty((0, 3), dtype=np.int64)])),
    )
    counts = [np.array([len(each) for each in several], dtype=np.int64) for several in (atoms, bonds)]
    return data, counts[0], counts[1], np.array(there, dtype=bool)
