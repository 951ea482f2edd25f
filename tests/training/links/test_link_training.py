"""Training on links: what is asked for is never seen, figures are OGB's, and every recipe runs to the end and back."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from ogb.linkproppred import Evaluator
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit.data import RandomLinks, import_graph, load_links, open_stored, pair_views, store, to_undirected
from graphkit.data.pairs import SCORES, pair_view_names
from graphkit.data.splits.links import LinkPart, node_kinds
from graphkit.data.splits.non_edges import pair_keys
from graphkit.nn.link_models import DECODERS, LinkBatch, LinkPredictor, PairDecoder
from graphkit.operators.pair_scores import PairScores
from graphkit.operators.pair_sketches import PairSketches
from graphkit.training import load_run, recipe, train
from graphkit.training.classification.metrics import METRICS, hits_at, reciprocal_rank
from graphkit.training.classification.targets import LinkTarget, target_of
from graphkit.training.links.link_task import prepare_links
from graphkit.training.zoo.recipes import LINK_RECIPES
from tests.training.studies import communities

CPU = torch.device("cpu")
SMALL = {"hidden": 8, "width": 8, "trees": 5, "folds": 3, "order": 2, "epochs": 2}


def small(name):
    made = recipe(name, items="links")
    return made.with_({field: value for field, value in SMALL.items() if field in made.as_dict()})


def divided(seed=0, **shares):
    data = communities()
    return RandomLinks(**shares)(data, torch.Generator().manual_seed(seed)).apply(data)


@pytest.mark.parametrize("k", [20, 50, 100])
def test_hits_are_ogbs(k):
    evaluator = Evaluator("ogbl-ddi")
    evaluator.K = k
    for seed in range(5):
        drawn = torch.Generator().manual_seed(seed)
        scores = torch.randint(30, (400,), generator=drawn).double()  # with ties
        positive = torch.arange(400) < 150
        theirs = evaluator.eval({"y_pred_pos": scores[:150], "y_pred_neg": scores[150:]})[f"hits@{k}"]
        assert hits_at(k, scores, positive).item() == pytest.approx(theirs)


def test_reciprocal_ranks_are_ogbs():
    drawn = torch.Generator().manual_seed(0)
    links, others = (
        torch.randint(9, (40,), generator=drawn).double(),
        torch.randint(9, (40, 7), generator=drawn).double(),
    )
    theirs = Evaluator("ogbl-citation2").eval({"y_pred_pos": links, "y_pred_neg": others})["mrr_list"]
    positive = torch.arange(40 + 280) < 40
    ours = reciprocal_rank(torch.cat([links, others.flatten()]), positive, own=True)
    assert ours.item() == pytest.approx(theirs.double().mean().item())
    shared = reciprocal_rank(torch.cat([links, others[0]]), torch.arange(47) < 40)
    each = [reciprocal_rank(torch.cat([link[None], others[0]]), torch.arange(8) < 1) for link in links]
    assert shared.item() == pytest.approx(torch.stack(each).mean().item())


def test_a_step_never_shows_what_it_asks_for_and_draws_no_edge():
    data = divided()
    task, _ = prepare_links(data, small("gcn-link"), CPU, torch.float32)
    every = pair_keys(data.edge_index, 60, directed=False)
    seen_keys = pair_keys(task.seen.edge_index, 60, directed=False)
    asked = []
    for batch in task.batches(20):
        shown = {}

        def look(given, shown=shown):
            shown["batch"] = given
            return torch.zeros(given.pairs.size(1), 1)

        batch.logits(look)
        keys = pair_keys(shown["batch"].pairs, 60, directed=False)
        links, others = keys[batch.y[:, 0] == 1], keys[batch.y[:, 0] == 0]
        left = pair_keys(shown["batch"].edge_index, 60, directed=False)
        assert not bool(torch.isin(left, links).any())
        assert len(left) == len(seen_keys) - 2 * len(links)
        assert not bool(torch.isin(others, seen_keys).any())
        assert len(links) == len(others) == len(others.unique())
        asked.append(links)
    asked = torch.cat(asked)
    assert torch.equal(asked.sort().values, pair_keys(data.link_split.train, 60, directed=False).sort().values)
    assert bool(torch.isin(asked, every).all())


@pytest.mark.parametrize("name", ["pair-logistic", "gcn-link", "pagerank"])
def test_items_to_test_on_are_measured_on_the_graph_that_shows_more(name):
    data = divided(validation_seen=1)
    task, test = prepare_links(data, small(name), CPU, torch.float32)
    shown = []

    def model(batch):
        if batch.pairs is None:
            return batch.x
        shown.append((batch.edge_index.size(1), batch.pairs.size(1)))
        return torch.arange(batch.pairs.size(1))[:, None].float()

    both = torch.cat([task.validation.index, test.index])
    found = task.logits(model, both[torch.randperm(len(both))])
    split, seen = data.link_split, task.seen.edge_index.size(1)
    more = seen + 2 * split.val.positive.size(1)
    assert shown == [(seen, len(task.validation.index)), (more, len(test.index))]
    assert len(found) == len(both)
    if task.model.views:
        measured = split.message_data(data, measuring=True)
        torch.testing.assert_close(task.views[test.index], task.model.viewer(measured)(task.pairs[:, test.index]))


def test_views_of_links_to_learn_from_are_those_without_them():
    data = divided()
    task, test = prepare_links(data, small("pair-logistic"), CPU, torch.float32)
    views, names = task.views, pair_view_names()
    assert views.shape == (task.pairs.size(1), len(names))
    both = pair_views(task.seen, task.pairs[:, :3], walks=True)
    assert both.shape == (3, len(pair_view_names(walks=True)))
    walks = PairScores(task.seen.edge_index, 60).pagerank(task.pairs[:, :3])
    torch.testing.assert_close(both[:, pair_view_names(walks=True).index("pagerank")], walks)
    torch.testing.assert_close(views[test.index], pair_views(task.seen, task.pairs[:, test.index], width=8))
    paths = names.index("paths of three, 1")
    links = task.train.index[task.train.y[:, 0] == 1]
    there = PairScores(task.seen.edge_index, 60).paths(task.pairs[:, links], torch.ones(60, 1))[1][:, 0]
    # A link that is there is a path of three by itself: over it, and back, and over it again.
    assert bool((views[links, paths].expm1() < there).all())


@pytest.mark.parametrize("name", LINK_RECIPES)
def test_every_recipe_is_trained_measured_kept_and_asked(name, tmp_path):
    data = divided()
    found = train(data, small(name), seeds=[0, 1], device="cpu", run_dir=tmp_path)
    run = load_run(tmp_path)
    report = run.evaluate(data)
    assert report.figures[report.name] == found.record.metric.values
    assert {"roc_auc", "ap", "mrr"} <= set(report.figures)
    pairs = torch.tensor([[0, 1], [5, 7]])
    assert run.scores(data, pairs).shape == (2,)
    if recipe(name, items="links").model.decoder != "bilinear" if hasattr(small(name).model, "decoder") else True:
        torch.testing.assert_close(run.scores(data, pairs), run.scores(data, pairs.flip(0)))
    new = run.predict(data, top=3)
    table = new.frame()
    assert table.groupby("id").size().max() <= 3
    known = {tuple(pair) for pair in data.edge_index.T.tolist()}
    assert not known & set(zip(table["id"], table["link"], strict=True))
    assert (table["id"] != table["link"]).all()
    best = table[table["id"] == table["id"].iloc[0]]["probability"]
    assert (np.diff(best) <= 0).all()


def test_a_step_of_buddy_counts_nodes_as_if_the_links_of_a_fold_were_not_there():
    data = divided()
    task, _ = prepare_links(data, small("buddy"), CPU, torch.float32)
    links, seen = data.link_split.train, pair_keys(task.seen.edge_index, 60, directed=False)
    exact = PairSketches(task.seen.edge_index, 60, permutations=128).counts(links).log1p()
    met = 0
    for batch in task.batches(20):
        asked = batch.logits.keywords
        pairs, views = asked["pairs"], asked["views"]
        assert views.shape == (pairs.size(1), 7)
        fold = task._folds[torch.isin(pair_keys(links, 60, directed=False), pair_keys(pairs, 60, directed=False))]
        assert len(fold) == pairs.size(1) // 2
        for number in range(3):
            graph = task._remove_links((task._folds == number).nonzero().squeeze(-1))
            left = pair_keys(graph.edge_index, 60, directed=False)
            assert len(seen) - len(left) == 2 * int((task._folds == number).sum())
            without = PairSketches(graph.edge_index, 60).counts(pairs).log1p()
            met += int((without == views).all(1)[: pairs.size(1) // 2].sum())
    assert met >= links.size(1)  # each link in its own fold at least
    assert not torch.equal(task.views[task.train.index], exact)


FORMS = ("cross-entropy", "ranking", "triplet", "contrastive")


@pytest.mark.parametrize("form", FORMS)
def test_losses_of_links_are_the_loop_over_pairs(form):
    drawn = torch.Generator().manual_seed(0)
    scores, y = torch.randn(12, 1, generator=drawn, dtype=torch.float64), (torch.arange(12) < 6).double()[:, None]
    target = LinkTarget(form=form, margin=0.7, radius=2.0)
    links, others = scores[:6, 0].tolist(), scores[6:, 0].tolist()
    if form == "cross-entropy":
        expected = sum(math.log1p(math.exp(-s)) for s in links) / 12 + sum(math.log1p(math.exp(s)) for s in others) / 12
    elif form == "contrastive":
        pulled, pushed = (2 - np.array(links)).clip(0), (0.7 - (2 - np.array(others))).clip(0)
        expected = (np.square(pulled).sum() + np.square(pushed).sum()) / 24
    else:
        gaps = np.array(others) - np.array(links)
        expected = (np.log1p(np.exp(gaps)) if form == "ranking" else (gaps + 0.7).clip(0)).mean()
    assert target.loss(scores, y).item() == pytest.approx(expected)
    assert target_of(target.as_dict()) == target
    # Of links with others of their own, each is compared with these.
    own = torch.cat([scores[:2], scores[2:8]]), (torch.arange(8) < 2).double()[:, None]
    if form == "ranking":
        gaps = scores[2:8, 0].view(2, 3) - scores[:2]
        assert target.loss(*own).item() == pytest.approx(torch.nn.functional.softplus(gaps).mean().item())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_loss_learns_with_every_decoder_and_comes_back(form, decoder, tmp_path):
    data = divided()
    chosen = small("gcn-link").with_({"loss": form, "decoder": decoder, "epochs": 30, "dropout": 0.0})
    found = train(data, chosen, device="cpu", run_dir=tmp_path, metric="roc_auc")
    losses = [epoch.train_loss for epoch in found.seeds[0].history]
    assert min(losses) < losses[0]
    run = load_run(tmp_path)
    assert run.model.objective.target == found.models[0].objective.target
    assert run.evaluate(data).figures["roc_auc"] == found.record.metric.values


def test_triplets_compare_a_node_with_what_it_is_joined_with_and_with_what_it_is_not():
    data = divided()
    task, _ = prepare_links(data, small("triplet-link"), CPU, torch.float32)
    for batch in task.batches(20):
        links, others = batch.logits.keywords["pairs"].chunk(2, 1)
        assert torch.equal(links[0], others[0])
    shop = Data(edge_index=torch.tensor([[0, 0, 1, 1, 2, 2], [3, 4, 4, 5, 5, 6]]), x=torch.eye(7), num_nodes=7)
    split = RandomLinks(0.4, 0.3, 0.3)(shop, torch.Generator().manual_seed(0))
    drawn = split.sampler(shop, anchored=True)
    for key in range(20):
        others = drawn.beside(shop.edge_index, key=key)
        assert torch.equal(others[0], shop.edge_index[0])
        assert bool((others[1] >= 3).all())


def test_a_node_that_is_joined_with_all_has_another_pair_beside_its_links():
    star = Data(edge_index=torch.tensor([[0] * 6 + list(range(1, 7)), list(range(1, 7)) + [0] * 6]), num_nodes=7)
    split = RandomLinks(0.5, 0.2, 0.3)(star, torch.Generator().manual_seed(0))
    others = split.sampler(star, anchored=True).beside(star.edge_index[:, :6], key=1)
    assert bool((others > 0).all())
    assert bool((others[0] != others[1]).all())


@pytest.mark.parametrize("name", ["siamese-link", "triplet-link"])
def test_the_nearest_rows_are_the_likeliest_links(name, tmp_path):
    data = divided()
    train(data, small(name), device="cpu", run_dir=tmp_path)
    run = load_run(tmp_path)
    rows = run.embed(data)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(60))
    every = torch.cartesian_prod(torch.arange(60), torch.arange(60)).T
    scores = run.scores(data, every).view(60, 60)
    torch.testing.assert_close(scores, (2 - torch.cdist(rows, rows).square()).sigmoid(), atol=1e-5, rtol=1e-4)
    # No link that a search through all pairs finds is missed.
    apart = torch.ones(60, 60, dtype=torch.bool).fill_diagonal_(False)
    apart[data.edge_index[0], data.edge_index[1]] = False
    best = torch.where(apart, scores, -1.0).max(1)
    new = run.predict(data, top=1).frame()
    assert new["link"].tolist() == best.indices.tolist()


def test_models_of_pairs_have_no_rows(tmp_path):
    data = divided()
    train(data, small("pagerank"), device="cpu", run_dir=tmp_path)
    with pytest.raises(ValueError, match="'pagerank' looks at pairs and has no rows"):
        load_run(tmp_path).embed(data)


@pytest.mark.parametrize("name", SCORES)
def test_rules_are_those_of_their_name_and_learn_nothing(name, tmp_path):
    data = divided()
    found = train(data, recipe(name, items="links"), seeds=[0], device="cpu")
    assert found.record.parameters == 0
    task, test = prepare_links(data, recipe(name, items="links"), CPU, torch.float32)
    expected = SCORES[name](task.seen)(task.pairs[:, test.index])
    assert found.record.metric.values[0] == pytest.approx(float(task.objective.figure(expected[:, None], test.y)))


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    from graphkit.training import Interrupted
    from tests.interruptions import StopAfter

    data, made = divided(), small("ncn")
    whole = train(data, made, seeds=[0], device="cpu")
    with pytest.raises(Interrupted):
        train(data, made, seeds=[0], device="cpu", run_dir=tmp_path, reporter=StopAfter(1))
    again = train(data, made, seeds=[0], device="cpu", run_dir=tmp_path, resume=True)
    assert again.record.metric == whole.record.metric


def test_the_figure_is_one_that_the_pairs_have():
    few = divided()
    assert train(few, small("katz"), device="cpu").record.metric.name == "roc_auc"
    with pytest.raises(ValueError, match=r"`val.negative` must hold 100 pairs or more that are no links for Hits@100"):
        train(few, small("katz"), device="cpu", metric="hits@100")
    with pytest.raises(ValueError, match=r"`metric` 'accuracy' is none of links; take one of roc_auc, ap, hits@1"):
        train(few, small("katz"), device="cpu", metric="accuracy")
    with pytest.raises(ValueError, match=r"`metric` 'mrr' is none of 2 classes"):
        train(communities(), recipe("gcn"), device="cpu", metric="mrr")


def test_links_that_have_others_of_their_own_are_ranked_among_them():
    data = divided()
    split = data.link_split
    drawn = torch.Generator().manual_seed(0)
    own = [
        LinkPart(part.positive, torch.randint(60, (2, part.positive.size(1), 5), generator=drawn))
        for part in (split.val, split.test)
    ]
    ranked = dataclasses.replace(split, val=own[0], test=own[1]).apply(data)
    found = train(ranked, small("averaged-cosine"), device="cpu", metric="mrr")
    assert 0 < found.record.metric.mean < 1
    with pytest.raises(ValueError, match="each link of the split has others of its own"):
        train(ranked, small("averaged-cosine"), device="cpu", metric="roc_auc")


def test_what_does_not_fit_is_refused_in_words():
    data = divided()
    without = divided()
    del without.x, without.y
    without.num_nodes = 60
    with pytest.raises(ValueError, match="`x` is missing: 'gcn-link' looks at features; take 'pair-logistic'"):
        train(without, small("gcn-link"), device="cpu")
    assert train(without, small("pair-logistic"), device="cpu").record.dataset.classes == 0
    with pytest.raises(ValueError, match="`link_split` is missing"):
        train(communities(), small("gcn-link"), device="cpu")
    data.edge_weight = torch.ones(data.num_edges)
    with pytest.raises(ValueError, match="does not use edge weights"):
        train(data, small("sage-link"), device="cpu")
    assert train(data, small("gcn-link"), device="cpu").record.metric.mean > 0


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_are_their_formulas(kind):
    z, pairs = torch.randn(5, 4), torch.tensor([[0, 3], [2, 2]])
    decoder = PairDecoder(4, kind, layers=2)
    u, v = z[pairs[0]], z[pairs[1]]
    expected = {
        "inner": lambda: (u * v).sum(1),
        "bilinear": lambda: torch.einsum("pi,ij,pj->p", v, decoder.form.weight, u),
        "distance": lambda: 2 * torch.cosine_similarity(u, v),
        "hadamard": lambda: decoder.maps[1](torch.relu(decoder.maps[0](u * v)))[:, 0],
    }[kind]()
    torch.testing.assert_close(decoder(z, pairs)[:, 0], expected)


def test_common_neighbours_are_added_up():
    """NCN, equation 6, with a loop over pairs."""
    edges = torch.tensor([[0, 1, 1, 2, 0, 3, 3, 2], [1, 0, 2, 1, 3, 0, 2, 3]])

    class Rows(torch.nn.Module):
        def forward(self, x, edge_index):
            return x

    model = LinkPredictor(Rows(), PairDecoder(3), common=True)
    x, pairs = torch.randn(4, 3), torch.tensor([[0, 0, 1], [2, 1, 3]])
    between = torch.stack([x[1] + x[3], torch.zeros(3), x[0] + x[2]])
    h = x[pairs[0]] * x[pairs[1]] + between @ model.around.weight.T
    first, second = model.decoder.maps
    torch.testing.assert_close(model(LinkBatch(x, edges, None, pairs)), second(torch.relu(first(h))))


def test_a_directed_link_is_not_the_one_back():
    ring = torch.arange(30)
    edges = torch.cat([torch.stack([ring, (ring + 1) % 30]), torch.stack([ring, (ring + 2) % 30])], 1)
    data = Data(x=torch.eye(30), edge_index=edges, num_nodes=30)
    data = RandomLinks()(data, torch.Generator().manual_seed(0)).apply(data)
    assert data.link_split.directed
    found = train(data, small("pair-logistic"), device="cpu")
    assert found.record.metric.mean > 0.5
    views = pair_views(data, torch.tensor([[0, 1], [1, 0]]), width=4)
    names = pair_view_names(directed=True)
    assert views.shape[1] == len(names) > len(pair_view_names())
    assert views[:, names.index("edge back")].tolist() == [0.0, 1.0]


def test_figures_of_links_are_named_once():
    assert [name for name, each in METRICS.items() if each.fits("links", 1)] == [
        "roc_auc", "ap", "hits@1", "hits@3", "hits@10", "hits@20", "hits@50", "hits@100", "mrr"
    ]  # fmt: skip


def test_users_are_suggested_items_whether_edges_were_given_both_directions_or_not(tmp_path):
    drawn = torch.Generator().manual_seed(0)
    users = torch.arange(20).repeat_interleave(6)
    items = 20 + (users % 2) * 10 + torch.randint(10, (120,), generator=drawn)
    bought = Data(edge_index=torch.stack([users, items]), y=torch.zeros(40, dtype=torch.long), num_nodes=40)
    for undirected in (False, True):
        data = to_undirected(bought) if undirected else bought
        if undirected:
            data.node_type = node_kinds(bought)
        split = RandomLinks()(data, torch.Generator().manual_seed(0))
        split.require_laws(data)
        assert split.directed is not undirected
        assert {tuple(sorted(pair)) for pair in node_kinds(data)[split.test.negative].T.tolist()} == {(0, 1)}
        folder = tmp_path / str(undirected)
        train(split.apply(data), small("pair-logistic"), device="cpu", run_dir=folder)
        table = load_run(folder).predict(bought, top=2, nodes=[0, 1]).frame()
        assert set(table["id"]) == {0, 1}
        assert (table["link"] >= 20).all()


@pytest.mark.parametrize("name", LINK_RECIPES)
@pytest.mark.parametrize("form", ["fields of edges", "EdgeIndex", "stored"])
def test_every_recipe_takes_graphs_of_every_form(name, form, tmp_path):
    """Fields that nobody looks at, PyG's own edges, a graph on the disk: the figure is that of the plain graph."""
    plain = communities()
    data = plain.clone()
    if form == "EdgeIndex":
        data.edge_index = EdgeIndex(plain.edge_index, sparse_size=(60, 60))
    elif form == "fields of edges":
        data.edge_attr, data.edge_mark = torch.rand(data.num_edges, 2), torch.arange(data.num_edges)
    else:
        data.edge_attr = torch.rand(data.num_edges, 1)
        store(data, tmp_path / "graph")
        data = open_stored(tmp_path / "graph")
        plain = Data(x=data.x, y=data.y, edge_index=data.edge_index.as_tensor(), num_nodes=60)
    figures = []
    for given in (plain, data):
        split = RandomLinks()(given, torch.Generator().manual_seed(0))
        split.require_laws(given)
        found = train(split.apply(given), small(name), device="cpu", run_dir=tmp_path / str(len(figures)))
        assert len(load_run(tmp_path / str(len(figures))).predict(given, top=1, nodes=[0, 1]))
        figures.append(found.record.metric.values)
    assert figures[0] == figures[1]


@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_a_stored_graph_that_is_too_small_is_refused_in_words(nodes, tmp_path):
    path = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    store(Data(edge_index=path, num_nodes=nodes), tmp_path / "g")
    with pytest.raises(ValueError, match=r"links between different nodes|could be joined and are not"):
        load_links(tmp_path / "g", split=RandomLinks(negatives=5.0))


def test_a_column_of_times_splits_an_imported_graph(tmp_path):
    ring = torch.arange(20)
    rows = "\n".join(f"{u},{(u + 1) % 20},{1980 + u}" for u in ring.tolist())
    (tmp_path / "edges.csv").write_text("from,to,edge_time\n" + rows + "\n")
    import_graph(tmp_path / "edges.csv", tmp_path / "g", columns={"edge_time": "number"})
    _, (split,) = load_links(tmp_path / "g", split="time")
    assert split.test.positive[0].tolist() == [16, 17, 18, 19]
    assert split.val.positive[0].tolist() == [14, 15]
