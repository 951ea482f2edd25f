"""Measuring two ways of doing one thing in one run: interleaved times, memory of each in its own process, a record.

Wall seconds are what a user waits for; CPU seconds (all threads of the process together) hardly change on a busy
machine. Bodies take turns, A B A B, so that a slow moment of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import functools
import importlib
import importlib.util
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from graphkit.training.engine.records import environment, metric, write_atomically

Body = Callable[[], Any]
LINUX_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Times:
    """Seconds of one call: of each round on the clock and on the CPU, and of the very first call on the clock."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    first: float

    def as_dict(self) -> dict[str, float]:
        """Return median and minimum of both."""
        wall, cpu = self.wall, self.cpu
        found = {"wall": statistics.median(wall), "wall_min": min(wall), "cpu": statistics.median(cpu)}
        return {**found, "cpu_min": min(cpu), "first": self.first}


def interleaved(bodies: Mapping[str, Body], *, rounds: int, at_least: float = 0.1) -> dict[str, Times]:
    """Return the times of ``bodies``, which take turns for ``rounds`` rounds after a warm-up.

    Args:
        bodies: what to time, by name.
        rounds: times each body has its turn.
        at_least: seconds a turn lasts; a fast body is called several times in its turn, and the mean is taken.
    """
    first = {name: _timed(body, 1)[0] for name, body in bodies.items()}
    calls = {name: max(1, round(at_least / _timed(body, 1)[0])) for name, body in bodies.items()}
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in bodies}
    for _ in range(rounds):
        for name, body in bodies.items():
            turns[name].append(_timed(body, calls[name]))
    return {name: Times(*zip(*turns[name], strict=True), first[name]) for name in bodies}


def once(body: Body) -> tuple[Times, Any]:
    """Return the times of a single call of ``body``, for what is too long to be called twice, and its result."""
    kept: list[Any] = []
    wall, cpu = _timed(lambda: kept.append(body()), 1)
    return Times((wall,), (cpu,), wall), kept[0]


def _timed(body: Body, calls: int) -> tuple[float, float]:
    """Return wall and CPU seconds of one call, the mean of ``calls``; what an accelerator was given is waited for."""
    _finish()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        body()
    _finish()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def _finish() -> None:
    """Wait until an accelerator, if there is one, has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def memory_added(body: Body, device: str = "cpu") -> float:
    """Return by how many MB two calls of ``body`` raise the peak of this process above what it holds now.

    Call it in a process of its own, with inputs, imports and kernels ready. On a ``device`` other than the CPU it is
    the device's memory that counts.
    """
    import psutil

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        body()
        body()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6

    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, so that a body cannot use it unseen
    held = psutil.Process().memory_info().rss
    if LINUX_STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    body()
    body()
    return max(0, _peak() - held) / 1e6


def _peak() -> int:
    """Return the largest number of bytes this process has held.

    On Linux not ``ru_maxrss``, which a process inherits from the one that started it.
    """
    if LINUX_STATUS.exists():
        line = next(line for line in LINUX_STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_in_subprocess(script: str, *arguments: str) -> float:
    """Return the number that ``script`` prints when it is called with ``arguments`` in a process of its own."""
    path = os.pathsep.join(filter(None, (str(Path(script).parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, script, *arguments]
    return float(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}).stdout
    )


@functools.cache
def usable(peer: str, needs: str) -> bool:
    """Tell whether a peer can be imported and has the function that is needed of it; say why where it cannot.

    What is not installed at all is left out without a word, since peers are optional.
    """
    if importlib.util.find_spec(peer) is None:
        return False
    try:
        module = importlib.import_module(peer)
    except (ImportError, OSError, AttributeError) as error:  # what a missing part of a package, or a library, raises
        reason = str(error).splitlines()[0]
    else:
        if hasattr(module, needs):
            return True
        reason = f"it has no `{needs}`"
    print(f"{peer} is left out, for it is not installed whole: {reason}", file=sys.stderr)
    return False


def parser(question: str, *, timed: bool = True) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark understands, and with what those do that are ``timed`` in turns."""
    name = Path(sys.argv[0]).stem.replace("_", "-")
    made = argparse.ArgumentParser(prog=f"graphkit bench {name}", description=question.splitlines()[0])
    made.add_argument("--json", type=Path, metavar="PATH", help="write a result record")
    made.add_argument("--quick", action="store_true", help="a small version that only shows that it works")
    made.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    if timed:
        made.add_argument("--rounds", type=int, help="how often each side has its turn")
        made.add_argument("--no-memory", action="store_true", help="leave out the peak memory")
        made.add_argument("--memory-of", metavar="SIDE", help=argparse.SUPPRESS)
    return made


