"""The benchmark of graphs on the disk runs on a small one."""

from __future__ import annotations

import importlib.util
import json

import pytest

from graphkit.data import Synthetic, synthesize
from tests.test_examples import EXAMPLES, run

SCRIPT = EXAMPLES / "benchmarks" / "memory.py"


def test_what_is_trained_is_the_same_from_the_disk_and_in_memory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    spec = importlib.util.spec_from_file_location("example_memory", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    graph = synthesize(tmp_path / "graph", Synthetic(nodes=400, edges=2000, features=8, classes=4)).folder
    script.dropped(graph)
    found = []
    for side in (script.MEMORY, script.COLD):
        script.torch.manual_seed(0)
        found.append(script.trained(side, graph, 32, 3, [4, 2]))
    assert found[0]["loss"] == found[1]["loss"]
    assert all(each["nodes_per_second"] > 0 for each in found)


@pytest.mark.slow
def test_every_side_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    kept = tmp_path / "record.json"
    run(SCRIPT, "--quick", "--json", str(kept))
    record = json.loads(kept.read_text())
    assert [row["side"] for row in record["rows"]] == ["in memory", "from the disk, cold", "from the disk, warm"]
    assert len({tuple(row["loss"]) for row in record["rows"]}) == 1
    assert all(row["peak_mb"] > 0 for row in record["rows"])
