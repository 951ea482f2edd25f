"""The laws of splits of links, over the zoo and random graphs: nothing held out is told, nothing is drawn twice."""

from __future__ import annotations

import contextlib
import dataclasses
import random

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit

from graphkit.data import (
    AcrossLinks,
    LatestLinks,
    LinkSplit,
    PublicLinks,
    RandomLinks,
    hard_negatives,
    link_split_from_name,
)
from graphkit.data.splits.links import LinkPart, node_kinds
from graphkit.data.splits.non_edges import non_edges, pair_keys, pair_spaces
from graphkit.operators.pair_scores import PairScores
from tests.graphs import ZOO


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn_graph(seed, *, directed):
    """A random graph with self-loops, edges that stand several times, and times."""
    made = generator(seed)
    nodes = int(torch.randint(4, 30, (), generator=made))
    edges = torch.randint(nodes, (2, 3 * nodes), generator=made)
    edges = torch.cat([edges, edges[:, : nodes // 2]], 1)
    if not directed:
        edges = torch.cat([edges, edges.flip(0)], 1)
    return Data(edge_index=edges, edge_time=torch.randint(9, (edges.size(1),), generator=made), num_nodes=nodes)


def split_or_none(rule, data, seed):
    """Return a split, or None where it is refused for one of the two reasons that there are."""
    found = []
    with contextlib.suppress(ValueError):
        found.append(rule(data, generator(seed)))
    if found:
        return found[0]
    with pytest.raises(ValueError, match=r"links between different nodes|could be joined and are not"):
        rule(data, generator(seed))
    return None


def as_sets(split, pairs):
    pairs = pairs.flatten(1).T.tolist()
    return [tuple(pair) if split.directed else tuple(sorted(pair)) for pair in pairs]


def require_laws(split: LinkSplit, data: Data) -> None:
    """The laws once more, by sets of Python."""
    seen = set(as_sets(split, split.message_data(data).edge_index))
    every = set(as_sets(split, data.edge_index))
    train, val, test = (as_sets(split, pairs) for pairs in (split.train, split.val.positive, split.test.positive))
    assert len({*train, *val, *test}) == len(train) + len(val) + len(test)
    assert {*train, *val, *test} <= every
    assert set(train) <= seen
    assert not seen & {*val, *test}
    others = [as_sets(split, part.negative) for part in (split.val, split.test)]
    together = [*others[0], *others[1]]
    assert len(set(together)) == len(together)
    assert not set(together) & every
    assert all(u != v for u, v in together)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("rule", [RandomLinks, LatestLinks])
def test_no_split_of_a_thousand_leaks(rule, directed):
    many = 0
    for seed in range(250):
        data = drawn_graph(seed, directed=directed)
        split = split_or_none(rule(0.6, 0.2, 0.2), data, seed)
        if split is None:  # a graph that is nearly complete
            continue
        require_laws(split, data)
        split.require_laws(data)
        assert split.directed is directed or data.is_undirected()
        many += 1
    assert many > 200


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_every_graph_of_the_zoo_is_split_or_refused_in_words(graph):
    data = Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)
    split = split_or_none(RandomLinks(negatives=0.5), data, 0)
    if split is None:
        return
    require_laws(split, data)
    split.require_laws(data)


def test_pygs_split_breaks_the_law_that_ours_keeps():
    """PyG 2.8.1 draws the pairs of parts apart (its issue 10706), by Python's own generator."""
    random.seed(0)
    data, broken = drawn_graph(0, directed=False), 0
    data.edge_index = torch.unique(data.edge_index[:, data.edge_index[0] != data.edge_index[1]], dim=1)
    for _ in range(50):
        parts = RandomLinkSplit(num_val=0.2, num_test=0.2, is_undirected=True, add_negative_train_samples=False)(data)
        others = [
            {tuple(sorted(pair)) for pair in part.edge_label_index[:, part.edge_label == 0].T.tolist()}
            for part in parts[1:]
        ]
        broken += bool(others[0] & others[1])
    assert broken > 0


def test_the_latest_links_are_measured_and_nothing_later_is_seen():
    for seed in range(50):
        data = drawn_graph(seed, directed=True)
        split = LatestLinks(0.5, 0.25, 0.25, negatives=0.1)(data, generator())
        first: dict[tuple[int, int], int] = {}
        for (u, v), time in zip(data.edge_index.T.tolist(), data.edge_time.tolist(), strict=True):
            first[u, v] = min(time, first.get((u, v), time))
        times = [
            [first[tuple(pair)] for pair in pairs.T.tolist()]
            for pairs in (split.train, split.val.positive, split.test.positive)
        ]
        assert max(times[0]) <= min(times[1])
        assert max(times[1]) <= min(times[2])
        assert int(split.message_data(data).edge_time.max()) <= max(times[0])


def test_a_generator_decides_everything_and_fields_of_edges_go_with_them():
    data = drawn_graph(3, directed=False)
    one, again, other = (RandomLinks()(data, generator(seed)) for seed in (0, 0, 1))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.record()["parameters"]["seed"] == 0
    seen = one.message_data(data)
    assert torch.equal(seen.edge_time, data.edge_time[one.message])
    assert one.apply(data).link_split is one


@pytest.mark.parametrize("directed", [False, True])
def test_links_to_choose_on_are_seen_in_measuring_where_that_is_asked_for(directed):
    data = drawn_graph(3, directed=directed)
    plain, more = (RandomLinks(negatives=0.3, validation_seen=seen)(data, generator()) for seen in (0, 1))
    assert more.parameters["validation_seen"] == 1
    assert torch.equal(plain.message, more.message)
    more.require_laws(data)
    before, after = (set(as_sets(more, more.message_data(data, measuring=when).edge_index)) for when in (False, True))
    assert after - before == set(as_sets(more, more.val.positive))
    assert not after & set(as_sets(more, more.test.positive))
    leaking = dataclasses.replace(more, later=torch.ones_like(more.message))
    with pytest.raises(ValueError, match="when it is measured"):
        leaking.require_laws(data)


def test_pygs_fields():
    data = drawn_graph(3, directed=False)
    split = RandomLinks()(data, generator())
    for made, part in zip(split.as_pyg(data, generator()), (None, split.val, split.test), strict=True):
        links = made.edge_label_index[:, made.edge_label == 1]
        assert torch.equal(links, split.train if part is None else part.positive)
        assert torch.equal(made.edge_index, split.message_data(data).edge_index)  # of all three, as it is asked for
        assert len(made.edge_label) == made.edge_label_index.size(1)


def test_shares_are_those_that_are_asked_for():
    ring = torch.arange(100)
    data = Data(edge_index=torch.stack([ring, (ring + 1) % 100]), num_nodes=100)
    split = RandomLinks(0.5, 0.1, 0.2, negatives=2.0)(data, generator())
    sizes = split.train.size(1), split.val.positive.size(1), split.test.positive.size(1)
    assert sizes == (50, 10, 20)
    assert (split.val.negative.size(1), split.test.negative.size(1), int(split.message.sum())) == (20, 40, 50)


def test_of_users_and_items_no_two_users_are_drawn():
    users, items = (
        torch.randint(10, (60,), generator=generator()),
        10 + torch.randint(15, (60,), generator=generator(1)),
    )
    bought = Data(edge_index=torch.stack([users, items]), num_nodes=26)
    assert node_kinds(bought).tolist()[25] == 2  # neither
    both = Data(edge_index=torch.cat([bought.edge_index, bought.edge_index.flip(0)], 1), num_nodes=26)
    both.node_type = node_kinds(bought)
    for data in (bought, both):
        split = RandomLinks()(data, generator())
        require_laws(split, data)
        for part in (split.val, split.test):
            assert bool((part.negative[0] < 10).all())
            assert bool(((part.negative[1] >= 10) & (part.negative[1] < 25)).all())
    assert node_kinds(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)) is None


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("count", [1, 5, 12])
def test_non_edges_are_uniform(directed, count):
    """Every pair that could be drawn is drawn as often as any other, by listing them and by rejection."""
    nodes = 6
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    keys = pair_keys(edges, nodes, directed=directed).unique()
    spaces = pair_spaces(None, keys, nodes, directed=directed)
    left = spaces[0].size - spaces[0].edges
    made, counts = generator(), {}
    rounds = 4000 // min(count, left)
    for _ in range(rounds):
        found = non_edges(keys, spaces, nodes, min(count, left), made)
        for key in pair_keys(found, nodes, directed=directed).tolist():
            counts[key] = counts.get(key, 0) + 1
    assert len(counts) == left
    mean = sum(counts.values()) / left
    assert max(abs(each - mean) for each in counts.values()) < 5 * mean**0.5


def test_what_cannot_be_is_refused_in_words():
    complete = torch.cartesian_prod(torch.arange(5), torch.arange(5)).T
    with pytest.raises(ValueError, match="0 pairs of nodes that could be joined and are not"):
        RandomLinks()(Data(edge_index=complete, num_nodes=5), generator())
    with pytest.raises(ValueError, match="has 0 links between different nodes"):
        RandomLinks()(Data(edge_index=torch.tensor([[0, 1], [0, 1]]), num_nodes=2), generator())
    with pytest.raises(ValueError, match="no `edge_index`"):
        RandomLinks()(Data(num_nodes=3), generator())
    with pytest.raises(ValueError, match="needs `edge_time`"):
        LatestLinks()(Data(edge_index=complete[:, :9], num_nodes=5), generator())
    with pytest.raises(ValueError, match="no published split"):
        PublicLinks()(Data(edge_index=complete, num_nodes=5))
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        link_split_from_name("randm")
    with pytest.raises(ValueError, match="`train`, `val` and `test` must be above 0 and at most 1 together"):
        link_split_from_name("random:0.9,0.2,0.2")


def test_a_split_that_leaks_is_told():
    data = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), num_nodes=6)
    good = LinkPart(torch.tensor([[2], [3]]), torch.tensor([[0], [3]]))
    test = LinkPart(torch.tensor([[3], [4]]), torch.tensor([[0], [4]]))
    seen = torch.tensor([True, True, False, False])

    def split(**changed):
        parts = {"message": seen, "train": data.edge_index[:, :2], "val": good, "test": test} | changed
        return LinkSplit(6, directed=True, **parts)

    split().require_laws(data)
    wrong = {
        "a link of `val` is among the edges": {"message": torch.ones(4, dtype=torch.bool)},
        "two parts hold the same link": {"test": LinkPart(good.positive, test.negative)},
        "a link of `train` is not among the edges": {"message": torch.tensor([True, False, False, False])},
        "`val.negative` holds an edge": {"val": LinkPart(good.positive, torch.tensor([[0], [1]]))},
        "`val.negative` holds a self-loop": {"val": LinkPart(good.positive, torch.tensor([[1], [1]]))},
        "`val.negative` holds a pair twice": {"val": LinkPart(good.positive, torch.tensor([[0, 0], [3, 3]]))},
        "share a pair": {"test": LinkPart(test.positive, good.negative)},
        "`train` holds a link twice": {"train": data.edge_index[:, [0, 0]]},
    }
    for message, changed in wrong.items():
        with pytest.raises(ValueError, match=message):
            split(**changed).require_laws(data)


