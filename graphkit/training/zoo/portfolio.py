"""Portfolios: a few recipes of different kinds, of which validation items choose one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from graphkit._checks import member, suggestion
from graphkit.training.engine.options import fields_of, sequence
from graphkit.training.zoo.closed_form import UNASKED
from graphkit.training.zoo.recipes import Recipe, recipe

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphSet

AUTO = "auto"
"""What a portfolio is called on the command line and in folders of runs."""

MOST_SEEDS = 3
"""Seeds with which each recipe is tried, at most: by the costs of these recipes, all of it is below five of one."""


@dataclass(frozen=True)
class Portfolio:
    """A few recipes of different kinds; each is tried, and the best on validation items is trained.

    The budget is what the recipes say: so many epochs each, for the first seeds of a call, three at most.

    Args:
        recipes: of one kind of items, each with a name of its own; of equal ones on validation the first is taken.

    Raises:
        ValueError: for fewer than two, names that stand twice, or recipes of several kinds of items.

    Example:
        >>> from graphkit.training import portfolio
        >>> [each.name for each in portfolio().recipes]
        ['mlp', 'gcn', 'jacobi', 'chebii', 'deep-gcn', 'view-ridge']
    """

    recipes: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        sequence("recipes", self.recipes, Recipe, "recipes")
        names = [each.name for each in self.recipes]
        if len(set(names)) < max(len(names), 2):
            raise ValueError(f"`recipes` must be two or more, each with a name of its own, got {names}.")
        if len({each.model.items for each in self.recipes}) > 1:
            raise ValueError("`recipes` must all be of nodes, of signals or of graphs.")

    @property
    def items(self) -> str:
        """What is classified."""
        return self.recipes[0].model.items

    @property
    def epochs(self) -> int:
        """Epochs of a recipe, at most."""
        return max(each.epochs for each in self.recipes)

    def with_(self, overrides: Mapping[str, Any]) -> Portfolio:
        """Return these recipes with fields replaced, each where it decides something.

        Args:
            overrides: names of fields and values, as :meth:`Recipe.with_` takes them.

        Raises:
            ValueError: for a field that decides something in none of them, or a value out of its range.

        Example:
            >>> from graphkit.training import portfolio
            >>> [each.options().get("layers") for each in portfolio({"layers": 3}).recipes]
            [3, 3, None, None, 3, None]
        """
        overrides = fields_of("overrides", overrides)
        made = self.recipes
        for name, value in overrides.items():
            deciding = [name in each.as_dict() for each in made]
            if not any(deciding):
                known = sorted({field for each in made for field in each.as_dict() if field != "model"})
                raise ValueError(f"`{name}` decides nothing in any recipe that is tried. {suggestion(name, known)}")
            made = tuple(
                each.with_({name: value}) if decides else each for each, decides in zip(made, deciding, strict=True)
            )
        return Portfolio(made)

    def fitting(self, data: Data | GraphSet) -> Portfolio:
        """Return those of the recipes that can be trained on ``data``.

        Left out are models that refuse the graph's edge weights, where neighbours are drawn (``fan_out``) those that
        need the graph whole, those of molecules where there are none, or no rdkit, and of more than ``UNASKED`` graphs
        those that are solved for.

        Raises:
            ValueError: if fewer than two are left.
        """
        weighted = getattr(data, "edge_weight", None) is not None
        drawn = any(each.fan_out for each in self.recipes)
        molecules = getattr(getattr(data, "card", None), "molecules", False) and find_spec("rdkit") is not None
        left = tuple(
            each
            for each in self.recipes
            if not (weighted and each.model.edge_weights == "refused")
            and (each.model.sampled or not drawn)
            and (molecules or not each.model.molecules)
            and not (each.model.solved and each.model.items == "graphs" and len(data) > UNASKED)
        )
        if len(left) < 2:
            raise ValueError(f"of the recipes that are tried, only {[each.name for each in left]} fit; name a model.")
        return dataclasses.replace(self, recipes=left)


WIDE: dict[str, Any] = {"hidden": 128, "epochs": 300, "patience": 100}
"""A width and a budget for data that nobody tuned for."""


def portfolio(overrides: Mapping[str, Any] | None = None, *, items: str = "nodes") -> Portfolio:
    """Return the recipes that ``--model auto`` tries: a few of different kinds, and what is solved for.

    Args:
        overrides: fields and values, for each recipe in which they decide something.
        items: "nodes", "signals" or "graphs".

    Raises:
        ValueError: for an unknown kind of items, or what :meth:`Portfolio.with_` refuses.

    Example:
        >>> [each.name for each in portfolio(items="graphs").recipes]
        ['structure-free', 'gcn', 'gin', 'gin-virtual', 'wl-forest', 'fingerprint-forest', 'descriptor-gp']
    """
    named: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "nodes": [
            ("mlp", WIDE),
            ("gcn", WIDE),
            ("jacobi", {"epochs": 300, "patience": 100}),
            # Filters of its own rate need no thousand epochs; nothing else here tells odd neighbours from even ones.
            ("chebii", {"epochs": 300, "patience": 100, "filter_lr": 0.01}),
            ("deep-gcn", {**WIDE, "layers": 4, "row_normalise": "auto"}),
            ("view-ridge", {}),
        ],
        "signals": [("mlp", {}), ("cheb", {}), ("gcn", {}), ("spectral", {})],
        "graphs": [
            ("structure-free", {}),
            ("gcn", {}),
            ("gin", {}),
            ("gin-virtual", {}),
            ("wl-forest", {}),
            ("fingerprint-forest", {}),
            ("descriptor-gp", {}),
        ],
    }
    tried = named[member("items", items, named)]
    return Portfolio(tuple(recipe(name, fields, items=items) for name, fields in tried)).with_(
        {} if overrides is None else overrides
    )
