"""The public doors to the compiled kernels, hostile arguments for each, and the process that tries them all.

``python -m tests._kernels.doors FIRST`` tries the cases from number ``FIRST`` on and tells of each, one line of JSON
when it begins and one when it ends, what came of it. It dies where a kernel reads memory that is not its own; whoever
started it then knows of which case, and starts it again behind that one.
"""

from __future__ import annotations

import faulthandler
import importlib
import itertools
import json
import pkgutil
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numba.core.dispatcher import Dispatcher
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.sampler import NodeSamplerInput

import graphkit._kernels
from graphkit import metric, operators
from graphkit.data import DataError, open_stored, store
from graphkit.data.distributed.partitions import partition
from graphkit.data.sampling.csc import CSC
from graphkit.data.sampling.loaders import EpochSampler
from graphkit.data.sampling.neighbor_sampler import NeighborSampler
from graphkit.data.splits.links import LinkPart, LinkSplit
from graphkit.nn import (
    AtomEncoder,
    BondedGCNConv,
    BondEncoder,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GINEConv,
    GraphWaveletConv,
    LocallyConnectedConv,
    SAGEConv,
)
from graphkit.operators import Level, SparseOperator
from graphkit.operators.attention import attend, entry_softmax, gatv2_scores
from graphkit.operators.dropout import dropout
from graphkit.operators.messages import EdgeTable, edge_table_sum, neighbor_max, relu_message_sum
from graphkit.operators.pair_scores import PairScores
from graphkit.operators.pair_sketches import PairSketches
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import sddmm, spmm

MEMORY = 32 << 30
"""Bytes that the process may ask for: what wants more is refused by the machine, and takes nothing from others."""

Arguments = dict[str, Any]


class Unmade(ValueError):
    """What is no matter of ours: the library that was to make the argument refused."""


