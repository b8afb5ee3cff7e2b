"""Settings of a run: frozen, checked at birth, the only home of defaults; TOML in and out; named recipes."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeVar, cast, get_args

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from noonchi import files
from noonchi.errors import SettingsError, did_you_mean, reason
from noonchi.results import HeadKind

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic gives it no public name


class _Checked(ModelMetaclass):
    """Makes `FitSettings(peak_lr=-1)` raise the one-line error that a recipe file would."""

    def __call__(self, /, **values: Any) -> Any:
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise SettingsError(_one_line(cast(type[BaseModel], self), values, error)) from None


class Settings(BaseModel, metaclass=_Checked):
    """A frozen group of settings that refuses unknown names and values out of range."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    def but(self, **changes: Any) -> Self:
        """The same settings with some changed, checked again.

        >>> FitSettings().but(epochs=3).epochs
        3
        """
        return parse(type(self), {**self.table(), **changes})

    def table(self) -> dict[str, Any]:
        """Plain values as TOML holds them; settings without a value are left out."""
        return self.model_dump(exclude_none=True, mode="json")


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is expected, not true or false")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("no file's name holds a NUL")
    return value


Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(strict=True)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Place = Annotated[str, AfterValidator(_no_nul)]
Side = Annotated[Whole, Field(ge=1, le=10_000)]
Optimizer = Literal["sgd", "rmsprop", "adam", "adamw", "lbfgs"]


class DataSettings(Settings):
    """Which pictures, and how they are split."""

    source: str | None = None
    """What was given as DATA: a folder, a CSV, an .npz, a folder of IDX files, a built-in name, shards or
    `hf:OWNER/NAME`."""
    validation_share: Share = 0.1
    """Part of the training pictures kept aside for validation, where the data names none."""
    test_share: Share = 0.1
    """Part of all pictures kept aside for the one test at the end, where the data comes in one piece."""
    validate_on_test: Annotated[bool, Field(strict=True)] = False
    """Validate on the test split, as some course examples do: the test's figure is then no longer honest."""
    max_unusable: Share = 0.01
    """Part of the pictures that may be unreadable before training refuses to start."""
    overrides: Place | None = None
    """A CSV file of pictures to drop or to relabel, as `noonchi check --write-overrides` writes it."""
    stream: Annotated[bool, Field(strict=True)] | None = None
    """Decode each picture anew whenever it is needed, in a memory that does not grow with their number, instead of all
    beforehand, once; where not set, where decoded they would take more than 16 GiB."""
    follow_links: Annotated[bool, Field(strict=True)] = False
    """Take pictures behind links that leave the data's folder too."""


class PixelSettings(Settings):
    """How the bytes of any picture become the numbers a network sees; kept with the classifier."""

    size: Annotated[tuple[Side, Side], Field(strict=False)] | None = None
    """Height and width in pixels; a backbone's own where not set, else that of the data where all its pictures have
    one size, else 150 by 150."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_no_bool)] | None = None
    """1 for grey, 3 for red, green, blue; taken from the data where not set."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How a picture of another shape is brought to `size`: stretched, cut to the middle, or bordered in black."""
    mean: Annotated[tuple[Number, ...], Field(strict=False, min_length=1, max_length=3)] | None = None
    """Subtracted from pixels in 0..1, one for all channels or one a channel; a backbone's own where not set, else 0."""
    std: (
        Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(strict=False, min_length=1, max_length=3)] | None
    ) = None
    """Pixels are divided by it after `mean` is subtracted; a backbone's own where not set, else 1."""

    @model_validator(mode="after")
    def _one_for_all_or_one_a_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) not in (1, self.channels or len(values)):
                raise ValueError(f"{name} has {len(values)} numbers for {self.channels} channel(s); give 1 or one each")
        return self


