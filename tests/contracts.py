"""The laws that every layer obeys, one function each; a layer's test file names those that hold for it.

Float64 throughout unless a law says otherwise, with an absolute tolerance of 1e-10: sums of a few dozen numbers near
one, taken in another order.
"""

from __future__ import annotations

import copy
import inspect
import io
import itertools
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
import torch_geometric.nn
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import Module
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

import graphkit.nn
from graphkit.operators import SparseOperator, products, sparse_features
from tests.graphs import BY_NAME, ZOO, Graph, large

EXACT = {"rtol": 0.0, "atol": 1e-10}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Layer:
    """How a layer is made, of ours or of PyG's, and what it takes beside features and a graph.

    Attributes:
        name: shown by pytest.
        make: makes the layer from the module ``nn`` that holds its class; 4 features in.
        edge: the argument that edges have, ``"edge_weight"`` or ``"edge_attr"`` (2 features), or ``None``.
        undirected: whether the layer asks for undirected graphs.
        edge_numbers: how many numbers a stored entry may need: heads, or the features that edges bring themselves.
    """

    name: str
    make: Callable[[Any], Module]
    edge: str | None = None
    undirected: bool = False
    edge_numbers: int = 1

    def __str__(self) -> str:
        return self.name

    def ours(self, dtype: torch.dtype = torch.float64) -> Module:
        """Return graphkit's layer with weights that are the same at each call, for evaluation."""
        return _made(self.make, graphkit.nn, dtype)

    def peers(self, dtype: torch.dtype = torch.float64) -> Module:
        """Return PyG's layer with the weights of ``ours``."""
        peer = _made(self.make, torch_geometric.nn, dtype)
        peer.load_state_dict(self.ours(dtype).state_dict())
        return peer

    def options(self, graph: Graph, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Return the edge values that the layer takes, if any."""
        if self.edge == "edge_weight":
            return {"edge_weight": graph.weights(dtype)}
        return {"edge_attr": graph.edge_features(dtype=dtype)} if self.edge == "edge_attr" else {}

    def zoo(self) -> Iterable[Graph]:
        return (graph for graph in ZOO if graph.symmetric or not self.undirected)


def _made(make: Callable[[Any], Module], nn: ModuleType, dtype: torch.dtype) -> Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = make(nn)
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                torch.nn.init.normal_(parameter)
    return layer.to(dtype).eval()


def close(found: Any, expected: Any, graph: Graph | str, **tolerance: float) -> None:
    """Assert that two results agree, and name the graph on which they do not."""
    where = graph if isinstance(graph, str) else graph.name
    torch.testing.assert_close(found, expected, **(tolerance or EXACT), msg=lambda text: f"on {where}: {text}")


# ---- truth


def agrees_with_pyg(layer: Layer, graphs: Iterable[Graph] | None = None) -> None:
    """Outputs and gradients of features, edge values and parameters are those of PyG's layer of the same name.

    Relative to the largest number: 1e-5 in float32 (eps is 1e-7, sums of dozens of terms) and 1e-10 in float64.
    """
    for dtype, share in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        for graph in layer.zoo() if graphs is None else graphs:
            ours, theirs = (_outputs_and_gradients(part, layer, graph, dtype) for part in (layer.ours, layer.peers))
            assert ours.keys() == theirs.keys()
            for name, expected in theirs.items():
                scale = max(1.0, float(expected.abs().max()) if expected.numel() else 0.0)
                close(ours[name], expected, f"{graph.name}, {name}, {dtype}", rtol=0, atol=share * scale)


def agrees_with_the_cpu(layer: Layer, device: torch.device) -> None:
    """Outputs and gradients on an accelerator are those of the CPU, in every form the layer takes a graph in."""
    for graph in layer.zoo():
        found, expected = (
            _outputs_and_gradients(layer.ours, layer, graph, torch.float64, place) for place in (device, CPU)
        )
        for name, value in expected.items():
            close(found[name].cpu(), value, f"{graph.name}, {name}")
        if layer.edge != "edge_attr" and graph.simple:
            weight = graph.weights() if layer.edge == "edge_weight" else None
            module = layer.ours().to(device)
            for form in matrix_forms(graph, weight):
                out = module(graph.features().to(device), form.to(device))
                close(out.cpu(), expected["output"], f"{graph.name}, {_form(form)}")


def _outputs_and_gradients(
    make: Callable[..., Module], layer: Layer, graph: Graph, dtype: torch.dtype, device: torch.device = CPU
) -> dict:
    module = make(dtype).to(device)
    x = graph.features(dtype=dtype).to(device).requires_grad_()
    options = {name: value.to(device).requires_grad_() for name, value in layer.options(graph, dtype).items()}
    out = module(x, graph.edge_index.to(device), **options)
    upstream = torch.linspace(-1, 1, out.numel(), dtype=dtype, device=device).view(out.shape)
    inputs = {"x": x, **options, **dict(module.named_parameters())}
    gradients = torch.autograd.grad(out, list(inputs.values()), upstream, allow_unused=True, materialize_grads=True)
    found = {"output": out.detach(), **dict(zip(inputs, gradients, strict=True))}
    if layer.undirected and layer.edge == "edge_weight":  # only both directions together keep a graph undirected
        slopes = graph.dense(found["edge_weight"].cpu()).to(dtype)
        found["edge_weight"] = slopes + slopes.T
    return found


def follows_the_flow_as_pyg_does(layer: Layer) -> None:
    """With ``flow="target_to_source"`` on a directed graph it gives what PyG's layer gives."""
    graph = BY_NAME["directed"]
    ours, theirs = layer.ours(), layer.peers()
    ours.flow = theirs.flow = "target_to_source"
    given = graph.features(), graph.edge_index
    close(ours(*given, **layer.options(graph)), theirs(*given, **layer.options(graph)), graph)


def agrees_with_pyg_between_two_kinds_of_nodes(
    make: Callable[[Any], Module], widths: tuple[int, int], *, alone: bool = True, edge_dim: int = 0
) -> None:
    """``(x_source, x_target)``, and ``(x_source, None)`` where ``alone``, give PyG's results and gradients.

    Four sources, three targets, a duplicate edge; with and without ``size``; the matrix forms agree.
    """
    index = torch.tensor([[0, 1, 1, 3, 3, 2], [0, 0, 2, 2, 2, 1]])
    ours, theirs = (_made(make, nn, torch.float64) for nn in (graphkit.nn, torch_geometric.nn))
    theirs.load_state_dict(ours.state_dict())
    source, target = (Graph("", index, n).features(w).requires_grad_() for n, w in zip((4, 3), widths, strict=True))
    options = {"edge_attr": Graph("", index, 4).edge_features(edge_dim)} if edge_dim else {}
    size = {"size": (4, 3)} if "size" in inspect.signature(ours.forward).parameters else {}
    calls: list[tuple[tuple[Tensor, Tensor | None], dict]] = [((source, target), {}), ((source, target), size)]
    if alone:
        calls += [((source, None), size), ((source, None), {})]
    for x, given in calls:
        found, expected = (module(x, index, **given, **options) for module in (ours, theirs))
        close(found, expected, f"the target being {x[1] is not None} and the size {given}")
        inputs = [end for end in x if end is not None]
        close(*(torch.autograd.grad(out.square().sum(), inputs) for out in (found, expected)), "gradients")
        if not edge_dim and (x[1] is not None or given):  # else only a matrix tells the number of targets
            values = torch.ones(6, dtype=torch.float64)
            matrix = torch.sparse_coo_tensor(index.flip(0), values, (3, 4), check_invariants=True)
            close(ours(x, SparseOperator.from_edge_index(index, num_nodes=(4, 3))), expected, "an operator")
            close(ours(x, matrix), theirs(x, index.unique(dim=1), **given), "a matrix, whose duplicates are one entry")
    with pytest.raises(ValueError, match=r"`edge_index` has source node 3, but there are only 3 source nodes"):
        ours((source[:3], target), index, **options)
    if size:
        with pytest.raises(ValueError, match=r"`size` says 5 source nodes, but `x` has 4"):
            ours((source, target), index, size=(5, 3), **options)


def learns_its_width(make: Callable[[Any], Module], lazy: Callable[[Any], Module], *, edge_attr: bool = False) -> None:
    """With ``-1`` channels the first input, dense or sparse, makes the weights; a state dict does so too."""
    graph = BY_NAME["grid"]
    x, full = graph.features().relu(), _made(make, graphkit.nn, torch.float64)
    options = {"edge_attr": graph.edge_features()} if edge_attr else {}
    for form in (x, x.to_sparse_csr()):
        module = _made_lazily(lazy)
        module(form, graph.edge_index, **options)
        shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (module, full)]
        assert shapes[0] == shapes[1]
    module = _made_lazily(lazy)
    module.load_state_dict(full.state_dict())
    close(*(part(x, graph.edge_index, **options) for part in (module, full)), "the loaded layer")


