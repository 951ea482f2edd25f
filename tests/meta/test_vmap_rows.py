"""All tasks at once: every operation that is said to be known is right twice over, and any other goes task by task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import resolve_name

from graphkit.meta import MAML, FewShotProtocol, Rows, TaskSet
from graphkit.meta.acceleration import vmap_rows
from graphkit.meta.acceleration.eligibility import SHAPE_QUERIES
from graphkit.meta.learners import abstract_learner

Use = Callable[[Any, Tensor, Tensor], Tensor]
"""From a function, rows ``[items, 4]`` between -1 and 1, and a parameter ``[4, 4]``, to rows."""


def alone(f: Any, x: Tensor, w: Tensor) -> Tensor:
    return f(x @ w)


def above(f: Any, x: Tensor, w: Tensor) -> Tensor:
    return f((x @ w).square() + 0.5)


def both(f: Any, x: Tensor, w: Tensor) -> Tensor:
    """Rows and a parameter, a parameter and rows, and rows with themselves."""
    return f(x, w[0]) + f(w[1], x.square() + 0.5) + f(x @ w, x)


USES: dict[str, Use] = {
    **dict.fromkeys(["add", "sub", "mul", "__add__", "__sub__", "__mul__", "maximum", "minimum"], both),
    **dict.fromkeys(["div", "__truediv__"], lambda f, x, w: f(x, w[0].square() + 1) + f(w[1], x.square() + 1)),
    **dict.fromkeys(["__radd__", "__rsub__", "__rmul__"], lambda f, x, w: f(x @ w, 0.7)),
    **dict.fromkeys(["__rtruediv__"], lambda f, x, w: f((x @ w).square() + 1, 0.7)),
    **dict.fromkeys(["__pow__", "pow"], lambda f, x, w: f(x @ w, 3) + f(x.square() + 0.5, w[0])),
    **dict.fromkeys(
        [
            "neg",
            "abs",
            "square",
            "exp",
            "sin",
            "cos",
            "tanh",
            "sigmoid",
            "relu",
            "relu6",
            "elu",
            "celu",
            "selu",
            "gelu",
            "silu",
            "mish",
        ],
        alone,
    ),
    **dict.fromkeys(["leaky_relu", "hardtanh", "hardswish", "softplus", "softsign", "logsigmoid"], alone),
    **dict.fromkeys(["hardshrink", "softshrink", "tanhshrink", "contiguous"], alone),
    **dict.fromkeys(["sqrt", "rsqrt", "log"], above),
    **dict.fromkeys(["softmax", "log_softmax"], lambda f, x, w: f(x @ w, -1) + f(w, 0)[0]),
    **dict.fromkeys(["softmin", "normalize"], lambda f, x, w: f(x @ w, dim=-1) + f(w, dim=0)[0]),
    **dict.fromkeys(["sum", "mean", "logsumexp"], lambda f, x, w: x * f(w, 0) + f(x @ w, -1).unsqueeze(1)),
    **dict.fromkeys(["matmul", "mm", "__matmul__", "spmm"], lambda f, x, w: f(f(x, w), w)),
    "__rmatmul__": lambda f, x, w: f(w, x),
    "bmm": lambda f, x, w: f(x.unsqueeze(0), w.unsqueeze(0)).squeeze(0),
    "addmm": lambda f, x, w: f(w[0], x, w),
    "linear": lambda f, x, w: f(f(x, w, w[0]), w),
    "dropout": lambda f, x, w: f(x @ w, 0.5, False),
    "where": lambda f, x, w: f(x > 0.1, x @ w, w[0]),
    **dict.fromkeys(["gt", "lt", "ge", "le"], lambda f, x, w: torch.where(f(x @ w, 0.1), x @ w, w[0])),
    "clamp": lambda f, x, w: f(x @ w, -0.3, 0.4),
    "threshold": lambda f, x, w: f(x @ w, 0.1, 0.2),
    "prelu": lambda f, x, w: f(x @ w, w[0]),
    "glu": lambda f, x, w: f(x @ w, -1),
    "reshape": lambda f, x, w: f(x @ w, (-1, 2)).sum(-1).view(-1, 2),
    "view": lambda f, x, w: f(x @ w, (-1, 2)).sum(-1).view(-1, 2),
    "flatten": lambda f, x, w: f((x @ w).unsqueeze(1), 1),
    "unflatten": lambda f, x, w: f(x @ w, 1, (2, 2)).sum(1),
    "unsqueeze": lambda f, x, w: f(x, -1).mul(w).sum(1),
    "squeeze": lambda f, x, w: f((x @ w).unsqueeze(0), 0),
    "transpose": lambda f, x, w: x @ f(w, 0, 1),
    "permute": lambda f, x, w: x @ f(w, (1, 0)),
    **dict.fromkeys(["t", "T", "mT"], lambda f, x, w: x @ f(w)),
    "chunk": lambda f, x, w: f(x @ w, 2, 1)[1],
    "split": lambda f, x, w: f(x @ w, 3, 1)[0],
    "cat": lambda f, x, w: f((x, x @ w), 1),
    "stack": lambda f, x, w: f((x, x @ w), 1).flatten(1),
    "expand": lambda f, x, w: x + f(w[:1], (6, 4))[0],
    "conv1d": lambda f, x, w: f(x.unsqueeze(1), w.unsqueeze(1), w[0]).flatten(1),
    "avg_pool1d": lambda f, x, w: f((x @ w).unsqueeze(1), 2).flatten(1),
    "group_norm": lambda f, x, w: f(x @ w, 2, w[0], w[1]),
    "rms_norm": lambda f, x, w: f(x @ w, (4,), w[0]),
}
STORED = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 0.5, 0.7]], dtype=torch.float64).unbind()
REPLACEMENTS: dict[Any, Use] = {
    F.layer_norm: lambda f, x, w: f(f(x, (4,), w[0], w[1]) @ w, (4,), w[2]),
    F.batch_norm: lambda f, x, w: f(f(x, None, None, w[0], w[1], True) @ w, *STORED, w[2]),
    Tensor.__getitem__: lambda f, x, w: f(x @ w, (..., slice(1, 3))) * f(w, 0)[None, :2],
}


def named(function: Any) -> str:
    name = resolve_name(function) or str(function)
    return name.removesuffix(".__get__").rpartition(".")[2]


class Uses(nn.Module):
    """A layer, the function, and a head."""

    def __init__(self, function: Any, use: Use, out: int) -> None:
        super().__init__()
        self.function, self.use, self.calls = function, use, 0
        self.start, self.weight = nn.Linear(5, 4), nn.Parameter(torch.randn(4, 4))
        self.head = nn.Linear(out, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.head(self.use(self.function, self.start(x).tanh(), self.weight))


def a_learner(function: Any, use: Use) -> MAML:
    torch.manual_seed(0)
    out = use(function, torch.rand(6, 4).double() - 0.5, torch.randn(4, 4).double()).size(-1)
    return MAML(Uses(function, use, out).double(), inner_lr=0.3, inner_steps=2)


def some_tasks(count: int = 3) -> list:
    drawn = torch.Generator().manual_seed(0)
    items = Rows(torch.randn(60, 5, dtype=torch.float64, generator=drawn), torch.arange(60) % 3)
    return list(TaskSet.draw(items, (0, 1, 2), FewShotProtocol(n_way=2, k_shot=3, n_query=2, n_tasks=count)))


def loss_and_gradient(learner: MAML, tasks: list) -> Tensor:
    loss = learner.meta_loss(tasks)
    slopes = torch.autograd.grad(loss, list(learner.parameters()), allow_unused=True)
    return torch.cat([loss.detach().view(1), *(slope.flatten() for slope in slopes if slope is not None)])


def calls_of(learner: MAML, tasks: list) -> int:
    learner.logits(tasks)  # the first look is over
    learner.model.calls = 0
    learner.logits(tasks)
    return learner.model.calls


KNOWN = sorted(vmap_rows.KNOWN - SHAPE_QUERIES, key=lambda function: (named(function), repr(function)))
IN_PIECES = list(vmap_rows.REPLACEMENTS)


@pytest.mark.parametrize("function", KNOWN + IN_PIECES, ids=lambda f: resolve_name(f) or str(f))
def test_what_is_known_has_the_derivatives_of_the_loop(function, monkeypatch):
    use = REPLACEMENTS[function] if function in REPLACEMENTS else USES[named(function)]
    learner, tasks = a_learner(function, use), some_tasks()
    assert calls_of(learner, tasks) == 3  # two steps and the query, for all tasks
    fast = loss_and_gradient(learner, tasks)
    monkeypatch.setattr(abstract_learner, "vmap_tasks", lambda *_: None)
    assert calls_of(learner, tasks) == 9
    torch.testing.assert_close(fast, loss_and_gradient(learner, tasks), rtol=1e-12, atol=1e-11)


VARIANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu, tanh": lambda x, w: F.gelu(x @ w, approximate="tanh"),
    "prelu, one weight": lambda x, w: F.prelu(x @ w, w[0, :1]),
    "softplus, beta": lambda x, w: F.softplus(x @ w, 3.0, 0.5),
    "celu, alpha": lambda x, w: F.celu(x @ w, 2.0) + F.elu(x @ w, 0.3),
    "leaky relu, slope": lambda x, w: F.leaky_relu(x @ w, 0.3) + F.hardtanh(x @ w, -0.2, 0.3),
    "in place": lambda x, w: F.relu(F.elu(x @ w, inplace=True) + 0.1, inplace=True),
    "group norm, plain": lambda x, w: F.group_norm(x @ w, 2),
    "group norm, further axes": lambda x, w: F.group_norm((x @ w).unsqueeze(-1), 4, w[0], w[1], 0.1).squeeze(-1),
    "rms norm, plain": lambda x, w: F.rms_norm(x @ w, (4,), eps=0.1),
    "layer norm, plain": lambda x, w: F.layer_norm(x @ w, (4,)),
    "layer norm, two axes": lambda x, w: (
        F.layer_norm(x @ w, (6, 4), eps=0.1) if len(x) == 6 else F.layer_norm(x, (4, 4))
    ),
    "layer norm first": lambda x, w: F.layer_norm(x, (4,), w[0], w[1]) @ w,
    "layer norm of parameters": lambda x, w: x @ F.layer_norm(w, (4,), w[0], w[1]),
    "batch norm, further axes": lambda x, w: F.batch_norm((x @ w).unsqueeze(-1), None, None, w[0], w[1], True).flatten(
        1
    ),
    "batch norm, plain": lambda x, w: F.batch_norm(x @ w, None, None, training=True, eps=0.1),
    "normalize, sums": lambda x, w: F.normalize(x @ w, p=1.0, dim=1),
    "sums of all": lambda x, w: x * (x @ w).sum() + w.mean() * x.square().mean((0, 1)),
    "kept axes": lambda x, w: (x @ w) * (x @ w).logsumexp(1, keepdim=True) + w.sum(0, keepdim=True),
    "convolution, options": lambda x, w: F.conv1d(x.view(-1, 2, 2), w[:, :1].unsqueeze(-1), None, 1, 1, 1, 2).flatten(
        1
    ),
    "parts": lambda x, w: torch.cat([(x @ w)[:, ::2], x[..., -1:], w[0, 1] * x[:, None, 0]], 1),
    "weights of rows": lambda x, w: (
        torch.matmul(x.unsqueeze(1), w).squeeze(1) + torch.bmm(x.view(-1, 2, 2), x.view(-1, 2, 2)).flatten(1)
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_known_is_right_with_other_arguments(name, monkeypatch):
    learner, tasks = a_learner(VARIANTS[name], lambda f, x, w: f(x, w)), some_tasks()
    assert calls_of(learner, tasks) == 3
    fast = loss_and_gradient(learner, tasks)
    monkeypatch.setattr(abstract_learner, "vmap_tasks", lambda *_: None)
    torch.testing.assert_close(fast, loss_and_gradient(learner, tasks), rtol=1e-12, atol=1e-11)


def test_every_use_is_of_something_known():
    assert set(USES) == {named(function) for function in KNOWN}
    assert REPLACEMENTS.keys() == vmap_rows.REPLACEMENTS.keys()


class Legacy(torch.autograd.Function):
    """A function written before ``torch.func``, which ``vmap`` refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * slope


