"""What a training on links sees: the edges to look at, pairs to learn from, and others to choose by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.splits.links import LinkSplit
from graphkit.data.splits.non_edges import NonEdgeSampler, pair_keys
from graphkit.data.validation import feature_sum, validate
from graphkit.nn.link_models import RADIUS, LinkBatch
from graphkit.training.classification.metrics import METRICS, TargetMetric, metric_for, reciprocal_rank
from graphkit.training.classification.targets import LinkTarget, SupervisedObjective
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, model_inputs
from graphkit.training.engine.records import EDGES, DatasetFacts, Protocol, split_name, splits_sha256

if TYPE_CHECKING:
    from graphkit.operators import SparseOperator
    from graphkit.training.zoo.link_architectures import AbstractLinkModel
    from graphkit.training.zoo.recipes import Recipe

AT_ONCE = 2**18
"""Pairs that are scored at a time where nothing is learnt."""

HELD = 0.3
"""Share of the links to learn from that are asked for in a step, and so not seen, where a batch is not given."""


@dataclass(frozen=True)
class LinkTask(AbstractTask):
    """Pairs of nodes of one graph, given the edges that may be seen.

    A model never sees a link that it is asked for: those of a step of training are taken out of the edges, in both
    directions. Other pairs of a step, as many as links, are drawn anew.

    Args:
        seen: the graph with the edges that may be seen.
        x: features ``[nodes, features]``, a tensor or a sparse operator; None where the model takes none.
        split: where links and other pairs are.
        pairs: of the items, ``[2, items]``.
        train: items to learn from; those that are no links are for models that are solved for.
        validation: the items that the selection looks at.
        objective: what is minimised and what is measured.
        model: looks at views of pairs, or at nodes.
        measured: the graph with the edges that may be seen when items ``later`` are measured, where these are more.
        later: whether an item is of those, boolean ``[items]``.
    """

    seen: Data
    x: Tensor | SparseOperator | None
    split: LinkSplit
    pairs: Tensor
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective
    model: AbstractLinkModel
    graph: tuple[Any, ...] = ()
    measured: Data | None = None
    later: Tensor | None = None

    @property
    def channels(self) -> int:
        """Features of a node."""
        return 0 if self.x is None else self.x.size(1)

    @functools.cached_property
    def views(self) -> Tensor:
        """What the graph says of the items, ``[items, columns]``: of links to learn from as if they were not there."""
        table: Tensor | None = None
        learnt = torch.zeros(self.pairs.size(1), dtype=torch.bool)
        folds = getattr(self.model, "folds", 0)  # a rule learns nothing
        learnt[self.train.index.cpu()] = folds > 0
        parts = [(self._viewer(graph), (~learnt & of).nonzero().squeeze(-1)) for graph, of in self._graphs(~learnt)]
        index = self.train.index.cpu()
        if folds:
            parts += [(viewer, index[self._folds == number]) for number, viewer in enumerate(self._fold_viewers)]
        for viewer, items in parts:
            if len(items):
                rows = viewer(self.pairs[:, items].cpu()).to(self.pairs.device)
                table = rows.new_empty(self.pairs.size(1), rows.size(1)) if table is None else table
                table[items] = rows
        assert table is not None
        return table

    @functools.cached_property
    def _seen_viewer(self) -> Callable[[Tensor], Tensor]:
        return self._viewer(self.seen)

    @functools.cached_property
    def _folds(self) -> Tensor:
        """The fold of each item to learn from; folds are the split's, the same for each seed."""
        drawn = torch.Generator().manual_seed(0)
        return torch.randperm(len(self.train.index), generator=drawn) % self.model.folds  # type: ignore[attr-defined]

    @functools.cached_property
    def _fold_viewers(self) -> list[Callable[[Tensor], Tensor]]:
        """What gives views of pairs as if the links of a fold were not there, for each fold."""
        links = self.train.y.cpu()[:, 0] == 1
        folds = range(int(self._folds.max()) + 1 if len(self._folds) else 0)
        away = [(links & (self._folds == number)).nonzero().squeeze(-1) for number in folds]
        return [self._viewer(self._remove_links(each)) for each in away]

    def _viewer(self, graph: Data) -> Callable[[Tensor], Tensor]:
        """Return what gives views of pairs of a graph; it is made when it is asked for the first time."""
        made: list[Callable[[Tensor], Tensor]] = []

        def look(pairs: Tensor) -> Tensor:
            if not made:
                made.append(self.model.viewer(graph))
            return made[0](pairs)

        return look

    def _fold_views(self, chosen: Tensor, pairs: Tensor) -> Tensor:
        """Return views of links to learn from, and of as many other pairs, each in a fold of its own or a drawn one."""
        links = self._folds[chosen]
        fold = torch.cat([links, torch.randint(len(self._fold_viewers), (pairs.size(1) - len(links),))])
        table: Tensor | None = None
        for number in fold.unique().tolist():
            own = (fold == number).nonzero().squeeze(-1)
            rows = self._fold_viewers[number](pairs[:, own.to(pairs.device)].cpu()).to(pairs.device)
            table = rows.new_empty(len(fold), rows.size(1)) if table is None else table
            table[own] = rows
        assert table is not None
        return table

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the scores of some items, given all edges that may be seen, ``[items, 1]``."""
        found = torch.empty(0, 1)
        for graph, of in self._graphs(torch.ones(self.pairs.size(1), dtype=torch.bool)):
            own = of.to(index.device)[index].nonzero().squeeze(-1)
            z = self._rows(model, graph) if len(own) else None
            for part in own.split(AT_ONCE):
                said = model(self._batch(graph, index[part], z))
                found = said.new_empty(len(index), said.size(1)) if not len(found) else found
                found[part] = said
        return found

    def score_pairs(self, model: Callable[..., Tensor], pairs: Tensor, z: Tensor | None = None) -> Tensor:
        """Return the scores of any pairs ``[2, pairs]``, given all edges that may be seen, ``[pairs, 1]``.

        Args:
            model: asked for them.
            pairs: of nodes.
            z: what :meth:`rows` returned, where they were asked for before.
        """
        found, z = [], self.rows(model) if z is None and pairs.size(1) else z
        for part in pairs.split(AT_ONCE, 1):
            views = self._seen_viewer(part.cpu()).to(pairs.device) if self.model.views else None
            found.append(model(self._link_batch(self.seen, part, views, z)))
        return torch.cat(found) if found else torch.empty(0, 1)

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield links to learn from in a drawn order, each time with as many drawn pairs that are none."""
        links = self.split.train
        order = torch.randperm(links.size(1))
        size = size or max(1, round(HELD * len(order)))
        for chosen in order.split(size):
            own = links[:, chosen]
            others = self.sampler.beside(own, key=int(torch.randint(2**62, ())))
            pairs = torch.cat([own, others], 1).to(self.pairs.device)
            y = (torch.arange(pairs.size(1), device=pairs.device) < own.size(1)).to(self.train.y.dtype)[:, None]
            views = self._fold_views(chosen, pairs) if self.model.views else None
            made = functools.partial(self._step, pairs=pairs, seen=self._remove_links(chosen), views=views)
            yield LabelledItems(torch.arange(len(y)), y, made)

    def _graphs(self, items: Tensor) -> list[tuple[Data, Tensor]]:
        """Return which graph is seen where which of some items are measured, boolean ``[items]``."""
        if self.measured is None or self.later is None:
            return [(self.seen, items)]
        return [(self.seen, items & ~self.later), (self.measured, items & self.later)]

    def _step(self, model: Callable[..., Tensor], *, pairs: Tensor, seen: Data, views: Tensor | None) -> Tensor:
        """Return the scores of pairs of a step, given the edges without them."""
        return model(self._link_batch(seen, pairs, views))

    def rows(self, model: Callable[..., Tensor]) -> Tensor | None:
        """Return the rows of nodes that all pairs have in common, ``[nodes, channels]``, where there are such."""
        return self._rows(model, self.seen)

    def _rows(self, model: Callable[..., Tensor], seen: Data) -> Tensor | None:
        return model(self._link_batch(seen, None, None)) if self.model.encodes else None

    def _batch(self, seen: Data, index: Tensor, z: Tensor | None) -> LinkBatch:
        return self._link_batch(seen, self.pairs[:, index], self.views[index] if self.model.views else None, z)

    def _link_batch(self, seen: Data, pairs: Tensor | None, views: Tensor | None, z: Tensor | None = None) -> LinkBatch:
        weight = seen.get("edge_weight") if self.model.edge_weights == "used" else None
        return LinkBatch(self.x, seen.edge_index, weight, pairs, views, z)

    def _remove_links(self, links: Tensor) -> Data:
        """Return the graph without the links to learn from of some places, in both directions where it has both."""
        made, away = self.seen.__copy__(), torch.zeros(self.split.train.size(1) + 1, dtype=torch.bool)
        away[links] = True
        left = ~away.to(self._places.device)[self._places]
        made.edge_index = self.seen.edge_index[:, left]
        if self.seen.get("edge_weight") is not None:
            made.edge_weight = self.seen.edge_weight[left]
        return made

    @functools.cached_property
    def _places(self) -> Tensor:
        """Where each edge that may be seen stands among the links to learn from, ``[edges]``; -1 where it is none."""
        split = self.split
        keys, order = pair_keys(split.train, split.num_nodes, directed=split.directed).sort()
        asked = pair_keys(self.seen.edge_index.cpu(), split.num_nodes, directed=split.directed)
        slots = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
        return torch.where(keys[slots] == asked, order[slots], -1).to(self.seen.edge_index.device)

    @functools.cached_property
    def sampler(self) -> NonEdgeSampler:
        """Draws pairs that are no links, for steps of training."""
        return self.split.sampler(self.seen, anchored=getattr(self.model, "loss", "") == "triplet")


