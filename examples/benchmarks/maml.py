"""How fast is a step of MAML on a graph, beside higher and torchopt?

One meta-step to second order: tasks of few-shot node classification on Cora, five inner steps, the gradient through
them and a step of Adam, with a model of two layers. The peers adapt task by task with PyG's layers on the whole graph,
as their documentation shows it. "graphkit" is its GCN in the span of what the support sees; "receptive field" and
"PyG's layers" are graphkit's layers and PyG's in graphkit's learner, which shows each task the part of the graph that
it sees. "plain loop" is graphkit without its shortcuts; "sparse" gives the peers' loop graphkit's layers and sparse
features. "difference" is the largest one in the meta-gradient, relative to the largest value, from the plain loop's in
double precision. "by hand" is the peers' loop in plain PyTorch, and "CSR features" the same with a `torch.sparse`
matrix of features, which PyG's GCN takes: what of a ratio is the features. Last come the ratios of CPU seconds of "by
hand" and what graphkit changes in it, one after the other. `--nodes` takes a random graph of so many nodes and 128
features for Cora: how a step grows with the graph, with `--degree` 4 for receptive fields as small as Cora's and
`--side` for those that can wait so long. `--paths` asks something else: which way of computing graphkit takes for a
model of `graphkit fewshot --encoder-model`, for PyG's layers and for a perceptron of rows, and what that way gains over
the same learner without it.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import Tensor, nn
from torch.func import functional_call

import graphkit.nn
from graphkit.data import load
from graphkit.meta import MAML, FewShotProtocol, Nodes, Rows, TaskSet
from graphkit.meta.acceleration import visible_items
from graphkit.meta.acceleration.gcn_span import gcn_stack
from graphkit.nn import Encoder, GCNConv
from graphkit.operators import sparse_features
from graphkit.training.fewshot.task_models import draw_model, moved_parameters

RATE, STEPS, HIDDEN = 0.1, 5, 16
CASES = {"2 ways, 3 shots": (2, 3), "5 ways, 5 shots": (5, 5)}
PEERS = {"higher": "innerloop_ctx", "torchopt": "MetaSGD"}
"""Peers, and what is called of each."""

RECEPTIVE = ("receptive field", "PyG's layers")
APART = {
    "graphkit": ("by hand", "graphkit"),
    "graphkit, CSR features in the peer": ("CSR features", "graphkit"),
    "graphkit's layers and sparse features": ("by hand", "sparse"),
    "the part of the graph, PyG's layers": ("by hand", "PyG's layers"),
    "the part of the graph, graphkit's layers": ("by hand", "receptive field"),
    "graphkit's layers, whole graph": ("by hand", "plain loop"),
}
"""What two sides differ in, the longer one first."""

OURS, PYG = graphkit.nn, torch_geometric.nn
LAYERS: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "gcn": lambda library, i, o: library.GCNConv(i, o),
    "sage": lambda library, i, o: library.SAGEConv(i, o),
    "gat": lambda library, i, o: library.GATConv(i, o),
    "gatv2": lambda library, i, o: library.GATv2Conv(i, o),
    "gin": lambda library, i, o: library.GINConv(nn.Linear(i, o)),
    "cheb": lambda library, i, o: library.ChebConv(i, o, K=2),
}
"""Layers of one hop, of graphkit or of PyG."""


class TwoLayers(nn.Module):
    """A model as its user writes it."""

    def __init__(self, library: Any, layer: str, features: int, ways: int) -> None:
        super().__init__()
        self.first, self.last = LAYERS[layer](library, features, HIDDEN), LAYERS[layer](library, HIDDEN, ways)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return one row per node."""
        return self.last(self.first(x, edge_index).relu(), edge_index)