@pytest.mark.parametrize("kind", ["undirected", "directed", "sides"])
@pytest.mark.parametrize("features", [False, True])
def test_hard_negatives_are_no_links_and_come_first_by_some_rule(kind, features):
    made = generator(3)
    if kind == "sides":
        edges = torch.stack([torch.randint(10, (50,), generator=made), 10 + torch.randint(20, (50,), generator=made)])
    else:
        edges = torch.randint(30, (2, 60), generator=made)
        edges = torch.cat([edges, edges.flip(0)], 1) if kind == "undirected" else edges
    data = Data(edge_index=edges, num_nodes=30)
    if features:
        data.x = torch.randn(30, 5, generator=made)
    split = RandomLinks()(data, generator())
    hard = hard_negatives(split, data, 6, generator=generator())
    assert hard.parameters["hard"] == 6
    hard.require_laws(data)
    every = {tuple(pair) for pair in torch.cat([edges, edges.flip(0)], 1).T.tolist()}
    kinds, seen = node_kinds(data), split.message_data(data)
    both = PairScores(torch.cat([seen.edge_index, seen.edge_index.flip(0)], 1), 30)
    for part in (hard.val, hard.test):
        for link, pairs in zip(part.positive.T.tolist(), part.negative.permute(1, 2, 0).tolist(), strict=True):
            assert [u for u, _ in pairs[:3]] == [link[0]] * 3
            assert [v for _, v in pairs[3:]] == [link[1]] * 3
            assert len({tuple(pair) for pair in pairs}) == 6
            assert not every & {tuple(pair) for pair in pairs}
            if kinds is not None:
                assert {(kinds[u].item(), kinds[v].item()) for u, v in pairs} == {(0, 1)}
            # Who is first of all others by a rule, and no link, is among them.
            others = [v for v in range(30) if v != link[0] and (link[0], v) not in every]
            others = [v for v in others if kinds is None or kinds[v] == 1]
            asked = torch.tensor([[link[0]] * len(others), others])
            walks = both.pagerank_rows(torch.tensor([link[0]]))[0, asked[1]]
            ranked = walks.sort(descending=True)
            if ranked.values[0] > ranked.values[1] + 1e-6 and kind != "sides":
                assert others[int(ranked.indices[0])] in {v for _, v in pairs[:3]}
    with pytest.raises(ValueError, match="`count` must be smaller"):
        hard_negatives(split, data, 60)


