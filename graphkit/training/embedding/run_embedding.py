"""Embedding one data set with several seeds under one protocol, beside what it must beat, to one record."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from graphkit._checks import at_least, flag, instance
from graphkit._exports import deprecated_arguments
from graphkit.data.graphset import GraphSet, as_graph_set
from graphkit.data.transforms import disjoint_union
from graphkit.data.validation import feature_sum
from graphkit.training.classification.tasks import warn_of_unread
from graphkit.training.embedding.classifier_baselines import classifier_logits, train_embeddings
from graphkit.training.embedding.closed_form_embedding import embedding_trainer
from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe
from graphkit.training.embedding.embedding_results import (
    EmbeddingOutcome,
    EmbeddingRecord,
    EmbeddingResult,
    telemetry_of,
)
from graphkit.training.embedding.embedding_setup import EmbeddingSetup, hidden_nodes, node_setting, training_view
from graphkit.training.embedding.graph_embedding import graph_encoder, graph_setting
from graphkit.training.embedding.joined_embeddings import JoinedEmbeddings
from graphkit.training.embedding.saved import SavedEmbeddings
from graphkit.training.engine.distributed import IN_TURNS, JobError, fabric_on, init_world, own_device
from graphkit.training.engine.experiment import Experiment, RunResult, Seconds, run_experiment
from graphkit.training.engine.options import require_reporter, require_seeds, require_splits, sequence
from graphkit.training.engine.records import Record, SeedUnit, environment, metric
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.run_folder import RunFolder, folder_of, require_run_folder
from graphkit.training.engine.store import RunStore, weights_name
from graphkit.training.trained.data_facts import DataNames, structure_sha256
from graphkit.training.trained.encoder import TrainedEncoder
from graphkit.training.trained.model_file import ModelFile
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.data import Split
    from graphkit.training.embedding.embedding_trainer import EmbeddingTrainer
    from graphkit.training.engine.records import Protocol

LOGGER = logging.getLogger(__name__)

RAW, RANDOM, VIEW = "raw features", "random encoder", "best view"
"""What is printed beside every figure: the last are rows in the view, such as averages of features over neighbours or
counts of colours, that serves validation items best. Beside them stands what is solved for, by its own title."""


@deprecated_arguments(checkpoint="run_dir")
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
    run_dir: Path | str | RunFolder | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.embedding.embed",
) -> EmbeddingOutcome:
    """Return the record of embedding the nodes of one graph or several, or the graphs of a set, one run for each seed.

    A seed decides weights, dropout and batches and nothing else. Test labels are first touched when a seed's epoch has
    been selected. Raw features, the encoder as it was drawn and, of nodes, rows of the best
    view of their graph are examined beside the trained one.

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
        run_dir: folder for the run's state, weights, embeddings and record; ``None`` keeps nothing.
        resume: continue from the state in ``run_dir``; on a CPU with as many threads, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        reporter: hears of progress.
        command: what the record names as its origin.

    Raises:
        ValueError: for data, seeds or a run that cannot be used, and where another process holds its folder.
        TrainingError: if a loss is not finite; the last good state stays in ``run_dir``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``run_dir``.
    """
    data = as_graph_set(data)
    instance("data", data, (BaseData, GraphSet, Mapping), "a Data, several of them by name, or a GraphSet")
    for each in data.values() if isinstance(data, Mapping) else ():
        instance("data", each, BaseData, "graphs by name")
    instance("recipe", recipe, EmbeddingRecipe, "an EmbeddingRecipe, such as `embedding_recipe('triplet')`")
    seeds = require_seeds(seeds)
    require_run_folder(run_dir, resume, every=checkpoint_every)
    require_splits(splits, len(seeds))
    require_reporter(reporter)
    beside = sequence("beside", beside, (Recipe, EmbeddingRecipe), "recipes")
    for name, given in (("inductive", inductive), ("without_neighbours", without_neighbours), ("probes", probes)):
        flag(name, given)
    if not isinstance(disjoint, int):
        disjoint = sequence("disjoint", disjoint, int, "classes, or how many of them")
    at_least("disjoint", disjoint if isinstance(disjoint, int) else len(disjoint), 0)
    instance("command", command, str, "text")
    fabric = fabric_on(own_device(device), precision)
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
    divided = [data] if splits is None else [_with_split(data, split) for split in splits]
    total = functools.cache(lambda: _feature_sum(divided, inductive))
    recipe, beside = recipe.resolve(total), [each.resolve(total) for each in beside]

    def setting(each: Data | GraphSet, chosen: EmbeddingRecipe) -> EmbeddingSetup:
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
    classes = settings[0].visible.task.outputs
    recipe = recipe.of_classes(classes)
    beside = [each.of_classes(classes) if isinstance(each, EmbeddingRecipe) else each for each in beside]
    warn_of_unread(data)
    many = 1 if splits is not None else len(seeds)
    whose = dict(zip(seeds, divided * many, strict=True))

    def others(seed: int) -> dict[str, Tensor]:
        if not beside:
            return {}
        whole, found = whose[seed], dict[str, Tensor]()
        seen = training_view(whole, inductive=inductive, disjoint=disjoint)
        for each in beside:
            LOGGER.info("training %s beside it, with seed %d", each.name, seed)
            if isinstance(each, EmbeddingRecipe):
                drawn, trained = train_embeddings(setting(whole, each), each, seed, fabric)
                found |= {f"{each.name}, {RANDOM}": drawn, each.name: trained}
            else:
                found[f"{each.name}, cross-entropy"] = classifier_logits(whole, seen, each, seed, fabric)
        return found

    config = {**recipe.as_dict(), "beside": [each.name for each in beside], "probes": probes}
    protocol = settings[0].protocol if splits is None else settings[0].protocol.of_splits(splits)
    identity = {**config, "protocol": protocol.fingerprint, "precision": precision}
    with init_world(fabric.device, patience=IN_TURNS) as world:
        if world.count > len(seeds):
            raise JobError(f"{world.count} processes take the seeds in turns, but there are {len(seeds)}; start fewer.")
        store = None
        if run_dir is not None:
            store = RunStore(
                folder_of(run_dir, {**identity, "seeds": list(seeds)}),
                identity,
                every=checkpoint_every,
                writes=world.rank == 0,
            )
        of_seed = dict(zip(seeds, settings * many, strict=True))
        about = {
            "precision": precision,
            "dataset": settings[0].facts.name,
            "dataset_sha256": settings[0].facts.sha256,
            "undirected": bool(getattr(data, "undirected", False)),
            "graph_sha256": structure_sha256(data) if recipe.encoder.model.tied else "",
            "names": DataNames.of(data),
        }
        study = EmbeddingExperiment(of_seed, recipe, fabric, others, identity, about, probes=probes)
        found = run_experiment(study, store=store, reporter=reporter or SILENCE, world=world, resume=resume)
        outcome = study.outcome(found, protocol, command, config, precision, world.count)
        found.keep(outcome.record)
        return dataclasses.replace(outcome, faults=found.faults)


def _with_split(data: Data | GraphSet, split: Split) -> Data | GraphSet:
    """Return the nodes or the graphs with another split."""
    return data.with_split(split) if isinstance(data, GraphSet) else split.apply(data)


def _feature_sum(divided: Sequence[Any], inductive: bool) -> float:
    """Return what features are scaled to, decided by those that training sees under every split."""
    if isinstance(divided[0], GraphSet):
        return 0.0  # features of graphs are as they are
    if not inductive:
        return feature_sum(divided[0])
    seen = ~torch.stack([hidden_nodes(each) for each in divided]).any(dim=0)
    return feature_sum(divided[0], seen) if bool(seen.any()) else 1.0


class EmbeddingExperiment(Experiment[SeedUnit, EmbeddingResult]):
    """The seeds of one call, each with its embeddings; several processes take them in turns.

    Args:
        settings: seed -> what is embedded and examined.
        recipe: objective, encoder, selection rule.
        fabric: device and precision.
        others: seed -> name -> embeddings that are examined too.
        identity: of the run.
        about: what all trained encoders have in common, fields of :class:`.TrainedEncoder`.
        probes: whether to fit the linear probe and k-means.
    """

    result = EmbeddingResult
    together = False

    def __init__(
        self,
        settings: Mapping[int, EmbeddingSetup],
        recipe: EmbeddingRecipe,
        fabric: Fabric,
        others: Callable[[int], dict[str, Tensor]],
        identity: Mapping[str, Any],
        about: Mapping[str, Any],
        *,
        probes: bool,
    ) -> None:
        super().__init__(identity, fabric.device)
        self.about = about
        self.models: dict[int, TrainedEncoder] = {}
        self.settings, self.recipe, self.fabric, self.others, self.probes = settings, recipe, fabric, others, probes
        self.embeddings: dict[int, Tensor] = {}
        self._drawn: Tensor | None = None
        self._raw: dict[int, dict[str, float]] = {}
        self._rows: dict[tuple[int, str], dict[str, float]] = {}
        self._solved: dict[int, dict[str, float]] = {}

    def units(self) -> list[SeedUnit]:
        """Return the seeds."""
        return [SeedUnit.of(seed, number) for number, seed in enumerate(self.settings)]

    def start(self, unit: SeedUnit) -> EmbeddingTrainer:
        """Return the trainer of a freshly drawn encoder, whose embeddings stand beside what it becomes."""
        setting = self.settings[unit.seed]
        task, graphs = setting.visible.task, setting.level == "graph"
        module = graph_encoder(self.recipe, task.channels) if graphs else self.recipe.module(task.channels, task.graph)
        trainer = embedding_trainer(module, setting.visible, self.recipe, self.fabric)
        self._drawn = trainer.initial_embeddings(setting.full_graph)
        return trainer

    def finish(self, unit: SeedUnit, trainer: EmbeddingTrainer, seconds: Seconds) -> EmbeddingResult:
        """Examine the selected embedding and what stands beside it: the first look at test labels."""
        seed, setting, recipe = unit.seed, self.settings[unit.seed], self.recipe
        alone = trainer.embeddings(setting.full_graph).float().cpu()
        found = JoinedEmbeddings.of(trainer, alone, setting, recipe, seed, self.fabric)
        examined = setting.evaluator
        if id(setting) not in self._raw:  # the same for all seeds of one split
            self._raw[id(setting)] = examined.figures(setting.raw, probes=self.probes)
        assert self._drawn is not None
        figures = {
            RAW: self._raw[id(setting)],
            RANDOM: examined.figures(self._drawn.float(), probes=self.probes),
        }
        if found.rows is not None:
            if (id(setting), found.view) not in self._rows:
                self._rows[id(setting), found.view] = examined.figures(found.rows, probes=self.probes)
            figures[VIEW] = self._rows[id(setting), found.view]
        if found.solved is not None:
            if id(setting) not in self._solved:
                self._solved[id(setting)] = examined.figures(found.solved, probes=self.probes)
            figures[setting.rows.title] = self._solved[id(setting)]
        for name, other in self.others(seed).items():
            LOGGER.info("measuring %s beside what seed %d came to", name, seed)
            figures[name] = examined.figures(other.float(), probes=self.probes)
        last = examined.figures(found.z, probes=self.probes)
        if found.rows is not None and recipe.join != "none":
            figures[f"{recipe.name}, not joined"] = (
                examined.figures(alone, probes=self.probes) if found.weights else last
            )
        figures[recipe.name] = last
        self.embeddings[seed] = found.z
        self.models[seed] = TrainedEncoder(
            recipe=recipe,
            weights={name: value.detach().cpu() for name, value in trainer.best_weights.items()} | found.weights,
            channels=setting.visible.task.channels,
            seed=seed,
            figures={"validation": found.validation, "test": figures[recipe.name]["map@r (test)"]},
            view=found.view if found.weights else "",
            share=found.shares.view,
            solved=found.shares.solved,
            **self.about,
        )
        return EmbeddingResult(
            seed=seed,
            validation=found.validation,
            figures=figures,
            selected=trainer.selected.number,
            history=tuple(trainer.history),
            seconds=seconds.wall,
            view=found.view,
            share=found.shares.view,
            solved=found.shares.solved,
        )

    def files(self, unit: SeedUnit) -> dict[str, bytes]:
        """Return the trained encoder of a seed, and the embeddings with what made them."""
        setting = self.settings[unit.seed]
        about = {
            "dataset": setting.facts.name,
            "level": setting.level,
            "loss": self.recipe.name,
            "seed": str(unit.seed),
        }
        if setting.parts:
            about["graphs"] = json.dumps(setting.parts)
        about["protocol"] = setting.protocol.fingerprint
        saved = SavedEmbeddings(self.embeddings[unit.seed], setting.y, about)
        return {weights_name(unit.key): self.models[unit.seed].to_bytes(), _file_of(unit.seed): saved.to_bytes()}

    def recall(self, unit: SeedUnit, read: Callable[[str], bytes | None]) -> bool:
        """Take up the encoder and the embeddings of a finished seed, and return whether they are there."""
        name = weights_name(unit.key)
        if unit.seed not in self.models and (content := read(name)) is not None:
            self.models[unit.seed] = TrainedEncoder.from_file(ModelFile.from_bytes(content, Path(name)))
        if unit.seed not in self.embeddings and (content := read(_file_of(unit.seed))) is not None:
            self.embeddings[unit.seed] = SavedEmbeddings.from_bytes(content, Path(_file_of(unit.seed))).z
        return unit.seed in self.embeddings and unit.seed in self.models

    def outcome(
        self,
        found: RunResult[EmbeddingResult],
        protocol: Protocol,
        command: str,
        config: dict[str, Any],
        precision: str,
        processes: int,
    ) -> EmbeddingOutcome:
        """Return the record of all seeds, and what lies behind it."""
        seeds, results = tuple(self.settings), found.results
        first = self.settings[seeds[0]]
        figures = {
            name: {
                figure: metric(figure, [result.figures[name][figure] for result in results])
                for figure in results[0].figures[name]
            }
            for name in results[0].figures
        }
        views = tuple(
            {"view": each.view, "share": each.share, first.rows.solver: each.solved} for each in results if each.view
        )
        record = Record(
            command=command,
            dataset=first.facts,
            protocol=protocol,
            metric=metric("map@r", [result.figures[self.recipe.name]["map@r (test)"] for result in results]),
            validation=metric("map@r", [result.validation for result in results]),
            selection=protocol.selection,
            config=config,
            seeds=seeds,
            epochs=tuple({"selected": result.selected, "run": len(result.history)} for result in results),
            seconds=sum(result.seconds for result in results),
            environment=environment(str(self.fabric.device), precision, processes),
        )
        return EmbeddingOutcome(
            record=EmbeddingRecord(
                record=record, level=first.level, figures=figures, telemetry=telemetry_of(results), views=views
            ),
            seeds=results,
            embeddings=tuple(self.embeddings[seed] for seed in seeds),
            models=tuple(self.models[seed] for seed in seeds),
            raw=first.raw,
            y=first.evaluator.y,
            test=first.evaluator.test,
            exclude=first.evaluator.exclude,
            run_dir=found.folder,
            put_aside=found.put_aside,
        )


def _file_of(seed: int) -> str:
    """Return the name of the file with the embeddings of a seed."""
    return f"embeddings-{seed}.safetensors"
