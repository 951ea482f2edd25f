"""Explanations: which edges and features a prediction rests on, by PyG's explainers, and whether that is so.

What an explainer says is tried: the model is asked again with the named edges or features alone, and without them. The
same is done with as many drawn ones, since any few edges change a prediction somewhat.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch_geometric.data.data import BaseData
from torch_geometric.nn import MessagePassing

from graphkit._checks import at_least, instance, member
from graphkit.data import GraphSet
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.molecules import atom_symbols, bond_kinds
from graphkit.operators import SparseOperator
from graphkit.training.classification.tasks import model_inputs
from graphkit.training.engine.options import require_seed
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import DataNames, item_ids, item_number, node_words

if TYPE_CHECKING:
    from torch_geometric.data import Data

METHODS = ("gnn", "attention")
"""PyG's ``GNNExplainer``, a mask that is learnt, and ``AttentionExplainer``, the weights of layers that have them."""

DRAWS = 20
"""Drawn masks that a fidelity is put beside."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What the model says of the explained class, or number, when a part of its input is all there is, or is gone.

    Args:
        whole: with all of the input.
        alone: with the explanation alone: near ``whole`` where it is enough.
        without: without it: far from ``whole`` where it is needed.
        drawn_alone, drawn_without: the same with as many drawn parts, means over ``DRAWS``.
    """

    whole: float
    alone: float
    without: float
    drawn_alone: float
    drawn_without: float


@dataclass(frozen=True, kw_only=True)
class ItemExplanation:
    """What a prediction rests on.

    Args:
        item: the number of the node or graph.
        name: what it is called.
        predicted: what is explained: the predicted class, or the name of a number.
        edges: the most important pairs of nodes, ``[2, pairs]``, the most important first; none where the model has no
            layer that sends messages along edges.
        edge_scores: of these, from 0 to 1.
        edge_fidelity: of these, ``None`` where there are none.
        features: the most important columns, by name and score; of molecules none.
        feature_fidelity: of these, ``None`` where there are none.
        nodes: names of all nodes: of a molecule's atoms symbols with their numbers, such as "C0".
        pairs: all edges of an explained graph, once each, ``[2, pairs]``; none where a node is explained.
        bonds: of a molecule the kind of each of ``pairs``: single, double, triple, aromatic or other.
        classes: predicted class of each node, ``[nodes]``; none for graphs.
    """

    item: int
    name: str
    predicted: str
    edges: Tensor
    edge_scores: Tensor
    edge_fidelity: Fidelity | None
    features: tuple[tuple[str, float], ...]
    feature_fidelity: Fidelity | None
    nodes: tuple[Any, ...]
    pairs: Tensor
    bonds: tuple[str, ...]
    classes: Tensor | None

    def bonds_of_edges(self) -> list[str]:
        """Return the kind of bond of each of ``edges``; nothing where there are no bonds."""
        kinds = dict(zip(map(tuple, self.pairs.T.tolist()), self.bonds, strict=False))
        return [kinds[first, second] for first, second in self.edges.T.tolist()] if kinds else []

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        edges: list[dict[str, Any]] = [
            {"between": [self.nodes[end] for end in pair], "score": score}
            for pair, score in zip(self.edges.T.tolist(), self.edge_scores.tolist(), strict=True)
        ]
        for edge, bond in zip(edges, self.bonds_of_edges(), strict=False):
            edge["bond"] = bond
        return {
            "item": self.item,
            "name": self.name,
            "predicted": self.predicted,
            "edges": edges,
            "edge_fidelity": None if self.edge_fidelity is None else vars(self.edge_fidelity),
            "features": [{"name": name, "score": score} for name, score in self.features],
            "feature_fidelity": None if self.feature_fidelity is None else vars(self.feature_fidelity),
        }


class ExplainedForward(nn.Module):
    """A trained model as PyG's explainers call it, for one output of one item.

    Args:
        module: its PyTorch module, in evaluation mode.
        prepare: makes what the module takes of features, edges, weights and the categories of bonds.
        output: kind of the target, "classes", "binary" or "numbers"; of several the first is explained.
    """

    def __init__(self, module: nn.Module, prepare: Callable[..., tuple[Any, ...]], output: str) -> None:
        super().__init__()
        self.module, self.prepare, self.output = module, prepare, output

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, edge_attr: Tensor | None = None
    ) -> Tensor:
        """Return logits of classes, or the number, of all items."""
        found: Tensor = self.module(*self.prepare(x, edge_index, edge_weight, edge_attr))
        if self.output == "classes":
            return found
        first = found[:, :1]
        return first if self.output == "numbers" else torch.cat([torch.zeros_like(first), first], dim=1)