def _made_lazily(lazy: Callable[[Any], Module]) -> Module:
    return lazy(graphkit.nn).double().eval()


def loads_pygs_weights_and_back(layer: Layer) -> None:
    """State dicts have the same names, shapes and order, and load both ways."""
    ours, theirs = layer.ours(), layer.peers()
    shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (ours, theirs)]
    assert list(shapes[0].items()) == list(shapes[1].items())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())


def reads_like_pygs(layer: Layer) -> None:
    """``str(layer)`` is PyG's."""
    assert str(layer.ours()) == str(layer.peers())


# ---- laws of graphs


def is_equivariant_to_permuting_the_nodes(layer: Layer) -> None:
    """Renaming the nodes renames the rows of the result and nothing else."""
    module = layer.ours()
    for graph in layer.zoo():
        order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(1))
        x, options = graph.features(), layer.options(graph)
        renamed = module(x[order], graph.relabelled(order).edge_index, **options)
        close(renamed, module(x, graph.edge_index, **options)[order], graph)


def ignores_the_order_of_edges(layer: Layer) -> None:
    """Listing the edges in another order changes nothing, the gradient of the features included."""
    module = layer.ours()
    for graph in layer.zoo():
        order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(1))
        x, options = graph.features().requires_grad_(), layer.options(graph)
        out = module(x, graph.edge_index, **options)
        shuffled = module(x, graph.edge_index[:, order], **{k: v[order] for k, v in options.items()})
        close(shuffled, out, graph)
        close(*(torch.autograd.grad(o.square().sum(), x)[0] for o in (shuffled, out)), graph)


