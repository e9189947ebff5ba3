"""The public checks pass over the registries, and each finds what it is for."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikeva.datasets import ClipSet
from spikeva.encode import Encoding, list_encodings, register_encoding
from spikeva.encode.base import REGISTRY
from spikeva.encode.counts import Counts
from spikeva.encode.tbr import TBR
from spikeva.events import EventFileError, EventStream, write_clip
from spikeva.models import MODELS, register_model
from spikeva.models.ann.checks import check_input
from spikeva.neurons import NEURONS, Neuron, register_neuron
from spikeva.neurons.lif import LIF
from spikeva.testing import check_dataset, check_encoding, check_model, check_neuron
from spikeva.testing.neuron import Case, compiles


class Doubled(LIF):
    """A LIF on twice its input."""

    @staticmethod
    def step(x: Any, state: Any, p: Any, rule: Any) -> Any:
        return LIF.step(2 * x, state, p, rule)

    def __init__(self, beta: float = 0.9, **options: Any) -> None:
        super().__init__(beta, **options)


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for registry in (NEURONS, MODELS, REGISTRY):
        for name in registry.names():  # a module registers its names once, when it is imported
            registry.get(name)
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.mark.parametrize("name", list_encodings())
def test_every_encoding_keeps_the_contract(name: str) -> None:
    check_encoding(name)


def test_an_encoding_that_sees_the_future_is_found() -> None:
    @register_encoding("test_future")
    class Future(Encoding):
        @property
        def grid(self) -> tuple[int, int]:
            return 1, 1000

        def encode(self, events: EventStream, edges: NDArray[Any], bounds: NDArray[Any]) -> NDArray[Any]:
            counts = np.zeros((len(edges), 2, events.size[1], events.size[0]), np.uint16)
            for k, (start, _) in enumerate(bounds):
                np.add.at(counts[k], (events.p[start:], events.y[start:], events.x[start:]), 1)
            return counts

    with pytest.raises(AssertionError, match="depends on events outside its span"):
        check_encoding("test_future")


def _windows(encoding: Counts, events: EventStream, edges: NDArray[Any], bounds: NDArray[Any]) -> NDArray[Any]:
    return Counts.encode(encoding, events, edges, bounds)


def _made(base: type[Encoding], parts: dict[str, Any]) -> Any:
    return type("Flawed", (base,), {"__module__": __name__, **parts})


@pytest.mark.parametrize(
    ("part", "flaw", "said"),
    [
        ("encode", lambda *given: _windows(*given)[:, :, :1], "announced .*, made"),
        ("encode", lambda *given: 0 * _windows(*given), "events inside a window leave no trace"),
        ("encode", lambda *given: _windows(*given) + np.uint32(given[2].max(initial=0) % 2), "outside its span, or on"),
        ("encode", lambda *given: _windows(*given) + given[2][:, :1, None, None, None] % 2, "where time starts"),
        ("encode", lambda *given: np.resize(_windows(*given), (max(1, len(given[2])), 1, 2, 10, 12)), "no window must"),
        ("scale", lambda _, array: array.astype(np.float64), "a network gets float32, not float64"),
        ("scale", lambda _, array: np.full(array.shape, np.inf, np.float32), "a network gets finite numbers"),
        ("scale", lambda _, array: array.astype(np.float32) / len(array), "a leading batch axis must pass through"),
        ("encode", lambda *given: _windows(*given)[: given[1].t.size], r"without events it makes \(0, 1, 2, 10, 12\)"),
        ("grid", property(lambda _: (0, 1000)), "a window must have a length, got 0 us"),
    ],
)
def test_a_flawed_encoding_is_found(part: str, flaw: Any, said: str) -> None:
    register_encoding("test_flawed")(_made(Counts, {part: flaw}))
    with pytest.raises(AssertionError, match=f"test_flawed: .*{said}"):
        check_encoding("test_flawed")


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        (lambda array: array[:, :1], r"ann gets \(3, 1, 10, 12\), announced 2 channels"),
        (lambda array: array[:1], "the input of an ann has 240 numbers, the array 720"),
    ],
)
def test_an_encoding_whose_input_is_another_than_announced_is_found(flaw: Any, said: str) -> None:
    scale = {"scale": lambda _, array: flaw(array).astype(np.float32)}
    register_encoding("test_flawed")(_made(TBR, scale))
    with pytest.raises(AssertionError, match=f"test_flawed: {said}"):
        check_encoding("test_flawed", polarity="split")


def test_an_encoding_with_a_parameter_that_no_json_holds_is_found() -> None:
    phase = {"__annotations__": {"phase": complex}, "phase": 1j}
    register_encoding("test_complex")(dataclass(frozen=True)(_made(Counts, phase)))
    with pytest.raises(AssertionError, match=r"test_complex: its parameters must be told in JSON: .*complex"):
        check_encoding("test_complex")


def test_a_neuron_that_remembers_is_found() -> None:
    @register_neuron("test_remembers")
    class Remembers(LIF):
        """Goes on from where the last call ended."""

        kept = None

        def __init__(self, beta: float = 0.9, **options: Any) -> None:
            super().__init__(beta, **options)

        def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None) -> Any:
            out, self.kept = super().forward(x, self.kept if state is None else state, norm)
            return out, self.kept

    with pytest.raises(AssertionError, match="neuron 'test_remembers'"):
        check_neuron("test_remembers")


class Wrong(LIF):
    """A LIF that is right in the usual call, to be made wrong in another."""

    def __init__(self, beta: float = 0.9, **options: Any) -> None:
        super().__init__(beta, **options)


class CutsTheState(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None, shortcut: Any = None) -> Any:
        return super().forward(x, state if state is None else tuple(s.detach() for s in state), norm, shortcut)


class DropsTheShortcut(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None, shortcut: Any = None) -> Any:
        return super().forward(x, state, norm)


class SilentForOneStep(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None, shortcut: Any = None) -> Any:
        out, state = super().forward(x, state, norm, shortcut)
        return (out * 0 if len(x) == 1 else out), state


class AnotherInEvalMode(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None, shortcut: Any = None) -> Any:
        return super().forward(x if self.training else 0.9 * x, state, norm, shortcut)


class AnotherOnFlatInput(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, norm: Any = None, shortcut: Any = None) -> Any:
        return super().forward(2 * x if x.ndim == 3 else x, state, norm, shortcut)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (CutsTheState, "off by .* from a given state"),
        (DropsTheShortcut, "spikes differ .* with a shortcut"),
        (SilentForOneStep, "spikes differ .* for one step"),
        (AnotherInEvalMode, "spikes differ .* in eval mode"),
        (AnotherOnFlatInput, r"spikes differ .* on \[T, B, C\]"),
    ],
)
def test_a_neuron_wrong_in_one_kind_of_call_is_found(kind: type[Wrong], said: str) -> None:
    register_neuron("test_wrong")(kind)
    with pytest.raises(AssertionError, match=said):
        check_neuron("test_wrong")


class NarrowOut(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, *rest, **more)
        return out.float(), state


class NarrowState(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, *rest, **more)
        return out, tuple(s.to(x.dtype) for s in state)


class TwoStatesInDouble(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, *rest, **more)
        return out, state * 2 if x.dtype == torch.float64 else state


class GradedInDouble(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, *rest, **more)
        return (0.5 * out if x.dtype == torch.float64 else out), state


class RestsWithoutGradient(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, *rest: Any, **more: Any) -> Any:
        return super().forward(x, state if x.requires_grad else None, *rest, **more)


class EndsElsewhereInPart(Wrong):
    def forward(self, x: torch.Tensor, given: Any = None, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, given, *rest, **more)
        return out, state if given is None or x.requires_grad else tuple(s + 1 for s in state)


class OverTheBatch(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(x if x.requires_grad else x - x.mean(1, keepdim=True), *rest, **more)


class NeverEmpty(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(x if x.shape[1] else x.new_zeros(len(x), 1, *x.shape[2:]), *rest, **more)


class WritesTheState(Wrong):
    def forward(self, x: torch.Tensor, given: Any = None, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, given, *rest, **more)
        if given is not None and not x.requires_grad:
            given[0].copy_(state[0])
        return out, state


class KnowsTheState(Wrong):
    last = None

    def forward(self, x: torch.Tensor, state: Any = None, *rest: Any, **more: Any) -> Any:
        again, self.last = state is not None and state is self.last, state
        return super().forward(0.5 * x if again else x, state, *rest, **more)


class ReadsMemory(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(x if x.stride(0) > x.stride(1) else x.flip(1), *rest, **more)


class RoundsItsInput(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(x * 1.1 if x.dtype == torch.bfloat16 else x, *rest, **more)


class CopiedAnew(Wrong):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.beta *= 0.5


class CountsInIntegers(Wrong):
    def __init__(self, beta: float = 0.9, **options: Any) -> None:
        super().__init__(beta, **options)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))


class KeepsAll(Wrong):
    all: ClassVar[list[Any]] = []

    def __init__(self, beta: float = 0.9, **options: Any) -> None:
        super().__init__(beta, **options)
        self.all.append(self)


class TakesIntegers(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(x if x.is_floating_point() else x.float(), *rest, **more)


class TakesNoStep(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, *rest: Any, **more: Any) -> Any:
        return super().forward(x, state, *rest, **more) if len(x) else (x, state)


class SpreadsTheState(Wrong):
    def forward(self, x: torch.Tensor, state: Any = None, *rest: Any, **more: Any) -> Any:
        return super().forward(x, state and tuple(s.expand(x.shape[1:]) for s in state), *rest, **more)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NarrowOut, r"got torch.float32 \[.*\] for torch.float64"),
        (NarrowState, "a state must be torch.float32 for torch.bfloat16"),
        (TwoStatesInDouble, "2 states, STATES names 1"),
        (GradedInDouble, "a spike is 0 or 1"),
        (RestsWithoutGradient, "two parts with the state carried are not the whole"),
        (EndsElsewhereInPart, "two parts end in another state"),
        (OverTheBatch, "a batch is not its samples one by one"),
        (NeverEmpty, r"an empty batch gives \[10, 1, "),
        (WritesTheState, "a call changed its input or its state"),
        (KnowsTheState, "the same call twice gives two results"),
        (ReadsMemory, "the result depends on the memory layout"),
        (RoundsItsInput, "bfloat16 input gives other spikes than in float32"),
        (CopiedAnew, "a copy gives another result"),
        (CountsInIntegers, r"\.to\(float64\) left something"),
        (KeepsAll, "of 100 deleted neurons .* modules are alive"),
        (TakesIntegers, "integers must raise UserError"),
        (TakesNoStep, "no time step must raise UserError"),
        (SpreadsTheState, "a state of another shape must raise UserError"),
    ],
)
def test_a_flawed_neuron_is_found(kind: type[Wrong], said: str) -> None:
    register_neuron("test_wrong")(kind)
    with pytest.raises(AssertionError, match=said):
        check_neuron("test_wrong")


def test_a_silent_neuron_is_found() -> None:
    with pytest.raises(AssertionError, match="silent or always firing"):
        check_neuron("lif", theta=1000.0)


class AnotherInAGraph(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return super().forward(0.9 * x if torch.compiler.is_compiling() else x, *rest, **more)


class CutInAGraph(Wrong):
    def forward(self, x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        out, state = super().forward(x, *rest, **more)
        return out, tuple(s.detach() for s in state) if torch.compiler.is_compiling() else state


@pytest.mark.parametrize(("kind", "said"), [(AnotherInAGraph, "other spikes"), (CutInAGraph, "another gradient")])
def test_a_neuron_that_is_another_when_compiled_is_found(kind: type[Wrong], said: str) -> None:
    register_neuron("test_wrong")(kind)
    with pytest.raises(AssertionError, match=f"compiled, it gives {said}"):
        compiles(Case("test_wrong", "fused", {}))


def test_a_subclass_with_another_step_gets_no_kernel_of_its_base() -> None:
    register_neuron("test_doubled")(Doubled)
    check_neuron("test_doubled")


def test_a_model_that_looks_at_the_oldest_frame_is_found() -> None:
    @register_model("ann_oldest")
    class Oldest(torch.nn.Module):
        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.ndim != 5:
                raise ValueError("a model takes [B, T, C, H, W]")
            return self.net(x[:, 0])

    with pytest.raises(AssertionError, match="newest time step has no influence"):
        check_model("ann_oldest")


class Newest(torch.nn.Module):
    """A good model, whose BatchNorm sees all frames."""

    frame = -1

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, 8, 3, 2, 1)
        self.norm, self.head = torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x)
        features = self.norm(self.conv(x.flatten(0, 1))).relu().mean((-2, -1)).unflatten(0, x.shape[:2])
        return self.head(features[:, self.frame])


class OldestUnderBatchNorm(Newest):
    frame = 0


class OldestUnderDropout(OldestUnderBatchNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().forward(x[:, :1]), 0.01, self.training)


@pytest.mark.parametrize("kind", [OldestUnderBatchNorm, OldestUnderDropout])
def test_a_model_that_only_seems_to_look_at_the_newest_frame_is_found(kind: type[Newest]) -> None:
    register_model("ann_oldest")(kind)
    with pytest.raises(AssertionError, match="newest time step has no influence"):
        check_model("ann_oldest")


class Nothing(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * torch.nan


class Double(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).double()


class Unused(Newest):
    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.spare = torch.nn.Parameter(torch.zeros(1))


class Stiff(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1e-4 * super().forward(x)


class Root(Newest):
    """Begins where a root has no slope."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.spare = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.spare.sqrt()


