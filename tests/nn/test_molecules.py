"""Atoms and bonds: OGB's own modules are the truth."""

from __future__ import annotations

import pytest
import torch
from ogb.graphproppred import mol_encoder
from torch import nn
from torch_geometric.nn import GINEConv as PyGGINEConv

from graphkit.nn import AtomEncoder, BondedGCNConv, BondEncoder, GINEConv, GraphClassifier
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.molecules import ATOM_CATEGORIES, BOND_CATEGORIES
from graphkit.operators.messages import EdgeTable


def drawn(categories, rows):
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randint(count, (rows,), generator=generator) for count in categories], dim=1)


@pytest.mark.parametrize(
    ("ours", "ogbs", "categories"),
    [
        (AtomEncoder, mol_encoder.AtomEncoder, ATOM_CATEGORIES),
        (BondEncoder, mol_encoder.BondEncoder, BOND_CATEGORIES),
    ],
)
def test_encoders_load_ogbs_weights_and_give_its_numbers(ours, ogbs, categories):
    theirs, own, features = ogbs(6), ours(6), drawn(categories, 30)
    own.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(own.state_dict())
    torch.testing.assert_close(own(features), theirs(features))


@pytest.mark.parametrize(
    ("encoder", "features"),
    [(AtomEncoder(2), torch.zeros(3, 8, dtype=torch.long)), (BondEncoder(2), torch.zeros(3, 3))],
)
def test_what_are_no_categories_is_refused(encoder, features):
    with pytest.raises(ValueError, match="integer categories"):
        encoder(features)


def test_gine_with_a_table_of_bonds_is_pygs_with_all_of_them_and_so_are_its_gradients():
    edge_index = torch.randint(9, (2, 30), generator=torch.Generator().manual_seed(1))
    x, bonds, encoder = torch.randn(9, 4).double(), drawn(BOND_CATEGORIES, 30), BondEncoder(4).double()
    ours = GINEConv(nn.Linear(4, 2), train_eps=True).double()
    theirs = PyGGINEConv(nn.Linear(4, 2), train_eps=True).double()
    theirs.load_state_dict(ours.state_dict())
    found, expected = ours(x, edge_index, encoder.table(bonds)), theirs(x, edge_index, encoder(bonds))
    torch.testing.assert_close(found, expected)
    parameters = list(encoder.parameters())
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_convolution_with_bonds_is_its_sum_written_as_a_loop():
    graph = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]])
    edge_index = torch.cat([graph, graph.flip(0)], dim=1)
    conv, x, edges = BondedGCNConv(3, 2), torch.randn(5, 3), torch.randn(8, 2)
    z, degree = conv.linear(x), torch.bincount(edge_index[0], minlength=5) + 1
    expected = (z + conv.root_emb.weight).relu() / degree[:, None]
    for (j, i), term in zip(edge_index.T.tolist(), edges, strict=True):
        expected[i] += (z[j] + term).relu() / (degree[i] * degree[j]).sqrt()
    torch.testing.assert_close(conv(x, edge_index, edges), expected)
    table = EdgeTable(edges, torch.arange(8))
    torch.testing.assert_close(conv(x, edge_index, table), expected)


WRONG_BONDS = [[12, 0, 0], [-1, 0, 0], [10**8, 0, 0], [0, 6, 0], [0, 0, 2], [0, -1, 0]]
"""The first is PyG's aromatic bond; the fourth was taken for the next kind of bond, the others for foreign memory."""


@pytest.mark.parametrize("bond", WRONG_BONDS)
def test_a_bond_of_no_known_kind_is_refused_wherever_bonds_are_taken(bond):
    bonds, x = torch.tensor([[0, 0, 0], bond]), torch.randn(3, 4)
    edge_index, encoder = torch.tensor([[0, 1], [1, 2]]), BondEncoder(4)
    classifier = GraphClassifier(None, 4, 1, conv=lambda i, o: GINEConv(nn.Linear(i, o)), layers=2)
    batch = GraphBatch(torch.zeros(3, 9, dtype=torch.long), edge_index, bonds, torch.zeros(3, dtype=torch.long), 1)
    doors = [
        lambda: encoder(bonds),
        lambda: GINEConv(nn.Linear(4, 2))(x, edge_index, encoder.table(bonds)),
        lambda: BondedGCNConv(4, 4)(x, edge_index, encoder.table(bonds)),
        lambda: classifier(batch),
    ]
    for door in doors:
        with pytest.raises(ValueError, match="`edge_attr` must hold categories from 0 to"):
            door()


@pytest.mark.parametrize("column", range(9))
def test_an_atom_beyond_its_categories_is_not_one_of_the_next_column(column):
    atoms = torch.zeros(2, 9, dtype=torch.long)
    encoder = AtomEncoder(2)
    atoms[1, column] = ATOM_CATEGORIES[column] - 1
    assert encoder(atoms).shape == (2, 2)
    for wrong in (ATOM_CATEGORIES[column], -1):
        atoms[1, column] = wrong
        with pytest.raises(ValueError, match=f"in column {column}, .* got {wrong}"):
            encoder(atoms)


def test_categories_are_looked_at_in_a_compiled_model_too():
    encoder, bonds = torch.compile(BondEncoder(2), fullgraph=True, backend="aot_eager"), torch.zeros(2, 3).long()
    assert encoder(bonds).shape == (2, 2)
    bonds[0, 1] = 6
    with pytest.raises(RuntimeError, match="category that there is not"):
        encoder(bonds)


@pytest.mark.parametrize("row", [[0, 60], [-1, 0], [10**8, 0]])
def test_a_table_of_edges_whose_rows_are_not_there_is_refused(row):
    edges = EdgeTable(torch.randn(60, 4), torch.tensor(row))
    x, edge_index = torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]])
    for layer in (GINEConv(nn.Linear(4, 2)), BondedGCNConv(4, 4)):
        with pytest.raises(ValueError, match="`row` must name rows of `table`, from 0 to 59"):
            layer(x, edge_index, edges)
