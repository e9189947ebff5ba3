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
THREE = 3  # vectors of a matrix's row whose products with
CHANNELS = 4  # numbers are summed at a time: sums, vectors and a number fill sixteen vector registers


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


@intrinsic
def lay(context: Any, to: Any, i: Any, apart: Any, of: Any, j: Any, row: Any, rows: Any) -> Any:
    """a, b, a - b and c - b to to[i : i + EIGHT] and so on, each `apart` from the one before.

    a, b, c are of[j : j + EIGHT] and what lies one and two rows of `row` numbers on; but 0 where there are not as many rows.
    """

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind, whole = ir.VectorType(ir.FloatType(), EIGHT), values[1].type

        def line(k: int) -> Any:
            there = builder.icmp_signed("<", ir.Constant(whole, k), values[6])
            place = builder.add(values[4], builder.mul(values[5], ir.Constant(whole, k)))
            safe = [*values[:4], builder.select(there, place, values[4])]
            numbers = builder.load(_address(context, builder, signature, safe, 3, kind), align=4)
            return builder.select(there, numbers, ir.Constant(kind, None))

        a, b, c = (line(k) for k in range(3))
        for k, row in enumerate((a, b, builder.fsub(a, b), builder.fsub(c, b))):
            place = builder.add(values[1], builder.mul(values[2], ir.Constant(whole, k)))
            builder.store(row, _address(context, builder, signature, [values[0], place], 0, kind), align=4)
        return context.get_dummy_value()

    whole = types.intp
    return types.none(to, whole, whole, of, whole, whole, whole), build


@intrinsic
def weave(context: Any, to: Any, i: Any, of: Any, j: Any, apart: Any) -> Any:
    """to[i + 2 * k] = of[j + k] and to[i + 2 * k + 1] = of[j + apart + k] for k below EIGHT."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind, lanes = (ir.VectorType(k, EIGHT) for k in (ir.FloatType(), ir.IntType(32)))
        second = [*values[:3], builder.add(values[3], values[4])]
        pair = [builder.load(_address(context, builder, signature, v, 2, kind), align=4) for v in (values, second)]
        for half in (0, EIGHT // 2):
            mask = [half + k // 2 + EIGHT * (k % 2) for k in range(EIGHT)]
            place = [values[0], builder.add(values[1], ir.Constant(values[1].type, 2 * half))]
            numbers = builder.shuffle_vector(*pair, ir.Constant(lanes, mask))
            builder.store(numbers, _address(context, builder, signature, place, 0, kind), align=4)
        return context.get_dummy_value()

    return types.none(to, types.intp, of, types.intp, types.intp), build


@intrinsic(prefer_literal=True)
def multiply(
    context: Any, to: Any, i: Any, start: Any, of: Any, j: Any, factors: Any, f: Any, deep: Any, lanes: Any
) -> Any:
    """A product of matrices: to[i] [CHANNELS, n] = factors[f] [deep, CHANNELS], turned, times of[j] [deep, n], for n = THREE * lanes.

    What is at to[start] is added unless `start` is negative. The sums stay in vector registers; `lanes` is a constant.
    """

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, i, start, _, j, _, f, deep, _ = values
        width = lanes.literal_value
        kind, panel = ir.VectorType(ir.FloatType(), width), THREE * width
        target, source, factors = (
            context.make_array(signature.args[k])(context, builder, values[k]).data for k in (0, 3, 5)
        )

        def number(k: int) -> Any:
            return ir.Constant(i.type, k)

        def address(array: Any, first: Any, k: int) -> Any:
            return builder.bitcast(builder.gep(array, [builder.add(first, number(k))]), kind.as_pointer())

        sums = {
            c * panel + v * width: cgutils.alloca_once(builder, kind) for c in range(CHANNELS) for v in range(THREE)
        }
        with builder.if_else(builder.icmp_signed("<", start, number(0))) as (fresh, going):
            with fresh:
                for total in sums.values():
                    builder.store(ir.Constant(kind, None), total)
            with going:
                for k, total in sums.items():
                    builder.store(builder.load(address(target, start, k), align=4), total)
        with cgutils.for_range(builder, deep) as loop:
            row = builder.add(j, builder.mul(loop.index, number(panel)))
            column = builder.add(f, builder.mul(loop.index, number(CHANNELS)))
            vectors = [builder.load(address(source, row, v * width), align=4) for v in range(THREE)]
            for c in range(CHANNELS):
                factor = builder.load(builder.gep(factors, [builder.add(column, number(c))]))
                for v in range(THREE):
                    total = sums[c * panel + v * width]
                    product = builder.fmul(_splat(builder, factor, width), vectors[v], flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
        for k, total in sums.items():
            builder.store(builder.load(total), address(target, i, k), align=4)
        return context.get_dummy_value()

    whole = types.intp
    return types.none(to, whole, whole, of, whole, factors, whole, whole, lanes), build


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
