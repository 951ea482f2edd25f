"""How long is an epoch of the two-layer GCN on Cora, with dropout, at equal accuracy?

The peer is PyG's examples/gcn.py as published: dense row-normalised features, hidden 16, dropout 0.5, Adam with weight
decay on the first layer, and in every epoch a training step and one evaluation of all three accuracies; and the same
with `cached=True`, which spares PyG the normalisation of the graph. "import changed alone" is that script with
graphkit's layer in the place of PyG's and nothing else: most of its time goes to the dropout of the dense features.
"graphkit's layers, sparse features" differs from it in the features only, and "PyG's layers, CSR features" gives them
to PyG's layers, as a CSR matrix of which only the values are dropped. `graphkit.training` is the loop behind `graphkit
train`: it evaluates loss and accuracy on the validation nodes and never looks at the test nodes while it trains.
Accuracies are those of the test nodes at the epoch of best validation accuracy. The first layer alone, forward and
backward, stands above. Last come the ratios of CPU seconds of two scripts each, with what they differ in.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import _measure as measure
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from lightning_fabric import Fabric
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from graphkit import nn as ours
from graphkit.data import DataError, load
from graphkit.operators import sparse_features
from graphkit.training import ClassificationTrainer, Metric, metric, recipe, train
from graphkit.training.classification.tasks import prepare
from graphkit.training.engine.records import dataset_facts

SIDES = {
    "loop": "graphkit.training",
    "script": "graphkit's layers, sparse features",
    "import": "import changed alone",
    "sparse": "PyG's layers, CSR features",
    "cached": "PyG's script, cached=True",
    "published": "PyG's script",
}
SAME = {"cached": "published"}
"""A side whose accuracy is another's, to the bit."""

UNTRAINED = ("import", "sparse")
"""Sides that are only timed: the arithmetic of one that is trained, in another order."""

APART = {
    "import changed alone": ("published", "import"),
    "sparse features on both sides": ("sparse", "script"),
    "import and sparse features": ("published", "script"),
    "graphkit.training": ("published", "loop"),
}
"""What two sides differ in, the longer one first."""


class Dropout(torch.nn.Module):
    """Dropout of half of a tensor, of a CSR matrix of its stored values, as its users write it."""

    def forward(self, x: Any) -> Any:
        """Return what is left."""
        if not isinstance(x, Tensor) or x.layout != torch.sparse_csr:
            return F.dropout(x, p=0.5, training=self.training)
        left = F.dropout(x.values(), p=0.5, training=self.training)
        return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), left, x.shape, check_invariants=False)


class Script(torch.nn.Module):
    """PyG's examples/gcn.py, with its layer and its features left open."""

    def __init__(self, conv: Callable[[int, int], torch.nn.Module], data: Data, x: Any) -> None:
        super().__init__()
        self.data, self.x, self.dropped = data, x, Dropout()
        self.conv1, self.conv2 = conv(data.num_features, 16), conv(16, int(data.y.max()) + 1)
        decayed, free = self.conv1.parameters(), self.conv2.parameters()
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": free, "weight_decay": 0}]
        self.optimizer = torch.optim.Adam(groups, lr=0.01)

    def forward(self) -> Tensor:
        """Return the logits of all nodes."""
        x = self.conv1(self.dropped(self.x), self.data.edge_index).relu()
        return self.conv2(self.dropped(x), self.data.edge_index)

    def step(self) -> float:
        """Take one optimiser step and return the loss."""
        self.train()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self()[self.data.train_mask], self.data.y[self.data.train_mask])
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def accuracies(self) -> list[float]:
        """Return the accuracies on the training, validation and test nodes."""
        self.eval()
        found, data = self().argmax(dim=-1), self.data
        masks = (data.train_mask, data.val_mask, data.test_mask)
        return [int((found[mask] == data.y[mask]).sum()) / int(mask.sum()) for mask in masks]

    def epoch(self) -> list[float]:
        """Train and evaluate once, as one epoch of the published script does."""
        self.step()
        return self.accuracies()


