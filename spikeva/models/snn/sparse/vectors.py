"""Whole vectors at a time in numba's code, which has none of its own: LLVM's, as long as they are here.

LLVM makes as many of the processor's as it takes.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spikeva._compiled import njit

COMPILED = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
compiled = njit(**COMPILED)
EIGHT = 8  # numbers of a vector, where it matters


@intrinsic
def differ(context: Any, x: Any, i: Any, value: Any) -> Any:
    """Which of the EIGHT numbers x[i], x[i + 1] ... are not `value`, as bits."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        row = ir.VectorType(ir.FloatType(), EIGHT)
        numbers = builder.load(_address(context, builder, signature, values, 0, row), align=4)
        differ = builder.fcmp_unordered("!=", numbers, _splat(builder, values[2], EIGHT))
        return builder.zext(builder.bitcast(differ, ir.IntType(EIGHT)), ir.IntType(64))

    return types.uint64(x, types.intp, types.float32), build


@intrinsic
def trailing_zeros(context: Any, bits: Any) -> Any:
    """Place of the lowest bit that is set in a uint64, which is not 0."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), build


@intrinsic
def ones(context: Any, bits: Any) -> Any:
    """How many bits of a uint64 are set."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.uint64(types.uint64), build


def _address(context: Any, builder: Any, signature: Any, values: Any, which: int, kind: Any) -> Any:
    """Of the argument `which`, an array, at the index that the argument after it is."""
    array = context.make_array(signature.args[which])(context, builder, values[which])
    return builder.bitcast(builder.gep(array.data, [values[which + 1]]), kind.as_pointer())


def _splat(builder: Any, value: Any, n: int) -> Any:
    """A vector of `n` times the number."""
    kind, lanes = (ir.VectorType(k, n) for k in (value.type, ir.IntType(32)))
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(lanes, [0] * n))


@intrinsic(prefer_literal=True)
def add_row(context: Any, to: Any, i: Any, of: Any, j: Any, times: Any, n: Any) -> Any:
    """to[i : i + n] += times * of[j : j + n], all of it in vector registers; n is a constant.

    numba has no vectors, and of a plain loop over the row it makes one that first asks whether the two overlap.
    """

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        row = ir.VectorType(ir.FloatType(), n.literal_value)
        target, source = (_address(context, builder, signature, values, at, row) for at in (0, 2))
        factor = _splat(builder, values[4], n.literal_value)
        product = builder.fmul(factor, builder.load(source, align=4), flags=("contract",))
        builder.store(builder.fadd(builder.load(target, align=4), product, flags=("contract",)), target, align=4)
        return context.get_dummy_value()

    return types.none(to, types.intp, of, types.intp, types.float32, n), build


@intrinsic(prefer_literal=True)
def add_rows(
    context: Any, to: Any, i: Any, of: Any, places: Any, values: Any, first: Any, last: Any, before: Any, n: Any,
    weighted: Any,
) -> Any:  # fmt: skip
    """to[i : i + n] += the rows of[j : j + n] at j = n * (places[e] - before) for e from `first` to `last`, one after the other.

    Each is taken times values[e] if `weighted`, 1 or 0. The sum stays in vector registers; n and `weighted` are constants.
    """

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        row, size = ir.VectorType(ir.FloatType(), n.literal_value), n.literal_value
        target = _address(context, builder, signature, values, 0, row)
        source, where, factors = (
            context.make_array(signature.args[k])(context, builder, values[k]).data for k in (2, 3, 4)
        )
        total = cgutils.alloca_once(builder, row)
        builder.store(builder.load(target, align=4), total)
        with cgutils.for_range_slice(builder, values[5], values[6], ir.Constant(values[5].type, 1)) as (e, _):
            place = builder.sub(builder.zext(builder.load(builder.gep(where, [e])), e.type), values[7])
            start = builder.gep(source, [builder.mul(place, ir.Constant(e.type, size))])
            numbers = builder.load(builder.bitcast(start, row.as_pointer()), align=4)
            if weighted.literal_value:
                numbers = builder.fmul(
                    _splat(builder, builder.load(builder.gep(factors, [e])), size), numbers, flags=("contract",)
                )
            builder.store(builder.fadd(builder.load(total), numbers, flags=("contract",)), total)
        builder.store(builder.load(total), target, align=4)
        return context.get_dummy_value()

    whole = types.intp
    return types.none(to, whole, of, places, values, whole, whole, whole, n, weighted), build


# the three steps that transpose eight rows of eight: which lanes of two rows make the two new ones, and which rows are paired;
# the rows come out in the order of ROWS
BUTTERFLY = (
    (((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)), 1),
    (((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)), 2),
    (((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)), 4),
)
ROWS = (0, 2, 1, 3, 4, 6, 5, 7)


@intrinsic
def _transpose(context: Any, to: Any, i: Any, of: Any, j: Any, to_row: Any, of_row: Any) -> Any:
    """to[i + k * to_row + m] = of[j + m * of_row + k] for k and m below EIGHT."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind, lanes = (ir.VectorType(k, EIGHT) for k in (ir.FloatType(), ir.IntType(32)))

        def address(of: int, row: Any, k: int) -> Any:
            place = builder.add(values[of + 1], builder.mul(row, ir.Constant(row.type, k)))
            return _address(context, builder, signature, [*values[: of + 1], place, *values[of + 2 :]], of, kind)

        rows = [builder.load(address(2, values[5], k), align=4) for k in range(EIGHT)]
        for masks, apart in BUTTERFLY:
            for k in (k for k in range(EIGHT) if not k & apart):
                pair = rows[k], rows[k + apart]
                rows[k], rows[k + apart] = (
                    builder.shuffle_vector(*pair, ir.Constant(lanes, list(mask))) for mask in masks
                )
        for k, row in zip(ROWS, rows, strict=True):
            builder.store(row, address(0, values[4], k), align=4)
        return context.get_dummy_value()

    return types.none(to, types.intp, of, types.intp, types.intp, types.intp), build


@compiled
def turn(to: Any, i: int, of: Any, j: int, to_row: int, of_row: int, columns: int) -> None:
    """to[i + k * to_row + m] = of[j + m * of_row + k] for k below EIGHT and m below `columns`."""
    for m in range(0, columns - EIGHT, EIGHT):
        _transpose(to, i + m, of, j + m * of_row, to_row, of_row)
    if columns >= EIGHT:
        m = columns - EIGHT  # some of them again, perhaps
        _transpose(to, i + m, of, j + m * of_row, to_row, of_row)
    else:
        for k in range(EIGHT):
            for m in range(columns):
                to[i + k * to_row + m] = of[j + m * of_row + k]


@compiled
def turn_back(to: Any, i: int, of: Any, j: int, to_row: int, of_row: int, rows: int) -> None:
    """to[i + k * to_row + m] = of[j + m * of_row + k] for k below `rows` and m below EIGHT."""
    for k in range(0, rows - EIGHT, EIGHT):
        _transpose(to, i + k * to_row, of, j + k, to_row, of_row)
    if rows >= EIGHT:
        k = rows - EIGHT
        _transpose(to, i + k * to_row, of, j + k, to_row, of_row)
    else:
        for k in range(rows):
            for m in range(EIGHT):
                to[i + k * to_row + m] = of[j + m * of_row + k]
