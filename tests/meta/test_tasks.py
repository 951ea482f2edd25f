"""Class splits, protocols and frozen tasks: disjoint, reproducible, and clear about what cannot be drawn."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from safetensors.torch import save_file
from torch_geometric.data import Data

from graphkit.data.graphset import GraphSet
from graphkit.meta import (
    MAML,
    AbstractItems,
    ClassSplit,
    Episode,
    Evaluation,
    FewShotProtocol,
    Graphs,
    Labels,
    MetaTraining,
    Nodes,
    PrototypicalNetwork,
    Rows,
    Task,
    TaskSet,
    evaluate,
    meta_train,
)


def test_all_pairs_are_all_and_no_class_stands_in_two_parts():
    splits = ClassSplit.all_pairs(range(7))
    assert [split.test for split in splits] == list(itertools.combinations(range(7), 2))
    for split in splits:
        assert sorted([*split.train, *split.validation, *split.test]) == list(range(7))
        assert len(split.validation) == 2


def test_a_random_split_is_a_function_of_its_generator():
    first, second = (ClassSplit.random(range(10), (5, 2, 3), torch.Generator().manual_seed(4)) for _ in range(2))
    assert first == second
    assert [len(part) for part in (first.train, first.validation, first.test)] == [5, 2, 3]
    assert first != ClassSplit.random(range(10), (5, 2, 3), torch.Generator().manual_seed(5))


@pytest.mark.usefixtures("mirror")
def test_a_fixed_split_comes_from_its_file():
    split = ClassSplit.benchmark("citation-full-cora")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [25, 20, 25]


def test_a_split_is_read_from_a_file_of_three_lists(tmp_path):
    path = tmp_path / "split.json"
    path.write_text("[[3, 1], [], [0, 2]]")
    assert ClassSplit.read(path) == ClassSplit((3, 1), (), (0, 2))
    for content in ("{", "[[0], [1]]", "[[0], [1], 2]", "[[0], [1], [2.5]]", '{"train": [0]}', '"abc"'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"the class split .*split\.json' (must hold three lists|cannot be read)"):
            ClassSplit.read(path)
    with pytest.raises(ValueError, match=r"there is no class split '.*none\.json'"):
        ClassSplit.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((0, 1), (1, 2), (3,)), "`validation` and `train` share the classes 1"),
        (((0, 1), (2,), (0, 1)), "`test` and `train` share the classes 0, 1"),
        (((0, 0), (), (1,)), "`train` must hold different labels"),
        (((0,), (), ()), "`test` must hold at least one class"),
        (((0,), (-1,), (2,)), "`validation` must hold different labels of 0 or more"),
    ],
)
def test_overlapping_and_empty_parts_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        ClassSplit(*parts)


def test_more_classes_than_there_are_are_refused():
    with pytest.raises(ValueError, match="ask for 8 classes, but there are 7"):
        ClassSplit.random(range(7), (4, 2, 2), torch.Generator())
    with pytest.raises(ValueError, match="leave none of 4 to train on"):
        ClassSplit.all_pairs(range(4))


def test_a_task_is_a_function_of_its_seed_and_number_alone(rows):
    many, few = (TaskSet.draw(rows, (0, 1, 2, 3), FewShotProtocol(n_tasks=tasks)) for tasks in (20, 7))
    assert torch.equal(many.chosen[:7], few.chosen)
    assert torch.equal(many.classes[:7], few.classes)
    other = TaskSet.draw(rows, (0, 1, 2, 3), FewShotProtocol(n_tasks=7, seed=1))
    assert not torch.equal(other.chosen, few.chosen)
    assert few != many
    assert hash(few) == hash(TaskSet.draw(rows, (3, 2, 1, 0), FewShotProtocol(n_tasks=7)))


def test_items_of_a_task_are_different_and_of_its_classes(rows):
    for task in TaskSet.draw(rows, (1, 3, 5), FewShotProtocol(n_way=3, k_shot=5, n_query=6, n_tasks=20)):
        episode = task.episode
        drawn = torch.cat([episode.support, episode.query], dim=1)
        assert len(drawn.unique()) == drawn.numel() == 33
        assert torch.equal(rows.y[drawn], episode.classes[:, None].expand_as(drawn))
        assert isinstance(task, Task)
        assert isinstance(episode, Episode)
        assert torch.equal(episode.support_y, torch.arange(3).repeat_interleave(5))
        assert episode.ways == 3


def test_tasks_keep_to_the_items_that_may_be_drawn(rows):
    allowed = torch.arange(60)
    tasks = TaskSet.draw(rows, (0, 1), FewShotProtocol(k_shot=2, n_query=4, n_tasks=20), within=allowed)
    assert int(tasks.chosen.max()) < 60


def test_every_item_of_a_class_is_drawn_about_as_often(rows):
    tasks = TaskSet.draw(rows, (0, 1), FewShotProtocol(k_shot=1, n_query=1, n_tasks=2000))
    counts = torch.bincount(tasks.chosen.flatten(), minlength=120)[rows.y < 2]
    expected = 2000 * 4 / 40
    assert float(((counts - expected) ** 2 / expected).sum()) < 73  # chi-square, 39 degrees: one in a thousand


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (FewShotProtocol(n_way=4), "`n_way` is 4, but there are 3 classes"),
        (FewShotProtocol(k_shot=10, n_query=12), "class 0 has 20 items, fewer than the 22 a task takes"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, protocol, message):
    with pytest.raises(ValueError, match=message):
        TaskSet.draw(rows, (0, 1, 2), protocol)


def test_labels_of_no_class_and_items_that_are_not_there_are_refused(rows):
    protocol = FewShotProtocol(k_shot=2, n_query=2)
    unlabelled = Rows(rows.x, rows.y.masked_fill(rows.y == 1, -1))
    with pytest.raises(ValueError, match=r"`classes` must be labels of 0 or more, got \[-1, 0\]"):
        TaskSet.draw(unlabelled, (0, -1), protocol)
    for within in (torch.tensor([-1, 3]), torch.tensor([len(rows.y)])):
        with pytest.raises(ValueError, match=f"`within` must name items from 0 to {len(rows.y) - 1}"):
            TaskSet.draw(rows, (0, 1), protocol, within=within)


def test_items_have_one_integer_label_each(rows):
    edges = torch.tensor([[0], [1]])
    for made in (lambda y: Rows(rows.x, y), lambda y: Nodes(rows.x, edges, y)):
        for y in (rows.y[:-1], torch.cat([rows.y, rows.y])):
            with pytest.raises(ValueError, match=r"`y` must have shape \[items\]"):
                made(y)
        with pytest.raises(TypeError, match="`y` must hold integers"):
            made(rows.y.float())


@pytest.mark.parametrize("field", ["n_way", "k_shot", "n_query", "n_tasks"])
def test_an_impossible_protocol_is_refused(field):
    with pytest.raises(ValueError, match=f"`{field}` must be an integer of at least"):
        FewShotProtocol(**{field: 0})


def test_tasks_are_saved_and_loaded_to_the_same(tasks, rows, tmp_path):
    tasks.save(tmp_path / "tasks.safetensors")
    loaded = TaskSet.load(tmp_path / "tasks.safetensors", rows)
    assert loaded == tasks
    assert loaded.protocol == tasks.protocol
    moved = Rows(rows.x, rows.y.roll(1))
    with pytest.raises(ValueError, match="tasks of other items"):
        TaskSet.load(tmp_path / "tasks.safetensors", moved)
    with pytest.raises(ValueError, match="their labels differ"):
        tasks.with_items(moved)


def test_a_file_of_something_else_is_refused_by_its_name(rows, tmp_path):
    rubbish, other = tmp_path / "rubbish", tmp_path / "other"
    rubbish.write_bytes(b"rubbish")
    save_file({"x": torch.ones(1)}, other)
    for path in (rubbish, other):
        with pytest.raises(ValueError, match=rf"{path.name}' holds no tasks that `TaskSet.save` wrote"):
            TaskSet.load(path, rows)


def test_tasks_are_frozen_and_a_change_in_place_shows(tasks):
    before = tasks.fingerprint
    with pytest.raises(dataclasses.FrozenInstanceError):
        tasks.chosen = tasks.chosen + 1
    tasks.chosen[0, 0, 0] += 6
    assert tasks.fingerprint != before


def test_tasks_are_a_sequence(tasks):
    assert [torch.equal(one.episode.query, tasks[k + 1].episode.query) for k, one in enumerate(tasks[1:3])] == [
        True
    ] * 2
    assert tasks[-1].episode.form == (2, 3, 4)
    with pytest.raises(IndexError):
        tasks[5]


def test_what_is_no_set_of_tasks_is_refused(tasks):
    learner, options = PrototypicalNetwork(torch.nn.Identity()), MetaTraining(steps=1)
    with pytest.raises(TypeError, match="`tasks` must be a TaskSet, whose fingerprint the figure carries, got list"):
        evaluate(learner, list(tasks))
    with pytest.raises(TypeError, match="`train` must be a list of TaskSets, one for each graph, got Task"):
        meta_train(learner, tasks, tasks, options)
    with pytest.raises(TypeError, match="`validation` must be a TaskSet, got list"):
        meta_train(learner, [tasks], list(tasks), options)


def test_graphs_are_items_too():
    sizes = torch.tensor([2, 3] * 10)
    starts = sizes.cumsum(0) - sizes
    x = torch.randn(int(sizes.sum()), 4)
    data = Data(x=x, edge_index=torch.tensor([[0], [1]]).repeat(1, 20), y=torch.arange(20) % 2)
    items = Graphs(GraphSet(data, nodes=sizes, edges=torch.ones_like(sizes)))
    assert isinstance(items, AbstractItems)
    assert items.channels == 4

    class Sums(torch.nn.Module):
        def forward(self, x, edge_index, batch):
            return x.new_zeros(int(batch.max()) + 1, 4).index_add(0, batch, x)

    tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=3))
    found = PrototypicalNetwork(Sums()).logits(list(tasks))
    sums = torch.stack([x[start : start + size].sum(0) for start, size in zip(starts, sizes, strict=True)])
    table = tasks.with_items(Rows(sums, items.y))
    torch.testing.assert_close(found, PrototypicalNetwork(torch.nn.Identity()).logits(list(table)))


def test_nodes_see_the_graph_and_their_weights(nodes):
    def mean(x, edge_index, weight=None):
        weight = torch.ones(edge_index.size(1)) if weight is None else weight
        return torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]] * weight[:, None].double())

    index = torch.tensor([3, 1])
    weighted = Nodes(nodes.x, nodes.edge_index, nodes.y, torch.full((nodes.edge_index.size(1),), 2.0))
    torch.testing.assert_close(weighted.outputs(mean, index), 2 * nodes.outputs(mean, index))
    assert nodes.channels == 7


def test_an_evaluation_counts_right_answers_task_by_task(rows):
    tasks = TaskSet.draw(rows, (0, 1, 2), FewShotProtocol(k_shot=3, n_query=4, n_tasks=21))
    learner = PrototypicalNetwork(torch.nn.Identity())
    found = evaluate(learner, tasks, batch=8)
    expected = [
        (learner.predict(learner.adapt(task), task).argmax(-1) == task.episode.query_y).double().mean().item()
        for task in tasks
    ]
    assert list(found.accuracies) == pytest.approx(expected)
    assert found.mean == pytest.approx(sum(expected) / 21)
    assert found.interval == pytest.approx(1.96 * torch.tensor(expected).std().item() / 21**0.5)
    assert evaluate(learner, tasks, calibrate=5).calibrated


def test_learners_that_take_gradient_steps_are_evaluated_in_inference_mode(rows):
    tasks = TaskSet.draw(rows, (0, 1), FewShotProtocol(k_shot=3, n_query=4, n_tasks=5))
    learner = MAML(torch.nn.Linear(rows.channels, 2).to(rows.x.dtype), inner_lr=0.5)
    expected = evaluate(learner, tasks).accuracies
    with torch.inference_mode():
        assert evaluate(learner, tasks).accuracies == expected


def test_differences_are_paired_and_need_the_same_tasks():
    one, other = Evaluation((0.5, 1.0), "a"), Evaluation((0.25, 0.75), "a")
    assert one.difference(other).accuracies == (0.25, 0.25)
    assert one.difference(other).interval == 0.0
    with pytest.raises(ValueError, match="the same tasks"):
        one.difference(Evaluation((0.5, 0.5), "b"))


def test_memory_stays_flat_over_many_evaluation_tasks(nodes):
    """What an inner loop leaves behind would be counted here: tensors alive after 20 tasks and after 520."""
    import gc

    from graphkit.nn import Encoder, GCNConv

    def alive():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    learner = MAML(Encoder(7, 4, 2, conv=GCNConv, dropout=0.0).double(), inner_steps=2)
    counts = []
    for tasks in (20, 500):
        evaluate(learner, TaskSet.draw(nodes, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=tasks)))
        counts.append(alive())
    assert counts[1] <= counts[0] + 5


@pytest.mark.parametrize("calibrate", [0, 2])
def test_a_learner_that_diverged_has_no_accuracy(calibrate, rows):
    """It used to be that of whatever class comes first."""
    tasks = TaskSet.draw(rows, (0, 1), FewShotProtocol(k_shot=3, n_query=4, n_tasks=5))
    learner = MAML(torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 2)).double(), inner_lr=1e200)
    with pytest.raises(ValueError, match=r"NaN, infinite or huge logits in 5 of 5 tasks, .* a smaller `inner_lr`"):
        evaluate(learner, tasks, calibrate=calibrate)
    spoilt = rows.x.clone()
    spoilt[tasks[3].episode.query[0, 0]] = torch.nan
    hit = sum(bool((task.episode.query == tasks[3].episode.query[0, 0]).any()) for task in tasks)
    with pytest.raises(ValueError, match=f"logits in {hit} of 5 tasks"):
        evaluate(PrototypicalNetwork(torch.nn.Identity()), tasks.with_items(Rows(spoilt, rows.y)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", [torch.nn.Identity, torch.nn.Tanh, torch.nn.ReLU])
def test_logits_that_are_finite_and_huge_are_those_of_a_learner_that_diverged(rows, activation, dtype):
    tasks = TaskSet.draw(Rows(rows.x.to(dtype), rows.y), (0, 1), FewShotProtocol(k_shot=3, n_query=4, n_tasks=5))
    model = torch.nn.Sequential(torch.nn.Linear(7, 5), activation(), torch.nn.Linear(5, 2)).to(dtype)
    assert evaluate(MAML(model, inner_lr=0.1), tasks).mean > 0
    with pytest.raises(ValueError, match=r"NaN, infinite or huge logits in [45] of 5 tasks"):
        evaluate(MAML(model, inner_lr=1e30, inner_steps=1), tasks)


def test_the_learner_of_the_report_is_refused():
    rows = Rows(torch.randn(80, 5, generator=torch.Generator().manual_seed(0)), torch.arange(80) % 4)
    tasks = TaskSet.draw(rows, (0, 1), FewShotProtocol(k_shot=3, n_query=5, n_tasks=4))
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with pytest.raises(ValueError, match="`learner` gave NaN, infinite or huge logits in 4 of 4 tasks"):
        evaluate(MAML(model, inner_lr=1e30), tasks)


def test_tasks_may_be_drawn_of_labels_and_given_items_later(rows):
    protocol = FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)
    tasks = TaskSet.draw(Labels(rows.y), (0, 1, 2), protocol)
    assert tasks == TaskSet.draw(rows, (0, 1, 2), protocol)
    learner = PrototypicalNetwork(torch.nn.Identity())
    with pytest.raises(TypeError, match=r"these tasks are of labels alone; give them items first"):
        learner.logits(tasks)
    given = tasks.with_items(rows)
    assert torch.equal(learner.logits(given), learner.logits(TaskSet.draw(rows, (0, 1, 2), protocol)))
