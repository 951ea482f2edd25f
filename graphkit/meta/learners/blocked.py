"""The inner loop of many tasks at once, on the parts of the graph that they see beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.meta.blocks import LARGEST, Blocks, blocks, stacked
from graphkit.meta.cuts import reach_of
from graphkit.meta.fingerprint import fingerprint
from graphkit.meta.items import Nodes
from graphkit.meta.learners.inner import descent
from graphkit.meta.learners.span import Rate, Start
from graphkit.meta.tasks import Task


def block_logits(
    model: nn.Module, nodes: Nodes, tasks: Sequence[Task], start: Start, *, steps: int, rate: Rate, order: int
) -> Tensor | None:
    """Return the query's logits of each task after the inner steps, ``[tasks, items, ways]``.

    ``None`` where a part of the graph does not do, or the model cannot be called for many tasks at once.

    Args:
        model: in the mode it is to be called in.
        nodes: the graph.
        tasks: of one form.
        start: where the loop begins.
        steps, rate, order: see :func:`graphkit.meta.learners.inner.descent`.
    """
    support, query = ([getattr(task.episode, part).flatten() for task in tasks] for part in ("support", "query"))
    if len(tasks) == 1:
        return None
    told = fingerprint(model)
    reach = reach_of(model, nodes, support[0], told)
    called = None if reach is None else stacked(model, nodes, sorted(start.moved), support, reach, told)
    if reach is None or called is None:
        return None
    there = blocks(nodes, query, reach)
    if there.tasks * there.size * nodes.channels > LARGEST:
        return None
    here = blocks(nodes, support, reach)
    y = torch.stack([task.episode.support_y for task in tasks]).to(nodes.edge_index.device)

    def logits(part: Blocks, table: dict[str, Tensor]) -> Tensor:
        return start.read(called(table, part), table)

    def loss(table: dict[str, Tensor]) -> Tensor:
        found = logits(here, table)
        return F.cross_entropy(found.flatten(0, 1), y.flatten(), reduction="sum") / y.size(1)

    own = {name: start.own[name].expand(len(tasks), *start.own[name].shape) for name in sorted(start.moved)}
    try:
        own |= {} if start.head is None else start.head(called(own, here))
        return logits(there, descent(loss, own, steps=steps, rate=rate, order=order)[-1])
    except TypeError:  # `Unstackable`: it went another way than when it was tried
        return None