class ModelSettings(Settings):
    """Which network."""

    network: Place = "mnist-convnet"
    """A name from `noonchi list networks` or `noonchi list backbones`, any of timm's, or your own as `module:name` or
    `file.py:name`."""
    weights: str | None = None
    """What a network starts from. A backbone: `pretrained` where not set, `random`, or a .safetensors file with timm's
    names. One of ours: `random` where not set, or a run folder, whose layers of the same names it takes over."""
    features: Literal["mean", "flatten"] | None = None
    """What a backbone's maps become before the layers after it: the `mean` of each where not set, or all values."""
    hidden: Annotated[tuple[Annotated[Whole, Field(ge=1, le=65_536)], ...], Field(strict=False)] | None = None
    """Widths of dense layers between a backbone's features and the output; none where not set."""
    dropout: Share | None = None
    """Part of what goes into the output layer after a backbone that is dropped in training; none where not set."""
    freeze: str | None = None
    """Layers before the one named do not train, nor do their statistics move: a layer that `noonchi summary` lists,
    such as `block5_conv1`, or `features`, the first after a backbone."""
    pooling: Literal["max", "average"] = "max"
    """How the named networks shrink a map: the largest of each window or its mean."""


class HeadSettings(Settings):
    """One question the classifier answers. A recipe without heads answers each label column of the data."""

    kind: HeadKind | None = None
    """`classes` (one of many), `binary` (one sigmoid for two classes) or `labels` (several may hold at once)."""
    column: str | None = None
    """The data's label column that this head reads; the head's own name where not set."""
    columns: Annotated[tuple[str, ...], Field(strict=False, min_length=2)] | None = None
    """Columns of 0 and 1, one a class: exactly one 1 a picture, or with kind `labels` any number."""
    map: dict[str, str] | None = None
    """A class of this head for each class of the column, such as `3 = "odd"`; all must be named."""
    loss_weight: Annotated[Number, Field(ge=0)] = 1.0
    """Factor of this head's loss in the sum that training lowers."""
    class_weights: Literal["balanced"] | dict[str, Annotated[Number, Field(ge=0)]] | None = None
    """Factor of each class in the head's loss: named one by one, or `balanced` by how rare a class is."""

    @model_validator(mode="after")
    def _one_way_to_read(self) -> Self:
        if self.columns and self.column:
            raise ValueError("column and columns contradict each other; give one")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError("columns must name each column once")
        return self


class BatchSettings(Settings):
    """How pictures are put together for one step."""

    size: Annotated[Whole, Field(ge=1, le=65_536)] = 64
    """Pictures a training step."""


