"""What results are said to be computed with."""

import pytest
import torch

from spikeva.study.config import TrainerOptions
from spikeva.study.environment import device, environment


@pytest.mark.parametrize(
    ("accelerator", "there", "used"),
    [
        ("auto", True, "cuda"),
        ("gpu", True, "cuda"),
        ("cpu", True, "cpu"),
        ("auto", False, "cpu"),
        ("gpu", False, "cpu"),
    ],
)
def test_the_device_is_the_one_that_a_study_takes(monkeypatch, accelerator, there, used):
    """A study may stay on the CPU of a machine with a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: "H100")
    assert device(accelerator) == used
    assert environment(accelerator)["device"] == {"cuda": "H100", "cpu": "cpu"}[used]


@pytest.mark.parametrize(
    ("devices", "current", "used"),
    [
        (1, 0, "cuda"),
        ([1], 0, "cuda:1"),
        ("1,", 0, "cuda:1"),
        ([1, 2], 0, "cuda:1"),
        ("0,2", 0, "cuda"),
        ([1], 1, "cuda"),
        ([1, 2], 2, "cuda"),
        ([3], 0, "cuda"),
    ],
)
def test_a_cell_whose_training_was_before_is_scored_on_a_gpu_of_its_study(monkeypatch, devices, current, used):
    """A training makes its GPU the current one; of a cell that was trained elsewhere, the machine may not have it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: f"name of {where}")
    trainer = TrainerOptions(accelerator="gpu", devices=devices)
    assert device(trainer.accelerator, trainer.devices) == used
    assert environment(trainer.accelerator, trainer.devices)["device"] == f"name of {used}"
