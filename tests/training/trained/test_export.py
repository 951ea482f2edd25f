"""Exported models: on a graph of another size they say what the model says; what cannot be exported says why."""

from __future__ import annotations

import json

import pytest
import torch

from graphkit.operators.polynomials.polynomial_bases import _cosines
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import ClassTarget, NumberTarget, SupervisedObjective
from graphkit.training.trained import export
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.export import ExportError, export_model, input_names
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES

KINDS = {"nodes": RECIPES, "signals": SIGNAL_RECIPES, "graphs": GRAPH_RECIPES}
CASES = {f"{items}-{name}": made for items, table in KINDS.items() for name, made in table.items()}
MOLECULES = {f"molecules-{name}": made for name, made in GRAPH_RECIPES.items()}
EVERY = {**CASES, **MOLECULES}
REFUSED = {case: made for case, made in EVERY.items() if made.model.made_outside or made.model.untraced}
ABLE = {case: made for case, made in EVERY.items() if case not in REFUSED}
FAST = (
    "nodes-gat",
    "nodes-mlp",
    "nodes-view-ridge",
    "nodes-gpr",
    "nodes-grand",
    "signals-mlp",
    "graphs-gin",
    "molecules-gcn-virtual",
)
"""Those that are exported in every run of the tests; the others are slow together."""

CLASSES = SupervisedObjective(ClassTarget(3), METRICS["accuracy"])
NUMBERS = SupervisedObjective(NumberTarget((5.0, 1.0, 0.0), (2.0, 1.0, 9.0)), METRICS["rmse"])


def drawn_model(made, *, molecules=False, edge_channels=0, objective=CLASSES):
    """Return a model of a recipe with weights that are drawn, as large as training leaves them."""
    small = {"hidden": 8, "layers": 2, "heads": 2, "row_normalise": True}
    recipe = made.with_({name: value for name, value in small.items() if name in made.as_dict()})
    graph = (6,) if recipe.model.items == "signals" else (molecules, edge_channels)
    channels = 9 if molecules else 5
    torch.manual_seed(0)
    if not recipe.model.made_outside:
        if recipe.model.items == "nodes":
            graph = recipe.model.graph(torch.tensor([[0, 1], [1, 0]]), None, 2)
            graph = (*graph, None, torch.ones(2, edge_channels)) if edge_channels else graph
        module = recipe.module(channels, 3, graph)
        weights = module.state_dict()
        for value in weights.values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value), alpha=0.1)
    else:
        weights = {"weight": torch.ones(1)}
    return TrainedModel(
        recipe=recipe,
        weights=weights,
        channels=channels,
        outputs=3,
        objective=objective,
        seed=0,
        precision="32-true",
        dataset="drawn",
        dataset_sha256="",
        molecules=molecules,
        edge_channels=edge_channels,
        temperature=2.0,
    )


def test_all_recipes_are_exported_or_say_why_not():
    assert ABLE.keys() | REFUSED.keys() == CASES.keys() | MOLECULES.keys()
    assert len(ABLE) > 20