class AugmentSettings(Settings):
    """How training pictures are varied anew in every epoch; validation, test and prediction never are.

    Rotation, shifts, shear, zoom and flips are one warp of the picture, as Keras's `ImageDataGenerator` composes them.
    """

    rotation_degrees: Annotated[Number, Field(ge=0, le=180)] = 0.0
    """Turned by up to this angle, either way."""
    width_shift: Share = 0.0
    """Moved sideways by up to this part of the width, either way."""
    height_shift: Share = 0.0
    """Moved up or down by up to this part of the height."""
    shear_degrees: Annotated[Number, Field(ge=0, lt=90)] = 0.0
    """Slanted by up to this angle, either way."""
    zoom: Share = 0.0
    """Height and width, each by itself, made larger or smaller by up to this part."""
    horizontal_flip: Annotated[bool, Field(strict=True)] = False
    """Every second picture, by chance, with left and right exchanged."""
    vertical_flip: Annotated[bool, Field(strict=True)] = False
    """Every second picture, by chance, upside down."""
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
    """What lies beyond a picture's edge: its edge drawn out, `fill_level`, its mirror image, or itself again."""
    fill_level: Annotated[Whole, Field(ge=0, le=255)] = 0
    """Grey level around the picture where `fill` is `constant`."""
    brightness: Share = 0.0
    """Levels multiplied by 1 plus or minus up to this."""
    contrast: Share = 0.0
    """Distance of levels from the middle grey multiplied by 1 plus or minus up to this."""
    channel_shift: Annotated[Number, Field(ge=0, le=255)] = 0.0
    """Up to this many levels, of 255, added to or taken from each channel by itself."""
    erasing: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Part of the pictures in which a rectangle is filled with random levels (Zhong et al. 2020)."""
    mixup: Annotated[Number, Field(ge=0, le=10)] = 0.0
    """Above 0, each batch is blended with itself in another order, by a share drawn from Beta(mixup, mixup); labels
    likewise (Zhang et al. 2018)."""
    cutmix: Annotated[Number, Field(ge=0, le=10)] = 0.0
    """Above 0, a rectangle of each picture comes from another of the batch, its area drawn from Beta(cutmix, cutmix);
    labels likewise (Yun et al. 2019). With `mixup` too, each batch draws one of the two."""
    randaugment_ops: Annotated[Whole, Field(ge=0, le=10)] = 0
    """Operations drawn for each picture, after RandAugment (Cubuk et al. 2020)."""
    randaugment_magnitude: Annotated[Number, Field(ge=0, le=10)] = 9.0
    """Strength of those operations."""

    @property
    def active(self) -> bool:
        """Whether pictures are varied at all."""
        at_rest = {"fill", "fill_level", "randaugment_magnitude"}
        return any(value for name, value in self.table().items() if name not in at_rest)


class FrozenSettings(Settings):
    """How what frozen layers give is computed once and kept, instead of anew in every epoch."""

    views: Annotated[Whole, Field(ge=1, le=1000)] = 4
    """Varied forms of each training picture whose features are kept, where pictures are varied; epochs draw one."""
    limit_gb: Annotated[Number, Field(ge=0)] = 4.0
    """Features that would take more than this on disk are computed anew in every epoch; 0 keeps none."""


class FitSettings(Settings):
    """How the weights are trained. Optimiser defaults are Keras's."""

    epochs: Annotated[Whole, Field(ge=1, le=100_000)] = 5
    """Passes over the training pictures, at most."""
    min_steps: Annotated[Whole, Field(ge=0)] = 0
    """Where `epochs` passes are fewer steps than this, as many more passes as it takes: for few pictures."""
    seconds: Annotated[Number, Field(gt=0)] | None = None
    """Training ends when so much time is over, in place of `epochs`, and the learning rate reaches its end then; with
    further parts, the last of them has what is left. Such a run goes by the clock: no two are the same."""
    optimizer: Optimizer = "adam"
    """`sgd`, `rmsprop`, `adam` or `adamw`, step by step; or `lbfgs`, for an output layer on the kept features of frozen
    layers: its one best answer is found in one epoch, whatever `peak_lr`, `schedule` and `batches.size` are."""
    peak_lr: Annotated[Number, Field(gt=0, le=100)] = 1e-3
    """Highest learning rate, reached after warm-up."""
    momentum: Share = 0.0
    """For `sgd` and `rmsprop`."""
    nesterov: Annotated[bool, Field(strict=True)] = False
    """For `sgd` with momentum: look ahead (Sutskever et al. 2013)."""
    rho: Share = 0.9
    """`rmsprop`'s memory of squared gradients."""
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.999)
    """`adam` and `adamw`: memory of gradients and of their squares."""
    epsilon: Annotated[Number, Field(gt=0)] = 1e-7
    """Keeps `rmsprop`, `adam` and `adamw` from dividing by zero."""
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    """Decoupled for `adamw`; for the others its product with the weights is added to the gradient, but for `lbfgs` not
    with biases."""
    schedule: Literal["constant", "step", "cosine", "one-cycle", "plateau"] = "constant"
    """`step` multiplies by `step_factor` every `step_epochs`; `cosine` falls to `final_lr_share`; `one-cycle` climbs
    for `warmup_share` of all steps (0.3 where that is 0) and falls (Smith 2018); `plateau` multiplies by
    `step_factor` when `monitor` has not improved for `plateau_patience` epochs."""
    warmup_share: Share = 0.0
    """Part of all steps in which the rate climbs from near zero to `peak_lr`, under any schedule."""
    final_lr_share: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Where `cosine` and `one-cycle` end, as a share of `peak_lr`."""
    step_epochs: Annotated[Whole, Field(ge=1)] = 10
    """Epochs between two steps of `step`."""
    step_factor: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """What `step` and `plateau` multiply the rate by."""
    plateau_patience: Annotated[Whole, Field(ge=1)] = 5
    """Epochs without improvement before `plateau` lowers the rate."""
    label_smoothing: Share = 0.0
    """Part of each label spread over all classes (Szegedy et al. 2016)."""
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    """Gradients with a larger norm, over all weights together, are scaled down to it."""
    lr_per_layer: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each layer to the one before it: below 1, early layers move less (Howard and
    Ruder 2018)."""
    ema_decay: Share = 0.0
    """Above 0, a running mean of the weights with this memory a step is what is validated, kept and saved."""
    monitor: str = "val_loss"
    """The metric that decides the best epoch; losses are better low, the others high. Without validation
    pictures the training pictures' metric takes its place: `loss` that of `val_loss`. After training with
    `label_smoothing` answers are timid, and validation losses compared as they would be once calibrated."""
    patience: Annotated[Whole, Field(ge=0)] = 0
    """Stop after this many epochs without improvement of `monitor`; 0 never stops early."""
    min_delta: Annotated[Number, Field(ge=0)] = 0.0
    """An improvement smaller than this does not count."""
    calibrate: Annotated[bool, Field(strict=True)] = True
    """At the end, fit a temperature for each head on the validation pictures, so that its probabilities hold. It is
    not done where those are the test pictures."""
    checkpoint_every_s: Annotated[Number, Field(gt=0)] | None = None
    """Also save within an epoch, whenever this many seconds have passed since the last save."""

    @property
    def by_the_clock(self) -> bool:
        """Whether `seconds` end training, not `epochs`; L-BFGS ends by itself."""
        return self.seconds is not None and self.optimizer != "lbfgs"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum > 0):
            raise ValueError("nesterov needs optimizer = 'sgd' and a momentum above 0")
        if self.optimizer == "lbfgs" and (self.ema_decay or self.clip_norm):
            raise ValueError("optimizer = 'lbfgs' takes neither ema_decay nor clip_norm; leave them out")
        return self