@dataclass(frozen=True)
class Door:
    """A public call that reaches kernels.

    Attributes:
        name: shown where it fails.
        kernels: what it reaches, as ``module.kernel``; what these call themselves need not be named.
        arguments: makes the valid arguments, the same at each call.
        call: takes them and returns tensors or arrays.
        places: arguments that hold places of something: others than there are must be refused.
        loose: arguments whose length is free, with the reason.
        wide: arguments whose last axis is free: features of one call are as many as its others.
        lax: why errors may be PyTorch's own and lengths are free, ids of places excepted.
    """

    name: str
    kernels: tuple[str, ...]
    arguments: Callable[[], Arguments]
    call: Callable[..., Any]
    places: tuple[str, ...] = ()
    loose: dict[str, str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    lax: str = ""

    def __str__(self) -> str:
        return self.name


def kernels() -> dict[str, Dispatcher]:
    """Return every compiled function of the room, as ``module.name``."""
    found = {}
    for module in pkgutil.iter_modules(graphkit._kernels.__path__):
        for name, thing in vars(importlib.import_module(f"graphkit._kernels.{module.name}")).items():
            if isinstance(thing, Dispatcher) and thing.__module__.endswith(f".{module.name}"):
                found[f"{module.name}.{name}"] = thing
    return found


def with_callees(names: set[str]) -> set[str]:
    """Return kernels and all that these call."""
    every = kernels()
    names_of = {id(kernel): name for name, kernel in every.items()}
    reached, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        function = every[name].py_func
        callees = (function.__globals__.get(each) for each in function.__code__.co_names)
        waiting += [
            names_of[id(each)] for each in callees if id(each) in names_of and names_of[id(each)] not in reached
        ]
    return reached


# ---- what is given

NODES, WIDTH, HEADS = 6, 40, 2
ENDS = [[0, 1, 1, 2, 2, 3, 3, 0, 4, 2], [1, 0, 2, 1, 3, 2, 0, 3, 2, 4]]
"""A ring of four with a tail, and an isolated node; wide enough for our kernels, not PyTorch's product."""


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def edge_index() -> Tensor:
    return torch.tensor(ENDS)


def pattern() -> Pattern:
    return SparseOperator.from_edge_index(edge_index(), num_nodes=NODES).pattern


def compressed() -> Arguments:
    made = pattern()
    return {"indptr": made.indptr.clone(), "indices": made.indices.clone(), "perm": made.perm.clone()}


def _graph() -> Arguments:
    return {"edge_index": edge_index(), "x": numbers(NODES, WIDTH)}


def _grown(out: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Return a result and its gradients, so that the backward kernels run too."""
    wanted = [each for each in inputs if each.requires_grad]
    return [out.detach(), *torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)]


def _with_gradients(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        inputs = {
            name: value.clone().requires_grad_() if isinstance(value, Tensor) and value.is_floating_point() else value
            for name, value in arguments.items()
        }
        return _grown(function(**inputs), *(each for each in inputs.values() if isinstance(each, Tensor)))

    return call


def _sparse(make: Callable[..., Tensor], *names: str) -> Callable[..., Any]:
    def call(values: Any, x: Tensor, **parts: Any) -> Any:
        try:
            matrix = make(*(parts[name] for name in names), values, size=(NODES, NODES), check_invariants=False)
        except (RuntimeError, IndexError) as error:  # PyTorch makes no matrix of these
            raise Unmade(str(error)) from error
        operator = SparseOperator.from_torch(matrix)
        return [operator @ x, operator.T @ x]

    return call


def _csr() -> Arguments:
    made = pattern()
    values, x = torch.ones(len(ENDS[0])), numbers(NODES, WIDTH)
    return {"pointers": made.indptr.long(), "columns": made.indices.long(), "values": values, "x": x}


def _of_matrix(hooked: bool) -> Callable[..., Any]:
    """Return a layer called with a CSR matrix, on its fused path or on PyG's."""

    def call(pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Any:
        matrix = torch.sparse_csr_tensor(pointers, columns, values, size=(NODES, NODES), check_invariants=False)
        torch.manual_seed(0)
        layer = SAGEConv(WIDTH, 33)
        if hooked:
            layer.register_propagate_forward_pre_hook(lambda *_: None)
        return layer(x, matrix)

    return call


def _scipy(values: Any, x: Tensor, pointers: Any, columns: Any) -> Any:
    matrix = scipy.sparse.csr_array((NODES, NODES))
    matrix.data, matrix.indices, matrix.indptr = (np.asarray(part) for part in (values, columns, pointers))
    return SparseOperator.from_scipy(matrix) @ x


def _layer(make: Callable[[], nn.Module]) -> Callable[..., Any]:
    def call(x: Tensor, edge_index: Any, **options: Any) -> Any:
        torch.manual_seed(0)
        layer = make()
        return _grown(layer(x, edge_index, **options), *layer.parameters())

    return call


def _hierarchy(edge_index: Tensor, edge_weight: Tensor) -> Any:
    found = operators.coarsen(edge_index, edge_weight, NODES, levels=2)
    return [*found.clusters, *(level.edge_weight for level in found.levels), *found.tree.orders]


def _locally(x: Tensor, **parts: Tensor) -> Any:
    torch.manual_seed(0)
    level = Level(**parts)
    return [LocallyConnectedConv(WIDTH, 2, level)(x), level.basis.eigenvalues]


def _sampled(edge_index: Any = None, input_nodes: Any = None, *, weight: Any = None, **options: Any) -> Any:
    graph = Data(edge_index=edge_index, num_nodes=NODES, weight=weight)
    named = {"weight_attr": "weight"} if weight is not None else {}
    out = NeighborSampler(graph, [2, -1], **named, **options).sample_from_nodes(NodeSamplerInput(None, input_nodes))
    return [out.node, out.row, out.col, out.edge]


def _sampled_in_order(pointers: Tensor, sources: Tensor, input_nodes: Tensor) -> Any:
    edges = EdgeIndex(edge_index()[:, pattern().perm.long()], sparse_size=(NODES, NODES), sort_order="col")
    edges.get_csc()
    if sources.shape != edges._data[1].shape:
        raise Unmade("an edge has two ends")
    edges._indptr, edges._data = pointers, torch.stack([sources, edges._data[1]])
    return _sampled(edges, input_nodes, replace=True)


def _drawn(pointers: np.ndarray, sources: np.ndarray, weights: np.ndarray) -> Any:
    incoming = CSC(pointers, sources, weights)
    return list(incoming.sample(np.arange(incoming.nodes), fanout=2, replace=False, key=np.uint64(3)))


def _kept(edge_index: Any, x: Any) -> Any:
    with tempfile.TemporaryDirectory() as home:
        store(Data(x=x, edge_index=edge_index, num_nodes=NODES), Path(home) / "graph", name="fuzz")
        return open_stored(Path(home) / "graph").edge_index.as_tensor().clone()


def _from_the_disk(sources: np.ndarray, pointers: np.ndarray) -> Any:
    """Files that somebody changed behind the manifest's back, as long as they were."""
    targets = pattern().rows().int().numpy()
    if sources.shape != targets.shape:
        raise Unmade("an edge has two ends")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "graph"
        store(Data(edge_index=torch.tensor(ENDS), num_nodes=NODES), folder, name="fuzz")
        np.save(folder / "edge_index.npy", np.stack([sources, targets]))
        np.save(folder / "pointers.npy", pointers)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, each in manifest["files"].items():
            each["bytes"] = (folder / name).stat().st_size
        manifest.pop("seal")  # as folders of older versions have none
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        sampler = NeighborSampler(open_stored(folder, verify=False), [-1, -1])
        return sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(NODES))).node


def _on_the_disk() -> Arguments:
    return {"sources": pattern().indices.numpy(), "pointers": pattern().indptr.numpy()}


def _parts(edge_index: Any, x: Any, y: Any) -> Any:
    masks = {f"{part}_mask": torch.arange(NODES) % 3 == number for number, part in enumerate(("train", "val", "test"))}
    with tempfile.TemporaryDirectory() as home:
        made = partition(Data(x=x, edge_index=edge_index, y=y, **masks), Path(home) / "parts", parts=2, by="contiguous")
        return [made.array("part-0/sources").copy(), made.array("part-0/pointers").copy()]


def _labelled() -> Arguments:
    return {"z": numbers(9, 5), "y": torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])}


