"""The benchmark of large graphs runs on a small one."""

from __future__ import annotations

import json

from tests.test_examples import EXAMPLES, run


def test_whole_and_sampled_epochs_are_measured_in_one_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    kept = tmp_path / "record.json"
    run(EXAMPLES / "benchmarks" / "scale.py", "--quick", "--json", str(kept))
    record = json.loads(kept.read_text())
    assert [row["side"] for row in record["rows"]] == ["graphkit", "PyG, edge_index"]
    assert len(record["sampled"]) == 3
    assert all(each["nodes_per_second"] > 0 for each in record["sampled"])