class ThenSettings(Settings):
    """A further part of training, which begins with the best weights so far; what is not set stays as in the first."""

    freeze: str | None = None
    """Layers before the one named do not train; all train where it is not set."""
    unless_accuracy: Annotated[Number, Field(gt=0, le=1)] | None = None
    """The part is passed over where the best epoch so far has reached this accuracy on validation pictures."""
    epochs: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    """Passes over the training pictures, at most."""
    optimizer: Optimizer | None = None
    """How the weights are moved in this part."""
    peak_lr: Annotated[Number, Field(gt=0, le=100)] | None = None
    """Highest learning rate of this part."""
    weight_decay: Annotated[Number, Field(ge=0)] | None = None
    """Of this part."""
    schedule: Literal["constant", "step", "cosine", "one-cycle", "plateau"] | None = None
    """How the rate moves within this part."""
    lr_per_layer: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Factor of the learning rate from each layer to the one before it."""
    augment: AugmentSettings | None = None
    """How training pictures are varied in this part."""

    def after(self, fit: FitSettings, augment: AugmentSettings) -> "Part":
        """The part as a whole, where `fit` and `augment` are what it takes over."""
        own = {name: value for name, value in self.table().items() if name in FitSettings.model_fields}
        return Part(self.freeze, fit.but(**own), self.augment or augment, self.unless_accuracy)


class Part(NamedTuple):
    """One part of training: from which layer on the network trains, how, and on pictures varied how."""

    freeze: str | None
    fit: FitSettings
    augment: AugmentSettings
    unless_accuracy: float | None = None


class DeviceSettings(Settings):
    """Where and how exactly the arithmetic is done."""

    name: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`, `cpu`, `cuda` (NVIDIA) or `mps` (Apple); `auto` takes an accelerator where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the training step; validation, test and prediction are float32 always. `auto` takes bfloat16 where the
    processor multiplies it natively and one step's loss agrees with float32."""
    threads: Annotated[Whole, Field(ge=1, le=1024)] | None = None
    """Processor threads; as many as `OMP_NUM_THREADS` says or there are cores where not set. Part of bit-identity."""


