"""Accelerated inner loops: the same logits as going task by task over the whole graph, computed faster.

Learners ask one function each for what they do: :func:`accelerated_logits` for the whole inner loops of tasks over one
graph, :func:`vmap_tasks` for all tasks over rows of one table, :func:`visible_items` for the part of a graph that a
task sees. Each answers ``None``, or the whole graph, where it is not known to be right: for models that were altered
(:mod:`.eligibility`) or whose outputs differ when it is tried (:mod:`.subgraph`, :mod:`.task_parameters`).

CPU time of one step of MAML to second order: 16 tasks, 5 inner steps, two layers of width 16, Cora, one thread, and
how many times less that is than task by task over the whole graph (``examples/benchmarks/maml.py``):

=========================  ==========================  ==============  ==============
way                        models                      2 ways 3 shots  5 ways 5 shots
=========================  ==========================  ==============  ==============
:mod:`.gcn_span`           stacks of GCN layers        22 ms, 36 x     41 ms, 20 x
:mod:`.task_parameters`    graphkit's layers (GCN)     82 ms, 9.6 x    145 ms, 5.7 x
:mod:`.task_parameters`    PyG's layers (GCN)          113 ms, 9.2 x   264 ms, 4.0 x
:mod:`.subgraph`           others (PyG's GATv2)        2.7 s, 1.0 x    2.7 s, 1.2 x
:mod:`.vmap_rows`          of rows (a perceptron)      22 ms, 2.4 x    28 ms, 2.2 x
=========================  ==========================  ==============  ==============
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
