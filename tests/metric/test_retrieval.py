"""Retrieval figures against slow loops and a trusted peer; ties by expectation; nothing depends on the order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit.metric import nearest
from graphkit.metric.nearest import nearest_items, recall_of
from graphkit.metric.probes import cluster_agreement, linear_probe
from graphkit.metric.retrieval import METRICS, Retrieval, evaluate_retrieval


def looped(order, label, answers, cuts, neighbours):
    """The figures of one query whose items stand in ``order``."""
    hits = [answers[j] == label for j in order]
    relevant = sum(hits)
    row = {f"hit@{k}": float(any(hits[:k])) for k in cuts} | {f"recall@{k}": sum(hits[:k]) / relevant for k in cuts}
    row["r-precision"] = sum(hits[:relevant]) / relevant
    row["map@r"] = sum(sum(hits[: i + 1]) / (i + 1) for i in range(relevant) if hits[i]) / relevant
    row["mrr"] = 1 / (hits.index(True) + 1)
    return row


def enumerated(z, y, cuts=(1, 2, 3), exclude=()):
    """The mean over all orders of tied items, one by one."""
    total, queries = {}, 0
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i and (i, j) not in exclude]
        if not any(y[j] == y[i] for j in others):
            continue
        distance = {j: float(((z[i] - z[j]) ** 2).sum()) for j in others}
        groups = [list(g) for _, g in itertools.groupby(sorted(others, key=distance.get), key=distance.get)]
        orders = [sum(parts, ()) for parts in itertools.product(*(list(itertools.permutations(g)) for g in groups))]
        rows = [looped(order, y[i], y, cuts, 1) for order in orders]
        for name in rows[0]:
            total[name] = total.get(name, 0) + sum(row[name] for row in rows) / len(rows)
        queries += 1
    return {name: value / queries for name, value in total.items()}


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_the_mean_over_every_order_of_the_tied(seed):
    random = np.random.default_rng(seed)
    z = torch.from_numpy(random.integers(0, 2, (7, 2))).double()
    y = torch.from_numpy(random.integers(0, 3, 7))
    found = evaluate_retrieval(z, y, distance="euclidean", cuts=[1, 2, 3], metrics=["ranking"]).as_dict()
    assert found == pytest.approx(enumerated(z, y.tolist()), abs=1e-12)


def test_left_out_pairs_neither_answer_nor_count_as_relevant():
    z = torch.from_numpy(np.random.default_rng(5).integers(0, 2, (7, 2))).double()
    y = torch.tensor([0, 0, 0, 1, 1, 1, 0])
    pairs = torch.tensor([[0, 1, 3, 6], [1, 0, 5, 2]])
    found = evaluate_retrieval(z, y, distance="euclidean", cuts=[1, 2, 3], exclude=pairs, metrics=["ranking"])
    assert found.as_dict() == pytest.approx(enumerated(z, y.tolist(), exclude=set(zip(*pairs.tolist(), strict=True))))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared", "dot"])
def test_figures_agree_with_a_loop_over_sorted_items(distance):
    random = torch.Generator().manual_seed(1)
    z, y = torch.randn(60, 5, generator=random), torch.randint(0, 4, (60,), generator=random)
    d = z.double()
    unit = d / d.norm(dim=1, keepdim=True)
    matrix = {"cosine": -unit @ unit.T, "dot": -d @ d.T}.get(distance, torch.cdist(d, d))
    rows = []
    for i in range(60):
        order = [j for j in matrix[i].argsort().tolist() if j != i]
        rows.append(looped(order, int(y[i]), y.tolist(), [1, 5], 5))
    expected = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    found = evaluate_retrieval(z, y, distance=distance, cuts=[1, 5], metrics=["ranking"])
    assert found.as_dict() == pytest.approx(expected, abs=1e-12)


def test_where_there_are_no_ties_pytorch_metric_learning_agrees():
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    random = torch.Generator().manual_seed(2)
    z, y = torch.randn(80, 6, generator=random), torch.randint(0, 4, (80,), generator=random)
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.inference import CustomKNN

    knn = CustomKNN(LpDistance(normalize_embeddings=False), batch_size=16)
    theirs = calculator.AccuracyCalculator(include=names, k=79, knn_func=knn).get_accuracy(z, y)
    ours = evaluate_retrieval(z, y, distance="euclidean", cuts=[1], metrics=["ranking"])
    assert [ours.hit[1], ours.r_precision, ours.map_at_r, ours.mrr] == pytest.approx([theirs[n] for n in names])


def test_no_figure_depends_on_the_order_of_the_rows():
    random = torch.Generator().manual_seed(3)
    z, y = torch.randint(-2, 3, (90, 3), generator=random).float(), torch.randint(-1, 4, (90,), generator=random)
    expected = evaluate_retrieval(z, y, metrics=METRICS)
    for _ in range(3):
        order = torch.randperm(90, generator=random)
        assert evaluate_retrieval(z[order], y[order], metrics=METRICS) == expected


def test_equal_items_tie_exactly_wherever_they_stand():
    random = torch.Generator().manual_seed(4)
    item = torch.randn(1, 33, generator=random)
    found = evaluate_retrieval(item.expand(101, 33), torch.arange(101) % 2, cuts=[1], metrics=["ranking", "knn"])
    assert found.hit[1] == pytest.approx((51 * 50 / 100 + 50 * 49 / 100) / 101, abs=1e-12)
    assert found.r_precision == pytest.approx(found.hit[1], abs=1e-12)


def test_all_in_one_place_is_worth_what_chance_is_worth():
    """101 equal items, classes of 51 and 50: each of the nearest is relevant with the class's share."""
    y = torch.arange(101) % 2
    found = evaluate_retrieval(torch.ones(101, 2), y, metrics=["ranking"])
    assert found.map_at_r == pytest.approx(np.mean([expected_map(100, 50 if label == 0 else 49) for label in y]))