def several(seed=0):
    """Three graphs in one, with loops and copies of edges."""
    made = generator(seed)
    parts = [torch.randint(20, (2, 60), generator=made) + 20 * number for number in range(3)]
    edges = torch.cat(parts, 1)
    data = Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=60, parts={"a": 20, "b": 20, "c": 20})
    data.part = torch.arange(60) // 20
    return data


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("others", [0, 1])
def test_a_split_across_graphs_measures_one_of_them_and_keeps_the_laws(seed, others):
    data = several(seed)
    split = AcrossLinks("b", shots=5, others=others)(data, generator(seed))
    require_laws(split, data)
    split.require_laws(data)
    for part in (split.val, split.test):
        assert bool((data.part[part.pairs()] == 1).all())
        assert part.negative.size(1) == split.test.positive.size(1)
    of_train = data.part[split.train]
    assert torch.equal(of_train[0], of_train[1])
    assert of_train[0].bincount(minlength=3)[1] == split.val.positive.size(1) == 5
    assert bool(of_train[0].bincount(minlength=3)[[0, 2]].any()) is bool(others)
    # With the other graphs and without them the same links are measured, among the same pairs.
    alone = AcrossLinks("b", shots=5, others=1 - others)(data, generator(seed))
    assert torch.equal(alone.test.pairs(), split.test.pairs())


