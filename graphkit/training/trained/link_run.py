"""Finished runs on links: scores of pairs, new links of each node, and figures of those that were held out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from graphkit._checks import at_least, instance, member, node_ids
from graphkit.data import LinkSplit, validate
from graphkit.data.pairs import averaged_rows
from graphkit.data.splits.links import LinkPart, Links, node_kinds, with_plain_edges
from graphkit.data.splits.non_edges import pair_keys
from graphkit.operators.pair_scores import PairScores, checked_pairs
from graphkit.training.classification.metrics import METRICS
from graphkit.training.engine.distributed import fabric_on, in_precision, own_device
from graphkit.training.engine.options import require_splits
from graphkit.training.engine.records import Metric, metric
from graphkit.training.engine.trainer import require_finite
from graphkit.training.links.link_task import link_split_of, prepare_links, unlabelled_links
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import item_ids
from graphkit.training.trained.model_run import AbstractModelRun
from graphkit.training.trained.predictions import LinkPredictions

NEAR = 100
"""Candidates of a node within two steps, at most, and as many that are alike."""

BLOCK = 1024
"""Nodes whose candidates are looked for together."""


@dataclass(frozen=True, eq=False)
class LinkReport:
    """What each seed's model came to on held-out links.

    Args:
        name: of the figure that the run records.
        figures: all figures by name, one for each seed.
        links: how many were ranked.
        others: among how many pairs that are none.
        part: of the split.
    """

    name: str
    figures: Mapping[str, tuple[float, ...]]
    links: int
    others: int
    part: str

    def metric(self, name: str) -> Metric:
        """Return a figure over the seeds."""
        return metric(name, self.figures[name])


@dataclass(frozen=True, eq=False)
class LinkRun(AbstractModelRun):
    """A finished run on links, of ``graphkit train`` with ``--task links`` or of ``train`` with a ``run_dir``."""

    def is_own(self, data: Any) -> bool:
        """Return whether ``data`` are what the run was trained on, by their checksum; they need no labels."""
        from graphkit.training.engine.records import dataset_facts

        return isinstance(data, Data) and dataset_facts(data).sha256 == self.record.dataset.sha256

    def scores(self, data: Data, pairs: Tensor, *, seed: int | None = None, device: str = "auto") -> Tensor:
        """Return the probability, by the models, that pairs are links, given all edges of ``data``, ``[pairs]``.

        A link of ``data`` is seen; ask for one that is not there. Half of all pairs being links would make the
        probability right: it orders pairs, and says no more.

        Args:
            data: a graph, with features where the model looks at them.
            pairs: ``[2, pairs]``.
            seed: whose model is asked; by default all are, and the mean is returned.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a seed that was not trained, data that do not fit the model, and nodes that are not there.
        """
        data = self._prepare(data)
        pairs = checked_pairs(pairs, int(data.num_nodes))
        chosen = self.models_of(seed)
        return torch.stack([_Scorer(each, data, device)(pairs) for each in chosen]).mean(0)

    def embed(self, data: Data, *, seed: int | None = None, device: str = "auto") -> Tensor:
        """Return the rows of nodes by which a model scores pairs, ``[nodes, channels]``, for a search among them.

        With the decoder "distance" rows have length 1, and the nearest are the likeliest links; with "inner" those of
        the largest inner product are.

        Args:
            data: a graph, with features.
            seed: whose model is asked; by default that of the best validation figure.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a model that looks at pairs alone, and what :meth:`scores` refuses.
        """
        model = self.model if seed is None else self.of_seed(seed)
        return _Scorer(model, self._prepare(data), device).rows()

    def predict(
        self,
        data: Any,
        *,
        seed: int | None = None,
        device: str = "auto",
        top: int = 10,
        nodes: Sequence[int] | None = None,
    ) -> LinkPredictions:
        """Return the likeliest new links of each node, the best first.

        Looked at are at most 100 nodes two steps away, those with the most paths first, as many whose features are the
        most alike, and as many whose rows are, of models whose decoder compares rows; where nodes have types, those
        three steps away too, and of types that some edge joins. Of a directed graph links lead from the node.

        Args:
            data: a graph.
            seed, device: as for :meth:`scores`.
            top: links of a node, at most.
            nodes: whose; by default all.

        Raises:
            ValueError: as :meth:`scores` does.
        """
        at_least("top", top, 1)
        node, link, probability = self.new_links(data, seed=seed, device=device, top=top, nodes=nodes)
        ids = np.asarray(item_ids(data, int(data.num_nodes)), dtype=object)
        return LinkPredictions(ids[node], ids[link], probability.numpy())

    def new_links(
        self, data: Data, *, seed: int | None, device: str, top: int, nodes: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :meth:`predict` does as numbers of nodes: whose, with whom, and how likely, ``[links]`` each."""
        data = self._prepare(data)
        asked = torch.arange(int(data.num_nodes)) if nodes is None else torch.as_tensor(nodes)
        node_ids("nodes", asked, int(data.num_nodes))
        chosen = self.models_of(seed)
        scorers = [_Scorer(each, data, device) for each in chosen]
        parts = []
        tables = [scorer.rows() for scorer in scorers if scorer.compares]
        tables += [] if data.get("x") is None else [averaged_rows(data, 2)]
        for pairs in _candidates(data, asked, tables):
            score = torch.stack([scorer(pairs) for scorer in scorers]).mean(0)
            order = score.argsort(descending=True, stable=True)
            order = order[pairs[0][order].argsort(stable=True)]
            first, score = pairs[0][order], score[order]
            place = torch.arange(len(first)) - torch.searchsorted(first, first)
            kept = place < top
            parts.append((first[kept], pairs[1][order][kept], score[kept]))
        node, link, probability = (torch.cat(several) for several in zip(*parts, strict=True))
        return node, link, probability

    def evaluate(
        self,
        data: Data,
        *,
        part: str = "test",
        seed: int | None = None,
        splits: Sequence[LinkSplit] | None = None,
        device: str = "auto",
    ) -> LinkReport:
        """Return every figure of links that were held out, for each seed's model.

        Args:
            data: a graph with ``link_split``.
            part: "val" or "test".
            seed: whose model is asked; by default each.
            splits: one for each seed, where each had its own.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for data without a split of links, and what :meth:`scores` refuses.
        """
        member("part", part, ["val", "test"])
        chosen = self.models_of(seed)
        require_splits(splits, len(chosen))
        found: dict[str, list[float]] = {}
        for number, model in enumerate(chosen):
            own = data if splits is None else splits[number].apply(data)
            held: LinkPart = getattr(link_split_of(own), part)
            task, test = prepare_links(own, model.recipe, torch.device("cpu"), torch.float32)
            rows = task.validation if part == "val" else test
            outputs = _Scorer(model, own, device, task)(rows.index)
            for name, figure in _figures(task.objective.metric, outputs[:, None], rows.y, held).items():
                found.setdefault(name, []).append(figure)
        name = self.record.metric.name
        figures = {each: tuple(values) for each, values in found.items()}
        return LinkReport(name, figures, held.positive.size(1), held.negative[0].numel(), part)

    def _prepare(self, data: Any) -> Data:
        """Return a graph as that was which the models were trained on, with the sides on which its nodes stood."""
        validate(instance("data", data, Data, "a graph"))
        kinds, made = node_kinds(data), self.model.prepare(data)
        assert isinstance(made, Data)
        made = with_plain_edges(made)
        if kinds is None or made.get("node_type") is not None:
            return made
        made = made.__copy__()
        made.node_type = kinds
        return made


