"""Sorting into compressed rows against SciPy, and the fingerprint that tells edge lists apart."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graphkit._kernels.csr_layout import coo_to_csr, fingerprint, transpose_csr


@st.composite
def coordinates(draw):
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    entries = draw(st.integers(0, 40))
    rows, columns = (draw(arrays.arrays(np.int64, entries, elements=st.integers(0, n - 1))) for n in shape)
    return rows, columns, shape


def scipys(rows, columns, shape):
    """SciPy's CSR with every entry's number as its value; duplicates would add up, so they get digits of their own."""
    return scipy.sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).toarray()


@pytest.mark.parametrize("index", [np.int32, np.int64])
@given(given=coordinates())
def test_entries_are_sorted_by_row_then_column_then_place(index, given):
    rows, columns, shape = given
    pointers, sorted_columns, order = coo_to_csr(rows, columns, shape, index)
    assert pointers.dtype == sorted_columns.dtype == order.dtype == index
    expected = np.lexsort((np.arange(len(rows)), columns, rows))
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(sorted_columns, columns[expected])
    np.testing.assert_array_equal(np.diff(pointers), np.bincount(rows, minlength=shape[0]))
    matrix = scipy.sparse.csr_array((np.ones(len(rows)), sorted_columns, pointers), shape=shape)
    np.testing.assert_array_equal(matrix.toarray(), scipys(rows, columns, shape))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@given(given=coordinates())
def test_the_transpose_is_scipys_and_knows_where_each_entry_was(index, given):
    rows, columns, shape = given
    pointers, sorted_columns, _ = coo_to_csr(rows, columns, shape, index)
    turned, places, position = transpose_csr(pointers, sorted_columns, shape[1])
    values = np.arange(1.0, len(rows) + 1)
    matrix = scipy.sparse.csr_array((values, sorted_columns, pointers), shape=shape)
    transpose = scipy.sparse.csr_array((values[position], places, turned), shape=shape[::-1])
    np.testing.assert_array_equal(transpose.toarray(), matrix.toarray().T)
    assert sorted(position.tolist()) == list(range(len(rows)))
    back = transpose_csr(turned, places, shape[0])
    np.testing.assert_array_equal(back[0], pointers)
    np.testing.assert_array_equal(back[1], sorted_columns)


def test_int32_coordinates_are_sorted_too():
    rows, columns = np.array([1, 0], np.int32), np.array([0, 1], np.int32)
    pointers, sorted_columns, order = coo_to_csr(rows, columns, (2, 2), np.int32)
    assert (pointers.tolist(), sorted_columns.tolist(), order.tolist()) == ([0, 1, 2], [1, 0], [1, 0])


words = arrays.arrays(np.int64, st.integers(1, 30), elements=st.integers(-(2**63), 2**63 - 1))


@given(words=words, data=st.data())
def test_a_changed_value_changes_the_fingerprint(words, data):
    changed = words.copy()
    place = data.draw(st.integers(0, len(words) - 1))
    changed[place] = data.draw(st.integers(-(2**63), 2**63 - 1).filter(lambda v: v != words[place]))
    assert fingerprint(words) == fingerprint(words.copy())
    assert fingerprint(words) != fingerprint(changed)


@given(words=words, data=st.data())
def test_two_exchanged_values_change_the_fingerprint(words, data):
    a, b = (data.draw(st.integers(0, len(words) - 1)) for _ in range(2))
    exchanged = words.copy()
    exchanged[[a, b]] = words[[b, a]]
    assert (fingerprint(words) == fingerprint(exchanged)) is bool(words[a] == words[b])


def test_small_edits_of_a_real_edge_list_never_collide():
    """All 4,000 lists that differ from one in a single end, by one node."""
    edges = np.random.default_rng(0).integers(100, size=2000)
    prints = {fingerprint(edges)}
    for place in range(2000):
        for step in (-1, 1):
            edges[place] += step
            prints.add(fingerprint(edges))
            edges[place] -= step
    assert len(prints) == 4001


def test_leading_zeros_and_length_matter():
    assert len({fingerprint(np.zeros(n, np.int64)) for n in range(1, 50)}) > 1
    assert fingerprint(np.array([0, 5])) != fingerprint(np.array([5, 0]))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_other_word_sizes_have_fingerprints_too(dtype):
    words = np.arange(9, dtype=dtype)
    assert fingerprint(words) != fingerprint(words[::-1].copy())