def treats_a_batch_as_its_graphs(layer: Layer) -> None:
    """The whole zoo in one batch gives what its graphs give one by one."""
    module = layer.ours()
    zoo = list(layer.zoo())
    batch = Batch.from_data_list(
        [Data(x=g.features(), edge_index=g.edge_index, num_nodes=g.num_nodes, **layer.options(g)) for g in zoo]
    )
    options = {name: batch[name] for name in layer.options(zoo[0])}
    if "batch" in inspect.signature(module.forward).parameters:
        options["batch"] = batch.batch
    apart = torch.cat([module(g.features(), g.edge_index, **layer.options(g)) for g in zoo])
    close(module(batch.x, batch.edge_index, **options), apart, "the batch of the zoo")


def reverses_the_edges_with_the_flow(layer: Layer) -> None:
    """``flow="target_to_source"`` is the graph with its edges reversed, and is refused beside a matrix."""
    ahead, against = layer.ours(), layer.ours()
    against.flow = "target_to_source"
    for graph in layer.zoo():
        x, options = graph.features(), layer.options(graph)
        found = against(x, graph.edge_index, **options)
        close(found, ahead(x, graph.edge_index.flip(0), **options), graph)
    if layer.edge != "edge_attr":
        for form in matrix_forms(BY_NAME["path"]):
            with pytest.raises(ValueError, match=r"`flow='target_to_source'` is invalid .* its transpose"):
                against(BY_NAME["path"].features(), form)


def takes_several_signals_on_one_graph(layer: Layer) -> None:
    """``x`` of shape ``[signals, nodes, features]`` gives what the signals give one by one; gradients too."""
    module = layer.ours()
    for graph in layer.zoo():
        options = layer.options(graph)
        x = torch.stack([graph.features(), 2 * graph.features(), graph.features().flip(0)]).requires_grad_()
        together = module(x, graph.edge_index, **options)
        apart = torch.stack([module(one, graph.edge_index, **options) for one in x])
        close(together, apart, graph)
        close(*(torch.autograd.grad(out.square().sum(), x)[0] for out in (together, apart)), graph)
        assert together.is_contiguous()


