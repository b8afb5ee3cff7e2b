"""The one way from a picture to numbers: file, decoded, oriented, resized uint8, normalised tensor.

Training, prediction, serving and export all go through here. A picture becomes grey or RGB first and is then brought
to size with Pillow's bilinear filter, which averages over all source pixels when it shrinks.
"""

import io
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from noonchi.errors import DataError
from noonchi.settings import PixelSettings

if TYPE_CHECKING:
    import torch

Images = npt.NDArray[np.uint8]
Picture = Path | bytes | Image.Image | npt.NDArray[Any]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is opened at all; Pillow would start another program for some other formats."""
MOST_PIXELS = 50_000_000
"""A picture with more is refused before it is decoded: 50 megapixels are 150 MB."""
BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on the page that most such pictures were drawn for; dark strokes on
a transparent ground would vanish in black."""

_ORIENTATION = 0x0112  # of EXIF; its values 2 to 8 and what puts each upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_SAMPLED_FILES = 100
_SMALL_SIDE = 256


class PictureError(DataError):
    """A picture that cannot be read, with the bare reason beside the line for the user."""

    def __init__(self, picture: str, reason: str) -> None:
        super().__init__(f"'{picture}' cannot be used: {reason}.")
        self.reason = reason


def read(picture: Picture, settings: PixelSettings) -> Images:
    """A picture as uint8 (height, width, channels), in the size and channels that `settings` name.

    Takes a path, a file's bytes, a Pillow image, or uint8 numbers (height, width) or (height, width, 1, 3 or 4). EXIF
    orientation is applied; of several frames the first is taken; 16-bit grey is divided by 257; floats must lie in
    0..1 or 0..255; transparency shows white. `fit` squashes, cuts to the middle or adds black borders. A picture that
    has its size already is not resampled.

    Raises PictureError, a DataError, for a picture that is damaged, cut off, of another format or too large.

    >>> grey = PixelSettings(size=(2, 2), channels=1)
    >>> read(np.full((4, 4, 3), 200, np.uint8), grey)[..., 0].tolist()
    [[200, 200], [200, 200]]
    """
    if settings.size is None or settings.channels is None:
        raise ValueError("pixel settings must be resolved before a picture is read")
    if _has_its_shape(picture, settings):
        return picture  # type: ignore[return-value]
    try:
        with _quiet_pillow:
            image = _opened(picture, settings.size)
            image = _plain(_upright(image), "L" if settings.channels == 1 else "RGB")
            pixels = np.array(_fitted(image, settings.size, settings.fit))
    except Exception as error:  # Pillow raises a dozen kinds, SyntaxError and struct.error among them
        raise PictureError(_name(picture), _reason(error)) from None
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def resolve(settings: PixelSettings, array: Images | None = None, files: Sequence[Path] | None = None) -> PixelSettings:
    """Settings with `size` and `channels` filled in from the data where they are not set.

    An array gives its own. Of files, up to 100 evenly spaced ones are looked at: where all have one size of at most
    256 a side, it is taken, else 150 by 150; where all are grey, 1 channel is taken, else 3.

    >>> resolve(PixelSettings(channels=3), array=np.zeros((5, 28, 28, 1), np.uint8)).size
    (28, 28)
    """
    if settings.size and settings.channels:
        return settings
    if array is not None:
        size, channels = array.shape[1:3], array.shape[3]
    else:
        size, channels = _of_files(files or ())
    return settings.but(size=settings.size or size, channels=settings.channels or channels)


def normalise(images_nhwc: "torch.Tensor", settings: PixelSettings) -> "torch.Tensor":
    """uint8 (n, height, width, channels) → float32 (n, channels, height, width), channels last in memory.

    (x / 255 - mean) / std, on whatever device the images are.

    >>> import torch
    >>> normalise(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8), PixelSettings(mean=(0.5,), std=(0.5,))).unique()
    tensor([1.])
    """
    import torch

    # the permuted view is channels-last as it stands, and conversion keeps its strides
    images_nchw = images_nhwc.permute(0, 3, 1, 2).to(torch.float32)
    if not any(settings.mean) and all(std == 1 for std in settings.std):
        return images_nchw.div_(255)
    mean, std = (
        torch.tensor(values, device=images_nhwc.device).mul_(255).view(-1, 1, 1)
        for values in (settings.mean, settings.std)
    )
    return images_nchw.sub_(mean).div_(std)


def border_level(images_nhwc: Images) -> float:
    """Mean level, 0..255, of the outermost pixels of all pictures: how bright their ground is.

    >>> border_level(np.full((1, 3, 3, 1), 7, np.uint8))
    7.0
    """
    border = np.ones(images_nhwc.shape[1:3], dtype=bool)
    border[1:-1, 1:-1] = False
    return float(images_nhwc[:, border].mean())


