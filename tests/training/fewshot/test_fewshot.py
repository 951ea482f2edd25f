"""Few-shot studies: the same tasks for all, honest selection, settings that hide what they say, resumption."""

from __future__ import annotations

import dataclasses
import json
import signal
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.meta import ClassSplit, FewShotProtocol, PrototypicalNetwork, Rows, evaluate
from graphkit.nn.graph_features import wl_counts
from graphkit.nn.graph_models import GraphBatch
from graphkit.training import Silence
from graphkit.training.engine import store
from graphkit.training.engine.interrupts import Interrupted
from graphkit.training.engine.store import read_tensors
from graphkit.training.fewshot import (
    METHODS,
    fewshot,
    study_across_graphs,
    study_of_classes,
    study_of_graphs,
    with_baselines,
)
from graphkit.training.fewshot.baseline_methods import Classifier, Prototypes, Ridge, SemiSupervised, Whitened
from graphkit.training.fewshot.encoder_training import encoder_rows, encoder_trainings, seen_graphs
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.fewshot.feature_views import (
    ADAPTERS,
    adapt_features,
    feature_rows,
    rows_of,
    weighted_rows,
)
from graphkit.training.fewshot.fewshot_results import FewShotRecord, MethodResult, ProblemResult
from graphkit.training.fewshot.meta_learners import MetaLearnt, PrototypicalNet, SiameseNet
from graphkit.training.fewshot.method import CHOICES, EvalOptions
from graphkit.training.fewshot.named_methods import ON_ENCODERS
from graphkit.training.fewshot.problems import FeatureViews
from graphkit.training.fewshot.run_fewshot import _selection, chosen_rows
from graphkit.training.fewshot.studies import require_apart, row_hashes

PROTOCOL = FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=6)
SPLIT = ClassSplit(train=(0, 1, 2), validation=(3, 4), test=(5, 6))
SMALL = {
    "prototypes-2": Prototypes(),
    "semi": SemiSupervised(),
    "ridge": Ridge(),
    "ridge-semi": Ridge(unlabelled=True),
    "protomaml-semi": MetaLearnt(
        learner="protomaml", model="weights", steps=4, batch=2, inner_steps=2, unlabelled=True
    ),
    "whitened": Whitened(),
    "protonet": PrototypicalNet(steps=4),
    "siamese": SiameseNet(steps=4),
    "transfer": Classifier(adaptation="prototypes", epochs=3),
    "fine-tuning": Classifier(epochs=3, inner_steps=2),
    **{
        name: MetaLearnt(learner=name, steps=4, batch=2, inner_steps=2, rows="features-1", scale=3.0)
        for name in ("maml", "fomaml", "reptile", "anil", "meta-sgd", "protomaml")
    },
}


def graph(seed=0, nodes=140, classes=7):
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    same = y[:, None] == y
    joined = (torch.rand(nodes, nodes, generator=drawn) < torch.where(same, 0.15, 0.01)).triu(1)
    x = (torch.rand(nodes, 24, generator=drawn) < 0.1 + 0.4 * (torch.arange(24) % classes == y[:, None])).float()
    return Data(x=x, edge_index=(joined | joined.T).nonzero().T.contiguous(), y=y)


@pytest.fixture
def study():
    return study_of_classes(graph(), [SPLIT], PROTOCOL)


def test_every_method_solves_the_same_tasks(study):
    outcome = fewshot(study, PROTOCOL, list(SMALL), methods=SMALL)
    assert isinstance(outcome.record, FewShotRecord)
    for name, result in outcome.methods.items():
        assert isinstance(result, MethodResult)
        assert len(result.problems[0].accuracies) == 6
        assert (result.accuracy(calibrated=True) is not None) == (
            name in ("prototypes-2", "whitened", "protonet", "siamese", "transfer", "protomaml")
        )
    assert outcome.methods["prototypes-2"].accuracy().mean > 0.7  # what the features and the graph say by themselves


def test_a_device_is_named_as_pytorch_names_it():
    assert study_of_classes(graph(), [SPLIT], PROTOCOL, device="cpu:0").device == torch.device("cpu")
    for make in (
        lambda **there: study_of_classes(graph(), [SPLIT], PROTOCOL, **there),
        lambda **there: study_across_graphs("two", {"a": graph(0), "b": graph(1)}, PROTOCOL, **there),
        lambda **there: study_of_graphs(set_of_graphs(), [SPLIT], PROTOCOL, **there),
    ):
        with pytest.raises(ValueError, match="`device` must be one as 'cpu' or 'cuda:1', got 'nonsense'"):
            make(device="nonsense")


EVERY = ClassSplit((), (), tuple(range(7)))