def link_split_of(data: Data) -> LinkSplit:
    """Return the split of links that data carry.

    Raises:
        ValueError: where there is none.
    """
    split = data.get("link_split")
    if not isinstance(split, LinkSplit):
        raise ValueError(
            "`link_split` is missing: links are learnt with a split of them, such as "
            "`RandomLinks()(data, generator).apply(data)`."
        )
    return split


def unlabelled_links(
    data: Data, split: LinkSplit, recipe: Recipe, device: torch.device, dtype: torch.dtype
) -> LinkTask:
    """Return data as a task without items, which scores pairs given the edges that a split shows.

    Args:
        data: a graph; ``x`` may be missing for models that look at views of pairs.
        split: of its links.
        recipe: of links.
        device: where everything goes.
        dtype: of features.

    Raises:
        ValueError: for a recipe of other items, a graph that is not sound, features that are missing, and edge weights
            that the model cannot use.
    """
    if recipe.model.items != "links":
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are links; take one of "
            "`recipe(name, items='links')`."
        )
    model: Any = recipe.model
    validate(data)
    if model.sees_features and data.get("x") is None:
        raise ValueError(f"`x` is missing: {recipe.name!r} looks at features; take 'pair-logistic', which needs none.")
    seen = _on_device(split.message_data(data), device, dtype)
    x = None
    if model.sees_features:
        x, _ = model_inputs(seen, recipe.resolve(lambda: feature_sum(data)), device, dtype)
    nothing = LabelledItems(torch.empty(0, dtype=torch.long), torch.empty(0, 1))
    objective = SupervisedObjective(_target_of(model), METRICS["roc_auc"])
    return LinkTask(seen, x, split, torch.empty(2, 0, dtype=torch.long), nothing, nothing, objective, model)


