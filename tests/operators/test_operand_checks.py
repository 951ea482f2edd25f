"""Every public function, class and method of the room is fed one table of bad arguments: it refuses them in its words.

An error is a ``ValueError`` or ``TypeError`` that this package raised and that names the argument in backticks. Where a
bad argument has a documented answer, ``ANSWERED`` says which and why.
"""

from __future__ import annotations

import inspect
import math
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch

from graphkit import operators
from graphkit.operators import (
    BalancedTree,
    FilterBank,
    FourierBasis,
    Hierarchy,
    Level,
    SparseOperator,
    ThresholdedWavelets,
    coarsen,
    fourier_basis,
    heat,
    laplacian,
    lazy_random_walk,
)

RING = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
WEIGHT, X = torch.ones(8), torch.arange(8.0).reshape(4, 2)
L = laplacian(RING, normalization="sym")
BASIS, BANK, HIERARCHY = fourier_basis(L), heat(1.0), coarsen(RING, levels=1)
TREE = HIERARCHY.tree
WALK = lazy_random_walk(RING, num_nodes=4)

GRAPH = {"edge_index": RING, "edge_weight": WEIGHT}
VALID: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "BalancedTree": (BalancedTree, {n: getattr(TREE, n) for n in ("levels", "orders", "places", "arities")}),
    "BalancedTree.fake": (TREE.fake, {"level": 0}),
    "BalancedTree.factor": (TREE.factor, {"level": 0, "levels": 1}),
    "BalancedTree.spread": (TREE.spread, {"x": X, "level": 0}),
    "BalancedTree.gather": (TREE.gather, {"x": X, "level": 0}),
    "FilterBank": (FilterBank, {"name": "heat", "scales": (1.0,), "largest": 2.0, "kind": "frame"}),
    "FilterBank.__call__": (BANK.__call__, {"eigenvalues": torch.ones(3)}),
    "FilterBank.dual": (BANK.dual, {}),
    "FilterBank.frame_sum": (BANK.frame_sum, {"eigenvalues": torch.ones(3)}),
    "FilterBank.frame_bounds": (BANK.frame_bounds, {"eigenvalues": torch.ones(3)}),
    "FourierBasis": (FourierBasis, BASIS.__getstate__()),
    "FourierBasis.gft": (BASIS.gft, {"x": X}),
    "FourierBasis.igft": (BASIS.igft, {"spectrum": X}),
    "FourierBasis.filter": (BASIS.filter, {"x": X, "g": torch.ones(4), "residual": 0.5}),
    "FourierBasis.batch": (FourierBasis.batch, {"bases": [BASIS, BASIS]}),
    "FourierBasis.of": (FourierBasis.of, {"basis": BASIS}),
    "FourierBasis.graphs": (BASIS.graphs, {}),
    "Hierarchy": (Hierarchy, {"levels": HIERARCHY.levels, "clusters": HIERARCHY.clusters}),
    "Hierarchy.assignment": (HIERARCHY.assignment, {"level": 1}),
    "Level": (Level, {**GRAPH, "sizes": torch.ones(4, dtype=torch.long)}),
    "SparseOperator": (SparseOperator, {"pattern": L.pattern, "values": L.values, "degrees": L.degrees}),
    "SparseOperator.from_edge_index": (
        SparseOperator.from_edge_index,
        {**GRAPH, "num_nodes": 4, "flow": "source_to_target"},
    ),
    "SparseOperator.from_dense": (SparseOperator.from_dense, {"x": X}),
    "SparseOperator.from_torch": (SparseOperator.from_torch, {"matrix": X}),
    "SparseOperator.from_scipy": (SparseOperator.from_scipy, {"matrix": scipy.sparse.csr_array(np.eye(3))}),
    "SparseOperator.from_networkx": (SparseOperator.from_networkx, {"graph": nx.path_graph(3), "weight": None}),
    "SparseOperator.with_values": (L.with_values, {"values": L.values}),
    "SparseOperator.size": (L.size, {"dim": 0}),
    "SparseOperator.dim": (L.dim, {}),
    "SparseOperator.entry_values": (L.entry_values, {}),
    "SparseOperator.sums": (L.sums, {}),
    "SparseOperator.__matmul__": (L.__matmul__, {"x": X}),
    "SparseOperator.__call__": (L.__call__, {"x": X}),
    "SparseOperator.multiply_add": (L.multiply_add, {"x": X, "addend": X, "alpha": 2.0, "beta": 1.0}),
    "SparseOperator.sddmm": (L.sddmm, {"left": X, "right": X}),
    "SparseOperator.dropout": (L.dropout, {"p": 0.5, "training": True}),
    "SparseOperator.to_dense": (L.to_dense, {}),
    "SparseOperator.to_scipy": (L.to_scipy, {}),
    "SparseOperator.edge_index": (L.edge_index, {}),
    "ThresholdedWavelets": (
        ThresholdedWavelets,
        {"operator": L, "threshold": 0.1, "dropped": 0.0, "bound": 0.0, "density": 1.0},
    ),
    "chebyshev_sum": (operators.chebyshev_sum, {"apply": L, "signals": [X, X], "reduced": False}),
    "chebyshev_terms": (operators.chebyshev_terms, {"apply": L, "x": X, "order": 3}),
    "coarse_graph": (operators.coarse_graph, {**GRAPH, "cluster": torch.tensor([0, 0, 1, 1]), "num_clusters": 2}),
    "coarsen": (
        coarsen,
        {**GRAPH, "num_nodes": 4, "levels": 1, "method": "graclus", "cluster_size": 2, "generator": None},
    ),
    "diffusion_wavelets": (operators.diffusion_wavelets, {"walk": WALK, "x": X, "scales": 2}),
    "eigenvalue_bound": (operators.eigenvalue_bound, {"laplacian": L, "batch": torch.zeros(4, dtype=torch.long)}),
    "fourier_basis": (
        fourier_basis,
        {"laplacian": L, "k": 2, "solver": "auto", "components": "split", "inside": "extend", "tolerance": 1e-5},
    ),
    "gcn_adjacency": (
        operators.gcn_adjacency,
        {
            "graph": RING,
            "edge_weight": WEIGHT,
            "num_nodes": 4,
            "improved": False,
            "add_self_loops": True,
            "normalize": True,
            "flow": "source_to_target",
            "dtype": torch.float32,
        },
    ),
    "graph_scattering": (
        operators.graph_scattering,
        {"walk": WALK, "x": X, "batch": torch.zeros(4, dtype=torch.long), "scales": 2, "layers": 2, "moments": 2},
    ),
    "heat": (heat, {"scale": 1.0, "largest": 2.0}),
    "itersine": (operators.itersine, {"bands": 3, "largest": 2.0}),
    "krylov": (operators.krylov, {"operator": L, "x": X, "kernel": BANK, "tolerance": 1e-3, "steps": 4}),
    "laplacian": (
        laplacian,
        {**GRAPH, "num_nodes": 4, "normalization": "sym", "isolated": 0.0, "dtype": torch.float32},
    ),
    "largest_eigenvalue": (
        operators.largest_eigenvalue,
        {"laplacian": L, "batch": torch.zeros(4, dtype=torch.long), "tolerance": 1e-6},
    ),
    "lazy_random_walk": (lazy_random_walk, {**GRAPH, "num_nodes": 4, "dtype": torch.float32}),
    "mean_adjacency": (
        operators.mean_adjacency,
        {"graph": RING, "num_nodes": 4, "flow": "source_to_target", "dtype": torch.float32},
    ),
    "mexican_hat": (operators.mexican_hat, {"bands": 3, "largest": 2.0, "lowest": 0.1}),
    "meyer": (operators.meyer, {"bands": 3, "largest": 2.0}),
    "node_scattering": (operators.node_scattering, {"walk": WALK, "x": X, "scales": 2, "layers": 2}),
    "pagerank_graph": (
        operators.pagerank_graph,
        {"graph": RING, "edge_weight": WEIGHT, "num_nodes": 4, "teleport": 0.15, "neighbours": 2},
    ),
    "rescaled_laplacian": (
        operators.rescaled_laplacian,
        {
            **GRAPH,
            "num_nodes": 4,
            "normalization": "sym",
            "largest": 2.0,
            "batch": torch.zeros(4, dtype=torch.long),
            "flow": "source_to_target",
            "dtype": torch.float32,
        },
    ),
    "sparse_features": (operators.sparse_features, {"x": X}),
    "sum_adjacency": (operators.sum_adjacency, {"graph": RING, "num_nodes": 4, "flow": "source_to_target"}),
    "thresholded_wavelets": (
        operators.thresholded_wavelets,
        {"laplacian": L, "kernel": BANK, "threshold": 0.1, "largest": 2.0, "order": 3, "tolerance": 1e-6},
    ),
    "walk_adjacency": (
        operators.walk_adjacency,
        {
            "graph": RING,
            "edge_weight": torch.ones(8),
            "num_nodes": 4,
            "flow": "source_to_target",
            "dtype": torch.float32,
        },
    ),
    "wavelet_analysis": (
        operators.wavelet_analysis,
        {"operator": L, "x": X, "bank": BANK, "method": "chebyshev", "order": 3, "tolerance": 1e-3},
    ),
    "wavelet_synthesis": (
        operators.wavelet_synthesis,
        {
            "operator": L,
            "coefficients": X.unsqueeze(0),
            "bank": BANK,
            "method": "chebyshev",
            "order": 3,
            "tolerance": 1e-3,
        },
    ),
}
"""For every public name and method: what is called, and valid arguments for all of its parameters."""