def row(what: str, side: str, times: Times, ours: Times, memory: float | None, **more: Any) -> dict[str, Any]:
    """Return one line of the table; its ratios say how many times as long as ``ours`` this side takes."""
    ratios = [own / least for own, least in zip(times.wall, ours.wall, strict=True)]
    cpu_ratio = statistics.median(times.cpu) / statistics.median(ours.cpu)
    found = {"what": what, "side": side, **times.as_dict(), "ratio": statistics.median(ratios), "ratios": ratios}
    best = min(times.wall) / min(ours.wall)
    return {**found, "min_ratio": best, "cpu_ratio": cpu_ratio, "memory_mb": memory, **more}


def show(rows: Sequence[Mapping[str, Any]], note: str, **more: str) -> None:
    """Print the table; ``more`` names further fields of the rows and their headings."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption=note, caption_justify="left")
    for heading in (
        "",
        "",
        "wall ms",
        "min",
        "CPU ms",
        "min",
        "first ms",
        "ratio",
        "of min",
        "of CPU",
        "MB",
        *more.values(),
    ):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for line in rows:
        times = [f"{1000 * line[field]:,.1f}" for field in ("wall", "wall_min", "cpu", "cpu_min", "first")]
        ratios = [f"{line[field]:.1f}x" for field in ("ratio", "min_ratio", "cpu_ratio")]
        memory = "" if line["memory_mb"] is None else f"{line['memory_mb']:,.0f}"
        table.add_row(
            line["what"], line["side"], *times, *ratios, memory, *(str(line.get(field, "")) for field in more)
        )
    printed(table)


def apart(what: str, slow: Times, fast: Times) -> dict[str, Any]:
    """Return how many times the CPU seconds of ``fast`` another side takes, turn by turn."""
    ratios = [a / b for a, b in zip(slow.cpu, fast.cpu, strict=True)]
    return {"what": what, "cpu_ratio": statistics.median(ratios), "cpu_ratios": ratios}


def show_apart(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how many times the peer's CPU seconds are graphkit's: the median of the turns, the lowest, the highest."""
    note = "the peer's CPU seconds over graphkit's"
    table = Table(box=None, pad_edge=False, header_style="bold", caption=note, caption_justify="left")
    for heading in ("changed", "CPU ratio", "lowest", "highest"):
        table.add_column(heading, justify="left" if heading == "changed" else "right", no_wrap=True)
    for line in rows:
        figures = (line["cpu_ratio"], min(line["cpu_ratios"]), max(line["cpu_ratios"]))
        table.add_row(line["what"], *(f"{figure:.{1 if figure > 10 else 2}f}x" for figure in figures))
    printed(table)


def printed(table: Table) -> None:
    """Print a table, as wide as it needs where nobody's terminal is narrower."""
    console = Console(highlight=False, markup=False)
    console.width = console.width if console.is_terminal else 160
    console.print(table)


def write(path: Path | None, *, dataset: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], **fields: Any) -> None:
    """Write the result record of what was timed; its metric is the ratio of the last row, round by round."""
    main = rows[-1]
    ratios = metric(f"{main['what']}, {main['side']}: ratio of seconds", main["ratios"], unit="ratio")
    protocol = {"turns": "interleaved", "rounds": len(main["ratios"]), **fields.pop("protocol", {})}
    told = {"dataset": dataset, "protocol": protocol, "metric": dataclasses.asdict(ratios), "selection": "none"}
    keep(path, **{**told, "seconds": main["wall"], "rows": rows, **fields})


def keep(path: Path | None, *, device: str = "cpu", **record: Any) -> None:
    """Write a result record, with the command that led to it and where it ran, if there is a path."""
    if path is None:
        return
    told = {"command": shlex.join(sys.argv), "environment": environment(device, "32-true"), **record}
    write_atomically(path, (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())


def without_beta_warnings() -> None:
    """Let PyTorch not warn that its sparse matrices are young."""
    for message in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are implicitly disabled"):
        warnings.filterwarnings("ignore", message, UserWarning)


def set_threads(threads: int | None) -> str:
    """Set the number of threads of both sides and return it in words."""
    if threads is not None:
        torch.set_num_threads(threads)
    count = torch.get_num_threads()
    return f"{count} thread{'s' if count > 1 else ''}"
