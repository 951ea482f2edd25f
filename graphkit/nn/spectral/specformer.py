"""Specformer's filter: responses that see the whole spectrum, one layer after another, of one encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graphkit._checks import at_least, dense_features, within
from graphkit.nn.fused import unscriptable
from graphkit.nn.inputs import fitting
from graphkit.nn.spectral.eigenvalues import EigenvalueEncoder
from graphkit.operators import FourierBasis
from graphkit.operators.dropout import dropout as dropped
from graphkit.operators.operand_checks import check_same_dtype


class SpecformerFilter(nn.Module):
    r"""Layers :math:`H \leftarrow H\,\mathrm{diag}(w_0) + \sum_t U\,\varphi_t(\Lambda)\,U^T H\,\mathrm{diag}(w_t)`.

    The terms :math:`\varphi_t` come from one encoder of the spectrum, computed once for all layers; each layer has
    numbers :math:`w_t` for each channel and no map of the channels. As the signal itself is one of the terms, a
    truncated basis deletes nothing. No layer belongs to a graph.

    Args:
        channels: features of a node, and of the result.
        layers: number of layers.
        terms: number of terms, the decoder's heads.
        hidden: width of the encoder, even and a multiple of 4.
        dropout: of the encoder's attention and perceptron, and of a layer's input.

    Shape:
        ``x`` ``[..., nodes, channels]`` and a ``FourierBasis``, or the list of them that a PyG batch holds. Returns
        ``[..., nodes, channels]``.

    Source: Bo, Shi, Wang & Liao (2023), Specformer, arXiv:2303.01028, sections 3.2 and 3.3, with depthwise mixing.

    Example:
        >>> from graphkit.operators import fourier_basis, laplacian
        >>> ring = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
        >>> basis = fourier_basis(laplacian(ring, normalization="sym"))
        >>> SpecformerFilter(2)(torch.ones(4, 2), basis).shape
        torch.Size([4, 2])
    """

    __prepare_scriptable__ = unscriptable

    def __init__(
        self, channels: int, *, layers: int = 2, terms: int = 4, hidden: int = 32, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = at_least("channels", channels, 1)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.encoder = EigenvalueEncoder(at_least("terms", terms, 1), hidden, dropout=dropout)
        self.weight = Parameter(torch.empty(at_least("layers", layers, 1), terms + 1, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the encoder and the numbers anew, all around equal shares, as the authors do."""
        for module in self.encoder.modules():
            if isinstance(module, nn.Linear | nn.LayerNorm):
                module.reset_parameters()
        share = 1 / self.weight.shape[1]
        nn.init.normal_(self.weight, mean=share, std=share)

    def forward(self, x: Tensor, basis: FourierBasis | Sequence[FourierBasis]) -> Tensor:
        """Return the filtered features.

        Args:
            x: features.
            basis: Fourier basis of the graph or the batch.

        Raises:
            TypeError: for anything else in place of a basis, and for types that differ from the weights'.
            ValueError: for a signal of another graph.
        """
        basis = FourierBasis.of(basis)
        fitting(x, width=self.channels)
        dense_features("x", x, self.weight)
        check_same_dtype(x, basis.dtype, self.weight.dtype)
        terms = self.encoder(basis.eigenvalues, basis.pair_pointers)
        for weight in self.weight:
            x = dropped(x, self.dropout, self.training)
            x = weight[0] * x + basis.filter(x, terms @ weight[1:])
        return x

    def response(self, eigenvalues: Tensor) -> Tensor:
        """Return what the layers together multiply each channel by at the eigenvalues of a graph.

        Args:
            eigenvalues: ``[pairs]``, all those of a basis: each term looks at the others.

        Returns:
            ``[pairs, channels]``.
        """
        terms = self.encoder(eigenvalues)
        return torch.stack([weight[0] + terms @ weight[1:] for weight in self.weight]).prod(0)

    def extra_repr(self) -> str:
        """Return what ``str`` shows."""
        return f"{self.channels}, layers={len(self.weight)}"
