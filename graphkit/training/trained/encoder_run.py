"""Runs of embeddings: new items embedded, added to the gallery, and asked for what is nearest to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graphkit._checks import printable_name
from graphkit.data import GraphSet
from graphkit.training.embedding.embedding_results import EmbeddingRecord
from graphkit.training.embedding.saved import Found, SavedEmbeddings, encoder_sha256, gallery_path, search
from graphkit.training.engine.records import Record
from graphkit.training.engine.store import lock_folder
from graphkit.training.trained.abstract_run import AbstractRun
from graphkit.training.trained.data_facts import labels_of
from graphkit.training.trained.encoder import TrainedEncoder
from graphkit.training.trained.predictions import Predictions

if TYPE_CHECKING:
    from torch_geometric.data import Data


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
