"""Functions of a symmetric operator applied to signals by Lanczos iteration, with an estimate of the error."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit._checks import at_least, function, instance, one_row_per_column, positive, symmetric_operator
from graphkit.operators.autograd import AbstractFunction
from graphkit.operators.laplacian import eigenvalue_bound
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.wavelets.filter_bank import Kernel, one_band
from graphkit.operators.wavelets.shift import is_symmetric

EVERY = 4
"""Steps between two looks at the error: each costs one small eigenproblem per signal."""


class Krylov(NamedTuple):
    """What Lanczos iteration found.

    Attributes:
        values: ``[bands, nodes, features]``.
        error: estimated error of each signal in the norm over its nodes and bands, ``[features]``: by how much the last
            ``EVERY`` steps moved the result, which is more than what further steps would.
        steps: products that were taken.
    """

    values: Tensor
    error: Tensor
    steps: int


def krylov(operator: SparseOperator, x: Tensor, kernel: Kernel, *, tolerance: float = 1e-6, steps: int = 100) -> Krylov:
    r"""Return :math:`g_b(M)x` for every kernel, from the Krylov space of :math:`M` and each signal.

    :math:`g(M)x \approx |x| V g(T) e_1` with the tridiagonal :math:`T = V^T M V`. No bound on the spectrum is asked
    for and any :math:`g` that is finite on it will do: the method adapts to the eigenvalues that the signal holds, and
    ends after as many steps as there are distinct ones. Each new vector is made orthogonal to all before it, so memory
    is ``steps x nodes x features``. Gradients flow to ``x``.

    Args:
        operator: symmetric, ``[nodes, nodes]``.
        x: ``[nodes, features]``.
        kernel: from eigenvalues ``[...]`` to values ``[bands, ...]``.
        tolerance: the iteration ends when the estimated error is below this share of each signal's norm times the
            largest value of the kernels that it met.
        steps: at most so many products.

    Raises:
        ValueError: where the operator is not symmetric or its values ask for a gradient, or ``x`` does not fit.

    Warns:
        UserWarning: where ``steps`` were not enough; the estimate says what was reached.

    Source: Saad (1992), Analysis of some Krylov subspace approximations to the matrix exponential operator.

    Example:
        >>> from graphkit.operators import laplacian
        >>> edge = laplacian(torch.tensor([[0, 1], [1, 0]]), dtype=torch.float64)
        >>> krylov(edge, torch.tensor([[1.0], [0.0]]).double(), lambda v: (-v).exp().unsqueeze(0)).values.flatten()
        tensor([0.5677, 0.4323], dtype=torch.float64)
    """
    positive("tolerance", tolerance)
    at_least("steps", steps, 1)
    instance("operator", operator, SparseOperator, "a SparseOperator")
    function("kernel", kernel)
    symmetric_operator("operator", is_symmetric(operator))
    one_row_per_column(x, operator.shape[1])
    if operator._store.values is not None and operator._store.values.requires_grad:
        raise ValueError(
            "`operator` has values with a gradient, which Lanczos iteration does not pass on; detach them, or take "
            "method='chebyshev'."
        )
    run = partial(_lanczos, operator=operator, kernel=kernel, tolerance=tolerance, steps=steps)
    values, error, taken = _LanczosFunction.apply(x, run)
    return Krylov(values, error, int(taken))


class _LanczosFunction(AbstractFunction):
    """Applies ``run``, all but the signal in one thing: of an operator by itself PyTorch would ask for an override."""

    @staticmethod
    def forward(x: Tensor, run: partial[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return run(x.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.run = inputs[1]
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        # g(M) is symmetric: the gradient is the same map of what comes back, band by band.
        kernel, parts = ctx.run.keywords["kernel"], []
        for band, part in enumerate(grad):
            run = partial(ctx.run, kernel=one_band(kernel, band))
            parts.append(_LanczosFunction.apply(part, run)[0][0])
        return torch.stack(parts).sum(0), None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        return _LanczosFunction.apply(dx, ctx.run)[0], None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], x: Tensor, run: Any) -> tuple[Any, Any]:
        values, error, taken = _LanczosFunction.apply(x.movedim(in_dims[0], 1).flatten(1), run)
        shape = (info.batch_size, -1)
        return (values.unflatten(2, shape), error.unflatten(0, shape), taken), (2, 0, None)


def _lanczos(
    x: Tensor, operator: SparseOperator, kernel: Kernel, tolerance: float, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    nodes, features = x.shape
    norm = x.norm(dim=0)
    basis = [x * _inverse(norm, 0.0)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    weights = x.new_zeros(len(kernel(x.new_zeros(1))), features, 0)
    error, limit = norm, norm
    tiny = 10 * torch.finfo(x.dtype).eps
    ended_below = tiny * eigenvalue_bound(operator).max()
    steps = min(steps, max(nodes, 1))
    for step in range(1, steps + 1):
        # Three-term recurrence, made orthogonal to the whole basis.
        ahead = operator @ basis[-1]
        diagonal.append((ahead * basis[-1]).sum(0))
        stacked = torch.stack(basis)
        for _ in range(2):  # once is not enough where the kernel amplifies
            ahead = ahead - torch.einsum("knf,kf->nf", stacked, torch.einsum("knf,nf->kf", stacked, ahead))
        beta = ahead.norm(dim=0)
        beside.append(torch.where(beta > ended_below, beta, 0))
        basis.append(ahead * _inverse(beside[-1], 0.0))
        ended = bool((beside[-1] == 0).all())
        # Estimate of the error: by how much the coordinates moved since the last look.
        if step % EVERY == 0 or ended or step == steps:
            before = weights
            weights, scale = _coordinates(kernel, diagonal, beside)
            moved = weights.clone()
            moved[..., : before.shape[-1]] -= before
            error = norm * moved.square().sum((0, 2)).sqrt()
            error = torch.where(beside[-1] == 0, tiny * norm * scale, error)
            limit = tolerance * norm * scale
            if ended or bool((error <= limit).all()):
                break
    if bool((error > limit).any()):
        worst = float((error / norm.clamp(min=torch.finfo(x.dtype).tiny)).max())
        warnings.warn(
            f"Lanczos iteration stopped after {steps} `steps` with an estimated relative error of {worst:.1e}, above "
            f"`tolerance` {tolerance:g}.",
            stacklevel=5,
        )
    taken = len(diagonal)
    values = torch.einsum("bfk,knf->bnf", weights * norm.unsqueeze(-1), torch.stack(basis[:taken]))
    return values, error, torch.tensor(taken)


def _coordinates(kernel: Kernel, diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return ``g(T) e_1`` in the basis found, ``[bands, features, steps]``, and the largest value of any kernel."""
    matrix = torch.diag_embed(torch.stack(diagonal, -1))
    if len(diagonal) > 1:
        off = torch.stack(beside[:-1], -1)
        matrix = matrix + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    values = kernel(eigenvalues)
    first = vectors[:, 0, :]
    held = torch.where(first.abs() > torch.finfo(first.dtype).eps, values, 0)
    return torch.einsum("fkm,bfm,fm->bfk", vectors, values, first), held.abs().amax((0, 2))


def _inverse(x: Tensor, instead: float) -> Tensor:
    return torch.where(x > 0, 1 / torch.where(x > 0, x, 1), instead)
