"""What ``graphkit fewshot`` prints, writes and draws of a finished study, or of one for each number of shots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphkit.cli.output import echo, fields, plural, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.meta import FewShotProtocol
    from graphkit.training.fewshot import FewShotOutcome, FewShotRecord


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
                f"{100 * result.validation:.1f}",
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