def _figures(measured: Any, outputs: Tensor, y: Tensor, held: LinkPart) -> dict[str, float]:
    """Return every figure that these pairs have, that of the record first."""
    found = {measured.name: float(measured(outputs, y))}
    if held.negative.dim() == 3:  # ranked among pairs of their own
        return found
    others = int((y == 0).sum())
    for each in METRICS.values():
        if each.fits("links", 1) and each.others <= others and each.name not in found:
            found[each.name] = float(each(outputs, y))
    return found


class _Scorer:
    """A model that is asked about pairs of one graph."""

    def __init__(self, model: TrainedModel, data: Data, device: str, task: Any = None) -> None:
        fabric = fabric_on(own_device(device), model.precision)
        self.device, dtype = fabric.device, torch.float64 if model.precision == "64-true" else torch.float32
        self.given, self.name = task is not None, model.recipe.name
        if task is None:
            task = unlabelled_links(data, whole_split(data), model.recipe, fabric.device, dtype)
        self.task, width = task, task.channels
        if task.x is not None and width != model.channels:
            raise ValueError(
                f"the model {model.recipe.name!r} looks at {model.channels:,} features of each node, but `data` has "
                f"{width:,}."
            )
        module = model.draw(()).to(fabric.device)
        fabric.setup_module(module)
        module.load_state_dict(model.module_weights)
        self.model = in_precision(module, fabric).eval()

    @property
    def compares(self) -> bool:
        """Whether the likeliest links of a node are those whose rows have the largest inner products with its own."""
        return getattr(self.task.model, "decoder", "") in ("inner", "distance")

    def rows(self) -> Tensor:
        """Return the rows of nodes, ``[nodes, channels]``."""
        if not self.task.model.encodes:
            raise ValueError(f"the model {self.name!r} looks at pairs and has no rows of nodes; `scores` takes pairs.")
        assert self._z is not None
        found = self._z.cpu()
        require_finite("the model's outputs", [found])
        return F.normalize(found, dim=-1) if self.task.model.decoder == "distance" else found

    @functools.cached_property
    def _z(self) -> Tensor | None:
        with torch.no_grad():
            return self.task.rows(self.model)

    def __call__(self, asked: Tensor) -> Tensor:
        """Return what the model says of pairs ``[2, pairs]``, as probabilities, or of items of a task, as it is."""
        with torch.no_grad():
            if self.given:
                found = self.task.logits(self.model, asked)[:, 0].cpu()
            else:
                found = self.task.score_pairs(self.model, asked.to(self.device), self._z)[:, 0].sigmoid().cpu()
        require_finite("the model's outputs", [found])
        return found


