"""``graphkit fewshot``: learners and their rivals on the same frozen tasks, to one table and one record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.class_splits import HELP, class_splits
from graphkit.cli.options import StudyOptions, rename_arguments, renamed_option, settings_of, study_options
from graphkit.cli.output import debuggable, described, report, table
from graphkit.cli.preload import preload
from graphkit.cli.stages import begin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphkit.meta import FewShotProtocol
    from graphkit.training.fewshot import Study


class _Numbers(click.ParamType):
    """Whole numbers of 0 or more, one or several with commas between them."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers in order, each once."""
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r} is no whole number, nor several with commas between them.", param, ctx)
        return tuple(sorted({int(part) for part in parts}))


NUMBERS = _Numbers()
ENCODER = "ccassg,dgi"
OPTIONS = {"k_shot": "--shots", "n_query": "--queries", "n_way": "--ways", "ways": "--ways", "n_tasks": "--tasks"}
"""Arguments of a protocol and a class split, and where they are typed."""


@click.command()
@click.argument("dataset", default="cora")
@click.option(
    "--learner", metavar="NAME", default="maml", show_default=True, help="Or all; --list-learners names them."
)
@click.option(
    "--baselines",
    type=click.Choice(["all", "untrained", "none"]),
    default="all",
    show_default=True,
    help="What stands beside one learner: untrained, those that are not trained on the other classes.",
)
@click.option("--list-learners", is_flag=True, help="Name learners and rivals, and what each is.")
@click.option("--ways", type=click.IntRange(2), default=2, show_default=True, help="Classes of a task.")
@click.option(
    "--shots", type=NUMBERS, default="3", show_default=True, help="Labelled items of each class; several as 1,3,5."
)
@click.option("--queries", type=click.IntRange(1), default=12, show_default=True, help="Items of each to tell apart.")
@click.option("--tasks", type=click.IntRange(1), default=100, show_default=True, help="Test tasks of a split.")
@click.option(
    "--class-split",
    default=None,
    metavar="SPLIT",
    help=HELP,
)
@click.option("--across-graphs", is_flag=True, help="Test on each graph of a family in turn, train on the others.")
@click.option("--adapter", metavar="NAME", help="Across graphs whose features differ: structure or components.")
@click.option("--inductive", is_flag=True, help="Training does not see what is held out, not even without labels.")
@click.option(
    "--encoder",
    default=ENCODER,
    show_default=True,
    metavar="LOSS[,LOSS...]",
    help="Losses without labels; their encoders stand side by side.",
)
@click.option(
    "--encoder-draws",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Encoders of each, from seeds in a row.",
)
@click.option(
    "--encoder-set",
    "encoder_settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Override a field of their recipes; LOSS.FIELD=VALUE of one only.",
)
@click.option("--calibrate", type=click.IntRange(0), default=10, show_default=True, help="Steps of calibration.")
@click.option("--balanced", is_flag=True, help="Calibration knows that each class has as many queries.")
@click.option(
    "--inner-steps", type=NUMBERS, help="Test after so many inner steps too, as 0,1,2,5; nothing is chosen by them."
)
@renamed_option("--rivals", "--baselines", type=click.Choice(["all", "untrained", "none"]))
@study_options(runs="DATASET-fewshot-LEARNER", seeds="1")
@debuggable
def fewshot(
    dataset: str,
    learner: str,
    baselines: str,
    list_learners: bool,
    ways: int,
    shots: tuple[int, ...],
    queries: int,
    tasks: int,
    class_split: str | None,
    across_graphs: bool,
    adapter: str | None,
    inductive: bool,
    encoder: str,
    encoder_draws: int,
    encoder_settings: tuple[str, ...],
    calibrate: int,
    balanced: bool,
    inner_steps: tuple[int, ...] | None,
    options: StudyOptions,
) -> int:
    """Tell classes of DATASET apart that were not trained on, from a few labelled nodes or graphs each.

    All methods see the same frozen tasks. Learners are trained on tasks of the training classes and selected on tasks
    of the validation classes. The interval is over tasks, the deviation over class splits.
    """
    preload("graphkit.training.fewshot.methods")
    from graphkit.cli.fewshot_result import picture_of, record_of, show, together
    from graphkit.data import card
    from graphkit.training.fewshot.baselines import with_baselines
    from graphkit.training.fewshot.encoders import Encoders
    from graphkit.training.fewshot.methods import METHODS

    if list_learners:
        table(["name", "rows", "what it is"], [(name, m.rows, _what(m)) for name, m in METHODS.items()])
        return 0
    kind = card(dataset).kind
    _require_fitting(dataset, across_graphs, inductive, adapter)
    if len(shots) > 1 and inner_steps:
        raise click.UsageError("`--inner-steps` is of one number of shots; give one with `--shots`.")
    if learner == "all" and baselines != "all":
        raise click.UsageError("`--baselines` stand beside one learner; name it with `--learner`.")
    if balanced and not calibrate:
        raise click.UsageError("`--balanced` is of calibration, which `--calibrate 0` leaves out.")
    names = with_baselines(learner, baselines)
    losses = tuple(loss.strip() for loss in encoder.split(","))
    encoders = Encoders(losses, encoder_draws, settings_of(encoder_settings))
    methods = {name: METHODS[name] for name in names}
    if options.settings or options.config:
        if learner == "all":
            raise click.UsageError(
                "`--set` and `--config` override the fields of one learner; name it with `--learner`."
            )
        methods[learner] = methods[learner].with_(options.overrides())
    if options.seeds not in (None, 1):
        raise click.UsageError("`--seeds`: one seed draws tasks, class splits and weights; name another with `--seed`.")
    if options.precision != "32-true":
        raise click.UsageError("`--precision`: few-shot learners compute in '32-true'.")
    _require_used(methods, inner_steps, (encoder, encoder_draws, encoder_settings) != (ENCODER, 1, ()))
    run, seed = options.run_dir or Path("runs") / f"{dataset}-fewshot-{learner}", options.seed
    options.require_places(run)

    preload(
        "torch_geometric.data",
        "lightning_fabric",
        "graphkit.data.catalog.loading",
        "graphkit.meta",
        "graphkit.training.fewshot.study",
    )
    import graphkit.data
    from graphkit.meta import FewShotProtocol
    from graphkit.training.engine.devices import fabric_on, own_device
    from graphkit.training.engine.distributed import World, init_world
    from graphkit.training.fewshot import fewshot as solved
    from graphkit.training.fewshot import study_across_graphs, study_of_classes, study_of_graphs

    options.use_threads(card(dataset).edges or 0)
    there = fabric_on(own_device(options.device), options.precision).device
    begin(f"loading {dataset}")
    data = graphkit.data.load(dataset)
    sight: dict[str, Any] = {"encoders": encoders, "seed": seed, "device": there}

    def study_of(protocol: FewShotProtocol) -> Study:
        if across_graphs:
            first = next(iter(data.values()))
            shared = class_split in (None, "shared")
            splits = [] if shared else class_splits(dataset, first, str(class_split), ways, seed)
            return study_across_graphs(
                dataset, data, protocol, splits=splits, adapter=adapter, inductive=inductive, **sight
            )
        items = data.items if kind == "graph" else data
        splits = class_splits(dataset, items, class_split or "all-pairs", ways, seed)
        if kind == "graph":
            return study_of_graphs(data, splits, protocol, **sight)
        return study_of_classes(data, splits, protocol, inductive=inductive, **sight)

    outcomes, sizes = {}, {}
    with rename_arguments(OPTIONS), init_world(there) as world, options.reporter() as reporter:
        for number in shots:
            protocol = FewShotProtocol(n_way=ways, k_shot=number, n_query=queries, n_tasks=tasks, seed=seed)
            study = study_of(protocol)
            folder = run if len(shots) == 1 else run / f"shots-{number}"
            outcomes[number] = solved(
                study,
                protocol,
                names,
                headline=None if learner == "all" else learner,
                calibrate=calibrate,
                balanced=balanced,
                seed=seed,
                steps=inner_steps or (),
                methods=methods,
                run_dir=folder,
                # The first is where a stopped run begins; later ones may not have been reached.
                resume=options.resume and (number == shots[0] or (folder / "checkpoint.pt").exists()),
                reporter=reporter,
                world=world,
                command=options.command,
            )
            sizes[number] = protocol, len(study.problems)
    if World.from_env().rank:
        return 0  # of several processes the first one writes and prints

    def show_all() -> None:
        for number, outcome in outcomes.items():
            show(outcome, *sizes[number])

    return report(
        together(outcomes),
        options,
        record=record_of(outcomes),
        show=show_all,
        draw=lambda: picture_of(outcomes, inner_steps or ()),
        left=f"Record and state: {run}",
    )


