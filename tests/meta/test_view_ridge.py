"""Ridge on views: beside fits that really leave items out, under every order, and on supports that say little."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.meta import Episode, FewShotProtocol, Rows, Task, TaskSet, ViewRidge, evaluate

VIEWS, WIDTH, WAYS = 3, 4, 3


def rows_of(items=60, seed=0):
    """Return rows of three views, the second of which tells the classes apart, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(items) % WAYS
    views = torch.randn(items, VIEWS, WIDTH, generator=generator, dtype=torch.float64)
    views[:, 1, :WAYS] += 2 * torch.eye(WAYS, dtype=torch.float64)[y]
    return F.normalize(views, dim=-1), y


def tasks_of(views, y, shots=3):
    items = Rows(views.flatten(1), y)
    return TaskSet.draw(items, range(WAYS), FewShotProtocol(n_way=WAYS, k_shot=shots, n_query=6, n_tasks=4))


def slow_functions(views, task, *, penalties, sharpness=1.0, prior=(0.0,) * VIEWS):
    """Return the functions of a task's query by fits without each item in turn."""
    support, query, y = task.episode.support.flatten(), task.episode.query.flatten(), task.episode.support_y
    targets = F.one_hot(y, WAYS).double() - 1 / WAYS
    scores, found = [], []
    for view in range(VIEWS):
        z, asked = views[support, view], views[query, view]

        def fit(z, t, penalty):
            return torch.linalg.solve(z.T @ z + penalty * torch.eye(WIDTH, dtype=z.dtype), z.T @ t)

        for penalty in penalties:
            error = 0.0
            for item in range(len(y)):
                others = torch.arange(len(y)) != item
                weights = fit(z[others], targets[others], penalty)
                error += (z[item] @ weights - targets[item]).square().sum()
            scores.append(prior[view] - sharpness * len(y) * error / targets.square().sum())
            found.append(asked @ fit(z, targets, penalty))
    share = torch.stack(scores).softmax(0)
    return (share[:, None, None] * torch.stack(found)).sum(0)


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("options", [{}, {"sharpness": 0.3}, {"prior": (1.0, 0.0, -2.0)}])
def test_views_weigh_by_fits_that_really_left_each_item_out(shots, options):
    views, y = rows_of()
    tasks = tasks_of(views, y, shots)
    learner = ViewRidge(nn.Identity(), views=VIEWS, penalties=(0.3, 2.0), **options)
    for task, logits in zip(tasks, learner.logits(tasks), strict=True):
        slow = slow_functions(views, task, penalties=(0.3, 2.0), **options)
        # Both are functions up to their scale.
        torch.testing.assert_close(F.normalize(logits.flatten(), dim=0), F.normalize(slow.flatten(), dim=0))


def test_the_view_that_tells_classes_apart_decides():
    views, y = rows_of(300)
    tasks = tasks_of(views, y)
    whole = evaluate(ViewRidge(nn.Identity(), views=VIEWS), tasks).mean
    alone = tasks.with_items(Rows(views[:, 1], y))
    assert whole > evaluate(ViewRidge(nn.Identity(), views=1), alone).mean - 0.1
    assert whole > 0.7


def test_the_order_of_views_classes_and_numbers_changes_nothing():
    views, y = rows_of()
    task = tasks_of(views, y)[0]
    order, turned = torch.tensor([2, 0, 1]), torch.linalg.qr(torch.randn(WIDTH, WIDTH, dtype=torch.float64))[0]
    plain = ViewRidge(nn.Identity(), views.flatten(1), views=VIEWS, nearest=5).logits([task])[0]
    other = (views[:, order] @ turned).flatten(1)
    moved = Task(Rows(other, y), task.episode)
    torch.testing.assert_close(ViewRidge(nn.Identity(), other, views=VIEWS, nearest=5).logits([moved])[0], plain)
    episode = Episode(task.episode.support[order], task.episode.query, task.episode.classes[order])
    named = ViewRidge(nn.Identity(), views.flatten(1), views=VIEWS, nearest=5).logits([Task(task.items, episode)])[0]
    torch.testing.assert_close(named, plain[:, order])


def test_unlabelled_items_help_where_classes_are_far_apart_and_weight_nothing_without_weight():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % WAYS
    views = 0.6 * torch.randn(300, 1, 30, generator=generator)
    views[:, 0, :WAYS] += 1.5 * torch.eye(WAYS)[y]
    views = F.normalize(views, dim=-1)
    tasks = TaskSet.draw(Rows(views.flatten(1), y), range(3), FewShotProtocol(n_way=3, k_shot=1, n_tasks=30))

    def accuracy(**options):
        return evaluate(ViewRidge(nn.Identity(), views=1, **options), tasks).mean

    known = views.flatten(1)
    assert accuracy(unlabelled=known) > accuracy() + 0.03
    assert accuracy(unlabelled=known, weight=0.0) == accuracy()


@pytest.mark.parametrize("unlabelled", [False, True])
def test_views_of_zeros_take_no_part_and_rows_of_zeros_do_no_harm(unlabelled):
    views, y = rows_of()
    padded = torch.cat((torch.zeros(60, 2, WIDTH, dtype=torch.float64), views), 1)

    def logits(views, count):
        known = views.flatten(1) if unlabelled else None
        return ViewRidge(nn.Identity(), known, views=count).logits(tasks_of(views, y))

    torch.testing.assert_close(logits(padded, VIEWS + 2), logits(views, VIEWS))
    views[:20] = 0
    assert logits(views, VIEWS).isfinite().all()
    assert logits(torch.zeros_like(views), VIEWS).isfinite().all()


def test_one_labelled_item_of_one_class_alone():
    views, y = rows_of()
    classes = torch.where(y == 2, 1, y)
    support = torch.tensor([0, 3, 6, 1])  # three of one class, one of the other
    learner = ViewRidge(nn.Identity(), views.flatten(1), views=VIEWS)
    parameters = learner.adapt_to_support(lambda call: call(views[support].flatten(1)), classes[support], 2)
    assert learner.predict_query(parameters, lambda call: call(views[1:2].flatten(1))).isfinite().all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"views": 5}, "divide"),
        ({"views": 0}, "at least 1"),
        ({"prior": (0.0, 1.0)}, "each view"),
        ({"penalties": (0.0,)}, "penalties"),
        ({"penalties": ()}, "penalties"),
        ({"sharpness": 0.0}, "sharpness"),
        ({"weight": -1.0}, "weight"),
        ({"nearest": 0}, "nearest"),
        ({"unlabelled": torch.ones(5, 7)}, "unlabelled"),
    ],
)
def test_wrong_arguments_are_named(options, said):
    views, y = rows_of()
    with pytest.raises(ValueError, match=said):
        ViewRidge(nn.Identity(), **{"views": VIEWS, **options}).logits(tasks_of(views, y))
