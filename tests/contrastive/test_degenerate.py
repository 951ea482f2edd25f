"""Self-supervised losses of features that are zero, equal, constant, huge or tiny, and of graphs without edges."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import graphkit.contrastive
from graphkit.contrastive import BGRL, CCASSG, DGI, GRACE, AbstractSelfSupervision, Augmentation, View

AUGMENTATION = Augmentation(edge_drop=0.3)
METHODS = {
    "BGRL": lambda e: BGRL(e, 3, first=AUGMENTATION, second=AUGMENTATION, after=nn.Identity(), predictor_channels=4),
    "CCASSG": lambda e: CCASSG(e, AUGMENTATION),
    "DGI": lambda e: DGI(e, 3),
    "GRACE": lambda e: GRACE(e, 3, first=AUGMENTATION, second=AUGMENTATION),
}


class Bare(nn.Module):
    """The features times a matrix, so that what is zero or equal in them is so in the embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x, edge_index):
        return x @ self.weight


def features() -> dict[str, torch.Tensor]:
    """Return features by name."""
    base = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    zero_row, column = base.clone(), base.clone()
    zero_row[1], column[:, 1] = 0, 0.1
    return {
        "a zero row": zero_row,
        "all zero": base * 0,
        "all equal": torch.full((7, 3), 0.1),
        "duplicates": base[[0, 0, 0, 1, 1, 1, 2]],
        "a constant column": column,
        "1e20": base * 1e20,
        "1e-20": base * 1e-20,
        "1e-30": base * 1e-30,
        "two nodes": base[:2],
    }


def test_the_law_is_about_every_method():
    public = {name: getattr(graphkit.contrastive, name) for name in graphkit.contrastive.__all__}
    methods = {
        name for name, thing in public.items() if inspect.isclass(thing) and issubclass(thing, AbstractSelfSupervision)
    }
    assert set(METHODS) == methods - {"AbstractSelfSupervision"}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("which", features())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_finite(name, which, dtype):
    x = features()[which].to(dtype)
    ring = torch.stack([torch.arange(len(x)), torch.arange(1, len(x) + 1) % len(x)])
    for edges in (ring, ring[:, :0]):
        method = METHODS[name](Bare()).to(dtype)
        loss = method.loss(View(x, edges), torch.Generator().manual_seed(0))
        loss.backward()
        assert loss.isfinite()
        assert all(each.grad is None or each.grad.isfinite().all() for each in method.parameters())


@pytest.mark.parametrize("scale", [2.0**-90, 2.0**60])
def test_the_scale_of_embeddings_does_not_count_where_they_are_standardised(scale):
    x = features()["a constant column"]
    edges = torch.stack([torch.arange(7), (torch.arange(7) + 1) % 7])
    losses = [
        CCASSG(Bare(), Augmentation()).loss(View(x * factor, edges), torch.Generator().manual_seed(0)).item()
        for factor in (1.0, scale)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("constant", [0.0, 0.5, 0.1, 0.3, -7.7])
def test_a_constant_channel_correlates_with_nothing(constant):
    """Of two that vary the loss is that of two correlations; the third adds one for each view, times lambda."""
    x = features()["a constant column"].clone()
    x[:, 1] = constant
    edges = torch.stack([torch.arange(7), (torch.arange(7) + 1) % 7])
    loss = CCASSG(Bare(), Augmentation(), decorrelation=0.01).loss(View(x, edges), torch.Generator().manual_seed(0))
    other = torch.corrcoef(x[:, [0, 2]].T)[0, 1].item() * 6 / 7  # deviations divide by n - 1, correlations by n
    expected = 0.01 * 2 * (1 + 2 * other**2 + 2 * (1 / 7) ** 2) - 2 * 6 / 7
    assert loss.item() == pytest.approx(expected, abs=1e-6)
