"""Objectives of embeddings on rows without a direction."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, embedding_recipe
from tests.training.studies import embedding_fields

LABELLED = [name for name, made in EMBEDDINGS.items() if made.objective.labelled]


@pytest.mark.parametrize("name", LABELLED)
def test_a_zero_row_has_no_slope_that_ends_a_training(name):
    """An embedding of nothing but zeros, as a ReLU leaves it, once had slopes of 1e12."""
    z = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    z[2] = 0
    z.requires_grad_()
    rows = torch.arange(9)
    batch = SimpleNamespace(index=rows, y=rows % 3)
    visible = SimpleNamespace(embed=lambda model, index: z, visible_items=rows)
    objective = embedding_recipe(name, embedding_fields(name, {"views": 2, "consistency": 0.5})).objective
    loss = objective.loss(objective.wrap(torch.nn.Identity(), 4), visible, batch)
    assert torch.autograd.grad(loss, z)[0].abs().max() < 1e3
    assert objective.report(z.detach() * 2.0**-60, batch.y) == objective.report(z.detach(), batch.y)
