"""A source: what reads a data set's files and brings them where they are missing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from graphkit.data.catalog.sources.generated import (
    EmbeddedSource,
    StoredSource,
    SyntheticSource,
    digits_graph,
    digits_grid,
    karate_graph,
    role_graph,
)
from graphkit.data.catalog.sources.ogb import OGBGraphSource, OGBNodeSource
from graphkit.data.catalog.sources.ogb_links import OGBLinkSource, OGBTypedLinkSource
from graphkit.data.catalog.sources.pyg import PlanetoidSource, PyGSource, TUSource
from graphkit.data.catalog.sources.repositories import (
    CitationDomainSource,
    ClothingSource,
    Facebook100Source,
    FilteredSource,
    TwitchSource,
)
from graphkit.data.disk.synthetic import Synthetic

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

    from graphkit.data.graphset import GraphSet


class Source(Protocol):
    """Reads a data set below a root laid out as its card says, and downloads what the card lists."""

    @property
    def pickle_free(self) -> bool:
        """Whether reading never unpickles, so that a file may be opened before it is known to be the right one."""

    def read(self, root: Path) -> Data | HeteroData | GraphSet:
        """Return the graph, or the set of graphs, with ``x``, ``edge_index``, ``y`` and its published masks.

        Masks of one split are ``train_mask``, ``val_mask`` and ``test_mask`` of shape ``[nodes]``; masks of several
        are ``train_masks``, ``val_masks`` and ``test_masks`` of shape ``[nodes, splits]``.
        """

    def download(self, root: Path) -> None:
        """Download every file of the card below ``root``."""


__all__ = ["SOURCES", "PlanetoidSource", "PyGSource", "Source", "StoredSource"]

SOURCES: dict[str, Source] = {
    "digits": EmbeddedSource(digits_graph),
    "digits-grid": EmbeddedSource(digits_grid),
    "karate": EmbeddedSource(karate_graph),
    **{
        f"structural-roles-{base}-{seed + 1}": EmbeddedSource(partial(role_graph, base, seed))
        for base in ("cycle", "community")
        for seed in range(3)
    },
    "cora": PlanetoidSource("Cora"),
    "citeseer": PlanetoidSource("CiteSeer"),
    "pubmed": PlanetoidSource("PubMed", geom_gcn=False),
    "citation-full-cora": PyGSource("CitationFull", "citation_full", "Cora"),
    "citation-full-cora-ml": PyGSource("CitationFull", "citation_full", "Cora_ML"),
    "citation-full-citeseer": PyGSource("CitationFull", "citation_full", "CiteSeer"),
    "citation-full-dblp": PyGSource("CitationFull", "citation_full", "DBLP"),
    "citation-full-pubmed": PyGSource("CitationFull", "citation_full", "PubMed"),
    "amazon-photo": PyGSource("Amazon", "amazon", "Photo"),
    "amazon-computers": PyGSource("Amazon", "amazon", "Computers"),
    "coauthor-cs": PyGSource("Coauthor", "coauthor", "CS"),
    "coauthor-physics": PyGSource("Coauthor", "coauthor", "Physics"),
    "texas": PyGSource("WebKB", "webkb", "texas"),
    "cornell": PyGSource("WebKB", "webkb", "cornell"),
    "wisconsin": PyGSource("WebKB", "webkb", "wisconsin"),
    "actor": PyGSource("Actor", "actor"),
    "chameleon": FilteredSource("chameleon"),
    "squirrel": FilteredSource("squirrel"),
    "chameleon-unfiltered": PyGSource("WikipediaNetwork", "wikipedia_network", "chameleon"),
    "squirrel-unfiltered": PyGSource("WikipediaNetwork", "wikipedia_network", "squirrel"),
    "minesweeper": PyGSource("HeterophilousGraphDataset", "heterophilous", "Minesweeper"),
    "citation-domains-acm": CitationDomainSource("acmv9"),
    "citation-domains-citation": CitationDomainSource("citationv1"),
    "citation-domains-dblp": CitationDomainSource("dblpv7"),
    "facebook100-amherst41": Facebook100Source("amherst41"),
    "facebook100-cornell5": Facebook100Source("cornell5"),
    "facebook100-johnshopkins55": Facebook100Source("johnshopkins55"),
    "mutag": TUSource("MUTAG"),
    "enzymes": TUSource("ENZYMES"),
    "proteins": TUSource("PROTEINS"),
    "nci1": TUSource("NCI1"),
    "imdb-binary": TUSource("IMDB-BINARY"),
    "aids": TUSource("AIDS"),
    "mutagenicity": TUSource("Mutagenicity"),
    "firstmm-db": TUSource("FIRSTMM_DB"),
    "ogbg-molhiv": OGBGraphSource("molhiv", "hiv"),
    "ogbg-molbace": OGBGraphSource("molbace", "bace"),
    "ogbg-molesol": OGBGraphSource("molesol", "esol"),
    "ogbg-molfreesolv": OGBGraphSource("molfreesolv", "freesolv"),
    "ogbg-molbbbp": OGBGraphSource("molbbbp", "bbbp"),
    "ogbg-molclintox": OGBGraphSource("molclintox", "clintox", tasks=2),
    "ogbg-molmuv": OGBGraphSource("molmuv", "muv", tasks=17),
    "ogbg-molpcba": OGBGraphSource("molpcba", "pcba", tasks=128),
    "ogbg-molsider": OGBGraphSource("molsider", "sider", tasks=27),
    "ogbg-moltox21": OGBGraphSource("moltox21", "tox21", tasks=12),
    "ogbg-moltoxcast": OGBGraphSource("moltoxcast", "toxcast", tasks=617),
    "ogbg-mollipo": OGBGraphSource("mollipo", "lipophilicity"),
    "ogbn-arxiv": OGBNodeSource("arxiv", split="time", add_inverse_edge=False, node_files=("node_year",)),
    "ogbn-products": OGBNodeSource("products", split="sales_ranking", add_inverse_edge=True),
    "synthetic-arxiv": SyntheticSource("synthetic-arxiv", Synthetic(169_343, 1_166_243, 128, 40)),
    "synthetic-products": StoredSource(
        "synthetic-products", Synthetic(2_449_029, 61_859_140, 100, 47, train=0.08, validation=0.02)
    ),
    "ogbl-collab": OGBLinkSource("collab", "collab", split="time", edge_files=("edge_weight", "edge_year")),
    "ogbl-ddi": OGBLinkSource("ddi", "ddi", split="target", features=False),
    "ogbl-ppa": OGBLinkSource("ppa", "ppassoc", split="throughput"),
    "ogbl-citation2": OGBLinkSource(
        "citation2", "citation-v2", split="time", add_inverse_edge=False, node_files=("node_year",)
    ),
    "ogbl-vessel": OGBLinkSource("vessel", "vessel", split="spatial", add_inverse_edge=False, binary=True),
    "ogbl-wikikg2": OGBLinkSource(
        "wikikg2", "wikikg-v2", split="time", add_inverse_edge=False, features=False, edge_files=("edge_reltype",)
    ),
    "ogbl-biokg": OGBTypedLinkSource("biokg", split="random", edge_files=("edge_reltype",)),
    "twitch-musae-de": TwitchSource("DE"),
    "twitch-musae-engb": TwitchSource("ENGB"),
    "twitch-musae-es": TwitchSource("ES"),
    "twitch-musae-fr": TwitchSource("FR"),
    "twitch-musae-ptbr": TwitchSource("PTBR"),
    "twitch-musae-ru": TwitchSource("RU"),
    "twitch-musae-tw": TwitchSource("TW"),
    "gpn-amazon-clothing": ClothingSource(),
}
