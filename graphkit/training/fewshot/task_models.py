"""Models that few-shot learners train on tasks: those that see a row alone, and those that see its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from torch import nn

    from graphkit.meta import Nodes, Rows
    from graphkit.training.fewshot.problems import GraphEdges

TaskModel: TypeAlias = Literal[
    "perceptron", "weights",
    "gcn", "sage", "gat", "gin", "cheb", "wavelet", "grand", "deep-gcn", "deep-sage", "deep-gat",
    "gpr", "bernstein", "chebii", "jacobi", "evennet", "optbasis", "cayley",
]  # fmt: skip
"""A perceptron with one hidden layer, a weight for each feature, or a graph model as `graphkit train` has it."""

OF_ROWS = ("perceptron", "weights")
"""Models that see one row at a time."""

GRAPH_MODELS: tuple[str, ...] = tuple(name for name in get_args(TaskModel) if name not in OF_ROWS)
"""Models that see the graph."""


def architecture(model: str, hidden: int) -> Any:
    """Return the architecture of a graph model, as its recipe has it but for the width between its layers."""
    from graphkit.training.zoo.recipes import RECIPES

    return RECIPES[model].model.replace_fields({"hidden": hidden})


def is_filter(model: str) -> bool:
    """Tell whether a graph model is one filter with learnt coefficients behind maps of each row."""
    from graphkit.training.zoo import Polynomial

    return isinstance(architecture(model, 8), Polynomial)


def unused_model_fields(model: str, hidden: int, *, embeds: bool) -> dict[str, str]:
    """Return which of ``scale`` and ``hidden`` decide nothing in a model: name -> why.

    Args:
        model: one of ``TaskModel``.
        hidden: width between its layers.
        embeds: whether what it returns is so wide too.
    """
    if model == "weights":
        return dict.fromkeys(("hidden", "scale"), "`model` is 'weights'")
    if embeds or model in OF_ROWS or "hidden" not in architecture(model, hidden).unused_fields():
        return {}
    return {"hidden": f"`model` is {model!r}, one linear map and a filter"}


def require_width(model: str, hidden: int) -> None:
    """Refuse a width that a graph model cannot have, such as one that its heads do not divide.

    Raises:
        ValueError: for such a width.
    """
    from graphkit.training.zoo.architecture import AbstractStack

    if model not in OF_ROWS and isinstance(kind := architecture(model, hidden), AbstractStack):
        kind.convs(())[0](1, hidden)


def draw_model(model: str, channels: int, hidden: int, outputs: int) -> nn.Module:
    """Return a freshly drawn model.

    Args:
        model: one of ``TaskModel``.
        channels: width of a row.
        hidden: width between its layers.
        outputs: width of what it returns; weights return as many numbers as a row has.
    """
    from torch import nn

    from graphkit.meta import FeatureWeights

    if model == "weights":
        return FeatureWeights(channels)
    if model == "perceptron":
        return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    made: nn.Module = architecture(model, hidden).module(channels, outputs, ())
    return made


def nodes_for(model: str, rows: Rows, edges: GraphEdges) -> Nodes:
    """Return rows as nodes of their graph, with the edge weights if the model uses them.

    Raises:
        ValueError: for edge weights that the model cannot use.
    """
    from graphkit.meta import Nodes
    from graphkit.training.zoo.recipes import RECIPES

    kind = RECIPES[model].model
    if edges.weight is not None and kind.edge_weights == "refused":
        raise ValueError(
            f"`edge_weight`: the model {model!r} does not use edge weights; take one that does, such as gcn or chebii, "
            "or a graph without them."
        )
    weight = edges.weight if kind.edge_weights == "used" else None
    return Nodes(rows.x, edges.index, rows.y, None if weight is None else weight.to(rows.x.dtype))


def require_graph(model: str, edges: GraphEdges, nodes: int) -> None:
    """Refuse a graph that a graph model cannot take, by asking it once; a model of rows takes any.

    Raises:
        ValueError: for edge weights that it cannot use, and edges that lead one way where it needs both.
    """
    if model in OF_ROWS:
        return
    import torch

    from graphkit.meta import Rows

    device = edges.index.device
    given = nodes_for(model, Rows(torch.ones(nodes, 1, device=device), torch.zeros(nodes, dtype=torch.long)), edges)
    with torch.random.fork_rng([]), torch.no_grad():
        made = draw_model(model, 1, 8, 2).to(device).eval()
        given.outputs(made, torch.arange(min(nodes, 1), device=device))


def moved_parameters(model: str, module: nn.Module) -> list[str] | None:
    """Return which parameters steps on a support move: all (``None``) but those that have rates of their own.

    Such are a filter's coefficients. Each is a factor of all outputs, so that a rate at which matrices learn from a few
    items makes it diverge; it is learnt over tasks, and stays as it is in each.
    """
    if model in OF_ROWS:
        return None
    apart = {id(p) for group in architecture(model, 8).groups(module) for p in group["params"]}
    return [name for name, p in module.named_parameters() if id(p) not in apart] if apart else None
