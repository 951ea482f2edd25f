"""Which layers a model is made of, as frozen data: the options that only this kind of model has.

``AbstractArchitecture`` says what a new kind brings: what it takes of the graph, how its model is made, and which of
its parameters are trained at rates of their own. A recipe gives it a name (``graphkit.training.zoo.recipes``).
"""

from graphkit.training.zoo.architecture import AbstractArchitecture, AbstractEdgeStack, AbstractStack
from graphkit.training.zoo.closed_form import CountForest, DescriptorProcess, FingerprintForest, ViewMixture
from graphkit.training.zoo.message_passing import GAT, GCN, GIN, MLP, SAGE, Grand
from graphkit.training.zoo.polynomial_filters import Cheb, Polynomial
from graphkit.training.zoo.spectral_filters import GWNN, Specformer, Spectral, Wavelet

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
    "CountForest",
    "DescriptorProcess",
    "FingerprintForest",
    "Grand",
    "Polynomial",
    "Specformer",
    "Spectral",
    "ViewMixture",
    "Wavelet",
]
