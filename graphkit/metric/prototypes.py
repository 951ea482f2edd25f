"""Class prototypes: the mean of each class, a loss by them, and the consistency of unlabelled items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._checks import as_list, class_labels, dense, positive, same_device
from graphkit.metric.distances import normalize_rows
from graphkit.metric.losses.abstract import AbstractCriterion
from graphkit.metric.monitoring import Telemetry, telemetry
from graphkit.metric.pair_inputs import Reference, at_least_float32, check_embeddings, pair_inputs
from graphkit.metric.tuples import Tuples


class ClassPrototypes(NamedTuple):
    """One direction per class.

    Args:
        directions: unit vectors ``[classes, features]``.
        classes: the label of each, sorted, ``[classes]``.
    """

    directions: Tensor
    classes: Tensor

    def logits(self, z: Tensor, temperature: float) -> Tensor:
        """Return the cosine of each item and each prototype over ``temperature``, ``[items, classes]``."""
        return normalize_rows(at_least_float32(z)) @ self.directions.T / temperature


def class_prototypes(z: Tensor, y: Tensor) -> ClassPrototypes:
    """Return the direction of the mean of each class's unit vectors; gradients flow through it.

    Where the vectors of a class cancel each other its direction is zero, with derivatives of zero.

    Args:
        z: embeddings ``[items, features]``; half precision is widened to single. Their lengths do not count, and a zero
            row adds nothing.
        y: integer labels ``[items]``; rows of -1 belong to no class.

    Raises:
        ValueError: where the labels do not fit, none is 0 or above, or an entry is not finite.
        TypeError: for labels that are not integers.

    Source: Snell, Swersky & Zemel (2017), arXiv:1703.05175, equation 1; on the sphere here.

    Example:
        >>> class_prototypes(torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]), torch.tensor([4, 4, 7])).classes
        tensor([4, 7])
    """
    check_embeddings("z", z)
    same_device("y", class_labels("y", y, len(z)), z)
    known = y >= 0
    classes, numbers = y[known].unique(return_inverse=True)
    if not len(classes):
        raise ValueError("`y` must label at least one item; a prototype is the mean of a class.")
    known_z = at_least_float32(z[known])
    belongs = F.one_hot(numbers, len(classes)).to(known_z.dtype)
    return ClassPrototypes(_directions(belongs.T @ normalize_rows(known_z), belongs.sum(0).unsqueeze(1)), classes)


def _directions(sums: Tensor, counts: Tensor) -> Tensor:
    """Return the directions of sums of so many unit vectors; zero, as are its derivatives, where they cancel.

    What rounding leaves of them points somewhere too, which means nothing, with gradients of 1e16.
    """
    largest = sums.detach().abs().amax(-1, keepdim=True) if sums.shape[-1] else sums.new_zeros(len(sums), 1)
    return normalize_rows(torch.where(largest > 2 * counts * torch.finfo(sums.dtype).eps, sums, 0))


class PrototypeLoss(AbstractCriterion):
    r"""Cross-entropy of each item with the prototypes of the classes, which are made of the same items.

    .. math::
        L = -\frac{1}{n} \sum_i \log \frac{\exp(\cos(z_i, p_{y_i}) / \tau)}{\sum_c \exp(\cos(z_i, p_c) / \tau)}

    Differentiable any number of times, whatever the lengths of the items; a zero row has a gradient of zero. With one
    class only, or none, the loss is zero with a gradient of zero.

    Args:
        temperature: :math:`\tau`, above 0.

    Raises:
        ValueError: for a temperature that is not a finite number above 0.

    Source: Snell, Swersky & Zemel (2017), arXiv:1703.05175, with the cosine in place of the squared distance, and an
    item counted in its own prototype, so that a class of one item has a prototype.

    Example:
        >>> loss = PrototypeLoss(temperature=0.5)
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(loss(z, torch.tensor([0, 0, 1])).item(), 4)
        0.1269
    """

    def __init__(self, temperature: float = 0.2) -> None:
        self.temperature = positive("temperature", temperature)

    def attribute_loss(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the mean over the labelled items; prototypes are made of the reference where there is one."""
        if pairs is not None:
            raise ValueError("`pairs` mean nothing here: items are compared with the means of classes, not each other.")
        inputs = pair_inputs(z, y, reference, distance="cosine")
        known = inputs.y >= 0
        if not bool(known.any()):
            return inputs.z.sum() * 0
        if not bool(torch.isin(inputs.y[known], inputs.labels).all()):
            raise ValueError("`reference` must hold every class of `y`.")
        prototypes = class_prototypes(inputs.right, inputs.labels)
        targets = torch.searchsorted(prototypes.classes, inputs.y[known])
        return F.cross_entropy(prototypes.logits(inputs.z[known], self.temperature), targets)

    def report(self, z: Tensor, y: Tensor, *, reference: Reference | None = None) -> Telemetry:
        """Return how the classes lie by cosine; the loss acts on every labelled item as long as there are two classes.

        Args:
            z: embeddings ``[items, features]``.
            y: integer labels ``[items]``.
            reference: others, as in a call.

        Raises:
            ValueError: as a call does.
        """
        found = telemetry(z, y, reference=reference, distance="cosine")
        return found.with_active(float(found.items > 0 and found.classes > 1))


def consistency(views: Sequence[Tensor], *, sharpening: float = 0.5) -> Tensor:
    r"""Return how far several guesses of the same items' classes are from their sharpened mean; it needs no label.

    .. math::
        \frac{1}{S n} \sum_{s, i} \lVert p_i^{(s)} - \bar p_i' \rVert^2,\qquad
        \bar p_{ic}' = \bar p_{ic}^{1/T} / \sum_{c'} \bar p_{ic'}^{1/T}

    No gradient flows through the sharpened mean.

    Args:
        views: at least one tensor of probabilities ``[items, classes]``, all of one shape; without items it is zero.
        sharpening: :math:`T`, above 0; below 1 it asks for decisions.

    Raises:
        ValueError: without a view, for views of different shapes, or a temperature that is not a finite number above 0.
        TypeError: for what are no tensors of floating-point numbers.

    Source: Feng et al. (2020), arXiv:2005.11079, section 3.2 (equations 5 and 6 as the paper's code computes them).

    Example:
        >>> consistency([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])]).item()
        0.5
    """
    positive("sharpening", sharpening)
    stacked = _stack_views(views)
    if not stacked.numel():
        return stacked.sum()
    with torch.no_grad():
        target = (stacked.mean(0).clamp(min=torch.finfo(stacked.dtype).tiny).log() / sharpening).softmax(-1)
    return (stacked - target).square().sum(-1).mean()


def _stack_views(views: Sequence[Tensor]) -> Tensor:
    """Return views of the same items, ``[views, items, classes]``; what is not finite in them stays so."""
    views = as_list("views", views, "[first, second]")
    for view in views:
        if not dense("views", view).is_floating_point():
            raise TypeError(f"`views` must hold floating-point numbers, got {view.dtype}.")
        if view.dim() != 2 or view.shape != views[0].shape:
            shapes = f"{list(views[0].shape)} and {list(view.shape)}"
            raise ValueError(f"`views` must all have one shape [items, classes], got {shapes}.")
    if not views:
        raise ValueError("`views` must hold at least one tensor.")
    return torch.stack(views)
