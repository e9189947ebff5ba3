"""What a study writes and a report has to know of: the version of results, and whether files are as their cell wrote them."""

import hashlib
import json
from pathlib import Path

from spikeva.errors import UserError

RESULTS_VERSION = 8  # goes up when the same config comes to mean other numbers


def written_digest(path: Path) -> str:
    """The SHA-256 of a file in a cell's folder, for its done.json."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_written(path: Path) -> None:
    """Raises UserError where predictions.csv or metrics.json of a finished cell is not as the cell wrote it.

    Comparisons go row by row: those of a file that was sorted or cut short would be wrong without a word.
    """
    done = path.with_name("done.json")
    try:
        wrote = json.loads(done.read_text(encoding="utf-8")).get(path.stem) if done.is_file() else None
    except (ValueError, AttributeError) as error:
        raise UserError(f"{done} is damaged ({error}); delete it and run the study again") from error
    if wrote is not None and not (path.is_file() and written_digest(path) == wrote):
        raise UserError(
            f"{path} is not as the cell wrote it (changed, cut short, or saved by another program); delete {done} and run the "
            "study again: the trained model predicts anew"
        )