class TakesAnyArgument(Newest):
    def __init__(self, in_channels: int, **rest: Any) -> None:
        super().__init__(in_channels)


class ReadsMemoryOfModels(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x)
        return super().forward(x if x.stride(0) > x.stride(1) else x.flip(0))


class Rolls(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0.01 * torch.rand(len(x), 2)


class Clamps(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_input(x)
        return super().forward(x.clamp_(0, 0.1))


class Compares(Newest):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        return out - out.mean(0) * (not self.training)


class Counting(Newest):
    """Keeps outside of its state_dict what its predictions depend on."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return super().forward(x) + 0.001 * self.calls


class Forgets(Newest):
    def steps(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, None]:
        whole = torch.stack([self(x[: t + 1].transpose(0, 1)) for t in range(len(x))])
        return whole + 0.1 * torch.arange(len(x) - 1, -1, -1)[:, None, None], None


class EndsElsewhere(Newest):
    def steps(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, None]:
        return self(x.transpose(0, 1)).expand(len(x), -1, -1) + 1, None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Nothing, "predictions must be finite"),
        (Double, "predictions must be torch.float32, got torch.float64"),
        (Unused, "no gradient reaches spare"),
        (Root, "the gradient of spare is not finite"),
        (TakesAnyArgument, "an unknown argument must raise a UserError that names it, got: ''"),
        (ReadsMemoryOfModels, "the result depends on the memory layout"),
        (Stiff, "20 steps of training leave the loss at"),
        (Rolls, "the same call twice gives two results"),
        (Clamps, "a call changed its input"),
        (Compares, "a batch is not its samples one by one"),
        (Counting, "a copy, or a model with its state_dict, gives another result"),
        (Forgets, "two parts with the state carried are not the whole"),
        (EndsElsewhere, "the last of `steps` is not the prediction"),
    ],
)
def test_a_flawed_model_is_found(kind: type[Newest], said: str) -> None:
    register_model("ann_flawed")(kind)
    with pytest.raises(AssertionError, match=f"ann_flawed: .*{said}"):
        check_model("ann_flawed")


class TakesAnything(Newest):
    """Hands an input of any shape on to torch, whose error is not one about the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x.flatten(0, 1))).relu().mean((-2, -1)).unflatten(0, x.shape[:2])[:, -1])