def takes_every_form_of_a_graph(layer: Layer) -> None:
    """``edge_index`` of both integer types, ``EdgeIndex``, COO, CSR, CSC and a ``SparseOperator`` agree.

    Without edge features, which a matrix has no place for, and without duplicates, which COO to CSR would merge.
    """
    module = layer.ours()
    for graph in layer.zoo():
        if not graph.simple:
            continue
        x, weight = graph.features(), graph.weights() if layer.edge == "edge_weight" else None
        options = {} if weight is None else {"edge_weight": weight}
        if layer.edge != "edge_attr":
            expected = module(x, graph.edge_index, **options)
            for form in matrix_forms(graph, weight):
                close(module(x, form), expected, f"{graph.name}, {_form(form)}")
        options = layer.options(graph)
        expected = module(x, graph.edge_index, **options)
        size = (graph.num_nodes, graph.num_nodes)
        for index in (graph.edge_index.int(), EdgeIndex(graph.edge_index, sparse_size=size)):
            close(module(x, index, **options), expected, f"{graph.name}, {_form(index)}")


def matrix_forms(graph: Graph, weight: Tensor | None = None) -> list[Any]:
    """Return a graph as COO, CSR and CSC matrices with targets as rows, and as a prepared operator."""
    values = torch.ones(graph.num_edges, dtype=torch.float64) if weight is None else weight
    size = (graph.num_nodes, graph.num_nodes)
    coo = torch.sparse_coo_tensor(graph.edge_index.flip(0), values, size, check_invariants=True)
    operator = SparseOperator.from_edge_index(graph.edge_index, weight, num_nodes=graph.num_nodes)
    if graph.num_nodes == 0:  # torch has no compressed layout without rows
        return [coo, operator]
    return [coo, coo.coalesce().to_sparse_csr(), coo.coalesce().to_sparse_csc(), operator]


def _form(form: Any) -> str:
    return f"{type(form).__name__} {getattr(form, 'layout', '')} {form.dtype}"


def takes_sparse_features(layer: Layer) -> None:
    """A CSR, COO or prepared ``x`` gives what the dense ``x`` gives, and the same gradients of the parameters."""
    for graph in layer.zoo():
        x, options = graph.features().relu(), layer.options(graph)
        found = [_parameter_gradients(layer, form, graph, options) for form in (x, *_sparse_forms(x))]
        for other in found[1:]:
            for name, expected in found[0].items():
                close(other[name], expected, f"{graph.name}, {name}")


def _sparse_forms(x: Tensor) -> list[Any]:
    compressed = [x.to_sparse_csr()] if len(x) else []
    return [x.to_sparse_coo(), sparse_features(x), *compressed]


def _parameter_gradients(layer: Layer, x: Any, graph: Graph, options: dict[str, Tensor]) -> dict[str, Tensor]:
    module = layer.ours()
    out = module(x, graph.edge_index, **options)
    out.square().sum().backward()
    return {"output": out.detach(), **{name: p.grad for name, p in module.named_parameters() if p.grad is not None}}


# ---- laws of differentiation


def has_right_first_and_second_derivatives(layer: Layer) -> None:
    """Finite differences confirm gradients and second derivatives of features, edge values and parameters."""
    module = layer.ours()
    names = [name for name, _ in module.named_parameters()]
    for graph in (BY_NAME["self-loops"], BY_NAME["duplicate edges"], BY_NAME["isolated nodes"]):
        options = layer.options(graph)

        def function(x: Tensor, *rest: Tensor, graph: Graph = graph, options: Any = options) -> Tensor:
            given = dict(zip(options, rest, strict=False))
            parameters = dict(zip(names, rest[len(options) :], strict=True))
            return functional_call(module, parameters, (x, graph.edge_index), given)

        inputs = [graph.features(), *options.values(), *(p.detach() for p in module.parameters())]
        inputs = [tensor.clone().requires_grad_() for tensor in inputs]
        # Projecting on random directions (fast mode) checks every entry at once, at a fraction of the price.
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True), graph.name
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True), graph.name


