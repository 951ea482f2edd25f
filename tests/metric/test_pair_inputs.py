"""Who is compared with whom: nobody, halves, numbers too large, and arguments that are refused in words everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from graphkit.metric import (
    AnomalyScorer,
    BatchHardMiner,
    CircleLoss,
    ConditionalSimilarity,
    ContextSimilarity,
    ContrastiveLoss,
    DistanceWeightedMiner,
    HardQuadrupletMiner,
    InfoNCELoss,
    MultiSimilarityLoss,
    MultiSimilarityMiner,
    PrototypeLoss,
    QuadrupletLoss,
    SemiHardMiner,
    SupervisedContrastiveLoss,
    TripletLoss,
    class_prototypes,
    evaluate_conditions,
    evaluate_retrieval,
    nearest_items,
    pairwise_distances,
    telemetry,
)

LOSSES = {
    "contrastive": ContrastiveLoss,
    "triplet": TripletLoss,
    "soft triplet": lambda **options: TripletLoss(soft=True, **options),
    "quadruplet": QuadrupletLoss,
    "adaptive quadruplet": lambda **options: QuadrupletLoss(adaptive=True, **options),
    "infonce": InfoNCELoss,
    "supcon": SupervisedContrastiveLoss,
    "multi-similarity": MultiSimilarityLoss,
    "circle": CircleLoss,
}
MINERS = [BatchHardMiner, SemiHardMiner, DistanceWeightedMiner, MultiSimilarityMiner, HardQuadrupletMiner]
Z, Y = torch.eye(4), torch.tensor([0, 0, 1, 1])
BOTH = torch.stack([Y, Y.roll(1)], 1)


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("name", LOSSES)
def test_nobody_to_compare_with_is_a_zero_loss_with_a_gradient_and_is_counted(name, mode, others):
    loss, z = LOSSES[name](differentiable=mode), Z.clone().requires_grad_()
    reference = torch.ones(others, 4), torch.full((others,), -1)
    value = loss(z, Y, reference=reference)
    value.backward()
    assert (value.item(), loss.empty) == (0, 1)
    assert z.grad is None or not z.grad.any()
    found = loss.report(Z, Y, reference=reference)
    assert found.active == 0
    assert math.isnan(found.positives)


@pytest.mark.parametrize("miner", MINERS)
def test_a_miner_finds_no_tuple_where_nobody_is_to_compare_with(miner):
    for others in (0, 3):
        found = miner()(Z, Y, torch.ones(others, 4), torch.full((others,), -1))
        assert [len(rows) for rows in found] == [0] * len(found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [*LOSSES, "prototype"])
def test_of_half_precision_both_modes_return_single(generator, name, dtype):
    z, y = torch.randn(20, 8, generator=generator).to(dtype), torch.arange(20) % 4
    for mode in ("once", "twice"):
        loss = PrototypeLoss() if name == "prototype" else LOSSES[name](differentiable=mode)
        torch.testing.assert_close(loss(z, y), loss(z.float(), y))
    assert evaluate_retrieval(z, y, metrics=["ranking"]) == evaluate_retrieval(z.float(), y, metrics=["ranking"])


@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("name", ["contrastive", "triplet", "quadruplet"])
def test_embeddings_whose_distances_overflow_are_refused_and_by_cosine_taken(name, mode):
    for distance in ("euclidean", "squared", "dot"):
        with pytest.raises(ValueError, match=r"`z` holds 1e\+30, too much for distances in torch\.float32"):
            LOSSES[name](distance=distance, differentiable=mode)(Z * 1e30, Y)
    cosine = LOSSES[name](distance="cosine", differentiable=mode)
    torch.testing.assert_close(cosine(Z * 1e30, Y), cosine(Z, Y))
    assert LOSSES[name](differentiable=mode)(Z.double() * 1e30, Y).isfinite()


def test_numbers_of_numpy_are_numbers():
    assert TripletLoss(np.float32(0.25))(Z, Y) == TripletLoss(0.25)(Z, Y)
    assert InfoNCELoss(np.float64(0.5))(Z, Y) == InfoNCELoss(0.5)(Z, Y)
    assert ContrastiveLoss()(Z, BOTH, condition=np.int64(1)) == ContrastiveLoss()(Z, BOTH[:, 1])


def test_the_nearest_never_lie_closer_than_nothing(generator):
    z = torch.randn(50, 7, generator=generator).repeat(2, 1)
    assert nearest_items(z, 3).distances.min() == 0


WRONG = {
    "list of labels": (lambda: TripletLoss()(Z, [0, 0, 1, 1]), TypeError, "`y` must be a tensor, got list"),
    "array": (lambda: InfoNCELoss()(Z.numpy(), Y), TypeError, "`z` must be a tensor, got ndarray"),
    "array among others": (
        lambda: TripletLoss()(Z, Y, reference=(Z.numpy(), Y)),
        TypeError,
        "`reference` must be a tensor",
    ),
    "list of labels of others": (lambda: TripletLoss()(Z, Y, reference=(Z, [0])), TypeError, "`reference labels` must"),
    "lists of rows": (lambda: TripletLoss()(Z, pairs=([0], [1], [2])), TypeError, "`pairs` must be a tensor"),
    "array to a miner": (lambda: BatchHardMiner()(Z.numpy(), Y), TypeError, "`z` must be a tensor"),
    "array to measure": (lambda: pairwise_distances(Z.numpy()), TypeError, "`z` must be a tensor"),
    "no reduction": (lambda: TripletLoss(reduction=None), TypeError, "`reduction` must be a name, got None"),
    "miner by name": (lambda: TripletLoss(miner="hard"), TypeError, r"`miner` must be a miner, such as BatchHardMiner"),
    "NaN base": (lambda: MultiSimilarityLoss(base=math.nan), ValueError, "`base` must be finite"),
    "no temperature": (lambda: PrototypeLoss(None), ValueError, "`temperature` must be a finite number above 0"),
    "infinite temperature": (lambda: PrototypeLoss(math.inf), ValueError, "`temperature` must be a finite number"),
    "telemetry of others": (lambda: telemetry(Z, Y, reference=Z), ValueError, r"`reference` must be \(embeddings, lab"),
    "telemetry of another width": (
        lambda: telemetry(Z, Y, reference=(Z[:, :2], Y)),
        ValueError,
        "`reference` must have 4 features",
    ),
    "condition by name": (
        lambda: ConditionalSimilarity(4, 2)(Z, "gender"),
        ValueError,
        "`condition` must lie in 0 to 1, got 'gender'",
    ),
    "no condition": (lambda: ConditionalSimilarity(4, 2)(Z, None), ValueError, "`condition` must lie in 0 to 1"),
    "real condition": (lambda: ConditionalSimilarity(4, 2)(Z, 1.0), ValueError, "`condition` must lie in 0 to 1"),
    "true condition": (lambda: ConditionalSimilarity(4, 2)(Z, True), ValueError, "`condition` must lie in 0 to 1"),
    "real condition of a loss": (
        lambda: TripletLoss()(Z, BOTH, condition=1.0),
        ValueError,
        "`condition` must lie in 0 to 1, got 1.0",
    ),
    "width under a condition": (
        lambda: ConditionalSimilarity(3, 2)(Z, 0),
        ValueError,
        r"`z` must have shape \[items, 3\], got \[4, 4\]",
    ),
    "width under all": (lambda: ConditionalSimilarity(3, 2).all(Z), ValueError, r"`z` must have shape \[items, 3\]"),
    "width in a context": (lambda: ContextSimilarity(3, 4)(Z, Z), ValueError, r"`z` must have shape \[items, 3\]"),
    "context by name": (lambda: ContextSimilarity(4, 4)(Z, "work"), TypeError, "`context` must be a tensor"),
    "more conditions than attributes": (
        lambda: evaluate_conditions(torch.stack([Z, Z, Z]), BOTH),
        ValueError,
        r"`embeddings` must have a condition for an attribute of `y` \(2\), got 3",
    ),
    "list of queries": (lambda: evaluate_retrieval(Z, Y, queries=[0, 1]), TypeError, "`queries` must be a tensor"),
    "list of pairs": (lambda: evaluate_retrieval(Z, Y, exclude=[[0], [1]]), TypeError, "`exclude` must be a tensor"),
    "one cut": (
        lambda: evaluate_retrieval(Z, Y, cuts=5),
        TypeError,
        r"`cuts` must be a list such as \[1, 5, 10\], got",
    ),
    "one figure": (
        lambda: evaluate_retrieval(Z, Y, metrics="ranking"),
        TypeError,
        r"`metrics` must be a list such as \['ranking', 'knn'\], got 'ranking'",
    ),
    "one class": (
        lambda: evaluate_retrieval(Z, Y * 0, metrics=["probe"]),
        ValueError,
        "leave 'probe' out of `metrics`",
    ),
    "list of anomalies": (
        lambda: AnomalyScorer().fit(Z).detection(Z, [True, False, True, False]),
        TypeError,
        "`anomalous` must be a tensor",
    ),
    "prototypes of NaN": (lambda: class_prototypes(Z * math.nan, Y), ValueError, "`z` must be finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("options", [{}, {"distance": "cosine"}, {"distance": "dot"}], ids=["own", "cosine", "dot"])
@pytest.mark.parametrize("name", LOSSES)
def test_under_autocast_a_loss_and_its_gradient_are_those_of_single_precision(generator, name, options, mode):
    z, y = torch.randn(20, 8, generator=generator).requires_grad_(), torch.arange(20) % 4
    loss = LOSSES[name](differentiable=mode, **options)
    expected = loss(z, y)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(z, y)
        assert loss.report(z, y) == LOSSES[name](differentiable=mode, **options).report(z, y)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, z)[0] for value in (found, expected)))


@pytest.mark.parametrize("name", [*LOSSES, "prototype"])
def test_a_loss_may_be_looked_at_in_inference_mode(generator, name):
    z, y = torch.randn(20, 8, generator=generator), torch.arange(20) % 4
    loss = PrototypeLoss() if name == "prototype" else LOSSES[name]()
    expected, told = loss(z, y), loss.report(z, y)
    with torch.inference_mode():
        torch.testing.assert_close(loss(z, y), expected)
        assert loss.report(z, y) == told


@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_reference_of_another_precision_takes_both_to_the_wider(generator, name, mode):
    z, y = torch.randn(12, 4, generator=generator), torch.arange(12) % 3
    loss, others = LOSSES[name](differentiable=mode), z.double() + 1
    torch.testing.assert_close(loss(z, y, reference=(others, y)), loss(z.double(), y, reference=(others, y)))
