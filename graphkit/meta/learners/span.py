r"""The inner loop in the span of the support: exact, and without the first layer's large weight.

A gradient step moves the first weight by a combination of the rows that the support sees,
:math:`W_t = W_0 + D_t^\top \tilde X_s`. What the layer gives at other rows is then
:math:`\tilde X W_0^\top + \tilde X \tilde X_s^\top D_t`, so that the steps work on the small matrices
:math:`K = \tilde X \tilde X_s^\top` and :math:`D_t`, for all tasks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.meta.receptive import receptive_fields
from graphkit.meta.stacks import Stack, applied, host_nodes
from graphkit.meta.tasks import Task

Read = Callable[[Tensor, dict[str, Tensor]], Tensor]
Rate = Callable[[str, int], Tensor | float]


class Start(NamedTuple):
    """Where an inner loop begins.

    Args:
        own: the model's parameters, name -> tensor.
        moved: names of those that move.
        head: from the support's outputs ``[tasks, items, channels]`` to the task's own head, name -> ``[tasks, ...]``;
            ``None`` where the model's last layer is the head.
        read: from outputs and parameters to logits ``[tasks, items, ways]``.
    """

    own: dict[str, Tensor]
    moved: frozenset[str]
    head: Callable[[Tensor], dict[str, Tensor]] | None
    read: Read


def span_logits(stack: Stack, tasks: Sequence[Task], start: Start, *, steps: int, rate: Rate, order: int) -> Tensor:
    """Return the query's logits of each task after the inner steps, ``[tasks, items, ways]``.

    Args:
        stack: the model on its graph.
        tasks: of one form.
        start: where the loop begins.
        steps, rate, order: see :func:`graphkit.meta.learners.inner.descent`.
    """
    keep = torch.is_grad_enabled()
    (weight, bias), layers = stack.names[0], len(stack.names)
    support, query = (
        receptive_fields(
            stack.adjacency,
            [host_nodes(getattr(task.episode, part).flatten()) for task in tasks],
            layers,
            stack.averaged.dtype,
        )
        for part in ("support", "query")
    )
    y = torch.stack([task.episode.support_y for task in tasks])
    here, there = (stack.first(start.own[weight], fields) for fields in (support, query))
    gram, across = (stack.products(fields, support) for fields in (support, query))
    spread = here.new_zeros(len(tasks), support.index.size(1), here.size(-1))
    own = {name: value.expand(len(tasks), *value.shape) for name, value in start.own.items() if name != weight}

    def first(plain: Tensor, kernel: Tensor, table: dict[str, Tensor]) -> Tensor:
        z = plain + kernel @ spread
        return z if bias is None else z + table[bias].unsqueeze(1)

    table = dict(own)
    if start.head is not None:
        table |= start.head(applied(stack, first(here, gram, own), support.blocks, own))
    moving = [name for name in table if name in start.moved or name.startswith("@")]
    with torch.enable_grad():
        for step in range(steps):
            if not keep:
                table = {name: value.detach() for name, value in table.items()}
                here = here.detach()
            for name in moving:
                if not table[name].requires_grad:
                    table[name].requires_grad_()
            seen = {
                name: value.view_as(value) for name, value in table.items()
            }  # a head depends on what it was made of
            z = first(here, gram, seen)
            if not z.requires_grad:
                z.requires_grad_()
            logits = start.read(applied(stack, z, support.blocks, seen), seen)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / y.size(1)
            wanted = [seen[name] for name in moving] + ([z] if weight in start.moved else [])
            slopes = torch.autograd.grad(loss, wanted, create_graph=keep and order == 2, retain_graph=keep)
            if order == 1 or not keep:
                slopes = tuple(slope.detach() for slope in slopes)
            if weight in start.moved:
                spread = spread - rate(weight, step) * slopes[-1]
            table |= {name: table[name] - rate(name, step) * slope for name, slope in zip(moving, slopes, strict=False)}
            if not keep:
                spread = spread.detach()
    with torch.set_grad_enabled(keep):
        return start.read(applied(stack, first(there, across, table), query.blocks, table), table)
