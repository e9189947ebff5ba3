"""The Lightning module: a plain model, a loss, AdamW under a one-cycle schedule."""

import math
from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn

from spikeva.errors import UserError
from spikeva.training.loss import create_loss

NEEDED = ("epochs", "samples_per_clip", "batch_size", "learning_rate", "weight_decay", "loss")


def settings_of(training: Mapping[str, Any], seed: int, trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What a training's result depends on, beside the data. Raises UserError where a setting is missing."""
    missing = [name for name in NEEDED if name not in training]
    if missing:
        raise UserError(f"training settings lack {', '.join(missing)}; needed are {', '.join(NEEDED)}")
    own = {name: value for name, value in training.items() if name != "workers"} | {"seed": seed}
    return own | {f"trainer.{name}": value for name, value in trainer.items()}


class Diverged(UserError, FloatingPointError):
    """A training whose loss is not finite: its settings must change."""


class Regression(lightning.LightningModule):
    """Trains `model` ([B, T, C, H, W] -> [B, 2]) on valence and arousal.

    AdamW's rate rises by a cosine from a 25th of `learning_rate` to it in a quarter of the steps, then falls to a 250,000th; its
    beta1 falls from 0.95 to 0.85 meanwhile, then rises again. Weight decay is of parameters with two axes or more alone.

    The random state of a batch is a function of the seed and of the batch's number among those of all devices, so that a resumed
    run takes the same steps as one that was never stopped: a checkpoint holds no generator's state.
    """

    def __init__(self, model: nn.Module, training: Mapping[str, Any], steps: int, *, seed: int) -> None:
        """`model` under the settings of a study's `training` block, for so many steps."""
        super().__init__()
        self.model, self.loss = model, create_loss(training["loss"])
        self.learning_rate, self.weight_decay = training["learning_rate"], training["weight_decay"]
        self.total_steps, self.seed = steps, seed
        self.settings: dict[str, Any] = {}  # stored beside the weights
        self.history: list[float] = []

    def setup(self, stage: str) -> None:
        """Limits the steps to those of the optimiser: several devices share the batches, gradients may be accumulated.

        cuDNN is kept to algorithms that give the same bits every time.
        """
        torch.backends.cudnn.deterministic = True
        possible = int(self.trainer.estimated_stepping_batches)
        if possible < 1:
            raise UserError(
                f"an epoch has no batch for each of {self.trainer.world_size} devices; lower training.batch_size"
            )
        self.total_steps = min(self.total_steps, possible)
        # Not Lightning's max_steps, under which it takes a checkpoint of an epoch's end for one inside an epoch.
        in_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        self.trainer.fit_loop.max_epochs = math.ceil(self.total_steps / in_epoch)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> int | None:
        if self.global_step >= self.total_steps:
            return -1  # leaves the epoch
        number = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        mixed = np.random.SeedSequence([self.seed, number * self.trainer.world_size + self.global_rank])
        torch.manual_seed(int(mixed.generate_state(1)[0]))  # 32 bits: on a CPU, torch looks at no others
        return None

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        inputs, targets = batch
        predicted = self.model(inputs)
        if predicted.shape != targets.shape:
            raise ValueError(
                f"a model gives [B, 2], valence and arousal: expected {list(targets.shape)}, got {list(predicted.shape)}"
            )
        loss = self.loss(predicted, targets)
        if not torch.isfinite(loss):
            raise Diverged(f"the loss is {loss.item()} at step {self.global_step}; lower training.learning_rate")
        self.history.append(float(loss.detach()))
        return loss

    @torch.no_grad()
    def on_train_end(self) -> None:
        """Leaves every device with the first one's running statistics and losses, which each has gathered of its own batches."""
        ours = [buffer.cpu() for buffer in self.model.buffers()]
        first, self.history = self.trainer.strategy.broadcast((ours, self.history))
        for buffer, value in zip(self.model.buffers(), first, strict=True):
            buffer.copy_(value)

    def configure_optimizers(self) -> dict[str, Any]:
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        kept = [p for p in self.model.parameters() if p.ndim <= 1]  # biases, norms, time constants, thresholds
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.weight_decay}, {"params": kept, "weight_decay": 0.0}],
            lr=self.learning_rate,
        )
        rise = 0.25 if self.total_steps != 4 else 0.26  # a rise of one step exactly is a division by 0 in torch
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=self.total_steps, pct_start=rise
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: torch.optim.lr_scheduler.LRScheduler, metric: object) -> None:
        if scheduler.last_epoch < self.total_steps:  # Lightning steps once more where an epoch is left early
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        checkpoint["history"], checkpoint["settings"] = list(self.history), self.settings

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        self.history = list(checkpoint["history"])  # type: ignore[call-overload]  # written above
