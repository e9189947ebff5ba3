"""Folders of a dataset as people keep them: spread over disks and joined by symbolic links."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spikeva.datasets.findings import Finding


def walk(root: Path, find: Callable[[Finding], None]) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, its folders, its files) as `os.walk` gives them, through links too; each folder is entered once.

    `find` is told of folders that cannot be read.
    """

    def unread(error: OSError) -> None:
        where = os.path.relpath(error.filename, root)
        find(Finding("unreadable folder", where, str(error.strerror), "what is in it is not seen"))

    entered = set()
    for folder, folders, files in os.walk(root, onerror=unread, followlinks=True):
        place = os.path.realpath(folder)
        if place in entered:
            folders.clear()
            continue
        entered.add(place)
        yield folder, folders, files
