"""The schema of a study: what a YAML config may say. All mistakes are found at once, and no torch is imported to say so."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from spikeva.errors import UserError
from spikeva.registry import did_you_mean
from spikeva.study.files import parse_yaml


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StandIn(_Block):
    """Faces that spikeva renders, with known valence and arousal: synthetic, and called so wherever a number shows."""

    dataset: Literal["afew-va-like", "nefer-like"] = Field(
        description="film-like faces, or posed ones with a noisier camera"
    )
    identities: PositiveInt = Field(description="number of people")
    clips: PositiveInt = Field(description="clips of each person")
    seconds: PositiveFloat = Field(1.28, description="length of a clip in seconds")
    fps: PositiveFloat = Field(100.0, description="frames rendered a second, before events are simulated")
    label_fps: PositiveFloat = Field(25.0, description="labels a second")
    size: Annotated[int, Field(ge=32, le=1280)] = Field(64, description="side of the face picture in pixels")
    pixel: str | dict[str, Any] | None = Field(
        None, description="a preset of `spikeva list presets`, or parameters of the pixel; none: that of the dataset"
    )
    labels: Literal["exact", "rated"] = Field(
        "exact", description="the true valence and arousal, or as raters would give them"
    )
    nuisance: Annotated[float, Field(ge=0, le=2)] = Field(0.6, description="pose, speech, light: higher is harder")
    style: Annotated[float, Field(ge=0, le=2)] = Field(
        0.7, description="how differently people show the same emotion: higher is harder"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="who the people are and what they do")


class Prepared(_Block):
    """A folder of event clips, made by `spikeva prepare` from AFEW-VA or NEFER, or by your own code with `write_clip`."""

    dataset: Literal["prepared"] = Field(description="always `prepared`")
    root: Path = Field(description="the folder, relative to where the command runs")


DataSource = Annotated[StandIn | Prepared, Field(discriminator="dataset")]


class Window(_Block):
    """What a model sees to predict one label: `frames` windows of the encoding's length, the last of which ends at the label."""

    frames: PositiveInt = Field(4, description="number of windows; more is more context, and slower")


class Grid(_Block):
    """What is compared: every combination is one cell. A model or an encoding is its name and its parameters."""

    models: Annotated[list[dict[str, Any]], Field(min_length=1)] = Field(
        description="such as `{model: snn_convnet, neuron: lif}`"
    )
    encodings: Annotated[list[dict[str, Any]], Field(min_length=1)] = Field(
        description="such as `{encoding: tbr, bits: 8, dt: 5000}`; dt in us"
    )
    folds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        [0], description="which folds to run, each as test people once"
    )
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        [0], description="of initial weights, order of samples and augmentation"
    )


class EventChanges(_Block):
    """Random changes of a training sample's events before they are encoded, by tonic (optional: `spikeva[tonic]`)."""

    flip: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="probability of a mirror image (`augment` flips too; valence and arousal stay)"
    )
    reverse: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="probability of time reversal in the window")
    drop: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share of events left out")
    jitter_px: Annotated[float, Field(ge=0)] = Field(0.0, description="sd of an event's place in pixels")
    jitter_us: Annotated[float, Field(ge=0)] = Field(0.0, description="sd of an event's time in us")


class Training(_Block):
    """How every cell is trained: one budget for all."""

    epochs: PositiveInt = Field(10, description="an epoch draws `samples_per_clip` labels of every clip")
    max_steps: PositiveInt | None = Field(None, description="stop after so many steps, even within the epochs")
    samples_per_clip: PositiveInt = Field(6, description="labels drawn from each clip in an epoch")
    batch_size: PositiveInt = Field(32, description="samples in a step, on each device")
    learning_rate: PositiveFloat = Field(
        1e-3, description="peak of AdamW's one-cycle schedule, in which beta1 goes from 0.95 to 0.85 and back"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(1e-2, description="of weight matrices only")
    loss: str = Field("emonet", description="`emonet`: MSE, 1 - PCC and 1 - CCC, weighted anew at every step")
    augment: bool = Field(True, description="rotate, scale, shift and flip the training samples")
    augment_events: EventChanges | None = Field(None, description="change the events of training samples too, by tonic")
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="extra processes that encode samples, in training and in scoring; does not change the result"
    )


