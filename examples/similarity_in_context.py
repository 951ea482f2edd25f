"""Four people, two genders, two names: near as gender, far as names, in one embedding looked at in two contexts.

An encoder gives every person one vector; a mask for each condition says which of its features count. Both are learnt
together, from features in which gender and name are mixed. The printed distances are those between the first person
and the other three.

    python examples/similarity_in_context.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import nn

from graphkit.metric import ConditionalSimilarity, PrototypeLoss, evaluate_conditions, nearest_items

PEOPLE = ("Alex, woman", "Robin, woman", "Alex, man", "Robin, man")
CONDITIONS = ("gender", "name")
LABELS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--features", type=int, default=8)
    options = parser.parse_args(arguments)

    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    told = torch.cat([nn.functional.one_hot(LABELS[:, c], 2) for c in (0, 1)], dim=1).float()
    x = told @ torch.randn(4, options.features, generator=generator)  # every feature speaks of both

    encoder = nn.Linear(options.features, options.features)
    similarity = ConditionalSimilarity(options.features, len(CONDITIONS), disjoint=True)
    loss = PrototypeLoss(temperature=0.2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *similarity.parameters()], lr=0.05)
    for _ in range(options.steps):
        optimizer.zero_grad()
        z = encoder(x)
        sum(loss(seen, LABELS[:, c]) for c, seen in enumerate(similarity.all(z))).backward()
        optimizer.step()

    seen = similarity.all(encoder(x)).detach()
    for condition, z in zip(CONDITIONS, seen, strict=True):
        found = nearest_items(z, 3, queries=torch.tensor([0]))
        order = zip(found.items[0].tolist(), found.distances[0].tolist(), strict=True)
        print(f"as {condition}: " + "; ".join(f"{PEOPLE[item]} at {distance:.2f}" for item, distance in order))
    judged = evaluate_conditions(seen, LABELS)
    on = sum(judged[c][c].map_at_r for c in (0, 1)) / 2
    off = sum(judged[c][1 - c].map_at_r for c in (0, 1)) / 2
    print(f"accuracy of retrieval (MAP@R): {on:.0%} for the condition's own attribute, {off:.0%} for the other")


if __name__ == "__main__":
    main()
