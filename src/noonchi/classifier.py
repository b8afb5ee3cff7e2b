"""A classifier: a network, the heads it answers, and the pixels it expects; saved without pickle."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from noonchi import device, files, networks, pixels, settings
from noonchi.errors import RunError, SettingsError
from noonchi.losses import probabilities
from noonchi.metrics import tempered
from noonchi.networks import PictureShape
from noonchi.predictor import Described, Predictor, Result, Thing
from noonchi.results import Head
from noonchi.settings import ModelSettings, Number, PixelSettings

FORMAT = 1
"""Of `classifier.json`. A newer one is refused; an older one must stay readable."""

WEIGHTS = "weights.safetensors"

_DESCRIPTION = "classifier.json"


@dataclass(frozen=True, eq=False)
class Classifier(Predictor):
    """Answers each head's question about pictures. Made by `create`, `load` and `noonchi.train`."""

    network: nn.Module
    heads: tuple[Head, ...]
    model: ModelSettings
    pixels: PixelSettings
    border_level: float = 0.0
    """Mean grey level, 0 to 255, along the edges of the training pictures: what `invert="auto"` compares with."""
    temperatures: Mapping[str, float] = field(default_factory=dict)
    """What the logits of a head are divided by, 1 where it is not named, so that its probabilities hold."""
    first: int = 0
    """The layer that takes what `logits` is given: above 0 features, which the layers before it gave."""

    @property
    def shape(self) -> PictureShape:
        """Height, width and channels of what the network sees."""
        return picture_shape(self.pixels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((weight.device for weight in self.network.parameters()), torch.device("cpu"))

    @property
    def sha256(self) -> str:
        """Of what `save` writes of this classifier; not of the code of your own network."""
        weights = hashlib.sha256(weights_bytes(self.network.state_dict())).hexdigest()
        return hashlib.sha256(json.dumps(self._description(weights)).encode()).hexdigest()

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Each head's (n, outputs), from normalised images (n, channels, height, width)."""
        return networks.forward(self.network, images, self.heads, self.first)

    def probabilities(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Each head's (n, outputs) float64, from uint8 frames (n, height, width, channels) of the classifier's size."""
        return self.answering().of_frames(frames)

    def of_frames(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """`probabilities`, by this very network."""
        return self.of_images(self._images(frames))

    def of_images(self, images: Tensor) -> dict[str, np.ndarray]:
        """`probabilities`, from normalised images."""
        with torch.inference_mode():
            logits = self.logits(images)
            return {head.name: self.answers(head, logits[head.name]) for head in self.heads}

    def answers(self, head: Head, logits: Tensor) -> np.ndarray:
        """A head's probabilities (n, outputs) float64, at its temperature."""
        return tempered(head, probabilities(head, logits).numpy(), self.temperatures.get(head.name, 1.0))

    def answering(self) -> "Classifier":
        """In evaluation mode and for answers alone: the same classifier to within rounding, in less time."""
        self.network.eval()
        if self.first or self._is_own:
            return self
        return replace(self, network=networks.answering(self.network, self.shape.ramp().to(self.device)))

    def in_parallel(self, work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
        """`device.in_parallel` where this classifier may answer on several threads at once, else one after the other.

        Code of the user's own may keep something in the network from one layer to another.
        """
        alone = self.first or self._is_own or self.device.type != "cpu"
        return map(work, things) if alone else device.in_parallel(work, things)

    def save(self, folder: Path) -> None:
        """Write `classifier.json` and `weights.safetensors` into an existing folder.

        Raises RunError, and writes nothing, where weights are not finite. Killed between the two files, it leaves what
        `load` refuses by its checksum; a run replaces whole folders.
        """
        weights = self.network.state_dict()
        if bad := next((name for name, weight in weights.items() if not _is_finite(weight)), None):
            raise RunError(f"weights '{bad}' are not finite and are not saved. Lower fit.peak_lr and train again.")
        files.write(folder / WEIGHTS, weights_bytes(weights))
        files.write_json(folder / _DESCRIPTION, files.sealed(self._description(files.sha256(folder / WEIGHTS))))

    @property
    def _is_own(self) -> bool:
        return ":" in self.model.network

    def _images(self, frames: np.ndarray) -> Tensor:
        return pixels.normalise(torch.tensor(frames, device=self.device), self.pixels)

    def _description(self, weights_sha256: str) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "heads": [asdict(head) for head in self.heads],
            "model": self.model.table(),
            "pixels": self.pixels.table(),
            "border_level": self.border_level,
            "temperatures": dict(self.temperatures),
            "weights_sha256": weights_sha256,
        }


def create(
    heads: tuple[Head, ...],
    model: ModelSettings,
    pixel_settings: PixelSettings,
    border_level: float = 0.0,
    *,
    pretrained: bool = False,
) -> Classifier:
    """A classifier with fresh weights, drawn from torch's generator. `pixel_settings` name a size and channels.

    Where `pretrained`, a backbone's are those that `model` names.

    >>> from noonchi.settings import ModelSettings, PixelSettings
    >>> head = Head("label", "classes", ("cat", "dog"))
    >>> fresh = create((head,), ModelSettings(network="lenet5"), PixelSettings(size=(28, 28), channels=1))
    >>> [prediction] = fresh.predict([np.zeros((28, 28), np.uint8)])
    >>> sorted(prediction.heads["label"])
    ['cat', 'dog']
    """
    network = networks.build(model, picture_shape(pixel_settings), heads, pretrained=pretrained)
    return Classifier(network, heads, model, pixel_settings, border_level)


def load(folder: str | Path, *, trust_code: bool = False) -> Classifier:
    """A classifier from a run folder (its best one) or from a folder that holds `classifier.json`.

    Only JSON and safetensors are read. A run of your own network names Python code, which is imported only with
    `trust_code=True`. Raises RunError for anything missing, damaged or newer than this noonchi.
    """
    place = _find(Path(folder))
    description = _read_description(place / _DESCRIPTION)
    heads, model, pixel_settings = description.heads, description.model, description.pixels
    if ":" in model.network and not trust_code:
        raise RunError(
            f"'{folder}' was trained with its own network '{model.network}', which is Python code to import. "
            "If you trust it, say so: --trust-code, or trust_code=True."
        )
    weights = _read_weights(place / WEIGHTS, description.weights_sha256)
    try:
        with torch.random.fork_rng([]):  # loading must not disturb the caller's draws
            made = create(heads, model, pixel_settings, description.border_level)
    except SettingsError as error:
        raise RunError(f"'{place / _DESCRIPTION}' describes a network that cannot be built: {error}") from None
    load_weights(made.network, weights, place / WEIGHTS)
    made.network.eval()
    return replace(made, temperatures=description.temperatures)


def picture_shape(settings: PixelSettings) -> PictureShape:
    """Of resolved settings.

    >>> picture_shape(PixelSettings(size=(28, 28), channels=1)).channels
    1
    """
    assert settings.size is not None, "pixel settings are resolved before a network is built"
    assert settings.channels is not None
    return PictureShape(*settings.size, settings.channels)


def weights_bytes(tensors: dict[str, Tensor]) -> bytes:
    """A safetensors file's bytes: the same for the same numbers, whatever device and memory format held them."""
    return safetensors.save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises RunError."""
    try:
        return safetensors.load(files.read(path))
    except OSError as error:
        raise files.unreadable(path, error) from None
    except (SafetensorError, ValueError):
        raise files.damaged(path, "it is not a whole safetensors file") from None


def load_weights(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put weights into a network that has exactly these. Raises RunError, naming the first that does not fit."""
    own = network.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        expected = tuple(own[name].shape) if name in own else "nothing of that name"
        found = tuple(weights[name].shape) if name in weights else "nothing of that name"
        if expected != found:
            raise RunError(
                f"'{path}' is of another network: '{name}' is {found}, expected {expected}. "
                "Restore what belongs together from a copy, or train again."
            )
        if not _is_finite(weights[name]):
            raise RunError(f"'{path}' holds weights that are not finite ('{name}'). Train again.")
    network.load_state_dict(weights)


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _find(folder: Path) -> Path:
    files.refuse_file(folder)
    best, last = (files.settled(folder / name) for name in ("best", "last"))
    # the first epoch's end writes history.csv after best/: from then on last/ must not pass for it
    for place in (best,) if best.exists() or (folder / "history.csv").exists() else (last, folder):
        if (place / _DESCRIPTION).is_file():
            return place
    if not folder.exists():
        raise RunError(f"'{folder}' does not exist; give a run folder, such as runs/digits-small-pictures-1.")
    if best.exists() or (folder / "history.csv").exists():
        raise RunError(
            f"'{folder / 'best'}' is missing or lacks classifier.json. Restore it from a copy, or train again."
        )
    raise RunError(f"'{folder}' holds no classifier: neither best/, last/ nor classifier.json is in it.")


class _Description(Described):
    """What `classifier.json` holds beside its format."""

    model: ModelSettings
    temperatures: dict[str, Annotated[Number, Field(gt=0)]] = Field(default_factory=dict)
    weights_sha256: str


def _read_description(path: Path) -> _Description:
    description = files.read_json(path)
    found = description.get("format")
    if not isinstance(found, int):
        raise files.damaged(path, "it has no format number")
    if found > FORMAT:
        raise RunError(f"'{path}' has format {found}; this noonchi reads up to {FORMAT}. Upgrade noonchi.")
    values = files.unsealed(description)
    if values is None:
        raise files.damaged(path, "it was edited, or its checksum is not that of its values")
    return settings.recorded(_Description, path, values)


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    weights = read_tensors(path)
    if files.sha256(path) != sha256:
        raise files.damaged(path, "its checksum is not the recorded one")
    return weights
