"""Geometry -> luminance: one person under one light and camera, frame after frame."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikeva.faces import film, raster, shader
from spikeva.faces.features import Features
from spikeva.faces.rig import Rig

Array = NDArray[np.float64]
PIVOT = np.array([0.0, -1.0, -0.45])
DISTANCE = 9.0  # of the camera, head units
NOWHERE = -1e9  # depth where nothing is
CENTRE = np.zeros((1, 2))
# Eight places in a sample at a rim, no two in a row or a column: a rim that moves reaches them one by one, whatever its direction
# (Direct3D's standard pattern).
RIM = np.array([(1, -3), (-1, 3), (5, 1), (-3, -5), (-5, 5), (-7, -1), (3, 7), (7, -7)]) / 16
JUMP = 6.0  # samples' width of depth between neighbours that makes a rim


@dataclass(frozen=True)
class Scene:
    """What surrounds a person: `lights` [2, 6] direction and RGB, `ambient` [3], `background` [n, m, 3] linear RGB,
    `lens` blur in output pixels, `exposure`.
    """

    lights: Array
    ambient: Array
    background: NDArray[np.float32]
    lens: float = 0.6
    exposure: float = 1.0


@dataclass(frozen=True)
class Pose:
    """Where the head is, per frame: `angles` [T, 3] yaw, pitch, roll (rad), `centre` [T, 2] of the pivot in output
    pixels, `scale` [T] pixels per head unit, `gain` [T] of the light, `pan` [T, 2] of the background in its own
    texels.
    """

    angles: Array
    centre: Array
    scale: Array
    gain: Array
    pan: Array


def rotation(angles: Array) -> Array:
    """[3, 3] turn by yaw (to the right of the picture), then pitch (down), then roll (clockwise)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ pitch @ yaw)


@lru_cache(maxsize=1)
def _srgb_table() -> Array:
    v = np.linspace(0, 1, 4096) ** 2
    return np.asarray(255 * np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055))


def lens_kernel(sigma: float) -> Array:
    """Even kernel that filters and halves a 2 x 2 supersampled picture: a Gaussian of `sigma` output pixels over the
    pixel's box.
    """
    s = max(2 * sigma, 0.2)
    half = 1 + int(np.ceil(2.6 * s))
    at = np.arange(-half, half) + 0.5
    k = np.exp(-0.5 * (at / s) ** 2)
    k = np.convolve(k, [0.25, 0.5, 0.25])[1:-1]
    return np.asarray(k / k.sum())


class _Seen(NamedTuple):
    """What samples show: `depth`, `face` (triangle, -1: none), and its barycentric coordinates `bary` [..., 2]."""

    depth: NDArray[np.float32]
    face: NDArray[np.int32]
    bary: NDArray[np.float32]

    @classmethod
    def nothing(cls, *shape: int) -> "_Seen":
        return cls(np.full(shape, NOWHERE, np.float32), np.full(shape, -1, np.int32), np.empty((*shape, 2), np.float32))

    def listed(self) -> "_Seen":
        """The same memory as a list of squares with one sample each."""
        n = self.face.size
        return _Seen(self.depth.reshape(n, 1), self.face.reshape(n, 1), self.bary.reshape(n, 1, 2))