def test_all_classes_are_tested_on_where_none_is_left_to_train_on(tmp_path):
    protocol = dataclasses.replace(PROTOCOL, n_way=7)
    study = study_of_classes(graph(), [EVERY], protocol)
    fixed = {
        name: method if method.rows == "views" else method.replace_fields({"rows": "features-2"})
        for name, method in METHODS.items()
        if not method.of_graphs
    }
    methods = {name: method for name, method in fixed.items() if not method.needs_other_classes}
    names = list(methods)
    run = tmp_path / "run"
    outcome = fewshot(study, protocol, names, headline="view-ridge", methods=methods, run_dir=run)
    assert outcome.record.validation is None
    assert outcome.record.metric.mean > 0.7 > 2 / 7
    assert all(result.validation is None for result in outcome.methods.values())
    assert "validation" not in outcome.learners["view-ridge"][0].figures
    again = fewshot(study, protocol, names, headline="view-ridge", methods=methods, run_dir=run, resume=True)
    assert again.record.methods == outcome.record.methods
    with pytest.raises(ValueError, match="`headline` must be named"):
        fewshot(study, protocol, names, methods=methods)
    with pytest.raises(ValueError, match="`names`: maml, ridge are trained or chosen on other classes"):
        fewshot(study, protocol, ["maml", "view-ridge", "ridge"], headline="maml")
    with pytest.raises(ValueError, match="`inductive`"):
        study_of_classes(graph(), [EVERY], protocol, inductive=True)


@pytest.mark.parametrize("name", ["view-ridge"])
def test_learners_on_views_need_no_features(name):
    data = graph()
    protocol = dataclasses.replace(PROTOCOL, n_way=7)
    featured = fewshot(study_of_classes(data, [EVERY], protocol), protocol, [name], headline=name).record
    data.x = torch.ones(140, 1)
    structure = fewshot(study_of_classes(data, [EVERY], protocol), protocol, [name], headline=name).record
    assert 1.5 / 7 < structure.metric.mean < featured.metric.mean


def test_fields_of_unlabelled_rows_need_them():
    with pytest.raises(ValueError, match="`weight` decides nothing in this learner: `unlabelled` is false"):
        Ridge().with_({"weight": 9.0})


def test_the_headline_is_chosen_on_validation_classes(study):
    names = ["prototypes-2", "protonet", "fine-tuning"]
    outcome = fewshot(study, PROTOCOL, names, methods=SMALL)
    best = max(names, key=lambda name: outcome.methods[name].validation)
    assert outcome.record.headline == best
    assert outcome.record.metric.mean == outcome.methods[best].accuracy().mean
    assert fewshot(study, PROTOCOL, names, methods=SMALL, headline="fine-tuning").record.headline == "fine-tuning"


@pytest.mark.parametrize("name", ["protonet", "siamese", "maml", "transfer", "whitened"])
def test_labels_of_test_classes_change_neither_training_nor_selection(name):
    """Test items keep their classes' sizes, but which class an item is of is drawn anew."""
    data = graph()
    before = fewshot(study_of_classes(data, [SPLIT], PROTOCOL), PROTOCOL, [name], methods=SMALL).methods[name]
    held = torch.isin(data.y, torch.tensor(SPLIT.test)).nonzero().squeeze()
    data.y[held] = data.y[held][torch.randperm(len(held), generator=torch.Generator().manual_seed(1))]
    after = fewshot(study_of_classes(data, [SPLIT], PROTOCOL), PROTOCOL, [name], methods=SMALL).methods[name]
    assert before.validation == after.validation
    assert before.problems[0].step == after.problems[0].step
    assert before.problems[0].accuracies != after.problems[0].accuracies


@pytest.mark.parametrize("name", ["semi", "ridge-semi", "protomaml-semi"])
def test_unlabelled_rows_are_those_that_are_known_when_selecting(name):
    """Inductive: the features of test classes, whatever they are, have no say in the accuracy that selects."""
    data = graph()
    held = torch.isin(data.y, torch.tensor(SPLIT.test))

    def figures(inductive):
        study = study_of_classes(data, [SPLIT], PROTOCOL, inductive=inductive)
        return fewshot(study, PROTOCOL, [name], methods=SMALL).methods[name]

    before = figures(True)
    data.x[held] = torch.rand(int(held.sum()), 24, generator=torch.Generator().manual_seed(1))
    assert figures(True).validation == before.validation
    assert figures(True).problems[0].accuracies != before.problems[0].accuracies


def test_whitening_is_chosen_by_validation_tasks(study):
    """The weaker of two that do as well."""
    problem = study.problems[0].with_features(study.features(study.problems[0], "features-2", 1.0))
    options = EvalOptions(0)
    strengths = {each: Whitened(shrinkages=(each,)).evaluate(problem, 0, options, None) for each in (1e6, 1.0, 0.01)}
    best = max(strengths.values(), key=lambda found: found.validation)
    assert Whitened(shrinkages=tuple(strengths)).evaluate(problem, 0, options, None) == best
    weakest = PrototypicalNetwork(nn.Identity())
    assert strengths[1e6].test.accuracies == evaluate(weakest, problem.test).accuracies


def test_rows_are_chosen_by_validation_tasks_alone():
    data = graph()
    study = study_of_classes(data, [SPLIT], PROTOCOL)
    chosen = chosen_rows(study, study.problems[0])
    assert chosen in CHOICES
    held = torch.isin(data.y, torch.tensor(SPLIT.test)).nonzero().squeeze()
    data.y[held] = data.y[held][torch.randperm(len(held), generator=torch.Generator().manual_seed(1))]
    study = study_of_classes(data, [SPLIT], PROTOCOL)
    assert chosen_rows(study, study.problems[0]) == chosen  # labels of test classes have no say
    accuracies = {}
    for kind in CHOICES:
        one = fewshot(study, PROTOCOL, ["p"], methods={"p": Prototypes(rows=kind)}).methods["p"]
        accuracies[kind] = one.validation
    assert accuracies[chosen] == max(accuracies.values())
    learner = MetaLearnt(learner="protomaml", model="weights", rows="chosen", steps=0, inner_steps=0)
    found = fewshot(study, PROTOCOL, ["l"], methods={"l": learner}).methods["l"]
    assert found.problems[0].rows == chosen
    assert found.validation == max(accuracies.values())  # before any step it is the prototypes


