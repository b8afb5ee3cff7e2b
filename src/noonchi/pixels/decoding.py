"""A picture of any kind decoded, upright, grey or RGB; or one reason why it cannot be."""

import io
import threading
import warnings
import zlib
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from noonchi.errors import HEIC, DataError, reason

Picture = Path | bytes | Image.Image | npt.NDArray[Any]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is opened at all; Pillow would start another program for some other formats."""
MOST_PIXELS = 64_000_000
"""A picture with more is refused before it is decoded: 256 MB. Cameras of 50 megapixels give slightly more than 50."""
BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on the page that most such pictures were drawn for; dark strokes on
a transparent ground would vanish in black."""

_REDUCED_SIDES = 4
"""A JPEG is decoded at a half, a quarter or an eighth where its sides are still this many times the longest asked for.

Brought to size it then differs from a whole one by at most 0.3 grey levels in the mean, and by 1 in 99 pixels of 100.
"""
_MOST_TEXT = 16 * 2**20
"""Bytes of one text, profile or other addition to a PNG; Pillow would take three times as much memory."""
_PIECE = 2**20
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
_RESTORE = "restore it from a copy, or convert it to JPEG or PNG"
_TOO_LARGE = f"more than the {MOST_PIXELS // 10**6} megapixels that are read; make it smaller"


class _Refused(Exception):  # noqa: N818  # never leaves this module
    """Why a picture cannot be used, in our own words."""


class PictureError(DataError):
    """A picture that cannot be used, with the bare reason beside the line for the user.

    `unread`: its file could not be read at all, which may be otherwise next time.
    """

    def __init__(self, picture: str, reason: str, *, unread: bool) -> None:
        super().__init__(f"'{picture}' cannot be used: {reason}.")
        self.reason = reason
        self.unread = unread


class Decoded(NamedTuple):
    """An upright image of mode L or RGB, and where in it the picture lies: decoded small, it may end within a pixel."""

    image: Image.Image
    box: Box


class Header(NamedTuple):
    """What a file says of its picture before it is decoded."""

    size: tuple[int, int]
    """Height and width as seen upright."""
    grey: bool


def decoded(picture: Picture, mode: Literal["L", "RGB"], longest: int) -> Decoded:
    """A picture in memory, its sides no smaller than needed for pictures whose longest side is `longest`.

    Raises PictureError.

    >>> decoded(np.zeros((2, 3), np.uint8), "L", 8).box
    (0, 0, 3, 2)
    """
    try:
        with _quiet_pillow:
            image, box = _upright(*_opened(picture, longest))
            return Decoded(_plain(image, mode), box)
    except Exception as error:  # Pillow raises a dozen kinds, SyntaxError and struct.error among them
        name = str(picture) if isinstance(picture, Path) else "picture"
        unread = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)
        raise PictureError(name, _reason(error), unread=unread) from None


def header(picture: Path | bytes) -> Header | None:
    """Of a file, or of a file's bytes; None for what is no picture: `decoded` says why."""
    try:
        with _quiet_pillow, io.BytesIO(picture) if isinstance(picture, bytes) else _regular(picture) as file:
            image = _open(file)
            turned = _orientation(image) >= 5
            size = (image.width, image.height) if turned else (image.height, image.width)
            return Header(size, image.mode in _GREY_MODES)
    except Exception:
        return None


def _opened(picture: Picture, longest: int) -> tuple[Image.Image, Box]:
    if isinstance(picture, bytes):
        return _read(io.BytesIO(picture), longest)
    if isinstance(picture, Path):
        with _regular(picture) as file:
            return _read(file, longest)
    image = _from_array(picture) if isinstance(picture, np.ndarray) else picture
    _refuse_large(image)
    image.load()
    return image, _whole(image)