LEFT_OUT = {
    "*.to": "its arguments are `Tensor.to`'s, and so are its errors",
    "*.__torch_function__": "PyTorch calls it",
}
"""Public methods that are not called here, and why."""

BAD: dict[str, Any] = {
    "None": None,
    "a text": "no",
    "a list of texts": ["a", "b"],
    "a list of numbers": [1.0, 2.0],
    "a dictionary": {"a": 1},
    "an array": np.ones((3, 3)),
    "a module": torch.nn.Linear(2, 2),
    "true": True,
    "minus one": -1,
    "nought": 0,
    "a half": 0.5,
    "far too many": 2**61,
    "NaN": math.nan,
    "infinity": math.inf,
    "no axis": torch.tensor(1.5),
    "one axis, other length": torch.ones(5),
    "two axes, other length": torch.ones(5, 7),
    "four axes": torch.ones(2, 2, 2, 2),
    "nothing": torch.empty(0),
    "integers": torch.arange(3),
    "ids out of range": torch.full((2, 3), 2**40),
    "negative ids": torch.full((2, 3), -3),
    "booleans": torch.ones(5, 7, dtype=torch.bool),
    "complex numbers": torch.ones(5, 7, dtype=torch.complex64),
    "NaN everywhere": torch.full((4, 2), math.nan),
}
"""What every argument is replaced by."""