def prepare_links(
    data: Data, recipe: Recipe, device: torch.device, dtype: torch.dtype, metric: str | None = None
) -> tuple[LinkTask, LabelledItems]:
    """Return the task and, apart from it, the pairs to test on.

    Args:
        data: a graph with ``link_split``.
        recipe, device, dtype: as for :func:`unlabelled_links`.
        metric: the figure to select and report by; by default the card's, or hits@100.

    Raises:
        ValueError: as :func:`unlabelled_links` does, and for a figure for which there are too few pairs that are no
            links.
    """
    split = link_split_of(data)
    task = unlabelled_links(data, split, recipe, device, dtype)
    train, drawn = _learnt(split, task.seen, task.model)
    pairs = torch.cat([split.val.pairs(), split.test.pairs(), train], 1).to(device)
    labels = [_labels(split.val.positive, split.val.pairs()), _labels(split.test.positive, split.test.pairs()), drawn]
    y = [each.to(device, dtype)[:, None] for each in labels]
    sizes = [len(each) for each in y]
    index = torch.arange(sum(sizes), device=device).split(sizes)
    validation, test, learn = (LabelledItems(*each) for each in zip(index, y, strict=True))
    objective = link_objective(data, split, [validation.y, test.y], metric, target=_target_of(task.model))
    task = dataclasses.replace(task, pairs=pairs, train=learn, validation=validation, objective=objective)
    if split.later is not None:
        later = torch.zeros(pairs.size(1), dtype=torch.bool)
        later[test.index.cpu()] = True
        measured = _on_device(split.message_data(data, measuring=True), device, dtype)
        task = dataclasses.replace(task, measured=measured, later=later)
    return task, test


