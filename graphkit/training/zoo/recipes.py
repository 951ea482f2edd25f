"""Recipes: everything that decides how a model is built and trained, as frozen data.

A recipe holds no code and names no data set. A TOML file, ``--set`` and flags override its fields, one by one, and
each value is checked against its range. The tables of named recipes are the only places where the name of a model
becomes its classes.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, InstanceOf
from pydantic.dataclasses import dataclass

from graphkit._checks import instance, member
from graphkit.training.engine.options import AbstractOptions, fields_of
from graphkit.training.zoo import (
    GAT,
    GCN,
    GIN,
    GWNN,
    MLP,
    SAGE,
    Cheb,
    CountForest,
    DescriptorProcess,
    FingerprintForest,
    Grand,
    Polynomial,
    Specformer,
    Spectral,
    ViewMixture,
    Wavelet,
)
from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Count,
    LearningRate,
    NonNegative,
    Positive,
    Share,
    Switch,
)
from graphkit.training.zoo.forecast_architectures import (
    ConvolutionalForecast,
    ForecastRidge,
    ForecastRule,
    LagForecast,
    RecurrentForecast,
)
from graphkit.training.zoo.graph_architectures import GraphGatedGCN, GraphGCN, GraphGIN, StructureFreeArchitecture
from graphkit.training.zoo.link_architectures import (
    LinkFilter,
    LinkGCN,
    LinkSAGE,
    LinkSketch,
    PairForest,
    PairLogistic,
    PairScore,
)
from graphkit.training.zoo.message_passing import DeepGAT, DeepGCN, DeepSAGE
from graphkit.training.zoo.signal_architectures import (
    PooledCheb,
    PooledGCN,
    PooledLocal,
    PooledSpectral,
    SignalMLP,
)

if TYPE_CHECKING:
    from torch import nn


def _fan_out(written: str) -> str:
    """Return numbers with commas between, or refuse what is none."""
    if re.fullmatch(r"((-1|\d+)(,(-1|\d+))*)?", written):
        return written
    raise ValueError("must be a number for each layer, such as '10,5', -1 for all neighbours")


WITH_FEATURES = ("nodes", "links")
"""Items for which features of nodes are scaled."""

FanOut: TypeAlias = Annotated[str, BeforeValidator(str), AfterValidator(_fan_out)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractRecipe(AbstractOptions):
    """Fields of its own beside parts that have theirs, all of them in one flat table of names."""

    name: str = "own"

    @property
    def title(self) -> str:
        """What it is called where a field is refused."""
        return f"the recipe {self.name!r}"

    @property
    def parts(self) -> dict[str, Any]:
        """The parts, by the field that holds them."""
        return {}

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        return {name: why for part in self.parts.values() for name, why in part.unused_fields().items()}

    def own_fields(self) -> dict[str, Any]:
        """Return the fields that stand here and in no part."""
        apart = ("name", *self.parts)
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in apart}

    def options(self) -> dict[str, Any]:
        """Return all fields by name, those of the parts first."""
        of_parts = {name: value for part in self.parts.values() for name, value in part.options().items()}
        return of_parts | self.own_fields()

    def replace_fields(self, overrides: Mapping[str, Any]) -> Self:
        """Return this recipe with fields replaced that are there, each where it stands."""
        own = self.own_fields()
        parts = {
            field: part.replace_fields({name: value for name, value in overrides.items() if name in part.options()})
            for field, part in self.parts.items()
        }
        own |= {name: value for name, value in overrides.items() if name in own}
        return dataclasses.replace(self, **parts, **own)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelRecipe(AbstractRecipe):
    """How a model is made, its parameters moved, and its features prepared.

    Args:
        model: the kind of model, with all that decides how one is made.
        name: what it is called on the command line and in records.
        lr: learning rate of Adam.
        l2: weight decay in the gradient, as Adam's ``weight_decay``.
        l2_on: "first" decays the first layer only (Kipf & Welling), "all" every parameter.
        row_normalise: scale each node's features to an absolute sum of 1 (true), or of a number; false leaves them as
            they are. "auto" lets the data decide (:func:`graphkit.data.feature_sum`).
        sparse_below: features with a smaller share of non-zeros than this are kept sparse; 0 never.
    """

    model: InstanceOf[AbstractArchitecture]
    lr: LearningRate = 0.01
    l2: NonNegative = 5e-4
    l2_on: Literal["first", "all"] = "first"
    row_normalise: Switch | LearningRate | Literal["auto"] = "auto"
    sparse_below: Share = 0.1

    @property
    def parts(self) -> dict[str, Any]:
        """The model."""
        return {"model": self.model}

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found = super().unused_fields()
        if self.l2 == 0:
            found["l2_on"] = "`l2` is 0"
        elif self.model.single:
            found["l2_on"] = "the first layer is all there is"
        if self.model.solved:
            found |= dict.fromkeys(("lr", "l2", "l2_on"), "its model is solved for, and penalties choose themselves")
            found["row_normalise"] = "rows have length 1 whatever they are divided by"
            found["sparse_below"] = "rows are seen along a few directions, sparse or not"
        if self.model.items not in WITH_FEATURES:
            found |= dict.fromkeys(("row_normalise", "sparse_below"), f"features of {self.model.items} are as they are")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that decide something in one flat table: what a record says and a TOML file may hold."""
        return {"model": self.name, **super().as_dict()}

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...] = ()) -> nn.Module:
        """Return a freshly drawn model of this recipe.

        Args:
            in_channels: features of an item.
            out_channels: width of the result, the classes.
            graph: what ``model.graph`` prepared; only models that are made for one graph look at it.
        """
        return self.model.module(in_channels, out_channels, graph)

    def resolve(self, feature_sum: Callable[[], float]) -> Self:
        """Return this recipe with what is left to the data decided: what a run of it does, and its record says.

        Args:
            feature_sum: returns what the features of a node are scaled to, 0 for "as they are"; called if it matters.

        Example:
            >>> from graphkit.training import recipe
            >>> [recipe("gcn").resolve(lambda: found).row_normalise for found in (0.0, 1.0, 17.5)]
            [False, True, 17.5]
        """
        if self.row_normalise != "auto" or self.model.items not in WITH_FEATURES:
            return self
        found = feature_sum()
        return dataclasses.replace(self, row_normalise={0.0: False, 1.0: True}.get(found, found))

    def parameter_groups(self, module: Any, model: Any = None) -> list[dict[str, Any]]:
        """Return the optimiser's groups: those with rates of their own, those that are decayed, and the others.

        Args:
            module: whose parameters are moved.
            model: what :meth:`module` returned, where ``module`` holds more than that.
        """
        model = module if model is None else model
        special = self.model.groups(model)
        taken = {id(p) for group in special for p in group["params"]}
        first = {id(p) for p in (module if self.l2_on == "all" else model.first).parameters()}
        rest = [p for p in module.parameters() if id(p) not in taken]
        decayed = {"params": [p for p in rest if id(p) in first], "weight_decay": self.l2}
        others = {"params": [p for p in rest if id(p) not in first], "weight_decay": 0.0}
        return [group for group in (decayed, others, *special) if group["params"]]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe(ModelRecipe):
    """How a model is built, trained and selected.

    Args:
        schedule: "constant", or "cosine": from ``lr`` in the first epoch towards 0 after the last of ``epochs``.
        epochs: at most so many.
        batch: items of a step where items do not depend on each other (signals on one graph); 0 is all of them, and
            nodes of one graph are all together unless ``fan_out`` is given.
        fan_out: neighbours drawn for a node in each hop, one number for each layer such as "10,5", -1 for all: nodes
            of one graph are then trained on in batches, each with the neighbours drawn around it. Empty: never.
        microbatches: parts of a batch of nodes or of graphs, each with neighbours, dropout and batch norms of its own.
            Several processes take them in turns, and one process takes one after the other, to the same result.
        home: of a graph in parts, each process takes the nodes of a batch that its own part holds in place of a share:
            fewer rows to be fetched. Batches are the same; what is drawn around their nodes depends on the parts.
        patience: stop after so many epochs in a row in which neither accuracy nor loss on the validation nodes was at
            least as good as ever before (the rule of GAT's authors); 0 always runs all epochs.
        views: passes through the model in a step, each with a dropout of its own. The loss is their mean; where there
            are several, all nodes, labelled or not, are asked to agree on their classes too. For nodes only.
        consistency: weight of that agreement.
        warm_up: epochs over which that weight grows to its value: agreement on what a drawn model guesses is worthless.
        sharpening: how much of a decision the views are asked for; 1 none, towards 0 all.
        refit: of forecasts, train anew for as many epochs as were selected, with the moments to choose by among those
            to learn from: what comes next is like what came last.
        select: whose weights are tested. "accuracy": the epoch of highest validation accuracy (of the best ROC-AUC or
            RMSE where that is the data set's figure), among equals the one of
            lower validation loss, then the earlier one. "loss": the epoch of lowest validation loss, then the
            earlier one. "last": the last epoch.

    All other fields are those of ``ModelRecipe`` and of the model.
    """

    renamed: ClassVar[dict[str, str]] = {"shares": "microbatches"}

    schedule: Literal["constant", "cosine"] = "constant"
    epochs: Positive = 200
    batch: Count = 0
    fan_out: FanOut = ""
    microbatches: Positive = 1
    home: Switch = False
    patience: Count = 0
    views: Positive = 1
    consistency: NonNegative = 1.0
    warm_up: Count = 0
    sharpening: LearningRate = 0.5
    refit: Switch = False
    select: Literal["accuracy", "loss", "last"] = "accuracy"

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found, items = super().unused_fields(), self.model.items
        if items != "nodes":
            found |= dict.fromkeys(("home", "views"), f"{items} do not depend on each other")
            if not self.model.sampled or items == "graphs":
                found["fan_out"] = "it sees its graph whole"
        elif not self.fan_out:
            found |= dict.fromkeys(("batch", "microbatches", "home"), "without `fan_out` all nodes are in one step")
        if self.fan_out and "fan_out" not in found:
            found["sparse_below"] = "`fan_out` draws rows of dense features"
        if items != "moments":
            found["refit"] = f"{items} to choose by stay apart"
        if items in ("signals", "moments") or (items == "links" and not self.fan_out):
            found["microbatches"] = f"{items} of whole graphs train in one process"
        if self.views == 1:
            found |= dict.fromkeys(("consistency", "warm_up", "sharpening"), "one of `views` has none to agree with")
        elif self.consistency == 0:
            found |= dict.fromkeys(("warm_up", "sharpening"), "`consistency` is 0")
        if self.model.solved:
            stepwise = ("fan_out", "batch", "schedule", "microbatches", "home", "views", "consistency")
            found |= dict.fromkeys(
                (*stepwise, "warm_up", "sharpening"), "its model is solved for with all labelled items"
            )
        return found

    @property
    def fan_outs(self) -> tuple[int, ...]:
        """The numbers in ``fan_out``."""
        return tuple(int(many) for many in self.fan_out.split(",") if many)

    @property
    def selection_rule(self) -> str:
        """Say in words whose weights are tested."""
        return self.rule("highest validation accuracy")

    def rule(self, best: str) -> str:
        """Say whose weights are tested where ``best`` names the best figure, such as "lowest validation RMSE"."""
        rules = {
            "accuracy": f"epoch of {best}; ties: lower validation loss, then the earlier epoch",
            "loss": "epoch of lowest validation loss; ties: the earlier epoch",
            "last": "last epoch",
        }
        return rules[self.select] + ("; then trained anew with what it was chosen by" if self.refit else "")

    def model_recipe(self) -> ModelRecipe:
        """Return how the model alone is made and moved, without the loop."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(ModelRecipe)}
        return ModelRecipe(**fields)


def read_overrides(path: Path) -> dict[str, Any]:
    """Return the fields in a TOML file; ``model`` may be among them.

    Raises:
        ValueError: if there is no such file, or it is not a flat TOML table.
    """
    instance("path", path, Path, "a Path")
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"`config` {str(path)!r} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"`config` {str(path)!r} is not TOML: {error}.") from None
    for name, value in fields.items():
        if isinstance(value, dict | list):
            raise ValueError(f"`config` {str(path)!r} must be flat: `{name}` holds a {type(value).__name__}.")
    return fields


def _polynomial_recipe(name: str, model: AbstractArchitecture, **fields: Any) -> Recipe:
    return Recipe(name=name, model=model, l2_on="all", epochs=1000, patience=200, **fields)


def _deep_recipe(name: str, model: AbstractArchitecture) -> Recipe:
    return Recipe(name=name, model=model, lr=0.001, l2=5e-5, l2_on="all", epochs=1000)


RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        Recipe(name="gcn", model=GCN()),
        Recipe(name="sage", model=SAGE()),
        Recipe(
            name="gat",
            model=GAT(hidden=64, dropout=0.6, activation="elu"),
            lr=0.005,
            l2_on="all",
            epochs=1000,
            patience=100,
        ),
        Recipe(name="gin", model=GIN()),
        Recipe(name="cheb", model=Cheb(hidden=32, dropout=0.8)),
        Recipe(name="spectral", model=Spectral(heat=4.0, terms=32, pairs=512, hidden=32, dropout=0.8)),
        Recipe(
            name="specformer",
            model=Specformer(hidden=32),
            lr=2e-4,
            l2_on="all",
            epochs=2000,
            patience=200,
        ),
        Recipe(name="wavelet", model=Wavelet(hidden=64, dropout=0.8), l2_on="all", epochs=400),
        Recipe(name="gwnn", model=GWNN(), epochs=400, patience=100),
        Recipe(
            name="grand",
            model=Grand(order=8, hidden=128),
            l2=1e-3,
            l2_on="all",
            views=4,
            consistency=2.0,
            warm_up=100,
            epochs=400,
        ),
        Recipe(
            name="deep-gcn",
            model=DeepGCN(hidden=64, dropout=0.2),
            l2=0.0,
            l2_on="all",
            epochs=2000,
            row_normalise=False,
        ),
        _deep_recipe("deep-sage", DeepSAGE(hidden=64, layers=6, norm="layer", dropout=0.2)),
        _deep_recipe("deep-gat", DeepGAT(hidden=64, layers=3, norm="layer")),
        _polynomial_recipe("gpr", Polynomial(basis="monomial", hidden=64, alpha=0.1)),
        _polynomial_recipe("bernstein", Polynomial(basis="bernstein", hidden=64)),
        _polynomial_recipe(
            "chebii", Polynomial(basis="chebii", hidden=64, filter_lr=0.001, filter_l2=0.05, propagation_dropout=0.8)
        ),
        _polynomial_recipe(
            "jacobi",
            Polynomial(
                basis="jacobi",
                perceptron=False,
                per_channel=True,
                a=2.0,
                b=-0.25,
                alpha=0.5,
                propagation_dropout=0.7,
                filter_l2=5e-5,
                factor_l2=1e-4,
            ),
            lr=0.05,
            l2=1e-3,
        ),
        _polynomial_recipe("evennet", Polynomial(basis="even", hidden=64, order=5)),
        _polynomial_recipe("optbasis", Polynomial(basis="optbasis", hidden=64)),
        _polynomial_recipe("cayley", Polynomial(basis="cayley", hidden=64, order=5)),
        Recipe(name="view-ridge", model=ViewMixture(), l2=0.0, row_normalise=False, epochs=5),
        Recipe(name="mlp", model=MLP()),
    )
}
"""Named recipes. GCN and GAT have their authors' hyper-parameters, and GAT its authors' patience. Whose weights are
tested is ours: GCN's authors take the last epoch; GAT's the last one at which validation accuracy and loss were both
at their best, of at most 100,000. Cheb, spectral, wavelet and grand were chosen by validation accuracy on Cora and
CiteSeer together. BernNet, ChebNetII (public split; on the dense one its authors take ``propagation_dropout=0``) and
JacobiConv (dense split) have their authors' values for Cora, and the other polynomial filters BernNet's. The deep ones
have their authors' values for Minesweeper (``deep-gcn``) and Amazon-Photo. No choice of ours was made by test data, or
for one data set."""


def _signal_recipe(name: str, model: AbstractArchitecture, **fields: Any) -> Recipe:
    return Recipe(name=name, model=model, batch=100, epochs=100, lr=0.003, l2=0.0, **fields)


SIGNAL_RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        _signal_recipe("cheb", PooledCheb()),
        _signal_recipe("gcn", PooledGCN()),
        _signal_recipe("spectral", PooledSpectral()),
        _signal_recipe("clustered", PooledLocal()),
        _signal_recipe("mlp", SignalMLP(hidden=60)),
    )
}
"""Named recipes for signals on one graph."""


def _graph_recipe(name: str, model: AbstractArchitecture, *, epochs: int = 30, batch: int = 64) -> Recipe:
    return Recipe(name=name, model=model, epochs=epochs, batch=batch, lr=0.001, l2=0.0, schedule="cosine")


SMALL: dict[str, Any] = {"hidden": 64, "dropout": 0.3}
"""A size for two CPU cores."""

PLUS: dict[str, Any] = {"hidden": 64, "dropout": 0.1, "layers": 4, "residual": True, "walks": 20, "head_layers": 2}
"""What turns a classic into a rival of graph transformers, at a size for two CPU cores."""

OGB: dict[str, Any] = {"hidden": 300, "dropout": 0.5}
"""The size of OGB's own baselines, for those with time or an accelerator."""


