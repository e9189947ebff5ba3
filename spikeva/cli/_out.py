"""Where a command will write, looked at before its work begins."""

import os
from pathlib import Path

from spikeva.errors import UserError

FOLDER = "a folder that can be written to, or a new name"


def check_folder(path: Path, option: str = "--out") -> None:
    """Raises UserError where `path` is no folder that can be written to, and none can be made there."""
    _check(path, f"{option} {path}", FOLDER)


def check_file(path: Path, option: str = "--out") -> None:
    """Raises UserError where `path` is a folder, or lies in none that `check_folder` allows."""
    allowed = f"a file in {FOLDER}"
    if path.is_dir():
        raise UserError(f"{option} {path}: this is a folder; allowed: {allowed}")
    _check(path.parent, f"{option} {path}", allowed)


def _check(folder: Path, said: str, allowed: str) -> None:
    there = next(part for part in (folder, *folder.parents, Path()) if os.path.lexists(part))
    if not there.is_dir():
        raise UserError(f"{said}: {there} is no folder; allowed: {allowed}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{said}: {there} may not be written to; allowed: {allowed}")