def _loss(make: Callable[[], nn.Module]) -> Callable[..., Any]:
    return lambda z, y: _with_gradients(lambda z: make()(z, y))(z=z)


def _operated(indptr: Tensor, indices: Tensor, perm: Tensor, values: Tensor, x: Tensor) -> Any:
    operator = SparseOperator(Pattern(indptr, indices, perm, (NODES, NODES)), values)
    return [operator @ x, operator.T @ x, relu_message_sum(operator.pattern, x, x.new_ones(len(values), x.shape[-1]))]


def _maximum(x: Tensor) -> Any:
    """The backward pass of the backward pass too."""
    x = x.clone().requires_grad_()
    out = neighbor_max(pattern(), x)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    return [out.detach(), first.detach(), *torch.autograd.grad(first.square().sum(), x)]


LAYERS = "the law of layers asks for their words about widths and types"
FREE_LABELS = {"y": "labels name nothing: any number is one"}


def _pair_scores(edge_index: Any, pairs: Any, weights: Any, rows: Any) -> Any:
    scores = PairScores(edge_index, NODES)
    near = scores.neighbor_similarity(pairs, rows)
    alike = [scores.resource_allocation(pairs), scores.pagerank(pairs)]
    return [*scores.paths(pairs, weights), *scores.common_nodes(pairs), *near, *alike]


def _non_edges(edge_index: Any) -> Any:
    pair = torch.tensor([[0], [1]])
    split = LinkSplit(NODES, torch.ones(1, dtype=torch.bool), pair, LinkPart(pair, pair), LinkPart(pair, pair), False)
    return split.sampler(Data(edge_index=edge_index, num_nodes=NODES))(20, key=3)