def test_no_pair_is_drawn_of_two_graphs():
    data = several()
    assert torch.equal(node_kinds(data), data.part)
    split = RandomLinks(0.5, 0.2, 0.3)(data, generator())
    seen = split.message_data(data)
    for pairs in (split.val.negative, split.test.negative, split.sampler(seen)(200, key=0)):
        assert torch.equal(data.part[pairs[0]], data.part[pairs[1]])


def test_types_of_nodes_are_told_apart_in_each_graph():
    data = several()
    data.node_type = torch.arange(60) % 2
    kinds = node_kinds(data)
    assert torch.equal(kinds // 2, data.part)
    assert torch.equal(kinds % 2, data.node_type)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("across", r"has 0 values, but its form is 'across:graph,shots,others'"),
        ("across:b,many", "must have numbers after the colon"),
        ("across:b,0", "`shots` must be an integer of at least 1"),
        ("across:b,5,2", "`others`"),
        ("across:d,5", "`graph` 'd' is not known. Known: a, b, c"),
        ("across:b,40", "'b' has .* links, too few to learn from 40 and measure"),
    ],
)
def test_a_split_across_graphs_that_cannot_be_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        link_split_from_name(text)(several(), generator())


def test_a_split_across_graphs_needs_several():
    with pytest.raises(ValueError, match="joined by `disjoint_union`; `data` is one"):
        AcrossLinks("a")(drawn_graph(0, directed=False))
