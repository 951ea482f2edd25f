"""What users do to a model after it was made, and the forms in which they give its graph.

Each surgery is done to an ``Encoder`` of four layers; what it may do to the outcome is the plain way's to say.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn.modules import module as of_all
from torch.nn.utils import parametrizations, prune
from torch_geometric import EdgeIndex
from torch_geometric.explain.algorithm.utils import set_masks

from graphkit.meta import Nodes
from graphkit.nn import Encoder, GCNConv
from graphkit.operators import SparseOperator, sparse_features
from tests.meta.inner_layers import WIDTH
from tests.meta.test_subgraph import graph


def map_of(conv: nn.Module) -> nn.Module:
    """Return the first linear map of a layer."""
    return next(module for module in conv.modules() if isinstance(module, nn.Linear | pyg.Linear))


def holder_of(conv: nn.Module) -> tuple[nn.Module, str]:
    """Return the module that holds a layer's first linear map, and its name there."""
    lin = map_of(conv)
    return next((module, name) for module in conv.modules() for name, child in module._modules.items() if child is lin)


PARTS: dict[str, Callable[[Any], nn.Module]] = {
    "encoder": lambda e: e,
    "list of layers": lambda e: e.convs,
    "first layer": lambda e: e.convs[0],
    "last layer": lambda e: e.convs[-1],
    "linear map": lambda e: map_of(e.convs[1]),
    "aggregation": lambda e: getattr(e.convs[0], "aggr_module", e.convs[0]),
    "activation": lambda e: e.activation,
    "norm": lambda e: e.norms[0],
}


def doubled(module: nn.Module, inputs: Any, output: Any) -> Any:
    return 2 * output


