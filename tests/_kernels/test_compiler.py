"""A kernel runs whatever has become of its cache: what is damaged is compiled anew, what cannot be kept is not."""

from __future__ import annotations

import errno
import importlib.util
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numba.core.config
import numpy as np
import pytest

from graphkit._kernels import compiler

SOURCE = """
from graphkit._kernels.compiler import kernel

@kernel
def doubled(x):
    return 2 * x
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give kernels a folder of their own, of which nothing was told yet."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(folder))
    monkeypatch.setattr(compiler, "_warned_of", set())
    return folder


@pytest.fixture
def doubled(tmp_path: Path, cache: Path) -> Callable[[], Callable[..., float]]:
    """Return a function that makes the kernel as a new process would."""
    path = tmp_path / "kernels_of_a_test.py"
    path.write_text(SOURCE, encoding="utf-8")

    def fresh() -> Callable[..., float]:
        spec = importlib.util.spec_from_file_location("kernels_of_a_test", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.doubled

    return fresh


def hits(kernel) -> int:
    return sum(kernel.stats.cache_hits.values())


def files(cache: Path, ending: str) -> list[Path]:
    return sorted(cache.rglob(f"*.{ending}"))


def test_a_second_process_takes_the_code_from_the_cache(doubled, cache):
    first, second = doubled(), doubled()
    assert (first(3.0), hits(first)) == (6.0, 0)
    assert (second(3.0), hits(second)) == (6.0, 1)
    assert len(files(cache, "nbi")) == len(files(cache, "nbc")) == 1


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda held: b"",
    "zeros": lambda held: bytes(len(held)),
    "cut to half": lambda held: held[: len(held) // 2],
    "cut by a byte": lambda held: held[:-1],
    "cut in its seal": lambda held: held[:20],
    "a bit flipped at the end": lambda held: held[:-9] + bytes([held[-9] ^ 1]) + held[-8:],
    "a page of zeros": lambda held: held[: len(held) // 2] + bytes(64) + held[len(held) // 2 + 64 :],
    "longer": lambda held: held + b"0",
    "of something else": lambda held: b"<html>" + held,
}


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_once_and_made_anew(doubled, cache, damage, ending):
    doubled()(3.0)
    (path,) = files(cache, ending)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    kernel = doubled()
    with pytest.warns(UserWarning, match="has a damaged file") as said:
        assert kernel(3.0) == 6.0
    assert len(said) == 1
    assert repr(str(path.parent)) in str(said[0].message)
    assert path.name in str(said[0].message)
    healed = doubled()
    assert (healed(3.0), hits(healed)) == (6.0, 1)


def test_files_that_an_earlier_version_left_are_not_damaged(doubled, cache):
    """Those were Numba's own, without a seal."""
    doubled()(3.0)
    for path in (*files(cache, "nbi"), *files(cache, "nbc")):
        path.write_bytes(pickle.dumps(("0.0", "stamp")))
    kernel, again = doubled(), doubled()
    assert (kernel(3.0), hits(kernel)) == (6.0, 0)
    assert (again(3.0), hits(again)) == (6.0, 1)


def test_a_code_file_that_is_gone_is_compiled_anew(doubled, cache):
    doubled()(3.0)
    files(cache, "nbc")[0].unlink()
    assert doubled()(3.0) == 6.0
    assert len(files(cache, "nbc")) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("place", ["_open_for_write", "ensure_cache_path"])
def test_a_cache_that_cannot_be_written_is_told_once_and_done_without(doubled, cache, monkeypatch, number, place):
    kernel = doubled()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    owner = compiler.SealedFiles if place == "_open_for_write" else type(kernel._cache._impl.locator)
    monkeypatch.setattr(owner, place, refuse)
    with pytest.warns(UserWarning, match=rf"cannot be written \({os.strerror(number)}\)") as said:
        assert (kernel(3.0), kernel(np.ones(2)).sum()) == (6.0, 4.0)  # another signature: not told again
    assert len(said) == 1
    assert repr(str(kernel._cache.cache_path)) in str(said[0].message)
    assert "$NUMBA_CACHE_DIR" in str(said[0].message)
    assert files(cache, "nbc") == []


def test_a_damaged_cache_on_a_full_disk_is_told_once(doubled, cache, monkeypatch):
    doubled()(3.0)
    files(cache, "nbi")[0].write_bytes(b"")
    kernel = doubled()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(compiler.SealedFiles, "_open_for_write", refuse)
    with pytest.warns(UserWarning, match="has a damaged file") as said:
        assert kernel(3.0) == 6.0
    assert len(said) == 1


def test_a_cache_that_cannot_be_read_is_done_without(doubled, cache):
    doubled()(3.0)
    (index,) = files(cache, "nbi")
    index.unlink()
    index.mkdir()  # whoever reads it is told that it is a folder; permissions do not stop everybody
    with pytest.warns(UserWarning, match="cannot be read"):
        assert doubled()(3.0) == 6.0


def test_a_machine_without_a_place_for_a_cache_compiles_all_the_same(monkeypatch):
    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiler.FunctionCache, "__init__", nowhere)
    with warnings.catch_warnings(action="error"):
        assert compiler.kernel(lambda x: x + 1)(1) == 2


def test_every_kernel_has_sealed_files():
    from tests._kernels.doors import kernels

    assert {type(kernel._cache._cache_file) for kernel in kernels().values()} == {compiler.SealedFiles}
