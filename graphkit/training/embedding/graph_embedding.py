"""Whole graphs as items: how they are embedded, described without learning, and which of them are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit._torch_internals import joined_graphs
from graphkit.data.graphset import graphs_sha256
from graphkit.operators.refinement import refine_colours
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import ClassTarget, SupervisedObjective
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, graph_classes
from graphkit.training.embedding.embedding_setup import MEASURED, EmbeddingSetup
from graphkit.training.embedding.embedding_task import EmbeddingTask
from graphkit.training.embedding.evaluator import EmbeddingEvaluator
from graphkit.training.embedding.graph_rows import GraphRows
from graphkit.training.engine.records import DatasetFacts, Protocol

if TYPE_CHECKING:
    from torch import nn

    from graphkit.data.graphset import GraphSet
    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe

DEGREES = 8
"""Columns of the degree histogram in a graph's description; the last is "that many or more"."""

ROUNDS = 4
"""Rounds of colour refinement after which graphs that look alike count as the same."""


@dataclass(frozen=True)
class GraphsTask(AbstractTask):
    """Graphs of a set, each an item of its own.

    Args:
        graphs: all of them.
        dtype: of the features.
        train: the graphs the loss is taken over.
        validation: the graphs the selection looks at.
        objective: classes and their accuracy, of which training looks at the number.
    """

    graphs: GraphSet
    dtype: torch.dtype
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective
    graph: tuple[Any, ...] = ()

    @property
    def channels(self) -> int:
        """Features of a node."""
        return int(self.graphs.num_node_features)

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return one row per graph."""
        batch = self.graphs.batch(index)
        return model(batch.x.to(self.dtype), batch.edge_index, batch.batch, graphs=len(index))

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training graphs in a drawn order."""
        rows, order = self.train, torch.randperm(len(self.train.y)).to(self.train.index.device)
        for part in order.split(size or len(order)):
            yield LabelledItems(rows.index[part], rows.y[part])


def graph_setting(
    graphs: GraphSet, recipe: EmbeddingRecipe, device: torch.device, dtype: torch.dtype
) -> EmbeddingSetup:
    """Return the study of the graphs of a set; graphs that are the same do not answer each other.

    Args:
        graphs: a set with a split and node features.
        recipe: decides the selection.
        device: where everything goes.
        dtype: of features.

    Raises:
        ValueError: for a set without features, labels of one class each, or a split.
    """
    split, data = graphs.split, joined_graphs(graphs)
    if split is None:
        raise ValueError("`data` has no split; load the set with one.")
    if data.get("x") is None:
        raise ValueError("`data` has no node features; give it some, such as one-hot degrees.")
    y = graph_classes(graphs)
    train, validation = (_rows(mask, y, device) for mask in (split.train, split.val))
    objective = SupervisedObjective(ClassTarget(int(y.max()) + 1), METRICS["accuracy"])
    task = GraphsTask(graphs.to(device), dtype, train, validation, objective)
    visible = EmbeddingTask(task, len(graphs), torch.arange(len(graphs), device=device))
    facts = DatasetFacts(
        name=graphs.card.name if graphs.card else "unnamed",
        sha256=graphs_sha256(graphs),
        nodes=int(data.num_nodes),
        edges=int(data.num_edges),
        features=int(graphs.num_node_features),
        classes=task.outputs,
        graphs=len(graphs),
    )
    record = split.record()
    given = ", ".join(f"{name}={value}" for name, value in record["parameters"].items())
    protocol = Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=f"{record['split']}({given})" if given else record["split"],
        split_sha256=split.fingerprint,
        train=len(train.y),
        validation=len(validation.y),
        test=int(split.test.sum()),
        setting="inductive; identical graphs do not answer each other",
        selection=recipe.selection_rule,
        metric=MEASURED,
        items="graphs",
    )
    evaluator = EmbeddingEvaluator(y, split.train, split.test, same_graphs(graphs))
    raw, rows = descriptors(graphs, split.train), GraphRows(graphs, split.train)
    return EmbeddingSetup(visible, visible, evaluator, raw, y, facts, protocol, rows, "graph")


def graph_encoder(recipe: EmbeddingRecipe, in_channels: int) -> nn.Module:
    """Return a freshly drawn encoder of graphs."""
    from graphkit.nn.graph_models import GraphEncoder

    hidden = recipe.encoder.model.hidden
    nodes = recipe.encoder.module(in_channels, hidden)
    whole = GraphEncoder(nodes, hidden, recipe.dim, dropout=recipe.encoder.model.dropout)
    return recipe.objective.wrap(whole, recipe.dim)


def descriptors(graphs: GraphSet, train: Tensor) -> Tensor:
    """Return each graph's means of node features, logarithms of its sizes and histogram of degrees, standardised.

    What a graph is without its structure beyond degrees; mean and deviation are those of the training graphs.

    Args:
        graphs: a set with node features.
        train: a mask of the training graphs ``[graphs]``.
    """
    batch = graphs.batch(torch.arange(len(graphs)))
    number = batch.batch
    counts = graphs.nodes.clamp(min=1).unsqueeze(1)
    means = torch.zeros(len(graphs), batch.x.size(1)).index_add_(0, number, batch.x.float()) / counts
    degree = torch.bincount(batch.edge_index[0], minlength=len(number)).clamp(max=DEGREES - 1)
    histogram = torch.zeros(len(graphs), DEGREES).index_put_((number, degree), torch.ones(len(number)), accumulate=True)
    sizes = torch.stack([graphs.nodes, graphs.edges], dim=1).float().log1p()
    table = torch.cat([means, histogram / counts, sizes], dim=1)
    spread = table[train].std(0)
    return (table - table[train].mean(0)) / torch.where(spread > 0, spread, 1.0)


def same_graphs(graphs: GraphSet) -> Tensor:
    """Return the pairs of graphs that colour refinement cannot tell apart, both ways, ``[2, pairs]``.

    Isomorphic graphs are always found; others only where :func:`graphkit.operators.refinement.refine_colours` is blind,
    as it is to some regular graphs.

    Source: Weisfeiler & Leman (1968); Shervashidze et al. (2011), JMLR 12, for the form with node labels.
    """
    batch = graphs.batch(torch.arange(len(graphs)))
    colour = refine_colours(batch.x, batch.edge_index, rounds=ROUNDS)[-1].numpy()
    number = batch.batch.numpy()
    order = np.lexsort((colour, number))
    names: dict[bytes, list[int]] = {}
    for graph, part in enumerate(np.split(colour[order], np.cumsum(graphs.nodes.numpy())[:-1])):
        names.setdefault(hashlib.sha256(part.tobytes()).digest(), []).append(graph)
    pairs = [(a, b) for group in names.values() for a in group for b in group if a != b]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T.contiguous()


def _rows(mask: Tensor, y: Tensor, device: torch.device) -> LabelledItems:
    """Return the labelled graphs of a mask."""
    index = (mask & (y >= 0)).nonzero().squeeze(-1)
    return LabelledItems(index.to(device), y[index].to(device))
