"""Sources: how the files of a data set are read and, where they are missing, downloaded.

PyG's own classes do both wherever they can; a data set that no class of PyG reads has a file of its own here.
"""

from __future__ import annotations

from functools import partial

from graphkit.data.sources.citation_domains import CitationDomainSource
from graphkit.data.sources.digits import digits_graph
from graphkit.data.sources.digits_grid import digits_grid
from graphkit.data.sources.embedded import EmbeddedSource, karate_graph
from graphkit.data.sources.facebook100 import Facebook100Source
from graphkit.data.sources.filtered import FilteredSource
from graphkit.data.sources.gpn import ClothingSource
from graphkit.data.sources.ogb import OGBGraphSource, OGBNodeSource
from graphkit.data.sources.ogb_links import OGBLinkSource
from graphkit.data.sources.ogb_typed import OGBTypedLinkSource
from graphkit.data.sources.pyg import PlanetoidSource, PyGSource
from graphkit.data.sources.roles import role_graph
from graphkit.data.sources.source import PARTS, Source
from graphkit.data.sources.synthetic import StoredSource, SyntheticSource
from graphkit.data.sources.tu import TUSource
from graphkit.data.sources.twitch import TwitchSource
from graphkit.data.synthetic import Synthetic

__all__ = ["PARTS", "SOURCES", "PlanetoidSource", "PyGSource", "Source", "StoredSource"]

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
    "ogbn-arxiv": OGBNodeSource("arxiv", split="time", both_ways=False, node_files=("node_year",)),
    "ogbn-products": OGBNodeSource("products", split="sales_ranking", both_ways=True),
    "synthetic-arxiv": SyntheticSource("synthetic-arxiv", Synthetic(169_343, 1_166_243, 128, 40)),
    "synthetic-products": StoredSource(
        "synthetic-products", Synthetic(2_449_029, 61_859_140, 100, 47, train=0.08, validation=0.02)
    ),
    "ogbl-collab": OGBLinkSource("collab", "collab", split="time", edge_files=("edge_weight", "edge_year")),
    "ogbl-ddi": OGBLinkSource("ddi", "ddi", split="target", features=False),
    "ogbl-ppa": OGBLinkSource("ppa", "ppassoc", split="throughput"),
    "ogbl-citation2": OGBLinkSource(
        "citation2", "citation-v2", split="time", both_ways=False, node_files=("node_year",)
    ),
    "ogbl-vessel": OGBLinkSource("vessel", "vessel", split="spatial", both_ways=False, binary=True),
    "ogbl-wikikg2": OGBLinkSource(
        "wikikg2", "wikikg-v2", split="time", both_ways=False, features=False, edge_files=("edge_reltype",)
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