class Evaluation(_Block):
    """How a trained model is scored."""

    anchors: str = Field("face-like", description="where emotions lie on the valence-arousal plane")
    method: Literal["angle", "point"] = Field("angle", description="nearest anchor by direction, or by distance")
    none_radius: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="a point nearer to neutral than this is read as `None`; for labels that know it, as NEFER's reported emotions do",
    )
    pooling: Literal["mean", "peak", "weighted"] = Field(
        "mean",
        description="how to get one point from the frames of a recording; `weighted`: frames far from neutral count more",
    )
    cost_samples: PositiveInt = Field(8, description="samples on which operations and spikes are counted")


class TrainerOptions(_Block):
    """Where and how precisely models are trained: options of Lightning's Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field(
        "auto", description="`auto` uses a GPU if there is one"
    )
    devices: int | str | list[int] = Field(
        1,
        description='GPUs that train one model: how many, which ("0,2" or [0, 2]), or "auto" or -1 for the number of this machine',
    )
    num_nodes: PositiveInt = Field(1, description="machines that train one model")
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_spawn"] = Field(
        "auto", description="how several GPUs share the work"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="mixed precision is faster on a GPU"
    )
    gradient_clip_val: PositiveFloat | None = Field(1.0, description="largest norm of the gradient; none: no limit")

    @field_validator("devices")
    @classmethod
    def _some_devices(cls, devices: int | str | list[int], others: ValidationInfo) -> int | str | list[int]:
        if isinstance(devices, str) and re.fullmatch(r"[1-9]\d*", devices):
            devices = int(devices)  # a number in quotes
        if isinstance(devices, list):
            fits = bool(devices) and min(devices) >= 0 and len({*devices}) == len(devices)
        elif isinstance(devices, str):
            fits = re.fullmatch(r"auto|-1|\d+(,\d+)+,?|\d+,", devices) is not None
        else:
            fits = devices == -1 or devices >= 1
        if not fits:
            raise ValueError('a number above 0, -1 or "auto", or device numbers as [0, 2]')
        return _all_devices(others.data.get("accelerator")) if devices in ("auto", "-1", -1) else devices


def _all_devices(accelerator: str | None) -> int:
    """How many devices of an accelerator this machine has: a cell is named after their number, since it changes the result."""
    import torch  # takes seconds, which a config that says a number does without

    return max(1, torch.cuda.device_count()) if accelerator in {"auto", "gpu", "cuda"} else 1


class Study(_Block):
    """A whole study."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = Field(
        description="its name; the run goes to runs/NAME unless --out says otherwise"
    )
    question: str = Field(
        "How far does a spiking network get against an ANN on the same faces, and what does each cost?",
        description="stands at the top of the report",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="of the split into folds and of tests; it enters every training seed"
    )
    modules: list[str] = Field(
        [],
        description="your own modules that register neurons, encodings or models: names, or files relative to the config",
    )
    regression: DataSource = Field(description="clips with valence and arousal, to train and test on")
    transfer: DataSource | None = Field(None, description="clips of another domain, for zero-shot emotion")
    folds: Annotated[int, Field(ge=2)] = Field(
        4, description="parts that the people are split into; each is tested by models trained on the others"
    )
    window: Window = Field(Window(), description="what a model sees")
    grid: Grid = Field(description="what is compared")
    training: Training = Field(Training(), description="how it is trained")
    evaluation: Evaluation = Field(Evaluation(), description="how it is scored")
    trainer: TrainerOptions = Field(TrainerOptions(), description="device and precision")

    @property
    def sources(self) -> dict[str, DataSource]:
        """Where its clips are from, by key: "regression", and "transfer" where it has one."""
        return {"regression": self.regression} | ({} if self.transfer is None else {"transfer": self.transfer})


