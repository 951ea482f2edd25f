"""Responses: the terms of which a filter's function of the eigenvalue is made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, within
from graphkit.operators.attention import self_attention


class AbstractResponse(nn.Module, ABC):
    r"""Terms :math:`\varphi_t(\lambda)` of a filter's response :math:`g(\lambda) = \sum_t c_t \varphi_t(\lambda)`."""

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.terms = terms

    @abstractmethod
    def forward(self, eigenvalues: Tensor, pair_pointers: Tensor | None = None) -> Tensor:
        """Return the terms at eigenvalues ``[pairs]``, ``[pairs, terms]``.

        ``pair_pointers [graphs + 1]`` says which are each graph's; all are of one graph when it is left out.
        """


class AbstractIntervalResponse(AbstractResponse):
    """Terms that are fixed functions on an interval (low, high), and constant beyond its ends."""

    def __init__(self, terms: int, interval: tuple[float, float] = (0.0, 2.0)) -> None:
        super().__init__(terms)
        low, high = interval
        if not low < high:
            raise ValueError(f"`interval` must be (low, high) with low < high, got {interval!r}.")
        self.interval = (float(low), float(high))

    def forward(self, eigenvalues: Tensor, pair_pointers: Tensor | None = None) -> Tensor:
        """Return the terms at the eigenvalues, ``[pairs, terms]``."""
        low, high = self.interval
        return self.on_unit_interval(((eigenvalues - low) / (high - low)).clamp(0, 1))

    def check(self, low: float, high: float) -> None:
        """Raise ``ValueError`` where eigenvalues from ``low`` to ``high`` leave the interval by more than rounding."""
        slack = 1e-4 * (self.interval[1] - self.interval[0])
        if low < self.interval[0] - slack or high > self.interval[1] + slack:
            raise ValueError(
                f"`interval` {self.interval} must hold all eigenvalues, which lie between {low:.4g} and {high:.4g}; "
                "use a normalised Laplacian or a wider interval."
            )

    @abstractmethod
    def on_unit_interval(self, t: Tensor) -> Tensor:
        """Return the terms ``[points, terms]`` at points ``[points]`` of [0, 1]."""

    def extra_repr(self) -> str:
        """Return what ``str`` shows."""
        return f"{self.terms}, interval={self.interval}"