GRAPH_RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        _graph_recipe("gin", GraphGIN(**SMALL, residual=True)),
        _graph_recipe("gin-large", GraphGIN(**OGB, residual=True), epochs=100, batch=32),
        _graph_recipe("gin-virtual", GraphGIN(**SMALL, residual=True, virtual_node=True)),
        _graph_recipe("gin-virtual-large", GraphGIN(**OGB, residual=True, virtual_node=True), epochs=100, batch=32),
        _graph_recipe("gcn", GraphGCN(**SMALL, residual=True)),
        _graph_recipe("gcn-virtual", GraphGCN(**SMALL, residual=True, virtual_node=True)),
        _graph_recipe("gcn-plus", GraphGCN(**PLUS, feed_forward=True)),
        _graph_recipe("gin-plus", GraphGIN(**PLUS)),
        _graph_recipe("gatedgcn-plus", GraphGatedGCN(**PLUS)),
        _graph_recipe("gin-forest", GraphGIN(**SMALL, residual=True, ensemble="wl-forest")),
        _graph_recipe("gatedgcn-fingerprints", GraphGatedGCN(**PLUS, ensemble="fingerprint-forest")),
        _graph_recipe("gatedgcn-descriptors", GraphGatedGCN(**PLUS, ensemble="descriptor-gp")),
        _graph_recipe("structure-free", StructureFreeArchitecture(**SMALL)),
        Recipe(name="wl-forest", model=CountForest(), l2=0.0, epochs=4),
        Recipe(name="fingerprint-forest", model=FingerprintForest(), l2=0.0, epochs=2),
        Recipe(name="descriptor-gp", model=DescriptorProcess(), l2=0.0, epochs=2),
    )
}
"""Named recipes for sets of graphs; those that are not "large" are sized for two CPU cores. Those that are named by
what stands beside a network are ensembles; the network was chosen by validation on molbace and molfreesolv."""