def works_under_functional_transforms(layer: Layer) -> None:
    """``vmap`` over features, over parameters, over both, and over gradients equals a loop."""
    module, graph = layer.ours(), BY_NAME["self-loops"]
    options = layer.options(graph)
    tasks = 3
    xs = torch.stack([graph.features() * (k + 1) for k in range(tasks)])
    one = {name: p.detach() for name, p in module.named_parameters()}
    many = {name: torch.stack([p * (1 + 0.1 * k) for k in range(tasks)]) for name, p in one.items()}

    def output(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, parameters, (x, graph.edge_index), options)

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return output(parameters, x).square().mean()

    def pick(k: int) -> dict[str, Tensor]:
        return {name: p[k] for name, p in many.items()}

    close(vmap(output, (None, 0))(one, xs), torch.stack([output(one, x) for x in xs]), "vmap over features")
    looped = torch.stack([output(pick(k), xs[0]) for k in range(tasks)])
    close(vmap(output, (0, None))(many, xs[0]), looped, "vmap over parameters")
    looped = torch.stack([output(pick(k), xs[k]) for k in range(tasks)])
    close(vmap(output)(many, xs), looped, "vmap over both")
    found = vmap(grad(loss))(many, xs)
    for k in range(tasks):
        own = {name: p.clone().requires_grad_() for name, p in pick(k).items()}
        expected = torch.autograd.grad(loss(own, xs[k]), list(own.values()))
        for name, gradient in zip(own, expected, strict=True):
            close(found[name][k], gradient, f"vmap of grad, {name}")


def can_be_meta_learned(layer: Layer) -> None:
    """The gradient through an inner gradient step, for several tasks at once, equals autograd's in a loop."""
    module, graph = layer.ours(), BY_NAME["two components"]
    options = layer.options(graph)
    start = {name: p.detach() for name, p in module.named_parameters()}
    xs = torch.stack([graph.features(), graph.features().flip(0)])

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, parameters, (x, graph.edge_index), options).square().mean()

    def after_a_step(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        gradients = grad(loss)(parameters, x)
        return loss({name: p - 0.1 * gradients[name] for name, p in parameters.items()}, x)

    found = grad(lambda parameters: vmap(after_a_step, (None, 0))(parameters, xs).sum())(start)
    own = {name: p.clone().requires_grad_() for name, p in start.items()}
    total = torch.zeros((), dtype=torch.float64)
    for x in xs:
        gradients = torch.autograd.grad(loss(own, x), list(own.values()), create_graph=True)
        moved = {name: p - 0.1 * g for (name, p), g in zip(own.items(), gradients, strict=True)}
        total = total + loss(moved, x)
    for name, expected in zip(own, torch.autograd.grad(total, list(own.values())), strict=True):
        close(found[name], expected, f"second order, {name}")


def differentiates_forwards(layer: Layer) -> None:
    """``jvp`` in features, edge values and parameters is the transpose of reverse mode, and a Hessian is symmetric."""
    module, graph = layer.ours(), BY_NAME["self-loops"]
    options = layer.options(graph)
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, *rest: Tensor) -> Tensor:
        given = dict(zip(options, rest, strict=False))
        parameters = dict(zip(names, rest[len(options) :], strict=True))
        return functional_call(module, parameters, (x, graph.edge_index), given)

    drawn = torch.Generator().manual_seed(5)
    inputs = (graph.features(), *options.values(), *(p.detach() for p in module.parameters()))
    moved = tuple(torch.randn(part.shape, dtype=part.dtype, generator=drawn) for part in inputs)
    out, along = torch.func.jvp(function, inputs, moved)
    close(out, function(*inputs), "forward mode, the value")
    seen = torch.randn(out.shape, dtype=out.dtype, generator=drawn)
    back = torch.func.vjp(function, *inputs)[1](seen)
    total = torch.stack([(part * step).sum() for part, step in zip(back, moved, strict=True)]).sum()
    close((along * seen).sum(), total, "forward mode", rtol=1e-10, atol=1e-10)
    hessian = torch.func.hessian(lambda x: function(x, *inputs[1:]).square().sum())(inputs[0])
    count = inputs[0].numel()
    close(hessian.reshape(count, count), hessian.reshape(count, count).T, "Hessian")


# ---- laws of modules


def survives_copies_pickles_and_state_dicts(layer: Layer) -> None:
    """A copy, a pickle, a saved module and a state dict loaded into a fresh layer compute the same, to the bit."""
    module, graph = layer.ours(), BY_NAME["grid"]
    options = layer.options(graph)
    expected = module(graph.features(), graph.edge_index, **options)
    fresh = layer.make(graphkit.nn).double().eval()
    fresh.load_state_dict(module.state_dict())
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    loaded = layer.make(graphkit.nn).double().eval()
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh, loaded):
        assert torch.equal(twin(graph.features(), graph.edge_index, **options), expected)


