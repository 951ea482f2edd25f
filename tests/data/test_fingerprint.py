"""The fingerprint of content: blind to storage, not to values."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import content_sha256
from graphkit.data.fingerprint import from_sparse_parts, sparse_parts, tensors_sha256


@pytest.fixture
def data(generator: torch.Generator) -> Data:
    x = torch.rand(6, 4, generator=generator) * (torch.rand(6, 4, generator=generator) > 0.5)
    return Data(x=x, edge_index=torch.randint(6, (2, 9), generator=generator), y=torch.arange(6) % 3)


def test_the_order_of_edges_and_the_form_of_x_do_not_matter(data):
    other = data.clone()
    other.edge_index = data.edge_index[:, torch.tensor([8, 3, 1, 0, 2, 7, 6, 5, 4])]
    other.x = data.x.double().to_sparse()
    assert content_sha256(other) == content_sha256(data)


def test_a_dense_matrix_is_read_in_blocks_to_the_same_fingerprint(data, monkeypatch):
    monkeypatch.setattr("graphkit.data.fingerprint.BLOCK", 8)
    data.x[2:4] = 0
    assert content_sha256(data) == content_sha256(data.clone().update({"x": data.x.to_sparse()}))


@pytest.mark.parametrize("field", ["x", "edge_index", "y"])
def test_any_value_matters(data, field):
    other = data.clone()
    other[field][0] += 1
    assert content_sha256(other) != content_sha256(data)


def test_the_order_of_nodes_matters(data):
    other = data.clone()
    other.y = data.y.flip(0)
    assert content_sha256(other) != content_sha256(data)


def test_it_can_be_computed_without_us():
    x = np.array([[0, 2], [1, 0]], dtype="<f4")
    data = Data(x=torch.from_numpy(x), y=torch.tensor([1, 0]), edge_index=torch.tensor([[1, 0], [0, 1]]))
    parts = {
        "edge_index": np.array([[0, 1], [1, 0]], dtype="<i8"),
        "x.column": np.array([1, 0], dtype="<i4"),
        "x.shape": np.array([2, 2], dtype="<i8"),
        "x.start": np.array([0, 1, 2], dtype="<i8"),
        "x.value": np.array([2, 1], dtype="<f4"),
        "y": np.array([1, 0], dtype="<i8"),
    }
    digest = hashlib.sha256()
    for name, array in parts.items():
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode() + array.tobytes())
    assert content_sha256(data) == digest.hexdigest()


def test_names_types_and_shapes_count():
    zeros = torch.zeros(4)
    forms = [{"a": zeros}, {"b": zeros}, {"a": zeros.double()}, {"a": zeros.view(2, 2)}, {"a": zeros, "b": zeros}]
    assert len({tensors_sha256(form) for form in forms}) == len(forms)


def test_sparse_parts_come_back(data):
    assert torch.equal(from_sparse_parts(sparse_parts(data.x)), data.x)
    assert torch.equal(from_sparse_parts(sparse_parts(data.x.to_sparse())), data.x)
    assert from_sparse_parts(sparse_parts(torch.zeros(0, 3))).shape == (0, 3)
