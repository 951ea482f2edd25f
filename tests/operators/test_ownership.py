"""What is remembered belongs to no caller: whatever is done to what was handed out, the next answer is a fresh one.

Every public name of the room is called, all arrays that can be reached from its answer are edited in place, in every
way there is, and it is called again with the same arguments: the numbers are those on copies of the arguments that
nothing is remembered of.
"""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import graphkit
from graphkit._exports import deprecated_method
from graphkit.contrastive.augmentations import Augmentation, Diffusion, View
from graphkit.data import load
from graphkit.nn import ChebConv, GATConv, GCNConv, GraphWaveletConv, SAGEConv
from graphkit.operators import (
    FourierBasis,
    SparseOperator,
    coarsen,
    fourier_basis,
    gcn_adjacency,
    graph_cache,
    heat,
    laplacian,
    mean_adjacency,
    rescaled_laplacian,
    sparse_features,
    sum_adjacency,
    walk_adjacency,
    wavelet_analysis,
)
from graphkit.operators.sparse import Degrees
from tests.operators.test_operand_checks import RING, VALID, X

WEIGHT = torch.arange(1.0, 9.0)
VIEW, GENERATOR = View(X, RING, WEIGHT), torch.Generator().manual_seed(0)
OTHERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "GraphWaveletConv.wavelets": (
        GraphWaveletConv(2, 2, threshold=1e-3).wavelets,
        {"edge_index": RING, "num_nodes": 4},
    ),
    "Level.basis": (lambda level: level.basis, {"level": coarsen(RING, levels=1).levels[0]}),
    "Level.fingerprint": (lambda level: level.fingerprint, {"level": coarsen(RING, levels=1).levels[0]}),
    "Hierarchy.tree": (lambda hierarchy: hierarchy.tree, {"hierarchy": coarsen(RING, levels=1)}),
    "FourierBasis.extent": (lambda basis: basis.extent, {"basis": fourier_basis(laplacian(RING))}),
    "a batch's transform": (
        lambda basis, x: basis.gft(x),
        {
            "basis": FourierBasis.batch([fourier_basis(laplacian(RING)), fourier_basis(laplacian(RING))]),
            "x": torch.cat((X, X)),
        },
    ),
    "Diffusion": (
        lambda view: Diffusion(neighbours=2)(view, GENERATOR, weighted=True),
        {"view": VIEW},
    ),
    "Augmentation": (lambda view: Augmentation()(view, GENERATOR, weighted=True), {"view": VIEW}),
    "attention weights": (
        lambda conv, x, graph: conv(x, graph, return_attention_weights=True),
        {"conv": GATConv(2, 3), "x": X, "graph": torch.eye(4).to_sparse().coalesce()},
    ),
    **{
        f"{type(layer).__name__} on {form}": (layer, {"x": X, "edge_index": graph})
        for layer in (GCNConv(2, 3), GATConv(2, 3), SAGEConv(2, 3), ChebConv(2, 3, K=2))
        for form, graph in (("edges", RING), ("a matrix", torch.eye(4).to_sparse().coalesce()))
    },
}
"""Further things that hand out what is remembered, or live on it."""

CALLS = VALID | OTHERS


# ---- what can be reached, and how it is edited