class BSplines(AbstractIntervalResponse):
    r"""Cubic B-splines on evenly spaced knots with both ends repeated: local bumps that add up to 1.

    There are ``terms``, at least 4, on knots from end to end of the interval.

    Source: de Boor (1978), A Practical Guide to Splines, chapter IX; as a filter's response Bruna et al. (2014),
    arXiv:1312.6203, section 5.2.

    Example:
        >>> BSplines(5)(torch.tensor([0.0, 1.0, 2.0])).tolist()
        [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.5, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    knots: Tensor

    def __init__(self, terms: int, interval: tuple[float, float] = (0.0, 2.0)) -> None:
        at_least("terms", terms, 4)
        super().__init__(terms, interval)
        inner = torch.linspace(0, 1, terms - 2, dtype=torch.float64)
        knots = torch.cat((inner.new_zeros(3), inner, inner.new_ones(3)))
        self.register_buffer("knots", knots.float(), persistent=False)

    def on_unit_interval(self, t: Tensor) -> Tensor:
        """Return the splines by the recurrence of Cox and de Boor, ``[points, terms]``."""
        knots, t = self.knots.to(t.dtype), t.unsqueeze(-1)
        values = ((knots[:-1] <= t) & (t < knots[1:])).to(t.dtype)
        values[:, self.terms - 1] += (t == 1).squeeze(-1).to(t.dtype)  # the last piece has its right end too
        for degree in (1, 2, 3):
            spans = knots[degree:] - knots[:-degree]
            slopes = torch.where(spans > 0, 1 / spans.clamp(min=1e-12), 0)
            rising = (t - knots[: -degree - 1]) * slopes[:-1]
            falling = (knots[degree + 1 :] - t) * slopes[1:]
            values = rising * values[:, :-1] + falling * values[:, 1:]
        return values


class Bernstein(AbstractIntervalResponse):
    r"""Bernstein polynomials :math:`\binom{n}{t} u^t (1 - u)^{n - t}`, :math:`u` the place in the interval.

    There are ``terms``, :math:`n + 1`.

    Source: He et al. (2021), BernNet, arXiv:2106.10994, equation 5.

    Example:
        >>> Bernstein(3)(torch.tensor([0.0, 1.0, 2.0])).tolist()
        [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]
    """

    def on_unit_interval(self, t: Tensor) -> Tensor:
        """Return the polynomials, ``[points, terms]``."""
        n = self.terms - 1
        power = torch.arange(self.terms, device=t.device, dtype=torch.float64)
        choose = [math.comb(n, k) for k in range(self.terms)]  # beyond float32 from 130 terms on
        u = t.double().unsqueeze(-1)
        return (u.new_tensor(choose) * u**power * (1 - u) ** (n - power)).to(t.dtype)


class Chebyshev(AbstractIntervalResponse):
    r"""Chebyshev polynomials :math:`T_t`, the interval being mapped to [-1, 1].

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, equation 4.

    Example:
        >>> Chebyshev(3)(torch.tensor([0.0, 1.0, 2.0])).tolist()
        [[1.0, -1.0, 1.0], [1.0, 0.0, -1.0], [1.0, 1.0, 1.0]]
    """

    def on_unit_interval(self, t: Tensor) -> Tensor:
        """Return the polynomials, ``[points, terms]``."""
        t = 2 * t - 1
        terms = [torch.ones_like(t), t]
        for _ in range(self.terms - 2):
            terms.append(2 * t * terms[-1] - terms[-2])
        return torch.stack(terms[: self.terms], dim=-1)


class Perceptron(AbstractResponse):
    """Terms learnt by a perceptron of one hidden layer, of width ``hidden``, from a single eigenvalue.

    Example:
        >>> Perceptron(3)(torch.tensor([0.0, 1.0])).shape
        torch.Size([2, 3])
    """

    def __init__(self, terms: int, hidden: int = 32) -> None:
        super().__init__(terms)
        self.first = nn.Linear(1, at_least("hidden", hidden, 1))
        self.last = nn.Linear(hidden, terms)

    def forward(self, eigenvalues: Tensor, pair_pointers: Tensor | None = None) -> Tensor:
        """Return the terms at the eigenvalues, ``[pairs, terms]``."""
        # Centred on the spectrum of a normalised Laplacian.
        return self.last(torch.tanh(self.first(eigenvalues.unsqueeze(-1) - 1)))


class EigenvalueEncoder(AbstractResponse):
    r"""Terms learnt from the set of a graph's eigenvalues by a transformer layer.

    .. math::
        \rho(\lambda) = \bigl(\lambda, \sin(\epsilon\lambda / 10000^{2i/d}), \cos(\epsilon\lambda / 10000^{2i/d})\bigr),
        \quad Z = \rho W, \quad Z \mathrel{+}= \mathrm{MHA}(\mathrm{LN}\,Z), \quad Z \mathrel{+}=
        \mathrm{FFN}(\mathrm{LN}\,Z), \quad \varphi = Z W_\varphi

    with :math:`\epsilon` = 100. The terms of equal eigenvalues are equal, and no eigenvector is looked at: signs and
    rotations inside eigenspaces change nothing. Each graph of a batch attends to its own spectrum.

    Args:
        terms: number of terms, the decoder's heads.
        hidden, heads: width, even and a multiple of the number of attention heads.
        dropout: of attention's and the perceptron's results.

    Source: Bo, Shi, Wang & Liao (2023), Specformer, arXiv:2303.01028, section 3.2. The paper's encoder has GELU in
    the perceptron; its factor and order of normalisation are kept.

    Example:
        >>> encoder = EigenvalueEncoder(3).eval()
        >>> encoder(torch.tensor([0.0, 1.0, 1.0])).shape
        torch.Size([3, 3])
    """

    frequencies: Tensor

    def __init__(self, terms: int, hidden: int = 32, *, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(terms)
        if at_least("hidden", hidden, 2) % 2 or hidden % at_least("heads", heads, 1):
            raise ValueError(f"`hidden` must be even and a multiple of `heads` ({heads}), got {hidden}.")
        self.heads, self.dropout = heads, within("dropout", dropout, 0.0, 1.0)
        places = torch.arange(0, hidden, 2, dtype=torch.float64)
        self.register_buffer("frequencies", (100 * torch.exp(-math.log(10_000) / hidden * places)).float(), False)
        self.encoding = nn.Linear(hidden + 1, hidden)
        self.norm_before_attention, self.norm_before_perceptron = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.projection, self.joined = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.perceptron = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.decoder = nn.Linear(hidden, terms)

    def forward(self, eigenvalues: Tensor, pair_pointers: Tensor | None = None) -> Tensor:
        """Return the terms at the eigenvalues, ``[pairs, terms]``."""
        angles = eigenvalues.unsqueeze(-1) * self.frequencies.to(eigenvalues.dtype)
        z = self.encoding(torch.cat((eigenvalues.unsqueeze(-1), angles.sin(), angles.cos()), dim=-1))
        z = z + F.dropout(self._attention(self.norm_before_attention(z), pair_pointers), self.dropout, self.training)
        z = z + F.dropout(self.perceptron(self.norm_before_perceptron(z)), self.dropout, self.training)
        return self.decoder(z)

    def _attention(self, z: Tensor, pair_pointers: Tensor | None) -> Tensor:
        """Return what each eigenvalue gathers from all of its graph, ``[pairs, hidden]``."""
        pairs, hidden = z.shape
        sizes = [pairs] if pair_pointers is None else pair_pointers.diff().tolist()
        longest = max(sizes, default=0)
        if not pairs:
            return z
        projected = self.projection(z)
        if len(sizes) == 1:
            padded, mask = projected.unsqueeze(0), None
        else:
            padded = nn.utils.rnn.pad_sequence(list(projected.split(sizes)), batch_first=True)
            lengths = torch.tensor(sizes, device=z.device).unsqueeze(-1)
            there = torch.arange(longest, device=z.device) < lengths
            # A graph without pairs would leave a row of the softmax empty: it looks at its padding instead.
            mask = (there | (lengths == 0))[:, None, None, :]
        query, key, value = padded.view(len(sizes), longest, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        gathered = self_attention(query, key, value, mask)
        gathered = gathered.transpose(1, 2).reshape(len(sizes), longest, hidden)
        return self.joined(gathered[0] if mask is None else gathered[there])
