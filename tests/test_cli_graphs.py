"""``graphkit train`` on sets of graphs: what is measured, and what is refused."""

from __future__ import annotations

import functools
import json

import pytest


@pytest.fixture
def call(call):
    """Return a function from arguments of ``train`` to exit code, standard output and standard error."""
    return functools.partial(call, "train", "--device", "cpu", "--threads", "1")


def test_nested_cross_validation_of_a_set_of_graphs_is_one_record(mirror, call, tmp_path):
    kept = tmp_path / "record.json"
    options = ("--model", "structure-free", "--protocol", "nested-10-fold", "--epochs", "1", "--json", str(kept))
    code, said, _ = call("mutag", *options)
    record = json.loads(kept.read_text())
    assert code == 0
    assert "188 graphs" in said
    assert len(record["metric"]["values"]) == 10
    assert record["protocol"]["split"].startswith("nested-folds(folds=10")


@pytest.mark.parametrize(("beside", "rows"), [((), 1), (("--beside", "none"), 0)])
def test_what_ignores_structure_is_printed_beside_the_nested_figure(mirror, call, tmp_path, beside, rows):
    kept = tmp_path / "record.json"
    set_to = ("--set", "hidden=2", "--set", "readout=sum", "--set", "l2=0", "--set", "layers=1", "--batch-size", "0")
    options = ("--model", "gin", "--protocol", "nested-10-fold", "--epochs", "1", *set_to, *beside)
    code, said, told = call("mutag", *options, "--json", str(kept))
    assert (code, said.count("structure-free beside it"), said.count("wl-forest beside it")) == (0, rows, rows), told
    assert list(json.loads(kept.read_text())["beside"]) == ["structure-free", "wl-forest"] * rows


def test_rmse_is_shown_as_it_is(mirror, call):
    code, said, told = call("ogbg-molfreesolv", "--model", "gin", "--seeds", "1", "--epochs", "1")
    assert code == 0
    assert "test RMSE" in said
    assert "%" not in told


def test_a_protocol_of_graphs_is_refused_on_nodes(call):
    code, _, told = call("karate", "--protocol", "nested-10-fold")
    assert code == 2
    assert "`--protocol` is of a set of graphs" in told


def test_what_takes_no_gradient_is_printed_beside_a_figure_of_graphs(mirror, call, tmp_path):
    kept = tmp_path / "record.json"
    given = ("--model", "gin", "--seeds", "2", "--epochs", "1", "--json", str(kept))
    code, said, told = call("mutag", *given)
    assert (code, said.count("wl-forest beside it")) == (0, 1), told
    record = json.loads(kept.read_text())
    assert len(record["beside"]["wl-forest"]["values"]) == 2
    alone = call("mutag", "--model", "wl-forest", "--seeds", "2", "--json", str(kept))
    assert alone[0] == 0
    assert json.loads(kept.read_text())["metric"]["values"] == record["beside"]["wl-forest"]["values"]
    assert json.loads(kept.read_text())["beside"] == {}


def test_of_many_graphs_nothing_stands_beside_unasked(mirror, call, monkeypatch):
    from graphkit.training.zoo import closed_form

    monkeypatch.setattr(closed_form, "UNASKED", 100)
    given = ("mutag", "--model", "gin", "--seeds", "1", "--epochs", "1")
    code, said, told = call(*given)
    assert (code, said.count("beside it")) == (0, 0), told
    assert "Of 188 graphs a forest takes minutes: `--beside wl-forest` measures it." in told
    assert call(*given, "--beside", "wl-forest")[1].count("wl-forest beside it") == 1


def test_what_stands_beside_is_known_and_stands_alone_where_it_is_nothing(call):
    for more in ((), ("--protocol", "nested-10-fold")):
        assert "Did you mean 'structure-free'" in call("mutag", "--beside", "structurefree", *more)[2]
    assert "`--beside none` stands alone" in call("mutag", "--beside", "none", "--beside", "gin")[2]
    assert "goes without these" in call("mutag", "--model", "auto", "--beside", "gin")[2]
    assert "`beside` must name each recipe once" in call("karate", "--beside", "gcn")[2]


def test_nodes_whose_card_asks_for_it_are_measured_by_roc_auc(mirror, call):
    code, said, _ = call("minesweeper", "--model", "gcn", "--seeds", "1", "--epochs", "2")
    assert code == 0
    assert "test ROC-AUC" in said