def expected_map(items, relevant):
    """E[AP@R] where all items tie."""
    terms = ((1 + (i - 1) * (relevant - 1) / (items - 1)) / i for i in range(1, relevant + 1))
    return sum(terms) / items


def test_unlabelled_rows_neither_ask_nor_answer():
    random = torch.Generator().manual_seed(5)
    z, y = torch.randn(30, 4, generator=random), torch.randint(0, 3, (30,), generator=random)
    hidden = y.clone()
    hidden[::4] = -1
    rows = hidden >= 0
    expected = evaluate_retrieval(z[rows], y[rows], cuts=[2], metrics=METRICS)
    assert evaluate_retrieval(z, hidden, cuts=[2], metrics=METRICS) == expected


def test_a_reference_answers_alone_and_queries_and_items_choose_rows():
    random = torch.Generator().manual_seed(6)
    z, y = torch.randn(40, 4, generator=random), torch.randint(0, 3, (40,), generator=random)
    ask, answer = torch.arange(10), torch.arange(10, 40)
    figures = ["ranking", "knn"]
    apart = evaluate_retrieval(z[:10], y[:10], reference=(z[10:], y[10:]), metrics=figures)
    assert apart == evaluate_retrieval(z, y, queries=ask, gallery=answer, metrics=figures)
    masks = [torch.arange(40) < 10, torch.arange(40) >= 10]
    assert apart == evaluate_retrieval(z, y, queries=masks[0], gallery=masks[1], metrics=figures)
    assert apart.items == 30


def test_a_query_whose_label_nobody_has_is_counted_apart():
    z, y = torch.tensor([[0.0], [0.1], [5.0]]), torch.tensor([0, 0, 7])
    found = evaluate_retrieval(z, y, distance="euclidean", cuts=[1], metrics=["ranking"])
    assert (found.queries, found.without_relevant, found.hit[1]) == (2, 1, 1.0)


def test_large_labels_do_not_merge():
    y = torch.tensor([2**24, 2**24, 2**24 + 1, 2**24 + 1])
    z = torch.tensor([[0.0], [1.0], [0.1], [1.1]])
    assert evaluate_retrieval(z, y, distance="euclidean", cuts=[1], metrics=["ranking"]).hit[1] == 0.0


def test_the_vote_shares_last_places_and_equal_classes():
    z = torch.tensor([[0.0], [1.0], [-1.0]])  # for the first, one of two equally near items of other classes votes
    y = torch.tensor([0, 0, 1])
    found = evaluate_retrieval(z, y, distance="euclidean", neighbours=1, metrics=["knn"])
    assert found.knn_accuracy == pytest.approx((0.5 + 1 + 0) / 3)


def test_the_vote_agrees_with_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    random = torch.Generator().manual_seed(7)
    z, y = torch.randn(90, 3, generator=random), torch.randint(0, 2, (90,), generator=random)
    judge = KNeighborsClassifier(5).fit(z[:60], y[:60]).score(z[60:], y[60:])
    found = evaluate_retrieval(z[60:], y[60:], reference=(z[:60], y[:60]), distance="euclidean", metrics=["knn"])
    assert found.knn_accuracy == pytest.approx(judge)


