"""How long a dataset takes: 600 clips of 224 x 224 at 25 fps, from PNG files to events, computed from a few clips run here.

    python benchmarks/simulate_plan.py [--clips 3] [--subframes 10]

AFEW-VA: 600 clips, 30,051 frames of 720 x 576. Each stage is measured on stand-in faces (synthetic) and scaled up; "folder to
events" is the whole way as `spikeva simulate` goes it, with decoding ahead and threads, on the processors this process may use.
Where there is a GPU, the simulation is measured on it, too: frames go there and events come back.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from spikeva.faces import make_clip
from spikeva.simulate import Simulator
from spikeva.simulate.engines.compiled import default_threads
from spikeva.simulate.interpolate import interpolate
from spikeva.simulate.video import read_frames

FRAMES = 30_051


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--subframes", type=int, default=10)
    args = parser.parse_args()
    spent = dict.fromkeys(("decode 720x576 PNG", "decode 720x576 JPEG", "crop, resize", "flow, warp", "simulate"), 0.0)
    count = events = 0
    whole_way = 0.0
    compiled = interpolate([(np.zeros((16, 16)), 0.0), (np.eye(16) * 99, 1.0)], "flow", 2)
    list(Simulator("clean").stream(compiled))
    gpu = f"simulate, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    if gpu:
        spent[gpu] = 0.0
        simulate_on_gpu([(np.zeros((224, 224), np.float32), 0.0), (np.eye(224, dtype=np.float32), 1.0)])
    for identity in range(args.clips):
        clip = make_clip("afew-va-like", identity, 0, fps=25.0, seconds=1.2, size=224)
        whole = [cv2.resize(f.astype(np.uint8), (720, 576)) for f in clip.frames]
        files = [[cv2.imencode(kind, f)[1] for f in whole] for kind in (".png", ".jpg")]
        frames = []
        for name, encoded in zip(("decode 720x576 PNG", "decode 720x576 JPEG"), files, strict=True):
            start = time.perf_counter()
            decoded = [cv2.imdecode(f, cv2.IMREAD_GRAYSCALE) for f in encoded]
            spent[name] += time.perf_counter() - start
        start = time.perf_counter()
        frames = [cv2.resize(f[:, 72:648], (224, 224), interpolation=cv2.INTER_AREA) for f in decoded]
        spent["crop, resize"] += time.perf_counter() - start
        start = time.perf_counter()
        moving = list(interpolate(zip(frames, clip.times.tolist(), strict=True), "flow", args.subframes))
        spent["flow, warp"] += time.perf_counter() - start
        start = time.perf_counter()
        made = Simulator("clean").feed(np.stack([f for f, _ in moving]), [t for _, t in moving])
        spent["simulate"] += time.perf_counter() - start
        if gpu:
            start = time.perf_counter()
            simulate_on_gpu(moving)
            spent[gpu] += time.perf_counter() - start
        count, events = count + len(frames), events + len(made)
        with tempfile.TemporaryDirectory() as folder:
            for i, encoded in enumerate(files[0]):
                Path(folder, f"{i:04d}.png").write_bytes(encoded.tobytes())
            start = time.perf_counter()
            read, _ = read_frames(Path(folder), 25.0, (224, 224))
            for _ in Simulator("clean").stream(interpolate(read, "flow", args.subframes)):
                pass
            whole_way += time.perf_counter() - start
    print(
        f"{default_threads()} processors, {count} frames (synthetic), {args.subframes} sub-frames, {events / count:.0f} events a frame"
    )
    for name, seconds in spent.items():
        print(
            f"{name:>20}: {seconds / count * 1e3:7.2f} ms a frame, {FRAMES * seconds / count / 3600:6.2f} h for AFEW-VA"
        )
    total = sum(seconds for name, seconds in spent.items() if "JPEG" not in name and name != gpu) / count
    print(
        f"{'folder to events':>20}: {whole_way / count * 1e3:7.2f} ms a frame, {FRAMES * whole_way / count / 3600:6.2f} h"
    )
    print(
        f"{'all (PNG)':>20}: {1 / total:7.1f} frames a second, {FRAMES * total / 3600:.2f} h for AFEW-VA, one stage after the other"
    )


def simulate_on_gpu(moving: list[tuple[np.ndarray, float]]) -> None:
    """Events of a clip's frames and times, simulated on the GPU."""
    frames = torch.from_numpy(np.stack([frame for frame, _ in moving])).cuda()
    Simulator("clean", engine="torch").feed(frames, [time for _, time in moving])


if __name__ == "__main__":
    main()
