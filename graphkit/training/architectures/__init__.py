"""Which layers a model is made of, as frozen data: the options that only this kind of model has.

``AbstractArchitecture`` says what a new kind brings: what it takes of the graph, how its model is made, and which of
its parameters are trained at rates of their own. A recipe gives it a name (``graphkit.training.named``).
"""

from graphkit.training.architectures.abstract import AbstractArchitecture, AbstractEdgeStack, AbstractStack
from graphkit.training.architectures.chebyshev import Cheb
from graphkit.training.architectures.eigenbasis import Specformer, Spectral
from graphkit.training.architectures.polynomial import Polynomial
from graphkit.training.architectures.propagation import Grand
from graphkit.training.architectures.spatial import GAT, GCN, GIN, MLP, SAGE
from graphkit.training.architectures.wavelets import GWNN, Wavelet

__all__ = [
    "GAT",
    "GCN",
    "GIN",
    "GWNN",
    "MLP",
    "SAGE",
    "AbstractArchitecture",
    "AbstractEdgeStack",
    "AbstractStack",
    "Cheb",
    "Grand",
    "Polynomial",
    "Specformer",
    "Spectral",
    "Wavelet",
]