def test_a_model_that_does_not_refuse_a_wrong_shape_is_told_what_it_should_do() -> None:
    register_model("ann_anything")(TakesAnything)
    said = r"ann_anything: an input without a batch axis, \[T, C, H, W\], must raise ValueError; got RuntimeError: Given groups"
    with pytest.raises(AssertionError, match=said):
        check_model("ann_anything")


def test_a_model_of_one_frame_is_checked() -> None:
    register_model("ann_newest")(Newest)
    check_model("ann_newest", time=1)
    check_model("snn_convnet", time=1, width=4, depth=2)


def clips(
    folder: Path, *, valence: float = 0.5, people: int = 3, first_us: int = 0, without: tuple[str, ...] = (), **own: Any
) -> ClipSet:
    for i in range(people):
        events = EventStream(
            first_us + np.arange(5) * 1000, np.zeros(5, np.uint16), np.zeros(5, np.uint16), np.ones(5, np.uint8), (4, 4)
        )
        labels = {
            "t_us": np.array([2000, 4000]),
            "valence": np.full(2, valence, np.float32),
            "arousal": np.zeros(2, np.float32),
        } | own
        labels = {name: values for name, values in labels.items() if name not in without}
        attributes: dict[str, str | int | float] = {"subject": f"s{i}", "clip": "c0", "domain": "test", "synthetic": 1}
        write_clip(folder / f"s{i}.h5", events, labels=labels, attributes=attributes)
    return ClipSet.read(folder)


