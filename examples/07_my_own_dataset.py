"""My own dataset in 20 lines: write one event clip for each recording, and studies and training loops can use the folder.

Run: python examples/07_my_own_dataset.py [folder for the results]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

import spikeva
from spikeva import faces
from spikeva.datasets import ClipSet
from spikeva.events import write_clip
from spikeva.training.data import Windows

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
(out / "my_dataset").mkdir(parents=True, exist_ok=True)

# Yours: frames or events of each recording, and its labels with their times. Here: rendered faces (synthetic).
for person in range(4):
    for number in range(2):
        mine = faces.make_clip("afew-va-like", identity=person, clip=number, size=48, seconds=0.64, fps=50)
        events = spikeva.simulate(mine.frames, mine.times, "clean", seed=person)  # or spikeva.read_events(file)
        write_clip(
            out / "my_dataset" / f"p{person}_{number}.h5",
            events,
            labels={
                "t_us": np.rint(mine.label_times * 1e6).astype(np.int64),
                "valence": mine.valence,  # float32 in [-1, 1]
                "arousal": mine.arousal,
            },
            attributes={"subject": f"p{person}", "clip": str(number), "domain": "my-dataset", "synthetic": 1},
        )

clips = ClipSet.read(out / "my_dataset")
folds = clips.folds(2)  # nobody on both sides
samples = Windows(folds[0].train.paths, {"encoding": "tbr", "bits": 4, "dt": 10_000}, "ann", frames=4)
print(f"{len(clips)} clips of {len(clips.subjects)} people; fold 0 trains on {folds[0].train.subjects}")
print(
    f"{len(samples)} samples of shape {tuple(samples[0][0].shape)}; in a config: {{dataset: prepared, root: {out}/my_dataset}}"
)

figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
for ax, index in zip(axes, np.linspace(0, len(samples) - 1, 4).astype(int), strict=True):
    x, (valence, arousal) = samples[int(index)]
    ax.imshow(x[:, 0].amax(0).numpy(), cmap="gray", vmin=0, vmax=1)  # the four TBR frames, the brightest of each pixel
    ax.set_title(f"valence {valence:+.2f}\narousal {arousal:+.2f} (synthetic)", fontsize=9)
    ax.set_axis_off()
figure.savefig(out / "07_my_own_dataset.png", dpi=120)
print(out / "07_my_own_dataset.png")
