"""Tuning: what a trial draws and comes to, and that test items are seen once, at the end."""

from __future__ import annotations

import json
import math

import pytest
import torch

from graphkit.training import Choices, Interrupted, Range, TrainingError, read_overrides, recipe, space_of, train, tune
from graphkit.training.classification.classification_trainer import ClassificationTrainer
from graphkit.training.classification.tuning import Journal, TrialResult, best_trial, config_content
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES
from graphkit.training.zoo.space import read_space
from tests.interruptions import StopAfter
from tests.training.studies import communities, rings_and_stars, signals

pytest.importorskip("optuna")

ALL = [*RECIPES.values(), *SIGNAL_RECIPES.values(), *GRAPH_RECIPES.values()]
SPACE = {"hidden": "4,8", "lr": "0.01..0.1", "dropout": "0..0.5", "layers": "1,2"}
EPOCHS = 8
GIVEN = {"trials": 7, "space": SPACE, "seed": 3, "seeds": [3, 1], "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    """Features with so much noise that settings differ."""
    made = communities(90)
    made.x = made.x + 2 * torch.rand(made.x.shape, generator=torch.Generator().manual_seed(1))
    return made


class Heard:
    """Remembers what trials and seeds came to."""

    def __init__(self):
        self.results = {}

    def on_epoch(self, unit, epoch, best):
        pass

    def on_unit(self, unit, result):
        self.results[unit.key] = result

    def trials(self):
        return [{**result.as_dict(), "seconds": 0} for key, result in self.results.items() if key.startswith("trial")]


@pytest.fixture(scope="module")
def base():
    return recipe("gcn", {"epochs": EPOCHS})


@pytest.fixture(scope="module")
def whole(data, base, tmp_path_factory):
    heard, folder = Heard(), tmp_path_factory.mktemp("whole")
    outcome = tune(data, base, run_dir=folder, reporter=heard, **GIVEN)
    return outcome, heard, folder


def test_each_trial_is_what_its_fields_come_to_alone(data, base, whole):
    _, heard, _ = whole
    assert heard.trials()[0]["fields"] == {}, "the first trial is the recipe as it is"
    complete = [trial for trial in heard.trials() if trial["state"] == "complete"]
    assert len(complete) >= 5
    for trial in complete[:3]:
        alone = train(data, base.with_(trial["fields"]), seeds=[3], device="cpu").seeds[0]
        assert (trial["validation"], trial["selected"]) == (alone.validation, alone.selected)
        assert trial["validation_loss"] == alone.history[alone.selected - 1].validation_loss


def test_the_best_trial_is_trained_and_tested_as_if_it_had_been_named(data, base, whole):
    outcome, heard, folder = whole
    best = outcome.record.tuning["best"]
    complete = [trial for trial in heard.trials() if trial["state"] == "complete"]
    assert best["validation"] == max(trial["validation"] for trial in complete)
    alone = train(data, base.with_(best["fields"]), seeds=[3, 1], device="cpu").record
    assert (alone.metric, alone.config, alone.protocol) == (
        outcome.record.metric,
        outcome.record.config,
        outcome.record.protocol,
    )
    fields = read_overrides(folder / "config.toml")
    assert recipe(fields.pop("model"), fields) == base.with_(best["fields"]), "`train --config` takes it"
    assert json.loads((folder / "record.json").read_text()) == json.loads(outcome.record.to_json())


def test_the_record_states_budget_and_space(whole):
    tuning = whole[0].record.tuning
    assert tuning["trials"] == 7 == sum(tuning[state] for state in ("complete", "pruned", "failed"))
    assert tuning["space"] == {**SPACE, "lr": "0.01..0.1:log", "l2": "1e-06..0.01:log"}
    assert tuning["started_from"]["validation"] == whole[1].trials()[0]["validation"]


def test_trials_that_fall_behind_are_stopped_early(data, base):
    heard = Heard()
    tune(data, base, space={"lr": "1e-6..0.05"}, trials=14, seeds=[0], device="cpu", reporter=heard)
    states = [trial["state"] for trial in heard.trials()]
    assert "pruned" in states[5:]
    assert "pruned" not in states[:5]


def test_test_items_are_looked_at_once_and_decide_nothing(data, base, whole, monkeypatch):
    looked, ends = [], Heard()
    own = ClassificationTrainer.logits
    monkeypatch.setattr(
        ClassificationTrainer, "logits", lambda self, index: looked.append(len(ends.results)) or own(self, index)
    )
    other = data.clone()
    other.y = torch.where(data.test_mask, 1 - data.y, data.y)
    outcome = tune(other, base, reporter=ends, **GIVEN)
    assert looked == [7, 8], "after seven trials, once for each seed"
    assert ends.trials() == whole[1].trials()
    assert outcome.record.config == whole[0].record.config
    assert outcome.record.metric.values == tuple(pytest.approx(1 - value) for value in whole[0].record.metric.values)


@pytest.mark.parametrize("epochs", [1, 27, 65])
def test_a_search_that_is_stopped_goes_on_to_the_same_trials(data, base, whole, tmp_path, epochs):
    given = {**GIVEN, "run_dir": tmp_path}
    with pytest.raises(Interrupted, match="resume from"):
        tune(data, base, reporter=StopAfter(epochs), **given)
    heard = Heard()
    found = tune(data, base, resume=True, reporter=heard, **given)
    assert heard.trials() == whole[1].trials()
    assert found.record.metric == whole[0].record.metric


class Crash(Exception):
    pass


class CrashAfter(StopAfter):
    """Ends the run without a word to its store, as a process that is killed."""

    def on_epoch(self, unit, epoch, best):
        try:
            super().on_epoch(unit, epoch, best)
        except KeyboardInterrupt:
            raise Crash from None


def test_a_search_that_is_killed_loses_the_trial_under_way_at_most(data, base, whole, tmp_path):
    given = {**GIVEN, "run_dir": tmp_path}
    with pytest.raises(Crash):
        tune(data, base, reporter=CrashAfter(3 * EPOCHS + 5), **given)
    with (tmp_path / "search" / "journal.log").open("ab") as file:
        file.write(b'{"op_code":6,"worker_id"')  # half a line
    heard = Heard()
    tune(data, base, resume=True, reporter=heard, **given)
    assert heard.trials() == whole[1].trials()


def test_a_trial_that_the_journal_knows_is_not_trained_again(data, base, whole, tmp_path, monkeypatch):
    """The process was killed after the line in the journal, and before the state of the run."""
    given, tell = {**GIVEN, "run_dir": tmp_path}, Journal.tell

    def die(journal, trial, result):
        tell(journal, trial, result)
        if trial.number == 3:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", die)
        with pytest.raises(Crash):
            tune(data, base, **given)
    heard = Heard()
    tune(data, base, resume=True, reporter=heard, **given)
    assert heard.trials() == whole[1].trials()


def test_a_search_goes_on_as_what_it_was(data, base, whole, tmp_path):
    with pytest.raises(Interrupted):
        tune(data, base, run_dir=tmp_path, reporter=StopAfter(EPOCHS + 3), **GIVEN)
    with pytest.raises(ValueError, match="trials was 7 and is 12"):
        tune(data, base, run_dir=tmp_path, resume=True, **{**GIVEN, "trials": 12})
    with pytest.raises(ValueError, match="space was"):
        tune(data, base, run_dir=tmp_path, resume=True, **{**GIVEN, "space": {"lr": "0.01..0.5"}})
    (tmp_path / "search" / "journal.log").unlink()
    with pytest.raises(ValueError, match="has 0 trials of 1 that were finished"):
        tune(data, base, run_dir=tmp_path, resume=True, **GIVEN)


def test_settings_that_cannot_be_trained_cost_no_more_than_a_trial(data):
    heard, begun = Heard(), recipe("gat", {"epochs": 1, "hidden": 8})
    outcome = tune(data, begun, space={"heads": [3, 8]}, fixed=["hidden"], trials=6, reporter=heard, device="cpu")
    failed = [trial for trial in heard.trials() if trial["state"] == "failed"]
    assert failed
    assert all("must be a multiple of `heads`" in trial["fault"] for trial in failed)
    assert math.isnan(failed[0]["validation"])
    assert outcome.record.tuning["failed"] == len(failed)


def test_a_training_that_diverges_is_a_trial_that_failed(data, base):
    heard = Heard()
    tune(data, base, space={"lr": "1e30..1e37"}, fixed=base.as_dict(), trials=2, reporter=heard, device="cpu")
    assert [trial["state"] for trial in heard.trials()] == ["complete", "failed"]


def test_a_search_in_which_nothing_came_to_its_end_says_why():
    failed = TrialResult(
        fields={}, state="failed", validation=math.nan, validation_loss=math.nan, selected=0, seconds=1.0, name="a",
        fault="the loss is not finite.",
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"^none of 2 trials came to its end; the first one: the loss is not"):
        best_trial([failed, failed], 1)


def test_of_equal_figures_the_lower_loss_is_best_and_then_the_earlier_trial():
    made = [
        TrialResult(fields={}, state=state, validation=figure, validation_loss=loss, selected=1, seconds=1.0, name="a")
        for state, figure, loss in (
            ("complete", 0.5, 0.3),
            ("pruned", 0.9, 0.1),
            ("complete", 0.7, 0.4),
            ("complete", 0.7, 0.2),
            ("complete", 0.7, 0.2),
        )
    ]
    assert best_trial(made, 1) == 3
    assert best_trial(made, -1) == 0


@pytest.mark.parametrize(
    ("given", "name", "items"),
    [(signals, "mlp", "signals"), (rings_and_stars, "gin", "graphs")],
    ids=["signals", "graphs"],
)
def test_other_items_are_tuned_on_too(given, name, items):
    begun = recipe(name, {"epochs": 2, "batch": 8}, items=items)
    record = tune(given(), begun, trials=3, space={"hidden": "4,8"}, fixed=["layers"], device="cpu").record
    assert record.tuning["complete"] == 3
    assert "hidden" in record.tuning["best"]["fields"] or record.tuning["best"]["trial"] == 0


@pytest.mark.parametrize("made", ALL, ids=lambda made: f"{made.model.items}-{made.name}")
def test_every_recipe_has_a_space_in_which_it_lies_and_all_of_which_it_takes(made):
    if made.name == "descriptor-gp":  # its constants choose themselves
        with pytest.raises(ValueError, match="`space` has no field that could be searched"):
            space_of(made)
        return
    space = space_of(made)
    assert {"hidden", "lr", "hops", "rounds", "radius"} & space.keys()
    for field, values in space.items():
        own = made.as_dict()[field]
        assert values.contains(own) or own == 0
        for end in values.ends:
            assert made.with_({field: end}).as_dict()[field] == end


@pytest.mark.parametrize("made", ALL, ids=lambda made: f"{made.model.items}-{made.name}")
def test_every_recipe_can_be_written_as_a_file_of_settings(made, tmp_path):
    (tmp_path / "c.toml").write_text(config_content(made))
    fields = read_overrides(tmp_path / "c.toml")
    assert recipe(fields.pop("model"), fields, items=made.model.items) == made


def test_what_is_given_wins_and_what_is_fixed_is_not_searched(tmp_path):
    found = space_of(recipe("gcn"), {"hidden": [8, 24], "norm": "none,batch", "lr": "0.1..1"}, fixed=["dropout", "l2"])
    assert found == {
        "layers": Range(1, 4),
        "hidden": Choices((8, 24)),
        "lr": Range(0.1, 1, "log"),
        "norm": Choices(("none", "batch")),
    }
    (tmp_path / "s.toml").write_text('lr = "0.1..1:linear"\nhidden = [8, 24]\n')
    (tmp_path / "t.toml").write_text('lr = "0.1..1:linear"\n')
    assert read_space([str(tmp_path / "t.toml"), "hidden=8,24"]) == {"lr": "0.1..1:linear", "hidden": "8,24"}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"hiden": "1..2"}, r"^`hiden` is no field of the recipe 'jacobi'"),
        ({"hidden": "1..2"}, r"^`hidden` decides nothing in the recipe 'jacobi'"),
        ({"dropout": "0..1"}, r"^`dropout` must be below 1"),
        ({"order": "2.5..3"}, r"^`order` must be a whole number"),
        ({"lr": "0..1"}, r"^`space`: `lr`: a range needs two numbers above 0, the lower one first, got 0\.\.1"),
        ({"order": "9..3"}, r"the lower one first, got 9\.\.3"),
        ({"lr": "0.1..0.2:cubic"}, r"^`space`: `lr`: the scale of a range must be"),
        ({"lr": "0.1"}, r"^`space`: `lr` takes LOW\.\.HIGH"),
        ({"lr": [0.1]}, r"^`space`: `lr`: choices must be two or more"),
        ({"lr": 0.1}, r"^`space`: `lr` takes LOW\.\.HIGH"),
    ],
)
def test_wrong_spaces_are_refused_in_words(space, said):
    with pytest.raises(ValueError, match=said):
        space_of(recipe("jacobi"), space)


def test_wrong_calls_are_refused_in_words(data, base):
    with pytest.raises(ValueError, match=r"^`trials` must be an integer of at least 1"):
        tune(data, base, trials=0)
    with pytest.raises(TypeError, match=r"^`recipe` must be a Recipe"):
        tune(data, "gcn")
    with pytest.raises(TypeError, match=r"^`data` must be a Data or a GraphSet"):
        tune([data], base)
    with pytest.raises(ValueError, match=r"^`space` has no field"):
        tune(data, base, fixed=base.as_dict())
    with pytest.raises(ValueError, match=r"^`space` takes FIELD=LOW\.\.HIGH"):
        read_space(["lr"])


def test_without_optuna_one_line_says_how_to_get_it(data, base, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^`tune` needs optuna: pip install 'graphkit\[tune\]'\.$"):
        tune(data, base)