def _on_device(seen: Data, device: torch.device, dtype: torch.dtype) -> Data:
    """Return the part of a graph that models of links look at, its edges and their weights on a device."""
    made = Data(x=seen.get("x"), edge_index=seen.edge_index.to(device), num_nodes=seen.num_nodes)
    if seen.get("edge_weight") is not None:
        made.edge_weight = seen.edge_weight.to(device, dtype)
    if seen.get("node_type") is not None:
        made.node_type = seen.node_type
    return made


def link_protocol(divided: Sequence[Data], facts: DatasetFacts, selection: str, metric: str) -> Protocol:
    """Return the protocol of prediction of links: one graph, with one split of them or several."""
    splits = [link_split_of(data) for data in divided]
    records, first = [split.record() for split in splits], splits[0]
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name(records),
        split_sha256=splits_sha256([record["fingerprint"] for record in records]),
        train=first.train.size(1),
        validation=first.val.positive.size(1),
        test=first.test.positive.size(1),
        selection=selection,
        metric=metric,
        items="links",
        edges=EDGES[bool(divided[0].get("undirected"))],
        rule=f"among {first.val.negative[0].numel():,} and {first.test.negative[0].numel():,} other pairs",
    )


def link_objective(
    data: Data,
    split: LinkSplit,
    labels: Sequence[Tensor],
    metric: str | None = None,
    *,
    target: LinkTarget | None = None,
) -> SupervisedObjective:
    """Return what is minimised and measured of links, of which some parts have these labels.

    Raises:
        ValueError: for a figure that is none of links, or for which there are too few pairs that are none.
    """
    target = LinkTarget() if target is None else target
    published = getattr(data.get("card"), "metric", None)
    own = [part.negative.dim() == 3 for part in (split.val, split.test)]
    usual = "mrr" if any(own) else metric  # the one figure of links that have others of their own
    measured = metric_for("links", 1, named=usual if metric is None else metric, published=published)
    few = min(int((y == 0).sum()) for y in labels) < measured.others
    if few and metric is None and published != measured.name:
        measured = METRICS["roc_auc"]  # nobody asked for ranks among more others than there are
    for name, y in zip(("val.negative", "test.negative"), labels, strict=True):
        measured.columns(y, name)
    if any(own):
        if measured.name != "mrr" or not all(own):
            raise ValueError(
                f"`metric` {measured.name!r}: each link of the split has others of its own, among which its rank is "
                "measured; take 'mrr'."
            )
        measured = _own_ranks(measured)
    return SupervisedObjective(target, measured)


def _target_of(model: Any) -> LinkTarget:
    """Return what a model learns of links."""
    if not model.encodes:
        return LinkTarget()
    margin = 0.0 if "margin" in model.unused_fields() else model.margin
    return LinkTarget(form=model.loss, margin=margin, radius=RADIUS if model.decoder == "distance" else 0.0)


def _own_ranks(measured: TargetMetric) -> TargetMetric:
    """Return the figure of links that have others of their own."""
    return dataclasses.replace(measured, of_column=lambda s, y: reciprocal_rank(s, y == 1, own=True))


def _labels(links: Tensor, pairs: Tensor) -> Tensor:
    """Return 1 for links, which stand first, and 0 for other pairs."""
    return (torch.arange(pairs.size(1)) < links.size(1)).double()


def _learnt(split: LinkSplit, seen: Data, model: AbstractLinkModel) -> tuple[Tensor, Tensor]:
    """Return pairs to learn from and their labels: the links, and for models that are solved for other pairs."""
    links, many = split.train, getattr(model, "negatives", 0)
    if model.solved and not many:  # a rule learns nothing, and a loss wants something
        links = links[:, :1]
    if not model.solved or not many:
        return links, torch.ones(links.size(1), dtype=torch.float64)
    drawn = torch.Generator().manual_seed(0)  # of the split, the same for each seed
    others = split.draw_negatives(seen, many * links.size(1), generator=drawn)
    pairs = torch.cat([links, others], 1)
    return pairs, _labels(links, pairs)
