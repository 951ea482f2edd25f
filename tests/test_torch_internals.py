"""Private names of PyTorch and PyG mean what the package takes them to mean, and stand in one file."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch
import torch_geometric.nn
from torch import nn
from torch.autograd import forward_ad
from torch.nn.utils.weight_norm import WeightNorm
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset

import graphkit
from graphkit import _torch_internals as internals

PACKAGE = Path(graphkit.__file__).parent
HOME = PACKAGE / "_torch_internals.py"
LIBRARIES = ("torch", "torch_geometric")
OF_NUMBA = {"_kernels/compiler.py": {"_version"}}
"""Names that are private to another library, and called alike."""
OUR_OWN = {"_indices"}
"""A private name of PyTorch's sparse tensors that our patterns have too, and other rooms read off them."""
PAIR = torch.tensor([[0, 1], [1, 0]])


def is_private(name: str) -> bool:
    return name.startswith("_") and name != "_" and not name.endswith("__")


def chain(node: ast.AST) -> list[str]:
    """Return the names of a dotted expression, the first one first; none for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := chain(node.value)):
        return [*before, node.attr]
    return []


def names_in(tree: ast.AST) -> set[str]:
    """Return private names that a file reads off objects, or spells."""
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    spelled = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {name for name in read | spelled if is_private(name) and name.isidentifier()}


def defined_in(tree: ast.AST) -> set[str]:
    """Return names that a file gives to functions, classes, attributes and variables of its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def offences(source: str, table: set[str]) -> set[str]:
    """Return the private names of the libraries that a file uses: by import, below an import, or those of the table."""
    tree = ast.parse(source)
    imported, found = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {each.asname or each.name.partition(".")[0]: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for path in imported.values():
        parts = path.split(".")
        if parts[0] in LIBRARIES and any(map(is_private, parts)):
            found.add(path)
    for node in ast.walk(tree):
        parts = chain(node)
        if parts and imported.get(parts[0], "").partition(".")[0] in LIBRARIES and any(map(is_private, parts[1:])):
            found.add(".".join(parts))
    return found | (names_in(tree) & table - defined_in(tree))


def test_no_other_file_uses_private_names_of_the_libraries():
    table = names_in(ast.parse(HOME.read_text(encoding="utf-8"))) - OUR_OWN
    assert {"_version", "_modules", "_explain", "_data"} <= table
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in PACKAGE.rglob("*.py")
        if path != HOME
        if (names := offences(path.read_text(encoding="utf-8"), table))
    }
    assert found == OF_NUMBA


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch._C._functorch.get_unwrapped(x)",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "from torch._functorch.utils import unwrap_dead_wrappers",
        "import torch_geometric.nn as pyg\npyg.conv._x",
        "def version(x):\n    return x._version",
        "def hooks(module):\n    return module.__dict__['_forward_hooks']",
    ],
)
def test_the_law_sees_what_it_forbids(source):
    assert offences(source, {"_version", "_forward_hooks"})
    assert not offences("import torch\nclass A:\n    _version = 1\n    def f(self): return self._version", {"_version"})


def test_every_name_has_a_test():
    tree = ast.parse(HOME.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    targets = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    for target in targets:
        names |= {each.id for each in (target.elts if isinstance(target, ast.Tuple) else [target])}
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in names if not name.startswith("_") and f"internals.{name}" not in text} == set()


def test_a_cleared_interpreter_stack_is_outside_of_every_transform():
    def inner(x):
        with internals.clear_interpreter_stack():
            assert not internals.inside_transform()
            assert torch.ones(2).sum().item() == 2
        assert internals.inside_transform()
        return x.sum()

    assert not internals.inside_transform()
    torch.func.grad(inner)(torch.ones(3))
    assert not internals.inside_transform()


def test_dead_wrappers_are_unwrapped():
    kept = []
    torch.func.grad(lambda x: (kept.append(2 * x), x.sum())[1])(torch.ones(3))
    (plain,) = internals.unwrap_dead_wrappers((kept[0],))
    assert plain.tolist() == [2, 2, 2]
    assert not internals.is_wrapped(plain)


