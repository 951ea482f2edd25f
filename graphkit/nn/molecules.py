"""Atoms and bonds as vectors: sums of one learnt row for each of their categories."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, categories
from graphkit.nn.inputs import is_tracing
from graphkit.operators.messages import EdgeTable

ATOM_CATEGORIES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
"""Values of an atom's nine features, as OGB 1.3.6 counts them: number, chirality, degree, charge, hydrogens, radicals,
hybridisation, aromatic, in a ring."""

BOND_CATEGORIES = (5, 6, 2)
"""Values of a bond's three features: kind, stereo, conjugated. As OGB 1.3.6 counts them."""


ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og *"
)
"""Symbols of an atom's first feature; the last one is of no known element."""

BONDS = ("single", "double", "triple", "aromatic", "other")
"""Names of a bond's first feature."""


class AtomEncoder(nn.Module):
    """Atoms as vectors of width ``emb_dim``: the sum of one learnt row for each of an atom's nine features.

    The counterpart of OGB's module of this name, with its parameters; one look-up where OGB makes nine and adds them.

    Raises:
        ValueError: in ``forward``, for another number of features, or a category that there is not.

    Source: Hu et al. (2020), arXiv:2005.00687; ``ogb.graphproppred.mol_encoder`` 1.3.6 for sizes and initial values.

    Example:
        >>> AtomEncoder(4)(torch.zeros(3, 9, dtype=torch.long)).shape
        torch.Size([3, 4])
    """

    first_atom: Tensor

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.atom_embedding_list = _embeddings(ATOM_CATEGORIES, emb_dim)
        self.register_buffer("first_atom", torch.tensor([0, *ATOM_CATEGORIES[:-1]]).cumsum(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of atoms ``x [nodes, 9]``, integers, as ``[nodes, emb_dim]``."""
        categories("x", x, ATOM_CATEGORIES)
        rows = torch.cat(_weights(self.atom_embedding_list))
        if is_tracing():  # the sum of a bag is no operation of ONNX
            return F.embedding(x + self.first_atom, rows).sum(1)
        return F.embedding_bag(x + self.first_atom, rows, mode="sum")


class BondEncoder(nn.Module):
    """Bonds as vectors of width ``emb_dim``: the sum of one learnt row for each of a bond's three features.

    The counterpart of OGB's module of this name, with its parameters. :meth:`table` gives the same features without
    laying them out: there are at most 60 different ones.

    Raises:
        ValueError: in ``forward`` and :meth:`table`, for another number of features, or a category that there is not:
            other tool kits number bonds otherwise (PyG's aromatic one is 12), and cannot be looked up here.

    Source: Hu et al. (2020), arXiv:2005.00687; ``ogb.graphproppred.mol_encoder`` 1.3.6 for sizes and initial values.

    Example:
        >>> encoder, bonds = BondEncoder(4), torch.tensor([[0, 0, 1], [1, 2, 0]])
        >>> torch.allclose(encoder(bonds), encoder.table(bonds).to_dense())
        True
    """

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.bond_embedding_list = _embeddings(BOND_CATEGORIES, emb_dim)

    def forward(self, edge_attr: Tensor) -> Tensor:
        """Return the vectors of bonds ``edge_attr [edges, 3]``, integers, as ``[edges, emb_dim]``."""
        return self.table(edge_attr).to_dense()

    def table(self, edge_attr: Tensor) -> EdgeTable:
        """Return them as rows of a table of all combinations."""
        categories("edge_attr", edge_attr, BOND_CATEGORIES)
        kind, stereo, conjugated = _weights(self.bond_embedding_list)
        table = kind[:, None, None] + stereo[None, :, None] + conjugated[None, None, :]
        return EdgeTable(table.flatten(0, 2), bond_indices(edge_attr))


def atom_symbols(x: Tensor) -> list[str]:
    """Return the chemical symbol of each atom.

    Args:
        x: features as :class:`AtomEncoder` takes them, ``[nodes, 9]``.

    Source: ``ogb.utils.features`` 1.3.6 for the order of the elements.

    Example:
        >>> atom_symbols(torch.tensor([[5, 0], [7, 0], [118, 0]]))
        ['C', 'O', '*']
    """
    elements = ELEMENTS.split()
    return [elements[number] for number in x[:, 0].tolist()]


def bond_kinds(edge_attr: Tensor) -> list[str]:
    """Return the kind of each bond: single, double, triple, aromatic or other.

    Args:
        edge_attr: features as :class:`BondEncoder` takes them, ``[edges, 3]``.

    Source: ``ogb.utils.features`` 1.3.6 for the order of the kinds.

    Example:
        >>> bond_kinds(torch.tensor([[0, 0, 1], [3, 2, 0]]))
        ['single', 'aromatic']
    """
    return [BONDS[kind] for kind in edge_attr[:, 0].tolist()]


def bond_indices(edge_attr: Tensor) -> Tensor:
    """Return the number of each bond's combination among all, ``[edges]``; the caller vouches for the categories.

    Example:
        >>> bond_indices(torch.tensor([[0, 0, 1], [1, 2, 0]])).tolist()
        [1, 16]
    """
    _, stereo, conjugated = BOND_CATEGORIES
    return (edge_attr[:, 0] * stereo + edge_attr[:, 1]) * conjugated + edge_attr[:, 2]


def _embeddings(categories: tuple[int, ...], emb_dim: int) -> nn.ModuleList:
    embeddings = [nn.Embedding(count, at_least("emb_dim", emb_dim, 1)) for count in categories]
    for embedding in embeddings:
        nn.init.xavier_uniform_(embedding.weight)
    return nn.ModuleList(embeddings)


def _weights(embeddings: nn.ModuleList) -> list[Tensor]:
    return [cast("Tensor", each.weight) for each in embeddings]
