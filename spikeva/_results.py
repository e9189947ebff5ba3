"""What a study writes and a report has to know of: the version of results, and whether predictions are as their cell wrote them."""

import hashlib
import json
from pathlib import Path

from spikeva.errors import UserError

RESULTS_VERSION = 7  # goes up when the same config comes to mean other numbers


def predictions_digest(folder: Path) -> str:
    """The SHA-256 of predictions.csv in a cell's folder, for its done.json."""
    with (folder / "predictions.csv").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_predictions(folder: Path) -> None:
    """Raises UserError where predictions.csv of a finished cell's folder is not as the cell wrote it.

    Comparisons go row by row: those of a file that was sorted or cut short would be wrong without a word.
    """
    path, done = folder / "predictions.csv", folder / "done.json"
    try:
        wrote = json.loads(done.read_text(encoding="utf-8")).get("predictions") if done.is_file() else None
    except (ValueError, AttributeError) as error:
        raise UserError(f"{done} is damaged ({error}); delete it and run the study again") from error
    if wrote is not None and not (path.is_file() and predictions_digest(folder) == wrote):
        raise UserError(
            f"{path} is not as the cell wrote it (changed, cut short, or saved by another program); delete {done} and run the "
            "study again: the trained model predicts anew"
        )
