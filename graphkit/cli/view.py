"""``graphkit view``: one page of a run, to look at what it is right and wrong about."""

from __future__ import annotations

from pathlib import Path

import click

from graphkit.cli.options import FILE, require_places
from graphkit.cli.output import begin, debuggable, preload, say
from graphkit.cli.trained import DEVICE, RUN, load_data


@click.command()
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option("--to", type=FILE, metavar="PATH", help="The page.  [default: view.html in RUN]")
@click.option("--seed", type=click.IntRange(0), help="Whose model.  [default: the best on validation items]")
@DEVICE
@debuggable
def view(run: Path, data: str | None, to: Path | None, seed: int | None, device: str) -> int:
    """Write one page that shows what RUN says of every item of DATA, by default of what it was trained on.

    Items in two dimensions with their true and predicted class, the neighbourhood of the one that is clicked, learning
    curves, the confusion matrix and the record. Of embeddings, the items nearest to the one that is clicked; of a run
    on links, its likeliest new ones; of forecasts, nodes by their error, and what was forecast of each. The page needs
    no network and no server: open it in a browser.
    """
    from graphkit._checks import extra

    extra("graphkit view", "view", "plotly")
    place = to or run / "view.html"
    require_places(to=to)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.runs", "graphkit.viz")
    from graphkit.cli.classifier_page import classifier_page
    from graphkit.cli.link_page import link_page
    from graphkit.cli.retrieval_page import retrieval_page
    from graphkit.training.engine.store import write_atomically
    from graphkit.training.trained.runs import EncoderRun, ForecastRun, LinkRun, Run, load_run
    from graphkit.viz.run_page import run_page

    opened = load_run(run)
    if not isinstance(opened, Run | EncoderRun | LinkRun | ForecastRun):
        raise click.UsageError(f"{str(run)!r} is no run of `graphkit train`, `tune`, `embed` or `forecast`.")
    model = opened.model if seed is None else opened.of_seed(seed)
    given, splits = load_data(opened, data)
    if splits is not None and not isinstance(opened, LinkRun):
        given = opened.with_split_of(given, splits, model.seed)
    begin("predicting")
    if isinstance(opened, ForecastRun):
        from graphkit.cli.forecast_pages import page_of_forecasts

        written = page_of_forecasts(opened, opened.of_seed(model.seed), given, device=device)
        write_atomically(place, written.encode())
        say(f"Page: {place}")
        return 0
    if isinstance(opened, LinkRun):
        made = link_page(opened, opened.of_seed(model.seed), given, device=device)
    elif isinstance(opened, EncoderRun):
        made = retrieval_page(opened, opened.of_seed(model.seed), given, device=device)
    else:
        made = classifier_page(opened, opened.of_seed(model.seed), given, device=device)
    write_atomically(place, run_page(made).encode())
    say(f"Page: {place}")
    return 0
