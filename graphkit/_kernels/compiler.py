"""How kernels are compiled: without the interpreter lock, cached on disk, and with prefetching.

Machine code is kept where Numba keeps it: beside the package, or where that may not be written in the user's cache
folder, or in ``$NUMBA_CACHE_DIR``. Files of it are sealed by a checksum, so that one cut by a power loss or spoilt by a
bad disk is never run; it is compiled anew. A seal is no signature: **whoever may write to that folder runs code in
every process that loads a kernel**, as whoever may write to the package itself does. On a machine of several users let
it be a folder that only you may write to.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic

SEALED = b"graphkit sealed 1\n"
"""What a file begins with; its checksum follows."""

LENGTH = hashlib.sha256().digest_size


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` compiled on first use, releasing the interpreter lock, with its machine code cached on disk.

    Numba's own ``parallel=True`` is not used: its OpenMP layer dies in forked loader workers and its other portable
    layer dies when two Python threads enter it. Ranges of rows on a thread pool (``resources``) know neither trouble.
    Additions may be reordered for vectorisation; infinities and NaN keep their meaning.
    """
    return _jit(function, fastmath={"reassoc", "contract", "nsz"})


def exact_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` compiled as by ``kernel``, but with every addition in the order in which it is written.

    Equal numbers then give equal sums wherever they stand in an array, which a comparison for equality needs.
    """
    return _jit(function)


def _jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    jitted = numba.njit(nogil=True, boundscheck=False, error_model="numpy", **options)(function)
    with contextlib.suppress(RuntimeError):  # no place on this machine may be written: compile anew in each process
        jitted._cache = KernelCache(function)
    return jitted


class DamagedError(Exception):
    """A file of the cache that is not what was written."""


class SealedFiles(IndexDataCacheFile):
    """The files of one kernel, in place of Numba's, which are believed whatever they hold."""

    def _load_index(self) -> dict[Any, str]:
        try:
            content = _read_sealed(self._index_path)
        except FileNotFoundError:
            return {}
        version, stamp, overloads = (None, None, {}) if content is None else pickle.loads(content)
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        content = _read_sealed(self._data_path(name))
        return None if content is None else pickle.loads(content)

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, content: Any) -> None:
        body = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(SEALED + hashlib.sha256(body).digest() + body)


class KernelCache(FunctionCache):
    """Numba's cache of one function, without which a kernel still runs: what it cannot read or write is told once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = SealedFiles(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature, or ``None`` where there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except DamagedError as error:
            self.flush_after(error)
        except OSError as error:
            _warn_once(self._cache_path, f"cannot be read ({error.strerror or error})")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the machine code for a signature, where it can be kept."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(self._cache_path, f"cannot be written ({error.strerror or error})")

    def flush_after(self, error: DamagedError) -> None:
        """Forget everything that is kept of a kernel: what is compiled anew takes its place."""
        _warn_once(self._cache_path, str(error))
        try:
            self.flush()
        except OSError as full:
            _warn_once(self._cache_path, f"cannot be written ({full.strerror or full})")
            self.disable()


def _read_sealed(path: str) -> bytes | None:
    """Return what a file holds under its seal, ``None`` for one of Numba's own, which has none.

    Raises:
        DamagedError: for a file that is not what was written.
    """
    found = Path(path).read_bytes()
    if found.startswith(b"\x80"):  # a pickle
        return None
    seal, body = found[len(SEALED) : len(SEALED) + LENGTH], found[len(SEALED) + LENGTH :]
    if not found.startswith(SEALED) or hashlib.sha256(body).digest() != seal:
        raise DamagedError(f"has a damaged file, {Path(path).name}, which is made anew")
    return body


_warned_of: set[str] = set()


def _warn_once(folder: str, what: str) -> None:
    """Warn of a folder, once in a process."""
    if folder not in _warned_of:
        _warned_of.add(folder)
        warnings.warn(
            f"the cache of compiled kernels {folder!r} {what}; graphkit compiles without it, which takes some seconds "
            "in each process. Free space there, or name another folder in $NUMBA_CACHE_DIR.",
            stacklevel=2,
        )


DISTANCE = 6
"""How many entries ahead a row is asked for; from 4 to 8 the sparse product is 20 % faster, and flat."""


@intrinsic
def prefetch(typing_context: Any, array: Any, row: Any, feature: Any) -> Any:
    """Ask for the cache line of ``array[row, feature]`` (``array[row, feature, 0]`` with heads); compiled code only."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, *places = signature.args
        view = context.make_array(kind)(context, builder, arguments[0])
        indices = [
            context.cast(builder, value, place, types.intp) for value, place in zip(arguments[1:], places, strict=True)
        ]
        indices += [ir.Constant(ir.IntType(64), 0)] * (kind.ndim - 2)
        pointer = cgutils.get_item_pointer(context, builder, kind, view, indices, wraparound=False)
        byte_pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        request = ir.FunctionType(ir.VoidType(), [byte_pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, request, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(function, [builder.bitcast(pointer, byte_pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, row, feature), emit