DOORS = (
    Door(
        "PairScores",
        (
            "csr_layout._counting_sort",
            "pair_paths.path_sums",
            "pair_paths.group_pairs",
            "pair_paths.common_sums",
            "pair_paths.path_counts",
            "pair_paths.path_nodes",
            "pair_paths.neighbor_maxima",
        ),
        lambda: {
            "edge_index": edge_index(),
            "pairs": torch.tensor([[0, 1, 5, 2], [2, 3, 0, 2]]),
            "weights": numbers(NODES, 2),
            "rows": numbers(NODES, 7),
        },
        _pair_scores,
        loose={"pairs": "as many as are asked for", "edge_index": "as many as there are"},
        wide=("weights", "rows"),
        places=("edge_index", "pairs"),
    ),
    Door(
        "PairSketches",
        (
            "sketches.node_sketches",
            "sketches.merge_sketches",
            "sketches.sketch_sizes",
            "sketches.sketch_overlaps",
        ),
        lambda: {"edge_index": edge_index(), "pairs": torch.tensor([[0, 1, 5, 2], [2, 3, 0, 2]])},
        lambda edge_index, pairs: [PairSketches(edge_index, NODES).counts(pairs)],
        loose={"pairs": "as many as are asked for", "edge_index": "as many as there are"},
        places=("edge_index", "pairs"),
    ),
    Door(
        "NonEdgeSampler",
        ("pair_paths.non_edge_pairs",),
        lambda: {"edge_index": edge_index()},
        _non_edges,
        loose={"edge_index": "as many as there are"},
        places=("edge_index",),
    ),
    Door(
        "SparseOperator.from_edge_index",
        ("csr_layout._counting_sort", "csr_layout._transpose", "csr_products.spmm"),
        lambda: {**_graph(), "edge_weight": torch.ones(len(ENDS[0]))},
        lambda edge_index, x, edge_weight: [
            (made := SparseOperator.from_edge_index(edge_index, edge_weight, num_nodes=NODES)) @ x,
            made.T @ x,
        ],
        wide=("x",),
        places=("edge_index",),
    ),
    Door(
        "Pattern and SparseOperator by hand",
        ("csr_layout._transpose", "csr_products.spmm", "csr_messages.relu_message_sum"),
        lambda: {**compressed(), "values": torch.ones(len(ENDS[0])), "x": numbers(NODES, WIDTH)},
        _operated,
        wide=("x",),
        places=("indptr", "indices", "perm"),
    ),
    Door(
        "Pattern.from_coo",
        ("csr_layout._counting_sort",),
        lambda: {"rows": np.array(ENDS[1]), "columns": np.array(ENDS[0])},
        lambda rows, columns: Pattern.from_coo(rows, columns, (NODES, NODES)).indices,
        places=("rows", "columns"),
    ),
    Door(
        "SparseOperator.from_torch of CSR",
        ("csr_layout._counting_sort", "csr_products.spmm"),
        _csr,
        _sparse(torch.sparse_csr_tensor, "pointers", "columns"),
        wide=("x",),
        places=("pointers", "columns"),
    ),
    Door(
        "SparseOperator.from_torch of CSC",
        ("csr_layout._counting_sort", "csr_products.spmm"),
        _csr,
        _sparse(torch.sparse_csc_tensor, "pointers", "columns"),
        wide=("x",),
        places=("pointers", "columns"),
    ),
    Door(
        "SparseOperator.from_torch of COO",
        ("csr_layout._counting_sort", "csr_products.spmm"),
        lambda: {"edge_index": edge_index(), "values": torch.ones(len(ENDS[0])), "x": numbers(NODES, WIDTH)},
        _sparse(torch.sparse_coo_tensor, "edge_index"),
        wide=("x",),
        places=("edge_index",),
    ),
    Door(
        "SparseOperator.from_scipy",
        ("csr_layout._counting_sort", "csr_products.spmm"),
        _csr,
        _scipy,
        wide=("x",),
        places=("pointers", "columns"),
    ),
    Door(
        "products.spmm with heads",
        ("csr_products.spmm_heads", "csr_products.sddmm"),
        lambda: {"values": numbers(len(ENDS[0]), HEADS), "x": numbers(NODES, HEADS, WIDTH)},
        _with_gradients(lambda values, x: spmm(pattern(), values, x)),
        wide=("x",),
    ),
    Door(
        "products.sddmm",
        ("csr_products.sddmm", "csr_products.spmm"),
        lambda: {"left": numbers(NODES, WIDTH), "right": numbers(NODES, WIDTH)},
        _with_gradients(lambda left, right: sddmm(pattern(), left, right)),
    ),
    Door(
        "attend",
        ("csr_attention.attend", "csr_attention.attend_backward_rows", "csr_attention.attend_backward_columns"),
        lambda: {
            "score_row": numbers(NODES, HEADS),
            "score_column": numbers(NODES, HEADS),
            "x": numbers(NODES, HEADS, WIDTH),
            "score_entry": numbers(len(ENDS[0]), HEADS),
            "keep": torch.ones(len(ENDS[0]), HEADS),
        },
        _with_gradients(lambda **parts: attend(pattern(), **parts)),
        wide=("x",),
    ),
    Door(
        "entry_softmax",
        ("csr_attention.softmax_rows", "csr_attention.softmax_rows_backward"),
        lambda: {"scores": numbers(len(ENDS[0]), HEADS)},
        _with_gradients(lambda scores: entry_softmax(pattern(), scores)),
        wide=("scores",),
    ),
    Door(
        "gatv2_scores",
        ("csr_attention.gatv2_scores", "csr_attention.gatv2_scores_backward"),
        lambda: {
            "left": numbers(NODES, HEADS, WIDTH),
            "right": numbers(NODES, HEADS, WIDTH),
            "att": numbers(HEADS, WIDTH),
            "entry_term": numbers(len(ENDS[0]), HEADS, WIDTH),
        },
        _with_gradients(lambda **parts: gatv2_scores(pattern(), **parts)),
    ),
    Door(
        "neighbor_max",
        ("csr_messages.neighbor_max", "csr_messages.scatter_to_maxima", "csr_messages.gather_from_maxima"),
        lambda: {"x": numbers(NODES, WIDTH)},
        _maximum,
        wide=("x",),
    ),
    Door(
        "relu_message_sum",
        (
            "csr_messages.relu_message_sum",
            "csr_messages.relu_message_sum_backward_edges",
            "csr_messages.relu_message_sum_backward_sources",
        ),
        lambda: {"x": numbers(NODES, WIDTH), "edge": numbers(len(ENDS[0]), WIDTH)},
        _with_gradients(lambda x, edge: relu_message_sum(pattern(), x, edge)),
        loose={"edge": "a pattern may leave out edges of the list, as loops, so that more may be given"},
    ),
    Door(
        "edge_table_sum",
        (
            "csr_messages.edge_table_sum",
            "csr_messages.edge_table_sum_backward_sources",
            "csr_messages.edge_table_sum_backward_table",
        ),
        lambda: {
            "x": numbers(NODES, WIDTH),
            "table": numbers(3, WIDTH),
            "row": torch.arange(len(ENDS[0])) % 3,
            "scale": torch.ones(NODES),
        },
        _with_gradients(lambda x, table, row, scale: edge_table_sum(pattern(), x, EdgeTable(table, row), scale)),
        places=("row",),
        loose={"table": "rows that no edge names stand there for nothing", "row": "as the edges of `relu_message_sum`"},
    ),
    Door(
        "dropout",
        ("splitmix.dropout_range",),
        lambda: {"x": numbers(NODES, WIDTH)},
        lambda x: torch.manual_seed(0) and dropout(x, 0.5),
        loose={"x": "any shape"},
    ),
    Door(
        "coarsen",
        ("matching.match", "matching.contract", "csr_layout._counting_sort", "csr_layout._transpose"),
        lambda: {"edge_index": edge_index(), "edge_weight": torch.ones(len(ENDS[0]))},
        _hierarchy,
        places=("edge_index",),
    ),
    Door(
        "coarse_graph",
        ("matching.contract",),
        lambda: {
            "edge_index": edge_index(),
            "cluster": torch.tensor([0, 0, 1, 1, 2, 2]),
            "edge_weight": torch.ones(len(ENDS[0])),
        },
        lambda **parts: list(operators.coarse_graph(**parts, num_clusters=3)),
        places=("edge_index", "cluster"),
        loose={"cluster": "its length is the number of nodes"},
    ),
    Door(
        "Level by hand",
        ("csr_layout._counting_sort", "csr_layout._fingerprint", "csr_products.spmm"),
        lambda: {
            "edge_index": edge_index(),
            "edge_weight": torch.ones(len(ENDS[0])),
            "sizes": torch.ones(NODES, dtype=torch.long),
            "x": numbers(NODES, WIDTH),
        },
        _locally,
        places=("edge_index",),
    ),
    Door(
        "GCNConv",
        ("csr_products.spmm",),
        _graph,
        _layer(lambda: GCNConv(WIDTH, 33)),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "GATConv",
        ("csr_attention.attend",),
        lambda: {**_graph(), "edge_attr": numbers(len(ENDS[0]), 3)},
        _layer(lambda: GATConv(WIDTH, 8, heads=2, edge_dim=3)),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "GATv2Conv",
        ("csr_attention.gatv2_scores",),
        lambda: {**_graph(), "edge_attr": numbers(len(ENDS[0]), 3)},
        _layer(lambda: GATv2Conv(WIDTH, 8, heads=2, edge_dim=3)),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "SAGEConv of a CSR matrix",
        ("csr_products.spmm",),
        _csr,
        _of_matrix(hooked=False),
        places=("pointers", "columns"),
        lax=LAYERS,
    ),
    Door(
        "SAGEConv of a CSR matrix, hooked",
        (),
        _csr,
        _of_matrix(hooked=True),
        places=("pointers", "columns"),
        lax=LAYERS,
    ),
    Door(
        "SAGEConv of maxima",
        ("csr_messages.neighbor_max",),
        _graph,
        _layer(lambda: SAGEConv(WIDTH, 8, aggr="max")),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "GINConv",
        ("csr_products.spmm",),
        _graph,
        _layer(lambda: GINConv(nn.Linear(WIDTH, 8))),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "GINEConv",
        ("csr_messages.relu_message_sum",),
        lambda: {**_graph(), "edge_attr": numbers(len(ENDS[0]), WIDTH)},
        _layer(lambda: GINEConv(nn.Linear(WIDTH, 8))),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "GraphWaveletConv",
        ("csr_products.spmm", "csr_layout._fingerprint"),
        _graph,
        _layer(lambda: GraphWaveletConv(WIDTH, 33)),
        lax=LAYERS,
        places=("edge_index",),
    ),
    Door(
        "BondEncoder.table with GINEConv and BondedGCNConv",
        ("csr_messages.edge_table_sum",),
        lambda: {**_graph(), "bonds": torch.zeros(len(ENDS[0]), 3, dtype=torch.long)},
        lambda x, edge_index, bonds: (
            torch.manual_seed(0)
            and [
                layer(x, edge_index, BondEncoder(WIDTH).table(bonds))
                for layer in (GINEConv(nn.Linear(WIDTH, 8)), BondedGCNConv(WIDTH, WIDTH))
            ]
        ),
        lax=LAYERS,
        places=("edge_index", "bonds"),
    ),
    Door(
        "AtomEncoder",
        (),
        lambda: {"x": torch.zeros(NODES, 9, dtype=torch.long)},
        lambda x: torch.manual_seed(0) and AtomEncoder(4)(x),
        places=("x",),
        loose={"x": "any number of atoms"},
    ),
    Door(
        "NeighborSampler of an edge_index",
        (
            "neighbor_sampling.sample_counts",
            "neighbor_sampling.sample_neighbors",
            "neighbor_sampling.relabel",
            "neighbor_sampling.insert",
            "neighbor_sampling.hash_words",
        ),
        lambda: {"edge_index": edge_index(), "input_nodes": torch.arange(NODES)},
        lambda **parts: _sampled(**parts),
        places=("edge_index", "input_nodes"),
        loose={"input_nodes": "any number of them", "edge_index": "a graph of so many edges"},
    ),
    Door(
        "NeighborSampler of weights",
        ("neighbor_sampling.sample_neighbors", "neighbor_sampling.hop_key"),
        lambda: {
            "edge_index": edge_index(),
            "input_nodes": torch.arange(NODES),
            "weight": torch.ones(len(ENDS[0])),
        },
        lambda **parts: _sampled(**parts, disjoint=True),
        places=("edge_index", "input_nodes"),
        loose={"input_nodes": "any number of them"},
    ),
    Door(
        "NeighborSampler of all edges between",
        ("neighbor_sampling.lookup",),
        lambda: {"edge_index": edge_index(), "input_nodes": torch.arange(NODES)},
        lambda **parts: _sampled(**parts, subgraph_type="induced"),
        places=("edge_index", "input_nodes"),
        loose={"input_nodes": "any number of them", "edge_index": "a graph of so many edges"},
    ),
    Door(
        "NeighborSampler of edges that know their pointers",
        ("neighbor_sampling.sample_neighbors", "neighbor_sampling.relabel"),
        lambda: {
            "pointers": pattern().indptr.long(),
            "sources": pattern().indices.long(),
            "input_nodes": torch.arange(NODES),
        },
        _sampled_in_order,
        places=("pointers", "sources", "input_nodes"),
        loose={"input_nodes": "any number of them", "pointers": "of another length they are not looked at"},
    ),
    Door(
        "CSC",
        ("neighbor_sampling.sample_neighbors",),
        lambda: {
            "pointers": pattern().indptr.long().numpy(),
            "sources": pattern().indices.numpy(),
            "weights": np.ones(len(ENDS[0])),
        },
        _drawn,
        places=("pointers",),
        loose={
            "pointers": "the last node has no edges: without it the others are a graph",
            "weights": "without them all edges count alike",
        },
    ),
    Door(
        "EpochSampler",
        ("neighbor_sampling.hop_key",),
        lambda: {"epoch": torch.tensor(3)},
        lambda epoch: np.array(list(EpochSampler(type("Passing", (), {"seed": 0, "epoch": int(epoch)})(), length=4))),
        loose={"epoch": "any number"},
    ),
    Door(
        "store",
        ("csr_layout._counting_sort",),
        _graph,
        _kept,
        wide=("x",),
        places=("edge_index",),
        loose={"edge_index": "a graph of so many edges"},
    ),
    Door(
        "stored and NeighborSampler",
        ("neighbor_sampling.sample_neighbors",),
        _on_the_disk,
        _from_the_disk,
        places=("sources", "pointers"),
    ),
    Door(
        "partition",
        ("csr_layout._counting_sort",),
        lambda: {**_graph(), "y": torch.arange(NODES) % 2},
        _parts,
        wide=("x",),
        lax="PyG counts the nodes, and says itself where it cannot",
        places=("edge_index",),
        loose={"edge_index": "a graph of so many edges"},
    ),
    Door(
        "evaluate_retrieval",
        ("ranking.query_metrics",),
        _labelled,
        lambda z, y: np.array(
            list(metric.evaluate_retrieval(z, y, metrics=("ranking", "knn")).__dict__.values()), dtype=object
        ).astype(str),
        wide=("z",),
        loose=FREE_LABELS,
    ),
    Door(
        "nearest_items",
        ("ranking.nearest",),
        lambda: {"z": numbers(9, 5), "queries": torch.arange(4), "exclude": torch.tensor([[0, 1], [1, 2]])},
        lambda z, queries, exclude: list(metric.nearest_items(z, 3, queries=queries, exclude=exclude)),
        places=("queries", "exclude"),
        loose={"z": "any number", "queries": "any number", "exclude": "any number of pairs"},
    ),
    Door(
        "TripletLoss",
        ("tuple_losses.batch_all_triplets", "tuple_losses.distances", "tuple_losses.divide_by_distances"),
        _labelled,
        _loss(metric.TripletLoss),
        wide=("z",),
        loose=FREE_LABELS,
    ),
    Door(
        "TripletLoss, soft",
        ("tuple_losses.batch_all_triplets_soft",),
        _labelled,
        _loss(lambda: metric.TripletLoss(margin=0.2, soft=True)),
        wide=("z",),
        loose=FREE_LABELS,
    ),
    Door(
        "ContrastiveLoss",
        ("tuple_losses.contrastive_loss",),
        _labelled,
        _loss(metric.ContrastiveLoss),
        wide=("z",),
        loose=FREE_LABELS,
    ),
    Door(
        "QuadrupletLoss",
        ("tuple_losses.quadruplet_positives", "tuple_losses.quadruplet_negatives", "tuple_losses.quadruplet_counts"),
        _labelled,
        _loss(metric.QuadrupletLoss),
        wide=("z",),
        loose=FREE_LABELS,
    ),
)
"""Every public way to a kernel that takes arrays."""


