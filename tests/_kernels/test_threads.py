"""Rows shared among threads: every row once, equal portions, and no thread missed after a fork."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphkit._kernels import resources
from graphkit._kernels.resources import equal_work, over_range, over_rows

counts = st.lists(st.integers(0, 50), min_size=1, max_size=60)


def pointers_of(counts):
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@given(counts=counts, portions=st.integers(1, 40))
def test_portions_cover_every_row_once_in_order(counts, portions):
    bounds = equal_work(pointers_of(counts), portions)
    assert bounds[0] == 0
    assert bounds[-1] == len(counts)
    assert all(a < b for a, b in itertools.pairwise(bounds))
    assert len(bounds) - 1 <= portions


@given(counts=counts, portions=st.integers(1, 40))
def test_no_portion_is_heavier_than_its_share_and_one_row(counts, portions):
    """Work is entries plus rows; a single row cannot be cut."""
    pointers = pointers_of(counts)
    bounds = equal_work(pointers, portions)
    work = np.diff((pointers + np.arange(len(pointers)))[bounds])
    share = (pointers[-1] + len(counts)) / portions
    assert work.max() <= share + max(counts) + 2


def visited(start, stop, pointers, seen):
    """Count visits of every row; plain Python, as a kernel may be."""
    seen[start:stop] += 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("rows", [0, 1, 2, 1000])
def test_every_row_is_visited_once(rows):
    seen = np.zeros(rows, int)
    over_rows(visited, pointers_of([3] * rows), 10**6, seen)
    assert (seen == 1).all()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("length", [0, 1, 1000, resources.SERIAL_WORK + 1])
def test_every_place_of_a_range_is_visited_once(length):
    seen = np.zeros(length, int)
    over_range(lambda start, stop, out: out.__setitem__(slice(start, stop), out[start:stop] + 1), length, seen)
    assert (seen == 1).all()


def test_little_work_stays_on_the_callers_thread():
    calls = []
    over_rows(lambda start, stop, pointers: calls.append((start, stop)), pointers_of([1, 2, 3]), 1)
    assert calls == [(0, 3)]


def fails(start, stop, pointers):
    if start > 0:
        raise RuntimeError("a helper failed")


@pytest.mark.usefixtures("two_threads")
def test_an_error_of_a_helper_reaches_the_caller():
    with pytest.raises(RuntimeError, match="a helper failed"):
        over_rows(fails, pointers_of([3] * 1000), 10**6)


@pytest.mark.usefixtures("two_threads")
def test_several_python_threads_may_share_the_pool():
    def run(seed):
        seen = np.zeros(500, int)
        over_rows(visited, pointers_of([3] * 500), 10**6, seen)
        return (seen == 1).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(40)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # what is tested here
@pytest.mark.usefixtures("two_threads")
def test_a_forked_child_makes_its_own_threads():
    """The parent's pool does not exist there; waiting for it would hang."""
    over_rows(visited, pointers_of([3] * 1000), 10**6, np.zeros(1000, int))
    assert resources._threads is not None
    child = os.fork()
    if child == 0:
        seen = np.zeros(1000, int)
        try:
            over_rows(visited, pointers_of([3] * 1000), 10**6, seen)
        finally:
            os._exit(0 if (seen == 1).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_pool_that_is_outgrown_still_serves_those_who_hold_it():
    held = resources._executor(1)
    assert resources._executor(resources._thread_count + 1) is not held
    assert held.submit(lambda: 7).result() == 7
