"""A graph in parts gives the batches of the whole graph, and no process holds more than its part."""

from __future__ import annotations

import json
import os
import resource

import pytest
import torch
import torch.distributed as dist
from torch_geometric.data import Data, EdgeAttr

from graphkit.data import (
    DataError,
    NeighborLoader,
    NeighborSampler,
    Part,
    PartitionedFeatures,
    PartitionedGraph,
    Partitions,
    partition,
)
from graphkit.data.distributed.row_exchange import RowExchange
from tests.jobs import job

NODES = 60
FIELDS = ("n_id", "e_id", "edge_index", "x", "y", "input_id")


@pytest.fixture
def graph(generator):
    edge_index = torch.randint(NODES, (2, 400), generator=generator)
    edge_index = edge_index[:, edge_index[1] != 7]  # a node without incoming edges
    data = Data(x=torch.randn(NODES, 5, generator=generator), edge_index=edge_index, num_nodes=NODES)
    data.y = torch.randint(3, (NODES,), generator=generator)
    for number, name in enumerate(("train_mask", "val_mask", "test_mask")):
        data[name] = torch.arange(NODES) % 3 == number
    return data


def loader(data, seeds, sampler):
    return NeighborLoader(data, [3, -1, 2], input_nodes=seeds, seed=5, sampler=sampler, loader={"batch_size": 4})


def seeds_of(rank):
    return torch.arange(12) + 12 * rank


@pytest.mark.parametrize(("parts", "by"), [(1, "random"), (2, "metis"), (4, "random")])
def test_batches_are_those_of_the_whole_graph_and_each_process_holds_its_part(graph, tmp_path, parts, by):
    written = partition(graph, tmp_path / "parts", parts=parts, by=by)

    def work(rank):
        if parts > 1:
            dist.init_process_group("gloo")
        part = Part(written, RowExchange(rank, parts))
        edges = PartitionedGraph(part)
        plain, near = PartitionedFeatures(part), PartitionedFeatures(part, halo=edges.halo)
        for features, sampler in ((plain, {}), (near, {}), (plain, {"replace": True, "disjoint": True})):
            mine = loader((features, edges), seeds_of(rank), sampler)
            whole = loader(graph, seeds_of(rank), sampler)
            for _ in range(2):
                for found, expected in zip(mine, whole, strict=True):
                    assert found.batch_size == expected.batch_size
                    assert found.num_sampled_nodes == expected.num_sampled_nodes
                    for name in FIELDS:
                        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
        assert (near.fetched < plain.fetched / 3) or parts == 1
        source, target = edges.get_edge_index(EdgeAttr(None, "coo"))
        row, _, _ = edges.csc()
        return {
            "own": torch.from_numpy(part.own),
            "features": plain.tables["x"],
            "near": len(near.halo),
            "edges": torch.stack([source, target]),
            "csc": row,
            "size": list(plain.get_tensor_size(group_name=None, attr_name="x")),
            "all": plain.get_tensor(group_name=None, attr_name="y", index=None),
        }

    said = job(parts, tmp_path / "said", work)
    assert all(isinstance(each, dict) for each in said), said
    owned = torch.cat([each["own"] for each in said])
    assert sorted(owned.tolist()) == list(range(NODES))
    # What a process holds of the features is what it owns, and no more.
    for each in said:
        assert torch.equal(each["features"], graph.x[each["own"]])
        assert torch.equal(each["csc"], each["edges"][0])
        assert torch.isin(each["edges"][1], each["own"]).all()
        assert each["size"] == [NODES, 5]
        assert torch.equal(each["all"], graph.y)
    together = torch.cat([each["edges"] for each in said], dim=1)
    assert sorted(zip(*together.tolist(), strict=True)) == sorted(zip(*graph.edge_index.tolist(), strict=True))