# ---- what is done to it

LIMITS = (-1, 10**6, 2**31 - 1, 2**61, -(2**61))
REFUSED, EITHER, SAME = "must be refused", "an answer or a refusal", "the answer of the valid arguments"
ANY = "an answer or an error of anybody"


@dataclass(frozen=True)
class Case:
    """One argument of a door, spoilt in one way."""

    door: Door
    argument: str
    how: str
    spoil: Callable[[Any], Any]
    expected: str

    def __str__(self) -> str:
        return f"{self.door}: `{self.argument}` {self.how}"


def cases() -> list[Case]:
    """Return all cases, in an order that does not change."""
    return [case for door in DOORS for name, value in door.arguments().items() for case in _spoilt(door, name, value)]


def _spoilt(door: Door, name: str, value: Any) -> Iterator[Case]:
    other_case = ANY if door.lax else EITHER
    place, length = name in door.places, other_case if name in door.loose or door.lax else REFUSED
    width = other_case if name in door.wide else length
    array = isinstance(value, np.ndarray)
    whole = not (value.dtype.kind == "f" if array else value.is_floating_point())
    bits = 8 * (value.dtype.itemsize if array else value.element_size())
    limits = [wrong for wrong in LIMITS if abs(wrong) < 2 ** (bits - 1)]
    if place:
        for wrong, at in itertools.product(limits, ("first", "last")):
            yield Case(door, name, f"{wrong} at the {at} place", _put(wrong, at), REFUSED)
    if not value.ndim:
        for wrong in limits:
            yield Case(door, name, f"{wrong}", lambda v, w=wrong: v * 0 + w, other_case)
        return
    yield Case(door, name, "one row less", lambda v: v[:-1] if v.ndim == 1 else v[..., :-1, :], length)
    if value.ndim > 1:
        yield Case(door, name, "one column less", lambda v: v[..., :-1], width)
    yield Case(door, name, "twice as long", _twice, length)
    yield Case(door, name, "nothing", lambda v: v[..., :0], width if value.ndim > 1 else length)
    yield Case(door, name, "one more axis", lambda v: v[None], other_case)
    yield Case(door, name, "no axis", lambda v: v.reshape(-1)[0], other_case)
    other = np.float64 if array else torch.float64
    yield Case(door, name, "of another type", lambda v: v.astype(other) if array else v.to(other), other_case)
    if not array:
        yield Case(door, name, "strided", lambda v: v.repeat_interleave(2, dim=-1)[..., ::2] if v.ndim else v, SAME)
        yield Case(door, name, "turned in memory", lambda v: v.mT.contiguous().mT if v.ndim > 1 else v, SAME)
    if not whole:
        for wrong in (float("nan"), float("inf"), 1e38):
            yield Case(door, name, f"{wrong} everywhere", lambda v, w=wrong: v * 0 + w, other_case)
    elif not place:
        for wrong in limits:
            yield Case(door, name, f"{wrong} at the first place", _put(wrong, "first"), other_case)


