"""``graphkit export``: what a run trained, for machines without graphkit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphkit.cli.options import FILE, require_places
from graphkit.cli.output import begin, debuggable, fields, preload, say
from graphkit.cli.trained import RUN

if TYPE_CHECKING:
    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.runs import Run


@click.command()
@click.argument("run", type=RUN)
@click.option("--format", type=click.Choice(["torch", "onnx"]), default="torch", show_default=True, help="Of the file.")
@click.option("--seed", type=click.IntRange(0), help="Whose model.  [default: the best on validation items]")
@click.option("--to", type=FILE, metavar="PATH", help="The file.  [default: seed-N.pt2 or .onnx in RUN]")
@debuggable
def export(run: Path, format: str, seed: int | None, to: Path | None) -> int:
    """Write the model that RUN trained as a file that needs no graphkit and takes graphs of any size.

    The file is checked on a second graph before it is put in its place. Its metadata say what its inputs are, how
    features are scaled inside, and what the classes are called.
    """
    require_places(to=to)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.export")
    from graphkit.training.trained.export import ENDINGS, export_model

    _, model = open_classifier(run, seed)
    path = to or run / f"seed-{model.seed}{ENDINGS[format]}"
    begin(f"exporting {model.recipe.name}")
    found = export_model(model, path, format=format)
    inputs = found.description["inputs"].items()
    fields(
        [
            *((name, f"{_shape(given['shape'])} {given['dtype']}: {given['meaning']}") for name, given in inputs),
            ("output", f"{_shape(found.description['output']['shape'])}: {found.description['output']['meaning']}"),
            ("checked", f"on a second graph, differs by {found.difference:.1e} at most"),
        ]
    )
    say(f"Model: {path}")
    return 0


def open_classifier(folder: Path, seed: int | None) -> tuple[Run, TrainedModel]:
    """Return a run of ``graphkit train`` or ``tune`` and its model of a seed, the best on validation items for none.

    Raises:
        click.UsageError: for a run of another study.
    """
    from graphkit.training.trained.runs import LinkRun, Run, load_run

    opened = load_run(folder)
    if isinstance(opened, LinkRun):
        raise click.UsageError(f"{str(folder)!r} is a run on links: `graphkit predict` and `evaluate` take it.")
    if not isinstance(opened, Run):
        raise click.UsageError(f"{str(folder)!r} is no run of `graphkit train` or `graphkit tune`.")
    return opened, opened.model if seed is None else opened.of_seed(seed)


def _shape(sizes: list[object]) -> str:
    """Return a shape as one writes it."""
    return f"[{', '.join(map(str, sizes))}]"
