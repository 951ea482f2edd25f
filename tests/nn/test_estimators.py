"""Estimators as tensors: scikit-learn's answers to the last digit, and a kernel worked out number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from graphkit.nn.estimators import Forest, GaussianProcess


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
    model = Forest(outputs, trees=20, leaf=2)
    asked, seeds = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)), []
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model.fit(rows, y, kind.split()[0])
        torch.manual_seed(3)
        seeds = [int(torch.randint(2**31 - 1, ())) for _ in range(2)]
    found = model(asked).double()
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
    model = Forest(2, trees=5)
    model.fit(rows, y, "binary")
    assert model(rows)[:, 1].abs().max() == 0  # as likely as not


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


@pytest.mark.parametrize("kind", ["classes", "binary", "numbers"])
@pytest.mark.parametrize("estimator", [Forest, GaussianProcess])
def test_a_file_of_buffers_is_all_that_is_needed(estimator, kind):
    rows, y = rows_and_targets(kind)
    outputs = 3 if kind == "classes" else 2
    model, other = estimator(outputs), estimator(outputs)
    with pytest.raises(ValueError, match="`fit` it"):
        other(rows)
    model.fit(rows, y, kind, estimator.variants - 1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(rows), other(rows))
    assert all(value.isfinite().all() for value in model.state_dict().values())


def kernel(x, other, constants):
    """Return what the docstring says, number by number."""
    a, length, b, offset = constants.tolist()
    found = torch.zeros(len(x), len(other), dtype=torch.float64)
    for i, one in enumerate(x):
        for j, two in enumerate(other):
            steps = 5**0.5 * float((one - two).norm()) / length
            found[i, j] = a * (1 + steps + steps**2 / 3) * math.exp(-steps) + b * (float(one @ two) + offset)
    return found


@pytest.mark.parametrize("variant", [0, 1])
def test_the_mean_of_a_process_is_that_of_its_kernel(variant):
    rows, y = rows_and_targets("numbers")
    rows[:, 4] = 7.0  # a column that tells nothing
    model = GaussianProcess(2)
    model.fit(rows, y, "numbers", variant)
    x = (rows.double() - rows.double().mean(0)) / rows.double().std(0, correction=0).clamp(min=1e-9)
    x[:, 4] = 0
    own = kernel(x, x, model.constants[0])
    # The weights solve a square whose diagonal has noise; the noise is what is left on it.
    residual = (y.double() - y.double().mean(0)) - own @ model.weights
    noise = (residual * model.weights).sum() / model.weights.square().sum()
    torch.testing.assert_close(residual, noise * model.weights, atol=1e-6, rtol=1e-6)
    assert noise > 0
    asked = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    asked[:, 4] = 99.0
    seen = (asked.double() - rows.double().mean(0)) / rows.double().std(0, correction=0).clamp(min=1e-9)
    seen[:, 4] = 0
    expected = kernel(seen, x, model.constants[0]) @ model.weights + y.double().mean(0)
    torch.testing.assert_close(model(asked).double(), expected, atol=1e-5, rtol=1e-5)


def test_constants_are_those_of_the_highest_marginal_likelihood():
    rows, y = rows_and_targets("numbers")
    model = GaussianProcess(1)
    model.fit(rows, y[:, :1], "numbers")
    x = (rows.double() - rows.double().mean(0)) / rows.double().std(0, correction=0)
    target = (y[:, 0].double() - y[:, 0].double().mean()) / y[:, 0].double().std(correction=0)
    own = kernel(x, x, model.constants[0])
    residual, weights = y[:, 0].double() - y[:, 0].double().mean() - own @ model.weights[:, 0], model.weights[:, 0]
    noise = float((residual * weights).sum() / weights.square().sum())

    def likelihood(shift):
        scaled = model.constants[0] * torch.tensor([shift, 1, 1, 1], dtype=torch.float64)
        square = kernel(x, x, scaled) + noise * torch.eye(len(x), dtype=torch.float64)
        return torch.distributions.MultivariateNormal(torch.zeros(len(x)).double(), square).log_prob(target)

    assert likelihood(1.0) > max(likelihood(0.7), likelihood(1.4))


def test_a_process_tells_classes_apart_and_knows_where_labels_are_missing():
    rows, y = rows_and_targets("classes")
    model = GaussianProcess(3)
    model.fit(rows, y, "classes")
    assert (model(rows).argmax(1) == y).float().mean() > 0.9
    rows, y = rows_and_targets("binary")
    gaps = y.clone()
    gaps[::2, 0] = torch.nan
    gaps[:, 1] = torch.nan
    model = GaussianProcess(2)
    model.fit(rows, gaps, "binary")
    alone = GaussianProcess(1)
    alone.fit(rows, y[:, :1], "binary")
    assert ((model(rows)[:, 0] > 0) == y[:, 0].bool()).float().mean() > 0.8
    assert not torch.equal(model(rows)[:, :1], alone(rows))
    assert model(rows)[:, 1].abs().max() == 0  # as likely as not
    assert model.weights[::2].abs().max() == 0


def test_of_many_items_a_process_keeps_evenly_spaced_ones():
    rows, y = rows_and_targets("numbers")
    model, other = GaussianProcess(2, tried=30, most=60), GaussianProcess(2, tried=60, most=60)
    for each in (model, other):
        each.fit(rows, y, "numbers")
        assert len(each.rows) == 60
    assert not torch.equal(model.constants, other.constants)


def test_targets_that_are_all_alike_are_said():
    rows, y = rows_and_targets("numbers")
    model = GaussianProcess(2)
    model.fit(rows, torch.full_like(y, 3.0), "numbers")
    assert torch.equal(model(rows), torch.full_like(y, 3.0))


def test_wrong_arguments_are_refused():
    rows, y = rows_and_targets("classes")
    for made, name in ((Forest, "trees"), (Forest, "leaf"), (GaussianProcess, "tried"), (GaussianProcess, "most")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            made(3, **{name: 0})
    for made in (Forest, GaussianProcess):
        with pytest.raises(ValueError, match="`outputs`"):
            made(0)
        with pytest.raises(ValueError, match="`kind` 'shares' is not known"):
            made(3).fit(rows, y.float()[:, None], "shares")
    model = GaussianProcess(3)
    model.fit(rows, y, "classes")
    with pytest.raises(ValueError, match="`rows` must have 6 columns, got 2"):
        model(rows[:, :2])