def explain_item(
    model: TrainedModel,
    data: Data | GraphSet,
    item: int | str,
    *,
    method: str = "gnn",
    most: int = 12,
    epochs: int = 100,
    seed: int = 0,
) -> ItemExplanation:
    """Return which edges and features the prediction of one node, or of one graph, rests on.

    Of a GNN's edges both directions are one pair. A model without layers that send messages, such as a perceptron or
    a filter on a Fourier basis, is explained by its features alone; molecules by their bonds alone.

    Args:
        model: a trained classifier or regression.
        data: a graph with the node, or a set with the graph.
        item: its number, or its name; where no name is a number, a number may be text.
        method: "gnn" learns a mask, "attention" reads the weights of layers that attend; the latter has no features.
        most: pairs of nodes, and features, that are kept.
        epochs: steps of "gnn".
        seed: draws where "gnn" starts, and the masks that fidelities are put beside.

    Raises:
        ValueError: for an item that is not there, a name that several have, signals, and a model that the method cannot
            explain.

    Source: Ying et al. (2019), "GNNExplainer", arXiv:1903.03894, as PyG has it; fidelity as of Amara et al. (2022),
    "GraphFramEx", arXiv:2206.09677, by taking edges and features away.
    """
    instance("model", model, TrainedModel, "a trained model, such as `load_run(folder).model`")
    member("method", method, METHODS)
    at_least("most", most, 1)
    at_least("epochs", epochs, 1)
    require_seed("seed", seed)
    instance("data", data, (BaseData, GraphSet), "a Data or a GraphSet")
    model.require_fit(data)
    items = model.recipe.model.items
    if items == "signals":
        raise ValueError("signals are not explained; `explain` looks at nodes and graphs.")
    if model.recipe.model.solved and items == "graphs":
        raise ValueError(
            f"the model {model.recipe.name!r} has no gradient, by which edges and features are weighed; take a "
            "network, such as 'gin'."
        )
    count = len(data) if isinstance(data, GraphSet) else data.num_nodes
    number = item_number(data, item, count)
    ids = item_ids(data, count)
    with torch.random.fork_rng(devices=[]):  # a module draws weights before it is given its own
        forward, inputs, nodes = _question(model, data, number)
    row = number if items == "nodes" else 0
    layers = any(isinstance(each, MessagePassing) for each in forward.modules())
    sends = layers and not model.recipe.model.made_outside  # else its edges are in what was made of them
    if method == "attention" and not sends:
        raise ValueError(f"the model {model.recipe.name!r} has no layer that attends; take `method='gnn'`.")

    with torch.no_grad():
        answer = forward(**inputs)
    target = 0 if model.objective.target.kind == "numbers" else int(answer[row].argmax())

    def ask(**changes: Tensor) -> float:
        with torch.no_grad():
            found = forward(**{**inputs, **changes})[row]
        return float(found[target] if forward.output == "numbers" else found.double().softmax(-1)[target])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        edge_mask, feature_mask = _masks(
            forward, inputs, row, method, epochs, edges=sends, features=not model.molecules
        )
    drawn = torch.Generator().manual_seed(seed)
    edges, scores, edge_fidelity = torch.empty(2, 0, dtype=torch.long), torch.empty(0), None
    if edge_mask is not None:
        edges, scores, edge_fidelity = _explained_edges(edge_mask, inputs, most, ask, drawn)
    features: tuple[tuple[str, float], ...] = ()
    feature_fidelity = None
    if feature_mask is not None:
        columns, feature_fidelity = _explained_features(feature_mask, inputs["x"], most, ask, drawn)
        known = model.names.columns or tuple(f"feature {place}" for place in range(len(feature_mask)))
        features = tuple((known[place], float(feature_mask[place])) for place in columns)
    names = {"classes": model.column_names, "binary": (f"not {model.column_names[0]}", model.column_names[0])}
    return ItemExplanation(
        item=number,
        name=str(ids[number]),
        predicted=names.get(model.objective.target.kind, model.column_names)[target],
        edges=edges,
        edge_scores=scores,
        edge_fidelity=edge_fidelity,
        features=features,
        feature_fidelity=feature_fidelity,
        nodes=nodes,
        **_drawn_parts(model, inputs),
        classes=answer.argmax(-1) if items == "nodes" and model.objective.target.kind == "classes" else None,
    )