def test_a_dataset_is_checked(tmp_path: Path) -> None:
    check_dataset(clips(tmp_path))
    check_dataset(tmp_path)


def test_labels_out_of_range_are_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"s0.h5: valence must lie from -1 to 1"):
        check_dataset(clips(tmp_path, valence=5.0))


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ({"valence": np.nan}, "valence must be finite"),
        ({"arousal": np.array([0, -1.5])}, "arousal must lie from -1 to 1"),
        ({"without": ("arousal",)}, r"\['valence'\] without the other"),
        ({"without": ("valence", "arousal")}, "neither valence and arousal nor an emotion"),
        ({"without": ("t_us",)}, "no label times"),
        ({"t_us": np.array([4000, 2000])}, "label times decrease"),
        ({"t_us": np.array([2000.0, 4000.0])}, "label times are int64 microseconds, not float64"),
        ({"t_us": np.array([2000, 3000, 4000])}, "2 values of valence for 3 label times"),
    ],
)
def test_flawed_labels_are_found(flaw: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=rf"s0\.h5: {said}"):
        check_dataset(clips(tmp_path, **flaw))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"subject": ""}, "the subject is empty"), ({"labels": 7}, "2 label times, announced 7")],
)
def test_a_set_that_is_not_what_its_files_say_is_found(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    (clip,) = clips(tmp_path, people=1)
    with pytest.raises(AssertionError, match=rf"s0\.h5: {said}"):
        check_dataset(ClipSet((replace(clip, **change),)))


def test_a_set_without_a_clip_is_found() -> None:
    with pytest.raises(AssertionError, match="at least one clip"):
        check_dataset(ClipSet(()))


class Flat(ClipSet):
    """Folds that leave somebody out."""

    def folds(self, k: int = 5, seed: int = 0) -> Any:
        return super().folds(k, seed)[1:]


class Shared(ClipSet):
    """Folds with a person on both sides."""

    def folds(self, k: int = 5, seed: int = 0) -> Any:
        return [SimpleNamespace(train=self, test=fold.test) for fold in super().folds(k, seed)]


class Drawn(ClipSet):
    """Folds that come in another order each time."""

    def folds(self, k: int = 5, seed: int = 0) -> Any:
        self.__dict__["turn"] = -self.__dict__.get("turn", -1)
        return super().folds(k, seed)[:: self.__dict__["turn"]]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Flat, "the folds must test every clip once"),
        (Shared, r"subjects \['s\d'.* are on both sides of a fold"),
        (Drawn, "the same seed must give the same folds"),
    ],
)
def test_flawed_folds_are_found(kind: type[ClipSet], said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        check_dataset(kind(clips(tmp_path).clips))


def test_events_that_do_not_lie_in_order_on_their_sensor_are_found(tmp_path: Path) -> None:
    for column, values, said in (
        ("t", range(4, -1, -1), "time steps back"),
        ("x", [0, 0, 4, 0, 0], "outside a sensor"),
    ):
        (tmp_path / column).mkdir()
        made = clips(tmp_path / column)
        with h5py.File(tmp_path / column / "s1.h5", "r+") as file:
            file["events"][column][:] = np.array(values)
        with pytest.raises(EventFileError, match=rf"s1\.h5: .*{said}"):
            check_dataset(made)


def test_labels_on_another_clock_than_the_events_are_found(tmp_path: Path) -> None:
    """A camera counts on while a video begins at 0: every window would be empty."""
    with pytest.raises(
        AssertionError, match=r"s0.h5: the first event, at 5000000 us, is not before the last label, at 4000 us"
    ):
        check_dataset(clips(tmp_path, first_us=5_000_000))


def test_models_of_another_number_of_outputs_are_found() -> None:
    class Three(Newest):
        def __init__(self, in_channels: int) -> None:
            super().__init__(in_channels)
            self.head = torch.nn.Linear(8, 3)

    register_model("ann_three")(Three)
    with pytest.raises(AssertionError, match=r"ann_three: predictions must be \[B, 2\], got \[3, 3\]"):
        check_model("ann_three")


def test_what_is_no_neuron_is_told_what_it_lacks() -> None:
    class NoStep(Neuron):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)

    class NoGradient(Wrong):
        @staticmethod
        def step(x: Any, state: Any, p: Any, rule: Any) -> Any:
            h = p["beta"] * state[0] + x
            s = (h > p["theta"]).to(h)
            return s, (h - s,)

    for kind, said in (
        (torch.nn.ReLU, "must be a subclass of Neuron"),
        (NoStep, "must have a `step`"),
        (NoGradient, "no gradient gets from its output to its input; spikes need `rule.fire`"),
    ):
        name = f"test_{kind.__name__}"
        register_neuron(name)(kind)
        with pytest.raises(AssertionError, match=f"neuron '{name}'.* {said}"):
            check_neuron(name)


def test_an_encoding_whose_step_is_no_whole_number_is_found() -> None:
    @register_encoding("test_half")
    class Half(Counts):
        @property
        def grid(self) -> tuple[int, int]:
            return 1, 1000.5

    with pytest.raises(AssertionError, match=r"test_half: grid must be two whole numbers, .* got \(1, 1000\.5\)"):
        check_encoding("test_half")