LINK: dict[str, Any] = {"hidden": 256, "dropout": 0.5}
"""A width of what pairs of nodes are scored by."""


def _link_recipe(name: str, model: AbstractArchitecture) -> Recipe:
    return Recipe(name=name, model=model, lr=0.003, l2=0.0, epochs=200, patience=50, row_normalise=False)


def _pair_recipe(name: str, model: AbstractArchitecture, epochs: int = 1) -> Recipe:
    return Recipe(name=name, model=model, l2=0.0, epochs=epochs)


LINK_RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        _link_recipe("gcn-link", LinkGCN(**LINK)),
        _link_recipe("sage-link", LinkSAGE(**LINK)),
        _link_recipe("ncn", LinkGCN(**LINK, common=True)),
        _link_recipe("filter-link", LinkFilter(**LINK)),
        _link_recipe("buddy", LinkSketch(**LINK, order=3)),
        _link_recipe("siamese-link", LinkGCN(**LINK, decoder="distance", loss="contrastive")),
        _link_recipe("triplet-link", LinkGCN(**LINK, decoder="distance", loss="triplet")),
        _pair_recipe("pair-logistic", PairLogistic(), epochs=4),
        _pair_recipe("pair-forest", PairForest()),
        _pair_recipe("common-neighbors", PairScore(score="common-neighbors")),
        _pair_recipe("adamic-adar", PairScore(score="adamic-adar")),
        _pair_recipe("resource-allocation", PairScore(score="resource-allocation")),
        _pair_recipe("katz", PairScore(score="katz")),
        _pair_recipe("pagerank", PairScore(score="pagerank")),
        _pair_recipe("cosine", PairScore(score="cosine")),
        _pair_recipe("averaged-cosine", PairScore(score="averaged-cosine")),
    )
}
"""Named recipes for links. The last seven are rules for which nothing is learnt."""


