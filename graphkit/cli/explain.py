"""``graphkit explain``: which edges and features a prediction of a run rests on, and whether that is so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphkit.cli.export import open_classifier
from graphkit.cli.options import FILE, rename_arguments, require_places
from graphkit.cli.output import begin, debuggable, drawing, echo, fields, preload, report_errors, say, table
from graphkit.cli.trained import RUN, load_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.explanation import Fidelity, ItemExplanation


@click.command()
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option(
    "--node", metavar="NAME", help="The node to explain: its name in DATA, or its number where names are none."
)
@click.option("--graph", metavar="NAME", help="The graph to explain, of a run on graphs, in the same way.")
@click.option(
    "--method", type=click.Choice(["gnn", "attention"]), default="gnn", show_default=True, help="PyG's explainer."
)
@click.option("--most", type=click.IntRange(1), default=12, show_default=True, help="Edges and features that are kept.")
@click.option("--picture", type=FILE, metavar="PATH", help="Draw the subgraph and the features here (png, pdf or svg).")
@click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write the explanation here.")
@click.option("--seed", type=click.IntRange(0), help="Whose model.  [default: the best on validation items]")
@debuggable
def explain(
    run: Path,
    data: str | None,
    node: str | None,
    graph: str | None,
    method: str,
    most: int,
    picture: Path | None,
    json_path: Path | None,
    seed: int | None,
) -> int:
    """Say which edges and features the prediction of a node, or of a graph, of DATA rests on.

    Fidelity tries it: what the model says with the explanation alone and without it, beside the mean of as many edges,
    or features, drawn from those that reach the item. DATA is by default what RUN was trained on.
    """
    if (node is None) == (graph is None):
        raise click.UsageError("give the one to explain: `--node NAME`, or `--graph NAME` of a run on graphs.")
    require_places(picture=picture, json=json_path)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.explanation")
    from graphkit.training.trained.explanation import explain_item

    opened, model = open_classifier(run, seed)
    if (model.recipe.model.items == "graphs") != (graph is not None):
        option = "--graph" if model.recipe.model.items == "graphs" else "--node"
        raise click.UsageError(f"the run predicts {model.recipe.model.items}: give `{option} NAME`.")
    given, _ = load_data(opened, data)
    name = node if graph is None else graph
    assert name is not None
    begin(f"explaining {model.recipe.name}")
    with rename_arguments({"item": "--node" if graph is None else "--graph"}):
        found = explain_item(model, given, name, method=method, most=most)
    lost: list[str] = []
    if json_path is not None:
        json_path.write_text(json.dumps(found.as_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(f"Explanation: {json_path}")
    if picture is not None:
        with drawing(picture, lost):
            from graphkit import viz

            viz.save(_picture(found, model), picture)
    _show(found, model)
    return report_errors(lost)


def _show(found: ItemExplanation, model: TrainedModel) -> None:
    """Print what a prediction rests on, and its fidelity."""
    kind = model.recipe.model.items.removesuffix("s")
    fields([(kind, found.name), ("predicted", found.predicted), ("model", f"{model.recipe.name}, seed {model.seed}")])
    echo()
    tried = {"edges": found.edge_fidelity, "features": found.feature_fidelity}
    rows = [
        (
            f"{len(found.edge_scores) if part == 'edges' else len(found.features)} {part}",
            *(f"{value:.3f}" for value in (of.whole, of.alone, of.drawn_alone, of.without, of.drawn_without)),
        )
        for part, of in tried.items()
        if of is not None
    ]
    table(["explanation", " whole", " alone", " as many drawn", " without", " without as many drawn"], rows)
    if found.edge_fidelity is None:
        echo("No edges: none reaches it, or the model sends no messages along edges.")
    echo()
    pairs = [(str(found.nodes[a]), str(found.nodes[b])) for a, b in found.edges.T.tolist()]
    bonds = found.bonds_of_edges()
    scores = [f"{score:.3f}" for score in found.edge_scores]
    if bonds:
        table(
            ["atom", "bond", "atom", " score"],
            [(a, bond, b, score) for (a, b), bond, score in zip(pairs, bonds, scores, strict=True)],
        )
    else:
        table(["edge", "", " score"], [(*pair, score) for pair, score in zip(pairs, scores, strict=True)])
    if found.features:
        echo()
        table(["feature", " score"], [(name, f"{score:.3f}") for name, score in found.features])


def _picture(found: ItemExplanation, model: TrainedModel) -> Figure:
    """Return the subgraph and the features."""
    from graphkit.viz.explanations import explanation_graph

    nodes = model.recipe.model.items == "nodes"
    item = f"{'node' if nodes else 'graph'} {found.name}"
    lines = {"edges": found.edge_fidelity, "features": found.feature_fidelity}
    return explanation_graph(
        found.edges.numpy(),
        found.edge_scores.tolist(),
        found.features,
        names=found.nodes,
        groups=None if found.classes is None else found.classes.tolist(),
        group_names=model.column_names,
        centre=found.item if nodes else None,
        pairs=found.pairs.numpy(),
        bonds=found.bonds,
        title=f"{model.recipe.name} on {model.dataset}: {item}, predicted {found.predicted}",
        note="\n".join(_line(part, of) for part, of in lines.items() if of is not None),
    )


def _line(part: str, of: Fidelity) -> str:
    """Return a fidelity in a line."""
    return (
        f"{part}: {of.whole:.2f} with all; {of.alone:.2f} with these alone (drawn {of.drawn_alone:.2f}); "
        f"{of.without:.2f} without them (drawn {of.drawn_without:.2f})"
    )
