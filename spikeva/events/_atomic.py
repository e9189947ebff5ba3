"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikeva.events.errors import EventFileError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path` to write to; flushed to the disk and renamed to `path` when the block ends well.

    An exception removes it; a kill leaves `.<name>.<random>.part` behind, which nothing ever reads.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise EventFileError(path, "its folder does not exist", "Create the folder first.")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        try:
            _sync(part)
            os.replace(part, path)
        except FileNotFoundError:
            if not path.exists():  # else another process was first with the same file and took this one for a remnant
                raise
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
