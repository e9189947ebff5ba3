"""Who works in a folder of a study (a cell's, the clips'): one process at a time, on this machine or on another that shares the disk."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Any

from spikeva.errors import UserError
from spikeva.progress import console

LOCK = ".lock"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}  # of some network disks: then nobody is kept away


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[None]:
    """Hold `folder`, after whoever holds it now: the terminal then says that `name` waits.

    The system ends a claim with its process, however that ends. Raises UserError in a worker process that imports the script which
    started it and which holds `folder` until the worker is ready.
    """
    with (folder / LOCK).open("a") as file:
        if not _claim(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if getattr(current_process(), "_inheriting", False):  # as the standard library finds out
                raise UserError(
                    f"{name}: worker processes import your script; call this under `if __name__ == '__main__':`"
                )
            console.print(f"{name}: another process is at it; waiting", highlight=False, soft_wrap=True)
            _claim(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            _claim(file, fcntl.LOCK_UN)  # closing the file would leave it to processes that were forked meanwhile


def is_claimed(folder: Path) -> bool:
    """Whether a process holds `folder` at this moment."""
    try:
        with (folder / LOCK).open() as file:
            return not _claim(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # an exclusive one, NFS refuses to who only reads
    except FileNotFoundError:
        return False


def _claim(file: IO[Any], how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
