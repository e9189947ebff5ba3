"""Where a command will write, looked at before its work begins."""

import os
from pathlib import Path

from spikeva._atomic import check_length
from spikeva.errors import UserError

FOLDER = "a folder that can be written to, or a new name"


def check_folder(path: Path) -> None:
    """Raises UserError where `path`, of --out, is no folder that can be written to, and none can be made there."""
    _check(path, path, FOLDER)


def check_file(path: Path) -> None:
    """Raises UserError where `path`, of --out, is a folder, has too long a name, or lies in none that `check_folder` allows."""
    allowed = f"a file in {FOLDER}"
    if path.is_dir():
        raise UserError(f"--out {path}: this is a folder; allowed: {allowed}")
    check_length(path)
    _check(path.parent, path, allowed)


def _check(folder: Path, out: Path, allowed: str) -> None:
    there = next(part for part in (folder, *folder.parents, Path()) if os.path.lexists(part))
    if not there.is_dir():
        raise UserError(f"--out {out}: {there} is no folder; allowed: {allowed}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: {there} may not be written to; allowed: {allowed}")
