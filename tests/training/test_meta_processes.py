"""Several processes meta-train as one does: their tasks are a step's, and one that dies or stops ends the job."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from graphkit.meta import (
    MAML,
    ClassSplit,
    FewShotProtocol,
    MetaTraining,
    PrototypicalNetwork,
    Reptile,
    Rows,
    TaskSet,
    meta_train,
)
from graphkit.training.engine.distributed import init_world
from graphkit.training.fewshot import fewshot, study_of_classes
from graphkit.training.fewshot.baseline_methods import Prototypes
from graphkit.training.fewshot.meta_learners import MetaLearnt
from tests.jobs import Ending, job

CPU = torch.device("cpu")
OPTIONS = MetaTraining(steps=4, batch=4, every=2, lr=0.05)
METHODS = {
    "prototypes": Prototypes(rows="features-1"),
    "maml": MetaLearnt(learner="maml", steps=4, batch=4, inner_steps=2, rows="features-1", scale=3.0),
}
PROTOCOL = FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=6)


def tasks():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 6
    items = Rows(torch.nn.functional.one_hot(y, 20).float() + torch.randn(90, 20, generator=generator), y)
    few = FewShotProtocol(k_shot=2, n_query=5, n_tasks=9)
    return [TaskSet.draw(items, (0, 1, 2), few)], TaskSet.draw(items, (3, 4, 5), few)


def learners():
    torch.manual_seed(3)
    body = nn.Sequential(nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 2))
    return {
        "maml": MAML(body, inner_lr=0.3, inner_steps=2),
        "reptile": Reptile(body, inner_lr=0.3, inner_steps=2),
        "prototypes": PrototypicalNetwork(body),
    }


def numbers(learner, **more):
    """Return what a training comes to, in plain numbers."""
    train, validation = tasks()
    found = meta_train(learner, train, validation, OPTIONS, **more)
    return [*found.losses, found.validation, found.step], [p.detach().clone() for p in learner.parameters()]


@pytest.mark.parametrize("count", [2, 4])
def test_steps_are_those_of_one_process(tmp_path, count):
    names = list(learners())

    def work(rank):
        with init_world(CPU) as processes:
            return {name: numbers(learners()[name], processes=processes) for name in names}

    said = job(count, tmp_path, work)
    for name in names:
        expected = numbers(learners()[name])
        for each in said:
            assert isinstance(each, dict), each
            # Gradients are summed in another order, in float32.
            assert each[name][0] == pytest.approx(expected[0], rel=1e-5, abs=1e-6)
            torch.testing.assert_close(each[name][1], expected[1], rtol=1e-4, atol=1e-5)


def graph():
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(0)
    y = torch.arange(140) % 7
    same = y[:, None] == y
    joined = (torch.rand(140, 140, generator=generator) < torch.where(same, 0.15, 0.01)).triu(1)
    x = (torch.rand(140, 24, generator=generator) < 0.1 + 0.4 * (torch.arange(24) % 7 == y[:, None])).float()
    return Data(x=x, edge_index=(joined | joined.T).nonzero().T.contiguous(), y=y)


@pytest.fixture(scope="module")
def study():
    return study_of_classes(graph(), [ClassSplit(train=(0, 1, 2), validation=(3, 4), test=(5, 6))], PROTOCOL)


def figures(outcome):
    return {name: [method.problems[0].accuracies, method.validation] for name, method in outcome.methods.items()}


def solved(study, count, folder, run, how=None, *, after=2, **options):
    """Return the figures of each process, or what it says; ``how`` says what the second one does after some steps."""

    def work(rank):
        reporter = Ending(how if rank == 1 else None, after=after)
        return figures(
            fewshot(study, PROTOCOL, ["prototypes", "maml"], methods=METHODS, run_dir=run, reporter=reporter, **options)
        )

    return job(count, folder, work)


def test_a_study_in_several_processes_is_stopped_killed_and_resumed(study, tmp_path):
    expected = figures(fewshot(study, PROTOCOL, ["prototypes", "maml"], methods=METHODS))
    stopped = solved(study, 2, tmp_path / "stopped", tmp_path / "run", lambda: os.kill(os.getpid(), 15))
    assert all(said.startswith("Interrupted: stopped after step 2 of maml on classes 5, 6") for said in stopped)
    survivor, gone = solved(study, 2, tmp_path / "killed", tmp_path / "run", lambda: os._exit(9), after=3, resume=True)
    assert gone is None
    assert "lost another one of the job" in survivor
    assert "`--resume`" in survivor
    assert solved(study, 2, tmp_path / "again", tmp_path / "run", resume=True) == [expected, expected]


def test_what_processes_cannot_share_is_refused():
    class Five:
        rank, count = 0, 5

    train, validation = tasks()
    with pytest.raises(ValueError, match=r"`batch` \(4\) must be at least the number of processes \(5\)"):
        meta_train(learners()["maml"], train, validation, OPTIONS, processes=Five())
    learner = MAML(nn.Linear(20, 2), dropout=True)
    with pytest.raises(ValueError, match="`dropout`: tasks draw from one stream"):
        meta_train(learner, train, validation, MetaTraining(batch=8), processes=Five())
