"""Asking for memory before it is needed: the neighbours' rows lie anywhere, and the processor cannot guess where."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

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
