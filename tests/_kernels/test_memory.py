"""Memory is given out again when nobody holds it, never before, and little of it is kept."""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from graphkit._kernels import resources
from graphkit._kernels.resources import LARGE, empty_recycled

ROWS = LARGE // 4 // 64


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(resources, "_blocks", [])


def place(tensor):
    return tensor.untyped_storage().data_ptr()


def test_memory_that_nobody_holds_is_given_out_again():
    first = empty_recycled((ROWS, 64), torch.float32)
    was = place(first)
    del first
    assert place(empty_recycled((64, ROWS), torch.float32)) == was
    assert place(empty_recycled((ROWS, 32), torch.float64)) == was


HELD = {
    "itself": lambda x: x,
    "a view": lambda x: x[3:5].T,
    "a detached tensor": lambda x: x.detach(),
    "an array": lambda x: x.numpy(),
    "a view of an array": lambda x: x.numpy()[1:],
    "an array read without copying": lambda x: memoryview(x.numpy()),
    "what is saved for a gradient": lambda x: x.requires_grad_().square(),
}


@pytest.mark.parametrize("holder", HELD.values(), ids=HELD)
def test_memory_that_somebody_holds_is_not(holder):
    first = empty_recycled((ROWS, 64), torch.float32)
    was, held = place(first), holder(first)
    del first
    assert place(empty_recycled((ROWS, 64), torch.float32)) != was
    del held
    assert was in {place(tensor) for tensor in [empty_recycled((ROWS, 64), torch.float32) for _ in range(2)]}


def numbered(seed, rounds=300):
    """Whether tensors that are held at random for a while all keep the number they were filled with."""
    draw, held = random.Random(seed), {}
    for number in range(rounds):
        rows = draw.choice((ROWS, ROWS + 1, 2 * ROWS))
        held[number] = empty_recycled((rows, 64), torch.float32).fill_(number)
        while len(held) > draw.randrange(1, 6):
            gone = draw.choice(list(held))
            if not bool((held.pop(gone) == gone).all()):
                return False
    return True


def test_no_tensor_is_written_to_by_another():
    assert numbered(0)


def test_no_tensor_is_written_to_by_another_thread():
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(numbered, range(4), [100] * 4))


def test_little_is_kept(monkeypatch):
    """Not even when many that are held at once are let go at once."""
    monkeypatch.setattr(resources, "IDLE", 8 * LARGE)
    held = [empty_recycled((rows, 64), torch.float32) for rows in (*range(ROWS, ROWS + 40), *[ROWS] * 10)]
    assert LARGE <= sum(each.nbytes for each in resources._blocks) <= 8 * LARGE
    held.clear()
    for rows in range(2 * ROWS, 2 * ROWS + 9):
        empty_recycled((rows - 40, 64), torch.float32)
        assert sum(each.nbytes for each in resources._blocks) <= 8 * LARGE
    latest = 4 * 64 * (2 * ROWS - 32)  # older sizes have made room
    assert latest in [each.nbytes for each in resources._blocks]
    empty_recycled((3 * ROWS, 64), torch.float32)
    assert 3 * LARGE not in [each.nbytes for each in resources._blocks]


def _in_child():
    empty_recycled((ROWS, 64), torch.float32)
    assert len(resources._blocks) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_begins_anew_though_a_thread_of_its_parent_was_at_it():
    first = empty_recycled((ROWS, 64), torch.float32).fill_(7)
    with resources._lock:
        child = multiprocessing.get_context("fork").Process(target=_in_child)
        child.start()
    child.join(60)
    assert child.exitcode == 0
    assert bool((first == 7).all())


def test_without_the_interpreters_lock_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(resources, "_COUNTED", False)
    empty_recycled((ROWS, 64), torch.float32)
    assert resources._blocks == []


def test_small_and_other_types_are_pytorchs_own():
    assert empty_recycled((3, 2), torch.float32).shape == (3, 2)
    assert empty_recycled((ROWS, 64), torch.int64).dtype == torch.int64
    assert resources._blocks == []
