"""What all studies are asked: the data set, where a run lies, what is written, seeds, device, threads."""

from __future__ import annotations

import functools
import importlib.util
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.output import Bar, Lines, Writable, drawing, preload, report_errors, say, write_record
from graphkit.cli.recorded import command_words, repeat_option, told_beside, with_recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training import Reporter
    from graphkit.training.engine.run_folder import RunFolder


FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SEED = click.IntRange(0, 2**32 - 1)
SPLITS = (
    "NAME or NAME:VALUE,VALUE: random:0.6,0.2,0.2 (any labels, rare classes too), stratified:0.6,0.2,0.2, "
    "random-per-class:20, scaffold:0.8,0.1,0.1 (of molecules), files:3, public; dense is that of the spectral papers, "
    "which trains on round(0.6 nodes / classes) of every class. `graphkit data splits` lists all."
)
SPLIT = f"{SPLITS}  [default: the card's]"
PICTURES = ("picture", "wavelets")
"""Options that name a picture."""

RENAMED = "graphkit.renamed"
"""Where a command's context keeps values that were given under an old name."""

SMALL_EDGES = 100_000
"""Edges of a step below which one thread is the default: a step of some milliseconds is lost where threads wait for
each other, and is ten times as long where the machine has other work."""


def require_places(**places: Path | None) -> None:
    """Refuse files that cannot be written, before anything is computed for them; each by the option that names it.

    Raises:
        ValueError: for a place that cannot be written to, or a picture of an unknown form.
    """
    from graphkit.training.engine.store import require_writable

    given = {option: path for option, path in places.items() if path is not None}
    for option, path in given.items():
        require_writable(option, path)
    for option in PICTURES:
        if option in given:
            preload("graphkit.viz")
            from graphkit.viz import require_format

            require_format(given[option], option)


@dataclass(frozen=True)
class StudyOptions:
    """The options that all studies share, as they were typed.

    Args:
        run_dir: folder of the run.
        resume: whether to go on from it.
        config: TOML file of fields.
        settings: fields as ``FIELD=VALUE``.
        seeds: how many, ``None`` for the command's own number.
        seed: the first of them.
        device, precision: where and in what numbers.
        threads: CPU threads, ``None`` for the rule of :meth:`use_threads`.
        json_path: where the record goes.
        picture: where the picture goes.
        log_dir: folder for the figures of every epoch.
        logger: in which form they are written there, "csv" or "tensorboard"; ``None`` is CSV.
    """

    run_dir: Path | None
    resume: bool
    config: Path | None
    settings: tuple[str, ...]
    seeds: int | None
    seed: int
    device: str
    precision: str
    threads: int | None
    json_path: Path | None
    picture: Path | None
    log_dir: Path | None
    logger: str | None

    @property
    def command(self) -> str:
        """What was typed."""
        return shlex.join(command_words())

    def several(self, default: int) -> range:
        """Return the seeds."""
        return range(self.seed, self.seed + (self.seeds or default))

    def overrides(self, **flags: Any) -> dict[str, Any]:
        """Return field -> value from the TOML file, the settings and flags that were given, in this order.

        Raises:
            click.UsageError: for a setting without an equals sign.
            ValueError: for a file that is no flat TOML table.
        """
        from graphkit.training.zoo.recipes import read_overrides

        overrides = read_overrides(self.config) if self.config else {}
        return (
            overrides | settings_of(self.settings) | {name: given for name, given in flags.items() if given is not None}
        )

    def require_places(self, run: Path | RunFolder) -> None:
        """Refuse files that cannot be written, before anything is computed for them; ``run`` is the run's folder."""
        if self.logger is not None and self.log_dir is None:
            raise click.UsageError("`--logger` goes with `--log-dir`, the folder that is written to.")
        if self.logger == "tensorboard" and not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise click.UsageError("`--logger tensorboard` needs tensorboardX: pip install 'graphkit[tensorboard]'.")
        run = run if isinstance(run, Path) else run.parent
        log = None if self.log_dir is None else self.log_dir / "metrics.csv"
        require_places(json=self.json_path, picture=self.picture, run_dir=run / "record.json", log_dir=log)

    def use_threads(self, edges: int) -> None:
        """Compute with so many threads as were asked for, else with those that suit the edges of a step."""
        import torch

        if self.threads is None:
            use_fitting_threads(edges)
        else:
            torch.set_num_threads(self.threads)

    @contextmanager
    def reporter(self, *, epochs: int = 0, per_cent: bool = True, each: bool = True) -> Iterator[Reporter | None]:
        """Give who shows and logs the progress of a study in a block; of several processes the first one does.

        Args:
            epochs: of a unit, at most; 0 where that is not known.
            per_cent: whether its figure is shown in per cent.
            each: whether every unit has a line of its own.
        """
        from graphkit.training.engine.distributed import World
        from graphkit.training.engine.reporters import LoggerReporter, Several

        if World.from_env().rank:
            yield None
            return
        shown = Bar(epochs, per_cent) if sys.stderr.isatty() else Lines(per_cent, each=each)
        if self.log_dir is None:
            with shown:
                yield shown
            return
        from lightning_fabric.loggers import CSVLogger, TensorBoardLogger

        logger: Any
        if self.logger == "tensorboard":
            place, logger = self.log_dir, TensorBoardLogger(self.log_dir.parent, name=self.log_dir.name, version="")
        else:
            logger = CSVLogger(self.log_dir.parent, name=self.log_dir.name, version="", flush_logs_every_n_steps=100)
            place = self.log_dir / "metrics.csv"
        with shown:
            try:
                yield Several(shown, LoggerReporter(logger))
            finally:
                logger.finalize("success")
                say(f"Figures of every epoch: {place}")


