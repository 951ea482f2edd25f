"""Architectures of links: encoders with a decoder, estimators on views of pairs, and rules that are not trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Activation,
    EdgeWeights,
    Hops,
    Items,
    NonNegative,
    Norm,
    Positive,
    Rate,
    Switch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from graphkit.nn.estimators import AbstractEstimator
    from graphkit.nn.node_models import Conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractLinkModel(AbstractArchitecture):
    """What tells links from pairs of nodes that are none."""

    items: ClassVar[Items] = "links"
    sees_features: ClassVar[bool] = True
    """Whether nodes need features."""
    views: ClassVar[bool] = False
    """Whether it looks at views of pairs."""
    encodes: ClassVar[bool] = False
    """Whether it makes rows of nodes, which all pairs have in common."""

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return nothing: the edges that may be seen come with each batch of pairs."""
        return ()

    def viewer(self, data: Any) -> Callable[[Tensor], Tensor]:
        """Return what gives its views of pairs, ``[pairs, columns]``, given the edges that may be seen."""
        raise NotImplementedError(f"{type(self).__name__} looks at nodes")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractLinkEncoder(AbstractLinkModel):
    """An encoder of all nodes, and a decoder of pairs; links that are asked for are not among the edges seen.

    Args:
        decoder: an inner product, a perceptron on the product, a learnt form of both nodes, or their distance.
        decoder_layers: linear maps of the perceptron.
        loss: "cross-entropy" of links and as many other pairs; "ranking", whether a link is ahead of another pair;
            "triplet", whether a node is nearer to one that it is joined with than to another, by ``margin``;
            "contrastive", of distances: links are pulled together, others pushed to the margin.
        margin: of the last two, of scores or square distances.
    """

    encodes: ClassVar[bool] = True

    decoder: Literal["inner", "hadamard", "bilinear", "distance"] = "hadamard"
    decoder_layers: Positive = 2
    loss: Literal["cross-entropy", "ranking", "triplet", "contrastive"] = "cross-entropy"
    margin: NonNegative = 1.0

    def unused_fields(self) -> dict[str, str]:
        """Return what only a perceptron has, and only losses with a margin."""
        found = {} if self.decoder == "hadamard" else {"decoder_layers": "the decoder is no perceptron"}
        return found if self.loss in ("triplet", "contrastive") else found | {"margin": f"{self.loss} has no margin"}

    @abstractmethod
    def encoder(self, in_channels: int) -> nn.Module:
        """Return a freshly drawn encoder of nodes, ``hidden`` wide."""

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the encoder and the decoder."""
        from graphkit.nn.link_models import LinkPredictor, PairDecoder

        encoder = self.encoder(in_channels)
        decoder = PairDecoder(self.hidden, self.decoder, layers=self.decoder_layers, dropout=self.dropout)
        common = getattr(self, "common", False) and self.decoder == "hadamard"
        return LinkPredictor(encoder, decoder, common=common, views=self.columns)

    @property
    def columns(self) -> int:
        """How many views of pairs it looks at."""
        return 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractLinkStack(AbstractLinkEncoder):
    """Convolutions over all nodes, and a decoder of pairs.

    Args:
        layers: number of convolutions.
        activation: between the layers, a name PyG resolves.
        norm: normalisation after each hidden layer.
        residual: add a layer's input to its result.
        common: whether rows of common neighbours are added to the product.
    """

    layers: Positive = 2
    activation: Activation = "relu"
    norm: Norm = "none"
    residual: Switch = False
    common: Switch = False

    def unused_fields(self) -> dict[str, str]:
        """Return what else only a perceptron has, and only hidden layers."""
        found = super().unused_fields()
        if self.decoder != "hadamard":
            found["common"] = "the decoder is no perceptron"
        if self.layers == 1:
            found |= dict.fromkeys(("activation", "norm", "residual"), "one layer has nothing between layers")
        return found

    @abstractmethod
    def conv(self) -> Conv:
        """Return the maker of a layer."""

    def encoder(self, in_channels: int) -> nn.Module:
        """Return the stack."""
        from graphkit.nn.node_models import Encoder

        return Encoder(
            in_channels,
            self.hidden,
            self.hidden,
            conv=self.conv(),
            layers=self.layers,
            dropout=self.dropout,
            norm=None if self.norm == "none" else self.norm,
            residual=self.residual,
            activation=self.activation,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinkGCN(AbstractLinkStack):
    """Graph convolution, and a decoder of pairs.

    Source: Kipf & Welling (2016), arXiv:1611.07308; with ``common`` Wang, Yang & Zhang (2024), arXiv:2302.00890.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    sampled: ClassVar[bool] = True

    def conv(self) -> Conv:
        """Return the maker of a layer."""
        from graphkit.nn import GCNConv

        return GCNConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinkSAGE(AbstractLinkStack):
    """GraphSAGE, and a decoder of pairs.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    edge_weights: ClassVar[EdgeWeights] = "refused"
    sampled: ClassVar[bool] = True

    def conv(self) -> Conv:
        """Return the maker of a layer."""
        from graphkit.nn import SAGEConv

        return SAGEConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinkFilter(AbstractLinkEncoder):
    """A linear map of features, a filter of many hops whose weights are learnt, and a decoder of pairs.

    Args:
        order: hops of the filter.
        alpha: it begins as personalised PageRank with this chance to stop.
        propagation_dropout: probability of zeroing a value before the filter.

    Source: Chien et al. (2021), arXiv:2006.07988, for the filter; Zhang et al. (2024), arXiv:2406.07979, for one with
    a perceptron on products.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    order: Positive = 10
    alpha: Rate = 0.2
    propagation_dropout: Rate = 0.0

    def encoder(self, in_channels: int) -> nn.Module:
        """Return the map and the filter."""
        from graphkit.nn import FilteredPerceptron, PolynomialConv

        filter = PolynomialConv(
            self.hidden, self.hidden, self.order, "monomial", linear=False, bias=False, alpha=self.alpha
        )
        return FilteredPerceptron(
            in_channels,
            0,
            self.hidden,
            filter,
            dropout=self.dropout,
            propagation_dropout=self.propagation_dropout,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinkSketch(LinkFilter):
    """A filter of features, and a perceptron on products and on how many nodes are around both of a pair.

    These are estimated from sketches, so that a pair costs the same whatever its nodes' degrees. Links to learn from
    are seen in ``folds``, each with its links away.

    Args:
        hops: steps around a node.
        permutations: hashes of a sketch.
        folds: parts of the links to learn from, at least 2.

    Source: Chamberlain et al. (2023), arXiv:2209.15486, whose links to learn from stay in the graph, and whose features
    are averaged a fixed number of times.
    """

    hops: Hops = 2
    permutations: Positive = 128
    folds: Positive = 5

    @property
    def untraced(self) -> str:
        """That it counts."""
        return "it counts nodes around pairs"

    @property
    def views(self) -> bool:  # type: ignore[override]  # a perceptron alone looks at them
        """Whether it looks at views of pairs."""
        return self.decoder == "hadamard"

    @property
    def columns(self) -> int:
        """How many views of pairs it looks at."""
        return self.hops * (self.hops + 1) // 2 + 2 * self.hops if self.views else 0

    def unused_fields(self) -> dict[str, str]:
        """Return what only a perceptron looks at."""
        found = super().unused_fields()
        if self.decoder != "hadamard":
            found |= dict.fromkeys(("hops", "permutations", "folds"), "the decoder is no perceptron")
        return found

    def viewer(self, data: Any) -> Callable[[Tensor], Tensor]:
        """Return what estimates numbers of nodes, as logarithms."""
        from graphkit.operators.pair_sketches import PairSketches

        sketches = PairSketches(data.edge_index, data.num_nodes, hops=self.hops, permutations=self.permutations)
        return lambda pairs: sketches.counts(pairs).log1p()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractPairModel(AbstractLinkModel):
    """What looks at views of pairs, and takes no step of an optimiser."""

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    solved: ClassVar[bool] = True
    sees_features: ClassVar[bool] = False
    views: ClassVar[bool] = True

    @property
    def untraced(self) -> str:
        """That it counts."""
        return "it counts paths between nodes"

    variants: ClassVar[int] = 1
    """How many solutions there are."""

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have, and what chooses among several solutions."""
        found = dict.fromkeys(("hidden", "dropout"), "it has no layers")
        return found | (
            dict.fromkeys(("epochs", "patience", "select"), "there is one solution") if self.variants == 1 else {}
        )

    def estimator(self) -> AbstractEstimator | None:
        """Return what is fitted to views of pairs; ``None`` where one of them is the score."""
        return None

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model, not fitted yet."""
        from graphkit.nn.link_models import PairViewModel

        return PairViewModel(self.estimator())

    def solver(self, module: Any, task: Any) -> Any:
        """Return what fits the estimator to pairs to learn from."""
        return _PairSolver(module, task)

    def solutions(self, module: Any) -> int:
        """Return one for each variant of the estimator."""
        return int(module.solutions)


class _PairSolver:
    """Fits the estimator of a model to the pairs to learn from."""

    def __init__(self, module: Any, task: Any) -> None:
        self._module, self._task = module, task

    def solve(self, number: int) -> None:
        """Fit it in one of its ways."""
        train = self._task.train
        self._module.solve(number, self._task.views[train.index], train.y)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PairScore(AbstractPairModel):
    """A rule by which pairs are ranked, for which nothing is learnt: common neighbours, walks, or alike features.

    Source: Liben-Nowell & Kleinberg (2007), "The link-prediction problem for social networks".
    """

    score: Literal[
        "common-neighbors",
        "adamic-adar",
        "resource-allocation",
        "katz",
        "pagerank",
        "cosine",
        "averaged-cosine",
    ] = "resource-allocation"

    def viewer(self, data: Any) -> Callable[[Tensor], Tensor]:
        """Return what scores pairs."""
        from graphkit.data.pairs import SCORES

        score = SCORES[self.score](data)
        return lambda pairs: score(pairs)[:, None]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PairLogistic(AbstractPairModel):
    """Logistic regression on views of pairs: how alike nodes are in many ways, and the paths between them.

    Links to learn from are seen as those that are asked for will be: in ``folds``, each with its links away. The k-th
    epoch has the k-th of four penalties.

    Args:
        width: directions along which features are seen.
        folds: parts of the links to learn from, at least 2.
        negatives: other pairs to learn from, for each link.
        walks: whether personalised PageRank is among the views, which takes long on graphs of many nodes.

    Source: Lichtenwalter, Lussier & Chawla (2010), "New perspectives and methods in link prediction", for learning from
    rules that rank pairs.
    """

    variants: ClassVar[int] = 4

    width: Positive = 256
    folds: Positive = 10
    negatives: Positive = 3
    walks: Switch = False

    def estimator(self) -> AbstractEstimator | None:
        """Return a regression that knows nothing."""
        from graphkit.nn.estimators import LogisticModel

        return LogisticModel(1)

    def viewer(self, data: Any) -> Callable[[Tensor], Tensor]:
        """Return what gives views of pairs."""
        from graphkit.data.pairs import PairViewer

        return PairViewer(data, width=self.width, walks=self.walks)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PairForest(PairLogistic):
    """A random forest on views of pairs, of ``trees`` with ``leaf`` pairs in a leaf at least.

    Source: as logistic regression on them; Breiman (2001), "Random forests".
    """

    variants: ClassVar[int] = 1

    trees: Positive = 300
    leaf: Positive = 5

    def estimator(self) -> AbstractEstimator | None:
        """Return a forest without trees."""
        from graphkit.nn.estimators import Forest

        return Forest(1, trees=self.trees, leaf=self.leaf)