def compiles_and_exports(layer: Layer) -> None:
    """``torch.compile`` without graph breaks and ``torch.export`` give the same numbers, gradients too."""
    module, graph = layer.ours(), BY_NAME["self-loops"]
    options = layer.options(graph)
    x = graph.features().requires_grad_()
    expected = module(x, graph.edge_index, **options)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(x, graph.edge_index, **options)
    close(compiled, expected, "compiled")
    close(*(torch.autograd.grad(out.square().sum(), x)[0] for out in (compiled, expected)), "compiled, gradient")
    exported = torch.export.export(module, (x.detach(), graph.edge_index), options).module()
    close(exported(x.detach(), graph.edge_index, **options), expected.detach(), "exported")


def has_two_paths_with_one_result(layer: Layer) -> None:
    """The fused path equals PyG's ``propagate``, which hooks on messages call for."""
    for graph in layer.zoo():
        x, options = graph.features().requires_grad_(), layer.options(graph)
        fused, plain = layer.ours(), layer.ours()
        seen: list[int] = []
        plain.register_message_forward_hook(lambda *_, seen=seen: seen.append(1))
        found, expected = (module(x, graph.edge_index, **options) for module in (fused, plain))
        assert seen or "K=1" in str(plain), "the hook on messages was not called"
        close(found, expected, graph)
        close(*(torch.autograd.grad(out.square().sum(), x)[0] for out in (found, expected)), graph)