def _question(
    model: TrainedModel, data: Data | GraphSet, item: int
) -> tuple[ExplainedForward, dict[str, Tensor], tuple[Any, ...]]:
    """Return the model as explainers call it, what it is called with for an item, and names of the nodes."""
    dtype = torch.float64 if model.precision == "64-true" else torch.float32
    prepared = model.prepare(data)
    if isinstance(prepared, GraphSet):
        graph = prepared.batch(torch.tensor([item]))
        x = graph.x if model.molecules else graph.x.to(dtype)
        inputs = {"x": x, "edge_index": graph.edge_index}
        if model.molecules:
            inputs["edge_attr"] = graph.edge_attr
        elif model.edge_channels:
            inputs["edge_attr"] = graph.edge_attr.to(dtype).reshape(-1, model.edge_channels)
        batch = torch.zeros(len(x), dtype=torch.long)

        def take_batch(x: Tensor, edge_index: Tensor, _: Any, bonds: Tensor | None) -> tuple[Any, ...]:
            return (GraphBatch(x, edge_index, bonds, batch, 1),)

        return _forward_of(model, take_batch, data), inputs, _node_names(model, data, item, x)
    given = model.edge_channels > 0
    features, taken = model_inputs(prepared, model.recipe, torch.device("cpu"), dtype, edge_features=given)
    x = features.to_dense() if isinstance(features, SparseOperator) else features
    inputs = {"x": x, "edge_index": prepared.edge_index}
    weight = prepared.get("edge_weight")
    if weight is not None and model.recipe.model.edge_weights == "used":
        inputs["edge_weight"] = weight.to(dtype)
    if given:
        inputs["edge_attr"] = taken[2]
    plain = all(part is None or isinstance(part, Tensor) for part in taken)

    def whole(x: Tensor, edge_index: Tensor, weight: Tensor | None, attr: Tensor | None) -> tuple[Any, ...]:
        if not plain:
            return (x, *taken)
        graph = model.recipe.model.graph(edge_index, weight, len(x))
        return (x, *graph) if attr is None else (x, *graph, None, attr)

    return _forward_of(model, whole, data), inputs, tuple(item_ids(data, len(x)))


def _node_names(model: TrainedModel, data: Data | GraphSet, item: int, x: Tensor) -> tuple[Any, ...]:
    """Return what the nodes of a graph of a set are called: atoms by their symbols, others by their category."""
    if model.molecules:
        return tuple(f"{symbol}{place}" for place, symbol in enumerate(atom_symbols(x)))
    words = node_words(data[item].x, DataNames.of(data)) if data[item].get("x") is not None else None
    return tuple(range(len(x))) if words is None else tuple(f"{word} {place}" for place, word in enumerate(words))