@pytest.mark.parametrize("shift", [0.0, 20.0])
def test_validation_tasks_choose_whether_there_is_an_intercept(shift):
    data = graph()
    data.x = data.x + shift * torch.eye(data.x.size(1))[0]
    study = study_of_classes(data, [SPLIT], FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=30))
    methods = {str(choice): Ridge(intercept=choice, unlabelled=True) for choice in (False, True, "chosen")}
    found = fewshot(study, study.problems[0].test.protocol, list(methods), methods=methods).methods
    plain, offset, chosen = (found[name].problems[0] for name in methods)
    assert plain.validation != offset.validation
    assert chosen.accuracies == max(plain, offset, key=lambda each: each.validation).accuracies


def rows_in(study, problem, kind):
    """Return the rows of a problem, its encoders trained at once."""
    trained = [each.train() for each in study.encoders(problem)] if kind == "encoder" else ()
    return study.features(problem, kind, 1.0, trained)


@pytest.mark.parametrize("rows", ["features-2", "encoder"])
def test_inductive_training_does_not_see_what_is_held_out(rows, monkeypatch):
    data = graph()
    changed = data.clone()
    changed.x[torch.isin(data.y, torch.tensor(SPLIT.test))] = 1.0
    if rows == "encoder":
        _shorten(monkeypatch)

    def parts(each, inductive):
        study = study_of_classes(each, [SPLIT], PROTOCOL, inductive=inductive)
        return rows_in(study, study.problems[0], rows)

    one, other = parts(data, True), parts(changed, True)
    assert torch.equal(one.train[0].x, other.train[0].x)
    assert torch.equal(one.validation.x, other.validation.x)
    assert not torch.equal(one.test.x, other.test.x)
    hidden = torch.isin(data.y, torch.tensor([*SPLIT.test, *SPLIT.validation]))
    assert not bool(one.train[0].x[hidden].any())
    assert not torch.equal(parts(data, False).train[0].x, parts(changed, False).train[0].x)


@pytest.mark.parametrize("inductive", [False, True])
def test_tables_of_a_problem_are_kept_while_it_lasts_and_no_longer_than_others_need_them(inductive):
    splits = [SPLIT, ClassSplit(train=(4, 5, 6), validation=(2, 3), test=(0, 1))]
    study = study_of_classes(graph(), splits, PROTOCOL, inductive=inductive)
    first, second = study.problems

    def table(problem, kind="features-2"):
        return weakref.ref(study.features(problem, kind, 1.0).test.x)

    found = table(first)
    study.features(first, "features-0", 1.0)
    assert found() is not None
    assert table(first)() is found()
    assert table(second)() is not None
    assert (found() is None) == inductive


def _shorten(monkeypatch):
    """A small encoder and few epochs."""
    import graphkit.training.fewshot.encoders as encoders

    full = encoders.embedding_recipe
    small = {"epochs": 2, "dim": 8, "hidden": 8}
    monkeypatch.setattr(encoders, "embedding_recipe", lambda loss: full(loss).merge_fields(small))


def test_rows_are_averages_written_out():
    data = graph()
    from graphkit.operators import gcn_adjacency

    dense = gcn_adjacency(data.edge_index, num_nodes=140).to_dense()
    expected = dense @ dense @ (data.x / data.x.sum(1, keepdim=True).clamp(min=1e-12))
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(feature_rows(data, 2), expected)
    plain = dense @ (data.x / data.x.sum(1, keepdim=True).clamp(min=1e-12))
    centred = plain - plain.mean(0)
    torch.testing.assert_close(rows_of(data, "centred-1"), centred / centred.norm(dim=1, keepdim=True))


def test_an_encoder_with_labels_is_refused():
    with pytest.raises(ValueError, match="`encoder` must be trained without labels, but 'triplet' needs them"):
        Encoders(("triplet",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": ()}, "`encoder` must name losses without labels, each once, got"),
        ({"losses": ("dgi", "dgi")}, "each once"),
        ({"losses": ("dig",)}, "'dgi'"),
        ({"draws": 0}, "`draws` must be an integer of at least 1, got 0"),
        ({"fields": {"layer": 1}}, "Did you mean"),
        ({"losses": ("dgi",), "fields": {"ccassg.layers": 1}}, "`ccassg.layers` is of no encoder that is trained: dgi"),
    ],
)
def test_encoders_that_cannot_be_trained_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Encoders(**arguments)


def test_a_field_of_one_loss_stands_over_that_of_all():
    made = Encoders(fields={"epochs": 7, "dgi.epochs": 3}).recipes
    assert (made["ccassg"].epochs, made["dgi"].epochs) == (7, 3)


