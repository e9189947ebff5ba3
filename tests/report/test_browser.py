"""The page in a real browser: no error, no request, nothing wider than the screen; the slider and the sorting work."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_run

from spikeva.report import write_report

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)"),
]

WATCH = """<script>
const faults = [];
addEventListener("error", event => faults.push(`error: ${event.message}`));
addEventListener("unhandledrejection", event => faults.push(`rejected: ${event.reason}`));
addEventListener("securitypolicyviolation", event => faults.push(`request: ${event.blockedURI}`));
for (const level of ["error", "warn"]) console[level] = (...words) => faults.push(`${level}: ${words.join(" ")}`);
</script>"""
ACT = """<script>
addEventListener("load", () => {
  const found = { width: innerWidth, scroll: document.documentElement.scrollWidth };
  const table = document.querySelector("table.sortable");
  const column = [...table.tHead.rows[0].cells].findIndex(head => head.textContent === "CCC valence");
  const button = table.tHead.rows[0].cells[column].firstChild;
  const values = () => [...table.tBodies[0].rows].map(row => row.cells[column].dataset.sort);
  button.focus();
  found.focused = document.activeElement === button;
  button.click(); found.rising = values(); found.said = button.parentNode.getAttribute("aria-sort");
  button.click(); found.falling = values();
  const viewer = document.querySelector(".viewer"), slider = viewer.querySelector("input");
  const state = () => [viewer.querySelector(".pictures div").style.backgroundPosition,
    viewer.querySelector(".course:not([hidden]) .cursor").style.left, viewer.querySelector("output").textContent];
  const move = value => { slider.value = value; slider.dispatchEvent(new Event("input")); return state(); };
  found.first = move(0); found.last = move(slider.max);
  const choice = viewer.querySelector("select");
  choice.value = "1"; choice.dispatchEvent(new Event("change"));
  found.chosen = [...viewer.querySelectorAll(".course")].map(course => !course.hidden);
  const shown = [...viewer.querySelectorAll(".pictures div")].filter(picture => picture.offsetWidth);
  found.pictures = shown.length;
  const loaded = shown.map(picture => {
    const image = new Image(); image.src = picture.style.backgroundImage.slice(5, -2); return image.decode(); });
  Promise.all(loaded).then(() => {
    found.resources = performance.getEntriesByType("resource").map(entry => entry.name.slice(0, 5));
    found.faults = faults;
    parent.postMessage(JSON.stringify(found), "*");
  }, fault => parent.postMessage(`a picture of the viewer cannot be decoded: ${fault}`, "*"));
});
</script>"""
# A window is never narrower than 500 pixels; a frame in it is.
FRAME = """<!doctype html><title>probe</title><script>
addEventListener("message", event => {
  const out = document.createElement("pre"); out.id = "found"; out.textContent = event.data; document.body.append(out); });
</script><body style="margin:0"><iframe src="{page}" width="{width}" height="800" style="border:0"></iframe>"""


def browse(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What a browser of that width found when it opened the page, sorted a table and moved the slider."""
    assert CHROMIUM is not None
    text = page.read_text()
    probe = folder / f"probe-{width}.html"
    probe.write_text(text.replace("<head>", "<head>" + WATCH, 1).replace("</body>", ACT + "</body>", 1))
    frame = folder / "frame.html"
    frame.write_text(FRAME.replace("{page}", probe.name).replace("{width}", str(width)))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,900",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    for _ in range(3):  # the browser's virtual time does not wait for pictures, which a busy machine decodes late
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        answer = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        if answer:
            break
    assert answer, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(unescape(answer[1]))
    return found


def wrong(found: dict[str, Any], width: int, clips: int, pictures: int = 3) -> list[str]:
    """What is not as it should be on a page of that width with so many example clips, and pictures of each in the viewer."""
    numbers = sorted(float(value) for value in found["rising"] if value)
    missing = [""] * found["rising"].count("")
    rising, falling = ([float(v) if v else v for v in found[way]] for way in ("rising", "falling"))
    first, last = found["first"], found["last"]
    holds = {
        "width": found["width"] == width,
        "scrolls sideways": found["scroll"] <= width,
        "faults": found["faults"] == [],
        "asks for files": {name for name in found["resources"] if name != "data:"} == set(),
        "keyboard": found["focused"],
        "said order": found["said"] == "ascending",
        "numbers to sort": len(numbers) > 4,
        "rising": rising == numbers + missing,
        "falling": falling == numbers[::-1] + missing,
        "slider's ends": first[0].startswith("0%") and last[0].startswith("100%"),
        "slider's place": float(first[1].rstrip("%")) < float(last[1].rstrip("%")),
        "slider's picture": first[2] != last[2],
        "pictures": found["pictures"] == pictures,
        "chosen clip": found["chosen"] == [i == 1 for i in range(clips)],
    }
    return [name for name, held in holds.items() if not held]


@pytest.mark.parametrize("width", [1280, 390])
def test_quick_study(run_dir: Path, width: int, tmp_path: Path) -> None:
    assert wrong(browse(run_dir / "report.html", width, tmp_path), width, clips=3) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_study_of_two_models_three_encodings_five_folds(width: int, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", encodings=("tbr", "spikes", "voxel"), folds=5, people=3, gallery=2)
    assert wrong(browse(write_report(run), width, tmp_path), width, clips=2) == []


def test_clips_without_a_video(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run", dataset="afew-va", video=False, gallery=2))
    assert wrong(browse(page, 390, tmp_path), 390, clips=2, pictures=2) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_sweep(width: int, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", encodings=("tbr(bits=1)", "tbr(bits=8)", "spikes"), gallery=2)
    page = write_report(run)
    assert "sweep-energy" in page.read_text()
    assert wrong(browse(page, width, tmp_path), width, clips=2) == []


def test_the_test_sees_a_request(run_dir: Path, tmp_path: Path) -> None:
    page = (
        (run_dir / "report.html")
        .read_text()
        .replace("</main>", '<img src="https://example.org/pixel.png" alt=""></main>')
    )
    (tmp_path / "tracked.html").write_text(page)
    assert "request" in str(browse(tmp_path / "tracked.html", 1280, tmp_path)["faults"])
