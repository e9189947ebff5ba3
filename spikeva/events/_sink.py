"""What HDF5 writes to, so that a full disk is an error: HDF5 itself ends the process some time after a write of its own failed."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Sink:
    """A new file `part` for h5py's driver of file objects, in a `with` block. Its first failed write is raised at the end of the block,
    of `watch`ed items before that, as an error of the file `path`; until then HDF5 is told that all is well.
    """

    def __init__(self, part: Path, path: str | os.PathLike[str]) -> None:
        self.part, self.path = part, path
        self._failed: OSError | None = None

    def __enter__(self) -> "Sink":
        self._file = open(self.part, "x+b", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._check()

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """The items, as long as all could be written."""
        for item in items:
            yield item
            self._check()

    def _check(self) -> None:
        if self._failed is not None:
            raise OSError(self._failed.errno, self._failed.strerror, os.fspath(self.path)) from self._failed

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while self._failed is None and rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failed = error
        return len(data)

    def truncate(self, size: int) -> int:
        try:
            self._file.truncate(size)
        except OSError as error:
            self._failed = self._failed or error
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, room: memoryview) -> int:
        return self._file.readinto(room) or 0

    def flush(self) -> None: ...