def graph(nodes: int, degree: int) -> Nodes:
    """Return Cora, or a random graph of a mean degree, whose labels show in its features."""
    if not nodes:
        data = load("cora")
        return Nodes(F.normalize(data.x.to_dense(), p=1, dim=-1), data.edge_index, data.y)
    drawn = torch.Generator().manual_seed(0)
    ends = torch.randint(nodes, (2, degree * nodes // 2), generator=drawn)
    y = torch.arange(nodes) % 7
    x = torch.randn(nodes, 128, generator=drawn) + F.one_hot(y, 128)
    return Nodes(x, torch.cat([ends, ends.flip(0)], 1), y)


def loop_of(side: str, items: Nodes, ways: int, layer: str) -> tuple[nn.Module, Callable[[Sequence[Any]], Tensor]]:
    """Return a side's model and its meta-loss of some tasks."""
    torch.manual_seed(0)
    library = OURS if side in ("receptive field", "plain loop", "double") else PYG
    made: nn.Module = TwoLayers(library, layer, items.channels, ways)
    if side in ("graphkit", "sparse"):
        torch.manual_seed(0)
        made = Encoder(items.channels, HIDDEN, ways, conv=GCNConv, dropout=0.0)
    if side in ("graphkit", "receptive field", "PyG's layers", "plain loop", "double"):
        learner = MAML(made.double() if side == "double" else made, inner_lr=RATE, inner_steps=STEPS)
        return made, (learner.plain() if side in ("plain loop", "double") else learner).meta_loss
    x, edge_index = items.x, items.edge_index
    x = {"sparse": sparse_features, "CSR features": Tensor.to_sparse_csr}.get(side, lambda dense: dense)(x)
    adapted = {"higher": with_higher, "torchopt": with_torchopt}.get(side, by_hand)
    return made, lambda tasks: sum(adapted(made, x, edge_index, task) for task in tasks) / len(tasks)


def with_higher(model: nn.Module, x: Tensor, edge_index: Tensor, task: Any) -> Tensor:
    """Return a task's query loss, as higher's documentation adapts."""
    import higher

    episode = task.episode
    inner = torch.optim.SGD(model.parameters(), lr=RATE)
    with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (moved, optimizer):
        for _ in range(STEPS):
            optimizer.step(F.cross_entropy(moved(x, edge_index)[episode.support.flatten()], episode.support_y))
        return F.cross_entropy(moved(x, edge_index)[episode.query.flatten()], episode.query_y)


def with_torchopt(model: nn.Module, x: Tensor, edge_index: Tensor, task: Any) -> Tensor:
    """Return a task's query loss, as torchopt's documentation adapts."""
    import torchopt

    episode = task.episode
    inner = torchopt.MetaSGD(model, lr=RATE)
    start = torchopt.extract_state_dict(model, by="reference")
    inner_start = torchopt.extract_state_dict(inner, by="reference")
    for _ in range(STEPS):
        inner.step(F.cross_entropy(model(x, edge_index)[episode.support.flatten()], episode.support_y))
    loss = F.cross_entropy(model(x, edge_index)[episode.query.flatten()], episode.query_y)
    torchopt.recover_state_dict(model, start)
    torchopt.recover_state_dict(inner, inner_start)
    return loss


def by_hand(model: nn.Module, x: Any, edge_index: Tensor, task: Any) -> Tensor:
    """Return a task's query loss, in plain PyTorch."""
    episode, table = task.episode, dict(model.named_parameters())
    for _ in range(STEPS):
        logits = functional_call(model, table, (x, edge_index))[episode.support.flatten()]
        slopes = torch.autograd.grad(
            F.cross_entropy(logits, episode.support_y), list(table.values()), create_graph=True
        )
        table = {name: value - RATE * slope for (name, value), slope in zip(table.items(), slopes, strict=True)}
    logits = functional_call(model, table, (x, edge_index))[episode.query.flatten()]
    return F.cross_entropy(logits, episode.query_y)


def step_of(side: str, items: Nodes, what: str, layer: str, tasks: int, queries: int = 12) -> Callable[[], Tensor]:
    """Return a side's meta-step, which returns the meta-gradient of the first layer's weight."""
    if side == "double":
        items = Nodes(items.x.double(), items.edge_index, items.y)
    ways, shots = CASES[what]
    protocol = FewShotProtocol(n_way=ways, k_shot=shots, n_query=queries, n_tasks=tasks)
    drawn = list(TaskSet.draw(items, items.y.unique().tolist(), protocol))
    model, meta_loss = loop_of(side, items, ways, layer)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)  # every turn takes the same step

    def run() -> Tensor:
        optimizer.zero_grad()
        meta_loss(drawn).backward()
        optimizer.step()
        return max((p.grad for p in model.parameters()), key=Tensor.numel)

    return run


def compare(what: str, items: Nodes, options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of one case, and how far two sides are apart."""
    layer = options.layer
    installed = [name for name, needs in PEERS.items() if measure.usable(name, needs)]
    if layer == "cheb" and "higher" in installed:
        installed.remove("higher")  # it cannot patch a model that takes a slice of a ModuleList, as PyG's ChebConv does
    more = (["graphkit"], ["sparse", "CSR features"]) if layer == "gcn" else ([], [])
    sides = [*more[0], *RECEPTIVE, "plain loop", *more[1], "by hand", *installed]
    sides = [side for side in sides if not options.side or side in options.side]
    runs = {side: step_of(side, items, what, layer, options.tasks) for side in sides}
    times = measure.interleaved(runs, rounds=options.rounds)
    truth, rows = None if options.side else step_of("double", items, what, layer, options.tasks)(), []
    for side, run in runs.items():
        found = run()
        ours = side in ("graphkit", "plain loop", "by hand") or side in RECEPTIVE
        known = truth is not None and found.shape == truth.shape and ours
        away = f"{float((found - truth).abs().max() / truth.abs().max()):.0e}" if known else ""
        used = None
        if not options.no_memory:
            chosen = ["--case", what, "--memory-of", side, "--tasks", str(options.tasks), "--nodes", str(options.nodes)]
            chosen += ["--degree", str(options.degree), "--layer", layer]
            used = measure.memory_in_subprocess(__file__, *chosen)
        rows.append(measure.row(what, side, times[side], times[sides[0]], used, difference=away))
    pairs = {name: pair for name, pair in APART.items() if set(pair) <= times.keys()}
    return rows, [measure.apart(f"{what}: {name}", times[slow], times[fast]) for name, (slow, fast) in pairs.items()]


PATHS: dict[str, Callable[[int, int], nn.Module]] = {
    **{
        name: lambda features, ways, name=name: draw_model(name, features, HIDDEN, ways)
        for name in ("gcn", "sage", "gat", "gin", "cheb", "chebii")
    },
    "PyG's GCN": lambda features, ways: TwoLayers(PYG, "gcn", features, ways),
    "PyG's GATv2": lambda features, ways: TwoLayers(PYG, "gatv2", features, ways),
    "perceptron": lambda features, ways: draw_model("perceptron", features, HIDDEN, ways),
}
"""Models whose way is asked for: some of `graphkit fewshot --encoder-model`, PyG's layers, and one of rows."""


def way_of(learner: MAML, tasks: Sequence[Any]) -> str:
    """Return how a learner goes through the inner loops of tasks, by the module that does it."""
    items = tasks[0].items
    if isinstance(items, Rows):
        return "vmap_rows"
    if gcn_stack(learner.model, items) is not None:
        return "gcn_span"
    with learner._modes():
        if learner.accelerated_logits(tasks) is not None:
            return "task_parameters"
        support = tasks[0].episode.support.flatten()
        return "whole graph" if visible_items(learner.model, items, support, support)[0] is items else "subgraph"


def meta_gradient(learner: MAML, tasks: Sequence[Any]) -> Callable[[], Tensor]:
    """Return what computes the meta-gradient of all parameters, in one row."""

    def run() -> Tensor:
        learner.zero_grad()
        learner.meta_loss(tasks).backward()
        return torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None])

    return run


