"""What the package itself offers: rooms as attributes, caches that can be emptied, types that are seen from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import graphkit
from graphkit import operators
from graphkit._kernels import resources
from graphkit.meta.acceleration import model_fingerprint
from graphkit.nn import GCNConv
from graphkit.operators import graph_cache

DOWNSTREAM = """\
import torch

from graphkit.data import load
from graphkit.metric import TripletLoss
from graphkit.nn import GCNConv, accelerate
from graphkit.operators import laplacian
from graphkit.training import recipe, train

data = load("karate")
conv = GCNConv(data.num_features, 2)
out: torch.Tensor = conv(data.x, data.edge_index)
loss: torch.Tensor = TripletLoss()(out, data.y)
smooth: torch.Tensor = laplacian(data.edge_index) @ out
mean: float = train(data, recipe("gcn", {"epochs": 2}), seeds=[0]).record.metric.mean
print(accelerate(conv).exchanged, mean)
"""


def test_rooms_are_attributes_and_are_imported_when_they_are_asked_for():
    said = (
        "import sys, graphkit; before = 'torch' in sys.modules; graphkit.nn.GCNConv; "
        "print(before, 'torch' in sys.modules, 'nn' in dir(graphkit))"
    )
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True", "True"]
    assert graphkit.operators is operators
    with pytest.raises(AttributeError, match="module 'graphkit' has no attribute 'nothing'"):
        graphkit.nothing


def test_every_folder_that_is_a_room_is_an_attribute():
    folders = {path.parent.name for path in Path(graphkit.__file__).parent.glob("*/__init__.py")}
    assert {name for name in folders if not name.startswith("_")} == set(graphkit.ROOMS)


def test_caches_are_emptied_and_filled_anew():
    edge_index, x = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.eye(3)
    conv = GCNConv(3, 2)
    before = conv(x, edge_index)
    held = resources.empty_recycled((1024, 1024), torch.float64).fill_(1.0)
    assert graph_cache._cache
    assert resources._blocks
    graphkit.clear_caches()
    assert not graph_cache._cache
    assert not resources._blocks
    assert not model_fingerprint._probes
    assert bool((held == 1.0).all())  # what is held is not given out again
    assert torch.equal(conv(x, edge_index), before)


@pytest.mark.slow
def test_a_program_that_uses_it_passes_strict_type_checking(tmp_path):
    """Outside the checkout, where nothing but ``py.typed`` says that the package has types."""
    (tmp_path / "downstream.py").write_text(DOWNSTREAM)
    command = [sys.executable, "-m", "mypy", "--strict", "downstream.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    ran = subprocess.run([sys.executable, "downstream.py"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
