"""Folders of a dataset as people keep them: spread over disks and joined by symbolic links."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, its folders, its files) as `os.walk` gives them, through links too; each folder is entered once."""
    entered = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in entered:
            folders.clear()
            continue
        entered.add(place)
        yield folder, folders, files
