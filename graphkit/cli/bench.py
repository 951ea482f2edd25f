"""``graphkit bench``: scripts that answer one question each, graphkit and its peer side by side.

A script is a module with a docstring whose first line is the question, and a ``main(arguments)`` that takes ``--json``.
Each runs in a process of its own, so that neither memory nor warm caches of one flatter the next.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

import graphkit
from graphkit._checks import member
from graphkit.cli.options import FILE, require_places
from graphkit.cli.output import begin, debuggable, echo, report_errors, say, table, write_record


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--list", "listing", is_flag=True, help="List the benchmarks and what each answers.")
@click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write the result record here.")
@click.option("-h", "--help", "helping", is_flag=True, help="Show this message, or with NAME that of its script.")
@debuggable
def bench(name: str | None, arguments: tuple[str, ...], listing: bool, json_path: Path | None, helping: bool) -> int:
    """Run the benchmark NAME, or all of them; further ARGUMENTS go to its script."""
    known = scripts()
    if helping and name is None:
        echo(click.get_current_context().get_help())
        return 0
    if helping:
        arguments = (*arguments, "--help")
    if listing and (name or json_path):
        raise click.UsageError("`--list` lists all of them; give nothing else.")
    if listing:
        table(["name", "question"], [(script, question(path)) for script, path in known.items()])
        return 0
    if name is not None:
        known = {name: known[member("benchmark", name, known)]}
    require_places(json=json_path)
    failed, records = [], {}
    with tempfile.TemporaryDirectory(prefix="graphkit-bench-") as folder:
        for script, path in known.items():
            say(f"{script}: {question(path)}")
            begin(f"measuring {script}")
            written = Path(folder) / f"{script}.json"
            wanted = ["--json", str(written)] if json_path is not None else []
            # What it leaves in the temporary folder, PyTorch Geometric's code among it, goes with ours.
            environment = {**os.environ, "TMPDIR": folder}
            if subprocess.run(
                [sys.executable, str(path), *arguments, *wanted], check=False, env=environment
            ).returncode:
                failed.append(script)
            if written.exists():
                records[script] = json.loads(written.read_text(encoding="utf-8"))
    lost = write_record(_Measured(records.get(name, {}) if name else records), json_path)
    if failed:
        say(f"Error: failed: {', '.join(failed)}.")
    return max(report_errors(lost), int(bool(failed)))


class _Measured:
    """What benchmarks measured, as a record."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(self.content, indent=2, ensure_ascii=False)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        from graphkit.training.engine.store import write_atomically

        write_atomically(path, (self.to_json() + "\n").encode())


def scripts() -> dict[str, Path]:
    """Return name and file of all benchmarks: those inside an installed package, else those of the checkout."""
    package = Path(graphkit.__file__).parent
    for folder in (package / "benchmarks", package.parent / "examples" / "benchmarks"):
        found = {path.stem.replace("_", "-"): path for path in sorted(folder.glob("[!_]*.py"))}
        if found:
            return found
    return {}


def question(script: Path) -> str:
    """Return the first line of a script's docstring, without running it."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "?"
    return text.splitlines()[0]
