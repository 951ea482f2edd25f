"""Convolution in the Fourier basis of a graph: free numbers per eigenvalue, or a function of the eigenvalue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch_geometric.nn.inits import glorot, zeros

from graphkit._checks import at_least, dense_features, member, same_device, within
from graphkit.nn.fused import refuse_script
from graphkit.nn.inputs import check_features
from graphkit.nn.spectral.responses import (
    AbstractIntervalResponse,
    AbstractResponse,
    Bernstein,
    BSplines,
    Chebyshev,
    EigenvalueEncoder,
    Perceptron,
)
from graphkit.operators import FourierBasis, SparseOperator, chebyshev_sum
from graphkit.operators.dropout import dropout
from graphkit.operators.feature_matrix import features_of, linear
from graphkit.operators.operand_checks import check_same_dtype

RESPONSES = ("free", "bspline", "bernstein", "chebyshev", "mlp", "set")


class SpectralConv(nn.Module):
    r"""Convolution :math:`X' = U\,g(\Lambda)\,U^T X` in a Fourier basis, with a response :math:`g` that is learnt.

    ===============  ==========================================================================================
    ``"free"``       a number for each eigenvalue's place (Bruna): tied to the graph of ``basis``
    ``"bspline"``    cubic B-splines over the interval: smooth, so that the filter is local
    ``"bernstein"``  Bernstein polynomials
    ``"chebyshev"``  Chebyshev polynomials
    ``"mlp"``        a perceptron of one eigenvalue
    ``"set"``        Specformer's encoder: each eigenvalue sees the whole spectrum
    ===============  ==========================================================================================

    With :math:`g(\lambda) = \sum_t c_t \varphi_t(\lambda)`, every :math:`c_t` is a map of the channels under
    ``mixing="full"``, and one number per output channel, after one map :math:`\Theta`, under ``"depthwise"``. All but
    the free response are functions of the eigenvalue: what was learnt on one graph is used on another, and neither
    signs nor rotations inside eigenspaces change the result. It starts as a plain linear map, :math:`g = 1`, save for
    ``"mlp"`` and ``"set"``.

    With ``heat`` :math:`s` all of this is multiplied by :math:`e^{-s\lambda}`, so that it starts as the heat kernel.
    Where few nodes have labels this decides: a layer that starts as the identity fits them by their own features, and
    once it has, nothing asks it to listen to neighbours.

    A truncated basis would delete what it does not span. With ``residual`` that part has a response of its own, one
    constant (the heat kernel's in the middle of ``interval``); with ``polynomial`` the layer is :math:`p(L) X` plus the
    correction :math:`U g(\Lambda) U^T X`, of low rank, where :math:`p` is learnt too and sees all of the spectrum.

    Args:
        in_channels, out_channels: features of a node and of the result.
        response: see above.
        terms: number of terms :math:`\varphi_t`; at least 4 for splines. The free response has one per pair.
        mixing: ``"full"`` or ``"depthwise"``.
        residual: whether the rest of the signal passes; a complete basis has none.
        polynomial: order of :math:`p`, which needs the Laplacian at each call and takes the place of ``residual``; 0
            for none.
        heat: see above, at least 0; a polynomial is not multiplied by it.
        start: "flat", as said above, or "drawn", for full mixing: the map of every term by itself, so that channels
            differ from the first step on. With one input channel flat ones are multiples of each other.
        interval: where splines and polynomials live, constant beyond: the spectrum of a normalised Laplacian. For the
            combinatorial one give (0, twice the largest degree). Eigenvalues outside are refused.
        basis: the basis that a free response is tied to; other responses take none.
        hidden: width of the perceptron or the encoder.
        bias: whether a bias is added.

    Shape:
        ``x`` ``[..., nodes, in_channels]``, or sparse features ``[nodes, in_channels]``; ``basis`` a ``FourierBasis``,
        or the list of them that a PyG batch holds. Returns ``[..., nodes, out_channels]``.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 5, for free and spline responses; Bo et al.
    (2023), arXiv:2303.01028, for ``"set"`` with depthwise mixing.

    Example:
        >>> from graphkit.operators import fourier_basis, laplacian
        >>> ring = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
        >>> basis = fourier_basis(laplacian(ring, normalization="sym"))
        >>> conv = SpectralConv(3, 2, response="bspline", mixing="depthwise")
        >>> conv(torch.ones(4, 3), basis).shape, conv.response(basis.eigenvalues).shape
        (torch.Size([4, 2]), torch.Size([4, 2]))
    """

    __prepare_scriptable__ = refuse_script

    fingerprint: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        response: str = "bspline",
        *,
        terms: int = 8,
        mixing: str = "full",
        residual: bool = True,
        polynomial: int = 0,
        heat: float = 0.0,
        start: str = "flat",
        interval: tuple[float, float] = (0.0, 2.0),
        basis: FourierBasis | None = None,
        hidden: int = 32,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        self.out_channels = at_least("out_channels", out_channels, 1)
        if len(interval) != 2:
            raise ValueError(f"`interval` must be (low, high) with low < high, got {interval!r}.")
        self.kind = member("response", response, RESPONSES)
        self.mixing = member("mixing", mixing, ("full", "depthwise"))
        self.start = member("start", start, ("flat", "drawn"))
        if self.start == "drawn" and mixing == "depthwise":
            raise ValueError("`start='drawn'` is for mixing='full': with 'depthwise' there is one map of the channels.")
        self.polynomial = at_least("polynomial", polynomial, 0)
        self.interval = (float(interval[0]), float(interval[1]))
        self.heat = within("heat", heat, 0.0, math.inf)
        self._rest_scale = 1.0 if polynomial else math.exp(-self.heat * sum(self.interval) / 2)
        self.register_buffer("fingerprint", None)
        if (self.kind == "free") != (basis is not None):
            raise ValueError(
                "`basis` must be given with response='free', whose parameters are tied to it, and with no other."
            )
        self.terms: AbstractResponse | None = None
        if basis is not None:
            count = basis.pairs
            self.fingerprint = _fingerprint_tensor(basis.fingerprints).to(basis.device)
        else:
            self.terms = _response(self.kind, at_least("terms", terms, 1), self.interval, hidden)
            count = self.terms.terms
        full = self.mixing == "full"
        # Depthwise: one map of the channels, then numbers. Full: maps only; the rest and the polynomial have theirs.
        self.weight = Parameter(torch.empty(count if full else 1, in_channels, out_channels))
        self.factors = None if full else Parameter(torch.empty(count, out_channels))
        rest = 1 + polynomial if residual or polynomial else 0
        shape = (rest, in_channels, out_channels) if full else (rest, out_channels)
        self.rest = Parameter(torch.empty(shape)) if rest else None
        self.bias = Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.LayerNorm):
                module.reset_parameters()
        zeros(self.bias)
        with torch.no_grad():
            glorot(self.weight[0])
            self.weight.copy_(self.weight[:1].expand_as(self.weight))
            # Terms that add up to 1 make a flat response of equal numbers; of Chebyshev's, the first alone is flat.
            flat = self.kind in ("free", "bspline", "bernstein") and self.start == "flat"
            if self.factors is not None:
                self.factors.fill_(1.0)
                if self.kind == "chebyshev":
                    self.factors[1:] = 0
                elif not flat:
                    self.factors.fill_(1 / len(self.factors))
            elif self.kind == "chebyshev" and self.start == "flat":
                self.weight[1:] = 0
            elif not flat:
                for weight in self.weight:
                    glorot(weight)
            if self.rest is not None:
                self.rest.zero_()
                self.rest[0] = self.weight[0] if self.mixing == "full" else 1.0
                if self.polynomial:  # the polynomial starts flat, and the correction as nothing
                    (self.weight if self.factors is None else self.factors).zero_()

    def forward(self, x: Any, basis: FourierBasis | Sequence[FourierBasis], laplacian: Any = None) -> Tensor:
        """Return the filtered features, by the Fourier basis of the graph or the batch.

        A layer with ``polynomial`` takes the operator of which the basis is as ``laplacian``.

        Raises:
            ValueError: for a basis of another graph where the response is free, eigenvalues outside ``interval``, a
                signal that does not fit the basis, and a Laplacian that is missing.
            TypeError: for anything else in place of a basis, such as an ``edge_index``, and for a basis or a signal of
                another type than the weights.
        """
        x = features_of(x)
        basis = FourierBasis.of(basis)
        check_features(x, width=self.in_channels)
        same_device("x", x, self.weight)
        check_same_dtype(x, basis.dtype, self.weight.dtype)
        if self.polynomial and not isinstance(laplacian, SparseOperator):
            raise ValueError("`laplacian` must be the basis's operator: this layer has a `polynomial` of it.")
        phi, kernel = self._terms(basis), self._kernel(basis.eigenvalues)
        if self.factors is None:
            out = self._full(x, basis, phi, kernel, laplacian)
        else:
            factors = kernel * (self.factors if phi is None else torch.mm(phi, self.factors))
            out = self._depthwise(x, basis, factors, laplacian)
        return out if self.bias is None else out + self.bias

    def _terms(self, basis: FourierBasis) -> Tensor | None:
        """Return the terms at the eigenvalues of ``basis``; ``None`` for a free response, which has one per place."""
        if self.terms is None:
            known = self.fingerprint
            count = len(self.weight if self.factors is None else self.factors)
            if (
                known is None
                or count != basis.pairs
                or not torch.equal(known.cpu(), _fingerprint_tensor(basis.fingerprints))
            ):
                raise ValueError(
                    f"`response='free'` has {count:,} parameters "
                    "tied to the basis it was built on and cannot be used on another "
                    f"({basis.nodes:,} nodes, {basis.pairs:,} pairs); choose a smooth response such as 'bspline'."
                )
            return None
        low, high = basis.extent
        if isinstance(self.terms, AbstractIntervalResponse):
            self.terms.check(low, high)
        return self.terms(basis.eigenvalues, basis.pair_pointers)

    def _kernel(self, eigenvalues: Tensor) -> Tensor:
        """Return the heat kernel at the eigenvalues, ``[pairs, 1]``."""
        return torch.exp(-self.heat * eigenvalues).unsqueeze(-1)

    def _full(self, x: Any, basis: FourierBasis, phi: Tensor | None, kernel: Tensor, laplacian: Any) -> Tensor:
        """Return the result where every term maps the channels."""
        count, wide, narrow = self.weight.shape
        rest = self._has_rest(basis)
        if phi is not None and (isinstance(x, SparseOperator) or count * narrow <= wide):
            # Mapped first, the signals are narrow when they are multiplied by the basis.
            mapped = linear(x, self.weight.transpose(0, 1).reshape(wide, -1).t()).unflatten(-1, (count, narrow))
            spectrum = basis.gft(mapped.flatten(-2)).unflatten(-1, (count, narrow))
            spectrum = kernel * (phi.unsqueeze(-1) * spectrum).sum(-2)
        else:
            given = kernel * basis.gft(x)
            if phi is None:
                spectrum = torch.einsum("...pi,pio->...po", given, self.weight)
            else:
                spectrum = (phi.unsqueeze(-1) * given.unsqueeze(-2)).flatten(-2) @ self.weight.flatten(0, 1)
        if not rest or self.rest is None:
            return basis.igft(spectrum)
        signals = [linear(x, weight.t()) for weight in self._rest_scale * self.rest]
        if self.polynomial:
            return self._polynomial(signals, laplacian) + basis.igft(spectrum)
        return signals[0] + basis.igft(spectrum - basis.gft(signals[0]))

    def _depthwise(self, x: Any, basis: FourierBasis, factors: Tensor, laplacian: Any) -> Tensor:
        """Return the result where the channels are mapped once, and each has its response, ``[pairs, out]``."""
        mapped = linear(x, self.weight[0].t())
        spectrum = basis.gft(mapped)
        if not self._has_rest(basis) or self.rest is None:
            return basis.igft(factors * spectrum)
        if self.polynomial:
            signals = [number * mapped for number in self.rest]
            return self._polynomial(signals, laplacian) + basis.igft(factors * spectrum)
        rest = self._rest_scale * self.rest[0]
        return rest * mapped + basis.igft((factors - rest) * spectrum)

    def _has_rest(self, basis: FourierBasis) -> bool:
        return bool(self.polynomial) or not basis.complete

    def _polynomial(self, signals: list[Tensor], laplacian: SparseOperator) -> Tensor:
        """Return Chebyshev's sum of the signals over the Laplacian, its interval mapped to [-1, 1]."""
        low, high = self.interval
        return chebyshev_sum(lambda v: (2 * (laplacian @ v) - (high + low) * v) / (high - low), signals)

    def response(self, eigenvalues: Tensor) -> Tensor:
        """Return the learnt response at eigenvalues, ``[pairs, out]``; with full mixing ``[pairs, in, out]``.

        With depthwise mixing it is what multiplies each output channel. The rest of a truncated basis is not in it; a
        polynomial is. A free response is told at the eigenvalues of its own basis.

        Raises:
            ValueError: for another number of eigenvalues than a free response has.
        """
        coefficients = self.weight if self.factors is None else self.factors
        if self.terms is None:
            if len(eigenvalues) != len(coefficients):
                raise ValueError(
                    f"`eigenvalues` must be the {len(coefficients):,} that the free response was built on, "
                    f"got {len(eigenvalues):,}."
                )
            found: Tensor = coefficients
        else:
            found = torch.tensordot(self.terms(eigenvalues), coefficients, dims=1)
        kernel = self._kernel(eigenvalues)
        found = found * (kernel if found.dim() == 2 else kernel.unsqueeze(-1))
        if self.polynomial and self.rest is not None:
            found = found + torch.tensordot(Chebyshev(len(self.rest), self.interval)(eigenvalues), self.rest, dims=1)
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, response={self.kind!r})"