def test_clusters_and_probe_find_what_is_apart_and_only_that():
    random = torch.Generator().manual_seed(8)
    y = torch.arange(90) % 3
    apart = torch.eye(3)[y] + 0.05 * torch.randn(90, 3, generator=random)
    found = evaluate_retrieval(apart, y, metrics=["ami", "probe"])
    assert found.ami == pytest.approx(1)
    assert found.probe_accuracy == 1.0
    assert abs(cluster_agreement(torch.randn(90, 3, generator=random), y)) < 0.15
    assert linear_probe(torch.randn(90, 3, generator=random), y) < 0.6


def test_the_probe_never_learns_from_what_it_is_tested_on():
    random = torch.Generator().manual_seed(9)
    z, y = torch.randn(40, 30, generator=random), torch.randint(0, 2, (40,), generator=random)
    assert linear_probe(z, y, train=torch.arange(20)) == pytest.approx(
        linear_probe(z[20:], y[20:], reference=(z[:20], y[:20]))
    )
    assert linear_probe(z, y) < 0.8  # 30 random features fit 40 points, but not new ones


def test_a_probe_needs_integer_labels_of_some_rows():
    z, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="`y` labels no row"):
        linear_probe(z[:0], y[:0])
    with pytest.raises(TypeError, match="`reference labels` must be a tensor"):
        linear_probe(z, y, reference=(z, [0, 0, 1, 1]))
    with pytest.raises(TypeError, match="`reference labels` must hold integers"):
        linear_probe(z, y, reference=(z, y.float()))


def test_figures_are_named():
    z, y = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    found = evaluate_retrieval(z, y, cuts=[1], metrics=METRICS)
    ranking = ["hit@1", "recall@1", "r-precision", "map@r", "mrr"]
    assert list(found.as_dict()) == [*ranking, "knn", "ami", "probe"]
    assert list(evaluate_retrieval(z, y, cuts=[1]).as_dict()) == ranking
    assert isinstance(found, Retrieval)
    with pytest.raises(ValueError, match="map@r"):
        found["map@s"]


