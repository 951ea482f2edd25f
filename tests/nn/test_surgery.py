"""PyG's layers and ours under every kind of surgery: whatever a user does to a layer, ours gives what PyG's gives.

Each operation is done to PyG's own layer and to ours with the same weights; outputs and gradients are compared. What
PyG refuses may be refused.
"""

from __future__ import annotations

import copy
import functools
import inspect
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch_geometric.nn
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules import module as torch_modules
from torch.nn.utils import parametrizations, parametrize, prune
from torch_geometric.nn import MessagePassing

import graphkit.nn
from graphkit.nn import accelerate, to_pyg
from graphkit.nn.class_exchange import OURS

PAIR = torch.tensor([[0, 1, 1, 2, 3, 3, 4, 0], [1, 0, 2, 1, 3, 4, 3, 0]])
WEIGHT = torch.tensor([0.5, 0.5, 2.0, 2.0, 0.7, 1.5, 1.5, 1.2], dtype=torch.float64)
ATTR = torch.linspace(-1, 1, 16, dtype=torch.float64).view(8, 2)
X = torch.sin(torch.arange(1, 21, dtype=torch.float64)).view(5, 4)
_ENDS, _ONES = PAIR[:, [0, 1, 2, 3, 5, 6]].flip(0), torch.ones(6, dtype=torch.float64)
SQUARE = torch.sparse_coo_tensor(_ENDS, _ONES, (5, 5), check_invariants=True).to_sparse_csr()
"""Without loops, and with values of 1, a matrix means the same to PyG as to us."""


@dataclass(frozen=True)
class Kind:
    """A layer, how it is made and what is given beside features and edges."""

    name: str
    options: tuple[Any, ...] = ()
    more: tuple[tuple[str, Any], ...] = ()
    beside: str | None = None
    matrix: bool = False

    def __str__(self) -> str:
        return f"{self.name}{dict(self.more) or ''}"

    def made(self, library: Any, kind: Any = None) -> nn.Module:
        """Return a layer of a library, or of a subclass of it, with weights that are the same at each call."""
        made = [each() if inspect.isfunction(each) else each for each in self.options]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layer = (kind or getattr(library, self.name))(*made, **dict(self.more)).double().eval()
            for parameter in layer.parameters():
                nn.init.normal_(parameter, std=0.5)
        return layer

    def inputs(self) -> dict[str, Tensor]:
        given = {"x": X, "edge_weight": WEIGHT, "edge_attr": ATTR}
        return {name: given[name].clone().requires_grad_() for name in ("x", self.beside) if name}


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh())


