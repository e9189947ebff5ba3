"""Rows stored past the cache, for tensors so large that whoever reads them next finds them in memory anyway.

An ordinary store first reads the cache line that it goes to; one past the cache (non-temporal) does not, and drives nothing out of
it. Of what a neuron moves that saves a third on the way forward and a quarter on the way back. Only whole lines go that way: a line
written by both kinds of store would be read after all. Chosen here.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikeva.neurons.fused_step import inline

CHUNK = 512  # neurons whose results wait in the first-level cache for being stored
LINE = 16  # float32 numbers of a cache line


@intrinsic
def _to_line(context: Any, row: Any) -> Any:
    """How many numbers lie between the first of `row` and the first cache line that begins in it."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = builder.ptrtoint(array.data, ir.IntType(64))
        bytes_to_line = builder.and_(builder.neg(place), ir.Constant(place.type, 4 * LINE - 1))
        return builder.lshr(bytes_to_line, ir.Constant(place.type, 2))

    return types.intp(row), build


@intrinsic
def _store_line(context: Any, to: Any, of: Any, i: Any) -> Any:
    """to[i : i + LINE] = of[i : i + LINE] past the cache; a line begins at to[i]."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        half = ir.VectorType(ir.FloatType(), LINE // 2)
        target, source = (
            builder.bitcast(builder.gep(array.data, [values[2]]), half.as_pointer())
            for array in (context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 1))
        )
        once = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        for k in range(2):
            at = [ir.Constant(ir.IntType(32), k)]
            numbers = builder.load(builder.gep(source, at), align=4)
            builder.store(numbers, builder.gep(target, at), align=32).set_metadata("nontemporal", once)
        return context.get_dummy_value()

    return types.none(to, of, types.intp), build


@inline
def stream(to: Any, of: Any) -> None:
    """to[:] = of[: len(to)], past the cache; `fence` must follow before another thread reads it."""
    first = min(_to_line(to), len(to))
    last = first + (len(to) - first) // LINE * LINE
    for i in range(first):
        to[i] = of[i]
    for i in range(first, last, LINE):
        _store_line(to, of, i)
    for i in range(last, len(to)):
        to[i] = of[i]


@intrinsic
def fence(context: Any) -> Any:
    """Other threads see what was stored past the cache before they see what this one stores from here on."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):  # others keep such stores in the order of all
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse.sfence", fnty=kind), [])
        return context.get_dummy_value()

    return types.none(), build
