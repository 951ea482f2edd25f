"""Accelerated inner loops: the same logits as going task by task over the whole graph, computed faster.

Learners ask one function each for what they do: :func:`accelerated_logits` for the whole inner loops of tasks over one
graph, :func:`vmap_tasks` for all tasks over rows of one table, :func:`visible_items` for the part of a graph that a
task sees. Each answers ``None``, or the whole graph, where it is not known to be right: for models that were altered
(:mod:`.eligibility`) or whose outputs differ when it is tried (:mod:`.subgraph`, :mod:`.task_parameters`).

CPU time of one step of MAML to second order: 16 tasks, 5 inner steps, 16 wide, Cora, one thread, and how many times
less that is than task by task over the whole graph (``graphkit bench maml --paths --threads 1``):

=========================  ==========================  ==============  ==============
way                        models                      2 ways 3 shots  5 ways 5 shots
=========================  ==========================  ==============  ==============
:mod:`.gcn_span`           stacks of GCN layers        18 ms, 49 x     33 ms, 28 x
:mod:`.task_parameters`    graphkit's layers (SAGE)    61 ms, 31 x     99 ms, 17 x
:mod:`.task_parameters`    PyG's layers (GCN)          78 ms, 14 x     172 ms, 6.3 x
:mod:`.subgraph`           others (PyG's GATv2)        338 ms, 7.1 x   571 ms, 3.9 x
:mod:`.vmap_rows`          of rows (a perceptron)      15 ms, 2.2 x    23 ms, 1.9 x
=========================  ==========================  ==============  ==============

Models that see a whole component, such as polynomial filters of 10 hops, go over the whole graph.
"""

from __future__ import annotations

from torch import Tensor

from graphkit.meta.acceleration.gcn_span import span_logits
from graphkit.meta.acceleration.subgraph import visible_items
from graphkit.meta.acceleration.task_parameters import block_logits
from graphkit.meta.acceleration.vmap_rows import only_known_operations, vmap_tasks
from graphkit.meta.inner_loop import InnerProblem
from graphkit.meta.items import Nodes

__all__ = ["accelerated_logits", "only_known_operations", "visible_items", "vmap_tasks"]


def accelerated_logits(problem: InnerProblem) -> Tensor | None:
    """Return the query's logits of each task after the inner steps, ``[tasks, items, ways]``.

    The first way that applies is taken; ``None`` where none does.
    """
    items = problem.tasks[0].items
    if not isinstance(items, Nodes) or any(task.items is not items for task in problem.tasks):
        return None
    found = span_logits(problem)
    return block_logits(problem) if found is None else found
