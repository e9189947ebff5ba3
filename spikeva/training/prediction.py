"""Predictions of a trained model on every sample of some clips."""

from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from spikeva.progress import stage
from spikeva.training.data import Windows
from spikeva.training.memory import keep_freed


@torch.no_grad()
def predict(
    model: nn.Module,
    data: Windows,
    *,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
    workers: int = 0,
    name: str = "evaluate",
) -> NDArray[np.float32]:
    """(valence, arousal) [N, 2] for the samples of `data`, in their order; `model` is left in evaluation mode.

    `workers` processes encode the samples (0: this one does); they change no bit.
    """
    keep_freed()
    model.eval().to(device)
    data = copy(data)
    data.in_order = True
    on_gpu = torch.device(device).type == "cuda"
    loader = DataLoader(data, batch_size, num_workers=workers, pin_memory=on_gpu)
    found = []
    with stage(name, len(data)) as bar:
        for inputs, _ in loader:
            found.append(model(inputs.to(device)).float().cpu().numpy())
            bar.advance(len(inputs))
    data.close()
    return np.concatenate(found)