def _forecast_recipe(name: str, model: AbstractArchitecture) -> Recipe:
    return Recipe(
        name=name, model=model, lr=0.003, l2=0.0, epochs=100, batch=32, patience=20, schedule="cosine", refit=True
    )


def _solved_forecast(name: str, model: AbstractArchitecture, epochs: int = 1) -> Recipe:
    return Recipe(name=name, model=model, l2=0.0, epochs=epochs, refit=not isinstance(model, ForecastRule))


FORECAST_RECIPES: dict[str, Recipe] = {
    made.name: made
    for made in (
        _forecast_recipe("lag-network", LagForecast(hidden=64, dropout=0.1)),
        _forecast_recipe("stgcn", ConvolutionalForecast(hidden=32, dropout=0.1)),
        _forecast_recipe("graph-gru", RecurrentForecast(hidden=32, dropout=0.1, order=2)),
        _forecast_recipe("dcrnn", RecurrentForecast(hidden=32, dropout=0.1, conv="diffusion", order=2)),
        _forecast_recipe("tgcn", RecurrentForecast(hidden=32, dropout=0.1, conv="gcn")),
        _solved_forecast("lag-ridge", ForecastRidge(), epochs=18),
        _solved_forecast("graph-ridge", ForecastRidge(hops=2), epochs=18),
        _solved_forecast("last-value", ForecastRule(rule="last-value")),
        _solved_forecast("window-mean", ForecastRule(rule="window-mean")),
        _solved_forecast("last-day", ForecastRule(rule="last-period", period="day")),
        _solved_forecast("last-week", ForecastRule(rule="last-period", period="week")),
        _solved_forecast("last-year", ForecastRule(rule="last-period", period="year")),
    )
}
"""Named recipes for moments. The last five are rules for which nothing is learnt."""


def recipe(name: str, overrides: Mapping[str, Any] | None = None, *, items: str = "nodes") -> Recipe:
    """Return a named recipe with some fields replaced.

    Args:
        name: such as "gcn".
        overrides: fields and values, as :meth:`Recipe.with_` takes them.
        items: "nodes", or "signals", "graphs", "links" or "moments" for the recipe of that name for signals on one
            graph, whole graphs, pairs of nodes or forecasts.

    Raises:
        ValueError: for an unknown name or field (with the nearest names), or a value out of its range.

    Example:
        >>> recipe("gcn", {"hidden": 32}).model.hidden
        32
        >>> recipe("gcn", {"hiden": 32})
        Traceback (most recent call last):
        ValueError: `hiden` is no field of the recipe 'gcn'. Did you mean 'hidden'?
    """
    tables = {
        "nodes": RECIPES,
        "signals": SIGNAL_RECIPES,
        "graphs": GRAPH_RECIPES,
        "links": LINK_RECIPES,
        "moments": FORECAST_RECIPES,
    }
    known = tables[member("items", items, tables)]
    return known[member("model", name, known)].with_(fields_of("overrides", overrides))
