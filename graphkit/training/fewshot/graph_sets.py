"""Few-shot classification of whole graphs: unseen classes of a set of graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from graphkit._checks import instance
from graphkit.data import GraphSet
from graphkit.meta import ClassSplit, FewShotProtocol, Rows
from graphkit.training.classification.graphs import graph_facts
from graphkit.training.classification.tasks import require_plain_edges
from graphkit.training.engine.devices import CPU, known_device
from graphkit.training.fewshot.encoders import ENCODERS, Encoders
from graphkit.training.fewshot.problems import FeatureViews, Problem, one_graph, unlike_names
from graphkit.training.fewshot.rows import encoder_rows, rows_of
from graphkit.training.fewshot.soundness import require_sound
from graphkit.training.fewshot.studies import Study, require_study


def study_of_graphs(
    graphs: GraphSet,
    splits: Sequence[ClassSplit],
    protocol: FewShotProtocol,
    *,
    encoders: Encoders = ENCODERS,
    seed: int = 0,
    device: torch.device | str = CPU,
) -> Study:
    """Return the study of unseen classes of a set of graphs.

    A row is a graph: the mean, over its nodes, of their rows, of length 1. Graphs do not see each other but in the mean
    that is taken away from rows of the kind "centred" and in what an encoder without labels is trained on.

    Args:
        graphs: a set whose graphs have classes.
        splits: classes to train, select and test on.
        protocol: of the tasks.
        encoders: trained without labels, behind rows of the kind "encoder".
        seed: of the encoders.
        device: where encoders are trained, rows lie and methods work.

    Raises:
        ValueError: for graphs that are not sound, labels that are no classes, no split, or splits or tasks that
            cannot be drawn.
    """
    instance("graphs", graphs, GraphSet, "a GraphSet")
    splits = require_study(splits, protocol, encoders, seed)
    device, y = known_device(device), graphs.items.y
    if y.is_floating_point() or y.flatten().shape != (len(graphs),):
        raise ValueError("`graphs` must have one class each; few-shot tasks draw their items by class.")
    require_plain_edges(graphs)
    y = y.flatten()
    together = graphs.batch(range(len(graphs)))
    x = None if together.x is None else together.x.float()
    nodes = Data(x=x, edge_index=together.edge_index, num_nodes=together.num_nodes)
    require_sound(nodes, needed=["x"])
    drawn = [one_graph(Data(y=y, num_nodes=len(y)), split, protocol) for split in splits]
    nodes, graph_of, labels = nodes.to(device), together.batch.to(device), y.to(device)
    known: dict[str, Tensor] = {}

    def table(kind: str) -> Tensor:
        if kind not in known:
            if kind == "encoder":
                found = encoder_rows([nodes], [nodes], encoders, seed=seed)[0]
            else:
                found = rows_of(nodes, kind)
            sums = found.new_zeros(len(graphs), found.size(1)).index_add(0, graph_of, found)
            known[kind] = F.normalize(sums, dim=-1)  # the length of a mean is its sum's
        return known[kind]

    def features(problem: Problem, kind: str, scale: float) -> FeatureViews:
        rows = Rows(scale * table(kind), labels)
        return FeatureViews((rows,), rows, rows)

    setting = {
        "setting": "transductive",
        "items": "graphs",
        "encoder": {**encoders.as_dict(), "seed": seed},
        "class_splits": [dataclasses.asdict(split) for split in splits],
    }
    return Study(graph_facts(graphs), unlike_names(drawn), features, setting, device)
