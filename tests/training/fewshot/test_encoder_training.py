"""Encoders and classifiers that few-shot methods stand on: the one engine trains them, and stops and resumes them."""

from __future__ import annotations

import dataclasses
import json
import re
import signal

import pytest
import torch

from graphkit.contrastive import pretrain as train_method
from graphkit.meta import pretrain as train_classifier
from graphkit.training import Silence, TrainingError
from graphkit.training.engine.distributed import ALONE, rng_seed
from graphkit.training.engine.interrupts import Interrupted
from graphkit.training.engine.store import read_tensors
from graphkit.training.fewshot import fewshot, study_of_classes
from graphkit.training.fewshot.baseline_methods import Classifier, Prototypes
from graphkit.training.fewshot.encoder_training import encoder_trainings, seen_graphs
from graphkit.training.fewshot.encoders import Encoders
from tests.training.studies import TASKS, ClassSplit, communities

EPOCHS = 4
METHODS = {"on encoders": Prototypes(rows="encoder"), "fine-tuning": Classifier(epochs=EPOCHS, inner_steps=2)}
SPLIT = ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))


def study(losses=("bgrl", "dgi")):
    encoders = Encoders(losses, fields={"epochs": EPOCHS, "dim": 4})
    return study_of_classes(communities(90, 6, 12), [SPLIT], TASKS, encoders=encoders)


def run(name, folder, reporter=None, *, resume=False, of=None):
    return fewshot(of or study(), TASKS, [name], methods=METHODS, run_dir=folder, reporter=reporter, resume=resume)


def left(folder):
    """Return the record without seconds, and the weights that lie in a folder."""
    record = json.loads((folder / "record.json").read_text())
    record = {name: value for name, value in record.items() if "seconds" not in name}
    for figures in record["methods"].values():
        del figures["seconds"]
    return record, {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_encoders_of_an_earlier_outcome_are_not_trained_again_and_change_nothing(tmp_path):
    one = dataclasses.replace(TASKS, k_shot=1)
    heard = Epochs()

    def other(**changes):
        encoders = Encoders(("bgrl", "dgi"), fields={"epochs": EPOCHS, "dim": 4, **changes})
        return study_of_classes(communities(90, 6, 12), [SPLIT], one, encoders=encoders)

    def fare(of, folder, before=None):
        names = ["on encoders"]
        fewshot(of, one, names, methods=METHODS, run_dir=tmp_path / folder, reporter=heard, before=before)
        count = len([label for label, _ in heard.heard if label.startswith("encoder")])
        heard.heard.clear()
        return count

    before = run("on encoders", tmp_path / "three shots")
    assert fare(other(), "alone") == 2 * EPOCHS
    assert fare(other(), "after", before) == 0
    assert left(tmp_path / "after") == left(tmp_path / "alone")
    # Of what would be trained otherwise nothing is taken over.
    assert fare(other(dim=5), "wider", before) == 2 * EPOCHS
    assert fare(other(**{"dgi.epochs": 5}), "longer", before) == EPOCHS + 5


class Epochs(Silence):
    """Remembers the epochs of each unit, and sends a signal to this process after one of them."""

    def __init__(self, label="", epoch=0, number=signal.SIGINT):
        self.label, self.epoch, self.number, self.heard, self.best = label, epoch, number, [], []

    def on_epoch(self, unit, epoch, best):
        self.heard.append((unit.label, epoch.number))
        self.best.append(best.number)
        if (unit.label, epoch.number) == (self.label, self.epoch):
            signal.raise_signal(self.number)


STOPPED = [("on encoders", "encoder bgrl with seed 0"), ("on encoders", "encoder dgi with seed 0")]
STOPPED += [("fine-tuning", "fine-tuning on classes 4, 5")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("name", "label"), STOPPED)
def test_one_that_is_stopped_goes_on_to_the_same_bits(name, label, number, tmp_path):
    whole, first, then = Epochs(), Epochs(label, 2, number), Epochs()
    run(name, tmp_path / "whole", whole)
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted, match=f"stopped after epoch 2 of {label}; resume from"):
        run(name, folder, first)
    assert len(read_tensors(folder / "checkpoint.pt")["running"]["trainer"]["history"]) == 2
    run(name, folder, then, resume=True)
    assert first.heard + then.heard == whole.heard
    assert whole.best == [epoch for _, epoch in whole.heard]
    assert left(folder) == left(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_an_encoder_whose_weights_are_gone_is_trained_again(harm, tmp_path):
    run("on encoders", tmp_path)
    expected, file = left(tmp_path), tmp_path / "encoder-dgi-seed-0.safetensors"
    file.unlink() if harm == "lost" else file.write_bytes(b"none")
    again = Epochs()
    run("on encoders", tmp_path, again, resume=True)
    assert again.heard == [("encoder dgi with seed 0", number + 1) for number in range(EPOCHS)]
    assert left(tmp_path) == expected


def test_a_method_that_comes_later_finds_the_encoders_of_the_run(tmp_path):
    run("on encoders", tmp_path)
    other, then = {"semi": Prototypes(rows="encoder"), **METHODS}, Epochs()
    found = fewshot(study(), TASKS, ["semi"], methods=other, run_dir=tmp_path, reporter=then, resume=True)
    assert then.heard == []
    assert found.record.metric == fewshot(study(), TASKS, ["semi"], methods=other).record.metric


@pytest.mark.parametrize("loss", ["ccassg", "dgi", "grace", "bgrl"])
def test_an_encoder_is_what_the_public_loop_makes(loss):
    data, encoders = communities(90, 6, 12), Encoders((loss,), fields={"epochs": 3, "dim": 4})
    (training,) = encoder_trainings(encoders, 5, 12, lambda: seen_graphs([data]))
    trained, made = training.train(), training.recipe
    with rng_seed(5):
        method = made.module(12)
        options = {"epochs": made.epochs, "lr": made.encoder.lr, "weight_decay": made.encoder.l2}
        losses = list(train_method(method, *training.seen(), **options, generator=torch.default_generator))
    assert len(losses) == 3
    expected = method.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in trained.state_dict().items())