@dataclass
class Renderer:
    """Draws `rig` at `size` (width, height) with 2 x 2 samples a pixel, and eight in each of these where a surface ends. Not
    thread-safe: it owns its buffers.
    """

    rig: Rig
    size: tuple[int, int]
    scene: Scene
    density: float | None = None  # of the painted skin, texels per unit; None: right for a face that fills a square

    def __post_init__(self) -> None:
        w, h = self.size
        n = len(self.rig.mesh.vertices)
        self._points = np.empty((n, 3), np.float32)
        self._screen = np.empty((n, 3), np.float64)
        self._attributes = np.empty((n, 8), np.float32)
        self._seen = _Seen.nothing(2 * h, 2 * w)
        self._all = np.arange(4 * h * w, dtype=np.int32).reshape(2 * h, 2 * w)
        self._rims = np.empty((2 * h, 2 * w), np.int32)
        self._linear = np.empty((2 * h, 2 * w, 3), np.float32)
        self._rows = np.empty((2 * h, w, 3), np.float32)
        self._kept: tuple[tuple[float, ...], NDArray[np.float32], NDArray[np.float32]] | None = None
        self._kernel = lens_kernel(self.scene.lens)
        self._texture = self.rig.texture(0.6 * h if self.density is None else self.density)

    def project(self, points: Array, pose: Pose, t: int) -> Array:
        """[n, 2] output pixels (centres at .5) of head-frame `points` [n, 3] in frame `t`."""
        screen = np.empty((len(points), 3))
        turn = np.ones(len(points), np.float32)
        args = (rotation(pose.angles[t]), PIVOT, float(pose.scale[t]), pose.centre[t], DISTANCE)
        raster.project(np.ascontiguousarray(points, np.float32), turn, *args, screen)
        return screen[:, :2]

    def draw(
        self, units: Array, features: Features, pose: Pose, t: int, rgb: NDArray[np.float32], luma: NDArray[np.float32]
    ) -> None:
        """Fill `rgb` [H, W, 3] and `luma` [H, W] (display scale 0..255) with frame `t` of action units [T, A, 2]."""
        rig, mesh, scene, seen = self.rig, self.rig.mesh, self.scene, self._seen
        turn = rotation(pose.angles[t])
        raster.deform(mesh.vertices, rig.basis, rig.front, units[t].ravel(), self._points)
        scale = 2.0 * float(pose.scale[t])
        raster.project(self._points, mesh.turn, turn, PIVOT, scale, 2.0 * pose.centre[t], DISTANCE, self._screen)
        raster.vertex_attributes(self._points, mesh.chart, mesh.aux, mesh.turn, mesh.grids, turn, self._attributes)
        shaded, developed = self._boxes()
        spread = min((n - 12) / m for n, m in zip(scene.background.shape[:2], seen.face.shape, strict=True))
        behind = np.array([pose.pan[t, 0], pose.pan[t, 1], spread])
        gain = scene.exposure * float(pose.gain[t])
        surface = (
            mesh.triangles,
            mesh.material,
            self._attributes,
            self._texture.albedo,
            rig.wrinkles(self._texture, units[t]),
            self._texture.density,
            features.eyes[t],
            features.mouth[t],
            features.corners[t],
            features.teeth[t],
            scene.lights,
            scene.ambient,
            rig.colours,
            rig.gloss,
            rig.lash,
            rig.glasses,
            rig.strands,
            0.5 / scale,
            gain,
        )

        window = slice(shaded[1], shaded[3]), slice(shaded[0], shaded[2])
        seen.depth[window], seen.face[window] = NOWHERE, -1
        self._rasterize(self._all, CENTRE, seen.listed())
        film.fill_behind(seen.face, scene.background, behind, gain, shaded, self._linear)
        shader.shade(seen.face, seen.bary, *surface, shaded, self._linear)

        places = raster.find_rims(seen.face, seen.depth, mesh.material, JUMP / scale, shaded, self._rims)
        fine = _Seen.nothing(len(places), len(RIM))
        self._rasterize(self._rims, RIM, fine)
        colours = np.empty((*fine.face.shape, 3), np.float32)
        shader.shade(fine.face, fine.bary, *surface, np.array([0, 0, len(RIM), len(places)]), colours)
        film.join_rims(places, fine.face, colours, scene.background, behind, gain, self._linear)

        if developed[2] - developed[0] < self.size[0] or developed[3] - developed[1] < self.size[1]:
            self._draw_backdrop(behind, gain, rgb, luma)
        film.develop(self._linear, self._kernel, _srgb_table(), developed, self._rows, rgb, luma)

    def _rasterize(self, cells: NDArray[np.int32], samples: Array, seen: _Seen) -> None:
        """Let `seen` [n, k] see the triangles; cells [2 H, 2 W] number the squares to look at."""
        mesh = self.rig.mesh
        raster.rasterize(
            self._screen, mesh.triangles, mesh.material, self._attributes, self.rig.fringe, cells, samples, *seen
        )

    def _boxes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is drawn (x0, y0, x1, y1): the box of supersampled pixels to shade, and that of output pixels to
        develop from them.
        """
        reach = len(self._kernel) // 2
        low, high = raster.bounds(self._screen)
        low, high = np.floor((low - reach) / 2), np.ceil((high + reach) / 2)
        size = np.array(self.size)
        developed = np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)]).astype(np.int64)
        shaded = 2 * developed + reach * np.array([-1, -1, 1, 1])
        return np.clip(shaded, 0, np.tile(2 * size, 2)), developed

    def _draw_backdrop(self, behind: Array, gain: float, rgb: NDArray[np.float32], luma: NDArray[np.float32]) -> None:
        """Fill both pictures with the background; one that stands still is kept."""
        key = (*behind, gain)
        if self._kept is None or self._kept[0] != key:
            kept = np.empty_like(rgb), np.empty_like(luma)
            film.backdrop(self.scene.background, behind, gain, _srgb_table(), *kept)
            self._kept = (key, *kept)
        rgb[:], luma[:] = self._kept[1], self._kept[2]
