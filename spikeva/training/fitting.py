"""Training that can be killed at any time and ends with the same bits."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from io import BytesIO
from operator import index
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader

from spikeva._atomic import whole_file
from spikeva.errors import UserError
from spikeva.progress import Stage, stage
from spikeva.training.data import EpochSampler, Windows
from spikeva.training.memory import keep_freed
from spikeva.training.module import Regression, settings_of


def _quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


class _Bar(lightning.Callback):
    """Our progress bar, a step of the optimiser at a time; shown by the process that trains on the first device."""

    def __init__(self, name: str, done: int) -> None:
        self.name, self.done = name, done
        self.bar: Stage | None = None
        self.shown: ExitStack | None = None  # not here: it would have to travel to processes that are spawned

    def setup(self, *_: object, **__: object) -> None:
        _quiet()  # a process that was spawned does not know yet

    def on_train_start(self, trainer: lightning.Trainer, module: Regression) -> None:
        if trainer.is_global_zero:
            self.shown = ExitStack()
            self.bar = self.shown.enter_context(stage(self.name, module.total_steps, self.done))

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Regression, *_: object) -> None:
        if self.bar is None:
            return
        recent = module.history[-20:]
        self.bar.note(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {sum(recent) / len(recent):.3f}")
        self.bar.advance(trainer.global_step - self.done)
        self.done = trainer.global_step

    def on_train_end(self, *_: object) -> None:
        if self.shown is not None:
            self.shown.close()

    on_exception = on_train_end


class _Checkpoint(lightning.Callback):
    """Writes the state of the run at the end of each epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class _WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its name; Lightning does by way of the folder for temporary files, which may have no room."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = BytesIO()  # torch's own writer makes another error of a full disk
        torch.save(checkpoint, content)
        with whole_file(path) as part:
            part.write_bytes(content.getvalue())