def test_a_tensor_of_a_transform_is_wrapped_and_can_be_unwrapped():
    def inner(x):
        assert internals.is_wrapped(x)
        assert not internals.is_wrapped(internals.unwrap(x))
        assert internals.unwrap(x).tolist() == [1, 1, 1]
        return x.sum()

    assert not internals.is_wrapped(torch.ones(3))
    torch.func.grad(inner)(torch.ones(3))


def test_only_vmap_maps_over_tensors():
    seen = []
    torch.func.grad(lambda x: (seen.append(internals.is_vmapped(x)), x.sum())[1])(torch.ones(3))
    torch.func.vmap(lambda x: (seen.append(internals.is_vmapped(x)), x)[1])(torch.ones(3))
    torch.func.vmap(torch.func.grad(lambda x: (seen.append(internals.is_vmapped(x)), x.sum())[1]))(torch.ones(2, 3))
    assert seen == [False, True, True]
    assert not internals.is_vmapped(torch.ones(3))
    assert not internals.is_vmapped(None)


def test_forward_mode_is_told():
    assert not internals.forward_mode()
    with forward_ad.dual_level():
        assert internals.forward_mode()
    torch.func.jvp(lambda x: x if internals.forward_mode() else None, (torch.ones(2),), (torch.ones(2),))
    assert not internals.forward_mode()


def test_batches_of_gradients_hide_an_axis_that_can_be_shown_and_hidden_again():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            assert internals.is_legacy_batched(grad)
            level = internals.legacy_vmap_level()
            shown = internals.remove_batch_dim(grad, level, 0, 0)
            assert shown.shape == (3, 3)
            assert not internals.is_legacy_batched(shown)
            return internals.add_batch_dim(2 * shown, 0, level)

    x = torch.ones(3, requires_grad=True)
    (rows,) = torch.autograd.grad(Double.apply(x), x, torch.eye(3), is_grads_batched=True)
    assert torch.equal(rows, 2 * torch.eye(3))
    assert not internals.is_legacy_batched(x)


def test_an_export_is_in_fake_mode():
    from torch._subclasses.fake_tensor import FakeTensorMode

    assert not internals.in_fake_mode()
    with FakeTensorMode():
        assert internals.in_fake_mode()
    assert not internals.in_fake_mode()


def test_an_assertion_of_a_tensor_speaks_up():
    internals.assert_async(torch.tensor(True), "fine")
    with pytest.raises(RuntimeError, match="not fine"):
        internals.assert_async(torch.tensor(False), "not fine")


def test_a_change_in_place_is_counted():
    x = torch.ones(3)
    before = internals.version_of(x)
    assert internals.version_of(x) == before
    x.add_(1)
    assert internals.version_of(x) == before + 1
    with torch.inference_mode():
        frozen = torch.ones(3)
    with pytest.raises(RuntimeError):
        internals.version_of(frozen)


def test_parts_of_a_matrix_are_given_as_they_lie():
    matrix = torch.sparse_coo_tensor(torch.tensor([[1, 0, 1], [0, 0, 0]]), torch.ones(3), (2, 2), check_invariants=True)
    indices, values = internals.coo_parts(matrix)
    assert not matrix.is_coalesced()
    assert indices.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_normalisations_have_one_class(norm):
    assert isinstance(norm(2), internals.BatchNorm)
    assert not isinstance(nn.LayerNorm(2), internals.BatchNorm)