def reached(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield every tensor and array that a caller can reach: through attributes, and methods that ask for nothing."""
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided:
            yield value
        else:
            parts = (
                (value._indices(), value._values())
                if value.layout == torch.sparse_coo
                else (value.crow_indices(), value.col_indices(), value.values())
            )
            yield from parts
    elif isinstance(value, np.ndarray):
        yield value
    elif scipy.sparse.issparse(value):
        yield from (value.data, value.indices, value.indptr)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from reached(part, depth)
    elif type(value).__module__.startswith("graphkit.") and depth < 3:
        for name in dir(value):
            if name.startswith("_") or name in SETTLED or isinstance(value, torch.nn.Module):
                continue
            if isinstance(inspect.getattr_static(value, name), deprecated_method):
                continue
            try:
                part = getattr(value, name)
                part = part() if inspect.ismethod(part) and asks_for_nothing(part) else part
            except ValueError:
                continue  # a batch has no single matrix of eigenvectors
            yield from reached(part, depth + 1)


SETTLED = ("node_pointers", "pair_pointers")
"""Of the caller's own Fourier basis, which reads them once: on an accelerator each look at a number is a wait."""


def asks_for_nothing(method: Any) -> bool:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(method).parameters.values()
    return all(each.default is not each.empty and each.kind not in kinds for each in parameters)


def changed(array: np.ndarray) -> np.ndarray:
    """Return other numbers of the same kind: three times as large, or integers in another order, none out of range."""
    if array.dtype.kind in "fc":
        return 3 * array
    return ~array if array.dtype.kind == "b" else array.reshape(-1)[::-1].reshape(array.shape)


def in_place(tensor: torch.Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(changed(tensor.detach().numpy()).copy()))


def by_an_operation(tensor: torch.Tensor) -> None:
    with torch.no_grad():
        tensor.mul_(3) if tensor.is_floating_point() else in_place(tensor)


def through_data(tensor: torch.Tensor) -> None:
    in_place(tensor.data)


def through_numpy(tensor: torch.Tensor) -> None:
    array = tensor.detach().numpy()
    array[...] = changed(array)


def through_dlpack(tensor: torch.Tensor) -> None:
    if tensor.dtype != torch.bool:
        in_place(torch.from_dlpack(tensor.detach()))


WAYS = (in_place, by_an_operation, through_data, through_numpy, through_dlpack)


def edit(value: Any, way: Callable[[torch.Tensor], None]) -> None:
    for part in reached(value):
        tensor = torch.from_numpy(part) if isinstance(part, np.ndarray) else part
        way(tensor)


def numbers(call: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Return copies of all numbers of an answer, or the error in place of it."""
    torch.manual_seed(0)
    try:
        found = call(**given)
    except (ValueError, TypeError, IndexError) as error:
        return repr(error)
    if isinstance(found, int | float | str):
        return found
    return [np.array(part.detach().numpy() if isinstance(part, torch.Tensor) else part) for part in reached(found)]


def same(found: Any, expected: Any) -> bool:
    if not isinstance(expected, list):
        return found == expected
    return isinstance(found, list) and all(map(np.array_equal, found, expected)) and len(found) == len(expected)


# ---- the laws


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_done_to_an_answer_the_next_one_is_fresh(name, way):
    call, given = copy.deepcopy(CALLS[name])
    edit(call(**given), way)
    found = numbers(call, given)
    graph_cache._cache.clear()
    assert same(found, numbers(*copy.deepcopy((call, given))))


@pytest.mark.parametrize("way", [by_an_operation, through_numpy])
@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_done_to_the_arguments_the_next_answer_is_of_what_they_are_then(name, way):
    call, given = copy.deepcopy(CALLS[name])
    numbers(call, given)
    edit([getattr(call, "__self__", None), *given.values()], way)
    found = numbers(call, given)
    graph_cache._cache.clear()
    assert same(found, numbers(*copy.deepcopy((call, given))))


@pytest.mark.parametrize("name", CALLS)
def test_no_answer_shares_memory_with_what_is_remembered(name):
    """The law above on accelerators too, where no fingerprint is taken, and between two callers."""
    graph_cache._cache.clear()
    call, given = copy.deepcopy(CALLS[name])
    own, handed = list(reached(list(given.values()))), list(reached(call(**given)))  # held, or others get their place
    kept = {
        address(part)
        for forms in list(graph_cache._cache.values())
        for record in forms.values()
        if record.result_key is None  # what is exposed is looked at before it is handed out again
        for part in held(record.result, set())
    }
    assert not ({address(part) for part in handed} - {address(part) for part in own} - {0}) & kept


def address(part: Any) -> int:
    return part.__array_interface__["data"][0] if isinstance(part, np.ndarray) else part.untyped_storage().data_ptr()


def held(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield every array that an object holds, private ones too."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor | np.ndarray) or scipy.sparse.issparse(value):
        yield from reached(value)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from held(part, seen)
    elif hasattr(value, "__dict__"):
        for part in vars(value).values():
            yield from held(part, seen)


@pytest.mark.parametrize("form", ["edges", "matrix", "operator"])
@pytest.mark.parametrize("name", ["gcn_adjacency", "laplacian", "sum_adjacency"])
def test_two_callers_hold_two_operators(name, form):
    made = {"gcn_adjacency": gcn_adjacency, "laplacian": laplacian, "sum_adjacency": sum_adjacency}[name]
    dense = torch.zeros(4, 4).index_put((RING[1], RING[0]), WEIGHT)
    graph = {"edges": RING.clone(), "matrix": dense.to_sparse_csr(), "operator": SparseOperator.from_dense(dense)}[form]
    one, other = made(graph, num_nodes=4), made(graph, num_nodes=4)
    before = other.to_dense()
    edit(one, through_data)
    assert torch.equal(other.to_dense(), before)
    assert torch.equal(made(graph, num_nodes=4).to_dense(), before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", [GCNConv(2, 3), GATConv(2, 3), SAGEConv(2, 3), ChebConv(2, 3, K=3)], ids=str)
def test_layers_are_the_same_after_the_operators_of_their_graph_were_edited(layer, way):
    index = RING.clone()
    before = layer(X, index)
    for made in (gcn_adjacency, laplacian, mean_adjacency, rescaled_laplacian, sum_adjacency, walk_adjacency):
        edit(made(index, num_nodes=4), way)
    assert torch.equal(layer(X, index), before)


def directed() -> SparseOperator:
    edge_index = torch.tensor([[0, 1, 2, 2, 3, 0], [1, 2, 0, 2, 0, 1]])  # a loop and a pair of equal edges among them
    return SparseOperator.from_edge_index(edge_index, torch.arange(1.0, 7.0), num_nodes=4)


def scaled(way: Callable[[torch.Tensor], None]) -> Callable[[SparseOperator], None]:
    def change(operator: SparseOperator) -> None:
        for values in (operator.values, operator.entry_values()):
            if values is not None:
                way(values)

    return change


OPERATORS: dict[str, Callable[[], SparseOperator]] = {
    "symmetric": lambda: SparseOperator.from_edge_index(RING, torch.tensor([1.0, 2, 3, 4, 1, 2, 3, 4])),
    "directed": directed,
    "of given values": lambda: SparseOperator(directed().pattern, torch.arange(2.0, 8.0)),
    "other values": lambda: directed().with_values(torch.arange(2.0, 8.0)),
    "without values": lambda: directed().with_values(None),
    "remembered": lambda: gcn_adjacency(RING, num_nodes=4),
    "remembered, directed": lambda: gcn_adjacency(torch.tensor([[0, 1, 2], [1, 2, 2]]), num_nodes=4),
    "a Laplacian": lambda: laplacian(RING, WEIGHT, normalization="rw"),
    "a transpose": lambda: directed().T,
    "a transpose, remembered": lambda: laplacian(RING, WEIGHT, normalization="rw").T,
    "features": lambda: sparse_features(torch.arange(16.0).view(4, 4)),
    "of SciPy": lambda: SparseOperator.from_scipy(scipy.sparse.csr_array(np.arange(16.0).reshape(4, 4))),
    "of another type": lambda: directed().to(torch.float64),
    "copied": lambda: copy.deepcopy(gcn_adjacency(RING, num_nodes=4)),
    "unpickled": lambda: pickle.loads(pickle.dumps(directed())),
    "set anew": lambda: set_anew(directed()),
}


def set_anew(operator: SparseOperator) -> SparseOperator:
    agrees_with_its_dense_form(operator)
    operator.values = torch.arange(2.0, 8.0)
    return operator


def agrees_with_its_dense_form(operator: SparseOperator) -> None:
    """Compare products, gradients and exports with those of a matrix made of the values and places alone."""
    values = torch.ones(operator.entries) if operator.values is None else operator.values.detach()
    pattern = operator.pattern
    dense = torch.zeros(operator.shape, dtype=values.dtype).index_put(
        (pattern.rows(), pattern.indices.long()), values, True
    )
    x = torch.randn(4, 40, dtype=values.dtype, generator=torch.Generator().manual_seed(1))
    for width in (3, 40):  # MKL's product, and ours
        found, expected = (x[:, :width].clone().requires_grad_() for _ in range(2))
        product, by_hand = operator @ found, dense @ expected
        torch.testing.assert_close(product, by_hand)
        torch.testing.assert_close(operator.T @ x[:, :width], dense.T @ x[:, :width])
        product.square().sum().backward()
        by_hand.square().sum().backward()
        torch.testing.assert_close(found.grad, expected.grad)
    torch.testing.assert_close(operator.to_dense(), dense)
    torch.testing.assert_close(operator.T.to_dense(), dense.T)
    torch.testing.assert_close(torch.from_numpy(operator.to_scipy().toarray()), dense)
    torch.testing.assert_close(operator.sums(), dense.sum(1))
    assert operator.symmetric == bool(torch.equal(dense, dense.T))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked", [False, True], ids=["at first", "later"])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_edited_operator_is_its_dense_form(name, asked, way):
    operator = OPERATORS[name]()
    if asked:  # whatever is made of the values has been made
        agrees_with_its_dense_form(operator)
    scaled(way)(operator)
    agrees_with_its_dense_form(operator)
    values = operator.values
    if values is not None:
        through_data(values[: len(values) // 2])  # no longer symmetric, through what the caller still holds
        agrees_with_its_dense_form(operator)
    edit(operator.to_scipy(), through_numpy)
    edit(operator.pattern, in_place)
    edit(operator.T, in_place)
    agrees_with_its_dense_form(operator)


def test_an_edit_reaches_the_operator():
    """An operator that answered with copies for ever would obey all laws above."""
    operator = gcn_adjacency(RING, num_nodes=4)
    before = operator.to_dense()
    operator.values.mul_(5)
    assert torch.equal(operator.to_dense(), 5 * before)


def test_an_edited_laplacian_has_no_degrees():
    for operator in (laplacian(RING, WEIGHT), SparseOperator(laplacian(RING).pattern, torch.ones(12), DEGREES)):
        assert operator.degrees is not None
        assert copy.deepcopy(operator).degrees is not None
        operator.values.data[0] = 7.0
        assert operator.degrees is None
        assert copy.deepcopy(operator).degrees is None


DEGREES = Degrees("none", torch.full((4,), 2.0))


def test_largest_eigenvalues_are_those_of_the_edited_matrix():
    operator, bank = laplacian(RING, normalization="sym"), heat(1.0)
    operator.values.mul_(0.9)
    wavelet_analysis(operator, X, bank)
    operator.values.data.mul_(3)
    with pytest.raises(ValueError, match="largest"):
        wavelet_analysis(operator, X, bank)


def test_the_places_of_a_pattern_cannot_be_exchanged():
    operator = directed()
    with pytest.raises(AttributeError):
        operator.pattern = operator.T.pattern


def test_a_data_set_is_read_anew():
    first, before = load("digits"), load("digits").x.clone()
    edit([part for part in first.to_dict().values() if isinstance(part, torch.Tensor)], through_data)
    assert torch.equal(load("digits").x, before)
    assert not torch.equal(first.x, before)


# ---- nothing is remembered beside this

INTERNAL = "read by the package alone, which hands out none of it"
ANSWERED = "a number or a flag, which nobody can edit"
LENT = "an operator, which hands out copies; law above"
REMEMBERED = {
    "data.catalog.loading:_graph": "a folder of files, which every call reads anew; law above",
    "meta.acceleration.subgraph:_incidence": INTERNAL,
    "meta.acceleration.subgraph:_take_rows": INTERNAL,
    "meta.acceleration.blocks:_sparse_rows": INTERNAL,
    "meta.acceleration.gcn_span:gcn_stack": INTERNAL,
    "nn.temporal.recurrent:convolve": "looked at before a layer is given it again; tests/nn/test_temporal.py",
    "nn.spectral.polynomial:_checked_laplacian": ANSWERED,
    "nn.spectral.fused_laplacian:_check_batch": ANSWERED,
    "nn.spectral.graph_wavelet:_bind_to_graph": ANSWERED,
    "nn.spectral.graph_wavelet:_wavelets": "`wavelets` lends its operators; law above",
    "operators.coarsening.hierarchy:_basis": "`basis` is a copy; law above",
    "operators.coarsening.hierarchy:fingerprint": ANSWERED,
    "operators.coarsening.hierarchy:tree": "looked at before it is handed out again; law above",
    "operators.diffusion:pagerank_graph": "looked at before it is handed out again; law above",
    "operators.feature_matrix:features_of": INTERNAL,
    "operators.laplacian:laplacian": LENT,
    "operators.laplacian:rescaled_laplacian": LENT,
    "operators.normalization:cached_operator": LENT,
    "operators.normalization:gcn_adjacency": LENT,
    "operators.normalization:mean_adjacency": LENT,
    "operators.normalization:walk_adjacency": LENT,
    "operators.normalization:sum_adjacency": LENT,
    "operators.edges:edges_of": INTERNAL,
    "operators.edges:pattern_with_loops": "a pattern hands out copies; law above",
    "operators.edges:pattern_of": "a pattern hands out copies; law above",
    "operators.spectrum.basis:extent": ANSWERED,
    "operators.wavelets.shift:shifted_laplacian": LENT,
    "operators.wavelets.transform:_polynomial_coefficients": ANSWERED,
    # kept for as long as the process runs, or with an object
    "cli.output:sweep_at_exit": ANSWERED,
    "data.splits.families:_family_of": INTERNAL,
    "nn.graph_features:_descriptors": "numbers of a molecule, by its atoms and bonds; stacked before anyone sees them",
    "meta.acceleration.blocks:of": "features of parts of a graph, drawn anew for every batch of tasks",
    "metric.pair_inputs:negatives": "of one batch, inside a loss",
    "metric.pair_inputs:positives": "of one batch, inside a loss",
    "nn.fused:_has_library_steps": ANSWERED,
    "nn.fused:_step_names": ANSWERED,
    "nn.alteration:method_names": ANSWERED,
    "operators.coarsening.hierarchy:full": ANSWERED,
    "operators.polynomials.cayley:_degree": ANSWERED,
    "operators.polynomials.polynomial_bases:_cosines": INTERNAL,
    "operators.polynomials.polynomial_bases:_table": "`chebyshev_table` returns a clone",
    "operators.spectrum.basis:_matrix": "the caller's own entries, which it shares",
    "operators.spectrum.basis:sizes": "of the caller's own basis, read once",
    "operators.spectrum.components:double": INTERNAL,
    "operators.spectrum.components:single": INTERNAL,
    "training.embedding.embedding_task:view": INTERNAL,
    "training.links.link_task:_places": INTERNAL,
    "training.links.link_task:sampler": INTERNAL,
    "training.links.link_task:_seen_viewer": INTERNAL,
    "training.links.link_task:_folds": INTERNAL,
    "training.links.link_task:_fold_viewers": INTERNAL,
    "training.trained.link_run:_z": INTERNAL,
    "training.links.link_task:views": "what a graph says of the items of a task, which nobody edits",
    "training.fewshot.studies:known_of": INTERNAL,
    "training.fewshot.studies:study_across_graphs": INTERNAL,
    "training.fewshot.studies:study_of_classes": INTERNAL,
    "training.fewshot.studies:study_of_graphs": INTERNAL,
    "training.fewshot.studies:visible": INTERNAL,
    "training.classification.choice:__init__": INTERNAL,
    "training.classification.tuning:study": INTERNAL,
    "training.embedding.graph_rows:fitted": "of one study, which only makes rows with it",
    "training.embedding.joined_rows:figure": "figures of shares, for as long as they are chosen",
    "training.embedding.node_rows:fitted": "of one study, which only makes rows with it",
    "training.embedding.run_embedding:embed": "a number",
}
"""Where something is remembered, and why no caller can reach it."""

KEEPERS = {"cached", "cached_operator", "cache", "lru_cache", "cached_property"}


def test_every_place_that_remembers_is_known():
    package = Path(graphkit.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        room = ".".join(path.relative_to(package).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and keeps(function):
                found.add(f"{room}:{function.name}")
    assert found == REMEMBERED.keys()


def keeps(function: ast.FunctionDef) -> bool:
    """Tell whether a function is remembered or remembers, other functions inside it left out."""
    parts = [node for part in (*function.body, *function.decorator_list) for node in ast.walk(part)]
    modules = {id(node.value) for node in parts if isinstance(node, ast.Attribute)}  # `cache` is a module of ours too
    names = {node.id for node in parts if isinstance(node, ast.Name) and id(node) not in modules}
    names |= {node.attr for node in parts if isinstance(node, ast.Attribute)} - {"cached"}  # an option of PyG's layers
    return function.name != "cached" and bool(names & KEEPERS)
