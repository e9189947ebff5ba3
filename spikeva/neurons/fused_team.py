"""Compiled loops on several threads: those of torch's own OpenMP where it is GNU's, else a pool of Python's.

OpenMP's threads wait for work by spinning, for milliseconds after each of torch's operations. Other threads would share
their processors with them meanwhile, and threads that need the interpreter's lock in between would wait for it besides.
"""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from threading import local
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import torch  # noqa: F401  (its OpenMP is looked for below)
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikeva._compiled import njit

LINE = 64  # bytes of a cache line
NOTHING = np.empty(0, np.float32)
OPENMP = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


def _find_openmp() -> bool:
    """Tell LLVM where the functions of the OpenMP are that this process has loaded; False: there is none to be found."""
    try:
        openmp = ctypes.CDLL("libgomp.so.1", os.RTLD_NOLOAD)
        places = {name: ctypes.cast(getattr(openmp, name), ctypes.c_void_p).value for name in OPENMP}
    except (OSError, AttributeError):  # another system, or a torch with another OpenMP
        return False
    for name, place in places.items():
        llvm.add_symbol(name, place)
    return True


_openmp = _find_openmp()
_addresses: dict[tuple[Any, ...], int] = {}


def share_out(kernel: Any, args: tuple[Any, ...], shares: int) -> None:
    """kernel(*args, i) for each i of range(shares), a compiled function without the interpreter's lock; one thread a share.

    What it raises in other threads is lost: kernels do not raise. As torch's operations, it may not be called in a process that
    was forked from one whose OpenMP threads had started, unless for one share.
    """
    if shares == 1:
        kernel(*args, 0)
    elif _openmp:
        _in_team(_address(kernel, args), args, shares)
    else:
        pool = _pool(os.getpid(), shares)
        others = [pool.submit(partial(kernel, *args), i) for i in range(1, shares)]
        kernel(*args, 0)
        for other in others:
            other.result()


def _address(kernel: Any, args: tuple[Any, ...]) -> int:
    """Where the machine code of kernel(*args, i) begins."""
    # what numba's types depend on, in a tenth of the time that it takes to find them
    key = (kernel, *((a.dtype, a.ndim, a.flags.num) if isinstance(a, np.ndarray) else type(a) for a in args))
    if key not in _addresses:
        signature = (*map(numba.typeof, args), types.intp)
        kernel.compile(signature)
        made = kernel.overloads[signature]
        _addresses[key] = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
    return _addresses[key]


@lru_cache(maxsize=256)
def edges_of(groups: int, shares: int) -> NDArray[np.int64]:
    """The first group of each share, and one past the last [shares + 1]."""
    return np.array([groups * i // shares for i in range(shares + 1)])


class _Room(local):
    """Rows to work in: each thread that calls kernels keeps the largest it has needed, so that they are in its cache."""

    numbers = NOTHING

    def rows(self, shares: int, rows: int, width: int) -> NDArray[np.float32]:
        size = shares * rows * width
        if self.numbers.size < size:
            self.numbers = aligned(4 * size).view(np.float32)
        return self.numbers[:size].reshape(shares, rows, width)


room_of_thread = _Room()


def aligned(size: int) -> Any:
    """`size` uninitialised bytes at a cache line's start."""
    raw = np.empty(size + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + size]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "spikeva-kernels")


@intrinsic
def _fork(context: Any, address: Any, args: Any, shares: Any) -> Any:
    """The function at `address`, as numba compiled it, with (*args, i) for each i below `shares`, on that many OpenMP threads."""
    given = (*args.types, types.intp)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        module, i32, pointer = builder.module, ir.IntType(32), cgutils.voidptr_t
        address, args_value, shares_value = values

        def external(name: str, result: Any, *parameters: Any) -> Any:
            return cgutils.get_or_insert_function(module, ir.FunctionType(result, parameters), name)

        # what each thread runs: OpenMP may give fewer than were asked for, so each takes every nth share
        job = cgutils.pack_struct(builder, [address, shares_value, args_value])
        body = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), module.get_unique_name("spikeva_team"))
        body.linkage = "internal"
        inside = ir.IRBuilder(body.append_basic_block())
        first, team = (inside.sext(inside.call(external(name, i32), []), shares_value.type) for name in OPENMP[1:])
        place, count, packed = cgutils.unpack_tuple(
            inside, inside.load(inside.bitcast(body.args[0], job.type.as_pointer())), 3
        )
        arguments = cgutils.unpack_tuple(inside, packed, len(given) - 1)
        callee = inside.inttoptr(place, context.call_conv.get_function_type(types.none, given).as_pointer())
        with cgutils.for_range_slice(inside, first, count, team) as (i, _):
            context.call_conv.call_function(inside, callee, types.none, given, [*arguments, i])
        inside.ret_void()

        slot = builder.bitcast(cgutils.alloca_once_value(builder, job), pointer)
        start = external(OPENMP[0], ir.VoidType(), body.type, pointer, i32, i32)
        builder.call(start, [body, slot, builder.trunc(shares_value, i32), i32(0)])
        return context.get_dummy_value()

    return types.none(address, args, shares), build


@njit(cache=True, nogil=True)
def _in_team(address: int, args: tuple[Any, ...], shares: int) -> None:
    _fork(address, args, shares)