class RecordSettings(Settings):
    """What a run writes down beyond `best/`, `last/` and `history.csv`."""

    tensorboard: Annotated[bool, Field(strict=True)] = True
    """Metrics of each epoch, some training pictures and the network's graph as `tensorboard/`."""
    weight_histograms: Annotated[bool, Field(strict=True)] = False
    """A histogram of every weight, every epoch, in TensorBoard."""
    keep_improved: Annotated[bool, Field(strict=True)] = False
    """Keep a classifier each time `fit.monitor` improves, as `improved/<epoch>-<value>`."""
    plots: Annotated[bool, Field(strict=True)] = True
    """Curves of each metric as `plots/*.png`, when training ends."""
    report: Annotated[bool, Field(strict=True)] = True
    """All about the run as one page, `report.html`, when training ends."""
    mlflow: Annotated[bool, Field(strict=True)] = False
    """Settings, metrics and results in MLflow too: in the folder `mlruns` beside the run, or where
    `MLFLOW_TRACKING_URI` says. Needs the extra `mlflow`."""


class RunSettings(Settings):
    """Everything that decides a run; `recipe.toml` holds it resolved."""

    recipe: str = "custom"
    """The recipe's name, part of the run folder's name."""
    about: str = ""
    """One line for `noonchi list recipes`."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 0
    """Every draw is a function of it, the epoch and the step."""
    data: DataSettings = DataSettings()
    pixels: PixelSettings = PixelSettings()
    model: ModelSettings = ModelSettings()
    heads: dict[Annotated[str, Field(pattern=r"^[^.\p{C}]+$")], HeadSettings] = Field(default_factory=dict)
    batches: BatchSettings = BatchSettings()
    augment: AugmentSettings = AugmentSettings()
    frozen: FrozenSettings = FrozenSettings()
    fit: FitSettings = FitSettings()
    then: Annotated[tuple[ThenSettings, ...], Field(strict=False, max_length=100)] = ()
    """Further parts of training, one after the other, such as with more layers opened: `[[then]]` in a recipe."""
    device: DeviceSettings = DeviceSettings()
    record: RecordSettings = RecordSettings()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Of training, one after the other.

        >>> run = RunSettings(model={"freeze": "output"}, then=[{"epochs": 2}])
        >>> [(part.freeze, part.fit.epochs) for part in run.parts]
        [('output', 5), (None, 2)]
        """
        first = Part(self.model.freeze, self.fit, self.augment)
        *earlier, last = (first, *(part.after(self.fit, self.augment) for part in self.then))
        return (*(part._replace(fit=part.fit.but(seconds=None)) for part in earlier), last)


S = TypeVar("S", bound=Settings)

_UNITS_S = {"h": 3600, "m": 60, "s": 1}

FLAGS = {
    "epochs": "fit.epochs",
    "batch_size": "batches.size",
    "lr": "fit.peak_lr",
    "seed": "seed",
    "device": "device.name",
    "overrides_file": "data.overrides",
    "report": "record.report",
}
"""Settings that have a short name, as an option of `train` and in Python."""


def parse(kind: type[S], table: Mapping[str, Any]) -> S:
    """Settings from plain values.

    Raises SettingsError, naming the setting by its dotted path.

    >>> parse(RunSettings, {"fit": {"epoch": 3}})
    Traceback (most recent call last):
    noonchi.errors.SettingsError: 'fit.epoch' is not a setting. Did you mean 'epochs' or 'step_epochs'?
    """
    try:
        return kind.model_validate(dict(table))
    except ValidationError as error:
        raise SettingsError(_one_line(kind, table, error)) from None


def recorded(kind: type[S], path: Path, table: Mapping[str, Any]) -> S:
    """What was read from a run's file, checked as settings are. Raises RunError."""
    try:
        return parse(kind, table)
    except SettingsError as error:
        raise files.damaged(path, error) from None


def load(recipe: str | Path | None, overrides: Iterable[str] = ()) -> RunSettings:
    """A recipe by name or from a TOML file, or without one the defaults, with `section.key=value` overrides.

    >>> load("mnist-convnet", ["fit.epochs=2"]).fit.epochs
    2
    """
    table = {} if recipe is None else _read_recipe(recipe)
    for override in overrides:
        _override(table, override)
    return parse(RunSettings, table)


def altered(run: RunSettings, overrides: Iterable[str]) -> RunSettings:
    """The settings of a run with `section.key=value` overrides; errors are as of `load`.

    >>> altered(RunSettings(), ["fit.epochs=2"]).fit.epochs
    2
    """
    table = run.table()
    for override in overrides:
        _override(table, override)
    return parse(RunSettings, table)


