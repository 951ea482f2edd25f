"""Attention over the entries of a row, against a loop over the nodes written out here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from graphkit.operators.attention import (
    attend,
    attend_reference,
    attention_weights,
    entry_softmax,
    gatv2_scores,
    gatv2_scores_reference,
)
from graphkit.operators.pattern import Pattern
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO, pattern_of

close = torch.testing.assert_close
HEADS, FEATURES = 2, 3


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs_of(graph):
    nodes, edges = graph.num_nodes, graph.num_edges
    return {
        "score_row": numbers(nodes, HEADS, seed=1),
        "score_column": numbers(nodes, HEADS, seed=2),
        "x": numbers(nodes, HEADS, FEATURES, seed=3),
        "score_entry": numbers(edges, HEADS, seed=4),
        "keep": 2 * (numbers(edges, HEADS, seed=5) > 0).double(),
    }


def looped(pattern, score_row, score_column, x, score_entry=None, slope=0.2, keep=None):
    """The definition, node by node and head by head."""
    pointers, columns = (part.tolist() for part in (pattern.indptr, pattern.indices))
    out = torch.zeros(pattern.shape[0], HEADS, FEATURES, dtype=torch.float64)
    weights = torch.zeros(pattern.entries, HEADS, dtype=torch.float64)
    for i in range(pattern.shape[0]):
        entries = range(pointers[i], pointers[i + 1])
        for h in range(HEADS if entries else 0):
            scores = [
                score_row[i, h] + score_column[columns[k], h] + (0 if score_entry is None else score_entry[k, h])
                for k in entries
            ]
            alpha = F.leaky_relu(torch.stack(scores), slope).softmax(0)
            for k, a in zip(entries, alpha, strict=True):
                weights[k, h] = a
                out[i, h] += a * (1 if keep is None else keep[k, h]) * x[columns[k], h]
    return out, weights


@pytest.mark.parametrize("without", [(), ("keep",), ("score_entry",), ("keep", "score_entry")], ids=str)
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_fused_pass_is_the_loop(graph, without):
    pattern = pattern_of(graph)
    inputs = {name: value for name, value in inputs_of(graph).items() if name not in without}
    out, weights = looped(pattern, **inputs)
    close(attend(pattern, **inputs), out, **EXACT)
    scores = (inputs["score_row"], inputs["score_column"], inputs.get("score_entry"), 0.2)
    close(attention_weights(pattern, *scores), weights, **EXACT)


def test_its_first_derivatives_are_those_of_the_composition_and_its_second_are_right():
    for name in ("self-loops", "duplicate edges", "isolated nodes"):
        graph = BY_NAME[name]
        pattern = pattern_of(graph)
        inputs = [value.clone().requires_grad_() for value in inputs_of(graph).values()]

        def fused(r, c, x, e, k, pattern=pattern):
            return attend(pattern, r, c, x, score_entry=e, keep=k)

        def composed(r, c, x, e, k, pattern=pattern):
            return attend_reference(r, c, x, e, k, 0.2, pattern)

        upstream = numbers(graph.num_nodes, HEADS, FEATURES, seed=9)
        gradients = [torch.autograd.grad(each(*inputs), inputs, upstream) for each in (fused, composed)]
        close(*gradients, **EXACT)
        assert torch.autograd.gradcheck(fused, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(fused, inputs, fast_mode=True)


def test_tasks_may_be_stacked_over_any_input():
    graph = BY_NAME["self-loops"]
    pattern, inputs = pattern_of(graph), inputs_of(graph)
    order = ("score_row", "score_column", "x", "score_entry", "keep")
    for stacked in [{"x"}, {"score_row", "score_entry"}, set(order) - {"keep"}]:
        dims = tuple(0 if name in stacked else None for name in order)
        many = [torch.stack([inputs[n], 2 * inputs[n]]) if n in stacked else inputs[n] for n in order]

        def energy(r, c, x, e, k):
            return attend(pattern, r, c, x, score_entry=e, keep=k).square().sum()

        place = dims.index(0)
        found = vmap(grad(energy, argnums=place), dims)(*many)
        for task in range(2):
            own = [value[task] if dim == 0 else value for value, dim in zip(many, dims, strict=True)]
            close(found[task], grad(energy, argnums=place)(*own), **EXACT)


def test_scores_beyond_the_range_of_exp_are_shifted():
    graph = BY_NAME["complete"]
    inputs = {**inputs_of(graph), "keep": None}
    inputs["score_column"] = 1e4 * inputs["score_column"]
    out, _ = looped(pattern_of(graph), **inputs)
    close(attend(pattern_of(graph), **inputs), out, **EXACT)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_a_rows_softmax_is_torchs(graph):
    pattern = pattern_of(graph)
    scores = numbers(graph.num_edges, HEADS).requires_grad_()
    pointers = pattern.indptr.tolist()
    rows = [scores[a:b].softmax(0) for a, b in itertools.pairwise(pointers)]
    expected = torch.cat(rows) if rows else scores * 0
    close(entry_softmax(pattern, scores), expected, **EXACT)
    assert torch.autograd.gradcheck(lambda s: entry_softmax(pattern, s), (scores,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda s: entry_softmax(pattern, s), (scores,), fast_mode=True)


def test_the_softmax_of_half_precision_is_that_of_float32():
    graph = BY_NAME["grid"]
    scores = numbers(graph.num_edges, HEADS).bfloat16()
    found = entry_softmax(pattern_of(graph), scores)
    assert found.dtype == torch.bfloat16
    close(found.float(), entry_softmax(pattern_of(graph), scores.float()), rtol=0.02, atol=0)


@pytest.mark.parametrize("with_entry", [False, True])
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_dynamic_score_is_its_formula(graph, with_entry):
    pattern, nodes = pattern_of(graph), graph.num_nodes
    left, right = numbers(nodes, HEADS, FEATURES, seed=1), numbers(nodes, HEADS, FEATURES, seed=2)
    att = numbers(HEADS, FEATURES, seed=3)
    term = numbers(graph.num_edges, HEADS, FEATURES, seed=4) if with_entry else None
    rows, columns = pattern.rows(), pattern.indices.long()
    z = left[rows] + right[columns] + (0 if term is None else term)
    expected = (F.leaky_relu(z, 0.2) * att).sum(-1)
    close(gatv2_scores(pattern, left, right, att, entry_term=term), expected, **EXACT)
    close(gatv2_scores_reference(left, right, att, term, 0.2, pattern), expected, **EXACT)


def test_the_dynamic_score_has_right_first_and_second_derivatives():
    graph = BY_NAME["self-loops"]
    pattern = pattern_of(graph)
    shapes = [(4, HEADS, FEATURES), (4, HEADS, FEATURES), (HEADS, FEATURES), (6, HEADS, FEATURES)]
    inputs = [numbers(*shape, seed=k).requires_grad_() for k, shape in enumerate(shapes)]

    def scores(left, right, att, term):
        return gatv2_scores(pattern, left, right, att, entry_term=term)

    assert torch.autograd.gradcheck(scores, inputs)
    assert torch.autograd.gradgradcheck(scores, inputs)


def test_a_bipartite_pattern_attends_from_targets_to_sources():
    pattern = Pattern.from_coo(np.array([0, 0, 1]), np.array([3, 1, 2]), (2, 4))
    inputs = {
        "score_row": numbers(2, HEADS),
        "score_column": numbers(4, HEADS, seed=1),
        "x": numbers(4, HEADS, FEATURES, seed=2),
    }
    close(attend(pattern, **inputs), looped(pattern, **inputs)[0], **EXACT)