def test_what_cannot_be_cut_or_written_is_refused(graph, tmp_path):
    with pytest.raises(ValueError, match=r"`parts` must be at most the number of nodes \(60\), got 61"):
        partition(graph, tmp_path / "parts", parts=61)
    with pytest.raises(ValueError, match="`by` 'mtis' is not known"):
        partition(graph, tmp_path / "parts", parts=2, by="mtis")
    weighted = graph.clone()
    weighted.edge_weight = torch.ones(graph.num_edges)
    with pytest.raises(ValueError, match="`edge_weight`: parts carry no edge weights"):
        partition(weighted, tmp_path / "parts", parts=2)
    with pytest.raises(ValueError, match="`y` must hold one integer label per node"):
        partition(graph.clone().update({"y": graph.y.float()}), tmp_path / "parts", parts=2)
    with pytest.raises(ValueError, match="`x` must be finite"):
        partition(graph.clone().update({"x": graph.x / 0}), tmp_path / "parts", parts=2)
    with pytest.raises(ValueError, match="exists already"):
        partition(graph, tmp_path, parts=2)
    with pytest.raises(ValueError, match="`train_mask` is missing"):
        partition(Data(x=graph.x, y=graph.y, edge_index=graph.edge_index), tmp_path / "parts", parts=2)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_in_the_midst_leaves_nothing_and_says_why(graph, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))  # no file may be larger, as on a disk that is full
    try:
        with pytest.raises(DataError, match="cannot be written: File too large"):
            partition(graph, tmp_path / "parts", parts=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_parts_that_are_missing_damaged_or_too_few_are_told_in_one_line(graph, tmp_path):
    written = partition(graph, tmp_path / "parts", parts=2, by="contiguous")
    with pytest.raises(ValueError, match=r"holds 2 parts, one for each process, but 3 of them were started; start 2"):
        Part(written, RowExchange(0, 3))
    one = tmp_path / "parts" / "part-1" / "x.npy"
    whole = one.read_bytes()
    one.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"part-1/x\.npy has .* bytes instead of"):
        written.array("part-1/x")
    one.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=r"part-1/x\.npy is not what was written"):
        written.array("part-1/x")
    one.unlink()
    with pytest.raises(DataError, match=r"part-1/x\.npy is missing"):
        written.array("part-1/x")
    with pytest.raises(DataError, match=r"holds no manifest\.json"):
        Partitions(tmp_path)
    for text in ("{", '{"format": 1}', "[]"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(DataError, match="cannot be read"):
            Partitions(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(DataError, match="is of format 9"):
        Partitions(tmp_path)


def test_the_same_graph_seed_and_way_are_cut_alike(graph, tmp_path):
    one, two, other = (partition(graph, tmp_path / str(k), parts=3, by="random", seed=k // 2) for k in range(3))
    stored = sum(path.stat().st_size for path in (tmp_path / "0").rglob("*.npy"))
    assert one.bytes_per("node") * one.nodes + one.bytes_per("edge") * one.edges == pytest.approx(stored)
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_sparse_features_are_cut_as_dense_ones(graph, tmp_path):
    dense = graph.x.relu()
    layouts = {"dense": dense, "coo": dense.to_sparse(), "csr": dense.to_sparse_csr()}
    for name, x in layouts.items():
        written = partition(graph.clone().update({"x": x}), tmp_path / name, parts=2, by="contiguous")
        assert torch.equal(torch.from_numpy(written.array("part-1/x")), dense[NODES // 2 :])


def test_what_parts_do_not_do_is_refused(graph, tmp_path):
    stores = PartitionedGraph(Part(partition(graph, tmp_path / "parts", parts=1, by="random"), RowExchange()))
    with pytest.raises(ValueError, match="`weight_attr` 'w': a graph in parts"):
        NeighborSampler((graph, stores), [2], weight_attr="w")
    with pytest.raises(ValueError, match="needs the whole graph in one process"):
        NeighborSampler((graph, stores), [2], subgraph_type="induced")


def test_a_process_that_is_gone_is_told_by_name(tmp_path):
    def work(rank):
        dist.init_process_group("gloo")
        if rank == 1:
            os._exit(9)
        for _ in range(1000):
            RowExchange(rank, 2).all_to_all([torch.arange(3), torch.arange(2)])

    survivor, gone = job(2, tmp_path, work)
    assert gone is None
    assert survivor.startswith("ConnectionError: process 0 of 2 lost another one of the job")