def test_a_classifier_is_what_the_public_loop_makes():
    problem, method = study().problems[0], METHODS["fine-tuning"]
    problem = problem.with_features(study().features(problem, "weighted-4", 1.0, ()))
    trainer = method.start(problem, 3, ALONE)
    trainer.train()
    trainer.select()
    with rng_seed(3):
        body = torch.nn.Sequential(torch.nn.Linear(12, method.hidden), torch.nn.ReLU())
        train_classifier(body, method.hidden, problem.sources, epochs=EPOCHS)
        head = torch.nn.Linear(method.hidden, 2)
    expected = [*body.parameters(), *head.parameters()]
    assert all(torch.equal(*pair) for pair in zip(trainer.whole.parameters(), expected, strict=True))


@pytest.mark.parametrize(("name", "label"), STOPPED[1:])
def test_a_loss_that_is_not_finite_is_refused_as_in_every_training(name, label, tmp_path, monkeypatch):
    taken, step = [], torch.optim.Adam.step

    def poisoned(optimizer, closure=None):
        step(optimizer, closure)
        taken.append(optimizer)
        if taken.count(optimizer) == 2:
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.data.fill_(float("nan"))

    monkeypatch.setattr(torch.optim.Adam, "step", poisoned)
    said = (
        f"{label}: the loss is not finite in epoch 3 (the best before it was epoch 2); try a smaller `lr`. Weights kept"
    )
    with pytest.raises(TrainingError, match=re.escape(said)):
        run(name, tmp_path, of=study(("dgi",)))


def test_what_no_method_looks_at_is_refused():
    with pytest.raises(ValueError, match="`balanced` is of calibration"):
        fewshot(study(), TASKS, ["fine-tuning"], methods=METHODS, calibrate=0, balanced=True)
    methods = {"transfer": Classifier(adaptation="prototypes"), **METHODS}
    said = "`steps` is of learners that take gradient steps on a support, not of "
    for name in ("transfer", "on encoders"):
        with pytest.raises(ValueError, match=said + name):
            fewshot(study(), TASKS, [name], methods=methods, steps=[1])