def _put(wrong: int, at: str) -> Callable[[Any], Any]:
    def spoil(value: Any) -> Any:
        value = value.copy() if isinstance(value, np.ndarray) else value.clone()
        value.reshape(-1)[0 if at == "first" else -1] = wrong
        return value

    return spoil


def _twice(value: Any) -> Any:
    if value.ndim == 0:
        return value
    axis = -2 if value.ndim > 1 and value.shape[0] != 2 else -1
    return np.concatenate([value, value], axis) if isinstance(value, np.ndarray) else torch.cat([value, value], axis)


# ---- the process


def leaves(found: Any) -> list[np.ndarray]:
    """Return what a door gave, as arrays."""
    if isinstance(found, tuple | list):
        return [leaf for each in found for leaf in leaves(each)]
    if found is None:
        return []
    return [found.detach().numpy() if isinstance(found, Tensor) else np.asarray(found)]


def alike(one: Any, other: Any) -> bool:
    """Tell whether two results of a door are the same, but for rounding."""
    for a, b in zip(leaves(one), leaves(other), strict=True):
        near = np.array_equal(a, b) if a.dtype.kind == "U" else np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
        if a.shape != b.shape or not near:
            return False
    return True


def outcome(case: Case, right: Any) -> dict[str, Any]:
    """Return what came of a case, and whether it may."""
    arguments = case.door.arguments()
    arguments[case.argument] = case.spoil(arguments[case.argument])
    try:
        found = case.door.call(**arguments)
    except Exception as error:
        own = "/graphkit/" in traceback.extract_tb(error.__traceback__)[-1].filename
        clear = isinstance(error, Unmade) or (isinstance(error, ValueError | TypeError | DataError) and own)
        fine = case.expected == ANY or (clear and case.expected != SAME)
        return {"fine": fine, "said": f"{type(error).__name__}: {str(error)[:300]}"}
    if case.expected == SAME:
        return {"fine": alike(found, right), "said": "an answer"}
    return {"fine": case.expected in (EITHER, ANY), "said": "an answer"}


def reached(door: Door) -> list[str]:
    """Return the kernels of a door that its valid call did not run."""
    every = kernels()
    return [name for name in with_callees(set(door.kernels)) & set(door.kernels) if not every[name].signatures]


def main(first: int) -> None:
    """Try all cases from number ``first`` on."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    right: dict[str, Any] = {}
    for number, case in list(enumerate(cases()))[first:]:
        print(json.dumps({"begins": number}), flush=True)
        if case.door.name not in right:
            right[case.door.name] = case.door.call(**case.door.arguments())
            if missing := reached(case.door):
                print(json.dumps({"door": case.door.name, "does not reach": missing}), flush=True)
        print(json.dumps({"ends": number, **outcome(case, right[case.door.name])}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
