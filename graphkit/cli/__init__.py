"""The command line: the only room that prints.

Exit codes: 0 done, 1 a run that failed or was stopped, 2 a wrong call. Errors are one line; ``--debug`` or
``GRAPHKIT_DEBUG=1`` shows where they came from. No command loads torch before data set,
model and settings are known to be right.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Sequence

import click

import graphkit
from graphkit.cli.bench import bench
from graphkit.cli.data import data
from graphkit.cli.embed import embed
from graphkit.cli.explain import explain
from graphkit.cli.export import export
from graphkit.cli.fewshot import fewshot
from graphkit.cli.forecast import forecast
from graphkit.cli.output import Stages, debuggable, say, sweep_at_exit
from graphkit.cli.search import search
from graphkit.cli.spectrum import spectrum
from graphkit.cli.train import train
from graphkit.cli.trained import compare, evaluate, fewshot_predict, predict
from graphkit.cli.tune import tune
from graphkit.cli.view import view
from graphkit.training.engine.interrupts import Orphan, end_with_launcher

FAILED, WRONG_CALL = 1, 2


class Commands(click.Group):
    """The commands; ``fewshot predict`` is one beside ``fewshot``, whose first word is a data set."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and arguments."""
        if args[:2] == ["fewshot", "predict"]:
            return "fewshot predict", fewshot_predict, args[2:]
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(graphkit.__version__, prog_name="graphkit")
@debuggable
def commands() -> None:
    """Graph learning on PyTorch Geometric: correct first, fast second, every number with its protocol."""


STUDIES = (train, tune, embed, fewshot, forecast)
FINISHED = (predict, evaluate, compare, explain, export, view, search)
for _command in (*STUDIES, *FINISHED, spectrum, data, bench):
    commands.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or os.environ.get("GRAPHKIT_DEBUG", "") not in ("", "0")
    sweep_at_exit()
    try:
        end_with_launcher()  # before anything slow is loaded: until then nobody tells us of its end
        with Stages(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.script` is", FutureWarning)  # PyG, while it is imported
            if not debug:
                warnings.showwarning = functools.partial(_note, set())
            return int(commands.main(arguments, prog_name="graphkit", standalone_mode=False, obj=arguments) or 0)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        code, message = _verdict(error)
        if not _said_by_another(error):
            say(message)
        return code


def _note(noted: set[str], message: Warning | str, *_: object) -> None:
    """Say a warning of Python's in one line and once, without the place in the code that it comes from."""
    if os.environ.get("RANK", "0") == "0" and str(message) not in noted:
        noted.add(str(message))
        say(f"Note: {_line(str(message))}")


def _said_by_another(error: BaseException) -> bool:
    """Return whether the first process of a job says the same: what was typed is the same for all."""
    if os.environ.get("RANK", "0") == "0" or not isinstance(error, click.ClickException | ValueError):
        return False
    from graphkit.training.engine.distributed import JobError

    return isinstance(error, click.ClickException | JobError)


def _verdict(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the one line for what went wrong."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return WRONG_CALL, error.format_message()
    if isinstance(error, click.ClickException):
        return WRONG_CALL, f"Error: {_line(error.format_message())}"
    if isinstance(error, click.Abort | KeyboardInterrupt):
        cause = error.__cause__ or error
        told = _line(str(cause))
        if "; resume from " in told:
            told += " The same command with --resume goes on."
        return FAILED, told[:1].upper() + told[1:] or "Stopped."
    if isinstance(error, Orphan):
        return FAILED, f"Error: {_line(str(error))}"
    from graphkit.data import DataError

    if isinstance(error, OSError) and error.strerror and error.filename:
        return FAILED, f"Error: {str(error.filename)!r}: {error.strerror}."
    if isinstance(error, DataError | OSError):
        return FAILED, f"Error: {_line(str(error))}"
    if isinstance(error, ValueError | TypeError):
        return WRONG_CALL, f"Error: {_line(str(error))}"
    from graphkit.training import TrainingError

    if isinstance(error, TrainingError):
        return FAILED, f"Error: {_line(str(error))}"
    return FAILED, f"Error inside graphkit, {type(error).__name__}: {_line(str(error))} (--debug shows where)"


def _line(text: str) -> str:
    """Return text in one line."""
    return " ".join(text.split())
