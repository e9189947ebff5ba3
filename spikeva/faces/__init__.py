"""The stand-in: rendered faces with known valence and arousal, in two domains. Everything made here is synthetic.

Three layers, each usable alone: the rig (`draw_identity`, `build_rig`: who, which action units -> geometry), the
renderer (`Renderer`: geometry -> luminance or RGB), the script (`Script`: emotions over time -> action units,
valence, arousal). `make_clip` puts them together.
"""

from spikeva.faces.action_units import ACTION_UNITS
from spikeva.faces.clip import PRESETS, FaceClip, make_clip, pixel
from spikeva.faces.identity import DOMAINS, Identity, draw_identity
from spikeva.faces.render import Pose, Renderer, Scene
from spikeva.faces.rig import Rig, build_rig
from spikeva.faces.script import ANCHORS, EMOTIONS, STATES, Script, expression

__all__ = [
    "ACTION_UNITS",
    "ANCHORS",
    "DOMAINS",
    "EMOTIONS",
    "PRESETS",
    "STATES",
    "FaceClip",
    "Identity",
    "Pose",
    "Renderer",
    "Rig",
    "Scene",
    "Script",
    "build_rig",
    "draw_identity",
    "expression",
    "make_clip",
    "pixel",
]