def paths(what: str, items: Nodes, options: Any) -> list[dict[str, Any]]:
    """Return a row for each model, with its way and what that gains over going task by task over the whole graph."""
    ways, shots = CASES[what]
    protocol = FewShotProtocol(n_way=ways, k_shot=shots, n_query=12, n_tasks=options.tasks)
    rows = []
    for name, make in PATHS.items():
        seen = Rows(items.x, items.y) if name == "perceptron" else items
        drawn = list(TaskSet.draw(seen, items.y.unique().tolist(), protocol))
        torch.manual_seed(0)
        model = make(items.channels, ways)
        moved = None if name not in LEARNT_APART else moved_parameters(name, model)
        learner = MAML(model, moved=moved, inner_lr=RATE, inner_steps=STEPS)

        sides = {"fast": meta_gradient(learner, drawn), "plain": meta_gradient(learner.plain(), drawn)}
        times = measure.interleaved(sides, rounds=options.rounds)
        found, truth = (side() for side in sides.values())
        away = f"{float((found - truth).abs().max() / truth.abs().max()):.0e}"
        gain = measure.apart("", times["plain"], times["fast"])["cpu_ratio"]
        told = {"way": way_of(learner, drawn), "gain": f"{gain:.1f}x", "difference": away}
        took = f"{1000 * statistics.median(times['fast'].cpu):,.0f}"
        rows.append(measure.row(what, name, times["fast"], times["fast"], None, cpu_ms=took, **told))
    return rows


