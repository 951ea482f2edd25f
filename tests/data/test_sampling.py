"""Neighbour sampling: what PyG's loaders expect, drawn evenly, the same on any number of workers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch_geometric.typing
from scipy.stats import chisquare
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling, NodeSamplerInput, NumNeighbors
from torch_geometric.utils import k_hop_subgraph

from graphkit.data import load
from graphkit.data.sampling.loaders import LinkNeighborLoader, NeighborLoader
from graphkit.data.sampling.neighbor_sampler import NeighborSampler

NODES = 40


@pytest.fixture
def graph(generator) -> Data:
    """Return a directed graph with self-loops, repeated edges, a node without edges and edges in no order."""
    edge_index = torch.randint(NODES - 1, (2, 300), generator=generator)
    edge_index[:, :5] = edge_index[:, 5:10]
    weight = torch.rand(300, generator=generator)
    x = torch.arange(NODES, dtype=torch.float)[:, None]
    return Data(
        x=x, edge_index=edge_index, edge_attr=torch.arange(300.0)[:, None], weight=weight, y=torch.arange(NODES)
    )


def nodes(*ids: int) -> NodeSamplerInput:
    return NodeSamplerInput(torch.arange(len(ids)), torch.tensor(ids))


def incoming(graph: Data, node: int) -> list[int]:
    return (graph.edge_index[1] == node).nonzero().flatten().tolist()


def edges_of(sampler: NeighborSampler, out) -> list[int]:
    return sampler.edge_permutation[out.edge].tolist()


def slowly(graph: Data, seeds: list[int], hops: int) -> tuple[list[int], set[int], list[int], list[int]]:
    """Return nodes in the order in which they are met, edges, and how many of both each hop adds."""
    found, edges, frontier = list(seeds), [], list(seeds)
    many_nodes, many_edges = [len(seeds)], []
    order = graph.edge_index[0].argsort(stable=True)
    order = order[graph.edge_index[1][order].argsort(stable=True)].tolist()
    for _ in range(hops):
        new, before = [], len(edges)
        for node in frontier:
            for edge in (edge for edge in order if graph.edge_index[1, edge] == node):
                edges.append(edge)
                source = int(graph.edge_index[0, edge])
                if source not in found and source not in new:
                    new.append(source)
        found, frontier = found + new, new
        many_nodes.append(len(new))
        many_edges.append(len(edges) - before)
    return found, edges, many_nodes, many_edges


@pytest.mark.parametrize("seeds", [[0], [3, 1, 7], [NODES - 1], list(range(NODES))])
@pytest.mark.parametrize("fanout", [[-1], [-1, -1], [500, -1, 500]])
def test_all_neighbours_are_the_whole_neighbourhood(graph, seeds, fanout):
    sampler = NeighborSampler(graph, fanout)
    out = sampler.sample_from_nodes(nodes(*seeds))
    found, edges, many_nodes, many_edges = slowly(graph, seeds, len(fanout))
    assert out.num_sampled_nodes == many_nodes
    assert out.num_sampled_edges == many_edges
    assert set(edges_of(sampler, out)) == set(edges)
    assert len(out.edge) == len(edges)
    assert out.node[: len(seeds)].tolist() == seeds
    begin = 0
    for many in many_nodes:
        assert set(out.node[begin : begin + many].tolist()) == set(found[begin : begin + many])
        begin += many
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), graph.edge_index[:, edges_of(sampler, out)])
    subset, *_ = k_hop_subgraph(seeds, len(fanout), graph.edge_index, num_nodes=NODES)
    assert set(out.node.tolist()) == set(subset.tolist())


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weight", [None, "weight"])
@pytest.mark.parametrize("fanout", [1, 3, 6])
def test_each_node_has_as_many_neighbours_as_asked_for(graph, replace, weight, fanout):
    sampler = NeighborSampler(graph, [fanout, fanout], replace=replace, weight_attr=weight, seed=5)
    seeds = list(range(NODES))
    out = sampler.sample_from_nodes(nodes(*seeds))
    drawn = edges_of(sampler, out)
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), graph.edge_index[:, drawn])
    for node in seeds:
        degree = len(incoming(graph, node))
        mine = [edge for edge in drawn if graph.edge_index[1, edge] == node]
        assert len(mine) == (fanout if replace and degree else min(fanout, degree))
        assert replace or len(set(mine)) == len(mine)


@pytest.mark.parametrize(("degree", "fanout"), [(10, 3), (80, 3), (80, 50), (5, 4)])
def test_every_neighbour_is_equally_likely_and_so_is_every_pair(degree, fanout):
    star = Data(
        edge_index=torch.stack([torch.arange(1, degree + 1), torch.zeros(degree, dtype=torch.long)]),
        num_nodes=degree + 1,
    )
    sampler = NeighborSampler(star, [fanout])
    draws, single, pair = 4000, np.zeros(degree), np.zeros((degree, degree))
    for epoch in range(draws):
        sampler.epoch = epoch
        drawn = sampler.sample_from_nodes(nodes(0)).edge.numpy()
        single[drawn] += 1
        pair[np.ix_(drawn, drawn)] += 1
    assert single.sum() == draws * fanout
    # Draws without replacement vary less than independent ones: the statistic is scaled to its own distribution.
    scale = (degree - 1) / (degree - fanout)
    assert chisquare(single).pvalue > 1e-4
    assert chisquare(single).statistic * scale < 2 * degree + 40
    upper = pair[np.triu_indices(degree, 1)]
    expected = draws * fanout * (fanout - 1) / (degree * (degree - 1))
    assert abs(upper - expected).max() < 6 * np.sqrt(expected)


def test_with_replacement_draws_are_independent_and_even():
    star = Data(edge_index=torch.stack([torch.arange(1, 9), torch.zeros(8, dtype=torch.long)]), num_nodes=9)
    sampler = NeighborSampler(star, [5], replace=True)
    counts, twice = np.zeros(8), 0
    for epoch in range(4000):
        sampler.epoch = epoch
        drawn = sampler.sample_from_nodes(nodes(0)).edge.numpy()
        counts += np.bincount(drawn, minlength=8)
        twice += drawn[0] == drawn[1]
    assert chisquare(counts).pvalue > 1e-4
    assert abs(twice / 4000 - 1 / 8) < 0.025


@pytest.mark.parametrize("replace", [True, False])
def test_weighted_draws_follow_their_weights(replace):
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0])
    star = Data(edge_index=torch.tensor([[1, 2, 3, 4, 5], [0] * 5]), num_nodes=6, weight=weight)
    sampler = NeighborSampler(star, [2], replace=replace, weight_attr="weight")
    share = weight.numpy() / 10
    expected = np.zeros(5)
    for one in range(4):
        for other in range(4):
            if replace:
                chance = share[one] * share[other]
            else:
                chance = share[one] * share[other] / (1 - share[one]) if one != other else 0.0
            expected[one] += chance
            expected[other] += chance
    expected *= 2 / expected.sum()  # weights are single precision, and SciPy wants equal sums
    counts, draws = np.zeros(5), 6000
    for epoch in range(draws):
        sampler.epoch = epoch
        counts += np.bincount(sampler.sample_from_nodes(nodes(0)).edge.numpy(), minlength=5)
    assert counts[4] == 0
    assert chisquare(counts[:4], expected[:4] * draws).pvalue > 1e-4


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("fanout", [1, 2, 3, 5, 40])
def test_neighbours_of_weight_0_are_never_drawn(generator, fanout, replace):
    """Also where fewer than the fan-out have a weight, or none has; a fan-out of -1 draws nothing and takes all."""
    degree, targets = 12, 30
    weight = torch.rand(targets, degree, generator=generator)
    weight[torch.rand(targets, degree, generator=generator) < torch.linspace(0, 1.1, targets)[:, None]] = 0
    target = torch.arange(targets).repeat_interleave(degree)
    edge_index = torch.stack([targets + torch.arange(degree).repeat(targets), target])
    graph = Data(edge_index=edge_index, num_nodes=targets + degree, weight=weight.flatten())
    sampler = NeighborSampler(graph, [fanout], replace=replace, weight_attr="weight")
    positive = (weight > 0).sum(1)
    assert {0, 1, degree} <= set(positive.tolist())
    for epoch in range(20):
        sampler.epoch = epoch
        out = sampler.sample_from_nodes(nodes(*range(targets)))
        drawn = edges_of(sampler, out)
        assert (graph.weight[drawn] > 0).all()
        counts = edge_index[1, drawn].bincount(minlength=targets)
        assert torch.equal(counts, torch.where(positive > 0, fanout, 0) if replace else positive.clamp(max=fanout))
    every = NeighborSampler(graph, [-1], replace=replace, weight_attr="weight")
    assert len(every.sample_from_nodes(nodes(*range(targets))).row) == targets * degree


def test_neighbours_of_different_nodes_and_hops_are_drawn_apart():
    """Two nodes with the same neighbours draw independently of each other, and so does one node in two hops."""
    ends = [(source, target) for target in (0, 1) for source in range(2, 10)]
    twins = Data(edge_index=torch.tensor(ends).t(), num_nodes=10)
    sampler = NeighborSampler(twins, [1])
    same = 0
    for epoch in range(4000):
        sampler.epoch = epoch
        out = sampler.sample_from_nodes(nodes(0, 1))
        same += int(out.row[0] == out.row[1])
    assert abs(same / 4000 - 1 / 8) < 0.025


def test_disjoint_trees_share_no_node(graph):
    sampler = NeighborSampler(graph, [3, 3], disjoint=True)
    seeds = [4, 4, 9, 12, NODES - 1]
    out = sampler.sample_from_nodes(nodes(*seeds))
    assert out.node[:5].tolist() == seeds
    assert out.batch[:5].tolist() == list(range(5))
    assert torch.equal(out.batch[out.row], out.batch[out.col])
    assert len(set(zip(out.batch.tolist(), out.node.tolist(), strict=True))) == len(out.node)
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), graph.edge_index[:, edges_of(sampler, out)])
    whole = NeighborSampler(graph, [-1, -1], disjoint=True).sample_from_nodes(nodes(*seeds))
    for tree, seed in enumerate(seeds):
        subset, *_ = k_hop_subgraph(seed, 2, graph.edge_index, num_nodes=NODES)
        assert sorted(whole.node[whole.batch == tree].tolist()) == subset.tolist()


def test_an_induced_subgraph_has_every_edge_between_its_nodes(graph):
    sampler = NeighborSampler(graph, [3, 2], subgraph_type="induced")
    out = sampler.sample_from_nodes(nodes(1, 2, 3))
    inside = torch.isin(graph.edge_index, out.node).all(0).nonzero().flatten().tolist()
    assert sorted(edges_of(sampler, out)) == inside
    assert torch.equal(torch.stack([out.node[out.row], out.node[out.col]]), graph.edge_index[:, edges_of(sampler, out)])


def test_a_bidirectional_subgraph_has_every_edge_both_ways():
    data = load("karate")
    out = NeighborSampler(data, [2, 2], subgraph_type="bidirectional").sample_from_nodes(nodes(0, 5))
    ends = set(zip(out.row.tolist(), out.col.tolist(), strict=True))
    assert ends == {(b, a) for a, b in ends}


def same_batches(one: list[Data], two: list[Data]) -> bool:
    return len(one) == len(two) and all(
        sorted(a.keys()) == sorted(b.keys())
        and all(
            torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key] for key in a.to_dict()
        )
        for a, b in zip(one, two, strict=True)
    )


@pytest.mark.parametrize("kind", ["nodes", "links"])
def test_a_seed_gives_the_same_batches_with_any_number_of_workers(graph, kind):
    def epochs(workers: int, seed: int = 3, persistent: bool = False) -> list[Data]:
        options = {"batch_size": 7, "shuffle": True, "num_workers": workers, "persistent_workers": persistent}
        if kind == "nodes":
            loader = NeighborLoader(graph, [3, 2], seed=seed, loader=options)
        else:
            options["batch_size"] = 60
            loader = LinkNeighborLoader(graph, [3, 2], neg_sampling="binary", seed=seed, loader=options)
        torch.manual_seed(workers)
        return [batch for _ in range(2) for batch in loader]

    alone = epochs(0)
    assert same_batches(alone, epochs(0))
    assert same_batches(alone, epochs(2))
    assert same_batches(alone, epochs(2, persistent=True))
    assert not same_batches(alone, epochs(0, seed=4))
    half = len(alone) // 2
    assert not same_batches(alone[:half], alone[half:])


def test_threads_do_not_change_what_is_drawn(generator):
    from graphkit._kernels import resources

    data = Data(edge_index=torch.randint(500, (2, 20_000), generator=generator), num_nodes=500)
    out = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "SERIAL_WORK", 1)
        for many in (1, 2):
            torch.set_num_threads(many)
            out.append(NeighborSampler(data, [5, 5]).sample_from_nodes(nodes(*range(300))))
    torch.set_num_threads(1)
    assert torch.equal(out[0].edge, out[1].edge)
    assert torch.equal(out[0].node, out[1].node)


@pytest.mark.parametrize("given", [NumNeighbors([4, 3]), np.array([4, 3]), [np.int64(4), 3], (4, 3)])
def test_numbers_of_neighbours_may_come_as_pyg_and_numpy_have_them(graph, given):
    one, two = (NeighborSampler(graph, each).sample_from_nodes(nodes(0, 1)) for each in (given, [4, 3]))
    assert torch.equal(one.edge, two.edge)


def test_pygs_older_word_for_an_induced_subgraph_is_known(graph):
    older = NeighborSampler(graph, [3, 2], directed=False).sample_from_nodes(nodes(1, 2, 3))
    newer = NeighborSampler(graph, [3, 2], subgraph_type="induced").sample_from_nodes(nodes(1, 2, 3))
    assert torch.equal(older.edge, newer.edge)


@pytest.mark.parametrize("loader", [NeighborLoader, LinkNeighborLoader])
def test_size_order_and_workers_are_asked_for_as_of_pygs_loaders(graph, loader):
    one = list(loader(graph, [3], batch_size=8, shuffle=True, num_workers=1))
    two = list(loader(graph, [3], loader={"batch_size": 8, "shuffle": True}))
    assert same_batches(one, two)


def test_a_machine_with_pygs_companions_draws_the_same(graph, monkeypatch):
    before = list(NeighborLoader(graph, [3, 2], batch_size=8))
    for name in ("WITH_PYG_LIB", "WITH_TORCH_SPARSE"):
        monkeypatch.setattr(torch_geometric.typing, name, True)
    for name in ("pyg_lib", "torch_sparse"):
        monkeypatch.setattr(torch_geometric.typing, name, None)  # whatever is asked of it fails
    assert same_batches(before, list(NeighborLoader(graph, [3, 2], batch_size=8)))


def test_a_new_pass_draws_anew_and_the_same_pass_the_same(graph):
    loader = NeighborLoader(graph, [2], loader={"batch_size": NODES})
    (first,), (second,) = list(loader), list(loader)
    assert not torch.equal(first.e_id, second.e_id)
    loader.node_sampler.epoch = 0
    assert torch.equal(first.e_id, next(iter(loader)).e_id)


def test_pygs_loader_gives_its_own_fields(graph):
    sampler = NeighborSampler(graph, [4, 3], seed=1)
    chosen = torch.tensor([5, 8, 2])
    (batch,) = NodeLoader(graph, sampler, input_nodes=chosen, batch_size=3)
    assert batch.batch_size == 3
    assert batch.input_id.tolist() == [0, 1, 2]
    assert torch.equal(batch.n_id[:3], chosen)
    assert torch.equal(batch.x, graph.x[batch.n_id])
    assert torch.equal(batch.y, graph.y[batch.n_id])
    assert torch.equal(batch.edge_attr, graph.edge_attr[batch.e_id])
    assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
    assert sum(batch.num_sampled_nodes) == batch.num_nodes
    assert sum(batch.num_sampled_edges) == batch.num_edges


def test_pygs_trimming_gives_the_same_numbers_for_the_given_nodes(graph):
    from torch_geometric.nn import SAGEConv
    from torch_geometric.utils import trim_to_layer

    torch.manual_seed(0)
    layers = [SAGEConv(1, 4), SAGEConv(4, 4)]
    (batch,) = NeighborLoader(graph, [4, 3], input_nodes=torch.arange(6), loader={"batch_size": 6})
    x = trimmed = batch.x
    edge_index = batch.edge_index
    for at, layer in enumerate(layers):
        x = layer(x, batch.edge_index).relu()
        trimmed, edge_index, _ = trim_to_layer(
            at, batch.num_sampled_nodes, batch.num_sampled_edges, trimmed, edge_index
        )
        trimmed = layer(trimmed, edge_index).relu()
    torch.testing.assert_close(trimmed[:6], x[:6])


@pytest.mark.parametrize("negative", [None, "binary", "triplet"])
@pytest.mark.parametrize("disjoint", [False, True])
def test_links_are_sampled_with_their_ends_and_negative_ones(graph, negative, disjoint):
    sampler = NeighborSampler(graph, [3, 2], disjoint=disjoint)
    (batch,) = LinkLoader(graph, sampler, edge_label_index=graph.edge_index[:, :9], neg_sampling=negative, batch_size=9)
    if negative == "triplet":
        ends = torch.stack([batch.n_id[batch.src_index], batch.n_id[batch.dst_pos_index]])
        assert batch.dst_neg_index.shape == (9,)
    else:
        ends = batch.n_id[batch.edge_label_index[:, :9]]
        assert batch.edge_label_index.size(1) == (9 if negative is None else 18)
    assert torch.equal(ends, graph.edge_index[:, :9])
    assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])


def test_negative_links_do_not_touch_the_global_generator(graph):
    sampler, state = NeighborSampler(graph, [2]), torch.get_rng_state()
    links = EdgeSamplerInput(torch.arange(9), *graph.edge_index[:, :9])
    one, two = (sampler.sample_from_edges(links, NegativeSampling("binary")) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.node, two.node)


def test_the_order_of_edges_does_not_matter(graph, generator):
    data = Data(edge_index=graph.edge_index[:, torch.randperm(300, generator=generator)], num_nodes=NODES)
    one, two = (NeighborSampler(each, [3, 3]).sample_from_nodes(nodes(0, 1)) for each in (graph, data))
    assert torch.equal(one.node, two.node)
    assert torch.equal(one.row, two.row)


def test_a_pair_of_stores_is_sampled_as_its_graph(graph):
    sampler = NeighborSampler((graph, graph), [-1, -1])
    out = sampler.sample_from_nodes(nodes(3, 1))
    found, edges, many_nodes, _ = slowly(graph, [3, 1], 2)
    assert out.num_sampled_nodes == many_nodes
    assert set(out.node.tolist()) == set(found)
    assert len(out.edge) == len(edges)


def test_a_graph_without_edges_and_a_batch_without_nodes(graph):
    empty = Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=3)
    out = NeighborSampler(empty, [3, 3]).sample_from_nodes(nodes(2, 0))
    assert out.node.tolist() == [2, 0]
    assert out.num_sampled_nodes == [2, 0, 0]
    assert len(out.edge) == 0
    nothing = NeighborSampler(graph, [3]).sample_from_nodes(NodeSamplerInput(torch.arange(0), torch.arange(0)))
    assert len(nothing.node) == len(nothing.edge) == 0


@pytest.mark.parametrize("wrong", [NODES, -1, 10**12])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_node_that_is_not_there_is_refused_before_its_memory_is_read(graph, wrong, workers):
    sampler, said = NeighborSampler(graph, [2]), f"from 0 to {NODES - 1}, got {wrong:,}"
    with pytest.raises(ValueError, match=f"`input_nodes` must hold node ids {said}"):
        list(NodeLoader(graph, sampler, input_nodes=torch.tensor([0, wrong]), num_workers=workers))
    for link in ([wrong, 0], [0, wrong]):
        with pytest.raises(ValueError, match=f"`edge_label_index` must hold node ids {said}"):
            list(LinkLoader(graph, sampler, edge_label_index=torch.tensor(link)[:, None], num_workers=workers))


def test_what_cannot_be_sampled_is_refused(graph):
    for wrong in ([], [2, -2], [1.5], [True], 3, "10,5", None, {2: 3}, NumNeighbors({("a", "to", "b"): [2]})):
        with pytest.raises(ValueError, match="`num_neighbors` must hold a number of neighbours for each hop"):
            NeighborSampler(graph, wrong)
    with pytest.raises(ValueError, match=r"`subgraph_type` 'inducd' is not known\. Did you mean 'induced'"):
        NeighborSampler(graph, [2], subgraph_type="inducd")
    with pytest.raises(ValueError, match="no `disjoint` trees"):
        NeighborSampler(graph, [2], subgraph_type="induced", disjoint=True)
    with pytest.raises(ValueError, match="`weight_attr` 'wieght' is no field"):
        NeighborSampler(graph, [2], weight_attr="wieght")
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0"):
        NeighborSampler(graph, [2], seed=-1)
    graph.weight[3] = -1
    with pytest.raises(ValueError, match="finite and not below 0"):
        NeighborSampler(graph, [2], weight_attr="weight")
    with pytest.raises(ValueError, match="one kind of nodes"):
        NeighborSampler(HeteroData(), [2])
    sampler = NeighborSampler(graph, [2])
    with pytest.raises(ValueError, match="several kinds and times"):
        sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(2), time=torch.arange(2)))
    with pytest.raises(ValueError, match="several kinds and times"):
        sampler.sample_from_edges(EdgeSamplerInput(None, torch.arange(2), torch.arange(2), time=torch.arange(2)))


@pytest.mark.parametrize("wrong", [NODES, -1, 2**61])
def test_an_edge_from_a_node_that_is_not_there_is_refused_when_it_is_drawn(graph, wrong):
    """Edges that know their pointers are not looked at beforehand: they may lie on a disk."""
    edges = EdgeIndex(graph.edge_index, sparse_size=(NODES, NODES)).sort_by("col").values
    edges.get_csc()
    edges._data[0, 5] = wrong
    for fan_outs in ([-1], [-1, -1], [-1, -1, -1]):
        sampler = NeighborSampler(Data(edge_index=edges, num_nodes=NODES), fan_outs, replace=True)
        with pytest.raises(ValueError, match=f"has an edge from node {wrong}, but nodes go from 0 to {NODES - 1}"):
            sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(NODES)))


def test_pointers_that_do_not_fit_the_edges_are_refused(graph):
    for place, wrong in ((0, 3), (5, 10**6), (5, -1), (NODES, 10**9)):
        edges = EdgeIndex(graph.edge_index, sparse_size=(NODES, NODES)).sort_by("col").values
        edges.get_csc()
        edges._indptr[place] = wrong
        with pytest.raises(ValueError, match="`indptr` must rise from 0 to"):
            NeighborSampler(Data(edge_index=edges, num_nodes=NODES), [2])


def test_edges_said_to_be_sorted_that_are_not_are_sampled_as_they_are(graph):
    """PyG takes the word for it."""
    said = Data(edge_index=EdgeIndex(graph.edge_index, sparse_size=(NODES, NODES), sort_order="col"), num_nodes=NODES)
    found, expected = (
        NeighborSampler(data, [3, 2]).sample_from_nodes(NodeSamplerInput(None, torch.arange(4)))
        for data in (said, graph)
    )
    assert torch.equal(found.node, expected.node)
    assert torch.equal(found.edge, expected.edge)


@pytest.mark.parametrize("many", [2**31, 2**40, 2**61, 2**63, 2**70])
@pytest.mark.parametrize("replace", [False, True])
def test_more_neighbours_than_can_be_counted_are_refused(graph, many, replace):
    with pytest.raises(ValueError, match="or up to 2,147,483,647"):
        NeighborSampler(graph, [many], replace=replace)


def test_a_graph_of_no_edge_index_is_refused(graph):
    ones = torch.ones(graph.num_edges)
    adjacency = torch.sparse_coo_tensor(graph.edge_index, ones, (NODES, NODES), check_invariants=True)
    with pytest.raises(ValueError, match="with `edge_index`"), warnings.catch_warnings(action="ignore"):
        NeighborSampler(Data(adj_t=adjacency.to_sparse_csr()), [2])
    for edge_index in (torch.zeros(3, 4, dtype=torch.long), torch.zeros(4, dtype=torch.long)):
        with pytest.raises(ValueError, match="`edge_index` must have shape"):
            NeighborSampler(Data(edge_index=edge_index, num_nodes=4), [2])
