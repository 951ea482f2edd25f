"""The page of a run on links: where nodes lie, and which new links of each are the likeliest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphkit.cli.classifier_page import epoch_curves
from graphkit.cli.page_parts import principal_places, record_rows, shown_items

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.link_run import LinkRun
    from graphkit.viz.run_page import RunPage

LIKELIEST = 12
"""New links of a node that a page names."""


def link_page(run: LinkRun, model: TrainedModel, data: Data, *, device: str = "auto") -> RunPage:
    """Return what a page says of a run: the likeliest new links of each node, by one of its models."""
    from graphkit.training.trained.data_facts import item_ids
    from graphkit.viz.run_page import PageItems, RunPage

    many, record = int(data.num_nodes), run.record
    shown, left_out = shown_items(many)
    node, link, probability = run.new_links(data, seed=model.seed, device=device, top=LIKELIEST, nodes=shown.tolist())
    place = torch.full((many,), -1)
    place[shown] = torch.arange(len(shown))
    kept = place[link] >= 0
    node, link, probability = place[node[kept]], place[link[kept]], probability[kept]
    rank = torch.arange(len(node)) - torch.searchsorted(node, node)
    nearest, values = torch.full((len(shown), LIKELIEST), -1), torch.zeros(len(shown), LIKELIEST)
    nearest[node, rank], values[node, rank] = link, probability
    true = _classes(data, many)[shown]
    classes = max(int(true.max()) + 1, 1)
    names = model.names.classes if len(model.names.classes) >= classes else tuple(map(str, range(classes)))
    rows, heading = _rows(run, model, data, device)
    ids, places = item_ids(data, many), principal_places(rows[shown].double())
    return RunPage(
        title=f"{model.recipe.name} on {record.dataset.name}",
        headline=f"test {record.metric.name} {record.metric}; seed {model.seed} is shown",
        items=PageItems(
            ids=[ids[each] for each in shown.tolist()],
            points={heading: places[0].numpy()},
            axes={heading: places[1]},
            classes=names,
            true=true.numpy(),
            predicted=torch.cat([true, torch.tensor([-1])])[nearest[:, 0]].numpy(),
            predicted_word="class of its likeliest link",
            nearest=nearest.numpy(),
            distances=values.numpy(),
            nearest_word="likeliest new links",
            distance_word="probability",
            left_out=", ".join(left_out),
        ),
        metric=record.metric.name,
        record=record_rows(record),
        curves=epoch_curves(run),
    )


def _classes(data: Data, many: int) -> Tensor:
    """Return the class of each node, where nodes have classes; else -1."""
    y = data.get("y")
    if y is None or y.is_floating_point() or y.numel() != many:
        return torch.full((many,), -1)
    return y.reshape(-1).long().cpu()


def _rows(run: LinkRun, model: TrainedModel, data: Data, device: str) -> tuple[Tensor, str]:
    """Return rows of nodes that lie near each other where nodes are alike, and what they are."""
    if getattr(model.recipe.model, "encodes", False):
        return run.embed(data, seed=model.seed, device=device), "rows of the encoder, PCA"
    from graphkit.data import graph_views

    return graph_views(data)["averaged-2-centred"], "averages over two steps, PCA"