class _Share(lightning.Callback):
    """Tells the sampler which device this is, before workers ask it for samples: Lightning's own would not know the epoch yet."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def setup(self, trainer: lightning.Trainer, *_: object, **__: object) -> None:
        self.sampler.share = trainer.global_rank, trainer.world_size


def batches(
    data: Windows, training: Mapping[str, Any], seed: int, epoch: int = 0, pin_memory: bool = False
) -> DataLoader[Any]:
    """The training samples in batches, from `epoch` on, epoch after epoch; `pin_memory` for a GPU."""
    sampler = EpochSampler(data, training["samples_per_clip"], seed)
    sampler.set_epoch(epoch)  # workers draw the first epoch's samples before Lightning says which epoch it is
    workers = training.get("workers", 0)
    return DataLoader(
        data,
        training["batch_size"],
        sampler=sampler,
        drop_last=len(sampler) >= training["batch_size"],  # a last batch of one would break batch statistics
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def count_devices(trainer: Mapping[str, Any]) -> int:
    """How many devices, of all nodes, share a training under options for `lightning.Trainer`.

    Raises UserError where this machine does not have them.
    """
    engine = _engine(trainer)
    return int(engine.num_devices * engine.num_nodes)


def own_device(trainer: Mapping[str, Any]) -> torch.device:
    """The device on which this process trains under options for `lightning.Trainer`.

    Raises UserError as `count_devices` does.
    """
    return _engine(trainer).strategy.root_device


def step_context(trainer: Mapping[str, Any]) -> Callable[[], AbstractContextManager[None]]:
    """Makes the context of a training step's forward pass under options for `lightning.Trainer`: its `precision`.

    Raises UserError as `count_devices` does.
    """
    return _engine(trainer).precision_plugin.train_step_context


def _engine(options: Mapping[str, Any], **own: Any) -> lightning.Trainer:
    _quiet()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")  # who asks for a CPU means it
            return lightning.Trainer(
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                plugins=[*_cluster(options), _WholeFiles()],
                **own,
                **options,
            )
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        asked = ", ".join(f"{key}: {value}" for key, value in options.items())
        raise UserError(f"trainer: {{{asked}}} is refused on this machine ({error})") from error


def _cluster(options: Mapping[str, Any]) -> list[Any]:
    """Who says which processes train together: of one device none do, whatever a cluster's variables say.

    Never Lightning's requeueing under SLURM, which saves a training in the middle of an epoch for any other to begin with.
    """
    devices = options.get("devices")
    if isinstance(devices, str) and "," in devices:
        devices = [number for number in devices.split(",") if number]  # "0," is [0]
    one = devices in (1, "1") or (isinstance(devices, list) and len(devices) == 1)
    if one and options.get("num_nodes", 1) == 1:
        return [LightningEnvironment()]
    slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if slurm else []


def count_steps(loader: DataLoader[Any], training: Mapping[str, Any], devices: int = 1) -> int:
    """Steps of the optimiser in the whole training, where each of `devices` has its share of an epoch's samples."""
    samples = math.ceil(len(loader.sampler) / devices)  # type: ignore[arg-type]  # an EpochSampler
    size = training["batch_size"]
    steps = int(training["epochs"]) * (samples // size if loader.drop_last else math.ceil(samples / size))
    return min(steps, training["max_steps"]) if training.get("max_steps") else steps


def _state(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds: tensors and plain values, so that another's runs no code. Raises UserError where it cannot be read."""
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        what = (str(error).splitlines() or ["empty"])[0]
        raise UserError(f"{checkpoint} cannot be read ({what}); delete it, and the training begins anew") from error
    return state


def fit(
    model: nn.Module,
    data: Windows,
    training: Mapping[str, Any],
    *,
    checkpoint: Path | str,
    seed: int,
    trainer: Mapping[str, Any] | None = None,
    name: str = "train",
) -> list[float]:
    """The loss of every batch (of several devices, on the first); `model` is trained in place, all of it in training mode.

    Args:
        training: `epochs`, `max_steps` (or None), `samples_per_clip`, `batch_size`, `learning_rate`, `weight_decay`,
            `loss` (a name of `spikeva.training.loss`), `workers`.
        checkpoint: where the state of the run is kept; if it exists, training goes on from it.
        seed: order of samples, augmentation, dropout and random weights of the loss follow from it.
        trainer: options for `lightning.Trainer` (accelerator, devices, precision, ...).
        name: of the progress bar.

    Raises:
        Diverged: the loss is not finite.
        UserError: a setting is missing, the checkpoint is damaged or of a training with others, or this machine lacks the devices.
    """
    keep_freed()
    trainer = trainer or {}
    checkpoint, seed = Path(checkpoint), index(seed)  # a checkpoint holds plain values
    training = {name: value.item() if isinstance(value, np.generic) else value for name, value in training.items()}
    settings = settings_of(training, seed, trainer)
    state: dict[str, Any] = _state(checkpoint) if checkpoint.exists() else {"epoch": -1, "global_step": 0}
    there = state.get("settings", settings)
    if there != settings:
        other = ", ".join(k for k in {**there, **settings} if there.get(k) != settings.get(k))
        raise UserError(f"{checkpoint} is of a training with other settings ({other}); delete it or name another file")
    on_gpu = own_device(trainer).type == "cuda"
    loader = batches(data, training, seed, epoch=state["epoch"] + 1, pin_memory=on_gpu)
    steps = count_steps(loader, training)
    module = Regression(model.train(), training, steps, seed=seed)  # Lightning trains in the mode it finds
    module.settings = settings
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # encoding takes microseconds
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning on recent torch
        warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # one process needs none
        engine = _engine(
            trainer,
            max_epochs=training["epochs"],
            callbacks=[
                _Bar(name, state["global_step"]),
                _Checkpoint(checkpoint),
                _Share(loader.sampler),  # type: ignore[arg-type]  # an EpochSampler
            ],
            use_distributed_sampler=False,
            default_root_dir=checkpoint.parent,  # where Lightning looks for what a requeued job of SLURM left
        )
        try:
            engine.fit(module, loader, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
        except SystemExit as stop:  # Lightning makes one of Ctrl-C
            raise KeyboardInterrupt from stop
    data.close()
    return module.history or list(_state(checkpoint)["history"])  # of another process