LEFT_OPEN = "left out, it is as the docstring says: ones, all, one graph, or what the others tell"
ANY_NUMBER = "any number of the kind is one"
SWITCHES = "1 and 0 are true and false"
NAN_STAYS = "what is not a number stays so: PyTorch's products carry it on"
OF_OTHERS = "a module is a function; what it raises on eigenvalues is its own"
ANSWERED: dict[tuple[str, str, str], str] = {
    ("*", "edge_weight", "None"): LEFT_OPEN,
    ("*", "num_nodes", "None"): LEFT_OPEN,
    ("*", "batch", "None"): LEFT_OPEN,
    ("*", "order", "None"): LEFT_OPEN,
    ("wavelet_*", "tolerance", "None"): LEFT_OPEN,
    ("fourier_basis", "tolerance", "None"): LEFT_OPEN,
    ("SparseOperator*", "[advw]*", "None"): LEFT_OPEN,
    ("FourierBasis", "scale", "None"): LEFT_OPEN,
    ("FilterBank.frame_bounds", "eigenvalues", "None"): LEFT_OPEN,
    ("coars*", "[ng]*", "None"): LEFT_OPEN,
    ("fourier_basis", "k", "None"): LEFT_OPEN,
    ("*laplacian", "normalization", "None"): LEFT_OPEN,
    ("rescaled_laplacian", "largest", "None"): LEFT_OPEN,
    ("mexican_hat", "lowest", "None"): LEFT_OPEN,
    ("*", "level*", "nought"): ANY_NUMBER,
    ("*", "layers", "nought"): ANY_NUMBER,
    ("*", "order", "nought"): ANY_NUMBER,
    ("*", "largest", "a half"): ANY_NUMBER,
    ("*", "largest", "far too many"): ANY_NUMBER,
    ("*", "lowest", "[fa]*"): ANY_NUMBER,
    ("*", "tolerance", "a half"): ANY_NUMBER,
    ("*", "tolerance", "far too many"): ANY_NUMBER,
    ("pagerank_graph", "teleport", "a half"): ANY_NUMBER,
    ("pagerank_graph", "neighbours", "far too many"): "as many as there are",
    ("krylov", "steps", "far too many"): "it ends when the error is small",
    ("SparseOperator.dropout", "p", "[na] *"): ANY_NUMBER,
    ("SparseOperator.dropout", "p", "nought"): ANY_NUMBER,
    ("SparseOperator.size", "dim", "[tmn]*"): "axes count from either end, as PyTorch's do, and true is 1",
    ("*", "threshold", "nought"): ANY_NUMBER,
    ("*", "threshold", "a half"): ANY_NUMBER,
    ("*", "threshold", "far too many"): ANY_NUMBER,
    **{
        (name, argument, bad): ANY_NUMBER
        for name, argument in (
            ("SparseOperator.multiply_add", "alpha"),
            ("SparseOperator.multiply_add", "beta"),
            ("FourierBasis.filter", "residual"),
            ("ThresholdedWavelets", "[tdb]*"),
            ("laplacian", "isolated"),
        )
        for bad in ("minus one", "nought", "a half", "far too many")
    },
    ("rescaled_laplacian", "largest", "nought"): "the largest eigenvalue of a graph without edges",
    ("rescaled_laplacian", "largest", "no axis"): ANY_NUMBER,
    ("rescaled_laplacian", "largest", "one axis*"): "there may be more graphs than the batch names",
    ("rescaled_laplacian", "largest", "integers"): "there may be more graphs than the batch names",
    ("heat", "scale", "a list of numbers"): ANY_NUMBER,
    ("heat", "scale", "minus one"): "the inverse of the kernel, as the docstring says",
    ("heat", "scale", "[nf]*"): ANY_NUMBER,
    ("heat", "scale", "a half"): ANY_NUMBER,
    ("FilterBank", "scales", "a list of numbers"): ANY_NUMBER,
    ("FilterBank.*", "eigenvalues", "*"): "any real numbers, of any shape",
    ("FourierBasis", "fingerprints", "a list of texts"): ANY_NUMBER,
    ("SparseOperator.from_networkx", "weight", "a text"): "edges without the attribute weigh 1, as in NetworkX",
    ("SparseOperator.from_dense", "x", "*"): "any matrix",
    ("SparseOperator.from_torch", "matrix", "*"): "any matrix",
    ("sparse_features", "x", "*"): "any matrix",
    ("*", "training", "[tn]*"): SWITCHES,
    ("*", "improved", "[tn]*"): SWITCHES,
    ("*", "add_self_loops", "[tn]*"): SWITCHES,
    ("*", "normalize", "[tn]*"): SWITCHES,
    ("*", "reduced", "[tn]*"): SWITCHES,
    ("*", "*", "NaN everywhere"): NAN_STAYS,
    ("FourierBasis.filter", "g", "a module"): OF_OTHERS,
    ("*", "kernel", "a module"): OF_OTHERS,
    ("*", "apply", "a module"): OF_OTHERS,
}
"""(name, argument, bad argument), each as a pattern, and why that has an answer."""


