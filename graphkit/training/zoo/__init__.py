"""Which layers a model is made of, as frozen data: the options that only this kind of model has.

``AbstractArchitecture`` says what a new kind brings: what it takes of the graph, how its model is made, and which of
its parameters are trained at rates of their own. A recipe gives it a name (``graphkit.training.zoo.registry``).
"""

from graphkit.training.zoo.abstract import AbstractArchitecture, AbstractEdgeStack, AbstractStack
from graphkit.training.zoo.chebyshev import Cheb
from graphkit.training.zoo.eigenbasis import Specformer, Spectral
from graphkit.training.zoo.polynomial import Polynomial
from graphkit.training.zoo.propagation import Grand
from graphkit.training.zoo.spatial import GAT, GCN, GIN, MLP, SAGE
from graphkit.training.zoo.wavelets import GWNN, Wavelet

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
