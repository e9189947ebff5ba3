"""What results are said to be computed with."""

import pytest
import torch

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
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    assert device(accelerator) == used
    assert environment(accelerator)["device"] == {"cuda": "H100", "cpu": "cpu"}[used]
