"""Setups of embedding studies: what training sees, what is evaluated afterwards, and the protocol of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit._checks import at_least
from graphkit.training.classification.targets import require_classes
from graphkit.training.classification.tasks import prepare
from graphkit.training.embedding.embedding_task import EmbeddingTask
from graphkit.training.embedding.evaluator import EmbeddingEvaluator
from graphkit.training.embedding.joined_rows import AbstractRows
from graphkit.training.embedding.node_rows import NodeRows
from graphkit.training.engine.records import DatasetFacts, Protocol, dataset_facts, protocol_of

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe


MEASURED = "MAP@R by cosine, test items asking all others"


@dataclass(frozen=True)
class EmbeddingSetup:
    """One study, ready to be run with any seed.

    Args:
        visible: what training and selection see.
        full_graph: the same items as they are embedded in the end; in the transductive setting the same object.
        evaluator: what is measured then.
        raw: features of the items ``[items, features]``, the first baseline.
        y: labels of all items ``[items]``, also of those that are not examined.
        facts: the data set of the record.
        protocol: what a comparison has to hold fixed.
        rows: of the items in several views, and what is solved for.
        level: "node" or "graph".
        parts: of several graphs the name and the number of nodes of each, in their order.
    """

    visible: EmbeddingTask
    full_graph: EmbeddingTask
    evaluator: EmbeddingEvaluator
    raw: Tensor
    y: Tensor
    facts: DatasetFacts
    protocol: Protocol
    rows: AbstractRows
    level: str = "node"
    parts: Mapping[str, int] = dataclasses.field(default_factory=dict)


def node_setting(
    data: Data,
    recipe: EmbeddingRecipe,
    device: torch.device,
    dtype: torch.dtype,
    *,
    inductive: bool = False,
    disjoint: int | Sequence[int] = 0,
    without_neighbours: bool = False,
) -> EmbeddingSetup:
    """Return the study of the nodes of one graph, or of several as one.

    Args:
        data: a graph with features, edges, labels and masks; of several, their ``disjoint_union``.
        recipe: how features and graph are to be prepared.
        device: where everything goes.
        dtype: of features and edge weights.
        inductive: training sees neither the test nodes nor their edges, and nothing of a graph that is held out.
        disjoint: these classes, or so many that are drawn, the same ones at each call, are kept from training and
            selection, and only they are examined; 0 for a closed set.
        without_neighbours: nodes joined by an edge do not answer each other.

    Raises:
        ValueError: for data that cannot be trained on, or where fewer than two classes would be left to train on.
    """
    task, _ = prepare(data, recipe.encoder, device, dtype)
    require_classes(data.y)
    nodes, parts = data.num_nodes, data.get("parts") or {}
    whole = EmbeddingTask(task, nodes, torch.arange(nodes, device=device))
    visible = whole
    if inductive:
        visible = _without_test(data, recipe, device, dtype)
    y, notes = data.y.cpu().long().clone(), []
    train, test = data.train_mask.cpu(), data.test_mask.cpu()
    if disjoint:
        novel = _novel_classes(y, disjoint)
        visible = visible.drop_classes(novel)
        unseen = torch.isin(y, novel)
        y[~unseen] = -1
        test = unseen if data.get("held_out") is None else unseen & test  # none of them gave a label
        notes.append(f"class-disjoint: classes {', '.join(map(str, novel.tolist()))} unseen")
    if without_neighbours:
        notes.append("one-hop neighbours left out")
    facts = dataset_facts(data)
    if parts:
        facts = dataclasses.replace(facts, graphs=len(parts))
        notes.append(f"graphs {', '.join(parts)} as one")
    protocol = protocol_of([data], facts, recipe.rule_for_new_classes if disjoint else recipe.selection_rule)
    protocol = dataclasses.replace(
        protocol,
        test=int(test.sum()),
        setting="; ".join(["inductive" if inductive else "transductive", *notes]),
        metric=MEASURED,
    )
    exclude = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1).cpu() if without_neighbours else None
    tuned = None if recipe.objective.labelled or disjoint else data.val_mask.cpu()
    evaluator = EmbeddingEvaluator(
        y, train, test, exclude, bool(disjoint), tuned, data.part.cpu() if parts else None, tuple(parts)
    )
    raw, classes = data.x.to_dense(), data.y.cpu().long()
    rows = NodeRows(data, ~hidden_nodes(data) if inductive else None)
    return EmbeddingSetup(visible, whole, evaluator, raw, classes, facts, protocol, rows, parts=parts)


def training_view(data: Data, *, inductive: bool = False, disjoint: int | Sequence[int] = 0) -> Data:
    """Return the graph as a classifier beside may learn from it: what ``node_setting`` hides is not there.

    Args:
        data: a graph with labels and masks.
        inductive: leaves out the edges of test nodes.
        disjoint: these classes, or so many that are drawn, are in no mask of training and validation.
    """
    seen = _without_test_edges(data) if inductive else data
    if disjoint:
        seen, kept = seen.clone(), ~torch.isin(data.y, _novel_classes(data.y.cpu().long(), disjoint).to(data.y.device))
        seen.train_mask, seen.val_mask = data.train_mask & kept, data.val_mask & kept
    return seen


def _without_test(data: Data, recipe: EmbeddingRecipe, device: torch.device, dtype: torch.dtype) -> EmbeddingTask:
    """Return the nodes without the edges of the test nodes, which a loss without labels does not look at either."""
    task, _ = prepare(_without_test_edges(data), recipe.encoder, device, dtype)
    return EmbeddingTask(task, data.num_nodes, (~hidden_nodes(data)).nonzero().squeeze(-1).to(device))


def _without_test_edges(data: Data) -> Data:
    """Return the graph without the edges of the test nodes."""
    hidden = hidden_nodes(data)[data.edge_index].any(dim=0)
    seen = data.clone()
    seen.edge_index = data.edge_index[:, ~hidden]
    if seen.get("edge_weight") is not None:
        seen.edge_weight = seen.edge_weight[~hidden]
    return seen


def hidden_nodes(data: Data) -> Tensor:
    """Return the nodes that inductive training does not see: the test nodes, or the whole graph that is held out."""
    return data.test_mask if data.get("held_out") is None else data.held_out


def _novel_classes(y: Tensor, disjoint: int | Sequence[int]) -> Tensor:
    """Return the classes kept from training, sorted."""
    classes = y[y >= 0].unique()
    wanted = torch.tensor([] if isinstance(disjoint, int) else sorted(set(disjoint)), dtype=torch.long)
    if not bool(torch.isin(wanted, classes).all()):
        raise ValueError(f"`disjoint` must name classes of {classes.tolist()}, got {wanted.tolist()}.")
    count = at_least("disjoint", disjoint, 1) if isinstance(disjoint, int) else len(wanted)
    if len(classes) - count < 2:
        raise ValueError(f"`disjoint` must leave two of the {len(classes)} classes to train on, got {disjoint}.")
    if len(wanted):
        return wanted
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    return classes[order[:count]].sort().values
