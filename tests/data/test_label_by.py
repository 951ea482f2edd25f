"""Attributes as labels: numbered from 0, not given where they are not, and not in the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import label_by, load
from graphkit.data.transforms import ATTRIBUTES


@pytest.fixture
def people(generator) -> Data:
    values = torch.randint(1, 6, (60, 7), generator=generator) * 10
    values[torch.rand(60, 7, generator=generator) < 0.2] = -1
    return Data(attributes=values, x=torch.ones(60, 1), y=values[:, 1], edge_index=torch.zeros(2, 0, dtype=torch.long))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_values_become_classes_in_ascending_order(people, name):
    column = people.attributes[:, ATTRIBUTES.index(name)].tolist()
    number = {value: at for at, value in enumerate(sorted(set(column) - {-1}))} | {-1: -1}
    assert label_by(people, name).y.tolist() == [number[value] for value in column]


def test_x_is_every_other_attribute_and_no_label(people):
    data = label_by(people, "year", "dormitory")
    others = [at for at, name in enumerate(ATTRIBUTES) if name not in ("year", "dormitory")]
    columns = []
    for at in others:
        values = people.attributes[:, at]
        columns += [(values == value).float() for value in sorted(set(values.tolist()))]
    assert torch.equal(data.x, torch.stack(columns, dim=1))
    assert (data.x.sum(1) == 5).all()
    assert data.label_names == ["year", "dormitory"]
    assert torch.equal(data.y[:, 0], label_by(people, "year").y)


def test_rare_values_are_no_classes(people):
    people.attributes[0, 5] = 999
    y = label_by(people, "year", least=2).y
    assert y[0] == -1
    assert y.max() == len(set(people.attributes[1:, 5].tolist()) - {-1}) - 1


def test_the_graph_given_is_not_changed_and_its_split_does_not_stay(people):
    people.train_mask = torch.ones(60, dtype=torch.bool)
    people.protocol = {"split": "own"}
    before = people.clone()
    data = label_by(people, "year")
    assert "train_mask" not in data
    assert "protocol" not in data
    assert torch.equal(people.x, before.x)
    assert torch.equal(people.y, before.y)
    assert "train_mask" in people


def test_gender_and_the_other_six_are_pygs_form(mirror):
    data = load("facebook100-amherst41")
    again = label_by(data, "gender")
    assert torch.equal(again.x, data.x)
    assert torch.equal(again.y, data.y)


def test_the_attributes_are_those_of_the_file(mirror):
    from scipy.io import loadmat

    codes = loadmat(mirror / "linkx/amherst41/raw/data.mat")["local_info"].astype(int)
    attributes = load("facebook100-amherst41").attributes.numpy()
    assert (np.where(attributes == -1, 0, attributes) == codes).all()
    years = attributes[:, ATTRIBUTES.index("year")]
    assert set(years[years >= 0]) <= set(range(1990, 2011))


def test_what_cannot_be_is_refused(people):
    with pytest.raises(ValueError, match=r"`names` 'yaer' is not known\. Did you mean 'year'"):
        label_by(people, "yaer")
    with pytest.raises(ValueError, match="one or more different attributes"):
        label_by(people)
    with pytest.raises(ValueError, match="one or more different attributes"):
        label_by(people, "year", "year")
    with pytest.raises(ValueError, match="`least` must be an integer of at least 1"):
        label_by(people, "year", least=0)
    with pytest.raises(ValueError, match="must have `attributes`"):
        label_by(load("karate"), "year")
