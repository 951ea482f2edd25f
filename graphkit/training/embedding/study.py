"""Embedding one data set with several seeds under one protocol, beside what it must beat, to one record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.graphset import GraphSet
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import fabric_on
from graphkit.training.embedding.baselines import classifier_logits
from graphkit.training.embedding.fit import EmbeddingEpoch, EmbeddingFit
from graphkit.training.embedding.graphs import graph_encoder, graph_setting
from graphkit.training.embedding.results import EmbeddingOutcome, EmbeddingRecord, EmbeddingResult
from graphkit.training.embedding.saved import SavedEmbeddings
from graphkit.training.embedding.settings import Setting, node_setting
from graphkit.training.fit import TrainingError
from graphkit.training.interrupts import Interrupted, StopRequest, stop_request
from graphkit.training.records import Record, environment, metric
from graphkit.training.reporters import Silence
from graphkit.training.study import require_seeds

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.training.embedding.recipes import EmbeddingRecipe
    from graphkit.training.recipes import Recipe

RAW, RANDOM = "raw features", "random encoder"
"""The baselines printed beside every figure."""


def embed(
    data: Data | GraphSet,
    recipe: EmbeddingRecipe,
    *,
    seeds: Sequence[int] = (0,),
    beside: Sequence[Recipe] = (),
    inductive: bool = False,
    disjoint: int | Sequence[int] = 0,
    without_neighbours: bool = False,
    probes: bool = True,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: Path | str | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Any = None,
    command: str = "graphkit.training.embedding.embed",
) -> EmbeddingOutcome:
    """Return the record of embedding the nodes of ``data``, or the graphs of a set, one run for each seed.

    A seed decides weights, dropout and batches and nothing else. Test labels are first touched when a seed's epoch has
    been selected. Raw features and the encoder as it was drawn are examined beside the trained one.

    Args:
        data: a graph with ``x``, ``edge_index``, ``y`` and boolean ``train_mask``, ``val_mask``, ``test_mask``; or a
            set of graphs with a split.
        recipe: objective, encoder, selection rule.
        seeds: at least one, all different.
        beside: classifiers trained with cross-entropy on the same labels, whose logits are examined too.
        inductive: training sees neither the test nodes nor their edges.
        disjoint: so many classes, or these, are kept from training, and only they are examined.
        without_neighbours: nodes joined by an edge do not answer each other.
        probes: whether to fit the linear probe and k-means, the slowest part on large graphs.
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: a Lightning Fabric precision.
        checkpoint: folder for the run's state, weights and embeddings; ``None`` keeps nothing.
        resume: continue from the state in ``checkpoint``; on a CPU with as many threads, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        reporter: hears of progress.
        command: what the record names as its origin.

    Raises:
        ValueError: for data, seeds or a checkpoint that cannot be used.
        TrainingError: if a loss is not finite; the last good state stays in ``checkpoint``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``checkpoint``.
    """
    seeds = require_seeds(seeds)
    if resume and checkpoint is None:
        raise ValueError("`resume` needs `checkpoint`, the folder to continue from.")
    fabric = fabric_on(device, precision)
    dtype = torch.float64 if precision == "64-true" else torch.float32
    if isinstance(data, GraphSet):
        if beside or disjoint or without_neighbours:
            raise ValueError("`beside`, `disjoint` and `without_neighbours` are for nodes; `data` is a set of graphs.")
        setting = graph_setting(data, recipe, fabric.device, dtype)
    else:
        setting = node_setting(
            data,
            recipe,
            fabric.device,
            dtype,
            inductive=inductive,
            disjoint=disjoint,
            without_neighbours=without_neighbours,
        )

    def others(seed: int) -> dict[str, Tensor]:
        return {f"{each.name}, cross-entropy": classifier_logits(data, each, seed, fabric) for each in beside}

    config = {**recipe.as_dict(), "beside": [each.name for each in beside], "probes": probes}
    kept = None
    if checkpoint is not None:
        identity = {**config, "protocol": setting.protocol.fingerprint, "precision": precision}
        kept = Checkpoint(Path(checkpoint), identity, every=checkpoint_every)
    run = _Run(setting, recipe, fabric, kept, reporter or Silence(), others, probes)
    return run.outcome(seeds, command, config, precision, resume)


class _Run:
    """The seeds of one call, those finished and the one under way."""

    def __init__(
        self,
        setting: Setting,
        recipe: EmbeddingRecipe,
        fabric: Fabric,
        kept: Checkpoint | None,
        reporter: Any,
        others: Callable[[int], dict[str, Tensor]],
        probes: bool,
    ) -> None:
        self.setting, self.recipe, self.fabric = setting, recipe, fabric
        self.kept, self.reporter, self.others, self.probes = kept, reporter, others, probes
        self.finished: dict[int, EmbeddingResult] = {}
        self.embeddings: dict[int, Tensor] = {}
        self.begun: dict[str, Any] | None = None
        self.raw: dict[str, float] = {}

    def outcome(
        self, seeds: tuple[int, ...], command: str, config: dict[str, Any], precision: str, resume: bool
    ) -> EmbeddingOutcome:
        """Train what is not finished, and return everything."""
        aside = None
        if resume and self.kept is not None:
            state = self.kept.read()
            self.finished = {seed: EmbeddingResult.from_dict(fields) for seed, fields in state["finished"].items()}
            self.begun = state["running"]
        elif self.kept is not None:
            aside = self.kept.put_aside()
        results = tuple(self.seed(seed) for seed in seeds)
        what = list(results[0].figures)
        figures = {
            name: {
                figure: metric(figure, [result.figures[name][figure] for result in results])
                for figure in results[0].figures[name]
            }
            for name in what
        }
        record = Record(
            command=command,
            dataset=self.setting.facts,
            protocol=self.setting.protocol,
            metric=metric("map@r", [result.figures[self.recipe.name]["map@r (test)"] for result in results]),
            validation=metric("map@r", [result.validation for result in results]),
            selection=self.recipe.selection_rule,
            config=config,
            seeds=seeds,
            epochs=tuple({"selected": result.selected, "run": len(result.history)} for result in results),
            seconds=sum(result.seconds for result in results),
            environment=environment(str(self.fabric.device), precision),
        )
        return EmbeddingOutcome(
            record=EmbeddingRecord(record=record, level=self.setting.level, figures=figures),
            seeds=results,
            embeddings=tuple(self.embeddings[seed] for seed in seeds),
            raw=self.setting.raw,
            y=self.setting.examination.y,
            test=self.setting.examination.test,
            faults=() if self.kept is None else tuple(self.kept.faults.values()),
            put_aside=aside,
        )

    def seed(self, seed: int) -> EmbeddingResult:
        """Return the result of one seed, trained now unless it is finished already."""
        if seed in self.finished and self._restored(seed):
            self.reporter.seed(self.finished[seed])
            return self.finished[seed]
        device, task = self.fabric.device, self.setting.material.task
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            graphs = self.setting.level == "graph"
            module = (
                graph_encoder(self.recipe, task.channels) if graphs else self.recipe.module(task.channels, task.graph)
            )
            fit = EmbeddingFit(module, self.setting.material, self.recipe, self.fabric)
            with torch.no_grad():
                drawn = self.setting.whole.embed(fit.model.eval())
            before = 0.0
            if self.begun is not None and self.begun["seed"] == seed:
                fit.load_state_dict(self.begun["fit"])
                before = self.begun["seconds"]
            self.begun = None
            seconds = self._train(seed, fit, before)
        result = self._result(seed, fit, drawn, seconds)
        self.finished[seed] = result
        self._write(None)
        self.reporter.seed(result)
        return result

    def _train(self, seed: int, fit: EmbeddingFit, before: float) -> float:
        """Run the epochs and return the seconds they took, those before an interruption included."""
        start = time.perf_counter() - before
        if self.kept is None:
            for epoch in fit.epochs():
                self.reporter.epoch(seed, epoch, fit.best or epoch)
            return time.perf_counter() - start
        kept = self.kept

        def write() -> None:
            self._write({"seed": seed, "seconds": time.perf_counter() - start, "fit": fit.state_dict()})

        write()
        with stop_request() as stop:
            try:
                for epoch in fit.epochs():
                    self._tell(seed, epoch, fit, stop, kept, write)
                    if kept.due:
                        write()
            except TrainingError as error:
                where = kept.write_weights(seed, fit.best_weights) if fit.best_weights else None
                left = kept.faults.get(where) or f"Weights kept: {where}" if where else "No weights are kept."
                raise TrainingError(f"seed {seed}: {error} {left}") from None
        return time.perf_counter() - start

    def _tell(
        self,
        seed: int,
        epoch: EmbeddingEpoch,
        fit: EmbeddingFit,
        stop: StopRequest,
        kept: Checkpoint,
        write: Callable[[], None],
    ) -> None:
        """Report an epoch; if we are asked to stop, write the state and do: only here is it whole."""
        try:
            self.reporter.epoch(seed, epoch, fit.best or epoch)
            if stop:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            write()
            left = kept.faults.get(kept.path) or f"resume from {str(kept.path)!r}."
            raise Interrupted(f"stopped after epoch {epoch.number} of seed {seed}; {left}") from None

    def _result(self, seed: int, fit: EmbeddingFit, drawn: Tensor, seconds: float) -> EmbeddingResult:
        """Examine the selected embedding and what stands beside it: the first look at test labels."""
        if fit.best is None:
            raise TrainingError(f"seed {seed}: no epoch was run.")
        z = fit.embeddings(self.setting.whole).float().cpu()
        examined = self.setting.examination
        if not self.raw:
            self.raw = examined.figures(self.setting.raw, probes=self.probes)
        figures = {RAW: self.raw, RANDOM: examined.figures(drawn.float(), probes=self.probes)}
        for name, other in self.others(seed).items():
            figures[name] = examined.figures(other.float(), probes=self.probes)
        figures[self.recipe.name] = examined.figures(z, probes=self.probes)
        self.embeddings[seed] = z
        if self.kept is not None:
            self.kept.write_weights(seed, fit.best_weights)
            self.kept.write_content(self._path(seed), self._saved(seed, z).to_bytes())
        return EmbeddingResult(
            seed=seed,
            validation=fit.best.validation_map,
            figures=figures,
            selected=fit.best.number,
            history=tuple(fit.history),
            seconds=seconds,
        )

    def _saved(self, seed: int, z: Tensor) -> SavedEmbeddings:
        """Return the embeddings with what made them."""
        about = {
            "dataset": self.setting.facts.name,
            "level": self.setting.level,
            "loss": self.recipe.name,
            "seed": str(seed),
        }
        return SavedEmbeddings(z, self.setting.examination.y, {**about, "protocol": self.setting.protocol.fingerprint})

    def _path(self, seed: int) -> Path:
        """Return where the embeddings of a seed are kept."""
        return (self.kept.folder if self.kept else Path()) / f"embeddings-{seed}.safetensors"

    def _restored(self, seed: int) -> bool:
        """Take up the embeddings of a finished seed, if they are there."""
        if seed not in self.embeddings and self._path(seed).exists():
            self.embeddings[seed] = SavedEmbeddings.read(self._path(seed)).z
        return seed in self.embeddings

    def _write(self, running: dict[str, Any] | None) -> None:
        """Write the checkpoint, if one is kept."""
        if self.kept is not None:
            self.kept.write({seed: result.as_dict() for seed, result in self.finished.items()}, running)
