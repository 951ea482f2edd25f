"""Similarity under a condition: masks and projections, their gradients, four people who are near and far at once."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from graphkit.metric import ConditionalSimilarity, ContextSimilarity, evaluate_conditions, evaluate_retrieval


@pytest.mark.parametrize("kind", ["mask", "projection"])
def test_one_condition_for_all_rows_is_that_condition_in_each(kind, generator):
    similarity = ConditionalSimilarity(5, 3, kind=kind, generator=generator).double()
    torch.nn.init.normal_(similarity.weight, generator=generator)
    z = torch.randn(4, 5, generator=generator).double()
    for condition in range(3):
        rows = similarity(z, torch.full((4,), condition))
        torch.testing.assert_close(rows, similarity(z, condition))
        torch.testing.assert_close(rows, similarity.all(z)[condition])


def test_masks_are_never_negative_and_projections_start_as_nothing(generator):
    z = torch.randn(6, 4, generator=generator)
    mask = ConditionalSimilarity(4, 2, generator=generator)
    with torch.no_grad():
        mask.weight[0] = torch.tensor([-1.0, 0.0, 2.0, 1.0])
    assert torch.equal(mask(z, 0), z * torch.tensor([0.0, 0.0, 2.0, 1.0]))
    torch.testing.assert_close(ConditionalSimilarity(4, 2, kind="projection")(z, 1), z)


def test_disjoint_masks_share_no_feature_and_use_all():
    weight = ConditionalSimilarity(7, 3, disjoint=True).weight
    assert torch.equal(weight.sum(0), torch.ones(7))
    assert (weight.sum(1) >= 2).all()


@pytest.mark.parametrize("kind", ["mask", "projection"])
def test_gradients_are_right_twice(kind, generator):
    similarity = ConditionalSimilarity(3, 2, kind=kind, generator=generator).double()
    z = torch.randn(4, 3, generator=generator).double().requires_grad_()
    condition = torch.tensor([0, 1, 1, 0])
    weight = (similarity.weight.detach().abs() + 0.1).requires_grad_()

    def forward(z, weight):
        return torch.func.functional_call(similarity, {"weight": weight}, (z, condition))

    assert torch.autograd.gradcheck(forward, (z, weight))
    assert torch.autograd.gradgradcheck(forward, (z, weight))


def test_it_is_copied_pickled_and_loaded(generator):
    similarity = ConditionalSimilarity(4, 2, generator=generator)
    z = torch.randn(3, 4, generator=generator)
    other = ConditionalSimilarity(4, 2)
    other.load_state_dict(similarity.state_dict())
    for twin in (copy.deepcopy(similarity), pickle.loads(pickle.dumps(similarity)), other):
        assert torch.equal(twin(z, 1), similarity(z, 1))
    assert repr(similarity) == "ConditionalSimilarity(4, 2, kind='mask')"


def test_penalties_are_the_papers():
    similarity = ConditionalSimilarity(2, 1)
    with torch.no_grad():
        similarity.weight.copy_(torch.tensor([[-3.0, 1.0]]))
    masks, lengths = similarity.penalty(torch.tensor([[3.0, 4.0]]))
    assert (masks.item(), lengths.item()) == (0.5, 12.5)


def test_four_people_are_near_as_gender_and_far_as_names():
    """Two genders and two names: the first and the second share the gender, the first and the third the name."""
    labels = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    person = torch.cat([torch.eye(2)[labels[:, 0]], torch.eye(2)[labels[:, 1]]], dim=1)
    seen = ConditionalSimilarity(4, 2, disjoint=True).all(person).detach()
    found = evaluate_conditions(seen, labels)
    assert [[each.map_at_r for each in row] for row in found] == [[1.0, 0.0], [0.0, 1.0]]


def test_conditions_are_judged_by_every_attribute_and_missing_values_left_out(generator):
    seen = torch.randn(2, 12, 3, generator=generator)
    y = torch.randint(0, 2, (12, 3), generator=generator)
    y[::4, 1] = -1
    rows = evaluate_conditions(seen, y, queries=torch.arange(6))
    assert [len(row) for row in rows] == [3, 3]
    expected = evaluate_retrieval(seen[1], y[:, 1], queries=torch.arange(6), cuts=[1], metrics=["ranking"])
    assert rows[1][1] == expected
    with pytest.raises(ValueError, match="`embeddings` must have shape"):
        evaluate_conditions(seen[0], y)


def test_a_context_is_a_mask_computed_from_it(generator):
    similarity = ContextSimilarity(3, 2).double()
    z, anchor = torch.randn(4, 3, generator=generator).double(), torch.randn(2, generator=generator).double()
    assert torch.equal(similarity(z, anchor), z)
    torch.nn.init.normal_(similarity.mask.weight, generator=generator)
    mask = (similarity.mask.weight @ anchor + 1).relu()
    torch.testing.assert_close(similarity(z, anchor), z * mask)
    torch.testing.assert_close(similarity(z, anchor.expand(4, 2)), z * mask)
    assert torch.autograd.gradcheck(similarity, (z.requires_grad_(), anchor.requires_grad_()))


WRONG = {
    "no condition": (lambda: ConditionalSimilarity(3, 0), "`conditions` must be an integer of at least 1"),
    "kind": (lambda: ConditionalSimilarity(3, 1, kind="masks"), "Did you mean 'mask'"),
    "too narrow": (lambda: ConditionalSimilarity(2, 3, disjoint=True), "`disjoint` masks need 3 features"),
    "unknown": (lambda: ConditionalSimilarity(2, 2)(torch.eye(2), 2), "`condition` must lie in 0 to 1, got 2"),
    "unknown row": (
        lambda: ConditionalSimilarity(2, 2)(torch.eye(2), torch.tensor([0, -1])),
        "`condition` must lie in 0 to 1",
    ),
    "length": (lambda: ConditionalSimilarity(2, 2)(torch.eye(2), torch.tensor([0])), r"`condition` must have shape"),
    "context": (lambda: ContextSimilarity(2, 3)(torch.eye(2), torch.ones(2)), r"`context` must have shape \[3\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused(case):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()