KINDS = [
    Kind("GCNConv", (4, 3), beside="edge_weight"),
    Kind("GCNConv", (4, 6), (("bias", False),), matrix=True),
    Kind("SAGEConv", (4, 3), matrix=True),
    Kind("SAGEConv", (4, 6), (("aggr", "max"), ("normalize", True), ("project", True))),
    Kind("GATConv", (4, 3), (("heads", 2),)),
    Kind("GATConv", ((4, 4), 3), (("heads", 2), ("concat", False), ("edge_dim", 2), ("residual", True)), "edge_attr"),
    Kind("GATv2Conv", (4, 3), (("heads", 2),)),
    Kind("GATv2Conv", (4, 3), (("edge_dim", 2), ("share_weights", True), ("add_self_loops", False)), "edge_attr"),
    Kind("GINConv", (linear,), (("train_eps", True),), matrix=True),
    Kind("GINEConv", (linear,), (("eps", 0.3), ("edge_dim", 2)), "edge_attr"),
    Kind("ChebConv", (4, 3, 4), beside="edge_weight"),
    Kind("ChebConv", (4, 6, 3), (("bias", False),)),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def test_every_layer_that_is_pygs_is_here():
    assert {kind.name for kind in KINDS} == {layer.__name__ for layer in OURS}


@every_kind
def test_a_layer_as_it_was_made_takes_the_fused_way(kind):
    assert kind.made(graphkit.nn).fusible(PAIR, X)


def outcome(kind: Kind, layer: Any, graph: Tensor) -> dict[str, Tensor] | Exception:
    """Return the output and the gradients of all that it is made of, or what was raised."""
    inputs = kind.inputs() if graph is PAIR else {"x": X.clone().requires_grad_()}
    x, *_ = inputs.values()
    beside = {name: value for name, value in inputs.items() if name != "x"}
    try:
        out = layer(x, graph, **beside)
        inputs |= {name: each for name, each in layer.named_parameters() if each.requires_grad}
        upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        options = {"allow_unused": True, "materialize_grads": True}
        slopes = torch.autograd.grad(out, list(inputs.values()), upstream, **options)
    except Exception as error:
        return error
    found = {"output": out.detach(), **dict(zip(inputs, slopes, strict=True))}
    if kind.name == "ChebConv" and "edge_weight" in found:  # only both directions together keep a graph undirected
        ends = (torch.cat([graph[0], graph[1]]), torch.cat([graph[1], graph[0]]))
        found["edge_weight"] = torch.zeros(5, 5).double().index_put(ends, found["edge_weight"].repeat(2), True)
    return found


def agree(kind: Kind, operation: Callable[[Any], Any], what: str, *, subclass: Callable[[Any], Any] | None = None):
    """Assert that an operation on both layers leaves them with the same results; return whether PyG's gave any."""
    taken = False
    # On a matrix PyG takes a product, and so no other step or hook: ours takes those too.
    for graph in (PAIR, SQUARE) if kind.matrix and "message_and_aggregate" in what else (PAIR,):
        found = []
        for library in (torch_geometric.nn, graphkit.nn):
            own = subclass and subclass(getattr(library, kind.name))
            layer = kind.made(library, own)
            changed = operation(layer)
            found.append(outcome(kind, layer if changed is None else changed, graph))
        expected, ours = found
        if isinstance(expected, Exception):
            continue
        taken = True
        assert not isinstance(ours, Exception), f"{kind}, {what}: {ours!r}"
        assert ours.keys() == expected.keys(), f"{kind}, {what}"
        for name, value in expected.items():
            torch.testing.assert_close(
                ours[name], value, rtol=1e-9, atol=1e-9, msg=lambda t, n=name: f"{kind}, {what}, {n}: {t}"
            )
    return taken


def nothing(layer: Any) -> None:
    return None


def doubled(value: Any) -> Any:
    """Return a result with all floating tensors in it doubled."""
    if isinstance(value, Tensor):
        return 2 * value if value.is_floating_point() and value.layout == torch.strided else value
    if isinstance(value, tuple):
        return tuple(map(doubled, value))
    return {name: doubled(each) for name, each in value.items()} if isinstance(value, dict) else value


def steps(layer: Any) -> list[str]:
    """Return the names of all methods of a layer's class that a user may replace."""
    own = {name for name in dir(layer) if callable(getattr(layer, name))} - set(dir(nn.Module))
    own = {name for name in own if not name.startswith(("register_", "_jinja", "_orig", "_set_jit", "_get_"))}
    # What PyG calls a class's own is not called by an instance; `specimen` and `jittable` make no message.
    return sorted(own - {"jittable", "aggr_module"} | {"forward"} & set(dir(layer)))


def replaced(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that doubles what another gives, with its signature, which PyG asks for."""

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return doubled(original(*args, **kwargs))

    return method


def subclass_with(step: str) -> Callable[[Any], Any]:
    """Return what makes a subclass with a step of its own."""

    def made(base: Any) -> Any:
        class Own(base):
            pass

        setattr(Own, step, replaced(getattr(base, step)))
        # PyG writes a module for every class and finds it again by the class's name.
        Own.__name__ = f"{step}_{base.__module__.replace('.', '_')}_{base.__name__}"
        return Own

    return made


@every_kind
def test_a_subclass_may_have_any_step_of_its_own(kind):
    peer = getattr(torch_geometric.nn, kind.name)
    tried = [step for step in steps(peer) if agree(kind, nothing, f"own {step}", subclass=subclass_with(step))]
    assert {"message", "aggregate", "update", "propagate", "forward"} <= set(tried)


@every_kind
def test_a_layer_may_have_any_step_of_its_own(kind):
    def operation(layer: Any, step: str) -> None:
        setattr(layer, step, replaced(getattr(layer, step)))

    for step in steps(getattr(torch_geometric.nn, kind.name)):
        agree(kind, functools.partial(operation, step=step), f"{step} of the instance")


@every_kind
def test_a_step_may_be_replaced_on_the_class_and_put_back(kind, monkeypatch):
    for step in ("message", "aggregate", "update"):
        with monkeypatch.context() as patch:
            layer = getattr(torch_geometric.nn, kind.name)  # from which ours takes its steps
            patch.setattr(layer, step, replaced(getattr(layer, step)))
            assert agree(kind, nothing, f"{step} of the class")
        with monkeypatch.context() as patch:
            patch.setattr(MessagePassing, step, replaced(getattr(MessagePassing, step)))
            assert agree(kind, nothing, f"{step} of all classes")
    assert kind.made(graphkit.nn).fusible(PAIR, X)


def hooks(module: Any) -> list[str]:
    """Return the names of the methods that register hooks on calls."""
    names = [name for name in dir(module) if name.startswith("register_") and name.endswith("_hook")]
    # A module has hooks on its state, and an older kind of backward hook, which torch warns of.
    return [name for name in names if "state" not in name and name != "register_backward_hook"]


def hooked(layer: Any, name: str, child: str = "") -> None:
    """Let a hook double what it is shown, whatever that is."""
    module = layer.get_submodule(child)
    before, backward = "pre_hook" in name, "backward" in name

    def hook(module: Any, first: Any, second: Any = None) -> Any:
        if backward:
            return None if before else doubled(first)  # of gradients to inputs, which may be no tensors
        return doubled(first) if before else doubled(second)

    getattr(module, name)(hook)


@every_kind
def test_hooks_are_heard_on_the_layer_and_on_its_parts(kind):
    peer = kind.made(torch_geometric.nn)
    for child, module in peer.named_modules():
        for name in hooks(module):
            agree(kind, functools.partial(hooked, name=name, child=child), f"{name} on {child or 'the layer'}")


@every_kind
def test_hooks_on_all_modules_are_heard(kind):
    def hook(module: Any, inputs: Any, out: Any) -> Any:
        return doubled(out) if isinstance(module, torch_geometric.nn.Linear | nn.Linear) else None

    handle = torch_modules.register_module_forward_hook(hook)
    try:
        assert agree(kind, nothing, "a hook on all modules")
    finally:
        handle.remove()


def maps(layer: Any) -> list[tuple[str, Any]]:
    known = (torch_geometric.nn.Linear, nn.Linear)
    return [(name, module) for name, module in layer.named_modules() if type(module) in known]


def on_maps(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return what changes each map of a layer; what it returns takes the map's place."""

    def operation(layer: Any) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            for name, module in maps(layer):
                changed = change(module)
                if isinstance(changed, nn.Module) and changed is not module:
                    layer.set_submodule(name, changed)

    return operation


class Halved(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return 0.5 * weight


def with_forward_of_its_own(lin: Any) -> None:
    lin.forward = replaced(lin.forward)


def without_a_parameter(lin: Any) -> None:
    weight = 2 * lin.weight.detach()
    del lin.weight
    lin.weight = weight


def frozen(lin: Any) -> None:
    lin.weight.requires_grad_(False)


def lora(lin: Any) -> nn.Module:
    """A map beside the map, as adapters have it."""

    class Adapter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.down = lin, nn.Linear(lin.weight.shape[1], lin.weight.shape[0]).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.down(x)

    return Adapter()


ON_MAPS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": lambda lin: parametrizations.spectral_norm(lin, n_power_iterations=3),
    "orthogonal": parametrizations.orthogonal,
    "an own parametrisation": lambda lin: parametrize.register_parametrization(lin, "weight", Halved()),
    "old weight norm": lambda lin: hush(torch.nn.utils.weight_norm, lin),
    "pruned": lambda lin: prune.l1_unstructured(lin, "weight", amount=3),
    "followed by a function": lambda lin: nn.Sequential(lin, nn.Tanh()),
    "replaced": lambda lin: nn.Linear(lin.weight.shape[1], lin.weight.shape[0]).double(),
    "an adapter": lora,
    "a forward of its own": with_forward_of_its_own,
    "no parameter": without_a_parameter,
    "frozen": frozen,
}


def hush(function: Callable[..., Any], *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


@every_kind
def test_maps_may_be_parametrised_pruned_replaced_and_frozen(kind):
    for what, change in ON_MAPS.items():
        # PyG's ChebConv calls the further maps without the hooks that prune and normalise them.
        assert agree(kind, on_maps(change), what)


@every_kind
def test_a_layers_own_parameters_may_be_parametrised(kind):
    def operation(layer: Any, name: str) -> None:
        parametrize.register_parametrization(layer, name, Halved())

    for name, _ in kind.made(torch_geometric.nn).named_parameters(recurse=False):
        assert agree(kind, functools.partial(operation, name=name), f"{name} parametrised")


OTHERS = {"source_to_target": "target_to_source", "sum": "mean", "add": "mean", "mean": "sum", "max": "mean"}


def otherwise(value: Any) -> Iterator[Any]:
    """Yield other values that an attribute may take."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value + 0.3, 0.0)
    elif isinstance(value, str) and value in OTHERS:
        yield OTHERS[value]


@every_kind
def test_any_attribute_may_be_changed_after_construction(kind):
    layer = kind.made(torch_geometric.nn)
    for name, value in vars(layer).items():
        for other in otherwise(value):
            # Without weights PyG forgets `improved`.
            if not (name == "improved" and kind.beside is None):
                agree(kind, lambda layer, n=name, o=other: setattr(layer, n, o), f"{name} = {other}")
    assert agree(kind, lambda layer: setattr(layer, "aggr_module", torch_geometric.nn.MedianAggregation()), "median")


@every_kind
def test_weights_may_be_tied(kind):
    def operation(layer: Any) -> None:
        alike: dict[Any, Any] = {}
        for _, lin in maps(layer):
            lin.weight = alike.setdefault(lin.weight.shape, lin.weight)

    assert agree(kind, operation, "tied weights")


def pickled(layer: Any) -> Any:
    return pickle.loads(pickle.dumps(layer))


def saved(layer: Any) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def there_and_back(layer: Any) -> None:
    kind, ours = type(layer), type(layer) in OURS.values()
    done = (to_pyg if ours else accelerate)(layer)
    assert done.exchanged == ("",)
    assert not done.left
    assert type(layer) is not kind
    back = (accelerate if ours else to_pyg)(layer)
    assert back.exchanged == ("",)
    assert type(layer) is kind


CHANGES: dict[str, Callable[[Any], Any]] = {
    "copied": copy.deepcopy,
    "pickled": pickled,
    "saved": saved,
    "exchanged": lambda layer: (to_pyg if type(layer) in OURS.values() else accelerate)(layer) and None,
    "exchanged and back": there_and_back,
    "float and back": lambda layer: layer.float().double(),
    "shared": lambda layer: layer.share_memory(),
    "for training": lambda layer: layer.train(),
}


@every_kind
def test_copies_pickles_and_exchanges_change_nothing(kind):
    for what, change in CHANGES.items():
        assert agree(kind, change, what)


@every_kind
def test_it_compiles_as_a_whole(kind):
    torch._dynamo.reset()
    assert agree(kind, lambda layer: torch.compile(layer, fullgraph=True, backend="aot_eager"), "compiled")


@every_kind
def test_it_runs_on_tensors_without_numbers(kind):
    """As PyG's does; the fused way would look at numbers that are not there."""
    layers = [kind.made(library) for library in (torch_geometric.nn, graphkit.nn)]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        shapes = []
        for layer in layers:
            inputs = {name: mode.from_tensor(value.detach()) for name, value in kind.inputs().items()}
            x, graph = inputs.pop("x"), mode.from_tensor(PAIR)
            try:
                shapes.append(layer(x, graph, **inputs).shape)
            except Exception as error:
                shapes.append(repr(error))
    assert isinstance(shapes[0], str) or shapes[1] == shapes[0]


# ---- what users did, each with what PyG gives


@every_kind
def test_it_is_pygs_layer(kind):
    assert isinstance(kind.made(graphkit.nn), getattr(torch_geometric.nn, kind.name))


@every_kind
def test_what_steps_are_called_with_is_what_pyg_reads_in_its_own_source(kind):
    """PyG finds a class's source by its name, and ours have its names."""
    ours, peer = kind.made(graphkit.nn).inspector, kind.made(torch_geometric.nn).inspector
    for step in ("propagate", "edge_updater"):
        found, expected = (each.get_params_from_method_call(step) for each in (ours, peer))
        assert [(p.name, p.type) for p in found.values()] == [(p.name, p.type) for p in expected.values()]


def test_a_message_of_attention_may_ask_for_the_target():
    def message(self, x_i: Tensor, x_j: Tensor, alpha: Tensor) -> Tensor:
        return alpha.unsqueeze(-1) * (x_j - x_i)

    outputs = []
    for base in (torch_geometric.nn.GATConv, graphkit.nn.GATConv):

        class MyGAT(base):
            pass

        MyGAT.message, MyGAT.__name__ = message, f"MyGAT_{base.__module__.replace('.', '_')}"
        outputs.append(KINDS[4].made(None, MyGAT)(X, PAIR))
    torch.testing.assert_close(*outputs)
    assert outputs[0].abs().max() > 0.1


@pytest.mark.parametrize("first", [torch_geometric.nn, graphkit.nn])
def test_an_explainer_masks_a_subclass_whoever_was_made_first(first):
    """PyG explains no subclass of a layer that has been made before: its step is then without the mask."""
    kind = KINDS[0]
    kind.made(first)

    class Named(graphkit.nn.GCNConv):
        pass

    mask = torch.linspace(-1, 1, 8, dtype=torch.float64)
    found = []
    for layer in (kind.made(None, Named), kind.made(graphkit.nn), kind.made(torch_geometric.nn)):
        torch_geometric.explain.algorithm.utils.set_masks(layer, torch.nn.Parameter(mask), PAIR)
        found.append(layer(X, PAIR, WEIGHT))
        torch_geometric.explain.algorithm.utils.clear_masks(layer)
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[2])
    assert kind.made(None, Named).fusible(PAIR, X)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.name in ("GCNConv", "GATConv") and not k.beside], ids=str)
