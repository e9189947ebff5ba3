"""Memory of a training on a CPU: what a step frees, the next one takes again."""

import ctypes
import os
from functools import cache

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of malloc.h
MOST = 2**31 - 1


@cache
def keep_freed() -> bool:
    """Let glibc keep memory that is freed, in this process and from now on; False where the C library cannot, or the user has chosen.

    By default it gives large tensors back to the system, which clears and maps each page anew when the next one is made: that
    can cost more than the arithmetic. The user has chosen where MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ is set, or
    another allocator is preloaded.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; TypeError: Windows
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MOST)) and bool(mallopt(M_TRIM_THRESHOLD, MOST))
