"""Every public way to a compiled kernel answers hostile arguments, or refuses them; none reads memory of others."""

from __future__ import annotations

import ast
import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests._kernels.doors import ANY, DOORS, REFUSED, SAME, cases, kernels, with_callees

CHECKOUT = Path(__file__).parent.parent.parent

ENTRANCES = {
    "graphkit.operators.pair_sketches": "PairSketches",
    "graphkit.data.sampling.relabel": "NeighborSampler of an edge_index",
    "graphkit.data.sampling.csc": "CSC",
    "graphkit.data.sampling.loaders": "EpochSampler",
    "graphkit.data.distributed.partitions": "partition",
    "graphkit.data.sampling.neighbor_sampler": "NeighborSampler of an edge_index",
    "graphkit.data.disk.storage": "store",
    "graphkit.metric.blockwise": "TripletLoss",
    "graphkit.metric.losses.margin": "TripletLoss",
    "graphkit.metric.losses.quadruplet": "QuadrupletLoss",
    "graphkit.metric.nearest": "nearest_items",
    "graphkit.metric.retrieval": "evaluate_retrieval",
    "graphkit.nn.spectral.graph_wavelet": "GraphWaveletConv",
    "graphkit.operators.attention": ("attend", "gatv2_scores", "entry_softmax"),
    "graphkit.operators.coarsening.contraction": ("coarse_graph", "coarsen"),
    "graphkit.operators.coarsening.hierarchy": "Level by hand",
    "graphkit.operators.dropout": "dropout",
    "graphkit.operators.graph_cache": "GCNConv",
    "graphkit.operators.messages": ("neighbor_max", "relu_message_sum", "edge_table_sum"),
    "graphkit.operators.pair_scores": "PairScores",
    "graphkit.data.splits.non_edges": "NonEdgeSampler",
    "graphkit.operators.pattern": "Pattern.from_coo",
    "graphkit.operators.products": "products.spmm with heads",
}
"""Files that call kernels, each with a door, or several, through which it is entered."""

WITHOUT_KERNELS = {"compiler", "resources"}
"""Files of the room in which there is nothing compiled that takes arrays."""


def callers() -> set[str]:
    """Return the files outside of the room that import a file of the room with kernels in it."""
    found = set()
    for path in (CHECKOUT / "graphkit").rglob("*.py"):
        module = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("graphkit._kernels"):
                continue
            inner = node.module.removeprefix("graphkit._kernels").lstrip(".")
            names = {inner} if inner else {each.name for each in node.names}
            if names - WITHOUT_KERNELS and not module.startswith("graphkit._kernels"):
                found.add(module)
    return found


def test_every_kernel_has_a_door():
    reached = with_callees({name for door in DOORS for name in door.kernels})
    assert kernels().keys() - reached == set(), "write a `Door` for it in `tests/_kernels/doors.py`"


def test_every_file_that_calls_kernels_has_a_door():
    assert callers() == ENTRANCES.keys(), "write a `Door` for it in `tests/_kernels/doors.py`, and name it here"
    named = [doors if isinstance(doors, tuple) else (doors,) for doors in ENTRANCES.values()]
    assert {name for names in named for name in names} <= {door.name for door in DOORS}


def tried(**environment: str) -> tuple[dict[int, dict], list[dict]]:
    """Return what came of every case, and what else was said, from as many processes as it takes."""
    every, outcomes, said, first = cases(), {}, [], 0
    while first < len(every):
        script = [sys.executable, "-m", "tests._kernels.doors", str(first)]
        paths = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
        run = subprocess.run(
            script, cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": paths} | environment, capture_output=True, text=True
        )
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        assert lines, run.stderr
        outcomes |= {line["ends"]: line for line in lines if "ends" in line}
        said += [line for line in lines if "door" in line]
        last = max(line["begins"] for line in lines if "begins" in line)
        if last not in outcomes:
            outcomes[last] = {"fine": False, "said": f"the process ended with {run.returncode}: {run.stderr[:400]}"}
        first = last + 1
        assert sum(not each["fine"] for each in outcomes.values()) < 100, wrong(outcomes)
    return outcomes, said


def wrong(outcomes: dict[int, dict]) -> list[str]:
    """Return the cases that did not end as they must."""
    every = cases()
    return [
        f"{every[number]} ({every[number].expected}): {each['said']}"
        for number, each in sorted(outcomes.items())
        if not each["fine"]
    ]


def test_hostile_arguments_are_answered_or_refused_and_never_end_the_process():
    outcomes, said = tried()
    assert len(outcomes) == len(cases()) > 1500
    assert said == [], "the valid call of a door does not reach what it is said to reach"
    assert wrong(outcomes) == []


@pytest.mark.slow
def test_no_kernel_leaves_its_arrays_whatever_it_is_handed(tmp_path):
    """Numba's own check of every index: what does not end a process may still read memory of others."""
    outcomes, _ = tried(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert wrong(outcomes) == []
    assert [each for each in outcomes.values() if "out of bounds" in each["said"]] == []


@pytest.mark.slow
def test_the_check_of_every_index_does_look(tmp_path):
    script = (
        "import numpy as np; from graphkit._kernels.csr_messages import neighbor_max; x = np.ones((3, 2), np.float32);"
        "neighbor_max(0, 1, np.array([0, 1]), np.array([9]), x, x.copy(), np.ones((3, 2), np.int32))"
    )
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert "IndexError: index is out of bounds" in run.stderr


def test_most_cases_ask_for_a_refusal_or_for_the_right_answer():
    """A table in which everything is allowed would show nothing."""
    counts = collections.Counter(case.expected for case in cases())
    assert counts[REFUSED] > 600
    assert counts[SAME] > 150
    assert counts[ANY] < 350