Z, Y = torch.eye(4), torch.tensor([0, 0, 1, 1])
WRONG = {
    "float labels": (lambda: evaluate_retrieval(Z, Y.float()), TypeError, "`y` must hold integers"),
    "labels of another length": (lambda: evaluate_retrieval(Z, Y[:3]), ValueError, r"`y` must have shape \[items\]"),
    "NaN": (lambda: evaluate_retrieval(Z * torch.nan, Y), ValueError, "`z` must be finite, but row 0"),
    "integers": (lambda: evaluate_retrieval(Z.long(), Y), TypeError, "`z` must hold floating-point"),
    "no matrix": (lambda: evaluate_retrieval(Z[0], Y), ValueError, "`z` must have shape"),
    "reference without labels": (lambda: evaluate_retrieval(Z, Y, reference=(Z, None)), ValueError, "without labels"),
    "reference of nothing": (lambda: evaluate_retrieval(Z, Y, reference=(None, Y)), TypeError, "`reference` must be a"),
    "bare reference": (lambda: evaluate_retrieval(Z, Y, reference=Z), ValueError, "`reference` must be"),
    "widths": (lambda: evaluate_retrieval(Z, Y, reference=(Z[:, :2], Y)), ValueError, "4 features"),
    "distance": (lambda: evaluate_retrieval(Z, Y, distance="cosin"), ValueError, "Did you mean 'cosine'"),
    "figure": (lambda: evaluate_retrieval(Z, Y, metrics=["map"]), ValueError, "`metrics` 'map'"),
    "cut": (lambda: evaluate_retrieval(Z, Y, cuts=[0]), ValueError, "`cuts` must be an integer of at least 1"),
    "row": (lambda: evaluate_retrieval(Z, Y, queries=torch.tensor([4])), ValueError, "`queries` must name rows"),
    "row twice": (lambda: evaluate_retrieval(Z, Y, gallery=torch.tensor([1, 1])), ValueError, "each row once"),
    "mask": (lambda: evaluate_retrieval(Z, Y, queries=torch.ones(3).bool()), ValueError, "`queries` must be a mask"),
    "pair": (lambda: evaluate_retrieval(Z, Y, exclude=torch.tensor([[0], [9]])), ValueError, "names a row outside"),
    "pair shape": (lambda: evaluate_retrieval(Z, Y, exclude=torch.tensor([0, 1])), ValueError, r"\[2, pairs\]"),
    "pair type": (lambda: evaluate_retrieval(Z, Y, exclude=torch.ones(2, 1)), TypeError, "`exclude` must hold"),
    "nothing relevant": (lambda: evaluate_retrieval(Z, torch.arange(4)), ValueError, "no query has a relevant item"),
    "no query": (lambda: evaluate_retrieval(Z[:0], Y[:0]), ValueError, "no query has a relevant item"),
    "one class": (lambda: linear_probe(Z, Y * 0), ValueError, "two classes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused_with_the_argument_named(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


class TestNearest:
    def test_items_stand_in_order_of_distance_without_oneself(self):
        random = torch.Generator().manual_seed(10)
        z = torch.randn(50, 4, generator=random).double()
        found = nearest_items(z, 3, distance="euclidean")
        expected = torch.cdist(z, z).fill_diagonal_(torch.inf).topk(3, largest=False)
        assert torch.equal(found.items, expected.indices)
        torch.testing.assert_close(found.distances, expected.values, atol=1e-9, rtol=0)

    def test_distances_mean_what_they_say(self):
        z = torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
        assert nearest_items(z, 1).distances.tolist() == [[0.0], [1.0], [0.0]]
        assert nearest_items(z, 1, distance="dot").distances.tolist() == [[-3.0], [0.0], [-3.0]]
        assert nearest_items(z, 1, distance="squared").distances.tolist() == [[4.0], [5.0], [4.0]]

    def test_places_that_nobody_may_fill_are_empty(self):
        found = nearest_items(torch.eye(2), 3, exclude=torch.tensor([[0], [1]]))
        assert found.items.tolist() == [[-1, -1, -1], [0, -1, -1]]
        assert found.distances[0].isinf().all()

    def test_equal_items_come_by_their_row(self):
        assert nearest_items(torch.ones(4, 3), 3).items.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]

    @pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
    def test_faiss_finds_the_same(self, distance):
        pytest.importorskip("faiss")
        z = torch.randn(80, 6, generator=torch.Generator().manual_seed(11))
        rows = torch.arange(0, 80, 2)
        ours = nearest_items(z, 4, gallery=rows, distance=distance, engine="exact")
        theirs = nearest_items(z, 4, gallery=rows, distance=distance, engine="faiss")
        assert torch.equal(ours.items, theirs.items)
        torch.testing.assert_close(ours.distances, theirs.distances, atol=2e-3, rtol=1e-5)  # sqrt of float32 noise

    @pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
    @pytest.mark.parametrize("items", [1, 30, 4_000])
    def test_cells_miss_few_and_what_they_find_is_right(self, items, distance):
        pytest.importorskip("faiss")
        generator = torch.Generator().manual_seed(12)
        centres = torch.randn(50, 8, generator=generator)
        z = centres[torch.arange(items) % 50] + 0.3 * torch.randn(items, 8, generator=generator)
        exact, found = (nearest_items(z, 5, distance=distance, engine=engine) for engine in ("exact", "ivf"))
        assert recall_of(found, exact) > (0.95 if items > 1_000 else 0.999)
        same = (found.items == exact.items) & (exact.items >= 0)
        torch.testing.assert_close(found.distances[same], exact.distances[same], atol=2e-3, rtol=1e-5)
        assert not bool((found.items == torch.arange(items)[:, None]).any())

    @pytest.mark.parametrize("engine", ["faiss", "ivf"])
    def test_an_engine_that_is_not_there_is_refused(self, monkeypatch, engine):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"graphkit\[faiss\]"):
            nearest_items(torch.eye(2), 1, engine=engine)


def test_old_keywords_still_mean_the_same():
    rows = torch.tensor([0, 1, 2])
    with pytest.warns(DeprecationWarning, match="was renamed to"):
        old = evaluate_retrieval(Z, Y, items=rows, figures=["ranking"])
    assert old == evaluate_retrieval(Z, Y, gallery=rows, metrics=["ranking"])
    with pytest.warns(DeprecationWarning, match="was renamed to gallery="):
        found = nearest_items(Z, 1, items=rows)
    assert torch.equal(found.items, nearest_items(Z, 1, gallery=rows).items)


