"""Runs of embeddings: new items embedded, added to the gallery, and asked for what is nearest to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphkit._checks import member, printable_name
from graphkit.data import GraphSet
from graphkit.training.embedding.embedding_results import EmbeddingRecord
from graphkit.training.embedding.embedding_setup import EmbeddingSetup, node_setting
from graphkit.training.embedding.evaluator import EmbeddingEvaluator
from graphkit.training.embedding.graph_embedding import graph_setting, same_graphs
from graphkit.training.embedding.saved import Found, SavedEmbeddings, encoder_sha256, gallery_path, search
from graphkit.training.engine.options import require_splits
from graphkit.training.engine.records import Record
from graphkit.training.engine.store import lock_folder
from graphkit.training.trained.abstract_run import AbstractRun
from graphkit.training.trained.abstract_trained import apply_split, split_masks
from graphkit.training.trained.data_facts import labels_of
from graphkit.training.trained.encoder import TrainedEncoder
from graphkit.training.trained.predictions import Predictions

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import Split

PARTS = ("test", "all")
"""Items that are evaluated; "all" are those that have a label."""


@dataclass(frozen=True)
class RetrievalReport:
    """What the embeddings of each seed's encoder came to on labelled items.

    Args:
        values: name of a figure -> one for each seed, fractions, as ``embed`` records them.
        items: how many asked.
        part: whose items they are, "test" or "all".
        seeds: whose encoders embedded.
    """

    values: Mapping[str, tuple[float, ...]]
    items: int
    part: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class EncoderRun(AbstractRun[TrainedEncoder]):
    """A finished run of ``graphkit embed``, or of ``embed`` with a ``run_dir``.

    The embeddings of what was trained on are its gallery, to which further items are added.

    Args:
        folder: where it lies.
        record: what was measured, and how.
        models: seed -> trained encoder.
    """

    folder: Path
    record: EmbeddingRecord
    models: Mapping[int, TrainedEncoder]

    @property
    def about(self) -> Record:
        """The record of the test items' MAP@R."""
        return self.record.record

    @property
    def model(self) -> TrainedEncoder:
        """The encoder of the seed with the best validation figure, of equal ones the first."""
        return max(self.models.values(), key=lambda each: each.figures["validation"])

    def predict(self, data: Data | GraphSet, *, seed: int | None = None, device: str = "auto") -> Predictions:
        """Return the embedding of every item of ``data`` as a table.

        Args:
            data: what was trained on, a graph that has grown, another one, or other graphs of the same kind.
            seed: whose encoder embeds; by default that of :attr:`model`. Spaces of two seeds have nothing in common.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a seed that was not trained, and data that do not fit the encoder.
        """
        return self._of(seed).predict(data, device=device)

    def evaluate(
        self,
        data: Data | GraphSet,
        *,
        part: str | None = None,
        seed: int | None = None,
        splits: Sequence[Split] | None = None,
        disjoint: int | Sequence[int] = 0,
        without_neighbours: bool = False,
        probes: bool = False,
        device: str = "auto",
    ) -> RetrievalReport:
        """Return how well labelled items find those of their class, for each seed's encoder, as ``embed`` measures it.

        Args:
            data: with labels.
            part: "test" of its split, or "all" that have labels, which then ask each other; by default "test" of the
                data that were trained on and "all" of others.
            seed: whose encoder embeds; by default each.
            splits: one for each of them, where each had its own.
            disjoint, without_neighbours: as ``embed`` was called with.
            probes: whether to fit the linear probe and k-means too.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for data without labels or without a split for "test", what :meth:`predict` refuses, and where
                the run was measured with other ``disjoint`` or ``without_neighbours`` on these data.
        """
        chosen = list(self.models.values()) if seed is None else [self.of_seed(seed)]
        require_splits(splits, len(chosen))
        part = member("part", part, PARTS) if part is not None else "test" if self.is_own(data) else "all"
        if labels_of(data) is None:
            raise ValueError("`y` is missing: what is evaluated needs labels.")
        if part == "test" and splits is None and not split_masks(data):
            raise ValueError("`part` 'test' is of a split, and `data` has none; take 'all'.")
        found: list[dict[str, float]] = []
        asking = 0
        for number, model in enumerate(chosen):
            own = data if splits is None else apply_split(data, splits[number])
            if part == "all":
                evaluator = every_item(own)
            else:
                setup = self._setup(own, model, disjoint, without_neighbours)
                evaluator = setup.evaluator
            asking = int((evaluator.test & (evaluator.y >= 0)).sum())
            if not asking:
                raise ValueError(f"`part` {part!r} of `data` holds no labelled item.")
            found.append(evaluator.figures(model.embed(own, device=device), probes=probes))
        values = {name: tuple(each[name] for each in found) for name in found[0] if all(name in each for each in found)}
        return RetrievalReport(values, asking, part, tuple(model.seed for model in chosen))

    def _setup(
        self, data: Data | GraphSet, model: TrainedEncoder, disjoint: int | Sequence[int], without_neighbours: bool
    ) -> EmbeddingSetup:
        """Return who asks and who answers as in training."""
        device, dtype = torch.device("cpu"), torch.float32
        if isinstance(data, GraphSet):
            return graph_setting(data, model.recipe, device, dtype)
        options: dict[str, Any] = {"disjoint": disjoint, "without_neighbours": without_neighbours}
        setup = node_setting(data, model.recipe, device, dtype, **options)
        held = self.about.protocol.setting.partition("; ")[2]
        if self.is_own(data) and setup.protocol.setting.partition("; ")[2] != held:
            raise ValueError(
                f"`data` were measured with {held or 'all classes, neighbours among them'}: give `disjoint` and "
                "`without_neighbours` as `embed` had them."
            )
        return setup

    def gallery(self, *, seed: int | None = None) -> SavedEmbeddings:
        """Return the embeddings that answer: those of what was trained on, and of what was added.

        Raises:
            ValueError: for a file that is damaged, or items that another encoder embedded.
        """
        return SavedEmbeddings.read(gallery_path(self.folder, self._of(seed).seed))

    def add(
        self, data: Data | GraphSet, name: str, *, seed: int | None = None, device: str = "auto"
    ) -> SavedEmbeddings:
        """Embed items and add them to the gallery, and return it.

        Args:
            data: with labels, whose classes are numbered as in training, or without.
            name: what they are called in answers.
            seed: whose encoder embeds; by default that of :attr:`model`.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a name that is taken, data that do not fit, and a folder that another process holds.
        """
        model = self._of(seed)
        with lock_folder("run", self.folder):
            before = self.gallery(seed=model.seed)
            graphs = json.loads(before.about.get("graphs", "{}")) or {self.about.dataset.name: len(before.z)}
            if printable_name("name", name) in graphs:
                raise ValueError(f"`name` {name!r} is in the gallery already: {', '.join(graphs)}.")
            z = model.embed(data, device=device)
            y = labels_of(data)
            labels = torch.full((len(z),), -1) if y is None else y.long().cpu()
            about = {**before.about, "graphs": json.dumps({**graphs, name: len(z)})}
            about["encoder"] = encoder_sha256(self.folder, model.seed)
            found = SavedEmbeddings(torch.cat([before.z, z]), torch.cat([before.y, labels]), about)
            found.write(self.folder / f"gallery-{model.seed}.safetensors")
        return found

    def search(
        self,
        query: int,
        count: int = 10,
        *,
        data: Data | GraphSet | None = None,
        seed: int | None = None,
        device: str = "auto",
    ) -> list[Found]:
        """Return the items of the gallery that are nearest to one, nearest first.

        Args:
            query: row of the item that asks.
            count: how many answers.
            data: where it stands; by default in the gallery itself.
            seed: whose encoder embeds; by default that of :attr:`model`.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a row that does not exist.
        """
        saved = self.gallery(seed=seed)
        if data is None:
            return search(saved, query, count)
        return search(saved, query, count, queries=self._of(seed).embed(data, device=device))

    def _of(self, seed: int | None) -> TrainedEncoder:
        return self.model if seed is None else self.of_seed(seed)


def every_item(data: Data | GraphSet) -> EmbeddingEvaluator:
    """Return all labelled items as those that ask, and all others as those that answer."""
    y = labels_of(data)
    assert y is not None
    if y.is_floating_point() or y.reshape(len(y), -1).size(1) > 1:
        raise ValueError("`y` must hold classes, one an item: embeddings are asked for items of the same class.")
    everyone = torch.ones(len(y), dtype=torch.bool)
    exclude = same_graphs(GraphSet.of(data)) if isinstance(data, GraphSet) else None
    return EmbeddingEvaluator(y.long().cpu().reshape(-1), everyone, everyone, exclude, disjoint=True)