@dataclass(frozen=True)
class Case:
    """One argument of one public thing, replaced."""

    name: str
    argument: str
    bad: str

    def __str__(self) -> str:
        return f"{self.name}({self.argument}: {self.bad})"

    @property
    def answer(self) -> str | None:
        """Why it may be answered."""
        for pattern, reason in ANSWERED.items():
            if all(map(fnmatch, (self.name, self.argument, self.bad), pattern)):
                return reason
        return None


def public() -> Iterator[str]:
    """Yield the names of all public functions and classes of the room, and of the methods these define."""
    for name in operators.__all__:
        yield name
        thing = getattr(operators, name)
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            called = inspect.isfunction(value) or isinstance(value, classmethod | staticmethod)
            if called and (not method.startswith("_") or method in ("__call__", "__matmul__")):
                yield f"{name}.{method}"


def cases() -> list[Case]:
    return [Case(name, argument, bad) for name, (_, given) in VALID.items() for argument in given for bad in BAD]


def outcome(case: Case) -> str | None:
    """Return what is wrong with what came of a case, ``None`` where nothing is."""
    call, given = VALID[case.name]
    try:
        with warnings.catch_warnings(action="ignore"):
            call(**given | {case.argument: BAD[case.bad]})
    except (ValueError, TypeError) as error:
        ours = "/graphkit/" in traceback.extract_tb(error.__traceback__)[-1].filename
        if ours and "`" in str(error):
            return None
        return f"{type(error).__name__} of others: {str(error)[:100]}"
    except Exception as error:
        return None if case.answer == OF_OTHERS else f"{type(error).__name__}: {str(error)[:100]}"
    return None if case.answer else "an answer"


def test_the_table_has_every_public_name_and_every_parameter():
    left_out = {name for name in public() if any(fnmatch(name, pattern) for pattern in LEFT_OUT)}
    assert set(public()) - left_out == VALID.keys()
    for name, (call, given) in VALID.items():
        parameters = {each for each in inspect.signature(call).parameters if each != "self"}
        assert parameters == given.keys(), name


@pytest.mark.parametrize("name", VALID)
def test_the_valid_arguments_are_valid(name):
    call, given = VALID[name]
    call(**given)


@pytest.mark.parametrize("name", VALID)
def test_bad_arguments_are_refused_in_words_that_name_them(name):
    wrong = {str(case): found for case in cases() if case.name == name and (found := outcome(case))}
    assert wrong == {}