def changes(overrides: Iterable[str], size: int | None = None, **flags: Any) -> list[str]:
    """`"section.key=value"` of `FLAGS`, of `size` (pixels a side) and then of `overrides`; None changes nothing.

    >>> changes(["fit.momentum=0.9"], 28, seed=7, lr=None)
    ['seed=7', 'pixels.size=[28, 28]', 'fit.momentum=0.9']
    """
    short = [
        f"{FLAGS[flag]}={_written(value) if isinstance(value, bool) else value}"
        for flag, value in flags.items()
        if value is not None
    ]
    short += [f"pixels.size=[{size}, {size}]"] if size is not None else []
    return [*short, *([overrides] if isinstance(overrides, str) else overrides)]


def duration_s(text: str | float) -> float:
    """A time such as `90`, `90s`, `2m`, `1.5h` or `1h30m` in seconds. Raises SettingsError.

    >>> duration_s("2m"), duration_s("1h30m"), duration_s(20)
    (120.0, 5400.0, 20.0)
    """
    number = r"(\d+(?:\.\d*)?|\.\d+)"
    parts = "".join(rf"(?:{number}\s*{unit}\s*)?" for unit in _UNITS_S)
    written = str(text).strip()
    found = re.fullmatch(parts, f"{written}s" if re.fullmatch(number, written) else written)
    counts = found.groups(default="0") if found else ()
    value = sum(float(count) * seconds for count, seconds in zip(counts, _UNITS_S.values(), strict=False))
    if value <= 0:
        raise SettingsError(f"'{text}' is not a time; write it as 90s, 2m, 1.5h or 1h30m.")
    return value


def recipe_names() -> list[str]:
    """The recipes that come with noonchi.

    >>> "lenet5" in recipe_names()
    True
    """
    folder = package_files("noonchi") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def described() -> dict[str, str]:
    """Every setting by its dotted path, with its default and what it does.

    >>> described()["batches.size"]
    '64. Pictures a training step.'
    """
    groups: list[tuple[str, type[Settings]]] = [("", RunSettings), ("heads.<name>.", HeadSettings)]
    groups += [
        (f"{name}.", field.annotation)
        for name, field in RunSettings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    ]
    return {
        prefix + name: f"{_default(field.default)}. {' '.join((field.description or '').split())}".rstrip()
        for prefix, group in groups
        for name, field in group.model_fields.items()
        if not isinstance(field.default, Settings) and name != "heads"
    }


class Changed(NamedTuple):
    """A setting that has not its default; both values as a recipe holds them, the default empty where it is not set."""

    name: str
    value: str
    default: str


