"""Events that a moving face makes only because its rims are drawn with few samples, against 144 samples in each there (synthetic).

    python benchmarks/faces_rims.py [--identities 0 1 4] [--ways 0.5 3] [--size 96]

A face that does nothing but move by so many pixels in 64 frames, seen by an ideal pixel with thresholds of 0.2.
"""

import argparse
from unittest import mock

import numpy as np

from spikeva import __version__, faces
from spikeva.faces import render
from spikeva.simulate import simulate

STEPS = 65
PLACES = (np.arange(12) + 0.5) / 12 - 0.5
FINE = np.stack(np.meshgrid(PLACES, PLACES), -1).reshape(-1, 2)


def events(identity: int, way: float, size: int, samples: np.ndarray) -> int:
    """Number of events of a face that moves `way` pixels to the right and 0.37 of it down, with `samples` [k, 2] at rims."""
    rig = faces.build_rig(faces.draw_identity("afew-va-like", identity))
    units = np.repeat(faces.expression("anger")[None], STEPS, 0)
    scene = faces.Scene(np.array([[0.3, 0.5, 0.8, 1, 1, 1.0]]), np.full(3, 0.2), np.full((8, 8, 3), 0.2, np.float32))
    centre = size / 2 + np.linspace(0, way, STEPS)[:, None] * [1, 0.37]
    still = np.ones(STEPS)
    pose = faces.Pose(np.tile([0.1, 0.0, 0.05], (STEPS, 1)), centre, 0.235 * size * still, still, np.ones((STEPS, 2)))
    renderer, features = faces.Renderer(rig, (size, size), scene), rig.features(units, np.zeros((STEPS, 2)))
    luma, rgb = np.empty((STEPS, size, size), np.float32), np.empty((size, size, 3), np.float32)
    with mock.patch.object(render, "RIM", samples):
        for t in range(STEPS):
            renderer.draw(units, features, pose, t, rgb, luma[t])
    return len(simulate(luma, np.arange(STEPS) / 100, "ideal"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--ways", type=float, nargs="+", default=[0.5, 3.0], help="pixels")
    parser.add_argument("--size", type=int, default=96)
    args = parser.parse_args()
    print(
        f"spikeva {__version__}, {args.size} x {args.size}; events more than with {len(FINE)} samples in each at rims"
    )
    print(f"{'identity':>8} {'pixels':>7} {'events':>7} {'one':>8} {len(render.RIM)!s:>8}")
    for identity in args.identities:
        for way in args.ways:
            true = events(identity, way, args.size, FINE)
            more = [events(identity, way, args.size, s) / true - 1 for s in (render.CENTRE, render.RIM)]
            print(f"{identity:>8} {way:>7g} {true:>7} {more[0]:>8.1%} {more[1]:>8.1%}", flush=True)


if __name__ == "__main__":
    main()
