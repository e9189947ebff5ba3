"""What every model holds."""

import copy
import io
import pickle
from typing import Any

import torch
from torch import Tensor, nn

from spikeva.errors import UserError
from spikeva.models import create_model


def _close(a: Tensor, b: Tensor) -> bool:
    """Equal but for the order in which a convolution adds, which depends on the batch."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def check_model(
    name: str, *, in_channels: int = 2, time: int = 4, size: tuple[int, int] = (32, 32), **arguments: Any
) -> None:
    """Raise AssertionError unless the registered model `name` keeps the contract of models.

    Built with `in_channels` and `arguments`, on inputs [B, `time`, in_channels, *size] (height, width): predictions
    [B, 2], finite, in the input's dtype; a finite gradient for every parameter; in eval mode predictions that depend on
    the newest time step, the same result twice, for a batch and its samples one by one, and for any memory layout;
    pickle, deepcopy and state_dict give the same model; a few steps of training lower the loss; unknown arguments and
    wrong shapes are refused. A model with `steps` gives the same in two parts with the state carried.
    """
    batch = torch.rand(3, time, in_channels, *size, generator=torch.Generator().manual_seed(0))
    batch = batch * (batch < 0.3)  # sparse, as events are
    before = batch.clone()

    def build() -> nn.Module:
        torch.manual_seed(0)
        return create_model(name, in_channels=in_channels, **arguments)

    _refuses(name, in_channels, arguments, build(), batch)
    _gradients(name, build(), batch)
    _learns(name, build(), batch)
    model = build()
    with torch.no_grad():
        for _ in range(50):
            model(batch)  # BatchNorm's running statistics: far from them, deep spiking layers are silent in eval mode
        _deterministic(name, model.eval(), batch)
        _newest(name, model, batch)
        _copies(name, model, build(), batch)
        _steps(name, model, batch)
    assert torch.equal(batch, before), f"{name}: a call changed its input"


def _gradients(name: str, model: nn.Module, batch: Tensor) -> None:
    out = model.train()(batch)
    assert out.shape == (len(batch), 2), f"{name}: predictions must be [B, 2], got {list(out.shape)}"
    assert out.dtype == batch.dtype, f"{name}: predictions must be {batch.dtype}, got {out.dtype}"
    assert bool(out.isfinite().all()), f"{name}: predictions must be finite"
    out.square().sum().backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, f"{name}: no gradient reaches {parameter}"
        assert bool(value.grad.isfinite().all()), f"{name}: the gradient of {parameter} is not finite"


def _deterministic(name: str, model: nn.Module, batch: Tensor) -> None:
    out = model(batch)
    assert torch.equal(model(batch), out), f"{name}: the same call twice gives two results in eval mode"
    single = torch.cat([model(sample[None]) for sample in batch])
    assert _close(single, out), f"{name}: a batch is not its samples one by one in eval mode"
    strided = batch.transpose(0, 1).contiguous().transpose(0, 1)
    assert _close(model(strided), out), f"{name}: the result depends on the memory layout"


def _newest(name: str, model: nn.Module, batch: Tensor) -> None:
    """In eval mode: in train mode BatchNorm hands a frame on to all others, and dropout differs by itself."""
    other = torch.cat([batch[:, :-1], 1 - batch[:, -1:]], 1)
    same = torch.equal(model(other), model(batch))
    assert not same, f"{name}: the newest time step has no influence on the prediction in eval mode"


def _copies(name: str, model: nn.Module, fresh: nn.Module, batch: Tensor) -> None:
    out = model(batch)
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    fresh.load_state_dict(torch.load(saved, weights_only=True))
    for made in (fresh.eval(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(made(batch), out), f"{name}: a copy, or a model with its state_dict, gives another result"


def _learns(name: str, model: nn.Module, batch: Tensor) -> None:
    target = torch.tensor([[0.5, -0.5], [-0.4, 0.3], [0.1, 0.7]])
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = nn.functional.mse_loss(model(batch), target)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
        optimizer.step()
    assert min(losses) < 0.7 * losses[0], (
        f"{name}: 20 steps of training leave the loss at {min(losses):.3g} of {losses[0]:.3g}"
    )


def _steps(name: str, model: nn.Module, batch: Tensor) -> None:
    steps = getattr(model, "steps", None)
    if steps is None:
        return
    x = batch.transpose(0, 1)
    whole, _ = steps(x)
    assert _close(whole[-1], model(batch)), f"{name}: the last of `steps` is not the prediction"
    cut = len(x) // 2
    if not cut:
        return  # one step has no two parts
    first, state = steps(x[:cut])
    second, _ = steps(x[cut:], state)
    parts = torch.cat([first, second])
    assert _close(parts, whole), f"{name}: two parts with the state carried are not the whole"


def _refuses(name: str, in_channels: int, arguments: dict[str, Any], model: nn.Module, batch: Tensor) -> None:
    said = ""
    try:
        create_model(name, in_channels=in_channels, no_such_argument=1, **arguments)
    except UserError as error:
        said = str(error)
    assert "no_such_argument" in said, (
        f"{name}: an unknown argument must raise a UserError that names it, got: {said!r}"
    )
    said = "nothing was raised"
    try:
        model(batch[0])
    except ValueError:
        return
    except Exception as error:
        said = f"got {type(error).__name__}: {error}"
    raise AssertionError(f"{name}: an input without a batch axis, [T, C, H, W], must raise ValueError; {said}")
