"""Forests on counts of colours: scikit-learn's answers to the last digit, from a file that holds nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.wl_forest import Forest, ForestFit, WLForest, graph_statistics, wl_counts
from graphkit.operators.refinement import mix_bits, refine_colours


def batch(seed=0, graphs=12, edge_features=0):
    """Return random graphs, the fourth of them without a node."""
    drawn = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 9, (graphs,), generator=drawn)
    sizes[3] = 0
    number = torch.arange(graphs).repeat_interleave(sizes)
    pairs = torch.randint(0, len(number), (2, 200), generator=drawn)
    pairs = pairs[:, number[pairs[0]] == number[pairs[1]]]
    attr = torch.randint(0, 2, (pairs.size(1), edge_features), generator=drawn) if edge_features else None
    return GraphBatch(torch.randint(0, 3, (len(number), 2), generator=drawn).float(), pairs, attr, number, graphs)


@pytest.mark.parametrize("edge_features", [0, 2])
@pytest.mark.parametrize("rounds", [0, 2])
def test_counts_are_those_of_a_loop_over_colours(rounds, edge_features):
    given = batch(edge_features=edge_features)
    found = wl_counts(given, rounds=rounds, columns=50)
    colours = refine_colours(given.x, given.edge_index, given.edge_attr, rounds=rounds)
    expected = [Counter() for _ in range(given.graphs)]
    for number, each in enumerate(colours):
        for node, colour in enumerate(each):
            expected[int(given.batch[node])][int(mix_bits(colour + number)) % 50] += 1
    assert [{c: int(v) for c, v in enumerate(row) if v} for row in found.tolist()] == [dict(row) for row in expected]


def test_statistics_are_those_of_each_graph_by_itself():
    given = batch()
    found = graph_statistics(given)
    for number in range(given.graphs):
        own = given.batch == number
        kept = own[given.edge_index[1]]
        x, degree = given.x[own], torch.bincount(given.edge_index[1][kept], minlength=len(own))[own]
        histogram = torch.tensor([int((degree.clamp(max=7) == each).sum()) for each in range(8)]).float()
        many = max(len(x), 1)
        expected = [torch.tensor([len(x), int(kept.sum())]), x.sum(0), x.sum(0) / many, histogram, histogram / many]
        torch.testing.assert_close(found[number], torch.cat(expected))


def rows_and_targets(kind, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randn(120, 6, generator=drawn)  # thresholds lie between numbers in single precision
    score = rows[:, 0] + rows[:, 1] * rows[:, 2]
    if kind == "classes":
        return rows, (score > 0).long() + (score > 1).long()
    y = torch.stack([score, rows[:, 3]], 1)
    return rows, (y > 0).float() if kind == "binary" else y


@pytest.mark.parametrize("kind", ["classes", "binary", "numbers", "numbers with gaps"])
def test_the_trees_say_what_scikit_learn_says(kind):
    rows, y = rows_and_targets(kind.split()[0])
    if kind == "binary":
        y[::5, 1] = torch.nan
        y[:, 0] = 1.0  # one answer alone
    if kind == "numbers with gaps":
        y[::3, 0] = torch.nan
    outputs = 3 if kind == "classes" else 2
    model = WLForest(outputs, rounds=0, columns=4)
    asked, seeds = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)), []
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ForestFit(model, lambda: rows, y, kind.split()[0], trees=20, leaf=2).solve(1)
        torch.manual_seed(3)
        seeds = [int(torch.randint(2**31 - 1, ())) for _ in range(2)]
    found = model.forest(asked).double()
    fields = {"n_estimators": 20, "min_samples_leaf": 2}
    if kind == "classes":
        theirs = RandomForestClassifier(random_state=seeds[0], **fields).fit(rows, y).predict_proba(asked)
        expected = torch.from_numpy((theirs * 20 + 1 / 3) / 21).log()
    elif kind == "numbers":
        forest = RandomForestRegressor(random_state=seeds[0], max_features=1 / 3, **fields)
        expected = torch.from_numpy(forest.fit(rows, y).predict(asked))
    else:
        parts = []
        for column, seed in zip(y.T, seeds, strict=True):
            known = ~column.isnan()
            if kind == "binary":
                forest = RandomForestClassifier(random_state=seed, **fields).fit(rows[known], column[known])
                yes = forest.predict_proba(asked)[:, list(forest.classes_).index(1.0)]
                parts.append(torch.from_numpy((yes * 20 + 0.5) / 21).logit())
            else:
                forest = RandomForestRegressor(random_state=seed, max_features=1 / 3, **fields)
                parts.append(torch.from_numpy(forest.fit(rows[known], column[known]).predict(asked)))
        expected = torch.stack(parts, 1)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_a_task_that_nobody_knows_anything_of_is_left_open():
    rows, y = rows_and_targets("binary")
    y[:, 1] = torch.nan
    model = WLForest(2, rounds=0)
    ForestFit(model, lambda: rows, y, "binary", trees=5).solve(1)
    assert model.forest(rows)[:, 1].abs().max() == 0  # as likely as not


def test_thresholds_in_single_precision_tell_the_same_numbers_apart():
    """Each row lies on a threshold of the tree, or one step of single precision above it."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 1)).astype(np.float32)
    forest = RandomForestClassifier(5, random_state=0).fit(x, (np.arange(200) % 2))
    edges = np.concatenate([each.tree_.threshold[each.tree_.feature >= 0] for each in forest.estimators_])
    near = edges.astype(np.float32)
    asked = np.concatenate([near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))])[:, None]
    found = Forest(2).grow([forest], "classes")(torch.from_numpy(asked)).argmax(1)
    shares = forest.predict_proba(asked)
    clear = np.abs(shares[:, 0] - 0.5) > 1e-9
    assert (found.numpy() == shares.argmax(1))[clear].all()


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_file_of_weights_is_all_that_is_needed(kind):
    rows, y = rows_and_targets(kind)
    model, other = WLForest(3 if kind == "classes" else 2), WLForest(3 if kind == "classes" else 2)
    with pytest.raises(ValueError, match="has no trees yet"):
        other.forest(rows)
    ForestFit(model, lambda: rows, y, kind, trees=7).solve(2)
    other.load_state_dict(model.state_dict())
    assert int(other.used) == 1
    assert torch.equal(model.forest(rows), other.forest(rows))


def test_wrong_arguments_are_refused():
    rows, y = rows_and_targets("classes")
    for given in ({"trees": 0}, {"leaf": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(given))}`"):
            ForestFit(WLForest(3), lambda: rows, y, "classes", **given)
    with pytest.raises(ValueError, match="`link` 'shares' is not known"):
        ForestFit(WLForest(3), lambda: rows, y, "shares")
    with pytest.raises(ValueError, match="`rounds`"):
        WLForest(3, rounds=-1)
