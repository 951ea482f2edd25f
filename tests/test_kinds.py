"""Kinds of arguments: what passes as one, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit._checks import flag, printable, random_generator, text, torch_module


def test_what_is_of_the_kind_passes():
    assert flag("soft", np.bool_(True)) is True
    assert flag("soft", False) is False
    assert text("title", "") == ""
    generator, module = torch.Generator(), torch.nn.Identity()
    assert random_generator("generator", generator) is generator
    assert torch_module("encoder", module) is module


@pytest.mark.parametrize("check", [flag, text, random_generator, torch_module])
@pytest.mark.parametrize("value", [None, 1, 0.0, ["no"], torch.nn.Identity])
def test_everything_else_is_refused_by_name(check, value):
    with pytest.raises(TypeError, match="`argument` must be"):
        check("argument", value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cora", "cora"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eabc\u200b", r"\u202eabc\u200b"),
        ("\ud800", r"\ud800"),
        ("漢字 μ \U0001f600", "漢字 μ \U0001f600"),
    ],
)
def test_a_text_is_shown_letter_by_letter_on_one_line(given, shown):
    assert printable(given) == shown
    assert printable(given).isprintable()
    assert len(printable(given * 9, most=5)) == 5