def test_weight_norms_call_one_function():
    called = []

    class Heard(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            called.append(function)
            return function(*args, **(kwargs or {}))

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    assert any(isinstance(module, internals.WeightNormParametrization) for module in layer.modules())
    with Heard():
        layer(torch.ones(1, 2))
    assert internals.weight_norm in called


@pytest.mark.parametrize(
    ("register", "place"),
    [
        ("register_module_forward_pre_hook", 0),
        ("register_module_forward_hook", 1),
        ("register_module_full_backward_pre_hook", 2),
        ("register_module_full_backward_hook", 3),
    ],
)
def test_hooks_of_all_modules_are_in_their_table(register, place):
    assert not any(internals.GLOBAL_HOOKS)
    handle = getattr(torch.nn.modules.module, register)(lambda *_: None)
    assert [bool(table) for table in internals.GLOBAL_HOOKS] == [number == place for number in range(4)]
    handle.remove()
    assert not any(internals.GLOBAL_HOOKS)


@pytest.mark.parametrize(
    ("register", "key"),
    [
        ("register_forward_pre_hook", internals.FORWARD_PRE_HOOKS),
        ("register_forward_hook", internals.FORWARD_HOOKS),
        ("register_full_backward_pre_hook", internals.BACKWARD_PRE_HOOKS),
        ("register_full_backward_hook", internals.BACKWARD_HOOKS),
    ],
)
def test_hooks_of_a_module_are_in_its_dictionary(register, key):
    module = nn.Linear(2, 2)
    assert not vars(module)[key]
    getattr(module, register)(lambda *_: None)
    assert len(vars(module)[key]) == 1


def test_children_and_tensors_of_a_module_are_all_there():
    inner = nn.Linear(2, 2, bias=False)
    model = nn.Sequential(inner, inner)
    model.register_module("nothing", None)
    model.register_buffer("count", torch.zeros(()))
    assert list(vars(model)[internals.MODULES]) == ["0", "1", "nothing"]
    assert internals.children_of(model) is vars(model)[internals.MODULES]
    assert dict(internals.parameters_of(inner)) == {"weight": inner.weight, "bias": None}
    assert list(internals.buffers_of(model)) == ["count"]


def test_a_module_is_printed_by_its_name():
    class Named(nn.Linear):
        def _get_name(self):
            return "Mine"

    assert internals.module_name(nn.Linear(2, 2)) == "Linear"
    assert internals.module_name(Named(2, 2)) == "Mine"
    assert repr(Named(2, 2)).startswith("Mine(")


def test_the_older_weight_norm_is_a_hook_before_forward():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer = nn.utils.weight_norm(nn.Linear(2, 2))
    (hook,) = internals.forward_pre_hooks_of(layer).values()
    assert isinstance(hook, WeightNorm)


def test_a_lazy_map_has_its_hook_until_it_knows_its_width():
    lin = torch_geometric.nn.Linear(-1, 2)
    assert internals.LAZY_HOOK in vars(lin)
    lin(torch.ones(3, 4))
    assert internals.LAZY_HOOK not in vars(lin)
    assert internals.LAZY_HOOK not in vars(torch_geometric.nn.Linear(4, 2))


def test_an_explainer_is_told_by_the_layer():
    conv = torch_geometric.nn.GCNConv(2, 2)
    assert not vars(conv)[internals.EXPLAIN]
    conv.explain = True
    assert vars(conv)[internals.EXPLAIN]


@pytest.mark.parametrize("step", ["propagate", "message", "aggregate", "message_and_aggregate", "edge_update"])
@pytest.mark.parametrize("when", ["forward_pre_hook", "forward_hook"])
def test_hooks_on_messages_are_in_the_layers_dictionary(step, when):
    conv = torch_geometric.nn.GCNConv(2, 2)
    assert not any(map(vars(conv).__getitem__, internals.MESSAGE_HOOKS))
    getattr(conv, f"register_{step}_{when}")(lambda *_: None)
    held = [name for name in internals.MESSAGE_HOOKS if vars(conv)[name]]
    assert len(held) == 1
    assert (held[0] in internals.PRODUCT_HOOKS) == (step == "message_and_aggregate")


def test_private_methods_of_a_layer_begin_as_said():
    """All that are no steps: what is left is what a layer of PyG may give a meaning of its own."""
    kind = torch_geometric.nn.MessagePassing
    private = {name for name in vars(kind) if is_private(name) and callable(getattr(kind, name))}
    steps = {name for name in private if not name.startswith(internals.PRIVATE_STEPS)}
    assert steps == {"_check_input", "_collect", "_index_select", "_index_select_safe", "_lift", "_set_size"}


def test_steps_written_for_a_class_can_be_told():
    class Mine(torch_geometric.nn.MessagePassing):
        def forward(self, x, edge_index):
            return self.propagate(edge_index, x=x)

        def message(self, x_j):
            return x_j

    plain = Mine.propagate
    assert internals.original_step(Mine, "propagate", "nothing") == "nothing"
    assert internals.generated_step(Mine, "propagate") is None
    conv = Mine()
    written = internals.generated_step(Mine, "propagate")
    assert internals.original_step(Mine, "propagate") is plain
    assert Mine.propagate is written
    assert written.__globals__["__name__"] == internals.generated_module(Mine, "propagate")
    assert conv(torch.ones(2, 3), PAIR).shape == (2, 3)


def test_what_a_cached_layer_keeps_can_be_read_and_put():
    conv = torch_geometric.nn.GCNConv(3, 2, cached=True)
    assert internals.cached_edges(conv) is None
    assert not internals.keeps_graph(conv)
    out = conv(torch.ones(2, 3), PAIR)
    index, weight = internals.cached_edges(conv)
    assert internals.keeps_graph(conv)
    internals.keep_edges(conv, (index, 2 * weight))
    torch.testing.assert_close(conv(torch.ones(2, 3), PAIR), 2 * out)
    internals.keep_edges(conv, None)
    assert not internals.keeps_graph(conv)
    conv._cached_adj_t = torch.eye(2)
    assert internals.keeps_graph(conv)


def test_a_data_set_looks_for_files_and_writes_its_own_by_two_methods(tmp_path):
    called = []
    methods = {
        internals.DOWNLOAD: lambda self: called.append("download"),
        internals.PROCESS: lambda self: called.append("process"),
    }
    names = {"raw_file_names": ["a"], "processed_file_names": ["b"], "download": None, "process": None}
    type("Set", (InMemoryDataset,), {**methods, **names})(str(tmp_path))
    assert called == ["download", "process"]


def test_fields_of_no_type_are_a_dictionary():
    data = HeteroData(name=torch.ones(1))
    data["paper"].x = torch.ones(2, 3)
    assert dict(internals.fields_of_graph(data).items()) == {"name": data.name}


def test_graphs_of_a_set_lie_in_one_and_its_parts_say_which(tmp_path):
    graphs = InMemoryDataset(str(tmp_path))
    graphs.data, graphs.slices = InMemoryDataset.collate([Data(x=torch.ones(n, 1)) for n in (2, 3, 4)])
    assert internals.joined_graphs(graphs).x.shape == (9, 1)
    assert internals.chosen_graphs(graphs) is None
    assert list(internals.chosen_graphs(graphs[1:])) == [1, 2]


def test_a_batch_by_hand_is_taken_apart_as_pygs():
    graphs = [Data(x=torch.full((n, 1), float(n)), edge_index=PAIR) for n in (2, 3)]
    theirs = Batch.from_data_list(graphs)
    ours = Batch(x=theirs.x, edge_index=theirs.edge_index, batch=theirs.batch, ptr=theirs.ptr)
    slices = {"x": torch.tensor([0, 2, 5]), "edge_index": torch.tensor([0, 2, 4])}
    internals.set_layout(ours, 2, slices, {"x": torch.zeros(2), "edge_index": torch.tensor([0, 2])})
    assert ours.num_graphs == 2
    for found, expected in zip(ours.to_data_list(), graphs, strict=True):
        assert torch.equal(found.x, expected.x)
        assert torch.equal(found.edge_index, expected.edge_index)


def test_what_a_trace_is_told_must_hold():
    internals.assume(torch.ones(1).item() >= 1)
    with pytest.raises(RuntimeError):
        internals.assume(torch.zeros(1).item() >= 1)
