"""Whom a person is like depends on where one asks: a clinic tells people by gender, a phone book by name.

The context is an anchor, a node of the same graph. Its embedding decides, through a mask learnt together with the
encoder, which features of the others count; so it also works for anchors that were never trained on, and those are
asked in the end. An embedding of a whole graph can be the anchor in the same way.

    python examples/similarity_by_anchor.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from graphkit.metric import ContextSimilarity, PrototypeLoss, evaluate_conditions

PLACES = 12
"""Of each kind: clinics, and phone books. The last third of them is never trained on."""


def town(people: int, features: int, generator: torch.Generator) -> Data:
    """Return people with a gender and a name, and places linked to places of their kind; features are mixed."""
    labels = torch.randint(0, 2, (people, 2), generator=generator)
    kinds = torch.arange(2 * PLACES) // PLACES
    told = torch.zeros(people + 2 * PLACES, 6)
    told[:people] = torch.nn.functional.one_hot(labels, 2).flatten(1).float() @ torch.eye(4, 6)
    told[people:] = torch.nn.functional.one_hot(kinds + 4, 6).float()
    x = told @ torch.randn(6, features, generator=generator)
    x = x + 0.3 * torch.randn(x.shape, generator=generator)
    places = torch.arange(2 * PLACES)
    beside = places // PLACES * PLACES + (places + 1) % PLACES
    links = torch.stack([places, beside]) + people
    return Data(x=x, edge_index=torch.cat([links, links.flip(0)], dim=1), labels=labels, kinds=kinds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--features", type=int, default=16)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    data = town(options.people, options.features, torch.Generator().manual_seed(0))
    encoder = GCN(options.features, 32, num_layers=2, out_channels=options.features)
    similarity, loss = ContextSimilarity(options.features, options.features), PrototypeLoss()
    optimizer = torch.optim.Adam([*encoder.parameters(), *similarity.parameters()], lr=0.01)
    known = torch.arange(2 * PLACES) % PLACES < PLACES * 2 // 3

    def seen_from(places: torch.Tensor) -> torch.Tensor:
        """Return the people as some places see them, [places, people, features]."""
        z = encoder(data.x, data.edge_index)
        return torch.stack([similarity(z[: options.people], z[options.people + place]) for place in places])

    def judged() -> tuple[float, float]:
        """Return MAP@R of the attribute that unseen places tell people by, and of the other one."""
        on, off = [], []
        with torch.no_grad():
            for pair in (~known).nonzero().view(2, -1).T:  # a clinic and a phone book
                found = evaluate_conditions(seen_from(pair), data.labels)
                on += [found[c][c].map_at_r for c in (0, 1)]
                off += [found[c][1 - c].map_at_r for c in (0, 1)]
        return sum(on) / len(on), sum(off) / len(off)

    before = judged()
    for _ in range(options.steps):
        optimizer.zero_grad()
        places = known.nonzero().squeeze(1)
        loss(seen_from(places), data.labels[:, data.kinds[places]]).backward()
        optimizer.step()
    for when, (on, off) in (("untrained", before), ("trained", judged())):
        print(f"{when}: agreement (MAP@R) from unseen places {on:.0%} for their own attribute, {off:.0%} for the other")


if __name__ == "__main__":
    main()
