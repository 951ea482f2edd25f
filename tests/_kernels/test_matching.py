"""Matching and contraction on plain arrays, against loops."""

from __future__ import annotations

import numpy as np

from graphkit._kernels import matching


def test_a_node_takes_its_free_neighbour_of_the_highest_score_and_of_equals_the_first_in_rank():
    # A star of node 0 with 1, 2 and 3; 2 and 3 score alike.
    pointers, columns = np.array([0, 3, 4, 5, 6]), np.array([1, 2, 3, 0, 0, 0])
    scores, partner = np.array([1.0, 2.0, 2.0, 1.0, 2.0, 2.0]), np.full(4, -1)
    matching.match(0, 4, np.array([0, 1, 2, 3]), pointers, columns, scores, np.array([0, 1, 3, 2]), partner)
    assert partner.tolist() == [3, 1, 2, 0]


def test_a_score_of_zero_is_a_partner_too():
    partner = np.full(2, -1)
    matching.match(0, 2, np.arange(2), np.array([0, 1, 2]), np.array([1, 0]), np.zeros(2), np.arange(2), partner)
    assert partner.tolist() == [1, 0]


def test_contraction_sums_rows_and_columns_and_leaves_out_the_inside():
    matrix = np.array([[0.0, 1, 2, 0], [1, 0, 4, 8], [2, 4, 0, 16], [0, 8, 16, 0]])
    rows, columns = matrix.nonzero()
    pointers = np.concatenate(([0], np.cumsum(np.bincount(rows))))
    cluster, seen = np.array([0, 1, 0, 2]), np.full(3, -1)
    out_pointers, out_columns, out = np.zeros(4, int), np.empty_like(columns), np.empty(len(rows))
    members, starts = np.argsort(cluster, kind="stable"), np.array([0, 2, 3, 4])
    values = matrix[rows, columns]
    matching.contract(0, 3, starts, members, cluster, pointers, columns, values, seen, out_pointers, out_columns, out)
    found = np.zeros((3, 3))
    for c in range(3):
        entries = slice(out_pointers[c], out_pointers[c + 1])
        assert len(set(out_columns[entries])) == entries.stop - entries.start
        found[c, out_columns[entries]] = out[entries]
    assign = np.eye(3)[cluster]
    expected = assign.T @ matrix @ assign
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(found, expected)
