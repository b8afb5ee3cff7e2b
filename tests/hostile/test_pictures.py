"""Pictures as a stranger may bring them: each gives the right pixels or one line, in bounded time and memory."""

import random
import re
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding import COLOUR, GREY, NOISE, encoded, flat
from noonchi import cache, pixels, sources

MIB = 2**20


def tiff(kind: type, level: float) -> bytes:
    return encoded(np.full((4, 4), level, kind), "TIFF")


def several(form: str, **options: object) -> bytes:
    """Frames of which the first is the brightest."""
    frames = [Image.new("L", (4, 4), level) for level in (200, 0, 0)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(side: int, pixels: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def black_png(side: int) -> bytes:
    """A whole PNG, down to its last checksum, made without its `side` squared pixels."""
    deflate = zlib.compressobj(9, wbits=-15)
    row = deflate.compress(bytes(side + 1)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", side * (side + 1) % 65_521 << 16 | 1)
    return grey_png(side, b"\x78\xda" + row * side + b"\x03\0" + checksum)


def with_text(kind: bytes, text: bytes) -> bytes:
    return PNG[:33] + chunk(kind, b"Comment\0" + text) + PNG[33:]


def bad_checksum(kind: bytes) -> bytes:
    """A PNG in which nothing but one chunk's checksum is wrong."""
    start = PNG.index(kind)
    end = start + 4 + struct.unpack(">I", PNG[start - 4 : start])[0]
    return PNG[:end] + bytes([PNG[end] ^ 1]) + PNG[end + 1 :]


def circling_tiff(*more: Image.Image) -> bytes:
    """A TIFF whose last directory says that the first one comes next."""
    content = bytearray(encoded(Image.new("L", (4, 4), 200), "TIFF", save_all=True, append_images=more))
    first = place = struct.unpack("<I", content[4:8])[0]
    for _ in range(1 + len(more)):
        after = place + 2 + 12 * struct.unpack("<H", content[place : place + 2])[0]
        place = struct.unpack("<I", content[after : after + 4])[0]
    content[after : after + 4] = struct.pack("<I", first)
    return bytes(content)


def jpeg_with_exif(directory: bytes) -> bytes:
    return encoded(Image.new("L", (4, 4), 200), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + directory)


PNG, JPEG = encoded(NOISE), encoded(NOISE, "JPEG")

ACCEPTED = {
    "1 by 1": (encoded(Image.new("L", (1, 1), 200)), 200),
    "1 by 10,000": (encoded(Image.new("L", (1, 10_000), 200)), 200),
    "10,000 by 1": (encoded(Image.new("L", (10_000, 1), 200)), 200),
    "1-bit": (flat("1", 1), 255),
    "1-bit TIFF": (flat("1", 1, "TIFF"), 255),
    "grey": (flat("L", 100), 100),
    "colour": (flat("RGB", (100, 100, 100)), 100),
    "grey, transparent": (flat("LA", (0, 0)), 255),
    "grey, opaque": (flat("LA", (0, 255)), 0),
    "grey, one level transparent": (flat("L", 7, transparency=7), 255),
    "colour, transparent": (flat("RGBA", (0, 0, 0, 0)), 255),
    "colour, half transparent": (flat("RGBA", (0, 0, 0, 128)), 127),
    "WebP, transparent": (flat("RGBA", (0, 0, 0, 0), "WEBP", lossless=True, exact=True), 255),
    "palette": (flat("P", 0), 0),
    "palette, transparent": (flat("P", 0, transparency=0), 255),
    "GIF, transparent": (flat("P", 0, "GIF", transparency=0), 255),
    "CMYK, no ink": (flat("CMYK", (0, 0, 0, 0), "JPEG"), 255),
    "CMYK, black": (flat("CMYK", (0, 0, 0, 255), "JPEG"), 0),
    "CMYK TIFF": (flat("CMYK", (0, 0, 0, 0), "TIFF"), 255),
    "16-bit PNG": (encoded(np.full((4, 4), 25_700, np.uint16)), 100),
    "16-bit TIFF, white": (tiff(np.uint16, 65_535), 255),
    "16-bit PPM": (b"P5 2 2 65535\n" + struct.pack(">H", 25_700) * 4, 100),
    "32-bit TIFF": (tiff(np.int32, 25_700), 100),
    "float TIFF to 1": (tiff(np.float32, 0.4), 102),
    "float TIFF to 255": (tiff(np.float32, 102.4), 102),
    "animated GIF": (several("GIF"), 200),
    "animated WebP": (several("WEBP", lossless=True), 200),
    "animated PNG": (several("PNG"), 200),
    "TIFF of several pages": (several("TIFF"), 200),
    "two pictures of a phone": (several("MPO"), 200),
    "TIFF, one directory in a circle": (circling_tiff(), 200),
    "TIFF, two directories in a circle": (circling_tiff(Image.new("L", (4, 4), 0)), 200),
    "EXIF cut off": (jpeg_with_exif(b"\xff\xff"), 200),
    "EXIF of random bytes": (jpeg_with_exif(random.Random(0).randbytes(200)), 200),
    "EXIF in a circle": (jpeg_with_exif(struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)), 200),
    "bytes after the end": (flat("L", 200) + b"more", 200),
}

DAMAGED = "damaged .*; restore it from a copy"
HEIC = "HEIC or AVIF, which is not read; install ImageMagick and convert it: magick a.heic a.jpg"
FOREIGN = "not a whole JPEG, .*; restore it from a copy, or convert it"
LEVELS = "its levels go from"
FORMS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP")

REFUSED = {
    "0 bytes": (b"", "an empty file; restore"),
    "random bytes": (random.Random(0).randbytes(500), FOREIGN),
    "text": (b"text named .png\n", FOREIGN),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", FOREIGN),
    "EPS with pixels": (encoded(NOISE, "EPS"), FOREIGN),
    "PDF": (b"%PDF-1.4\n", FOREIGN),
    "SVG with a script": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", FOREIGN),
    "ICO": (encoded(NOISE, "ICO"), FOREIGN),
    "HEIC": (
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        HEIC,
    ),
    "AVIF": (
        b"\0\0\0\x20ftypavif\0\0\0\0avifmif1",
        HEIC,
    ),
    "JPEG cut in its header": (JPEG[:100], DAMAGED),
    "JPEG cut after its first bytes": (JPEG[:20], FOREIGN),
    "PNG cut before its end": (PNG[:-12], "cut off; restore it from a copy"),
    "PNG, a byte of its pixels": (PNG[:120] + bytes([PNG[120] ^ 255]) + PNG[121:], DAMAGED),
    "PNG, checksum of its header": (bad_checksum(b"IHDR"), "damaged .*checksum.*; restore it"),
    "PNG, checksum of its pixels": (bad_checksum(b"IDAT"), "damaged .*checksum.*; restore it"),
    "PNG of 65 megapixels": (grey_png(8_100, zlib.compress(b"")), "8100 by 8100 pixels.*; make it smaller"),
    "PNG of 50,000 by 50,000": (grey_png(50_000, zlib.compress(b"")), "more than the 64 megapixels.*; make it smaller"),
    "TIFF of one tag": (b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 3, 1, 4, 8), FOREIGN),
    "TIFF in LAB": (flat("LAB", (0, 0, 0), "TIFF"), "its colours are LAB.*; save it as RGB"),
    "float TIFF, NaN": (tiff(np.float32, np.nan), f"{LEVELS} nan to nan, expected 0 to 1 or 255; save it with"),
    "float TIFF, infinite": (tiff(np.float32, np.inf), f"{LEVELS} inf to inf, expected 0 to 1 or 255; save it with"),
    "float TIFF below 0": (tiff(np.float32, -1), f"{LEVELS} -1 to -1, expected 0 to 1 or 255; save it with"),
    "float TIFF above 255": (tiff(np.float32, 300), f"{LEVELS} 300 to 300, expected 0 to 1 or 255; save it with"),
    "32-bit TIFF above 65,535": (tiff(np.int32, 70_000), f"{LEVELS} 70000 to 70000, expected 0 to 65535; save it"),
} | {
    f"{form} cut at {share}": (content[: int(len(content) * share)], f"{DAMAGED}|{FOREIGN}|cut off; restore")
    for form in FORMS
    for content in [encoded(NOISE, form)]
    for share in (0.5, 0.9)
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; what the cache keeps lies elsewhere."""
    monkeypatch.setenv("NOONCHI_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def run(tmp_path: Path, fresh: Callable[..., object]) -> Path:
    """A classifier of pictures of 8 by 8 in colour."""
    (tmp_path / "run").mkdir()
    fresh(network="mnist-one-conv", channels=3).save(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("settings", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_be_read_comes_to_the_level_it_shows(name, settings):
    content, level = ACCEPTED[name]
    read = pixels.read(content, settings)
    assert read.shape == (8, 6, settings.channels)
    assert (read == level).all()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line_that_says_what_to_do(folder, name):
    content, reason = REFUSED[name]
    path = folder / "bad.png"
    path.write_bytes(content)
    with pytest.raises(
        pixels.PictureError, match=rf"^'{re.escape(str(path))}' cannot be used: ({reason}).*\.$"
    ) as refused:
        pixels.read(path, COLOUR)
    assert "\n" not in str(refused.value)
    assert list(folder.iterdir()) == [path]


def test_a_scan_lists_each_bad_picture_with_its_reason_and_goes_on(folder):
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        (folder / label / "good.png").write_bytes(flat("L", 100 + len(label), title=label))
    for number, (content, _) in enumerate(REFUSED.values()):
        (folder / "cat" / f"{number}.png").write_bytes(content)
    index = sources.load(folder)
    frames = cache.decode(index, COLOUR)
    listed = dict([*index.unusable, *frames.unusable])
    assert listed.keys() == {f"cat/{number}.png" for number in range(len(REFUSED))}
    assert all(listed.values())
    assert {name for name, usable in zip(index.ids, frames.usable, strict=True) if usable} == {
        "cat/good.png",
        "dog/good.png",
    }
    assert (frames.array[~frames.usable] == 0).all()


def test_prediction_goes_on_after_each_bad_picture_and_ends_with_exit_code_3(noonchi, folder, run):
    for number, (content, _) in enumerate(REFUSED.values()):
        (folder / f"{number}.png").write_bytes(content)
    (folder / "good.jpg").write_bytes(PNG)  # known by its content
    before = sorted(folder.rglob("*"))
    answer = noonchi("predict", run, folder, "--json")
    assert answer.code == 3
    assert answer.out.count("\n") == 1
    lines = answer.err.splitlines()
    assert len(lines) == len(REFUSED)
    assert all(re.fullmatch(rf"noonchi: '{folder}/\d+\.png' cannot be used: .*\.", line) for line in lines)
    assert sorted(folder.rglob("*")) == before


def turned(upright: np.ndarray, orientation: int) -> bytes:
    """The picture as a camera stores it that was held another way."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(np.ascontiguousarray(stored), exif=exif)


def test_all_eight_orientations_give_one_tensor_in_training_and_in_prediction(folder, fresh):
    classifier = fresh(network="mnist-one-conv", side=9, channels=3)
    for orientation in range(1, 9):
        path = folder / "ab"[orientation % 2] / f"{orientation}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(turned(NOISE, orientation))
    index = sources.load(folder)
    frames = cache.decode(index, classifier.pixels).array
    assert len({frame.tobytes() for frame in frames}) == 1
    assert (frames[0] == pixels.read(NOISE, classifier.pixels)).all()
    from_files, from_frames = classifier.predict(index.files), classifier.predict(list(frames))
    assert [one.heads for one in from_files] == [one.heads for one in from_frames]


def test_a_gif_of_10000_frames_takes_no_longer_than_its_first(folder):
    frames = [Image.new("L", (4, 4), number % 256) for number in range(10_000)]
    (folder / "long.gif").write_bytes(encoded(frames[9], "GIF", save_all=True, append_images=frames))
    start = time.process_time()
    assert (pixels.read(folder / "long.gif", GREY) == 9).all()
    assert time.process_time() - start < 0.5


def in_a_process(code: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


_READ = """
import re, sys
from pathlib import Path
from noonchi import pixels
from noonchi.settings import PixelSettings
for name in sys.argv[1:]:
    try:
        print(pixels.read(Path(name), PixelSettings(size=(150, 150), channels=3)).max())
    except pixels.PictureError as error:
        print(error.reason)
"""
_PEAK = (
    _READ
    + """
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's highest memory")
@pytest.mark.parametrize(
    ("make", "told", "most"),
    [
        (lambda: black_png(50_000), "more than the 64 megapixels", 100),
        (lambda: with_text(b"zTXt", b"\0" + zlib.compress(b"x" * 100_000_000, 1)), "damaged .*too large", 100),
        (lambda: with_text(b"iTXt", b"\1\0\0\0" + zlib.compress(b"x" * 100_000_000, 1)), "damaged .*too large", 100),
        (lambda: with_text(b"tEXt", b"x" * 100_000_000), "100 MB of text in it; save it without", 100),
        (lambda: encoded(Image.new("L", (8_000, 8_000), 200), "JPEG"), "200", 150),
    ],
    ids=["50,000 by 50,000", "a text bomb", "another text bomb", "100 MB of text", "JPEG of 64 megapixels"],
)
def test_no_picture_takes_more_memory_than_its_promise_is_worth(folder, make, told, most):
    (folder / "large.png").write_bytes(make())
    said, peak_kib = in_a_process(_PEAK, folder / "large.png")
    assert re.match(told, said)
    assert int(peak_kib) * 1024 < most * MIB


_WATCHED = """
import sys
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"}
sys.addaudithook(lambda event, _: print(event) if event in STARTS else None)
"""


def test_no_other_program_is_started(folder):
    paths = [folder / f"{number}.png" for number in range(len(REFUSED))]
    for path, (content, _) in zip(paths, REFUSED.values(), strict=True):
        path.write_bytes(content)
    lines = in_a_process(_WATCHED + _READ, *paths)
    assert len(lines) == len(paths)
    assert all(re.match(reason, line) for line, (_, reason) in zip(lines, REFUSED.values(), strict=True))
