"""Every check refuses in one line that names the argument, and lets through what it is for."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from graphkit import _checks

NAMED = {
    name: check
    for name, check in vars(_checks).items()
    if inspect.isfunction(check) and next(iter(inspect.signature(check).parameters)) == "argument"
}
ONE = torch.ones(3)
REFUSED: dict[str, list[tuple]] = {
    "as_list": [("12", "[1, 2]"), (1, "[1, 2]"), (torch.tensor(1), "[1, 2]")],
    "at_least": [(2, 3), (True, 0), (1.0, 0), ("3", 0)],
    "categories": [(torch.ones(2, 2), (3, 3)), (torch.tensor([[0, 3]]), (3, 3)), (torch.tensor([[-1, 0]]), (3, 3))],
    "class_labels": [(torch.tensor([-2]), 1), (ONE, 3), (torch.tensor([0]), 2)],
    "class_count": [(torch.tensor([0, 2]),), (torch.tensor([10**12]),)],
    "count": [(-1,), (2**63,), (True,), ("1",)],
    "dense": [(torch.eye(2).to_sparse(),), (None,), (torch.empty(1, device="meta"),)],
    "dense_features": [(torch.ones(2, 3).to_sparse(), torch.ones(2, 3)), ("x", ONE)],
    "embeddings": [(ONE,), (torch.ones(2, 2).long(),), (torch.full((2, 2), torch.nan),), (np.ones((2, 2)),)],
    "features": [(ONE,), (torch.ones(2, 3), 4), (torch.ones(2, 3), 3, torch.ones(1, dtype=torch.float64)), ([1.0],)],
    "features_per_item": [(torch.ones(2, 3), 4)],
    "flag": [(1,), ("no",), (None,)],
    "floating_dtype": [(torch.int64,), ("float32",)],
    "fraction": [(-0.1,), (1.1,), (True,), (float("nan"),)],
    "function": [(1,)],
    "optional_generator": [(1,)],
    "batch_vector": [(ONE, 3), (torch.zeros(2, dtype=torch.long), 3), ([0, 0], 2)],
    "index_below": [(2, 2), (-1, 2), (True, 2), ("0", 2)],
    "instance": [("a", int, "a whole number"), (int, int, "a whole number")],
    "integer_labels": [(ONE, 3), (torch.zeros(2, dtype=torch.long), 3), (["a"], 1)],
    "integer_vector": [(ONE,), (torch.zeros(1, 1, dtype=torch.long),)],
    "item_ids": [(ONE, "tasks"), (torch.tensor([-1]), "tasks"), (torch.tensor([5]), "tasks", 5), ([1], "tasks")],
    "largest_eigenvalues": [(float("nan"),), (-1.0,), (torch.ones(2), 3)],
    "member": [("c", ["a", "b"]), (1, ["a"])],
    "node_counts": [(ONE,), (torch.tensor([-1]),)],
    "node_ids": [(torch.tensor([3]), 3), (torch.tensor([-1]), 3), (ONE, 3)],
    "not_vmapped": [(True,)],
    "not_negative": [(-1.0,), (float("inf"),), (True,), ("1",)],
    "number": [(float("nan"),), (True,), ("1",), (None,)],
    "scalar_or_per_graph": [(torch.ones(2), None), (torch.ones(2, 2), torch.tensor([0, 1]))],
    "integer_between": [(0, 1, 3), (4, 1, 3), (1.5, 1, 3)],
    "one_value_per_edge": [(ONE, 4), (torch.tensor(1.0), 1)],
    "pair_of_features": [((ONE,),), ((None, ONE),)],
    "path": [("",), (1,), (None,)],
    "paths": [("",), ([],), (1,), (None,), ([1],)],
    "index_or_mask": [([3], 3), ([-4], 3), ([0.5], 3), ([True], 3), ("a", 3)],
    "positive": [(0,), (float("inf"),), (True,), ("1",)],
    "printable_name": [("\x1b[31m",), ("",), ("$\\x$",), (1,)],
    "random_generator": [(None,), (0,)],
    "valid_indptr": [
        (np.array([0, 2, 1, 3]), 3, 3),
        (np.array([1, 2]), 1, 2),
        (np.array([0, 2]), 2, 2),
        (np.ones(2), 1, 1),
    ],
    "same_device": [(ONE, torch.empty(1, device="meta"))],
    "same_graph": [(3, 4, True), (3, 3, False)],
    "seed": [(2**64,), (1.5,), (True,)],
    "list_of": [([], int), (["a"], int), (1, int)],
    "symmetric_operator": [(False,)],
    "tensor": [([1.0],), (np.ones(2),), (None,)],
    "text": [(1,), (None,)],
    "torch_module": [(torch.nn.Linear,), (None,)],
    "integer_list": [([0.5],), ("12",), (1,), ([True],)],
    "within": [(1.0, 0.0, 1.0), (-0.1, 0.0, 1.0), (float("nan"), 0.0, 1.0)],
}
"""Of each check, what stands behind the argument's name in a call that must be refused."""


def test_every_check_that_names_its_argument_is_listed():
    assert REFUSED.keys() == NAMED.keys()


@pytest.mark.parametrize(
    ("name", "given"), [(name, given) for name, calls in REFUSED.items() for given in calls], ids=str
)
def test_a_refusal_is_one_line_that_names_the_argument(name, given):
    with pytest.raises((TypeError, ValueError), match="`thing`") as caught:
        NAMED[name]("thing", *given)
    assert "\n" not in str(caught.value).replace(str(torch.ones(2, 2)), "")
