"""One law over everything public in the room: rows that are zero, equal, huge, tiny or few give finite numbers.

A result and its derivatives, to the order promised, are finite wherever the right number (that of float64) can be
written down in the precision given; or the call is refused in words. And what is said not to count does not count: the
order of the rows, their scale under the cosine, where the origin lies under distances.
"""

from __future__ import annotations

import inspect
import itertools
import math

import pytest
import torch

import graphkit.metric
from graphkit.metric import (
    AnomalyScorer,
    ConditionalSimilarity,
    ContextSimilarity,
    ContrastiveLoss,
    InfoNCELoss,
    PrototypeLoss,
    barlow_twins,
    canonical_correlation,
    class_prototypes,
    cluster_agreement,
    consistency,
    evaluate_conditions,
    evaluate_retrieval,
    linear_probe,
    nearest_items,
    pairwise_distances,
    telemetry,
    vicreg,
)
from graphkit.metric.distances import normalize_rows
from graphkit.metric.label_free import standardize
from graphkit.metric.losses.abstract import AbstractCriterion
from graphkit.metric.losses.softmax import softplus
from graphkit.metric.miners import AbstractMiner

DISTANCES = ("euclidean", "squared", "cosine", "dot")
HALF = (torch.float16, torch.bfloat16)


def inputs() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return embeddings in float64 and labels by name."""
    drawn = torch.Generator().manual_seed(0)
    base, more = (torch.randn(size, 3, generator=drawn, dtype=torch.float64) for size in (6, 1))
    y, seven = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 2, 2, 2])

    def changed(rows, value):
        z = base.clone()
        z[rows] = value
        return z

    column = torch.cat([base, more])
    column[:, 1] = 0.1  # of seven such numbers the rounded mean is another one, in single precision
    mixed = base * torch.tensor([1e-30, 1e5, 1e-3, 1, 1, 1]).double().unsqueeze(1)
    return {
        "plain": (base, y),
        "a zero row": (changed([1], 0.0), y),
        "a zero class": (changed([0, 1], 0.0), y),
        "all zero": (torch.zeros(6, 3).double(), y),
        "all equal": (torch.full((6, 3), 0.1).double(), y),
        "duplicates": (base[[0, 0, 0, 1, 1, 1]], y),
        "a mean of zero": (torch.cat([base[:3], -base[:3]])[[0, 3, 1, 4, 2, 5]], y),
        "a constant column": (column, seven),
        "1e3": (base * 1e3, y),
        "1e12": (base * 1e12, y),
        "1e20": (base * 1e20, y),
        "1e30": (base * 1e30, y),
        "1e-14 beside 1": (torch.cat([base[:3], base[:3] * 1e-14]), y),
        "1e-20": (base * 1e-20, y),
        "1e-30": (base * 1e-30, y),
        "denormal": (base * 1e-40, y),
        "mixed": (mixed, y),
        "one item": (base[:1], y[:1]),
        "two items": (base[:2], torch.tensor([0, 1])),
        "one class": (base, y * 0),
        "singletons": (base, torch.arange(6)),
        "no label": (base, y * 0 - 1),
        "no items": (base[:0], y[:0]),
        "no features": (base[:, :0], y),
        "one feature": (base[:, :1], y),
    }


INPUTS = inputs()
PUBLIC = {name: getattr(graphkit.metric, name) for name in graphkit.metric.__all__}
CRITERIA = {
    name: made for name, made in PUBLIC.items() if inspect.isclass(made) and issubclass(made, AbstractCriterion)
}
MINERS = {name: made for name, made in PUBLIC.items() if inspect.isclass(made) and issubclass(made, AbstractMiner)}


def answer(call):
    """Return what a call returns and nothing, or nothing and what it refuses its arguments with."""
    try:
        return call(), ""
    except ValueError as error:
        return None, str(error)


def ways(made) -> list[dict]:
    """Return the settings of a class: every distance it takes, both modes, every switch."""
    parameters, found = inspect.signature(made).parameters, {}
    if "distance" in parameters:
        found["distance"] = DISTANCES
    if "differentiable" in parameters:
        found["differentiable"] = ("once", "twice")
    found |= {name: (False, True) for name, given in parameters.items() if isinstance(given.default, bool)}
    settings = [dict(zip(found, values, strict=True)) for values in itertools.product(*found.values())]
    tried = [(options, answer(lambda options=options: made(**options))[1]) for options in settings]
    assert all("`distance`" in refusal for _, refusal in tried if refusal)  # two of the four are no likeness
    return [options for options, refusal in tried if not refusal]


LOSSES = [
    pytest.param(made, options, id="-".join([name, *map(str, options.values())]))
    for name, made in CRITERIA.items()
    for options in ways(made)
]


def derivatives(call, z, order):
    """Return a value and its derivatives along a direction, all in one list."""
    z = z.clone().requires_grad_()
    found = [call(z)]
    along = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for k in range(order):
        total = found[0] if k == 0 else (found[-1].double() * along).sum()
        slopes = None
        if total.requires_grad:
            slopes = torch.autograd.grad(total, z, create_graph=k + 1 < order, allow_unused=True)[0]
        found.append(torch.zeros_like(z) if slopes is None else slopes)
    return [part.detach() for part in found]


@pytest.mark.parametrize(("made", "options"), LOSSES)
def test_losses_and_their_derivatives_are_finite(made, options):
    order = 1 if options.get("differentiable") == "once" else 2
    loss = made(**options)
    for name, (given, y) in INPUTS.items():
        for dtype in (torch.float64, torch.float32, *(HALF if name in ("plain", "a zero row", "1e3") else ())):
            z = given.to(dtype)
            if not z.isfinite().all():
                continue
            found, refusal = answer(lambda z=z, y=y: derivatives(lambda z: loss(z, y), z, order))
            if refusal:
                assert refusal.startswith("`z` holds"), (name, dtype, refusal)
                assert "too much for distances in torch.float32" in refusal
                assert name in ("1e12", "1e20", "1e30")
                continue
            right = derivatives(lambda z, y=y: loss(z, y), z.double(), order)
            largest = torch.finfo(dtype).max / 100
            for k, (part, truth) in enumerate(zip(found, right, strict=True)):
                assert (part.isfinite() | (truth.abs() > largest)).all(), (name, dtype, k)
            if dtype == torch.float32 and name != "denormal":  # whose digits are gone
                torch.testing.assert_close(found[0].double(), right[0], rtol=1e-3, atol=1e-5, msg=f"{name}")


@pytest.mark.parametrize(("made", "options"), LOSSES)
def test_losses_do_not_know_order_nor_scale_nor_origin_where_they_say_so(made, options):
    order, loss = 1 if options.get("differentiable") == "once" else 2, made(**options)
    distance = options.get("distance", "cosine")
    shuffle = torch.tensor([3, 5, 0, 4, 1, 2])
    for name in ("plain", "a zero row", "duplicates", "a mean of zero"):
        z, y = INPUTS[name]
        z = (z * 1024).round() / 1024  # so that moves and scales are exact
        found = derivatives(lambda z, y=y: loss(z, y), z, order)
        torch.testing.assert_close(loss(z[shuffle], y[shuffle]), found[0], rtol=1e-9, atol=1e-12, msg=name)
        if distance == "cosine":
            for scale in (2.0**-70, 2.0**70):
                scaled = derivatives(lambda z, y=y: loss(z, y), z * scale, order)
                for k, (part, expected) in enumerate(zip(scaled, found, strict=True)):
                    at = f"{name}, derivative {k}"
                    torch.testing.assert_close(part * scale**k, expected, rtol=1e-9, atol=1e-9, msg=at)
        if distance in ("euclidean", "squared"):
            torch.testing.assert_close(loss(z + 4, y), found[0], rtol=1e-9, atol=1e-12, msg=name)


def conditional(kind):
    def call(z, y):
        similarity = ConditionalSimilarity(z.shape[1], 2, kind=kind, generator=torch.Generator().manual_seed(0))
        similarity = similarity.to(z.dtype)
        return [similarity(z, 1), similarity.all(z), *similarity.penalty(z)]

    return call


def anomalies(method, distance):
    def call(z, y):
        scorer = AnomalyScorer(method, distance=distance, neighbours=1)
        return [scorer.fit(z, y)(z.flip(0)), scorer.fit(z)(z), *scorer.detection(z, y == 0)]

    return call


CALLS = {
    "pairwise_distances": [
        lambda z, y, d=d: [pairwise_distances(z, distance=d), pairwise_distances(z, z.flip(0), distance=d)]
        for d in DISTANCES
    ],
    "nearest_items": [lambda z, y, d=d: [nearest_items(z, 1, distance=d).distances] for d in DISTANCES],
    "evaluate_retrieval": [
        lambda z, y, d=d, f=f: evaluate_retrieval(z, y, distance=d, metrics=[f]).as_dict().values()
        for d in DISTANCES
        for f in ("ranking", "knn", "ami", "probe")
    ],
    "evaluate_conditions": [
        lambda z, y, d=d: [
            found.map_at_r
            for row in evaluate_conditions(torch.stack([z, z]), torch.stack([y, y.flip(0)], 1), distance=d)
            for found in row
        ]
        for d in DISTANCES
    ],
    "telemetry": [lambda z, y, d=d: vars(telemetry(z, y, distance=d)).values() for d in DISTANCES],
    "linear_probe": [
        lambda z, y, d=d: [linear_probe(z, y, distance=d, train=torch.arange(len(y))[::2])] for d in DISTANCES
    ],
    "cluster_agreement": [lambda z, y, d=d: [cluster_agreement(z, y, distance=d)] for d in DISTANCES],
    "AnomalyScorer": [
        anomalies(method, d) for method in ("prototype", "neighbour", "mahalanobis") for d in ("cosine", "euclidean")
    ],
    "class_prototypes": [lambda z, y: [(made := class_prototypes(z, y)).directions, made.logits(z, 0.2)]],
    "consistency": [
        lambda z, y: [consistency([z.softmax(-1), (z > 0).to(z.dtype)]), consistency([z.softmax(-1)], sharpening=0.01)]
    ],
    "ConditionalSimilarity": [conditional("mask"), conditional("projection")],
    "ContextSimilarity": [
        lambda z, y: [ContextSimilarity(z.shape[1], 2).to(z.dtype)(z, torch.zeros(2, dtype=z.dtype))]
    ],
    **{
        objective.__name__: [lambda z, y, f=objective: [f(z, z), f(z, z.flip(0))]]
        for objective in (barlow_twins, canonical_correlation, vicreg)
    },
    **{name: [lambda z, y, m=made, o=o: m(**o)(z, y) for o in ways(made)] for name, made in MINERS.items()},
    **{name: [lambda z, y, m=made: vars(m().report(z, y)).values()] for name, made in CRITERIA.items()},
}
RECORDS = {"Retrieval", "Telemetry"}
"""What calls return."""

NAN = {"telemetry", *CRITERIA}
"""What is said to be NaN where there is no pair to measure."""
INFINITE = {"nearest_items"}
"""What is said to be infinitely far where nobody is."""
REFUSALS = (
    "too much for distances",
    "too much for covariances",
    "two classes of `y`",
    "no query has a relevant item",
    "no query has an item",
    "labels no row",
    "must label at least one",
    "no labelled row is left",
    "some rows and leave others",
    "at least 1 normal items",
    "at least one feature",
    "`features` must be an integer of at least 1, got 0",
    "two at least, of one feature at least",
)


def test_the_law_is_about_everything_public():
    assert set(CALLS) | RECORDS == set(PUBLIC)


@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_public_returns_finite_numbers_or_says_why_not(name):
    for call, (which, (given, y)) in itertools.product(CALLS[name], INPUTS.items()):
        for dtype in (torch.float32, torch.bfloat16) if which == "plain" else (torch.float32,):
            z = given.to(dtype)
            found, refusal = answer(lambda z=z, y=y, call=call: list(call(z, y)))
            if refusal:
                assert any(reason in refusal for reason in REFUSALS), (which, refusal)
                assert which not in ("plain", "a zero row", "duplicates", "1e3", "1e-30", "one feature"), refusal
                continue
            for part in found:
                numbers = torch.as_tensor(math.nan if part is None else part).double()
                few = which in ("one item", "two items", "one class", "singletons", "no label", "no items")
                if part is None or (few and name in NAN):
                    numbers = numbers[~numbers.isnan()]
                if few and name in INFINITE:
                    numbers = numbers[numbers < math.inf]
                assert numbers.isfinite().all(), which


@pytest.mark.parametrize("call", [pairwise_distances, lambda z, **_: class_prototypes(z, torch.arange(len(z)))[0]])
@pytest.mark.parametrize("name", ["a zero row", "all equal", "1e-20", "1e-14 beside 1", "no items", "no features"])
def test_distances_and_prototypes_have_finite_derivatives(call, name):
    z, _ = INPUTS[name]
    if call is pairwise_distances:
        for d in DISTANCES:  # by the cosine the second derivative by a row of 1e-20 is 1e40
            precision = torch.float64 if d == "cosine" else torch.float32
            found = derivatives(lambda z, d=d: pairwise_distances(z, distance=d).sin().sum(), z.to(precision), 2)
            assert all(part.isfinite().all() for part in found), d
    elif len(z):
        assert all(part.isfinite().all() for part in derivatives(lambda z: call(z).sin().sum(), z.double(), 2))


class TestNumbersOfTheReports:
    """Each input as it was found, with its right value."""

    def test_a_zero_row_has_no_slope_under_prototypes(self):
        """Its cosine with both is zero, so it costs log 2 wherever it moves; the others cost log(1 + exp(-5))."""
        z = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], requires_grad=True)
        value, first, second = derivatives(lambda z: PrototypeLoss()(z, torch.tensor([0, 0, 1])), z.detach(), 2)
        assert value.item() == pytest.approx((2 * math.log1p(math.exp(-5)) + math.log(2)) / 3)
        assert first.abs().max() < 0.1
        assert first[1].eq(0).all()
        assert second.isfinite().all()

    def test_a_short_row_has_the_loss_of_a_long_one(self):
        z, y = torch.tensor([[1.0, 0.2], [0.8, 0.0], [0.1, 1.0]]), torch.tensor([0, 0, 1])
        for scale in (2.0**-100, 2.0**100):
            assert torch.equal(PrototypeLoss()(z * scale, y), PrototypeLoss()(z, y))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("items", range(2, 60, 3))
    def test_a_constant_feature_correlates_with_nothing_whatever_the_constant(self, items, dtype):
        drawn = torch.Generator().manual_seed(items)
        views = [torch.randn(items, 4, generator=drawn).to(dtype) for _ in range(2)]
        for objective in (barlow_twins, canonical_correlation):
            values = []
            for constant in (0.0, 0.5, 0.1, 0.3, -7.7, 1e4):
                for view in views:
                    view[:, 2] = constant
                values.append(objective(*views).item())
            assert values == [values[0]] * len(values)

    def test_the_diagonal_of_a_constant_feature_costs_one(self):
        x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
        x[:, 1] = 0.1
        correlation = torch.corrcoef(x[:, [0, 2]].T)[0, 1].item()
        assert barlow_twins(x, x).item() == pytest.approx(1 + 2 * 5e-3 * correlation**2, abs=1e-6)
        assert canonical_correlation(x, x).item() == pytest.approx(2e-3 * (1 + 2 * correlation**2), abs=1e-6)

    @pytest.mark.parametrize("mode", ["once", "twice"])
    def test_equal_rows_are_not_active_by_the_cosine(self, mode):
        z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).repeat_interleave(3, 0)
        y = torch.arange(4).repeat_interleave(3)
        loss = ContrastiveLoss(1.5, distance="cosine", reduction="active", differentiable=mode)
        unit = z.double() / z.double().norm(dim=1, keepdim=True)
        pushed = (1.5 - (1 - unit @ unit.T)).clamp(min=0)[y[:, None] != y]
        right = (pushed.square().sum() / 2 / (pushed > 0).sum()).item()
        assert loss(z, y).item() == pytest.approx(right, rel=1e-5)
        assert loss.report(z, y).active == pytest.approx((pushed > 0).sum().item() / (12 * 11))

    def test_classes_far_apart_have_a_second_derivative(self):
        """MAML takes it; with a temperature of 0.1 a margin of nine was enough for NaN in single precision."""
        y = torch.arange(20) % 2
        z = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
        z[:, 0] += 20 * y
        loss = InfoNCELoss(0.1, distance="euclidean", differentiable="twice")
        assert all(part.isfinite().all() for part in derivatives(lambda z: loss(z, y), z, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_has_its_derivatives_everywhere(dtype):
    x = torch.tensor([-1e30, -1e3, -100.0, -41.0, -39.0, -1.0, 0.0, 1.0, 39.0, 100.0, 1e30], dtype=dtype)
    x.requires_grad_()
    value = softplus(x)
    first = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), x)[0]
    at, tolerance = x.detach().double(), {"rtol": 1e-6, "atol": 1e-16}
    right = torch.where(at > 0, at + torch.log1p((-at.abs()).exp()), torch.log1p(at.clamp(max=0).exp()))
    torch.testing.assert_close(value.double(), right, **tolerance)
    torch.testing.assert_close(first.double(), at.sigmoid(), **tolerance)
    torch.testing.assert_close(second.double(), at.sigmoid() * (-at).sigmoid(), **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_rows_are_those_of_pytorch_to_the_last_bit_and_right_for_any_length(generator, dtype):
    z = torch.randn(50, 7, generator=generator, dtype=dtype).requires_grad_()
    weights = torch.randn(50, 7, generator=generator, dtype=dtype)
    found, peer = normalize_rows(z), torch.nn.functional.normalize(z, dim=-1)
    assert torch.equal(found, peer)
    slopes = [torch.autograd.grad((made * weights).sum(), z)[0] for made in (found, peer)]
    assert torch.equal(*slopes)
    for scale in (2.0**-100, 2.0**120):
        assert torch.equal(normalize_rows(z.detach() * scale), found)
    assert normalize_rows(torch.zeros(2, 3)).eq(0).all()
    assert normalize_rows(torch.full((1, 3), torch.nan)).isnan().all()
    assert torch.autograd.gradgradcheck(lambda z: normalize_rows(z).sin(), z[:3].detach().double().requires_grad_())


def test_standardised_features_do_not_know_scale_nor_origin(generator):
    z = (torch.randn(9, 4, generator=generator).double() * 256).round() / 256
    for correction in (0, 1):
        right = (z - z.mean(0)) / z.std(0, correction=correction)
        for moved in (z, z * 2.0**-90, z * 2.0**90, z + 8):
            torch.testing.assert_close(standardize(moved, correction=correction), right)
    assert standardize(torch.full((7, 2), 0.1)).eq(0).all()
    assert standardize(torch.full((7, 2), torch.nan)).isnan().all()
    assert standardize(z[:1]).eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_that_cancel_but_for_rounding_have_no_direction(dtype):
    """Three at 120 degrees: their sum is some 1e-17 and points anywhere."""
    angles = torch.arange(3, dtype=dtype) * (2 * math.pi / 3) + 0.1
    z = torch.stack([angles.cos(), angles.sin()], 1)
    z = torch.cat([z, z[:1], z[:1]])
    y = torch.tensor([0, 0, 0, 1, 1])
    assert class_prototypes(z, y).directions[0].eq(0).all()
    assert all(part.abs().max() < 100 for part in derivatives(lambda z: PrototypeLoss()(z, y), z, 2))