def use_fitting_threads(edges: int) -> None:
    """Compute with one thread where a step has few edges; else with PyTorch's choice."""
    import torch

    if edges < SMALL_EDGES:
        torch.set_num_threads(1)


def step_edges(data: Any, graphs: int = 0) -> int:
    """Return the edges that a step computes with: of a set of graphs those of as many as it takes, else all.

    Args:
        data: a graph, one in parts, a family of graphs, or a set of many.
        graphs: of a set that a step takes; 0 is all.
    """
    from graphkit.data import GraphSet, Partitions

    if isinstance(data, Mapping):
        return sum(step_edges(each) for each in data.values())
    if isinstance(data, GraphSet):
        share = min(graphs or len(data), len(data)) / max(len(data), 1)
        return int(share * int(data.edges.sum()))
    return int(data.edges if isinstance(data, Partitions) else data.num_edges)


def step_graphs(recipe: Any) -> int:
    """Return how many graphs a step of training takes; 0 is all.

    Args:
        recipe: of a classifier, an embedding, or a portfolio, whose largest step counts.
    """
    from graphkit.training.zoo.portfolio import Portfolio

    if isinstance(recipe, Portfolio):
        many = [step_graphs(each) for each in recipe.recipes if not each.model.solved]
        return max(many) if all(many) else 0
    fields = recipe.as_dict()
    return int(fields["batch"] if "batch" in fields else fields.get("ways", 0) * fields.get("shots", 0))


