"""Recorded commands: what was typed once, as the defaults of the same command now."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

PLACES = ("run_dir", "resume", "json_path", "picture", "log_dir")
"""Options that say where something goes, and nothing of what is computed."""

RECIPE = ("config", "settings", "model", "epochs", "lr", "fan_out", "batch_size", "dim", "loss")
"""Options in whose place the record's own fields stand: it says what acted, whatever the defaults are now."""

NO_FIELDS = ("model", "loss", "beside", "probes")
"""Entries of a record's ``config`` that are options of their own, and no fields of a recipe."""

GIVEN, FIELDS = "graphkit.given", "graphkit.fields"
"""Where a command's context keeps the record that it repeats, and the fields of its recipe as settings."""


def typed_options(fields: Mapping[str, Any], command: click.Command) -> dict[str, Any]:
    """Return the options that were typed in a record's command, by the names of the command's parameters.

    Raises:
        ValueError: for a record that another command or a Python function wrote.
    """
    words = shlex.split(fields["command"])
    name = str(command.name)
    if words[:1] != ["graphkit"] or name not in words:
        raise ValueError(
            f"the record was written by {fields['command'][:60]!r}, not by `graphkit {name}`: it does not say where "
            "its data are."
        )
    context = command.make_context(name, words[words.index(name) + 1 :])
    known = [parameter.name for parameter in command.params if parameter.name is not None and parameter.expose_value]
    typed = [each for each in known if context.get_parameter_source(each) == ParameterSource.COMMANDLINE]
    return {each: context.params[each] for each in typed}


def _trains_found(fields: Mapping[str, Any], command: click.Command) -> bool:
    """Return whether a record of ``graphkit tune`` is given to ``graphkit train``, which trains what was found."""
    return bool(fields.get("tuning")) and command.name == "train"


def _typed_for(fields: Mapping[str, Any], context: click.Context) -> dict[str, Any]:
    """Return the options that were typed in a record's command, as far as that of the context has them."""
    if not _trains_found(fields, context.command):
        return typed_options(fields, context.command)
    root = context.find_root()
    tune = root.command.get_command(root, "tune") if isinstance(root.command, click.Group) else None
    assert tune is not None
    known = {parameter.name for parameter in context.command.params}
    return {name: value for name, value in typed_options(fields, tune).items() if name in known}


def _repeat(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take what a record says as the defaults of all options; what is typed beside it wins."""
    if path is None:
        return
    from graphkit.training.trained.record_fields import read_fields

    fields = read_fields(path)
    typed = {name: value for name, value in _typed_for(fields, context).items() if name not in PLACES}
    config, seeds = fields.get("config", {}), fields["seeds"]
    chosen = fields.get("tried") or (fields.get("tuning") and not _trains_found(fields, context.command))
    if "model" in config and not chosen and "protocol" not in typed:
        typed = {name: value for name, value in typed.items() if name not in RECIPE}
        typed |= {name: config[name] for name in ("model", "loss") if name in config}
        own = {name: value for name, value in config.items() if name not in NO_FIELDS}
        # Another model or loss has fields of its own.
        if not {"--model", "--loss"} & {word.partition("=")[0] for word in context.find_root().obj or ()}:
            context.meta[FIELDS] = tuple(f"{name}={json.dumps(value)}" for name, value in own.items())
    elif "config" in typed:
        raise ValueError(
            f"`--as`: the recorded command read its fields from {str(typed['config'])!r}; give `--config`."
        )
    typed |= {"seeds": len(seeds), "seed": seeds[0]} if len(seeds) > 1 else {"seed": seeds[0]}
    if len(seeds) == 1 and any(parameter.name == "protocol" for parameter in context.command.params):
        typed |= {} if "protocol" in typed else {"seeds": 1}
    context.default_map = {**typed}
    context.meta[GIVEN] = fields


repeat_option = click.option(
    "--as",
    type=click.Path(path_type=Path),
    metavar="RECORD",
    is_eager=True,
    expose_value=False,
    callback=_repeat,
    help="The same again as a record or a run's folder says; options typed beside it win.",
)


def with_recorded(settings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recorded fields, and after them the settings that were typed, which win."""
    context = click.get_current_context()
    context.params["settings"] = (*context.meta.get(FIELDS, ()), *settings)
    return context.params["settings"]


def repeated_record() -> Mapping[str, Any] | None:
    """Return the fields of the record that the command repeats, ``None`` where it repeats none."""
    found: Mapping[str, Any] | None = click.get_current_context().meta.get(GIVEN)
    return found


def told_beside(record: str) -> str | None:
    """Say how the figures of a record, as JSON text, stand to those of the record that the command repeats."""
    before, now = repeated_record(), json.loads(record)
    if before is None or "metric" not in now:
        return None
    if now["protocol"].get("fingerprint") != before["protocol"].get("fingerprint"):
        return "Recorded under another protocol: data, split or rule of selection differ."
    old, new = before["metric"], now["metric"]
    if old["values"] == new["values"]:
        return f"As recorded, to the last digit: {new['name']} {new['mean']:.6g}."
    if len(old["values"]) != len(new["values"]):
        return f"Recorded of {len(old['values'])} seeds: {old['name']} {old['mean']:.6g}; now {new['mean']:.6g}."
    return f"Not as recorded: {old['name']} was {old['mean']:.6g} and is {new['mean']:.6g}."


def command_words() -> list[str]:
    """Return the running command as it would be typed, without ``--as``: a record needs no other to be repeated."""
    context = click.get_current_context()
    if GIVEN not in context.meta:
        return ["graphkit", *(context.find_root().obj or ())]
    arguments, options = list[str](), list[str]()
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        source = context.get_parameter_source(parameter.name or "")
        of_record = parameter.name == "settings"
        if not of_record and (
            source not in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP) or value is None
        ):
            continue
        if isinstance(parameter, click.Argument):
            arguments.append(str(value))
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options += parameter.opts[-1:] if value else parameter.secondary_opts[:1]
        elif isinstance(parameter, click.Option) and parameter.multiple:
            options += [word for each in value or () for word in (parameter.opts[0], str(each))]
        else:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            options += [parameter.opts[0], shown]
    return ["graphkit", str(context.command.name), *arguments, *options]
