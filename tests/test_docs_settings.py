"""Every environment variable that the package reads is documented, and no other variable of ours is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import graphkit

CHECKOUT = Path(__file__).parent.parent
PAGE = (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_?")


def variables_of(text: str) -> set[str]:
    """Return the names of variables around each use of the environment: texts, or constants that hold one."""
    tree = ast.parse(text)
    constants = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            pairs = zip(targets, values, strict=False)
            constants |= {a.id: b.value for a, b in pairs if isinstance(a, ast.Name) and isinstance(b, ast.Constant)}
    found = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        if not any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in nodes):
            continue
        texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
        texts += [constants.get(node.id) for node in nodes if isinstance(node, ast.Name)]
        found |= {each for each in texts if isinstance(each, str) and VARIABLE.fullmatch(each) and len(each) > 2}
    return found | set(re.findall(r"\bGRAPHKIT_[A-Z_]+\b", text))


def read_by_the_package() -> set[str]:
    files = Path(graphkit.__file__).parent.rglob("*.py")
    return set().union(*(variables_of(path.read_text(encoding="utf-8")) for path in files))


def test_every_variable_that_the_package_reads_is_documented():
    found = read_by_the_package()
    assert {"GRAPHKIT_DATA", "GRAPHKIT_MIRROR", "GRAPHKIT_CACHE_LIMIT", "GRAPHKIT_DEBUG", "RANK", "LOCAL_RANK"} <= found
    assert {name for name in found if f"`{name}`" not in PAGE} == set()


def test_every_variable_of_ours_that_is_documented_is_read():
    assert set(re.findall(r"\bGRAPHKIT_[A-Z_]+\b", PAGE)) <= read_by_the_package()


def test_a_variable_behind_a_constant_is_found():
    text = 'import os\nLIMIT, USUAL = "SOME_LIMIT", "10GB"\n\ndef limit():\n    return os.environ.get(LIMIT) or USUAL\n'
    assert variables_of(text) == {"SOME_LIMIT"}