def _require_used(methods: Mapping[str, Any], inner_steps: tuple[int, ...] | None, encoders: bool) -> None:
    """Refuse options that no method looks at."""
    which = next(iter(methods)) if len(methods) == 1 else "any of these"
    known = [method for method in methods.values() if hasattr(method, "inner_steps")]
    if inner_steps and not known:
        raise click.UsageError(f"`--inner-steps` is of learners that take gradient steps on a support, not of {which}.")
    most = max((method.inner_steps for method in known), default=0)
    if inner_steps and all(getattr(method, "learner", "") == "meta-sgd" for method in known) and inner_steps[-1] > most:
        raise click.UsageError(f"`--inner-steps` must be at most {most} for meta-sgd, which learns a rate for each.")
    if encoders and not any(method.rows == "encoder" for method in methods.values()):
        raise click.UsageError(f"`--encoder` and its settings are of learners on embeddings, not of {which}.")


def _require_fitting(dataset: str, across_graphs: bool, inductive: bool, adapter: str | None) -> None:
    """Refuse settings that a data set of this kind does not have."""
    from graphkit.data import card

    known = card(dataset)
    if across_graphs != (known.kind == "family"):
        is_one = "one graph; leave out `--across-graphs`." if across_graphs else "several; add `--across-graphs`."
        raise click.UsageError(f"{dataset!r} is {is_one}")
    if known.kind == "signal" or not known.classes:
        what = {"signal": "signals", "link": "links to predict"}.get(known.kind, "real numbers for labels")
        raise click.UsageError(f"{dataset!r} has {what}; few-shot tasks are over nodes and graphs that have classes.")
    if known.kind == "graph" and inductive:
        raise click.UsageError("`--inductive` is of nodes that see each other; graphs of a set do not.")
    if adapter is not None and not across_graphs:
        raise click.UsageError("`--adapter` is for graphs whose features differ; add `--across-graphs`.")


def _what(method: Any) -> str:
    """Return what a method is in a few words."""
    import dataclasses

    kind = f"{method.learner}: " if hasattr(method, "learner") else ""
    usual = {field.name: field.default for field in dataclasses.fields(method)}
    usual = {
        name: value
        for name, value in usual.items()
        if value is not dataclasses.MISSING and name not in ("rows", "learner")
    }
    return kind + described(method, method.as_dict(), usual)
