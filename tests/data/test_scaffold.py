"""The scaffold split: that of the field, by a slow version and by published splits; no scaffold lies in two parts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import graphkit.data
from graphkit.data.disk.molecules import read_molecules
from graphkit.data.splits.scaffold import scaffold_smiles

Chem = pytest.importorskip("rdkit.Chem")
MurckoScaffold = pytest.importorskip("rdkit.Chem.Scaffolds.MurckoScaffold")

SMILES = [
    "CCO", "Cc1ccccc1", "Oc1ccccc1", "c1ccncc1", "Cc1ccncc1", "CC(=O)O", "CCCC", "C1CCCCC1", "CC1CCCCC1", "c1cc[nH]c1",
    "Cn1cccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "c1ccc2ccccc2c1", "Clc1ccc2ccccc2c1",
    "C[N+](C)(C)Cc1ccccc1", "O=S(=O)(c1ccccc1)N1CCOCC1", "F/C=C/c1ccccc1", "[O-][n+]1ccccc1", "OC1CCNCC1",
]  # fmt: skip


def scaffold_of(smiles):
    """Return the scaffold as rdkit reads it off SMILES."""
    return MurckoScaffold.MurckoScaffoldSmiles(mol=Chem.MolFromSmiles(smiles), includeChirality=False)


def divided(names, shares):
    """Return the parts as DeepChem's splitter makes them of SMILES, one loop after the other."""
    groups = {}
    for place, smiles in enumerate(names):
        groups.setdefault(scaffold_of(smiles), []).append(place)
    train, val, test = [], [], []
    for group in sorted(groups.values(), key=lambda each: (len(each), each[0]), reverse=True):
        if len(train) + len(group) > shares[0] * len(names):
            if len(train) + len(val) + len(group) > (shares[0] + shares[1]) * len(names):
                test += group
            else:
                val += group
        else:
            train += group
    return [sorted(part) for part in (train, val, test)]


def molecules(call, smiles, *more):
    Path("m.csv").write_text("name,smiles,y\n" + "".join(f"m{n},{each},{n % 2}\n" for n, each in enumerate(smiles)))
    code, _, err = call("data", "import", "m.csv", "--smiles", "smiles", "--target", "y", "--to", "mols", *more)
    assert code == 0, err


@pytest.mark.parametrize("smiles", SMILES)
def test_a_scaffold_read_off_atoms_and_bonds_is_that_of_the_smiles(smiles):
    data, *_ = read_molecules([smiles])
    assert scaffold_smiles(data.x, data.edge_index, data.edge_attr) == scaffold_of(smiles)


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("more", [(), ("--id", "name")])
@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25)])
def test_own_molecules_are_divided_as_deepchem_does(call, shares, more):
    molecules(call, SMILES, *more)
    found = graphkit.data.load("mols", split=f"scaffold:{','.join(map(str, shares))}", seed=3)
    parts = [mask.nonzero().flatten().tolist() for mask in found.split.masks.values()]
    assert parts == divided(SMILES, shares)
    assert "seed" not in found.protocol["parameters"]


@pytest.mark.parametrize("name", ["ogbg-molesol", "ogbg-molfreesolv"])
def test_published_scaffold_splits_come_out(mirror, name):
    public, ours = (graphkit.data.load(name, split=split).split for split in ("public", "scaffold"))
    assert all(torch.equal(ours.masks[part], public.masks[part]) for part in ours.masks)


WRONG = {
    "no molecules": ("mutag", "`data` must be a set of molecules for the split 'scaffold'"),
    "a graph": ("karate", "`data` must be a set of molecules for the split 'scaffold'"),
    "a part is empty": ("./mols", "leaves a part empty: 3 molecules have 2 scaffolds, and the largest has 2"),
    "not all": ("./mols:0.5,0.1,0.1", "must be 1 together: nothing is drawn"),
    "no rdkit": ("./mols", "`--split scaffold` needs rdkit: pip install 'graphkit[molecules]'."),
    "a seed": ("./mols", "`--split-seed` draws a random split, but 'scaffold' is given as it is"),
}


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("case", WRONG)
def test_what_it_cannot_divide_is_refused_in_one_line(call, monkeypatch, request, case):
    name, said = WRONG[case]
    if name == "mutag":
        request.getfixturevalue("mirror")
    molecules(call, SMILES if case == "a seed" else ["CCO", "CC", "c1ccccc1"])
    if case == "no rdkit":
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rdkit" else find(name))
    name, _, shares = name.partition(":")
    seed = ("--split-seed", "1") if case == "a seed" else ()
    code, _, err = call(
        "train", name, "--model", "gcn", "--split", f"scaffold:{shares}" if shares else "scaffold", *seed
    )
    assert (code, said in err) == (2, True), err
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


@pytest.mark.usefixtures("own_folder")
def test_it_is_one_split_and_not_one_for_each_seed(call):
    molecules(call, SMILES)
    code, _, err = call("train", "./mols", "--model", "gin", "--split", "scaffold", "--split-per-seed")
    assert (code, "is one and fixed" in err) == (2, True), err
    with pytest.raises(ValueError, match="is one and fixed"):
        graphkit.data.load_splits("./mols", split="scaffold", seeds=range(2))