def test_encoders_side_by_side_are_those_alone_beside_the_features(monkeypatch):
    """Inner products of the rows: the mean of the encoders' and that of the features, half each."""
    _shorten(monkeypatch)
    data = graph()
    trainings = encoder_trainings(Encoders(("dgi", "ccassg"), draws=2), 5, 24, lambda: seen_graphs([data]))
    assert [(each.recipe.name, each.seed) for each in trainings] == [
        ("dgi", 5),
        ("dgi", 6),
        ("ccassg", 5),
        ("ccassg", 6),
    ]
    methods = [each.train() for each in trainings]
    together, features = encoder_rows([data], methods)[0], weighted_rows(data, 2)
    alone = [encoder_rows([data], [method])[0] for method in methods]
    products = torch.stack([rows @ rows.T for rows in alone]).mean(0)
    torch.testing.assert_close(together @ together.T, products)
    torch.testing.assert_close(together[:, -features.size(1) :], features / 2**0.5)


def test_weighted_features_count_by_their_inverse_frequency():
    """Written out, and against scikit-learn's."""
    from sklearn.feature_extraction.text import TfidfTransformer

    data = graph()
    fitted = TfidfTransformer().fit(data.x.numpy())
    x = data.x * torch.from_numpy(fitted.idf_).float().sqrt()
    x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(rows_of(data, "weighted-0"), F.normalize(x - x.mean(0), dim=-1))


def test_features_that_all_nodes_have_are_not_weighted():
    data = graph()
    data.x = data.x.abs() + 0.1
    unit = F.normalize(data.x, dim=-1)
    torch.testing.assert_close(rows_of(data, "weighted-0"), F.normalize(unit - unit.mean(0), dim=-1))


def test_across_graphs_the_held_out_graph_gives_no_training_task(monkeypatch):
    _shorten(monkeypatch)
    graphs = {name: graph(seed) for seed, name in enumerate(("a", "b", "c"))}
    study = study_across_graphs("three", graphs, PROTOCOL, inductive=True)
    assert [problem.name for problem in study.problems] == ["graph a", "graph b", "graph c"]
    changed = {**graphs, "b": graph(9)}
    other = study_across_graphs("three", changed, PROTOCOL, inductive=True)
    for rows in ("features-2", "encoder"):
        one, two = (rows_in(each, each.problems[1], rows) for each in (study, other))
        assert all(torch.equal(left.x, right.x) for left, right in zip(one.train, two.train, strict=True))
        assert not torch.equal(one.test.x, two.test.x)
    outcome = fewshot(study, PROTOCOL, ["prototypes-2", "maml"], methods=SMALL)
    assert outcome.record.dataset.graphs == 3
    assert len(outcome.record.metric.values) == 3


def test_what_cannot_be_crossed_is_refused():
    one = graph()
    with pytest.raises(ValueError, match="must be two or more"):
        study_across_graphs("one", {"a": one}, PROTOCOL)
    for copy in (one, one.clone(), renumbered(one)):
        with pytest.raises(ValueError, match=r"the graph 'a' is 'b' again, node for node, up to their order"):
            study_across_graphs("copied", {"a": one, "b": copy}, PROTOCOL)
    narrow = graph(1)
    narrow.x = narrow.x[:, :5]
    with pytest.raises(ValueError, match="features of different widths"):
        study_across_graphs("widths", {"a": one, "b": narrow}, PROTOCOL)


def renumbered(data):
    """Return the graph with its nodes in another order."""
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(5))
    return Data(x=data.x[order], edge_index=order.argsort()[data.edge_index], y=data.y[order])


def with_few_features(seed):
    """Return a graph whose features tell no node from another of its class."""
    data = graph(seed)
    data.x = F.one_hot(data.y).float()
    return data


