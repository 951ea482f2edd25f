"""The eigenvalue encoder: attention over a whole spectrum, so that a response may depend on all eigenvalues."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, within
from graphkit.nn.spectral.responses import AbstractResponse
from graphkit.operators.attention import self_attention


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
        hidden: width, even and a multiple of ``heads``.
        heads: attention heads.
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