def _regular(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():
        raise _Refused("not a file")  # to open a pipe without a writer would wait for ever
    return path.open("rb")


def _read(file: IO[bytes], longest: int) -> tuple[Image.Image, Box]:
    image = _open(file)
    _refuse_large(image)
    least = _REDUCED_SIDES * longest
    drafted = image.draft(None, (least, least))
    image.load()
    # of 2001 pixels an eighth are 251, the last one mostly made up: without the box the picture would be stretched
    return image, drafted[1] if drafted else _whole(image)


def _open(file: IO[bytes]) -> Image.Image:
    """An image of which only the header is read yet."""
    _check_png(file)
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        raise _Refused(_foreign(file.read(12))) from None


def _check_png(file: IO[bytes]) -> None:
    """What Pillow does not: checksums of pixels are compared, and no text is read that is longer than a picture's.

    Costs 2 % of decoding. See the PNG specification, chapter 5: length, kind, content, checksum; a small letter first
    for what a picture can do without.
    """
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return
    kind = b""
    while kind != b"IEND":
        start = file.read(8)
        if len(start) < 8:
            raise _Refused(f"cut off; {_RESTORE}")
        length, kind = int.from_bytes(start[:4]), start[4:]
        if kind[0] >= ord("a"):
            if length > _MOST_TEXT and kind != b"fdAT":  # pixels of a later frame are not read
                raise _Refused(f"{length // 10**6} MB of text in it; save it without")
            file.seek(length + 4, io.SEEK_CUR)
            continue
        checksum = zlib.crc32(kind)
        for begin in range(0, length, _PIECE):
            checksum = zlib.crc32(file.read(min(_PIECE, length - begin)), checksum)
        if int.from_bytes(file.read(4)) != checksum:
            raise _Refused(f"damaged (a wrong checksum, or cut off); {_RESTORE}")


def _whole(image: Image.Image) -> Box:
    return 0, 0, image.width, image.height


def _from_array(picture: npt.NDArray[Any]) -> Image.Image:
    if picture.dtype != np.uint8:
        raise _Refused(f"its numbers are {picture.dtype}, expected uint8")
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    if 0 in picture.shape or (picture.ndim != 2 and not (picture.ndim == 3 and picture.shape[2] in (3, 4))):
        raise _Refused(f"its shape is {picture.shape}, expected (height, width) or (height, width, 1, 3 or 4)")
    return Image.fromarray(np.ascontiguousarray(picture))


def _refuse_large(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _Refused(f"{image.width} by {image.height} pixels, {_TOO_LARGE}")


def _upright(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """Turned as EXIF says; `box` begins at the image's first pixel, wherever that comes to lie."""
    orientation = _orientation(image)
    if orientation not in _UPRIGHT:
        return image, box
    image = image.transpose(_UPRIGHT[orientation])
    width, height = (box[3], box[2]) if orientation >= 5 else (box[2], box[3])
    left = image.width - width if orientation in (2, 3, 6, 7) else 0
    top = image.height - height if orientation in (3, 4, 7, 8) else 0
    return image, (left, top, left + width, top + height)


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
    elif image.mode == "LAB":
        raise _Refused("its colours are LAB, which are not read; save it as RGB")
    return image if image.mode == mode else image.convert(mode)


def _from_wide(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, scaled to 8."""
    levels = np.array(image, dtype=np.float32)
    low, high = levels.min(), levels.max()
    most, expected = (1 if high <= 1 else 255, "0 to 1 or 255") if image.mode == "F" else (65_535, "0 to 65535")
    if not (low >= 0 and high <= most):  # false for NaN too
        raise _Refused(f"its levels go from {low:g} to {high:g}, expected {expected}; save it with 8 or 16 bits")
    levels *= 255 / most
    return Image.fromarray(np.rint(levels, out=levels).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return _TOO_LARGE
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "more memory is needed than there is; make it smaller"
    text = reason(error)
    return f"damaged ({text}); {_RESTORE}"


def _foreign(start: bytes) -> str:
    """What a file is that begins as none of our formats does."""
    if not start:
        return f"an empty file; {_RESTORE}"
    if start[4:8] == b"ftyp":
        return HEIC
    return f"not a whole JPEG, PNG, WebP, GIF, BMP, TIFF or PPM picture; {_RESTORE}"


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