def test_graphs_that_share_their_nodes_are_refused():
    whole = graph()
    part = whole.subgraph(torch.arange(100))
    with pytest.raises(ValueError, match=r"'a' and 'b' share \d+ nodes .* of the 100 of 'b'"):
        study_across_graphs("part", {"a": whole, "b": part}, PROTOCOL)
    sparse = part.clone()
    sparse.x = torch.cat([part.x, torch.zeros(100, 3)], 1).to_sparse_csr()
    with pytest.raises(ValueError, match=r"'a' and 'b' share \d+ nodes"):
        require_apart({"a": whole, "b": sparse})
    changed = renumbered(part)
    changed.x[changed.x.size(0) // 20 :] *= 0.5  # five of a hundred are left
    require_apart({"a": whole, "b": changed})


def test_graphs_with_few_features_are_told_apart_by_their_neighbours():
    one = with_few_features(0)
    require_apart({"a": one, "b": with_few_features(1)})
    with pytest.raises(ValueError, match="is 'b' again"):
        require_apart({"a": one, "b": renumbered(one)})


@pytest.mark.parametrize("name", ["structural-roles", "twitch-musae", "citation-domains", "facebook100"])
def test_families_of_graphs_share_no_nodes(name, mirror):
    from graphkit.data import load

    require_apart(load(name))


def test_rows_are_equal_where_their_numbers_are():
    x = (torch.rand(300, 6) < 0.3).float() * torch.tensor([1.0, 2.0, -1.0, 0.5, 3.0, 1.0])
    y = torch.arange(300) % 3 - 1
    numbers = row_hashes(x, y)
    same = (x[:, None] == x).all(-1) & (y[:, None] == y)
    assert torch.equal(numbers[:, None] == numbers, same)
    assert torch.equal(row_hashes(-0.0 * x.abs() + x, y), numbers)  # a zero has no sign


def test_graphs_that_are_not_sound_are_refused_by_what_is_wrong():
    hollow, nameless, real = graph(), graph(), graph()
    hollow.x[3, 2] = float("nan")
    nameless.x = None
    real.y = real.y.float()
    broken = set_of_graphs()
    broken._data.x[0, 0] = float("inf")
    for make in (
        lambda data: study_of_classes(data, [SPLIT], PROTOCOL),
        lambda data: study_across_graphs("two", {"a": graph(1), "b": data}, PROTOCOL),
        lambda data: study_across_graphs("two", {"a": graph(1), "b": data}, PROTOCOL, adapter="components"),
    ):
        with pytest.raises(ValueError, match="`x` must be finite, but 1 of its values"):
            make(hollow)
        with pytest.raises(ValueError, match="`x` is missing"):
            make(nameless)
        with pytest.raises(TypeError, match="`y` must hold integers"):
            make(real)
    with pytest.raises(ValueError, match="`x` must be finite, but 1 of its values"):
        study_of_graphs(broken, [SPLIT], PROTOCOL)


def test_a_study_needs_splits():
    for make in (
        lambda splits, **more: study_of_classes(graph(), splits, PROTOCOL, **more),
        lambda splits, **more: study_of_graphs(set_of_graphs(), splits, PROTOCOL, **more),
    ):
        with pytest.raises(ValueError, match="`splits` must hold at least one class split"):
            make([])


def test_across_graphs_what_selects_is_not_trained_on():
    graphs = {name: graph(seed) for seed, name in enumerate(("a", "b", "c"))}
    for problem in study_across_graphs("three", graphs, PROTOCOL).problems:
        (known, _), trained = problem.sources[0], set(problem.train[0].chosen.unique().tolist())
        selecting = set(problem.validation.chosen.unique().tolist())
        assert not trained & selecting
        assert bool((known.y[sorted(selecting)] == -1).all())
        assert bool((known.y[sorted(trained)] >= 0).all())
        rows = problem.with_features(study_rows(problem, graphs))
        assert torch.equal(rows.sources[0][0].y, known.y)


def study_rows(problem, graphs):
    found = {name: Rows(data.x, data.y) for name, data in graphs.items()}
    held_out = problem.name.removeprefix("graph ")
    names = [name for name in graphs if name != held_out]
    return FeatureViews(tuple(found[name] for name in names), found[names[0]], found[held_out])


def test_across_graphs_classes_may_be_unseen_too():
    graphs = {name: graph(seed) for seed, name in enumerate(("a", "b"))}
    study = study_across_graphs("two", graphs, PROTOCOL, splits=[SPLIT])
    assert [problem.name for problem in study.problems] == ["graph a, classes 5, 6", "graph b, classes 5, 6"]
    for problem, held_out in zip(study.problems, ("a", "b"), strict=True):
        assert set(problem.test.classes.unique().tolist()) == {5, 6}
        assert set(problem.validation.classes.unique().tolist()) == {3, 4}
        assert set(problem.train[0].classes.unique().tolist()) <= {0, 1, 2}
        rowed = study.features(problem, "features-1", 1.0)
        assert torch.equal(rowed.test.x, rows_of(graphs[held_out], "features-1"))
    assert study.setting["labels"] == "disjoint"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_brings_features_to_one_width_without_labels(adapter):
    wide = graph(1)
    wide.x = torch.cat([wide.x, wide.x[:, :11]], 1)
    graphs = {"a": graph(0), "b": wide}
    found = adapt_features(graphs, adapter)
    assert found["a"].num_features == found["b"].num_features
    assert torch.equal(found["b"].y, wide.y)
    assert wide.num_features == 35  # left as it was
    blind = adapt_features({"b": wide.clone().update({"y": wide.y.flip(0)})}, adapter)["b"].x
    assert torch.equal(blind, found["b"].x)
    study = study_across_graphs("two", graphs, PROTOCOL, adapter=adapter)
    outcome = fewshot(study, PROTOCOL, ["prototypes-2", "maml"], methods=SMALL)
    assert outcome.record.protocol["adapter"] == adapter


def test_adapters_are_what_they_say():
    data = graph(2)
    structure = adapt_features({"a": data}, "structure")["a"].x
    degrees = torch.bincount(data.edge_index[1], minlength=140)
    assert torch.equal(structure[:, :12].argmax(1), (degrees + 1.0).log2().floor().long())
    dense = torch.zeros(140, 140).index_put((data.edge_index[1], data.edge_index[0]), torch.tensor(1.0))
    mean = (dense @ degrees.float()) / degrees.clamp(min=1)
    assert torch.equal(structure[:, 12:24].argmax(1), (mean + 1).log2().floor().long())
    kept = adapt_features({"a": data}, "components")["a"].x
    x = data.x / data.x.sum(1, keepdim=True).clamp(min=1e-12)
    left = torch.linalg.svd(x - x.mean(0), full_matrices=False)[0][:, :5]
    expected = left / left.std(0)
    expected = expected * torch.where((expected**3).mean(0) < 0, -1.0, 1.0)
    torch.testing.assert_close(kept[:, :5], expected, rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match="`adapter` 'svd' is not known"):
        adapt_features({"a": data}, "svd")


def set_of_graphs(classes=6, each=12) -> GraphSet:
    """Rings whose features lean towards their class."""
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(classes * each) % classes
    ring = torch.stack([torch.arange(5), torch.arange(5).roll(1)])
    x = (torch.rand(5 * len(y), 12, generator=drawn) < 0.2).float()
    x = x + (torch.arange(12) % classes == y.repeat_interleave(5)[:, None]).float()
    data = Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], 1).repeat(1, len(y)), y=y)
    return GraphSet(data, nodes=torch.full((len(y),), 5), edges=torch.full((len(y),), 10))