def halved_before(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
    first = inputs[0]
    return (first * 0.5 if isinstance(first, Tensor) else first, *inputs[1:])


def halved_by_name(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return halved_before(module, inputs), named


def slopes_doubled(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    return tuple(None if slope is None else 2 * slope for slope in inputs)


def replace_forward(module: nn.Module) -> None:
    before = module.forward
    module.forward = lambda *inputs, **named: before(*inputs, **named) * 2


def replace_method(conv: nn.Module, name: str) -> None:
    before = getattr(conv, name)
    setattr(conv, name, lambda *inputs, **named: before(*inputs, **named) * 2)


class Adapted(nn.Module):
    """A linear map with a small one beside it, as LoRA has."""

    def __init__(self, lin: nn.Module) -> None:
        super().__init__()
        self.lin, wide, narrow = lin, *lin.weight.shape
        self.up, self.down = nn.Linear(2, wide, bias=False), nn.Linear(narrow, 2, bias=False)

    def forward(self, x: Any) -> Tensor:
        return self.lin(x) + self.up(self.down(x))


class Doubling(nn.ReLU):
    """A subclass of an activation."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class DoublingEncoder(Encoder):
    """A subclass of the encoder."""

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return 2 * super().forward(*inputs, **named)


class OwnMessages(GCNConv):
    """A subclass of a layer with messages of its own."""

    def message(self, x_j: Tensor, edge_weight: Tensor | None) -> Tensor:
        return x_j if edge_weight is None else x_j * edge_weight.square().view(-1, 1)


class PlainSubclass(GCNConv):
    """A subclass of a layer that changes nothing."""


def adapt(e: Any) -> None:
    holder, name = holder_of(e.convs[1])
    setattr(holder, name, Adapted(map_of(e.convs[1])).to(map_of(e.convs[1]).weight))


def with_a_bias(e: Any) -> None:
    holder, name = holder_of(e.convs[1])
    setattr(holder, name, nn.Linear(WIDTH, map_of(e.convs[1]).weight.size(0)).double())


def normalise_by_a_hook(e: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # an older form, which saved models have
        nn.utils.weight_norm(map_of(e.convs[0]))


def tie(e: Any) -> None:
    map_of(e.convs[2]).weight = map_of(e.convs[1]).weight


def halve_a_weight(e: Any) -> None:
    lin = map_of(e.convs[0])
    lin.weight = nn.Parameter(0.5 * lin.weight.detach())


def in_all(name: str) -> Callable[[Any], None]:
    def put(e: Any) -> None:
        for conv in e.convs:
            assert hasattr(conv, name)
            setattr(conv, name, {"add_self_loops": False, "improved": True, "flow": "target_to_source"}[name])

    return put


def cache_another_graph(e: Any) -> None:
    """Let PyG's layers keep another graph, which they go on with when they are told not to keep any more."""
    for conv in e.convs:
        conv.cached = True
        conv(torch.zeros(480, conv.in_channels).double(), torch.arange(480).repeat(2, 1))
        conv.cached = False


def unnormalise(e: Any) -> None:
    for conv in e.convs:
        conv.normalize, conv.add_self_loops = False, False


def aggregate_by(kind: type[nn.Module], name: str | None = None) -> Callable[[Any], None]:
    def put(e: Any) -> None:
        e.convs[0].aggr_module = kind()
        e.convs[0].aggr = name or e.convs[0].aggr

    return put


def by_another_class(e: Any) -> None:
    e.convs[1] = pyg.SAGEConv(WIDTH, WIDTH).double()


def hooked(register: str, hook: Any, **options: Any) -> Callable[[Any], None]:
    return lambda part: getattr(part, register)(hook, **options)


def on(part: str, act: Callable[[Any], Any]) -> Callable[[Any], None]:
    def surgery(e: Any) -> None:
        act(PARTS[part](e))

    return surgery


def message_hook(step: str, when: str) -> Callable[[Any], None]:
    def before(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        named = inputs[-1]
        halves = {key: 0.5 * value if _is_number(value) and "x" in key else value for key, value in named.items()}
        return (*inputs[:-1], halves)

    def after(module: nn.Module, inputs: Any, output: Any) -> Any:
        return 2 * output

    hook, name = (before, "forward_pre_hook") if when == "before" else (after, "forward_hook")
    return lambda e: getattr(e.convs[0], f"register_{step}_{name}")(hook)


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


HOOKS: dict[str, Callable[[Any], Any]] = {
    "a hook": hooked("register_forward_hook", doubled),
    "a hook that is told names": hooked(
        "register_forward_hook", lambda m, i, named, output: 2 * output, with_kwargs=True
    ),
    "a hook before": hooked("register_forward_pre_hook", halved_before),
    "a hook before that is told names": hooked("register_forward_pre_hook", halved_by_name, with_kwargs=True),
    "a hook on slopes": hooked("register_full_backward_hook", slopes_doubled),
    "its `forward` replaced": replace_forward,
}
CALLED = [part for part in PARTS if part != "list of layers"]
STEPS = ("propagate", "message", "aggregate")

SURGERIES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda e: None,
    **{f"{what}, {part}": on(part, act) for part in CALLED for what, act in HOOKS.items()},
    "weight norm": lambda e: parametrizations.weight_norm(map_of(e.convs[0])),
    "spectral norm": lambda e: parametrizations.spectral_norm(map_of(e.convs[0])),
    "orthogonal": lambda e: parametrizations.orthogonal(map_of(e.convs[1]), orthogonal_map="cayley"),
    "weight norm by a hook": normalise_by_a_hook,
    "pruned": lambda e: prune.l1_unstructured(map_of(e.convs[0]), "weight", 0.3),
    "pruned for good": lambda e: prune.remove(prune.l1_unstructured(map_of(e.convs[0]), "weight", 0.3), "weight"),
    "a tied weight": tie,
    "a layer twice": lambda e: e.convs.__setitem__(2, e.convs[1]),
    "further parameters": lambda e: e.register_parameter("spare", nn.Parameter(torch.ones(2), requires_grad=False)),
    "a frozen weight": lambda e: map_of(e.convs[0]).weight.requires_grad_(False),
    "a frozen layer": lambda e: e.convs[0].requires_grad_(False),
    "frozen and back": lambda e: e.requires_grad_(False).requires_grad_(True),
    "parameters replaced": halve_a_weight,
    "a hook on a parameter's slope": lambda e: map_of(e.convs[0]).weight.register_hook(lambda slope: 2 * slope),
    "another activation": lambda e: setattr(e, "activation", nn.Softsign()),
    "a subclass of the activation": lambda e: setattr(e, "activation", Doubling()),
    "an activation that looks at rows": lambda e: setattr(e, "activation", nn.Softmax(-1)),
    "an activation in place": lambda e: setattr(e, "activation", nn.ELU(inplace=True)),
    "an activation set in place": lambda e: setattr(e.activation, "inplace", True),
    "a norm": lambda e: e.norms.__setitem__(0, nn.LayerNorm(WIDTH, elementwise_affine=False)),
    "a norm after the last layer": lambda e: e.norms.append(nn.Identity()) or e._norm_takes.append(frozenset()),
    "a norm less": lambda e: e.norms.__delitem__(-1),
    "deepcopy": lambda e: copy.deepcopy(e),
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
}
"""From an encoder to ``None``, or to what shall stand in its place."""


def edges() -> Tensor:
    return graph().edge_index


OF_GRAPHS: dict[str, Callable[[Any], Any]] = {
    **{f"a hook {when} {step}": message_hook(step, when) for step in STEPS for when in ("before", "after")},
    **{
        f"`{name}` replaced": lambda e, name=name: replace_method(e.convs[0], name)
        for name in ("message", "aggregate", "update", "propagate")
    },
    "an adapter": adapt,
    "a linear map with a bias": with_a_bias,
    "a layer of another class": by_another_class,
    "another aggregation": aggregate_by(pyg.MaxAggregation, "max"),
    "another aggregation under the same name": aggregate_by(pyg.MeanAggregation),
    "an explainer's mask": lambda e: set_masks(e, torch.linspace(-1, 1, edges().size(1)).double(), edges()),
}
"""Those that ask for layers which pass messages."""

ALTERED = {
    *(name for name in SURGERIES | OF_GRAPHS if ", " in name or "a hook before" in name or "a hook after" in name),
    *(name for name in SURGERIES | OF_GRAPHS if name.endswith("` replaced")),
    *("weight norm", "spectral norm", "orthogonal", "weight norm by a hook", "pruned", "an explainer's mask"),
}
"""Those after which some module is not as it was made."""

OF_GCN: dict[str, Callable[[Any], Any]] = {
    "`add_self_loops` set": in_all("add_self_loops"),
    "`improved` set": in_all("improved"),
    "`flow` set": in_all("flow"),
    "`normalize` set": unnormalise,
    "`normalize` set alone": lambda e: [setattr(conv, "normalize", False) for conv in e.convs],
    "`aggr` set alone": lambda e: setattr(e.convs[0], "aggr", "mean"),
    "`node_dim` set": lambda e: setattr(e.convs[0], "node_dim", 0),
    "`cached` set and used": cache_another_graph,
    "no bias any more": lambda e: e.convs[0].register_parameter("bias", None),
    "`cached` set": lambda e: [setattr(conv, "cached", True) for conv in e.convs],
}
"""Those that ask for attributes of a ``GCNConv``."""


@contextmanager
def hook_on_all() -> Iterator[None]:
    """Register a hook on all modules of the process."""
    handle = of_all.register_module_forward_hook(
        lambda module, inputs, output: 2 * output if isinstance(module, pyg.MessagePassing) else None
    )
    try:
        yield
    finally:
        handle.remove()


def with_x(items: Nodes, x: Any) -> Nodes:
    return replace(items, x=x)


def with_edges(items: Nodes, edges: Any, weight: Tensor | None = None) -> Nodes:
    return replace(items, edge_index=edges, edge_weight=weight)


def weights(items: Nodes) -> Tensor:
    drawn = torch.Generator().manual_seed(4)
    return torch.rand(items.edge_index.size(1), generator=drawn, dtype=items.x.dtype) + 0.5


def asked(x: Any) -> Any:
    """Return the same as a leaf that asks for a gradient."""
    if isinstance(x, SparseOperator):
        return SparseOperator(x.pattern, x.values.detach().clone().requires_grad_())
    return x.detach().clone().requires_grad_()


def coo(items: Nodes) -> Tensor:
    size = len(items.y)
    return torch.sparse_coo_tensor(
        items.edge_index.flip(0), weights(items), (size, size), check_invariants=True
    ).coalesce()


class Marked(Tensor):
    """A tensor that somebody's library would do something else with."""


FORMS: dict[str, Callable[[Nodes], Nodes]] = {
    "as it is": lambda items: items,
    "float32": lambda items: with_x(items, items.x.float()),
    "bfloat16": lambda items: with_x(items, items.x.bfloat16()),
    "COO features": lambda items: with_x(items, items.x.to_sparse()),
    "CSR features": lambda items: with_x(items, items.x.to_sparse_csr()),
    "an operator of features": lambda items: with_x(items, sparse_features(items.x)),
    "turned features": lambda items: with_x(items, items.x.T.contiguous().T),
    "features that ask": lambda items: with_x(items, asked(items.x)),
    "features that are a parameter": lambda items: with_x(items, nn.Parameter(items.x.clone())),
    "an operator that asks": lambda items: with_x(items, asked(sparse_features(items.x))),
    "weights": lambda items: with_edges(items, items.edge_index, weights(items)),
    "weights that ask": lambda items: with_edges(items, items.edge_index, asked(weights(items))),
    "weights of another type": lambda items: with_edges(items, items.edge_index, weights(items).float()),
    "COO graph": lambda items: with_edges(items, coo(items)),
    "CSR graph": lambda items: with_edges(items, coo(items).to_sparse_csr()),
    "an operator of a graph": lambda items: with_edges(items, SparseOperator.from_torch(coo(items))),
    "int32 edges": lambda items: with_edges(items, items.edge_index.int()),
    "EdgeIndex": lambda items: with_edges(items, EdgeIndex(items.edge_index)),
    "features of another class": lambda items: with_x(items, items.x.as_subclass(Marked)),
    "turned edges": lambda items: with_edges(items, items.edge_index.T.contiguous().T),
    "no edges": lambda items: with_edges(items, items.edge_index[:, :0]),
}
"""From a graph to the same in another form."""