def changed(run: RunSettings) -> list[Changed]:
    """The settings of a run, by their dotted path, that are not the defaults, but for its names, data and seed.

    >>> changed(RunSettings(fit={"epochs": 3}, model={"dropout": 0.5}))
    [Changed(name='model.dropout', value='0.5', default=''), Changed(name='fit.epochs', value='3', default='5')]
    """
    known = {"recipe", "about", "seed", "data.source"}
    usual = dict(_flat(RunSettings().but(heads={name: {} for name in run.heads}, then=[{}] * len(run.then)).table()))
    return [
        Changed(name, value, usual.get(name, ""))
        for name, value in _flat(run.table())
        if name not in known and value != usual.get(name)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested tables by dotted path, as TOML writes them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{path}[{number}]")
    else:
        yield path, _written(value)


def _default(value: Any) -> str:
    return "not set" if value is None else _written(value)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def to_toml(settings: Settings) -> str:
    """Settings as TOML; `load` gives the same settings back.

    >>> print(to_toml(BatchSettings(size=32)).strip())
    size = 32
    """
    return tomli_w.dumps(settings.table())


def _read_recipe(recipe: str | Path) -> dict[str, Any]:
    if isinstance(recipe, str) and recipe in recipe_names():
        text = (package_files("noonchi") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
        return {"recipe": recipe, **_toml(text, recipe)}
    path = Path(recipe)
    if not path.is_file() and (path.suffix != ".toml" or path.is_dir()):
        raise SettingsError(f"'{recipe}' is not a recipe or a .toml file. {did_you_mean(str(recipe), recipe_names())}")
    try:
        text = files.read(path, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"recipe '{path}' cannot be read: {error.strerror}. See: noonchi list recipes") from None
    except UnicodeDecodeError:
        raise SettingsError(f"recipe '{path}' is not UTF-8 text; save it as UTF-8.") from None
    return {"recipe": path.stem, **_toml(text, str(path))}


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why = reason(error)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError:
        why = "it holds a number of thousands of digits"
    raise SettingsError(f"recipe '{name}' is not TOML: {why}. Write name = value, texts in quotes, below a [section].")


def _override(table: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise SettingsError(f"'{_short(override)}' is not a setting with a value; write it as section.key=value.")
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise SettingsError(f"'{_short(path)}' is not a setting: '{_short(key)}' has no settings within it.")
    table[keys[-1]] = _value(text.strip())
    if keys == ["fit", "epochs"]:  # so many are asked for, also of few pictures
        table["min_steps"] = 0


def _value(text: str) -> Any:
    """A TOML value, or the text itself: `--set model.pooling=average` needs no quotes."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def _one_line(kind: type[BaseModel], table: Mapping[str, Any], error: ValidationError) -> str:
    first = max(error.errors(), key=lambda one: len(one["loc"]))  # of a union's branches the one that fits best
    path = list(_names(table, first["loc"]))
    name = _short(".".join(path))
    if first["type"] == "extra_forbidden":
        return f"{name!r} is not a setting. {_nearest(kind, path)}"
    if first["type"] == "missing" and isinstance(first["loc"][-1], str):
        return f"{'.'.join([*path, first['loc'][-1]])!r} is missing."
    why = _REASONS.get(first["type"]) or (
        first["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
    )
    return ": ".join(part for part in (name + _came(first), why) if part) + "."


_MOST_BYTES = 4_000_000
"""Of a recipe; one that maps 20,000 classes has a quarter of it."""
_LONG = 80
"""Letters of a name or a value that came."""
_REASONS = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "missing": "has too few values",
    "too_short": "has too few values",
    "too_long": "has too many values",
    "tuple_type": "must be a list, such as [28, 28] or ['cat', 'dog']",
    "model_type": "is a group of settings; give one of them a value",
    "model_attributes_type": "is a group of settings; give one of them a value",
    "dict_type": "must be a table, such as {name = value}",
    "dataclass_type": "must be a table, such as {name = value}",
    "string_pattern_mismatch": "a head's name must be printable and without a dot",
}


def _names(value: Any, places: Iterable[str | int]) -> Iterator[str]:
    """Of the places that pydantic tells those that are names; it adds numbers within lists, and branches of unions."""
    for place in places:
        if isinstance(value, Mapping) and place in value:
            yield str(place)
            value = value[place]
        elif isinstance(value, list | tuple) and isinstance(place, int) and place < len(value):
            value = value[place]


def _came(first: Any) -> str:
    whole_group = isinstance(first["input"], dict) and first["type"] == "value_error"
    return "" if whole_group else f" = {_shown(first['input'])}"


def _shown(value: Any) -> str:
    if isinstance(value, date | time):
        return str(value)
    try:
        return _short(repr(value))
    except (ValueError, RecursionError):  # what only hexadecimal numbers and dotted keys can bring
        return "..."


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def _nearest(kind: type[BaseModel], path: list[str]) -> str:
    name, group = path[-1], _group_at(kind, path[:-1])
    if kind is RunSettings:
        elsewhere = [FLAGS[name]] if name in FLAGS else [one for one in described() if one.endswith(f".{name}")]
        if elsewhere:
            return f"Did you mean {' or '.join(map(repr, elsewhere))}?"
    return did_you_mean(name, group.model_fields)


def _group_at(kind: type[BaseModel], path: Iterable[str]) -> type[BaseModel]:
    for key in path:
        if key in kind.model_fields:  # or it is a name that the user gave a head
            kind = next(_groups_in(kind.model_fields[key].annotation), kind)
    return kind


def _groups_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings within such as `tuple[ThenSettings, ...]`."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one
