"""Sketches of pairs against sets of nodes, at the errors that their sizes promise."""

from __future__ import annotations

import pytest
import torch

from graphkit.operators.pair_sketches import PairSketches
from tests.graphs import ZOO


def around(edge_index, nodes, hops):
    """Return, for each number of steps, the set of nodes within so many of each."""
    near = [{u} for u in range(nodes)]
    for u, v in edge_index.T.tolist():
        near[u].add(v)
        near[v].add(u)
    within, found = [{u} for u in range(nodes)], []
    for _ in range(hops):
        within = [set().union(*(near[v] for v in each)) for each in within]
        found.append(within)
    return found


def drawn(nodes=300, edges=900, seed=0):
    return torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_numbers_are_those_of_sets(hops):
    edges, pairs = drawn(), torch.randint(300, (2, 400), generator=torch.Generator().manual_seed(1))
    sets = around(edges, 300, hops)
    found = PairSketches(edges, 300, hops=hops, permutations=2048, precision=12)
    overlaps = found.overlaps(pairs)
    for i in range(hops):
        for j in range(hops):
            both = [(sets[i][u], sets[j][v]) for u, v in pairs.T.tolist()]
            exact = torch.tensor([len(a & b) for a, b in both], dtype=torch.float64)
            union = torch.tensor([len(a | b) for a, b in both], dtype=torch.float64)
            share = exact / union
            # Five deviations of the share, and of the size, which is counted among 4,096 registers.
            allowed = union * 5 * (share * (1 - share) / 2048).sqrt() + 5 * 1.04 / 64 * exact + 1e-9
            assert bool(((overlaps[:, i, j] - exact).abs() <= allowed).all())
    columns = found.counts(pairs)
    assert columns.shape == (400, hops * (hops + 1) // 2 + 2 * hops)
    shells = [[each - (sets[i - 1][u] if i else set()) for u, each in enumerate(sets[i])] for i in range(hops)]
    expected = []
    for u, v in pairs.T.tolist():
        row = []
        for j in range(hops):
            for i in range(j + 1):
                count = len(shells[i][u] & shells[j][v])
                row.append(count if i == j else count + len(shells[j][u] & shells[i][v]))
        for i in range(hops):
            alone = len(shells[i][u] - sets[-1][v]), len(shells[i][v] - sets[-1][u])
            row += sorted(alone)
        expected.append(row)
    expected = torch.tensor(expected, dtype=torch.float32)
    size = torch.tensor([len(sets[-1][u] | sets[-1][v]) for u, v in pairs.T.tolist()])[:, None]
    assert bool(((columns - expected).abs() <= 0.12 * size + 1).all())
    assert (columns - expected).abs().mean() < 0.02 * size.float().mean()


def test_estimates_do_not_lean_to_one_side():
    edges, pairs = drawn(), torch.randint(300, (2, 200), generator=torch.Generator().manual_seed(1))
    sets = around(edges, 300, 2)
    exact = torch.tensor([len(sets[1][u] & sets[1][v]) for u, v in pairs.T.tolist()], dtype=torch.float64)
    several = [PairSketches(edges, 300, seed=seed).overlaps(pairs)[:, 1, 1] for seed in range(30)]
    assert float(torch.stack(several).mean()) == pytest.approx(float(exact.mean()), rel=0.03)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_any_graph_has_them_and_the_order_of_a_pair_says_nothing(graph):
    nodes = graph.num_nodes
    pairs = torch.randint(max(nodes, 1), (2, 20 if nodes else 0), generator=torch.Generator().manual_seed(0))
    found = PairSketches(graph.edge_index, nodes).counts(pairs)
    assert bool(found.isfinite().all())
    assert bool((found >= 0).all())
    assert torch.equal(found, PairSketches(graph.edge_index.flip(0), nodes).counts(pairs.flip(0)))


def test_a_seed_decides_them_on_any_number_of_threads():
    edges, pairs = drawn(3000, 9000), torch.randint(3000, (2, 5000), generator=torch.Generator().manual_seed(1))
    threads, several = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        several.append(PairSketches(edges, 3000, seed=-1).counts(pairs))
    torch.set_num_threads(threads)
    assert torch.equal(*several)
    assert not torch.equal(several[0], PairSketches(edges, 3000, seed=0).counts(pairs))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hops": 0}, "`hops`"),
        ({"hops": 5}, "`hops` must be at most 4"),
        ({"permutations": 0}, "`permutations`"),
        ({"precision": 3}, "`precision`"),
        ({"precision": 13}, "`precision` must be at most 12"),
        ({"seed": "x"}, "`seed`"),
        ({"num_nodes": 2}, "edge_index"),
    ],
)
def test_what_is_no_sketch_is_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PairSketches(**{"edge_index": drawn(), "num_nodes": 300, **wrong})
    with pytest.raises(ValueError, match="`pairs`"):
        PairSketches(drawn(), 300).counts(torch.tensor([[0], [300]]))