def study_options(runs: str, seeds: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the options that all studies share to a command, which takes them as one ``StudyOptions``.

    Args:
        runs: the default folder of a run, in words.
        seeds: the default number of seeds, in words.
    """
    # No name begins several of `torchrun`'s own options, such as `--run-path` and `--run_path`: it would not start.
    shared = (
        renamed_option("--run", "--run-dir", type=FOLDER),
        renamed_option("--checkpoint", "--run-dir", type=FOLDER),
        click.option("--seeds", type=click.IntRange(1), help=f"How many seeds.  [default: {seeds}]"),
        click.option("--seed", type=SEED, default=0, show_default=True, help="The first of them."),
        click.option("--config", type=FILE, metavar="FILE", help="TOML file of fields."),
        click.option(
            "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field; after --config."
        ),
        repeat_option,
        click.option(
            "--run-dir",
            type=FOLDER,
            metavar="FOLDER",
            help=f"Where all goes.  [default: runs/{runs}-HASH, of the settings]",
        ),
        click.option("--resume", is_flag=True, help="Go on from that folder, to the same numbers."),
        click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write the result record here too."),
        click.option("--picture", type=FILE, metavar="PATH", help="Draw the result here (png, pdf or svg)."),
        click.option("--log-dir", type=FOLDER, metavar="FOLDER", help="Write the figures of every epoch here."),
        # Not `--log`, with which two of torchrun's begin.
        click.option(
            "--logger", type=click.Choice(["csv", "tensorboard"]), help="With --log-dir: in which form.  [default: csv]"
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1."),
        click.option(
            "--precision", default="32-true", show_default=True, help="32-true, 64-true, bf16-mixed or 16-mixed."
        ),
        click.option(
            "--threads", type=click.IntRange(1), help="CPU threads.  [default: 1 where a step is small, else PyTorch's]"
        ),
    )

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def collect(**given: Any) -> int:
            given |= click.get_current_context().meta.get(RENAMED, {})
            given["settings"] = with_recorded(given["settings"])
            options = StudyOptions(**{name: given.pop(name) for name in StudyOptions.__dataclass_fields__})
            return command(options=options, **given)

        decorated: Callable[..., int] = collect
        for option in reversed(shared):
            decorated = option(decorated)
        return decorated

    return decorate


def renamed_option(old: str, new: str, **kind: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Let a study's command take the old name of an option for one release more, and say the new one."""

    def take(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, (), False):
            say(f"`{old}` was renamed to `{new}`.")
            context.meta.setdefault(RENAMED, {})[new.removeprefix("--").replace("-", "_")] = value

    return click.option(old, expose_value=False, hidden=True, callback=take, **kind)


def settings_of(settings: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Return field -> value from ``FIELD=VALUE`` of an option.

    Raises:
        click.UsageError: for a setting without an equals sign.
    """
    found = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals or not field.strip():
            raise click.UsageError(f"`{option}` takes FIELD=VALUE, got {setting!r}.")
        found[field.strip()] = value_of(text.strip())
    return found


def value_of(text: str) -> Any:
    """Return a value as TOML reads it, or the text itself: ``0.02`` is a number, ``relu`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def require_random_split(data: Any, seed: int | None) -> None:
    """Refuse a seed that was given for a split which is not drawn.

    Raises:
        click.UsageError: naming the split.
    """
    one = next(iter(data.values())) if isinstance(data, Mapping) else data
    drawn = getattr(one, "protocol", None)
    if seed is not None and drawn is not None and "seed" not in drawn["parameters"]:
        raise click.UsageError(f"`--split-seed` draws a random split, but {drawn['split']!r} is given as it is.")


@contextmanager
def rename_arguments(options: Mapping[str, str]) -> Iterator[None]:
    """Let a ``ValueError`` about an argument of a function speak of the option that it comes from."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for argument, option in options.items():
            text = text.replace(f"`{argument}`", f"`{option}`")
        if type(error) is not ValueError or text == str(error):
            raise
        raise ValueError(text) from error


class DatasetArgument:
    """A data set that was named on the command line; the folder of a stored one may stand in for a name.

    Args:
        written: as it was typed.
        family: whether several graphs that are loaded together will do.
        links: whether a set of links will do.
        series: whether signals over time will do.
        task: what is predicted, "labels" or "links", where it was said.

    Raises:
        ValueError: if it is neither a name nor a folder, is a set of links, a family where one graph is wanted, or
            signals over time.
        DataError: for a folder without a stored graph.

    Attributes:
        source: what ``graphkit.data.load`` takes.
        card: what is known of it.
        name: what its runs are called.
        items: what is predicted, "nodes", "signals", "graphs", "links" or "moments".
        per_cent: whether its figure is shown in per cent.
    """

    def __init__(
        self, written: str, *, family: bool = False, links: bool = False, series: bool = False, task: str | None = None
    ) -> None:
        from graphkit.data import card
        from graphkit.data.catalog.cards import dataset_source

        self.source = dataset_source(written)
        self.card = known = card(self.source)
        self.name = self.source.absolute().name if isinstance(self.source, Path) else self.source
        if known.kind == "link" and not links:
            raise ValueError(
                f"{written!r} is a set of links, for which there is no recipe; of `graphkit.data`, `load` gives it, "
                "`edge_split` its official split, and `official_link_figure` its figure."
            )
        if not series and "series" in (known.kind, *(card(member).kind for member in known.members)):
            raise ValueError(
                f"{written!r} are signals over time, for `graphkit forecast`; `graphkit.data.load_series` gives them."
            )
        if known.members and not family:
            raise ValueError(f"{written!r} is a family of graphs; name one of them: {', '.join(known.members)}.")
        kinds = {"signal": "signals", "graph": "graphs", "link": "links", "series": "moments"}
        self.items = kinds.get(known.kind, "nodes")
        if task == "links" and self.items in ("signals", "graphs"):
            raise ValueError(f"{written!r} is no one graph whose links are predicted; its items are {self.items}.")
        if task == "labels" and self.items == "links":
            raise ValueError(f"{written!r} is a set of links without labels; take `--task links`.")
        self.items = "links" if task == "links" else self.items
        self.per_cent = known.metric != "rmse"

    def require_series(self) -> None:
        """Refuse what are no signals over time.

        Raises:
            ValueError: naming it.
        """
        if self.items != "moments":
            raise ValueError(
                f"{self.name!r} are no signals over time, which alone are forecast; its items are {self.items}."
            )

    def require_labels(self) -> None:
        """Refuse a stored graph without labels, before anything heavy is loaded.

        Raises:
            DataError: naming it.
        """
        from graphkit.data import DataError

        if isinstance(self.source, Path) and not self.card.metric:
            raise DataError(f"{str(self.source)!r} has no labels; `graphkit data import` takes a file of them.")

    def require_split(self, split: str | None) -> None:
        """Refuse a split that cannot be drawn, as far as that is known before anything heavy is loaded.

        Of a stored graph the labels are looked at.

        Args:
            split: as it was typed.

        Raises:
            ValueError: for one that is not known, does not have its form, or needs larger classes.
        """
        from graphkit.data.splits import split_from_name

        if split is None and not isinstance(self.source, Path):
            return
        protocol = split_from_name(self.card.default_split if split is None else split)
        if isinstance(self.source, Path) and (sizes := class_sizes(self.source)):
            protocol.require(sizes)


def class_sizes(folder: Path) -> dict[int, int]:
    """Return how many items each class of what is stored has; of numbers, and of several tasks, all are of one.

    Nothing where it has no labels that can be read.
    """
    import numpy as np

    try:
        y = np.load(folder / "y.npy", mmap_mode="r", allow_pickle=False)
        if y.ndim > 1 or np.issubdtype(y.dtype, np.floating):
            return {0: int((~np.isnan(y)).reshape(len(y), -1).any(axis=1).sum())}
        labels, counts = np.unique(y[y >= 0], return_counts=True)
    except (OSError, ValueError, TypeError):
        return {}  # what opens the graph says why
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def report(
    outcome: Any,
    options: StudyOptions,
    *,
    record: Writable,
    show: Callable[[], None],
    draw: Callable[[], Figure],
    left: str,
    pictures: tuple[Path, Callable[[], Mapping[str, Figure]]] | None = None,
) -> int:
    """Write what was asked for, print the tables and what is left where, and return the exit code.

    Args:
        outcome: with what could not be kept, and what was put aside.
        options: where the record and the picture go.
        record: of the study.
        show: prints its tables.
        draw: makes the picture.
        left: what lies in the folder of the run, and where that is.
        pictures: a folder, and what makes those that lie in it, by file name.
    """
    # Files first: whoever reads our output may close it early (`| head`).
    lost = [*outcome.faults, *write_record(record, options.json_path)]
    try:
        if options.picture is not None:
            with drawing(options.picture, lost):
                save_picture(draw(), options.picture)
        if pictures is not None:
            folder, make = pictures
            with drawing(folder, lost):
                for name, made in make().items():
                    save_picture(made, folder / name)
    finally:
        show()
    say(left)
    if (beside := told_beside(record.to_json())) is not None:
        say(beside)
    if outcome.put_aside:
        say(f"Another run lay there, unfinished or with other settings; it was put aside: {outcome.put_aside}")
    return report_errors(lost)


def save_picture(made: Figure, path: Path) -> None:
    """Write a picture."""
    from graphkit import viz

    viz.save(made, path)