def invert(image_hwc: Images, mode: Literal["auto", "yes", "no"], training_border_level: float) -> Images:
    """A picture with light and dark exchanged, or as it is.

    `auto` exchanges them where that brings the picture's own border nearer to that of the training pictures: a digit
    in black ink on white paper, for a classifier of white digits on black.

    >>> invert(np.full((2, 2, 1), 250, np.uint8), "auto", 0.0).max()
    np.uint8(5)
    """
    own = border_level(image_hwc[np.newaxis])
    nearer = abs(255 - own - training_border_level) < abs(own - training_border_level)
    return 255 - image_hwc if mode == "yes" or (mode == "auto" and nearer) else image_hwc


def _has_its_shape(picture: Picture, settings: PixelSettings) -> bool:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or settings.size is None:
        return False
    return picture.shape == (*settings.size, settings.channels)


def _opened(picture: Picture, size: tuple[int, int]) -> Image.Image:
    """A decoded image, not yet upright."""
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if isinstance(picture, Image.Image):
        _refuse_large(picture)
        picture.load()
        return picture
    source = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise ValueError("it is not a file")  # a pipe without a writer would wait for ever
    with Image.open(source, formats=FORMATS) as image:
        _refuse_large(image)
        # a JPEG can be decoded at a half, quarter or eighth; twice the longer side keeps the resampling exact enough
        image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        return image


def _from_array(picture: npt.NDArray[Any]) -> Image.Image:
    if picture.dtype != np.uint8:
        raise ValueError(f"its numbers are {picture.dtype}, expected uint8")
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    if 0 in picture.shape or (picture.ndim != 2 and not (picture.ndim == 3 and picture.shape[2] in (3, 4))):
        raise ValueError(f"its shape is {picture.shape}, expected (height, width) or (height, width, 1, 3 or 4)")
    return Image.fromarray(np.ascontiguousarray(picture))


def _refuse_large(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} by {image.height} pixels are more than {MOST_PIXELS // 10**6} megapixels")


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # malformed EXIF says nothing about the pixels
        return 1


def _plain(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _from_wide(image)
    elif image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, BACKGROUND)
        image = Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _from_wide(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, scaled to 8."""
    levels = np.asarray(image, dtype=np.float64)
    low, high = levels.min(), levels.max()
    most = 65_535 if image.mode != "F" else 1 if high <= 1 else 255
    if not (low >= 0 and high <= most):  # false for NaN too
        raise ValueError(f"its levels go from {low:g} to {high:g}, expected 0 to {most}")
    return Image.fromarray(np.rint(levels * (255 / most)).astype(np.uint8))


def _fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    bilinear = Image.Resampling.BILINEAR
    if fit == "squash":
        return image.resize((width, height), bilinear)
    scales = (width / image.width, height / image.height)
    if fit == "crop":
        cut = (width / max(scales), height / max(scales))
        left, top = (image.width - cut[0]) / 2, (image.height - cut[1]) / 2
        return image.resize((width, height), bilinear, box=(left, top, left + cut[0], top + cut[1]))
    inner = (max(1, round(image.width * min(scales))), max(1, round(image.height * min(scales))))
    padded = Image.new(image.mode, (width, height))
    padded.paste(image.resize(inner, bilinear), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def _of_files(files: Sequence[Path]) -> tuple[tuple[int, int], int]:
    step = max(1, -(-len(files) // _SAMPLED_FILES))
    looks = [look for look in map(_header, files[::step]) if look is not None]
    sizes = {size for size, _ in looks}
    one_small_size = len(sizes) == 1 and max(next(iter(sizes))) <= _SMALL_SIDE
    return next(iter(sizes)) if one_small_size else (150, 150), 1 if looks and all(grey for _, grey in looks) else 3


def _header(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Height and width as seen upright, and whether grey; None for what is no picture."""
    try:
        with _quiet_pillow, Image.open(path, formats=FORMATS) as image:
            turned = _orientation(image) >= 5
            size = (image.width, image.height) if turned else (image.height, image.width)
            return size, image.mode in _GREY_MODES
    except Exception:  # `read` will say why
        return None


def _name(picture: Picture) -> str:
    return str(picture) if isinstance(picture, Path) else "picture"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a whole JPEG, PNG, WebP, GIF, BMP, TIFF or PPM picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS // 10**6} megapixels"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")


class _QuietPillow:
    """While any thread is inside, no warning from Pillow.

    `warnings.catch_warnings` entered by two threads can leave its filter behind for good (until Python 3.14), so the
    first thread in sets it and the last one out takes it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()