def _response(kind: str, terms: int, interval: tuple[float, float], hidden: int) -> AbstractResponse:
    """Return the module that makes the terms of a response of this kind."""
    if kind == "mlp":
        return Perceptron(terms, hidden)
    if kind == "set":
        return EigenvalueEncoder(terms, hidden)
    if kind == "bspline":
        return BSplines(terms, interval)
    return Bernstein(terms, interval) if kind == "bernstein" else Chebyshev(terms, interval)


def _fingerprint_tensor(fingerprints: Sequence[str]) -> Tensor:
    """Return texts in base 16 as numbers, which a state dict can hold, ``[bytes]``."""
    return torch.tensor(list(bytes.fromhex("".join(fingerprints))), dtype=torch.uint8)


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

    __prepare_scriptable__ = refuse_script

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
        """Return the filtered features, by the Fourier basis of the graph or the batch.

        Raises:
            TypeError: for anything else in place of a basis, and for types that differ from the weights'.
            ValueError: for a signal of another graph.
        """
        basis = FourierBasis.of(basis)
        check_features(x, width=self.channels)
        dense_features("x", x, self.weight)
        check_same_dtype(x, basis.dtype, self.weight.dtype)
        terms = self.encoder(basis.eigenvalues, basis.pair_pointers)
        for weight in self.weight:
            x = dropout(x, self.dropout, self.training)
            x = weight[0] * x + basis.filter(x, terms @ weight[1:])
        return x

    def response(self, eigenvalues: Tensor) -> Tensor:
        """Return what the layers together multiply each channel by, ``[pairs, channels]``.

        The eigenvalues ``[pairs]`` are all those of a basis: each term looks at the others.
        """
        terms = self.encoder(eigenvalues)
        return torch.stack([weight[0] + terms @ weight[1:] for weight in self.weight]).prod(0)

    def extra_repr(self) -> str:
        """Return what ``str`` shows."""
        return f"{self.channels}, layers={len(self.weight)}"
