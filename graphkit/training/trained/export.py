"""Export: a trained model as a file of ``torch.export`` or ONNX, for machines without graphkit.

The file takes graphs of any size. It is checked on a second graph of another size, as read back from the disk, before
it is put in its place.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import graphkit
from graphkit._checks import extra, instance, member
from graphkit._torch_internals import assume
from graphkit.data import GraphSet
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.molecules import ATOM_CATEGORIES, BOND_CATEGORIES
from graphkit.training.classification.tasks import scale_rows
from graphkit.training.engine.interrupts import TrainingError
from graphkit.training.engine.store import require_writable
from graphkit.training.trained.classifier import TrainedModel

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ENDINGS = {"torch": ".pt2", "onnx": ".onnx"}
"""Formats, and how their files end."""

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""How far outputs of the file may be from the model's, where the largest is 1 or less; else in proportion to it."""

METADATA = "graphkit"
"""What the description is called in an ONNX file's metadata; in a torch file it is ``graphkit.json``."""

SIZES = ((24, 3), (37, 5))
"""Nodes, and graphs of a set, of what is traced and of what the file is checked on."""

MEANINGS = {
    "x": "features as the data set has them; they are scaled inside",
    "edge_index": "source and target of each edge, numbers of nodes from 0; undirected edges in both directions",
    "edge_weight": "weight of each edge; 1 where the graph has no weights",
    "edge_attr": "features of each edge; of molecules the categories of each bond, as OGB numbers them",
    "batch": "graph of each node, from 0, ascending; the last graph must have a node",
}


class ExportError(TrainingError):
    """A model that was exported to something else than it is."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was exported.

    Args:
        path: the file.
        format: "torch" or "onnx".
        description: what the file says of itself: inputs and output with their shapes, classes, how features are
            scaled, and what a temperature divides the logits by.
        difference: the largest one between outputs of the file and of the model, on a graph that was not traced.
    """

    path: Path
    format: str
    description: Mapping[str, Any]
    difference: float