def test_whole_graphs_are_told_apart(monkeypatch):
    _shorten(monkeypatch)
    graphs, split = set_of_graphs(), ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))
    study = study_of_graphs(graphs, [split, split], PROTOCOL)
    assert [problem.name for problem in study.problems] == ["classes 4, 5", "classes 4, 5, draw 2"]
    rows = study.features(study.problems[0], "features-0", 1.0).test.x
    means = torch.stack([_unit(graph.x).mean(0) for graph in graphs])
    torch.testing.assert_close(rows, _unit(means))
    assert rows_in(study, study.problems[0], "encoder").test.x.size(0) == len(graphs)
    outcome = fewshot(study, PROTOCOL, ["prototypes-2", "maml"], methods=SMALL)
    assert outcome.methods["prototypes-2"].accuracy().mean > 0.7
    assert outcome.record.dataset.graphs == 72
    assert outcome.record.protocol["items"] == "graphs"


def _unit(x):
    return F.normalize(F.normalize(x, p=1, dim=-1), dim=-1)


def test_graphs_without_classes_are_refused():
    graphs = set_of_graphs()
    graphs._data.y = graphs._data.y.float()
    with pytest.raises(ValueError, match="`graphs` must have one class each"):
        study_of_graphs(graphs, [SPLIT], PROTOCOL)


def test_what_selects_is_said_where_it_is_not_the_validation_classes():
    few, enough = ClassSplit((0, 1, 2), (3,), (4, 5)), SPLIT

    def selection(*splits):
        study = study_of_classes(graph(), splits, PROTOCOL)
        return fewshot(study, PROTOCOL, ["prototypes-2"], methods=SMALL).record.selection

    told = "validation tasks are of training classes, as there are fewer validation classes than ways"
    assert "validation tasks are" not in selection(enough)
    assert selection(few).endswith("; " + told)
    assert selection(few, enough).endswith("; in some splits " + told)
    graphs = {name: graph(seed) for seed, name in enumerate(("a", "b"))}
    for splits, what in (((), "classes trained on"), ((few,), "training classes"), ((enough,), "")):
        study = study_across_graphs("two", graphs, PROTOCOL, splits=splits)
        found = fewshot(study, PROTOCOL, ["prototypes-2"], methods=SMALL).record.selection
        assert ("by nodes kept apart from training" in found) == (what in found and what != "") == bool(what)


@pytest.mark.parametrize("rounds", [0, 2])
def test_counts_of_whole_graphs_are_rows_like_any_other(rounds):
    graphs, kind = set_of_graphs(7), f"counts-{rounds}"
    joined = graphs.batch(range(len(graphs)))
    batch = GraphBatch(joined.x.float(), joined.edge_index, None, joined.batch, len(graphs))
    expected = wl_counts(batch, rounds=rounds, columns=2048).log1p()
    expected = F.normalize(expected - expected.mean(0), dim=1)
    methods = {"own": METHODS["prototypes-counts"].replace_fields({"rows": kind})}
    study = study_of_graphs(graphs, [SPLIT], PROTOCOL)
    torch.testing.assert_close(study.features(study.problems[0], kind, 1.0).test.x, expected)
    assert 0 <= fewshot(study, PROTOCOL, ["own"], methods=methods).record.metric.mean <= 1
    nodes = study_of_classes(graph(), [SPLIT], PROTOCOL)
    with pytest.raises(ValueError, match="count what a whole graph holds; of nodes take"):
        fewshot(nodes, PROTOCOL, ["own"], methods=methods)


@pytest.mark.parametrize("name", METHODS)
def test_what_validation_tasks_select_is_said_of_methods_for_which_they_select_something(name):
    """A step of a meta-training is told of methods that have steps of one, and so is what else is chosen."""
    method = METHODS[name]
    fields = {field.name for field in dataclasses.fields(method)}
    told = _selection(True, [], {name: method})
    assert ("meta-training step" in told) == ({"steps", "batch"} <= fields)
    assert ("shrinkage" in told) == ("shrinkages" in fields)
    assert ("intercept" in told) == (getattr(method, "intercept", None) == "chosen")
    assert ("rows" in told) == (method.rows == "chosen")
    assert ("by its margin" in told) == bool(getattr(method, "margin", 0))
    assert told.count("of highest accuracy") == (told != "method named")


def test_what_is_selected_of_several_methods_is_said_once():
    told = _selection(False, [], METHODS)
    assert told.startswith("method of highest accuracy on validation tasks; ")
    assert told.count("meta-training step") == 1


