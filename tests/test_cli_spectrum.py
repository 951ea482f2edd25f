"""``graphkit spectrum``: what it prints, draws and refuses."""

from __future__ import annotations

import functools

import pytest


@pytest.fixture
def call(call):
    """Return a function from arguments of ``spectrum`` to exit code, standard output and standard error."""
    return functools.partial(call, "spectrum")


def test_the_spectrum_is_counted_and_drawn(call, tmp_path):
    code, said, told = call("karate", "--picture", "spectrum.png", "--wavelets", "bank.svg")
    assert code == 0, told
    assert "34, all" in said
    assert (tmp_path / "spectrum.png").stat().st_size
    assert (tmp_path / "bank.svg").stat().st_size


def test_every_component_of_cora_has_its_zero_among_the_lowest_pairs(mirror, call):
    code, said, _ = call("cora", "--k", "64")
    assert code == 0
    assert "78, the lowest of 2,708" in said
    assert said.splitlines()[-1].split() == ["0", "78"]


@pytest.mark.parametrize(("name", "edges"), [("polblogs", "33,433"), ("texas", "574")])
def test_a_directed_graph_has_a_spectrum_as_an_undirected_one_and_the_way_there_is_told(mirror, call, name, edges):
    code, _, told = call(name)
    assert (code, told.count("\n")) == (2, 1)
    assert f"'{name}' is directed, and a spectrum is of an undirected graph; see `--undirected`." in told
    code, said, _ = call(name, "--undirected", "--k", "4")
    assert code == 0
    assert f"{edges} edges" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("karate", "--k", "35"), "at most the number of nodes (34)"),
        (("karate", "--normalization", "none", "--wavelets", "bank.png"), "needs a spectrum within [0, 2]"),
        (("karate", "--picture", "spectrum.docx"), "`picture` must end in .png, .pdf, .svg"),
        (("citation-domains",), "is a family of graphs"),
        (("karat",), "karate"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(call, arguments, message):
    code, _, told = call(*arguments)
    assert code == 2
    assert message in told
    assert len(told.splitlines()) == 1