def whole_split(data: Data) -> LinkSplit:
    """Return a split that holds nothing out: all links are seen, and nothing is measured."""
    links = Links.of(data)
    none = torch.empty(2, 0, dtype=torch.long)
    seen = torch.ones(data.edge_index.size(1), dtype=torch.bool)
    empty = LinkPart(none, none)
    return LinkSplit(links.nodes, seen, links.pairs, empty, empty, links.directed, "whole")


def _candidates(data: Data, asked: Tensor, tables: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield pairs that are no links yet, ``[2, pairs]``, of some nodes at a time; ``tables`` say what is alike."""
    nodes = int(data.num_nodes)
    ahead, kinds = PairScores(data.edge_index, nodes), node_kinds(data)
    scores = PairScores(torch.cat([data.edge_index, data.edge_index.flip(0)], 1), nodes)
    there = pair_keys(ahead.edge_index, nodes, directed=True)
    joined = None if kinds is None else {tuple(each) for each in kinds[ahead.edge_index].T.tolist()}
    for block in asked.split(BLOCK):
        pairs = [scores.nodes_within(block, NEAR, steps=2 if kinds is None else 3)]
        for rows in tables:
            some = (rows[block] @ rows.T).topk(min(NEAR, nodes), 1).indices
            pairs.append(torch.stack([block[:, None].expand_as(some), some]).flatten(1))
        found = torch.cat(pairs, 1)
        keys = pair_keys(found, nodes, directed=True).unique()
        keys = keys[~torch.isin(keys, there)]
        found = torch.stack([keys // nodes, keys % nodes])
        found = found[:, found[0] != found[1]]
        if kinds is not None and joined is not None:
            ends = kinds[found].T.tolist()
            fits = [tuple(each) in joined for each in ends]
            found = found[:, torch.tensor(fits, dtype=torch.bool)]
        yield found
