"""One small study of each kind, for the laws that hold for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import ForecastSplit, GraphSet, RandomLinks, TemporalGraph, TimeSplit, card
from graphkit.data.disk.molecules import read_molecules
from graphkit.data.splits import Stratified
from graphkit.meta import ClassSplit, FewShotProtocol
from graphkit.training import nested_cross_validation, recipe, train
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.fewshot import fewshot, study_of_classes
from graphkit.training.fewshot.baseline_methods import Classifier, Prototypes
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.fewshot.meta_learners import MetaLearnt

EPOCHS = 3
METHODS = {
    "prototypes": Prototypes(),
    "maml": MetaLearnt(learner="maml", steps=EPOCHS, batch=2, inner_steps=1, rows="features-1", scale=3.0),
}
ON_ENCODERS = {"encoder-prototypes": Prototypes(rows="encoder")}
SMALL_ENCODERS = Encoders(fields={"epochs": 2, "dim": 4, "hidden": 8})
TASKS = FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=4)


def masks(items: int) -> dict[str, torch.Tensor]:
    """Return a third of the items to train on, to select by and to test on."""
    part = torch.arange(items) // 2 % 3
    return {name: part == number for number, name in enumerate(("train_mask", "val_mask", "test_mask"))}


def communities(nodes: int = 60, classes: int = 2, features: int = 6) -> Data:
    """Return communities of nodes with noisy features."""
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(nodes) % classes
    same = y[:, None] == y
    joined = (torch.rand(nodes, nodes, generator=drawn) < torch.where(same, 0.2, 0.02)).triu(1)
    x = torch.rand(nodes, features, generator=drawn) + torch.nn.functional.one_hot(y, features)
    return Data(x=x, edge_index=(joined | joined.T).nonzero().T.contiguous(), y=y, **masks(nodes))


def linked() -> Data:
    """Return communities with a split of their links."""
    data = communities()
    return RandomLinks()(data, torch.Generator().manual_seed(0)).apply(data)


def signals(nodes: int = 8) -> Data:
    """Return signals of two shapes on a ring of nodes."""
    y = torch.arange(36) % 2
    shapes = torch.stack([torch.linspace(0, 1, nodes), torch.linspace(1, 0, nodes)])[y]
    noise = torch.rand(36, nodes, generator=torch.Generator().manual_seed(0))
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    ends = torch.cat([ring, ring.flip(0)], dim=1)
    return Data(signals=(shapes + noise)[..., None], edge_index=ends, y=y, num_nodes=nodes, **masks(36))


def waves(steps: int = 90, nodes: int = 5, horizons: tuple[int, ...] = (1, 3)) -> TemporalGraph:
    """Return a series of waves that run along a line of nodes, with gaps."""
    drawn = torch.Generator().manual_seed(0)
    phase = torch.arange(steps)[:, None] / 4 - torch.arange(nodes)
    values = phase.sin() + 0.1 * torch.randn(steps, nodes, generator=drawn)
    values[torch.rand(values.shape, generator=drawn) < 0.02] = torch.nan
    steps_ahead = [torch.stack([torch.arange(nodes - far), torch.arange(far, nodes)]) for far in (1, 2)]
    line = torch.cat(steps_ahead, 1)
    times = 1_600_000_000 + 3600 * torch.arange(steps)
    graph = TemporalGraph(values, line, torch.linspace(0.5, 2.0, line.size(1)), times=times)
    return ForecastSplit(TimeSplit.of(steps, 0.6, 0.2), length=6, horizons=horizons).apply(graph)


def rings_and_stars(classes: int = 2) -> GraphSet:
    """Return graphs of five nodes, told apart by their edges and a little by their features."""
    ring = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
    star = torch.stack([torch.zeros(4, dtype=torch.long), torch.arange(1, 5)])
    both = [torch.cat([half, half.flip(0)], dim=1) for half in (ring, star)]
    y = torch.arange(40) % 2
    edges = [both[kind] for kind in y.tolist()]
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) + y.repeat_interleave(5)[:, None] / 2
    data = Data(x=x, edge_index=torch.cat(edges, dim=1), y=torch.arange(40) % classes)
    made = GraphSet(data, nodes=torch.full((40,), 5), edges=torch.tensor([each.size(1) for each in edges]))
    return made.with_split(Stratified()(made.items, torch.Generator().manual_seed(0)))


def molecules(classes: int = 2) -> GraphSet:
    """Return chains and rings of carbon with an oxygen here and there, told apart by their rings; rdkit makes them."""
    chains = ["C" * many + end for many in range(1, 11) for end in ("C", "O")]
    rings = [f"C1{'C' * many}1{end}" for many in range(3, 13) for end in ("", "O")]
    smiles = [each for pair in zip(chains, rings, strict=True) for each in pair]
    data, nodes, edges, _ = read_molecules(smiles)
    data.y = torch.arange(40) % classes
    known = card("ogbg-molbace")
    own = dataclasses.replace(known, name="own", metric="accuracy", target_kind="", classes=classes, reader={})
    made = GraphSet(data, nodes=torch.from_numpy(nodes), edges=torch.from_numpy(edges), card=own)
    return made.with_split(Stratified()(made.items, torch.Generator().manual_seed(0)))


def graphs_for(name: str, classes: int = 2) -> GraphSet:
    """Return graphs that a recipe of this name can be trained on; the test is skipped without what it needs."""
    if not recipe(name, items="graphs").model.molecules:
        return rings_and_stars(classes)
    pytest.importorskip("rdkit")
    return molecules(classes)


def _trained(data: Callable[[], Any], name: str, items: str, **fields: Any) -> Callable[..., Any]:
    def study(folder: Path | None = None, *, reporter: Any = None, resume: bool = False) -> Any:
        chosen = recipe(name, {"epochs": EPOCHS, "hidden": 8, **fields}, items=items)
        options: dict[str, Any] = {"run_dir": folder, "resume": resume, "reporter": reporter}
        return train(data(), chosen, seeds=[0, 1], device="cpu", **options)

    return study


def embedding_fields(loss: str, fields: dict[str, Any], level: str = "node") -> dict[str, Any]:
    """Return those of some fields that decide something in the recipe of a loss."""
    made = embedding_recipe(loss, level=level)
    return {
        name: value for name, value in fields.items() if name in made.options() and name not in made.unused_fields()
    }


def _embedded(data: Callable[[], Any], loss: str, level: str = "node", **fields: Any) -> Callable[..., Any]:
    def study(folder: Path | None = None, *, reporter: Any = None, resume: bool = False) -> Any:
        chosen = embedding_recipe(loss, {"epochs": EPOCHS, "dim": 4, "hidden": 8, **fields}, level=level)
        options: dict[str, Any] = {"run_dir": folder, "resume": resume, "reporter": reporter}
        return embed(data(), chosen, seeds=[0, 1], probes=False, device="cpu", **options)

    return study


def _nested(folder: Path | None = None, *, reporter: Any = None, resume: bool = False) -> Any:
    options: dict[str, Any] = {"run_dir": folder, "resume": resume, "reporter": reporter}
    given = {"epochs": 2, "hidden": 4, "layers": 2, "readout": "sum"}
    return nested_cross_validation(
        rings_and_stars(), recipe("gin", items="graphs"), given=given, folds=2, device="cpu", **options
    )


def _few_shot(methods: dict[str, Any], splits: int = 1, **sight: Any) -> Callable[..., Any]:
    def made(folder: Path | None = None, *, reporter: Any = None, resume: bool = False) -> Any:
        pairs = [((0, 1), (2, 3), (4, 5)), ((2, 3), (4, 5), (0, 1))][:splits]
        study = study_of_classes(communities(90, 6, 12), [ClassSplit(*pair) for pair in pairs], TASKS, **sight)
        options: dict[str, Any] = {"run_dir": folder, "resume": resume, "reporter": reporter}
        return fewshot(study, TASKS, list(methods), methods=methods, **options)

    return made


STUDIES: dict[str, Callable[..., Any]] = {
    "nodes": _trained(communities, "gcn", "nodes"),
    "nodes in batches": _trained(communities, "sage", "nodes", fan_out="3,2", batch=8),
    "signals": _trained(signals, "mlp", "signals"),
    "graphs": _trained(rings_and_stars, "gin", "graphs", layers=2, batch=8),
    "links": _trained(linked, "gcn-link", "links"),
    "links in batches": _trained(linked, "sage-link", "links", fan_out="3,2", batch=20),
    "moments": _trained(waves, "stgcn", "moments", blocks=1, kernel=2, length=6),
    "nested": _nested,
    "embed": _embedded(communities, "prototype"),
    "embed graphs": _embedded(rings_and_stars, "prototype", "graph"),
    "embed without labels": _embedded(communities, "ccassg"),
    "fewshot": _few_shot(METHODS),
    "fewshot on encoders": _few_shot(ON_ENCODERS, 2, inductive=True, encoders=SMALL_ENCODERS),
    "fewshot of a classifier": _few_shot({"fine-tuning": Classifier(epochs=EPOCHS, inner_steps=2)}),
}
"""Studies by name; each takes ``(folder, *, reporter, resume)``."""
