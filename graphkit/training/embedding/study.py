"""Embedding one data set with several seeds under one protocol, beside what it must beat, to one record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from graphkit._checks import at_least, flag, instance
from graphkit.data.graphset import GraphSet
from graphkit.data.transforms import disjoint_union
from graphkit.training.arguments import require_reporter, require_run, require_splits, sequence
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import fabric_on
from graphkit.training.embedding.baselines import classifier_logits, trained_embeddings
from graphkit.training.embedding.fit import EmbeddingFit
from graphkit.training.embedding.graphs import graph_encoder, graph_setting
from graphkit.training.embedding.recipes import EmbeddingRecipe
from graphkit.training.embedding.results import EmbeddingOutcome, EmbeddingRecord, EmbeddingResult, telemetry_of
from graphkit.training.embedding.saved import SavedEmbeddings
from graphkit.training.embedding.settings import Setting, node_setting, seen_in_training
from graphkit.training.recipes import Recipe
from graphkit.training.records import Record, environment, metric
from graphkit.training.reporters import Reporter, Silence
from graphkit.training.seeds import AbstractSeeds, require_seeds

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.data import Split
    from graphkit.training.protocol import Protocol

LOGGER = logging.getLogger(__name__)

RAW, RANDOM = "raw features", "random encoder"
"""The baselines printed beside every figure."""


def embed(
    data: Data | GraphSet | Mapping[str, Data],
    recipe: EmbeddingRecipe,
    *,
    seeds: Sequence[int] = (0,),
    splits: Sequence[Split] | None = None,
    beside: Sequence[Recipe | EmbeddingRecipe] = (),
    held_out: str | None = None,
    inductive: bool = False,
    disjoint: int | Sequence[int] = 0,
    without_neighbours: bool = False,
    probes: bool = True,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: Path | str | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.embedding.embed",
) -> EmbeddingOutcome:
    """Return the record of embedding the nodes of one graph or several, or the graphs of a set, one run for each seed.

    A seed decides weights, dropout and batches and nothing else. Test labels are first touched when a seed's epoch has
    been selected. Raw features and the encoder as it was drawn are examined beside the trained one.

    Args:
        data: a graph with ``x``, ``edge_index``, ``y`` and boolean ``train_mask``, ``val_mask``, ``test_mask``; several
            such graphs by name, whose nodes share features and classes and are embedded in one space; or a set of
            graphs with a split.
        recipe: objective, encoder, selection rule.
        seeds: at least one, all different.
        splits: one for each seed, in place of the split of ``data``.
        beside: classifiers trained with cross-entropy on the same labels, whose logits are examined too, and recipes
            of other embeddings, such as those without labels, examined likewise, each with its own encoder as it was
            drawn.
        held_out: of several graphs the one whose labels are neither trained on nor selected by, and which alone is
            tested on.
        inductive: training sees neither the test nodes nor their edges, and nothing of a graph that is held out.
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
        ValueError: for data, seeds or a checkpoint that cannot be used, and where another process holds its folder.
        TrainingError: if a loss is not finite; the last good state stays in ``checkpoint``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``checkpoint``.
    """
    instance("data", data, (BaseData, GraphSet, Mapping), "a Data, several of them by name, or a GraphSet")
    for each in data.values() if isinstance(data, Mapping) else ():
        instance("data", each, BaseData, "graphs by name")
    instance("recipe", recipe, EmbeddingRecipe, "an EmbeddingRecipe, such as `embedding_recipe('triplet')`")
    seeds = require_seeds(seeds)
    require_run(checkpoint, resume, every=checkpoint_every)
    require_splits(splits, len(seeds))
    require_reporter(reporter)
    beside = sequence("beside", beside, (Recipe, EmbeddingRecipe), "recipes")
    for name, given in (("inductive", inductive), ("without_neighbours", without_neighbours), ("probes", probes)):
        flag(name, given)
    if not isinstance(disjoint, int):
        disjoint = sequence("disjoint", disjoint, int, "classes, or how many of them")
    at_least("disjoint", disjoint if isinstance(disjoint, int) else len(disjoint), 0)
    instance("command", command, str, "text")
    fabric = fabric_on(device, precision)
    dtype = torch.float64 if precision == "64-true" else torch.float32
    if isinstance(data, Mapping):
        data = disjoint_union(data, held_out=held_out)
    elif held_out is not None:
        raise ValueError("`held_out` names one of several graphs, but `data` is none of these.")
    if splits is not None and held_out is not None:
        raise ValueError("`splits` would train on what is `held_out`; give one of them.")
    if isinstance(data, GraphSet) and (beside or disjoint or without_neighbours):
        raise ValueError("`beside`, `disjoint` and `without_neighbours` are for nodes; `data` is a set of graphs.")
    if len({recipe.name, *(each.name for each in beside)}) <= len(beside):
        raise ValueError(f"`beside` must name each once, and not {recipe.name!r} itself.")
    on_disk = not isinstance(data, GraphSet) and data.get("store") is not None
    recipe = recipe.over(recipe.encoder.decided(on_disk=on_disk))
    divided = [data] if splits is None else [_divided(data, split) for split in splits]

    def setting(each: Data | GraphSet, chosen: EmbeddingRecipe) -> Setting:
        if isinstance(each, GraphSet):
            return graph_setting(each, chosen, fabric.device, dtype)
        return node_setting(
            each,
            chosen,
            fabric.device,
            dtype,
            inductive=inductive,
            disjoint=disjoint,
            without_neighbours=without_neighbours,
        )

    settings = [setting(each, recipe) for each in divided]
    many = 1 if splits is not None else len(seeds)
    whose = dict(zip(seeds, divided * many, strict=True))

    def others(seed: int) -> dict[str, Tensor]:
        if not beside:
            return {}
        whole, found = whose[seed], dict[str, Tensor]()
        seen = seen_in_training(whole, inductive=inductive, disjoint=disjoint)
        for each in beside:
            LOGGER.info("training %s beside it, with seed %d", each.name, seed)
            if isinstance(each, EmbeddingRecipe):
                drawn, trained = trained_embeddings(setting(whole, each), each, seed, fabric)
                found |= {f"{each.name}, {RANDOM}": drawn, each.name: trained}
            else:
                found[f"{each.name}, cross-entropy"] = classifier_logits(whole, seen, each, seed, fabric)
        return found

    config = {**recipe.as_dict(), "beside": [each.name for each in beside], "probes": probes}
    protocol = settings[0].protocol if splits is None else settings[0].protocol.of_splits(splits)
    kept = None
    if checkpoint is not None:
        identity = {**config, "protocol": protocol.fingerprint, "precision": precision}
        kept = Checkpoint(Path(checkpoint), identity, every=checkpoint_every)
    run = _Seeds(
        dict(zip(seeds, settings * many, strict=True)), recipe, fabric, kept, reporter or Silence(), others, probes
    )
    return run.outcome(protocol, command, config, precision, resume)


def _divided(data: Data | GraphSet, split: Split) -> Data | GraphSet:
    """Return the nodes or the graphs with another split."""
    return data.with_split(split) if isinstance(data, GraphSet) else split.apply(data)


class _Seeds(AbstractSeeds[EmbeddingFit, EmbeddingResult]):
    """The seeds of one call, each with its embeddings."""

    def __init__(
        self,
        settings: dict[int, Setting],
        recipe: EmbeddingRecipe,
        fabric: Fabric,
        kept: Checkpoint | None,
        reporter: Any,
        others: Callable[[int], dict[str, Tensor]],
        probes: bool,
    ) -> None:
        super().__init__(fabric, kept, reporter, EmbeddingResult)
        self.settings, self.recipe, self.others, self.probes = settings, recipe, others, probes
        self.embeddings: dict[int, Tensor] = {}
        self.drawn: dict[int, Tensor] = {}
        self.raw: dict[int, dict[str, float]] = {}

    def outcome(
        self, protocol: Protocol, command: str, config: dict[str, Any], precision: str, resume: bool
    ) -> EmbeddingOutcome:
        """Train what is not finished, and return everything."""
        seeds = tuple(self.settings)
        results, aside = self.all(seeds, resume=resume)
        first = self.settings[seeds[0]]
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
            dataset=first.facts,
            protocol=protocol,
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
            record=EmbeddingRecord(record=record, level=first.level, figures=figures, telemetry=telemetry_of(results)),
            seeds=results,
            embeddings=tuple(self.embeddings[seed] for seed in seeds),
            raw=first.raw,
            y=first.examination.y,
            test=first.examination.test,
            exclude=first.examination.exclude,
            faults=() if self.kept is None else tuple(self.kept.faults.values()),
            put_aside=aside,
        )

    def begin(self, seed: int) -> EmbeddingFit:
        """Return a freshly drawn encoder, whose embeddings stand beside what it becomes."""
        setting = self.settings[seed]
        task, graphs = setting.material.task, setting.level == "graph"
        module = graph_encoder(self.recipe, task.channels) if graphs else self.recipe.module(task.channels, task.graph)
        fit = EmbeddingFit(module, setting.material, self.recipe, self.fabric)
        self.drawn[seed] = fit.drawn(setting.whole)
        return fit

    def conclude(self, seed: int, fit: EmbeddingFit, seconds: float) -> EmbeddingResult:
        """Examine the selected embedding and what stands beside it: the first look at test labels."""
        setting = self.settings[seed]
        z = fit.embeddings(setting.whole).float().cpu()
        examined = setting.examination
        if id(setting) not in self.raw:  # the same for all seeds of one split
            self.raw[id(setting)] = examined.figures(setting.raw, probes=self.probes)
        figures = {
            RAW: self.raw[id(setting)],
            RANDOM: examined.figures(self.drawn.pop(seed).float(), probes=self.probes),
        }
        for name, other in self.others(seed).items():
            LOGGER.info("measuring %s beside what seed %d came to", name, seed)
            figures[name] = examined.figures(other.float(), probes=self.probes)
        figures[self.recipe.name] = examined.figures(z, probes=self.probes)
        self.embeddings[seed] = z
        if self.kept is not None:
            self.kept.write_weights(seed, fit.best_weights)
            self.kept.write_content(self._path(seed), self._saved(seed, z).to_bytes())
        return EmbeddingResult(
            seed=seed,
            validation=fit.selected.validation_map,
            figures=figures,
            selected=fit.selected.number,
            history=tuple(fit.history),
            seconds=seconds,
        )

    def _saved(self, seed: int, z: Tensor) -> SavedEmbeddings:
        """Return the embeddings with what made them."""
        setting = self.settings[seed]
        about = {
            "dataset": setting.facts.name,
            "level": setting.level,
            "loss": self.recipe.name,
            "seed": str(seed),
        }
        if setting.parts:
            about["graphs"] = json.dumps(setting.parts)
        return SavedEmbeddings(z, setting.y, {**about, "protocol": setting.protocol.fingerprint})

    def _path(self, seed: int) -> Path:
        """Return where the embeddings of a seed are kept."""
        return (self.kept.folder if self.kept else Path()) / f"embeddings-{seed}.safetensors"

    def done(self, seed: int) -> bool:
        """Return whether a seed is finished and its embeddings are there."""
        if not super().done(seed):
            return False
        if seed not in self.embeddings and self._path(seed).exists():
            self.embeddings[seed] = SavedEmbeddings.read(self._path(seed)).z
        return seed in self.embeddings
