"""A few damaged files of each format; the same script runs over thousands."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "events_fuzz.py"
FORMATS = ["evt2", "evt3", "dat", "clip", "txt"]


def test_damage_is_refused_or_accounted_for() -> None:
    command = [sys.executable, SCRIPT, "--files", "60", "--seed", "1", "--seconds", "60", "--formats", *FORMATS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("refused") == 2 * len(FORMATS)
