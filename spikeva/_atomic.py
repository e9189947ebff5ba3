"""Files that appear whole or not at all."""

import errno
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from spikeva.errors import UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # what a write that finds no room says, mostly without a name
NO_FLUSH = {errno.EINVAL, errno.ENOTSUP}  # of disks that flush no folders, as some shared with a virtual machine


@contextmanager
def whole_file(path: str | os.PathLike[str], once: bool = False) -> Iterator[Path]:
    """A temporary name beside `path` to write to; flushed to the disk and renamed to `path` when the block ends well.

    An exception removes it; a kill leaves `.<name>.<machine>-<process>-<random>.part` behind, which nothing ever reads and
    `remove_parts` removes. `once`: a file that is there by then stays, so that of several processes the first one decides.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: its folder does not exist; create it first")
    if path.is_dir():  # before the work, not at its end
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    check_length(path)
    part, before = part_of(path), _identity(path)
    try:
        yield part
        try:
            _sync(part)
            _settle(part, path) if once else os.replace(part, path)
        except FileNotFoundError:
            if _identity(path) in (None, before):  # else another process was first and took this part for a remnant
                raise
        _sync(path.parent)
    except OSError as error:
        if error.filename != os.fspath(part) and (error.filename or error.errno not in FULL):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # the part's name says nothing to a user
    finally:
        with suppress(OSError):  # there is none to remove; a disk that is read-only would say so of the part
            part.unlink()


def part_of(path: Path) -> Path:
    """A name beside `path` for what is to become it, and of which `is_orphan` knows whose it is."""
    return path.with_name(f".{path.name}.{_here()}-{os.getpid()}-{secrets.token_hex(4)}.part")


def check_length(path: Path) -> None:
    """Raises UserError where the disk allows no name as long as that of `path` becomes in `part_of`."""
    part = part_of(path).name
    there = next((folder for folder in path.parents if os.path.isdir(folder)), Path())
    try:
        os.lstat(there / part)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            found, added = len(os.fsencode(part)), len(part) - len(path.name)
            raise UserError(
                f"{path}: this name is too long: {found} bytes with the {added} added until the file is whole; most disks "
                "allow 255"
            ) from None


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Put `data` at `path`, whole or not at all; makes the folder, and removes what killed processes left of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)
    remove_parts(path.parent, escape(path.name))


def remove_parts(folder: Path, of: str = "*", idle: float = 3600.0) -> None:
    """Remove what killed processes left half-written in `folder`, of files (`of`: a pattern of their names) that are
    there whole by now.

    What was touched in the last `idle` seconds stays, unless its process is gone: another one may be at it.
    """
    for part in folder.glob(f".{of}.*.part"):
        with suppress(OSError):  # another process tidies up, or has just finished this file; or it is another user's
            left = time.time() - part.stat().st_mtime >= idle or is_orphan(part)
            if left and (folder / part.name[1:].rsplit(".", 2)[0]).exists():
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def is_orphan(part: Path) -> bool:
    """Whether the process that made `part` was one of this machine's and is no more."""
    where, _, rest = part.name.split(".")[-2].rpartition("-")[0].rpartition("-")
    if where != _here() or not rest.isdecimal() or os.name != "posix":
        return False
    try:
        os.kill(int(rest), 0)  # asks only
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _here() -> str:
    return socket.gethostname().replace(".", "-")[:20]  # file names have an end


def _settle(part: Path, path: Path) -> None:
    """Give `part` the name `path` unless there is such a file."""
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(part, path)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of its name; None where there is none."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
