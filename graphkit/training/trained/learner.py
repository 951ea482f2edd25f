"""Few-shot learners out: what was meta-learned, adapted to a support that is given, and asked for the rest."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

import graphkit.training.fewshot.named_methods  # noqa: F401  # the kinds that a file may name
from graphkit._checks import instance
from graphkit.data import GraphSet
from graphkit.meta import Nodes, Rows
from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
from graphkit.training.engine.distributed import fabric_on, own_device
from graphkit.training.engine.options import AbstractOptions
from graphkit.training.engine.trainer import require_finite
from graphkit.training.fewshot.encoder_training import EncoderTraining, encoder_rows
from graphkit.training.fewshot.feature_views import adapt_features, graph_counts, rows_of
from graphkit.training.fewshot.method import COUNTS, ENCODER, AbstractMethod, Learnt
from graphkit.training.fewshot.problems import GraphEdges, table_of
from graphkit.training.trained.data_facts import item_ids
from graphkit.training.trained.model_file import ModelFile, options_from_plain, options_to_plain, refuse_other_fields
from graphkit.training.trained.predictions import Predictions

if TYPE_CHECKING:
    from torch import nn

STUDY = "fewshot"
LEARNER, ENCODERS = "learner.", "encoder."
"""How the names of weights begin, of the learner and of the encoders that it stands on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedLearner:
    """One few-shot learner as one problem left it: its file suffices to adapt it to classes of one's own.

    Args:
        name: of the method.
        method: with all its fields.
        rows: the kind of rows that it sees, chosen where that was left to validation tasks.
        features: of a node of the data.
        channels: of a row.
        ways: classes of the tasks that it was trained on.
        learnt: weights and choices.
        encoders: recipe and weights of each encoder that the rows are made by.
        adapter: what brings features to one width and meaning; empty for none.
        items: "nodes" or "graphs".
        problem: which classes or graph were held out.
        dataset: name of what it was trained on.
        figures: "validation" and "test" accuracy on the tasks of the problem.
    """

    name: str
    method: AbstractMethod
    rows: str
    features: int
    channels: int
    ways: int
    learnt: Learnt = field(repr=False)
    encoders: tuple[tuple[EmbeddingRecipe, Mapping[str, Tensor]], ...] = field(default=(), repr=False)
    adapter: str = ""
    items: str = "nodes"
    problem: str = ""
    dataset: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of its file, the same bytes each time; nothing in it can be executed."""
        apart = ("method", "learnt", "encoders", "figures")
        about = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in apart}
        about |= {"method": options_to_plain(self.method), "choices": dict(self.learnt.choices)}
        about |= {"encoders": [options_to_plain(recipe) for recipe, _ in self.encoders], "figures": dict(self.figures)}
        weights = {f"{LEARNER}{name}": value for name, value in self.learnt.weights.items()}
        for place, (_, own) in enumerate(self.encoders):
            weights |= {f"{ENCODERS}{place}.{name}": value for name, value in own.items()}
        return ModelFile(STUDY, about, weights).to_bytes()

    @classmethod
    def from_file(cls, file: ModelFile) -> TrainedLearner:
        """Return the learner of a file.

        Raises:
            ValueError: for a file of another study, and for a kind of method that is not known here.
        """
        if file.study != STUDY:
            raise ValueError(f"the file holds what `graphkit {file.study}` trained, not what `graphkit {STUDY}` does.")
        with refuse_other_fields():
            about = dict(file.about)
            recipes = [options_from_plain(each, EmbeddingRecipe) for each in about.pop("encoders")]
            about["encoders"] = tuple(
                (recipe, _below(file.weights, f"{ENCODERS}{place}.")) for place, recipe in enumerate(recipes)
            )
            about["method"] = options_from_plain(about["method"], AbstractOptions)
            return cls(learnt=Learnt(_below(file.weights, LEARNER), about.pop("choices")), **about)

    @classmethod
    def read(cls, path: Path | str) -> TrainedLearner:
        """Return the learner in a file.

        Raises:
            ValueError: if there is no such file, it is damaged, or it has another form.
        """
        return cls.from_file(ModelFile.read(Path(path)))

    def items_of(self, data: Data | GraphSet, *, device: str = "auto") -> Rows | Nodes:
        """Return the items of ``data`` as the learner sees them, without labels: rows, or the nodes of their graph.

        Raises:
            TypeError: for anything but a graph or a set of graphs.
            ValueError: for items of another kind, other features than it was trained on, and edge weights that its
                model cannot use.
        """
        nodes, graph_of = self._nodes_of(data, device)
        x = self._table(nodes, graph_of, len(data) if isinstance(data, GraphSet) else 0)
        rows = Rows(x, torch.full((len(x),), -1, device=x.device))
        if not self.method.sees_edges:
            return rows
        return self.method.nodes(rows, GraphEdges(nodes.edge_index, nodes.get("edge_weight")))

    def _nodes_of(self, data: Data | GraphSet, device: str) -> tuple[Data, Tensor | None]:
        """Return the nodes with the features that it knows, on a device, and the graph that each is of, if of several.

        Raises:
            TypeError: for anything but a graph or a set of graphs.
            ValueError: for items of another kind, and other features than it was trained on.
        """
        instance("data", data, (Data, GraphSet), "a Data or a GraphSet")
        kind = "graphs" if isinstance(data, GraphSet) else "nodes"
        if kind != self.items:
            raise ValueError(f"the learner {self.name!r} is of {self.items}, but the items of `data` are {kind}.")
        there = fabric_on(own_device(device), "32-true").device
        nodes, graph_of = (data, None) if isinstance(data, Data) else _together(data)
        nodes = nodes if not self.adapter else adapt_features({"data": nodes}, self.adapter)["data"]
        if nodes.num_features != self.features:
            raise ValueError(
                f"the learner {self.name!r} takes {self.features:,} features, but `data` has {nodes.num_features:,}; "
                "give it the features that it was trained on."
            )
        return copy.copy(nodes).to(there), None if graph_of is None else graph_of.to(there)

    def _table(self, nodes: Data, graph_of: Tensor | None, graphs: int) -> Tensor:
        """Return the rows of nodes, or of so many graphs."""
        if self.rows.startswith(COUNTS) and graph_of is not None:
            found = graph_counts(nodes, graph_of, graphs, self.rows)
            return found if self.method.length == 1 else self.method.length * found
        if self.rows == ENCODER:
            trained = [self._encoder(recipe, weights, nodes.edge_index.device) for recipe, weights in self.encoders]
            found = encoder_rows([nodes], trained)[0]
        else:
            found = rows_of(nodes, self.rows)
        if graph_of is not None:
            sums = found.new_zeros(graphs, found.size(1)).index_add(0, graph_of, found)
            found = F.normalize(sums, dim=-1)
        return found if self.method.length == 1 else self.method.length * found

    def predict(self, data: Data | GraphSet, support: Mapping[int, Any], *, device: str = "auto") -> Predictions:
        """Return what the learner says of all items of ``data`` but those of the support.

        Args:
            data: with the items of the support among its own; its labels are not looked at.
            support: number of an item -> its class, whatever that is called; two classes at least.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            TypeError: for a support that is no mapping.
            ValueError: for items that are not there, fewer than two classes, and another number of them than the
                learner's last layer has outputs.
        """
        instance("support", support, Mapping, "a mapping from items to classes")
        items = self.items_of(data, device=device)
        x = table_of(items)
        if wrong := [item for item in support if not isinstance(item, int) or not 0 <= item < len(x)]:
            raise ValueError(f"`support` must name items from 0 to {len(x) - 1:,}, got {wrong[0]!r}.")
        classes = sorted(set(map(str, support.values())))
        if len(classes) < 2 or len(support) == len(x):
            raise ValueError("`support` must label items of two classes at least, and leave some to be predicted.")
        chosen = torch.tensor(list(support), device=x.device)
        y = torch.tensor([classes.index(str(label)) for label in support.values()], device=x.device)
        left = torch.ones(len(x), dtype=torch.bool, device=x.device).index_fill(0, chosen, False).nonzero().squeeze(-1)
        probabilities = self.logits(items, chosen, y, left, len(classes)).double().softmax(-1).cpu()
        ids = item_ids(data, len(x))
        return Predictions([ids[place] for place in left.tolist()], probabilities, "classes", tuple(classes))

    def logits(self, items: Rows | Nodes, support: Tensor, y: Tensor, query: Tensor, ways: int) -> Tensor:
        """Return logits of some items after adapting to others, ``[query, ways]``.

        Args:
            items: as :meth:`items_of` gives them.
            support, query: places among them.
            y: classes of the support, from 0.
            ways: how many there are.

        Raises:
            ValueError: for another number of classes than the learner's last layer has outputs.
        """
        x = table_of(items)
        known = x[x.any(-1)]
        outputs = self.method.outputs(self.ways)
        if outputs not in (0, ways):
            raise ValueError(
                f"`support` names {ways} classes, but the learner {self.name!r} has an output for each of {outputs}; "
                f"name {outputs}, or take a learner that makes a head for each task, such as protomaml."
            )
        with torch.random.fork_rng([]):  # weights are drawn before those that were learnt are put in
            learner = self.method.make_learner(self.learnt, self.channels, self.ways, known).to(x.device)
        grown = torch.enable_grad() if self.method.takes_steps else torch.no_grad()
        with grown, learner._modes():
            parameters = learner.adapt_to_support(lambda call: items.outputs(call, support), y, ways)
            found = learner.predict_query(parameters, lambda call: items.outputs(call, query)).detach()
        require_finite("the learner's logits", [found])
        return found

    def _encoder(self, recipe: EmbeddingRecipe, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
        """Return a trained encoder."""
        return EncoderTraining(recipe, 0, self.features, lambda: ()).load(weights, device)  # type: ignore[arg-type, return-value]


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _together(graphs: GraphSet) -> tuple[Data, Tensor]:
    """Return all nodes of a set as one graph, and the graph that each is of."""
    batch = graphs.batch(range(len(graphs)))
    if batch.x is None:
        raise ValueError("`x` is missing: the learner looks at features of nodes.")
    return Data(x=batch.x.float(), edge_index=batch.edge_index, num_nodes=batch.num_nodes), batch.batch
