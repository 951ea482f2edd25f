"""Self-supervised pre-training on graphs: views drawn by augmentation, objectives that need no labels.

A method is an ``nn.Module`` around an encoder; ``pretraining`` trains it, ``method.embed`` gives the embeddings. They
are good starts where labels are few.
"""

from graphkit.contrastive.augmentations import kept_edges, kept_nodes, masked_features
from graphkit.contrastive.bgrl import BGRL
from graphkit.contrastive.ccassg import CCASSG
from graphkit.contrastive.dgi import DGI
from graphkit.contrastive.grace import GRACE
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.pretraining import pretraining
from graphkit.contrastive.views import Augmentation, Diffusion, View

__all__ = [
    "BGRL",
    "CCASSG",
    "DGI",
    "GRACE",
    "AbstractMethod",
    "Augmentation",
    "Diffusion",
    "View",
    "kept_edges",
    "kept_nodes",
    "masked_features",
    "pretraining",
]
