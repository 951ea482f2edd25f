"""Mini-batches of links: they see all but what they are asked for, and are the same by seed, workers and processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.sampler import EdgeSamplerInput

from graphkit.data import LinkNeighborLoader, RandomLinks, load_links, open_stored, store
from graphkit.data.sampling.link_sampler import LinkSampler
from graphkit.data.splits.non_edges import pair_keys
from graphkit.training import Interrupted, load_run, recipe, train
from graphkit.training.links.link_task import prepare_links
from graphkit.training.links.sampled_links import sampled_links
from tests.interruptions import StopAfter
from tests.jobs import job, same
from tests.training.studies import communities

CPU = torch.device("cpu")
FIELDS = {"epochs": 4, "fan_out": "3,2", "batch": 20, "hidden": 8, "dropout": 0.5, "microbatches": 4}


def divided(directed=False, weights=False):
    data = communities()
    if directed:  # some links in one direction, some in both
        kept = torch.rand(data.num_edges, generator=torch.Generator().manual_seed(1)) < 0.7
        data.edge_index = data.edge_index[:, kept]
    if weights:
        data.edge_weight = torch.rand(data.num_edges, generator=torch.Generator().manual_seed(2)) + 0.1
    return RandomLinks()(data, torch.Generator().manual_seed(0)).apply(data)


def small(model="sage-link", **fields):
    return recipe(model, {**FIELDS, **fields}, items="links")


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("directed", [False, True])
def test_with_all_neighbours_a_batch_has_the_scores_of_the_graph_without_its_links(directed, common):
    data, chosen = divided(directed), small(fan_out="-1,-1", dropout=0.0, microbatches=1, common=common)
    whole, _ = prepare_links(data, chosen, CPU, torch.float32)
    task = sampled_links(whole, chosen)
    module = chosen.module(task.channels, 1, ()).eval()
    keys = pair_keys(task.split.train, 60, directed=directed)
    asked, many = [], 0
    with torch.no_grad():
        for batch in task.batches(20):
            part = batch.logits.keywords["batch"]
            found = batch.logits(module)
            many += 1
            n_id = task_nodes(task, part)
            pairs = n_id[part.pairs]
            links = torch.isin(keys, pair_keys(pairs[:, batch.y[:, 0] == 1], 60, directed=directed))
            seen = whole._remove_links(links.nonzero().squeeze(-1))
            expected = module(whole._link_batch(seen, pairs, None))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
            asked.append(keys[links])
    assert many > 1
    assert torch.equal(torch.cat(asked).sort().values, keys.sort().values)


def task_nodes(task, part):
    """Return which nodes of the graph those of a part are, by their features, which are all different."""
    return torch.cdist(part.x, task.x).argmin(1)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("fan_out", [[-1, -1], [2, 3]])
def test_a_batch_of_the_loader_shows_no_link_of_its_own_and_draws_no_edge(directed, fan_out):
    data = divided(directed)
    split = data.link_split
    seen = split.message_data(data)
    loader = LinkNeighborLoader(
        seen,
        fan_out,
        edge_label_index=split.train,
        non_edges=split.sampler(seen),
        hide="edge" if directed else "both",
        batch_size=16,
    )
    edges, total = pair_keys(seen.edge_index, 60, directed=directed), 0
    for batch in loader:
        pairs = batch.n_id[batch.edge_label_index]
        keys, drawn = (pair_keys(each, 60, directed=directed) for each in (pairs, batch.n_id[batch.edge_index]))
        links = batch.edge_label == 1
        assert int(links.sum()) * 2 == len(links)
        assert torch.equal(pairs[:, links], split.train[:, batch.input_id])
        assert not bool(torch.isin(drawn, keys).any())
        assert not bool(torch.isin(keys[~links], edges).any())
        assert torch.equal(batch.n_id[batch.edge_index], seen.edge_index[:, batch.e_id])
        assert sum(batch.num_sampled_edges) == batch.edge_index.size(1)
        total += int(links.sum())
    assert total == split.train.size(1)


def test_a_sampler_that_hides_nothing_shows_the_link_as_pygs_does():
    path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
    asked = EdgeSamplerInput(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    shown = {hide: LinkSampler(path, [-1], hide=hide).sample_from_edges(asked) for hide in ("none", "edge", "both")}
    ends = {
        hide: set(zip(out.node[out.row].tolist(), out.node[out.col].tolist(), strict=True))
        for hide, out in shown.items()
    }
    assert ends == {"none": {(1, 0), (0, 1), (2, 1)}, "edge": {(1, 0), (2, 1)}, "both": {(2, 1)}}


def test_labels_beside_drawn_pairs_are_refused():
    data = divided()
    seen = data.link_split.message_data(data)
    sampler = LinkSampler(seen, [2], non_edges=data.link_split.sampler(seen))
    ends = torch.tensor([0]), torch.tensor([1])
    with pytest.raises(ValueError, match="`non_edges` draws pairs"):
        sampler.sample_from_edges(EdgeSamplerInput(None, *ends, torch.ones(1)))
    with pytest.raises(TypeError, match="`further` must be a function of links and pairs"):
        LinkSampler(seen, [2], further=3)
    with pytest.raises(ValueError, match="`hide` 'all' is not known"):
        LinkSampler(seen, [2], hide="all")


@pytest.mark.parametrize(("model", "weights"), [("sage-link", False), ("ncn", False), ("gcn-link", True)])
def test_figures_are_the_same_with_workers_processes_and_from_the_disk(model, weights, tmp_path):
    data, chosen = divided(weights=weights), small(model)
    whole = train(data, chosen, device="cpu", run_dir=tmp_path / "run")
    history = [tuple(epoch) for epoch in whole.seeds[0].history]
    helped = train(data, chosen, device="cpu", workers=2)
    assert [tuple(epoch) for epoch in helped.seeds[0].history] == history
    run = load_run(tmp_path / "run")
    assert run.evaluate(data).figures[whole.record.metric.name] == whole.record.metric.values
    store(communities(), tmp_path / "stored")
    if not weights:
        stored = open_stored(tmp_path / "stored")
        again = train(data.link_split.apply(stored), chosen, device="cpu")
        assert [tuple(epoch) for epoch in again.seeds[0].history] == history

    def work(rank):
        found = train(data, chosen, device="cpu")
        return [[tuple(epoch) for epoch in found.seeds[0].history], list(found.record.metric.values)]

    for found in job(2, tmp_path / "said", work):
        same(found, (whole.seeds[0].history, list(whole.record.metric.values)))


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path):
    data = divided()
    whole = train(data, small(), seeds=[0], device="cpu")
    with pytest.raises(Interrupted, match="epoch 2"):
        train(data, small(), seeds=[0], device="cpu", run_dir=tmp_path, reporter=StopAfter(2))
    again = train(data, small(), seeds=[0], device="cpu", run_dir=tmp_path, resume=True)
    assert again.seeds[0].history == whole.seeds[0].history


def test_it_learns():
    data, splits = load_links("cora", seeds=[0])
    fields = {"fan_out": "10,10", "batch": 512, "epochs": 8, "microbatches": 1, "hidden": 128}
    found = train(data, small(**fields), splits=splits, device="cpu", metric="roc_auc")
    assert found.record.metric.mean > 0.85


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("sage-link", {"fan_out": "3"}, "one number for each of the 2 layers, got 1"),
        ("sage-link", {"norm": "graph"}, "norms 'none', 'batch' and 'layer'"),
        ("sage-link", {"microbatches": 30}, r"`microbatches` \(30\) must be at most the items of a batch"),
    ],
)
def test_what_cannot_be_drawn_is_refused(model, fields, message):
    with pytest.raises(ValueError, match=message):
        train(divided(), small(model, **fields), device="cpu")


@pytest.mark.parametrize("name", ["filter-link", "pair-logistic", "pagerank"])
def test_models_that_see_the_graph_whole_take_no_fan_out(name):
    with pytest.raises(ValueError, match="`fan_out`"):
        recipe(name, {"fan_out": "3,2"}, items="links")


def test_torchrun_trains_links_in_step(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = ["--task", "links", "--model", "sage-link", "--sampled", "--fan-out", "4,2", "--batch-size", "16"]
    more = ["--set", "microbatches=2", "--seeds", "1", "--epochs", "2", "--beside", "none", "--run-dir", "none"]
    command = [*launch, "-m", "graphkit.cli", "train", "karate", *options, *more]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "2 processes" in made.stdout + made.stderr or "fan-out 4,2" in made.stdout + made.stderr