def test_the_seconds_in_which_rows_are_made_are_kept_apart_from_those_of_methods():
    encoders = Encoders(("ccassg",), fields={"epochs": 2})
    study = study_of_classes(graph(), [SPLIT], PROTOCOL, encoders=encoders)
    names = ["prototypes-2", "encoder-prototypes"]
    record = fewshot(study, PROTOCOL, names, methods=METHODS).record
    assert list(record.row_seconds) == ["features-2", "encoder"]
    assert record.row_seconds["encoder"] > record.row_seconds["features-2"] >= 0
    assert json.loads(record.to_json())["row_seconds"] == record.row_seconds


def test_methods_that_are_none_and_another_protocol_are_refused(study):
    with pytest.raises(ValueError, match=r"`names` 'mam' is not known\. Did you mean 'maml'"):
        fewshot(study, PROTOCOL, ["mam"])
    with pytest.raises(ValueError, match="`names` must hold at least one method"):
        fewshot(study, PROTOCOL, [])
    with pytest.raises(ValueError, match="`headline` 'maml' is not known"):
        fewshot(study, PROTOCOL, ["protonet"], headline="maml")
    with pytest.raises(ValueError, match=r"`protocol` must be the one that the study was drawn with, .*k_shot=2"):
        fewshot(study, FewShotProtocol(n_way=2, k_shot=1, n_query=4, n_tasks=6), ["prototypes-2"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": "foo"}, "must be features-K, centred-K, weighted-K or counts-K"),
        ({"rows": "centred--1"}, "must be features-K, centred-K, weighted-K or counts-K"),
        ({"multi_step": 3}, "less than or equal to 1"),
        ({"first_order": 3}, "less than or equal to 1"),
        ({"learner": "meta-sgd", "test_steps": 20}, "`test_steps` must be at most `inner_steps`"),
    ],
)
def test_fields_out_of_their_range_are_refused_when_a_method_is_made(fields, message):
    with pytest.raises(ValueError, match=message):
        MetaLearnt(**fields)


def test_more_ways_than_training_classes_are_refused():
    with pytest.raises(ValueError, match="a split has 0 classes to train on"):
        study_of_classes(graph(), [ClassSplit((), (2, 3), (4, 5))], PROTOCOL)
    with pytest.raises(ValueError, match="a split has 2 classes to train on"):
        study_of_classes(graph(), [ClassSplit((0, 1), (2,), (3, 4, 5))], FewShotProtocol(n_way=3, k_shot=1, n_query=2))


class Stop(Exception):
    pass


def test_a_stopped_study_goes_on_where_it_was(study, tmp_path):
    names = ["prototypes-2", "protonet", "maml"]
    solved = []

    class Twice(Silence):
        def on_unit(self, unit, result):
            solved.append(unit.method)
            if len(solved) == 2:
                raise Stop

    with pytest.raises(Stop):
        fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, reporter=Twice())
    assert len(read_tensors(tmp_path / "checkpoint.pt")["finished"]) == 2
    resumed = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, resume=True)
    whole = fewshot(study, PROTOCOL, names, methods=SMALL)
    for name in names:
        left, right = (each.methods[name].problems[0] for each in (resumed, whole))
        assert (left.accuracies, left.validation) == (right.accuracies, right.validation)


