"""The inner loop of many tasks at once: a model called on block-diagonal subgraphs, with parameters of each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.meta.acceleration.blocks import TaskBlocks, Unstackable, block_diagonal_graph, materialize
from graphkit.meta.acceleration.eligibility import TYPE_QUERIES, tensor_methods
from graphkit.meta.acceleration.model_fingerprint import ModelFingerprint, memoized_probe, model_fingerprint
from graphkit.meta.acceleration.subgraph import (
    DRAWS,
    MODEL_ERRORS,
    ReceptiveField,
    equal_up_to_rounding,
    extract_subgraph,
    find_receptive_field,
    is_informative,
    perturb,
)
from graphkit.meta.functional import functional_call
from graphkit.meta.inner_loop import InnerProblem, Parameters, descent
from graphkit.meta.items import Nodes

_ELEMENTWISE: dict[Callable[..., Any], Callable[..., Tensor]] = {
    getattr(Tensor, name): getattr(torch, plain)
    for plain in ("add", "mul", "sub", "div")
    for name in (plain, f"__{plain}__", f"__r{plain}__", f"__i{plain}__", f"{plain}_")
    if hasattr(Tensor, name) and not (plain in ("sub", "div") and name.startswith("__r"))
} | {function: function for function in (torch.add, torch.mul, torch.sub, torch.div)}
_MATMUL = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm)
_TRANSPOSE, (_SHAPE,) = tensor_methods("t", "T"), tensor_methods("shape")


class TaskParameter(Tensor):
    """A parameter that each task has its own of: to a model it is used as one, and acts as each task's own.

    Linear maps multiply each part of the graph by its own matrix; in sums and products with rows of nodes each row
    meets its own task's number. Everything else is refused with :class:`Unstackable`.
    """

    blocks: TaskBlocks

    @classmethod
    def of(cls, value: Tensor, blocks: TaskBlocks) -> TaskParameter:
        """Return values ``[tasks, ...]`` as a parameter of the parts; gradients flow to them."""
        own = value.as_subclass(cls)
        own.blocks = blocks
        return own

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        blocks = next((each.blocks for each in (*args, *kwargs.values()) if isinstance(each, TaskParameter)), None)
        if blocks is None:
            raise Unstackable(f"`{getattr(function, '__name__', function)}` of a list of parameters")
        blocks.uses[0] += 1
        with torch.DisableTorchFunctionSubclass():
            if function is F.linear:
                return _linear(blocks, *args, **kwargs)
            if function in _MATMUL:
                return blocks.matmul(args[0], _as_tensor(args[1]))
            if function is torch.addcmul and not kwargs:
                return torch.add(args[0], _elementwise(torch.mul, blocks, *args[1:]))
            if function is _SHAPE:
                return function(_as_tensor(args[0]))[1:]
            if function is Tensor.unsqueeze and args[1:] == (0,) and _as_tensor(args[0]).dim() == 2:
                return blocks.expand(_as_tensor(args[0]), 2)  # one row for all nodes: one for each
            if function in _TRANSPOSE:
                return TaskParameter.of(_as_tensor(args[0]).transpose(1, 2), blocks)
            if function in _ELEMENTWISE and not kwargs:
                return _elementwise(_ELEMENTWISE[function], blocks, *args)
            if function in TYPE_QUERIES:
                return function(*args, **kwargs)
        raise Unstackable(f"`{getattr(function, '__name__', function)}` of a parameter")


def _linear(blocks: TaskBlocks, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if isinstance(x, TaskParameter):
        raise Unstackable("a linear map of a parameter")
    own = isinstance(weight, TaskParameter)
    out = blocks.matmul(x, _as_tensor(weight).transpose(1, 2)) if own else F.linear(x, weight)
    return out if bias is None else _elementwise(torch.add, blocks, out, bias)


def _elementwise(function: Callable[..., Tensor], blocks: TaskBlocks, left: Any, right: Any) -> Tensor:
    own = [isinstance(each, TaskParameter) for each in (left, right)]
    if all(own) or any(not isinstance(each, Tensor) or each.dim() == 0 for each in (left, right)):
        return TaskParameter.of(function(_as_tensor(left), _as_tensor(right)), blocks)
    rows = materialize(right if own[0] else left)
    if rows.size(0) != len(blocks.nodes.y):
        raise Unstackable("a parameter beside what are no rows of nodes")
    if own[0]:
        return function(blocks.expand(_as_tensor(left), rows.dim()), rows)
    return function(rows, blocks.expand(_as_tensor(right), rows.dim()))


def _as_tensor(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, TaskParameter) else value


def block_outputs(
    model: nn.Module, table: Mapping[str, Tensor], blocks: TaskBlocks, *, propagating: bool = True
) -> Tensor:
    """Return the model's outputs for each task's nodes under its own parameters, ``[tasks, items, channels]``.

    Args:
        model: any module.
        table: name -> ``[tasks, ...]``, for the parameters that differ.
        blocks: the parts.
        propagating: our layers send messages as PyG's do, in place of products that look at parameters themselves.

    Raises:
        Unstackable: where the model does with parameters what is not known for many tasks at once.
    """
    values = {name: value for name, value in table.items() if not name.startswith("@")}
    own: dict[str, Tensor] = {name: TaskParameter.of(value, blocks) for name, value in values.items()}
    with ExitStack() as stack:
        stack.enter_context(blocks.constants.cache_propagation(model, ours=propagating))
        for module in model.modules() if propagating else ():
            if isinstance(module, MessagePassing):
                stack.callback(module.register_propagate_forward_pre_hook(_listen).remove)
        return blocks.nodes.outputs(lambda *inputs: functional_call(model, own, inputs), blocks.targets)


def _listen(*_: Any) -> None:
    """Hear that a layer propagates: while somebody does, our layers do."""


BlockForward: TypeAlias = Callable[[Mapping[str, Tensor], TaskBlocks], Tensor]
"""From a table of parameters ``[tasks, ...]`` and the parts to the outputs ``[tasks, items, channels]``."""


def block_forward(
    model: nn.Module,
    nodes: Nodes,
    adapted: Sequence[str],
    groups: Sequence[Tensor],
    field: ReceptiveField,
    fingerprint: ModelFingerprint | None = None,
) -> BlockForward | None:
    """Return how a model is called for many tasks at once, or ``None``; tried once, and compared with one by one.

    Args:
        model, nodes, field, fingerprint: as for :func:`find_receptive_field`.
        adapted: names of the parameters that tasks have their own of.
        groups: nodes of two tasks or more.
    """
    if not isinstance(nodes.x, Tensor):
        return None

    def probe() -> bool | None:
        for propagating in (False, True):
            if _agrees_with_single_tasks(model, nodes, adapted, groups[:2], field, propagating):
                return propagating
        return None

    propagating = memoized_probe(("stacked", tuple(adapted)), model, nodes, probe, fingerprint)
    if propagating is None:
        return None
    return lambda table, blocks: block_outputs(model, table, blocks, propagating=propagating)


@torch.no_grad()
def _agrees_with_single_tasks(
    model: nn.Module,
    nodes: Nodes,
    adapted: Sequence[str],
    groups: Sequence[Tensor],
    field: ReceptiveField,
    propagating: bool,
) -> bool:
    """Tell whether many tasks at once are the tasks one by one."""
    own, parts = dict(model.named_parameters()), [extract_subgraph(nodes, group, field) for group in groups]
    for seed in range(0, DRAWS * len(groups), len(groups)):
        tables = [{name: perturb(own[name], seed + number) for name in adapted} for number in range(len(groups))]
        outputs = []
        for part, table in zip(parts, tables, strict=True):

            def call(*inputs: Any, table: Parameters = table) -> Tensor:
                return functional_call(model, table, inputs)

            outputs.append(part.restrict(nodes).outputs(call, part.targets))
        expected = torch.stack(outputs)
        if is_informative(expected):
            break
    else:
        return False
    try:
        blocks = block_diagonal_graph(nodes, groups, field)
        stacked = {name: torch.stack([each[name] for each in tables]) for name in adapted}
        return equal_up_to_rounding(block_outputs(model, stacked, blocks, propagating=propagating), expected)
    except MODEL_ERRORS:  # Unstackable, or shapes that do not fit
        return False


MAX_ENTRIES = 2**25
"""Numbers in the features of all parts together, above which tasks are taken one by one."""


def block_logits(problem: InnerProblem) -> Tensor | None:
    """Return the query's logits of each task after the inner steps, ``[tasks, items, ways]``.

    ``None`` where a part of the graph does not do, or the model cannot be called for many tasks at once.
    """
    model, tasks, nodes, loop = problem.model, problem.tasks, problem.tasks[0].items, problem.loop
    if len(tasks) == 1 or not isinstance(nodes, Nodes):
        return None
    support = [task.episode.support.flatten() for task in tasks]
    fingerprint, adapted = model_fingerprint(model), sorted(problem.adapted)
    field = find_receptive_field(model, nodes, support[0], fingerprint)
    if field is None:
        return None
    forward = block_forward(model, nodes, adapted, support, field, fingerprint)
    if forward is None:
        return None
    query_blocks = block_diagonal_graph(nodes, [task.episode.query.flatten() for task in tasks], field)
    if len(query_blocks.nodes.y) * nodes.channels > MAX_ENTRIES:
        return None
    support_blocks = block_diagonal_graph(nodes, support, field)
    y = torch.stack([task.episode.support_y for task in tasks]).to(nodes.edge_index.device)

    def logits(blocks: TaskBlocks, table: Parameters) -> Tensor:
        return problem.read(forward(table, blocks), table)

    def loss(table: Parameters) -> Tensor:
        found = logits(support_blocks, table)
        return F.cross_entropy(found.flatten(0, 1), y.flatten(), reduction="sum") / y.size(1)

    own = dict(model.named_parameters())
    start = {name: own[name].expand(len(tasks), *own[name].shape) for name in adapted}
    try:
        if problem.head is not None:
            start |= problem.head(forward(start, support_blocks))
        last = descent(loss, start, steps=loop.steps, rate=problem.rate, order=loop.order)[-1]
        return logits(query_blocks, last)
    except TypeError:  # `Unstackable`: it went another way than when it was tried
        return None
