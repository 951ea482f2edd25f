"""Self-supervised training: an encoder, a loss that needs no labels, and the loop of full-batch steps."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, positive, random_generator, torch_module, within
from graphkit._exports import REMOVED_IN, deprecated_method
from graphkit.contrastive.augmentations import Augmentation, Diffusion, View, check_view


class AbstractSelfSupervision(nn.Module, ABC):
    """A self-supervised objective around an encoder.

    Args:
        encoder: called as ``encoder(x, edge_index)``, with ``edge_weight`` where it ``takes`` one, as ``Encoder`` does.
        after: applied to what the encoder returns; nothing when left out.

    Example:
        >>> from graphkit.contrastive import CCASSG, Augmentation
        >>> from graphkit.nn import Encoder, GCNConv
        >>> method = CCASSG(Encoder(8, 4, 3, conv=GCNConv), Augmentation(edge_drop=0.2))
        >>> isinstance(method, AbstractSelfSupervision), method.weighted
        (True, True)
        >>> method.embed(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8])).shape
        torch.Size([8, 3])
    """

    encoded = deprecated_method("encode")
    stepped = deprecated_method("after_step")

    def __init_subclass__(cls) -> None:
        """Take a method's ``after_step`` under its old name too, for one release."""
        super().__init_subclass__()
        if "stepped" in vars(cls):
            message = f"{cls.__name__}.stepped is called `after_step` now; the old name goes in {REMOVED_IN}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            cls.after_step = vars(cls)["stepped"]  # type: ignore[method-assign]

    def __init__(self, encoder: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = torch_module("encoder", encoder)
        self.after = nn.Identity() if after is None else torch_module("after", after)

    @property
    def weighted(self) -> bool:
        """Whether the encoder uses edge weights."""
        return "edge_weight" in getattr(self.encoder, "takes", ())

    def _draw_views(self, view: View, generator: torch.Generator, *draw: Augmentation | Diffusion) -> Iterator[View]:
        """Yield a view of ``view`` from each augmentation, drawn one after another as they are asked for."""
        view = check_view(view)
        random_generator("generator", generator)
        return (each(view, generator, weighted=self.weighted) for each in draw)

    def encode(self, view: View) -> Tensor:
        """Return the embeddings of a view, ``[nodes, channels]``."""
        return self.after(_call_encoder(self.encoder, view))

    def forward(self, x: Any, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the embeddings of the graph as it is, ``[nodes, channels]``."""
        return self.encode(View(x, edge_index, edge_weight))

    @torch.no_grad()
    def embed(self, x: Any, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the embeddings of the graph as it is, in evaluation mode and without a gradient."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            return self(x, edge_index, edge_weight)
        finally:
            for module, training in modes:  # one may be frozen by itself
                module.training = training

    @abstractmethod
    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on views drawn from ``view``, a scalar.

        Raises:
            ValueError: for a view whose parts do not fit each other, or of fewer than two nodes.
            TypeError: for parts of another type, or no generator.
        """

    def after_step(self, progress: float) -> None:
        """Do what is to be done after a step of the optimiser; ``progress`` goes from 0 to 1."""


def _call_encoder(encoder: nn.Module, view: View) -> Tensor:
    """Return what the encoder makes of a view."""
    if view.edge_weight is None:
        return encoder(view.x, view.edge_index)
    return encoder(view.x, view.edge_index, edge_weight=view.edge_weight)


class SelfSupervisedTraining:
    """The training of a method in place with Adam, one step on the whole graph an epoch.

    Between two steps its state is that of module, optimizer and generator: who keeps these can go on from there.

    Args:
        method: what is trained.
        x, edge_index, edge_weight, lr, weight_decay, generator: see :func:`pretrain`.
        epochs: how many steps there will be, at least 1.

    Raises:
        ValueError, TypeError: see :func:`pretrain`.

    Example:
        >>> from graphkit.contrastive import DGI
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring, x = torch.stack([torch.arange(8), torch.arange(1, 9) % 8]), torch.eye(8)
        >>> drawn = torch.Generator().manual_seed(0)
        >>> method = DGI(Encoder(8, 4, 4, conv=GCNConv), 4)
        >>> training = SelfSupervisedTraining(method, x, ring, epochs=1, lr=0.01, generator=drawn)
        >>> training.take_step(1) > 0
        True
    """

    def __init__(
        self,
        method: AbstractSelfSupervision,
        x: Any,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        *,
        epochs: int,
        lr: float,
        weight_decay: float = 0.0,
        generator: torch.Generator,
    ) -> None:
        if not isinstance(method, AbstractSelfSupervision):
            raise TypeError(f"`method` must be a self-supervised method, such as CCASSG, got {type(method).__name__}.")
        self.module, self.epochs = method, at_least("epochs", epochs, 1)
        positive("lr", lr)
        within("weight_decay", weight_decay, 0.0, math.inf)
        self.generator = random_generator("generator", generator)
        self.view = check_view(View(x, edge_index, edge_weight))
        trainable = [parameter for parameter in method.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trainable, lr=lr, weight_decay=weight_decay)

    def take_step(self, number: int) -> float:
        """Take the step of the epoch of this number, from 1, and return the loss before it."""
        self.module.train()
        self.optimizer.zero_grad()
        loss = self.module.loss(self.view, self.generator)
        loss.backward()
        self.optimizer.step()
        self.module.after_step(number / self.epochs)
        return loss.item()


def pretrain(
    method: AbstractSelfSupervision,
    x: Any,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    epochs: int,
    lr: float,
    weight_decay: float = 0.0,
    generator: torch.Generator,
) -> Iterator[float]:
    """Train a method in place, with Adam, and yield the loss of each epoch.

    Args:
        method: what is trained.
        x: features ``[nodes, features]``, dense or a ``SparseOperator``.
        edge_index: ``[2, edges]``.
        edge_weight: ``[edges]``, for encoders that use it.
        epochs: one step each, at least 1.
        lr: learning rate.
        weight_decay: of Adam, in the gradient.
        generator: draws the views.

    Raises:
        ValueError: for a graph whose parts do not fit each other, or of fewer than two nodes; while it runs, if a loss
            is not finite.
        TypeError: for what is no method, no generator, or parts of the graph of another type.

    Example:
        >>> from graphkit.contrastive import CCASSG, Augmentation
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring, x = torch.stack([torch.arange(8), torch.arange(1, 9) % 8]), torch.eye(8)
        >>> method = CCASSG(Encoder(8, 4, 4, conv=GCNConv, dropout=0.0), Augmentation(edge_drop=0.2))
        >>> drawn = torch.Generator().manual_seed(0)
        >>> losses = list(pretrain(method, x, ring, epochs=50, lr=0.01, generator=drawn))
        >>> losses[-1] < losses[0]
        True
    """
    options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "generator": generator}
    return _losses(SelfSupervisedTraining(method, x, edge_index, edge_weight, epochs=epochs, **options))


def _losses(training: SelfSupervisedTraining) -> Iterator[float]:
    """Take one step after the other and yield their losses."""
    for epoch in range(1, training.epochs + 1):
        loss = training.take_step(epoch)
        if not math.isfinite(loss):
            raise ValueError(f"the loss is not finite in epoch {epoch}; try a smaller `lr`.")
        yield loss
