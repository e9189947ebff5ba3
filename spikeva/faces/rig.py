"""Who, which action units -> geometry: everything about a person that is built once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spikeva.faces.action_units import INDEX, displacements, drop_jaw, jaw_weight, jittered_lobes
from spikeva.faces.features import FeatureRig
from spikeva.faces.identity import Identity, draw_identity
from spikeva.faces.mesh import Mesh, build_mesh, smooth
from spikeva.faces.texture import SkinTexture, paint, value_noise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rig:
    """A person's mesh, the action-unit `basis` [A*2, m, 3] at its vertices `front` [m], curves, and looks."""

    who: Identity
    mesh: Mesh
    basis: NDArray[np.float32]
    front: NDArray[np.int64]
    features: FeatureRig
    colours: Array
    gloss: float
    lash: float
    glasses: float
    fringe: NDArray[np.float32]
    strands: NDArray[np.float32]
    textures: dict[int, SkinTexture]

    def texture(self, density: float) -> SkinTexture:
        """The skin at about `density` texels per unit (painted once for each rounded density)."""
        key = int(np.ceil(density / 8) * 8)
        if key not in self.textures:
            self.textures[key] = paint(self.who, key)
        return self.textures[key]

    def wrinkles(self, texture: SkinTexture, units: Array) -> NDArray[np.float32]:
        """[h, w] light left by the wrinkles of action units [A, 2]."""
        light = np.ones(texture.albedo.shape[:2], np.float32)
        for w in texture.wrinkles:
            depth = w.offset + float((w.weight * units).sum())
            if depth > 1e-4:
                h, n = w.pattern.shape
                light[w.y0 : w.y0 + h, w.x0 : w.x0 + n] -= np.float32(min(depth, 1.0)) * w.pattern
        return np.clip(light, 0.2, 1.4)


def build_rig(who: Identity, detail: float = 1.0) -> Rig:
    """The rig of a person; `detail` scales the mesh's rows and columns."""
    mesh = build_mesh(who, detail)
    lobes = jittered_lobes(who.lobe_jitter, who.rng(31))
    anchors = np.array([who.chin, who.mouth_y, who.nose_base, 0.0, who.brow_y, 1.7])
    scale_y = (np.array([-1.60, -1.0, -0.64, 0.0, 0.31, 1.7]), anchors)
    count = int(mesh.grids[0, 1] * mesh.grids[0, 2])
    chart = mesh.chart[:count].astype(np.float64)
    depth = mesh.vertices[:count, 2].astype(np.float64)
    move = displacements(lobes, chart, scale_y)
    drop_jaw(move, jaw_weight(chart, who.mouth_y))
    move *= smooth(0.0, 0.35, depth)[:, None]
    flat = move.reshape(len(INDEX) * 2, count, 3)
    front = np.flatnonzero(np.abs(flat).max((0, 2)) > 1e-4)
    rng = who.rng(41)
    strands = np.clip(value_noise(rng, (256, 256), (24, 1.6)), -2, 2).astype(np.float32)
    tufts = 0.022 * value_noise(rng, (256, 256), (60, 5)) + 0.022 * value_noise(rng, (256, 256), (30, 1.7))
    ragged = {"fringe": 0.8, "bob": 0.8}.get(who.hair_style, 1.2)
    fringe = np.clip(ragged * tufts, -0.12, 0.12).astype(np.float32)
    frame = np.array([0.02, 0.018, 0.016]) if rng.random() < 0.7 else np.array([0.16, 0.09, 0.04])
    return Rig(
        who=who,
        mesh=mesh,
        basis=np.ascontiguousarray(flat[:, front], dtype=np.float32),
        front=front,
        features=FeatureRig(who, lobes, scale_y),
        colours=np.stack([who.skin * 0.92, who.hair, who.cloth, who.iris, who.lips, frame]),
        gloss=0.035 + 0.02 * float(rng.random()),
        lash=0.020 if who.female else 0.013,
        glasses=float(who.glasses),
        fringe=fringe,
        strands=strands,
        textures={},
    )


@lru_cache(maxsize=6)
def cached_rig(domain: str, identity: int, seed: int, detail: float) -> Rig:
    """`build_rig` of a drawn identity, kept for the next clips of the same person."""
    return build_rig(draw_identity(domain, identity, seed), detail)
