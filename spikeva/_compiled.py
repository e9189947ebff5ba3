"""numba's `njit` for code that is cached on disk: no compiled function outlives a change of the sources it was made from.

numba compiles a cached function anew when its own file has changed. It does not see that a constant or a function it took
from another file has, and goes on with the old one: after an update of a clone, wrong results without a word.
"""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

PACKAGE = Path(__file__).parent


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator like `numba.njit(**options)`; see `drop_stale`. Where no folder can be written to, a warning says so, and nothing is cached."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            made = numba.njit(**options)(function)
        except RuntimeError:  # numba's word for no place to keep a cache in
            _warn_of_no_cache()
            return numba.njit(**{**options, "cache": False})(function)
        stats = getattr(made, "stats", None)  # none where NUMBA_DISABLE_JIT is set
        if stats is not None and stats.cache_path is not None:
            drop_stale(Path(stats.cache_path), _step(Path(function.__code__.co_filename)))
        return made

    return compiled


@cache
def _warn_of_no_cache() -> None:
    warnings.warn(
        f"numba can keep compiled code neither beside {PACKAGE} nor in the home folder, so that each process compiles "
        "anew, which takes a minute; set NUMBA_CACHE_DIR to a folder that can be written to",
        stacklevel=3,
    )


def variant(compile: Callable[..., Any], loop: Callable[..., Any], *constants: int) -> Any:
    """`loop`, a closure over `constants`, compiled by `compile` under a name that tells them.

    numba's own names do not: code of two variants that two processes had compiled could bear one name, in one cache file or in
    a process that loads both, and who asks for the address of a function by its name could call the other one.
    """
    loop.__name__ += "".join(f"_{int(c)}" for c in constants)
    loop.__qualname__ = loop.__name__
    return compile(loop)


def _step(file: Path) -> Path:
    """The folder whose files `file` may take constants and functions from: its step of the package."""
    inside = file.relative_to(PACKAGE).parts if file.is_relative_to(PACKAGE) else ()
    return PACKAGE / inside[0] if len(inside) > 1 else file.parent


@cache
def drop_stale(place: Path, sources: Path) -> None:
    """Remove compiled code in the folder `place` that is older than the newest of the `sources` in a folder and below. Once a process.

    A source is as old as the text that it was copied from says (`rsync -a`, `cp -p`, an archive), and as its place in this folder: both count.
    """
    written, placed = _newest(sources)
    for compiled in place.glob("*.nb[ic]"):
        try:
            about = compiled.stat()
            if about.st_mtime < written or about.st_ctime < placed:
                compiled.unlink()
        except OSError:  # another process was faster, or the folder cannot be written
            continue


@cache
def _newest(folder: Path) -> tuple[float, float]:
    about = [source.stat() for source in folder.rglob("*.py")]
    return max((of.st_mtime for of in about), default=0.0), max((of.st_ctime for of in about), default=0.0)
