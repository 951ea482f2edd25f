"""The tasks of a meta-batch as one block-diagonal graph, and a model called on it with parameters of each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from graphkit.meta.constants import Constants
from graphkit.meta.cuts import DRAWS, FAULTS, Reach, alike, asked_once, cut, shaken, telling
from graphkit.meta.features import KIND, Features, block_diagonal, made, of_tensor, padded, sparse_blocks, sparse_rows
from graphkit.meta.fingerprint import Fingerprint
from graphkit.meta.functional import functional_call
from graphkit.meta.items import Nodes
from graphkit.operators import SparseOperator


class Unstackable(TypeError):
    """A model that does with its parameters what is not known for parameters of each task."""


class Blocks(NamedTuple):
    """Parts of a graph beside each other, padded with isolated nodes to the size of the largest.

    Args:
        nodes: all of them, ``tasks * size`` nodes.
        at: the nodes that were asked for, ``[tasks, items]``.
        size: nodes of a part.
        sparse: the features as a block-diagonal matrix, ``[tasks * size, tasks * features]``, where most are zero.
        uses: how often parameters of tasks were used, one number that is counted up.
        constants: what is made of the features alone.
    """

    nodes: Nodes
    at: Tensor
    size: int
    sparse: SparseOperator | None
    uses: list[int]
    constants: Constants

    @property
    def tasks(self) -> int:
        """Number of parts."""
        return len(self.at)

    def mapped(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return each part's rows times its own matrix, ``weight [tasks, in, out]``, ``[tasks * size, out]``."""
        if x is self.nodes.x and self.sparse is not None:
            return self.sparse @ weight.reshape(-1, weight.size(2))
        x = made(x)
        averaged = self.constants.sparse(x, lambda constant: sparse_blocks(constant, self.size))
        if averaged is not None:
            return averaged @ weight.reshape(-1, weight.size(2))
        if x.dim() != 2 or len(x) != self.tasks * self.size:
            raise Unstackable(f"a product with {list(x.shape)}, which are no rows of nodes")
        return (x.view(self.tasks, self.size, x.size(1)) @ weight).flatten(0, 1)

    def spread(self, value: Tensor, dimensions: int) -> Tensor:
        """Return a value of each task at each of its nodes, with so many dimensions, ``[tasks * size, ...]``."""
        shape = list(value.shape[1:])
        if len(shape) == dimensions:
            if shape[0] != 1:
                raise Unstackable(f"a parameter {shape} beside rows of nodes")
            shape = shape[1:]
        shape = [1] * (dimensions - 1 - len(shape)) + shape
        spread = value.reshape(self.tasks, 1, *shape).expand(self.tasks, self.size, *shape)
        return spread.reshape(self.tasks * self.size, *shape)


def blocks(nodes: Nodes, groups: Sequence[Tensor], reach: Reach) -> Blocks:
    """Return what each group of nodes sees of a graph, beside each other.

    Args:
        nodes: the graph, with dense features.
        groups: nodes of each task, as many for each, ``[items]``.
        reach: how far outputs see.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
        >>> whole = Nodes(torch.eye(6), torch.cat([path, path.flip(0)], 1), torch.zeros(6, dtype=torch.long))
        >>> found = blocks(whole, [torch.tensor([0]), torch.tensor([3])], Reach(1, degrees=True))
        >>> found.size, found.at.tolist(), found.nodes.x.shape
        (4, [[0], [5]], torch.Size([8, 6]))
    """
    parts = [cut(nodes, group, reach) for group in groups]
    sizes = [len(part.kept) for part in parts]
    size = max(sizes)
    edges = torch.cat([part.edge_index + number * size for number, part in enumerate(parts)], 1)
    weights = [part.edge_weight for part in parts if part.edge_weight is not None]
    at = torch.stack([part.at + number * size for number, part in enumerate(parts)])
    matrix = sparse_rows(nodes.x)
    # Where the features are sparse, no array of them is made unless the model asks for more than a linear map.
    x = padded(nodes.x, parts, size) if matrix is None else Features.of(nodes.x, parts, size)
    joined = Nodes(x, edges, nodes.y.new_zeros(len(x)), torch.cat(weights) if weights else None)
    uses = [0]
    constants = Constants([x, edges, joined.edge_weight], lambda: uses[0])
    sparse = None if matrix is None else block_diagonal(matrix, parts, size)
    return Blocks(joined, at, size, sparse, uses, constants)


_ELEMENTWISE: dict[Callable[..., Any], Callable[..., Tensor]] = {
    getattr(Tensor, name): getattr(torch, plain)
    for plain in ("add", "mul", "sub", "div")
    for name in (plain, f"__{plain}__", f"__r{plain}__", f"__i{plain}__", f"{plain}_")
    if hasattr(Tensor, name) and not (plain in ("sub", "div") and name.startswith("__r"))
} | {function: function for function in (torch.add, torch.mul, torch.sub, torch.div)}
_TURNED, (_SIZES,) = of_tensor("t", "T"), of_tensor("shape")


