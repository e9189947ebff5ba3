"""Makes docs/face.gif, the moving picture of the README: a rendered (synthetic) face, its events, its TBR frames.

Run: python docs/picture.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import spikeva
from spikeva import faces
from spikeva.report.figures import polarity, tbr

clip = faces.make_clip("afew-va-like", identity=2, clip=0, size=128, seconds=1.6)
events = spikeva.simulate(clip.frames, clip.times, "clean", seed=0)
ends = np.arange(80_000, 1_600_000, 40_000)
counts = spikeva.encode(events, "counts", ends=ends, dt=40_000)
codes = spikeva.encode(events, "tbr", ends=ends, bits=8, dt=5000)
rows = [
    np.hstack([np.rint(clip.frames[round(end / 1e4) - 1]).astype(np.uint8), polarity(on, off), tbr(code)])
    for end, on, off, code in zip(ends, counts[:, 0, 0], counts[:, 0, 1], codes[:, 0], strict=True)
]
pictures = [Image.fromarray(row).quantize(32) for row in rows]
path = Path(__file__).parent / "face.gif"
pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80, loop=0, optimize=True)
print(path, path.stat().st_size)
