"""Evaluation of embeddings: retrieval, votes, probes and clusters, each learnt from training labels only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.metric.distances import normalize_rows
from graphkit.metric.retrieval import evaluate_retrieval
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.tasks import prepare
from graphkit.training.engine.distributed import fabric_on, rng_seed
from graphkit.training.zoo import MLP
from graphkit.training.zoo.recipes import Recipe


@dataclass(frozen=True)
class EmbeddingEvaluator:
    """Labels of all items, and who asks and who answers.

    Args:
        y: ``[items]``; -1 for items that take no part.
        train: the training items, a mask ``[items]``: the gallery of the vote and what the probe learns from.
        test: the test items, a mask ``[items]``.
        exclude: ``[2, pairs]`` that may not meet, or ``None``.
        disjoint: whether the classes examined are none of those trained on; then no training item has a label here,
            the vote asks all other items, and the probe learns in folds.
        validation: the validation items, a mask ``[items]``, where a probe is to be selected by them.
        part: the number of the graph that each item is of, ``[items]``, where they are of several.
        graphs: the names of those.
    """

    y: Tensor
    train: Tensor
    test: Tensor
    exclude: Tensor | None = None
    disjoint: bool = False
    validation: Tensor | None = None
    part: Tensor | None = None
    graphs: tuple[str, ...] = ()

    def figures(self, z: Tensor, *, probes: bool = True) -> dict[str, float]:
        """Return figures by name, fractions.

        "all": every labelled item asks all others. "test": the test items ask all others. "knn" and "probe": accuracy
        on the test items from the training items' labels; "tuned probe": of one that validation items select. "ami":
        k-means on all items. "overlap": chance that two test items of one class lie farther apart than two of different
        classes. "within" and "across": of several graphs, the test items ask those of their own graph, those of all
        others; "within NAME": those of that graph their own. One class alone has neither a probe nor clusters.
        """
        z = z.detach().cpu()
        every = evaluate_retrieval(z, self.y, exclude=self.exclude, cuts=[1], metrics=["ranking"])
        found = {f"{name} (all)": value for name, value in every.as_dict().items() if name != "recall@1"}
        asking = self.test & (self.y >= 0)
        test = evaluate_retrieval(z, self.y, queries=asking, exclude=self.exclude, cuts=[1], metrics=["ranking"])
        found |= {f"{name} (test)": value for name, value in test.as_dict().items() if name != "recall@1"}
        if self.part is not None:
            found |= self._by_graph(z, asking, self.part)
        if not math.isnan(apart := overlap(z[asking], self.y[asking])):
            found["overlap (test)"] = apart
        items = None if self.disjoint else self.train
        vote = evaluate_retrieval(z, self.y, queries=asking, gallery=items, exclude=self.exclude, metrics=["knn"])
        found |= {"knn (test)": vote["knn"]}
        if probes and len(self.y[asking].unique()) > 1:
            others = evaluate_retrieval(z, self.y, queries=asking, train=items, metrics=["probe"])
            found["probe (test)"] = others["probe"]
            if self.validation is not None:
                found["tuned probe (test)"] = tuned_probe(z, self.y, (self.train, self.validation, self.test))
            found["ami (all)"] = evaluate_retrieval(z, self.y, metrics=["ami"])["ami"]
        return found

    def _by_graph(self, z: Tensor, asking: Tensor, part: Tensor) -> dict[str, float]:
        """Return figures of the test items that ask their own graph, and that ask the others.

        Means over the items that have a relevant one there; no figure where none has.
        """
        found = {}
        for name in ("within", "across"):
            parts = []
            for graph in part[asking].unique():
                queries, items = asking & (part == graph), (part == graph) == (name == "within")
                counts = self.y[items & (self.y >= 0)].bincount(minlength=int(self.y.max()) + 1)
                if bool((counts[self.y[queries]] > (name == "within")).any()):
                    options = {"queries": queries, "gallery": items, "exclude": self.exclude, "cuts": [1]}
                    parts.append(evaluate_retrieval(z, self.y, metrics=["ranking"], **options))
                    if name == "within":
                        found[f"map@r (within {self.graphs[int(graph)]})"] = parts[-1]["map@r"]
            total = sum(each.queries for each in parts)
            for figure in ("map@r", "hit@1") if parts else ():
                found[f"{figure} ({name})"] = sum(each[figure] * each.queries for each in parts) / total
        return found


def overlap(z: Tensor, y: Tensor, *, most: int = 2_000) -> float:
    """Return the chance that a pair of one class lies farther apart (cosine) than a pair of two, ties counting half.

    NaN where there are not pairs of both kinds.

    Args:
        z: embeddings ``[items, features]``.
        y: integer labels ``[items]``.
        most: beyond so many items, so many evenly spaced ones stand for all.

    Example:
        >>> overlap(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), torch.tensor([0, 0, 1, 1]))
        0.0
    """
    if len(z) > most:
        chosen = torch.linspace(0, len(z) - 1, most).long()
        z, y = z[chosen], y[chosen]
    unit = normalize_rows(z.double())
    distance = 1 - unit @ unit.T
    upper = torch.ones(len(z), len(z)).triu(1).bool()
    same = (y[:, None] == y) & upper
    near, far = distance[same], distance[upper & ~same].sort().values
    if not len(near) or not len(far):
        return math.nan
    below = torch.searchsorted(far, near) + torch.searchsorted(far, near, right=True)
    return float(below.double().sum() / (2 * len(near) * len(far)))


DECAYS = (1e-4, 1e-2)
"""The published probes' weight decays, one for Cora and one for CiteSeer; here validation decides."""


def tuned_probe(z: Tensor, y: Tensor, masks: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the accuracy on the test items of a softmax regression, a fraction.

    Adam takes 1,000 full-batch steps at rate 0.01; step and weight decay are those of the highest validation accuracy,
    among equals of the lower validation loss, among equals still the first.

    Args:
        z: embeddings ``[items, features]``, used as they are.
        y: integer labels ``[items]``.
        masks: of the items to learn from, to select by and to test on, each ``[items]``.

    Source: the official code of CCA-SSG (Zhang et al. 2021, arXiv:2106.12484), which takes the decay per data set.
    """
    rows = masks[0] | masks[1] | masks[2]
    train, validation, test = (mask[rows] for mask in masks)
    fabric = fabric_on("cpu", "32-true")
    none = torch.zeros(2, 0, dtype=torch.long)
    data = Data(x=z[rows].float(), edge_index=none, y=y[rows], train_mask=train, val_mask=validation, test_mask=test)
    found = []
    for decay in DECAYS:
        recipe = Recipe(
            name="probe",
            model=MLP(layers=1, dropout=0.0),
            lr=0.01,
            l2=decay,
            l2_on="all",
            epochs=1000,
            row_normalise=False,
            sparse_below=0.0,
        )
        task, tested = prepare(data, recipe, fabric.device, torch.float32)
        with rng_seed(0):
            module = recipe.module(task.channels, task.outputs)
        trainer = classification_trainer(module, task, recipe, fabric)
        trainer.train()
        key = (-trainer.selected.figure, trainer.selected.validation_loss)
        found.append((key, float(task.objective.figure(trainer.logits(tested.index), tested.y))))
    return min(found, key=lambda one: one[0])[1]  # of equal keys the first: the test figure decides nothing