def _drawn_parts(model: TrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return all pairs of an explained graph, and of a molecule the kind of each of its bonds."""
    if model.recipe.model.items == "nodes":
        return {"pairs": torch.empty(2, 0, dtype=torch.long), "bonds": ()}
    pairs, pair_of = inputs["edge_index"].sort(dim=0).values.unique(dim=1, return_inverse=True)
    if not model.molecules:
        return {"pairs": pairs, "bonds": ()}
    first = torch.zeros(pairs.size(1), dtype=torch.long).scatter_(0, pair_of, torch.arange(len(pair_of)))
    return {"pairs": pairs, "bonds": tuple(bond_kinds(inputs["edge_attr"][first]))}


def _forward_of(
    model: TrainedModel, prepare: Callable[..., tuple[Any, ...]], data: Data | GraphSet
) -> ExplainedForward:
    """Return a model as explainers call it."""
    return ExplainedForward(model.module(data), prepare, model.objective.target.kind).eval()


def _masks(
    forward: ExplainedForward,
    inputs: Mapping[str, Tensor],
    row: int,
    method: str,
    epochs: int,
    *,
    edges: bool,
    features: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the importance of each edge and of each feature, each ``None`` where it is not asked for."""
    from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer

    attends = method == "attention"
    if not (edges or features):
        raise ValueError("the model has no layer that sends messages, and molecules have no features to be explained.")
    explainer = Explainer(
        model=forward,
        algorithm=AttentionExplainer() if attends else GNNExplainer(epochs=epochs),
        explanation_type="model",
        node_mask_type="common_attributes" if features and not attends else None,
        edge_mask_type="object" if edges else None,
        model_config={
            "mode": "regression" if forward.output == "numbers" else "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    rest = {name: value for name, value in inputs.items() if name not in ("x", "edge_index")}
    found = explainer(inputs["x"], inputs["edge_index"], index=row, **rest)
    edge_mask, node_mask = found.get("edge_mask"), found.get("node_mask")
    return (None if edge_mask is None else edge_mask.detach()), (None if node_mask is None else node_mask.detach()[0])


def _explained_edges(
    mask: Tensor, inputs: Mapping[str, Tensor], most: int, ask: Callable[..., float], drawn: torch.Generator
) -> tuple[Tensor, Tensor, Fidelity | None]:
    """Return the most important pairs of nodes with their scores, and what the model says with them and without."""
    index = inputs["edge_index"]
    # 1. Both directions of an edge are one pair, whose score is the higher one; loops are a node's own.
    pairs, pair_of = index.sort(dim=0).values.unique(dim=1, return_inverse=True)
    scores = torch.zeros(pairs.size(1), dtype=mask.dtype).scatter_reduce(0, pair_of, mask, "amax", include_self=False)
    scores = torch.where(pairs[0] == pairs[1], 0, scores)
    reached = (scores > 0).nonzero().squeeze(-1)
    if not len(reached):
        return torch.empty(2, 0, dtype=torch.long), torch.empty(0), None
    chosen = scores.argsort(descending=True, stable=True)[: min(most, len(reached))]

    # 2. The same with as many pairs drawn from those that reach the item.
    def keep(kept: Tensor) -> dict[str, Tensor]:
        names = {name: value for name, value in inputs.items() if name.startswith("edge_")}
        return {name: value[:, kept] if name == "edge_index" else value[kept] for name, value in names.items()}

    def members(some: Tensor) -> Tensor:
        inside = torch.zeros(pairs.size(1), dtype=torch.bool)
        inside[some] = True
        return inside[pair_of]

    draws = [members(reached[torch.randperm(len(reached), generator=drawn)[: len(chosen)]]) for _ in range(DRAWS)]
    own = members(chosen)
    fidelity = Fidelity(
        whole=ask(),
        alone=ask(**keep(own)),
        without=ask(**keep(~own)),
        drawn_alone=statistics.fmean(ask(**keep(each)) for each in draws),
        drawn_without=statistics.fmean(ask(**keep(~each)) for each in draws),
    )
    return pairs[:, chosen], scores[chosen], fidelity


def _explained_features(
    mask: Tensor, x: Tensor, most: int, ask: Callable[..., float], drawn: torch.Generator
) -> tuple[list[int], Fidelity | None]:
    """Return the most important columns, and what the model says with them alone, and without them."""
    known = (mask > 0).nonzero().squeeze(-1)
    if not len(known):
        return [], None
    chosen = mask.argsort(descending=True, stable=True)[: min(most, len(known))]

    def keep(columns: Tensor, *, others: bool = False) -> dict[str, Tensor]:
        inside = torch.zeros(x.size(1), dtype=torch.bool)
        inside[columns] = True
        return {"x": x * (inside ^ others)}

    draws = [known[torch.randperm(len(known), generator=drawn)[: len(chosen)]] for _ in range(DRAWS)]
    fidelity = Fidelity(
        whole=ask(),
        alone=ask(**keep(chosen)),
        without=ask(**keep(chosen, others=True)),
        drawn_alone=statistics.fmean(ask(**keep(each)) for each in draws),
        drawn_without=statistics.fmean(ask(**keep(each, others=True)) for each in draws),
    )
    return chosen.tolist(), fidelity