@pytest.mark.parametrize(
    "case", [each if each in FAST else pytest.param(each, marks=pytest.mark.slow) for each in ABLE]
)
@pytest.mark.parametrize("format", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_an_exported_model_says_what_the_model_says_of_a_second_graph(tmp_path, case, format):
    model = drawn_model(ABLE[case], molecules=case.startswith("molecules"))
    report = export_model(model, tmp_path / "model", format=format)
    assert report.difference < 1e-5
    # A third graph, with another number of nodes, read from the file.
    inputs, _ = export._draw_inputs(model, 51, 7, seed=2)
    assert tuple(inputs) == input_names(model)
    with torch.no_grad():
        found, expected = export._outputs(report.path, format, inputs), export._model_outputs(model, inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.shape[1] == 3
    assert float(expected.std()) > 1e-3, "else any file would agree"


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (RECIPES["gat"], {"edge_channels": 2}),
        (RECIPES["gin"], {"edge_channels": 2}),
        (GRAPH_RECIPES["gin"], {"edge_channels": 2}),
        (GRAPH_RECIPES["gcn"], {"edge_channels": 1}),
        (RECIPES["mlp"], {"objective": NUMBERS}),
    ],
    ids=["gat", "gin", "graphs gin", "graphs gcn", "numbers"],
)
def test_features_of_edges_and_numbers_are_exported_too(tmp_path, made, fields):
    model = drawn_model(made, **fields)
    report = export_model(model, tmp_path / "m.pt2")
    assert report.difference < 1e-4
    assert ("edge_attr" in report.description["inputs"]) == ("edge_channels" in fields)
    inputs, _ = export._draw_inputs(model, 51, 7, seed=2)
    with torch.no_grad():
        found, expected = export._outputs(report.path, "torch", inputs), export._model_outputs(model, inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_what_is_cached_while_a_model_is_traced_is_no_other_models(tmp_path):
    """A table of cosines was, without numbers, and the next model of that order was of no use."""
    model = drawn_model(RECIPES["cayley"].with_({"order": 3}))
    before = export._model_outputs(model, inputs := export._draw_inputs(model, 9, 3, seed=0)[0])
    _cosines.cache_clear()
    with torch.no_grad():
        torch.export.export(export.InputForward(model, model.module()), (), kwargs=inputs, strict=False)
    assert torch.equal(export._model_outputs(model, inputs), before)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_says_why(tmp_path, case):
    said = r"takes (a|the) \w+.*, made outside of it|.*, which no file of tensor operations does"
    with pytest.raises(ValueError, match=f"cannot be exported: it ({said})"):
        export_model(drawn_model(REFUSED[case]), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_onnx_runs_without_us_and_says_what_it_takes(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = drawn_model(RECIPES["sage"])
    export_model(model, tmp_path / "m.onnx", format="onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    told = json.loads(session.get_modelmeta().custom_metadata_map["graphkit"])
    assert (
        {each.name: each.shape for each in session.get_inputs()}
        == {name: given["shape"] for name, given in told["inputs"].items()}
        == {"x": ["nodes", 5], "edge_index": [2, "edges"]}
    )
    assert (told["temperature"], told["row_sum"], told["classes"]) == (2.0, 1.0, ["0", "1", "2"])


def test_a_torch_file_is_called_by_name_and_describes_itself(tmp_path):
    model = drawn_model(RECIPES["mlp"])
    export_model(model, tmp_path / "m.pt2")
    files = {"graphkit.json": ""}
    program = torch.export.load(tmp_path / "m.pt2", extra_files=files)
    assert json.loads(files["graphkit.json"])["inputs"]["x"]["shape"] == ["nodes", 5]
    x = torch.rand(4, 5)
    torch.testing.assert_close(program.module()(x=x), program.module()(x=7 * x), msg="rows are scaled inside")


def test_a_file_that_says_something_else_is_not_written(tmp_path, monkeypatch):
    (tmp_path / "m.pt2").write_text("before")
    right = export._outputs
    monkeypatch.setattr(export, "_outputs", lambda *given: right(*given) + 1e-3)
    with pytest.raises(ExportError, match=r"differs from the model 'mlp' by 0\.001 on a second graph"):
        export_model(drawn_model(RECIPES["mlp"]), tmp_path / "m.pt2")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("m.pt2", "before")]


def test_wrong_calls_are_refused_in_words(tmp_path, monkeypatch):
    import importlib.util

    model = drawn_model(RECIPES["mlp"])
    with pytest.raises(ValueError, match=r"^`format` 'tflite' is not known"):
        export_model(model, tmp_path / "m", format="tflite")
    with pytest.raises(TypeError, match=r"^`model` must be a trained model"):
        export_model("gcn", tmp_path / "m")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'graphkit\[export\]'\.$"):
        export_model(model, tmp_path / "m", format="onnx")