class Signal(Silence):
    """Sends a signal to this process after a step of meta-training, and remembers the steps."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number, self.steps = step, number, []

    def on_epoch(self, unit, epoch, best):
        self.steps.append(epoch.number)
        if epoch.number == self.step:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["maml", "protonet"])
def test_ctrl_c_in_a_meta_training_leaves_its_state(name, number, study, tmp_path):
    names, first, then = ["prototypes-2", name], Signal(3, number), Signal(0)
    with pytest.raises(Interrupted, match=f"stopped after step 3 of {name} on classes 5, 6; resume from"):
        fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, reporter=first)
    assert read_tensors(tmp_path / "checkpoint.pt")["running"]["trainer"]["step"] == 3
    resumed = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, resume=True, reporter=then)
    assert (first.steps, then.steps) == ([1, 2, 3], [4])  # none is taken twice
    whole = fewshot(study, PROTOCOL, names, methods=SMALL)
    left, right = (each.methods[name].problems[0] for each in (resumed, whole))
    assert (left.accuracies, left.validation, left.step) == (right.accuracies, right.validation, right.step)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rows_are_not_waited_for_after_a_request(number, study, tmp_path):
    """What makes the rows may take minutes, and leaves nothing to go on from."""
    names, made = ["prototypes-2", "protonet"], []

    def features(problem, kind, scale, trained):
        made.append(kind)
        if len(made) == 2:
            signal.raise_signal(number)
            made.append("beyond")
        return study.features(problem, kind, scale)

    with pytest.raises(Interrupted, match="stopped before protonet on classes 5, 6; resume from"):
        fewshot(dataclasses.replace(study, features=features), PROTOCOL, names, methods=SMALL, run_dir=tmp_path)
    assert made == ["features-2", "features-2"]
    resumed = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, resume=True)
    assert resumed.record.metric == fewshot(study, PROTOCOL, names, methods=SMALL).record.metric


def test_a_first_training_that_is_stopped_can_be_resumed(study, tmp_path):
    """Before anything is finished, and after the last method."""
    with pytest.raises(Interrupted):
        fewshot(study, PROTOCOL, ["maml"], methods=SMALL, run_dir=tmp_path, reporter=Signal(2))
    found = fewshot(study, PROTOCOL, ["maml"], methods=SMALL, run_dir=tmp_path, resume=True)
    whole = fewshot(study, PROTOCOL, ["maml"], methods=SMALL)
    assert found.record.metric == whole.record.metric


@pytest.mark.parametrize("resume", [False, True])
def test_one_study_at_a_time_works_in_a_folder(study, tmp_path, resume):
    names = ["prototypes-2", "protonet"]

    class Another(Silence):
        def on_unit(self, unit, result):
            with pytest.raises(ValueError, match="`run_dir`: another process trains into"):
                fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, resume=resume)
            raise Stop

    with pytest.raises(Stop):
        fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, reporter=Another())
    assert len(read_tensors(tmp_path / "checkpoint.pt")["finished"]) == 1
    fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, resume=True)


def test_another_study_is_not_gone_on_with(study, tmp_path):
    with pytest.raises(ValueError, match=r"there is no checkpoint in .*; start without it"):
        fewshot(study, PROTOCOL, ["prototypes-2"], methods=SMALL, run_dir=tmp_path, resume=True)
    fewshot(study, PROTOCOL, ["prototypes-2"], methods=SMALL, run_dir=tmp_path)
    with pytest.raises(ValueError, match="belongs to another run: study was"):
        fewshot(study, PROTOCOL, ["prototypes-2"], methods=SMALL, run_dir=tmp_path, resume=True, calibrate=3)


def test_figures_are_over_tasks_and_over_problems():
    def result(*accuracies):
        return ProblemResult(problem="p", validation=0.5, accuracies=accuracies, calibrated=None, step=0, seconds=1.0)

    one = MethodResult(name="one", trained=False, problems=(result(0.5, 0.7), result(0.9, 1.0)))
    other = MethodResult(name="other", trained=False, problems=(result(0.4, 0.7), result(0.8, 1.0)))
    found, apart = one.accuracy(), one.over(other)
    assert found.mean == pytest.approx(0.775)
    assert found.spread == pytest.approx(torch.tensor([0.6, 0.95]).std().item())
    assert found.interval == pytest.approx(1.96 * (0.02 / 2 + 0.005 / 2) ** 0.5 / 2)
    assert apart.mean == pytest.approx(0.05)
    assert one.accuracy(calibrated=True) is None


def test_baselines_stand_beside_a_learner():
    of_nodes = [name for name, method in METHODS.items() if not method.of_graphs]
    assert with_baselines("all") == of_nodes
    assert with_baselines("all", whole_graphs=True) == list(METHODS)
    assert set(with_baselines("maml", whole_graphs=True)) - set(with_baselines("maml")) == {"prototypes-counts"}
    with pytest.raises(ValueError, match="`learner` 'prototypes-counts' looks at whole graphs, and here are nodes"):
        with_baselines("prototypes-counts")
    assert with_baselines("protomaml")[-1] == "protomaml"
    assert with_baselines("encoder-protomaml")[-len(ON_ENCODERS) - 1 :] == [*ON_ENCODERS, "encoder-protomaml"]
    untrained = with_baselines("encoder-semi", "untrained")
    assert untrained[-4:] == ["encoder-prototypes", "encoder-ridge", "encoder-ridge-semi", "encoder-semi"]
    assert with_baselines("maml", "untrained") == [
        "prototypes-0",
        "prototypes-2",
        "prototypes-centred",
        "prototypes-weighted",
        "view-ridge",
        "logistic",
        "random-start",
        "maml",
    ]
    assert with_baselines("encoder-protomaml", "none") == ["encoder-protomaml"]
    needy = [name for name, method in METHODS.items() if method.needs_other_classes]
    assert {"maml", "ridge", "fine-tuning", "prototypes-whitened"} < {*needy}
    assert set(with_baselines("all", all_classes=True)) == {*of_nodes} - {*needy}
    for name in needy:
        with pytest.raises(ValueError, match=f"'{name}' is trained or chosen on other classes"):
            with_baselines(name, all_classes=True)
    with pytest.raises(ValueError, match="`baselines` 'some' is not known"):
        with_baselines("maml", "some")
    with pytest.raises(ValueError, match="Did you mean 'maml'"):
        with_baselines("mamll")


@pytest.mark.parametrize("name", ["checkpoint.pt", "record.json"])
def test_a_full_disk_costs_no_result_and_names_the_file(name, study, tmp_path, monkeypatch):
    write = store.write_atomically

    def full(path, content):
        if path.name == name:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(store, "write_atomically", full)
    outcome = fewshot(study, PROTOCOL, ["maml"], methods=SMALL, run_dir=tmp_path, checkpoint_every=0.0)
    assert outcome.record.metric == fewshot(study, PROTOCOL, ["maml"], methods=SMALL).record.metric
    assert outcome.faults == (f"{str(tmp_path / name)!r} could not be written (No space left on device).",)


def test_another_study_in_the_folder_is_put_aside_and_can_be_resumed(study, tmp_path):
    names = ["prototypes-2"]
    first = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path)
    assert first.put_aside is None
    assert fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path).put_aside is None
    other = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=tmp_path, calibrate=3)
    assert other.put_aside == tmp_path / "aside-1"
    again = fewshot(study, PROTOCOL, names, methods=SMALL, run_dir=other.put_aside, resume=True)
    assert again.record.metric == first.record.metric