class InputForward(nn.Module):
    """A trained model, as a function of the tensors that its exported file takes.

    Args:
        model: the trained model.
        module: its PyTorch module.
    """

    def __init__(self, model: TrainedModel, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.items = model.recipe.model.items
        self.total = model.recipe.row_normalise if self.items == "nodes" else False
        self.target = model.objective.target

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of all items, or numbers in the unit of the labels."""
        found = self._outputs(x, edge_index, edge_weight, edge_attr, batch)
        return self.target.values(found).to(found.dtype)

    def _outputs(
        self,
        x: Tensor,
        edge_index: Tensor | None,
        edge_weight: Tensor | None,
        edge_attr: Tensor | None,
        batch: Tensor | None,
    ) -> Tensor:
        """Return what the module makes of all items."""
        if batch is not None:
            graphs = batch.max().item() + 1
            assume(graphs >= 1)  # its size is that of the result
            return self.module(GraphBatch(x, edge_index, edge_attr, batch, graphs))  # type: ignore[arg-type]
        graph = [edge_index, edge_weight, edge_attr]
        while graph and graph[-1] is None:
            graph.pop()
        return self.module(scale_rows(x, self.total), *graph)


def export_model(model: TrainedModel, path: Path | str, *, format: str = "torch") -> ExportReport:
    """Write a trained model as a file that needs no graphkit, and return what was written.

    A torch file is loaded with ``torch.export.load(path).module()`` and called with tensors by name; an ONNX file runs
    in ONNX Runtime. Both return the logits of all items. ``description`` says what the tensors are.

    Args:
        model: of ``graphkit.training.train``, or of a run.
        path: where the file goes; what lies there is replaced.
        format: "torch" or "onnx" (``graphkit[export]``).

    Raises:
        ValueError: for another format, a model that takes more than tensors of a graph, and without the packages.
        ExportError: where the file's outputs are not the model's; nothing is written then.
    """
    instance("model", model, TrainedModel, "a trained model, such as `load_run(folder).model`")
    path = Path(instance("path", path, (str, Path), "a path"))
    require_writable("path", path)
    require_exportable(model, format)
    inputs, shapes = _draw_inputs(model, *SIZES[0], seed=0)
    beside = path.with_name(f".{path.name}.new")
    try:
        with _silence(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            forward = InputForward(model, _module(model)).eval()
            forward(**inputs)  # what follows from parameters, such as the degree of a Cayley filter, is looked at here
            program = torch.export.export(forward, (), kwargs=inputs, dynamic_shapes=shapes, strict=False)
            description = _describe(model, inputs, shapes)
            _write(program, beside, format, json.dumps(description), shapes)
            others, _ = _draw_inputs(model, *SIZES[1], seed=1)
            found, expected = _outputs(beside, format, others), _model_outputs(model, others)
        difference = float((found - expected).abs().max())
        allowed = TOLERANCE[expected.dtype] * max(1.0, float(expected.abs().max()))
        if found.shape != expected.shape or not difference <= allowed:
            raise ExportError(
                f"the exported file differs from the model {model.recipe.name!r} by {difference:.2g} on a second graph "
                f"(at most {allowed:.2g}); nothing was written."
            )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return ExportReport(path=path, format=format, description=description, difference=difference)


def require_exportable(model: TrainedModel, format: str) -> None:
    """Refuse what cannot be exported, before anything is.

    Raises:
        ValueError: saying why.
    """
    member("format", format, ENDINGS)
    if outside := model.recipe.model.made_outside:
        raise ValueError(
            f"the model {model.recipe.name!r} cannot be exported: it takes {outside}, made outside of it; `graphkit "
            "predict` makes that. A model that takes the edges themselves can, such as 'gcn' or 'cheb'."
        )
    if does := model.recipe.model.untraced:
        raise ValueError(
            f"the model {model.recipe.name!r} cannot be exported: {does}, which no file of tensor operations does; "
            "`graphkit predict` asks it."
        )
    if format == "onnx":
        extra("--format onnx", "export", "onnx", "onnxscript", "onnxruntime")


def input_names(model: TrainedModel) -> tuple[str, ...]:
    """Return the tensors that an exported model takes."""
    architecture = model.recipe.model
    features = ("edge_attr",) if model.molecules or model.edge_channels else ()
    if architecture.items == "graphs":
        return ("x", "edge_index", *features, "batch")
    edges = {"used": ("edge_index", "edge_weight"), "refused": ("edge_index",), "ignored": ()}
    return ("x", *edges[architecture.edge_weights], *features)


def _module(model: TrainedModel) -> nn.Module:
    """Return the module in evaluation mode, on the CPU."""
    if model.recipe.model.items != "signals":
        return model.module()
    nodes = model.weights["first.weight"].size(1) // model.channels
    module = model.recipe.module(model.channels, model.outputs, (nodes,)).to(model.weights["first.weight"].dtype)
    module.load_state_dict(dict(model.weights))
    return module.eval()


def _draw_inputs(
    model: TrainedModel, nodes: int, graphs: int, *, seed: int
) -> tuple[dict[str, Tensor], dict[str, dict[int, Any]]]:
    """Return a drawn graph, or set of graphs, as an exported model takes it, and which axes have any size."""
    drawn = torch.Generator().manual_seed(seed)
    dtype = next(each.dtype for each in model.weights.values() if each.is_floating_point())
    # A path through all nodes but the last one, which stays alone, and as many edges more, in both directions.
    start = torch.arange(nodes - 2)
    others = torch.randint(nodes - 1, (2, nodes), generator=drawn)
    ends = torch.cat([torch.stack([start, start + 1]), others[:, others[0] != others[1]]], dim=1).sort(dim=0).values
    ends = ends.unique(dim=1)
    weight = 0.5 + torch.rand(ends.size(1), generator=drawn, dtype=dtype)
    batch = (torch.arange(nodes) * graphs) // nodes
    if model.recipe.model.items == "graphs":
        ends = ends[:, batch[ends[0]] == batch[ends[1]]]
    bonds = torch.randn(ends.size(1), model.edge_channels, generator=drawn, dtype=dtype)
    if model.molecules:
        bonds = torch.stack([torch.randint(count, ends.shape[1:], generator=drawn) for count in BOND_CATEGORIES], dim=1)
    x = torch.randn(nodes, model.channels, generator=drawn, dtype=dtype)
    if model.molecules:
        x = torch.stack([torch.randint(count, (nodes,), generator=drawn) for count in ATOM_CATEGORIES], dim=1)
    if model.recipe.model.items == "signals":
        places = model.weights["first.weight"].size(1) // model.channels
        x = torch.randn(nodes, places, model.channels, generator=drawn, dtype=dtype)
    known = {
        "x": (x, {0: torch.export.Dim("signals" if x.dim() == 3 else "nodes", min=2)}),
        "edge_index": (torch.cat([ends, ends.flip(0)], dim=1), {1: _EDGES}),
        "edge_weight": (weight.repeat(2), {0: _EDGES}),
        "edge_attr": (bonds.repeat(2, 1), {0: _EDGES}),
        "batch": (batch, {0: torch.export.Dim("nodes", min=2)}),
    }
    names = input_names(model)
    return {name: known[name][0] for name in names}, {name: known[name][1] for name in names}


_EDGES = torch.export.Dim("edges", min=2)


def _model_outputs(model: TrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return what the model itself says, by the way it predicts."""
    x, edges = inputs["x"], inputs.get("edge_index")
    if model.recipe.model.items == "signals":
        return InputForward(model, _module(model))(x)
    edges = torch.empty(2, 0, dtype=torch.long) if edges is None else edges
    data = Data(x=x, edge_index=edges, edge_weight=inputs.get("edge_weight"), edge_attr=inputs.get("edge_attr"))
    precision = "64-true" if model.precision == "64-true" else "32-true"

    def ask(whole: Data | GraphSet) -> Tensor:
        logits = model.outputs_for(whole, device="cpu", precision=precision)
        return model.objective.target.values(logits).to(logits.dtype)

    if "batch" not in inputs:
        return ask(data)
    batch = inputs["batch"]
    graphs = int(batch.max()) + 1
    order = batch[edges[0]].argsort(stable=True)
    data.edge_index = edges[:, order] - (batch.bincount().cumsum(0) - batch.bincount())[batch[edges[0, order]]]
    if "edge_attr" in inputs:
        data.edge_attr = inputs["edge_attr"][order]
    data.y = torch.zeros(graphs, dtype=torch.long)
    many = GraphSet(data, nodes=batch.bincount(), edges=batch[edges[0]].bincount(minlength=graphs))
    return ask(many)


def _describe(
    model: TrainedModel, inputs: Mapping[str, Tensor], shapes: Mapping[str, Mapping[int, Any]]
) -> dict[str, Any]:
    """Return what a user of the file has to know, as plain values."""
    items, total = model.recipe.model.items, model.recipe.row_normalise
    return {
        "graphkit": graphkit.__version__,
        "model": model.recipe.name,
        "trained_on": model.dataset,
        "inputs": {
            name: {
                "shape": [
                    shapes[name][axis].__name__ if axis in shapes[name] else size
                    for axis, size in enumerate(given.shape)
                ],
                "dtype": str(given.dtype).removeprefix("torch."),
                "meaning": MEANINGS[name],
            }
            for name, given in inputs.items()
        },
        "output": {"shape": [items, model.outputs], "meaning": _meaning(model)},
        "classes" if model.objective.target.kind == "classes" else "columns": list(model.column_names),
        "features": list(model.names.columns),
        "row_sum": float(total) if items == "nodes" and total else None,
        "temperature": model.temperature,
    }


def _meaning(model: TrainedModel) -> str:
    """Say what the output is."""
    if model.objective.target.kind == "numbers":
        return "numbers in the unit of the labels"
    squashed = "softmax over the classes" if model.objective.target.kind == "classes" else "logistic function of each"
    return f"logits; probabilities are the {squashed} of logits / temperature"


def _write(
    program: ExportedProgram, path: Path, format: str, description: str, shapes: Mapping[str, Mapping[int, Any]]
) -> None:
    """Write a file of a format; in ONNX's, axes of any size have the names in ``shapes``."""
    if format == "torch":
        with path.open("wb") as file:
            torch.export.save(program, file, extra_files={f"{METADATA}.json": description})
        return
    exported = torch.onnx.export(program, dynamo=True, verbose=False, dynamic_shapes=dict(shapes))
    assert exported is not None
    exported.model.metadata_props[METADATA] = description
    exported.save(str(path))


def _outputs(path: Path, format: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return what a file says of some inputs, read anew."""
    if format == "torch":
        with path.open("rb") as file:
            found: Tensor = torch.export.load(file).module()(**inputs)
        return found
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    known = {each.name for each in session.get_inputs()}  # one that decides nothing may be gone
    return torch.from_numpy(
        session.run(None, {name: each.numpy() for name, each in inputs.items() if name in known})[0]
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep in a block what the exporters say of their own code to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