class Batched(torch.autograd.Function):
    """One that ``vmap`` takes, with a backward pass of which nothing is known."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * slope


def by_value(x: Tensor) -> Tensor:
    return x * 2 if x.sum() > 0 else x / 2


def written_into(x: Tensor) -> Tensor:
    z = torch.zeros_like(x)
    z[:, :2] = x[:, 2:]
    return z


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "an older function": Legacy.apply,
    "a newer function": Batched.apply,
    "a value": by_value,
    "a part written into": written_into,
    "rows by their numbers": lambda x: x[torch.tensor([0, 0, 1])].sum(0) + x,
    "rows by a condition": lambda x: x[x > 0].sum() + x,
    "a cumulated sum": lambda x: x.cumsum(0),
    "statistics that are stored": lambda x: F.batch_norm(x, *(each.clone() for each in STORED), training=True),
    "weights that are normalised": lambda x: F.instance_norm(
        x.view(-1, 2, 2), weight=STORED[0].narrow(0, 0, 2)
    ).flatten(1),
}


@torch.jit.script
def scripted(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.layer_norm(x, [4], weight, bias)


class ByScript(nn.Module):
    """Calls a compiled function that it holds, or one that stands outside."""

    def __init__(self, held: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(4))
        if held:
            self.function = scripted

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, "function", scripted)(x, self.weight, self.bias)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.jit.script(nn.LayerNorm(4)),
        lambda: torch.jit.trace(nn.LayerNorm(4), torch.rand(3, 4)),
        lambda: ByScript(True),
        lambda: ByScript(False),
    ],
    ids=["a scripted module", "a traced module", "a function held", "a function outside"],
)
def test_torchscript_which_runs_unseen_goes_task_by_task(made, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), made(), nn.Tanh(), nn.Linear(4, 2)).double()
    learner, tasks = MAML(model, inner_lr=0.4, inner_steps=2), some_tasks()
    found = loss_and_gradient(learner, tasks)
    monkeypatch.setattr(abstract_learner, "vmap_tasks", lambda *_: None)
    assert torch.equal(found, loss_and_gradient(learner, tasks))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_goes_task_by_task(name, monkeypatch):
    learner, tasks = a_learner(UNKNOWN[name], alone), some_tasks()
    assert calls_of(learner, tasks) >= 9
    found = loss_and_gradient(learner, tasks)
    monkeypatch.setattr(abstract_learner, "vmap_tasks", lambda *_: None)
    assert torch.equal(found, loss_and_gradient(learner, tasks))


def test_an_error_of_the_model_is_its_own():
    """It is raised task by task as it is, and no later call is refused for it."""
    learner, tasks = a_learner(torch.tanh, alone), some_tasks()
    learner.logits(tasks)
    learner.model.function = lambda x: x @ torch.ones(7, 7, dtype=x.dtype)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        learner.logits(tasks)
    learner.model.function = torch.tanh
    assert calls_of(learner, tasks) == 3


@pytest.mark.parametrize("count", [1, 5])
def test_a_model_that_writes_into_its_rows_does_so_anew_in_every_step(count, monkeypatch):
    model = nn.Sequential(nn.ELU(inplace=True), nn.Linear(5, 2)).double()
    learner, tasks = MAML(model, inner_lr=0.3, inner_steps=3), some_tasks(count)
    before = tasks[0].items.x.clone()
    fast = loss_and_gradient(learner, tasks)
    monkeypatch.setattr(abstract_learner, "vmap_tasks", lambda *_: None)
    torch.testing.assert_close(fast, loss_and_gradient(learner, tasks), rtol=1e-12, atol=1e-12)
    assert torch.equal(tasks[0].items.x, before)
