"""The command line leaves nothing in the temporary folder, and touches nothing of others there."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from graphkit.cli import output as leftovers

pytestmark = pytest.mark.usefixtures("own_folder")


PEER = """
import os, sys, torch, torch_geometric.nn as nn
nn.SAGEConv(2, 2)(torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]]))
import graphkit.cli
code = graphkit.cli.main(sys.argv[2:])
print(len(os.listdir(sys.argv[1])))
sys.exit(code)
"""


def test_a_command_leaves_the_temporary_folder_as_it_was(tmp_path):
    """The layers of PyTorch Geometric, and ours that are made of them, write their code there."""
    place = tmp_path / "temporary"
    place.mkdir()
    (place / "torch_geometric.nn.conv.sage_conv_SAGEConv_propagate_of_others.py").write_text("")
    before = sorted(path.name for path in place.iterdir())
    command = [str(place), "train", "karate", "--model", "sage", "--seeds", "1", "--epochs", "1", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(place)}
    call = [sys.executable, "-c", PEER, *command]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > len(before), "nothing was written, so that nothing is shown"
    # PyTorch's compiler has one folder for all processes of a user.
    assert sorted(p.name for p in place.iterdir() if not p.name.startswith("torchinductor_")) == before


def test_what_no_module_of_this_process_was_read_from_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for name in ("ours_abc.py", "ours_xyz.py", "other.py", "elsewhere_abc.py"):
        (tmp_path / name).write_text("")
    for name, file in (("ours", "ours_abc.py"), ("another", "other.py"), ("elsewhere", None)):
        module = ModuleType(name)
        module.__file__ = file and str(tmp_path / file)
        monkeypatch.setitem(sys.modules, name, module)
    leftovers.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere_abc.py", "other.py", "ours_xyz.py"]
