"""My own video to events: read a video file, simulate an event camera, write the events, look at them.

Run: python examples/02_my_video_to_events.py [folder for the results] [video file]
Without a video of your own, a short (synthetic) one is rendered first.
"""

import sys
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("Agg")
import numpy as np

import spikeva
from spikeva import faces
from spikeva.report import figures

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
out.mkdir(parents=True, exist_ok=True)
video = Path(sys.argv[2]) if len(sys.argv) > 2 else out / "02_face.avi"

if len(sys.argv) <= 2:
    clip = faces.make_clip("afew-va-like", identity=2, clip=0, size=96, seconds=0.8, fps=50)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"FFV1"), 50, (96, 96))  # lossless: see below
    for frame in clip.frames:
        writer.write(cv2.cvtColor(np.rint(frame).astype(np.uint8), cv2.COLOR_GRAY2BGR))
    writer.release()

# The simulator needs the frames, [T, H, W, 3], and their times in seconds. It uses luma only, as an event camera does.
reader = cv2.VideoCapture(str(video))
fps, frames = reader.get(cv2.CAP_PROP_FPS), []
while True:
    there, picture = reader.read()
    if not there:
        break
    frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
if len(frames) < 2:
    raise SystemExit(f"{video}: no video that OpenCV can read")
times = np.arange(len(frames)) / fps
events = spikeva.simulate(np.stack(frames), times, "clean", seed=0)
print(f"{video.name}: {len(frames)} frames at {fps:g} a second -> {len(events)} events")

# HDF5 and NPZ also store the size of the sensor; read_events reads both.
spikeva.write_events(out / "02_events.h5", events)
again = spikeva.read_events(out / "02_events.h5")
assert len(again) == len(events)
assert again.size == events.size

# The pixels also see strong compression: blocks and ringing become events that no camera would record.
squeezed = [cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 8])[1], cv2.IMREAD_COLOR) for f in frames]
false = spikeva.simulate(np.stack(squeezed), times, "clean", seed=0)
print(f"the same video as strongly compressed JPEG pictures: {len(false)} events")

end = round(times[len(times) // 2] * 1e6)
sides = []
for source, pictures in ((events, frames), (false, squeezed)):
    counts = spikeva.encode(source, "counts", ends=[end], dt=40_000)[0, 0]
    frame = cv2.cvtColor(pictures[len(times) // 2], cv2.COLOR_RGB2GRAY)
    sides.append({"frame": frame, "on": counts[0], "off": counts[1]})
ax = figures.compression(*sides)
ax.figure.savefig(out / "02_my_video_to_events.png", dpi=120)
print(out / "02_my_video_to_events.png")