def load(path: str | Path) -> Study:
    """The study that a YAML file describes.

    Raises:
        UserError: the file cannot be read, is not YAML, or says something that is not allowed; one line a mistake, each
            with the key's path, what was found and what is allowed.
    """
    from spikeva.study.mistakes import missing_clips

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the config {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        raw = parse_yaml(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    study = parse(raw, str(path), Path(path).parent)
    if problems := list(missing_clips(study)):
        raise UserError("\n".join(f"{path}: {p}" for p in problems))
    return study


def parse(raw: Any, name: str = "config", folder: Path = Path()) -> Study:
    """The study that plain data describe; files under `modules` are relative to `folder`. Raises UserError as `load` does."""
    from spikeva.study.mistakes import joint_problems, named_problems, value_problems
    from spikeva.study.modules import import_modules

    if not isinstance(raw, dict):
        raise UserError(f"{name}: a config is a mapping of keys, found {type(raw).__name__}")
    problems = []
    study = None
    own = raw.get("modules")
    if isinstance(own, list) and all(isinstance(one, str) for one in own):  # else the schema says so
        try:
            raw = {**raw, "modules": import_modules(own, folder)}
        except UserError as error:
            problems.append(f"modules: {error}")
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        problems += _sentences(error)
    said = [problem.split(":")[0] for problem in problems]
    problems += [problem for problem in value_problems(raw) if problem.split(":")[0] not in said]
    problems += named_problems(raw)
    if study is not None and not problems:
        problems += joint_problems(study)
    if problems or study is None:
        raise UserError("\n".join(f"{name}: {p}" for p in problems))
    return study


_SOURCES = {"regression", "transfer"}
_REAL = ("afew-va", "nefer")  # what `spikeva prepare` makes clips of
_WORDS = {  # for what pydantic says of them
    "string_pattern_mismatch": "letters, digits, '_', '.' and '-', beginning with a letter or a digit",
    "string_type": "text",
    "bool_parsing": "true or false",
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list, as [A, B]",
    "dict_type": "keys with values, as {KEY: VALUE}",
    "model_type": "keys with values, as {KEY: VALUE}",
    "model_attributes_type": "keys with values, as {KEY: VALUE}",
}
# what pydantic puts behind the key of a value that may be of several types
_TYPES = {"int", "str", "list[int]", "dict[str,any]"}


def _sentences(errors: ValidationError) -> list[str]:
    """A line a mistake; what a value may be instead, in one."""
    allowed: dict[str, list[str]] = {}
    for error in errors.errors():
        head, what = _sentence(error)
        allowed.setdefault(head, []).append(what)
    return [head + (f", allowed: {' or '.join(what)}" if any(what) else "") for head, what in allowed.items()]


def _sentence(error: Any) -> tuple[str, str]:
    """One mistake of pydantic's in our words: what is wrong, and what is allowed where that stands apart."""
    kind, found, location = error["type"], error["input"], [*error["loc"]]
    if location[0] in _SOURCES:
        del location[1:2]  # which kind of source it is, no key
    if kind != "extra_forbidden":
        location = [part for part in location if part not in _TYPES]
    path = _path(location)
    if kind == "extra_forbidden":
        allowed = sorted(_block_at(error["loc"]).model_fields)
        hint = did_you_mean(location[-1], allowed)
        return f"{path}: unknown key {location[-1]!r}{hint} (allowed: {', '.join(allowed)})", ""
    if kind == "missing":
        return f"{path}: this key is missing; add it", ""
    if kind == "union_tag_not_found":
        return f"{path}.dataset: this key is missing; allowed: afew-va-like, nefer-like, prepared", ""
    text = _WORDS.get(kind, error["msg"].removeprefix("Input should be ").removeprefix("Value error, "))
    if kind == "dict_type" and path.startswith("grid."):
        text = f"a name with its parameters, as {{{'model' if path.startswith('grid.models') else 'encoding'}: NAME}}"
    hint = ""
    if kind in {"literal_error", "union_tag_invalid"}:
        expected = error["ctx"].get("expected") or error["ctx"]["expected_tags"]
        allowed = [name.strip(" '") for name in expected.replace(" or ", ",").split(",")]
        if kind == "union_tag_invalid":
            path, found, text = f"{path}.dataset", error["ctx"]["tag"], ", ".join(allowed)
        hint = did_you_mean(found, allowed)
        if found in _REAL:  # not the stand-in, whose name is the nearest
            hint = "; clips of the real one are {dataset: prepared, root: FOLDER}, with the folder that `spikeva prepare` wrote"
    return f"{path}: found {found!r}", f"{text}{hint}"


def _block_at(location: tuple[Any, ...]) -> type[_Block]:
    """The block of the schema that holds the last key of `location`."""
    blocks: dict[str, type[_Block]] = {
        "window": Window, "grid": Grid, "training": Training, "evaluation": Evaluation, "trainer": TrainerOptions,
    }  # fmt: skip
    if len(location) == 1:
        return Study
    if location[:2] == ("training", "augment_events") and len(location) > 2:
        return EventChanges
    if location[0] in _SOURCES:
        return Prepared if location[1] == "prepared" else StandIn
    return blocks[location[0]]


def _path(location: list[Any]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