class TaskParameter(Tensor):
    """A parameter that each task has its own of: to a model it is used as one, and acts as each task's own.

    Linear maps multiply each part of the graph by its own matrix; in sums and products with rows of nodes each row
    meets its own task's number. Everything else is refused with :class:`Unstackable`.
    """

    blocks: Blocks

    @classmethod
    def of(cls, value: Tensor, joined: Blocks) -> TaskParameter:
        """Return values ``[tasks, ...]`` as a parameter of the parts; gradients flow to them."""
        own = value.as_subclass(cls)
        own.blocks = joined
        return own

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        joined = next((each.blocks for each in (*args, *kwargs.values()) if isinstance(each, TaskParameter)), None)
        if joined is None:
            raise Unstackable(f"`{getattr(function, '__name__', function)}` of a list of parameters")
        joined.uses[0] += 1
        with torch.DisableTorchFunctionSubclass():
            if function is F.linear:
                return _linear(joined, *args, **kwargs)
            if function in (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm):
                return joined.mapped(args[0], _plain(args[1]))
            if function is torch.addcmul and not kwargs:
                return torch.add(args[0], _elementwise(torch.mul, joined, *args[1:]))
            if function is _SIZES:
                return function(_plain(args[0]))[1:]
            if function is Tensor.unsqueeze and args[1:] == (0,) and _plain(args[0]).dim() == 2:
                return joined.spread(_plain(args[0]), 2)  # one row for all nodes: one for each
            if function in _TURNED:
                return TaskParameter.of(_plain(args[0]).transpose(1, 2), joined)
            if function in _ELEMENTWISE and not kwargs:
                return _elementwise(_ELEMENTWISE[function], joined, *args)
            if function in KIND:
                return function(*args, **kwargs)
        raise Unstackable(f"`{getattr(function, '__name__', function)}` of a parameter")


def _linear(joined: Blocks, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if isinstance(x, TaskParameter):
        raise Unstackable("a linear map of a parameter")
    own = isinstance(weight, TaskParameter)
    out = joined.mapped(x, _plain(weight).transpose(1, 2)) if own else F.linear(x, weight)
    return out if bias is None else _elementwise(torch.add, joined, out, bias)


def _elementwise(function: Callable[..., Tensor], joined: Blocks, left: Any, right: Any) -> Tensor:
    own = [isinstance(each, TaskParameter) for each in (left, right)]
    if all(own) or any(not isinstance(each, Tensor) or each.dim() == 0 for each in (left, right)):
        return TaskParameter.of(function(_plain(left), _plain(right)), joined)
    rows = made(right if own[0] else left)
    if rows.size(0) != joined.tasks * joined.size:
        raise Unstackable("a parameter beside what are no rows of nodes")
    sides = [joined.spread(_plain(e), rows.dim()) if mine else rows for e, mine in zip((left, right), own, strict=True)]
    return function(*sides)


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, TaskParameter) else value


def block_outputs(model: nn.Module, table: Mapping[str, Tensor], joined: Blocks, *, propagating: bool = True) -> Tensor:
    """Return the model's outputs for each task's nodes under its own parameters, ``[tasks, items, channels]``.

    Args:
        model: any module.
        table: name -> ``[tasks, ...]``, for the parameters that differ.
        joined: the parts.
        propagating: our layers send messages as PyG's do, in place of products that look at parameters themselves.

    Raises:
        Unstackable: where the model uses its parameters in a way that is not known for many tasks at once.
    """
    values = {name: value for name, value in table.items() if not name.startswith("@")}
    own: dict[str, Tensor] = {name: TaskParameter.of(value, joined) for name, value in values.items()}
    with ExitStack() as stack:
        stack.enter_context(joined.constants.propagated_once(model, ours=propagating))
        for module in model.modules() if propagating else ():
            if isinstance(module, MessagePassing):
                stack.callback(module.register_propagate_forward_pre_hook(_listen).remove)
        return joined.nodes.outputs(lambda *inputs: functional_call(model, own, inputs), joined.at)


def _listen(*_: Any) -> None:
    """Hear that a layer propagates: while somebody does, our layers do."""


LARGEST = 2**25
"""Numbers in the features of all parts together, above which tasks are taken one by one."""

Stacked = Callable[[Mapping[str, Tensor], Blocks], Tensor]
"""From a table of parameters ``[tasks, ...]`` and the parts to the outputs ``[tasks, items, channels]``."""


def stacked(
    model: nn.Module,
    nodes: Nodes,
    moved: Sequence[str],
    groups: Sequence[Tensor],
    reach: Reach,
    told: Fingerprint | None = None,
) -> Stacked | None:
    """Return how a model is called for many tasks at once, or ``None``; tried once, and compared with one by one.

    Args:
        model: any module.
        nodes: the graph.
        moved: names of the parameters that tasks have their own of.
        groups: nodes of two tasks or more.
        reach: how far outputs see.
        told: the model's fingerprint, where it is known.
    """
    if not isinstance(nodes.x, Tensor):
        return None

    def ask() -> bool | None:
        return next((way for way in (False, True) if _does(model, nodes, moved, groups[:2], reach, way)), None)

    propagating = asked_once(("stacked", tuple(moved)), model, nodes, ask, told)
    if propagating is None:
        return None
    return lambda table, joined: block_outputs(model, table, joined, propagating=propagating)


@torch.no_grad()
def _does(
    model: nn.Module, nodes: Nodes, moved: Sequence[str], groups: Sequence[Tensor], reach: Reach, propagating: bool
) -> bool:
    """Tell whether many tasks at once are the tasks one by one."""
    own, parts = dict(model.named_parameters()), [cut(nodes, group, reach) for group in groups]
    for seed in range(0, DRAWS * len(groups), len(groups)):
        tables = [{name: shaken(own[name], seed + number) for name in moved} for number in range(len(groups))]
        expected = torch.stack(
            [
                part.of(nodes).outputs(lambda *inputs, table=table: functional_call(model, table, inputs), part.at)
                for part, table in zip(parts, tables, strict=True)
            ]
        )
        if telling(expected):
            break
    else:
        return False
    try:
        joined = blocks(nodes, groups, reach)
        table = {name: torch.stack([each[name] for each in tables]) for name in moved}
        return alike(block_outputs(model, table, joined, propagating=propagating), expected)
    except FAULTS:  # Unstackable, or shapes that do not fit
        return False