def epoch_of(side: str, data: Data) -> Callable[[], Any]:
    """Return a function that trains one side's fresh model for one more epoch."""
    if side == "loop":
        chosen = recipe("gcn", {"epochs": 10**9})
        task, _ = prepare(data, chosen, torch.device("cpu"), torch.float32)
        module = chosen.module(data.num_features, task.outputs)
        trainer = ClassificationTrainer(module, task, chosen, Fabric(accelerator="cpu", devices=1))
        return functools.partial(next, trainer.epochs())
    normalised = NormalizeFeatures()(data)
    x: Any = normalised.x
    if side == "script":
        x = sparse_features(x)
    if side == "sparse":
        x = x.to_sparse_csr()
    conv = ours.GCNConv if side in ("script", "import") else functools.partial(pyg.GCNConv, cached=side == "cached")
    return Script(conv, normalised, x).epoch


def first_layer_of(side: str, data: Data) -> Callable[[], Any]:
    """Return a function that runs one side's bare first layer forward and backward, without dropout."""
    torch.manual_seed(0)
    x = NormalizeFeatures()(data).x
    conv = (ours if side == "graphkit" else pyg).GCNConv(data.num_features, 16)
    x, upstream = sparse_features(x) if side == "graphkit" else x, torch.randn(data.num_nodes, 16)

    def run() -> None:
        conv.zero_grad()
        conv(x, data.edge_index).backward(upstream)

    return run


def accuracy_of(side: str, data: Data, seed: int, epochs: int) -> float:
    """Return the test accuracy at the epoch of best validation accuracy."""
    if side == "loop":
        return train(data, recipe("gcn", {"epochs": epochs}), seeds=[seed], device="cpu").record.metric.mean
    torch.manual_seed(seed)
    epoch = epoch_of(side, data)
    return max((epoch() for _ in range(epochs)), key=lambda accuracies: accuracies[1])[2]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = measure.parser(__doc__)
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--seeds", type=int, default=3, help="how many models are trained on each side, for accuracy")
    parser.add_argument("--epochs", type=int, default=200, help="of these models")
    options = parser.parse_args(arguments)
    threads = measure.set_threads(options.threads)
    measure.without_beta_warnings()
    try:
        data = load(options.dataset)
    except (DataError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from None
    if options.memory_of:
        epoch_of("loop", load("karate"))()  # kernels are compiled
        print(measure.memory_added(epoch_of(options.memory_of, data)))
        return 0
    seeds, epochs, rounds = range(options.seeds), options.epochs, options.rounds or 20
    if options.quick:
        seeds, epochs, rounds = range(2), 3, options.rounds or 2
    times = measure.interleaved({side: epoch_of(side, data) for side in SIDES}, rounds=rounds)
    layers = measure.interleaved({side: first_layer_of(side, data) for side in ("graphkit", "PyG")}, rounds=rounds)
    rows = [measure.row("first layer", side, layers[side], layers["graphkit"], None) for side in layers]
    accuracies: dict[str, Metric] = {}
    for side, name in SIDES.items():
        found: dict[str, Any] = {}
        trained = SAME.get(side, side)
        if side not in UNTRAINED:
            if trained not in accuracies:
                accuracies[trained] = metric("accuracy", [accuracy_of(trained, data, seed, epochs) for seed in seeds])
            accuracy = accuracies[trained]
            shown = f"{100 * accuracy.mean:.1f} ± {100 * (accuracy.std or 0):.1f}"
            found = {"accuracy": dataclasses.asdict(accuracy), "test accuracy, %": shown}
        memory = None
        if not options.no_memory:
            memory = measure.memory_in_subprocess(__file__, "--dataset", options.dataset, "--memory-of", side)
        rows.append(measure.row("epoch", name, times[side], times["loop"], memory, **found))
    note = f"{options.dataset}, {threads}, {rounds} rounds in turn; ratio: this side's seconds over graphkit's; "
    measure.show(rows, f"{note}accuracy over {len(seeds)} seeds of {epochs} epochs", **{"test accuracy, %": "accuracy"})
    apart = [measure.apart(what, times[slow], times[fast]) for what, (slow, fast) in APART.items()]
    measure.show_apart(apart)
    facts, config = dataclasses.asdict(dataset_facts(data)), recipe("gcn", {"epochs": epochs}).as_dict()
    measure.write(
        options.json,
        dataset=facts,
        rows=rows,
        config=config,
        seeds=list(seeds),
        protocol=data.protocol,
        apart=apart,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
