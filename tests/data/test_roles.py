"""Graphs of structural roles: what each role looks like, and that labels follow from structure alone."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.utils import degree

from graphkit.data import load
from graphkit.data.catalog.sources.generated import COPIES, MOTIFS, ROLES, role_graph


@pytest.mark.parametrize("base", ["cycle", "community"])
def test_roles_are_where_the_motifs_put_them(base):
    data = role_graph(base, 0)
    counts = data.y.bincount().tolist()
    expected = [0] * (len(ROLES) + 1)
    for _, roles in MOTIFS.values():
        for role in roles:
            expected[role] += COPIES
    expected[-1] = 240
    assert counts == expected
    assert data.is_undirected()
    assert not data.has_self_loops()
    degrees = degree(data.edge_index[0], data.num_nodes)
    medians = {role: degrees[data.y == number].median().item() for number, role in enumerate(ROLES)}
    assert medians["star centre"] == 5
    assert medians["star leaf"] == 1
    assert medians["fan hub"] == 4
    assert medians["house wall"] == 3
    assert torch.equal(data.x.argmax(1), degrees.clamp(max=9).long())


def test_a_seed_is_a_graph_and_another_seed_another():
    one, same, other = (role_graph("community", seed) for seed in (1, 1, 2))
    assert torch.equal(one.edge_index, same.edge_index)
    assert not torch.equal(one.edge_index[:, :1000], other.edge_index[:, :1000])
    with pytest.raises(ValueError, match="`base` 'cycles' is not known"):
        role_graph("cycles", 0)


def test_they_are_loaded_as_a_family():
    family = load("structural-roles")
    assert list(family) == ["cycle-1", "cycle-2", "cycle-3", "community-1", "community-2", "community-3"]
