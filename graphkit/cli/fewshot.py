"""``graphkit fewshot``: learners and their baselines on the same frozen tasks, to one table and one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.options import (
    DatasetArgument,
    StudyOptions,
    rename_arguments,
    renamed_option,
    report,
    settings_of,
    step_edges,
    study_options,
)
from graphkit.cli.output import begin, debuggable, describe, echo, fields, plural, preload, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from graphkit.meta import ClassSplit, FewShotProtocol
    from graphkit.training.fewshot import FewShotOutcome, FewShotRecord, Study


CLASS_SPLITS = (
    "all-pairs; all-pairs:N for the first N of them; fixed, from others' files; fixed:PATH, from a JSON file of three "
    "lists; random:N for N draws of the card's counts, or random:N:TRAIN,VALIDATION,TEST; shared, across graphs: all "
    "classes in all of them.  [default: all-pairs; across graphs: shared]"
)


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


class _Ways(click.ParamType):
    """A whole number of 2 or more, or all."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or the word."""
        if value == ALL or (str(value).isdecimal() and int(value) >= 2):
            return ALL if value == ALL else int(value)
        return self.fail(f"{value!r} is no whole number of 2 or more, and not 'all'.", param, ctx)


ALL = "all"
WAYS = _Ways()
ENCODER = "ccassg,dgi"
OPTIONS = {"k_shot": "--shots", "n_query": "--queries", "n_way": "--ways", "ways": "--ways", "n_tasks": "--tasks"}
"""Arguments of a protocol and a class split, and where they are typed."""


