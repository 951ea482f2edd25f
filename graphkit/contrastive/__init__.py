"""Self-supervised pre-training on graphs: views drawn by augmentation, objectives that need no labels.

A method is an ``nn.Module`` around an encoder; ``pretrain`` trains it, ``method.embed`` gives the embeddings. They
are good starts where labels are few.
"""

from graphkit._exports import deprecated_names
from graphkit.contrastive.augmentations import Augmentation, Diffusion, View, drop_edges, mask_features, subgraph_nodes
from graphkit.contrastive.methods import BGRL, CCASSG, DGI, GRACE
from graphkit.contrastive.self_supervision import AbstractSelfSupervision, pretrain

__all__ = [
    "BGRL",
    "CCASSG",
    "DGI",
    "GRACE",
    "AbstractSelfSupervision",
    "Augmentation",
    "Diffusion",
    "View",
    "drop_edges",
    "mask_features",
    "pretrain",
    "subgraph_nodes",
]

__getattr__ = deprecated_names(
    __name__,
    {
        "AbstractMethod": "graphkit.contrastive.AbstractSelfSupervision",
        "kept_edges": "graphkit.contrastive.drop_edges",
        "kept_nodes": "graphkit.contrastive.subgraph_nodes",
        "masked_features": "graphkit.contrastive.mask_features",
        "pretraining": "graphkit.contrastive.pretrain",
    },
)