def drawn_rows(kind: str, rows: int, features: int) -> Tensor:
    generator = torch.Generator().manual_seed(features)
    z = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    if kind == "words":
        return (z > 1.5).double()
    if kind == "twice":
        return z[torch.randint(rows // 3, (rows,), generator=generator)]
    if kind == "close":
        return 1e6 + 1e-9 * z
    if kind == "zeros":
        return z * (torch.rand(rows, 1, generator=generator) > 0.3)
    return z


@pytest.mark.parametrize("kind", ["numbers", "words", "twice", "close", "zeros"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_distances_by_matrix_products_give_the_same_figures_to_the_last_bit(kind, distance, monkeypatch):
    z = drawn_rows(kind, 120, 48)
    y = torch.arange(120) % 5
    y[100:] = -1
    exclude = torch.randint(120, (2, 200), generator=torch.Generator().manual_seed(1))
    given = {"distance": distance, "exclude": exclude, "queries": torch.arange(0, 120, 2)}
    found = {}
    for way, many in (("products", 1), ("sums", 10**9)):
        monkeypatch.setattr(nearest, "MANY", many)
        monkeypatch.setattr(nearest, "BLOCK", 1000)
        figures = evaluate_retrieval(z, y, metrics=["ranking", "knn"], **given).as_dict()
        near = [nearest_items(z, count, **given) for count in (3, 119)]  # a few, and all there are
        found[way] = figures, [(each.items.tolist(), each.distances.tolist()) for each in near]
    assert found["products"] == found["sums"]


def spread_rows(how):
    """Return rows of 1,500 items in ways in which thresholds and equal parts of a range fit badly."""
    random = torch.Generator().manual_seed(7)
    z = torch.randn(1_500, 5, generator=random)
    if how == "whole numbers":
        return z.mul(1.5).round()
    if how == "far outliers":
        z[:3] *= 1e6
    if how == "by turns":  # near and far items take turns, in step with any even sample
        z[::5] += 30
    if how == "two places":
        return z[:2][torch.arange(1_500) % 2]
    return z[z[:, 0].argsort()] if how == "sorted" else z


SPREADS = ["normal", "sorted", "by turns", "whole numbers", "far outliers", "two places"]


@pytest.mark.parametrize("many", [1, 1_000])
@pytest.mark.parametrize("how", SPREADS)
def test_of_many_items_the_nearest_are_those_of_a_full_sort(monkeypatch, how, many):
    monkeypatch.setattr(nearest, "MANY", many)
    z, queries = spread_rows(how), torch.arange(0, 1_500, 37)
    rows = z.double().numpy()
    every = sum(np.square(rows[queries, None, f] - rows[None, :, f]) for f in range(5))
    every[np.arange(len(queries)), queries] = np.inf
    order = np.lexsort((np.broadcast_to(np.arange(1_500), every.shape), every), axis=1)
    for count in (1, 60, 1_499):
        found = nearest_items(z, count, queries=queries, distance="squared", engine="exact")
        assert np.array_equal(found.items.numpy(), order[:, :count])
        assert np.array_equal(found.distances.numpy(), np.take_along_axis(every, order[:, :count], axis=1))


@pytest.mark.parametrize("many", [1, 1_000])
@pytest.mark.parametrize("classes", [2, 40])
@pytest.mark.parametrize("how", SPREADS)
def test_of_many_items_the_figures_are_those_of_random_orders_of_ties(monkeypatch, how, classes, many):
    monkeypatch.setattr(nearest, "MANY", many)
    z, queries = spread_rows(how), torch.arange(0, 1_500, 97)
    y = torch.randint(0, classes, (1_500,), generator=torch.Generator().manual_seed(8))
    found = evaluate_retrieval(z, y, queries=queries, distance="squared", cuts=[1, 30], metrics=["ranking"])
    random, draws = np.random.default_rng(0), 200 if how in ("whole numbers", "two places") else 1
    every = (z.double()[queries, None] - z.double()[None]).square().sum(-1).numpy()
    figures = []
    for _ in range(draws):
        for query, distance in zip(queries.tolist(), every, strict=True):
            order = np.lexsort((random.permutation(1_500), distance.round(9)))
            good = (y == y[query]).numpy()[order[order != query]]
            relevant = int(good.sum())
            precision = np.cumsum(good) / np.arange(1, 1_500)
            ranks = np.flatnonzero(good)
            near = good[:relevant]
            figures.append(
                (good[0], good[:30].any(), near.mean(), (precision[:relevant] * near).mean(), 1 / (1 + ranks[0]))
            )
    expected = np.mean(figures, axis=0)
    ours = [found.hit[1], found.hit[30], found.r_precision, found.map_at_r, found.mrr]
    assert ours == pytest.approx(expected, abs=1e-9 if draws == 1 else 0.02)