def can_be_explained(layer: Layer) -> None:
    """PyG's explainer masks its messages: a mask of ones changes nothing, one without a node's edges does."""
    graph = BY_NAME["grid"]
    x, options = graph.features(dtype=torch.float32), layer.options(graph, torch.float32)
    module = layer.ours(torch.float32)
    expected = module(x, graph.edge_index, **options)
    for value, same in ((1.0, True), (0.0, False)):
        set_masks(module, torch.full((graph.num_edges,), value), graph.edge_index, apply_sigmoid=False)
        assert torch.allclose(module(x, graph.edge_index, **options), expected, atol=1e-5) is same
    clear_masks(module)
    explainer = Explainer(
        module,
        GNNExplainer(epochs=2),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    explanation = explainer(x, graph.edge_index, index=4, **options)
    assert explanation.edge_mask.shape == (graph.num_edges,)
    assert (explanation.edge_mask > 0).any()


def takes_bfloat16_under_autocast(layer: Layer) -> None:
    """Autocast gives what float32 gives, within a few units of bfloat16's 8 bits."""
    module, graph = layer.ours(torch.float32), BY_NAME["grid"]
    x, options = graph.features(dtype=torch.float32), layer.options(graph, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x, graph.edge_index, **options)
        out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    expected = module(x, graph.edge_index, **options).detach()
    close(out.float().detach(), expected, graph, rtol=0, atol=0.05 * float(expected.abs().max()))


def has_pygs_types_under_autocast(layer: Layer) -> None:
    """Autocast's results are of the type of PyG's, of single- and half-precision features, fused and not."""
    graph = BY_NAME["grid"]
    options = layer.options(graph, torch.float32)
    for dtype, hooked in itertools.product((torch.float32, torch.bfloat16), (False, True)):
        x, found = graph.features(dtype=dtype), []
        for module in (layer.ours(torch.float32), layer.peers(torch.float32)):
            if hooked:
                module.register_message_forward_hook(lambda *_: None)
            with torch.autocast("cpu", torch.bfloat16):
                found.append(module(x, graph.edge_index, **options).dtype)
        assert found[0] == found[1], f"{found} of {dtype}, {hooked=}"


def is_as_exact_as_pyg_in_half_precision(layer: Layer) -> None:
    """The error against float64, over 400 nodes, is at most a fifth above PyG's, which is a matter of luck."""
    graph = large(degree=20)
    for dtype in (torch.bfloat16, torch.float16):
        options = layer.options(graph, dtype)
        modules = [layer.ours(torch.float64).to(dtype), layer.peers(torch.float64).to(dtype)]
        truth = copy.deepcopy(modules[0]).double()
        x = graph.features(dtype=dtype)
        with torch.no_grad():
            expected = truth(x.double(), graph.edge_index, **{k: v.double() for k, v in options.items()})
            found = [module(x, graph.edge_index, **options).double() for module in modules]
        errors = [float((out - expected).square().mean().sqrt()) for out in found]
        assert errors[0] <= 1.2 * errors[1], f"{errors} in {dtype}"


def is_the_same_on_two_threads(layer: Layer) -> None:
    """Two threads give the numbers of one: each row is summed by one thread, in the same order.

    By both products that there are on the CPU, ours and PyTorch's for narrow features.
    """
    module, graph = layer.ours(), large()
    x, options = graph.features().requires_grad_(), layer.options(graph)
    results = []
    for threads, narrow in itertools.product((1, 2), (products.NARROW, 0)):
        torch.set_num_threads(threads)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(products, "NARROW", narrow)
                out = module(x, graph.edge_index, **options)
                results.append((out, torch.autograd.grad(out.square().sum(), x)[0]))
        finally:
            torch.set_num_threads(1)
    for result in results[1:]:
        close(result, results[0], graph, rtol=1e-12, atol=1e-11)


def makes_no_array_of_messages(layer: Layer) -> None:
    """On a graph with 50 times more edges than nodes no tensor has ``edges x features`` numbers, backwards neither.

    Index arrays of the graph and what edges bring themselves are the largest things around.
    """
    module, graph = layer.ours(torch.float32), large()
    x, options = graph.features(dtype=torch.float32).requires_grad_(), layer.options(graph, torch.float32)
    options = {name: value.requires_grad_() for name, value in options.items()}
    for narrow in (products.NARROW, 0):
        with pytest.MonkeyPatch.context() as patch, LargestTensor() as largest:
            patch.setattr(products, "NARROW", narrow)
            module(x, graph.edge_index, **options).sum().backward()
        assert 0 < largest.numbers <= layer.edge_numbers * (graph.num_edges + graph.num_nodes)


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest floating tensor has that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.layout == torch.strided:
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


# ---- laws of refusal


def refuses_what_is_not_a_graph(layer: Layer) -> None:
    """Ids out of range, wrong types and shapes are one-line errors that name the argument."""
    module, graph = layer.ours(), BY_NAME["path"]
    x, edges = graph.features(), graph.edge_index
    options = layer.options(graph)
    for wrong, error, message in (
        (edges - 1, ValueError, "`edge_index` must hold node ids from 0 upwards, got -1"),
        (edges + 1, ValueError, r"`edge_index` has source node 5, but there are only 5 source nodes"),
        (edges.float(), TypeError, "`edge_index` must hold integers"),
        (edges.T.contiguous(), ValueError, r"`edge_index` must have shape \[2, edges\], got \[8, 2\]"),
        ([[0], [1]], TypeError, "`edge_index` must be a tensor"),
    ):
        given = {k: v[: wrong.shape[1]] if isinstance(wrong, Tensor) else v for k, v in options.items()}
        with pytest.raises(error, match=message) as caught:
            module(x, wrong, **given)
        assert "\n" not in str(caught.value)
    if layer.edge == "edge_weight":
        for form in matrix_forms(graph):
            with pytest.raises(ValueError, match="`edge_weight` cannot stand beside a sparse matrix"):
                module(x, form, **options)
    for name, value in options.items():
        with pytest.raises(ValueError, match=rf"`{name}` must have one value per edge \(8\), got \[7"):
            module(x, edges, **{name: value[:7]})


LAWS = (
    loads_pygs_weights_and_back,
    reads_like_pygs,
    is_equivariant_to_permuting_the_nodes,
    ignores_the_order_of_edges,
    treats_a_batch_as_its_graphs,
    takes_every_form_of_a_graph,
    reverses_the_edges_with_the_flow,
    has_right_first_and_second_derivatives,
    differentiates_forwards,
    works_under_functional_transforms,
    can_be_meta_learned,
    survives_copies_pickles_and_state_dicts,
    has_two_paths_with_one_result,
    can_be_explained,
    takes_bfloat16_under_autocast,
    is_the_same_on_two_threads,
    refuses_what_is_not_a_graph,
)
"""What holds for every layer here; a layer's file adds those that hold for it in particular."""


def called(law: Callable[..., None]) -> str:
    """Return a law's name as pytest shows it."""
    return law.__name__.replace("_", " ")
