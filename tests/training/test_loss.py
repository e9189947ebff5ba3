"""The losses against their definitions."""

import pytest
import torch

from spikeva.errors import UserError
from spikeva.evaluation.metrics import regression
from spikeva.training.loss import LOSSES, create_loss


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(32, 2, generator=generator) * 2 - 1
    return 0.5 * target + 0.2 * torch.randn(32, 2, generator=generator) + 0.1, target


def terms(prediction, target):
    """MSE, 1 - PCC and 1 - CCC, the last two averaged over valence and arousal."""
    each = [regression(target[:, i].numpy(), prediction[:, i].numpy()) for i in range(2)]
    mse = sum(m["rmse"] ** 2 for m in each) / 2
    return mse, 1 - sum(m["pcc"] for m in each) / 2, 1 - sum(m["ccc"] for m in each) / 2


def test_terms_and_their_sums(batch):
    mse, pcc, ccc = terms(*batch)
    assert create_loss("mse")(*batch).item() == pytest.approx(mse, abs=1e-5)
    assert create_loss("ccc")(*batch).item() == pytest.approx(ccc, abs=1e-5)
    assert create_loss("mse+ccc")(*batch).item() == pytest.approx(mse + ccc, abs=1e-5)
    assert create_loss("mse+pcc+ccc")(*batch).item() == pytest.approx(mse + pcc + ccc, abs=1e-5)


def test_emonet_draws_the_weights_of_each_step_from_torchs_seed(batch):
    loss = create_loss("emonet")
    torch.manual_seed(5)
    weights = torch.rand(3)
    torch.manual_seed(5)
    expected = sum(w * t for w, t in zip((weights / weights.sum()).tolist(), terms(*batch), strict=True))
    assert loss(*batch).item() == pytest.approx(expected, abs=1e-5)
    assert loss(*batch).item() != pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_and_lead_downhill_even_from_a_constant(name, batch):
    loss = create_loss(name)
    for start in (batch[0], torch.zeros(32, 2), torch.zeros(1, 2)):
        prediction = start.clone().requires_grad_()
        target = batch[1][: len(start)]
        torch.manual_seed(0)
        before = loss(prediction, target)
        before.backward()
        assert prediction.grad.isfinite().all()
        torch.manual_seed(0)
        if name != "ccc" or len(start) > 1:  # one sample has no correlation
            assert loss(prediction.detach() - 1e-3 * prediction.grad, target) < before


def test_unknown_loss_lists_the_names():
    with pytest.raises(UserError, match=r"unknown loss 'mse\+cc'; did you mean 'mse\+ccc'"):
        create_loss("mse+cc")