LEARNT_APART = ("chebii",)
"""Models with coefficients that the inner steps let be."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="may be given again (default: all)")
    parser.add_argument("--tasks", type=int, default=16, help="tasks of a meta-step (default: 16)")
    parser.add_argument("--layer", choices=LAYERS, default="gcn", help="of the model (default: gcn)")
    parser.add_argument("--side", action="append", help="leave out all others; may be given again (default: all)")
    parser.add_argument("--degree", type=int, default=14, help="mean degree of the random graph (default: 14)")
    parser.add_argument("--nodes", type=int, default=0, help="of a random graph in place of Cora")
    parser.add_argument("--paths", action="store_true", help="ask which way a model goes, and what that gains")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    measure.without_beta_warnings()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.tasks = 2 if options.quick else options.tasks
    options.nodes = options.nodes or (300 if options.quick else 0)
    items = graph(options.nodes, options.degree)
    cases = options.case or list(CASES)
    if options.memory_of:
        print(measure.memory_added(step_of(options.memory_of, items, cases[0], options.layer, options.tasks)))
        return 0
    options.no_memory = options.no_memory or options.quick
    name = f"random graph of {options.nodes:,} nodes" if options.nodes else "cora"
    digest = hashlib.sha256(items.edge_index.numpy().tobytes()).hexdigest()
    facts = {"name": name, "sha256": digest, "nodes": len(items.y), "edges": items.edge_index.size(1), "classes": 7}
    config = {"tasks": options.tasks, "steps": STEPS}
    if options.paths:
        rows = [row for case in cases for row in paths(case, items, options)]
        note = f"{options.tasks} tasks, {STEPS} inner steps, second order, {HIDDEN} wide; {name}; {threads}"
        measure.show(rows, note, way="way", gain="gain", difference="difference")
        measure.write(options.json, dataset=facts, rows=rows, config=config, seeds=[0])
        return 0
    compared = [compare(case, items, options) for case in cases]
    rows, apart = ([line for one in compared for line in one[place]] for place in range(2))
    note = f"{options.tasks} tasks, {STEPS} inner steps, second order, two layers of {options.layer}, {HIDDEN} wide"
    measure.show(rows, f"{note}; {name}; {threads}", difference="difference")
    measure.show_apart(apart)
    measure.write(
        options.json,
        dataset=facts,
        rows=rows,
        config={**config, "layer": options.layer},
        seeds=[0],
        apart=apart,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
