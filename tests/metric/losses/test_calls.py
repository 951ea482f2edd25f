"""How losses are called: tuples, others, conditions, miners, modes; what they refuse; peers in their place."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import pytest
import torch

from graphkit.metric import (
    BatchHardMiner,
    CircleLoss,
    ConditionalSimilarity,
    ContrastiveLoss,
    HardQuadrupletMiner,
    InfoNCELoss,
    MultiSimilarityLoss,
    MultiSimilarityMiner,
    QuadrupletLoss,
    SemiHardMiner,
    SupervisedContrastiveLoss,
    TripletLoss,
    pairwise_distances,
)
from graphkit.metric.blockwise import row_blocks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets

LOSSES = {
    "contrastive": ContrastiveLoss,
    "triplet": TripletLoss,
    "soft triplet": lambda **options: TripletLoss(soft=True, **options),
    "quadruplet": QuadrupletLoss,
    "infonce": InfoNCELoss,
    "supcon": SupervisedContrastiveLoss,
    "multi-similarity": MultiSimilarityLoss,
    "circle": CircleLoss,
}


@pytest.fixture
def z(generator):
    return torch.randn(9, 4, generator=generator).double().requires_grad_()


@pytest.fixture
def y():
    return torch.tensor([0, 0, 1, 1, 2, 2, 0, 1, 2])


@pytest.mark.parametrize("name", LOSSES)
def test_once_is_refused_a_second_time_and_twice_is_not(z, y, name):
    """A loss that kept its gradient would silently make MAML a first-order method."""
    inner = (z * z.detach().roll(1)).tanh()
    step = torch.autograd.grad(LOSSES[name]()(inner, y), z, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="make it with differentiable='twice'"):
        step.square().sum().backward()
    twice = LOSSES[name](differentiable="twice")
    step = torch.autograd.grad(twice((z * z.detach().roll(1)).tanh(), y), z, create_graph=True)[0]
    assert torch.autograd.grad(step.square().sum(), z)[0].isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_torch_func_sees_through_the_mode_that_is_differentiable_twice(z, y, name):
    once, twice = LOSSES[name](), LOSSES[name](differentiable="twice")
    found = torch.func.grad(lambda z: twice(z, y))(z.detach())
    torch.testing.assert_close(found, torch.autograd.grad(once(z, y), z)[0], atol=1e-12, rtol=1e-12)
    both = torch.stack([z.detach(), z.detach().flip(0)])
    one_by_one = torch.stack([torch.func.grad(lambda z: twice(z, y))(each) for each in both])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(lambda z: twice(z, y)))(both), one_by_one)
    with pytest.raises(ValueError, match="make the loss with differentiable='twice'"):
        torch.func.grad(lambda z: once(z, y))(z.detach())


@pytest.mark.parametrize("name", ["triplet", "infonce"])
def test_an_inner_step_of_maml_has_the_gradient_of_finite_differences(y, generator, name):
    loss = LOSSES[name](differentiable="twice")
    x = torch.randn(9, 3, generator=generator).double()
    start = torch.randn(3, 4, generator=generator).double().requires_grad_()

    def outer(weight):
        step = torch.autograd.grad(loss((x @ weight).tanh(), y), weight, create_graph=True)[0]
        return loss((x @ (weight - 0.1 * step)).tanh(), y)

    assert torch.autograd.gradcheck(outer, start)


@pytest.mark.parametrize("name", LOSSES)
def test_many_blocks_give_what_one_gives(generator, monkeypatch, name):
    z, y = torch.randn(40, 4, generator=generator).double().requires_grad_(), torch.arange(40) % 4
    whole = torch.autograd.grad(LOSSES[name]()(z, y), z)[0]
    for place in ("blockwise", "losses.quadruplet"):
        monkeypatch.setattr(f"graphkit.metric.{place}.BLOCK", 7 * 40)
    assert len(row_blocks(40, 40, 7 * 40)) == 6
    torch.testing.assert_close(torch.autograd.grad(LOSSES[name]()(z, y), z)[0], whole, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        (name, distance)
        for name in LOSSES
        for distance in ("cosine", "dot", "euclidean", "squared")[: 2 if name in ("multi-similarity", "circle") else 4]
    ],
)
def test_without_kernels_as_on_an_accelerator_the_result_is_the_same(z, y, monkeypatch, name, distance):
    loss, others = LOSSES[name](distance=distance), (z.detach().flip(0) + 0.1, y.roll(1))
    values, report = [loss(z, y), loss(z, y, reference=others)], loss.report(z, y)
    gradients = [torch.autograd.grad(value, z)[0] for value in values]
    monkeypatch.setattr("graphkit.metric.blockwise.KERNEL_DEVICES", ())
    found = [loss(z, y), loss(z, y, reference=others)]
    torch.testing.assert_close(found, values, atol=1e-12, rtol=1e-12)
    assert loss.report(z, y).active == report.active
    torch.testing.assert_close([torch.autograd.grad(value, z)[0] for value in found], gradients, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[], [-1, -1], [3], [0, 1]], ids=["empty", "unlabelled", "one", "singletons"])
def test_no_tuple_is_a_zero_loss_with_a_gradient_and_is_counted(name, labels):
    z = torch.randn(len(labels), 3, requires_grad=True)
    y = torch.tensor(labels, dtype=torch.int64)
    for mode in ("once", "twice"):
        loss = LOSSES[name](differentiable=mode)
        value = loss(z, y)
        z.grad = None
        value.backward()
        if (name, labels) not in [("contrastive", [0, 1]), ("multi-similarity", [0, 1])]:
            assert value.item() == 0
            assert loss.empty == 1
            assert z.grad is None or not z.grad.any()
        assert not value.isnan()


@pytest.mark.parametrize("name", LOSSES)
def test_single_precision_is_near_double_and_half_is_taken(generator, name):
    z, y = torch.randn(50, 8, generator=generator), torch.arange(50) % 5
    exact = LOSSES[name]()(z.double(), y).item()
    assert LOSSES[name]()(z, y).item() == pytest.approx(exact, rel=1e-4)
    half = z.bfloat16().requires_grad_()
    LOSSES[name]()(half, y).backward()
    assert half.grad.dtype == torch.bfloat16


def test_far_from_the_origin_single_precision_keeps_its_digits(generator):
    z, y = torch.randn(60, 8, generator=generator), torch.arange(60) % 3
    near, far = (part.clone().requires_grad_() for part in (z, z + 1024.0))
    for part in (near, far):
        TripletLoss(0.5)(part, y).backward()
    torch.testing.assert_close(far.grad, near.grad, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_copied_and_pickled(z, y, name):
    made = LOSSES[name]()
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other(z, y).item() == made(z, y).item()


def test_given_triplets_are_the_loop(z, y):
    chosen = Triplets(torch.tensor([0, 2, 2]), torch.tensor([1, 3, 3]), torch.tensor([2, 0, 0]))
    d = pairwise_distances(z)
    expected = (d[chosen.anchor, chosen.positive] - d[chosen.anchor, chosen.negative] + 0.5).relu()
    torch.testing.assert_close(TripletLoss(0.5)(z, pairs=chosen), expected.mean())
    torch.testing.assert_close(TripletLoss(0.5)(z, y, pairs=tuple(chosen)), expected.mean())
    assert torch.autograd.gradgradcheck(lambda z: TripletLoss(0.5)(z, pairs=chosen), z)


def test_given_pairs_are_the_loop_and_make_all_triplets_of_their_anchors(z):
    chosen = Pairs(torch.tensor([0, 2]), torch.tensor([1, 3]), torch.tensor([0, 2, 0]), torch.tensor([4, 5, 6]))
    d = pairwise_distances(z)
    squares = [d[0, 1] ** 2, d[2, 3] ** 2, *((1.5 - d[i, j]).relu() ** 2 for i, j in ((0, 4), (2, 5), (0, 6)))]
    torch.testing.assert_close(ContrastiveLoss(1.5)(z, pairs=chosen), sum(squares) / 10)
    terms = [(d[a, p] - d[a, n] + 0.5).relu() for a, p, n in ((0, 1, 4), (0, 1, 6), (2, 3, 5))]
    torch.testing.assert_close(TripletLoss(0.5)(z, pairs=chosen), sum(terms) / 3)


def test_given_quadruplets_are_the_loop(z, y):
    chosen = Quadruplets(*(torch.tensor(rows) for rows in ([0, 2], [1, 3], [2, 0], [4, 5])))
    d = pairwise_distances(z)
    first = [(d[a, p] - d[a, n] + 1.0).relu() for a, p, n in ((0, 1, 2), (2, 3, 0))]
    second = [(d[a, p] - d[n, s] + 0.5).relu() for a, p, n, s in ((0, 1, 2, 4), (2, 3, 0, 5))]
    torch.testing.assert_close(QuadrupletLoss(1.0, 0.5)(z, pairs=chosen), sum(first) / 2 + sum(second) / 2)
    with pytest.raises(ValueError, match="must be Quadruplets"):
        QuadrupletLoss()(z, pairs=Triplets(*chosen[:3]))
    with pytest.raises(ValueError, match="`adaptive` margins"):
        QuadrupletLoss(adaptive=True)(z, pairs=chosen)


@pytest.mark.parametrize("name", ["infonce", "supcon", "multi-similarity", "circle"])
def test_all_pairs_given_are_all_pairs_of_the_labels(z, y, name):
    same = (y[:, None] == y) & ~torch.eye(9, dtype=torch.bool)
    every = Pairs(*same.nonzero().unbind(1), *(y[:, None] != y).nonzero().unbind(1))
    torch.testing.assert_close(LOSSES[name]()(z, pairs=every), LOSSES[name]()(z, y))


@pytest.mark.parametrize(
    ("loss", "miner"),
    [
        (TripletLoss, BatchHardMiner()),
        (TripletLoss, SemiHardMiner(2.0)),
        (TripletLoss, MultiSimilarityMiner()),
        (ContrastiveLoss, BatchHardMiner("cosine")),
        (MultiSimilarityLoss, MultiSimilarityMiner()),
        (InfoNCELoss, BatchHardMiner()),
        (QuadrupletLoss, HardQuadrupletMiner()),
    ],
)
def test_a_miner_picks_what_is_looked_at(z, y, loss, miner):
    torch.testing.assert_close(loss(miner=miner)(z, y), loss()(z, y, pairs=miner(z, y)))
    others, labels = z.detach().flip(0) + 0.1, y.flip(0)
    found = loss(miner=miner)(z, y, reference=(others, labels))
    torch.testing.assert_close(found, loss()(z, y, pairs=miner(z, y, others, labels), reference=(others, labels)))


def test_any_function_may_be_the_distance(z, y):
    def manhattan(left, right):
        return (left[:, None] - right).abs().sum(-1)

    d = manhattan(z, z)
    terms = [
        (d[a, p] - d[a, n] + 0.2).relu()
        for a in range(9)
        for p in range(9)
        for n in range(9)
        if a != p and y[a] == y[p] and y[a] != y[n]
    ]
    torch.testing.assert_close(TripletLoss(0.2, distance=manhattan)(z, y), sum(terms) / len(terms))
    assert TripletLoss(0.2, distance=manhattan).report(z, y).active > 0


class TestConditions:
    """Four people: near as gender, far as names."""

    people = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])

    def test_a_condition_looks_at_its_attribute(self, z):
        for number in (0, 1):
            found = ContrastiveLoss()(z[:4], self.people, condition=number)
            torch.testing.assert_close(found, ContrastiveLoss()(z[:4], self.people[:, number]))

    def test_without_one_all_are_looked_at_each_through_its_own_eyes(self, z):
        similarity = ConditionalSimilarity(4, 2).double()
        seen = similarity.all(z[:4])
        expected = torch.stack([TripletLoss()(seen[c], self.people[:, c]) for c in (0, 1)]).mean()
        found = TripletLoss()(seen, self.people)
        torch.testing.assert_close(found, expected)
        found.backward()
        assert similarity.weight.grad.isfinite().all()

    def test_missing_values_take_no_part(self, z):
        missing = self.people.clone()
        missing[3, 1] = -1
        found = ContrastiveLoss()(z[:4], missing, condition=1)
        torch.testing.assert_close(found, ContrastiveLoss()(z[:3], self.people[:3, 1]))

    def test_others_have_attributes_too(self, z):
        others = (z[4:8], self.people)
        expected = ContrastiveLoss()(z[:4], self.people[:, 1], reference=(z[4:8], self.people[:, 1]))
        torch.testing.assert_close(ContrastiveLoss()(z[:4], self.people, reference=others, condition=1), expected)

    @pytest.mark.parametrize("condition", [2, -1, True, "name"])
    def test_an_unknown_condition_is_refused(self, z, condition):
        with pytest.raises(ValueError, match="`condition` must lie in 0 to 1"):
            ContrastiveLoss()(z[:4], self.people, condition=condition)


E, L = torch.eye(3), torch.tensor([0, 0, 1])
WRONG = {
    "no labels": (lambda: TripletLoss()(E), ValueError, "`y` must hold the labels"),
    "other length": (lambda: TripletLoss()(E, L[:2]), ValueError, r"`y` must have shape \[items\] = \[3\]"),
    "float labels": (lambda: TripletLoss()(E, L.float()), TypeError, "`y` must hold integers"),
    "NaN": (lambda: TripletLoss()(E * math.nan, L), ValueError, "`z` must be finite, but row 0"),
    "integers": (lambda: TripletLoss()(E.long(), L), TypeError, "`z` must hold floating-point numbers"),
    "no matrix": (lambda: TripletLoss()(E[0], L), ValueError, r"`z` must have shape \[items, features\]"),
    "reference without labels": (lambda: TripletLoss()(E, L, reference=E), ValueError, "without labels nothing"),
    "reference with None": (lambda: TripletLoss()(E, L, reference=(E, None)), ValueError, "without labels nothing"),
    "reference of attributes": (
        lambda: TripletLoss()(E, torch.stack([L, L], 1), reference=(E, L)),
        ValueError,
        "`reference` labels must have shape",
    ),
    "reference width": (lambda: TripletLoss()(E, L, reference=(E[:, :2], L)), ValueError, "must have 3 features"),
    "NaN reference": (lambda: TripletLoss()(E, L, reference=(E / 0, L)), ValueError, "`reference` must be finite"),
    "condition of one attribute": (lambda: TripletLoss()(E, L, condition=0), ValueError, "labels of several"),
    "pairs and conditions": (
        lambda: TripletLoss()(E, torch.stack([L, L], 1), pairs=(L, L, L)),
        ValueError,
        "and no `pairs`",
    ),
    "embeddings of other attributes": (
        lambda: TripletLoss()(torch.stack([E, E, E]), torch.stack([L, L], 1)),
        ValueError,
        "one embedding for each of the 2 attributes",
    ),
    "two tensors": (lambda: TripletLoss()(E, pairs=(L, L)), ValueError, "must hold 3 tensors"),
    "rows beyond": (lambda: TripletLoss()(E, pairs=(L, L, L + 9)), ValueError, "rows from 0 to 2"),
    "float rows": (lambda: TripletLoss()(E, pairs=(L, L, L.float())), TypeError, "`pairs` must hold integers"),
    "lengths of rows": (lambda: TripletLoss()(E, pairs=(L, L[:2], L)), ValueError, "of one length"),
    "quadruplets for pairs": (
        lambda: ContrastiveLoss()(E, pairs=Quadruplets(L, L, L, L)),
        ValueError,
        "pairs or triplets",
    ),
    "distance": (lambda: TripletLoss(distance="euclid"), ValueError, "Did you mean 'euclidean'"),
    "likeness": (lambda: CircleLoss(distance="euclidean"), ValueError, "`distance` 'euclidean' is not known"),
    "reduction": (lambda: TripletLoss(reduction="none"), ValueError, "`reduction` 'none' is not known"),
    "mode": (lambda: TripletLoss(differentiable="thrice"), ValueError, "Did you mean"),
    "temperature": (lambda: InfoNCELoss(0.0), ValueError, "`temperature` must be a finite number above 0"),
    "NaN temperature": (lambda: SupervisedContrastiveLoss(math.nan), ValueError, "`temperature` must be"),
    "alpha": (lambda: MultiSimilarityLoss(-1.0), ValueError, "`alpha` must be"),
    "scale": (lambda: CircleLoss(scale=math.nan), ValueError, "`scale` must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


class TestPeer:
    """pytorch-metric-learning's losses, miners and distances in place of ours, and ours in place of theirs."""

    @pytest.fixture
    def peer(self):
        pytest.importorskip("pytorch_metric_learning", reason="a peer of the `bench` extra")
        from pytorch_metric_learning import distances, losses, miners, reducers

        return {"distances": distances, "losses": losses, "miners": miners, "reducers": reducers}

    def test_their_averages_are_ours_by_name(self, peer, z, y):
        euclidean = peer["distances"].LpDistance(normalize_embeddings=False)
        theirs = peer["losses"].TripletMarginLoss(0.3, distance=euclidean)
        torch.testing.assert_close(TripletLoss(0.3, reduction="active")(z, y), theirs(z, y))
        theirs = peer["losses"].TripletMarginLoss(0.3, distance=euclidean, reducer=peer["reducers"].MeanReducer())
        torch.testing.assert_close(TripletLoss(0.3)(z, y), theirs(z, y))
        torch.testing.assert_close(InfoNCELoss(0.3)(z, y), peer["losses"].NTXentLoss(0.3)(z, y))
        torch.testing.assert_close(SupervisedContrastiveLoss(0.3)(z, y), peer["losses"].SupConLoss(0.3)(z, y))
        torch.testing.assert_close(MultiSimilarityLoss()(z, y), peer["losses"].MultiSimilarityLoss(2, 50, 0.5)(z, y))
        torch.testing.assert_close(CircleLoss(0.4)(z, y), peer["losses"].CircleLoss(0.4, 80)(z, y))

    def test_their_miner_and_distance_in_our_loss(self, peer, z, y):
        euclidean = peer["distances"].LpDistance(normalize_embeddings=False)
        miner = peer["miners"].BatchHardMiner(distance=euclidean)
        torch.testing.assert_close(TripletLoss(miner=miner)(z, y), TripletLoss(miner=BatchHardMiner())(z, y))
        torch.testing.assert_close(TripletLoss(distance=euclidean)(z, y), TripletLoss()(z, y))
        cosine = peer["distances"].CosineSimilarity()
        torch.testing.assert_close(TripletLoss(distance=cosine)(z, y), TripletLoss(distance="cosine")(z, y))

    def test_their_miner_is_not_shown_what_has_no_label(self, peer, z, y):
        missing = y.clone()
        missing[[0, 4]] = -1
        known, loss = missing >= 0, TripletLoss(miner=peer["miners"].BatchHardMiner())
        torch.testing.assert_close(loss(z, missing), loss(z[known], y[known]))
        others = (z.detach().flip(0) + 0.1, missing)
        expected = loss(z[known], y[known], reference=(others[0][known], y[known]))
        torch.testing.assert_close(loss(z, missing, reference=others), expected)

    def test_our_miner_in_their_loss(self, peer, z, y):
        euclidean = peer["distances"].LpDistance(normalize_embeddings=False)
        theirs = peer["losses"].TripletMarginLoss(0.2, distance=euclidean, reducer=peer["reducers"].MeanReducer())
        for miner in (BatchHardMiner(), SemiHardMiner(2.0), MultiSimilarityMiner()):
            torch.testing.assert_close(theirs(z, y, miner(z, y)), TripletLoss(0.2, miner=miner)(z, y))

    def test_our_miners_pick_what_theirs_pick(self, peer, z, y):
        theirs = peer["miners"].MultiSimilarityMiner(epsilon=0.1)(z, y)
        ours = MultiSimilarityMiner(0.1)(z, y)
        for first in (0, 2):
            assert set(zip(*(part.tolist() for part in theirs[first : first + 2]), strict=True)) == set(
                zip(*(part.tolist() for part in ours[first : first + 2]), strict=True)
            )

    def test_either_trains_an_encoder_in_the_same_lines(self, peer, generator):
        x, y = torch.randn(40, 6, generator=generator), torch.arange(40) % 4
        x[:, :4] += 2 * torch.eye(4)[y]
        for loss in (TripletLoss(0.5), peer["losses"].TripletMarginLoss(0.5)):
            encoder = torch.nn.Linear(6, 3)
            optimizer = torch.optim.Adam(encoder.parameters(), lr=0.05)
            losses = []
            for _ in range(30):
                optimizer.zero_grad()
                value = loss(torch.nn.functional.normalize(encoder(x), dim=1), y)
                value.backward()
                optimizer.step()
                losses.append(value.item())
            assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_the_same_options_by_name_and_shows_them(name):
    """What was positional stays so, and the rest is by name, in the order that the class gives."""
    loss = LOSSES[name](reduction="sum", differentiable="twice")
    parameters = inspect.signature(type(loss)).parameters
    assert {"distance", "reduction", "differentiable", "miner"} <= parameters.keys()
    assert all(parameters[option].kind is inspect.Parameter.KEYWORD_ONLY for option in ("distance", "miner"))
    assert "reduction='sum', differentiable='twice', miner=None" in repr(loss)
    with pytest.raises(TypeError):
        type(loss)(*[1.0] * len(parameters))
    with pytest.raises(TypeError):
        type(loss)(squared=False)
    assert loss != LOSSES[name](reduction="sum", differentiable="twice")  # two losses count their own empty calls
    assert len({loss, copy.copy(loss)}) == 2
