"""Nested cross-validation: every graph is tested once, nothing chooses by it, stopping changes nothing."""

from __future__ import annotations

import os
import statistics

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.training import Interrupted, Silence, load_run, nested_cross_validation, recipe
from graphkit.training.classification.nested import GRIDS, choices_of, fold_splits
from tests.jobs import job


@pytest.fixture
def graphs():
    """Graphs of one node without edges, told apart by its feature."""
    y = torch.arange(40) % 2
    data = Data(x=torch.nn.functional.one_hot(y).float(), edge_index=torch.zeros(2, 0, dtype=torch.long), y=y)
    return GraphSet(data, nodes=torch.ones(40, dtype=torch.long), edges=torch.zeros(40, dtype=torch.long))


GIVEN = {"epochs": 6, "lr": 0.1, "l2": 0.0}


def run(graphs, **more):
    chosen = recipe("structure-free", items="graphs")
    return nested_cross_validation(graphs, chosen, given=GIVEN, folds=4, device="cpu", **more).record


def test_what_features_tell_is_found_and_the_record_names_protocol_and_choices(graphs):
    record = run(graphs)
    assert record.metric.mean == 1.0
    assert len(record.metric.values) == 4
    assert record.protocol.test == 10
    assert len(record.config["choices"]) == 2


def test_a_run_that_is_stopped_and_resumed_gives_the_same_numbers(graphs, tmp_path):
    class Stop(Silence):
        def on_unit(self, unit, result):
            if unit.number == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(graphs, run_dir=tmp_path, reporter=Stop())
    assert run(graphs, run_dir=tmp_path, resume=True).metric == run(graphs).metric


def test_a_signal_leaves_a_checkpoint(graphs, tmp_path):
    import signal

    class Send(Silence):
        def on_unit(self, unit, result):
            if unit.number == 3:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped after structure-free, fold 0, training 2; resume from"):
        run(graphs, run_dir=tmp_path, reporter=Send())
    assert run(graphs, run_dir=tmp_path, resume=True).metric == run(graphs).metric


def test_one_run_at_a_time_trains_into_a_folder(graphs, tmp_path):
    class Again(Silence):
        def on_unit(self, unit, result):
            with pytest.raises(ValueError, match="`run_dir`: another process trains into"):
                run(graphs, run_dir=tmp_path, resume=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(graphs, run_dir=tmp_path, reporter=Again())
    assert run(graphs, run_dir=tmp_path, resume=True).metric == run(graphs).metric


def test_what_chooses_looks_at_no_test_graph_and_three_runs_of_the_choice_do(graphs):
    heard = []

    class Hear(Silence):
        def on_unit(self, unit, result):
            heard.append("test_accuracy" in result.scalars())

    run(graphs, reporter=Hear())
    assert heard == [False, False, True, True, True] * 4


def test_what_stands_beside_is_what_it_gives_alone_and_resumes_too(graphs, tmp_path):
    class Stop(Silence):
        def on_unit(self, unit, result):
            if unit.label.startswith("structure-free, fold 0, training 1"):
                raise KeyboardInterrupt

    def both(**more):
        chosen = recipe("gin", items="graphs")
        other = recipe("structure-free", items="graphs")
        given = {**GIVEN, "epochs": 1}
        return nested_cross_validation(
            graphs, chosen, given=given, beside=[other], folds=2, device="cpu", **more
        ).record

    alone = nested_cross_validation(
        graphs, recipe("structure-free", items="graphs"), given={**GIVEN, "epochs": 1}, folds=2, device="cpu"
    ).record
    with pytest.raises(KeyboardInterrupt):
        both(run_dir=tmp_path, reporter=Stop())
    record = both(run_dir=tmp_path, resume=True)
    assert record.beside == {"structure-free": alone.metric}
    assert record.protocol == alone.protocol
    assert record.as_dict()["beside"]["structure-free"]["values"] == alone.metric.values


def test_given_fields_are_not_chosen():
    assert {each.model.hidden for each in choices_of(recipe("gin", items="graphs"), {"hidden": 8})} == {8}
    assert len(choices_of(recipe("gcn", items="graphs"), {})) == len(GRIDS["gin"])


@pytest.mark.parametrize("count", [2, 3])
def test_folds_are_spread_over_processes_to_the_same_figures(graphs, tmp_path, count):
    chosen, other = (recipe(name, items="graphs") for name in ("gin", "structure-free"))

    def work(rank):
        options = {"given": {**GIVEN, "epochs": 2}, "beside": [other], "folds": 4, "device": "cpu"}
        record = nested_cross_validation(graphs, chosen, run_dir=tmp_path / f"by-{count}", **options).record
        figures = [record.metric.values, record.validation.values, record.beside["structure-free"].values]
        return [
            [list(values) for values in figures],
            [dict(each) for each in record.epochs],
            record.environment["processes"],
        ]

    figures, epochs, _ = work(0)
    for found in job(count, tmp_path / "said", work):
        assert found == [figures, epochs, count]


def test_a_process_that_dies_ends_the_others_and_the_folds_resume_in_any_number(graphs, tmp_path):
    class Die(Silence):
        def on_unit(self, unit, result):
            if "fold 3, training 1" in unit.label:
                os._exit(9)

    def begun(rank):
        run(graphs, run_dir=tmp_path / "run", reporter=Die() if rank else None)

    first, second = job(2, tmp_path / "said", begun)
    assert second is None
    assert "lost another one of the job" in first
    assert run(graphs, run_dir=tmp_path / "run", resume=True).metric == run(graphs).metric


def test_to_resume_needs_a_checkpoint(graphs):
    with pytest.raises(ValueError, match="`resume` needs `run_dir`"):
        run(graphs, resume=True)


def test_the_final_models_of_every_fold_are_kept_and_give_its_figure(graphs, tmp_path):
    chosen = recipe("structure-free", items="graphs")
    outcome = nested_cross_validation(graphs, chosen, given=GIVEN, folds=4, device="cpu", run_dir=tmp_path)
    splits = fold_splits(graphs, 4, 0)
    assert len(outcome.models) == len(splits) == 12
    loaded = load_run(tmp_path)
    assert list(loaded.models) == list(range(12))
    report = loaded.evaluate(graphs, part="test", splits=splits, device="cpu")
    means = [statistics.fmean(report.figures[place : place + 3]) for place in range(0, 12, 3)]
    assert tuple(means) == outcome.record.metric.values
    again = nested_cross_validation(graphs, chosen, given=GIVEN, folds=4, device="cpu", run_dir=tmp_path, resume=True)
    assert [model.to_bytes() for model in again.models] == [model.to_bytes() for model in outcome.models]


def test_trainings_that_end_at_the_larger_class_are_told(graphs):
    same = graphs.with_features(torch.ones(40, 2))
    chosen = recipe("structure-free", items="graphs")
    outcome = nested_cross_validation(same, chosen, given={**GIVEN, "epochs": 1}, folds=4, device="cpu")
    assert len(outcome.warnings) == 1
    assert outcome.warnings[0].startswith("12 of 12 trainings end at the share of the largest class among the hold-out")
    assert run(graphs).warnings == ()