def test_graph_mask_explains_it(kind):
    """``GraphMaskExplainer`` reads what the layer's messages were made of."""
    from torch_geometric.explain import Explainer, GraphMaskExplainer

    found = []
    for library in (torch_geometric.nn, graphkit.nn):
        explainer = Explainer(
            kind.made(library).float(),
            GraphMaskExplainer(1, epochs=2, log=False),
            explanation_type="model",
            edge_mask_type="object",
            node_mask_type="object",
            model_config={"mode": "regression", "task_level": "node"},
        )
        torch.manual_seed(0)
        found.append(explainer(X.float(), PAIR).edge_mask)
    torch.testing.assert_close(*found)


def test_what_was_cached_is_pygs_pair():
    kind = Kind("GCNConv", (4, 3), (("cached", True),))
    layers = [kind.made(library) for library in (torch_geometric.nn, graphkit.nn)]
    for layer in layers:
        layer(X, PAIR, WEIGHT)
    torch.testing.assert_close(*(layer._cached_edge_index for layer in layers))
    torch.testing.assert_close(*(layer(2 * X, PAIR.flip(0)) for layer in layers))


def test_a_layer_without_a_node_of_its_own_needs_no_size():
    kind = Kind("SAGEConv", ((4, 4), 2), (("root_weight", False),))
    torch.testing.assert_close(*(kind.made(library)((X, None), PAIR) for library in (torch_geometric.nn, graphkit.nn)))


@pytest.mark.parametrize("x", [X, X > 0, (10 * X).long(), X.float()], ids=lambda x: str(x.dtype))
def test_a_function_of_any_kind_may_follow_a_sum_of_features_of_any_type(x):
    for network in (torch.tanh, lambda h: h.tanh(), nn.Linear(4, 3).double()):
        found = []
        for library in (torch_geometric.nn, graphkit.nn):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                found.append(library.GINConv(network).double()(x, PAIR))
        torch.testing.assert_close(*found)


def test_a_largest_message_of_zero_has_its_whole_gradient():
    """Torch 2.13 halves it, as if the zeros that a maximum is taken into were features; PyG's layers inherit that."""
    x = torch.tensor([[0.0], [-1.0], [-2.0]], requires_grad=True)
    layer = graphkit.nn.SAGEConv(1, 1, aggr="max", root_weight=False, bias=False)
    nn.init.ones_(layer.lin_l.weight)
    out = layer(x, torch.tensor([[0, 1], [2, 2]]))
    assert torch.autograd.grad(out.sum(), x)[0].flatten().tolist() == [1.0, 0.0, 0.0]
