"""Signals over time in the files of their publishers: traffic, buses, and infections."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.data.catalog.sources.repositories import FilesSource
from graphkit.data.temporal_graph import TemporalGraph


@dataclass(frozen=True, kw_only=True)
class AbstractSeriesSource(FilesSource):
    """Signals on a calendar that the files do not name: it begins at ``start``, a date and a time, if that is known."""

    start: str = ""
    step_seconds: int = 0

    def graph(self, signals: np.ndarray, edges: np.ndarray, weights: np.ndarray | None, **fields: Any) -> TemporalGraph:
        """Return the graph of signals ``[time, nodes]``, on its calendar."""
        if self.start:
            first = int(np.datetime64(self.start, "s").astype(np.int64))
            fields["times"] = first + self.step_seconds * torch.arange(len(signals))
        return TemporalGraph(
            torch.from_numpy(np.ascontiguousarray(signals, np.float32)),
            torch.from_numpy(np.ascontiguousarray(edges, np.int64)),
            None if weights is None else torch.from_numpy(np.ascontiguousarray(weights, np.float32)),
            **fields,
        )


@dataclass(frozen=True, kw_only=True)
class SensorTableSource(AbstractSeriesSource):
    """A table of signals with a line of names, a matrix of weights, and the places of what has these names."""

    def read(self, root: Path) -> TemporalGraph:
        """Return the graph, whose edges are the weights that are not 0."""
        signals, matrix, places = self.paths(root)
        with signals.open(newline="", encoding="utf-8") as file:
            names = next(csv.reader(file))
        where = {row["sensor_id"]: (float(row["longitude"]), float(row["latitude"])) for row in _rows(places)}
        pos = torch.tensor([where[name] for name in names])
        edges, weights = _edges_of(np.loadtxt(matrix, delimiter=",", ndmin=2))
        return self.graph(np.loadtxt(signals, delimiter=",", skiprows=1, ndmin=2), edges, weights, pos=pos)


@dataclass(frozen=True, kw_only=True)
class MatrixSource(AbstractSeriesSource):
    """Signals in a table without names, and a matrix of 0 and 1."""

    def read(self, root: Path) -> TemporalGraph:
        """Return the graph, whose edges are what is not 0."""
        signals, matrix = self.paths(root)
        edges, _ = _edges_of(np.loadtxt(matrix, delimiter=",", ndmin=2))
        return self.graph(np.loadtxt(signals, delimiter=",", ndmin=2), edges, None)


@dataclass(frozen=True, kw_only=True)
class NodeLinkSource(AbstractSeriesSource):
    """One file of NetworkX's form: ``nodes`` with an ``id``, their signal ``y`` and their place, and ``links``."""

    def read(self, root: Path) -> TemporalGraph:
        """Return the graph; nodes are numbered as they stand, and links lead one way."""
        (path,) = self.paths(root)
        content = json.loads(path.read_text(encoding="utf-8"))
        nodes, links = content["nodes"], content["links"]
        numbers = {node["id"]: place for place, node in enumerate(nodes)}
        edges = np.array([[numbers[link["source"]], numbers[link["target"]]] for link in links]).T
        weights = np.array([link["weight"] for link in links])
        pos = torch.tensor([[node["lon"], node["lat"]] for node in nodes], dtype=torch.float64)
        return self.graph(np.array([node["y"] for node in nodes]).T, edges, weights, pos=pos)


@dataclass(frozen=True, kw_only=True)
class EdgeListSource(AbstractSeriesSource):
    """One file: ``edges``, pairs of numbers, and ``FX``, a row of signals for each moment."""

    def read(self, root: Path) -> TemporalGraph:
        """Return the graph of the edges as they are."""
        (path,) = self.paths(root)
        content = json.loads(path.read_text(encoding="utf-8"))
        return self.graph(np.array(content["FX"]), np.array(content["edges"]).T, None)


@dataclass(frozen=True, kw_only=True)
class MobilitySource(FilesSource):
    """A table of a row for each region and a column for each day, and a file of movements for each of some days."""

    def read(self, root: Path) -> TemporalGraph:
        """Return the graph of the regions between which somebody moves, a day a step; edges are of their days."""
        cases, *days = self.paths(root)
        rows = _rows(cases)
        dates = [name for name in rows[0] if name[:4].isdigit()]
        names = [row.get("name") or row["id"] for row in rows]
        moved = [_movements(path) for path in days]
        there = {name for day in moved for each in day for name in each[:2]}
        kept = [place for place, name in enumerate(names) if name in there]
        numbers = {names[place]: number for number, place in enumerate(kept)}
        signals = np.array([[float(rows[place][date]) for place in kept] for date in dates], np.float32)
        first = np.datetime64(dates[0])
        steps = [int((np.datetime64(path.stem[-10:]) - first).astype(int)) for path in days]
        ends = [[numbers[one], numbers[other]] for day in moved for one, other, _ in day]
        times = [int(np.datetime64(date, "s").astype(np.int64)) for date in dates]
        return TemporalGraph(
            torch.from_numpy(signals),
            torch.tensor(ends).T.contiguous(),
            torch.tensor([people for day in moved for _, _, people in day]),
            edge_step=torch.repeat_interleave(torch.tensor(steps), torch.tensor([len(day) for day in moved])),
            times=torch.tensor(times),
        )


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of its columns."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _movements(path: Path) -> Sequence[tuple[str, str, float]]:
    """Return from where to where how many people moved on a day."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(one, other, float(people)) for one, other, people in csv.reader(file)]


def _edges_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is not 0 in a matrix as edges from rows to columns, and the values."""
    edges = np.stack(np.nonzero(matrix))
    return edges, matrix[tuple(edges)]
