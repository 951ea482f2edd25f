"""Graph models in the inner loop of few-shot learners: every recipe of nodes, accelerated and task by task."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphkit.meta import MAML, ClassSplit, FewShotProtocol, Nodes, TaskSet
from graphkit.training.fewshot import METHODS, fewshot, study_across_graphs, study_of_classes
from graphkit.training.fewshot.feature_views import rows_of
from graphkit.training.fewshot.named_methods import graph_learner, learners_of_graph_models
from graphkit.training.fewshot.task_models import GRAPH_MODELS, draw_model, moved_parameters
from graphkit.training.zoo.recipes import RECIPES
from tests.training.studies import communities

LEFT_OUT = {
    "spectral": "takes a Fourier basis of its graph",
    "specformer": "takes a Fourier basis of its graph",
    "gwnn": "takes the wavelets of its graph",
    "view-ridge": "is solved for",
    "mlp": "is the perceptron",
}
PROTOCOL = FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=6)
SPLIT = ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))
SHORT: dict[str, Any] = {"steps": 4, "batch": 2, "inner_steps": 2, "inner_lr": 0.1, "hidden": 8}


def graph(*, weighted: bool = False, seed: int = 0) -> Any:
    data = communities(120 + 6 * seed, 6, 12)
    data.x = data.x + torch.rand(data.num_nodes, 12, generator=torch.Generator().manual_seed(3 + seed))
    if weighted:
        data.edge_weight = 0.5 + torch.rand(data.num_edges, generator=torch.Generator().manual_seed(4))
    return data


def short(name: str, model: str, **fields: Any) -> dict[str, Any]:
    return {
        new: each.replace_fields({field: value for field, value in (SHORT | fields).items() if field in each.options()})
        for new, each in graph_learner(name, model).items()
    }


def test_every_recipe_of_nodes_is_a_model_or_has_a_reason():
    assert set(GRAPH_MODELS) | LEFT_OUT.keys() == RECIPES.keys()
    assert not set(GRAPH_MODELS) & LEFT_OUT.keys()


def learner_of(model: str, order: int = 2) -> MAML:
    torch.manual_seed(0)
    made = draw_model(model, 12, 8, 2)
    for name, value in made.named_parameters():
        if value.numel() > 1 and "filter" not in name:
            value.data += 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    return MAML(made.double(), moved=moved_parameters(model, made), inner_lr=0.1, inner_steps=3, order=order)


@pytest.mark.parametrize("name", learners_of_graph_models())
@pytest.mark.parametrize("model", GRAPH_MODELS)
def test_every_learner_is_drawn_with_every_model_and_its_fields_are_told(name, model):
    (method,) = graph_learner(name, model).values()
    learner = method.draw(12, 2)
    widths = [sum(p.numel() for p in method.replace_fields({"hidden": w}).draw(12, 2).parameters()) for w in (8, 64)]
    assert ("hidden" in method.as_dict()) == (widths[0] != widths[1])
    assert "hidden" in method.unused_fields() or method.with_({"hidden": 16}).hidden == 16
    if name == "anil":  # what makes the outputs moves, and no filter or norm
        data = graph()
        nodes = Nodes(rows_of(data, "weighted-0"), data.edge_index, data.y)
        task = TaskSet.draw(nodes, range(6), PROTOCOL)[0]
        moved = learner.adapt(task)
        assert sum((value.shape[0] == 2 and value.dim() == 2) or value.shape == (2,) for value in moved.values())
        assert not any("norm" in each or "filter" in each for each in moved)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("model", GRAPH_MODELS)
def test_the_inner_loop_is_the_plain_one(model, order):
    data = graph()
    nodes = Nodes(3 * rows_of(data, "weighted-0").double(), data.edge_index, data.y)
    tasks = list(TaskSet.draw(nodes, range(6), PROTOCOL))
    learner = learner_of(model, order)

    def figures(each: MAML) -> list[torch.Tensor]:
        each.zero_grad()
        each.meta_loss(tasks).backward()
        return [each.logits(tasks).detach(), *(p.grad.clone() for p in each.parameters() if p.grad is not None)]

    fast, plain = figures(learner), figures(learner.plain())
    assert len(fast) == len(plain) > 1
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * float(other.abs().max()))


@pytest.mark.parametrize("model", GRAPH_MODELS)
def test_steps_on_a_support_move_all_but_a_filter_s_coefficients(model):
    data, learner = graph(), learner_of(model)
    nodes = Nodes(rows_of(data, "weighted-0").double(), data.edge_index, data.y)
    task = TaskSet.draw(nodes, range(6), PROTOCOL)[0]
    adapted = learner.adapt(task)
    still = {name for name, _ in learner.model.named_parameters() if name not in adapted}
    assert all("filter" in name for name in still)
    assert bool(still) == hasattr(learner.model, "filter")
    before = dict(learner.model.named_parameters())
    assert any(not torch.equal(value, before[name]) for name, value in adapted.items())


@pytest.mark.parametrize("name", learners_of_graph_models())
def test_every_learner_trains_a_graph_model_beside_its_own(name):
    methods = {name: METHODS[name], **short(name, "gcn", rows="weighted-0")}
    methods = {each: method.replace_fields({"rows": "weighted-0"}) for each, method in methods.items()}
    methods[name] = methods[name].replace_fields({"steps": 2})
    found = fewshot(study_of_classes(graph(), [SPLIT], PROTOCOL), PROTOCOL, list(methods), methods=methods)
    assert list(found.record.methods) == [name, f"gcn-{name}"]
    assert found.record.config[f"gcn-{name}"]["model"] == "gcn"


@pytest.mark.parametrize("model", ["gcn", "gat", "sage"])
def test_convolutions_tell_classes_apart_that_rows_alone_do_not(model):
    data = graph()
    data.x = 0.05 * data.x + torch.rand(data.x.shape, generator=torch.Generator().manual_seed(9))
    protocol = FewShotProtocol(n_way=2, k_shot=3, n_query=8, n_tasks=20)
    methods = {"maml": METHODS["maml"], **graph_learner("maml", model)}
    methods = {
        name: each.replace_fields({"rows": "centred-0", "steps": 0, "hidden": 32}) for name, each in methods.items()
    }
    methods[f"{model}-maml"] = methods[f"{model}-maml"].replace_fields({"inner_lr": 0.3})
    found = fewshot(study_of_classes(data, [SPLIT], protocol), protocol, list(methods), methods=methods)
    accuracy = {name: each["accuracy"]["mean"] for name, each in found.record.methods.items()}
    assert accuracy[f"{model}-maml"] > accuracy["maml"] + 0.05


def test_inductive_training_sees_no_edge_of_what_is_held_out():
    data = graph()
    study = study_of_classes(data, [SPLIT], PROTOCOL, inductive=True)
    views = study.edges(study.problems[0])
    for edges, gone in ((views.train[0], (2, 3, 4, 5)), (views.validation, (4, 5)), (views.test, ())):
        seen = data.y[edges.index]
        assert not torch.isin(seen, torch.tensor(gone, dtype=seen.dtype)).any()
        kept = ~torch.isin(data.y[data.edge_index], torch.tensor(gone, dtype=data.y.dtype)).any(0)
        assert torch.equal(edges.index, data.edge_index[:, kept])


def test_what_is_held_out_changes_neither_training_nor_selection():
    """Moves features and edges of the test classes: an inductive learner has the same weights and validation."""

    def figures(data: Any) -> Any:
        study = study_of_classes(data, [SPLIT], PROTOCOL, inductive=True)
        made = short("maml", "gcn", rows="features-0")
        found = fewshot(study, PROTOCOL, list(made), methods=made)
        (learner,) = found.learners["gcn-maml"]
        return learner.learnt.weights, found.methods["gcn-maml"].problems[0].validation

    one, other = graph(), graph()
    test = torch.isin(other.y, torch.tensor([4, 5]))
    other.x[test] += 5
    other.edge_index = torch.cat([other.edge_index[:, 20:], torch.stack([test.nonzero()[:9, 0], torch.arange(9)])], 1)
    keep = torch.isin(one.y[one.edge_index], torch.tensor([4, 5])).any(0)
    one_rest = one.edge_index[:, ~keep]
    gone = torch.isin(other.y[other.edge_index], torch.tensor([4, 5])).any(0)
    other.edge_index = torch.cat([one_rest, other.edge_index[:, gone]], 1)
    (weights, validation), (others, other_validation) = figures(one), figures(other)
    assert validation == other_validation
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


@pytest.mark.filterwarnings("ignore::graphkit._checks.graphs.GraphWarning")
def test_edge_weights_are_used_or_refused():
    weighted, plain = graph(weighted=True), graph()
    study, other = (study_of_classes(each, [SPLIT], PROTOCOL) for each in (weighted, plain))
    made = short("maml", "gcn", rows="features-0")
    given = study.features(study.problems[0], "features-0", 1.0, ()).with_edges(
        study.edges(study.problems[0]), made["gcn-maml"].nodes
    )
    assert torch.equal(given.test.edge_weight, weighted.edge_weight)
    refusing = short("maml", "sage")
    began: list[Any] = []
    reporter = type("Hears", (), {"on_epoch": lambda *a: began.append(a), "on_unit": lambda *a: began.append(a)})()
    beside = {"prototypes-2": METHODS["prototypes-2"], **refusing}
    with pytest.raises(ValueError, match="`edge_weight`: the model 'sage' does not use edge weights"):
        fewshot(study, PROTOCOL, list(beside), methods=beside, reporter=reporter)
    directed = graph()
    directed.edge_index = directed.edge_index[:, directed.edge_index[0] < directed.edge_index[1]]
    beside = {"prototypes-2": METHODS["prototypes-2"], **short("maml", "optbasis")}
    with pytest.raises(ValueError, match="must be symmetric"):
        fewshot(
            study_of_classes(directed, [SPLIT], PROTOCOL), PROTOCOL, list(beside), methods=beside, reporter=reporter
        )
    assert not began  # before anything is computed
    assert fewshot(other, PROTOCOL, list(refusing), methods=refusing).record.headline == "sage-maml"


def test_across_graphs_each_graph_has_its_own_edges():
    graphs = {name: graph(seed=seed) for seed, name in enumerate("abc")}
    study = study_across_graphs("three", graphs, PROTOCOL)
    for problem, held_out in zip(study.problems, graphs, strict=True):
        views, others = study.edges(problem), [each for name, each in graphs.items() if name != held_out]
        assert torch.equal(views.test.index, graphs[held_out].edge_index)
        assert all(torch.equal(one.index, each.edge_index) for one, each in zip(views.train, others, strict=True))
        assert torch.equal(views.validation.index, others[0].edge_index)
    made = short("maml", "gat")
    assert fewshot(study, PROTOCOL, list(made), methods=made).methods["gat-maml"].problems[0].validation > 0


WRONG = {
    "a learner without a model": (("ridge", "gcn"), "`learner` 'ridge' trains no graph model; take one that does: pro"),
    "one that moves prototypes": (("encoder-protomaml-semi", "gcn"), "trains no graph model"),
    "a model of rows": (("maml", "perceptron"), "`encoder_model` 'perceptron' is not known"),
    "a model made for one graph": (("maml", "gwnn"), "`encoder_model` 'gwnn' is not known"),
    "no learner": (("mamal", "gcn"), "`learner` 'mamal' is not known. Did you mean 'maml'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_trains_no_graph_model_is_refused(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        graph_learner(*arguments)


def test_fields_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="`model` 'weights' has no outputs for classes, which maml needs"):
        METHODS["maml"].with_({"model": "weights"})
    with pytest.raises(ValueError, match="`unlabelled` is of models that see one row at a time, and 'gcn' sees a"):
        METHODS["encoder-protomaml-semi"].with_({"model": "gcn"})
    with pytest.raises(ValueError, match=r"`hidden` must be a multiple of `heads` \(8\), got 12"):
        METHODS["maml"].with_({"model": "gat", "hidden": 12})
    with pytest.raises(ValueError, match="`hidden` decides nothing in this learner: `model` is 'jacobi', one linear"):
        METHODS["maml"].with_({"model": "jacobi", "hidden": 3})