@click.command()
@click.argument("dataset", default="cora")
@click.option(
    "--learner",
    metavar="NAME",
    default=None,
    help="Or all; --list-learners names them.  [default: maml; with --ways all view-ridge]",
)
@click.option(
    "--baselines",
    type=click.Choice(["all", "untrained", "none"]),
    default="all",
    show_default=True,
    help="What stands beside one learner: untrained, those that are not trained on the other classes.",
)
@click.option(
    "--encoder-model",
    metavar="NAME",
    help="Beside the learner, train one with this graph model: gcn, gat, ...; --set is of that one.",
)
@click.option("--list-learners", is_flag=True, help="Name learners and baselines, and what each is.")
@click.option(
    "--ways",
    type=WAYS,
    default=2,
    show_default=True,
    help="Classes of a task; all: every class with enough items, and none is left to train on.",
)
@click.option(
    "--shots", type=NUMBERS, default="3", show_default=True, help="Labelled items of each class; several as 1,3,5."
)
@click.option("--queries", type=click.IntRange(1), default=12, show_default=True, help="Items of each to tell apart.")
@click.option("--tasks", type=click.IntRange(1), default=100, show_default=True, help="Test tasks of a split.")
@click.option(
    "--class-split",
    default=None,
    metavar="SPLIT",
    help=CLASS_SPLITS,
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
    learner: str | None,
    baselines: str,
    encoder_model: str | None,
    list_learners: bool,
    ways: int | str,
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
    """Tell classes of DATASET, a name or a folder, apart that were not trained on, from a few labelled items each.

    All methods see the same frozen tasks. Learners are trained on tasks of the training classes and selected on tasks
    of the validation classes. The interval is over tasks, the deviation over class splits. `graphkit fewshot predict`
    adapts a learner that was kept to labels of your own.
    """
    preload("graphkit.training.fewshot.named_methods")
    from graphkit.cli.fewshot import picture_of, record_of, show, together
    from graphkit.training.engine.run_folder import RunFolder
    from graphkit.training.fewshot.encoders import Encoders
    from graphkit.training.fewshot.method import require_inner_steps
    from graphkit.training.fewshot.named_methods import (
        METHODS,
        graph_learner,
        learners_of_graph_models,
        with_baselines,
    )
    from graphkit.training.fewshot.task_models import GRAPH_MODELS

    if list_learners:
        table(["name", "rows", "what it is"], [(name, m.rows, _what(m)) for name, m in METHODS.items()])
        echo()
        fields([("--encoder-model", ", ".join(GRAPH_MODELS)), ("of learners", ", ".join(learners_of_graph_models()))])
        return 0
    asked = DatasetArgument(dataset, family=True)
    asked.require_labels()
    kind = asked.card.kind
    _require_fitting(asked, across_graphs, inductive, adapter)
    learner = learner or _usual(ways)
    if len(shots) > 1 and inner_steps:
        raise click.UsageError("`--inner-steps` is of one number of shots; give one with `--shots`.")
    if learner == "all" and baselines != "all":
        raise click.UsageError("`--baselines` stand beside one learner; name it with `--learner`.")
    if balanced and not calibrate:
        raise click.UsageError("`--balanced` is of calibration, which `--calibrate 0` leaves out.")
    if ways == ALL and (class_split or across_graphs or inductive):
        raise click.UsageError(
            "`--ways all` tests on all classes of one graph: leave out `--class-split`, `--across-graphs` and "
            "`--inductive`."
        )
    names = with_baselines(learner, baselines, all_classes=ways == ALL, whole_graphs=asked.items == "graphs")
    losses = tuple(loss.strip() for loss in encoder.split(","))
    encoders = Encoders(losses, encoder_draws, settings_of(encoder_settings))
    methods = {name: METHODS[name] for name in names}
    if encoder_model is not None:
        if ways == ALL:
            raise click.UsageError("`--encoder-model` is trained on other classes, and `--ways all` leaves none.")
        if asked.items == "graphs":
            raise click.UsageError(
                "`--encoder-model` is of the nodes of a graph, and here are whole graphs; leave it out."
            )
        able = [name for name in names if name in learners_of_graph_models()] if learner == "all" else [learner]
        with rename_arguments({"encoder_model": "--encoder-model", "learner": "--learner"}):
            made = {new: each for name in able for new, each in graph_learner(name, encoder_model).items()}
        methods |= made
        learner = learner if learner == "all" else next(iter(made))
        names = list(methods)
    if options.settings or options.config:
        if learner == "all":
            raise click.UsageError(
                "`--set` and `--config` override the fields of one learner; name it with `--learner`."
            )
        overrides = options.overrides()
        if encoder_model is not None and "model" in overrides:
            raise click.UsageError("`--encoder-model` names the model; leave out `model` of `--set` and `--config`.")
        methods[learner] = methods[learner].with_(overrides)
    if options.seeds not in (None, 1):
        raise click.UsageError("`--seeds`: one seed draws tasks, class splits and weights; name another with `--seed`.")
    if options.precision != "32-true":
        raise click.UsageError("`--precision`: few-shot learners compute in '32-true'.")
    with rename_arguments({"steps": "--inner-steps"}):
        require_inner_steps(methods, inner_steps or ())
    _require_used(methods, (encoder, encoder_draws, encoder_settings) != (ENCODER, 1, ()))
    run, seed = options.run_dir or RunFolder(f"{asked.name}-fewshot-{learner}"), options.seed
    options.require_places(run)

    preload(
        "torch_geometric.data",
        "lightning_fabric",
        "graphkit.data.catalog.loading",
        "graphkit.meta",
        "graphkit.training.fewshot.run_fewshot",
    )
    import graphkit.data
    from graphkit.meta import FewShotProtocol
    from graphkit.training.engine.distributed import World, fabric_on, init_world, own_device
    from graphkit.training.fewshot import fewshot as solved
    from graphkit.training.fewshot import study_across_graphs, study_of_classes, study_of_graphs
    from graphkit.training.fewshot.run_fewshot import patience

    there = fabric_on(own_device(options.device), options.precision).device
    begin(f"loading {asked.name}")
    data = graphkit.data.load(asked.source)
    every: list[ClassSplit] = []
    if isinstance(ways, str):
        y, most = data.items.y if kind == "graph" else data.y, max(shots) + queries
        every = [_every_class(asked.name, y, most)]
        ways = len(every[0].test)
    graphs = ways * (max(shots) + queries)  # of a task, which lies in one graph of a family
    options.use_threads(max(step_edges(each, graphs) for each in (data.values() if across_graphs else [data])))
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
        splits = every or class_splits(dataset, items, class_split or "all-pairs", ways, seed)
        if kind == "graph":
            return study_of_graphs(data, splits, protocol, **sight)
        return study_of_classes(data, splits, protocol, inductive=inductive, **sight)

    outcomes: dict[int, FewShotOutcome] = {}
    sizes, job = {}, init_world(there, patience=patience(methods))
    with rename_arguments(OPTIONS), job as world, options.reporter() as reporter:
        for number in shots:
            protocol = FewShotProtocol(n_way=ways, k_shot=number, n_query=queries, n_tasks=tasks, seed=seed)
            study = study_of(protocol)
            # In a folder of its own name the first number of shots stands, and the others below it.
            below: Any = outcomes[shots[0]].run_dir if number != shots[0] and isinstance(run, RunFolder) else run
            folder: Any = below if isinstance(below, RunFolder) or len(shots) == 1 else below / f"shots-{number}"
            outcomes[number] = solved(
                study,
                protocol,
                names,
                headline=_headline(learner, names, study),
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
                before=outcomes.get(shots[0]),
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
        left=f"Record and state: {outcomes[shots[0]].run_dir if isinstance(run, RunFolder) else run}",
    )


def _usual(ways: int | str) -> str:
    """Return the learner that is measured where none is named."""
    return "view-ridge" if ways == ALL else "maml"


def _every_class(name: str, y: Any, items: int) -> ClassSplit:
    """Return the split that tests on all classes with so many items."""
    from graphkit.meta import ClassSplit

    labels, counts = y[y >= 0].unique(return_counts=True)
    large = labels[counts >= items].tolist()
    if len(large) < 2:
        raise click.UsageError(
            f"`--ways all` takes classes of {items} items, shots and queries together, and of those {name!r} has "
            f"{len(large)}; ask for fewer `--queries`."
        )
    if left := len(labels) - len(large):
        begin(f"leaving out {left} of {len(labels)} classes, with fewer than {items} items")
    return ClassSplit((), (), tuple(large))


def _headline(learner: str, names: Sequence[str], study: Study) -> str | None:
    """Return the method that the record's figure is of; ``None`` where validation tasks choose it."""
    if learner != "all":
        return learner
    return _usual(ALL) if any(problem.validation is None for problem in study.problems) else None


def _require_used(methods: Mapping[str, Any], encoders: bool) -> None:
    """Refuse settings of encoders that no method stands on."""
    which = next(iter(methods)) if len(methods) == 1 else "any of these"
    if encoders and not any(method.rows == "encoder" for method in methods.values()):
        raise click.UsageError(f"`--encoder` and its settings are of learners on embeddings, not of {which}.")


def _require_fitting(asked: DatasetArgument, across_graphs: bool, inductive: bool, adapter: str | None) -> None:
    """Refuse settings that a data set of this kind does not have."""
    known, dataset = asked.card, asked.name
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
    return kind + describe(method, method.as_dict(), usual)


def show(outcome: FewShotOutcome, protocol: FewShotProtocol, problems: int) -> None:
    """Print what was measured, then a row for each method."""
    record = outcome.record
    data, held = record.dataset, record.protocol
    what = plural(problems, "graph" if "graphs" in held and not held["class_splits"] else "class split")
    size = f"{protocol.n_way} ways, {plural(protocol.k_shot, 'shot')}, {protocol.n_query} queries a class"
    fields(
        [
            ("data set", f"{data.name}, {plural(data.nodes, 'node')}, {data.edges:,} edges, {data.classes} classes"),
            ("tasks", f"{size}; {protocol.n_tasks} for each of {what}"),
            (
                "setting",
                f"{held['setting']}; calibrated: queries look at each other, {held['calibration_steps']} steps"
                + (", knowing that each class has as many" if "calibration" in held else ""),
            ),
            ("selection", record.selection),
            *([("rows", made)] if (made := _making(record.row_seconds)) else []),
            ("headline", f"{record.headline}: {100 * record.metric.mean:.1f} %"),
            ("protocol", f"{held['fingerprint']}; accuracy in per cent: mean ± interval over tasks"),
        ]
    )
    echo()
    first = next(iter(outcome.methods))
    rows = []
    for name, result in outcome.methods.items():
        figures = record.methods[name]
        plain, after, apart = figures["accuracy"], figures["calibrated"], figures["difference"]
        rows.append(
            [
                name,
                _figure(plain, protocol.n_tasks),
                "" if plain["spread"] is None else f"{100 * plain['spread']:.1f}",
                "" if name == first else _difference(apart, protocol.n_tasks),
                _figure(after, protocol.n_tasks) if after else "",
                "" if result.validation is None else f"{100 * result.validation:.1f}",
                f"{result.seconds:.1f}",
            ]
        )
    table(["", " accuracy", " over splits", f" to {first}", " calibrated", " validation", " CPU s a split"], rows)


def _making(seconds: Mapping[str, float]) -> str:
    """Say what making the rows took, of which no method's seconds tell; nothing where it took none."""
    slow = {kind: spent for kind, spent in seconds.items() if spent >= 1}
    said = ", ".join(f"{kind} {spent:.0f} s" for kind, spent in slow.items())
    return f"made in CPU seconds that the table leaves out: {said}" if slow else ""


def _figure(figures: dict[str, Any], tasks: int) -> str:
    """Return mean and interval over tasks in per cent, cut where it would leave 0 to 100; one task has none."""
    mean, half = 100 * figures["mean"], 100 * figures["interval"]
    if tasks == 1:
        return f"{mean:.1f}"
    below, above = min(half, mean), min(half, 100 - mean)
    return f"{mean:.1f} ± {half:.1f}" if below == above else f"{mean:.1f} +{above:.1f} -{below:.1f}"


def _difference(figures: dict[str, Any], tasks: int) -> str:
    mean = f"{100 * figures['mean']:+.1f}"
    return mean if tasks == 1 else f"{mean} ± {100 * figures['interval']:.1f}"


def together(outcomes: Mapping[int, FewShotOutcome]) -> FewShotOutcome:
    """Return the outcome of the most shots, with what all of them could not keep and put aside."""
    last = outcomes[max(outcomes)]
    faults = tuple(fault for outcome in outcomes.values() for fault in outcome.faults)
    aside = [outcome.put_aside for outcome in outcomes.values() if outcome.put_aside]
    return dataclasses.replace(last, faults=faults, put_aside=aside[0] if aside else None)


def record_of(outcomes: Mapping[int, FewShotOutcome]) -> FewShotRecord:
    """Return the record of the most shots, with the figures of all numbers of them where there are several."""
    record = outcomes[max(outcomes)].record
    if len(outcomes) == 1:
        return record
    parts = {
        str(shots): {"protocol": each.record.protocol, "methods": each.record.methods}
        for shots, each in outcomes.items()
    }
    return dataclasses.replace(record, by_shots=parts)


def picture_of(outcomes: Mapping[int, FewShotOutcome], steps: Sequence[int]) -> Figure:
    """Return every method's accuracy; over shots or inner steps that of the headline and of those beside it."""
    from graphkit.viz import accuracy_curves, method_accuracies

    record = outcomes[max(outcomes)].record
    protocol, ways = record.protocol, f"{record.dataset.name}, {record.protocol['n_way']} ways"
    shots = plural(protocol["k_shot"], "shot")
    note = f"{protocol['setting']}  ·  {protocol['n_tasks']} tasks a class split or graph, 95 % interval over tasks"
    if steps:
        after = {
            name: {int(number): figures for number, figures in each["after_steps"].items()}
            for name, each in record.methods.items()
            if each["after_steps"]
        }
        note += "  ·  nothing is chosen by this"
        return accuracy_curves(_some(after, record.headline), over="inner steps", title=f"{ways}, {shots}", note=note)
    if len(outcomes) > 1:
        over = {
            name: {shots: each.record.methods[name]["accuracy"] for shots, each in outcomes.items()}
            for name in record.methods
        }
        title = f"{ways}, {protocol['n_query']} queries a class"
        return accuracy_curves(_some(over, record.headline), over="shots", title=title, note=note)
    return method_accuracies(
        {name: each["accuracy"] for name, each in record.methods.items()},
        {name: each["calibrated"] for name, each in record.methods.items() if each["calibrated"]},
        title=f"{ways}, {shots}",
        note=f"{protocol['setting']}  ·  protocol {protocol['fingerprint']}",
    )


def _some(curves: dict[str, Any], headline: str) -> dict[str, Any]:
    """Return the headline first, and of the others those that a talk is about, 7 in all."""
    first = (headline, "prototypes-2", "encoder-protomaml", "protomaml", "maml", "fine-tuning", "encoder-prototypes")
    order = [name for name in dict.fromkeys([*first, *curves]) if name in curves]
    return {name: curves[name] for name in order[:7]}


def class_splits(dataset: str, data: Any, wanted: str, ways: int, seed: int) -> list[ClassSplit]:
    """Return the class splits that were asked for.

    Of all pairs two classes select, or as many as a task has where so many are left to train on.

    Raises:
        ValueError: for a split that is none, or cannot be made of the classes of this data set.
    """
    import torch

    from graphkit._checks import member
    from graphkit.data.catalog.fixed_classes import few_shot_counts
    from graphkit.meta import ClassSplit

    name, *arguments = wanted.split(":")
    member("class-split", name, ["all-pairs", "fixed", "random"])
    if name == "fixed":
        return [ClassSplit.read(Path(":".join(arguments))) if arguments else ClassSplit.benchmark(dataset)]
    classes = data.y[data.y >= 0].unique().tolist()
    try:
        numbers = [[int(part) for part in argument.split(",")] for argument in arguments]
    except ValueError:
        raise ValueError(f"`class-split` {wanted!r}: what follows a colon must be whole numbers.") from None
    if numbers and numbers[0][0] < 1:
        raise ValueError(f"`class-split` {wanted!r}: ask for at least one.")
    if name == "all-pairs":
        selecting = ways if 3 * ways <= len(classes) else 2
        every = ClassSplit.all_pairs(classes, ways=ways, validation=selecting, seed=seed)
        return every[: numbers[0][0]] if numbers else every
    draws = numbers[0][0] if numbers else 5
    counts = tuple(numbers[1]) if len(numbers) > 1 else few_shot_counts(dataset)
    if len(counts) != 3:
        raise ValueError(f"`class-split` {wanted!r}: give three counts, to train, select and test on.")
    generator = torch.Generator().manual_seed(seed)
    return [ClassSplit.random(classes, counts, generator) for _ in range(draws)]
