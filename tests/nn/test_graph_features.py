"""Features of whole graphs that take no training: counts, statistics, and what rdkit says of a molecule's SMILES."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from graphkit.data.disk.molecules import read_molecules
from graphkit.nn.estimators import Forest, GaussianProcess
from graphkit.nn.graph_features import (
    ColourCounts,
    Descriptors,
    Fingerprints,
    GraphFeatureModel,
    graph_statistics,
    wl_counts,
)
from graphkit.nn.graph_models import GraphBatch
from graphkit.operators.refinement import mix_bits, refine_colours


def batch(seed=0, graphs=12, edge_features=0):
    """Return random graphs, the fourth of them without a node."""
    drawn = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, (graphs,), generator=drawn)
    sizes[3] = 0
    number = torch.arange(graphs).repeat_interleave(sizes)
    pairs = torch.randint(0, len(number), (2, 200), generator=drawn)
    pairs = pairs[:, number[pairs[0]] == number[pairs[1]]]
    attr = torch.randint(0, 2, (pairs.size(1), edge_features), generator=drawn) if edge_features else None
    return GraphBatch(torch.randint(0, 3, (len(number), 2), generator=drawn).float(), pairs, attr, number, graphs)


@pytest.mark.parametrize("edge_features", [0, 2])
@pytest.mark.parametrize("rounds", [0, 2])
def test_counts_are_those_of_a_loop_over_colours(rounds, edge_features):
    given = batch(edge_features=edge_features)
    found = wl_counts(given, rounds=rounds, columns=50)
    colours = refine_colours(given.x, given.edge_index, given.edge_attr, rounds=rounds)
    expected = [Counter() for _ in range(given.graphs)]
    for number, each in enumerate(colours):
        for node, colour in enumerate(each):
            expected[int(given.batch[node])][int(mix_bits(colour + number)) % 50] += 1
    assert [{c: int(v) for c, v in enumerate(row) if v} for row in found.tolist()] == [dict(row) for row in expected]


def test_statistics_are_those_of_each_graph_by_itself():
    given = batch()
    found = graph_statistics(given)
    for number in range(given.graphs):
        own = given.batch == number
        kept = own[given.edge_index[1]]
        x, degree = given.x[own], torch.bincount(given.edge_index[1][kept], minlength=len(own))[own]
        histogram = torch.tensor([int((degree.clamp(max=7) == each).sum()) for each in range(8)]).float()
        many = max(len(x), 1)
        expected = [torch.tensor([len(x), int(kept.sum())]), x.sum(0), x.sum(0) / many, histogram, histogram / many]
        torch.testing.assert_close(found[number], torch.cat(expected))


SMILES = [
    "CCO", "C", "Cc1ccccc1", "c1cc[nH]c1", "C[N+](C)(C)Cc1ccccc1", "O=S(=O)(c1ccccc1)N1CCOCC1", "F/C=C/c1ccccc1",
    "[O-][n+]1ccccc1", "[CH3]", "[Na+].[Cl-]", "N[C@@H](C)C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[Si](C)(C)C",
    "[2H]O",
]  # fmt: skip


def molecules(smiles):
    """Return molecules side by side."""
    data, *counts, _ = read_molecules(smiles)
    atoms, bonds = map(torch.from_numpy, counts)
    number = torch.arange(len(atoms)).repeat_interleave(atoms)
    moved = data.edge_index + (atoms.cumsum(0) - atoms).repeat_interleave(bonds)
    return GraphBatch(data.x, moved, data.edge_attr, number, len(atoms))


@pytest.mark.parametrize("radius", [0, 2, 3])
def test_fingerprints_are_those_of_the_smiles(radius):
    chem, generators = pytest.importorskip("rdkit.Chem"), pytest.importorskip("rdkit.Chem.rdFingerprintGenerator")
    made = generators.GetMorganGenerator(radius=radius, fpSize=512)
    expected = [made.GetCountFingerprintAsNumPy(chem.MolFromSmiles(each)).tolist() for each in SMILES]
    found = Fingerprints(radius=radius, columns=512)(molecules(SMILES))
    isotope = SMILES.index("[2H]O")  # OGB's atoms do not tell isotopes apart
    assert [row for n, row in enumerate(found.tolist()) if n != isotope] == [
        row for n, row in enumerate(expected) if n != isotope
    ]


def test_descriptors_are_those_of_the_smiles():
    chem, known = pytest.importorskip("rdkit.Chem"), pytest.importorskip("rdkit.Chem.Descriptors")
    known_to_ogb = [each for each in SMILES if "@" not in each and "2H" not in each]  # no chirality, no isotope
    for row, smiles in zip(Descriptors()(molecules(known_to_ogb)), known_to_ogb, strict=True):
        expected = known.CalcMolDescriptors(chem.MolFromSmiles(smiles), missingVal=0.0)
        values = torch.tensor(list(expected.values()), dtype=torch.float64).nan_to_num(0.0, 0.0, 0.0)
        torch.testing.assert_close(row, (values.sign() * values.abs().log1p()).float(), atol=1e-5, rtol=1e-5)
        assert list(expected) == Descriptors.names()


@pytest.mark.parametrize("made", [ColourCounts, Fingerprints, Descriptors])
def test_a_graph_has_its_row_whatever_stands_beside_it(made):
    pytest.importorskip("rdkit")
    features = made()
    together = features(molecules(SMILES))
    for number in (0, 5, 9):
        assert torch.equal(features(molecules([SMILES[number]]))[0], together[number])


def test_edges_of_a_batch_may_stand_in_any_order():
    pytest.importorskip("rdkit")
    given = molecules(SMILES)
    order = torch.randperm(given.edge_index.size(1), generator=torch.Generator().manual_seed(0))
    turned = given._replace(edge_index=given.edge_index[:, order], edge_attr=given.edge_attr[order])
    assert torch.equal(Fingerprints()(given), Fingerprints()(turned))


def test_a_molecule_without_atoms_and_one_of_no_lawful_valence_have_rows_of_numbers():
    pytest.importorskip("rdkit")
    given = molecules(["CC(C)(C)C"])
    x = torch.cat((given.x, given.x[:0]))
    edges = torch.cat((given.edge_index, torch.tensor([[0, 2], [2, 0]])), 1)  # a second bond between two of them
    attr = torch.cat((given.edge_attr, given.edge_attr[:2]))
    odd = GraphBatch(x, edges, attr, given.batch, 2)  # the second has no atom
    for features in (Fingerprints(), Descriptors()):
        rows = features(odd)
        assert rows.isfinite().all()
        assert len(rows) == 2


@pytest.mark.parametrize("made", [Fingerprints, Descriptors])
def test_what_is_no_molecule_is_refused(made):
    pytest.importorskip("rdkit")
    given = molecules(["CCO"])
    for other in (given._replace(x=given.x.float()), given._replace(edge_attr=None)):
        with pytest.raises(ValueError, match="must be OGB's atoms and bonds"):
            made()(other)
    with pytest.raises(ValueError, match="`edge_attr`"):
        made()(given._replace(edge_attr=given.edge_attr + 12))


def test_a_model_has_a_solution_for_each_way_to_look_and_to_fit():
    model = GraphFeatureModel(ColourCounts(rounds=1, columns=8), GaussianProcess(1))
    given = batch()
    y = torch.randn(given.graphs, 1, generator=torch.Generator().manual_seed(0))
    for number, (rounds, linear) in enumerate([(0, False), (0, True), (1, False), (1, True)], 1):
        model.solve(number, lambda: model.rows(given), y, "numbers")
        assert torch.equal(model.rows(given), ColourCounts(rounds=1, columns=8)(given, rounds))
        assert bool(model.estimator.constants[0, 2] > 0) is linear
        assert model(given).shape == y.shape
    assert model.solutions == 4


def test_wrong_arguments_are_refused():
    pytest.importorskip("rdkit")
    for made, name in ((ColourCounts, "rounds"), (ColourCounts, "columns"), (Fingerprints, "radius")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            made(**{name: -1})
    with pytest.raises(ValueError, match="`number`"):
        GraphFeatureModel(ColourCounts(), Forest(2)).solve(0, lambda: None, None, "classes")
